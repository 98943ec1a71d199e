"""Probes and projections of vectors whose answer is known."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.evaluation.degraded import Latents
from iassf_jax.evaluation.degraded_programs import latents_at_places
from iassf_jax.evaluation.degraded_tables import linear_probes, probes
from iassf_jax.evaluation.latent_figure import draw_latents
from iassf_jax.evaluation.latent_probe import (
    linear_probe,
    nearest_neighbour_probe,
    principal_components,
    t_sne,
)

SCENES, KINDS, SIZE = 40, 4, 12


def vectors(rng, *, told: float):
    """Of every scene a vector for each kind: the scene's look, and `told` times a vector of the kind."""
    scenes, kinds = np.repeat(np.arange(SCENES), KINDS), np.tile(np.arange(KINDS), SCENES)
    looks = rng.normal(size=(SCENES, SIZE))[scenes]
    features = looks + told * 4.0 * np.eye(SIZE)[kinds] + 0.1 * rng.normal(size=looks.shape)
    return features.astype(np.float32), kinds, scenes


def test_probes_find_what_is_there_and_nothing_where_nothing_is(rng):
    assert linear_probe(*vectors(rng, told=1.0)) > 0.95
    assert nearest_neighbour_probe(*vectors(rng, told=1.0)) > 0.7
    # Chance is 1 / 4, and 160 answers spread by 0.034.
    assert abs(linear_probe(*vectors(rng, told=0.0)) - 0.25) < 0.11
    assert nearest_neighbour_probe(*vectors(rng, told=0.0)) < 0.36


def test_a_probe_does_not_care_for_scale_and_constants(rng):
    features, kinds, scenes = vectors(rng, told=0.4)
    moved = features * np.array(np.linspace(0.01, 100.0, SIZE), np.float32) + 7.0
    assert linear_probe(moved, kinds, scenes) == linear_probe(features, kinds, scenes)
    with_constant = np.concatenate([features, np.full((len(features), 1), 3.0, np.float32)], axis=1)
    assert linear_probe(with_constant, kinds, scenes) == linear_probe(features, kinds, scenes)


def test_scenes_are_held_out_whole(rng):
    # The kind is that of the scene: whoever has seen a scene's other vectors knows it.
    features, _, scenes = vectors(rng, told=0.0)
    kinds = rng.integers(0, KINDS, SCENES)[scenes]
    assert linear_probe(features, kinds, scenes) < 0.5
    assert nearest_neighbour_probe(features, kinds, scenes) < 0.5


@pytest.mark.parametrize(
    ("labels", "scenes", "message"),
    [
        ([0, 1, 0], [0, 1, 2, 3, 4, 5], "6 vectors, 3 labels and 6 scenes"),
        ([0] * 6, [0, 1, 2, 3, 4, 5], "at least two labels"),
        ([0, 1] * 3, [0, 0, 1, 1, 2, 2], "5 folds needs at least as many scenes, got 3"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_what_cannot_be_probed_is_an_error(labels, scenes, message):
    with pytest.raises(InputError, match=message):
        linear_probe(np.zeros((6, 2), np.float32), np.array(labels), np.array(scenes))


def test_principal_components_are_the_largest_axes(rng):
    plane = rng.normal(size=(50, 2)) * np.array([3.0, 1.0])
    points = principal_components(plane.astype(np.float32))
    standard = (plane - plane.mean(axis=0)) / plane.std(axis=0)
    # Both axes of a plane: distances stay.
    np.testing.assert_allclose(
        np.linalg.norm(points[1:] - points[:-1], axis=1),
        np.linalg.norm(standard[1:] - standard[:-1], axis=1),
        rtol=1e-5,
    )
    assert points[:, 0].var() >= points[:, 1].var()
    with pytest.raises(InputError, match="at least three vectors"):
        principal_components(np.zeros((2, 5), np.float32))


def test_t_sne_says_what_it_needs(monkeypatch, rng):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find(name))
    with pytest.raises(MissingDependencyError, match="pip install scikit-learn"):
        t_sne(rng.normal(size=(5, 3)).astype(np.float32))


def latents(rng, *, told):
    features, kinds, scenes = vectors(rng, told=told)
    names = ["HZ", "OE", "LL", "PD"]
    return Latents(
        features, [names[k] for k in kinds], [False] * len(kinds), [f"scene {scene}" for scene in scenes]
    )


def test_probes_of_latents_are_those_of_each_modality(rng):
    found = probes(latents(rng, told=1.0))
    assert set(found) == {"visible"}
    assert found["visible"]["linear"] > 0.95
    assert found["visible"]["chance"] == 0.25
    assert linear_probes(latents(rng, told=1.0)).keys() == found.keys()


def test_places_have_what_they_cover_of_every_level():
    rows, columns = np.meshgrid(np.arange(16.0), np.arange(24.0), indexing="ij")
    fine = jnp.asarray(np.stack([rows, columns], axis=-1)[None], jnp.float32)
    coarse = fine[:, ::4, ::4]  # 4 x 6
    found = np.asarray(latents_at_places((fine, coarse), side=2))
    assert found.shape == (1, 4, 4)
    # The second and last but one of 4 rows, and of 6 columns; a place covers 4 x 4 fine pixels.
    places = [(row, column) for row in (1, 3) for column in (1, 4)]
    expected = [(4 * r + 1.5, 4 * c + 1.5, 4 * r, 4 * c) for r, c in places]
    np.testing.assert_array_equal(found[0], expected)
    assert latents_at_places((fine, coarse), side=100).shape == (1, 24, 4)


def test_the_figure_has_a_point_for_every_vector(rng):
    told, forgotten = (draw_latents(latents(rng, told=value)) for value in (1.0, 0.0))
    assert told.shape == forgotten.shape
    inked = [(picture[24:] < 250).any(axis=-1).sum() for picture in (told, forgotten)]
    assert min(inked) > 30 * 40
    with pytest.raises(InputError, match="no projection 'umap'"):
        draw_latents(latents(rng, told=1.0), projection="umap")
