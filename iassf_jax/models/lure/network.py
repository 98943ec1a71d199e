"""LURE: restoration and fusion of a visible and an infrared image, told in words what is wrong with them.

Ma, Li, Cheng, Zhang, Shen, Song, Wu, arXiv 2503.07033. An encoder takes an image, a description of its
degradation and its modality to latents in which the kind of degradation no longer shows; a decoder takes
latents back to an image; fusion happens between latents. Nothing is published but the text, which leaves much
open; each such choice is a field of `Lure`.
"""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Float32, Int

from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models.inputs import check_inputs, check_positive
from iassf_jax.models.lure.attention import TGA_VARIANTS
from iassf_jax.models.lure.blocks import BlockOptions
from iassf_jax.models.lure.decoder import DECODERS, Decoder
from iassf_jax.models.lure.encoder import REDUCTIONS, Encoder, Latents
from iassf_jax.models.lure.fusion import FUSION_ATTENTIONS, Fusion
from iassf_jax.models.lure.rules import RULES
from iassf_jax.models.lure.sentences import clean_sentence
from iassf_jax.models.lure.text_head import TEXT_NORMS, TextHead
from iassf_jax.ops.padding import crop, pad_to_multiple
from iassf_jax.text import (
    BACKENDS,
    INFRARED,
    UNDERSTANDING,
    VISIBLE,
    SentenceEncoder,
    class_names,
    in_known_words,
    make_encoder,
    route,
)

Image = Float[Array, "b h w 3"]
Sentence = Float[Array, "b s"]

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "light": {"reduce": "first", "decoder": "light"},
    "tiny": {
        "widths": (12, 24, 48, 96),
        "latents": (4, 8, 16, 32),
        "k_bt": (1, 1, 1, 1),
        "k_tb": (1, 1, 1, 1),
        "fusion_blocks": (1, 1, 1, 1),
    },
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "tga_variant": TGA_VARIANTS,
    "reduce": REDUCTIONS,
    "decoder": DECODERS,
    "fusion_attention": FUSION_ATTENTIONS,
    "rule": RULES,
    "text_norm": TEXT_NORMS,
    "text_backend": BACKENDS,
    "dtype": ("float32", "bfloat16"),
}
_PER_LEVEL = ("latents", "k_bt", "k_tb", "dec_blocks", "fusion_blocks")


