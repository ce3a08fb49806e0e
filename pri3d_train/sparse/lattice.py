"""Occupied cells of an integer lattice, sorted so that a cell's neighbours are found by binary search."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from pri3d_data.errors import UsageError

_NOWHERE = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class Lattice:
    """Sorted, unique cells of one resolution.

    Sorted by batch index, z, y, x: a linear key grows with the row, cells beside each other along x have rows
    beside each other, and most other neighbours lie near by in memory.

    Attributes:
        cells: (N, 4) int64: batch index, x, y, z in units of this resolution's cell.
        keys: (N + 1,) int64, ascending; the last one belongs to no cell.
        strides: what a step of one along batch, x, y, z adds to a key.
        margin: how many cells a neighbour may lie outside the bounding box without its key being another's.
    """

    cells: Tensor
    keys: Tensor
    strides: tuple[int, int, int, int]
    margin: int

    def __len__(self) -> int:
        return len(self.cells)

    def neighbours(self, size: int) -> Tensor:
        """Rows of the cells around each cell.

        Args:
            size: odd edge length of the cube, at most ``2 margin + 1``.

        Returns:
            (size³, N) int64: row of the cell at this cell + offset k, or -1. Offset k is x fastest:
            ``(k % size, k // size % size, k // size²) - size // 2``.
        """
        radius = size // 2
        assert size == 2 * radius + 1
        assert radius <= self.margin
        rows = len(self)
        keys = self.keys[:rows]
        table = torch.full((size**3, rows), -1, dtype=torch.int64, device=keys.device)
        if rows == 0:
            return table
        _, along_x, along_y, along_z = self.strides
        steps = range(-radius, radius + 1)
        here = torch.arange(rows, device=keys.device)
        for line, (z, y) in enumerate(itertools.product(steps, steps)):
            if (z, y) > (0, 0):
                break  # the other half is this half seen from the neighbour, filled in below
            # Neighbours along x follow each other, so one search serves a whole line of offsets.
            first = keys + (z * along_z + y * along_y - radius * along_x)
            row = torch.searchsorted(self.keys, first)
            for x in range(size):
                found = self.keys[row] == first + x * along_x
                k = line * size + x
                if k <= size**3 // 2:
                    table[k].copy_(torch.where(found, row, -1))
                row = row + found
        for k in range(size**3 // 2):
            seen = table[k] >= 0
            table[size**3 - 1 - k][table[k][seen]] = here[seen]
        return table

    def coarser(self) -> tuple[Lattice, Tensor]:
        """The cells of twice the edge that hold a cell (floor division, negatives too).

        Returns:
            The coarse lattice, and (8, M) int64: row of the coarse cell's child at offset k, or -1. Children
            are not centred: offset k is ``(k & 1, k >> 1 & 1, k >> 2)``.
        """
        parents = self.cells.clone()
        parents[:, 1:] >>= 1  # an arithmetic shift floors
        keys, strides = _pack(parents, self.margin)
        coarse_keys, parent = torch.unique(keys, return_inverse=True)
        # Children of a parent agree on its cell, so whichever of them writes last writes the same.
        cells = parents.new_empty((len(coarse_keys), 4)).index_copy_(0, parent, parents)
        low = self.cells[:, 1:] & 1
        offset = low[:, 0] + 2 * low[:, 1] + 4 * low[:, 2]
        children = torch.full((8, len(cells)), -1, dtype=torch.int64, device=keys.device)
        children[offset, parent] = torch.arange(len(self), device=keys.device)
        return Lattice(cells, _ended(coarse_keys), strides, self.margin), children


def sort_cells(coordinates: Tensor, margin: int) -> tuple[Lattice, Tensor]:
    """The lattice of ``coordinates``, and where each of its rows comes from.

    Args:
        coordinates: (N, 4) integers, batch index first, in any order.
        margin: see `Lattice`.

    Returns:
        The lattice, and (N,) int64 ``order`` with ``lattice.cells == coordinates[order]``.

    Raises:
        UsageError: two rows are the same, or the cells are too far apart to be numbered in 63 bits.
    """
    cells = coordinates.long()
    keys, strides = _pack(cells, margin)
    keys, order = torch.sort(keys)
    if bool((keys[1:] == keys[:-1]).any()):
        twice = coordinates[order[1:][keys[1:] == keys[:-1]][0]].tolist()
        raise UsageError(
            f"Voxel {twice} (batch, x, y, z) is given more than once. "
            "Quantise the points first: one row a voxel."
        )
    return Lattice(cells[order], _ended(keys), strides, margin), order


def _pack(cells: Tensor, margin: int) -> tuple[Tensor, tuple[int, int, int, int]]:
    """One int64 a cell, linear in the coordinates, and the factor of each coordinate (batch, x, y, z)."""
    if len(cells) == 0:
        return cells.new_empty(0), (0, 0, 0, 0)
    low, high = torch.stack(torch.aminmax(cells, dim=0)).tolist()
    extent = [b - a + 1 + 2 * margin for a, b in zip(low, high, strict=True)]
    strides = (extent[1] * extent[2] * extent[3], 1, extent[1], extent[1] * extent[2])
    if strides[0] * extent[0] >= _NOWHERE:
        raise UsageError(
            f"The voxels span {extent[1]} x {extent[2]} x {extent[3]} cells, which is no scene. "
            "Are the coordinates divided by the voxel size, and is the batch index in the first column?"
        )
    shifted = cells - cells.new_tensor([a - margin for a in low])
    return (shifted * shifted.new_tensor(strides)).sum(1), strides


def _ended(keys: Tensor) -> Tensor:
    return torch.cat([keys, keys.new_full((1,), _NOWHERE)])
