"""Distances between a few points and one frame's groups: the last resort of exact counting.

Sixteen points are tested at a time against every point of the groups, in float32, whose error is bounded: only a
distance within a millionth of the radius needs float64.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.cell_sorting import Groups
from pri3d_data.compiled import inline_kernel

LANES = 16
# A float32 squared distance is off by less than 4e-7 of itself: three roundings of the difference's square and
# sum, and that of the bound.
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


class Waiting(NamedTuple):
    """Up to sixteen points that wait to be tested.

    Attributes:
        lanes: (64,) float32 metres: sixteen x, sixteen y, sixteen z, and room for the smallest squared distances.
        owner: (16,) int32 frames the points are of.
    """

    lanes: NDArray[np.float32]
    owner: NDArray[np.int32]


@inline_kernel
def count_near(
    waiting: Waiting,
    count: int,
    groups: Groups,
    listed: NDArray[np.int32],
    groups_listed: int,
    radius: Radius,
    frame: int,
    counts: NDArray[np.int64],
) -> None:
    """Add to ``counts[owner, frame]`` the first ``count`` waiting points that a listed group has a point near."""
    lanes, owner = waiting.lanes, waiting.owner
    points, start = groups.points, groups.start
    surely = radius.surely
    for lane in range(LANES):
        lanes[np.uint64(48 + lane)] = np.float32(np.inf) if lane < count else np.float32(-1)
    missing = np.int64(1)
    for n in range(groups_listed):
        group = listed[np.uint64(n)]
        i = np.int64(start[np.uint64(group)])
        last = np.int64(start[np.uint64(group + 1)]) - 1
        while i <= last:
            # Four points a turn, the last ones again where there are fewer: the smallest distance is the same.
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
        doubtful |= np.int64(best > surely) & np.int64(best <= radius.possibly)
    if doubtful:
        for lane in range(count):
            if surely < lanes[48 + lane] <= radius.possibly:
                counts[owner[lane], frame] += _near_exactly(
                    lanes[lane], lanes[16 + lane], lanes[32 + lane], groups, listed[:groups_listed], radius.squared
                )


@inline_kernel
def _near_exactly(
    x: np.float32, y: np.float32, z: np.float32, groups: Groups, listed: NDArray[np.int32], squared: float
) -> int:
    for group in listed:
        for i in range(groups.start[group], groups.start[group + 1]):
            dx = np.float64(x) - np.float64(groups.points[i, 0])
            dy = np.float64(y) - np.float64(groups.points[i, 1])
            dz = np.float64(z) - np.float64(groups.points[i, 2])
            if dx * dx + dy * dy + dz * dz <= squared:
                return 1
    return 0
