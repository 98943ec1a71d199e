"""Pseudo-depth: between its limits, with the shape that each kind promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.haze.frames import place
from data_pipelines.haze.pseudo_depth import KINDS, invent_depth

COUNT, HEIGHT, WIDTH = 16, 24, 32


def _position(kind, clear=None, seed=0):
    """Positions and distances of `COUNT` scenes."""
    keys = jax.random.split(jax.random.key(seed), COUNT)
    clear = jnp.full((COUNT, HEIGHT, WIDTH, 3), 0.5) if clear is None else clear

    def make(keys, clear):
        depth = invent_depth(keys, clear, place(keys, (HEIGHT, WIDTH), size=None), kind=kind)
        return depth.position, depth.metres(1000.0), depth.metres(80.0)

    return [np.asarray(x)[..., 0] for x in jax.jit(make)(keys, clear)]


@pytest.mark.parametrize("kind", KINDS)
def test_distances_lie_between_near_and_far_and_differ_by_example(kind):
    position, metres, limited = _position(kind)
    assert position.min() >= 0
    assert position.max() <= 1.0001
    assert 2 <= metres.min() < metres.max() <= 501
    assert limited.max() <= 80.1
    assert len({m.tobytes() for m in metres}) == COUNT
    assert np.all(np.diff(metres.reshape(COUNT, -1).argsort(), axis=1).any(axis=1))
    # A shorter range keeps the order of the distances.
    order = metres[0].ravel().argsort(kind="stable")
    assert np.all(np.diff(limited[0].ravel()[order]) >= -1e-3)


def test_the_plane_recedes_upwards_to_a_soft_horizon():
    position, _, _ = _position("plane")
    assert np.all(np.diff(position, axis=1) <= 1e-6)
    assert np.all(position[:, -1].max(axis=1) < 0.25)
    assert np.all(position[:, 0].mean(axis=1) > 0.45)
    assert np.abs(np.diff(position, axis=1)).max() < 0.4  # nowhere a step from the ground to the far


def test_the_radial_kind_falls_off_from_one_point():
    for picture in _position("radial")[0]:
        peak = np.unravel_index(picture.argmax(), picture.shape)
        assert picture.max() > 0.9
        assert np.all(np.diff(picture[peak[0], peak[1] :]) <= 1e-6)
        assert np.all(np.diff(picture[peak[0] :, peak[1]]) <= 1e-6)


def test_luminance_pushes_bright_parts_away_and_keeps_their_edges():
    clear = jnp.full((COUNT, HEIGHT, WIDTH, 3), 0.1).at[:, :, WIDTH // 2 :].set(0.9)
    position, _, _ = _position("luminance", clear)
    left, right = position[:, :, : WIDTH // 2 - 2], position[:, :, WIDTH // 2 + 2 :]
    assert np.all(right.mean(axis=(1, 2)) > left.mean(axis=(1, 2)) + 0.1)
    across = np.abs(np.diff(position, axis=2)).mean(axis=(0, 1))
    assert across.argmax() in (WIDTH // 2 - 2, WIDTH // 2 - 1, WIDTH // 2)
