"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iassf_jax.core.errors import IassfError, InputError


@contextmanager
def written_aside(path: str | Path, *, error: type[IassfError] = InputError) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes `path`'s place when the block ends without an error.

    Missing parent folders are made. After an error, `path` is what it was and the temporary file is gone.

    Raises:
      IassfError: of class `error`, with the reason, when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    # The name keeps the suffix at the end, because some writers append theirs to a name that lacks it.
    aside = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        # Without the flush to disk, a crash after the rename could leave an empty file under the final name.
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as problem:
        raise error(f"{path} cannot be written: {problem.strerror or problem}") from problem
    finally:
        aside.unlink(missing_ok=True)
