"""The files of an evaluation's results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iassf_jax.core.atomic import written_aside
from iassf_jax.evaluation import tables
from iassf_jax.evaluation.evaluate import Evaluation

SUMMARY = "summary.json"  # written last: with it an evaluation is complete
FILES = ("per_image.csv", "restored.csv", "tables.md", SUMMARY)


def write_results(
    folder: Path, evaluation: Evaluation, settings: Mapping[str, Any], models: Mapping[str, str]
) -> None:
    """Write `FILES`; see `tables.summary_json` for the arguments."""
    contents = (
        tables.images_csv(evaluation, "fusion"),
        tables.images_csv(evaluation, "restoration"),
        tables.tables_markdown(evaluation),
        tables.summary_json(evaluation, settings, models),
    )
    for name, content in zip(FILES, contents, strict=True):
        with written_aside(folder / name) as path:
            path.write_text(content, encoding="utf-8")
