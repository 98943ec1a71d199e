"""What is timed, and against whom."""

import dataclasses
from collections.abc import Sequence

GROUPS = ("forward", "train", "data")
PRECISIONS = ("float32", "tf32", "bfloat16")

_FORWARD = ((1, 256, 256), (1, 480, 640), (1, 768, 1024), (16, 256, 256))  # batch, height, width
_TRAIN = ((1, 256, 256), (2, 256, 256), (6, 256, 256), (16, 256, 256))
_DATA = (
    ("density", 1, 256, 256),
    ("density", 1, 480, 640),
    ("augment", 6, 256, 256),
    ("metrics", 1, 480, 640),
    ("loading", 6, 256, 256),
)
_NO_RIVAL = ("augment", "metrics", "loading")

# What makes up the released network; its other fields say how it is computed, or take parts away.
_DEHAZE = ("embed_dims", "depths", "num_heads", "attn_ratios", "mlp_ratios", "prompt_heads", "prompt_size")
_FUSION = ("fusion_width", "fusion_prompt_size", "num_fusion_blocks")
ARCHITECTURE = (*_DEHAZE, *_FUSION, "num_prompts", "window")


@dataclasses.dataclass(frozen=True)
class Case:
    """One measurement: a task on images of one size at one precision."""

    group: str
    task: str  # "forward", "train", "density", "augment", "metrics" or "loading"
    batch: int
    height: int
    width: int
    precision: str = "float32"
    remat: bool = False  # this project's training step computes blocks anew instead of keeping them

    @property
    def name(self) -> str:
        name = f"{self.task} {self.batch}x{self.height}x{self.width} {self.precision}"
        return f"{name} remat" if self.remat else name


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way of doing it."""

    side: str  # "jax": this project; "torch": the rival
    compiled: bool = True
    channels_last: bool = False
    density: str = ""  # where the rival estimates the haze density: "host" or "device"

    @property
    def name(self) -> str:
        if self.side == "jax":
            return "iassf_jax"
        words = ["torch.compile" if self.compiled else "eager", "channels_last" if self.channels_last else ""]
        return " ".join([*filter(None, words), f"({self.density} density)"])


def cases(
    groups: Sequence[str], precisions: Sequence[str], *, only: str = "", remat: bool = False
) -> list[Case]:
    """List the cases of `groups` whose names contain `only`; the data group is float32."""
    networks = [
        Case(task, task, *size, precision, remat=remat and task == "train")
        for task, sizes in (("forward", _FORWARD), ("train", _TRAIN))
        for precision in precisions
        for size in sizes
    ]
    every = networks + [Case("data", *what) for what in _DATA]
    return [case for case in every if case.group in groups and only in case.name]


def contenders(case: Case, *, densities: Sequence[str]) -> list[Contender]:
    """List who competes: this project first, then the rivals."""
    ours = Contender("jax")
    if case.task in _NO_RIVAL:
        return [ours]
    if case.task == "density":
        return [ours, *(Contender("torch", compiled=False, density=where) for where in densities)]
    return [ours] + [
        Contender("torch", compiled, channels_last, where)
        for where in densities
        for compiled, channels_last in ((False, False), (False, True), (True, False), (True, True))
    ]
