"""Label images out of a zip, one a frame, as ScanNet ships them."""

from __future__ import annotations

import zipfile
import zlib

import cv2
import numpy as np
from fsspec.core import url_to_fs
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from pri3d_data.images import png_size

# A label image is a fraction of this; whatever claims more is no label image.
_MOST_BYTES = 64 << 20


class LabelZip:
    """Reads ``<folder>/<frame>.png`` members.

    Args:
        path: path or URL of the zip.
        folder: of its members.

    Raises:
        DataError: the zip is missing or broken.
    """

    def __init__(self, path: str, folder: str) -> None:
        self._path = path
        self._folder = folder
        try:
            fs, file = url_to_fs(path)
            self._file = fs.open(file, "rb")
        except (OSError, ValueError, ImportError) as error:
            raise DataError(
                f"cannot be opened ({error}).", file=path, remedy="Download it, or build without --labels."
            ) from error
        try:
            self._zip = zipfile.ZipFile(self._file)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            self._file.close()
            raise DataError(f"is no sound zip ({error}).", file=path, remedy="Download it again.") from error

    def frame(self, index: int) -> NDArray[np.uint16] | None:
        """(H, W) uint16 labels of a frame, from 8 or 16 bit; None where the zip has none of it.

        Raises:
            DataError: the member is broken or no grey image.
        """
        name = f"{self._folder}/{index}.png"
        try:
            member = self._zip.getinfo(name)
        except KeyError:
            return None
        try:
            if member.file_size > _MOST_BYTES:
                raise ValueError(f"{member.file_size} bytes are no label image")
            data = self._zip.read(member)
            png_size(data)
            labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            if labels is None or labels.ndim != 2 or labels.dtype not in (np.uint8, np.uint16):
                raise ValueError("not a grey PNG of 8 or 16 bit")
        except (
            OSError,
            ValueError,
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise DataError(
                f"the label image '{name}' cannot be read ({error}).", file=self._path, frame=index
            ) from error
        return labels.astype(np.uint16)

    def close(self) -> None:
        """Let go of the file."""
        self._zip.close()
        self._file.close()
