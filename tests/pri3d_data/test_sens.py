from __future__ import annotations

import hashlib
import json
import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError
from pri3d_data.images import decode_color
from pri3d_data.sens import COLOR_CODECS, DEPTH_CODECS, SensFile, SensRecord

SensBytes = Callable[..., bytes]
POSE = (0.0, -1.0, 0.0, 1.5, 1.0, 0.0, 0.0, -2.5, 0.0, 0.0, 1.0, 0.25, 0.0, 0.0, 0.0, 1.0)
DEPTH = (np.arange(8 * 16).reshape(8, 16) * 401 % 65536).astype("<u2")
PICTURE = (np.arange(8 * 16 * 3).reshape(8, 16, 3) % 251).astype(np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()
PNG = cv2.imencode(".png", PICTURE)[1].tobytes()
HEADER_BYTES = 4 + 8 + len(b"Kinect") + 4 * 64 + 36
RECORD_BYTES = 64 + 4 * 8


def frame(
    color: bytes = JPEG, depth: bytes = zlib.compress(DEPTH.tobytes()), at_us: int = 5
) -> tuple[Any, ...]:
    return POSE, at_us, at_us + 1, color, depth


@contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[SensFile]:
    if data is not None:
        path.write_bytes(data)
    sens = SensFile(str(path))
    try:
        yield sens
    finally:
        sens.close()


@contextmanager
def peak_below(megabytes: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20


def read_everything(path: Path) -> int:
    """Everything a build takes from a capture; the number of frames that gave all their pixels."""
    with opened(path) as sens:
        records, _ = sens.records()
        for record in records:
            decode_color(sens.color(record))
            assert sens.depth(record).shape[::-1] == sens.header.depth_size
        return len(records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene0000_00.sens"


# ---- what ScanNet's own writer wrote

OFFICIAL = ("jpeg640_zlib", "jpeg1296_zlib", "raw640_rawushort")


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> Any:
    return json.loads((shared_data / "sens_official_writer" / "expected.json").read_text())


@pytest.mark.real_data
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_writers_header_is_read_to_the_last_field(
    name: str, shared_data: Path, expected: Any
) -> None:
    told = expected[name]
    with opened(shared_data / "sens_official_writer" / f"{name}.sens") as sens:
        header = sens.header
    assert header.sensor == told["sensor"]
    for matrix in ("intrinsic_color", "extrinsic_color", "intrinsic_depth", "extrinsic_depth"):
        np.testing.assert_array_equal(getattr(header, matrix), told[matrix])
    assert header.color_codec == COLOR_CODECS[told["color_type"]]
    assert header.depth_codec == DEPTH_CODECS[told["depth_type"]]
    assert list(header.color_size) == told["color_wh"]
    assert list(header.depth_size) == told["depth_wh"]
    assert header.depth_shift == told["depth_shift"]
    assert header.frames == told["num_frames"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_writers_frames_are_read_to_the_byte_and_imu_records_do_not_disturb(
    name: str, shared_data: Path, expected: Any
) -> None:
    told = expected[name]
    assert told["num_imu"] > 0
    with opened(shared_data / "sens_official_writer" / f"{name}.sens") as sens:
        records, cut = sens.records()
        assert cut is None
        assert [record.index for record in records] == [frame["i"] for frame in told["frames"]]
        for record, frame in zip(records, told["frames"], strict=True):
            pose = np.array([float(value) for value in frame["pose"]]).reshape(4, 4)
            np.testing.assert_array_equal(record.sensor_to_world, pose)
            assert record.timestamp_color_us == frame["ts_color"]
            assert record.timestamp_depth_us == frame["ts_depth"]
            assert (record.color_bytes, record.depth_bytes) == (frame["color_bytes"], frame["depth_bytes"])
            color, depth = sens.color(record), sens.depth(record)
            assert hashlib.sha256(color.data).hexdigest() == frame["color_sha256"]
            raw = depth.astype("<u2").tobytes()
            assert hashlib.sha256(raw).hexdigest() == frame["depth_raw_u16le_sha256"]
            assert decode_color(color).shape == (told["color_wh"][1], told["color_wh"][0], 3)


@pytest.mark.real_data
def test_the_pose_of_a_frame_whose_tracking_was_lost_is_minus_infinity(shared_data: Path) -> None:
    with opened(shared_data / "sens_official_writer" / "jpeg640_zlib.sens") as sens:
        records, _ = sens.records()
    lost = [record.index for record in records if not np.isfinite(record.sensor_to_world).all()]
    assert lost == [7]
    assert np.isneginf(records[7].sensor_to_world).all()


# ---- files built by hand


@pytest.mark.parametrize("color_type", [0, 1, 2])
@pytest.mark.parametrize("depth_type", [0, 1])
def test_every_pair_of_codecs_gives_the_pixels_that_went_in(
    path: Path, sens_bytes: SensBytes, color_type: int, depth_type: int
) -> None:
    color = {0: PICTURE.tobytes(), 1: PNG, 2: JPEG}[color_type]
    depth = {0: DEPTH.tobytes(), 1: zlib.compress(DEPTH.tobytes())}[depth_type]
    data = sens_bytes([frame(color, depth)] * 2, color_type=color_type, depth_type=depth_type, imu=3)
    with opened(path, data) as sens:
        records, cut = sens.records()
        assert cut is None
        assert len(records) == 2
        for record in records:
            np.testing.assert_array_equal(sens.depth(record), DEPTH)
            image = sens.color(record)
            assert image.data == color
            assert data[image.offset : image.offset + len(color)] == color
            if color_type != 2:
                want = PICTURE if color_type == 0 else PICTURE[..., ::-1]
                np.testing.assert_array_equal(decode_color(image), want)


def test_poses_are_row_major_camera_to_world(path: Path, sens_bytes: SensBytes) -> None:
    with opened(path, sens_bytes([frame()])) as sens:
        pose = sens.records()[0][0].sensor_to_world
    np.testing.assert_array_equal(pose[:3, 3], [1.5, -2.5, 0.25])
    np.testing.assert_array_equal(pose[0], [0, -1, 0, 1.5])


@pytest.mark.parametrize("stride", [1, 2, 3, 10, 11, 100])
def test_a_stride_takes_every_so_manieth_frame_from_the_first(
    path: Path, sens_bytes: SensBytes, stride: int
) -> None:
    frames = [frame(color=b"c" * i, depth=b"d" * (2 * i + 1), at_us=100 * i) for i in range(11)]
    with opened(path, sens_bytes(frames)) as sens:
        records, cut = sens.records(stride)
        assert cut is None
        assert [record.index for record in records] == list(range(0, 11, stride))
        for record in records:
            assert record.timestamp_color_us == 100 * record.index
            assert sens.color(record).data == b"c" * record.index
            assert record.depth_bytes == 2 * record.index + 1


def test_a_sensor_name_that_is_no_text_does_not_stop_the_reader(path: Path, sens_bytes: SensBytes) -> None:
    with opened(path, sens_bytes([frame()], name=b"Structure\xff\xfe")) as sens:
        assert sens.header.sensor.startswith("Structure")
        assert len(sens.records()[0]) == 1
    with opened(path, sens_bytes([frame()], name=b"")) as sens:
        assert sens.header.sensor == ""


def test_skipping_a_frame_reads_its_header_alone(
    path: Path, sens_bytes: SensBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path, sens_bytes([frame(color=b"c" * 30_000, depth=b"d" * 50_000)] * 60)) as sens:
        lengths: list[int] = []
        read = ByteSource.read

        def counted(source: ByteSource, offset: int, length: int) -> bytes:
            lengths.append(length)
            return read(source, offset, length)

        monkeypatch.setattr(ByteSource, "read", counted)
        records, _ = sens.records(stride=25)
        assert len(records) == 3
        assert sum(lengths) < 200 * 60


def test_indexing_a_gigabyte_takes_memory_for_its_frames_only(path: Path, sens_bytes: SensBytes) -> None:
    # Blobs are holes in the file, so it takes no disk either.
    frames, color, depth = 1_000, 400_000, 700_000
    record = struct.pack("<16f4Q", *POSE, 0, 0, color, depth)
    with path.open("wb") as file:
        file.write(sens_bytes([], count=frames)[:HEADER_BYTES])
        for _ in range(frames):
            file.write(record)
            file.seek(color + depth, 1)
        file.truncate(file.tell())
    assert path.stat().st_size > 2**30
    with peak_below(5), opened(path) as sens:
        records, cut = sens.records()
        assert (len(records), cut) == (frames, None)
        assert len(sens.color(records[-1]).data) == color


# ---- hostile and broken files


BLOBS = [(b"c" * 200, b"d" * 130), (b"c" * 350, b"d" * 1), (b"c" * 10, b"d" * 290)]


def test_a_file_cut_in_its_header_is_refused_with_the_offset_of_the_first_field_that_lacks_bytes(
    path: Path, sens_bytes: SensBytes
) -> None:
    data = sens_bytes([frame(c, d) for c, d in BLOBS])
    name, matrices, rest = 12, 18, 274
    fields = [(0, 4), (4, name), (name, matrices), (matrices, rest), (rest, HEADER_BYTES)]
    # Where not even the records' headers would fit, the number of frames is not believed.
    fields.append((HEADER_BYTES - 8, HEADER_BYTES + 2 * RECORD_BYTES))
    path.write_bytes(data)
    for length in range(fields[-1][1] - 1, -1, -1):
        os.truncate(path, length)
        with pytest.raises(DataError) as caught, opened(path):
            pass
        expected = next(start for start, end in fields if length < end)
        assert (caught.value.file, caught.value.offset) == (str(path), expected)


def test_a_file_cut_in_its_frames_keeps_the_whole_ones_and_says_what_is_missing(
    path: Path, sens_bytes: SensBytes
) -> None:
    data = sens_bytes([frame(c, d) for c, d in BLOBS])
    ends = HEADER_BYTES + np.cumsum([RECORD_BYTES + len(c) + len(d) for c, d in BLOBS])
    starts = [HEADER_BYTES, *ends[:-1].tolist()]
    path.write_bytes(data)
    for length in range(len(data) - 1, HEADER_BYTES + 2 * RECORD_BYTES - 1, -1):
        os.truncate(path, length)
        stride = 1 + length % 2
        whole = int(np.searchsorted(ends, length, side="right"))
        with opened(path) as sens:
            records, cut = sens.records(stride)
        assert [record.index for record in records] == list(range(0, whole, stride))
        if whole == 3:
            assert cut is None
        else:
            assert cut is not None
            assert (cut.file, cut.frame, cut.offset) == (str(path), whole, starts[whole])
            assert f"{3 - whole} of the 3 frames" in cut.reason


def header_lies(sens_bytes: SensBytes) -> dict[str, tuple[bytes, int]]:
    nan = (float("nan"), *POSE[1:])
    no_focal = (0.0, *POSE[1:])
    matrices = 12 + len(b"Kinect")
    enums = matrices + 256
    one = [frame()]
    return {
        "version 3": (sens_bytes(one, version=3), 0),
        "a zip file": (b"PK\x03\x04" + b"\0" * 400, 0),
        "a sensor name of 2^60 bytes": (sens_bytes(one, name_length=2**60), 4),
        "a sensor name of 2^64 - 1 bytes": (sens_bytes(one, name_length=2**64 - 1), 4),
        "a NaN colour intrinsic": (sens_bytes(one, intrinsic_color=nan), matrices),
        "a NaN colour extrinsic": (sens_bytes(one, extrinsic_color=nan), matrices),
        "a NaN depth intrinsic": (sens_bytes(one, intrinsic_depth=nan), matrices),
        "a NaN depth extrinsic": (sens_bytes(one, extrinsic_depth=nan), matrices),
        "a focal length of zero": (sens_bytes(one, intrinsic_depth=no_focal), matrices),
        "colour type -1": (sens_bytes(one, color_type=-1), enums),
        "colour type 3": (sens_bytes(one, color_type=3), enums),
        "depth type -1": (sens_bytes(one, depth_type=-1), enums + 4),
        "depth type occi": (sens_bytes(one, depth_type=2), enums + 4),
        "no colour columns": (sens_bytes(one, color_size=(0, 8)), enums + 8),
        "2^32 - 1 colour rows": (sens_bytes(one, color_size=(16, 2**32 - 1)), enums + 8),
        "2^31 depth columns": (sens_bytes(one, depth_size=(2**31, 8)), enums + 8),
        "no depth rows": (sens_bytes(one, depth_size=(16, 0)), enums + 8),
        "a depth shift of zero": (sens_bytes(one, shift=0.0), enums + 24),
        "a negative depth shift": (sens_bytes(one, shift=-1000.0), enums + 24),
        "a NaN depth shift": (sens_bytes(one, shift=float("nan")), enums + 24),
        "2^60 frames": (sens_bytes(one, count=2**60), enums + 28),
        "2^64 - 1 frames": (sens_bytes(one, count=2**64 - 1), enums + 28),
    }


def test_a_header_that_cannot_be_true_is_refused_naming_file_and_offset(
    path: Path, sens_bytes: SensBytes
) -> None:
    for lie, (data, offset) in header_lies(sens_bytes).items():
        path.write_bytes(data)
        with peak_below(1), pytest.raises(DataError) as caught, opened(path) as sens:
            sens.records()
        assert (caught.value.file, caught.value.offset) == (str(path), offset), lie
        assert "version 4" in caught.value.remedy, lie


@pytest.mark.parametrize("size", [10_000, 2**31, 2**63, 2**64 - 1])
@pytest.mark.parametrize("which", ["color", "depth"])
def test_a_blob_that_claims_more_than_the_file_holds_ends_the_walk(
    path: Path, sens_bytes: SensBytes, which: str, size: int
) -> None:
    data = bytearray(sens_bytes([frame(), frame(), frame()]))
    record = HEADER_BYTES + (len(data) - HEADER_BYTES - 8) // 3
    struct.pack_into("<Q", data, record + (80 if which == "color" else 88), size)
    with peak_below(1), opened(path, bytes(data)) as sens:
        records, cut = sens.records()
    assert [record.index for record in records] == [0]
    assert cut is not None
    assert (cut.frame, cut.offset) == (1, record)


def broken_depth(path: Path, sens_bytes: SensBytes, blob: bytes, **header: Any) -> DataError:
    data = sens_bytes([frame(), frame(depth=blob)], **header)
    with opened(path, data) as sens:
        records, cut = sens.records()
        assert cut is None
        with pytest.raises(DataError) as caught:
            sens.depth(records[1])
    depth_at = len(data) - 8 - len(blob)
    assert (caught.value.file, caught.value.frame, caught.value.offset) == (str(path), 1, depth_at)
    return caught.value


GOOD = zlib.compress(DEPTH.tobytes())


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not zlib at all", id="garbage"),
        pytest.param(GOOD[: len(GOOD) // 2], id="cut in half"),
        pytest.param(GOOD[:2], id="cut after its header"),
        pytest.param(GOOD[:20] + b"\xff" + GOOD[21:], id="one byte changed"),
        pytest.param(zlib.compress(DEPTH.tobytes()[:-2]), id="one pixel short"),
        pytest.param(GOOD[:-4], id="without its checksum"),
        pytest.param(zlib.compress(b""), id="inflates to nothing"),
        pytest.param(zlib.compress(DEPTH.tobytes() + b"\0"), id="one byte long"),
    ],
)
def test_a_broken_zlib_depth_is_refused_naming_file_frame_and_offset(
    path: Path, sens_bytes: SensBytes, blob: bytes
) -> None:
    broken_depth(path, sens_bytes, blob)


@pytest.mark.parametrize("change", [-256, -2, -1, 1, 2])
def test_a_raw_depth_of_the_wrong_length_is_refused(path: Path, sens_bytes: SensBytes, change: int) -> None:
    raw = DEPTH.tobytes()
    blob = raw[:change] if change < 0 else raw + b"\0" * change
    assert "256" in broken_depth(path, sens_bytes, blob, depth_type=0).reason


def test_a_depth_blob_that_would_inflate_to_a_gigabyte_allocates_one_image_only(
    path: Path, sens_bytes: SensBytes
) -> None:
    # Flushed blocks can be repeated: a megabyte of file for a gigabyte of zeros.
    deflate = zlib.compressobj(9)
    blob = deflate.compress(b"") + deflate.flush(zlib.Z_FULL_FLUSH)
    blob += (deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)) * 1_100
    assert len(blob) < 2 * 2**20
    with peak_below(8):
        error = broken_depth(path, sens_bytes, blob, depth_size=(640, 480))
    assert "more than" in error.reason


@pytest.mark.parametrize("length", [0, 1, 383, 385, 500])
def test_a_raw_colour_of_the_wrong_length_is_refused(path: Path, sens_bytes: SensBytes, length: int) -> None:
    data = sens_bytes([frame(color=b"c" * length)], color_type=0)
    with opened(path, data) as sens, pytest.raises(DataError, match="384") as caught:
        sens.color(sens.records()[0][0])
    assert (caught.value.frame, caught.value.offset) == (0, HEADER_BYTES + RECORD_BYTES)


def test_a_record_that_lies_beyond_the_file_is_refused_when_read(path: Path, sens_bytes: SensBytes) -> None:
    with opened(path, sens_bytes([frame()])) as sens:
        real = sens.records()[0][0]
        far = SensRecord(0, real.sensor_to_world, 0, 0, 2**40, 100, 100)
        for read in (sens.color, sens.depth):
            with pytest.raises(DataError, match="ends at byte"):
                read(far)


@pytest.mark.parametrize("codecs", [(2, 1), (1, 0), (0, 1)])
def test_any_mutation_of_a_file_ends_in_pixels_or_in_a_data_error(
    path: Path, sens_bytes: SensBytes, codecs: tuple[int, int]
) -> None:
    color = {0: PICTURE.tobytes(), 1: PNG, 2: JPEG}[codecs[0]]
    depth = zlib.compress(DEPTH.tobytes()) if codecs[1] else DEPTH.tobytes()
    data = sens_bytes([frame(color, depth)] * 3, color_type=codecs[0], depth_type=codecs[1], imu=1)
    path.write_bytes(data)
    assert read_everything(path) == 3
    random = np.random.default_rng(codecs[0])
    ends = {"pixels": 0, "error": 0}
    for trial in range(170):
        mutated = bytearray(data)
        for _ in range(random.integers(1, 4)):
            # Half of the changes go to the header and the first record, where they do most.
            at = int(random.integers(len(data) if trial % 2 else HEADER_BYTES + RECORD_BYTES))
            kind = random.integers(4)
            if kind == 0:
                mutated[at : at + 1] = bytes([random.integers(256)])
            elif kind == 1:
                mutated[at : at + 8] = random.bytes(8)
            elif kind == 2:
                mutated[at:at] = random.bytes(int(random.integers(1, 9)))
            else:
                del mutated[at : at + int(random.integers(1, 200))]
        path.write_bytes(mutated)
        try:
            read_everything(path)
            ends["pixels"] += 1
        except DataError as refused:
            ends["error"] += refused.file == str(path) and refused.offset is not None
    assert sum(ends.values()) == 170
    assert min(ends.values()) > 5
