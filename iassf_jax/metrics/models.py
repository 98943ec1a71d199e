"""The learned parameters that metrics use in place of, or in addition to, the shipped ones."""

import dataclasses

from iassf_jax.metrics.ma_model import MaModel
from iassf_jax.metrics.niqe_model import NiqeModel


@dataclasses.dataclass(frozen=True, eq=False)
class Models:
    """Models that a user points to.

    Attributes:
      niqe: for q_niqe; None is the LIVE release's. NIQE inside PI keeps the LIVE model, which defines PI.
      ma: for ma and q_pi, whose regression forests cannot be shipped.
    """

    niqe: NiqeModel | None = None
    ma: MaModel | None = None


SHIPPED = Models()
