"""The device's metrics against a plain float64 reading of the definitions, at an odd size."""

import numpy as np
import pytest

from benchmarks.metrics import scenes
from benchmarks.metrics_numpy import METRICS as PLAIN
from iassf_jax.metrics.measure import compiled_measure

TOLERANCES = {"q_mi": 1e-6, "q_cv": 1e-4, "q_niqe": 1e-3}


def test_odd_sizes_agree_with_numpy():
    images = scenes(2, (99, 197), seed=3)
    values = compiled_measure(tuple(PLAIN))({name: image[..., None] for name, image in images.items()})
    for name, function in PLAIN.items():
        rows = zip(images["infrared"], images["visible"], images["fused"], strict=True)
        expected = [function(*row) for row in rows]
        assert np.asarray(values[name]) == pytest.approx(expected, rel=TOLERANCES.get(name, 1e-5)), name
