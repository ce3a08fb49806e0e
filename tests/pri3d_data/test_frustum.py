from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from pri3d_data.camera import Camera
from pri3d_data.frustum import frustum_box, whole_metre_box
from pri3d_data.scannet import ScanNetCapture, find_scenes

CAMERA = Camera(24, 18, 20.0, 21.0, 10.25, 9.5)
TURNS = st.tuples(*[st.floats(-3, 3)] * 3)
POSITIONS = st.tuples(*[st.floats(-50, 50)] * 3)
DEPTHS = arrays(np.uint16, (18, 24), elements=st.integers(0, 6000)).filter(lambda depth: bool(depth.any()))


def pose(turn: tuple[float, ...], position: tuple[float, ...]) -> NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    matrix[:3, 3] = position
    return matrix


def to_world(
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    z: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    camera_to_world: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(N, 3) world points of pixels at depths, by the inverse of the intrinsics and the 4×4 pose."""
    rays = np.linalg.inv(intrinsics) @ np.stack([u, v, np.ones_like(u)])
    points = np.concatenate([rays * z, np.ones((1, len(z)))])
    return np.asarray((camera_to_world @ points)[:3].T)


@given(DEPTHS, TURNS, POSITIONS)
def test_the_box_holds_every_measured_point(
    depth: NDArray[np.uint16], turn: tuple[float, ...], position: tuple[float, ...]
) -> None:
    camera_to_world = pose(turn, position)
    box = frustum_box(depth, 1e-3, CAMERA, camera_to_world)
    v, u = np.nonzero(depth)
    z = depth[v, u] * 1e-3
    # Not only the pixel's centre: all of its square.
    for du, dv in product((-0.5, 0.0, 0.5), repeat=2):
        points = to_world(u + du, v + dv, z, CAMERA.matrix, camera_to_world)
        assert (points >= box[0] - 1e-9).all()
        assert (points <= box[1] + 1e-9).all()


@given(DEPTHS, TURNS, POSITIONS)
def test_the_box_is_no_larger_than_the_frustum(
    depth: NDArray[np.uint16], turn: tuple[float, ...], position: tuple[float, ...]
) -> None:
    camera_to_world = pose(turn, position)
    measured = depth[depth > 0] * 1e-3
    corners = product((-0.5, 23.5), (-0.5, 17.5), (measured.min(), measured.max()))
    world = to_world(*np.array(list(corners)).T, CAMERA.matrix, camera_to_world)
    box = frustum_box(depth, 1e-3, CAMERA, camera_to_world)
    assert box.dtype == np.float64
    np.testing.assert_allclose(box, [world.min(axis=0), world.max(axis=0)], rtol=0, atol=1e-9)


def test_the_box_of_a_camera_that_looks_along_z_can_be_told_by_hand() -> None:
    depth = np.zeros((10, 20), np.uint16)
    depth[3, 4], depth[5, 5] = 1000, 2000
    camera = Camera(20, 10, 10.0, 10.0, 9.5, 4.5)
    box = frustum_box(depth, 1e-3, camera, pose((0, 0, 0), (100.0, 0.0, -1.0)))
    np.testing.assert_allclose(box, [[98, -1, 0], [102, 1, 1]], atol=1e-12)


def authors_box(depth: NDArray[np.uint16], camera_to_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """The box of the authors' chunk script: 320x240, their intrinsics, every pixel, whole metres outwards."""
    rows, columns = depth.shape
    taken = depth[[(2 * i + 1) * rows // 480 for i in range(240)]][
        :, [(2 * j + 1) * columns // 640 for j in range(320)]
    ]
    v, u = np.mgrid[0:240, 0:320]
    intrinsics = np.array([[288.9353025, 0, 159.5], [0, 288.9353025, 119.5], [0, 0, 1]])
    z = taken.astype(np.float64).ravel() / 1000
    world = to_world(u.ravel().astype(float), v.ravel().astype(float), z, intrinsics, camera_to_world)
    return np.stack([np.floor(world.min(axis=0)), np.ceil(world.max(axis=0))])


@pytest.mark.parametrize("size", [(480, 640), (240, 320), (120, 160), (968, 1296), (100, 333)])
@pytest.mark.parametrize("holes", [False, True])
def test_the_whole_metre_box_is_the_authors(size: tuple[int, int], holes: bool) -> None:
    random = np.random.default_rng(size[0] + holes)
    for _ in range(5):
        depth = random.integers(400, 6000, size).astype(np.uint16)
        if holes:
            depth[random.random(size) < 0.1] = 0
        camera_to_world = pose(random.uniform(-3, 3, 3), random.uniform(-9, 9, 3))
        # The scan's own calibration is not looked at.
        for camera in (CAMERA, Camera(640, 480, 577.0, 578.0, 319.0, 242.0)):
            box = whole_metre_box(depth, 1e-3, camera, camera_to_world)
            np.testing.assert_array_equal(box, authors_box(depth, camera_to_world))


def test_one_unmeasured_pixel_draws_the_whole_metre_box_to_the_camera() -> None:
    depth = np.full((240, 320), 4000, np.uint16)
    camera_to_world = pose((0, 0, 0), (0.5, 0.5, 0.5))
    assert whole_metre_box(depth, 1e-3, CAMERA, camera_to_world)[0, 2] == 4.0
    depth[100, 100] = 0
    assert whole_metre_box(depth, 1e-3, CAMERA, camera_to_world)[0, 2] == 0.0


@pytest.mark.real_data
def test_the_whole_metre_boxes_of_a_real_room_are_the_authors(shared_data: Path) -> None:
    scene = find_scenes(str(shared_data / "scannet_layout_7scenes"))[0]
    with ScanNetCapture(scene, stride=40) as capture:
        assert len(capture.frames) == 5
        for frame in capture.frames:
            assert frame.depth_camera is not None
            assert frame.depth_to_world is not None
            depth = capture.depth(frame)
            box = whole_metre_box(depth, capture.depth_unit_m, frame.depth_camera, frame.depth_to_world)
            np.testing.assert_array_equal(box, authors_box(depth, frame.depth_to_world))
