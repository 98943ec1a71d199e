"""The command that keeps sentence vectors: what is in the file, and who can use it."""

import numpy as np
import pytest

from iassf_jax.cli.main import main
from iassf_jax.text import Description, hash_sentence, load_prompts, make_encoder


def test_the_cache_stands_in_for_its_encoder(tmp_path, capsys):
    output, wishes = tmp_path / "prompts.npz", tmp_path / "wishes.txt"
    wishes.write_text("the bridge is in fog\n\n  the bridge is in fog\n", encoding="utf-8")
    command = ["text-cache", "--backend", "hash", "--output", str(output), "--add", str(wishes)]
    assert main(command) == 0
    sentences = {text for group in load_prompts().values() for text in group.all}
    assert f"{len(sentences) + 1} sentences, vectors of 768 numbers" in capsys.readouterr().out
    cached = make_encoder("cache", cache_path=output)
    for text in (*sorted(sentences)[:3], "the bridge is in fog"):
        np.testing.assert_array_equal(cached([Description("PD", text)])[0], hash_sentence(text))
    assert main(command) == 2
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--backend", "distilbert"), "needs path"),
        (("--backend", "hash", "--add", "none.txt"), "none.txt cannot be read"),
        (("--backend", "hash", "--prompts", "nowhere"), "cannot read the prompts nowhere"),
    ],
)
def test_what_is_missing_is_told(tmp_path, capsys, more, message):
    assert main(["text-cache", "--output", str(tmp_path / "p.npz"), *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.npz").exists()
