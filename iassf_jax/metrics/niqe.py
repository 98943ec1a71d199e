"""NIQE (Mittal, Soundararajan and Bovik 2013): distance of an image's statistics from those of clean images.

Written for float32: where a window is flat the normalised image is exactly 0, which belongs to neither side
of a distribution (rounding noise there is what makes implementations differ), and the distance is computed in
coordinates in which the clean model's covariance is the identity, so no badly conditioned matrix is left.
"""

from jax import lax
from jax import numpy as jnp
from jax import scipy as jsp
from jaxtyping import Array, Bool, Float

from iassf_jax.metrics.aggd import fit_aggd
from iassf_jax.metrics.canvas import Size, padded, padded_along, size_within
from iassf_jax.metrics.niqe_model import BLOCK, NiqeModel, live_model
from iassf_jax.metrics.windows import gaussian, window_moments

_WINDOW = gaussian(7, 7 / 6)
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows, columns
_HALF_TAPS = 8


def naturalness(
    levels: Float[Array, "b h w"], *, model: NiqeModel | None = None, within: Size | None = None
) -> Float[Array, " b"]:
    """Q_NIQE: >= 0, lower is more natural; needs at least two blocks of 96x96 pixels.

    The image is cropped at the bottom and the right to whole blocks. Not a loss: the shape parameters come
    from a search on a grid.

    Args:
      levels: grey levels, or Y.
      model: statistics of clean images; the LIVE release's by default.
    """
    model = live_model() if model is None else model
    whitening = jnp.asarray(model.whitening.T, levels.dtype)
    offsets = block_features(levels, within=within) - jnp.asarray(model.mean, levels.dtype)[None, None]
    known = ~jnp.isnan(offsets) & _blocks_inside(levels, size_within(levels, within))[None, :, None]
    # As MATLAB's nanmean and nancov: the mean over what there is, the covariance over complete blocks.
    mean = jnp.where(known, offsets, 0.0).sum(1) / known.astype(levels.dtype).sum(1)
    complete = known.all(2, keepdims=True)
    covariance = _covariance(jnp.where(complete, offsets, 0.0) @ whitening, complete.astype(levels.dtype))
    return _distance(mean @ whitening, covariance)


