"""The network of IASSF's released PyTorch code, able to load its checkpoints.

Two networks in sequence: a dehaze network (shared encoder, prompt from what infrared and visible do not
share, haze density, five-layer restoration U) whose two three-channel outputs feed a fusion network (a U over
`num_fusion_blocks` stages, each with its prompt). Module names are the released parameter names, list indices
joined by an underscore; how this network differs from the paper's text is told in docs/networks.md.
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.ablations import check_ablation, check_density_is_used, uses_haze_density
from iassf_jax.models.haze_density import haze_density as estimate_haze_density
from iassf_jax.models.inputs import check_inputs, check_positive, pad_density
from iassf_jax.models.layers.gating import SelectiveKernelFusion
from iassf_jax.models.layers.initializers import block_gain, torch_conv, torch_dense
from iassf_jax.models.layers.recomputing import repeated
from iassf_jax.models.layers.resizing import PatchMerge, PatchSplit, ReflectConv
from iassf_jax.models.layers.windowed_attention import (
    EncoderBlock,
    MainLayer,
    WindowOptions,
    embed_prompt,
)
from iassf_jax.models.prompts import mix_prompts, pool_init
from iassf_jax.models.released_fusion import FusionNetwork
from iassf_jax.ops.padding import crop, pad_to_multiple, spatial_size

DTYPES = ("float32", "bfloat16", "float16")
# Layers 3 and 4 are as slow to recompute as the others and hold little: with them, a step at batch 2 and
# 256x256 took 15 % longer for 1.6 instead of 2.2 GB of temporaries (4.9 GB without recomputation).
_RECOMPUTED_LAYERS = (1, 2, 5)
DEHAZE_COUNTS = ("embed_dims", "num_heads", "prompt_heads", "prompt_size", "num_prompts", "window")  # fields
Image = Float[Array, "b h w 3"]
Taps = dict[str, Array]


class IassfReleased(nn.Module):
    """Images in [0,1] to restored and fused images; converts to the released [-1,1] inside.

    Five-tuples give one value for each layer of the restoration U, at resolutions 1, 1/2, 1/4, 1/2, 1.
    """

    embed_dims: tuple[int, ...] = (24, 48, 96, 48, 24)  # channels
    depths: tuple[int, ...] = (8, 8, 8, 4, 4)  # blocks
    num_heads: tuple[int, ...] = (2, 4, 6, 1, 1)
    attn_ratios: tuple[float, ...] = (
        0.25,
        0.5,
        0.75,
        0.0,
        0.0,
    )  # share of blocks with attention, the last ones
    mlp_ratios: tuple[float, ...] = (2.0, 4.0, 4.0, 2.0, 2.0)  # MLP width over channels
    prompt_heads: int = 2  # heads of the dehaze network's prompt embedding
    prompt_size: int = 256  # side of the dehaze network's prompts, pixels; does not restrict the image
    fusion_width: int = 6  # channels of the fusion network's first stage
    fusion_prompt_size: int = 256
    num_prompts: int = 5  # prompts in each pool
    num_fusion_blocks: int = 5  # M, odd: 1, 3, 5 (released) or 7
    window: int = 8  # side of an attention window, pixels
    ablation: str = "none"  # what is taken away, see models/ablations.py
    dtype: str = "float32"  # of the computation; parameters, norms, softmax and density stay float32
    remat: bool = False  # recompute large blocks in the backward pass: less memory, a little more time
    pallas: bool = False  # on GPUs, kernels for attention and the gradients of depthwise taps

    def __post_init__(self):
        check_dtype(self.dtype)
        check_ablation(self.ablation)
        check_positive(self, *DEHAZE_COUNTS, "fusion_width", "fusion_prompt_size")
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
          haze_density: replaces the estimated density, at the size of the image or of its padded copy.

        Returns:
          "fused" and "restored" in about [0,1] (not clipped), "haze_density", and every intermediate under
          "dehaze/..." and "fusion/..." at the padded size, in the network's own range. What an ablation
          removes is missing, but for the density, which is zero.

        Raises:
          InputError: shapes that do not fit, or a density for an ablation that uses none.
        """
        check_inputs(hazy, infrared)
        check_density_is_used(self.ablation, haze_density)
        stages = _fusion_stages(self.num_fusion_blocks)
        infrared = jnp.broadcast_to(infrared, hazy.shape)
        multiple = max(4, 2 ** (stages - 1))
        padded_hazy, size = pad_to_multiple(2.0 * hazy - 1.0, multiple)
        padded_infrared, _ = pad_to_multiple(2.0 * infrared - 1.0, multiple)
        if haze_density is not None:
            haze_density = pad_density(haze_density, spatial_size(padded_hazy))
        restored, infrared3, dehaze_taps = self._dehaze_network()(padded_hazy, padded_infrared, haze_density)
        fused, fusion_taps = self._fusion_network(stages)(restored, infrared3)
        taps = {f"dehaze/{k}": v for k, v in dehaze_taps.items()} | {
            f"fusion/{k}": v for k, v in fusion_taps.items()
        }
        return {
            "fused": crop(to_unit_range(fused), size),
            "restored": crop(to_unit_range(restored), size),
            "haze_density": crop(dehaze_taps["density"][..., None], size)[..., 0],
            **taps,
        }

    def _dehaze_network(self) -> nn.Module:
        return DehazeNetwork(
            embed_dims=self.embed_dims,
            depths=self.depths,
            num_heads=self.num_heads,
            attn_ratios=self.attn_ratios,
            mlp_ratios=self.mlp_ratios,
            prompt_heads=self.prompt_heads,
            prompt_size=self.prompt_size,
            num_prompts=self.num_prompts,
            options=self._window_options(),
            ablation=self.ablation,
            remat=self.remat,
            name="dehaze",
        )

    def _fusion_network(self, stages: int) -> nn.Module:
        return FusionNetwork(
            width=self.fusion_width,
            stages=stages,
            prompt_size=self.fusion_prompt_size,
            num_prompts=self.num_prompts,
            options=self._window_options(),
            prompted=self.ablation != "wo_pvi",
            attention=self.ablation != "wo_fb_peb",
            remat=self.remat,
            name="fusion",
        )

    def _window_options(self) -> WindowOptions:
        return WindowOptions(self.window, jnp.dtype(self.dtype), self.pallas)


