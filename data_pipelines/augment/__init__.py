"""Random changes of a batch on the device: flips and rotations, one key per example.

Images are NHWC, uint8 or float; everything is safe under jit and vmap.
"""

from data_pipelines.augment.convert import to_float
from data_pipelines.augment.geometry import augment

__all__ = ["augment", "to_float"]
