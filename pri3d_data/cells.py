"""The grid that exact neighbour counting stands on: cells, their 64 subcells, and blocks of 64 cells.

A cell's side is radius / √3, so any two points of one cell are within the radius of each other, and a point's
neighbours within the radius lie at most two cells away along each axis. A cell is cut into 4×4×4 subcells: a
set of them is one 64-bit word. 4×4×4 cells are a block: which of its cells hold points is one word too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel

# A hair below 1/√3: rounding a coordinate into its subcell can never bring together what lies farther apart.
SIDE_OF_RADIUS = (1.0 - 1e-6) / np.sqrt(3.0)
REACH = 2
SUBCELLS = 4
BLOCK_SHIFT = 4
# Along one axis. Beyond, a coordinate's rounding would outgrow the hair that `SIDE_OF_RADIUS` leaves.
_MOST_SUBCELLS = 2**31
_LANES = 48


@dataclass(frozen=True)
class CellGrid:
    """Where subcells lie.

    Attributes:
        low: (3,) float64 metres, the lowest corner.
        inverse: subcells per metre.
        blocks: (3,) int64 blocks along each axis.
    """

    low: NDArray[np.float64]
    inverse: float
    blocks: NDArray[np.int64]

    def block_columns(self, coordinates: NDArray[np.float32], axis: int) -> NDArray[np.int32]:
        """Block numbers along an axis, computed as the kernels do."""
        subcells = (coordinates - self.low[axis]) * self.inverse
        blocks: NDArray[np.int32] = subcells.astype(np.int32) >> BLOCK_SHIFT
        return blocks


def cell_grid(points: NDArray[np.float32], radius_m: float) -> CellGrid:
    """The grid of some points, (N, 3) float32 metres with N > 0, for a radius.

    Raises:
        ValueError: the radius is no positive number; or the points are not finite, or span more than 2^31
            subcells along an axis or 2^62 blocks in all: broken poses.
    """
    if not 0 < radius_m < np.inf:
        raise ValueError(f"a radius of {radius_m} m has no neighbours to count")
    low, high, finite = _bounds(points)
    inverse = 1.0 / (radius_m * SIDE_OF_RADIUS / SUBCELLS)
    low_m, extent_m = low.astype(np.float64), high.astype(np.float64) - low
    subcells = np.floor(extent_m * inverse) + 1
    blocks = np.floor(subcells / 2**BLOCK_SHIFT) + 1
    if not (finite and subcells.max() < _MOST_SUBCELLS and np.prod(blocks + 2) < 2.0**62):
        span = extent_m if finite else "no finite number of"
        raise ValueError(f"the frames' points span {span} m: their poses cannot be true")
    return CellGrid(low_m, inverse, blocks.astype(np.int64))


@kernel
def _bounds(points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
    # Sixteen points at a time: their 48 coordinates are lanes that need not wait for each other.
    flat = points.reshape(-1)
    lows = np.full(_LANES, np.inf, dtype=np.float32)
    highs = np.full(_LANES, -np.inf, dtype=np.float32)
    # Stays zero as long as all are finite.
    odd = np.zeros(_LANES, dtype=np.float32)
    whole = len(flat) // _LANES * _LANES
    for start in range(0, whole, _LANES):
        for lane in range(_LANES):
            value = flat[start + lane]
            lows[lane] = value if value < lows[lane] else lows[lane]
            highs[lane] = value if value > highs[lane] else highs[lane]
            odd[lane] += value - value
    for i in range(whole, len(flat)):
        value = flat[i]
        lane = i - whole
        lows[lane] = value if value < lows[lane] else lows[lane]
        highs[lane] = value if value > highs[lane] else highs[lane]
        odd[lane] += value - value
    low, high = lows[:3].copy(), highs[:3].copy()
    for lane in range(3, _LANES):
        low[lane % 3] = min(low[lane % 3], lows[lane])
        high[lane % 3] = max(high[lane % 3], highs[lane])
    return low, high, odd.sum() == 0