class DehazeNetwork(nn.Module):
    """(hazy, infrared) to (dehazed, three-channel infrared), all in [-1,1], sides multiples of 4."""

    embed_dims: tuple[int, ...]
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    attn_ratios: tuple[float, ...]
    mlp_ratios: tuple[float, ...]
    prompt_heads: int
    prompt_size: int
    num_prompts: int
    options: WindowOptions
    ablation: str = "none"
    remat: bool = False

    @nn.compact
    def __call__(
        self, hazy: Image, infrared: Image, haze_density: Float[Array, "b h w"] | None
    ) -> tuple[Image, Image, Taps]:
        c0, dtype = self.embed_dims[0], self.options.dtype
        encoder = repeated(EncoderBlock, remat=self.remat)(c0, self.options, name="restormer_encoder")
        visible_feature, visible_taps = encoder(hazy.astype(dtype))
        infrared_feature, infrared_taps = encoder(infrared.astype(dtype))
        infrared3 = torch_dense(3, c0, name="conv24_3", dtype=dtype)(infrared_feature)
        if haze_density is None:
            haze_density = self._estimate_density(visible_feature)
        combined, taps = self._inject_infrared(visible_feature, infrared_feature, haze_density)
        restored, unet_taps = self._restore(combined)
        taps |= unet_taps | {
            "enc_vi": visible_feature,
            "enc_ir": infrared_feature,
            **{f"enc_vi/{k}": v for k, v in visible_taps.items()},
            **{f"enc_ir/{k}": v for k, v in infrared_taps.items()},
            "density": haze_density,
            "combined": combined,
            "out": restored,
            "ir3": infrared3,
        }
        return restored.astype(jnp.float32), infrared3.astype(jnp.float32), taps

    def _estimate_density(self, feature: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
        if not uses_haze_density(self.ablation):
            return jnp.zeros(feature.shape[:3], jnp.float32)
        return released_density(feature)

    def _inject_infrared(
        self,
        visible: Float[Array, "b h w c"],
        infrared: Float[Array, "b h w c"],
        density: Float[Array, "b h w"],
    ) -> tuple[Float[Array, "b h w c"], Taps]:
        """Return the argument of TF in Eq. 5: F^_ir H + F_vi (1 - H) + F_vi."""
        if self.ablation == "wo_fir":
            return visible, {}
        embedded, taps = infrared, {}
        if self.ablation != "wo_pir":
            embedded, taps = self._prompt_block()(visible, infrared)
        if self.ablation == "wo_hde":
            return embedded + visible, taps
        h = density[..., None].astype(self.options.dtype)
        return embedded * h + visible * (1.0 - h) + visible, taps

    def _prompt_block(self) -> nn.Module:
        return PromptGenerationAndEmbedding(
            heads=self.prompt_heads,
            prompt_size=self.prompt_size,
            num_prompts=self.num_prompts,
            gain=block_gain(sum(self.depths)),
            embedding=self.ablation != "wo_fr_peb",
            options=self.options,
            name="PromptGenerationAndEmbeddingBlock",
        )

    def _restore(self, x: Float[Array, "b h w c"]) -> tuple[Image, Taps]:
        """Five-layer U with selective-kernel fusion at the skips (TF of Eq. 5)."""
        c0, c1, c2, c3, c4 = self.embed_dims
        dtype = self.options.dtype
        taps: Taps = {}
        x = taps["patch_embed"] = ReflectConv(c0, dtype, name="patch_embed")(x)
        skip0 = taps["skip0"] = torch_dense(c0, c0, name="skip0", dtype=dtype)(x)
        skip1 = x = self._layer(1, x, taps)
        x = taps["merge1"] = PatchMerge(c1, dtype, name="patch_merge1")(x)
        skip2 = x = self._layer(2, x, taps)
        x = taps["merge2"] = PatchMerge(c2, dtype, name="patch_merge2")(x)
        x = self._layer(3, x, taps)
        x = taps["split1"] = PatchSplit(c3, dtype, name="patch_split1")(x)
        x = self._fuse_skip(1, x, torch_dense(c1, c1, name="skip2", dtype=dtype)(skip2), "skip2", taps)
        x = self._layer(4, x, taps)
        x = taps["split2"] = PatchSplit(c4, dtype, name="patch_split2")(x)
        x = self._fuse_skip(2, x, torch_dense(c0, c0, name="skip1", dtype=dtype)(skip1), "skip1", taps)
        x = self._layer(5, x, taps)
        x = self._fuse_skip(3, x, skip0, "skip0", taps)
        return ReflectConv(3, dtype, leaf="proj_0", name="patch_unembed")(x), taps

    def _layer(self, number: int, x: Float[Array, "b h w c"], taps: Taps) -> Float[Array, "b h w c"]:
        i = number - 1
        layer = MainLayer(
            depth=self.depths[i],
            heads=self.num_heads[i],
            attn_ratio=self.attn_ratios[i],
            mlp_ratio=self.mlp_ratios[i],
            gain=block_gain(sum(self.depths)),
            options=self.options,
            remat=self.remat and number in _RECOMPUTED_LAYERS,
            name=f"layer{number}",
        )
        x, blocks = layer(x)
        taps |= {f"layer{number}.{index}": block for index, block in enumerate(blocks)} | {
            f"layer{number}": x
        }
        return x

    def _fuse_skip(
        self,
        number: int,
        x: Float[Array, "b h w c"],
        skip: Float[Array, "b h w c"],
        skip_name: str,
        taps: Taps,
    ) -> Float[Array, "b h w c"]:
        taps[skip_name] = skip
        chosen = taps[f"sk{number}"] = SelectiveKernelFusion(name=f"fusion{number}")(x, skip)
        x = taps[f"sk{number}_res"] = x + chosen
        return x


class PromptGenerationAndEmbedding(nn.Module):
    """Prompt from what visible and infrared do not share, embedded into the infrared feature (Eqs. 1, 2)."""

    heads: int
    prompt_size: int
    num_prompts: int
    gain: float
    embedding: bool  # False: one 1x1 convolution in place of the embedding
    options: WindowOptions

    @nn.compact
    def __call__(
        self, visible: Float[Array, "b h w c"], infrared: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], Taps]:
        c, dtype = visible.shape[-1], self.options.dtype
        pooled = (visible - infrared).astype(jnp.float32).mean(axis=(1, 2))
        logits = torch_dense(self.num_prompts, c, name="linear_layer")(pooled)
        weights = nn.softmax(logits)
        pool = self.param(
            "prompt_param", pool_init, (self.num_prompts, self.prompt_size, self.prompt_size, c)
        )
        mixed = mix_prompts(pool, weights, spatial_size(visible)).astype(dtype)
        prompt = torch_conv(c, c, 3, name="conv3x3_gen", padding=1, use_bias=False, dtype=dtype)(mixed)
        embedded, taps = self._embed(infrared, prompt)
        return embedded, {
            "pgm_emb": pooled,
            "pgm_logits": logits,
            "pgm_weights": weights,
            "prompt_resized": mixed,
            "prompt": prompt,
            **{f"peb_{name}": tap for name, tap in taps.items()},
            "peb_out": embedded,
        }

    def _embed(
        self, infrared: Float[Array, "b h w c"], prompt: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], Taps]:
        c = infrared.shape[-1]
        if not self.embedding:
            reduce = torch_dense(c, 2 * c, name="conv1x1_embed", use_bias=False, dtype=self.options.dtype)
            return reduce(jnp.concatenate([infrared, prompt], axis=-1)), {}
        return embed_prompt(
            infrared, prompt, heads=self.heads, gain=self.gain, options=self.options, suffix="_embed"
        )


def check_dtype(dtype: str) -> None:
    """Check the name of a type to compute in.

    Raises:
      ConfigError: it is none of `DTYPES`.
    """
    if dtype not in DTYPES:
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")


def released_density(feature: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
    """Haze density with the released code's choices."""
    return estimate_haze_density(feature, box=60, divide_by_airlight=False, quantise=True, clip=False)


def to_unit_range(image: Image) -> Image:
    """Return an image of the networks' range [-1,1] in [0,1]."""
    return 0.5 * (image + 1.0)


def _fusion_stages(num_fusion_blocks: int) -> int:
    if num_fusion_blocks not in (1, 3, 5, 7):
        raise ConfigError(f"num_fusion_blocks must be 1, 3, 5 or 7, not {num_fusion_blocks}")
    return (num_fusion_blocks + 1) // 2
