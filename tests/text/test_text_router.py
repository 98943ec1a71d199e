"""Users' sentences and the two descriptions that they become."""

import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.text import load_prompts, route

CLEAN = "The image is clean, keep it as it is."


@pytest.mark.parametrize(
    ("sentence", "visible", "infrared"),
    [
        ("The visible image is hazy, the thermal one has low contrast", "HZ", "LC"),
        ("Dehaze the visible image and upscale the infrared one.", "HZ", "SR"),
        ("the RGB image is overexposed while the IR frame has poor contrast", "OE", "LC"),
        ("Low light in the visible image; super-resolve the thermal image", "LL", "SR"),
        ("It was taken at night, the thermal contrast is too low", "LL", "LC"),
        ("Remove the fog", "HZ", "PD"),
        ("there is smog over the city", "HZ", "PD"),
        ("MISTY morning", "HZ", "PD"),
        ("too bright", "OE", "PD"),
        ("the sky has blown-out highlights", "OE", "PD"),
        ("Under-exposed colour picture", "LL", "PD"),
        ("please brighten the dim street", "LL", "PD"),
        ("weak contrast", "PD", "LC"),
        ("the infrared image has low-contrast but the visible one is fine", "PD", "LC"),
        ("washed-out thermal picture", "PD", "LC"),
        ("pixelated infrared", "PD", "SR"),
        ("low resolution", "PD", "SR"),
        ("hazy visible image with low contrast infrared", "HZ", "LC"),
        ("fuse the two images", "PD", "PD"),
        ("a mistake in another dimension", "PD", "PD"),
        ("visible image", "PD", "PD"),
    ],
)
def test_sentences(sentence, visible, infrared):
    routed = route(sentence)
    assert (routed.visible.task, routed.infrared.task) == (visible, infrared)


def test_a_clause_describes_in_its_own_words():
    routed = route("The visible image is hazy, the thermal one has low contrast")
    assert routed.visible.text == "The visible image is hazy"
    assert routed.infrared.text == "the thermal one has low contrast"
    assert route("the visible image is hazy").infrared.text == CLEAN
    assert {description.text for description in route()} == {CLEAN}


@pytest.mark.parametrize("task", ["LC", "SR", "HZ", "OE", "LL", "PD"])
def test_every_packaged_prompt_is_understood_whole(task):
    for prompt in load_prompts()[task].all:
        routed = route(prompt.upper())
        described = routed.infrared if task in ("LC", "SR") else routed.visible
        assert described.task == task
        if task != "PD":
            assert described.text == prompt


@pytest.mark.parametrize(
    ("sentence", "warning"),
    [
        ("hazy infrared", "haze of the infrared image is not among"),
        ("visible image with low contrast", "low contrast of the visible image is not among"),
        ("a dark and hazy visible image", "only low light is restored, not haze"),
    ],
)
def test_what_cannot_be_done_is_said(sentence, warning):
    with pytest.warns(UserWarning, match=warning):
        route(sentence)


def test_tasks_come_before_the_sentence():
    routed = route("the visible image is hazy", task_visible="oe", task_infrared="SR")
    assert (routed.visible.task, routed.infrared.task) == ("OE", "SR")
    assert routed.visible.text == load_prompts()["OE"].training[0]
    with pytest.raises(
        InputError, match=r"haze \(HZ\) is not a task of the infrared image; there are LC, SR, PD"
    ):
        route(task_infrared="HZ")


def test_factors_of_low_resolution():
    assert route("low resolution by a factor of eight", split_sr=True).infrared.task == "SR8"
    assert route("low resolution", split_sr=True).infrared.task == "SR4"
    assert route(task_infrared="SR8", split_sr=True).infrared.task == "SR8"
    assert route(task_infrared="SR8").infrared.task == "SR"
    assert "four" in route(task_infrared="SR", split_sr=True).infrared.text
