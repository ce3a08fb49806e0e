"""The whole network: its weights, its contract, and the backends against each other."""

from __future__ import annotations

import copy
import sys

import dense
import pytest
import torch
from torch import Tensor

from pri3d_data.errors import UsageError
from pri3d_train.sparse import torch_backend
from pri3d_train.sparse.backend import BackendName, find_backend
from pri3d_train.sparse.lattice import Lattice, sort_cells
from pri3d_train.sparse.unet import SparseUNet

PARAMETERS = 37_863_424


def canonical() -> dict[str, tuple[int, ...]]:
    """The reference's state dict, written down name by name: key to shape."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(key: str, channels: int) -> None:
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{key}.bn.{name}"] = (channels,)
        shapes[f"{key}.bn.num_batches_tracked"] = ()

    def blocks(key: str, inputs: int, outputs: int, count: int) -> None:
        for i in range(count):
            first = inputs if i == 0 else outputs
            shapes[f"{key}.{i}.conv1.kernel"] = (27, first, outputs)
            norm(f"{key}.{i}.norm1", outputs)
            shapes[f"{key}.{i}.conv2.kernel"] = (27, outputs, outputs)
            norm(f"{key}.{i}.norm2", outputs)
            if first != outputs:
                shapes[f"{key}.{i}.downsample.0.kernel"] = (first, outputs)
                norm(f"{key}.{i}.downsample.1", outputs)

    shapes["conv0p1s1.kernel"] = (125, 3, 32)
    norm("bn0", 32)
    for name, norm_name, block, inputs, outputs, count in (
        ("conv1p1s2", "bn1", "block1", 32, 32, 2),
        ("conv2p2s2", "bn2", "block2", 32, 64, 3),
        ("conv3p4s2", "bn3", "block3", 64, 128, 4),
        ("conv4p8s2", "bn4", "block4", 128, 256, 6),
    ):
        shapes[f"{name}.kernel"] = (8, inputs, inputs)
        norm(norm_name, inputs)
        blocks(block, inputs, outputs, count)
    for name, norm_name, block, inputs, joined, outputs in (
        ("convtr4p16s2", "bntr4", "block5", 256, 256 + 128, 256),
        ("convtr5p8s2", "bntr5", "block6", 256, 128 + 64, 128),
        ("convtr6p4s2", "bntr6", "block7", 128, 96 + 32, 96),
        ("convtr7p2s2", "bntr7", "block8", 96, 96 + 32, 96),
    ):
        shapes[f"{name}.kernel"] = (8, inputs, outputs)
        norm(norm_name, outputs)
        blocks(block, joined, outputs, 2)
    shapes["final.kernel"] = (96, 96)
    shapes["final.bias"] = (1, 96)
    return shapes


@pytest.fixture(scope="module")
def net() -> SparseUNet:
    """On plain PyTorch, in evaluation, with running statistics as after some training."""
    torch.manual_seed(0)
    net = SparseUNet(backend="torch")
    coordinates, colours = voxels()
    with torch.no_grad():
        net(coordinates, colours)
    return net.eval()


def voxels(*batch: int) -> tuple[Tensor, Tensor]:
    coordinates = dense.scattered(600, -15, 15, batch or (0, 1))
    return coordinates, torch.rand((len(coordinates), 3), generator=torch.Generator().manual_seed(1))


def test_the_parameters_are_counted_as_in_the_reference(net: SparseUNet) -> None:
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS


@pytest.mark.parametrize("name", dense.BACKENDS)
def test_the_state_dict_of_every_backend_is_the_canonical_one(name: BackendName) -> None:
    dense.backend(name)
    net = SparseUNet(backend=name)
    assert net.backend_name == name
    given = {key: torch.zeros(shape) for key, shape in canonical().items()}
    assert {key: tuple(value.shape) for key, value in net.state_dict().items()} == canonical()
    net.load_state_dict(given, strict=True)
    assert all(int(value.abs().sum()) == 0 for value in net.state_dict().values())


def test_first_weights_are_spread_as_the_references(net: SparseUNet) -> None:
    fresh = SparseUNet()
    fan_out = 27 * 256
    assert float(fresh.get_parameter("block4.5.conv2.kernel").detach().std()) == pytest.approx(
        (2 / fan_out) ** 0.5, 0.02
    )
    bound = (8 * 256) ** -0.5
    assert float(fresh.get_parameter("convtr4p16s2.kernel").detach().abs().max()) == pytest.approx(
        bound, 0.01
    )
    assert float(fresh.get_parameter("final.kernel").detach().std()) == pytest.approx((2 / 96) ** 0.5, 0.1)


@pytest.mark.parametrize("name", ["spconv", "minkowski"])
def test_backends_agree_on_the_whole_network(net: SparseUNet, name: BackendName) -> None:
    dense.backend(name)
    other = SparseUNet(backend=name).eval()
    other.load_state_dict(net.state_dict(), strict=True)
    coordinates, colours = voxels()
    outputs, gradients = [], []
    for each in (net, other):
        each.zero_grad()
        out = each(coordinates, colours)
        out.square().mean().backward()
        outputs.append(out.detach())
        gradients.append({key: p.grad for key, p in each.named_parameters()})
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-3, atol=1e-4)
    for key, expected in gradients[0].items():
        found = gradients[1][key]
        assert expected is not None
        assert found is not None
        # An output of ReLU that differs in its last bit around 0 moves a gradient a little.
        assert float((found - expected).norm() / expected.norm()) < 2e-3, key


def test_each_kernel_map_is_built_once(net: SparseUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[int, int]] = []
    halved: list[int] = []
    neighbours, coarser = Lattice.neighbours, Lattice.coarser

    def counted(self: Lattice, size: int) -> Tensor:
        built.append((len(self), size))
        return neighbours(self, size)

    def counted_halves(self: Lattice) -> tuple[Lattice, Tensor]:
        halved.append(len(self))
        return coarser(self)

    monkeypatch.setattr(Lattice, "neighbours", counted)
    monkeypatch.setattr(Lattice, "coarser", counted_halves)
    plans = []
    plan = torch_backend.plan
    monkeypatch.setattr(torch_backend, "plan", lambda table: plans.append(table.shape) or plan(table))
    coordinates, colours = voxels()
    net(coordinates, colours).sum().backward()
    # 5³ on the voxels and 3³ on each of five levels; between levels one map, seen from both sides.
    assert sorted(size for _, size in built) == [3, 3, 3, 3, 3, 5]
    assert len(set(built)) == 6
    assert len(halved) == 4
    assert len(plans) == 6 + 4 * 2


def test_spconv_builds_each_rulebook_once(net: SparseUNet, monkeypatch: pytest.MonkeyPatch) -> None:
    dense.backend("spconv")
    from spconv.pytorch import ops

    built = []
    build = ops.get_indice_pairs
    monkeypatch.setattr(
        ops, "get_indice_pairs", lambda *args, **more: built.append(args[4]) or build(*args, **more)
    )
    SparseUNet(backend="spconv")(*voxels())
    assert len(built) == 1 + 5 + 4


def test_permuted_rows_give_permuted_outputs(net: SparseUNet) -> None:
    coordinates, colours = voxels()
    order = torch.randperm(len(coordinates), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        assert torch.equal(net(coordinates, colours)[order], net(coordinates[order], colours[order]))


def test_batch_items_do_not_see_each_other_and_may_be_missing(net: SparseUNet) -> None:
    coordinates, colours = voxels(0, 2)
    with torch.no_grad():
        together = net(coordinates, colours)
        for item in (0, 2):
            mine = coordinates[:, 0] == item
            torch.testing.assert_close(
                net(coordinates[mine], colours[mine]), together[mine], rtol=1e-4, atol=1e-4
            )


def test_moving_by_the_coarsest_stride_changes_nothing(net: SparseUNet) -> None:
    coordinates, colours = voxels()
    moved = coordinates + torch.tensor([0, -160, 16, 48], dtype=torch.int32)
    with torch.no_grad():
        assert torch.equal(net(coordinates, colours), net(moved, colours))


@pytest.mark.parametrize("name", dense.BACKENDS)
@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_batch_and_a_single_voxel_pass_in_training(name: BackendName, count: int) -> None:
    dense.backend(name)
    net = SparseUNet(backend=name).train()
    out = net(torch.zeros((count, 4), dtype=torch.int32), torch.rand(count, 3))
    assert out.shape == (count, 96)
    out.sum().backward()
    # Every parameter takes part, as DDP wants.
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())
    assert all(bool(value.isfinite().all()) for value in net.state_dict().values())


@pytest.mark.parametrize("name", dense.BACKENDS)
def test_autocast_stays_near_full_precision(net: SparseUNet, name: BackendName) -> None:
    dense.backend(name)
    other = SparseUNet(backend=name).eval()
    other.load_state_dict(net.state_dict())
    coordinates, colours = voxels()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = other(coordinates, colours)
        loss = out.float().square().mean()
    loss.backward()
    gradient = other.get_parameter("conv0p1s1.kernel").grad
    assert gradient is not None
    assert gradient.dtype == torch.float32
    assert bool(gradient.isfinite().all())
    expected = net(coordinates, colours).detach()
    assert float((out.detach().float() - expected).norm() / expected.norm()) < 0.1


def test_a_copy_computes_the_same(net: SparseUNet) -> None:
    coordinates, colours = voxels()
    out = net(coordinates, colours)
    assert torch.equal(copy.deepcopy(net)(coordinates, colours), out)


def test_a_backend_that_is_not_there_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in (("spconv", "spconv.pytorch"), ("minkowski", "MinkowskiEngine")):
        monkeypatch.delitem(sys.modules, f"pri3d_train.sparse.{name}_backend", raising=False)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UsageError, match=f"backend '{name}' needs .* To install it: "):
            find_backend(name)
    with pytest.raises(UsageError, match="no sparse backend 'cuda'"):
        find_backend("cuda")
    assert SparseUNet(backend="auto").backend_name == "torch"


def test_wrong_input_is_refused(net: SparseUNet) -> None:
    coordinates, colours = voxels()
    with pytest.raises(UsageError, match="integers, batch index first"):
        net(coordinates.float(), colours)
    with pytest.raises(UsageError, match="integers, batch index first"):
        net(coordinates[:, 1:], colours)
    with pytest.raises(UsageError, match="one floating-point row a voxel"):
        net(coordinates, colours[1:])
    with pytest.raises(UsageError, match="more than once"):
        net(torch.cat([coordinates, coordinates[:1]]), torch.cat([colours, colours[:1]]))


def test_sorting_is_not_seen_in_the_output(net: SparseUNet) -> None:
    coordinates, colours = voxels()
    _, order = sort_cells(coordinates, margin=2)
    with torch.no_grad():
        torch.testing.assert_close(net(coordinates[order], colours[order]), net(coordinates, colours)[order])
