import os
import struct
from pathlib import Path

import numpy as np
import pytest

from pri3d_data.errors import StorageError, UsageError
from pri3d_data.sens_writer import SensSettings, SensWriter

SHARED = Path(os.environ.get("PRI3D_SHARED_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
OFFICIAL = SHARED / "sens_official_writer"
COLOR = {0: "raw", 1: "png", 2: "jpeg"}
DEPTH = {0: "raw", 1: "zlib"}


def settings(**changes):
    given = {
        "color_width": 4,
        "color_height": 2,
        "depth_width": 2,
        "depth_height": 2,
        "intrinsic_color": np.eye(4, dtype=np.float32),
        "intrinsic_depth": np.eye(4, dtype=np.float32),
    }
    return SensSettings(**(given | changes))


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["jpeg640_zlib", "jpeg1296_zlib", "raw640_rawushort"])
def test_writes_what_the_official_writer_wrote(name, tmp_path):
    source = OFFICIAL / f"{name}.sens"
    if not source.exists():
        pytest.skip(f"{source} is missing")
    data = source.read_bytes()
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return values

    version, length = take("IQ")
    assert version == 4
    sensor = data[at : at + length].decode()
    at += length
    matrices = [np.array(take("16f"), np.float32).reshape(4, 4) for _ in range(4)]
    color_code, depth_code, color_w, color_h, depth_w, depth_h, shift, frames = take("iiIIIIfQ")
    header = SensSettings(
        color_width=color_w,
        color_height=color_h,
        depth_width=depth_w,
        depth_height=depth_h,
        intrinsic_color=matrices[0],
        extrinsic_color=matrices[1],
        intrinsic_depth=matrices[2],
        extrinsic_depth=matrices[3],
        color_codec=COLOR[color_code],
        depth_codec=DEPTH[depth_code],
        depth_shift=shift,
        sensor_name=sensor,
    )
    with SensWriter(tmp_path / "again.sens", header) as writer:
        for _ in range(frames):
            pose = np.array(take("16f"), np.float32).reshape(4, 4)
            color_us, depth_us, color_bytes, depth_bytes = take("QQQQ")
            color, depth = (
                data[at : at + color_bytes],
                data[at + color_bytes : at + color_bytes + depth_bytes],
            )
            at += color_bytes + depth_bytes
            writer.frame(pose, color_us, depth_us, color, depth)
        (records,) = take("Q")
        for _ in range(records):
            *values, time_us = take("15dQ")
            writer.imu(values, time_us)
    assert records > 0
    assert at == len(data)
    assert (tmp_path / "again.sens").read_bytes() == data


def test_header_counts_the_frames_that_were_written(tmp_path):
    path = tmp_path / "deep" / "a.sens"
    with SensWriter(path, settings(sensor_name="x")) as writer:
        writer.frame(np.eye(4), 1, 2, b"color", b"depth!")
        writer.frame(np.full((4, 4), -np.inf), 3, 4, b"", b"")
    data = path.read_bytes()
    header_bytes = 4 + 8 + 1 + 4 * 64 + 4 * 6 + 4 + 8
    assert struct.unpack_from("<Q", data, header_bytes - 8) == (2,)
    assert struct.unpack_from("<4Q", data, header_bytes + 64) == (1, 2, 5, 6)
    assert len(data) == header_bytes + 2 * 96 + 11 + 8
    lost = np.frombuffer(data, "<f4", 16, header_bytes + 96 + 11)
    assert (lost == -np.inf).all()


def stopped_halfway(writer):
    with writer:
        writer.frame(np.eye(4), 0, 0, b"", b"")
        raise RuntimeError("stop")


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.sens"
    path.write_bytes(b"old")
    writer = SensWriter(path, settings())
    with pytest.raises(RuntimeError, match="stop"):
        stopped_halfway(writer)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.sens"]


def test_a_place_that_refuses_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(StorageError, match="cannot be written"),
        SensWriter(tmp_path / "file" / "a.sens", settings()),
    ):
        pass


def test_wrong_use_is_told():
    with pytest.raises(UsageError, match="codecs"):
        settings(color_codec="gif").encoded(0)
    with pytest.raises(UsageError, match="extrinsic_depth"):
        settings(extrinsic_depth=np.eye(3)).encoded(0)
    with pytest.raises(UsageError, match="with statement"):
        SensWriter(Path("never.sens"), settings()).frame(np.eye(4), 0, 0, b"", b"")
