"""Feature mutual information against a reading of its definition one window at a time."""

import math

import jax
import numpy as np
import pytest
import scipy.fft
import scipy.ndimage

from iassf_jax.metrics.feature_information import (
    dct_information,
    gradient_information,
    pixel_information,
)
from iassf_jax.metrics.similarity import structural_similarity_unit_range

SIZE = (11, 13)


def _plain(sources, fused):
    """Cumulative distributions and differences of their bounds, as the paper writes them."""
    rows, columns = fused.shape
    values = []
    for y in range(rows - 2):
        for x in range(columns - 2):
            window = (slice(y, y + 3), slice(x, x + 3))
            feature = fused[window].T.ravel()
            values.append(np.mean([_share(source[window].T.ravel(), feature) for source in sources]))
    return np.mean(values)


def _share(a, f):
    if (a == f).all():
        return 1.0
    pdfs = []
    for x in (a, f):
        flat = x.max() == x.min()
        x = np.ones(9) if flat else (x - x.min()) / (x.max() - x.min())
        pdfs.append(x / x.sum())
    a, f = pdfs
    c = 0.0 if np.ptp(a) == 0 or np.ptp(f) == 0 else np.corrcoef(a, f)[0, 1]
    i = np.arange(1, 10)
    spreads = [math.sqrt(max((i**2 * p).sum() - (i * p).sum() ** 2, 0.0)) for p in (a, f)]
    cdf_a, cdf_f = np.cumsum(a)[None, :], np.cumsum(f)[:, None]
    bound = np.minimum(cdf_f, cdf_a) if c >= 0 else np.maximum(cdf_f + cdf_a - 1, 0)
    weight = 0.0
    if c != 0 and min(spreads) > 1e-7:
        weight = c / ((bound - cdf_f * cdf_a).sum() / (spreads[0] * spreads[1]))
    mass = np.diff(np.diff(np.pad(bound, ((1, 0), (1, 0))), axis=0), axis=1)
    joint = (weight * mass + (1 - weight) * f[:, None] * a[None, :]).ravel()
    entropies = [-(p[p != 0] * np.log2(np.abs(p[p != 0]))).sum() for p in (a, f, joint)]
    both = entropies[0] + entropies[1]
    return 2 * (both - entropies[2]) / both if both > 0 else 0.0


def _images(seed):
    rng = np.random.default_rng(seed)
    infrared, visible, noise = rng.integers(0, 256, (3, *SIZE)).astype(np.float64)
    fused = np.round(0.5 * infrared + 0.4 * visible + 0.1 * noise)
    visible[:4, :5] = 9.0  # a flat part
    fused[6:, 6:] = infrared[6:, 6:]  # a copied part
    infrared[:3, 8:11] = fused[:3, 8:11] = 0.0
    infrared[1, 9], fused[2, 9] = 200.0, 100.0  # windows of one bright pixel
    return infrared, visible, fused


def _dct(x):
    return scipy.fft.dctn(x, norm="ortho")


FEATURES = {
    "pixel": (pixel_information, lambda x: x, 1e-5),
    "gradient": (gradient_information, lambda x: np.gradient(x, axis=1), 1e-5),
    "dct": (dct_information, _dct, 1e-4),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_agrees_with_the_definition(feature):
    function, transform, tolerance = FEATURES[feature]
    images = [_images(seed) for seed in range(3)]
    batch = (np.stack(x).astype(np.float32) for x in zip(*images, strict=True))
    expected = [_plain([transform(a), transform(b)], transform(f)) for a, b, f in images]
    assert np.asarray(jax.jit(function)(*batch)) == pytest.approx(expected, rel=tolerance)


def test_bounds():
    images = [x[None].astype(np.float32) for x in _images(5)]
    program = jax.jit(pixel_information)
    assert program(images[2], images[2], images[2])[0] == 1
    flat = np.full_like(images[0], 7)
    assert program(images[0], images[1], flat)[0] == pytest.approx(0, abs=1e-5)
    negative = program(255 - images[2], 255 - images[2], images[2])[0]
    assert 0 < negative < 1  # a negative is related, but no copy


def test_ssim_with_the_constants_of_the_unit_range():
    images = _images(7)
    expected = []
    for source in images[:2]:
        fused = images[2]

        def mean(x):
            return scipy.ndimage.gaussian_filter(x, 1.5, mode="nearest", radius=5)

        ma, mf = mean(source), mean(fused)
        va, vf, c = mean(source**2) - ma**2, mean(fused**2) - mf**2, mean(source * fused) - ma * mf
        light = (2 * ma * mf + 1e-4) / (ma**2 + mf**2 + 1e-4)
        expected.append((light * (2 * c + 9e-4) / (va + vf + 9e-4)).mean())
    batch = (x[None].astype(np.float32) for x in images)
    found = jax.jit(structural_similarity_unit_range)(*batch)[0]
    assert found == pytest.approx(np.mean(expected), rel=1e-5)
