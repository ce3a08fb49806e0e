"""Images to the bytes that a capture stores."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

_ZLIB_LEVEL = 4


def encode_color(rgb: NDArray[np.uint8], codec: str, jpeg_quality: int) -> bytes:
    """An (H, W, 3) uint8 RGB image as jpeg, png or raw bytes."""
    if codec == "jpeg":
        return bytes(
            simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=jpeg_quality, colorsubsampling="420")
        )
    if codec == "png":
        return encode_png(rgb[..., ::-1])
    return rgb.tobytes()


def encode_depth(depth: NDArray[np.uint16], codec: str) -> bytes:
    """An (H, W) uint16 image as little-endian bytes, raw or through zlib."""
    data = depth.astype("<u2").tobytes()
    return zlib.compress(data, _ZLIB_LEVEL) if codec == "zlib" else data


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """An 8- or 16-bit image, (H, W) or (H, W, 3) in BGR order, as PNG."""
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    _, data = cv2.imencode(".png", np.ascontiguousarray(image), settings)
    return bytes(data.tobytes())
