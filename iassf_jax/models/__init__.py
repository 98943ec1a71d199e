"""Networks by name.

    model = create("iassf_released", num_fusion_blocks=5)
    variables = model.init(key, hazy, infrared)
    outputs = model.apply(variables, hazy, infrared)

Every network takes float32 images [B,H,W,3] in [0,1] (infrared with one or three channels) of any size from
16x16 up and returns a mapping with "fused" and "restored" [B,H,W,3] (in [0,1] up to over- and undershoot: the
caller clips), "haze_density" [B,H,W] and every named intermediate.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from flax import linen as nn

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.iassf import Iassf
from iassf_jax.models.iassf_lite import IassfLite
from iassf_jax.models.iassf_released import IassfReleased
from iassf_jax.models.lure import Lure

MODELS: dict[str, type[nn.Module]] = {
    "iassf": Iassf,
    "iassf_released": IassfReleased,
    "iassf_lite": IassfLite,
    "lure": Lure,
}


def create(name: str | Mapping[str, Any], **fields: Any) -> nn.Module:
    """Build a network from its name and fields, or from a mapping `{"name": ..., **fields}`.

    Raises:
      ConfigError: unknown network or field; the message names the nearest valid one.
    """
    if not isinstance(name, str):
        fields = {**{key: value for key, value in name.items() if key != "name"}, **fields}
        name = str(name["name"])
    if name not in MODELS:
        raise ConfigError(
            f"no network is called {name!r}{_nearest(name, MODELS)}; there are {', '.join(MODELS)}"
        )
    valid = model_fields(name)
    for field in fields:
        if field not in valid:
            raise ConfigError(
                f"{name} has no field {field!r}{_nearest(field, valid)}; it has {', '.join(valid)}"
            )
    # Configuration files give lists; Linen modules have to be hashable.
    return MODELS[name](**{key: tuple(v) if isinstance(v, list) else v for key, v in fields.items()})


def model_fields(name: str) -> dict[str, Any]:
    """Return the fields of a network with their defaults."""
    hidden = {"parent", "name"}
    return {f.name: f.default for f in dataclasses.fields(MODELS[name]) if f.name not in hidden}


def _nearest(word: str, options: Any) -> str:
    close = difflib.get_close_matches(word, list(options), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
