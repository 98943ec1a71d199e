"""Which runs each of the paper's tables needs. Runs that several tables share are made once.

A run is told by all of alpha, M, ablation and seed, so that the same one has the same folder in every table.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from configs.sweeps.ablations import ABLATIONS
from configs.sweeps.alpha import ALPHAS
from configs.sweeps.fusion_blocks import FUSION_BLOCKS
from iassf_jax.evaluation import baselines
from iassf_jax.report.published import ABLATION, SWEPT, TITLES
from iassf_jax.reproduce.budgets import Budget
from iassf_jax.sweeps.points import Point, check_overrides, make_point

_WHOLE: Mapping[str, Any] = {"alpha": 2.0, "model.num_fusion_blocks": 5, "model.ablation": "none"}
_VALUES: Mapping[str, tuple[str, Sequence[Any]]] = {
    "VII": (ABLATION, ABLATIONS),
    "VIII": (SWEPT["VIII"], ALPHAS),
    "IX": (SWEPT["IX"], FUSION_BLOCKS),
}


@dataclasses.dataclass(frozen=True)
class Study:
    """What one table needs.

    Attributes:
      table: Roman number.
      option: that is varied, its rows being the values; "" in the tables of rivals.
      values: of the option.
    """

    table: str
    option: str
    values: tuple[Any, ...]

    @property
    def title(self) -> str:
        """What the table is about."""
        return f"Table {self.table}: {TITLES[self.table]}"

    @property
    def evaluation(self) -> str:
        """Name of the evaluation of its runs: tables of one data set and the same methods share it."""
        name = TITLES[self.table].split(",")[0] if not self.option else "MSRS"
        return f"{name.lower()}_rivals" if not self.option else name.lower()

    @property
    def baselines(self) -> tuple[str, ...]:
        """Rivals that are computed beside the network."""
        return () if self.option else baselines.ALL

    @property
    def reference(self) -> Any:
        """Value of the paper's own choice, which the other rows are compared with; None without a sweep."""
        return _WHOLE[self.option] if self.option else None

    def runs(self, seeds: Sequence[int]) -> list[dict[str, Any]]:
        """Return the settings of every run, the rows of each seed after each other."""
        rows = [{self.option: value} for value in self.values] if self.option else [{}]
        return [{**_WHOLE, **row, "seed": seed} for seed, row in itertools.product(seeds, rows)]


def study(table: str) -> Study:
    """Return what a table of the paper needs."""
    option, values = _VALUES.get(table, ("", ()))
    return Study(table, option, tuple(values))


def make_runs(
    studies: Sequence[Study], budget: Budget, overrides: Sequence[str]
) -> dict[str, tuple[Point, list[Study]]]:
    """Return every run by its name, with the tables that it is for.

    Args:
      studies: the tables.
      budget: what the runs start from, and their seeds.
      overrides: "config.NAME=VALUE" words for all runs.

    Raises:
      ConfigError: options that do not exist, or that the tables set themselves.
    """
    runs: dict[str, tuple[Point, list[Study]]] = {}
    for wanted in studies:
        rows = wanted.runs(budget.seeds)
        check_overrides(
            overrides, rows, advice="leave the word out (--seeds N says how many seeds there are)"
        )
        for settings in rows:
            point = make_point(settings, budget.file, overrides)
            runs.setdefault(point.name, (point, []))[1].append(wanted)
    return runs
