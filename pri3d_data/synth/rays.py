"""What single rays of a camera hit: for lenses that are no pinhole, and whether a point is in view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel
from pri3d_data.synth.raycast import first_surface, seen_from_solids
from pri3d_data.synth.room import RoomArrays

_MARGIN = 1.0 + 1e-9


@kernel
def trace_rays(
    room: RoomArrays, rays: NDArray[np.float64], camera_to_world: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint16], NDArray[np.uint8]]:
    """First surface on each ray.

    Args:
        room: the room.
        rays: (N, 2) float64, where each ray meets the camera's plane z = 1.
        camera_to_world: (4, 4) float64, OpenCV axes, metres.

    Returns:
        depth_m (N,) float64 along the camera's z axis, points_world (N, 3) float64, surface (N,) uint16 and
        face (N,) uint8 numbers as of `room.RoomArrays`.
    """
    count = rays.shape[0]
    depth, points = np.empty(count), np.empty((count, 3))
    surface, faces = np.empty(count, np.uint16), np.empty(count, np.uint8)
    turn = np.ascontiguousarray(camera_to_world[:3, :3])
    origin = np.ascontiguousarray(camera_to_world[:3, 3])
    local = seen_from_solids(room, origin)
    to_solid = room.center_world - origin
    candidates = np.empty(room.shape.shape[0], np.int64)
    for i in range(count):
        x, y = rays[i, 0], rays[i, 1]
        wx = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2]
        wy = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2]
        wz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2]
        found = 0
        for solid in range(1, room.shape.shape[0]):
            # Only solids whose bounding sphere the ray's line meets.
            ax, ay, az = to_solid[solid, 0], to_solid[solid, 1], to_solid[solid, 2]
            along = ax * wx + ay * wy + az * wz
            apart = ax * ax + ay * ay + az * az - along * along / (wx * wx + wy * wy + wz * wz)
            if apart <= room.bound_m[solid] ** 2 * _MARGIN:
                candidates[found] = solid
                found += 1
        best, row, face = first_surface(room, local, candidates, found, wx, wy, wz)
        depth[i], surface[i], faces[i] = best, row, face
        points[i, 0] = origin[0] + best * wx
        points[i, 1] = origin[1] + best * wy
        points[i, 2] = origin[2] + best * wz
    return depth, points, surface, faces
