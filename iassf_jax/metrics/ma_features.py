"""The 138 features of Ma's no-reference metric (Ma, Yang, Yang and Yang 2017), float64 on the host.

They follow the authors' program where the paper leaves details open, its peculiarities included: DCT and
singular values are those of levels / 255, wavelets those of the levels; the last orientation of the fine
scale has no parent.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

from iassf_jax.metrics.steerable import ORIENTATIONS, Pyramid, steerable_pyramid
from iassf_jax.metrics.windows import gaussian

SMALLEST_SIDE = 64  # pixels: something is left of the coarse bands without their borders
_BORDER = 16  # pixels of the fine scale in which the pyramid feels the image's edge
_SHAPES = np.arange(30, 10_001) / 1000.0
_C2 = (0.03 * 255.0) ** 2


class MaFeatures(NamedTuple):
    """One vector for each of the three forests."""

    dct: Float[np.ndarray, "18"]
    wavelet: Float[np.ndarray, "45"]
    singular: Float[np.ndarray, "75"]


def ma_features(levels: Float[np.ndarray, "h w"]) -> MaFeatures:
    """Return the features of an image; both sides of at least 64 pixels.

    Args:
      levels: Y of MATLAB's rgb2ycbcr, 16..235; within PI with 4 pixels shaved off every side.
    """
    octaves = [levels / 255.0]
    for _ in range(2):
        octaves.append(_halve(octaves[-1]))
    dct = np.concatenate([_dct_features(octave) for octave in octaves])
    singular = np.concatenate([_singular_values(octave) for octave in octaves])
    return MaFeatures(dct, _wavelet_features(steerable_pyramid(levels)), singular)


def _halve(image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "H W"]:
    """Every second pixel of the 3x3 Gaussian mean, sigma 0.5, zeros beyond the edge."""
    return _smooth(np.pad(image, 1), gaussian(3, 0.5))[1::2, 1::2]


def _dct_features(image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "6"]:
    """Local frequencies: mean and extreme tenth of three statistics of the DCT of overlapping 7x7 blocks."""
    height, width = image.shape
    padded = np.pad(image, ((2, 2 + -height % 3), (2, 2 + -width % 3)))
    blocks = sliding_window_view(padded, (7, 7))[::3, ::3].reshape(-1, 7, 7)
    spectra = _dct_matrix() @ blocks @ _dct_matrix().T
    all_but_mean = spectra.reshape(-1, 49)[:, 1:]
    shape = np.sort(_shape(all_but_mean))
    variation = np.sort(_variation(all_but_mean, 1e-7))
    sectors = [_variation(spectra[:, rows, columns], 1e-8) for rows, columns in _sectors()]
    orientation = np.sort(np.var(sectors, axis=0, ddof=1))
    tenth, last = math.ceil(0.1 * len(shape)), math.floor(0.9 * len(shape)) - 1
    return np.asarray(
        [
            shape[:tenth].mean(),
            shape.mean(),
            variation[last:].mean(),
            variation.mean(),
            orientation[last:].mean(),
            orientation.mean(),
        ]
    )


@functools.cache
def _dct_matrix() -> Float[np.ndarray, "7 7"]:
    rows, columns = np.mgrid[:7, :7]
    matrix = np.sqrt(2 / 7) * np.cos(np.pi * rows * (2 * columns + 1) / 14)
    matrix[0] /= np.sqrt(2)
    return matrix


@functools.cache
def _sectors() -> list[tuple[list[int], list[int]]]:
    """Coefficients near the horizontal axis, near the diagonal and near the vertical axis."""
    flat = [(0, range(1, 7)), (1, range(2, 7)), (2, range(4, 7)), (3, range(5, 7))]
    oblique = [(1, (1,)), (2, (2, 3)), (3, (2, 3, 4)), (4, range(3, 7)), (5, range(4, 7)), (6, range(4, 7))]
    horizontal, diagonal = ([(i, j) for i, columns in s for j in columns] for s in (flat, oblique))
    vertical = [(j, i) for i, j in horizontal]
    return [([i for i, _ in s], [j for _, j in s]) for s in (horizontal, diagonal, vertical)]


def _variation(samples: Float[np.ndarray, "n d"], epsilon: float) -> Float[np.ndarray, " n"]:
    """Deviation of the magnitudes over their mean."""
    magnitudes = np.abs(samples)
    return magnitudes.std(axis=1, ddof=1) / (magnitudes.mean(axis=1) + epsilon)


def _shape(samples: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Shape of the generalised Gaussian with the samples' ratio of variance to squared mean deviation."""
    centred = samples - samples.mean(axis=1, keepdims=True)
    ratio = samples.var(axis=1, ddof=1) / (np.abs(centred).mean(axis=1) ** 2 + 1e-7)
    table = _shape_ratios()[::-1]  # rising
    above = np.clip(np.searchsorted(table, ratio), 1, len(table) - 1)
    nearest = above - (ratio - table[above - 1] < table[above] - ratio)
    return _SHAPES[::-1][nearest]


@functools.cache
def _shape_ratios() -> Float[np.ndarray, " n"]:
    def log_gamma(scale: float) -> np.ndarray:
        return np.asarray([math.lgamma(scale / shape) for shape in _SHAPES.tolist()])

    return np.exp(log_gamma(1.0) + log_gamma(3.0) - 2.0 * log_gamma(2.0))


