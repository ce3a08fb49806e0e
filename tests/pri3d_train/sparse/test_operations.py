"""Each operation of each backend, forward and gradients, against dense convolutions in float64."""

from __future__ import annotations

from collections.abc import Callable

import dense
import pytest
import torch
from torch import Tensor

from pri3d_train.sparse.backend import Backend, Pyramid
from pri3d_train.sparse.gather_matmul import convolve
from pri3d_train.sparse.lattice import sort_cells
from pri3d_train.sparse.layers import Pointwise
from pri3d_train.sparse.torch_backend import TorchPyramid


@pytest.fixture(params=dense.BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return dense.backend(request.param)


@pytest.fixture
def pyramid(backend: Backend) -> Pyramid:
    return backend.pyramid(sort_cells(dense.scattered(), margin=2)[0])


def compare(
    backend: Backend,
    rows: int,
    kernel: tuple[int, int, int],
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Outputs and both gradients; only spconv cannot compute in float64."""
    generator = torch.Generator().manual_seed(7)
    dtype, tolerance = (torch.float32, 2e-5) if backend.name == "spconv" else (torch.float64, 1e-12)
    x = torch.randn(rows, kernel[1], generator=generator, dtype=torch.float64)
    w = torch.randn(kernel, generator=generator, dtype=torch.float64)
    results = []
    for work, kind in ((ours, dtype), (theirs, torch.float64)):
        inputs = [x.to(kind).requires_grad_(), w.to(kind).requires_grad_()]
        out = work(*inputs)
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
        gradients = torch.autograd.grad((out * weights.to(kind)).sum(), inputs)
        results.append((out, *gradients))
    for found, expected in zip(*results, strict=True):
        assert found.shape == expected.shape
        assert expected.abs().max() > 0
        torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance * 50)


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("size", [3, 5])
def test_a_centred_kernel_is_a_padded_convolution(
    backend: Backend, pyramid: Pyramid, size: int, level: int
) -> None:
    cells = pyramid.coordinates(level)
    compare(
        backend,
        len(cells),
        (size**3, 3, 4),
        lambda x, w: pyramid.convolve(x, w, level),
        lambda x, w: dense.convolve(cells, 2**level, x, w),
    )


@pytest.mark.parametrize("level", [0, 1, 2])
def test_down_is_a_strided_convolution(backend: Backend, pyramid: Pyramid, level: int) -> None:
    fine, coarse = pyramid.coordinates(level), pyramid.coordinates(level + 1)
    compare(
        backend,
        len(fine),
        (8, 3, 5),
        lambda x, w: pyramid.down(x, w, level),
        lambda x, w: dense.down(fine, coarse, 2**level, x, w),
    )


@pytest.mark.parametrize("level", [1, 2, 3])
def test_up_is_a_transposed_convolution_onto_the_cells_there_were(
    backend: Backend, pyramid: Pyramid, level: int
) -> None:
    coarse, fine = pyramid.coordinates(level), pyramid.coordinates(level - 1)
    compare(
        backend,
        len(coarse),
        (8, 5, 3),
        lambda x, w: pyramid.up(x, w, level),
        lambda x, w: dense.up(coarse, fine, 2**level, x, w),
    )


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_a_strided_level_holds_the_cells_that_hold_a_voxel(pyramid: Pyramid, level: int) -> None:
    rows = [tuple(row) for row in pyramid.coordinates(level).tolist()]
    assert len(set(rows)) == len(rows)
    assert set(rows) == dense.strided(dense.scattered(), 2**level)


def test_a_pointwise_kernel_is_a_convolution_of_size_one() -> None:
    cells = dense.scattered()
    layer = Pointwise(3, 4, bias=True).double()
    x = torch.randn(len(cells), 3, dtype=torch.float64)
    assert layer.bias is not None
    expected = dense.convolve(cells, 1, x, layer.kernel.unsqueeze(0)) + layer.bias
    torch.testing.assert_close(layer(x), expected)


def test_offsets_are_in_minkowski_engines_order(backend: Backend) -> None:
    pyramid = backend.pyramid(sort_cells(torch.tensor([[0, -1, 0, 0], [0, 0, 0, 0]]), margin=2)[0])
    kernel = torch.arange(27.0).view(27, 1, 1)
    # Each voxel sees itself at offset 13; the left one sees the right one at (+1, 0, 0), which is 14.
    found = pyramid.convolve(torch.tensor([[1.0], [100.0]]), kernel, 0)
    assert found.tolist() == [[13.0 + 1400.0], [12.0 + 1300.0]]
    # -1 floors to the cell at -2, where it is the child at offset 1.
    found = pyramid.down(torch.tensor([[1.0], [100.0]]), kernel[:8], 0)
    assert sorted(found.flatten().tolist()) == [0.0, 1.0]
    assert sorted(pyramid.coordinates(1).tolist()) == [[0, -2, 0, 0], [0, 0, 0, 0]]


def test_the_gradient_of_the_torch_operation_is_the_numerical_one() -> None:
    pyramid = TorchPyramid(sort_cells(dense.scattered(12, -2, 3), margin=2)[0])
    rows = len(pyramid.coordinates(0))
    x = torch.randn(rows, 2, dtype=torch.float64, requires_grad=True)
    w = torch.randn(27, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: pyramid.convolve(x, w, 0), (x, w))


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for rows in (1 << 20, 16):
        monkeypatch.setitem(convolve.__globals__["_BLOCK_ROWS"], "cpu", rows)
        pyramid = TorchPyramid(sort_cells(dense.scattered(), margin=2)[0])
        generator = torch.Generator().manual_seed(3)
        x = torch.randn(len(pyramid.coordinates(0)), 3, generator=generator, dtype=torch.float64)
        w = torch.randn(27, 3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
        out = pyramid.convolve(x, w, 0)
        results.append((out, *torch.autograd.grad(out.square().sum(), w)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-11)
