"""A recipe or a weighted mixture of recipes, from the text in which configurations name it."""

import dataclasses
import difflib
import math

from jaxtyping import Array, Float

from data_pipelines.haze.draws import Scaled
from data_pipelines.haze.presets import PRESETS, Preset
from iassf_jax.core.errors import InputError


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Recipes of which every example gets one, drawn with these probabilities."""

    names: tuple[str, ...]
    presets: tuple[Preset, ...]
    probabilities: tuple[float, ...]  # add up to 1

    def without(self, name: str) -> "Mixture":
        """Return the mixture of the other recipes; the mixture itself if there are none."""
        kept = [i for i, other in enumerate(self.names) if other != name]
        if not kept:
            return self
        total = sum(self.probabilities[i] for i in kept)
        return Mixture(
            tuple(self.names[i] for i in kept),
            tuple(self.presets[i] for i in kept),
            tuple(self.probabilities[i] / total for i in kept),
        )

    def stronger(self, factor: float | Float[Array, ""]) -> "Mixture":
        """Return the mixture with every extinction times `factor`: transmissions t become t**factor."""
        presets = (dataclasses.replace(one, beta=Scaled(one.beta, factor)) for one in self.presets)
        return dataclasses.replace(self, presets=tuple(presets))


def as_mixture(haze: "str | Preset | Mixture") -> Mixture:
    """Return the mixture that `haze` names.

    Args:
      haze: a preset's name ("physical"); names with weights ("iassf_released:0.45, physical:0.45, clear:0.1",
        where the weights need not add up to 1); a `Preset` of your own; or a mixture, which comes back.

    Raises:
      InputError: an unknown or repeated name, a weight that is no positive number, or an empty text.
    """
    if isinstance(haze, Mixture):
        return haze
    if isinstance(haze, Preset):
        return Mixture(("custom",), (haze,), (1.0,))
    parts = [_part(word, haze) for word in haze.split(",") if word.strip()]
    names = tuple(name for name, _ in parts)
    if not parts or len(set(names)) < len(names):
        raise InputError(f"haze {haze!r}: expected a preset or NAME:WEIGHT,NAME:WEIGHT, each name once")
    total = sum(weight for _, weight in parts)
    return Mixture(names, tuple(PRESETS[n] for n in names), tuple(weight / total for _, weight in parts))


def _part(word: str, haze: str) -> tuple[str, float]:
    name, colon, text = (piece.strip() for piece in word.partition(":"))
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"there is no haze preset {name!r}{hint} There are {', '.join(PRESETS)}")
    try:
        weight = float(text) if colon else 1.0
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise InputError(f"haze {haze!r}: the weight of {name} is {text!r}; expected a number above 0")
    return name, weight
