"""ScanNet's `.sens` version 4: an index of its frames, and their bytes on demand.

The records are walked by their headers alone, so a skipped frame costs one 96-byte read and memory does not
grow with the file. Every length is checked against the file before it is used.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.capture import Codec, EncodedImage
from pri3d_data.errors import DataError

COLOR_CODECS: dict[int, Codec] = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH_CODECS = {0: "raw_ushort", 1: "zlib_ushort"}

_RECORD = struct.Struct("<16f4Q")
_LARGEST_SIDE = 16_384
_LONGEST_NAME = 4_096
_FOREIGN = "It is not a ScanNet .sens file of version 4."


@dataclass(frozen=True, eq=False)
class SensHeader:
    """What a `.sens` file says of all its frames.

    Attributes:
        sensor: the recording device's name.
        intrinsic_color, extrinsic_color, intrinsic_depth, extrinsic_depth: (4, 4) float64. Extrinsics take a
            point of that camera to the sensor's frame, the one that a record's pose takes to the world.
        color_codec, depth_codec: how the blobs are compressed.
        color_size, depth_size: (width, height) in pixels.
        depth_shift: depth steps per metre.
        frames: number of records.
    """

    sensor: str
    intrinsic_color: NDArray[np.float64]
    extrinsic_color: NDArray[np.float64]
    intrinsic_depth: NDArray[np.float64]
    extrinsic_depth: NDArray[np.float64]
    color_codec: Codec
    depth_codec: str
    color_size: tuple[int, int]
    depth_size: tuple[int, int]
    depth_shift: float
    frames: int


@dataclass(frozen=True, eq=False)
class SensRecord:
    """One frame's record: where its blobs lie, and its pose.

    Attributes:
        index: number of the frame in the file.
        sensor_to_world: (4, 4) float64; not finite where tracking was lost.
        timestamp_color_us, timestamp_depth_us: the file's two clocks, microseconds.
        offset: byte offset of the colour blob; the depth blob follows it.
        color_bytes, depth_bytes: lengths of the blobs.
    """

    index: int
    sensor_to_world: NDArray[np.float64]
    timestamp_color_us: int
    timestamp_depth_us: int
    offset: int
    color_bytes: int
    depth_bytes: int


class SensFile:
    """An open `.sens` file.

    Args:
        path: local path or URL.

    Raises:
        DataError: the file cannot be read, is of another kind or version, or its header cannot be true.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._bytes = ByteSource(path)
        try:
            self.header, self._first_record = _read_header(self._bytes)
        except BaseException:
            self._bytes.close()
            raise

    def records(self, stride: int = 1) -> tuple[list[SensRecord], DataError | None]:
        """Index every ``stride``-th frame.

        Returns:
            The records, and the error that ended the walk early (a cut file), or None. Frames before the cut
            are whole and usable.
        """
        records: list[SensRecord] = []
        offset = self._first_record
        size = self._bytes.size
        for index in range(self.header.frames):
            if offset + _RECORD.size > size:
                return records, self._cut(index, offset)
            fields = _RECORD.unpack(self._bytes.read(offset, _RECORD.size))
            timestamp_color, timestamp_depth, color_bytes, depth_bytes = fields[16:]
            blobs = offset + _RECORD.size
            if color_bytes + depth_bytes > size - blobs:
                return records, self._cut(index, offset)
            if index % stride == 0:
                pose = np.array(fields[:16], dtype=np.float64).reshape(4, 4)
                records.append(
                    SensRecord(index, pose, timestamp_color, timestamp_depth, blobs, color_bytes, depth_bytes)
                )
            offset = blobs + color_bytes + depth_bytes
        return records, None

    def color(self, record: SensRecord) -> EncodedImage:
        """The record's colour blob, untouched.

        Raises:
            DataError: the blob cannot be read, or a raw image has not the size the header gives.
        """
        width, height = self.header.color_size
        if self.header.color_codec == "raw" and record.color_bytes != width * height * 3:
            raise DataError(
                f"a raw {width}x{height} colour image takes {width * height * 3} bytes, "
                f"this one has {record.color_bytes}.",
                file=self.path,
                offset=record.offset,
                frame=record.index,
            )
        data = self._bytes.read(record.offset, record.color_bytes)
        return EncodedImage(data, self.header.color_codec, width, height, self.path, record.offset)

    def depth(self, record: SensRecord) -> NDArray[np.uint16]:
        """The record's depth image.

        Returns:
            (height, width) uint16, `SensHeader.depth_shift` steps a metre, 0 where nothing was measured.

        Raises:
            DataError: the blob is broken or does not give one image of the header's size.
        """
        width, height = self.header.depth_size
        expected = width * height * 2
        offset = record.offset + record.color_bytes
        blob = self._bytes.read(offset, record.depth_bytes)
        if self.header.depth_codec == "zlib_ushort":
            inflate = zlib.decompressobj()
            try:
                # One byte more than expected is enough to notice a blob that would inflate to more.
                blob = inflate.decompress(blob, expected + 1)
                if len(blob) == expected and not inflate.eof:
                    raise zlib.error("the stream ends before its checksum")
            except zlib.error as error:
                raise DataError(
                    f"the depth image's zlib data are broken ({error}).",
                    file=self.path,
                    offset=offset,
                    frame=record.index,
                ) from error
        if len(blob) != expected:
            raise DataError(
                f"the depth image has {'more than ' if len(blob) > expected else ''}"
                f"{min(len(blob), expected)} bytes where {width}x{height} pixels take {expected}.",
                file=self.path,
                offset=offset,
                frame=record.index,
            )
        return cast("NDArray[np.uint16]", np.frombuffer(blob, dtype="<u2").reshape(height, width))

    def close(self) -> None:
        """Close the file."""
        self._bytes.close()

    def _cut(self, index: int, offset: int) -> DataError:
        return DataError(
            f"the file ends inside this frame; {self.header.frames - index} of the {self.header.frames} "
            "frames its header promises are missing.",
            file=self.path,
            offset=offset,
            frame=index,
            remedy="Fetch the file again.",
        )


