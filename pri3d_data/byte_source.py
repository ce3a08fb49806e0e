"""Ranged reads of a local file or URL, every length checked against the file before anything is allocated."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from pri3d_data.errors import DataError

_ATTEMPTS = 6
_FIRST_WAIT_S = 0.1


class ByteSource:
    """A file open for reads at byte offsets.

    Local files are read with ``pread`` (no shared position, no read-ahead, about a microsecond a call).
    Anything else goes through fsspec, one request for exactly the bytes asked for; a request that fails, or
    brings fewer bytes, is repeated a few times, each after about twice the wait.

    Args:
        path: local path or URL.

    Raises:
        DataError: the file is missing, is a folder, or may not be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._remote: Any = None
        self._inside = ""
        self._descriptor = -1
        try:
            fs, inside = url_to_fs(path)
            if isinstance(fs, LocalFileSystem):
                if Path(inside).is_dir():
                    raise DataError("is a folder, not a file.", file=path)
                self._descriptor = os.open(inside, os.O_RDONLY)
                self.size = os.fstat(self._descriptor).st_size
            else:
                about = fs.info(inside)
                if about.get("type") == "directory":
                    raise DataError("is a folder, not a file.", file=path)
                if about.get("size") is None:
                    raise DataError("its server does not tell its size.", file=path)
                self._remote, self._inside = fs, inside
                self.size = int(about["size"])
        except FileNotFoundError as error:
            raise DataError("the file does not exist.", file=path) from error
        except OSError as error:
            raise DataError(f"cannot be opened: {error.strerror or error}.", file=path) from error
        except (ValueError, ImportError) as error:
            raise DataError(f"cannot be opened: {error}.", file=path) from error

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``.

        Raises:
            DataError: the range goes beyond the file, or reading failed.
        """
        if offset < 0 or length < 0 or offset + length > self.size:
            raise DataError(
                f"needs {length} bytes here, but the file ends at byte {self.size}.",
                file=self.path,
                offset=offset,
                remedy="It is truncated or lies about its sizes: fetch it again.",
            )
        try:
            if self._remote is None:
                data = os.pread(self._descriptor, length, offset)
                while len(data) < length:
                    more = os.pread(self._descriptor, length - len(data), offset + len(data))
                    if not more:
                        break
                    data += more
            else:
                data = self._fetched(offset, length) if length else b""
        except OSError as error:
            raise DataError(
                f"reading {length} bytes failed: {error.strerror or error}.", file=self.path, offset=offset
            ) from error
        if len(data) != length:
            raise DataError(
                f"only {len(data)} of {length} bytes could be read: the file shrank while it was open.",
                file=self.path,
                offset=offset,
            )
        return data

    def _fetched(self, offset: int, length: int) -> bytes:
        """The range from wherever it is, or what came of it at the last attempt."""
        for attempt in range(_ATTEMPTS):
            last = attempt + 1 == _ATTEMPTS
            try:
                data = bytes(self._remote.cat_file(self._inside, start=offset, end=offset + length))
            except FileNotFoundError:
                raise
            # Every kind of storage has its own exceptions for a connection that broke.
            except Exception as error:
                if last:
                    raise OSError(f"{type(error).__name__}: {error}") from error
            else:
                if len(data) == length or last:
                    return data
            # Many workers that were refused together are not to come back together.
            time.sleep(_FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5))
        raise AssertionError

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> ByteSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
