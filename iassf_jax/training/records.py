"""What a run tells about itself before it starts: files in its folder and lines in the terminal."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
from clu import parameter_overview
from jax.sharding import Mesh
from ml_collections import ConfigDict
from rich.console import Console

from iassf_jax.checkpoints.versions import versions
from iassf_jax.core.config import to_json
from iassf_jax.core.errors import InputError
from iassf_jax.training.micro_batches import micro_batches


def make_folder(workdir: Path) -> None:
    """Make a run's folder and try to write to it.

    Raises:
      InputError: it cannot be made or written to.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink()
    except OSError as error:
        raise InputError(f"cannot write to the run's folder {workdir}: {error.strerror}") from error


def write_records(workdir: Path, config: ConfigDict, params: Any) -> None:
    """Write the resolved configuration, the versions and the list of parameters."""
    overview = parameter_overview.get_parameter_overview(params, include_stats=False)
    (workdir / "parameters.txt").write_text(overview + "\n", encoding="utf-8")
    (workdir / "config.json").write_text(to_json(config) + "\n", encoding="utf-8")
    (workdir / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n", encoding="utf-8")


def announce(
    console: Console, config: ConfigDict, params: Mapping[str, Any], *, mesh: Mesh, start: int, workdir: Path
) -> None:
    """Show what is going to be trained, on what and for how long."""
    data, kinds = config.data, sorted({device.device_kind for device in mesh.devices.flat})
    counts = {name: parameter_overview.count_parameters(part) for name, part in params.items()}
    modules = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    size = f"crops of {data.crop} pixels" if data.crop else "whole images"
    parts = micro_batches(config.accumulate, data.to_dict(), devices=mesh.shape["data"])
    if parts > 1:
        size += f" in {parts} micro-batches"
    goes_on = f" (continues the run in {workdir})" if start else ""
    lines = (
        f"network    {config.model.name}, {sum(counts.values()):,} parameters ({modules})",
        f"devices    {mesh.shape['data']} x {mesh.shape['model']} (data x model) of {jax.device_count()}, "
        f"{', '.join(kinds)}, "
        f"{jax.process_count()} process{'es' if jax.process_count() > 1 else ''}",
        f"data       {data.train}, {data.batch_size} {size}",
        f"haze       {config.haze or config.task.get('haze') or 'of the files'}",
        f"validation {data.val or 'none'}, every {config.eval_every} steps",
        f"steps      {start} to {config.steps}, a checkpoint every {config.checkpoint_every}{goes_on}",
    )
    console.print("\n".join(lines), highlight=False, soft_wrap=True)
