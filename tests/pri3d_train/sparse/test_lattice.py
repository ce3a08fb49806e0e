"""Sorting voxels, finding neighbours and halving resolution, against Python sets."""

from __future__ import annotations

import dense
import pytest
import torch

from pri3d_data.errors import UsageError
from pri3d_train.sparse.lattice import sort_cells


@pytest.mark.parametrize("size", [1, 3, 5])
def test_neighbours_are_those_of_a_dictionary(size: int) -> None:
    lattice, _ = sort_cells(dense.scattered(), margin=2)
    cells = [tuple(row) for row in lattice.cells.tolist()]
    row = {cell: i for i, cell in enumerate(cells)}
    table = lattice.neighbours(size)
    for k in range(size**3):
        dx, dy, dz = (k % size - size // 2, k // size % size - size // 2, k // size**2 - size // 2)
        expected = [row.get((b, x + dx, y + dy, z + dz), -1) for b, x, y, z in cells]
        assert table[k].tolist() == expected


def test_order_says_where_sorted_rows_come_from() -> None:
    coordinates = dense.scattered()
    lattice, order = sort_cells(coordinates, margin=2)
    assert torch.equal(lattice.cells, coordinates[order].long())
    keys = [(b, z, y, x) for b, x, y, z in lattice.cells.tolist()]
    assert keys == sorted(keys)


def test_children_sit_in_their_parents() -> None:
    lattice, _ = sort_cells(dense.scattered(), margin=2)
    coarse, children = lattice.coarser()
    assert sorted(children[children >= 0].tolist()) == list(range(len(lattice)))
    for k, parent in (children >= 0).nonzero().tolist():
        b, x, y, z = coarse.cells[parent].tolist()
        child = [b, 2 * x + (k & 1), 2 * y + (k >> 1 & 1), 2 * z + (k >> 2)]
        assert lattice.cells[children[k, parent]].tolist() == child


def test_far_apart_batch_items_and_borders_do_not_touch() -> None:
    # The last cell of one row of the box, the first of the next, and the same in the next batch item.
    coordinates = torch.tensor([[0, 9, 0, 0], [0, 0, 1, 0], [1, 9, 0, 0], [1, 0, 1, 0], [0, 9, 9, 9]])
    lattice, _ = sort_cells(coordinates, margin=2)
    assert int((lattice.neighbours(5) >= 0).sum()) == len(coordinates)


def test_what_is_no_scene_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\[0, 1, 2, 3\] .* more than once"):
        sort_cells(torch.tensor([[0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 3]]), margin=2)
    end = 2**31 - 1
    with pytest.raises(UsageError, match="no scene"):
        sort_cells(torch.tensor([[0, -end, -end, -end], [0, end, end, end]]), margin=2)


def test_no_voxels_make_an_empty_lattice() -> None:
    lattice, order = sort_cells(torch.empty((0, 4), dtype=torch.int32), margin=2)
    assert len(lattice) == len(order) == 0
    assert lattice.neighbours(3).shape == (27, 0)
    coarse, children = lattice.coarser()
    assert len(coarse) == 0
    assert children.shape == (8, 0)
