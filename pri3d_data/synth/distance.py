"""The truth about a room's surface, written apart from the raycaster so that each can convict the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.synth.room import CYLINDER, SHELL_FACES, SPHERE, Room

_SLACK_M2 = 1e-6


def distance_to_surface(room: Room, points_world: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance to the nearest surface: positive in free space, negative inside walls and furniture.

    Exact in free space. Inside matter its size is a lower bound, since faces hidden where two solids touch
    count as surface.

    Args:
        room: the room.
        points_world: (N, 3) float64, metres.

    Returns:
        (N,) float64, metres.
    """
    return nearest_surface(room, points_world)[0]


def nearest_surface(
    room: Room, points_world: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Signed distance as of `distance_to_surface`, and the number of the nearest surface (see `RoomArrays`).

    Returns:
        (N,) float64 metres, (N,) int64.
    """
    arrays = room.arrays
    points = np.asarray(points_world, dtype=np.float64)
    local = _local(room, points, 0)
    depth_behind = np.abs(local) - arrays.half_m[0]
    axis = depth_behind.argmax(axis=1)
    outside = np.linalg.norm(np.maximum(depth_behind, 0.0), axis=1)
    deepest = depth_behind[np.arange(len(points)), axis]
    best = np.where(deepest > 0.0, -outside, -deepest)
    side = local[np.arange(len(points)), axis] > 0.0
    surface = 2 * axis + side
    lengths = np.einsum("nk,nk->n", points, points)
    for solid in range(1, len(arrays.shape)):
        # A solid cannot be nearer than the sphere around it; multiplied out, that costs one pass a solid.
        center = arrays.center_world[solid]
        reach = best + arrays.bound_m[solid]
        squared = lengths - points @ (2.0 * center) + center @ center
        near = np.flatnonzero((squared < reach * reach + _SLACK_M2) & (reach > 0.0))
        distance = _solid_distance(room, points[near], solid)
        closer = distance < best[near]
        best[near[closer]] = distance[closer]
        surface[near[closer]] = solid + SHELL_FACES - 1
    return best, surface


def _local(room: Room, points_world: NDArray[np.float64], solid: int) -> NDArray[np.float64]:
    c, s = room.arrays.turn[solid]
    local_to_world = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    moved: NDArray[np.float64] = (points_world - room.arrays.center_world[solid]) @ local_to_world
    return moved


def _solid_distance(room: Room, points_world: NDArray[np.float64], solid: int) -> NDArray[np.float64]:
    shape, half = int(room.arrays.shape[solid]), room.arrays.half_m[solid]
    local = _local(room, points_world, solid)
    if shape == SPHERE:
        distance: NDArray[np.float64] = np.linalg.norm(local, axis=1) - half[0]
        return distance
    if shape == CYLINDER:
        beyond = np.stack(
            [np.hypot(local[:, 0], local[:, 1]) - half[0], np.abs(local[:, 2]) - half[2]], axis=1
        )
    else:
        beyond = np.abs(local) - half
    outside = np.linalg.norm(np.maximum(beyond, 0.0), axis=1)
    signed: NDArray[np.float64] = outside + np.minimum(beyond.max(axis=1), 0.0)
    return signed
