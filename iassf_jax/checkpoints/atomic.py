"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iassf_jax.core.errors import CheckpointError


@contextmanager
def written_aside(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it takes `path`'s place when the block ends without an error.

    Missing parent folders are made. After an error, `path` is what it was and the temporary file is gone.

    Raises:
      CheckpointError: the folder cannot be written.
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
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)
