"""The TFDS builders: one class for each set, all storing files as bytes in array_record.

Importing this module registers them, so `tfds.builder("msrs", source=...)` works too. TensorFlow is not
needed: the features are bytes, whose encoding TFDS does without it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines.sets.cards import CARDS, ROLES, Card
from data_pipelines.sets.source import Source
from data_pipelines.sets.splitting import Assigned, by_split

VERSION = "1.0.0"


class PairedImages(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes assigned scenes; the subclasses say of which set.

    An example has "name" and "group" (UTF-8), "height" and "width" of the visible image, and for each role
    the bytes of its file, empty where there is none.

    Args:
      source: where the files are; needed to build.
      assigned: the scenes with their splits; needed to build.
      name: name of the built set, the card's by default.
      data_dir: folder of built sets.
    """

    VERSION = tfds.core.Version(VERSION)
    card: Card

    def __init__(
        self,
        *,
        source: Source | None = None,
        assigned: Sequence[Assigned] = (),
        name: str | None = None,
        data_dir: str | None = None,
        **options: Any,
    ):
        self._source, self._assigned = source, assigned
        if name is not None:
            self.name = name
        super().__init__(data_dir=data_dir, file_format="array_record", **options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "name": tfds.features.Text(),
            "group": tfds.features.Text(),
            "height": np.int32,
            "width": np.int32,
            **{role: tfds.features.Tensor(shape=(), dtype=np.object_) for role in ROLES},
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            description=f"{self.card.title}. {self.card.notes} {self.card.split_rule} "
            f"Terms: {self.card.terms or 'your own'}.",
            homepage=self.card.homepage or None,
            disable_shuffling=True,  # records lie in the order of the manifest
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {split: self._generate_examples(scenes) for split, scenes in by_split(self._assigned).items()}

    def _generate_examples(self, scenes: Sequence[Assigned]) -> Iterator[tuple[int, dict[str, Any]]]:
        assert self._source is not None
        for index, (scene, group) in enumerate((item.scene, item.group) for item in scenes):
            files = {role: self._source.read(record.path) for role, record in scene.files.items()}
            yield (
                index,
                {
                    "name": scene.name,
                    "group": group,
                    "height": scene.height,
                    "width": scene.width,
                    **{role: files.get(role, b"") for role in ROLES},
                },
            )


class Msrs(PairedImages):
    """MSRS."""

    card = CARDS["msrs"]


class MsrsHazy(PairedImages):
    """The hazy MSRS triplets published with IASSF."""

    card = CARDS["msrs_hazy"]


class M3fd(PairedImages):
    """M3FD, fusion and detection collections."""

    card = CARDS["m3fd"]


class Roadscene(PairedImages):
    """RoadScene."""

    card = CARDS["roadscene"]


class Tno(PairedImages):
    """TNO."""

    card = CARDS["tno"]


class Llvip(PairedImages):
    """LLVIP."""

    card = CARDS["llvip"]


class Folder(PairedImages):
    """Any folder of pairs."""

    card = CARDS["folder"]


BUILDERS: Mapping[str, type[PairedImages]] = {
    builder.card.name: builder for builder in (Msrs, MsrsHazy, M3fd, Roadscene, Tno, Llvip, Folder)
}
