from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from pri3d_data.errors import DataError
from pri3d_data.trajectory import nearest_times, parse_pose, parse_trajectory, parse_tum_trajectory

POSE = np.eye(4)
POSE[:3, :3] = Rotation.from_euler("xyz", [0.3, -1.2, 2.0]).as_matrix()
POSE[:3, 3] = [1.5, -2.0, 0.25]


def text_of(matrix: np.ndarray) -> str:
    return "\n".join(" ".join(f"{value:.17g}" for value in row) for row in matrix)


def test_a_pose_is_sixteen_numbers() -> None:
    found = parse_pose(text_of(POSE), "a.pose.txt")
    assert found is not None
    np.testing.assert_array_equal(found, POSE)


@pytest.mark.parametrize(
    "lost", [np.full((4, 4), -np.inf), np.full((4, 4), np.nan), np.zeros((4, 4)), -np.eye(4)]
)
def test_what_a_lost_tracker_writes_is_no_pose(lost: np.ndarray) -> None:
    assert parse_pose(text_of(lost), "a.pose.txt") is None


@pytest.mark.parametrize("text", ["", "1 2 3", text_of(POSE) + " 7", text_of(POSE).replace("1.5", "one")])
def test_a_broken_pose_file_is_named(text: str) -> None:
    with pytest.raises(DataError, match=r"a\.pose\.txt"):
        parse_pose(text, "a.pose.txt")


def test_open3ds_trajectory_has_a_pose_in_every_block() -> None:
    blocks = [
        f"{i} {i} {i + 1}\n{text_of(pose)}" for i, pose in enumerate((np.eye(4), POSE, np.zeros((4, 4))))
    ]
    found = parse_trajectory("\n".join(blocks) + "\n\n", "t.log")
    assert found[2] is None
    np.testing.assert_array_equal(found[1], POSE)
    with pytest.raises(DataError, match="blocks of five"):
        parse_trajectory("\n".join(blocks[:2]) + "\n3 3 4\n", "t.log")


def test_tums_quaternions_are_scipys_rotations() -> None:
    random = np.random.default_rng(0)
    times, places = np.sort(random.random(20)), random.normal(size=(20, 3))
    quaternions = Rotation.random(20, random_state=1).as_quat()
    rows = np.column_stack([times, places, quaternions])
    text = "# time tx ty tz qx qy qz qw\n" + "\n".join(
        " ".join(map(repr, row)) for row in rows[::-1].tolist()
    )
    found_times, poses = parse_tum_trajectory(text, "groundtruth.txt")
    np.testing.assert_array_equal(found_times, times)
    np.testing.assert_allclose(poses[:, :3, :3], Rotation.from_quat(quaternions).as_matrix(), atol=1e-12)
    np.testing.assert_array_equal(poses[:, :3, 3], places)


@pytest.mark.parametrize("text", ["", "# nothing", "1 2 3", "1 0 0 0 0 0 0 2", "1 0 0 0 0 0 0 nan"])
def test_a_broken_tum_trajectory_is_named(text: str) -> None:
    with pytest.raises(DataError, match=r"groundtruth\.txt"):
        parse_tum_trajectory(text, "groundtruth.txt")


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=20).map(sorted),
    st.lists(st.floats(-1, 11), min_size=1, max_size=20),
)
def test_the_nearest_time_is_the_nearest(times: list[float], wanted: list[float]) -> None:
    have = np.array(times)
    for want, found in zip(wanted, nearest_times(have, np.array(wanted), 0.5), strict=True):
        gap = np.abs(have - want).min()
        assert (found == -1) == (gap > 0.5)
        if found >= 0:
            assert abs(have[found] - want) == gap
