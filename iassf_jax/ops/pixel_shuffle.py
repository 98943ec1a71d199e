"""Exchange of channels for resolution, in the channel order of PyTorch."""

from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_at_least, check_images


def pixel_shuffle(x: Float[Array, "b h w k"], factor: int) -> Float[Array, "b H W c"]:
    """Spread groups of `factor`^2 channels over squares of `factor` x `factor` pixels.

    Input channel (c * factor + i) * factor + j becomes channel c at row offset i and column offset j.

    Raises:
        InputError: the number of channels is not divisible by `factor`^2.
    """
    check_images(x=x)
    check_at_least(1, factor=factor)
    b, h, w, channels = x.shape
    if channels % factor**2:
        raise InputError(f"{channels} channels cannot be spread over {factor}x{factor} pixels: not divisible")
    x = x.reshape(b, h, w, channels // factor**2, factor, factor)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(b, h * factor, w * factor, channels // factor**2)


def pixel_unshuffle(x: Float[Array, "b H W c"], factor: int) -> Float[Array, "b h w k"]:
    """Gather squares of `factor` x `factor` pixels into channels: the inverse of `pixel_shuffle`.

    Raises:
        InputError: a side is not divisible by `factor`.
    """
    check_images(x=x)
    check_at_least(1, factor=factor)
    b, h, w, c = x.shape
    if h % factor or w % factor:
        raise InputError(f"images of {h}x{w} pixels do not divide into squares of {factor}x{factor}")
    x = x.reshape(b, h // factor, factor, w // factor, factor, c)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // factor, w // factor, c * factor**2)
