"""Who started this process, read from the environment: pure functions of it, nothing is joined here."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from iassf_jax.core.errors import ConfigError

# What the environment must have for a process to be one of several. The order is that in which the launchers
# are looked for: Open MPI may run inside a SLURM job, a TPU slice inside Kubernetes.
MARKERS: Mapping[str, Sequence[str]] = {
    "openmpi": ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    "slurm": ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID"),
    "tpu": ("TPU_ML_PLATFORM",),  # set by JAX on a machine with TPU chips
    "kubernetes": ("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"),
}
LAUNCHERS = ("auto", "none", *MARKERS)

_COUNTS = ("IASSF_NUM_PROCESSES", "OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")
_RANKS = ("IASSF_PROCESS_ID", "OMPI_COMM_WORLD_RANK", "SLURM_PROCID")
_TPU_HOSTS = ("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES")


class Place(NamedTuple):
    """Where a process stands in its run."""

    coordinator: str  # HOST:PORT of process 0
    num_processes: int
    process_id: int


def find_launcher(launcher: str, environ: Mapping[str, str]) -> str | None:
    """Return which of `MARKERS` started this process; None if it trains alone.

    Args:
      launcher: one of `LAUNCHERS`; "auto" takes the first one whose variables are set.
      environ: the environment variables.

    Raises:
      ConfigError: an unknown launcher, or one whose variables are not set.
    """
    if launcher not in LAUNCHERS:
        raise ConfigError(f"launcher is {launcher!r}; expected one of {', '.join(LAUNCHERS)}")
    if launcher == "none":
        return None
    if launcher == "auto":
        launcher = next((name for name, names in MARKERS.items() if all(n in environ for n in names)), "")
    elif missing := [name for name in MARKERS[launcher] if name not in environ]:
        raise ConfigError(
            f"launcher {launcher}: the environment has no {', '.join(missing)}. Start the processes with it, "
            "or give --coordinator HOST:PORT --num-processes N --process-id I"
        )
    return launcher if launcher and not _is_alone(launcher, environ) else None


def given_place(
    environ: Mapping[str, str],
    *,
    coordinator: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> Place | None:
    """Return the place that options or variables name; None where no coordinator is named.

    What is None is taken from IASSF_COORDINATOR, IASSF_NUM_PROCESSES and IASSF_PROCESS_ID; the two numbers
    also from Open MPI and SLURM.

    Raises:
      ConfigError: numbers without a coordinator, or impossible or missing ones.
    """
    address = coordinator or environ.get("IASSF_COORDINATOR")
    if not address:
        if num_processes is not None or process_id is not None:
            raise ConfigError(
                "the number of processes is given without --coordinator HOST:PORT, the address of process 0"
            )
        return None
    if not re.fullmatch(r"\S+:\d+", address):
        raise ConfigError(f"coordinator is {address!r}; expected HOST:PORT of process 0")
    count = num_processes if num_processes is not None else _first_number(environ, _COUNTS)
    rank = process_id if process_id is not None else _first_number(environ, _RANKS)
    if count is None or rank is None:
        raise ConfigError(
            f"coordinator {address} is given, but not how many processes there are and which one this is: "
            "give --num-processes N --process-id I"
        )
    if not 0 <= rank < count:
        raise ConfigError(f"process {rank} of {count}: expected a number from 0 to {count - 1}")
    return Place(address, count, rank)


def local_devices(environ: Mapping[str, str]) -> list[int] | None:
    """Return which GPUs of its host a process takes: [] is all that it sees, None is one for each process.

    JAX gives every process of SLURM and Open MPI one device, that of its number on the host. This is wrong
    for a process that has the host to itself, and for one that sees only its own devices already.
    """
    tasks = _tasks_on_host(environ)
    if tasks is None:
        return None
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    sees_its_own = bool(visible) and len(visible.split(",")) < tasks
    return [] if tasks == 1 or sees_its_own else None


def _is_alone(launcher: str, environ: Mapping[str, str]) -> bool:
    counts = {"openmpi": "OMPI_COMM_WORLD_SIZE", "slurm": "SLURM_NTASKS"}
    if launcher == "tpu":  # a single host that was told not to ask the cloud about others
        return "TPU_SKIP_MDS_QUERY" in environ and not any(name in environ for name in _TPU_HOSTS)
    return launcher in counts and int(environ[counts[launcher]]) == 1


def _tasks_on_host(environ: Mapping[str, str]) -> int | None:
    if "OMPI_COMM_WORLD_LOCAL_SIZE" in environ:
        return int(environ["OMPI_COMM_WORLD_LOCAL_SIZE"])
    counts = re.findall(r"(\d+)(?:\(x\d+\))?", environ.get("SLURM_STEP_TASKS_PER_NODE", ""))  # "8(x3),4"
    return max(map(int, counts)) if counts else None


def _first_number(environ: Mapping[str, str], names: Sequence[str]) -> int | None:
    for name in names:
        if name in environ:
            try:
                return int(environ[name])
            except ValueError as error:
                raise ConfigError(f"{name} is {environ[name]!r}; expected a number") from error
    return None
