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
from shards.npy import read_npy
from shards.parts import Tracks

_REMEDY = "Run `pri3d-data verify` on the data set, then build it again."


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """A decoded frame.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        view: depth and cameras, as `pri3d_data.matches` takes them; its depth is (0, 0) where there is none.
        chunk_box_m: (2, 3) float64 world corners of its part of the geometry; None without depth.
        frame: number in the capture.
        tracks: sparse points it observes, where the scene is matched by them.
        match_bits: (K, ⌈n/8⌉) uint8 stored matches; see `shards.parts.FrameSample`.
    """

    image: NDArray[np.uint8]
    view: View
    chunk_box_m: NDArray[np.float64] | None
    frame: int
    tracks: Tracks | None = None
    match_bits: NDArray[np.uint8] | None = None

    @property
    def nbytes(self) -> int:
        """Memory its arrays take."""
        size = self.image.nbytes + self.view.depth.nbytes
        if self.tracks is not None:
            size += self.tracks.ids.nbytes + self.tracks.pixels.nbytes
        return size + (0 if self.match_bits is None else self.match_bits.nbytes)


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
        height, width = image.shape[:2]
        _check_size(image, about["color"])
        box = about["chunk_box_m"]
        return StoredFrame(
            image,
            View(
                *_depth(parts, about["depth"]),
                _array(about["color"]["intrinsics"], (4,)),
                _array(about["color"]["camera_to_world"], (4, 4)),
                width,
                height,
            ),
            None if box is None else _array(box, (2, 3)),
            int(about["frame"]),
            _tracks(parts),
            read_npy(parts[schema.MATCH_BITS], "|u1", 0) if schema.MATCH_BITS in parts else None,
        )
    except KeyError as error:
        reason = f"the sample lacks {error}."
    except (ValueError, TypeError) as error:
        reason = f"the sample cannot be decoded ({error})."
    raise DataError(reason, file=file, offset=offset, remedy=_REMEDY)


def decode_labels(data: bytes, file: str = "", offset: int = 0) -> NDArray[np.uint16] | None:
    """(H, W) uint16 semantic labels of a frame's sample, 0 unlabelled; None where it was built without.

    Args:
        data, file, offset: as of `decode_frame`.

    Raises:
        DataError: the label image is broken.
    """
    label = split_sample(data, file, offset).get(schema.LABEL)
    try:
        return None if label is None else decode_depth_png(label)
    except ValueError as error:
        raise DataError(
            f"the label image cannot be decoded ({error}).", file=file, offset=offset, remedy=_REMEDY
        ) from error


def _depth(
    parts: dict[str, bytes], about: dict[str, Any] | None
) -> tuple[NDArray[np.uint16], float, NDArray[np.float64], NDArray[np.float64]]:
    if about is None:
        return np.zeros((0, 0), np.uint16), 0.0, np.zeros(4), np.eye(4)
    depth = decode_depth_png(parts[schema.DEPTH])
    _check_size(depth, about)
    unit = float(about["unit"])
    return depth, unit, _array(about["intrinsics"], (4,)), _array(about["camera_to_world"], (4, 4))


def _tracks(parts: dict[str, bytes]) -> Tracks | None:
    if schema.TRACK_IDS not in parts:
        return None
    ids = read_npy(parts[schema.TRACK_IDS], "<i4", None)
    pixels = read_npy(parts[schema.TRACK_PIXELS], "<f4", 2)
    if len(ids) != len(pixels) or not (np.diff(ids.astype(np.int64)) > 0).all():
        raise ValueError("its tracks are not sorted, or not as many as their pixels")
    return Tracks(ids, pixels)


def _check_size(image: NDArray[Any], about: dict[str, Any]) -> None:
    if [*image.shape[1::-1]] != [about["width"], about["height"]]:
        raise ValueError("an image has not the size its camera says")


def _array(values: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"a camera has {array.shape} numbers where {shape} are expected")
    return array
