"""What an entry of METRICS states."""

import dataclasses
import re
from collections.abc import Callable
from typing import Literal

from jaxtyping import Array, Float

from iassf_jax.metrics.niqe_model import BLOCK

Direction = Literal["higher", "lower", "none"]
# What a metric is computed from. "infrared", "visible", "fused": grey levels [b h w]. "fused_y": levels of Y,
# 4 pixels shaved off every side; "fused_luma": the same unshaved. "visible_levels", "fused_levels": levels of
# the channels [b h w 3]. "fused_rgb", "reference_rgb": float [b h w 3] in [0,1].
SOURCES = ("infrared", "visible", "fused")
SHAVED = 4


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a number means.

    Attributes:
      name: key in `METRICS`, in tables and in files.
      title: as printed in tables.
      definition: formula or procedure in words.
      inputs: names of what `function` takes, see the comment at `SOURCES`.
      value_range: of the result, with its unit.
      direction: "higher" or "lower" is better; "none" where a number cannot say so.
      source: publication and the tool boxes that agree.
      function: pure JAX, one value per image; None where the host computes it (Ma's forests, pyiqa).
      smallest_side: in pixels; smaller images have no value.
      blocks: least number of whole blocks of 96x96 pixels.
      colour: how colour images are treated.
      legacy: True for a known fault of a tool box, offered to compare with tables that contain it.
      takes_niqe_model: True if `function` has a keyword "model" for a `NiqeModel` of the user.
    """

    name: str
    title: str
    definition: str
    inputs: tuple[str, ...]
    value_range: str
    direction: Direction
    source: str
    function: Callable[..., Float[Array, " b"]] | None
    smallest_side: int = 2
    blocks: int = 0
    colour: str = "converted to grey with MATLAB's rgb2gray weights, rounded"
    legacy: bool = False
    takes_niqe_model: bool = False

    def fits(self, height: int, width: int) -> bool:
        """Whether images of this size have a value."""
        shaved = 2 * SHAVED if "fused_y" in self.inputs else 0
        blocks = ((height - shaved) // BLOCK) * ((width - shaved) // BLOCK)
        return min(height, width) >= self.smallest_side and blocks >= self.blocks

    def requirement(self) -> str:
        """The size that `fits` asks for, in words."""
        if self.blocks:
            extra = f" after {SHAVED} pixels are shaved off every side" if "fused_y" in self.inputs else ""
            return f"at least {self.blocks} whole blocks of {BLOCK}x{BLOCK} pixels{extra}"
        return f"both sides of at least {self.smallest_side} pixels"


GREY = "converted to grey with MATLAB's rgb2gray weights, rounded"
LUMA = "Y of MATLAB's rgb2ycbcr (16..235), rounded; grey counts as three equal channels"
RGB = "RGB as it is; grey counts as three equal channels"
SHEIKH = "Sheikh and Bovik 2006"
MITTAL = "Mittal, Soundararajan and Bovik 2013, LIVE release 1.0"
WANG = "Wang et al. 2004"
TANG = "Tang (General Evaluation Metric)"


def device_metric(
    name: str,
    title: str,
    function: Callable[..., Array],
    inputs: tuple[str, ...],
    direction: Direction,
    value_range: str,
    source: str,
    *,
    smallest_side: int = 2,
    blocks: int = 0,
    colour: str = GREY,
    legacy: bool = False,
    takes_niqe_model: bool = False,
) -> Metric:
    """Return the entry of a metric computed on the device; its definition is the function's docstring.

    What a docstring says of arguments and errors is no part of the definition.
    """
    text = re.split(r"\n *(?:Args|Raises):", function.__doc__ or "")[0]
    definition = " ".join(text.split())
    return Metric(
        name,
        title,
        definition,
        inputs,
        value_range,
        direction,
        source,
        function,
        smallest_side,
        blocks,
        colour,
        legacy,
        takes_niqe_model,
    )


FUSED = ("fused",)
