"""No-reference metrics with learned parameters, computed by the optional package pyiqa (PyTorch) on the host.

pyiqa fetches a metric's weights when it is first used and keeps them in its cache; without network they have
to be there. What cannot be loaded is reported with the reason, and no number takes its place.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from iassf_jax.core.errors import IassfError, InputError, MissingDependencyError

PYIQA_NAMES = {  # ours -> pyiqa's
    "q_pi": "pi",
    "ma": "nrqm",
    "clip_iqa": "clipiqa",
    "liqe": "liqe",
    "maniqa": "maniqa",
    "musiq": "musiq",
    "arniqa": "arniqa",
}
_PYIQA_OPTIONS = {"ma": {"crop_border": 4, "color_space": "ycbcr"}}  # as inside its PI
MA_NAMES = ("ma", "q_pi")  # which a file with Ma's forests gives, too
_FORESTS = "needs Ma's regression forests, from a file (iassf measure --ma-model) or from pyiqa; "


def learned_value(name: str, fused: UInt8[np.ndarray, "h w c"]) -> float:
    """Return the value of one of `PYIQA_NAMES` for a grey or RGB image.

    Raises:
      MissingDependencyError: pyiqa is not installed.
      InputError: its weights cannot be loaded.
    """
    return load_learned(name)(fused)


def why_unavailable(name: str) -> str | None:
    """Return why a metric cannot be computed here, or None; loads it, which is kept for its use."""
    try:
        load_learned(name)
    except IassfError as error:
        return f"{_FORESTS}{error}" if name in MA_NAMES else str(error)
    return None


def load_learned(name: str) -> Callable[[UInt8[np.ndarray, "h w c"]], float]:
    """Load a metric; every later call returns the same one.

    Raises:
      MissingDependencyError: pyiqa is not installed.
      InputError: its weights cannot be loaded.
    """
    if importlib.util.find_spec("pyiqa") is None:
        raise MissingDependencyError(f"{name} needs pyiqa: pip install 'iassf_jax[iqa]'")
    return _load(name)


@functools.cache
def _load(name: str) -> Callable[[UInt8[np.ndarray, "h w c"]], float]:
    torch, pyiqa = importlib.import_module("torch"), importlib.import_module("pyiqa")
    options = _PYIQA_OPTIONS.get(name, {})
    try:
        metric = pyiqa.create_metric(PYIQA_NAMES[name], device=torch.device("cpu"), **options)
    except Exception as error:  # downloads, archives and state dicts fail in many ways
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{name}: pyiqa cannot load {PYIQA_NAMES[name]!r} ({reason}); its weights are fetched on first "
            "use, so run it once with a network or copy pyiqa's cache folder"
        ) from error

    def value(fused: UInt8[np.ndarray, "h w c"]) -> float:
        with torch.no_grad():
            return float(metric(torch.from_numpy(_channels_first(fused))))

    return value


def _channels_first(fused: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "1 3 h w"]:
    rgb = np.broadcast_to(fused, (*fused.shape[:2], 3)).astype(np.float32) / 255.0
    return np.ascontiguousarray(rgb.transpose(2, 0, 1)[None])
