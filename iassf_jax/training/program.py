"""The compiled step: compiled once, for the shapes of the first batch, and counted."""

from typing import Any

import jax

from iassf_jax.core.allocator import KeptMemory, return_freed_memory
from iassf_jax.training.measurements import program_flops


class StepProgram:
    """Calls a jitted function through one program, compiled ahead of time at the first call.

    Other shapes, types or places than those of the first call are an error and never a second compilation.

    Args:
      jitted: a function from `jax.jit`.
      constants: arrays that every call gets after its own arguments.
    """

    def __init__(self, jitted: Any, constants: tuple[Any, ...] = ()):
        self._jitted, self._constants = jitted, constants
        self._compiled: jax.stages.Compiled | None = None
        self._memory = KeptMemory()
        self.flops: float | None = None  # of one step on all devices; None before it was compiled, or unknown

    def __call__(self, *arguments: Any) -> Any:
        if self._compiled is None:
            lowered = self._jitted.lower(*arguments, *self._constants)
            self.flops = program_flops(lowered)
            self._compiled = lowered.compile()
            return_freed_memory()  # of the compiler
        results = self._compiled(*arguments, *self._constants)
        self._memory.settle()
        return results
