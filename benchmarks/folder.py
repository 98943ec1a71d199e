"""What reading and writing files add to `iassf fuse`: a whole folder against the network alone.

    python -m benchmarks.folder --data D --weights iassf --pairs 200 --output folder.json

D is a folder with hazy/ and IR/ (or GT/, where nothing is hazy); its pairs are taken again and again until
there are enough. The rivals have the same images decoded in memory and throw their results away: one after
another, as a loop over the pairs computes them, and two at once, as `iassf fuse` does. All take turns in one
process; the medians of their ratios are reported.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import jax

from benchmarks.turns import take_turns
from data_pipelines.decode import read_infrared, read_visible
from iassf_jax.core.allocator import restart_with_huge_pages
from iassf_jax.inference.folder import COMPUTERS, fuse_pairs
from iassf_jax.inference.fuser import Fuser
from iassf_jax.inference.inputs import PreparedPair, prepare_pair
from iassf_jax.inference.pairs import OutputLayout, Pair, match_pairs


def main(argv: Sequence[str] | None = None) -> None:
    """Run the comparison from the command line."""
    args = _arguments(argv)
    fuser = Fuser.from_pretrained(args.weights)
    pairs = _pairs(args.data, args.pairs)
    with tempfile.TemporaryDirectory() as folder:
        layout = OutputLayout(Path(folder), tuple(filter(None, args.save.split(","))))
        record = measure(fuser, pairs, layout, rounds=args.rounds, batch=args.batch)
    record |= {"weights": args.weights, "save": args.save, "pairs": args.pairs, "batch": args.batch}
    print(json.dumps(record, indent=2))
    if args.output:
        args.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def measure(
    fuser: Fuser, pairs: Sequence[Pair], layout: OutputLayout, *, rounds: int, batch: int = 1
) -> dict:
    """Time the folder and the network alone in turn; none compiles in its turns."""
    batches = _batches(fuser, pairs, batch)
    alone = {
        "network alone": partial(_compute, fuser, batches, batch, 1),
        "network alone, two at once": partial(_compute, fuser, batches, batch, COMPUTERS),
    }
    alone["network alone"]()
    seconds = take_turns({"folder": _whole_folder(fuser, pairs, layout, batch), **alone}, rounds)
    return {
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "seconds": seconds,
        "ratios": {
            name: statistics.median(a / b for a, b in zip(seconds["folder"], seconds[name], strict=True))
            for name in alone
        },
    }


def _whole_folder(
    fuser: Fuser, pairs: Sequence[Pair], layout: OutputLayout, batch: int
) -> Callable[[], None]:
    def turn() -> None:
        report = fuse_pairs(fuser, pairs, layout, overwrite=True, batch=batch)
        if report.failures:
            raise SystemExit(f"{report.failures[0].name}: {report.failures[0].reason}")

    return turn


def _compute(fuser: Fuser, batches: Sequence[list[PreparedPair]], batch: int, at_once: int) -> None:
    with ThreadPoolExecutor(at_once) as computers:
        for _ in computers.map(partial(fuser.fuse_prepared, batch=batch), batches):
            pass


def _batches(fuser: Fuser, pairs: Sequence[Pair], batch: int) -> list[list[PreparedPair]]:
    files = dict.fromkeys((pair.visible, pair.infrared) for pair in pairs)
    prepared = {
        file: prepare_pair(read_visible(file[0]), read_infrared(file[1]), fuser.ir_range) for file in files
    }
    same: dict[tuple[int, ...], list[PreparedPair]] = {}
    for pair in pairs:
        images = prepared[pair.visible, pair.infrared]
        same.setdefault(images[0].shape, []).append(images)
    return [found[i : i + batch] for found in same.values() for i in range(0, len(found), batch)]


def _pairs(data: Path, count: int) -> list[Pair]:
    visible = data / "hazy" if (data / "hazy").is_dir() else data / "GT"
    found, _ = match_pairs(visible, data / "IR")
    taken = enumerate(islice(cycle(found), count))
    return [Pair(f"{number:04d}", pair.visible, pair.infrared) for number, pair in taken]


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="D", help="folder with hazy/ and IR/")
    parser.add_argument("--weights", default="iassf", metavar="W", help="as of `iassf fuse` (default: iassf)")
    parser.add_argument("--save", default="", metavar="KINDS", help="restored,haze: written besides")
    parser.add_argument("--pairs", type=int, default=200, metavar="N", help="pairs a turn (default: 200)")
    parser.add_argument(
        "--batch", type=int, default=1, metavar="N", help="pairs computed together (default: 1)"
    )
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each (default: 5)")
    parser.add_argument("--output", type=Path, metavar="F.json", help="write the record here")
    return parser.parse_args(argv)


if __name__ == "__main__":
    restart_with_huge_pages()
    main()
