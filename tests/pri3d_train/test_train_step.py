import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretend_sparse import PretendSparse
from pretend_stream import PretendStream

from pri3d_data.errors import UsageError
from pri3d_train.averaged import AveragedWeights
from pri3d_train.config import ComputeConfig, LossConfig, PretrainConfig, SgdConfig
from pri3d_train.depth_loss import depth_loss
from pri3d_train.distributed import World
from pri3d_train.pair_batch import stack_pairs
from pri3d_train.pair_model import PairModel
from pri3d_train.train_step import TrainStep, place

ALONE = World(0, 1, torch.device("cpu"))
CONFIG = PretrainConfig("resnet18", steps=9, losses=LossConfig(1.0, 1.0), sgd=SgdConfig(lr=0.5))
STREAM = PretendStream(size=(16, 16), matches=8, geometry="paper")


def model_without_norms():
    torch.manual_seed(1)
    model = PairModel("resnet18", CONFIG.losses, PretendSparse())
    model.backbone = torch.nn.Conv2d(3, 32, 2, 2)
    return model


def after(config, sizes, steps=1, average=None, model=None):
    """The model after ``steps`` steps on four pairs cut into pieces of ``sizes``, and the last terms."""
    model = model or model_without_norms()
    update = TrainStep(config, model, torch.optim.SGD(model.parameters(), 0.5), average, ALONE)
    pairs = [STREAM.pair(0, 0, lane) for lane in range(4)]
    ends = np.cumsum(sizes)
    pieces = [
        stack_pairs(pairs[end - size : end], 8, ("view", "geo"))
        for end, size in zip(ends, sizes, strict=True)
    ]
    for step in range(steps):
        terms = update(pieces, step)
    return model, terms


def test_two_pieces_of_two_make_the_update_of_four():
    start = model_without_norms().state_dict()
    whole, one = after(CONFIG, [4])
    cut, other = after(CONFIG, [2, 2])
    for name, value in whole.state_dict().items():
        assert torch.allclose(value, cut.state_dict()[name], atol=1e-6), name
        assert not torch.equal(value, start[name]), name
    assert {name: float(v) for name, v in one.items()} == pytest.approx(
        {name: float(v) for name, v in other.items()}, rel=1e-5
    )


def test_pieces_have_to_be_equal():
    assert World(0, 2, torch.device("cpu")).share_of(8, 2) == 4
    with pytest.raises(UsageError, match=r"--accumulate 3 .* give 6 or 12"):
        World(0, 2, torch.device("cpu")).share_of(10, 3)


def test_a_clipped_gradient_is_as_long_as_allowed():
    start = model_without_norms()
    model, _ = after(replace(CONFIG, compute=ComputeConfig(clip=1e-3)), [4])
    moved = torch.cat(
        [(a - b).flatten() for a, b in zip(model.parameters(), start.parameters(), strict=True)]
    )
    assert float(moved.detach().norm()) == pytest.approx(0.5 * 1e-3, rel=1e-3)


def test_averaged_weights_follow_by_hand():
    model = model_without_norms()
    average = AveragedWeights(model, 0.75)
    expected = model.w2d.weight.detach().clone()
    for step in range(3):
        after(CONFIG, [4], 1, average, model)
        expected = 0.75 * expected + 0.25 * model.w2d.weight.detach()
        assert torch.allclose(average.state_dict()["w2d.weight"], expected, atol=1e-6), step


@pytest.mark.parametrize(("decays", "momentum"), [(True, 0.25), (False, 0.1)])
def test_batch_norm_s_momentum_is_that_of_the_step(decays, momentum):
    model = model_without_norms()
    model.backbone = torch.nn.Sequential(model.backbone, torch.nn.BatchNorm2d(32))
    config = replace(CONFIG, bn_decay=decays)
    update = TrainStep(config, model, torch.optim.SGD(model.parameters(), 0.0), None, ALONE)
    update([stack_pairs([STREAM.pair(0, 0, 0)], 8, ("view", "geo"))], 25)
    assert model.backbone[1].momentum == momentum


