"""Tokens, backends, cache, prompts: what a network is told in numbers."""

import json
import sys

import numpy as np
import pytest
import safetensors.numpy

from iassf_jax.core.errors import CheckpointError, InputError, MissingDependencyError
from iassf_jax.text import (
    Description,
    class_names,
    hash_sentence,
    load_prompts,
    make_bank,
    make_encoder,
    task_of,
)
from iassf_jax.text.cache import SentenceCache, write_cache
from iassf_jax.text.distilbert import DistilBertConfig
from iassf_jax.text.tokenizer import Tokenizer, read_vocabulary

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "haze", "##y", "the", "cafe", ",", "-", "remove", "##less"]
HAZE, BRIGHT = (Description(task, load_prompts()[task].training[0]) for task in ("HZ", "OE"))


@pytest.fixture
def vocabulary(tmp_path):
    pytest.importorskip("tokenizers")
    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return tmp_path / "vocab.txt"


def test_word_pieces(vocabulary):
    tokenize = Tokenizer(read_vocabulary(vocabulary))
    ids, mask = tokenize(["Remove the Hazey-Café, xyz", "haze"])
    pieces = [[PIECES[i] for i in row[real]] for row, real in zip(ids, mask, strict=True)]
    assert pieces[0] == ["[CLS]", "remove", "the", "haze", "##y", "-", "cafe", ",", "[UNK]", "[SEP]"]
    assert pieces[1] == ["[CLS]", "haze", "[SEP]"]
    assert (ids[1, 3:] == 0).all()
    # A word of more than a hundred characters is given up, and a long sentence is cut before its end.
    assert PIECES[tokenize(["haze" + "y" * 100])[0][0, 1]] == "[UNK]"
    short, _ = Tokenizer(read_vocabulary(vocabulary), max_length=4)(["the the the the the"])
    assert [PIECES[i] for i in short[0]] == ["[CLS]", "the", "the", "[SEP]"]


def test_vocabulary_without_special_pieces_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="cannot read the vocabulary"):
        read_vocabulary(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\nhaze\n")
    with pytest.raises(CheckpointError, match=r"lacks \[CLS\], \[SEP\]"):
        read_vocabulary(tmp_path / "vocab.txt")


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(MissingDependencyError, match=r"iassf_jax\[text\]"):
        Tokenizer({piece: i for i, piece in enumerate(PIECES)})


def test_hashed_words_are_normal_and_shared_words_show():
    vector = hash_sentence("haze")
    assert vector.shape == (768,)
    assert vector.dtype == np.float32
    assert abs(vector.mean()) < 0.15
    assert 0.9 < vector.std() < 1.1
    sentence = hash_sentence("Remove the haze, please!")
    np.testing.assert_array_equal(sentence, hash_sentence("please remove THE haze"))

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert cosine(sentence, vector) > 0.4
    assert abs(cosine(sentence, hash_sentence("low contrast"))) < 0.15
    # Trained weights rely on these numbers.
    np.testing.assert_allclose(vector[:3], [1.8284338, 0.3083969, -0.0256454], atol=1e-6)


def test_sentences_without_words_are_errors():
    with pytest.raises(InputError, match="has no words"):
        hash_sentence(" ... ")


def test_onehot_is_the_number_of_the_task():
    encode = make_encoder("onehot")
    np.testing.assert_array_equal(encode([BRIGHT, HAZE]), np.eye(6)[[3, 2]])
    assert make_encoder("onehot", split_sr=True).size == 7
    with pytest.raises(InputError, match="no tasks .*SR4"):
        encode([Description("SR4", "by four")])


def test_random_distilbert_runs_the_whole_way():
    pytest.importorskip("tokenizers")
    encode = make_encoder("distilbert_random")
    both = encode([HAZE, BRIGHT])
    assert both.shape == (2, encode.size)
    assert np.abs(both[0] - both[1]).max() > 1e-3
    mean = make_encoder("distilbert_random", pooling="mean")([HAZE, BRIGHT])
    np.testing.assert_allclose(np.linalg.norm(mean, axis=1), 1.0, rtol=1e-5)
    assert np.abs(mean - both).max() > 1e-3


def test_distilbert_comes_from_a_folder(vocabulary):
    folder = vocabulary.parent
    config = DistilBertConfig(
        dim=8, n_layers=0, n_heads=2, hidden_dim=12, vocab_size=len(PIECES), max_position_embeddings=10
    )
    (folder / "config.json").write_text(json.dumps(vars(config)))
    rng = np.random.default_rng(0)
    tensors = {
        "embeddings.word_embeddings.weight": rng.normal(size=(len(PIECES), 8)).astype(np.float32),
        "embeddings.position_embeddings.weight": np.zeros((10, 8), np.float32),
        "embeddings.LayerNorm.weight": np.ones(8, np.float32),
        "embeddings.LayerNorm.bias": np.zeros(8, np.float32),
    }
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    encode = make_encoder("distilbert", path=folder)
    first = tensors["embeddings.word_embeddings.weight"][PIECES.index("[CLS]")]
    expected = (first - first.mean()) / first.std()
    np.testing.assert_allclose(encode([HAZE])[0], expected, rtol=1e-4)
    assert encode.about["model"] == folder.name
    assert len(encode.about["sha256_weights"]) == 64


def test_impossible_backends_are_errors():
    with pytest.raises(InputError, match="no text backend 'clip'"):
        make_encoder("clip")
    with pytest.raises(InputError, match="needs path"):
        make_encoder("distilbert")
    with pytest.raises(InputError, match="needs cache_path"):
        make_encoder("cache")
    with pytest.raises(InputError, match="pooling is 'max'"):
        make_encoder("distilbert", pooling="max")


@pytest.fixture
def cache(tmp_path):
    encode = make_encoder("hash")
    write_cache(tmp_path / "prompts.npz", [HAZE.text], encode([HAZE]), encode.about)
    return tmp_path / "prompts.npz"


def test_cache_hits_and_misses(cache):
    encode = make_encoder("cache", cache_path=cache)
    shouted = Description("HZ", "  REMOVE the haze\tfrom the visible image. ")
    np.testing.assert_array_equal(encode([shouted])[0], hash_sentence(HAZE.text))
    with pytest.raises(InputError, match="no vector for .*nearest: 'remove the haze"):
        encode([BRIGHT])


def test_cache_falls_back_to_the_model_that_made_it(cache):
    from iassf_jax.text.encoders import CachedEncoder

    live = make_encoder("hash")
    vectors = CachedEncoder(SentenceCache(cache), live)([BRIGHT, HAZE])
    np.testing.assert_array_equal(vectors, live([BRIGHT, HAZE]))
    with pytest.raises(CheckpointError, match="backend: 'hash' in the cache, 'onehot' now"):
        CachedEncoder(SentenceCache(cache), make_encoder("onehot"))


def test_stale_and_damaged_caches_are_errors(cache):
    sidecar = cache.with_suffix(".json")
    text = sidecar.read_text()
    content = cache.read_bytes()
    cache.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="belongs to another prompts.npz"):
        SentenceCache(cache)
    sidecar.write_text("{}")
    with pytest.raises(CheckpointError, match="does not describe a cache"):
        SentenceCache(cache)
    sidecar.unlink()
    with pytest.raises(CheckpointError, match="does not exist"):
        SentenceCache(cache)
    sidecar.write_text(text)


