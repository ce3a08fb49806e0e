"""One stored frame, decoded: pixels, depth and cameras out of a sample's bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import DataError
from pri3d_data.images import decode_depth_png, decode_jpeg, decode_png_color
from pri3d_data.matches import View
from shards import schema, tar


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """A decoded frame.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        view: depth and cameras, as `pri3d_data.matches` takes them.
        chunk_box_m: (2, 3) float64 world corners of its part of the geometry.
        frame: number in the capture.
    """

    image: NDArray[np.uint8]
    view: View
    chunk_box_m: NDArray[np.float64]
    frame: int

    @property
    def nbytes(self) -> int:
        """Memory the pixels take."""
        return self.image.nbytes + self.view.depth.nbytes


def split_sample(data: bytes, file: str, offset: int) -> dict[str, bytes]:
    """Members of one sample by their name after the key."""
    return {
        member.name.partition(".")[2]: data[member.start : member.start + member.size]
        for member in tar.members(data, file, offset)
    }


def decode_frame(data: bytes, file: str = "", offset: int = 0) -> StoredFrame:
    """Decode a frame's sample.

    Args:
        data: the sample's part of a shard, headers included.
        file, offset: where it came from, for errors.

    Raises:
        DataError: a member is missing or broken, or the images have not the sizes the cameras say.
    """
    parts = split_sample(data, file, offset)
    try:
        about = json.loads(parts[schema.CAMERA])
        color = parts.get(schema.COLOR_JPEG)
        image = decode_jpeg(color) if color is not None else decode_png_color(parts[schema.COLOR_PNG])
        depth = decode_depth_png(parts[schema.DEPTH])
        height, width = image.shape[:2]
        if [width, height, *depth.shape[::-1]] != [
            about[kind][side] for kind in ("color", "depth") for side in ("width", "height")
        ]:
            raise ValueError("an image has not the size its camera says")
        view = View(
            depth,
            float(about["depth"]["unit_m"]),
            _array(about["depth"]["intrinsics"], (4,)),
            _array(about["depth"]["camera_to_world"], (4, 4)),
            _array(about["color"]["intrinsics"], (4,)),
            _array(about["color"]["camera_to_world"], (4, 4)),
            width,
            height,
        )
        return StoredFrame(image, view, _array(about["chunk_box_m"], (2, 3)), int(about["frame"]))
    except KeyError as error:
        reason = f"the sample lacks {error}."
    except (ValueError, TypeError) as error:
        reason = f"the sample cannot be decoded ({error})."
    raise DataError(
        reason,
        file=file,
        offset=offset,
        remedy="Run `pri3d-data verify` on the data set, then build it again.",
    )


def _array(values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"a camera has {array.shape} numbers where {shape} are expected")
    return array
