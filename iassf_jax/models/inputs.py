"""What every network does with its fields and inputs: checks, and padding of an injected haze density."""

from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.ops.padding import reflect_pad

SMALLEST_SIDE = 16  # pixels; coarse levels are mostly border below this


def check_positive(network: nn.Module, *fields: str) -> None:
    """Check fields that count pixels, channels, heads or prompts.

    Raises:
      ConfigError: one of them, or a value of one of them, is below 1.
    """
    for field in fields:
        value = getattr(network, field)
        if min(value if isinstance(value, tuple | list) else (value,), default=1) < 1:
            raise ConfigError(f"{field} must be at least 1, not {value}")


def check_inputs(hazy: Array, infrared: Array, haze_density: Array | None = None) -> None:
    """Check the shapes that a network is called with.

    Raises:
      InputError: not [B,H,W,3] with H, W >= 16, an infrared image that is not [B,H,W,1] or [B,H,W,3] of the
        same size, or a density that is not [B,H,W].
    """
    if hazy.ndim != 4 or hazy.shape[-1] != 3:
        raise InputError(f"the visible image has shape {hazy.shape}; expected [B,H,W,3]")
    if min(hazy.shape[1:3]) < SMALLEST_SIDE:
        raise InputError(
            f"images of {hazy.shape[1]}x{hazy.shape[2]} pixels are too small: "
            f"sides of at least {SMALLEST_SIDE} are needed"
        )
    if infrared.shape[:-1] != hazy.shape[:-1] or infrared.shape[-1] not in (1, 3):
        raise InputError(
            f"infrared {infrared.shape} does not fit visible {hazy.shape}: [B,H,W,1] or [B,H,W,3] is needed"
        )
    if haze_density is not None and haze_density.shape != hazy.shape[:3]:
        raise InputError(
            f"haze_density {haze_density.shape} does not fit the image: expected {hazy.shape[:3]}"
        )


def pad_density(density: Float[Array, "b h w"], size: tuple[int, int]) -> Float[Array, "b H W"]:
    """Reflect a density at the bottom and right to `size`, as the images are padded."""
    h, w = density.shape[1:]
    return reflect_pad(density[..., None], ((0, size[0] - h), (0, size[1] - w)))[..., 0]
