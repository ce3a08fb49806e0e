"""Files that appear whole or not at all, even if the machine loses power."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from pri3d_data.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` under a temporary name beside it; synced and renamed when the block ends well.

    If the block raises, nothing is left behind and a file that was there before stays as it was.

    Raises:
        OSError: the folder cannot be made, or the file not be written; callers say what that means.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        # A place that refuses the file may refuse this too; the first error is the one to tell.
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """`replacing`, for a file a user asked for.

    Raises:
        StorageError: the folder cannot be made, or the file not be written or renamed.
    """
    try:
        with replacing(path) as file:
            yield file
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StorageError(
            f"{path}: cannot be written ({reason}). Check free space and rights, or choose another folder."
        ) from error


def sync_folder(folder: Path) -> None:
    """Put a folder's names on disk: without it a power cut can lose a rename although the file is there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
