"""The paper's metrics read plainly in NumPy and SciPy, float64: the rival in time and an independent check.

Each function follows its definition step by step, with SciPy's separable correlations for Gaussian windows
and `bincount` for histograms. Images are grey, uint8 [h, w].
"""

import math

import numpy as np
from scipy import ndimage
from scipy.special import gamma

from iassf_jax.metrics.niqe_model import live_model


def q_mi(infrared, visible, fused):
    return sum(_mutual_information(source, fused) for source in (infrared, visible))


def _mutual_information(x, y):
    joint = np.bincount((x.astype(np.int64) * 256 + y).ravel(), minlength=65536).reshape(256, 256) / x.size
    independent = joint.sum(1)[:, None] * joint.sum(0)[None]
    present = joint > 0
    return float((joint[present] * np.log(joint[present] / independent[present])).sum())


def q_abf(infrared, visible, fused):
    """Q_AB/F of Xydeas and Petrovic, one image, float64."""
    edges = [_sobel(image) for image in (infrared, visible, fused)]
    strengths = [np.hypot(gx, gy) for gx, gy in edges]
    squares = [gx**2 + gy**2 for gx, gy in edges]
    angles = [np.where(gx == 0, np.pi / 2, np.arctan(gy / np.where(gx == 0, 1, gx))) for gx, gy in edges]
    kept = 0.0
    for i in (0, 1):
        larger = np.maximum(strengths[i], strengths[2])
        ratio = np.minimum(strengths[i], strengths[2]) / np.where(larger == 0, 1, larger)
        ratio = np.where(squares[i] == squares[2], strengths[2], ratio)
        alignment = 1 - np.abs(angles[i] - angles[2]) / (np.pi / 2)
        quality = 0.9994 / (1 + np.exp(-15 * (ratio - 0.5))) * 0.9879 / (1 + np.exp(-22 * (alignment - 0.8)))
        kept += (quality * strengths[i]).sum()
    return float(kept / (strengths[0].sum() + strengths[1].sum()))


def _sobel(image):
    x = np.pad(image.astype(np.float64), 1)
    gx = (x[:-2, 2:] - x[:-2, :-2]) + 2 * (x[1:-1, 2:] - x[1:-1, :-2]) + (x[2:, 2:] - x[2:, :-2])
    gy = (x[:-2, :-2] - x[2:, :-2]) + 2 * (x[:-2, 1:-1] - x[2:, 1:-1]) + (x[:-2, 2:] - x[2:, 2:])
    return gx, gy


def q_cv(infrared, visible, fused):
    """Q_CV of Chen and Varshney, one image, float64."""
    images = [_stretch(image.astype(np.float64)) for image in (infrared, visible, fused)]
    height, width = fused.shape
    u = width / 8 * 2 * np.fft.fftfreq(width)
    v = height / 8 * 2 * np.fft.fftfreq(height)
    radius = np.hypot(u[None, :], v[:, None])
    theta = 2.6 * (0.0192 + 0.144 * radius) * np.exp(-((0.144 * radius) ** 1.1))
    total, weights = 0.0, 0.0
    for source in images[:2]:
        seen = np.fft.ifft2(np.fft.fft2(source - images[2]) * theta).real
        salience = _blocks(np.hypot(*_sobel(source)) ** 5).sum((1, 3))
        total += (salience * _blocks(seen**2).mean((1, 3))).sum()
        weights += salience.sum()
    return float(total / weights)


def _stretch(x):
    return np.floor(255 * (x - x.min()) / (x.max() - x.min()) + 0.5)


def _blocks(x):
    rows, columns = -(-x.shape[0] // 16), -(-x.shape[1] // 16)
    x = np.pad(x, ((0, 16 * rows - x.shape[0]), (0, 16 * columns - x.shape[1])))
    return x.reshape(rows, 16, columns, 16)


def q_scd(infrared, visible, fused):
    a, b, f = (image.astype(np.float64) for image in (infrared, visible, fused))
    return _correlation(f - b, a) + _correlation(f - a, b)


def _correlation(x, y):
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / math.sqrt((x**2).sum() * (y**2).sum()))


def q_vif(infrared, visible, fused):
    return (_vif(infrared, fused) + _vif(visible, fused)) / 2


