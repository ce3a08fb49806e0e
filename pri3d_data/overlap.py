"""How much two frames see of the same surface: exact point counts for all pairs of a scene at once.

The paper (section 3.1) calls a pair overlapping where at least 30 % of the two frames' points have a point of
the other frame within 2 cm. Asking a KD-tree for every ordered pair costs weeks on ScanNet. Here all points
of all frames are sorted into cells once; most matches are then settled for whole groups of points, either
because the other frame has a point in the same cell or because the boxes of two groups are near or far
enough, and only the rest needs distances. All counts equal brute force in float64 over the same points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.cells import REACH, SIDE_OF_RADIUS, cell_columns, cell_keys, stable_order
from pri3d_data.compiled import kernel

# Points sorted at a time; bounds the memory beside the points themselves to about 60 bytes each.
TILE_POINTS = 8_000_000
# Along one axis. Beyond, a coordinate's rounding would outgrow the hair that `SIDE_OF_RADIUS` leaves.
_MOST_CELLS = 2**31


def match_counts(
    points: NDArray[np.float32], starts: NDArray[np.int64], radius_m: float, tile_points: int = TILE_POINTS
) -> NDArray[np.int64]:
    """For every ordered pair of frames, how many points of one have a point of the other within the radius.

    Args:
        points: (N, 3) float32 metres, frame after frame.
        starts: (F + 1,) int64; frame f holds ``points[starts[f]:starts[f + 1]]``.
        radius_m: a distance equal to the radius counts.
        tile_points: the scene is cut into slabs of about this many points.

    Returns:
        (F, F) int64; ``[a, b]`` counts the points of a that have a point of b within the radius. The diagonal
        is each frame's number of points.

    Raises:
        ValueError: the points span more than 2^31 cells along an axis or 2^62 in all: broken poses.
    """
    frames = len(starts) - 1
    counts = np.zeros((frames, frames), dtype=np.int64)
    if len(points):
        side = radius_m * SIDE_OF_RADIUS
        low = points.min(axis=0).astype(np.float64)
        # Multiplied as `cell_columns` does: dividing here could round the last point out of the grid.
        extent = np.floor((points.max(axis=0).astype(np.float64) - low) * (1.0 / side)) + 1
        if not (extent.max() < _MOST_CELLS and np.prod(extent + 4 * REACH) < 2.0**62):
            raise ValueError(f"the frames' points span {extent * side} m: their poses cannot be true")
        columns = cell_columns(points, low, side)
        frame_of = np.repeat(np.arange(frames, dtype=np.int32), np.diff(starts))
        for first, last in _slabs(columns, int(extent[0]), tile_points):
            inside = np.flatnonzero((columns >= first - REACH) & (columns < last + REACH))
            _count_slab(points[inside], frame_of[inside], low, side, extent, radius_m, first, last, counts)
    np.fill_diagonal(counts, np.diff(starts))
    return counts


def _slabs(columns: NDArray[np.int32], extent: int, tile_points: int) -> list[tuple[int, int]]:
    if len(columns) <= tile_points:
        return [(0, extent)]
    # A few far points make most columns empty: then only those that hold points are listed.
    if extent <= 4 * len(columns):
        listed, points = np.arange(extent), np.bincount(columns, minlength=extent)
    else:
        listed, points = np.unique(columns, return_counts=True)
    cumulative = np.cumsum(points)
    slabs, at = [], 0
    while at < len(listed):
        before = int(cumulative[at - 1]) if at else 0
        after = max(at + 1, int(np.searchsorted(cumulative, before + tile_points, side="right")))
        slabs.append((int(listed[at]), int(listed[after]) if after < len(listed) else extent))
        at = after
    return slabs


def _count_slab(
    points: NDArray[np.float32],
    frame_of: NDArray[np.int32],
    low: NDArray[np.float64],
    side: float,
    extent: NDArray[np.float64],
    radius_m: float,
    first: int,
    last: int,
    counts: NDArray[np.int64],
) -> None:
    if len(points) == 0:
        return
    # Two empty cells around the grid let a neighbour's number be reached by adding, without border tests.
    shape = np.array([last - first + 4 * REACH, extent[1] + 2 * REACH, extent[2] + 2 * REACH]).astype(
        np.int64
    )
    grid_first = np.array([first - 2 * REACH, -REACH, -REACH], dtype=np.int64)
    keys = cell_keys(points, low, side, grid_first, shape)
    order = stable_order(keys, int(np.prod(shape)))
    _count_sorted(
        points[order],
        frame_of[order],
        keys[order],
        shape,
        radius_m,
        2 * REACH,
        2 * REACH + last - first,
        counts,
    )


@kernel
def _count_sorted(
    points: NDArray[np.float32],
    frame_of: NDArray[np.int32],
    keys: NDArray[np.int64],
    shape: NDArray[np.int64],
    radius_m: float,
    first: int,
    last: int,
    counts: NDArray[np.int64],
) -> None:
    radius2 = radius_m * radius_m
    count = len(points)
    groups = 1
    cells = 1
    for i in range(1, count):
        if keys[i] != keys[i - 1]:
            cells += 1
            groups += 1
        elif frame_of[i] != frame_of[i - 1]:
            groups += 1
    # A group is the points of one frame in one cell; its box decides most neighbours without distances.
    group_start = np.empty(groups + 1, dtype=np.int64)
    group_frame = np.empty(groups, dtype=np.int32)
    box = np.empty((groups, 6), dtype=np.float32)
    cell_key = np.empty(cells, dtype=np.int64)
    cell_group = np.empty(cells + 1, dtype=np.int64)
    g = -1
    c = -1
    for i in range(count):
        new_cell = i == 0 or keys[i] != keys[i - 1]
        if new_cell or frame_of[i] != frame_of[i - 1]:
            g += 1
            group_start[g] = i
            group_frame[g] = frame_of[i]
            for axis in range(3):
                box[g, axis] = points[i, axis]
                box[g, axis + 3] = points[i, axis]
            if new_cell:
                c += 1
                cell_key[c] = keys[i]
                cell_group[c] = g
        else:
            for axis in range(3):
                value = points[i, axis]
                if value < box[g, axis]:
                    box[g, axis] = value
                if value > box[g, axis + 3]:
                    box[g, axis + 3] = value
    group_start[groups] = count
    cell_group[cells] = groups

    # For each of the 25 neighbouring columns a pointer that only moves forward, since keys ascend.
    columns = np.empty(25, dtype=np.int64)
    pointer = np.zeros(25, dtype=np.int64)
    for dx in range(-2, 3):
        for dy in range(-2, 3):
            columns[(dx + 2) * 5 + dy + 2] = (dx * shape[1] + dy) * shape[2]

    frames = counts.shape[0]
    here = np.full(frames, -1, dtype=np.int64)
    head = np.full(frames, -1, dtype=np.int64)
    seen = np.empty(frames, dtype=np.int64)
    link = np.empty(125 * frames, dtype=np.int64)
    linked = np.empty(125 * frames, dtype=np.int64)
    close = np.empty(125, dtype=np.int64)
    plane = shape[1] * shape[2]

    for c in range(cells):
        key = cell_key[c]
        slab = key // plane
        if slab < first or slab >= last:
            continue
        g0 = cell_group[c]
        g1 = cell_group[c + 1]
        for a in range(g0, g1):
            here[group_frame[a]] = c
        for a in range(g0, g1):
            size = group_start[a + 1] - group_start[a]
            row = group_frame[a]
            for b in range(g0, g1):
                counts[row, group_frame[b]] += size

        found = 0
        used = 0
        for k in range(25):
            lowest = key + columns[k] - 2
            at = pointer[k]
            while at < cells and cell_key[at] < lowest:
                at += 1
            pointer[k] = at
            while at < cells and cell_key[at] <= lowest + 4:
                if at != c:
                    for b in range(cell_group[at], cell_group[at + 1]):
                        other = group_frame[b]
                        if here[other] != c:
                            if head[other] < 0:
                                seen[found] = other
                                found += 1
                            linked[used] = b
                            link[used] = head[other]
                            head[other] = used
                            used += 1
                at += 1

        for k in range(found):
            other = seen[k]
            for a in range(g0, g1):
                near = 0
                settled = False
                at = head[other]
                while at >= 0:
                    b = linked[at]
                    # Summed in the order distances are, so that a bound rounds no tighter than they do.
                    right0 = np.float64(box[b, 3]) - np.float64(box[a, 0])
                    left0 = np.float64(box[a, 3]) - np.float64(box[b, 0])
                    right1 = np.float64(box[b, 4]) - np.float64(box[a, 1])
                    left1 = np.float64(box[a, 4]) - np.float64(box[b, 1])
                    right2 = np.float64(box[b, 5]) - np.float64(box[a, 2])
                    left2 = np.float64(box[a, 5]) - np.float64(box[b, 2])
                    span0, span1, span2 = max(right0, left0), max(right1, left1), max(right2, left2)
                    if span0 * span0 + span1 * span1 + span2 * span2 <= radius2:
                        settled = True
                        break
                    gap0 = max(-min(right0, left0), 0.0)
                    gap1 = max(-min(right1, left1), 0.0)
                    gap2 = max(-min(right2, left2), 0.0)
                    if gap0 * gap0 + gap1 * gap1 + gap2 * gap2 <= radius2:
                        close[near] = b
                        near += 1
                    at = link[at]
                start = group_start[a]
                stop = group_start[a + 1]
                if settled:
                    counts[group_frame[a], other] += stop - start
                    continue
                matched = 0
                if near > 0:
                    for i in range(start, stop):
                        x = np.float64(points[i, 0])
                        y = np.float64(points[i, 1])
                        z = np.float64(points[i, 2])
                        hit = False
                        for n in range(near):
                            b = close[n]
                            for j in range(group_start[b], group_start[b + 1]):
                                ex = x - points[j, 0]
                                ey = y - points[j, 1]
                                ez = z - points[j, 2]
                                if ex * ex + ey * ey + ez * ez <= radius2:
                                    hit = True
                                    break
                            if hit:
                                break
                        if hit:
                            matched += 1
                    counts[group_frame[a], other] += matched
            head[other] = -1
