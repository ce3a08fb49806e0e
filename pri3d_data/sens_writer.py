"""Writing ScanNet's `.sens` container, version 4: a header, frame after frame, IMU records last."""

from __future__ import annotations

import struct
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pri3d_data.atomic_file import atomic_file
from pri3d_data.errors import UsageError

VERSION = 4
COLOR_CODES = {"raw": 0, "png": 1, "jpeg": 2}
DEPTH_CODES = {"raw": 0, "zlib": 1}
IMU_VALUES = 15


def _identity() -> NDArray[np.float32]:
    return np.eye(4, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class SensSettings:
    """What a `.sens` file says once, before its frames.

    Attributes:
        color_width, color_height, depth_width, depth_height: pixels.
        intrinsic_color, intrinsic_depth: (4, 4) float32 pinhole matrices, pixels.
        extrinsic_color, extrinsic_depth: (4, 4) float32, that camera to the sensor, metres; a frame's pose
            takes sensor to world, so a camera's own camera_to_world is ``pose @ extrinsic``.
        color_codec, depth_codec: how the blobs given to `SensWriter.frame` are compressed.
        depth_shift: depth steps a metre.
        sensor_name: name of the recording device, stored as UTF-8.
    """

    color_width: int
    color_height: int
    depth_width: int
    depth_height: int
    intrinsic_color: NDArray[np.float32]
    intrinsic_depth: NDArray[np.float32]
    extrinsic_color: NDArray[np.float32] = field(default_factory=_identity)
    extrinsic_depth: NDArray[np.float32] = field(default_factory=_identity)
    color_codec: Literal["jpeg", "png", "raw"] = "jpeg"
    depth_codec: Literal["zlib", "raw"] = "zlib"
    depth_shift: float = 1000.0
    sensor_name: str = "StructureSensor"

    def encoded(self, frames: int) -> bytes:
        """The header's bytes for a file of ``frames`` frames.

        Raises:
            UsageError: a matrix is not 4 × 4, or a codec is not one the format knows.
        """
        if self.color_codec not in COLOR_CODES or self.depth_codec not in DEPTH_CODES:
            raise UsageError(
                f".sens header: codecs {self.color_codec!r} (colour), {self.depth_codec!r} (depth) are "
                f"unknown. Use {', '.join(COLOR_CODES)} for colour and {', '.join(DEPTH_CODES)} for depth."
            )
        name = self.sensor_name.encode()
        parts = [struct.pack("<IQ", VERSION, len(name)), name]
        for what in ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth"):
            parts.append(_matrix(getattr(self, what), what))
        codes = COLOR_CODES[self.color_codec], DEPTH_CODES[self.depth_codec]
        sizes = self.color_width, self.color_height, self.depth_width, self.depth_height
        parts.append(struct.pack("<iiIIIIfQ", *codes, *sizes, self.depth_shift, frames))
        return b"".join(parts)


class SensWriter:
    """Writes one `.sens` file frame by frame; the file appears at ``path`` when the ``with`` block ends well.

    Args:
        path: the file to write; its folder is made.
        settings: sizes, matrices and codecs.

    Raises:
        UsageError: the settings cannot be encoded.
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path, settings: SensSettings) -> None:
        self._path = path
        self._settings = settings
        self._frames = 0
        self._imu: list[bytes] = []
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def __enter__(self) -> SensWriter:
        opening = self._settings.encoded(0)
        with ExitStack() as stack:
            file = stack.enter_context(atomic_file(self._path))
            file.write(opening)
            stack.push(self._finish)
            self._file, self._stack = file, stack.pop_all()
        return self

    def frame(
        self,
        camera_to_world: ArrayLike,
        timestamp_color_us: int,
        timestamp_depth_us: int,
        color: bytes,
        depth: bytes,
    ) -> None:
        """Append one frame.

        Args:
            camera_to_world: (4, 4), stored as float32, metres; all -inf where tracking was lost.
            timestamp_color_us, timestamp_depth_us: microseconds.
            color, depth: the compressed images, stored as they are.

        Raises:
            UsageError: the pose is not 4 × 4, or the writer is not open.
        """
        sizes = struct.pack("<QQQQ", timestamp_color_us, timestamp_depth_us, len(color), len(depth))
        self._opened().write(b"".join((_matrix(camera_to_world, "camera_to_world"), sizes, color, depth)))
        self._frames += 1

    def imu(self, values: ArrayLike, timestamp_us: int) -> None:
        """Add one IMU record, kept until the file is closed.

        Args:
            values: (15,) float64: rotation rate, acceleration, magnetic field, attitude, gravity, xyz each.
            timestamp_us: microseconds.

        Raises:
            UsageError: there are not 15 values.
        """
        record = np.asarray(values, dtype="<f8")
        if record.shape != (IMU_VALUES,):
            raise UsageError(
                f"IMU record: shape {record.shape} given, ({IMU_VALUES},) needed. Give five xyz triples."
            )
        self._imu.append(record.tobytes() + struct.pack("<Q", timestamp_us))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        self._file = None

    def _finish(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        file = self._opened()
        file.write(struct.pack("<Q", len(self._imu)))
        file.writelines(self._imu)
        # The count stands before the frames but is known only after them.
        file.seek(0)
        file.write(self._settings.encoded(self._frames))

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise UsageError(f"{self._path}: the writer is not open. Use it in a with statement.")
        return self._file


def _matrix(matrix: ArrayLike, what: str) -> bytes:
    array = np.asarray(matrix, dtype="<f4")
    if array.shape != (4, 4):
        raise UsageError(
            f".sens {what}: shape {array.shape} given, (4, 4) needed. Give a row-major 4×4 matrix."
        )
    return array.tobytes()