def test_half_precision_gives_nearly_the_same_losses():
    _, full = after(CONFIG, [4])
    _, half = after(replace(CONFIG, compute=ComputeConfig(precision="bf16")), [4])
    for name, value in full.items():
        assert half[name].dtype == torch.float32
        assert float(half[name]) == pytest.approx(float(value), rel=0.02)
        assert float(half[name]) != float(value)


def test_what_this_machine_cannot_do_is_refused_before_the_first_step(monkeypatch, tmp_path):
    with pytest.raises(UsageError, match="--sync-bn works on GPUs only"):
        place(model_without_norms(), replace(CONFIG, compute=ComputeConfig(sync_bn=True)), ALONE)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UsageError, match=r"C\+\+ compiler"):
        place(model_without_norms(), replace(CONFIG, compute=ComputeConfig(compile=True)), ALONE)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler: no g++ here")
def test_a_compiled_network_takes_the_same_steps_under_the_same_names():
    # Batch norm's statistics are left alone: at a rate of 0.5 they would magnify the last bits.
    config = replace(CONFIG, losses=LossConfig(), sgd=SgdConfig(lr=0.01))

    def train(compute):
        torch.manual_seed(3)
        model = place(PairModel("resnet18"), replace(config, compute=compute), ALONE)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        update = TrainStep(replace(config, compute=compute), model, optimizer, None, ALONE)
        stream = PretendStream(size=(64, 64), matches=64)
        batch = [stack_pairs([stream.pair(0, 0, lane) for lane in range(2)], 64)]
        return model, [float(update(batch, step)["loss"]) for step in range(3)]

    plain, losses = train(ComputeConfig())
    compiled, compiled_losses = train(ComputeConfig(compile=True))
    assert compiled_losses == pytest.approx(losses, rel=1e-3)
    assert compiled.state_dict().keys() == plain.state_dict().keys()


def test_weights_that_lie_channels_last_are_the_same_weights():
    torch.manual_seed(4)
    model = PairModel("resnet18").eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    expected = model.features(images)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.backbone.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model.features(images), expected, rtol=1e-3, atol=1e-4)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_depth_loss_is_its_definition_pixel_by_pixel():
    random = np.random.default_rng(4)
    predicted, measured = random.uniform(1, 3, (2, 2, 7, 8))
    measured[0, 2:4, 3] = 0
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    depths, slopes, normals = [], [], []
    for b, y, x in np.ndindex(2, 7, 8):
        if measured[b, y, x] > 0:
            depths.append(np.log(abs(measured[b, y, x] - predicted[b, y, x]) + 0.5))
        if not (0 < y < 6 and 0 < x < 7):
            continue
        around = [image[b, y - 1 : y + 2, x - 1 : x + 2] for image in (predicted, measured)]
        if (around[1] > 0).all():
            (px, py), (dx, dy) = [((a * kernel).sum(), (a * kernel.T).sum()) for a in around]
            slopes.append(np.log(abs(dx - px) + 0.5) + np.log(abs(dy - py) + 0.5))
            p, d = np.array([-px, -py, 1]), np.array([-dx, -dy, 1])
            normals.append(abs(1 - p @ d / np.linalg.norm(p) / np.linalg.norm(d)))
    expected = (np.mean(depths) + np.mean(slopes) + np.mean(normals)) / 3
    loss = depth_loss(torch.from_numpy(predicted).float(), torch.from_numpy(measured).float())
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_depth_that_is_nowhere_costs_nothing_and_is_refused_where_the_stream_has_none():
    predicted = torch.rand(1, 6, 6, requires_grad=True)
    depth_loss(predicted, torch.zeros(1, 6, 6)).backward()
    assert not predicted.grad.any()
    with pytest.raises(UsageError, match="--depth-loss"):
        stack_pairs([STREAM.pair(0, 0, 0)], 8, ("view", "depth"))
