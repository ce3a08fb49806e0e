"""Label images in a zip, as ScanNet ships them; the same images give the same bytes."""

from __future__ import annotations

import zipfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from pri3d_data.atomic_file import atomic_file
from pri3d_data.synth.codecs import encode_png

_EPOCH = (1980, 1, 1, 0, 0, 0)


class LabelZip:
    """Writes ``<folder>/<frame>.png`` members; the zip appears at ``path`` when the ``with`` block ends well.

    Raises:
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path, folder: str) -> None:
        self._path = path
        self._folder = folder

    def __enter__(self) -> LabelZip:
        with ExitStack() as stack:
            file = stack.enter_context(atomic_file(self._path))
            self._zip = stack.enter_context(zipfile.ZipFile(file, "w", zipfile.ZIP_STORED))
            self._stack = stack.pop_all()
        return self

    def frame(self, index: int, labels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        """Add the (H, W) label image of one frame, 8 or 16 bit."""
        member = zipfile.ZipInfo(f"{self._folder}/{index}.png", _EPOCH)
        # Otherwise the platform it was made on is part of the file.
        member.create_system = 3
        member.external_attr = 0o644 << 16
        self._zip.writestr(member, encode_png(labels))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
