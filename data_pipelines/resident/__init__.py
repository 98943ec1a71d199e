"""Sets that fit are kept whole on the accelerator, and batches are cut out of them inside the training step.

The host sends which scene and which corner (12 bytes an example) in place of images. The crops are those that
`loaders.training_batches` would have sent, bit for bit, so a run may change between the two.
"""

from data_pipelines.resident.crops import crop_scenes
from data_pipelines.resident.storage import resident_bytes, stack_scenes

__all__ = ["crop_scenes", "resident_bytes", "stack_scenes"]
