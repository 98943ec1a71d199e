"""IASSF for laptops: the released dehaze network on a reduced image, carried to full size by the pixels.

Haze varies slowly and acts on every pixel as a gain and an offset, I = J t + A (1 - t). So the network
restores a reduced copy, the gains and offsets between that copy before and after are fitted in small windows
(the fast guided filter of He and Sun, 2015), and enlarged they restore the full image with all its detail.
What the fused image should be is known at full size, pixel by pixel: the larger of restored and infrared, at
which the loss aims. A fusion network on the reduced image only took it away from there, as
benchmarks/experiments.md shows, so there is none; five fields say what is added to the maximum, see
`detail_fusion.fuse`. Where the haze of the whole image follows a law of a few numbers, as that of the paper's
test set does, `haze_laws` puts the law's exact inverse in place of the windows' gains.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.detail_fusion import fuse
from iassf_jax.models.haze_laws import check_laws, explain
from iassf_jax.models.iassf_released import (
    DEHAZE_COUNTS,
    DehazeNetwork,
    Image,
    check_dtype,
    to_unit_range,
)
from iassf_jax.models.inputs import SMALLEST_SIDE, check_inputs, check_positive
from iassf_jax.models.layers.windowed_attention import WindowOptions
from iassf_jax.ops import box_mean, downscale_area, resize_bilinear, smooth_rounding

_ROUNDING_WINDOW = 7  # pixels
_MULTIPLE = 4  # of the reduced sides, so that the network pads nothing


class IassfLite(nn.Module):
    """The dehaze fields of `IassfReleased`, with small defaults, and what is done around that network."""

    embed_dims: tuple[int, ...] = (16, 24, 32, 24, 16)
    depths: tuple[int, ...] = (1, 2, 4, 2, 1)
    num_heads: tuple[int, ...] = (2, 2, 2, 1, 1)
    attn_ratios: tuple[float, ...] = (0.0, 0.5, 0.5, 0.0, 0.0)
    mlp_ratios: tuple[float, ...] = (2.0, 2.0, 2.0, 2.0, 2.0)
    prompt_heads: int = 2
    prompt_size: int = 32
    num_prompts: int = 5
    window: int = 8
    working_side: int = 64  # longer side of the reduced image, pixels; smaller images stay as they are
    guide_size: int = 7  # side of the windows of the fit, reduced pixels
    guide_epsilon: float = 1e-5  # variance of the hazy image below which a window counts as flat
    haze_laws: tuple[str, ...] = ()  # names from `HAZE_LAWS` that may explain the restored image
    rounding: float = 0.0  # strength with which the magnified rounding of 8-bit images is smoothed
    detail_levels: int = 0  # finest levels of detail that the more structured of restored and infrared gives
    visible_detail: float = 1.0  # factor on the restored image's detail of those levels
    infrared_detail: float = 1.0  # factor on the infrared image's detail of those levels
    complement: float = 0.0  # share of the luma of the darker of restored and infrared added to the brighter
    faint_infrared: float = 0.0  # infrared detail up to which the last three apply, see `fuse`; 0: always
    dtype: str = "float32"  # of the computation; parameters, norms, softmax and density stay float32
    remat: bool = False
    pallas: bool = False  # on GPUs, kernels for attention and the gradients of depthwise taps

    bytes_per_pixel: ClassVar[int] = 250  # temporaries of a forward pass; the network itself sees few pixels

    def __post_init__(self):
        check_dtype(self.dtype)
        check_laws(self.haze_laws)
        check_positive(self, *DEHAZE_COUNTS, "guide_size")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        hazy: Image,
        infrared: Float[Array, "bi hi wi k"],
        *,
        haze_density: Float[Array, "bd hd wd"] | None = None,
    ) -> dict[str, Array]:
        """Restore and fuse, with the arguments of `IassfReleased`.

        Returns:
          "fused" and "restored" in about [0,1] (not clipped), "haze_density", and the intermediates of the
          reduced image under "dehaze/..." in the network's own range.

        Raises:
          ConfigError: the reduced image would be smaller than a network can take.
        """
        check_inputs(hazy, infrared, haze_density)
        if self.working_side < SMALLEST_SIDE:
            raise ConfigError(f"working_side is {self.working_side}; expected at least {SMALLEST_SIDE}")
        size = hazy.shape[1:3]
        working = working_size(size, self.working_side)
        small_hazy, small_infrared = downscale_area(hazy, working), downscale_area(infrared, working)
        small_infrared = jnp.broadcast_to(small_infrared, small_hazy.shape)
        density = None if haze_density is None else downscale_area(haze_density[..., None], working)[..., 0]
        small_restored, _, taps = self._dehaze_network()(
            2.0 * small_hazy - 1.0, 2.0 * small_infrared - 1.0, density
        )
        restored = self._carry(small_hazy, to_unit_range(small_restored), hazy)
        return {
            "fused": self._fuse(restored, infrared),
            "restored": restored,
            "haze_density": _enlarge(taps["density"][..., None], size)[..., 0],
            **{f"dehaze/{name}": tap for name, tap in taps.items()},
        }

    def _carry(
        self, small_hazy: Image, small_restored: Image, hazy: Float[Array, "b H W 3"]
    ) -> Float[Array, "b H W 3"]:
        """Do to the full image what was done to the reduced one."""
        gain, offset = local_gain(
            small_hazy, small_restored, size=self.guide_size, epsilon=self.guide_epsilon
        )
        size = (hazy.shape[1], hazy.shape[2])
        gain, offset = _enlarge(gain, size), _enlarge(offset, size)
        if self.haze_laws:
            law = explain(small_hazy, small_restored, laws=self.haze_laws, size=size)
            gain = law.trust * law.gain + (1.0 - law.trust) * gain
            offset = law.trust * law.offset + (1.0 - law.trust) * offset
        restored = gain * hazy + offset
        if not self.rounding:
            return restored
        return smooth_rounding(restored, gain, size=_ROUNDING_WINDOW, strength=self.rounding)

    def _fuse(self, restored: Image, infrared: Float[Array, "b h w k"]) -> Image:
        return fuse(
            restored,
            infrared,
            detail_levels=self.detail_levels,
            visible_detail=self.visible_detail,
            infrared_detail=self.infrared_detail,
            complement=self.complement,
            faint_infrared=self.faint_infrared,
        )

    def _dehaze_network(self) -> nn.Module:
        own = {field.name for field in dataclasses.fields(self)} - {"parent", "name"}
        shared = [field.name for field in dataclasses.fields(DehazeNetwork) if field.name in own]
        fields = {name: getattr(self, name) for name in shared}
        options = WindowOptions(self.window, jnp.dtype(self.dtype), self.pallas)
        return DehazeNetwork(**fields, options=options, name="dehaze")


def working_size(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return (height, width) of the reduced image: proportional, rounded down to multiples of 4."""
    factor = min(1.0, side / max(size))
    reduced = [max(SMALLEST_SIDE, int(n * factor) // _MULTIPLE * _MULTIPLE) for n in size]
    return reduced[0], reduced[1]


def local_gain(
    before: Float[Array, "b h w c"], after: Float[Array, "b h w c"], *, size: int, epsilon: float | int
) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    """Return gain and offset with after = gain * before + offset in windows of `size` pixels, averaged.

    He and Sun, Fast Guided Filter (2015): the least-squares fit of each window, drawn to a gain of 0 where
    the variance of `before` is small against `epsilon`; then the mean over the windows that hold a pixel.
    """
    centre = before.mean(axis=(1, 2), keepdims=True)  # differences of large numbers lose digits
    x = before - centre
    mean_x, mean_y = box_mean(x, size), box_mean(after, size)
    variance = box_mean(x * x, size) - mean_x * mean_x
    covariance = box_mean(x * after, size) - mean_x * mean_y
    slope = covariance / (jnp.maximum(variance, 0.0) + epsilon)
    gain = box_mean(slope, size)
    return gain, box_mean(mean_y - slope * mean_x, size) - gain * centre


def _enlarge(x: Float[Array, "b h w c"], size: tuple[int, ...]) -> Float[Array, "b H W c"]:
    return resize_bilinear(x, (size[0], size[1]), align_corners=False)
