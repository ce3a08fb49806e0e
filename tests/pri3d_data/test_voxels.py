from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pri3d_data.voxels import occupied_voxels, voxel_means

Cell = tuple[int, ...]


def clouds(span: float) -> st.SearchStrategy[NDArray[np.float32]]:
    shape = st.tuples(st.integers(0, 30), st.just(3))
    return arrays(np.float32, shape, elements=st.floats(-span, span, width=32))


def cells_one_by_one(
    points: NDArray[np.float32], voxel_m: float, start: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> dict[Cell, list[int]]:
    """Which points lie in which voxel of a grid from ``start``, in lexicographic order of the voxels."""
    members: dict[Cell, list[int]] = defaultdict(list)
    for i, point in enumerate(points.tolist()):
        cell = tuple(math.floor((x - low) / voxel_m) for x, low in zip(point, start, strict=True))
        members[cell].append(i)
    return dict(sorted(members.items()))


@given(st.sampled_from([0.02, 0.05, 0.5, 1.0]), clouds(3.0))
def test_occupied_voxels_are_those_a_dictionary_collects_with_their_mean_colours(
    voxel_m: float, points: NDArray[np.float32]
) -> None:
    colors = np.random.default_rng(len(points)).integers(0, 256, (len(points), 3), dtype=np.uint8)
    members = cells_one_by_one(points, voxel_m)
    voxels, means = occupied_voxels(points, colors, voxel_m)
    assert voxels.dtype == np.int32
    assert means.dtype == np.uint8
    assert [tuple(voxel) for voxel in voxels.tolist()] == list(members)
    for mean, inside in zip(means.tolist(), members.values(), strict=True):
        sums = colors[inside].astype(int).sum(axis=0).tolist()
        assert mean == [(2 * total + len(inside)) // (2 * len(inside)) for total in sums]


def test_negative_coordinates_go_down_not_towards_zero() -> None:
    points = np.array([[-0.01, 0.01, -0.05], [0.01, -0.04, 0.0]], np.float32)
    voxels, _ = occupied_voxels(points, np.zeros((2, 3), np.uint8), 0.02)
    assert voxels.tolist() == [[-1, 0, -3], [0, -2, 0]]


@pytest.mark.parametrize(
    ("values", "mean"),
    [([0, 1], 1), ([10, 10, 11], 10), ([10, 11, 11], 11), ([254, 255], 255), ([255] * 9, 255)],
)
def test_a_mean_colour_is_rounded_to_the_nearest_and_halves_up(values: list[int], mean: int) -> None:
    points = np.full((len(values), 3), 0.005, np.float32)
    colors = np.repeat(np.array(values, np.uint8)[:, None], 3, axis=1)
    assert occupied_voxels(points, colors, 0.02)[1].tolist() == [[mean] * 3]


def test_a_voxel_spans_its_lower_border_but_not_its_upper() -> None:
    points = np.array([[0.5, 0.0, 0.0], [np.nextafter(np.float32(0.5), np.float32(0)), 0, 0]], np.float32)
    voxels, _ = occupied_voxels(points, np.zeros((2, 3), np.uint8), 0.5)
    assert voxels.tolist() == [[0, 0, 0], [1, 0, 0]]


def test_the_order_of_the_points_does_not_matter() -> None:
    random = np.random.default_rng(0)
    points = random.normal(0, 1, (500, 3)).astype(np.float32)
    colors = random.integers(0, 256, (500, 3), dtype=np.uint8)
    order = random.permutation(500)
    for ours, theirs in zip(
        occupied_voxels(points, colors, 0.3), occupied_voxels(points[order], colors[order], 0.3), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_voxels_as_far_as_the_grid_reaches_are_kept_and_beyond_refused(axis: int, sign: int) -> None:
    points = np.zeros((2, 3))
    points[1, axis] = sign * (2**20 - 1)
    voxels, _ = occupied_voxels(points, np.zeros((2, 3), np.uint8), 1.0)
    assert sorted(voxels.tolist()) == sorted(points.astype(int).tolist())
    points[1, axis] = sign * 2**20
    with pytest.raises(ValueError, match="world's zero"):
        occupied_voxels(points, np.zeros((2, 3), np.uint8), 1.0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_points_that_are_no_place_are_refused(value: float) -> None:
    points = np.array([[0, 0, 0], [0, value, 0]])
    with pytest.raises(ValueError, match="world's zero"):
        occupied_voxels(points, np.zeros((2, 3), np.uint8), 0.02)
    with pytest.raises(ValueError, match="spans"), np.errstate(all="ignore"):
        voxel_means(points.astype(np.float32), 0.02)


@given(st.sampled_from([0.05, 0.3, 1.0]), clouds(2.0), st.sampled_from([0.0, -500.0, 3000.0]))
def test_voxel_means_are_those_a_dictionary_collects_on_open3ds_grid(
    voxel_m: float, points: NDArray[np.float32], offset: float
) -> None:
    points = points + np.float32(offset)
    means = voxel_means(points, voxel_m)
    if len(points) == 0:
        assert means.shape == (0, 3)
        return
    # Open3D: the grid starts half a voxel below the cloud's lowest corner.
    start = tuple(low - voxel_m * 0.5 for low in points.min(axis=0).tolist())
    members = cells_one_by_one(points, voxel_m, start)
    assert means.dtype == np.float32
    assert len(means) == len(members)
    for mean, inside in zip(means, members.values(), strict=True):
        exact = [math.fsum(column) / len(inside) for column in points[inside].T.tolist()]
        np.testing.assert_allclose(mean, exact, rtol=2.0**-23, atol=1e-12)


def test_a_cloud_wider_than_the_grid_is_refused_instead_of_folded_onto_itself() -> None:
    points = np.array([[0, 0, 0], [0, 2**20 + 1, 0]], np.float32)
    with pytest.raises(ValueError, match="spans 1048577 m"):
        voxel_means(points, 1.0)
    assert len(voxel_means(np.array([[0, 0, 0], [0, 2**20 - 2, 0]], np.float32), 1.0)) == 2
