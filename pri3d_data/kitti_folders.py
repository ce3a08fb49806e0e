"""Folders of numbered files, local or by URL: which frames they hold, and a stamp of what lies in them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from fsspec.core import url_to_fs

from pri3d_data.errors import DataError, UsageError

Stamp = tuple[str, int, str]

_NUMBERED = re.compile(r"^(\d{6,10})$")


def open_root(root: str) -> tuple[Any, str, str]:
    """The input as the user named it.

    Returns:
        The fsspec file system, the path in it, and the prefix that turns its paths back into names.

    Raises:
        UsageError: it cannot be opened or is no folder.
    """
    try:
        fs, top = url_to_fs(root)
    except (ValueError, ImportError) as error:
        raise UsageError(f"The input '{root}' cannot be opened: {error}.") from error
    top = top.rstrip("/")
    if not fs.isdir(top):
        raise UsageError(f"The input '{root}' is not a folder. Give the folder that holds KITTI's drives.")
    prefix = "" if "file" in fs.protocol else fs.unstrip_protocol(top)[: -len(top)]
    return fs, top, prefix


def folders_in(fs: Any, path: str) -> list[str]:
    """Names of the folders in a folder, sorted; none where it does not exist."""
    return [name_of(entry["name"]) for entry in _entries(fs, path) if entry["type"] == "directory"]


def entries_in(fs: Any, path: str) -> list[str]:
    """Names of what lies in a folder, sorted, folders with a slash."""
    return [
        name_of(entry["name"]) + ("/" if entry["type"] == "directory" else "") for entry in _entries(fs, path)
    ]


def stamp_of(fs: Any, folder: str, name: str) -> Stamp:
    """What a rebuild is decided by: a folder's or file's bytes, and a digest of names, sizes and times."""
    path = f"{folder}/{name}"
    entries = [e for e in _entries(fs, path) if e["type"] != "directory"]
    told = [(name_of(e["name"]), _size(e), _modified(e)) for e in entries]
    digest = hashlib.sha256(repr(told).encode()).hexdigest()[:32]
    return name, sum(size for _, size, _ in told), digest


def frames_in(folder: str, ending: str) -> dict[int, str]:
    """Paths or URLs of a folder's files ``<frame number>.<ending>`` by frame; none where it does not exist.

    Raises:
        DataError: the folder may not be read.
    """
    fs, path = url_to_fs(folder)
    try:
        names = [name_of(name) for name in fs.ls(path, detail=False)] if fs.isdir(path) else []
    except OSError as error:
        raise DataError(f"cannot be listed: {error.strerror or error}.", file=folder) from error
    numbered = {}
    for name in sorted(names):
        stem, _, extension = name.partition(".")
        if extension == ending and _NUMBERED.match(stem):
            numbered[int(stem)] = f"{folder}/{name}"
    return numbered


def name_of(path: str) -> str:
    """The last part of a path."""
    return str(path).rstrip("/").rsplit("/", 1)[-1]


def _entries(fs: Any, path: str) -> list[dict[str, Any]]:
    try:
        # A file lists itself, so that one stamp serves files and folders.
        entries = fs.ls(path, detail=True) if fs.exists(path) else []
    except OSError as error:
        raise UsageError(f"The folder '{path}' cannot be read: {error.strerror or error}.") from error
    return sorted(entries, key=lambda entry: str(entry["name"]))


def _size(entry: dict[str, Any]) -> int:
    return int(entry.get("size") or 0)


def _modified(entry: dict[str, Any]) -> str:
    return str(entry.get("mtime", entry.get("LastModified", entry.get("ETag", ""))))
