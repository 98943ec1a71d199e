"""What the measures of a set's pairs say is wrong, odd, or good to know."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np

from data_pipelines.decode import ImageError
from data_pipelines.doctor.measures import Measures, measure
from data_pipelines.doctor.pairs import Pair
from data_pipelines.sets.layouts import Problem
from data_pipelines.sets.splitting import DUPLICATE, similar_pairs

GREY = 1.0  # saturation below which an image has no colour, 8-bit levels
COLOURED = 4.0  # saturation from which it has; between the two lies what JPEG makes of grey
CONSTANT = 2.0  # contrast below which there is nothing to see, 8-bit levels
RELIABLE = 6.0  # confidence of a displacement; real pairs shifted by hand are found from here on
TOLERATED = 0.012  # displacement as a share of the longer side: 3 of 256 pixels
SQUEEZED = 127  # no value of a hazy image that was stored as 0.5 + h/2 is below
_THREADS = 4  # decoding releases the interpreter's lock


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something about some pairs; `names` are theirs, empty when it is about the whole set."""

    level: Literal["error", "warning", "note"]
    title: str
    detail: str
    names: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Report:
    """What was seen: the pairs in order, and the findings, worst first."""

    pairs: Sequence[Measures]
    findings: Sequence[Finding]


def examine(
    pairs: Sequence[Pair],
    problems: Sequence[Problem],
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Measure all pairs and judge the set; `progress` gets the numbers of pairs done and in all."""
    unreadable: list[Problem] = []
    measured: list[Measures] = []

    def attempt(pair: Pair) -> Measures | Problem:
        try:
            return measure(pair)
        except ImageError as error:
            return Problem(pair.name, str(error))

    with ThreadPoolExecutor(_THREADS) as pool:
        for done, result in enumerate(pool.map(attempt, pairs), start=1):
            if isinstance(result, Problem):
                unreadable.append(result)
            else:
                measured.append(result)
            progress(done, len(pairs))
    findings = [*_broken(problems, unreadable), *judge(measured)]
    order = {"error": 0, "warning": 1, "note": 2}
    return Report(measured, sorted(findings, key=lambda finding: order[finding.level]))


def judge(pairs: Sequence[Measures]) -> list[Finding]:
    """Return what the measures say."""
    if not pairs:
        return []
    return [
        *_of_each_pair(pairs),
        *_displaced(pairs),
        *_duplicates(pairs),
        *_squeezed(pairs),
        *_overview(pairs),
    ]


def _broken(problems: Sequence[Problem], unreadable: Sequence[Problem]) -> list[Finding]:
    return [
        Finding("error", title, "; ".join(p.reason for p in found[:3]), [p.name for p in found])
        for title, found in (("scenes without all images", problems), ("unreadable images", unreadable))
        if found
    ]


def _of_each_pair(pairs: Sequence[Measures]) -> list[Finding]:
    rules: list[tuple[Literal["error", "warning", "note"], str, str, Callable[[Measures], bool]]] = [
        (
            "error",
            "different sizes",
            "the images and the depth map of a scene must have one size (RoadScene: take crop_LR_visible)",
            lambda pair: {pair.size} != {pair.infrared_size, *pair.other_sizes.values()},
        ),
        (
            "error",
            "swapped modalities",
            "the visible image is grey and the infrared one coloured",
            lambda pair: pair.saturation < GREY and pair.infrared_saturation >= COLOURED,
        ),
        (
            "warning",
            "coloured infrared",
            "colour-mapped, not a temperature; it is reduced to its luma",
            lambda pair: pair.infrared_saturation >= COLOURED and pair.saturation >= GREY,
        ),
        (
            "warning",
            "constant images",
            "one of the two shows nothing",
            lambda pair: min(pair.contrast, pair.infrared_contrast) < CONSTANT,
        ),
        (
            "note",
            "infrared of more than 8 bits",
            "training reads its full range unless data.infrared_range gives limits",
            lambda pair: pair.infrared_mode.split()[-1] in ("I;16", "I;16B", "I", "F"),
        ),
        (
            "note",
            "infrared with several channels",
            "grey in fact; read as one channel",
            lambda pair: (
                pair.infrared_mode.split()[-1] in ("RGB", "RGBA") and pair.infrared_saturation < COLOURED
            ),
        ),
        (
            "note",
            "grey visible images",
            "colour cannot be learnt from them",
            lambda pair: pair.saturation < GREY and pair.infrared_saturation < COLOURED,
        ),
    ]
    found = [
        (level, title, detail, [pair.name for pair in pairs if rule(pair)])
        for level, title, detail, rule in rules
    ]
    return [Finding(level, title, detail, names) for level, title, detail, names in found if names]


def _displaced(pairs: Sequence[Measures]) -> list[Finding]:
    sure = [pair for pair in pairs if pair.shift_confidence >= RELIABLE and pair.size == pair.infrared_size]
    moved = [pair for pair in sure if max(map(abs, pair.shift)) > TOLERATED * max(pair.size)]
    findings = []
    if sure:
        down, right = np.median([pair.shift for pair in sure], axis=0)
        detail = f"median displacement of infrared: {down:.1f} down, {right:.1f} right ({len(sure)} pairs)"
        findings.append(Finding("note", "registration", f"{detail}, in pixels of the visible images"))
    if moved:
        worst = max(moved, key=lambda pair: max(map(abs, pair.shift)))
        detail = f"worst {worst.name}: {worst.shift[0]:.0f} down, {worst.shift[1]:.0f} right, in pixels"
        findings.append(Finding("warning", "misregistered", detail, [pair.name for pair in moved]))
    return findings


def _duplicates(pairs: Sequence[Measures]) -> list[Finding]:
    same = similar_pairs(np.stack([pair.thumbnail for pair in pairs]), least=DUPLICATE)
    if not same:
        return []
    across = [(i, j) for i, j in same if pairs[i].split != pairs[j].split]
    detail = f"{len(same)} pairs of scenes look the same, {len(across)} of them in different splits"
    names = sorted({f"{pairs[i].name} = {pairs[j].name}" for i, j in same})
    return [Finding("error" if across else "warning", "near-duplicates", detail, names)]


def _squeezed(pairs: Sequence[Measures]) -> list[Finding]:
    names = [pair.name for pair in pairs if pair.hazy_range and pair.hazy_range[0] >= SQUEEZED]
    if not names:
        return []
    detail = "no hazy value is below 127: stored as 0.5 + h/2, as the released IASSF files are"
    return [Finding("warning", "squeezed hazy images", detail, names)]


def _overview(pairs: Sequence[Measures]) -> list[Finding]:
    sizes = Counter(f"{pair.size[1]}x{pair.size[0]}" for pair in pairs)
    modes = Counter(f"visible {pair.visible_mode}, infrared {pair.infrared_mode}" for pair in pairs)
    splits = Counter(pair.split or "all" for pair in pairs)
    return [
        Finding("note", title, ", ".join(f"{count} {what}" for what, count in counts.most_common(5)))
        for title, counts in (
            ("scenes", splits),
            (f"{len(sizes)} sizes" if len(sizes) > 1 else "one size", sizes),
            ("files", modes),
        )
    ]
