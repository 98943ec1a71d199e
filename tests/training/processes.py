"""Starts several Python processes that join through `iassf_jax.training.distributed`, as a launcher does."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.compiling import xla_flags

ROOT = Path(__file__).resolve().parents[2]


def run_processes(
    script: str | Path, count: int, arguments: Sequence[str] = (), *, devices: int = 1, timeout: float = 120
) -> list[str]:
    """Run `script` in `count` processes of `devices` simulated devices each; return what each printed.

    `distributed.initialize()` in the script finds the others through the environment. The test fails with
    all that was printed when a process fails; when one does not end, all are killed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": xla_flags(devices=devices),
        "IASSF_COORDINATOR": f"127.0.0.1:{port}",
        "IASSF_NUM_PROCESSES": str(count),
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env={**environ, "IASSF_PROCESS_ID": str(index)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]
    try:
        ended = [process.communicate(timeout=timeout) for process in started]
    finally:
        for process in started:
            process.kill()
    printed = "\n".join(f"process {i}:\n{out}\n{err}" for i, (out, err) in enumerate(ended))
    assert all(process.returncode == 0 for process in started), printed
    return [out for out, _ in ended]
