"""What is known about each public set: its folders, its splits, its traps, where it comes from.

A set's folders are recognised by name, in any case and at any depth, so that the copies in circulation
(`Ir`/`ir`, `Vis`/`vi`, a split above or below) all build to the same set.
"""

import dataclasses
from collections.abc import Mapping

VISIBLE, INFRARED, HAZY, DEPTH, LABELS = ROLES = ("visible", "infrared", "hazy", "depth", "labels")

_GENERIC = {
    VISIBLE: ("gt", "visible", "vi", "vis", "clear", "rgb"),
    INFRARED: ("ir", "infrared", "thermal", "inf"),
    HAZY: ("hazy", "haze"),
    DEPTH: ("depth",),
    LABELS: ("labels", "label", "segmentation_labels", "annotation", "annotations"),
}
_TERNARY = {"train": 0.8, "val": 0.1, "test": 0.1}


@dataclasses.dataclass(frozen=True)
class Archive:
    """A packed copy of a set; what is not known is empty."""

    name: str  # of the file
    address: str  # that gives the file itself
    sha256: str


@dataclasses.dataclass(frozen=True)
class Card:
    """One set.

    Attributes:
      name: how it is built and opened.
      title: one line for people.
      homepage: where its authors publish it.
      terms: what is known of its licence.
      notes: traps, and what is done about them.
      folders: role -> names of the folders that hold it, lower case.
      ignored: folders that are not part of the set, lower case.
      subsets: folder -> prefix of the scene names below it, where one archive holds two collections.
      counts: split -> number of scenes of the complete set, as published.
      fractions: split -> share, for sets without a split of their own; groups of neighbours stay together.
      gap: file numbers at most so far apart belong to one sequence; 0 goes by the pictures only.
      one_sequence: beginnings of names that are one recording altogether.
      listed: split -> published names in `lists/` that lie in it, perhaps not all of them.
      archives: the packed copies that are published. One is downloaded only if its checksum is known: the
        archives that GitHub packs on request have none.
    """

    name: str
    title: str
    homepage: str
    terms: str
    notes: str
    folders: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=lambda: _GENERIC)
    ignored: tuple[str, ...] = ()
    subsets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    fractions: Mapping[str, float] = dataclasses.field(default_factory=dict)
    gap: int = 0
    one_sequence: tuple[str, ...] = ()
    listed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    archives: tuple[Archive, ...] = ()

    @property
    def split_rule(self) -> str:
        """How scenes get their split, in words; `splitting` does it."""
        if not self.fractions:
            return "Splits are those of the folders; scenes outside of them are train."
        rule = "Scenes in a split's folder belong to that split. "
        for split, file in self.listed.items():
            rule += f"Names in {file} are {split}, and what else is of their sequences near_{split}. "
        shares = ", ".join(f"{100 * share:g} % {split}" for split, share in self.fractions.items())
        rule += f"The others: {shares}"
        if len(self.fractions) == 1:
            return f"{rule}."
        close = f"whose file numbers are at most {self.gap} apart, " if self.gap else ""
        return (
            f"{rule}, by whole sequences: a sequence is all scenes {close}that follow each other by name and "
            "look alike, or that are nearly the same picture. Sequences are taken in the order of the "
            "SHA-256 of their first name; each goes to the split that lacks most."
        )


_DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="