def _read_header(source: ByteSource) -> tuple[SensHeader, int]:
    def fail(reason: str, offset: int) -> DataError:
        return DataError(reason, file=source.path, offset=offset, remedy=_FOREIGN)

    (version,) = struct.unpack("<I", source.read(0, 4))
    if version != 4:
        raise fail(f"starts with version {version} where 4 is expected.", 0)
    (name_length,) = struct.unpack("<Q", source.read(4, 8))
    if name_length > _LONGEST_NAME:
        raise fail(f"claims a sensor name of {name_length} bytes.", 4)
    sensor = source.read(12, name_length).decode("utf-8", errors="replace")
    at = 12 + name_length
    matrices = np.frombuffer(source.read(at, 256), dtype="<f4").astype(np.float64).reshape(4, 4, 4)
    for name, matrix in zip(
        ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth"), matrices, strict=True
    ):
        if not np.isfinite(matrix).all():
            raise fail(f"its {name} matrix holds values that are not numbers.", at)
    for name, matrix in (("intrinsic_color", matrices[0]), ("intrinsic_depth", matrices[2])):
        if matrix[0, 0] <= 0 or matrix[1, 1] <= 0:
            raise fail(f"its {name} matrix has a focal length that is not positive.", at)
    at += 256
    color, depth, cw, ch, dw, dh, shift, frames = struct.unpack("<iiIIIIfQ", source.read(at, 36))
    if color not in COLOR_CODECS:
        raise fail(f"its colour compression is of unknown type {color}.", at)
    if depth not in DEPTH_CODECS:
        raise fail(
            f"its depth compression is of type {depth}; raw_ushort 0 and zlib_ushort 1 are known.", at + 4
        )
    sides = {"colour width": cw, "colour height": ch, "depth width": dw, "depth height": dh}
    for what, side in sides.items():
        if not 0 < side <= _LARGEST_SIDE:
            raise fail(f"claims a {what} of {side} pixels.", at + 8)
    if not (np.isfinite(shift) and shift > 0):
        raise fail(f"its depth shift is {shift}.", at + 24)
    records_at = at + 36
    if frames > (source.size - records_at) // _RECORD.size + 1:
        room = (source.size - records_at) // _RECORD.size
        raise fail(f"claims {frames} frames where {room} would fill the file.", at + 28)
    header = SensHeader(
        sensor,
        matrices[0],
        matrices[1],
        matrices[2],
        matrices[3],
        COLOR_CODECS[color],
        DEPTH_CODECS[depth],
        (cw, ch),
        (dw, dh),
        float(shift),
        int(frames),
    )
    return header, records_at
