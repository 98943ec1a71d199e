"""Haze on the device: pure JAX functions of a key and clear images, batched, for use inside a jitted step.

    hazy = synthesize(key, clear, "physical")
    hazy, drawn = synthesize_with_parameters(key, clear, "iassf_released:0.45,physical:0.45,clear:0.1")

`PRESETS` has every recipe by name. `fit_released` recovers the three numbers of a released hazy file.
"""

from data_pipelines.haze.mixtures import Mixture, as_mixture
from data_pipelines.haze.presets import PRESETS, Photograph, Preset
from data_pipelines.haze.released import ReleasedFit, fit_released, released_haze
from data_pipelines.haze.synthesis import HazeParameters, synthesize, synthesize_with_parameters

__all__ = [
    "PRESETS",
    "HazeParameters",
    "Mixture",
    "Photograph",
    "Preset",
    "ReleasedFit",
    "as_mixture",
    "fit_released",
    "released_haze",
    "synthesize",
    "synthesize_with_parameters",
]
