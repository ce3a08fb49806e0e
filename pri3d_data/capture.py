"""What every reader gives: a capture, its posed frames, and their pixels on demand.

A data set's reader turns its raw layout into these, and nothing after it knows which data set it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.errors import DataError

Codec = Literal["jpeg", "png", "raw"]


@dataclass(frozen=True)
class EncodedImage:
    """A colour image as it lies in the capture.

    Attributes:
        data: the stream's own bytes; for ``raw`` packed (height, width, 3) uint8 RGB.
        codec: how they are compressed.
        width, height: pixels, as the capture's header says.
        file, offset: where the bytes came from, for errors.
    """

    data: bytes
    codec: Codec
    width: int
    height: int
    file: str
    offset: int


@dataclass(frozen=True, eq=False)
class Frame:
    """One posed image of a scene.

    Attributes:
        index: the frame's number in its capture.
        timestamp_us: microseconds, in the capture's own clock.
        camera: the colour camera.
        camera_to_world: (4, 4) float64, colour camera to world, OpenCV axes, metres.
        depth_camera, depth_to_world: the same for the depth camera; None where the frame has no depth.
        name: the image's file in the capture, empty where it has none of its own.
    """

    index: int
    timestamp_us: int
    camera: Camera
    camera_to_world: NDArray[np.float64]
    depth_camera: Camera | None
    depth_to_world: NDArray[np.float64] | None
    name: str = ""


class LostFrame(NamedTuple):
    """A frame that a reader left out when it listed a capture's frames, and why."""

    frame: int
    file: str
    offset: int
    reason: str


@dataclass(frozen=True)
class Failure:
    """Something of a scene that could not be built, and why: a row of the ``failures`` table.

    ``frame`` is -1 where the whole scene is meant, ``offset`` -1 where no byte offset applies.
    """

    scene: str
    frame: int
    stage: str
    file: str
    offset: int
    reason: str

    @classmethod
    def of(cls, scene: str, frame: int, stage: str, error: DataError) -> Failure:
        """What an error says, for the table."""
        return cls(
            scene, frame, stage, error.file, -1 if error.offset is None else error.offset, error.reason
        )


@dataclass(frozen=True, eq=False)
class Surface:
    """A scene's reconstructed surface as coloured points.

    Attributes:
        points_world: (N, 3) float32, metres, the capture's world frame.
        colors: (N, 3) uint8 RGB.
    """

    points_world: NDArray[np.float32]
    colors: NDArray[np.uint8]


class Capture(Protocol):
    """One opened scene. Frames are listed at once; pixels are read when asked for."""

    @property
    def frames(self) -> Sequence[Frame]:
        """The frames to build, in capture order."""
        ...

    @property
    def lost(self) -> Sequence[LostFrame]:
        """Frames left out when listing."""
        ...

    @property
    def depth_unit_m(self) -> float:
        """Metres that one step of the 16-bit depth stands for."""
        ...

    def color(self, frame: Frame) -> EncodedImage:
        """The frame's colour image as stored. Raises `DataError` where its bytes cannot be had."""
        ...

    def depth(self, frame: Frame) -> NDArray[np.uint16]:
        """(height, width) uint16 depth of the frame, 0 where nothing was measured. Raises `DataError`."""
        ...

    def labels(self, frame: Frame) -> NDArray[np.uint16] | None:
        """(height, width) uint16 semantic labels of the colour image's pixels, 0 unlabelled.

        None where the capture has none of this frame. Raises `DataError` where it ought to have them and
        they are missing or broken.
        """
        ...

    def surface(self) -> Surface | None:
        """The scene's reconstructed surface; None where such captures need not have one.

        Raises `DataError` where it is missing or unreadable.
        """
        ...

    def __enter__(self) -> Capture: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
