"""First surface on rays of any direction: what a laser meets, and whether a point is in view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel
from pri3d_data.synth.raycast import first_surface, seen_from_solids
from pri3d_data.synth.room import RoomArrays

_MARGIN = 1.0 + 1e-9


@kernel
def cast(
    room: RoomArrays, origin_world: NDArray[np.float64], directions_world: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.uint16], NDArray[np.uint8]]:
    """What rays from a place in free space meet first.

    Args:
        room: the room.
        origin_world: (3,) float64, metres.
        directions_world: (N, 3) float64, of any length but zero.

    Returns:
        (N,) float64 distance in lengths of the ray's direction, (N,) uint16 surface and (N,) uint8 face
        numbers as of `room.RoomArrays`.
    """
    rays, solids = directions_world.shape[0], room.shape.shape[0]
    distance = np.empty(rays)
    surface, faces = np.empty(rays, np.uint16), np.empty(rays, np.uint8)
    local = seen_from_solids(room, origin_world)
    to_solid = room.center_world - origin_world
    candidates = np.empty(solids, np.int64)
    for i in range(rays):
        wx, wy, wz = directions_world[i, 0], directions_world[i, 1], directions_world[i, 2]
        squared = wx * wx + wy * wy + wz * wz
        found = 0
        for solid in range(1, solids):
            # Only solids whose bounding sphere the ray's line meets.
            ax, ay, az = to_solid[solid, 0], to_solid[solid, 1], to_solid[solid, 2]
            along = ax * wx + ay * wy + az * wz
            if ax * ax + ay * ay + az * az - along * along / squared <= room.bound_m[solid] ** 2 * _MARGIN:
                candidates[found] = solid
                found += 1
        distance[i], surface[i], faces[i] = first_surface(room, local, candidates, found, wx, wy, wz)
    return distance, surface, faces


def in_view(
    room: RoomArrays, eye_world: NDArray[np.float64], points_world: NDArray[np.float64], slack_m: float = 0.02
) -> NDArray[np.bool_]:
    """Whether nothing stands between an eye and points on surfaces.

    Args:
        room: the room.
        eye_world: (3,) float64, metres, in free space. points_world: (N, 3) float64.
        slack_m: how far behind a surface a point may lie and still be on it.

    Returns:
        (N,) bool.
    """
    way = np.ascontiguousarray(points_world - eye_world)
    length = np.linalg.norm(way, axis=1)
    share, _, _ = cast(room, np.ascontiguousarray(eye_world), way)
    return np.asarray(share * length > length - slack_m)
