"""How errors name many things: the first few and the count of the rest."""

from collections.abc import Iterable

_LISTED = 5


def listing(items: Iterable[object]) -> str:
    """Return "a, b, c, d, e and 7 more", or "nothing" where there are none."""
    names = [str(item) for item in items]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more if names else "nothing"
