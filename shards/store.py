"""Where output lives: a local folder or any fsspec URL, every file appearing whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pri3d_data.atomic_file import replacing, sync_folder
from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import StorageError

_CHUNK = 1 << 22


class Store:
    """An output folder.

    Args:
        root: local path or URL; it need not exist yet.

    Every method takes paths below the root and raises `StorageError` where the storage refuses.
    """

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"
        fs, top = url_to_fs(self.root)
        self._fs: Any = fs
        self._top = top.rstrip("/")
        self.local = Path(self._top) if isinstance(fs, LocalFileSystem) else None

    def url(self, path: str) -> str:
        """The full path or URL of a file."""
        return f"{self._top if self.local else self.root}/{path}"

    def exists(self, path: str) -> bool:
        """Whether the file or folder is there."""
        return bool(self._fs.exists(f"{self._top}/{path}"))

    def list(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted; empty where the folder is missing."""
        with self._refusals(folder):
            self._fs.invalidate_cache()
            if not self.exists(folder):
                return []
            names = (
                str(e["name"])
                for e in self._fs.ls(f"{self._top}/{folder}", detail=True)
                if e["type"] == "file"
            )
            return sorted(name.rsplit("/", 1)[-1] for name in names)

    def read(self, path: str) -> bytes:
        """The whole file."""
        with ByteSource(self.url(path)) as source:
            return source.read(0, source.size)

    def read_range(self, path: str, offset: int, length: int) -> Iterator[bytes]:
        """A part of a file, in pieces of at most 4 MiB."""
        with ByteSource(self.url(path)) as source:
            for at in range(offset, offset + length, _CHUNK):
                yield source.read(at, min(_CHUNK, offset + length - at))

    def write(self, path: str, chunks: Iterable[bytes]) -> None:
        """Write a file. It appears under its name when every byte is on disk, or never."""
        with self._refusals(path):
            if self.local is not None:
                with replacing(self.local / path) as file:
                    file.writelines(chunks)
                return
            with tempfile.NamedTemporaryFile() as spool:
                spool.writelines(chunks)
                spool.flush()
                self._fs.put_file(spool.name, f"{self._top}/{path}")

    def rename(self, source: str, target: str) -> None:
        """Give a file its final name, replacing what is there."""
        with self._refusals(target):
            if self.local is not None:
                (self.local / target).parent.mkdir(parents=True, exist_ok=True)
                (self.local / source).replace(self.local / target)
                sync_folder((self.local / target).parent)
            else:
                self._fs.mv(f"{self._top}/{source}", f"{self._top}/{target}")

    def remove(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        with self._refusals(path), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._top}/{path}")

    def remove_folder(self, folder: str) -> None:
        """Delete a folder and all in it; one that is not there is no error."""
        with self._refusals(folder):
            if self.local is not None:
                shutil.rmtree(self.local / folder, ignore_errors=True)
            elif self.exists(folder):
                self._fs.rm(f"{self._top}/{folder}", recursive=True)

    @contextlib.contextmanager
    def _refusals(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = {
                errno.ENOSPC: "Free some space and run the same command again; finished scenes are kept.",
                errno.EDQUOT: "Raise the quota and run the same command again; finished scenes are kept.",
                errno.EACCES: "Check that you may write there.",
                errno.EROFS: "The file system is read-only; choose another output.",
            }.get(
                error.errno or 0,
                "Run the same command again once the storage works; finished scenes are kept.",
            )
            reason = error.strerror or str(error)
            raise StorageError(f"Writing '{self.url(path)}' failed: {reason}. {advice}") from error
