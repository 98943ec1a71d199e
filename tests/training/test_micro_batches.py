"""A step deals its batch into equal micro-batches: as many as are asked for, or as cost no time."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.default import get_config
from iassf_jax.core.errors import ConfigError
from iassf_jax.training import run_training
from iassf_jax.training.micro_batches import micro_batches

on_cpus = pytest.mark.skipif(jax.default_backend() != "cpu", reason="accelerators take the batch whole")


def data(batch_size, crop=0, resize=None):
    return {"batch_size": batch_size, "crop": crop, "resize": resize}


@on_cpus
@given(share=st.integers(1, 32), devices=st.integers(1, 8), crop=st.integers(8, 512))
def test_a_cpu_takes_the_fewest_examples_that_keep_it_busy(share, devices, crop):
    parts = micro_batches(0, data(share * devices, crop), devices=devices)
    examples, rest = divmod(share, parts)
    assert rest == 0
    assert parts == 1 or examples * crop**2 >= 2**15
    fewer = [n for n in range(1, examples) if share % n == 0]
    assert all(n * crop**2 < 2**15 for n in fewer)


@on_cpus
@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (data(6, 256), 6),  # the full networks
        (data(4, 96), 1),  # configs/cpu_small.py
        (data(8, resize=(120, 160)), 4),  # configs/lite.py
        (data(8, 64, resize=(512, 512)), 1),  # the crop is taken from the resized image
        (data(3), 3),  # whole images
    ],
)
def test_the_choice_for_usual_batches(options, parts):
    assert micro_batches(0, options, devices=1) == parts


def test_an_accelerator_takes_the_batch_whole(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert micro_batches(0, data(6, 256), devices=2) == 1
    assert micro_batches(3, data(6, 256), devices=2) == 3


@pytest.mark.parametrize(("accumulate", "devices", "multiple"), [(0, 4, 4), (1, 4, 4), (4, 1, 4), (2, 4, 8)])
def test_unequal_parts_are_refused(accumulate, devices, multiple):
    with pytest.raises(ConfigError, match=f"batch_size is 6; expected a multiple of {multiple}"):
        micro_batches(accumulate, data(6, 256), devices=devices)


def test_the_default_chooses(make_config, silent, tmp_path):
    assert get_config().accumulate == 0
    with pytest.raises(ConfigError, match="accumulate is -1"):
        run_training(make_config("accumulate=-1"), tmp_path / "run", console=silent)
