"""Makes the network of a few numbers known in the processes that engines start."""

import sys

from iassf_jax import models
from iassf_jax.sweeps import worker
from iassf_jax.sweeps.slurm import UnitTask
from tests.training.network import Tiny


def register() -> None:
    models.MODELS["tiny"] = Tiny


class TinyTask(UnitTask):
    def __call__(self, unit):
        register()
        super().__call__(unit)


if __name__ == "__main__":
    register()
    sys.exit(worker.main(sys.argv[1:]))
