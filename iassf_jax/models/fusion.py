"""Multi-stage prompt-embedding fusion (IASSF, section III-D): M blocks, each guided by the prompt."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.layers.initializers import torch_dense
from iassf_jax.models.layers.prompting import PromptEmbedding
from iassf_jax.models.layers.restormer import RestormerOptions, restormer_block
from iassf_jax.ops.padding import spatial_size
from iassf_jax.ops.resize import resize_bilinear

FUSION_LAYOUTS = ("u", "flat")


class FusionBlock(nn.Module):
    """Projection to the block's width, Restormer block, then x + PEB(x, prompt).

    The prompt of any size and width is resized and projected to those of the block; the block hands that on,
    so that a caller may chain prompts.
    """

    width: int
    heads: int = 1
    attention: bool = True  # in the prompt embedding
    options: RestormerOptions = RestormerOptions()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], prompt: Float[Array, "b hp wp cp"] | None
    ) -> tuple[Float[Array, "b h w f"], Float[Array, "b h w f"] | None]:
        dtype = self.options.dtype
        x = torch_dense(self.width, x.shape[-1], name="project", use_bias=False, dtype=dtype)(x)
        x = restormer_block(self.heads, self.options, name="block")(x)
        if prompt is not None:
            resized = resize_bilinear(prompt, spatial_size(x), align_corners=False)
            to_width = torch_dense(
                self.width, prompt.shape[-1], name="project_prompt", use_bias=False, dtype=dtype
            )
            prompt = to_width(resized)
        embedding = PromptEmbedding(self.heads, self.attention, self.options, name="embedding")
        return x + embedding(x, prompt), prompt


class MultiStageFusion(nn.Module):
    """Fuses the restored visible feature with the infrared feature into an image (MsPE-FM).

    Layout "u", M odd: (M+1)/2 blocks down to resolution 2^-(M-1)/2 with doubling widths and heads, the others
    back up; the output of each block on the way down is added to that of its counterpart on the way up, two
    residual connections for M = 5. Layout "flat": all blocks at full resolution and width, residual
    connections around blocks 2-3, 4-5 and so on. Sides have to be multiples of `size_multiple`.
    """

    num_blocks: int = 5  # M
    layout: str = "u"  # one of FUSION_LAYOUTS
    attention: bool = True  # in the prompt embeddings
    prompt_chain: bool = False  # a block takes its predecessor's prompt, not the first one
    options: RestormerOptions = RestormerOptions()

    def __post_init__(self):
        if self.layout not in FUSION_LAYOUTS:
            raise ConfigError(f"fusion_layout must be one of {FUSION_LAYOUTS}, not {self.layout!r}")
        if self.num_blocks < 1 or (self.layout == "u" and self.num_blocks % 2 == 0):
            raise ConfigError(
                f"num_fusion_blocks must be 1, 3, 5, 7, ..., not {self.num_blocks}; "
                f"fusion_layout 'flat' takes even numbers too"
            )
        super().__post_init__()

    @property
    def size_multiple(self) -> int:
        """What the sides of the features have to be divisible by, pixels."""
        return 2 ** ((self.num_blocks - 1) // 2) if self.layout == "u" else 1

    @nn.compact
    def __call__(
        self,
        restored: Float[Array, "b h w c"],
        infrared: Float[Array, "b h w c"],
        prompt: Float[Array, "b h w c"] | None,
    ) -> tuple[Float[Array, "b h w 3"], list[Array]]:
        """Return the fused image and the output of each block; no prompt means blocks without prompts."""
        width = restored.shape[-1]
        x = jnp.concatenate([restored, infrared], axis=-1)
        stages = self._u(x, prompt, width) if self.layout == "u" else self._flat(x, prompt, width)
        return torch_dense(3, width, name="head", dtype=self.options.dtype)(stages[-1]), stages

    def _u(self, x: Array, prompt: Array | None, width: int) -> list[Array]:
        levels = (self.num_blocks + 1) // 2
        stages: list[Array] = []
        for level in range(levels):
            x, prompt = self._block(len(stages), level, width, x if level == 0 else max_pool(x), prompt)
            stages.append(x)
        for level in reversed(range(levels - 1)):
            skip = stages[level]
            x = resize_bilinear(x, spatial_size(skip), align_corners=False)
            x, prompt = self._block(len(stages), level, width, x, prompt)
            residual = torch_dense(
                x.shape[-1], x.shape[-1], name=f"skip_{level + 1}", dtype=self.options.dtype
            )
            x = x + residual(skip)
            stages.append(x)
        return stages

    def _flat(self, x: Array, prompt: Array | None, width: int) -> list[Array]:
        stages: list[Array] = []
        for index in range(self.num_blocks):
            x, prompt = self._block(index, 0, width, x, prompt)
            if index >= 2 and index % 2 == 0:
                x = x + stages[index - 2]
            stages.append(x)
        return stages

    def _block(
        self, index: int, level: int, width: int, x: Array, prompt: Array | None
    ) -> tuple[Array, Array | None]:
        """Run block `index`; returns its output and the prompt for the next block."""
        factor = 2**level
        block = FusionBlock(factor * width, factor, self.attention, self.options, name=f"block_{index + 1}")
        x, block_prompt = block(x, prompt)
        return x, block_prompt if self.prompt_chain else prompt


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Return the maxima of 2x2 squares; even sides."""
    # A reduction, because the gradient of XLA's window maximum is slow on CPU.
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))