def test_cache_wants_a_row_for_each_prompt(tmp_path):
    with pytest.raises(InputError, match="2 prompts and 1 vectors"):
        write_cache(tmp_path / "a.npz", ["one", "two"], np.zeros((1, 4), np.float32), {})
    with pytest.raises(CheckpointError, match="expected .npz"):
        write_cache(tmp_path / "a.txt", [], np.zeros((0, 4), np.float32), {})


def test_prompts_are_ten_for_each_task_and_split_for_validation():
    prompts = load_prompts()
    assert tuple(prompts) == class_names() == ("LC", "SR", "HZ", "OE", "LL", "PD")
    assert {(len(p.training), len(p.validation)) for p in prompts.values()} == {(8, 2)}
    everything = [text for p in prompts.values() for text in p.all]
    assert len(set(everything)) == 60
    split = load_prompts(split_sr=True)
    assert tuple(split) == class_names(split_sr=True)
    assert split["SR8"].training[1] == "Upscale this blurry thermal picture by a factor of eight."


def test_prompt_folders_are_checked(tmp_path):
    with pytest.raises(InputError, match="cannot read the prompts .*lc.txt"):
        load_prompts(tmp_path)
    (tmp_path / "lc.txt").write_text("one\n\ntwo\n")
    with pytest.raises(InputError, match="2 prompts; expected at least 3"):
        load_prompts(tmp_path)


def test_bank_has_every_prompt_in_its_place():
    prompts = load_prompts()
    bank = make_bank(make_encoder("hash"), prompts)
    assert bank.features.shape == (6, 8, 768)
    assert bank.counts.tolist() == [8] * 6
    np.testing.assert_array_equal(bank.features[3, 2], hash_sentence(prompts["OE"].training[2]))
    held_out = make_bank(make_encoder("hash"), prompts, validation=True)
    np.testing.assert_array_equal(held_out.features[5, 1], hash_sentence(prompts["PD"].validation[1]))


def test_tasks_by_name():
    assert task_of("hz").meaning == "haze"
    assert task_of("sr8").name == "SR"
    with pytest.raises(InputError, match="no task 'NOISE'; there are LC"):
        task_of("NOISE")
