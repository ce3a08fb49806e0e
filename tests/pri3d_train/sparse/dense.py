"""The truth the sparse operations are held against: dense convolutions on a grid, in float64, and scattered voxels."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv3d, conv_transpose3d

from pri3d_data.errors import UsageError
from pri3d_train.sparse.backend import Backend, find_backend

BACKENDS = ("torch", "spconv", "minkowski")


def backend(name: str) -> Backend:
    try:
        return find_backend(name)
    except UsageError as error:
        pytest.skip(str(error))


def scattered(count: int = 150, low: int = -9, high: int = 7, batch: tuple[int, ...] = (0, 1)) -> Tensor:
    """Unique voxels (N, 4) in random order, a third of a box, clustered enough to have neighbours."""
    generator = torch.Generator().manual_seed(count)
    parts = []
    for item in batch:
        points = torch.randint(low, high, (count, 3), generator=generator)
        points[:, 2] = points[:, 2] // 3
        parts.append(torch.cat([torch.full((count, 1), item), points], dim=1))
    cells = torch.unique(torch.cat(parts), dim=0)
    return cells[torch.randperm(len(cells), generator=generator)].int()


class Grid:
    """Voxels of one resolution on a dense grid (batch, channel, x, y, z) whose corner is at `start` voxels."""

    start, side = -16, 32

    def __init__(self, coordinates: Tensor, stride: int) -> None:
        self.side = Grid.side // stride
        self.batch = int(coordinates[:, 0].max()) + 1
        position = (coordinates[:, 1:].long() - Grid.start) // stride
        self.at = (coordinates[:, 0].long(), slice(None), *position.t())

    def spread(self, rows: Tensor) -> Tensor:
        grid = rows.new_zeros(self.batch, rows.shape[1], self.side, self.side, self.side)
        b, _, x, y, z = self.at
        return grid.permute(0, 2, 3, 4, 1).index_put((b, x, y, z), rows).permute(0, 4, 1, 2, 3)

    def collect(self, grid: Tensor) -> Tensor:
        b, _, x, y, z = self.at
        return grid.permute(0, 2, 3, 4, 1)[b, x, y, z]


def weight(kernel: Tensor) -> Tensor:
    """(K, Cin, Cout), x fastest, to conv3d's (Cout, Cin, x, y, z), offset by offset."""
    size = round(len(kernel) ** (1 / 3))
    out = kernel.new_zeros(kernel.shape[2], kernel.shape[1], size, size, size)
    places = [(k % size, k // size % size, k // size**2) for k in range(size**3)]
    x, y, z = torch.tensor(places).t()
    return out.permute(2, 3, 4, 1, 0).index_put((x, y, z), kernel).permute(4, 3, 0, 1, 2)


def convolve(coordinates: Tensor, stride: int, rows: Tensor, kernel: Tensor) -> Tensor:
    size = round(len(kernel) ** (1 / 3))
    grid = Grid(coordinates, stride)
    return grid.collect(conv3d(grid.spread(rows), weight(kernel), padding=size // 2))


def down(fine: Tensor, coarse: Tensor, stride: int, rows: Tensor, kernel: Tensor) -> Tensor:
    return Grid(coarse, 2 * stride).collect(conv3d(Grid(fine, stride).spread(rows), weight(kernel), stride=2))


def up(coarse: Tensor, fine: Tensor, stride: int, rows: Tensor, kernel: Tensor) -> Tensor:
    """From `stride` to `stride / 2`."""
    spread = Grid(coarse, stride).spread(rows)
    dense = conv_transpose3d(spread, weight(kernel).transpose(0, 1), stride=2)
    return Grid(fine, stride // 2).collect(dense)


def strided(coordinates: Tensor, stride: int) -> set[tuple[int, ...]]:
    """Brute force: the corners of the cells of edge `stride` that hold a voxel, by trying every cell."""
    held = {tuple(row) for row in coordinates.tolist()}
    corners = range(Grid.start, -Grid.start, stride)
    cells = set()
    for b, x, y, z in product({row[0] for row in held}, corners, corners, corners):
        inside = product(range(x, x + stride), range(y, y + stride), range(z, z + stride))
        if any((b, *voxel) in held for voxel in inside):
            cells.add((b, x, y, z))
    return cells
