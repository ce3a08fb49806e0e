"""Frames around a cell that bits leave open: only their points in subcells that may be reached are tested."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.bit_words import lowest_bit
from pri3d_data.compiled import inline_kernel
from pri3d_data.point_tests import LANES, count_near


@inline_kernel
def settle_by_distance(
    g0: int,
    g1: int,
    points: NDArray[np.float32],
    start: NDArray[np.int32],
    frame_of: NDArray[np.int32],
    subcells: NDArray[np.int64],
    squared: float,
    surely: np.float32,
    possibly: np.float32,
    undecided: NDArray[np.int64],
    sure: NDArray[np.int64],
    recorded: NDArray[np.int32],
    listed: NDArray[np.int32],
    possible: NDArray[np.int64],
    lanes: NDArray[np.float32],
    owner: NDArray[np.int32],
    counts: NDArray[np.int64],
) -> None:
    """Count, for each frame still undecided, the points it surely reaches and those a distance confirms."""
    for w in range(len(undecided)):
        left = undecided[np.uint64(w)]
        while left != 0:
            frame = np.uint64((w << 6) + lowest_bit(left))
            left &= left - 1
            reached = sure[frame]
            listing = 0
            reachable = np.int64(0)
            for k in range(recorded[frame]):
                more = possible[frame, np.uint64(k)] & ~reached
                reachable |= more
                listed[frame, np.uint64(listing)] = listed[frame, np.uint64(k)]
                listing += more != 0
            sure[frame] = 0
            recorded[frame] = 0
            waiting = 0
            for g in range(g0, g1):
                group = np.uint64(g)
                mine = frame_of[group]
                inside = subcells[group]
                first, last = start[group], start[np.uint64(g + 1)]
                if inside & ~reached == 0:
                    counts[np.uint64(mine), frame] += last - first
                    continue
                if inside & (reached | reachable) == 0:
                    continue
                near = np.int64(0)
                for j in range(first, last):
                    i = np.uint64(j)
                    subcell = np.int64(points[i, 3]) & 63
                    near += reached >> subcell & 1
                    lanes[np.uint64(waiting)] = points[i, 0]
                    lanes[np.uint64(16 + waiting)] = points[i, 1]
                    lanes[np.uint64(32 + waiting)] = points[i, 2]
                    owner[np.uint64(waiting)] = mine
                    waiting += int(reachable >> subcell & 1)
                    if waiting == LANES:
                        count_near(
                            lanes,
                            owner,
                            waiting,
                            points,
                            start,
                            listed,
                            listing,
                            squared,
                            surely,
                            possibly,
                            frame,
                            counts,
                        )
                        waiting = 0
                counts[np.uint64(mine), frame] += near
            if waiting > 0:
                count_near(
                    lanes,
                    owner,
                    waiting,
                    points,
                    start,
                    listed,
                    listing,
                    squared,
                    surely,
                    possibly,
                    frame,
                    counts,
                )
