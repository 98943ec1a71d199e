"""How XLA compiles for tests: hundreds of small programs, each run once or twice, so little optimisation.

The older of its code generators for CPUs takes half the time for them; not every jaxlib has it.
"""

from importlib.metadata import version

# An unknown flag ends the process: the newer generator is the only one in later releases.
_HAS_BOTH = tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11)

NEWER_GENERATOR = {"xla_cpu_use_fusion_emitters": True} if _HAS_BOTH else {}
AS_USERS_DO = NEWER_GENERATOR | {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
}
_QUICKLY = dict.fromkeys(NEWER_GENERATOR, False) | {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_parallel_codegen_split_count": 4,
}


def xla_flags(*, devices: int) -> str:
    """Return the flags of a process that compiles quickly and simulates so many devices."""
    options = _QUICKLY | {"xla_force_host_platform_device_count": devices}
    return " ".join(f"--{name}={str(value).lower()}" for name, value in options.items())
