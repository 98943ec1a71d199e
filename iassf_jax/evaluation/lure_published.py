"""LURE's published values (Ma et al., arXiv 2503.07033v2), to stand beside one's own.

Only the metrics that need no learned model are here. PS is on the scale of `psnr_tang_half`,
which is inferred from the numbers; SS and MS are means over the two sources, as ours. Networks and training
data are those of the papers, and all images of each test set count.
"""

from collections.abc import Mapping

SOURCE = "Ma et al., arXiv 2503.07033"
_METHODS = ("DCINN", "CSCFuse", "MMDRFuse", "GTMFuse", "FusionBooster", "Text-IF", "DAFusion", "LURE")
_FUSION = ("cc", "q_scd", "psnr_tang_half", "ssim", "ms_ssim")

# One line for each of _METHODS.
_VANILLA: Mapping[str, str] = {
    "MSRS": """
        0.58 1.49 32.54 0.36 0.45
        0.53 0.92 31.83 0.16 0.28
        0.61 1.53 32.47 0.48 0.52
        0.60 1.61 31.64 0.42 0.50
        0.67 1.53 31.20 0.34 0.50
        0.60 1.68 32.29 0.48 0.52
        0.66 1.58 28.80 0.26 0.41
        0.61 1.74 32.56 0.49 0.53""",
    "M3FD": """
        0.59 1.37 31.97 0.49 0.49
        0.58 1.67 30.47 0.43 0.48
        0.62 1.40 31.13 0.49 0.50
        0.59 1.52 30.34 0.24 0.41
        0.59 1.53 29.61 0.40 0.47
        0.58 1.41 31.67 0.48 0.48
        0.63 1.75 30.51 0.42 0.46
        0.64 1.68 32.12 0.50 0.53""",
    "TNO": """
        0.42 1.61 31.81 0.29 0.36
        0.44 1.72 30.49 0.44 0.45
        0.46 1.59 31.18 0.48 0.43
        0.45 1.68 30.46 0.37 0.41
        0.46 1.54 29.07 0.40 0.42
        0.42 1.67 31.29 0.47 0.44
        0.49 1.70 30.53 0.44 0.41
        0.46 1.84 31.92 0.51 0.47""",
    "RoadScene": """
        0.56 1.16 31.49 0.16 0.36
        0.63 1.80 30.82 0.46 0.52
        0.63 1.10 31.27 0.41 0.48
        0.60 1.55 29.55 0.33 0.45
        0.59 1.03 29.39 0.35 0.45
        0.61 1.57 31.21 0.48 0.52
        0.64 1.65 31.34 0.48 0.53
        0.57 1.67 31.52 0.50 0.55""",
}

# Tables 3 and 4: condition -> metric -> values of _METHODS. The SD of OE+LC and LL+LC are the same in seven
# of eight rows of the paper, so that one column is probably a copy of the other.
_DEGRADED: Mapping[str, Mapping[str, str]] = {
    "LL": {
        "ag": "4.74 4.27 3.95 4.15 4.10 4.05 5.19 4.77",
        "sd": "40.90 51.08 36.07 50.75 37.36 42.10 47.99 55.23",
    },
    "SR4": {"q_sf": "10.09 14.23 9.22 8.76 9.13 13.20 15.23 11.20"},
    "SR8": {"q_sf": "10.15 13.16 9.36 8.65 9.16 12.78 15.23 9.77"},
    "OE+LC": {"sd": "42.46 47.61 37.44 53.00 34.39 49.43 52.56 55.40"},
    "LL+LC": {
        "en": "7.10 5.88 6.93 7.23 6.88 7.26 7.24 7.42",
        "sd": "42.46 47.61 37.44 53.00 34.39 49.43 50.84 55.40",
    },
}

Rows = dict[str, dict[str, float]]
DATA_SETS = tuple(_VANILLA)


def published_fusion(data_set: str) -> Rows:
    """Return method -> metric -> value of clean pairs (Tables 1 and 2); `data_set` is one of `DATA_SETS`."""
    lines = _VANILLA[data_set].strip().splitlines()
    return {
        method: dict(zip(_FUSION, map(float, line.split()), strict=True))
        for method, line in zip(_METHODS, lines, strict=True)
    }


def published_degraded(condition: str) -> Rows:
    """Return method -> metric -> value of degraded pairs (Tables 3 and 4); empty where there are none."""
    columns = {metric: values.split() for metric, values in _DEGRADED.get(condition, {}).items()}
    if not columns:
        return {}
    return {
        method: {metric: float(values[row]) for metric, values in columns.items()}
        for row, method in enumerate(_METHODS)
    }
