"""Names of images in tables and folders of different origin: "DATA/NAME" here, "NAME" alone there."""

from collections.abc import Iterable, Sequence


def with_data_sets(lists: Sequence[Iterable[str]]) -> list[tuple[str, ...]]:
    """Return lists of names in which those without a data set have the one that another list has them with.

    `iassf evaluate` knows data sets, `iassf measure` and plain folders do not. A list that names any data set
    stays as it is; so does a name that several data sets have, since it could be of either.
    """
    known: dict[str, set[str]] = {}
    for name in {name for names in lists for name in names if "/" in name}:
        known.setdefault(name.rpartition("/")[2], set()).add(name)
    only = {bare: next(iter(full)) for bare, full in known.items() if len(full) == 1}
    return [
        tuple(names) if any("/" in name for name in names) else tuple(only.get(name, name) for name in names)
        for names in map(tuple, lists)
    ]
