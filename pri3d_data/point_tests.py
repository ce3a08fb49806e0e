"""Distances between a few points and one frame's groups: the last resort of exact counting.

Sixteen points are tested at a time against every point of the groups, in float32, whose error is bounded:
only a distance within a millionth of the radius needs float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel

LANES = 16
# A float32 squared distance is off by less than 4e-7 of itself: the roundings of difference, square and sums,
# and that of the bound.
_MARGIN = 1e-6


class Radius(NamedTuple):
    """A radius, squared, in square metres.

    Attributes:
        squared: float64; what is not above it counts.
        surely: float32; a float32 squared distance not above it is within.
        possibly: float32; one above it is beyond.
    """

    squared: float
    surely: np.float32
    possibly: np.float32


def squared_radius(radius_m: float) -> Radius:
    """The bounds of a radius. Beyond float32's range nothing is sure before float64 has looked."""
    squared = float(radius_m) * float(radius_m)
    if not 1e-30 < squared < 1e30:
        return Radius(squared, np.float32(-1), np.float32(np.inf))
    return Radius(squared, np.float32(squared * (1 - _MARGIN)), np.float32(squared * (1 + _MARGIN)))


@inline_kernel
def count_near(
    lanes: NDArray[np.float32],
    owner: NDArray[np.int32],
    count: int,
    points: NDArray[np.float32],
    start: NDArray[np.int32],
    listed: NDArray[np.int32],
    groups_listed: int,
    squared: float,
    surely: np.float32,
    possibly: np.float32,
    frame: np.uint64,
    counts: NDArray[np.int64],
) -> None:
    """Add to ``counts[owner, frame]`` the points that a listed group has a point near.

    Whole arrays come in, no views of them: a view counts a reference, atomically, which takes longer than
    some distances.

    Args:
        lanes: (64,) float32 metres: x of up to sixteen points, then y, then z, then room for the
            smallest squared distances.
        owner: (16,) int32 frames the points are of.
        count: how many points there are.
        points, start: the groups' (see `cell_groups.Groups`).
        listed: (F, L) int32; the groups to test are the first ``groups_listed`` of row ``frame``.
        squared, surely, possibly: see `Radius`.
        frame: the groups'.
        counts: (F, F) int64.
    """
    for lane in range(LANES):
        lanes[np.uint64(48 + lane)] = np.float32(np.inf) if lane < count else np.float32(-1)
    missing = np.int64(1)
    for n in range(groups_listed):
        group = listed[frame, np.uint64(n)]
        i = np.int64(start[np.uint64(group)])
        last = np.int64(start[np.uint64(group + 1)]) - 1
        while i <= last:
            # Four points a turn, the last again where there are fewer: the smallest distance is the same.
            i0, i1 = np.uint64(i), np.uint64(min(i + 1, last))
            i2, i3 = np.uint64(min(i + 2, last)), np.uint64(min(i + 3, last))
            x0, y0, z0 = points[i0, 0], points[i0, 1], points[i0, 2]
            x1, y1, z1 = points[i1, 0], points[i1, 1], points[i1, 2]
            x2, y2, z2 = points[i2, 0], points[i2, 1], points[i2, 2]
            x3, y3, z3 = points[i3, 0], points[i3, 1], points[i3, 2]
            missing = np.int64(0)
            for lane in range(LANES):
                x, y, z = lanes[np.uint64(lane)], lanes[np.uint64(16 + lane)], lanes[np.uint64(32 + lane)]
                dx0, dy0, dz0 = x - x0, y - y0, z - z0
                dx1, dy1, dz1 = x - x1, y - y1, z - z1
                dx2, dy2, dz2 = x - x2, y - y2, z - z2
                dx3, dy3, dz3 = x - x3, y - y3, z - z3
                d0 = dx0 * dx0 + dy0 * dy0 + dz0 * dz0
                d1 = dx1 * dx1 + dy1 * dy1 + dz1 * dz1
                d2 = dx2 * dx2 + dy2 * dy2 + dz2 * dz2
                d3 = dx3 * dx3 + dy3 * dy3 + dz3 * dz3
                d0 = d0 if d0 < d1 else d1
                d2 = d2 if d2 < d3 else d3
                d0 = d0 if d0 < d2 else d2
                best = lanes[np.uint64(48 + lane)]
                best = d0 if d0 < best else best
                lanes[np.uint64(48 + lane)] = best
                missing |= np.int64(best > surely)
            i += 4
        if missing == 0:
            break
    doubtful = np.int64(0)
    for lane in range(count):
        best = lanes[np.uint64(48 + lane)]
        counts[np.uint64(owner[np.uint64(lane)]), np.uint64(frame)] += best <= surely
        doubtful |= np.int64(best > surely) & np.int64(best <= possibly)
    if doubtful:
        for lane in range(count):
            if surely < lanes[48 + lane] <= possibly:
                x, y, z = np.float64(lanes[lane]), np.float64(lanes[16 + lane]), np.float64(lanes[32 + lane])
                near = 0
                for n in range(groups_listed):
                    group = listed[frame, n]
                    for j in range(start[group], start[group + 1]):
                        dx, dy, dz = x - points[j, 0], y - points[j, 1], z - points[j, 2]
                        near |= dx * dx + dy * dy + dz * dz <= squared
                counts[owner[lane], frame] += near
