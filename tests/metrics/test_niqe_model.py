"""The model of clean images: shipped, fitted, saved, refused."""

import numpy as np
import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.niqe_model import fit_model, live_model, load_model, save_model


def test_the_shipped_model_is_whitened_and_has_its_notice():
    model = live_model()
    identity = model.whitening @ model.covariance @ model.whitening.T
    np.testing.assert_allclose(identity, np.eye(36), atol=1e-8)
    from iassf_jax import metrics

    notice = (metrics.niqe_model._LIVE_FILE.parent / "NIQE_LIVE_NOTICE.txt").read_text()
    assert "Copyright (c) 2011 The University of Texas at Austin" in notice


def test_a_fit_is_the_mean_and_covariance_of_complete_blocks(tmp_path, rng):
    features = rng.normal(size=(60, 36))
    with_gaps = np.concatenate([features, np.full((3, 36), np.nan)])
    model = fit_model(with_gaps)
    np.testing.assert_allclose(model.mean, features.mean(axis=0))
    np.testing.assert_allclose(model.covariance, np.cov(features, rowvar=False))
    save_model(tmp_path / "model.npz", model)
    again = load_model(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.mean, model.mean)
    np.testing.assert_array_equal(again.covariance, model.covariance)


def test_too_few_blocks_and_other_files_are_refused(tmp_path, rng):
    with pytest.raises(InputError, match="36 usable blocks"):
        fit_model(rng.normal(size=(36, 36)))
    with pytest.raises(InputError, match="no.npz"):
        load_model(tmp_path / "no.npz")
    np.savez(tmp_path / "other.npz", mean=np.zeros(3), covariance=np.eye(3))
    with pytest.raises(InputError, match="other.npz.*36"):
        load_model(tmp_path / "other.npz")
