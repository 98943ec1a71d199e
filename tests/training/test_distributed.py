"""Who started a process is read from its environment; a run of one process is left alone."""

import subprocess
import sys

import jax
import pytest

from iassf_jax.core.errors import ConfigError, MissingDependencyError, TrainingError
from iassf_jax.training import distributed
from iassf_jax.training.launchers import MARKERS, find_launcher, given_place, local_devices

SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_STEP_NODELIST": "node[01-04]",
    "SLURM_NTASKS": "32",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "8(x4)",
}
OPENMPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
KUBERNETES = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


@pytest.fixture
def bare(monkeypatch):
    """No launcher's variables, and JAX's own initialisation replaced by a list of its calls."""
    for name in [*sum(map(list, MARKERS.values()), []), "IASSF_COORDINATOR", "IASSF_NUM_PROCESSES"]:
        monkeypatch.delenv(name, raising=False)
    calls: list[dict] = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **options: calls.append(options))
    return calls


@pytest.mark.parametrize(
    "environ, launcher",
    [
        ({}, None),
        (SLURM, "slurm"),
        ({**SLURM, "SLURM_NTASKS": "1"}, None),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "32"}, None),  # the batch script itself, outside srun
        (OPENMPI, "openmpi"),
        ({**SLURM, **OPENMPI}, "openmpi"),
        ({**OPENMPI, "OMPI_COMM_WORLD_SIZE": "1"}, None),
        (KUBERNETES, "kubernetes"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, None),  # a pod that is not one of an indexed job
        ({**KUBERNETES, "TPU_ML_PLATFORM": "JAX", "TPU_WORKER_HOSTNAMES": "a,b"}, "tpu"),
        ({"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"}, None),
    ],
)
def test_launchers_are_found(environ, launcher):
    assert find_launcher("auto", environ) == launcher


def test_none_overrides_what_is_found():
    assert find_launcher("none", SLURM) is None


def test_a_launcher_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"SLURM_STEP_NODELIST.*--coordinator"):
        find_launcher("slurm", {"SLURM_JOB_ID": "7"})
    with pytest.raises(ConfigError, match="'torchrun'; expected one of auto, none, openmpi, slurm"):
        find_launcher("torchrun", {})


def test_options_come_before_variables():
    environ = {"IASSF_COORDINATOR": "a:1", "IASSF_NUM_PROCESSES": "4", "IASSF_PROCESS_ID": "2"}
    assert given_place({}) is None
    assert given_place(environ) == ("a:1", 4, 2)
    assert given_place(environ, coordinator="b:2", process_id=0) == ("b:2", 4, 0)
    assert given_place({**SLURM, "IASSF_COORDINATOR": "a:1"}) == ("a:1", 32, 9)
    assert given_place(OPENMPI, coordinator="b:2") == ("b:2", 4, 3)


@pytest.mark.parametrize(
    "environ, options, message",
    [
        ({}, {"num_processes": 2}, "without --coordinator"),
        ({}, {"coordinator": "host"}, "expected HOST:PORT"),
        ({}, {"coordinator": "a:1", "num_processes": 2}, "--process-id I"),
        ({}, {"coordinator": "a:1", "num_processes": 2, "process_id": 2}, "from 0 to 1"),
        ({"IASSF_NUM_PROCESSES": "two"}, {"coordinator": "a:1"}, "IASSF_NUM_PROCESSES is 'two'"),
    ],
)
def test_half_an_override_is_refused(environ, options, message):
    with pytest.raises(ConfigError, match=message):
        given_place(environ, **options)


@pytest.mark.parametrize(
    "environ, devices",
    [
        ({}, None),
        (SLURM, None),  # eight tasks on a host: JAX gives each the device of its number
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"}, None),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "0"}, []),  # --gpus-per-task=1
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "1(x4)"}, []),  # one task for a host's eight GPUs
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2(x3),1"}, None),
        ({**OPENMPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1"}, []),
    ],
)
def test_a_process_takes_the_devices_meant_for_it(environ, devices):
    assert local_devices(environ) == devices


def test_alone_nothing_happens(bare):
    distributed.initialize()
    assert bare == []
    assert distributed.is_main() and not distributed.stop_together(3)
    distributed.barrier("alone")


def test_alone_no_backend_starts():
    code = (
        "from iassf_jax.training import distributed; distributed.initialize()\n"
        "from jax._src import xla_bridge; assert not xla_bridge.backends_are_initialized()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_slurm_is_left_to_jax(bare, monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    distributed.initialize(timeout=60)
    assert bare == [
        {"cluster_detection_method": "slurm", "local_device_ids": None, "initialization_timeout": 60}
    ]


def test_an_override_needs_no_launcher(bare):
    distributed.initialize("none", coordinator="a:1", num_processes=2, process_id=1)
    assert list(bare[0].values())[:4] == ["a:1", 2, 1, "deactivate"]


def test_what_a_launcher_lacks_is_said(bare, monkeypatch):
    for name, value in {**OPENMPI, **KUBERNETES}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="Open MPI .5 or newer. does not say where process 0 is"):
        distributed.initialize("openmpi")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"jax\[k8s\]"):
        distributed.initialize("kubernetes")


def test_unreachable_processes_are_reported(bare, monkeypatch):
    def fail(**_):
        raise RuntimeError("DEADLINE_EXCEEDED")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(TrainingError, match="at a:1: DEADLINE_EXCEEDED.*--launcher none"):
        distributed.initialize(coordinator="a:1", num_processes=2, process_id=1)
