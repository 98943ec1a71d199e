"""Where the pixels of a crop lie in the picture that it was cut from."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from data_pipelines.haze.draws import uniforms
from iassf_jax.core.errors import InputError


class Frame(NamedTuple):
    """Pixel coordinates of every example within a picture of `size` (height, width)."""

    rows: Float[Array, "b h"]
    columns: Float[Array, "b w"]
    size: tuple[int, int]

    def shares(self) -> tuple[Float[Array, "b h"], Float[Array, "b w"]]:
        """Return the pixels' centres as shares of the picture's height and width."""
        return (self.rows + 0.5) / self.size[0], (self.columns + 0.5) / self.size[1]


def place(keys: Key[Array, " b"], shown: tuple[int, int], *, size: tuple[int, int] | None) -> Frame:
    """Put images of `shown` (height, width) at random into a picture of `size`; None: they are the picture.

    Raises:
      InputError: the picture is smaller than the images.
    """
    full = shown if size is None else size
    if full[0] < shown[0] or full[1] < shown[1]:
        raise InputError(
            f"a haze frame of {full[0]}x{full[1]} pixels is smaller than the images of {shown[0]}x{shown[1]}"
        )
    numbers = uniforms(keys, ("top", "left")).values()
    axes = []
    for number, n, whole in zip(numbers, shown, full, strict=True):
        first = jnp.floor(number * (whole - n + 1))
        axes.append(first[:, None] + jnp.arange(n, dtype=jnp.float32)[None, :])
    return Frame(axes[0], axes[1], full)
