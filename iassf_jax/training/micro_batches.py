"""Into how many micro-batches, taken one after the other, a training step deals its batch."""

from collections.abc import Mapping
from typing import Any

import jax

from iassf_jax.core.errors import ConfigError

# Fewer pixels at a time cost time: four crops of 64 pixels one by one took 1.2 of the time of all together,
# four of 128 pixels 0.97 (two cores).
_ENOUGH_PIXELS = 2**15


def micro_batches(accumulate: int, data: Mapping[str, Any], *, devices: int) -> int:
    """Return the micro-batches of a step; the devices split each of them.

    Args:
      accumulate: how many; 0 chooses: one on accelerators, which want all the work there is at once, and on
        CPUs as many as leave a device 32,768 pixels at a time. More of them would only need more memory.
      data: the options of the batches, of which `batch_size`, `crop` and `resize` count.
      devices: over which a batch is split.

    Raises:
      ConfigError: the batch does not make so many equal parts with the same share for each device.
    """
    size, parts = data["batch_size"], max(accumulate, 1)
    if size % (devices * parts):
        raise ConfigError(
            f"config.data.batch_size is {size}; expected a multiple of {devices * parts}, because each of "
            f"the {devices} devices along `data` takes its share of {parts} micro-batch{'es' * (parts > 1)}"
        )
    if accumulate or jax.default_backend() != "cpu":
        return parts
    share, together = size // devices, _examples_together(data)
    return max(n for n in range(1, share + 1) if share % n == 0 and (n == 1 or share // n >= together))


def _examples_together(data: Mapping[str, Any]) -> int:
    """Return the fewest examples that a CPU should get at a time."""
    height, width = (data["crop"],) * 2 if data["crop"] else data["resize"] or (None, None)
    if height is None:  # whole images, whose size the files tell
        return 1
    return -(-_ENOUGH_PIXELS // (height * width))
