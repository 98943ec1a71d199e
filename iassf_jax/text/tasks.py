"""What can be wrong with an image, and with which of the two (LURE paper, Table of tasks)."""

import dataclasses

from iassf_jax.core.errors import InputError

VISIBLE, INFRARED = 0, 1  # modality numbers, as the network's embedding counts them


@dataclasses.dataclass(frozen=True)
class Task:
    """A degradation that the network learns to undo."""

    name: str  # two letters, as in configurations and file names
    meaning: str
    modality: int | None  # VISIBLE or INFRARED; None is either


CLEAN = "PD"  # the "pseudo-degradation" of an image with nothing wrong

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("LC", "low contrast", INFRARED),
        Task("SR", "low resolution", INFRARED),
        Task("HZ", "haze", VISIBLE),
        Task("OE", "over-exposure", VISIBLE),
        Task("LL", "low light", VISIBLE),
        Task(CLEAN, "nothing", None),
    )
}

_SPLIT = {"SR": ("SR4", "SR8")}


def class_names(*, split_sr: bool = False) -> tuple[str, ...]:
    """Return the classes of the text head in their order: six, or seven with SR by its factor."""
    names = ((name,) if not split_sr else _SPLIT.get(name, (name,)) for name in TASKS)
    return tuple(name for group in names for name in group)


def task_of(name: str) -> Task:
    """Return a task by its name, in any case; "SR4" and "SR8" are SR.

    Raises:
      InputError: there is no such task.
    """
    short = name.upper()
    for whole, parts in _SPLIT.items():
        short = whole if short in parts else short
    if short not in TASKS:
        known = ", ".join(f"{task.name} ({task.meaning})" for task in TASKS.values())
        raise InputError(f"there is no task {name!r}; there are {known}")
    return TASKS[short]
