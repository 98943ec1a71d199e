"""Training: `run_training(config, workdir)` trains, evaluates, checkpoints and resumes."""

from iassf_jax.training.run import RunResult, run_training

__all__ = ["RunResult", "run_training"]
