import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pretend_sparse import PretendSparse
from pretend_stream import PretendStream
from rich.console import Console

from pri3d_data.errors import UsageError
from pri3d_train import pretrain as loop
from pri3d_train.config import CheckpointConfig, ComputeConfig, LossConfig, PretrainConfig, SgdConfig
from pri3d_train.distributed import World, join_world
from pri3d_train.divergence import DivergedError
from pri3d_train.dry_run import plan
from pri3d_train.initialise import load_network
from pri3d_train.margin import first_pairs, measure
from pri3d_train.pair_batch import stack_pairs
from pri3d_train.trivial import trivial

ALONE = World(0, 1, torch.device("cpu"))
CONFIG = PretrainConfig(
    "resnet18",
    steps=4,
    batch_size=2,
    matches=64,
    workers=0,
    log_every=1,
    sgd=SgdConfig(lr=0.05),
    checkpoint=CheckpointConfig(every=2, keep=3),
)


def source():
    return PretendStream(size=(64, 64), matches=64, lanes=2, turns=3)


def train(run, config=CONFIG, stream=None, **options):
    return loop.pretrain(
        config, stream or source(), run, ALONE, console=Console(file=io.StringIO()), **options
    )


def log_of(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def losses_of(run):
    return [(line["step"], line["loss"], line["lr"]) for line in log_of(run)]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("undisturbed")
    assert train(run) == loop.Outcome(4, False)
    return run


def weights(run, step):
    return torch.load(run / "checkpoints" / f"step-{step:06d}.pt", weights_only=True)


def test_every_logged_line_says_what_scripts_read(undisturbed):
    for line in log_of(undisturbed):
        assert line.keys() == {
            *("step", "loss", "loss_view", "lr", "samples_per_s", "data_wait", "memory_mb", "matches")
        }
        assert line["loss"] == line["loss_view"]
        assert 0 <= line["data_wait"] <= 1
        assert line["samples_per_s"] > 0
        assert (line["matches"], line["lr"]) == (64, 0.05)
    # Untrained features make about log(matches); noise tells pixels apart easily, so it falls at once.
    losses = [loss for _, loss, _ in losses_of(undisturbed)]
    assert losses[0] < 4.5
    assert losses[-1] < losses[0]


def test_tensorboard_gets_the_curves(undisturbed):
    assert list((undisturbed / "tensorboard").glob("events.*"))


class Interrupting(PretendStream):
    """Sends this process a signal while the pairs of the third step are read."""

    def pair(self, epoch, turn, lane):
        if (epoch, turn, lane) == (0, 2, 0):
            os.kill(os.getpid(), signal.SIGTERM)
        return super().pair(epoch, turn, lane)


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def assert_same(left, right):
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for name in left:
            assert_same(left[name], right[name])
    elif isinstance(left, (list, tuple)):
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    else:
        assert left == right


def test_a_stopped_run_goes_on_as_if_it_had_not_been(undisturbed, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    stream = Interrupting(size=(64, 64), matches=64, lanes=2, turns=3)
    assert train(tmp_path, stream=stream) == loop.Outcome(3, True)
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints(tmp_path) == ["step-000002.pt", "step-000003.pt"]
    # What a crash leaves behind after the checkpoint: a line of a step to be done again, and half a line.
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 4, "loss": 0.0}) + '\n{"step": 5, "lo')
    torch.rand(7)
    assert train(tmp_path) == loop.Outcome(4, False)
    assert losses_of(tmp_path) == losses_of(undisturbed)
    assert_same(weights(tmp_path, 4), weights(undisturbed, 4))
    assert train(tmp_path) == loop.Outcome(4, False)
    assert losses_of(tmp_path) == losses_of(undisturbed)


def test_an_earlier_checkpoint_continues_elsewhere_with_this_run_s_settings(undisturbed, tmp_path):
    config = replace(CONFIG, steps=3, sgd=SgdConfig(lr=0.01, momentum=0.5))
    start = str(undisturbed / "checkpoints" / "step-000002.pt")
    train(tmp_path, config, resume=start)
    assert [(step, lr) for step, _, lr in losses_of(tmp_path)] == [(3, 0.01)]
    assert losses_of(tmp_path)[0][1] == losses_of(undisturbed)[2][1]
    assert weights(tmp_path, 3)["optimizer"]["param_groups"][0]["momentum"] == 0.5


