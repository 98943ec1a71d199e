"""A run's record as Markdown: timings, memory, compilation, and the distance to the machine's limit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def render(record: Mapping[str, Any], name: str = "") -> str:
    """Return the page of one record; `name` is its heading (default: its devices)."""
    parts = [_heading(record, name), _timings(record), _rivals(record), _memory(record), _roofline(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(record: Mapping[str, Any], name: str) -> str:
    machine = record["machine"]
    done = [c for case in record["cases"] for c in case["contenders"] if "error" not in c]
    devices = sorted({c["device"] for c in done})
    versions: dict[str, str] = {}
    for contender in done:
        versions |= contender["versions"]
    lines = [
        f"## {name or ', '.join(devices)}",
        f"{record['created']}; {machine['processor']}, {machine['cores']} cores, load {machine['load']} at "
        f"the start; {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        f"**{record['note']}**" if record["note"] else "",
    ]
    return "\n\n".join(filter(None, lines))


def _timings(record: Mapping[str, Any]) -> str:
    rows = []
    for case in record["cases"]:
        by_side = _best_by_side(case)
        ours, rival = by_side.get("jax"), by_side.get("torch")
        ratio = f"{case['ratio']:.2f} ({_range(case['ratio_by_round'])})" if "ratio" in case else "-"
        rows.append(
            (
                case["name"],
                _time(ours["seconds"]) if ours else "failed",
                f"{_time(rival['seconds'])} {rival['name']}" if rival else "-",
                ratio,
                "yes" if case["agree"] else "NO",
            )
        )
    caption = (
        "Medians over alternating rounds, quartiles in brackets; ratio is ours / best rival, lower is better."
    )
    return f"{caption}\n\n" + _table(("case", "iassf_jax", "best rival", "ratio", "same results"), rows)


def _rivals(record: Mapping[str, Any]) -> str:
    rows = [
        (
            case["name"],
            contender["name"],
            contender.get("error", "").partition("\n")[0][:90] or _time(contender["seconds"]),
            "" if "error" in contender else _seconds(contender["processor_seconds"]["median"]),
            ""
            if "error" in contender
            else ", ".join(f"{k} {_seconds(v)}" for k, v in contender["setup"].items()),
        )
        for case in record["cases"]
        for contender in case["contenders"]
    ]
    header = ("case", "contender", "time", "processor time", "before the first result (cold)")
    return "Every contender:\n\n" + _table(header, rows)


def _memory(record: Mapping[str, Any]) -> str:
    rows = []
    for case in record["cases"]:
        best = _best_by_side(case)
        for side, contender in best.items():
            device = contender["device_peak"]
            rows.append(
                (
                    case["name"],
                    contender["name"] + _split(contender.get("micro_batches", 1)),
                    _gigabytes(contender["resident_peak"]),
                    _gigabytes(contender["resident_peak_of_setup"]),
                    "-" if device is None else _gigabytes(device),
                    _ratio_of_memory(best) if side == "jax" and len(best) == 2 else "",
                )
            )
    header = ("case", "contender", "resident, running", "resident, building", "accelerator", "ratio, running")
    return "Peak memory of each process:\n\n" + _table(header, rows)


def _roofline(record: Mapping[str, Any]) -> str:
    rows = []
    for case in record["cases"]:
        ours = _best_by_side(case).get("jax")
        limits = record["ceilings"].get(case["precision"])
        if ours is None or limits is None or "bytes" not in ours:
            continue
        compute = ours["flops"] / limits["flops_per_second"]
        traffic = ours["bytes"] / limits["bytes_per_second"]
        median = ours["seconds"]["median"]
        rows.append(
            (
                case["name"],
                f"{ours['flops'] / 1e9:.1f}",
                f"{ours['bytes'] / 1e9:.2f}",
                f"{ours['flops'] / ours['bytes']:.0f}",
                _seconds(compute),
                _seconds(traffic),
                "arithmetic" if compute > traffic else "bandwidth",
                _seconds(median),
                f"{max(compute, traffic) / median:.0%}",
            )
        )
    if not rows:
        return ""
    limits = "; ".join(
        f"{name}: {c['flops_per_second'] / 1e9:,.0f} GFLOP/s by a matrix product, "
        f"{c['bytes_per_second'] / 1e9:,.1f} GB/s by y = a x + b"
        for name, c in record["ceilings"].items()
    )
    header = ("case", "GFLOP", "GB at least", "FLOP/byte", "arithmetic alone", "traffic alone", "bound by",
              "measured", "achieved")  # fmt: skip
    return (
        f"Distance to the device's limit. Ceilings measured in the same run: {limits}. FLOPs are counted in "
        "the traced program, with what its backward pass computes anew, a multiply-add as two. The least "
        "traffic is every feature map between blocks written once and read once (in training also read for "
        "the gradients, whose own map is written and read) and every parameter read once (in training with "
        "its gradient and AdamW's moments). Achieved "
        "is the larger of the two bounds over the measured time.\n\n" + _table(header, rows)
    )


def _best_by_side(case: Mapping[str, Any]) -> dict[str, Any]:
    best: dict[str, Any] = {}
    for contender in case["contenders"]:
        if "error" in contender:
            continue
        side = contender["side"]
        if side not in best or contender["seconds"]["median"] < best[side]["seconds"]["median"]:
            best[side] = contender
    return best


def _split(micro_batches: int) -> str:
    return f", in {micro_batches} micro-batches" if micro_batches > 1 else ""


def _ratio_of_memory(best: Mapping[str, Any]) -> str:
    kind = "resident_peak" if best["jax"]["device_peak"] is None else "device_peak"
    return f"{best['jax'][kind] / best['torch'][kind]:.2f}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _time(spread: Mapping[str, float]) -> str:
    return (
        f"{_seconds(spread['median'])} ({_seconds(spread['quarter'])}-{_seconds(spread['three_quarters'])})"
    )


def _range(spread: Mapping[str, float]) -> str:
    return f"{spread['quarter']:.2f}-{spread['three_quarters']:.2f}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1e3 * seconds:.3g} ms"


def _gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"
