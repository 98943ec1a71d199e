"""Evaluates the run of a point: images and metrics of a test set, beside the run, by the newest parameters.

Not by the best ones: points are compared after equal numbers of steps, without a choice by the validation.

A request is a plain mapping, because it is kept in the point's file:

    data        label -> folder, built set or mixture
    metrics     names of `METRICS`, of fused images
    baselines   rivals, see `evaluation.baselines`
    haze        recipe that clear images are put into; "" takes the hazy images of the files
    limit       first so many scenes; None is all
    batch       images that a device is given at a time
    save        images that are written, of `evaluation.outputs.KINDS`
    ma_model    file of Ma's regression forests for q_pi; "" is none

An evaluation records besides which weights and parameters it is of: it is made again where these differ.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from data_pipelines.decode import ImageError
from iassf_jax import models
from iassf_jax.checkpoints.manager import load_run
from iassf_jax.checkpoints.sources import load_pretrained, packaged_weights
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.evaluate import Evaluation, Options, evaluate_places
from iassf_jax.evaluation.outputs import SUMMARY, image_writer, write_results
from iassf_jax.evaluation.scenes import SceneHaze, list_places
from iassf_jax.inference import Fuser
from iassf_jax.metrics import Models, load_ma_model

FOLDER = "evaluations"

Request = Mapping[str, Any]


def evaluation_folder(folder: Path, name: str) -> Path:
    """Return where the evaluation called `name` of the run in `folder` is."""
    return folder / FOLDER / name


def is_evaluated(folder: Path, name: str, request: Request) -> bool:
    """Whether the evaluation is there and was made as `request` says, which names the parameters too."""
    path = evaluation_folder(folder, name) / SUMMARY
    if not path.exists():
        return False
    return json.loads(path.read_text(encoding="utf-8"))["settings"].get("request") == _plain(request)


def evaluate_run(
    folder: Path, name: str, request: Request, *, weights: str | Path | None = None
) -> dict[str, float]:
    """Evaluate the run in `folder` and return the means of its fused images; nothing is made twice.

    Args:
      folder: of the run; results go to `evaluation_folder`.
      name: of the evaluation.
      request: see above.
      weights: evaluated in place of the run's.

    Raises:
      InputError: data or models that cannot be used, or scenes that failed.
      CheckpointError: no parameters to evaluate.
    """
    output = evaluation_folder(folder, name)
    description, variables = load_pretrained(weights) if weights else load_run(folder)
    asked = {**request, "weights": _place(weights), "parameters": _digest(description, variables)}
    if not is_evaluated(folder, name, asked):
        settings = {"model": _plain(description), **_plain(request), "request": _plain(asked)}
        settings["weights"] = str(weights or folder)
        evaluation = _evaluate(models.create(description), variables, description["name"], request, output)
        write_results(
            output, evaluation, settings, {"ma": request["ma_model"]} if request["ma_model"] else {}
        )
    return _means(output / SUMMARY)


def _place(weights: str | Path | None) -> str:
    """The weights as they are called from anywhere; "" is the run itself, whose folder may be moved."""
    if weights is None or str(weights) in packaged_weights():
        return str(weights or "")
    return str(Path(weights).resolve())


def _digest(description: Mapping[str, Any], variables: Any) -> str:
    """A word that another network, or the same one trained further, does not share."""
    found = hashlib.sha256(json.dumps(_plain(description), sort_keys=True).encode())
    for path, leaf in jax.tree.leaves_with_path(variables):
        array = np.ascontiguousarray(leaf)
        found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _evaluate(model: Any, variables: Any, method: str, request: Request, output: Path) -> Evaluation:
    try:
        places = list_places(request["data"], with_hazy=not request["haze"], limit=request["limit"])
    except ImageError as error:
        raise InputError(str(error)) from error
    devices = jax.local_devices()
    batch = request["batch"] * len(devices)
    fuser = Fuser(model, variables, ir_range="full", batch=batch, devices=devices)
    options = Options(
        method=method,
        metrics=request["metrics"],
        baselines=tuple(request["baselines"]),
        haze=SceneHaze(request["haze"], seed=0) if request["haze"] else None,
        batch=batch,
        models=Models(ma=load_ma_model(Path(request["ma_model"])) if request["ma_model"] else None),
        devices=devices,
    )
    evaluation = evaluate_places(fuser, places, options, on_images=image_writer(output, request["save"]))
    if evaluation.fusion.problems:
        # A mean over the scenes that happened to work could not be compared with that of other points.
        raise InputError(f"scenes that failed: {'; '.join(evaluation.fusion.problems[:3])}")
    return evaluation


def _means(summary: Path) -> dict[str, float]:
    content = json.loads(summary.read_text(encoding="utf-8"))
    method = content["fusion"]["methods"][content["settings"]["model"]["name"]]
    return {metric: values["mean"] for metric, values in method.items() if values["mean"] is not None}


def _plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mapping as it is read from JSON."""
    return json.loads(json.dumps(dict(tree), default=str))
