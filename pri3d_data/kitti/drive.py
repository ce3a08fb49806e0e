"""A part of a KITTI drive as found in the input, and the numbered frames that reading it gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.capture import EncodedImage, Frame, LostFrame
from pri3d_data.errors import DataError
from pri3d_data.images import png_size
from pri3d_data.input_folder import Stamp

DEPTH_UNIT_M = 1.0 / 256.0
PART_FRAMES = 200
CAMERA_HEIGHT_M = 1.65

_LARGEST_IMAGE_BYTES = 1 << 26


@dataclass(frozen=True)
class KittiDrive:
    """Where the files of a drive lie, and which of its frames are this scene's own.

    Attributes:
        scene: the drive's name, with the first frame's number where it is one part of several.
        layout: ``raw``, or ``odometry`` with the depth-completion maps.
        images: folder of camera 2's images.
        depth: folder of scans or depth maps.
        poses: folder of OXTS files, or an odometry poses file.
        calibration: the recording day's folder, or a sequence's folder.
        first, last: own frames, both included. A pair belongs to the part that owns its lower frame.
        stamps: (name, bytes, digest) of the drive's files: what a rebuild is decided by.
    """

    scene: str
    layout: Literal["raw", "odometry"]
    images: str
    depth: str
    poses: str
    calibration: str
    first: int
    last: int
    stamps: tuple[Stamp, ...]


def parts_of(drive: str, frames: Sequence[int]) -> list[tuple[str, int, int]]:
    """A drive as scenes of bounded length: (scene, first, last) of each.

    A scene is built and stored whole, so a drive of an hour must not be one. Parts begin at multiples of
    `PART_FRAMES`; a drive that fits in one keeps its name.
    """
    if not frames or max(frames) // PART_FRAMES == min(frames) // PART_FRAMES:
        return [(drive, min(frames, default=0), max(frames, default=0))]
    parts = sorted({frame // PART_FRAMES for frame in frames})
    return [
        (f"{drive}-{part * PART_FRAMES:06d}", part * PART_FRAMES, (part + 1) * PART_FRAMES - 1)
        for part in parts
    ]


class KittiCapture:
    """One opened part of a drive, a `capture.Capture`.

    Args:
        frames: those with image, depth and pose, in order.
        lost: those nothing was measured at: no scan or depth map was ever published.
        broken: those whose image or pose is missing or unreadable.
        images: path of each frame's image.
        read_depth: gives a frame's (H, W) uint16 depth; raises `DataError`.
    """

    def __init__(
        self,
        frames: Sequence[Frame],
        lost: Sequence[LostFrame],
        broken: Sequence[LostFrame],
        images: dict[int, str],
        read_depth: Callable[[Frame], NDArray[np.uint16]],
    ) -> None:
        self._frames, self._lost, self._broken = frames, lost, broken
        self._images, self._read_depth = images, read_depth

    @property
    def frames(self) -> Sequence[Frame]:
        """Frames with image, depth and pose, in order."""
        return self._frames

    @property
    def lost(self) -> Sequence[LostFrame]:
        """Frames nothing was measured at."""
        return self._lost

    @property
    def broken(self) -> Sequence[LostFrame]:
        """Frames whose image or pose is missing or unreadable."""
        return self._broken

    @property
    def depth_unit_m(self) -> float:
        """Metres a depth step stands for: 1/256."""
        return DEPTH_UNIT_M

    def color(self, frame: Frame) -> EncodedImage:
        """The frame's PNG."""
        path = self._images[frame.index]
        with ByteSource(path) as source:
            if source.size > _LARGEST_IMAGE_BYTES:
                raise DataError(f"{source.size} bytes are more than an image can have.", file=path)
            data = source.read(0, source.size)
        return EncodedImage(data, "png", frame.camera.width, frame.camera.height, path, 0)

    def depth(self, frame: Frame) -> NDArray[np.uint16]:
        """(height, width) uint16 sparse depth in camera 2, steps of 1/256 m, 0 where nothing was measured."""
        return self._read_depth(frame)

    def labels(self, frame: Frame) -> None:
        """These layouts have none."""

    def surface(self) -> None:
        """A drive has no reconstructed surface."""

    def __enter__(self) -> KittiCapture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is kept open."""


def image_size(path: str) -> tuple[int, int]:
    """(width, height) that a PNG file's header says.

    Raises:
        DataError: it is missing or no PNG.
    """
    with ByteSource(path) as source:
        try:
            return png_size(source.read(0, min(33, source.size)))
        except ValueError as error:
            raise DataError(f"cannot be an image of camera 2: {error}.", file=path, offset=0) from error


def lost_to(error: DataError, frame: int) -> LostFrame:
    """A frame that reading gave up."""
    return LostFrame(frame, error.file, -1 if error.offset is None else error.offset, error.reason)