CARDS = {
    card.name: card
    for card in (
        Card(
            name="msrs",
            title="MSRS: 1,444 aligned road scenes by day and night, 640x480",
            homepage="https://github.com/Linfeng-Tang/MSRS",
            terms="none stated; derived from MFNet",
            notes="Official split by folder (1083/361). Test scenes were taken every few frames from the "
            "recordings that training scenes are from: neighbours lie in both. Infrared is grey in the "
            "official copy and three equal channels in others. detection/ is not part of it.",
            ignored=("detection",),
            counts={"train": 1083, "test": 361},
            listed={"test": "msrs_test.txt"},  # 261 of the 361 names
            archives=(
                Archive("main.zip", "https://github.com/Linfeng-Tang/MSRS/archive/refs/heads/main.zip", ""),
            ),
        ),
        Card(
            name="msrs_hazy",
            title="Hazy MSRS: the test triplets published with IASSF (clear, hazy, infrared), 640x480",
            homepage="https://github.com/fangjiaqi0909/IASSF",
            terms="none stated; derived from MSRS",
            notes="361 scenes of the MSRS test split. Hazy files hold 0.5 + h/2: no value is below 127.",
            counts={"all": 361},
            archives=(
                Archive("main.zip", "https://github.com/fangjiaqi0909/IASSF/archive/refs/heads/main.zip", ""),
            ),
        ),
        Card(
            name="m3fd",
            title="M3FD: 300 (fusion) and 4,200 (detection) aligned scenes, mostly 1024x768",
            homepage="https://github.com/JinyuanLiu-CV/TarDAL",
            terms="none stated",
            notes="No official split, and frames of one recording follow each other: split by sequence. "
            "Infrared comes with three channels. Both collections number from 0; names get a prefix.",
            subsets={"m3fd_fusion": "fusion", "m3fd_detection": "detection"},
            ignored=("meta",),
            fractions=_TERNARY,
            archives=(
                Archive(
                    "M3FD_Fusion.zip",
                    f"{_DRIVE}1pjdhjVTpOsj2qMBVIRpLOLA7UWIuHt0P",
                    "ec33d031bbd26697b75061972786526cdd815ee8111586813427d155ec522dfc",
                ),
                Archive(
                    "M3FD_Detection.zip",
                    f"{_DRIVE}1C8kkYkj1Xls6UtvJ4h6UajiPcvaQ7eeI",
                    "62780f67569cd35e631aba449a45781e4eff4f3e2a4bb962dd02551f110a3407",
                ),
            ),
        ),
        Card(
            name="roadscene",
            title="RoadScene: 221 aligned road scenes of 218 sizes, from FLIR video",
            homepage="https://github.com/hanna-xu/RoadScene",
            terms="none stated; from FLIR ADAS",
            notes="crop_LR_visible is used: crop_HR_visible never has the size of the infrared image. "
            "test is the list of 50 that the CDDFuse authors published; scenes within 20 frames of one of "
            "them form near_test, the others are split into train and val by sequence.",
            folders={VISIBLE: ("crop_lr_visible",), INFRARED: ("cropinfrared",)},
            ignored=("crop_hr_visible", "infrared"),
            counts={"all": 221},
            fractions={"train": 0.85, "val": 0.15},
            gap=20,
            one_sequence=("FLIR_video_",),
            listed={"test": "roadscene_test.txt"},
            archives=(
                Archive(
                    "master.zip", "https://github.com/hanna-xu/RoadScene/archive/refs/heads/master.zip", ""
                ),
            ),
        ),
        Card(
            name="tno",
            title="TNO: up to 261 aligned night-vision pairs of mixed sizes",
            homepage="https://figshare.com/articles/dataset/TNO_Image_Fusion_Dataset/1008029",
            terms="see the figshare page",
            notes="Copies of 21, 25, 42 and 45 pairs circulate under the same name; all of it is test. "
            "Visible images are grey.",
            fractions={"test": 1.0},
        ),
        Card(
            name="llvip",
            title="LLVIP: 15,488 aligned street scenes by night, 1280x1024",
            homepage="https://github.com/bupt-ai-cz/LLVIP",
            terms="non-commercial, no identification of persons: see the Term of Use file of the set",
            notes="Official split by folder, below visible/ and infrared/. "
            "Infrared comes with three channels.",
            counts={"all": 15488},
        ),
        Card(
            name="folder",
            title="Any folder with visible/ and infrared/, optionally hazy/, depth/ and labels/",
            homepage="",
            terms="",
            notes="train/, val/ and test/ folders are the splits; without them everything is train.",
            fractions={"train": 1.0},
        ),
    )
}
