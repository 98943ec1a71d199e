"""The network of the IASSF paper's text: restoration and fusion of a hazy visible and an infrared image.

Li, Fang, Zhang, Liu, Yu, "Infrared-Assisted Single-Stage Framework for Joint Restoration and Fusion of
Visible and Infrared Images under Hazy Conditions". The text leaves many choices open; each is a field of
`Iassf`. The network of the authors' released code, which differs, is `iassf_released`.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.ablations import check_ablation, check_density_is_used, uses_haze_density
from iassf_jax.models.fusion import FUSION_LAYOUTS, MultiStageFusion
from iassf_jax.models.haze_density import haze_density as estimate_haze_density
from iassf_jax.models.inputs import check_inputs, check_positive, pad_density
from iassf_jax.models.layers.initializers import torch_conv, torch_dense
from iassf_jax.models.layers.prompting import PROMPT_MODES, PromptEmbedding, PromptGeneration
from iassf_jax.models.layers.restormer import (
    NORM_KINDS,
    RestormerOptions,
    RestormerStack,
    RestormerU,
    restormer_block,
)
from iassf_jax.ops.padding import crop, pad_to_multiple, spatial_size

Image = Float[Array, "b h w 3"]
Feature = Float[Array, "b h w c"]

_CHOICES = {
    "norm_kind": NORM_KINDS,
    "prompt_mode": PROMPT_MODES,
    "fusion_layout": FUSION_LAYOUTS,
    "tf_kind": ("unet", "block", "stack"),
    "fusion_prompt_source": ("restored", "encoded"),
    "dtype": ("float32", "bfloat16"),
}


class Iassf(nn.Module):
    """Hazy visible and infrared image in [0,1] to restored and fused image, in one pass.

    Parameters and cost of a forward pass at 256x256, other fields at their defaults (multiply-add = 2,
    without the haze density):

    | num_fusion_blocks | prompt_size | parameters | GFLOP |
    |---|---|---|---|
    | 1 | 64  |  1,958,568 | 40 |
    | 3 | 64  |  2,184,030 | 57 |
    | 5 | 64  |  3,049,152 | 71 |
    | 7 | 64  |  6,436,008 | 83 |
    | 5 | 256 | 17,794,752 | 70 |
    """

    channels: int = 24  # C, width of the features at full resolution; even
    # encoder
    enc_blocks: int = 1  # Restormer blocks after the 3x3 convolution, full resolution
    share_encoder: bool = True  # one encoder for both images, as the paper draws it
    # Restormer blocks
    norm_kind: str = "with_bias"  # layer norm: "with_bias" or "bias_free"
    ffn_expansion: float = 2.66  # hidden width of the feed-forward networks over their channels
    # prompts (Eq. 2)
    prompt_mode: str = "pool"  # weights for each prompt of a "pool", or for each "channel" of one prompt
    num_prompts: int = 5  # prompts in a pool
    prompt_size: int = 64  # side of a stored prompt, pixels; 256, the training crop, in the paper
    prompt_pointwise_first: bool = True  # Conv1x1 before Conv3x3, as in Eq. 2
    peb_heads: int = 1  # attention heads of the prompt embedding in the restoration, at 2C channels
    # haze density (Eqs. 3 and 4)
    haze_window: int = 15  # side of the dark channel's window, pixels
    haze_omega: float = 0.95  # share of the haze that counts, (0, 1]
    haze_box: int = 61  # side of the guided filter's box, pixels
    haze_epsilon: float = 1e-4  # regularisation of the guided filter
    divide_by_airlight: bool = True  # as in Eq. 3; the released code does not
    haze_gradient: bool = False  # True lets gradients through the density into the encoder
    haze_clip: bool = True  # confine the density to [0,1]
    # restoration (Eqs. 5 and 6)
    tf_kind: str = "unet"  # the "Transformer block": a U, a single "block", or a "stack" at full resolution
    tf_heads: tuple[int, ...] = (1, 2, 4)  # of each level of the U; the other kinds take the first
    tf_blocks: tuple[int, ...] = (2, 2, 4, 2, 2)  # of each stage along the U
    tf_stack_blocks: int = 4  # blocks of the stack
    restored_residual: bool = False  # add the hazy image to the restored one
    # fusion
    num_fusion_blocks: int = 5  # M; odd in layout "u"
    fusion_layout: str = "u"  # resolutions go down and up again along a "u", or stay as they are ("flat")
    fusion_prompt_source: str = "restored"  # prompt from F^_vi - F_ir, or from the "encoded" F_vi - F_ir
    prompt_chain: bool = False  # each prompt from the one before; from the first one otherwise
    # experiments and machine
    ablation: str = "none"  # what is taken away, see models/ablations.py
    dtype: str = "float32"  # of the computation, or "bfloat16"; parameters, norms, softmax, density: float32
    remat: bool = False  # recompute blocks in the backward pass: less memory, a third more time

    def __post_init__(self):
        for field, valid in _CHOICES.items():
            if getattr(self, field) not in valid:
                raise ConfigError(f"{field} must be one of {valid}, not {getattr(self, field)!r}")
        check_ablation(self.ablation)
        check_positive(self, "num_prompts", "prompt_size", "peb_heads", "haze_window", "haze_box", "tf_heads")
        if self.channels < 2 or self.channels % 2:
            raise ConfigError(f"channels must be even and at least 2, not {self.channels}")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        hazy: Image,
        infrared: Float[Array, "bi hi wi k"],
        *,
        haze_density: Float[Array, "bd hd wd"] | None = None,
    ) -> dict[str, Array]:
        """Restore and fuse.

        Args:
          hazy: hazy visible image in [0,1], sides of at least 16 pixels.
          infrared: infrared image in [0,1] with one or three channels, same size.
          haze_density: H in [0,1] at the size of the image, replaces the estimate.

        Returns:
          float32, at the size of the image: "fused" and "restored" in about [0,1] (not clipped) and
          "haze_density" (zeros in the ablations without it). In the computation's dtype, at the padded size:
          "features_visible", "features_infrared", "prompt", "embedded" (F^_ir), "mixed" (what TF gets in
          Eq. 5), "features_restored", "fusion_prompt", "fusion_1" ... "fusion_M". What an ablation removes is
          missing.

        Raises:
          InputError: shapes that do not fit, or a density for an ablation that uses none.
        """
        check_inputs(hazy, infrared, haze_density)
        check_density_is_used(self.ablation, haze_density)
        fusion = self._fusion()
        multiple = max(self._restoration_multiple(), fusion.size_multiple)
        images = (hazy, jnp.broadcast_to(infrared, hazy.shape))
        (visible, size), (thermal, _) = (pad_to_multiple(x.astype(self.dtype), multiple) for x in images)
        f_vi, f_ir = self._encode(visible, thermal)
        if haze_density is None:
            haze_density = self._estimate_density(f_vi, size)
        mixed, taps = self._inject_infrared(f_vi, f_ir, pad_density(haze_density, spatial_size(visible)))
        f_restored = self._transformer()(mixed)
        restored = self._restored_image(f_restored, visible)
        prompt = self._fusion_prompt((f_restored if self.fusion_prompt_source == "restored" else f_vi) - f_ir)
        fused, stages = fusion(f_restored, f_ir, prompt)
        taps |= {"features_visible": f_vi, "features_infrared": f_ir, "features_restored": f_restored}
        taps |= {"fusion_prompt": prompt} if prompt is not None else {}
        taps |= {f"fusion_{index + 1}": stage for index, stage in enumerate(stages)}
        return {
            "fused": crop(fused, size).astype(jnp.float32),
            "restored": crop(restored, size).astype(jnp.float32),
            "haze_density": haze_density,
            **taps,
        }

    def _encode(self, visible: Image, infrared: Image) -> tuple[Feature, Feature]:
        encoder = self._encoder("encoder")
        infrared_encoder = encoder if self.share_encoder else self._encoder("infrared_encoder")
        return encoder(visible), infrared_encoder(infrared)

    def _estimate_density(self, feature: Feature, size: tuple[int, int]) -> Float[Array, "b hd wd"]:
        """Estimate H on the image's own pixels: the padding has no part in its statistics."""
        if not uses_haze_density(self.ablation):
            return jnp.zeros((feature.shape[0], *size), jnp.float32)
        return estimate_haze_density(
            crop(feature, size),
            window=self.haze_window,
            omega=self.haze_omega,
            box=self.haze_box,
            epsilon=self.haze_epsilon,
            divide_by_airlight=self.divide_by_airlight,
            clip=self.haze_clip,
            gradient=self.haze_gradient,
        )

    def _inject_infrared(
        self, f_vi: Feature, f_ir: Feature, density: Float[Array, "b h w"]
    ) -> tuple[Feature, dict[str, Array]]:
        """Return the argument of TF in Eq. 5: F^_ir H + F_vi (1 - H) + F_vi."""
        if self.ablation == "wo_fir":
            return f_vi, {"mixed": f_vi}
        embedded, taps = self._embed_prompt(f_vi, f_ir)
        if self.ablation == "wo_hde":
            mixed = embedded + f_vi
        else:
            h = density[..., None].astype(self.dtype)
            mixed = embedded * h + f_vi * (1.0 - h) + f_vi
        return mixed, taps | {"mixed": mixed, "embedded": embedded}

    def _embed_prompt(self, f_vi: Feature, f_ir: Feature) -> tuple[Feature, dict[str, Array]]:
        """Return the infrared feature refined by the prompt, F^_ir."""
        if self.ablation == "wo_pir":
            return f_ir, {}
        prompt = self._prompt_generation("prompt")(f_vi - f_ir)
        if self.ablation == "wo_fr_peb":
            c = self.channels
            reduce = torch_dense(c, 2 * c, name="embedding", use_bias=False, dtype=self._dtype)
            return reduce(jnp.concatenate([f_ir, prompt], axis=-1)), {"prompt": prompt}
        embedding = PromptEmbedding(self.peb_heads, options=self._options(), name="embedding")
        return embedding(f_ir, prompt), {"prompt": prompt}

    def _restored_image(self, feature: Feature, hazy: Image) -> Image:
        """Return the restored image of Eq. 6."""
        head = torch_conv(3, self.channels, 3, name="restored_head", padding=1, dtype=self._dtype)
        return head(feature) + hazy if self.restored_residual else head(feature)

    def _fusion_prompt(self, difference: Feature) -> Feature | None:
        return None if self.ablation == "wo_pvi" else self._prompt_generation("fusion_prompt")(difference)

    def _restoration_multiple(self) -> int:
        return 2 ** (len(self.tf_heads) - 1) if self.tf_kind == "unet" else 1

    def _encoder(self, name: str) -> nn.Module:
        return Encoder(self.channels, self.enc_blocks, self._options(), name=name)

    def _prompt_generation(self, name: str) -> nn.Module:
        return PromptGeneration(
            mode=self.prompt_mode,
            num_prompts=self.num_prompts,
            size=self.prompt_size,
            pointwise_first=self.prompt_pointwise_first,
            dtype=self._dtype,
            name=name,
        )

    def _transformer(self) -> nn.Module:
        options, name = self._options(), "transformer"
        if self.tf_kind == "unet":
            return RestormerU(self.tf_heads, self.tf_blocks, options, name=name)
        if self.tf_kind == "stack":
            return RestormerStack(self.tf_stack_blocks, self.tf_heads[0], options, name=name)
        return restormer_block(self.tf_heads[0], options, name=name)

    def _fusion(self) -> MultiStageFusion:
        return MultiStageFusion(
            num_blocks=self.num_fusion_blocks,
            layout=self.fusion_layout,
            attention=self.ablation != "wo_fb_peb",
            prompt_chain=self.prompt_chain,
            options=self._options(),
            name="fusion",
        )

    def _options(self) -> RestormerOptions:
        return RestormerOptions(self.norm_kind, self.ffn_expansion, self._dtype, self.remat)

    @property
    def _dtype(self) -> Any:
        return jnp.dtype(self.dtype)


class Encoder(nn.Module):
    """3x3 convolution without bias, then Restormer blocks at full resolution."""

    channels: int
    num_blocks: int
    options: RestormerOptions

    @nn.compact
    def __call__(self, image: Image) -> Feature:
        stem = torch_conv(
            self.channels, 3, 3, name="stem", padding=1, use_bias=False, dtype=self.options.dtype
        )
        return RestormerStack(self.num_blocks, options=self.options, name="blocks")(stem(image))
