"""The fusion half of IASSF's released network: a prompted U on the two images of the dehaze half."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import torch_conv, torch_dense
from iassf_jax.models.layers.recomputing import repeated
from iassf_jax.models.layers.windowed_attention import EncoderBlock, WindowOptions, embed_prompt
from iassf_jax.models.prompts import mix_prompts, pool_init
from iassf_jax.ops.padding import spatial_size
from iassf_jax.ops.resize import resize_bilinear

Image = Float[Array, "b h w 3"]
Taps = dict[str, Array]


class FusionNetwork(nn.Module):
    """(restored, three-channel infrared) in [-1,1] to the fused image: a U over 2 * stages - 1 blocks.

    `stages` encoder blocks of widths width, 2 width, 4 width, ... with max pooling between them, then
    stages - 1 decoder blocks with bilinear up-sampling; sides must be multiples of 2^(stages - 1).
    """

    width: int
    stages: int
    prompt_size: int
    num_prompts: int
    options: WindowOptions
    prompted: bool = True  # False: the embeddings work on the features alone
    attention: bool = True  # in the embeddings
    remat: bool = False

    @nn.compact
    def __call__(self, visible: Image, infrared: Image) -> tuple[Image, Taps]:
        dtype = self.options.dtype
        visible, infrared = visible.astype(dtype), infrared.astype(dtype)
        (encoder_prompts, decoder_prompts), taps = self._prompts(visible, infrared)
        x = jnp.concatenate([visible, infrared], axis=-1)
        skips = []
        for stage in range(1, self.stages + 1):
            if stage > 1:
                x = taps[f"down{stage - 1}"] = nn.max_pool(x, (2, 2), strides=(2, 2))
            x = taps[f"enc{stage}"] = self._block(x, stage, f"encoder{stage}")
            embedded = self._embedding(f"prompt_in_blocks_enc_{stage - 1}")(x, encoder_prompts[stage - 1])
            taps[f"peb{stage}"] = embedded
            x = taps[f"stage{stage}"] = x + embedded
            skips.append(x)
        for position, stage in enumerate(range(self.stages - 1, 0, -1)):
            number = self.stages + position + 1
            x = taps[f"up{stage + 1}"] = _double(x)
            x = taps[f"dec{stage + 1}"] = self._block(x, stage, f"decoder{stage + 1}")
            embedded = self._embedding(f"prompt_in_blocks_dec_{position}")(x, decoder_prompts[position])
            taps[f"peb{number}"] = embedded
            x = taps[f"stage{number}_before_skip"] = x + embedded
            width = self._width(stage)
            skip = torch_dense(width, width, name=f"skip_conv{stage}", dtype=dtype)(skips[stage - 1])
            taps[f"skip_conv{stage}"] = skip
            x = taps[f"stage{number}"] = x + skip
        fused = taps["out"] = torch_dense(3, self.width, name="final_conv", dtype=dtype)(x)
        return fused.astype(jnp.float32), taps

    def _width(self, stage: int) -> int:
        return self.width * 2 ** (stage - 1)

    def _block(self, x: Float[Array, "b h w c"], stage: int, name: str) -> Float[Array, "b h w f"]:
        block = repeated(EncoderBlock, remat=self.remat)
        return block(self._width(stage), self.options, name=name)(x)[0]

    def _embedding(self, name: str) -> nn.Module:
        return FusionPromptEmbedding(self.attention, self.options, name=name)

    def _prompts(self, visible: Image, infrared: Image) -> tuple[tuple[list[Any], list[Any]], Taps]:
        """Every stage's prompt: its own 1x1 convolution of the one base prompt, resized to the stage."""
        if not self.prompted:
            return ([None] * self.stages, [None] * (self.stages - 1)), {}
        dtype = self.options.dtype
        base, taps = FusionPromptGeneration(
            self.width, self.prompt_size, self.num_prompts, dtype, name="prompt_gen_block"
        )(visible, infrared)
        h, w = spatial_size(base)
        scaled = [base] + [
            resize_bilinear(base, (h // 2**i, w // 2**i), align_corners=True) for i in range(1, self.stages)
        ]

        def adjust(stage: int, name: str) -> Array:
            dense = torch_dense(self._width(stage), self.width, name=name, use_bias=False, dtype=dtype)
            return dense(scaled[stage - 1])

        down = range(1, self.stages + 1)
        up = range(self.stages - 1, 0, -1)
        encoder = [adjust(stage, f"prompt_adjust_conv_enc_{stage - 1}") for stage in down]
        decoder = [adjust(stage, f"prompt_adjust_conv_dec_{position}") for position, stage in enumerate(up)]
        for number, (stage, prompt) in enumerate(zip([*down, *up], encoder + decoder, strict=True), start=1):
            taps[f"prompt_scaled{number}"], taps[f"prompt_adj{number}"] = scaled[stage - 1], prompt
        return (encoder, decoder), taps


class FusionPromptGeneration(nn.Module):
    """Base prompt of the fusion network from infrared minus visible (in this order, unlike Eq. 1)."""

    width: int
    prompt_size: int
    num_prompts: int
    dtype: Any

    @nn.compact
    def __call__(self, visible: Image, infrared: Image) -> tuple[Float[Array, "b h w c"], Taps]:
        difference = torch_dense(6, 3, name="conv1", use_bias=False, dtype=self.dtype)(infrared - visible)
        pooled = difference.astype(jnp.float32).mean(axis=(1, 2))
        logits = torch_dense(self.num_prompts, 6, name="linear_layer")(pooled)
        weights = nn.softmax(logits)
        c = self.width
        pool = self.param(
            "prompt_param", pool_init, (self.num_prompts, self.prompt_size, self.prompt_size, c)
        )
        mixed = mix_prompts(pool, weights, spatial_size(visible), align_corners=True).astype(self.dtype)
        smoothed = torch_conv(c, c, 3, name="conv3x3", padding=1, use_bias=False, dtype=self.dtype)(mixed)
        prompt = torch_dense(c, c, name="adjust_channels", use_bias=False, dtype=self.dtype)(smoothed)
        return prompt, {
            "pgm_conv1": difference,
            "pgm_emb": pooled,
            "pgm_logits": logits,
            "pgm_weights": weights,
            "prompt_resized": mixed,
            "prompt_3x3": smoothed,
            "prompt": prompt,
        }


class FusionPromptEmbedding(nn.Module):
    """Prompt embedding of one fusion stage, a parameter scope of its own."""

    attention: bool
    options: WindowOptions

    @nn.compact
    def __call__(
        self, feature: Float[Array, "b h w c"], prompt: Float[Array, "b h w c"] | None
    ) -> Float[Array, "b h w c"]:
        return embed_prompt(feature, prompt, attention=self.attention, options=self.options)[0]


def _double(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return resize_bilinear(x, (2 * x.shape[1], 2 * x.shape[2]), align_corners=True)