def _singular_values(image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "25"]:
    """Singular values of the matrix of all 5x5 blocks, zeros beyond the bottom and right edge."""
    padded = np.pad(image, ((0, -image.shape[0] % 5), (0, -image.shape[1] % 5)))
    rows, columns = padded.shape[0] // 5, padded.shape[1] // 5
    blocks = padded.reshape(rows, 5, columns, 5).transpose(0, 2, 1, 3).reshape(-1, 25)
    values = np.linalg.svd(blocks, compute_uv=False)
    return np.pad(values, (0, 25 - len(values)))


def _wavelet_features(pyramid: Pyramid) -> Float[np.ndarray, "45"]:
    """Global frequencies: shapes of normalised bands, and structure shared across scale and orientation."""
    fine, coarse = pyramid.bands
    normalised = [
        [_normalise(pyramid.bands, scale, k) for k in range(ORIENTATIONS)]
        for scale in range(len(pyramid.bands))
    ]
    samples = [band.reshape(1, -1) for bands in normalised for band in bands]
    both = [np.concatenate([samples[k], samples[k + ORIENTATIONS]], axis=1) for k in range(ORIENTATIONS)]
    shapes = [_shape(x)[0] for x in (*samples, *both)]
    highpass = pyramid.highpass
    across_scales = [_structure(_enlarge(band, highpass.shape), highpass) for band in (*fine, *coarse)]
    pairs = [(i, j) for i in range(ORIENTATIONS) for j in range(i + 1, ORIENTATIONS)]
    across_orientations = [_structure(normalised[0][i], normalised[0][j]) for i, j in pairs]
    return np.asarray([*shapes, *across_scales, *across_orientations])


def _normalise(
    bands: list[list[Float[np.ndarray, "_ _"]]], scale: int, orientation: int
) -> Float[np.ndarray, "_ _"]:
    """Divide a band by the local scale of a Gaussian scale mixture (Portilla et al. 2003), edges cut off.

    The vector at a pixel holds its 3x3 neighbours, its parent and the other orientations. 0 where all vanish.
    """
    band = bands[scale][orientation]
    windows = sliding_window_view(band, (3, 3))
    vectors = [windows.reshape(-1, 9)]
    if scale + 1 < len(bands) and orientation + 1 < ORIENTATIONS:
        parent = _enlarge(bands[scale + 1][orientation], band.shape)
        vectors.append(parent[1:-1, 1:-1].reshape(-1, 1))
    dimension = 8 + len(vectors)
    others = [bands[scale][k] for k in range(ORIENTATIONS) if k != orientation]
    joined = np.concatenate([*vectors, *(other[1:-1, 1:-1].reshape(-1, 1) for other in others)], axis=1)
    # Singular covariances are the rule: the six orientations of an image span fewer dimensions.
    inverse = np.linalg.pinv(_positive(joined.T @ joined / len(joined)))
    variance = ((joined @ inverse) * joined).sum(axis=1) / dimension
    spread = np.sqrt(np.maximum(variance, 0.0)).reshape(windows.shape[:2])
    inner = band[1:-1, 1:-1]
    ratio = np.divide(inner - inner.mean(), spread, out=np.zeros_like(inner), where=spread > 0)
    border = _BORDER >> scale
    ratio = ratio[border:-border, border:-border]
    return ratio - ratio.mean()


def _positive(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """The covariance without the negative eigenvalues that rounding makes, its trace kept."""
    values, vectors = np.linalg.eigh(covariance)
    kept = np.maximum(values, 0.0)
    total = kept.sum()
    return (vectors * (kept * (values.sum() / total if total else 1.0))) @ vectors.T


def _structure(first: Float[np.ndarray, "h w"], second: Float[np.ndarray, "h w"]) -> float:
    """Mean of SSIM's contrast and structure, Gaussian windows 11x11, for a range of 255."""
    weights = gaussian(11, 1.5)
    mean_first, mean_second = _smooth(first, weights), _smooth(second, weights)
    covariance = _smooth(first * second, weights) - mean_first * mean_second
    power = _smooth(first**2 + second**2, weights) - mean_first**2 - mean_second**2
    return float(((2.0 * covariance + _C2) / (power + _C2)).mean())


def _smooth(image: Float[np.ndarray, "H W"], weights: tuple[float, ...]) -> Float[np.ndarray, "h w"]:
    """Separable window over positions inside the image."""
    for axis in (0, 1):
        image = sliding_window_view(image, len(weights), axis=axis) @ np.asarray(weights)
    return image


def _enlarge(image: Float[np.ndarray, "h w"], shape: tuple[int, ...]) -> Float[np.ndarray, "H W"]:
    """MATLAB's `imresize` to a larger size: bicubic (a = -0.5), mirrored borders."""
    rows, columns = (_cubic_matrix(n, m) for n, m in zip(image.shape, shape, strict=True))
    return rows @ image @ columns.T


@functools.lru_cache(maxsize=16)
def _cubic_matrix(length: int, target: int) -> Float[np.ndarray, "target length"]:
    centres = (np.arange(target) + 0.5) * length / target - 0.5
    taps = np.floor(centres)[:, None] + np.arange(-1, 3)
    d = np.abs(centres[:, None] - taps)
    weights = np.where(d <= 1, 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2)
    mirrored = np.concatenate([np.arange(length), np.arange(length)[::-1]])[taps.astype(int) % (2 * length)]
    matrix = np.zeros((target, length))
    np.add.at(matrix, (np.arange(target)[:, None], mirrored), weights)
    return matrix
