from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pri3d_data.backproject import backproject
from pri3d_data.cell_groups import group_points
from pri3d_data.cells import SIDE_OF_RADIUS
from pri3d_data.overlap import match_counts
from pri3d_data.scannet import ScanNetCapture, find_scenes
from pri3d_data.voxels import voxel_means

Points = NDArray[np.float32]
RADIUS_M = 0.02
TILES = (1, 7, 50, 8_000_000)


@dataclass(frozen=True)
class Cloud:
    """Frames' points, and the radius to ask for."""

    frames: list[Points]
    radius_m: float

    @property
    def points(self) -> Points:
        return np.concatenate([*self.frames, np.zeros((0, 3), np.float32)])

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.cumsum([0, *map(len, self.frames)]).astype(np.int64)

    def counts(self, tile_points: int, threads: int = 1) -> NDArray[np.int64]:
        return match_counts(self.points, self.starts, self.radius_m, tile_points, threads)


def brute_force(cloud: Cloud) -> NDArray[np.int64]:
    """Every distance between every two points, in float64."""
    exact = [points.astype(np.float64) for points in cloud.frames]
    counts = np.zeros((len(exact), len(exact)), np.int64)
    for a, ours in enumerate(exact):
        for b, theirs in enumerate(exact):
            for block in np.array_split(ours, len(ours) * len(theirs) // 4_000_000 + 1):
                squares = (block[:, None] - theirs) ** 2
                near = squares[..., 0] + squares[..., 1] + squares[..., 2] <= cloud.radius_m**2
                counts[a, b] += np.count_nonzero(near.any(axis=1))
    return counts


def assert_exact(cloud: Cloud, tiles: tuple[int, ...] = TILES) -> None:
    expected = brute_force(cloud)
    for tile_points in tiles:
        np.testing.assert_array_equal(cloud.counts(tile_points), expected, f"{tile_points} points a tile")


def assert_as_a_kd_tree_counts(frames: list[Points], radius_m: float) -> None:
    counts = Cloud(frames, radius_m).counts(8_000_000)
    for a, ours in enumerate(frames):
        for b, theirs in enumerate(frames):
            distance, _ = cKDTree(theirs.astype(np.float64)).query(
                ours.astype(np.float64), distance_upper_bound=np.nextafter(radius_m, np.inf)
            )
            assert counts[a, b] == np.isfinite(distance).sum()
    assert (counts > 0).any(axis=1).all()


@st.composite
def lattice_clouds(draw: st.DrawFn) -> Cloud:
    """Points whose coordinates and squared distances are whole multiples of a power of two.

    Distances equal to the radius, duplicates, points on one line or plane and single points come up all the
    time, and are exact in float32 and float64, so "within" has one answer only.
    """
    step = 2.0**-10
    span, radius = draw(
        st.sampled_from([(0, 1), (1, 1), (3, 1), (3, 2), (12, 5), (40, 20), (2_000, 512), (2**20, 40_000)])
    )
    offset = np.array([draw(st.sampled_from([0, 0, -7, 1_000_000, -7_000_000])) for _ in range(3)])
    moving = np.array([draw(st.booleans()) for _ in range(3)])
    point = st.tuples(*[st.integers(-span, span)] * 3)
    frames = draw(st.lists(st.lists(point, max_size=14), min_size=1, max_size=5))
    return Cloud(
        [
            ((np.array(frame, np.int64).reshape(-1, 3) * moving + offset) * step).astype(np.float32)
            for frame in frames
        ],
        radius * step,
    )


@st.composite
def any_clouds(draw: st.DrawFn) -> Cloud:
    """Points of any float32 coordinates within some span of the radius."""
    span = draw(st.sampled_from([2.0**-5, 0.25, 3.0]))
    offset = draw(st.sampled_from([0.0, -1.0, 10.0, 1000.0]))
    coordinate = st.floats(-span, span, width=16).map(lambda value: np.float32(value * 0.977 + offset))
    frames = draw(st.lists(st.lists(st.tuples(*[coordinate] * 3), max_size=10), min_size=1, max_size=4))
    return Cloud([np.array(frame, np.float32).reshape(-1, 3) for frame in frames], RADIUS_M)


@settings(max_examples=250)
@given(lattice_clouds())
def test_counts_equal_brute_force_on_lattices_where_distances_tie_with_the_radius(cloud: Cloud) -> None:
    assert_exact(cloud)


@settings(max_examples=150)
@given(any_clouds())
def test_counts_equal_brute_force_on_any_points(cloud: Cloud) -> None:
    assert_exact(cloud)


@pytest.mark.parametrize("offset", [0.0, -3.0, 100.0, -12_345.0])
@pytest.mark.parametrize("span", [0.05, 0.3])
def test_counts_equal_brute_force_on_dense_clouds_near_and_far_from_zero(offset: float, span: float) -> None:
    random = np.random.default_rng(int(span * 100))
    for _ in range(12):
        corner = offset * random.random(3)
        sizes = random.integers(0, 120, 4)
        cloud = Cloud([(random.random((n, 3)) * span + corner).astype(np.float32) for n in sizes], RADIUS_M)
        assert_exact(cloud, (1, 20, 100, 8_000_000))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_counts_equal_brute_force_with_points_exactly_on_cell_borders(axis: int) -> None:
    random = np.random.default_rng(axis)
    for _ in range(60):
        cells = int(random.integers(1, 60))
        length = np.float32(random.random() * 2 + 0.01)
        line = np.zeros((cells + 1, 3), np.float32)
        line[:, axis] = np.arange(cells + 1) * (float(length) / cells) + random.choice([0.0, -1.0])
        # The radius whose cells divide the line: every point lies on a border, some a rounding off it.
        radius = float(length) / cells / SIDE_OF_RADIUS
        assert_exact(Cloud([line, line[::2], line[:1], line[-1:]], radius), (1, 5, 8_000_000))


@pytest.mark.parametrize("hair", [-1e-4, -1e-6, 1e-6, 1e-4, 1e-2])
def test_points_at_opposite_corners_of_a_cell_are_measured_not_assumed_near(hair: float) -> None:
    # The grid starts at the lowest point, so a cell's diagonal, about the radius, starts there too.
    for radius in (RADIUS_M, 0.5, 3.0):
        for direction in np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1]]):
            across = radius * (1 + hair) * direction / np.linalg.norm(direction)
            corners = np.stack([np.zeros(3), across]).astype(np.float32)
            cloud = Cloud([corners[:1], corners[1:], corners], radius)
            assert cloud.counts(8_000_000)[0, 1] == (hair < 0)
            assert_exact(cloud, (1, 8_000_000))


