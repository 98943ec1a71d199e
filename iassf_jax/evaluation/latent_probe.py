"""How much of an image's degradation is left in a latent space: probes and projections, on the host.

A probe that tells the degradations apart no better than chance says that the latents have forgotten them
(LURE, section "unified feature space").
"""

import importlib.util
from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float, Float64, Int

from iassf_jax.core.errors import InputError, MissingDependencyError

Features = Float[np.ndarray, "n d"]
Labels = Int[np.ndarray, " n"]
Points = Float64[np.ndarray, "n 2"]

_RIDGE = 1.0  # added to the features' covariance sums, in variances of a single feature
_FOLDS = 5
_TSNE_PERPLEXITY = 20.0


def linear_probe(features: Features, labels: Labels, scenes: Labels, *, folds: int = _FOLDS) -> float:
    """Return the share of vectors whose label a linear classifier finds, over held-out scenes.

    Least squares with a ridge on standardised features, one output for each label; the largest wins. All
    vectors of a scene are held out together: otherwise the probe would recognise scenes.

    Args:
      features: a vector for each image.
      labels: what to tell, 0 up to the number of labels.
      scenes: what images belong together, 0 up to the number of scenes.
      folds: parts of the scenes, of which each is held out once.

    Raises:
      InputError: arrays of different length, a single label, or fewer scenes than folds.
    """
    _check(features, labels, scenes, folds)
    targets = np.eye(labels.max() + 1)[labels]
    found = np.zeros(len(labels), np.int64)
    for fold in range(folds):
        held_out = scenes % folds == fold
        kept = _standardised(features, features[~held_out])
        weights = _ridge(kept[~held_out], targets[~held_out])
        found[held_out] = np.argmax(_with_constant(kept[held_out]) @ weights, axis=1)
    return float((found == labels).mean())


def nearest_neighbour_probe(features: Features, labels: Labels, scenes: Labels) -> float:
    """Return the share of vectors whose nearest one of another scene has the same label.

    Raises:
      InputError: arrays of different length, a single label, or a single scene.
    """
    _check(features, labels, scenes, 2)
    x = _standardised(features, features)
    distance = np.square(x[:, None, :] - x[None, :, :]).sum(axis=-1)
    distance[scenes[:, None] == scenes[None, :]] = np.inf
    return float((labels[np.argmin(distance, axis=1)] == labels).mean())


def principal_components(features: Features) -> Points:
    """Return the two coordinates along which the standardised features vary most.

    Raises:
      InputError: fewer than three vectors, or of less than two numbers.
    """
    _check_points(features)
    centred = _standardised(features, features)
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    points = left[:, :2] * scales[:2]
    # A component's sign means nothing; this makes the picture the same on every machine.
    return points * np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)


def check_t_sne() -> None:
    """Refuse to go on without scikit-learn.

    Raises:
      MissingDependencyError: it is not installed.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingDependencyError(
            "t-SNE needs scikit-learn: pip install scikit-learn, or take the projection pca"
        )


def t_sne(features: Features, *, seed: int = 0) -> Points:
    """Return the map of scikit-learn's t-SNE, which keeps neighbours together and no distances.

    Raises:
      InputError: as `principal_components`.
      MissingDependencyError: scikit-learn is not installed.
    """
    check_t_sne()
    _check_points(features)
    from sklearn.manifold import TSNE

    perplexity = min(_TSNE_PERPLEXITY, (len(features) - 1) / 3)
    made = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(
        _standardised(features, features)
    )
    return made.astype(np.float64)


PROJECTIONS: Mapping[str, Callable[[Features], Points]] = {"pca": principal_components, "tsne": t_sne}


def _standardised(features: Features, of: Float[np.ndarray, "m d"]) -> Float64[np.ndarray, "n d"]:
    """Return features in deviations from the means of `of`; constant ones become 0."""
    mean, deviation = of.mean(axis=0, dtype=np.float64), of.std(axis=0, dtype=np.float64)
    return (features - mean[None]) / np.where(deviation > 1e-12, deviation, np.inf)[None]


def _ridge(
    features: Float64[np.ndarray, "n d"], targets: Float64[np.ndarray, "n k"]
) -> Float64[np.ndarray, "d1 k"]:
    x = _with_constant(features)
    penalty = np.full(x.shape[1], _RIDGE)
    penalty[-1] = 0.0  # of the constant
    return np.linalg.solve(x.T @ x + np.diag(penalty), x.T @ targets)


def _with_constant(features: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n d1"]:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)


def _check(features: Features, labels: Labels, scenes: Labels, folds: int) -> None:
    if not len(features) == len(labels) == len(scenes):
        raise InputError(
            f"{len(features)} vectors, {len(labels)} labels and {len(scenes)} scenes: "
            "expected as many of each"
        )
    if len(set(labels.tolist())) < 2:
        raise InputError("a probe needs at least two labels to tell apart")
    count = len(set(scenes.tolist()))
    if count < folds:
        raise InputError(f"a probe with {folds} folds needs at least as many scenes, got {count}")


def _check_points(features: Features) -> None:
    if len(features) < 3 or features.shape[1] < 2:
        raise InputError(
            f"a projection needs at least three vectors of two numbers, got {len(features)} "
            f"of {features.shape[1]}"
        )
