"""Builds the rival's tasks."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.built import Built, images
from benchmarks.cases import Case, Contender
from benchmarks.torch_training import train_step
from benchmarks.torch_twin import DENSITIES, TorchTwin, load_released

Task = tuple[Callable[[], None], Callable[[], np.ndarray]]  # one run of it, and what it computed


def build(case: Case, contender: Contender, weights: str, fields: Mapping[str, Any]) -> Built:
    """Make the task of `case` as `contender` does it.

    Args:
      case, contender: what to do and how.
      weights: .npz with the parameters.
      fields: those of the network. They are handed in because reading them would import JAX, whose memory
        would count as the rival's.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.precision == "tf32"
    if case.task == "density":
        call, result = _density(case, contender, device)
    else:
        twin = _twin(contender, weights, fields, device)
        call, result = {"forward": _forward, "train": _train}[case.task](case, contender, twin, device)

    def waiting_call() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize()

    started = time.perf_counter()
    waiting_call()
    return Built(
        call=waiting_call,
        setup={"first call": time.perf_counter() - started},
        result=result,
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        versions={"torch": torch.__version__},
        device_peak=torch.cuda.max_memory_allocated if device.type == "cuda" else lambda: None,
    )


def _twin(contender: Contender, weights: str, fields: Mapping[str, Any], device: torch.device) -> TorchTwin:
    twin = load_released(TorchTwin(density=contender.density, **fields), dict(np.load(weights))).to(device)
    if contender.channels_last:
        for parameter in twin.parameters():  # Module.to would also try the five axes of the prompt pools
            if parameter.ndim == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return twin


def _inputs(case: Case, contender: Contender, device: torch.device, count: int) -> list[torch.Tensor]:
    """Images [b,3,h,w] in [-1,1]: hazy, infrared, clear."""
    arrays = images(case.batch, case.height, case.width, (3, 1, 3))[:count]
    signed = [2 * np.broadcast_to(array, (*array.shape[:3], 3)) - 1 for array in arrays]
    tensors = [torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(device) for x in signed]
    layout = torch.channels_last if contender.channels_last else torch.contiguous_format
    return [x.contiguous(memory_format=layout) for x in tensors]


def _forward(case: Case, contender: Contender, twin: TorchTwin, device: torch.device) -> Task:
    network = torch.compile(twin) if contender.compiled else twin
    inputs = _inputs(case, contender, device, 2)
    outputs: dict[str, Any] = {}

    @torch.no_grad()
    def call() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=case.precision == "bfloat16"):
            outputs.update(network(*inputs))

    return call, lambda: (outputs["fused"].float().cpu().numpy().transpose(0, 2, 3, 1) + 1) / 2


def _train(case: Case, contender: Contender, twin: TorchTwin, device: torch.device) -> Task:
    network = torch.compile(twin) if contender.compiled else twin
    step = train_step(twin, forward=network, bfloat16=case.precision == "bfloat16")
    inputs = _inputs(case, contender, device, 3)
    losses: list[torch.Tensor] = []

    def call() -> None:
        losses.append(step(*inputs))

    return call, lambda: np.array([losses[0].item()])


def _density(case: Case, contender: Contender, device: torch.device) -> Task:
    (feature,) = images(case.batch, case.height, case.width, (24,))
    tensor = torch.from_numpy(feature.transpose(0, 3, 1, 2).copy()).to(device)
    outputs: dict[str, torch.Tensor] = {}

    def call() -> None:
        outputs["density"] = DENSITIES[contender.density](tensor)

    return call, lambda: outputs["density"][:, 0].cpu().numpy()
