"""The paper's published values (Li et al., arXiv 2411.12586, Tables I to IX), to stand beside one's own.

They were computed with other tool boxes than ours in part (SCD and VIF most probably in saturating uint8
arithmetic, see `legacy_uint8_q_scd`) and on all images of each test set, so small deviations mean little.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

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
