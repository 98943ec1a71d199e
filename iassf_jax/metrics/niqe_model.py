"""The statistics of clean images that NIQE compares with: the LIVE release's, or a fit to any images."""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float

from iassf_jax.core.errors import InputError

BLOCK = 96  # pixels on a side
NUM_FEATURES = 36
SHARPNESS_SHARE = 0.75  # of the sharpest block of an image, which a block must exceed to enter a fit
_LARGEST_CONDITION = 1e12
_LIVE_FILE = Path(__file__).parent / "niqe_live.npz"


@dataclasses.dataclass(frozen=True, eq=False)
class NiqeModel:
    """Mean [36] and covariance [36,36] of the block features of clean images, float64.

    Raises:
      InputError: wrong shapes, or a covariance that is not positive definite.
    """

    mean: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]

    def __post_init__(self):
        shapes = (np.shape(self.mean), np.shape(self.covariance))
        if shapes != ((NUM_FEATURES,), (NUM_FEATURES, NUM_FEATURES)):
            raise InputError(f"a NIQE model has a mean [36] and a covariance [36,36], got {shapes}")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise InputError("the NIQE model has values that are not finite")
        if (
            np.linalg.cond(self.covariance) > _LARGEST_CONDITION
            or np.linalg.eigvalsh(self.covariance)[0] <= 0
        ):
            raise InputError("the NIQE model's covariance is not positive definite: fit it to more images")

    @functools.cached_property
    def whitening(self) -> Float[np.ndarray, "d d"]:
        """Matrix W with W covariance W' = I."""
        return np.linalg.inv(np.linalg.cholesky(self.covariance))


@functools.cache
def live_model() -> NiqeModel:
    """Return the pristine model of the LIVE release 1.0; terms and citation in NIQE_LIVE_NOTICE.txt."""
    return load_model(_LIVE_FILE)


def load_model(path: str | Path) -> NiqeModel:
    """Read a model that `save_model` wrote.

    Raises:
      InputError: the file is missing, damaged or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return NiqeModel(*(arrays[name].astype(np.float64) for name in ("mean", "covariance")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        reason = f"expected an .npz file with the arrays mean and covariance ({error})"
        raise InputError(f"{path}: {reason}") from error


def save_model(path: str | Path, model: NiqeModel) -> None:
    """Write a model as .npz with the arrays mean [36] and covariance [36,36]."""
    np.savez_compressed(path, mean=model.mean, covariance=model.covariance)


def fit_model(features: Float[np.ndarray, "n d"]) -> NiqeModel:
    """Fit the model to the features of sharp blocks of clean images; blocks with NaN are left out.

    Raises:
      InputError: too few blocks for a covariance of full rank.
    """
    features = features.astype(np.float64)
    complete = features[~np.isnan(features).any(axis=1)]
    if len(complete) <= NUM_FEATURES:
        raise InputError(
            f"{len(complete)} usable blocks of {BLOCK}x{BLOCK} pixels, but a model needs more than "
            f"{NUM_FEATURES}: give more or larger images"
        )
    return NiqeModel(complete.mean(axis=0), np.cov(complete, rowvar=False))
