"""Shows the whole path in a few minutes on a laptop: scenes, training, fusion, pictures and numbers.

    iassf demo --output demo_output

Renders street scenes with infrared, depth and haze (no download), trains a small network on them, fuses the
held-out hazy pairs with it and with the packaged `iassf`, and prints how much haze went. The short
training shows that everything works; for photographs there is the packaged network.
"""

import argparse
import shutil
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.config import load_config
from iassf_jax.core.errors import InputError

_SIZE = (192, 256)  # pixels, height and width of the scenes
_TRAIN, _VAL = 24, 4  # scenes
_PACKAGED = "iassf"
_FOLDERS = ("scenes", "run", "results")
_MARKER = ".iassf_demo"  # only where this file is, --overwrite deletes anything


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf demo`."""
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add("--steps", type=int, metavar="N", help="training steps (default: those of configs/demo.py)")
    add("--seed", type=int, default=0, metavar="N", help="of the scenes and the training (default: 0)")
    add("--overwrite", action="store_true", help="replace the folder of an earlier demo")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 when every held-out pair was fused."""
    console = Console()
    scenes, workdir, _ = (args.output / name for name in _FOLDERS)
    config = _configuration(scenes, args)  # an impossible option is said before anything is deleted
    _prepare(args.output, overwrite=args.overwrite)
    enable_compilation_cache()
    console.rule("1. scenes")
    _render(scenes, args.seed)
    console.print(f"{_TRAIN} scenes to train on and {_VAL} held out, in {scenes}", soft_wrap=True)
    console.rule("2. training")
    if _train(config, workdir) is None:
        console.print("stopped before the end; run the demo again with --overwrite")
        return 1
    console.rule("3. fusion of the held-out pairs")
    return _fuse(scenes / "val", workdir, args.output, console)


def _prepare(output: Path, *, overwrite: bool) -> None:
    """Make the folder with the marker; the contents of an earlier demo are deleted on request."""
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file, expected a folder")
    try:
        if output.is_dir() and any(output.iterdir()):
            _clear(output, overwrite=overwrite)
        output.mkdir(parents=True, exist_ok=True)
        (output / _MARKER).write_text("iassf demo --overwrite replaces the folders beside this file\n")
    except OSError as error:
        raise InputError(f"--output {output} cannot be written: {error.strerror or error}") from error


def _clear(output: Path, *, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(f"{output} is not empty; give another folder, or --overwrite")
    if not (output / _MARKER).is_file():
        raise InputError(f"{output} was not made by a demo (it has no {_MARKER}): choose another folder")
    for name in _FOLDERS:
        if (output / name).exists():
            shutil.rmtree(output / name)


def _render(scenes: Path, seed: int) -> None:
    from data_pipelines.scenes import write_scenes

    splits = {"train": _TRAIN, "val": _VAL}
    write_scenes(scenes, count=_TRAIN + _VAL, seed=seed, height=_SIZE[0], width=_SIZE[1], splits=splits)


def _configuration(scenes: Path, args: argparse.Namespace) -> ConfigDict:
    from iassf_jax.training.settings import check

    overrides = [f"config.data.train={scenes / 'train'}", f"config.data.val={scenes / 'val'}"]
    overrides += [f"config.seed={args.seed}"]
    overrides += [f"config.steps={args.steps}"] if args.steps is not None else []
    config = load_config("demo", overrides)
    check(config.to_dict())
    return config


def _train(config: ConfigDict, workdir: Path) -> dict[str, float] | None:
    from iassf_jax.training import run_training

    return run_training(config, workdir).evaluation


def _fuse(val: Path, workdir: Path, output: Path, console: Console) -> int:
    from iassf_jax.inference import Fuser, OutputLayout, fuse_pairs, match_pairs
    from iassf_jax.metrics.folders import Method, measure_folders

    pairs, unmatched = match_pairs(val / "hazy", val / "IR")
    failures = 0
    methods: dict[str, Method] = {"hazy input": val / "hazy"}
    for name, source in (("trained here", str(workdir)), (_PACKAGED, _PACKAGED)):
        layout = OutputLayout(output / "results" / name.replace(" ", "_"), ("restored", "haze"))
        failures += len(fuse_pairs(Fuser.from_pretrained(source), pairs, layout, overwrite=True).failures)
        methods[name] = layout.root / "restored"
    shown = {"restoration_psnr": ("PSNR, dB", ".2f"), "restoration_ssim": ("SSIM", ".3f")}
    measured = measure_folders(val / "GT", val / "IR", methods, metrics=list(shown), reference=val / "GT")
    table = Table("held-out scenes", *methods, title="restored image against the clear scene")
    for metric, (title, digits) in shown.items():
        table.add_row(title, *(format(measured.of(name, metric).mean(), digits) for name in methods))
    console.print(table)
    overview = sorted((workdir / "images").glob("*.png"))[-1]
    lines = (
        f"fused, restored, haze density  {output / 'results'}",
        f"all of them side by side       {overview}",
        f"the trained network            {workdir}",
    )
    console.print("\n".join(lines), soft_wrap=True, highlight=False)
    return 1 if failures or unmatched else 0
