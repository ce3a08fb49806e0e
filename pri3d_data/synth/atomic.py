"""A file that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pri3d_data.errors import StorageError


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` for writing under a temporary name beside it; rename when the block ends well.

    If the block raises, nothing is left behind and a file that was there before stays as it was.

    Raises:
        StorageError: the folder cannot be made, or the file not be written or renamed.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(
            f"{path}: cannot be written ({reason}). Check free space and rights, or choose another folder."
        ) from error
    finally:
        # A place that refuses the file may refuse this too; the first error is the one to tell.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
