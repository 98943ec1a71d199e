"""Records of per-image values merge to the mean over images, whatever the batches were."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.metrics import MeanRecord


@settings(max_examples=20, deadline=None)
@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12),
    batch=st.integers(1, 5),
)
def test_padded_batches_merge_to_the_mean_over_images(values, batch):
    record = MeanRecord.empty()
    for start in range(0, len(values), batch):
        chunk = values[start : start + batch]
        padding = batch - len(chunk)
        record = record.merge(
            MeanRecord.from_values(
                jnp.asarray(chunk + [999.0] * padding, jnp.float32),
                jnp.asarray([1.0] * len(chunk) + [0.0] * padding, jnp.float32),
            )
        )
    assert float(record.count) == len(values)
    np.testing.assert_allclose(record.result(), np.mean(values), rtol=1e-5, atol=1e-4)


def test_without_a_mask_every_image_counts():
    record = MeanRecord.from_values(jnp.asarray([1.0, 2.0, 6.0]))
    assert float(record.result()) == 3.0
    assert float(record.count) == 3.0


@pytest.mark.parametrize("padding", [jnp.nan, jnp.inf])
def test_the_value_of_a_padded_image_is_ignored_even_if_not_finite(padding):
    record = MeanRecord.from_values(jnp.asarray([4.0, padding]), jnp.asarray([1.0, 0.0]))
    assert float(record.result()) == 4.0


def test_a_counted_nan_is_not_hidden():
    assert np.isnan(MeanRecord.from_values(jnp.asarray([4.0, jnp.nan])).result())


def test_the_mean_of_no_image_is_nan():
    assert np.isnan(MeanRecord.empty().result())
    assert np.isnan(MeanRecord.from_values(jnp.ones(2), jnp.zeros(2)).result())


def test_records_pass_through_jit_and_scan():
    values = jnp.arange(12.0).reshape(4, 3)

    @jax.jit
    def mean(values):
        def step(record, row):
            return record.merge(MeanRecord.from_values(row)), None

        return jax.lax.scan(step, MeanRecord.empty(), values)[0]

    assert float(mean(values).result()) == pytest.approx(5.5)
