from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pri3d_data.chunk import crop_chunk

coordinate = st.integers(-7, 7)


def lexicographic(voxels: np.ndarray) -> np.ndarray:
    return np.unique(np.asarray(voxels, np.int32).reshape(-1, 3), axis=0).astype(np.int32)


def colors_of(voxels: np.ndarray) -> np.ndarray:
    return (np.arange(3 * len(voxels)) % 251).astype(np.uint8).reshape(-1, 3)


def check(voxels: np.ndarray, voxel_m: float, box: np.ndarray) -> int:
    colors = colors_of(voxels)
    centers = (voxels + 0.5) * voxel_m
    inside = ((centers >= box[0]) & (centers <= box[1])).all(axis=1)
    found, found_colors = crop_chunk(voxels, colors, voxel_m, box)
    assert found.dtype == np.int32
    assert found_colors.dtype == np.uint8
    np.testing.assert_array_equal(found, voxels[inside])
    np.testing.assert_array_equal(found_colors, colors[inside])
    return len(found)


@settings(max_examples=200, deadline=None)
@given(
    voxels=st.lists(st.tuples(coordinate, coordinate, coordinate), max_size=60),
    # Halves put a box's faces right on the centres of voxels.
    corners=st.tuples(*[st.integers(-16, 16)] * 6),
    voxel_m=st.sampled_from([0.02, 0.25, 1.0, 0.1]),
)
def test_the_crop_is_a_mask_on_centres_borders_included(voxels, corners, voxel_m) -> None:
    a, b = np.array(corners[:3]), np.array(corners[3:])
    box = np.stack([np.minimum(a, b), np.maximum(a, b)]) / 2 * voxel_m
    check(lexicographic(np.array(voxels)), voxel_m, box)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_crop_is_a_mask_for_any_box(seed) -> None:
    random = np.random.default_rng(seed)
    voxels = lexicographic(random.integers(-40, 40, (500, 3)))
    box = np.sort(random.uniform(-1.0, 1.0, (2, 3)), axis=0)
    check(voxels, 0.02, box)


def test_no_voxels_and_a_box_beside_all_of_them_give_none() -> None:
    box = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])
    assert check(np.zeros((0, 3), np.int32), 0.02, box) == 0
    voxels = lexicographic(np.array([[500, 0, 0], [501, 2, 3]]))
    assert check(voxels, 0.02, box) == 0
    assert check(voxels, 0.02, box + 10.0) == 0
    assert check(voxels, 0.02, box[::-1].copy()) == 0  # a box turned inside out
    assert check(voxels, 0.02, np.array([[-1e300] * 3, [1e300] * 3])) == 2


def test_a_chunk_is_its_own_copy() -> None:
    voxels = lexicographic(np.array([[0, 0, 0], [1, 1, 1]]))
    colors = colors_of(voxels)
    found, found_colors = crop_chunk(voxels, colors, 1.0, np.array([[0.0] * 3, [2.0] * 3]))
    found[:], found_colors[:] = -5, 7
    assert voxels.min() == 0
    np.testing.assert_array_equal(colors, colors_of(voxels))
