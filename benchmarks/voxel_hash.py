"""What one would write with numba in an afternoon: a hash of one frame's voxels, asked point by point.

Cells have the radius for a side, so a query looks at 27 of them and stops at the first point within reach.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel


@kernel
def build_table(
    points: NDArray[np.float32], radius_m: float
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Points sorted by hashed cell: where each bucket starts, (B + 1,), and the points."""
    buckets = 1
    while buckets < 2 * len(points):
        buckets *= 2
    bucket = np.empty(len(points), dtype=np.int64)
    starts = np.zeros(buckets + 1, dtype=np.int64)
    for i in range(len(points)):
        bucket[i] = _bucket(
            np.floor(points[i, 0] / radius_m),
            np.floor(points[i, 1] / radius_m),
            np.floor(points[i, 2] / radius_m),
            buckets,
        )
        starts[bucket[i] + 1] += 1
    for b in range(buckets):
        starts[b + 1] += starts[b]
    at = starts[:-1].copy()
    order = np.empty(len(points), dtype=np.int32)
    for i in range(len(points)):
        order[at[bucket[i]]] = i
        at[bucket[i]] += 1
    return starts, order, points[order]


@kernel
def count_within(
    starts: NDArray[np.int64], points: NDArray[np.float32], queries: NDArray[np.float32], radius_m: float
) -> int:
    """How many queries have a point within the radius."""
    buckets = len(starts) - 1
    count = 0
    for i in range(len(queries)):
        x, y, z = np.float64(queries[i, 0]), np.float64(queries[i, 1]), np.float64(queries[i, 2])
        cx, cy, cz = np.floor(x / radius_m), np.floor(y / radius_m), np.floor(z / radius_m)
        near = False
        for k in range(27):
            # The query's own cell first.
            n = (k + 13) % 27
            b = _bucket(cx + n // 9 - 1, cy + n // 3 % 3 - 1, cz + n % 3 - 1, buckets)
            for j in range(starts[b], starts[b + 1]):
                dx, dy, dz = x - points[j, 0], y - points[j, 1], z - points[j, 2]
                if dx * dx + dy * dy + dz * dz <= radius_m * radius_m:
                    near = True
                    break
            if near:
                break
        count += near
    return count


@kernel
def _bucket(x: float, y: float, z: float, buckets: int) -> int:
    mixed = (np.int64(x) * 73856093) ^ (np.int64(y) * 19349663) ^ (np.int64(z) * 83492791)
    return mixed & (buckets - 1)
