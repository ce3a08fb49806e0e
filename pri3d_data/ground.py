"""Which measured pixels of a driving camera's depth image are the ground.

Ground looks the same from every place on it: a scanner's rows lie on the road in rings that move with the
car, so two frames agree about it under any pose. Whoever judges poses or overlap has to leave it out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel

SECTORS = 64
RING_M = 1.0
RINGS = 120
# How far the ground may rise or fall from where it was last seen: a kerb and noise, and what a road climbs.
# Where things hide it that must not grow far, or the ground would go on along their sides.
_STEP_M, _SLOPE, _MOST_M, _FIRST_M = 0.15, 0.08, 0.4, 1.0


@kernel
def ground_mask(
    depth: NDArray[np.uint16],
    depth_unit_m: float,
    camera: NDArray[np.float64],
    camera_height_m: float,
    thickness_m: float,
) -> NDArray[np.bool_]:
    """Measured pixels that lie on the ground.

    The view is cut into sectors of columns and each sector into rings of distance. From the car outwards a
    ring's lowest point is ground if a road could get there from the ground last seen in the sector; points
    little higher than it are ground as well. So the road may climb, fall and carry kerbs.

    Args:
        depth: (H, W) uint16, 0 where nothing was measured.
        depth_unit_m: metres a step of ``depth`` stands for.
        camera: (4,) float64 fx, fy, cx, cy; the camera stands upright, its y axis pointing down.
        camera_height_m: of the camera above the ground it stands on.
        thickness_m: what is no higher than this above the lowest point of its ring is ground too.

    Returns:
        (H, W) bool, False where nothing was measured.
    """
    height, width = depth.shape
    lowest = np.full((SECTORS, RINGS), -np.inf)
    for v in range(height):
        for u in range(width):
            if depth[v, u] != 0:
                z = depth[v, u] * depth_unit_m
                ring = int(z / RING_M)
                if ring < RINGS:
                    y = (v - camera[3]) / camera[1] * z
                    sector = u * SECTORS // width
                    lowest[sector, ring] = max(lowest[sector, ring], y)
    level = np.full((SECTORS, RINGS), np.nan)
    for sector in range(SECTORS):
        known, at = camera_height_m, 0
        for ring in range(RINGS):
            here = lowest[sector, ring]
            most = _MOST_M if at > 0 else _FIRST_M
            if abs(here - known) <= min(most, _STEP_M + _SLOPE * RING_M * (ring - at)):
                known, at = here, ring
                level[sector, ring] = here
            else:
                level[sector, ring] = known
    mask = np.zeros((height, width), dtype=np.bool_)
    for v in range(height):
        for u in range(width):
            if depth[v, u] != 0:
                z = depth[v, u] * depth_unit_m
                ring = min(int(z / RING_M), RINGS - 1)
                y = (v - camera[3]) / camera[1] * z
                mask[v, u] = y >= level[u * SECTORS // width, ring] - thickness_m
    return mask
