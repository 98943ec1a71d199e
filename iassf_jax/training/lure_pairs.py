"""Real pairs of a manifest in a batch of LURE's first stage, beside degradations that are made.

"pair" [b 3] has the task (a position in `restoration_pairs.TASKS`, negative where it is drawn), 1 for
infrared and 1 where "visible_hazy" is the degraded image; "visible_clear" is the clean one, of whichever
modality.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.degradations.pairs import RestorationPairs


def thermal_of_pairs(pair: Int[Array, "b 3"], images: Mapping[str, Any]) -> Float[Array, "b h w 1"]:
    """Return the infrared images; of infrared pairs what the augmentation made of the clean image."""
    return jnp.where(_rows(pair[:, 1] > 0), images["visible_clear"][..., :1], images["infrared"][..., :1])


def with_given(
    pairs: RestorationPairs, pair: Int[Array, "b 3"], images: Mapping[str, Any]
) -> RestorationPairs:
    """Return the pairs with the degraded images that a manifest has.

    Args:
      pairs: made of the same batch for the tasks of the manifest. A clean visible image has become an
        infrared one there, since only those are left as they are when degradations are drawn.
      pair: see the module.
      images: "visible_clear" and "visible_hazy" [b h w 3].
    """
    listed, infrared, given = pair[:, 0] >= 0, pair[:, 1], pair[:, 2] > 0
    # Only a clean visible image can have another modality in `pairs`: every degradation is of one.
    untouched = listed & (infrared != pairs.modality)
    degraded = jnp.where(_rows(untouched), images["visible_clear"], pairs.degraded)
    return pairs._replace(
        degraded=jnp.where(_rows(given), images["visible_hazy"], degraded),
        clean=jnp.where(_rows(listed), images["visible_clear"], pairs.clean),
        modality=jnp.where(listed, infrared, pairs.modality),
    )


def _rows(chosen: Bool[Array, " b"]) -> Bool[Array, "b 1 1 1"]:
    return chosen[:, None, None, None]
