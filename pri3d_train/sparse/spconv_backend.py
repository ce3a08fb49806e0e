"""The backend on spconv 2.3 or spconv-triton. Importing this module needs one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import spconv.pytorch as spconv
import torch
from spconv.pytorch import ops
from torch import Tensor, nn

from pri3d_train.sparse.lattice import Lattice

#: Level 0 starts at a multiple of this, so that halving floors alike in every level of the deepest network.
_ALIGNMENT = 1 << 8


def _stream() -> int:
    return torch.cuda.current_stream().cuda_stream if torch.cuda.is_available() else 0


# As shipped, the gradient of a convolution on the CPU asks for a CUDA stream and fails on a CPU torch.
if hasattr(ops, "get_current_stream"):
    ops.get_current_stream = _stream


@cache
def _layer(kind: str, size: int, inputs: int, outputs: int, key: str) -> nn.Module:
    """An spconv layer without a weight: it knows spconv's algorithms, the weights are ours.

    ``key`` names the rulebook, which spconv builds once and shares among the layers that name it.
    """
    make: Callable[..., nn.Module] = getattr(spconv, kind)
    stride = {"stride": 2} if kind == "SparseConv3d" else {}
    with torch.device("meta"):
        layer = make(inputs, outputs, size, bias=False, indice_key=key, **stride)
    del layer._parameters["weight"]
    return layer


class SpconvPyramid:
    """See `pri3d_train.sparse.backend.Pyramid`.

    spconv's axes are given as z, y, x: its offsets run with the last axis fastest, ours with x.
    """

    def __init__(self, lattice: Lattice) -> None:
        low, high = torch.stack(torch.aminmax(lattice.cells, dim=0)).tolist()
        start = [0, *(a // _ALIGNMENT * _ALIGNMENT for a in low[1:])]
        self._start = lattice.cells.new_tensor(start)
        self._batch_size = high[0] + 1
        size = [
            math.ceil((b - a + 1) / _ALIGNMENT) * _ALIGNMENT for a, b in zip(start[1:], high[1:], strict=True)
        ]
        rows = (lattice.cells - self._start)[:, [0, 3, 2, 1]].int().contiguous()
        self._levels: list[tuple[Tensor, list[int]]] = [(rows, size[::-1])]
        self._rulebooks: dict[str, Any] = {}

    def coordinates(self, level: int) -> Tensor:
        """(N_l, 4) int32, in input voxels."""
        while len(self._levels) <= level:
            last = len(self._levels) - 1
            rows = len(self._levels[last][0])
            nothing = torch.zeros((rows, 1), device=self._start.device)
            self.down(nothing, nothing.new_zeros((8, 1, 1)), last)
        cells = self._levels[level][0][:, [0, 3, 2, 1]].long()
        cells[:, 1:] <<= level
        return (cells + self._start).int()

    def convolve(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A centred kernel of odd edge, stride 1."""
        size = round(len(kernel) ** (1 / 3))
        out: Tensor = self._run(
            "SubMConv3d", size, features, kernel, level, f"within {level} {size}"
        ).features
        return out

    def down(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A kernel of 8 with stride 2, to level + 1."""
        # spconv's strided layers refuse a rulebook that exists. A U-Net goes down a level once; who does it
        # again gets a new rulebook, which must number the cells as the first one did.
        key = f"between {level}"
        self._rulebooks = {name: book for name, book in self._rulebooks.items() if name != key}
        out = self._run("SparseConv3d", 2, features, kernel, level, key)
        if len(self._levels) == level + 1:
            self._levels.append((out.indices, out.spatial_shape))
        elif not torch.equal(out.indices, self._levels[level + 1][0]):
            raise RuntimeError(
                f"spconv numbered the cells of level {level + 1} anew; go down each level once."
            )
        result: Tensor = out.features
        return result

    def up(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """The transposed `down`, to level - 1."""
        out: Tensor = self._run(
            "SparseInverseConv3d", 2, features, kernel, level, f"between {level - 1}"
        ).features
        return out

    def _run(self, kind: str, size: int, features: Tensor, kernel: Tensor, level: int, key: str) -> Any:
        _, inputs, outputs = kernel.shape
        layer = _layer(kind, size, inputs, outputs, key)
        layer.train(torch.is_grad_enabled())
        # The CPU kernels know no half precision.
        on_cpu = features.device.type == "cpu"
        features, kernel = (features.float(), kernel.float()) if on_cpu else (features, kernel)
        indices, shape = self._levels[level]
        tensor = spconv.SparseConvTensor(
            features, indices, shape, self._batch_size, indice_dict=self._rulebooks
        )
        weight = kernel.permute(2, 0, 1).reshape(outputs, size, size, size, inputs).contiguous()
        with torch.autocast(features.device.type, enabled=torch.is_autocast_enabled("cuda") and not on_cpu):
            layer.weight = weight
            try:
                out = layer(tensor)
            finally:
                del layer.weight  # layers are shared, and must not keep a graph alive
        self._rulebooks = out.indice_dict
        return out


class SpconvBackend:
    """Makes `SpconvPyramid`s."""

    name = "spconv"

    def pyramid(self, lattice: Lattice) -> SpconvPyramid:
        """The pyramid above ``lattice``, on its device."""
        return SpconvPyramid(lattice)


BACKEND = SpconvBackend()