def test_a_run_of_another_seed_does_not_take_over_a_checkpoint(undisturbed, tmp_path):
    other = replace(source(), seed=1)
    with pytest.raises(UsageError, match=r"has order 0-.*this run 1-"):
        train(tmp_path, replace(CONFIG, seed=1), other, resume=str(undisturbed))


def test_a_loss_that_is_no_number_stops_before_it_is_saved_and_leaves_its_batch(tmp_path):
    config = replace(CONFIG, sgd=SgdConfig(lr=1e30), checkpoint=CheckpointConfig(1, 9))
    with pytest.raises(DivergedError, match=r"became nan at step 2 .*nan-batch\.pt.*lower --lr"):
        train(tmp_path, config)
    assert checkpoints(tmp_path) == ["step-000001.pt"]
    (batch,) = torch.load(tmp_path / "nan-batch.pt", weights_only=True)
    second = [source().pair(0, 1, lane) for lane in (0, 1)]
    assert_same(batch, stack_pairs(second, 64).tensors())


JOINT = replace(
    CONFIG,
    batch_size=1,
    augment=True,
    bn_decay=True,
    losses=LossConfig(1.0, 0.5),
    compute=ComputeConfig(ema=0.5),
)


def joint_source():
    # One lane of two has geometry, so every other step has none at all.
    return replace(source(), geometry="paper", bare_lanes=(1,))


def test_a_joint_augmented_run_resumes_to_the_bit(tmp_path):
    train(tmp_path / "whole", JOINT, joint_source(), sparse=PretendSparse)
    train(tmp_path / "half", replace(JOINT, steps=3), joint_source(), sparse=PretendSparse)
    torch.rand(5)
    train(tmp_path / "half", JOINT, joint_source(), sparse=PretendSparse)
    assert losses_of(tmp_path / "half") == losses_of(tmp_path / "whole")
    assert_same(weights(tmp_path / "half", 4), weights(tmp_path / "whole", 4))
    for line in log_of(tmp_path / "whole"):
        assert line["loss"] == pytest.approx(line["loss_view"] + 0.5 * line["loss_geo"])
        assert (line["loss_geo"] > 0) == (line["step"] % 2 == 1)
    network, _ = load_network(str(tmp_path / "whole"), ema=True)
    average = weights(tmp_path / "whole", 4)["ema"]
    assert torch.equal(network.backbone.encoder.conv1.weight, average["backbone.encoder.conv1.weight"])
    last, _ = load_network(str(tmp_path / "whole"))
    assert not torch.equal(network.backbone.encoder.conv1.weight, last.backbone.encoder.conv1.weight)
    with pytest.raises(UsageError, match=r"losses view\+geo, this run asks for view"):
        train(tmp_path / "half", CONFIG)


class PretendWandb:
    """Weights & Biases as far as it is used, remembering what it was told."""

    def __init__(self):
        self.runs, self.lines, self.ended = [], [], []

    def init(self, **options):
        self.runs.append(options)
        return self

    def log(self, values, step):
        self.lines.append((step, values["train/loss"]))

    def finish(self, exit_code):
        self.ended.append(exit_code)


def test_a_resumed_run_goes_on_with_its_own_curve_at_weights_and_biases(tmp_path, monkeypatch):
    wandb = PretendWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    train(tmp_path, replace(CONFIG, steps=1), wandb="rooms")
    train(tmp_path, replace(CONFIG, steps=2), wandb="rooms")
    first, second = wandb.runs
    assert (first["project"], first["config"]["steps"], second["config"]["steps"]) == ("rooms", 1, 2)
    assert first["id"] == second["id"]
    assert second["resume"] == "allow"
    assert wandb.lines == [(step, loss) for step, loss, _ in losses_of(tmp_path)]
    assert wandb.ended == [0, 0]
    with pytest.raises(DivergedError):
        train(tmp_path / "bad", replace(CONFIG, sgd=SgdConfig(lr=1e30)), wandb="rooms")
    assert wandb.ended == [0, 0, 1]


def test_weights_and_biases_that_is_not_there_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError, match=r"pip install 'pri3d\[wandb\]'"):
        train(tmp_path, wandb="rooms")


def test_geometry_is_asked_for_only_where_there_is_some(tmp_path):
    with pytest.raises(UsageError, match="holds no geometry"):
        train(tmp_path, JOINT, source(), sparse=PretendSparse)


