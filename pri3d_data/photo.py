"""Photos as people bring them: JPEG, PNG or anything OpenCV reads, grey or colour, turned or not.

A camera's note of how it was held is not followed: a reconstruction is made of the pixels as they lie in the
file, and so is everything here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError
from pri3d_data.images import decode_jpeg, png_size

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_HEADER_BYTES = 1 << 16
_UPRIGHT_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True)
class Photo:
    """A photo's bytes, and where they came from."""

    data: bytes
    file: str

    @property
    def codec(self) -> str:
        """``jpeg``, ``png`` or ``other``, by its first bytes."""
        return "jpeg" if self.data.startswith(_JPEG) else "png" if self.data.startswith(_PNG) else "other"

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), of JPEG and PNG from the header; may raise `DataError`."""
        try:
            if self.codec == "jpeg":
                height, width, _, _ = simplejpeg.decode_jpeg_header(self.data)
                return int(width), int(height)
            if self.codec == "png":
                return png_size(self.data)
        except ValueError as error:
            raise DataError(f"its header cannot be read ({error}).", file=self.file) from error
        height, width = self.pixels().shape[:2]
        return width, height

    def pixels(self) -> NDArray[np.uint8]:
        """(height, width, 3) uint8 RGB as stored, a grey photo's grey three times; may raise `DataError`."""
        try:
            if self.codec == "jpeg" and simplejpeg.decode_jpeg_header(self.data)[2] in (
                "YCbCr",
                "RGB",
                "Gray",
            ):
                return decode_jpeg(self.data)
            if self.codec == "png":
                png_size(self.data)
        except ValueError as error:
            raise DataError(f"the photo cannot be decoded ({error}).", file=self.file) from error
        try:
            decoded = cv2.imdecode(np.frombuffer(self.data, np.uint8), _UPRIGHT_AS_STORED)
        except cv2.error:
            # OpenCV refuses sizes beyond its own limit this way.
            decoded = None
        if decoded is None:
            raise DataError("the photo is broken, or of a format OpenCV cannot decode.", file=self.file)
        return cast("NDArray[np.uint8]", cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def read_photo(path: str) -> Photo:
    """A photo's bytes, whole; `DataError` where there are none."""
    with ByteSource(path) as source:
        return Photo(source.read(0, source.size), path)


def photo_size(path: str) -> tuple[int, int]:
    """(width, height) in pixels, from the first 64 KiB where they tell; `DataError` where nothing does."""
    with ByteSource(path) as source:
        head = Photo(source.read(0, min(source.size, _HEADER_BYTES)), path)
        if head.codec != "other":
            try:
                return head.size
            except DataError:
                # Previews and colour profiles can push the header farther back.
                pass
        return Photo(source.read(0, source.size), path).size
