"""Loss and training step of the released code in PyTorch."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.torch_twin import TorchTwin

ALPHA = 2.0  # weight of the restoration


def losses(outputs: Mapping[str, Tensor], clear: Tensor, infrared: Tensor) -> dict[str, Tensor]:
    """Intensity, gradient and restoration error of images [b,3,h,w] in [-1,1], and their weighted total."""
    fused = outputs["fused"]
    intensity = F.l1_loss(fused, torch.maximum(clear, infrared))
    gradient = F.l1_loss(_sobel(fused), torch.maximum(_sobel(clear), _sobel(infrared)))
    restoration = F.l1_loss(outputs["restored"], clear)
    total = intensity + gradient + ALPHA * restoration
    return {"intensity": intensity, "gradient": gradient, "restoration": restoration, "total": total}


def train_step(
    twin: TorchTwin, *, forward: Callable | None = None, bfloat16: bool = False
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return `step(hazy, infrared, clear) -> loss` with the release's two AdamW.

    Args:
      twin: whose parameters are trained.
      forward: what computes its outputs, a compiled copy for instance; the twin itself by default.
      bfloat16: run the networks under autocast.
    """
    forward = twin if forward is None else forward  # a compiled module has a length, which may be none
    optimizers = [torch.optim.AdamW(part.parameters(), lr=2e-4) for part in (twin.dehaze, twin.fusion)]

    def step(hazy: Tensor, infrared: Tensor, clear: Tensor) -> Tensor:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        with torch.autocast(hazy.device.type, torch.bfloat16, enabled=bfloat16):
            outputs = forward(hazy, infrared)
        total = losses({name: x.float() for name, x in outputs.items()}, clear, infrared)["total"]
        total.backward()
        for optimizer in optimizers:
            optimizer.step()
        return total.detach()

    return step


def _sobel(image: Tensor) -> Tensor:
    across = image.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    # Minus the usual vertical kernel; only the magnitude is used.
    kernels = torch.stack([across, across.T])[:, None].repeat(3, 1, 1, 1)
    edges = F.conv2d(image, kernels, padding=1, groups=3).abs()
    b, _, h, w = image.shape
    return edges.view(b, 3, 2, h, w).sum(dim=2)