def test_the_outermost_point_of_a_scene_counts_like_any_other() -> None:
    # 1.9 m from zero the lowest corner is no multiple of a cell, and its own cell may round below the grid.
    random = np.random.default_rng(9)
    for _ in range(300):
        point = ((random.random(3) - 0.5) * 10.0 ** random.integers(0, 4)).astype(np.float32)[None]
        counts = Cloud([point, point], RADIUS_M).counts(8_000_000)
        np.testing.assert_array_equal(counts, [[1, 1], [1, 1]])


def test_a_distance_equal_to_the_radius_is_within_and_the_next_float_is_not() -> None:
    origin = np.zeros((1, 3), np.float32)
    for axis in range(3):
        at, beyond = origin.copy(), origin.copy()
        at[0, axis] = 0.5
        beyond[0, axis] = np.nextafter(np.float32(0.5), np.float32(1))
        counts = Cloud([origin, at, beyond], 0.5).counts(8_000_000)
        np.testing.assert_array_equal(counts, [[1, 1, 0], [1, 1, 1], [0, 1, 1]])
    # 3-4-5: the distance is the radius although no coordinate is.
    diagonal = np.array([[0.375, 0.0, -0.5]], np.float32)
    assert Cloud([origin, diagonal], 0.625).counts(1)[0, 1] == 1


def test_a_count_is_of_points_of_the_first_frame_so_the_two_directions_differ() -> None:
    many = np.full((7, 3), 0.3, np.float32)
    one = np.full((1, 3), 0.31, np.float32)
    np.testing.assert_array_equal(Cloud([many, one], RADIUS_M).counts(8_000_000), [[7, 7], [1, 1]])


def test_a_scene_without_points_or_without_frames_has_no_matches() -> None:
    nothing = np.zeros((0, 3), np.float32)
    assert Cloud([], RADIUS_M).counts(1).shape == (0, 0)
    np.testing.assert_array_equal(Cloud([nothing] * 3, RADIUS_M).counts(1), np.zeros((3, 3)))
    np.testing.assert_array_equal(
        Cloud([nothing, np.ones((2, 3), np.float32), nothing], RADIUS_M).counts(1), np.diag([0, 2, 0])
    )


