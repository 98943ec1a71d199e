"""How fast a run goes and what it needs."""

import resource
import sys
import time
from typing import Any

import jax

# Dense bfloat16 FLOP/s of one device, from the makers' data sheets. The first prefix of JAX's device kind
# that fits counts, so the special cases stand before the general ones.
PEAK_FLOPS: dict[str, float] = {
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
    "NVIDIA A100": 312e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
}


class StepClock:
    """Seconds per step, without the first step, which compiles, and without what is not training."""

    def __init__(self, start: int):
        self._since, self._clock, self._compiled = start, time.monotonic(), False

    def advance(self, step: int) -> None:
        """Note that `step` was handed to the device; the first time is the end of the compilation."""
        if not self._compiled:
            self._compiled = True
            self.restart(step)

    def restart(self, step: int) -> None:
        """Measure from `step` on."""
        self._since, self._clock = step, time.monotonic()

    def seconds(self, step: int) -> float | None:
        """Return the seconds per step up to `step`; None if there was none."""
        return (time.monotonic() - self._clock) / (step - self._since) if step > self._since else None


def peak_flops(device_kind: str) -> float | None:
    """Return the dense bfloat16 peak of a device, FLOP/s; None for one that is not in the table."""
    return next((peak for name, peak in PEAK_FLOPS.items() if device_kind.startswith(name)), None)


def program_flops(lowered: jax.stages.Lowered) -> float | None:
    """Return the floating-point operations of a lowered program on all its devices together.

    They are counted before XLA optimises: a multiplication and its addition are two, what rematerialisation
    computes again counts again. None where JAX cannot count.
    """
    analysis: Any = lowered.cost_analysis()
    flops = analysis.get("flops", 0.0) if analysis else 0.0
    return float(flops) if flops > 0 else None


def utilisation(
    flops_per_step: float | None, seconds_per_step: float, *, device_kind: str, num_devices: int
) -> float | None:
    """Return which part of the devices' bfloat16 peak a step uses (MFU); None where either is not known."""
    peak = peak_flops(device_kind)
    if flops_per_step is None or peak is None:
        return None
    return flops_per_step / (seconds_per_step * peak * num_devices)


def memory() -> dict[str, int]:
    """Return the most memory that was in use so far, bytes.

    "device_bytes" of the fullest device of this process; "host_bytes" of the process where the devices do not
    count, as CPUs.
    """
    stats = [device.memory_stats() for device in jax.local_devices()]
    peaks = [entry["peak_bytes_in_use"] for entry in stats if entry and "peak_bytes_in_use" in entry]
    if peaks:
        return {"device_bytes": max(peaks)}
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss: bytes on macOS, KiB on Linux
    return {"host_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def clock_text(seconds: float) -> str:
    """Return a duration as H:MM:SS."""
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
