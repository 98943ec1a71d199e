"""The weights that come with the package are what their cards say, and remove haze."""

import hashlib

import numpy as np
import pytest

from data_pipelines.scenes import add_haze, draw_haze, render_scene
from iassf_jax.checkpoints.sources import model_card, packaged_weights
from iassf_jax.core.errors import CheckpointError
from iassf_jax.inference import Fuser


@pytest.mark.parametrize("name", sorted(packaged_weights()))
def test_cards_hold_the_checksum_and_what_a_user_must_know(name):
    card = model_card(name)
    digest = hashlib.sha256(packaged_weights()[name].read_bytes()).hexdigest()
    assert digest in card
    for word in ("data", "haze", "recipe", "machine", "licence", "Known failures", "PSNR"):
        assert word in card


def test_weights_are_small():
    sizes = {name: path.stat().st_size for name, path in packaged_weights().items()}
    assert sizes["iassf-lite"] < 5e6
    assert sum(sizes.values()) < 40e6


def test_the_best_network_has_the_plain_name():
    assert set(packaged_weights()) == {"iassf", "iassf-lite"}


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(CheckpointError, match="iassf-lite"):
        model_card("iassf-huge")


@pytest.mark.parametrize("name", sorted(packaged_weights()))
def test_haze_goes_from_scenes_never_seen(name):
    """Generated streets are nothing like the training data: better than doing nothing is asked."""
    fuser = Fuser.from_pretrained(name)
    gains = []
    for seed in range(4):
        scene = render_scene(seed, height=96, width=128)
        hazy = add_haze(scene.visible, scene.depth, parameters=draw_haze(seed, night=scene.night))
        before, after = (
            np.mean((image.astype(np.float64) - scene.visible) ** 2)
            for image in (hazy, fuser(hazy, scene.infrared).restored)
        )
        gains.append(10.0 * np.log10(before / after))
    assert np.mean(gains) > 1.0
