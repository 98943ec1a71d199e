"""Joining the processes of one run: agreement, barriers, and who reports.

A run has one process per host, or per accelerator. `initialize` comes before anything that starts a JAX
backend. Everything else may be called in a run of one process too, where it does nothing and costs nothing.
"""

import importlib.util
import os
from typing import Any

import jax
from jax.experimental import multihost_utils

from iassf_jax.core.errors import ConfigError, MissingDependencyError, TrainingError
from iassf_jax.training.launchers import Place, find_launcher, given_place, local_devices


def initialize(
    launcher: str = "auto",
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: int = 300,
) -> None:
    """Join the other processes of this run, if there are any.

    Args:
      launcher: who started the processes: "slurm", "openmpi", "tpu" or "kubernetes" (an Indexed Job or a
        JobSet); "auto" finds out from the environment; "none" is a run of one process.
      coordinator: HOST:PORT of process 0, for processes started by hand, or where the launcher does not tell;
        the default is the variable IASSF_COORDINATOR.
      num_processes: how many there are; the default is IASSF_NUM_PROCESSES or what the launcher says.
      process_id: which of them this is, from 0; the default is IASSF_PROCESS_ID or what the launcher says.
      timeout: seconds to wait for the others.

    Raises:
      ConfigError: an unknown launcher, one that did not start this process, or an incomplete override.
      MissingDependencyError: the launcher needs a package that is not installed.
      TrainingError: the others cannot be reached, or JAX has already started.
    """
    if jax.distributed.is_initialized():
        return  # whoever started this process has joined it to the others, as Ray does
    place = given_place(
        os.environ, coordinator=coordinator, num_processes=num_processes, process_id=process_id
    )
    found = find_launcher(launcher, os.environ)
    if place is None and found is None:
        return
    arguments = _named(place) if place else _detected(str(found))
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**arguments, initialization_timeout=timeout)
    except (RuntimeError, ValueError) as error:
        where = f"at {place.coordinator}" if place else f"through {found}"
        raise TrainingError(
            f"cannot join the processes of this run {where}: {error}. Check that process 0 runs and that its "
            "port can be reached; --coordinator HOST:PORT names it, --launcher none trains alone"
        ) from error


def is_main() -> bool:
    """Whether this process is the one that writes and reports. Starts the backend."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Wait until every process has come to the barrier of this `name`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def stop_together(step: int) -> bool:
    """Return whether all processes stop at `step`, because one of them got SIGTERM.

    To be asked by every process before every step. They agree through JAX's preemption service on a step that
    none of them has passed; asking takes microseconds and does not touch the devices. The service listens to
    SIGTERM by itself: a program of several processes leaves that signal alone.
    """
    return jax.process_count() > 1 and bool(multihost_utils.reached_preemption_sync_point(step))


def _named(place: Place) -> dict[str, Any]:
    return {
        "coordinator_address": place.coordinator,
        "num_processes": place.num_processes,
        "process_id": place.process_id,
        "cluster_detection_method": "deactivate",
    }


def _detected(launcher: str) -> dict[str, Any]:
    """Return how JAX is to find the other processes of `launcher`."""
    if launcher == "openmpi" and "OMPI_MCA_orte_hnp_uri" not in os.environ:
        raise ConfigError(
            "this Open MPI (5 or newer) does not say where process 0 is: give --coordinator HOST:PORT; the "
            "numbers of the processes are taken from Open MPI"
        )
    if launcher == "kubernetes" and importlib.util.find_spec("kubernetes") is None:
        raise MissingDependencyError(
            'joining the pods of a job needs the package kubernetes: pip install "jax[k8s]", or give '
            "--coordinator HOST:PORT --num-processes N --process-id I"
        )
    return {
        "cluster_detection_method": {"openmpi": "ompi", "slurm": "slurm"}.get(launcher),
        "local_device_ids": local_devices(os.environ),
    }
