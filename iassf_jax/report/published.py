"""The paper's published values (Li et al., arXiv 2411.12586, Tables I to IX), to stand beside one's own.

They were computed with other tool boxes than ours in part (SCD and VIF most probably in saturating uint8
arithmetic, see `legacy_uint8_q_scd`) and on all images of each test set, so small deviations mean little.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import InputError

TITLES: Mapping[str, str] = {
    "I": "MSRS, DIACMP before each rival",
    "II": "MSRS, DehazeFormer before each rival",
    "III": "M3FD, DIACMP before each rival",
    "IV": "M3FD, DehazeFormer before each rival",
    "V": "RoadScene, DIACMP before each rival",
    "VI": "RoadScene, DehazeFormer before each rival",
    "VII": "ablations, MSRS",
    "VIII": "alpha, M = 5, MSRS",
    "IX": "M, alpha = 2, MSRS",
}
SWEPT: Mapping[str, str] = {
    "VIII": "alpha",
    "IX": "model.num_fusion_blocks",
}  # option whose values the rows are
ABLATION = "model.ablation"
# Our names of the ablations -> rows of Table VII.
_ABLATIONS = {
    "none": "Ours",
    "wo_fir": "w/o F_ir",
    "wo_hde": "w/o HDE",
    "wo_pir": "w/o P_ir",
    "wo_fr_peb": "w/o FR-PEB",
    "wo_pvi": "w/o P_vi",
    "wo_fb_peb": "w/o FB-PEB",
}
SOURCE = "Li et al., arXiv 2411.12586"
_FILE = Path(__file__).with_name("published.csv")


def published(table: str) -> dict[str, dict[str, float]]:
    """Return the values of a table of the paper: row -> metric -> value, in the paper's order.

    Raises:
      InputError: there is no such table.
    """
    if table not in TITLES:
        raise InputError(f"--paper {table}: the paper's tables are {', '.join(TITLES)}")
    with _FILE.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == table]
    return {
        row["row"]: {key: float(value) for key, value in row.items() if key not in ("table", "row")}
        for row in rows
    }


def counterpart(table: str, settings: Mapping[str, Any]) -> str | None:
    """Return which row of a table of the paper a network trained with these settings corresponds to.

    In the tables of rivals it is "Ours"; None where the paper has no such value.
    """
    if table in SWEPT:
        value = settings.get(SWEPT[table])
        if not isinstance(value, int | float):
            return None
        return next((row for row in published(table) if float(row) == value), None)
    if table == "VII":
        return _ABLATIONS.get(settings.get(ABLATION, ""))
    return "Ours"
