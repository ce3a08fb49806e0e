"""Pixels from bytes and back: JPEG and PNG, decoded only when their header keeps its word."""

from __future__ import annotations

import struct
from typing import cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from pri3d_data.capture import EncodedImage
from pri3d_data.errors import DataError

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_MOST_PIXELS = 1 << 28


def decode_color(image: EncodedImage) -> NDArray[np.uint8]:
    """Pixels of a colour image.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        DataError: the bytes are broken or hold an image of another size than ``image`` says.
    """
    try:
        if image.codec == "raw":
            return np.frombuffer(image.data, dtype=np.uint8).reshape(image.height, image.width, 3)
        # The size is compared before decoding: pixels are allocated only for the size that was promised.
        if image.codec == "jpeg":
            height, width, _, _ = simplejpeg.decode_jpeg_header(image.data)
        else:
            width, height = png_size(image.data)
        if (width, height) == (image.width, image.height):
            return decode_jpeg(image.data) if image.codec == "jpeg" else decode_png_color(image.data)
    except ValueError as error:
        raise DataError(
            f"its colour {image.codec.upper()} cannot be decoded ({error}).",
            file=image.file,
            offset=image.offset,
        ) from error
    raise DataError(
        f"its colour image is {width}x{height}, the header says {image.width}x{image.height}.",
        file=image.file,
        offset=image.offset,
    )


def decode_jpeg(data: bytes) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB of a JPEG; ValueError where it is broken or cut short."""
    height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    if height * width > _MOST_PIXELS:
        raise ValueError(f"{width}x{height} pixels are more than this reader takes")
    return cast("NDArray[np.uint8]", simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False))


def encode_jpeg(pixels: NDArray[np.uint8], quality: int = 95) -> bytes:
    """JPEG bytes of (height, width, 3) uint8 RGB, 4:4:4 so that thin colour edges keep their place."""
    return bytes(
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels), quality, "RGB", colorsubsampling="444", fastdct=False
        )
    )


def png_size(data: bytes) -> tuple[int, int]:
    """(width, height) that a PNG's header claims; ValueError where it is no PNG or claims too much."""
    if len(data) < 33 or not data.startswith(_PNG_MAGIC):
        raise ValueError("no PNG header")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= _MOST_PIXELS:
        raise ValueError(f"a PNG of {width}x{height} pixels")
    return width, height


def decode_png_color(data: bytes) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB of a PNG; ValueError where it is broken."""
    png_size(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels is None:
        raise ValueError("broken PNG data")
    return cast("NDArray[np.uint8]", cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def encode_png_color(pixels: NDArray[np.uint8]) -> bytes:
    """PNG bytes of (height, width, 3) uint8 RGB."""
    return _encode_png(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))


def decode_depth_png(data: bytes) -> NDArray[np.uint16]:
    """(height, width) uint16 of a 16-bit grey PNG; ValueError where it is broken or of another kind."""
    png_size(data)
    depth = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if depth is None or depth.dtype != np.uint16 or depth.ndim != 2:
        raise ValueError("not a 16-bit grey PNG")
    return cast("NDArray[np.uint16]", depth)


def encode_depth_png(depth: NDArray[np.uint16]) -> bytes:
    """16-bit grey PNG bytes of (height, width) uint16."""
    return _encode_png(depth)


def resize_area(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """(height, width, 3) uint8: every output pixel the mean of the source area it covers."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return cast("NDArray[np.uint8]", cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def resize_nearest(depth: NDArray[np.uint16], width: int, height: int) -> NDArray[np.uint16]:
    """(height, width) uint16: output pixel i takes source pixel floor((i + 0.5) · source / output).

    Depth is never averaged: the mean of a table's edge and the wall behind it is a point in mid-air.
    `camera.Camera.subsampled` gives the intrinsics of what is left.
    """
    # In whole numbers: a product that rounds below a whole one would take the pixel before.
    rows = (2 * np.arange(height) + 1) * depth.shape[0] // (2 * height)
    columns = (2 * np.arange(width) + 1) * depth.shape[1] // (2 * width)
    return np.ascontiguousarray(depth[rows[:, None], columns[None, :]])


def _encode_png(pixels: NDArray[np.integer | np.floating]) -> bytes:
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise ValueError(f"OpenCV could not encode an image of shape {pixels.shape}")
    return bytes(data.tobytes())
