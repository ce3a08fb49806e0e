from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pri3d_data.camera import Camera
from pri3d_data.errors import DataError
from pri3d_data.kitti.velodyne import read_scan, spacing_px

POINTS = np.arange(20, dtype="<f4").reshape(5, 4)


def test_points_are_read_as_they_lie(tmp_path: Path) -> None:
    (tmp_path / "0.bin").write_bytes(POINTS.tobytes())
    np.testing.assert_array_equal(read_scan(str(tmp_path / "0.bin"), 0), POINTS)


@pytest.mark.parametrize("cut", [1, 4, 12, 17])
def test_a_scan_cut_within_a_point_is_named_with_frame_and_byte(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "0000000003.bin"
    path.write_bytes(POINTS.tobytes()[:-cut])
    with pytest.raises(DataError, match="cut within a point") as caught:
        read_scan(str(path), 3)
    assert (caught.value.file, caught.value.frame) == (str(path), 3)
    assert caught.value.offset == (80 - cut) // 16 * 16


def test_an_empty_scan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.bin").write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        read_scan(str(tmp_path / "0.bin"), 0)


def test_a_file_no_scan_can_fill_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "0.bin").open("wb") as file:
        file.truncate(16 * 5_000_000)
    with pytest.raises(DataError, match="more than a scan can have"):
        read_scan(str(tmp_path / "0.bin"), 0)


def test_spacing_follows_the_focal_length() -> None:
    assert spacing_px(Camera(1242, 375, 721.5, 721.5, 609.6, 172.9)) == (6, 2)
    assert spacing_px(Camera(124, 37, 72.0, 72.0, 61.0, 17.0)) == (1, 1)
