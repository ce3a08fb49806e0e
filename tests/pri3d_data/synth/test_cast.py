import numpy as np
import pytest

from pri3d_data.synth.cast import cast, in_view
from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.path import hand_held_path
from pri3d_data.synth.raycast import trace


@pytest.mark.parametrize("seed", range(3))
def test_rays_of_any_direction_end_on_the_true_surface_with_nothing_in_front(seed):
    room = make_room(seed)
    rng = np.random.default_rng(seed)
    origin = np.ascontiguousarray(hand_held_path(room, seed, 1)[0, :3, 3])
    rays = rng.normal(size=(4000, 3)) * rng.uniform(0.01, 50.0, (4000, 1))
    distance, _, _ = cast(room.arrays, origin, rays)
    assert np.abs(distance_to_surface(room, origin + distance[:, None] * rays)).max() < 1e-9
    along = rng.uniform(0.0, 1.0 - 1e-6, (4000, 1))
    assert distance_to_surface(room, origin + along * distance[:, None] * rays).min() > -1e-9


def test_a_cameras_rays_meet_what_its_image_shows():
    room = make_room(2)
    pose = hand_held_path(room, 2, 1)[0]
    camera = np.array([70.0, 71.0, 39.6, 30.2])
    depth, _, surface, face = trace(room.arrays, camera, 80, 60, pose)
    v, u = np.mgrid[:60, :80]
    rays = np.stack([(u - camera[2]) / camera[0], (v - camera[3]) / camera[1], np.ones(u.shape)], axis=-1)
    world = np.ascontiguousarray(rays.reshape(-1, 3) @ pose[:3, :3].T)
    distance, hit, side = cast(room.arrays, np.ascontiguousarray(pose[:3, 3]), world)
    np.testing.assert_allclose(distance, depth.ravel(), rtol=1e-12)
    np.testing.assert_array_equal(hit, surface.ravel())
    np.testing.assert_array_equal(side, face.ravel())


def test_a_point_is_in_view_where_the_way_to_it_is_free():
    room = make_room(5)
    rng = np.random.default_rng(5)
    eye, other = hand_held_path(room, 5, 60, 9)[[0, 59], :3, 3]
    rays = rng.normal(size=(3000, 3))
    distance, _, _ = cast(room.arrays, np.ascontiguousarray(other), rays)
    points = other + distance[:, None] * rays
    steps = np.linspace(0.0, 1.0, 400, endpoint=False)[:, None, None]
    way = eye + steps * (points - eye)
    depth_m = distance_to_surface(room, way.reshape(-1, 3)).reshape(400, -1)
    # Between samples a ray may pass a corner: points are judged where the way is clearly free or blocked.
    length = np.linalg.norm(points - eye, axis=1)
    nearest_m = np.where((1.0 - steps[:, :, 0]) * length < 0.2, 1.0, depth_m).min(axis=0)
    free, blocked = nearest_m > 0.01, nearest_m < -0.002
    seen = in_view(room.arrays, eye, points)
    assert seen[free].mean() > 0.99
    assert not seen[blocked].any()
    assert free.sum() > 500
    assert blocked.sum() > 50
