"""Mergeable records: sums are formed on the device under a mask, the division happens once at the end."""

import flax.struct
import jax.numpy as jnp
from jaxtyping import Array, Float


@flax.struct.dataclass
class MeanRecord:
    """The mean of per-image values, as a sum and the number of images in it.

    Records of any batches, padded or not, and of any number of hosts merge to the mean over all images;
    averaging the batches' means instead would give the images of a short last batch too much weight.
    """

    total: Float[Array, ""]
    count: Float[Array, ""]

    @classmethod
    def empty(cls) -> "MeanRecord":
        """Return the record of no image: merging it changes nothing."""
        return cls(total=jnp.zeros((), jnp.float32), count=jnp.zeros((), jnp.float32))

    @classmethod
    def from_values(cls, values: Float[Array, " b"], mask: Float[Array, " b"] | None = None) -> "MeanRecord":
        """Return the record of a batch; `mask` is 1 for an image that counts and 0 for padding.

        A padded image's value is ignored even where it is NaN or infinite.
        """
        values = values.astype(jnp.float32)
        counted = jnp.ones_like(values) if mask is None else (mask > 0).astype(jnp.float32)
        return cls(total=jnp.where(counted > 0, values, 0.0).sum(), count=counted.sum())

    def merge(self, other: "MeanRecord") -> "MeanRecord":
        """Return the record of the images of both."""
        return MeanRecord(total=self.total + other.total, count=self.count + other.count)

    def result(self) -> Float[Array, ""]:
        """Return the mean; NaN if no image was counted."""
        return jnp.where(self.count > 0, self.total / jnp.maximum(self.count, 1.0), jnp.nan)
