import numpy as np
import pytest

from pri3d_data.errors import UsageError
from pri3d_data.synth.distance import distance_to_surface, nearest_surface
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.mesh import room_mesh
from pri3d_data.synth.path import hand_held_path
from pri3d_data.synth.raycast import render

SPACING_M = 0.08


@pytest.mark.parametrize("seed", range(3))
def test_vertices_lie_on_the_surface_and_faces_look_into_the_room(seed):
    room = make_room(seed)
    mesh = room_mesh(room, SPACING_M)
    assert np.abs(distance_to_surface(room, mesh.vertices_world)).max() < 1e-9
    corners = mesh.vertices_world[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(normals, axis=1) / 2
    real = areas > 1e-9
    # A corner moved along its face's normal must leave matter; one of a face turned round would enter it.
    moved = corners[real] + 1e-3 * (normals[real] / (2 * areas[real, None]))[:, None]
    assert distance_to_surface(room, moved.reshape(-1, 3)).min() > -5e-4
    edges = np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    assert edges.max() <= 1.5 * SPACING_M
    assert len(np.unique(mesh.faces)) == len(mesh.vertices_world)


def test_mesh_covers_what_a_camera_sees_in_the_same_colour():
    from scipy.spatial import cKDTree

    room = make_room(1)
    mesh = room_mesh(room, 0.03)
    camera, pose = np.array([70.0, 70.0, 40.0, 30.0]), hand_held_path(room, 1, 1)[0]
    image = render(room.arrays, camera, 81, 61, pose)
    v, u = np.mgrid[:61, :81]
    rays = np.stack([(u - 40) / 70, (v - 30) / 70, np.ones(u.shape)], axis=-1) * image.depth_m[..., None]
    points = rays.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
    distance, vertex = cKDTree(mesh.vertices_world).query(points)
    assert np.quantile(distance, 0.95) < 0.03
    difference = np.abs(mesh.colors[vertex].astype(int) - image.rgb.reshape(-1, 3)).max(axis=1)
    assert np.median(difference) < 25
    assert (mesh.instance[vertex] == image.instance.ravel()).mean() > 0.95


def test_labels_of_vertices_are_those_of_the_nearest_solid():
    room = make_room(2)
    mesh = room_mesh(room, SPACING_M)
    _, surface = nearest_surface(room, mesh.vertices_world)
    assert (room.arrays.semantic[surface] == mesh.semantic).mean() > 0.95


def test_spacing_must_be_positive():
    with pytest.raises(UsageError, match="positive distance"):
        room_mesh(make_room(0), 0.0)