class Lure(nn.Module):
    """Visible and infrared image in [0,1], with a sentence vector for each, to restored and fused images.

    Parameters of the presets, by part; the text head has 198,406 more in each:

    | preset | encoder    | decoder   | fusion    |
    |---|---|---|---|
    | paper  | 36,514,120 | 1,849,011 | 1,144,956 |
    | light  | 15,176,868 |   203,683 | 1,144,956 |
    | tiny   |    630,104 |   120,399 |    46,120 |
    """

    # image encoder; one value for each level, from full resolution downwards by halves
    widths: tuple[int, ...] = (48, 96, 192, 384)  # channels, C_i
    latents: tuple[int, ...] = (16, 32, 64, 128)  # channels of the latents, c_i
    k_bt: tuple[int, ...] = (1, 1, 2, 2)  # pairs of base block and text-guided block
    k_tb: tuple[int, ...] = (2, 2, 4, 8)  # pairs of text-guided block and bottleneck
    reduce: str = "last"  # the "last" or the "first" bottleneck goes from C_i to c_i channels
    inner_residual: bool = True  # latent = linear branch - degradation branch; else the latter alone
    # blocks
    heads: int = 4  # of every attention
    ffn_factor: float = 2.66  # hidden width of the feed-forward networks over their channels
    tga_variant: str = "channel_query"  # how text guides: or "spatial_gate", "gate"
    sca_window: int = 0  # NAFBlocks: channel means over windows of so many pixels; 0 is the whole image
    # decoder
    decoder: str = "wide"  # channels as the encoder, or "light": those of the latents
    dec_blocks: tuple[int, ...] = (1, 1, 1, 1)  # NAFBlocks of each level
    # fusion
    fusion_blocks: tuple[int, ...] = (1, 1, 2, 2)  # cross-attention blocks of each level
    fusion_attention: str = "channel"  # between channels, or between patches of a "window"
    reverse_softmax: bool = False  # "window": attend to what is least alike
    rule: str = "l1norm"  # fusion without parameters: or "mean", "sum", "softmax_sum", "none"
    l1_radius: int = 1  # l1norm: activity is averaged over 2 r + 1 pixels
    # text
    text_backend: str = "hash"  # what makes the sentence vectors, see text.encoders
    sentence_dim: int = 768  # numbers of a sentence vector
    text_dim: int = 256  # numbers of a description
    text_norm: str = "l2"  # of the text head: "l2" or "layernorm"
    split_sr: bool = False  # a class of its own for low resolution by 4 and by 8
    # machine
    dtype: str = "float32"  # of the computation, or "bfloat16"; parameters, norms, softmax: float32
    remat: bool = False  # recompute blocks in the backward pass: less memory, a third more time

    extra_inputs: ClassVar[tuple[str, ...]] = ("text_visible", "text_infrared")
    uses_haze_density: ClassVar[bool] = False

    def __post_init__(self):
        for field, valid in _CHOICES.items():
            if getattr(self, field) not in valid:
                raise ConfigError(f"{field} must be one of {valid}, not {getattr(self, field)!r}")
        check_positive(self, "widths", "latents", "heads", "sentence_dim", "text_dim")
        for field in _PER_LEVEL:
            if len(getattr(self, field)) != len(self.widths):
                raise ConfigError(
                    f"{field} has {len(getattr(self, field))} values for {len(self.widths)} levels: "
                    f"{field} {getattr(self, field)}, widths {self.widths}"
                )
        super().__post_init__()

    def setup(self):
        options = BlockOptions(
            self.heads, self.ffn_factor, self.tga_variant, self.sca_window, jnp.dtype(self.dtype), self.remat
        )
        self.text_head = TextHead(self.text_dim, len(self.classes), self.text_norm)
        self.image_encoder = Encoder(
            self.widths, self.latents, self.k_bt, self.k_tb, self.reduce, self.inner_residual, options
        )
        widths = self.widths if self.decoder == "wide" else self.latents
        self.image_decoder = Decoder(widths, self.dec_blocks, options)
        self.fusion = Fusion(
            self.fusion_blocks,
            self.rule,
            self.l1_radius,
            self.fusion_attention,
            self.reverse_softmax,
            options,
        )

    def __call__(
        self,
        hazy: Image,
        infrared: Float[Array, "bi hi wi k"],
        *,
        text_visible: Sentence | None = None,
        text_infrared: Sentence | None = None,
        haze_density: Array | None = None,
    ) -> dict[str, Array]:
        """Restore both images and fuse them.

        Args:
          hazy: visible image in [0,1], whatever is wrong with it, sides of at least 16 pixels.
          infrared: infrared image in [0,1] with one or three channels, same size.
          text_visible, text_infrared: sentence vectors [b, sentence_dim] of what is wrong with each image;
            by default nothing is.
          haze_density: must be None; this network has none.

        Returns:
          float32, at the size of the image, in about [0,1] (not clipped): "fused", "restored" (of the visible
          image), "restored_infrared"; "haze_density" of zeros [b h w]. In the computation's dtype at the
          padded size: "latent_visible_1", "latent_infrared_1", "latent_fused_1" and so on for each level.

        Raises:
          InputError: shapes that do not fit, a haze density, or no sentence where the backend has no default.
        """
        check_inputs(hazy, infrared)
        if haze_density is not None:
            raise InputError("lure has no haze density, but one is given")
        b = hazy.shape[0]
        sentences = [self._sentence_or_default(text, b) for text in (text_visible, text_infrared)]
        padded, size = self._padded(jnp.concatenate([hazy, jnp.broadcast_to(infrared, hazy.shape)]))
        modality = jnp.repeat(jnp.asarray([VISIBLE, INFRARED], jnp.int32), b)
        both = self.encode(padded, jnp.concatenate(sentences), modality)
        visible, thermal = (tuple(z[part] for z in both) for part in (slice(b), slice(b, None)))
        fused = self.fuse(visible, thermal)
        named = {"visible": visible, "infrared": thermal, "fused": fused}
        return {
            "fused": crop(self.decode(fused), size),
            "restored": crop(self.decode(visible), size),
            "restored_infrared": crop(self.decode(thermal), size),
            "haze_density": jnp.zeros(hazy.shape[:3], jnp.float32),
            **{
                f"latent_{name}_{i}": z for name, group in named.items() for i, z in enumerate(group, start=1)
            },
        }

    def restore(
        self, image: Float[Array, "b h w k"], sentence: Sentence, modality: Int[Array, " b"]
    ) -> dict[str, Any]:
        """Restore images of one modality each, without fusion.

        Args:
          image: in [0,1], one or three channels, sides of at least 16 pixels.
          sentence: vectors [b, sentence_dim] of what is wrong.
          modality: 0 for a visible and 1 for an infrared image.

        Returns:
          "restored" [b h w 3] float32 (not clipped), "latents" (a map for each level, padded size), "logits"
          [b classes] of the task that the sentence names.
        """
        three = jnp.broadcast_to(image, (*image.shape[:3], 3))
        check_inputs(three, three)
        padded, size = self._padded(three)
        description, logits = self.text_head(sentence)
        latents = self.image_encoder(padded, description, modality)
        return {"restored": crop(self.decode(latents), size), "latents": latents, "logits": logits}

    def encode(self, image: Image, sentence: Sentence, modality: Int[Array, " b"]) -> Latents:
        """Return the latents of images whose sides are multiples of `size_multiple`."""
        return self.image_encoder(image, self.text_head(sentence)[0], modality)

    def fuse(self, visible: Latents, infrared: Latents) -> Latents:
        """Return the latents of the fused images."""
        return self.fusion(visible, infrared)

    def fuse_by_rule(self, visible: Latents, infrared: Latents) -> Latents:
        """Return what the rule alone, without anything learned, makes of the latents."""
        return self.fusion.by_rule(visible, infrared)

    def decode(self, latents: Latents) -> Image:
        """Return the image of latents, float32, not clipped."""
        return self.image_decoder(latents).astype(jnp.float32)

    @nn.nowrap
    def conditions(
        self,
        *,
        text: str | None = None,
        task_visible: str | None = None,
        task_infrared: str | None = None,
        encoder: SentenceEncoder | None = None,
    ) -> dict[str, Float32[np.ndarray, " s"]]:
        """Return the sentence vectors "text_visible" and "text_infrared" of one pair of images, on the host.

        A backend without a language model knows words only from the training prompts; what a user says is
        then put into the words of the prompt that stands for the same degradation.

        Args:
          text: what is wrong with the two, in a user's words.
          task_visible, task_infrared: a task's name, such as "HZ", in place of what the words say.
          encoder: makes the vectors; by default one of the network's backend that needs no file.

        Raises:
          InputError: an unknown task or one of the other image, or a backend that needs an encoder.
        """
        encode = encoder or make_encoder(self.text_backend, split_sr=self.split_sr)
        routed = route(text, task_visible=task_visible, task_infrared=task_infrared, split_sr=self.split_sr)
        if self.text_backend not in UNDERSTANDING:
            routed = in_known_words(routed, split_sr=self.split_sr)
        visible, infrared = encode(routed)
        return {"text_visible": visible, "text_infrared": infrared}

    @property
    def classes(self) -> tuple[str, ...]:
        """The tasks that the text head tells apart, in the order of its logits."""
        return class_names(split_sr=self.split_sr)

    @property
    def size_multiple(self) -> int:
        """What the sides of an image are padded to a multiple of."""
        return 2 ** (len(self.widths) - 1)

    def _padded(self, image: Image) -> tuple[Float[Array, "b h2 w2 3"], tuple[int, int]]:
        return pad_to_multiple(image, self.size_multiple)

    def _sentence_or_default(self, sentence: Sentence | None, batch: int) -> Sentence:
        if sentence is None:
            # Parameters do not depend on what the sentence says.
            one = (
                jnp.zeros(self.sentence_dim)
                if self.is_initializing()
                else jnp.asarray(clean_sentence(self.text_backend, self.classes))
            )
            sentence = jnp.tile(one[None], (batch, 1))
        if sentence.shape != (batch, self.sentence_dim):
            raise InputError(
                f"the sentence vectors have shape {sentence.shape}; expected {(batch, self.sentence_dim)}"
            )
        return sentence
