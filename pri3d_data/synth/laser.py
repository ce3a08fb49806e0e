"""What a spinning 64-beam laser scanner on a street measures: exact distances, in the scanner's own frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.synth.cast import cast
from pri3d_data.synth.room import RoomArrays
from pri3d_data.synth.street import SKY_SURFACES
from pri3d_data.synth.texture import surface_colors

FARTHEST_M = 80.0


def beam_elevations_rad() -> NDArray[np.float64]:
    """(64,) float64: 32 beams a third of a degree apart from +2°, then 32 half a degree apart to -24.3°."""
    upper = 2.0 - np.arange(32) / 3.0
    lower = -8.83 - np.arange(32) / 2.0
    return np.concatenate([upper, lower]) * (np.pi / 180.0)


def scan_street(
    street: RoomArrays, lidar_to_world: NDArray[np.float64], azimuths: int
) -> NDArray[np.float32]:
    """One turn of the scanner, taken in an instant.

    Args:
        street: of `street.make_street`.
        lidar_to_world: (4, 4) float64; the scanner's axes are x forward, y left, z up.
        azimuths: measurements a turn and beam; a real one has some 2000.

    Returns:
        (N, 4) float32: x y z in metres in the scanner's frame and reflectance in [0, 1], beam after beam;
        rays that meet nothing within 80 m give no point.
    """
    around = 2.0 * np.pi * np.arange(azimuths) / azimuths
    up, turn = np.meshgrid(beam_elevations_rad(), around, indexing="ij")
    rays = np.stack([np.cos(up) * np.cos(turn), -np.cos(up) * np.sin(turn), np.sin(up)], axis=-1).reshape(
        -1, 3
    )
    origin = np.ascontiguousarray(lidar_to_world[:3, 3])
    rays_world = np.ascontiguousarray(rays @ lidar_to_world[:3, :3].T)
    distance, surface, face = cast(street, origin, rays_world)
    back = (distance < FARTHEST_M) & ~np.isin(surface, SKY_SURFACES)
    points = rays[back] * distance[back, None]
    points_world = origin + rays_world[back] * distance[back, None]
    colors = surface_colors(street, points_world, surface[back], face[back])
    return np.column_stack([points, colors.mean(axis=1) / 255.0]).astype(np.float32)
