"""The recipes of the literature and our own, as data.

All follow Koschmieder's law, hazy = clear t + airlight (1 - t) with t = exp(-beta d). They differ in what d
is, in the ranges of beta and of the airlight, and in what happens to the image afterwards.
"""

import dataclasses
from typing import Literal

from data_pipelines.haze.draws import Draw, LogUniform, OneOf, Uniform

# metres: the depth map. relative: the depth over the largest in the image. reversed: 1 minus a normalised
# inverse depth, which depth networks such as MegaDepth and MiDaS give. The others take no depth: wave is the
# diagonal sine of `released`, around falls off from a point in pixels, flat is 1 everywhere.
Distance = Literal["metres", "relative", "reversed", "wave", "around", "flat"]
NEEDS_DEPTH: tuple[Distance, ...] = ("metres", "relative", "reversed")


@dataclasses.dataclass(frozen=True)
class Photograph:
    """What sets a photograph of haze apart from a formula on display values."""

    exponent: Draw = Uniform(1.0, 2.2)  # the law is applied to value**exponent; 2.2 is about linear light
    tint: Draw = Uniform(-0.025, 0.025)  # airlight: red up and blue down by this much
    green: Draw = Uniform(-0.01, 0.01)  # airlight: green up by this much
    spread: Draw = Uniform(0.0, 0.12)  # blue is scattered more than green by this share, red less
    patchiness: Draw = Uniform(0.0, 0.4)  # deviation of the logarithm of beta over the image
    shot_noise: Draw = LogUniform(1e-5, 1e-3)  # variance per unit of brightness
    read_noise: Draw = LogUniform(5e-4, 8e-3)  # deviation, added at any brightness


@dataclasses.dataclass(frozen=True)
class Preset:
    """One recipe. The fields are in the order in which they act."""

    source: str  # where it comes from, in a few words
    distance: Distance
    beta: Draw  # extinction per unit of distance
    airlight: Draw | None  # grey level of infinitely thick haze; None takes it from the image's dark channel
    farthest: float = 1000.0  # metres; the range of the depth source, beyond which nothing is told apart
    blur: int = 1  # side of the box that blurs the distance, pixels
    most: float = 1e9  # larger distances count as this, after the blur
    modulation: Draw = OneOf((0.0,))  # c of the wave
    relative_beta: bool = False  # beta is drawn for the geometric mean distance of the image, not per unit
    follows_light: bool = False  # darker images get darker airlight: see `scattering.airlight_level`
    photograph: Photograph | None = None
    squeezed: bool = False  # stored as h / 2 + 1 / 2


PRESETS: dict[str, Preset] = {
    "clear": Preset("no haze: clear inputs for a mixture", "flat", OneOf((0.0,)), OneOf((0.0,))),
    "iassf_released": Preset(
        "the hazy MSRS files that IASSF's authors released; formula and ranges recovered from them",
        "wave",
        Uniform(0.0, 1.26),
        Uniform(0.3, 0.6),
        modulation=Uniform(0.4, 0.6),
        squeezed=True,
    ),
    "reside_ots": Preset(
        "RESIDE's outdoor training set: its seven betas and five airlights, depth in metres up to 80",
        "metres",
        OneOf((0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2)),
        OneOf((0.8, 0.85, 0.9, 0.95, 1.0)),
        farthest=80.0,
    ),
    "reside_its": Preset(
        "RESIDE's indoor training set: NYU depth, here over its largest value (the scaling is not published)",
        "relative",
        Uniform(0.6, 1.8),
        Uniform(0.7, 1.0),
        farthest=80.0,
    ),
    "ems_radial": Preset(
        "Text-IF's EMS: thickest around pixel (100, 300), beta 0.12; far from there it raises contrast",
        "around",
        OneOf((0.12,)),
        OneOf((0.8,)),
    ),
    "onerestore": Preset(
        "OneRestore's CDD-11 and ControlFusion: reversed depth image, blurred and cut at 0.7",
        "reversed",
        Uniform(1.0, 2.0),
        Uniform(0.6, 0.9),
        blur=22,
        most=0.7,
    ),
    "mioir": Preset(
        "MiOIR's MiO100: depth by DCNF over its largest value",
        "relative",
        Uniform(0.5, 2.5),
        Uniform(0.8, 1.0),
        farthest=80.0,
    ),
    "foggy_cityscapes": Preset(
        "Foggy Cityscapes: visibility 600, 300 or 150 m, airlight from the dark channel of the clear image",
        "metres",
        OneOf((0.005, 0.01, 0.02)),
        None,
    ),
    "uniform": Preset(
        "an even veil: one transmission for all pixels", "flat", Uniform(0.0, 1.6), Uniform(0.6, 1.0)
    ),
    "physical": Preset(
        "ours: depth in metres, thin to thick, airlight by day and night, colour, patches, tone curve, noise",
        "metres",
        LogUniform(0.1, 2.5),
        Uniform(0.0, 1.0),
        relative_beta=True,
        follows_light=True,
        photograph=Photograph(),
    ),
}