def block_features(levels: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, "b n 36"]:
    """Return 18 features at full and 18 at half size for each block of 96x96 pixels, row by row.

    On a canvas there is a row for each of its blocks, with numbers of no meaning outside the image.
    """
    size = size_within(levels, within).whole(BLOCK)
    rows, columns = levels.shape[1] // BLOCK, levels.shape[2] // BLOCK
    levels = levels[:, : rows * BLOCK, : columns * BLOCK]
    normalised, _ = normalise(levels, size)
    half, _ = normalise(halve(levels, size), size.halved())
    return jnp.concatenate(
        [_scale_features(_blocks(normalised, BLOCK)), _scale_features(_blocks(half, BLOCK // 2))], axis=-1
    )


def block_sharpness(levels: Float[Array, "b h w"]) -> Float[Array, "b n"]:
    """Return the mean local deviation of each block, by which a fit selects blocks."""
    rows, columns = levels.shape[1] // BLOCK, levels.shape[2] // BLOCK
    levels = levels[:, : rows * BLOCK, : columns * BLOCK]
    _, deviation = normalise(levels, size_within(levels, None))
    return _blocks(deviation, BLOCK).mean((2, 3))


def normalise(
    levels: Float[Array, "b h w"], size: Size
) -> tuple[Float[Array, "b h w"], Float[Array, "b h w"]]:
    """Return (x - mean) / (deviation + 1) and the deviation, of 7x7 Gaussian windows, edges repeated."""
    reach = len(_WINDOW) // 2
    border = padded(levels, reach, "edge", size)
    _, (variance,) = window_moments((border,), ((0, 0),), _WINDOW)
    deviation = jnp.sqrt(variance)
    return -_mean_minus_middle(border) / (deviation + 1.0), deviation


def halve(levels: Float[Array, "b h w"], size: Size) -> Float[Array, "b H W"]:
    """MATLAB's `imresize(x, 0.5)` for even sizes: bicubic (a = -0.5) with antialiasing, mirrored borders."""
    for axis in (1, 2):
        border = jnp.moveaxis(padded_along(levels, axis, 3, "symmetric", size), axis, -1)
        count = levels.shape[axis] // 2
        taps = [border[..., k : k + 2 * count - 1 : 2] for k in range(_HALF_TAPS)]
        # As differences from one of the pixels, so that a flat area stays exactly flat.
        resized = taps[3] + sum(
            weight * (tap - taps[3]) for weight, tap in zip(_half_weights(), taps, strict=True)
        )
        levels = jnp.moveaxis(resized, -1, axis)
    return levels


def _half_weights() -> list[float]:
    distances = [abs(k - 3.5) / 2 for k in range(_HALF_TAPS)]
    weights = [
        1.5 * d**3 - 2.5 * d**2 + 1 if d <= 1 else -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 for d in distances
    ]
    return [weight / sum(weights) for weight in weights]


def _mean_minus_middle(padded: Float[Array, "b H W"]) -> Float[Array, "b h w"]:
    """Window mean minus middle pixel, from differences only: exactly 0 in flat windows."""
    reach = len(_WINDOW) // 2
    height, width = padded.shape[1] - 2 * reach, padded.shape[2] - 2 * reach
    middle = padded[:, :, reach : reach + width]
    along_row = jnp.zeros_like(middle)
    for i, weight in enumerate(_WINDOW):
        along_row = along_row + weight * (padded[:, :, i : i + width] - middle)
    centre, inner = middle[:, reach : reach + height], along_row[:, reach : reach + height]
    total = inner
    for i, weight in enumerate(_WINDOW):
        rows = slice(i, i + height)
        total = total + weight * ((middle[:, rows] - centre) + (along_row[:, rows] - inner))
    return total


def _blocks_inside(levels: Float[Array, "b h w"], size: Size) -> Bool[Array, " n"]:
    down, across = (
        jnp.arange(n // BLOCK) < length // BLOCK for n, length in zip(levels.shape[1:], size, strict=True)
    )
    return (down[:, None] & across[None]).ravel()


def _blocks(x: Float[Array, "b h w"], size: int) -> Float[Array, "b n size size"]:
    batch, rows, columns = x.shape[0], x.shape[1] // size, x.shape[2] // size
    x = x.reshape(batch, rows, size, columns, size).transpose(0, 1, 3, 2, 4)
    return x.reshape(batch, rows * columns, size, size)


def _scale_features(blocks: Float[Array, "b n s s"]) -> Float[Array, "b n 18"]:
    products = [blocks * jnp.roll(blocks, shift, axis=(2, 3)) for shift in _SHIFTS]
    # A loop over the five fits, because its body is compiled once.
    fits = lax.map(fit_aggd, jnp.stack([blocks, *products]))
    features = [fits.alpha[0], (fits.left[0] + fits.right[0]) / 2.0]
    for k in range(1, len(_SHIFTS) + 1):
        features += [fits.alpha[k], fits.mean[k], fits.left[k], fits.right[k]]
    return jnp.stack(features, axis=-1)


def _covariance(rows: Float[Array, "b n d"], weights: Float[Array, "b n 1"]) -> Float[Array, "b d d"]:
    """Covariance of the rows with weight 1 (those with weight 0 hold zeros); NaN for fewer than two."""
    count = weights.sum(1, keepdims=True)
    centred = (rows - rows.sum(1, keepdims=True) / count) * weights
    return jnp.where(count > 1, jnp.einsum("bni,bnj->bij", centred, centred) / (count - 1.0), jnp.nan)


def _distance(mean: Float[Array, "b d"], covariance: Float[Array, "b d d"]) -> Float[Array, " b"]:
    """Root of mean' ((I + covariance) / 2)^-1 mean: the clean model's covariance is I here."""
    identity = jnp.eye(mean.shape[-1], dtype=mean.dtype)[None]
    factor = jnp.linalg.cholesky(0.5 * (identity + covariance))
    solved = jsp.linalg.solve_triangular(factor, mean[..., None], lower=True)
    return jnp.sqrt(jnp.square(solved[..., 0]).sum(1))
