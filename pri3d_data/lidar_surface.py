"""Depth between the rows of a scan: where two rows measured one surface, the pixels between them lie on it.

A scanner's rows are several pixels apart, so a point carried from one image into another hardly ever falls
on a measured pixel. Inverse depth is linear across the image of a plane, whatever its slant, so between two
rows of one surface it is known; across the edge of a thing it is not, and each side keeps its own depth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel


@kernel
def fill_between_rows(
    depth: NDArray[np.uint16], rows: int, columns: int, steepest: float
) -> NDArray[np.uint16]:
    """Depth of the pixels near measured ones.

    Args:
        depth: (H, W) uint16 sparse depth, 0 where nothing was measured.
        rows: largest gap between two measured pixels above one another to be filled, pixels.
        columns: how far to the side a measured pixel counts for a column, pixels; the nearest does.
        steepest: largest change of inverse depth from one row to the next, in inverse depth steps a pixel,
            that one surface can show. A plane at distance d of the camera's centre shows at most
            1 / (d · f); what changes faster is an edge between two things.

    Returns:
        (H, W) uint16: measured pixels as they are; pixels between two rows of a surface interpolated, those
        between two surfaces take the nearer row's depth; 0 elsewhere.
    """
    height, width = depth.shape
    wide = _widened(depth, columns)
    out = np.zeros((height, width), dtype=np.uint16)
    for u in range(width):
        last = -1
        for v in range(height):
            if wide[v, u] == 0:
                continue
            out[v, u] = wide[v, u]
            gap = v - last
            if last >= 0 and gap > 1 and gap <= rows:
                top, bottom = 1.0 / wide[last, u], 1.0 / wide[v, u]
                one_surface = abs(bottom - top) <= steepest * gap
                for row in range(last + 1, v):
                    at = (row - last) / gap
                    if one_surface:
                        out[row, u] = np.uint16(1.0 / (top + (bottom - top) * at) + 0.5)
                    else:
                        out[row, u] = wide[last, u] if 2 * (row - last) <= gap else wide[v, u]
            last = v
    return out


@inline_kernel
def _widened(depth: NDArray[np.uint16], columns: int) -> NDArray[np.uint16]:
    """Every pixel takes its row's nearest measured depth; of two as near, the smaller depth."""
    height, width = depth.shape
    wide = depth.copy()
    for v in range(height):
        for u in range(width):
            if depth[v, u] != 0:
                continue
            for step in range(1, columns + 1):
                left = depth[v, u - step] if u >= step else np.uint16(0)
                right = depth[v, u + step] if u + step < width else np.uint16(0)
                if left != 0 and right != 0:
                    wide[v, u] = min(left, right)
                else:
                    wide[v, u] = max(left, right)
                if wide[v, u] != 0:
                    break
    return wide
