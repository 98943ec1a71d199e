"""Random changes of a batch on the device: flips, turns, enlargement and colour, one key per example.

Images are NHWC, uint8 or float; everything is safe under jit and vmap.
"""

from data_pipelines.augment.augmentation import augment
from data_pipelines.augment.convert import to_float

__all__ = ["augment", "to_float"]
