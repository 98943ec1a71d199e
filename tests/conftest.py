"""Makes JAX loud in tests: strict dtype promotion, no silent rank promotion, eight simulated devices.

Programs are compiled quickly (`tests/compiling.py`), those of the parity tests as users compile them.

They run on the CPU. On a GPU, `IASSF_TEST_PLATFORM=cuda JAX_DEFAULT_MATMUL_PRECISION=highest pytest tests/ops
tests/models` compares the same numbers there.
"""

import os
from pathlib import Path

from tests.compiling import xla_flags

os.environ["JAX_PLATFORMS"] = os.environ.get("IASSF_TEST_PLATFORM", "cpu")
os.environ["XLA_FLAGS"] = f"{xla_flags(devices=8)} {os.environ.get('XLA_FLAGS', '')}"

import jax
import jaxtyping
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, use_abstract_mesh

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

pytest_plugins = ("tests.tiny_runs",)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the reference material (../shared) is not on this machine")
    return SHARED


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def lower_for_gpu():
    """Returns the program of `function(*arguments)` for a GPU, which need not be there."""

    def lower(function, *arguments) -> str:
        gpu = AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
        with use_abstract_mesh(AbstractMesh((1,), ("device",), abstract_device=gpu)):
            return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()

    return lower


@pytest.fixture
def without_type_checks():
    """What a user sees outside the tests: the package's own checks, not those of the import hook."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
