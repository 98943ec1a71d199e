"""What is timed, and against whom."""

import dataclasses
from collections.abc import Sequence
from typing import Any

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
    # How this project computes it:
    pallas: bool = False  # with its kernels for GPUs
    remat: bool = False  # in training, blocks are computed anew instead of kept
    micro_batch: int | None = None  # in training, examples at once; None: as many as a run takes

    @property
    def name(self) -> str:
        words = [self.task, f"{self.batch}x{self.height}x{self.width}", self.precision]
        words += ["pallas"] * self.pallas + ["remat"] * self.remat
        if self.micro_batch is not None:
            words.append(f"in micro-batches of {self.micro_batch}")
        return " ".join(words)


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way of doing it."""

    side: str  # "jax": this project; "torch": the rival
    compiled: bool = True
    channels_last: bool = False
    density: str = ""  # where the rival estimates the haze density: "host" or "device"
    keeps_memory: bool = False  # the rival's C library keeps freed memory too

    @property
    def name(self) -> str:
        if self.side == "jax":
            return "iassf_jax"
        words = ["torch.compile" if self.compiled else "eager", "channels_last" if self.channels_last else ""]
        memory = ", freed memory kept" if self.keeps_memory else ""
        return " ".join([*filter(None, words), f"({self.density} density{memory})"])


def cases(
    groups: Sequence[str], precisions: Sequence[str], *, only: str = "", pallas: bool = False, **lean: Any
) -> list[Case]:
    """List the cases of `groups` whose names contain `only`; the data group is float32.

    `lean` are the fields of training cases that save memory. A batch which `micro_batch` does not divide is
    left out.
    """
    every = [Case("forward", "forward", *size, p, pallas) for p in precisions for size in _FORWARD]
    every += [Case("train", "train", *size, p, pallas, **lean) for p in precisions for size in _TRAIN]
    every += [Case("data", *what) for what in _DATA]
    wanted = [case for case in every if case.group in groups and only in case.name]
    return [case for case in wanted if case.batch % (case.micro_batch or 1) == 0]


def contenders(case: Case, *, densities: Sequence[str], keep_memory: bool = False) -> list[Contender]:
    """List who competes: this project first, then the rivals; these as users start them, or `keep_memory`."""
    ours = Contender("jax")
    if case.task in _NO_RIVAL:
        return [ours]
    choices = (False,) if case.task == "density" else (False, True)
    return [ours] + [
        Contender("torch", compiled, channels_last, where, keep_memory)
        for where in densities
        for compiled in choices
        for channels_last in choices
    ]
