"""What a backend of the sparse network has to offer, and which one is taken."""

from __future__ import annotations

import importlib
from typing import Literal, Protocol

from torch import Tensor

from pri3d_data.errors import UsageError
from pri3d_train.sparse.lattice import Lattice

BackendName = Literal["auto", "torch", "spconv", "minkowski"]

#: What "auto" means, decided by docs/sparse.md: on CPUs no other backend is far enough ahead to be worth an
#: extension that has to be compiled or downloaded, and on GPUs none has been measured to be.
AUTO = "torch"

_INSTALL = {
    "spconv": (
        "spconv",
        "pip install spconv==2.3.8 on a CPU; with an NVIDIA GPU one of spconv-triton, spconv-cu126 instead",
    ),
    "minkowski": ("MinkowskiEngine", "docs/sparse.md says how to build its wheel, version 0.5.4"),
}


class Pyramid(Protocol):
    """One batch of voxels at the resolutions of a U-Net, and convolutions on and between them.

    Level 0 holds the voxels given, level l the cells of edge 2^l that hold one of them. Features are
    (N_l, C) floating point, a row a cell; at level 0 rows are those of the lattice, at other levels in an
    order of the backend's own. Kernels are (K, Cin, Cout), offset k being x fastest; every operation is
    differentiable in features and kernel and is ``out[u] = Σ_k features[u + offset_k] @ kernel[k]`` over the
    cells that exist, in the units of the input's level. Maps from rows to rows are built at most once.
    """

    def coordinates(self, level: int) -> Tensor:
        """(N_l, 4) int32: batch index and corner of each cell in input voxels, multiples of 2^level."""

    def convolve(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A centred kernel of odd edge, stride 1: (N_l, Cin) to (N_l, Cout)."""

    def down(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """A kernel of 8 with stride 2, offsets 0 and 1 along each axis: (N_l, Cin) to (N_{l+1}, Cout)."""

    def up(self, features: Tensor, kernel: Tensor, level: int) -> Tensor:
        """The transposed `down`, onto the cells there are: (N_l, Cin) to (N_{l-1}, Cout)."""


class Backend(Protocol):
    """Makes pyramids.

    Attributes:
        name: "torch", "spconv" or "minkowski".
    """

    name: str

    def pyramid(self, lattice: Lattice) -> Pyramid:
        """The pyramid whose level 0 is ``lattice``, on its device."""


def find_backend(name: str) -> Backend:
    """The backend called ``name``; "auto" is the fastest as measured in docs/sparse.md.

    Raises:
        UsageError: there is none of that name, or what it needs is not installed; the message says what to
            install.
    """
    name = AUTO if name == "auto" else name
    if name == "torch":
        from pri3d_train.sparse.torch_backend import TorchBackend

        return TorchBackend()
    if name not in _INSTALL:
        raise UsageError(
            f"There is no sparse backend '{name}'. Use one of: auto, torch, {', '.join(_INSTALL)}."
        )
    package, remedy = _INSTALL[name]
    try:
        module = importlib.import_module(f"pri3d_train.sparse.{name}_backend")
    except ImportError as error:
        raise UsageError(
            f"The sparse backend '{name}' needs {package}, which cannot be imported ({error}). "
            f"To install it: {remedy}. The backend 'torch' needs nothing."
        ) from error
    backend: Backend = module.BACKEND
    return backend