def test_trivial_correspondences_are_one_frame_with_itself(tmp_path):
    pair = source().pair(0, 0, 1)
    same = trivial(pair)
    assert same.image_a is same.image_b is pair.image_a
    assert np.array_equal(same.matches[:, :2], pair.matches[:, :2])
    assert np.array_equal(same.matches[:, 2:], pair.matches[:, :2])
    train(tmp_path, replace(CONFIG, steps=1, trivial=True, augment=True))
    train(tmp_path / "views", replace(CONFIG, steps=1, augment=True))
    assert 0 < log_of(tmp_path)[0]["loss"] < log_of(tmp_path / "views")[0]["loss"]


def test_a_plan_says_what_a_run_would_be(tmp_path):
    config = replace(JOINT, batch_size=4, compute=ComputeConfig(accumulate=2))
    lines = plan(config, joint_source(), ALONE, PretendSparse)
    text = "\n".join(lines)
    assert "1 view + 0.5 geo" in text
    assert "backbone 20.67 M" in text
    assert "pretend" in text
    assert "4 pairs = 1 processes x 2 pieces x 2 pairs" in text
    assert "4 = 2.67 epochs of 6 pairs" in text


def test_pairs_without_matches_train_nothing_and_break_nothing(tmp_path):
    train(tmp_path, replace(CONFIG, steps=1), replace(source(), without_matches=True))
    assert [line["loss"] for line in log_of(tmp_path)] == [0.0]
    assert log_of(tmp_path)[0]["matches"] == 0


def test_a_trained_network_is_found_by_its_run_and_measured(undisturbed):
    network, said = load_network(str(undisturbed))
    assert "194 of 194 tensors" in said
    assert "step-000004.pt" in said
    network.train()  # four steps leave the running statistics far from the data's
    result = measure(network, first_pairs(source(), 3), matches=64)
    assert result.pairs == 3
    assert result.margin == pytest.approx(result.matched - result.random)
    assert result.margin > 0.1
    assert 1 / 64 < result.retrieval <= 1


def test_identical_images_have_the_largest_margin_there_is():
    torch.manual_seed(0)
    network = loop.PairModel("resnet18").train()
    pair = source().pair(0, 0, 0)
    pair.image_b = pair.image_a
    pair.matches[:, 2:] = pair.matches[:, :2]
    result = measure(network, [pair], matches=64)
    assert result.matched == pytest.approx(1.0, abs=1e-4)
    assert result.retrieval > 0.95
    assert -1 <= result.random < 1


def test_a_probe_without_matches_is_refused():
    with pytest.raises(UsageError, match="No pair with matches"):
        measure(loop.PairModel("resnet18"), first_pairs(replace(source(), without_matches=True), 3))


def test_two_ranks_average_their_shares_and_stay_equal(tmp_path):
    script = Path(__file__).with_name("two_ranks.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    done = subprocess.run([*command, tmp_path], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    once, other = (torch.load(tmp_path / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert_same(once, other)
    assert weights(tmp_path, 1)["stream"] == {"version": 2, "epoch": 0, "sample": 4, "order": "0-6-3"}
    # The same step by hand: the global batch is lanes 0 to 3, rank 0 has the even ones.
    torch.manual_seed(0)
    model = loop.PairModel("resnet18")
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    stream = PretendStream(size=(64, 64), matches=32)
    for lanes in ((0, 2), (1, 3)):
        batch = stack_pairs([stream.pair(0, 0, lane) for lane in lanes], 32)
        (model(batch)["loss"] / 2).backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    # Equal to the last bit where the kernels are; another split of the pairs is off by 0.3 of the update.
    for name, value in model.named_parameters():
        update = (value - before[name]).norm()
        assert (value - once[name]).norm() <= 0.02 * update, name
    # The joint run, whose rank 1 has no geometry: nothing hung, and both learnt from what rank 0 saw.
    once, other = (torch.load(tmp_path / f"joint-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert_same(once, other)
    torch.manual_seed(0)
    assert not torch.equal(once["backbone3d.first.weight"], PretendSparse().first.weight)
    assert log_of(tmp_path / "joint")[0]["loss_geo"] > 0


def test_half_of_torchrun_s_variables_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError, match="only RANK"), join_world():
        pass


def test_a_batch_the_ranks_cannot_share_is_refused():
    with pytest.raises(UsageError, match="give 8 or 12"):
        World(0, 4, torch.device("cpu")).share_of(10)
