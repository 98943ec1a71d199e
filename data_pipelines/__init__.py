"""From image files to batches.

Modules at this level and `scenes` run on the host: they import neither jax nor iassf_jax, so that a reading
process starts no accelerator. `haze` and `augment` run on the device, inside jitted functions.
"""
