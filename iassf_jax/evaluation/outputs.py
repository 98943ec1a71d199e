"""The files of an evaluation's results: tables, values, images."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.images import write_image
from iassf_jax.evaluation import baselines, tables
from iassf_jax.evaluation.evaluate import Evaluation, Pictures
from iassf_jax.evaluation.scenes import Scene

SUMMARY = "summary.json"  # written last: with it an evaluation is complete
KINDS = ("fused", "restored", "haze", "hazy", "baselines")  # of images
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


def image_writer(output: Path, kinds: Collection[str]) -> Callable[[Scene, Pictures], None]:
    """Return what writes the images of a scene to OUTPUT/KIND/DATA/NAME.png, baselines by their names."""

    def write(scene: Scene, pictures: Pictures) -> None:
        folder = scene.data.strip("/.").replace("/", "_").replace(":", "_")
        for kind, image in pictures.items():
            if kind in kinds or (kind in baselines.ALL and "baselines" in kinds):
                write_image(output / kind / folder / f"{scene.name}.png", image)

    return write
