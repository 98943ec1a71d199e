"""What Table VII of the paper takes away from the network, under one name each for all networks."""

from iassf_jax.core.errors import ConfigError, InputError

ABLATIONS = {
    "none": "the whole network",
    "wo_fir": "no infrared in the restoration: TF(F_vi); it is still encoded for the fusion",
    "wo_hde": "no haze density: TF(F^_ir + F_vi)",
    "wo_pir": "no prompt and no embedding in the restoration: F_ir takes the place of F^_ir",
    "wo_fr_peb": "no embedding block in the restoration: F^_ir = Conv1x1(F_ir, prompt)",
    "wo_pvi": "no prompt in the fusion; each embedding block works on the feature alone",
    "wo_fb_peb": "no attention in the fusion's embeddings: Conv3x3(Conv1x1(feature, prompt))",
}


def check_ablation(ablation: str) -> None:
    """Check the name of an ablation.

    Raises:
      ConfigError: it is none of `ABLATIONS`.
    """
    if ablation not in ABLATIONS:
        raise ConfigError(f"ablation must be one of {', '.join(ABLATIONS)}, not {ablation!r}")


def uses_haze_density(ablation: str) -> bool:
    """Whether a haze density is part of the network; two ablations do without."""
    return ablation not in ("wo_fir", "wo_hde")


def check_density_is_used(ablation: str, density: object | None) -> None:
    """Check that a haze density given by the caller has a use.

    Raises:
      InputError: the ablation uses none.
    """
    if density is not None and not uses_haze_density(ablation):
        raise InputError(f"ablation {ablation!r} uses no haze density, but one is given")
