"""Folders of numbered files, local or by URL: which frames they hold."""

from __future__ import annotations

import re

from fsspec.core import url_to_fs

from pri3d_data.errors import DataError

_NUMBERED = re.compile(r"^(\d{6,10})$")


def frames_in(folder: str, ending: str) -> dict[int, str]:
    """Paths or URLs of a folder's files ``<frame number>.<ending>`` by frame; none where it does not exist.

    Raises:
        DataError: the folder may not be read.
    """
    fs, path = url_to_fs(folder)
    try:
        found = fs.ls(path, detail=False) if fs.isdir(path) else []
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror or error}.", file=folder) from error
    numbered = {}
    for name in sorted(str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in found):
        stem, _, extension = name.partition(".")
        if extension == ending and _NUMBERED.match(stem):
            numbered[int(stem)] = f"{folder}/{name}"
    return numbered
