"""A room's visible surface as a coloured triangle mesh, as a reconstruction of it would be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.errors import UsageError
from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.patches import Patch, solid_patches
from pri3d_data.synth.room import SHELL, SHELL_FACES, Room
from pri3d_data.synth.texture import surface_colors

_LIFT_M = 1e-3
_TOUCH_M = 1e-7


class RoomMesh(NamedTuple):
    """A triangle mesh.

    Attributes:
        vertices_world: (N, 3) float64, metres, on the true surface.
        colors: (N, 3) uint8 RGB. semantic, instance: (N,) uint16 labels of the vertices.
        faces: (M, 3) int32, counter-clockwise seen from free space.
    """

    vertices_world: NDArray[np.float64]
    colors: NDArray[np.uint8]
    semantic: NDArray[np.uint16]
    instance: NDArray[np.uint16]
    faces: NDArray[np.int32]


def room_mesh(room: Room, spacing_m: float = 0.02) -> RoomMesh:
    """Mesh what can be seen of a room: no underside that stands on something, no inside of anything.

    Args:
        room: the room.
        spacing_m: largest distance of neighbouring vertices of a triangle along its short sides, metres.

    Raises:
        UsageError: the spacing is not positive.
    """
    if not spacing_m > 0.0:
        raise UsageError(f"mesh spacing: {spacing_m} m given. Give a positive distance, such as 0.02.")
    arrays = room.arrays
    points, lifted, surfaces, sides, faces = [], [], [], [], []
    count = 0
    for solid, shape in enumerate(arrays.shape.tolist()):
        c, s = arrays.turn[solid]
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        for patch in solid_patches(shape, arrays.half_m[solid], spacing_m):
            outward = patch._replace(normals=-patch.normals) if shape == SHELL else patch
            world = (outward.points_m.reshape(-1, 3) @ turn.T) + arrays.center_world[solid]
            points.append(world)
            lifted.append(world + _LIFT_M * (outward.normals.reshape(-1, 3) @ turn.T))
            surface = patch.face if shape == SHELL else solid + SHELL_FACES - 1
            surfaces.append(np.full(len(world), surface, dtype=np.uint16))
            sides.append(np.full(len(world), patch.face, dtype=np.uint8))
            faces.append(_triangles(outward) + count)
            count += len(world)
    # A vertex shows if there is free space just in front of it.
    shows = distance_to_surface(room, np.concatenate(lifted)) > -_TOUCH_M
    triangles = np.concatenate(faces)
    triangles = triangles[shows[triangles].all(axis=1)]
    used = np.zeros(count, dtype=np.bool_)
    used[triangles] = True
    renumbered = np.cumsum(used, dtype=np.int32) - np.int32(1)
    vertices, surface_of = np.concatenate(points)[used], np.concatenate(surfaces)[used]
    colors = surface_colors(arrays, vertices, surface_of, np.concatenate(sides)[used])
    return RoomMesh(
        vertices, colors, arrays.semantic[surface_of], arrays.instance[surface_of], renumbered[triangles]
    )


def _triangles(patch: Patch) -> NDArray[np.int32]:
    rows, columns = patch.points_m.shape[:2]
    corner = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    halves = np.stack([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)], axis=2)
    triangles = halves.reshape(-1, 3)
    flat, normals = patch.points_m.reshape(-1, 3), patch.normals.reshape(-1, 3)
    # The middle one: at the rim of a bent square triangles may have no area to tell a side by.
    first = triangles[len(triangles) // 2]
    facing = np.cross(flat[first[1]] - flat[first[0]], flat[first[2]] - flat[first[0]]) @ normals[first].mean(
        axis=0
    )
    return triangles if facing > 0.0 else triangles[:, ::-1]
