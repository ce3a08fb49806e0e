"""MegaDepth's depth files: HDF5 with one image under ``/depth``, in the unit of the scene's reconstruction.

A positive value is a depth; 0 was not measured, sky among it. Photos whose depth was no use got a file of the
same form that holds labels of foreground and background instead; those are told by what is in them.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError

_KEY = "depth"
_LARGEST_LABEL = 255


class MaskOnly(DataError):
    """A depth file that holds labels of foreground and background, as many of MegaDepth's do."""


def read_h5_depth(path: str, width: int, height: int, least_bytes: int = 0) -> NDArray[np.float32]:
    """The depth of one photo.

    Args:
        path: path or URL of the file.
        width, height: pixels of the photo it must belong to.
        least_bytes: a smaller file is taken for a mask unread; the authors' scripts do so below 100 KiB.

    Returns:
        (height, width) float32 in the scene's unit, 0 where nothing was measured.

    Raises:
        MaskOnly: the file holds labels.
        DataError: it is missing, no HDF5, lacks the image, has another size, or measured nothing.
    """
    with ByteSource(path) as source:
        if source.size < least_bytes:
            raise MaskOnly(f"{source.size} bytes, less than {least_bytes}: taken for a mask.", file=path)
        data = source.read(0, source.size)
    values = _image(data, path, width, height)
    known = np.where(np.isfinite(values), values, 0.0).astype(np.float32)
    if (known < 0).any() or _are_labels(known):
        raise MaskOnly("holds labels of foreground and background, no depth.", file=path)
    if not known.any():
        raise DataError("nothing was measured: its depth is all zero.", file=path)
    return known


def _image(data: bytes, path: str, width: int, height: int) -> NDArray[Any]:
    import h5py

    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            # A link could name any other file of this machine.
            if not isinstance(file.get(_KEY, getlink=True), h5py.HardLink):
                raise DataError(f"it has no image '/{_KEY}'.", file=path)
            image = file[_KEY]
            if not isinstance(image, h5py.Dataset) or image.external or image.is_virtual:
                raise DataError(f"its '/{_KEY}' is no image of its own.", file=path)
            if image.shape != (height, width) or image.dtype.kind not in "fiu":
                raise DataError(
                    f"its '/{_KEY}' is {image.dtype} of shape {image.shape}, the photo has "
                    f"{width}x{height} pixels.",
                    file=path,
                )
            return np.asarray(image[()])
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"broken or no HDF5 file ({error}).", file=path) from error


def _are_labels(known: NDArray[np.float32]) -> bool:
    # Reconstructed depth is never a whole number everywhere.
    return bool(known.any() and known.max() <= _LARGEST_LABEL and (known == np.rint(known)).all())