def test_frames_that_are_all_equal_match_in_every_point() -> None:
    frame = np.random.default_rng(1).random((200, 3)).astype(np.float32)
    for tile_points in TILES:
        assert (Cloud([frame] * 5, RADIUS_M).counts(tile_points) == 200).all()


def test_a_hundred_frames_are_counted_like_two() -> None:
    random = np.random.default_rng(2)
    walk = np.cumsum(random.normal(0, 0.02, (100, 3)), axis=0)
    frames = [(center + random.normal(0, 0.03, (30, 3))).astype(np.float32) for center in walk]
    assert_exact(Cloud(frames, RADIUS_M), (100, 8_000_000))


def test_one_far_point_costs_neither_memory_nor_exactness() -> None:
    random = np.random.default_rng(3)
    near = random.random((300, 3)).astype(np.float32) * np.float32(0.2)
    far = np.array([[1e6, 0.1, 0.1]], np.float32)
    tracemalloc.start()
    try:
        assert_exact(Cloud([near[:150], near[150:], np.concatenate([far, near[:3]]), far], RADIUS_M))
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("far", [1e9, 1e30, np.inf, np.nan])
def test_points_no_pose_can_explain_are_refused(far: float) -> None:
    points = np.array([[0, 0, 0], [far, 0, 0]], np.float32)
    with pytest.raises(ValueError, match="poses"), np.errstate(all="ignore"):
        match_counts(points, np.array([0, 1, 2]), RADIUS_M)


def test_the_input_is_left_as_it_was() -> None:
    points = np.random.default_rng(4).random((100, 3)).astype(np.float32) * np.array([1, 2, 3], np.float32)
    before = points.copy()
    match_counts(points, np.array([0, 50, 100]), RADIUS_M, 10)
    np.testing.assert_array_equal(points, before)


@pytest.mark.parametrize("radius_m", [1e-18, 1e-12, 1e12, 1e17])
def test_radii_beyond_the_range_of_float32_squares_are_counted_as_exactly(radius_m: float) -> None:
    random = np.random.default_rng(5)
    frames = [(random.random((60, 3)) * radius_m * 4).astype(np.float32) for _ in range(4)]
    assert_exact(Cloud(frames, radius_m))


@pytest.mark.parametrize("radius_m", [0.0, -0.02, np.inf, np.nan])
def test_a_radius_that_is_no_length_is_refused(radius_m: float) -> None:
    with pytest.raises(ValueError, match="radius"):
        Cloud([np.zeros((1, 3), np.float32)] * 2, radius_m).counts(8)


