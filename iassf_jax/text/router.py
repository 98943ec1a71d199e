"""From a user's sentence about a pair of images to a description of each image."""

import re
import warnings
from typing import NamedTuple

from iassf_jax.core.errors import InputError
from iassf_jax.text.encoders import Description
from iassf_jax.text.prompts import load_prompts
from iassf_jax.text.tasks import CLEAN, INFRARED, TASKS, VISIBLE, class_names, task_of

_CLAUSES = re.compile(r"[.;,!?]|\b(?:and|but|while|whereas)\b", re.IGNORECASE)
_MODALITIES = {
    INFRARED: re.compile(r"\b(?:infrared|ir|thermal)\b", re.IGNORECASE),
    VISIBLE: re.compile(r"\b(?:visible|rgb|colou?r|camera)\b", re.IGNORECASE),
}
_PATTERNS = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "LC": r"\b(?:low|poor|weak|flat|faint)[\s-]*contrast|contrast (?:is )?(?:too )?low"
        r"|washed[- ]out (?:ir|infrared|thermal)",
        "SR": r"\blow[\s-]*res|super[\s-]*res|\bresolution|upscal|upsampl|pixelat|downsampl",
        "HZ": r"\bhaz[ey]|\bfog|\bmist\b|\bmisty|\bsmog|dehaz",
        "OE": r"over[\s-]*expos|too bright|blown[- ]out|\bhighlights?\b|\bglare\b",
        "LL": r"\blow[\s-]*light|\bdark|\bdim\b|under[\s-]*expos|\bnight|brighten",
    }.items()
}
_NAMES = {VISIBLE: "visible", INFRARED: "infrared"}


class Routed(NamedTuple):
    """What is wrong with each image of a pair."""

    visible: Description
    infrared: Description


def route(
    text: str | None = None,
    *,
    task_visible: str | None = None,
    task_infrared: str | None = None,
    split_sr: bool = False,
) -> Routed:
    """Return the descriptions of both images.

    The sentence is cut into clauses at punctuation, "and", "but" and "while". A clause that names a
    degradation describes the image that it also names, or the one that this degradation is known for; the
    clause's own words are the description. An image of which nothing is said has nothing wrong.

    Args:
      text: a sentence; None says nothing of either image.
      task_visible, task_infrared: a task for an image, in place of what the sentence says of it.
      split_sr: the network tells low resolution by four ("SR4", also meant by "SR") and by eight apart.

    Warns:
      UserWarning: the sentence names a degradation that is not known for that image, or several for one.

    Raises:
      InputError: an unknown task, or one that is not known for that image.
    """
    found = {} if text is None else _read(text)
    for modality, name in ((VISIBLE, task_visible), (INFRARED, task_infrared)):
        if name is not None:
            found[modality] = _of_task(name, modality, split_sr)
    clean = _of_task(CLEAN, None, split_sr)
    routed = (found.get(modality, clean) for modality in (VISIBLE, INFRARED))
    return Routed(*(_in_classes(description, split_sr) for description in routed))


def in_known_words(routed: Routed, *, split_sr: bool = False) -> Routed:
    """Return the descriptions with the first prompt of their task in place of words that are no prompt.

    For networks whose sentence vectors know words only from the training prompts: to them a new sentence is
    mostly noise.
    """
    prompts = load_prompts(split_sr=split_sr)
    return Routed(
        *(
            description
            if description.text in prompts[description.task].training
            else Description(description.task, prompts[description.task].training[0])
            for description in routed
        )
    )


def _read(text: str) -> dict[int, Description]:
    known = _known_prompt(text)
    if known is not None:
        modality = TASKS[known.task].modality
        return {} if modality is None else {modality: known}
    found: dict[int, Description] = {}
    for clause in (part.strip() for part in _CLAUSES.split(text)):
        named = [modality for modality, words in _MODALITIES.items() if words.search(clause)]
        for task, pattern in _PATTERNS.items():
            if pattern.search(clause):
                _note(found, Description(task, clause), named)
    return found


def _note(found: dict[int, Description], description: Description, named: list[int]) -> None:
    """Note a clause's degradation for the image that it is of; `named` are those that the clause names."""
    usual = TASKS[description.task].modality
    assert usual is not None
    modality = named[0] if len(named) == 1 else usual
    meaning, image = TASKS[description.task].meaning, _NAMES[modality]
    if modality != usual:
        warnings.warn(
            f"{meaning} of the {image} image is not among what the network restores: it is left as it is",
            stacklevel=5,
        )
    elif modality in found:
        warnings.warn(
            f"of the {image} image only {TASKS[found[modality].task].meaning} is restored, not {meaning}",
            stacklevel=5,
        )
    else:
        found[modality] = description


def _known_prompt(text: str) -> Description | None:
    wanted = " ".join(text.lower().split())
    for task, prompts in load_prompts().items():
        for prompt in prompts.all:
            if prompt.lower() == wanted:
                return Description(task, prompt)
    return None


def _of_task(name: str, modality: int | None, split_sr: bool) -> Description:
    task = task_of(name)
    if modality is not None and task.modality not in (None, modality):
        known = [t.name for t in TASKS.values() if t.modality in (None, modality)]
        raise InputError(
            f"{task.meaning} ({task.name}) is not a task of the {_NAMES[modality]} image; "
            f"there are {', '.join(known)}"
        )
    prompts = load_prompts(split_sr=split_sr)
    label = name.upper() if name.upper() in prompts else task.name
    return Description(label, prompts[label if label in prompts else f"{label}4"].training[0])


def _in_classes(description: Description, split_sr: bool) -> Description:
    """Name the class of the network's text head; a factor that is not told is four."""
    names = class_names(split_sr=split_sr)
    if description.task in names:
        return description
    if not split_sr:
        return Description(task_of(description.task).name, description.text)
    eight = re.search(r"\b(?:8|eight)|x8\b", description.text, re.IGNORECASE)
    return Description(f"{description.task}{8 if eight else 4}", description.text)
