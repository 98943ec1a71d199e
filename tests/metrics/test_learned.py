"""Metrics through pyiqa: what is passed on, and what is said when it or its weights are absent."""

import importlib.util
import math
import sys
import types

import numpy as np
import pytest

from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.metrics import evaluate, learned, why_not_computed


class _NoGrad:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None


@pytest.fixture
def packages(monkeypatch):
    """Stand-ins for torch and pyiqa: their metric is the mean of what it is given."""
    torch = types.ModuleType("torch")
    torch.device, torch.no_grad, torch.from_numpy = str, _NoGrad, lambda array: array
    pyiqa = types.ModuleType("pyiqa")
    pyiqa.seen = []

    def create_metric(name, device):
        if name == "musiq":
            raise OSError("no route to the weights")

        def metric(array):
            pyiqa.seen.append((name, array.shape, array.dtype))
            return array.mean()

        return metric

    pyiqa.create_metric = create_metric
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "pyiqa", pyiqa)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    learned._load.cache_clear()
    yield pyiqa
    learned._load.cache_clear()


def test_images_reach_pyiqa_as_rgb_in_the_unit_range(packages):
    fused = np.full((40, 50), 51, np.uint8)
    assert evaluate(fused, fused, fused, names=["clip_iqa"])["clip_iqa"] == pytest.approx(0.2)
    assert packages.seen == [("clipiqa", (1, 3, 40, 50), np.float32)]


def test_absent_weights_are_reported_and_give_no_number(packages):
    image = np.zeros((40, 50), np.uint8)
    with pytest.raises(InputError, match="no route to the weights"):
        learned.load_learned("musiq")
    assert "no route" in why_not_computed(["musiq"], (40, 50))["musiq"]
    assert math.isnan(evaluate(image, image, image, names=["musiq"])["musiq"])


def test_the_extra_is_named_when_pyiqa_is_absent(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"iassf_jax\[iqa\]"):
        learned.load_learned("liqe")
    assert "iqa" in why_not_computed(["q_pi"], (480, 640))["q_pi"]
