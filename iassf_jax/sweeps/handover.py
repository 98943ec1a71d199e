"""Hands the state of one point's run to another's.

What is handed over is a folder by itself, so that it does not matter what becomes of the donor meanwhile:

    checkpoint/    the donor's checkpoint: parameters, moments, running mean, position in the data
    metrics.jsonl  the donor's log up to it
    donor.json     who that was, and the step

A point that takes over becomes the continuation of its donor. Its folder then has the donor's checkpoint as
its only one, under its own configuration, and the donor's log up to there; `metrics.replaced-N.jsonl` is the
log of what was given up at takeover N. A process may be killed at any moment of it: `finish_takeover`, with
which every training of a point begins, completes what was decided and removes what was not.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iassf_jax.checkpoints.detached import detached_config, replace_config
from iassf_jax.checkpoints.storage import FOLDER, is_complete
from iassf_jax.core.config import differences, to_json
from iassf_jax.sweeps.folders import read_config
from iassf_jax.sweeps.stacked import traced_options
from iassf_jax.sweeps.takeovers import Takeover, read_takeovers, with_options, write_takeovers
from iassf_jax.training.logging import METRICS_FILE

_CHECKPOINT, _DONOR = "checkpoint", "donor.json"
_ADOPTED, _TOKEN = "adopted", "token"  # folder in which a takeover is prepared


def hand_over(folder: Path, step: int, place: Path) -> None:
    """Copy what another point needs to go on from `step` of the run in `folder`, which waits meanwhile."""
    shutil.copytree(folder / FOLDER / str(step), place / _CHECKPOINT)
    shutil.copyfile(folder / METRICS_FILE, place / METRICS_FILE)
    (place / _DONOR).write_text(json.dumps({"point": folder.name, "step": step}), encoding="utf-8")


def take_over(folder: Path, handover: Path, values: Mapping[str, Any], *, token: str) -> None:
    """Let the point in `folder` go on from what was handed over; a takeover of this token is made once.

    Args:
      folder: of the point.
      handover: made by `hand_over`.
      values: options that are other ones than the donor's, {dotted option: value}. All others that the
        program takes as arguments, the seed among them, are the donor's, as its position in the data is.
      token: names the takeover.

    Raises:
      DamagedCheckpointError: the checkpoint is not whole.
    """
    finish_takeover(folder)
    takeovers = read_takeovers(folder)
    if any(takeover.token == token for takeover in takeovers):
        return
    donor = json.loads((handover / _DONOR).read_text(encoding="utf-8"))
    before = json.loads(to_json(read_config(folder)))
    saved = detached_config(handover / _CHECKPOINT)
    options = traced_options(saved) | dict(values)
    config = with_options(before, options)

    adopted, step = folder / _ADOPTED, donor["step"]
    adopted.mkdir()
    (adopted / _TOKEN).write_text(token, encoding="utf-8")
    shutil.copytree(handover / _CHECKPOINT, adopted / FOLDER / str(step))
    replace_config(adopted / FOLDER / str(step), config)
    shutil.copyfile(handover / METRICS_FILE, adopted / METRICS_FILE)
    changes = differences(before, config)
    takeover = Takeover(step, donor["point"], _newest_step(folder), changes, options, token)
    write_takeovers(folder, [*takeovers, takeover])  # from here on it is decided
    finish_takeover(folder)


def finish_takeover(folder: Path) -> None:
    """Complete a takeover that was broken off after it was decided; forget one that was not."""
    adopted, takeovers = folder / _ADOPTED, read_takeovers(folder)
    if not adopted.exists():
        return
    token = adopted / _TOKEN
    if takeovers and token.exists() and token.read_text(encoding="utf-8") == takeovers[-1].token:
        log = folder / METRICS_FILE
        if (adopted / METRICS_FILE).exists():
            if log.exists():
                log.replace(folder / f"metrics.replaced-{len(takeovers)}.jsonl")
            (adopted / METRICS_FILE).replace(log)
        if (adopted / FOLDER).exists():
            shutil.rmtree(folder / FOLDER, ignore_errors=True)
            (adopted / FOLDER).replace(folder / FOLDER)
    shutil.rmtree(adopted)


def _newest_step(folder: Path) -> int:
    if not (folder / FOLDER).is_dir():
        return 0
    return max((int(path.name) for path in (folder / FOLDER).iterdir() if is_complete(path)), default=0)
