"""Ma's metric: three regression forests on the features and a linear combination, from a file of the user's.

The authors' forests cannot be shipped. `load_ma_model` reads their MATLAB file `model.mat`, or an .npz file:

- `linear` [4]: weights of 1 and of the three forests' predictions;
- for each of the prefixes dct (18 features), wavelet (45) and singular (75), arrays [tree, node] whose node 0
  is the root: `dct_feature` (number of the feature, from 0) and `dct_threshold`; `dct_left` and `dct_right`,
  the node to go on with if the feature is at most the threshold or above it, -1 in a leaf; `dct_value`, the
  prediction of a leaf.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.ma_features import MaFeatures, ma_features

_LENGTHS = {"dct": 18, "wavelet": 45, "singular": 75}
_ARRAYS = ("feature", "threshold", "left", "right", "value")
_MATLAB_NAMES = ("mbest", "upper", "lDau", "rDau", "avnode")  # of the same arrays, [node, tree], from 1


@dataclasses.dataclass(frozen=True, eq=False)
class Forest:
    """Regression trees of equal weight, arrays [tree, node] as the module's text says.

    Raises:
      InputError: arrays of different shapes, or a node whose successor or feature does not exist.
    """

    feature: Int[np.ndarray, "_ _"]
    threshold: Float[np.ndarray, "_ _"]
    left: Int[np.ndarray, "_ _"]
    right: Int[np.ndarray, "_ _"]
    value: Float[np.ndarray, "_ _"]
    num_features: int

    def __post_init__(self):
        shapes = {name: np.shape(getattr(self, name)) for name in _ARRAYS}
        if len(set(shapes.values())) > 1 or len(shapes["left"]) != 2 or 0 in shapes["left"]:
            raise InputError(f"a forest's arrays must all have one shape [tree, node], got {shapes}")
        inner = self.left >= 0
        nodes = np.arange(self.left.shape[1])[None]
        later = (self.left > nodes) & (self.right > nodes)
        inside = np.maximum(self.left, self.right) < self.left.shape[1]
        if ((self.right >= 0) != inner).any() or (inner & ~(later & inside)).any():
            raise InputError("a forest's nodes must point to two later nodes of the same tree, or be leaves")
        if (inner & ((self.feature < 0) | (self.feature >= self.num_features))).any():
            raise InputError(f"a forest's feature numbers must be in 0..{self.num_features - 1}")

    def predict(self, features: Float[np.ndarray, " d"]) -> float:
        """Return the mean of the trees' predictions."""
        trees = np.arange(len(self.left))
        nodes = np.zeros(len(trees), np.int64)
        while (inner := self.left[trees, nodes] >= 0).any():
            low = features[np.where(inner, self.feature[trees, nodes], 0)] <= self.threshold[trees, nodes]
            following = np.where(low, self.left[trees, nodes], self.right[trees, nodes])
            nodes = np.where(inner, following, nodes)
        return float(self.value[trees, nodes].mean())


@dataclasses.dataclass(frozen=True, eq=False)
class MaModel:
    """Forests on the DCT, wavelet and singular features, and the weights of 1 and of their predictions.

    Raises:
      InputError: other than four finite weights.
    """

    forests: tuple[Forest, ...]
    linear: Float[np.ndarray, " k"]

    def __post_init__(self):
        if self.linear.shape != (4,) or not np.isfinite(self.linear).all():
            raise InputError(f"Ma's model combines 4 finite weights, got {np.asarray(self.linear).tolist()}")

    def score(self, levels: Float[np.ndarray, "h w"]) -> float:
        """Return Ma's score of an image, about 0..10, higher is better; `levels` as in `ma_features`."""
        return self.combine(ma_features(levels))

    def combine(self, features: MaFeatures) -> float:
        """Return the score for these features."""
        predictions = [forest.predict(part) for forest, part in zip(self.forests, features, strict=True)]
        return float(self.linear @ np.asarray([1.0, *predictions]))


def load_ma_model(path: str | Path) -> MaModel:
    """Read a model from .npz, or from the authors' model.mat.

    Raises:
      InputError: the file is missing, damaged or holds something else.
    """
    read = _read_mat if Path(path).suffix == ".mat" else _read_npz
    try:
        return read(Path(path))
    except Exception as error:  # archives and MATLAB files can be damaged in many ways
        raise InputError(
            f"{path}: expected the authors' model.mat or an .npz file with linear, "
            f"{', '.join(f'dct_{name}' for name in _ARRAYS)}, and those of wavelet and singular ({error})"
        ) from error


def _read_npz(path: Path) -> MaModel:
    with np.load(path, allow_pickle=False) as arrays:
        forests = tuple(
            _forest({name: arrays[f"{prefix}_{name}"] for name in _ARRAYS}, length)
            for prefix, length in _LENGTHS.items()
        )
        return MaModel(forests, arrays["linear"].astype(np.float64))


def _read_mat(path: Path) -> MaModel:
    # JAX brings SciPy along; nothing else here needs its reader.
    model = importlib.import_module("scipy.io").loadmat(path, simplify_cells=True)["model"]
    forests = tuple(
        _forest_of_matlab(trees, length) for trees, length in zip(model["rf"], _LENGTHS.values(), strict=True)
    )
    return MaModel(forests, np.ravel(model["linear"]).astype(np.float64))


def _forest_of_matlab(trees: Mapping[str, Any], num_features: int) -> Forest:
    """The structure of the randomforest-matlab package: [node, tree], numbers from 1, 0 for none."""
    if np.nan_to_num(np.asarray(trees.get("coef", 0.0), np.float64)).any():
        raise InputError("the forests have a correction of bias, which Ma's have not")
    arrays = {
        name: np.atleast_2d(np.asarray(trees[theirs]).T)
        for name, theirs in zip(_ARRAYS, _MATLAB_NAMES, strict=True)
    }
    for name in ("feature", "left", "right"):
        arrays[name] = arrays[name].astype(np.int64) - 1
    return _forest(arrays, num_features)


def _forest(arrays: Mapping[str, np.ndarray], num_features: int) -> Forest:
    kinds = {"threshold": np.float64, "value": np.float64}
    return Forest(
        **{name: np.asarray(array).astype(kinds.get(name, np.int64)) for name, array in arrays.items()},
        num_features=num_features,
    )
