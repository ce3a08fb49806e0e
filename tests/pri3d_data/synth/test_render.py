import numpy as np
import pytest

from pri3d_data.synth.distance import distance_to_surface, nearest_surface
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.path import hand_held_path
from pri3d_data.synth.raycast import render, trace

WIDTH, HEIGHT = 161, 119
CAMERA = np.array([140.0, 141.0, 81.3, 58.2])


def back_projected(depth_m, camera_to_world):
    v, u = np.mgrid[: depth_m.shape[0], : depth_m.shape[1]]
    rays = np.stack(
        [(u - CAMERA[2]) / CAMERA[0], (v - CAMERA[3]) / CAMERA[1], np.ones_like(depth_m)], axis=-1
    )
    return (rays * depth_m[..., None]) @ camera_to_world[:3, :3].T + camera_to_world[:3, 3]


def views(seed, frames, stride=40):
    room = make_room(seed)
    poses = hand_held_path(room, seed, frames, stride).astype(np.float32).astype(np.float64)
    return room, poses, [render(room.arrays, CAMERA, WIDTH, HEIGHT, pose) for pose in poses]


@pytest.mark.parametrize("seed", range(5))
def test_depth_lands_on_the_true_surface_with_nothing_in_front(seed):
    room, poses, images = views(seed, 4)
    rng = np.random.default_rng(seed)
    for pose, image in zip(poses, images, strict=True):
        points = back_projected(image.depth_m, pose).reshape(-1, 3)
        assert np.abs(distance_to_surface(room, points)).max() < 1e-9
        # The way from the camera to a hit is free: hits behind the first surface would pass the check above.
        along = rng.uniform(0.0, 1.0 - 1e-6, (len(points), 1))
        assert distance_to_surface(room, pose[:3, 3] + along * (points - pose[:3, 3])).min() > -1e-9


@pytest.mark.parametrize("seed", range(3))
def test_labels_are_those_of_the_nearest_solid(seed):
    room, poses, images = views(seed, 4)
    seen = set()
    for pose, image in zip(poses, images, strict=True):
        points = back_projected(image.depth_m, pose).reshape(-1, 3)
        _, surface = nearest_surface(room, points)
        # At an edge where two things meet, either is nearest.
        agree = (room.arrays.semantic[surface] == image.semantic.ravel()).mean()
        same_thing = (room.arrays.instance[surface] == image.instance.ravel()).mean()
        assert agree > 0.995
        assert same_thing > 0.995
        seen |= set(np.unique(image.semantic).tolist())
    assert {1, 3} < seen
    assert len(seen) >= 5


def test_culling_by_tiles_loses_nothing():
    room, poses, images = views(1, 2)
    for pose, image in zip(poses, images, strict=True):
        for left, top in ((0, 0), (37, 21), (150, 110)):
            # One pixel alone is a tile of its own with other candidates.
            camera = CAMERA - np.array([0, 0, left, top])
            alone = trace(room.arrays, camera, 1, 1, pose)[0]
            assert alone[0, 0] == pytest.approx(image.depth_m[top, left], abs=1e-12)


def test_a_point_has_the_same_colour_in_two_views():
    _, poses, images = views(2, 6, stride=8)
    first, second = images[0], images[2]
    points = back_projected(first.depth_m, poses[0]).reshape(-1, 3)
    to_second = np.linalg.inv(poses[2])
    local = points @ to_second[:3, :3].T + to_second[:3, 3]
    u = np.rint(local[:, 0] / local[:, 2] * CAMERA[0] + CAMERA[2]).astype(int)
    v = np.rint(local[:, 1] / local[:, 2] * CAMERA[1] + CAMERA[3]).astype(int)
    inside = (local[:, 2] > 0.1) & (u >= 0) & (v >= 0) & (u < WIDTH) & (v < HEIGHT)
    u, v, local = u[inside], v[inside], local[inside]
    seen = np.abs(second.depth_m[v, u] - local[:, 2]) < 0.01
    assert seen.mean() > 0.5
    mine = first.rgb.reshape(-1, 3)[inside][seen].astype(int)
    other = second.rgb[v[seen], u[seen]].astype(int)
    difference = np.abs(mine - other).max(axis=1)
    # Nearest pixels are up to half a pixel apart, so fine texture and edges differ a little.
    assert np.median(difference) < 15
    shuffled = np.abs(mine - np.random.default_rng(0).permutation(other)).max(axis=1)
    assert np.median(shuffled) > 2 * np.median(difference)


def test_patches_are_distinctive():
    _, _, images = views(4, 3)
    for image in images:
        gray = image.rgb.mean(axis=2)
        tiles = gray[:112, :160].reshape(14, 8, 20, 8).std(axis=(1, 3))
        assert np.quantile(tiles, 0.1) > 2.0
