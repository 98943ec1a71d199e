"""Checks of arguments at trace time: a wrong call fails with a sentence, not deep inside."""

from jaxtyping import Array

from iassf_jax.core.errors import InputError


def check_images(**images: Array) -> None:
    """Raise `InputError` unless every named array has the four axes batch, height, width, channels."""
    for name, image in images.items():
        if image.ndim != 4:
            raise InputError(
                f"{name} has shape {image.shape}; expected four axes (batch, height, width, channels). "
                "Add a batch axis with image[None] or a channel axis with image[..., None]."
            )
        if 0 in image.shape[1:]:
            raise InputError(f"{name} is empty: its shape is {image.shape}")


def check_same_shape(**images: Array) -> None:
    """Raise `InputError` unless the named arrays have one common shape."""
    if len({image.shape for image in images.values()}) > 1:
        found = ", ".join(f"{name} {image.shape}" for name, image in images.items())
        raise InputError(f"shapes must be equal, but were: {found}")


def check_at_least(bound: float | int, **numbers: float | int) -> None:
    """Raise `InputError` for a number below `bound`."""
    for name, number in numbers.items():
        if not number >= bound:
            raise InputError(f"{name} is {number}; expected at least {bound}")


def check_choice(choices: tuple[str, ...], **options: str) -> None:
    """Raise `InputError` for an option that is not one of `choices`."""
    for name, option in options.items():
        if option not in choices:
            raise InputError(f"{name} is {option!r}; expected one of {', '.join(map(repr, choices))}")