def _vif(reference, distorted):
    r, d = reference.astype(np.float64), distorted.astype(np.float64)
    kept, present = 0.0, 0.0
    for scale in range(4):
        size = 2 ** (4 - scale) + 1
        if scale > 0:
            r, d = _gauss(r, size)[::2, ::2], _gauss(d, size)[::2, ::2]
        mean_r, mean_d = _gauss(r, size), _gauss(d, size)
        s1 = np.maximum(_gauss(r * r, size) - mean_r**2, 0)
        s2 = np.maximum(_gauss(d * d, size) - mean_d**2, 0)
        s12 = _gauss(r * d, size) - mean_r * mean_d
        g = s12 / (s1 + 1e-10)
        v = s2 - g * s12
        g[s1 < 1e-10], v[s1 < 1e-10] = 0, s2[s1 < 1e-10]
        s1[s1 < 1e-10] = 0
        g[s2 < 1e-10], v[s2 < 1e-10] = 0, 0
        v[g < 0], g[g < 0] = s2[g < 0], 0
        v[v <= 1e-10] = 1e-10
        kept += np.log(1 + g**2 * s1 / (v + 2)).sum()
        present += np.log(1 + s1 / 2).sum()
    return float(kept / present)


def _gauss(x, size):
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2 * (size / 5) ** 2))
    weights /= weights.sum()
    x = ndimage.correlate1d(ndimage.correlate1d(x, weights, axis=1), weights, axis=0)
    reach = size // 2
    return x[reach:-reach, reach:-reach]


_GRID = np.arange(200, 10001) / 1000
_RATIO = gamma(2 / _GRID) ** 2 / (gamma(1 / _GRID) * gamma(3 / _GRID))


def q_niqe(infrared, visible, fused):
    rows, columns = fused.shape[0] // 96, fused.shape[1] // 96
    image = fused[: 96 * rows, : 96 * columns].astype(np.float64)
    features = np.hstack([_niqe_features(image, 96), _niqe_features(_half(image), 48)])
    model = live_model()
    offset = model.mean - np.nanmean(features, axis=0)
    complete = features[~np.isnan(features).any(axis=1)]
    pooled = (model.covariance + np.cov(complete, rowvar=False)) / 2
    return float(np.sqrt(offset @ np.linalg.pinv(pooled) @ offset))


def _niqe_features(image, size):
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    weights /= weights.sum()

    def window(x):
        return ndimage.correlate1d(
            ndimage.correlate1d(x, weights, axis=1, mode="nearest"), weights, axis=0, mode="nearest"
        )

    mean = window(image)
    z = (image - mean) / (np.sqrt(np.abs(window(image**2) - mean**2)) + 1)
    z[(ndimage.maximum_filter(image, 7) == ndimage.minimum_filter(image, 7))] = 0
    return np.array(
        [
            _block_features(z[y : y + size, x : x + size])
            for y in range(0, image.shape[0], size)
            for x in range(0, image.shape[1], size)
        ]
    )


def _block_features(block):
    alpha, left, right = _aggd(block)
    features = [alpha, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        alpha, left, right = _aggd(block * np.roll(block, shift, axis=(0, 1)))
        features += [alpha, (right - left) * gamma(2 / alpha) / gamma(1 / alpha), left, right]
    return features


def _aggd(x):
    with np.errstate(invalid="ignore", divide="ignore"):
        below, above = x[x < 0], x[x > 0]
        left = math.sqrt((below**2).mean()) if below.size else math.nan
        right = math.sqrt((above**2).mean()) if above.size else math.nan
        balance = np.float64(left) / right
        ratio = np.abs(x).mean() ** 2 / np.float64((x**2).mean())
        ratio *= (balance**3 + 1) * (balance + 1) / (balance**2 + 1) ** 2
    alpha = _GRID[0] if np.isnan(ratio) else _GRID[np.argmin((_RATIO - ratio) ** 2)]
    scale = math.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * scale, right * scale


def _half(x):
    distance = np.abs(np.arange(8) - 3.5) / 2
    near, far = (
        1.5 * distance**3 - 2.5 * distance**2 + 1,
        -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2,
    )
    weights = np.where(distance <= 1, near, far)
    weights /= weights.sum()
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (3, 4)
        padded = np.pad(x, padding, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 8, axis=axis)
        windows = windows[::2] if axis == 0 else windows[:, ::2]
        x = windows @ weights
    return x


def q_sf(infrared, visible, fused):
    f = fused.astype(np.float64)
    return float(np.sqrt((np.diff(f, axis=1) ** 2).mean() + (np.diff(f, axis=0) ** 2).mean()))


METRICS = {
    "q_mi": q_mi,
    "q_abf": q_abf,
    "q_cv": q_cv,
    "q_scd": q_scd,
    "q_vif": q_vif,
    "q_niqe": q_niqe,
    "q_sf": q_sf,
}
