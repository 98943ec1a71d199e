"""One run on the machines of a Ray cluster, through Ray Train's JAX trainer.

Every worker of Ray is one process of the run. On GPUs and TPUs Ray joins them; on CPUs they are joined here.
When a worker dies, Ray starts all of them again, and the run goes on from its own checkpoints.
"""

import dataclasses
import functools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import InputError, MissingDependencyError, TrainingError

KINDS = ("CPU", "GPU", "TPU")


@dataclasses.dataclass(frozen=True)
class Workers:
    """How many workers, and what each of them takes.

    `slice_type` and `topology` name a TPU slice as Ray does, such as "TPU-V6E" and "4x4"; they are needed for
    more than one worker with TPUs.
    """

    count: int
    kind: str = "GPU"  # one of KINDS
    per_worker: int = 1  # devices, or CPU cores, of each worker
    slice_type: str | None = None
    topology: str | None = None

    def __post_init__(self) -> None:
        if self.count < 1 or self.per_worker < 1:
            raise InputError(
                f"{self.count} workers with {self.per_worker} {self.kind} each; expected at least one of each"
            )
        if self.kind not in KINDS:
            raise InputError(f"workers with {self.kind}; expected one of {', '.join(KINDS)}")
        if self.kind == "TPU" and self.count > 1 and not (self.slice_type and self.topology):
            raise InputError("several workers with TPUs need the slice, for example --tpu-slice TPU-V6E:4x4")


def launch_with_ray(
    train_function: Callable[[], None],
    *,
    workers: Workers,
    storage: str | Path,
    address: str | None = None,
    max_failures: int = 3,
) -> None:
    """Run `train_function` in every worker, joined as the processes of one run, and wait for its end.

    Args:
      train_function: what every process does; pickled, so a function of a module or a `functools.partial`.
      workers: how many, and with what.
      storage: folder for Ray's own records; all machines must be able to reach it.
      address: the cluster: "auto" is the one that this machine belongs to, HOST:PORT another; None is
        RAY_ADDRESS, or else a cluster of this machine alone, for this run.
      max_failures: how many times the workers are started again after one of them has failed.

    Raises:
      MissingDependencyError: Ray is not installed.
      InputError: the cluster cannot be reached.
      TrainingError: the run failed more often than that.
    """
    try:
        import ray
        from ray import train
        from ray.train.v2.jax import JaxTrainer
    except ImportError as error:
        raise MissingDependencyError(
            f'--launcher ray needs Ray Train, but there is {error}: pip install "iassf_jax[ray]"'
        ) from error
    connect(ray, address)
    trainer = JaxTrainer(
        functools.partial(_work, train_function),
        scaling_config=train.ScalingConfig(
            num_workers=workers.count,
            use_gpu=workers.kind == "GPU",
            use_tpu=workers.kind == "TPU",
            resources_per_worker={workers.kind: workers.per_worker},
            accelerator_type=workers.slice_type,
            topology=workers.topology,
        ),
        run_config=train.RunConfig(
            name="ray",
            storage_path=str(Path(storage).absolute()),
            failure_config=train.FailureConfig(max_failures=max_failures),
        ),
    )
    try:
        trainer.fit()
    except train.TrainingFailedError as error:
        raise TrainingError(f"the run failed on Ray: {error}") from error


def connect(ray: Any, address: str | None) -> None:
    """Connect the module `ray` to the cluster at `address`, unless it is connected.

    Raises:
      InputError: nobody answers there.
    """
    if ray.is_initialized():
        return
    try:
        ray.init(address=address)
    except ConnectionError as error:
        raise InputError(
            f"no Ray cluster at {address}: {error}. Start one with `ray start --head`, or leave the address "
            "out to train on this machine alone"
        ) from error


def _work(train_function: Callable[[], None]) -> None:
    """What a worker does: join the others where Ray has not, then train."""
    from ray import train, util
    from ray.train.collective import broadcast_from_rank_zero

    from iassf_jax.training import distributed

    context = train.get_context()
    here = f"{util.get_node_ip_address()}:{_free_port()}"
    coordinator = broadcast_from_rank_zero(here)  # every worker waits for the first one's
    if context.get_world_size() > 1:
        distributed.initialize(
            "none",
            coordinator=coordinator,
            num_processes=context.get_world_size(),
            process_id=context.get_world_rank(),
        )
    train_function()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
