"""Degradations on the device: pure functions of a key and clean images, batched, for use in a jitted step.

    dark = degrade(key, visible, "LL")
    pairs = restoration_pairs(key, visible, infrared, names=("LC", "SR4", "HZ", "OE", "LL"))

`DEGRADATIONS` has every one by name, with the modality that it is for.
"""

from data_pipelines.degradations.pairs import RestorationPairs, restoration_pairs
from data_pipelines.degradations.table import DEGRADATIONS, Degradation, degrade

__all__ = ["DEGRADATIONS", "Degradation", "RestorationPairs", "degrade", "restoration_pairs"]
