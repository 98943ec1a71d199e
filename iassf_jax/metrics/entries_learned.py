"""Entries of METRICS that the host computes with learned parameters."""

from iassf_jax.metrics.ma_features import SMALLEST_SIDE
from iassf_jax.metrics.metric import BLOCK, LUMA, SHAVED, Direction, Metric

_PYIQA = "RGB, through pyiqa"


def _learned(
    name: str, title: str, definition: str, direction: Direction, value_range: str, source: str, **options
):
    inputs = options.pop("inputs", ("fused",))
    return Metric(name, title, definition, inputs, value_range, direction, source, None, **options)


ENTRIES = (
    _learned(
        "q_pi",
        "Q_PI",
        "Perceptual index ((10 - Ma) + NIQE(Y)) / 2; computed where Ma's regression forests are at hand: "
        "in a model file (`--ma-model`), or in pyiqa, whose own reading departs from the authors' program.",
        "lower",
        "about 2..10",
        "PIRM 2018 (Blau et al.)",
        blocks=2,
        smallest_side=BLOCK + 2 * SHAVED,
        inputs=("fused_y",),
        colour=LUMA,
    ),
    _learned(
        "ma",
        "Ma",
        "Score of three regression forests on statistics of DCT, wavelet and singular values, "
        "4 pixels shaved off every side as inside PI; needs the forests as Q_PI does.",
        "higher",
        "about 0..10",
        "Ma et al. 2017",
        inputs=("fused_y",),
        colour=LUMA,
        smallest_side=SMALLEST_SIDE + 2 * SHAVED,
    ),
    _learned(
        "clip_iqa",
        "CLIP-IQA",
        "Similarity of the image to 'good photo' against 'bad photo' in CLIP.",
        "higher",
        "0..1",
        "Wang, Chan and Loy 2023",
        colour=_PYIQA,
        smallest_side=32,
    ),
    _learned(
        "liqe",
        "LIQE",
        "Language-image multitask quality estimate.",
        "higher",
        "1..5",
        "Zhang et al. 2023",
        colour=_PYIQA,
        smallest_side=224,
    ),
    _learned(
        "maniqa",
        "MANIQA",
        "Multi-dimension attention network.",
        "higher",
        "0..1",
        "Yang et al. 2022",
        colour=_PYIQA,
        smallest_side=224,
    ),
    _learned(
        "musiq",
        "MUSIQ",
        "Multi-scale image quality transformer (KonIQ-10k weights).",
        "higher",
        "0..100",
        "Ke et al. 2021",
        colour=_PYIQA,
        smallest_side=32,
    ),
    _learned(
        "arniqa",
        "ARNIQA",
        "Distortion manifold learned without labels.",
        "higher",
        "0..1",
        "Agnolucci et al. 2024",
        colour=_PYIQA,
        smallest_side=32,
    ),
)
