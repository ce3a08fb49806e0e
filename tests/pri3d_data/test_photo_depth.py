"""MegaDepth's HDF5 files, COLMAP's own depth maps, and the steps both are stored in."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pri3d_data.colmap.depth import read_depth_map
from pri3d_data.depth_steps import depth_steps
from pri3d_data.errors import DataError
from pri3d_data.megadepth_depth import MaskOnly, read_h5_depth

DEPTH = np.linspace(0.11, 3.7, 24, dtype=np.float32).reshape(4, 6)


def h5(path: Path, values: np.ndarray = DEPTH, key: str = "depth") -> str:
    with h5py.File(path, "w") as file:
        file.create_dataset(key, data=values)
    return str(path)


def test_depth_is_read_as_it_is_with_zero_where_nothing_was_measured(tmp_path: Path) -> None:
    values = DEPTH.copy()
    values[0, :3] = 0.0, np.nan, np.inf
    found = read_h5_depth(h5(tmp_path / "a.h5", values), 6, 4)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, :3], 0.0)
    np.testing.assert_array_equal(found.ravel()[3:], DEPTH.ravel()[3:])


@pytest.mark.parametrize("kind", ["float16", "float64"])
def test_depth_may_be_of_any_floating_type(tmp_path: Path, kind: str) -> None:
    np.testing.assert_allclose(
        read_h5_depth(h5(tmp_path / "a.h5", DEPTH.astype(kind)), 6, 4), DEPTH, rtol=1e-3
    )


@pytest.mark.parametrize(
    "labels",
    [
        np.array([[0, 1, 2], [1, 2, 3]], np.float32),
        np.array([[0, 1], [1, 2]], np.int32),
        np.array([[-1, 0.5], [0.3, 2]], np.float32),
    ],
    ids=["labels", "whole numbers", "negative"],
)
def test_a_mask_is_told_by_what_is_in_it(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(MaskOnly, match="labels"):
        read_h5_depth(h5(tmp_path / "a.h5", labels), labels.shape[1], labels.shape[0])


def test_a_small_file_with_depth_is_depth_unless_the_authors_rule_is_asked_for(tmp_path: Path) -> None:
    path = h5(tmp_path / "a.h5")
    assert read_h5_depth(path, 6, 4).any()
    with pytest.raises(MaskOnly, match="less than 102400"):
        read_h5_depth(path, 6, 4, least_bytes=102_400)


def test_a_depth_file_of_another_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shape \(4, 6\), the photo has 4x6") as caught:
        read_h5_depth(h5(tmp_path / "a.h5"), 4, 6)
    assert caught.value.file.endswith("a.h5")


def test_a_file_without_the_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image '/depth'"):
        read_h5_depth(h5(tmp_path / "a.h5", key="height"), 6, 4)


def test_a_file_that_only_points_elsewhere_is_refused(tmp_path: Path) -> None:
    h5(tmp_path / "real.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["depth"] = h5py.ExternalLink(str(tmp_path / "real.h5"), "/depth")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("depth", (4, 6), "f4", external=[(str(tmp_path / "real.h5"), 0, 96)])
    for name in ("link.h5", "external.h5"):
        with pytest.raises(DataError, match="no image"):
            read_h5_depth(str(tmp_path / name), 6, 4)


def test_a_file_that_claims_a_size_it_does_not_have_is_refused_unread(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("depth", (2_000_000, 2_000_000), "f4", chunks=(64, 64))
    with pytest.raises(DataError, match="2000000"):
        read_h5_depth(str(tmp_path / "a.h5"), 6, 4)


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="all zero"):
        read_h5_depth(h5(tmp_path / "a.h5", np.zeros((4, 6), np.float32)), 6, 4)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = Path(h5(tmp_path / "a.h5")).read_bytes()
    for size in range(0, len(whole) - 1, 97):
        (tmp_path / "cut.h5").write_bytes(whole[:size])
        with pytest.raises(DataError) as caught:
            read_h5_depth(str(tmp_path / "cut.h5"), 6, 4)
        assert caught.value.file.endswith("cut.h5")


def test_colmaps_depth_maps_are_read_row_by_row(tmp_path: Path) -> None:
    file = tmp_path / "a.geometric.bin"
    file.write_bytes(b"6&4&1&" + DEPTH.tobytes())
    np.testing.assert_array_equal(read_depth_map(str(file)), DEPTH)
    for data in (b"", b"6&4", b"6&4&3&" + 3 * DEPTH.tobytes(), b"6&4&1&" + DEPTH.tobytes()[:-1]):
        file.write_bytes(data)
        with pytest.raises(DataError):
            read_depth_map(str(file))
    file.write_bytes(b"6&4&1&" + bytes(96))
    with pytest.raises(DataError, match="all zero"):
        read_depth_map(str(file))


@given(st.integers(0, 2**32 - 1), st.floats(1e-6, 1e6))
def test_steps_give_depth_back_to_half_a_step(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0, scale, (5, 7))
    depth[rng.uniform(size=depth.shape) < 0.3] = 0.0
    steps, unit = depth_steps(depth)
    assert steps.dtype == np.uint16
    assert np.abs(steps * unit - depth).max() <= 0.5 * unit * (1 + 1e-9)
    if depth.any():
        assert steps.max() == 65_535


def test_what_was_not_measured_has_no_steps() -> None:
    steps, unit = depth_steps(np.array([[0.0, -1.0, np.nan, np.inf]]))
    assert not steps.any()
    assert unit == 1.0
