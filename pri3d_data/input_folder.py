"""A folder that a user names as input, on a disk or behind a URL: what is in it, and when it last changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fsspec.core import url_to_fs

from pri3d_data.errors import UsageError

Stamp = tuple[str, int, str]


@dataclass(frozen=True)
class Folder:
    """An input folder on whichever storage it lies, with the listings that finding scenes needs."""

    fs: Any
    path: str

    @classmethod
    def open(cls, root: str, expected: str) -> Folder:
        """The folder a user named; `UsageError`, saying what was expected, where there is none."""
        try:
            fs, path = url_to_fs(root)
        except (ValueError, ImportError) as error:
            raise UsageError(f"The input '{root}' cannot be opened: {error}.") from error
        if not fs.isdir(path):
            raise UsageError(f"The input '{root}' is not a folder. {expected}")
        return cls(fs, path.rstrip("/"))

    @property
    def name(self) -> str:
        """Its last part."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def address(self) -> str:
        """Path or URL that opens it from anywhere."""
        return self.path if "file" in self.fs.protocol else str(self.fs.unstrip_protocol(self.path))

    def inside(self, name: str) -> Folder:
        """A folder in it, there or not."""
        return Folder(self.fs, f"{self.path}/{name}")

    def above(self) -> Folder:
        """The folder it lies in."""
        return Folder(self.fs, self.path.rsplit("/", 1)[0])

    def is_there(self) -> bool:
        """Whether it exists and is a folder."""
        return bool(self.fs.isdir(self.path))

    def folders(self) -> list[Folder]:
        """The folders in it, sorted by name; none where it does not exist."""
        return [Folder(self.fs, path) for path, info in self._entries() if info["type"] == "directory"]

    def files(self) -> list[str]:
        """Names of the files in it, sorted; none where it does not exist."""
        return [path.rsplit("/", 1)[-1] for path, info in self._entries() if info["type"] != "directory"]

    def stamps(self, names: Iterable[str]) -> tuple[Stamp, ...]:
        """(name, bytes, modification) of those of these files that exist."""
        wanted = set(names)
        return tuple(stamp for stamp in self._stamps() if stamp[0] in wanted)

    def stamp(self) -> Stamp:
        """The same for all its files as one, so that a change of any of them shows."""
        rows = self._stamps()
        digest = hashlib.sha256(repr(rows).encode()).hexdigest()[:16]
        return f"{self.name}/", sum(size for _, size, _ in rows), f"{len(rows)} files {digest}"

    def listing(self) -> str:
        """The first few names in it, for messages."""
        found = [
            path.rsplit("/", 1)[-1] + ("/" if info["type"] == "directory" else "")
            for path, info in self._entries()
        ]
        return (", ".join(found[:6]) or "an empty folder") + (" and more" if len(found) > 6 else "")

    def _stamps(self) -> list[Stamp]:
        return [
            (path.rsplit("/", 1)[-1], int(info.get("size") or 0), _modified(info))
            for path, info in self._entries()
            if info["type"] != "directory"
        ]

    def _entries(self) -> list[tuple[str, dict[str, Any]]]:
        try:
            listed = self.fs.ls(self.path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise UsageError(
                f"The folder '{self.path}' cannot be read: {error.strerror or error}."
            ) from error
        return sorted((str(entry["name"]).rstrip("/"), entry) for entry in listed)


def _modified(info: dict[str, Any]) -> str:
    return str(info.get("mtime", info.get("LastModified", info.get("ETag", ""))))
