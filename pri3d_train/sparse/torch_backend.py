"""The backend in plain PyTorch: any platform, nothing to compile."""

from __future__ import annotations

from torch import Tensor

from pri3d_train.sparse.gather_matmul import KernelMap, convolve, plan
from pri3d_train.sparse.lattice import Lattice


class TorchPyramid:
    """See `pri3d_train.sparse.backend.Pyramid`; rows of every level are sorted as in a `Lattice`."""

    def __init__(self, lattice: Lattice) -> None:
        self._levels = [lattice]
        self._between: list[KernelMap] = []
        self._within: dict[tuple[int, int], KernelMap] = {}

    def coordinates(self, level: int) -> Tensor:
        """(N_l, 4) int32, in input voxels."""
        self._reach(level)
        cells = self._levels[level].cells.clone()
        cells[:, 1:] <<= level
        return cells.int()

    def convolve(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A centred kernel of odd edge, stride 1."""
        self._reach(level)
        size = round(len(kernel) ** (1 / 3))
        if (level, size) not in self._within:
            ways = plan(self._levels[level].neighbours(size))
            self._within[level, size] = KernelMap(ways, ways, mirrored=True)
        return convolve(features, kernel, self._within[level, size])

    def down(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A kernel of 8 with stride 2, to level + 1."""
        self._reach(level + 1)
        return convolve(features, kernel, self._between[level])

    def up(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """The transposed `down`, to level - 1."""
        self._reach(level)
        return convolve(features, kernel, self._between[level - 1].transposed())

    def _reach(self, level: int) -> None:
        while len(self._levels) <= level:
            fine = self._levels[-1]
            coarse, children = fine.coarser()
            # Seen from below: a cell has one parent, at the one offset where it is that parent's child.
            parents = children.new_full((len(children), len(fine)), -1)
            offset, parent = (children >= 0).nonzero(as_tuple=True)
            parents[offset, children[offset, parent]] = parent
            self._between.append(KernelMap(plan(children), plan(parents)))
            self._levels.append(coarse)


class TorchBackend:
    """Makes `TorchPyramid`s."""

    name = "torch"

    def pyramid(self, lattice: Lattice) -> TorchPyramid:
        """The pyramid above ``lattice``, on its device."""
        return TorchPyramid(lattice)
