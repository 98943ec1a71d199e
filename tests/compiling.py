"""How XLA compiles for tests: hundreds of small programs, each run once or twice, so little optimisation.

The older of its code generators for CPUs takes half the time for them; not every jaxlib has it.
"""

from importlib.metadata import version

_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": 4,
}
_AS_USERS_DO = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
    "xla_cpu_parallel_codegen_split_count": 32,
}
_TWO_GENERATORS = tuple(int(part) for part in version("jaxlib").split(".")[:2]) < (
    0,
    11,
)  # unknown flags abort
_GENERATOR = "xla_cpu_use_fusion_emitters"

QUICKLY = _OPTIONS | ({_GENERATOR: False} if _TWO_GENERATORS else {})
AS_USERS_DO = _AS_USERS_DO | ({_GENERATOR: True} if _TWO_GENERATORS else {})


def xla_flags(*, devices: int) -> str:
    """Return the options of `QUICKLY` for a whole process that simulates so many devices."""
    options = QUICKLY | {"xla_force_host_platform_device_count": devices}
    return " ".join(f"--{name}={str(value).lower()}" for name, value in options.items())