def test_points_in_a_shell_about_the_radius_are_told_apart() -> None:
    # All lie where bits cannot decide, a tenth of them within a millionth of the radius: float32 cannot either.
    random = np.random.default_rng(6)
    for _ in range(30):
        direction = random.normal(size=(200, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        hair = random.normal(size=(200, 1)) * np.where(np.arange(200)[:, None] % 10, 0.2, 3e-7)
        center = random.random((1, 3)) * random.choice([0.1, 10.0])
        shell = center + direction * RADIUS_M * (1 + hair)
        assert_exact(Cloud([center.astype(np.float32), shell.astype(np.float32)], RADIUS_M), (8_000_000,))


def test_many_points_of_one_cell_are_tested_like_few() -> None:
    # More than fit the sixteen lanes, in frames that share no cell: 18 to 22 mm apart.
    random = np.random.default_rng(7)
    for count in (15, 16, 17, 33, 200):
        frames = [
            (random.random((count, 3)) * 0.004 + np.array([0.02 * f, 0.001, 0.002])).astype(np.float32)
            for f in range(3)
        ]
        assert_exact(Cloud(frames, RADIUS_M), (8_000_000,))


def test_seventy_frames_fill_more_than_one_word_of_bits() -> None:
    random = np.random.default_rng(8)
    frames = [
        (random.random((random.integers(0, 12), 3)) * np.array([0.3, 0.1, 0.05])).astype(np.float32)
        for _ in range(70)
    ]
    cloud = Cloud(frames, RADIUS_M)
    expected = brute_force(cloud)
    for tile_points in (60, 8_000_000):
        np.testing.assert_array_equal(cloud.counts(tile_points), expected)


def test_threads_change_nothing() -> None:
    random = np.random.default_rng(9)
    frames = [(random.random((400, 3)) * np.array([1.0, 0.2, 0.1])).astype(np.float32) for _ in range(6)]
    cloud = Cloud(frames, RADIUS_M)
    expected = brute_force(cloud)
    for threads in (2, 3):
        for tile_points in (50, 100_000):
            np.testing.assert_array_equal(cloud.counts(tile_points, threads), expected)
        np.testing.assert_array_equal(
            match_counts(cloud.points, cloud.starts, RADIUS_M, threads=threads), expected
        )


def test_a_sparse_cloud_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(10)
    frames = [(random.random((300, 3)) * np.array([8.0, 2.0, 1.0])).astype(np.float32) for _ in range(4)]
    frames[3] = frames[0] + np.float32(0.003)
    cloud = Cloud(frames, RADIUS_M)
    expected = brute_force(cloud)
    slabs = []
    monkeypatch.setattr(
        "pri3d_data.overlap.group_points",
        lambda points, *rest: slabs.append(1) or group_points(points, *rest),
    )
    monkeypatch.setattr("pri3d_data.overlap._WORK_BYTES", 20_000)
    np.testing.assert_array_equal(cloud.counts(1200), expected)
    assert len(slabs) > 2


@settings(max_examples=60)
@given(lattice_clouds(), st.integers(1, 3))
def test_the_order_of_points_within_a_frame_does_not_matter(cloud: Cloud, seed: int) -> None:
    random = np.random.default_rng(seed)
    shuffled = Cloud([random.permutation(frame) for frame in cloud.frames], cloud.radius_m)
    np.testing.assert_array_equal(shuffled.counts(8_000_000), cloud.counts(8_000_000))


@pytest.mark.parametrize("offset", [0.0, -3.0, 4_000.0])
def test_voxel_means_are_counted_as_a_kd_tree_counts_them(offset: float) -> None:
    # The preset "reference": means of 5 cm voxels, 7.5 cm, the larger direction.
    random = np.random.default_rng(11)
    surface = random.random((6_000, 3)) * np.array([2.0, 2.0, 0.03]) + offset
    frames = [
        voxel_means((part + random.normal(0, 0.01, part.shape)).astype(np.float32), 0.05)
        for part in (surface[:3000], surface[2000:5000], surface[4000:])
    ]
    assert_as_a_kd_tree_counts(frames, 0.075)


# ---- a real room


@pytest.fixture(scope="module")
def room(shared_data: Path) -> list[Points]:
    scene = find_scenes(str(shared_data / "scannet_layout_7scenes"))[0]
    with ScanNetCapture(scene, stride=50) as capture:
        return [
            backproject(
                capture.depth(frame),
                capture.depth_unit_m,
                frame.depth_camera.vector,
                frame.depth_to_world,
                np.zeros(3),
            )
            for frame in capture.frames
            if frame.depth_camera is not None and frame.depth_to_world is not None
        ]


@pytest.mark.real_data
@pytest.mark.parametrize("tile_points", [20_000, 8_000_000])
def test_a_real_room_is_counted_as_a_kd_tree_counts_it(room: list[Points], tile_points: int) -> None:
    cloud = Cloud([points[::4] for points in room], RADIUS_M)
    counts = cloud.counts(tile_points)
    trees = [cKDTree(points.astype(np.float64)) for points in cloud.frames]
    for a, points in enumerate(cloud.frames):
        for b, tree in enumerate(trees):
            # Its bound is exclusive, ours is not; a real room has no point exactly at the radius.
            distance, _ = tree.query(points.astype(np.float64), distance_upper_bound=RADIUS_M)
            expected = np.count_nonzero(np.isfinite(distance))
            assert abs(int(counts[a, b]) - expected) <= 1e-4 * len(points)
    off_diagonal = counts[~np.eye(len(room), dtype=bool)]
    assert 0 < off_diagonal.max() < max(map(len, cloud.frames))


@pytest.mark.real_data
def test_a_real_room_is_counted_as_brute_force_counts_it(room: list[Points]) -> None:
    assert_exact(Cloud([points[::120] for points in room[:3]], RADIUS_M), (500, 8_000_000))


@pytest.mark.real_data
def test_a_real_rooms_voxel_means_are_counted_as_a_kd_tree_counts_them(room: list[Points]) -> None:
    assert_as_a_kd_tree_counts([voxel_means(points, 0.05) for points in room], 0.075)
