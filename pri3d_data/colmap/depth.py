"""COLMAP's own dense depth maps: ``stereo/depth_maps/<photo>.geometric.bin`` of a dense workspace."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError

_HEADER = re.compile(rb"(\d{1,5})&(\d{1,5})&(\d{1,2})&")


def read_depth_map(path: str) -> NDArray[np.float32]:
    """The depth of one undistorted photo.

    Args:
        path: path or URL of the file.

    Returns:
        (height, width) float32 in the scene's unit, 0 where nothing was measured.

    Raises:
        DataError: the file is missing, broken, or measured nothing.
    """
    with ByteSource(path) as source:
        data = source.read(0, source.size)
    header = _HEADER.match(data)
    if header is None:
        raise DataError("is no COLMAP depth map: it does not begin with its size.", file=path, offset=0)
    width, height, channels = map(int, header.groups())
    if channels != 1 or len(data) - header.end() != 4 * width * height:
        raise DataError(
            f"{len(data) - header.end()} bytes of depth, {width}x{height} pixels need {4 * width * height}.",
            file=path,
            offset=header.end(),
        )
    depth = np.frombuffer(data, dtype="<f4", offset=header.end()).reshape(height, width)
    known = np.where(np.isfinite(depth) & (depth > 0), depth, 0.0).astype(np.float32)
    if not known.any():
        raise DataError("nothing was measured: its depth is all zero.", file=path)
    return known
