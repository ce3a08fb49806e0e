import json

import pytest

from pri3d_data.errors import UsageError
from pri3d_train.config import CheckpointConfig, ComputeConfig, LossConfig, PretrainConfig, SgdConfig, preset
from pri3d_train.pretrain_command import configured, pretrain
from pri3d_train.schedule import batch_norm_momentum, learning_rate


def test_the_paper_s_rate_ends_at_the_value_the_paper_implies():
    paper = preset("paper")
    rate = [learning_rate(paper.schedule, paper.sgd.lr, step, paper.steps) for step in (0, 999, 1000, 59_999)]
    assert rate[:2] == [0.1, 0.1]
    assert rate[2] == pytest.approx(0.099)
    assert rate[3] == pytest.approx(0.1 * 0.99**59)
    assert (paper.batch_size, paper.sgd.momentum, paper.sgd.dampening, paper.sgd.weight_decay) == (
        64,
        0.9,
        0.0,
        0.0,
    )


def test_the_reference_rate_follows_the_authors_polynomial():
    reference = preset("reference")
    assert (reference.steps, reference.sgd.dampening) == (65_625, 0.1)
    # Their values after one, two, three and four of five epochs.
    for epoch, expected in enumerate((0.1, 0.0818, 0.0631, 0.0438, 0.0235)):
        rate = learning_rate(reference.schedule, reference.sgd.lr, epoch * 13_125, reference.steps)
        assert rate == pytest.approx(expected, abs=6e-5)
    last = learning_rate(reference.schedule, reference.sgd.lr, reference.steps - 1, reference.steps)
    assert last == pytest.approx(9e-6, rel=0.1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PretrainConfig(steps=0),
        lambda: PretrainConfig(batch_size=0),
        lambda: PretrainConfig(matches=1),
        lambda: PretrainConfig(workers=-1),
        lambda: PretrainConfig(seed=-1),
        lambda: PretrainConfig(backend="cuda"),
        lambda: PretrainConfig(trivial=True),
        lambda: PretrainConfig(trivial=True, augment=True, losses=LossConfig(1.0, 1.0)),
        lambda: LossConfig(temperature=0.0),
        lambda: LossConfig(view=-1.0),
        lambda: LossConfig(view=0.0, depth=1.0),
        lambda: LossConfig(geo=float("inf")),
        lambda: ComputeConfig(precision="fp16"),
        lambda: ComputeConfig(accumulate=0),
        lambda: ComputeConfig(clip=-1.0),
        lambda: ComputeConfig(ema=1.0),
        lambda: PretrainConfig(backbone="vgg"),
        lambda: SgdConfig(lr=float("nan")),
        lambda: SgdConfig(momentum=1.0),
        lambda: CheckpointConfig(keep=0),
        lambda: preset("papre"),
    ],
)
def test_what_cannot_work_is_refused_with_a_way_out(make):
    with pytest.raises(UsageError, match=r": (give|use|the paper's)"):
        make()


def test_a_configuration_is_plain_enough_for_json():
    assert json.loads(json.dumps(preset("reference").as_dict()))["schedule"]["kind"] == "poly"


def test_the_reference_run_has_the_depth_loss_unless_told_otherwise():
    def losses(*options):
        command = ["--data", "out", "--output", "run", "--view", "--geo", *options]
        return configured(pretrain.make_context("pretrain", command).params).losses

    assert losses("--preset", "reference") == LossConfig(1.0, 1.0, 1.0)
    assert losses("--preset", "reference", "--depth-loss", "0") == LossConfig(1.0, 1.0, 0.0)
    assert losses() == LossConfig(1.0, 1.0, 0.0)
    assert losses("--depth-loss", "0.5", "--view-weight", "2") == LossConfig(2.0, 1.0, 0.5)


def test_the_reference_run_augments_and_slows_its_batch_statistics_down():
    assert (preset("reference").augment, preset("reference").bn_decay) == (True, True)
    assert (preset("paper").augment, preset("paper").bn_decay) == (False, False)
    momentum = [batch_norm_momentum(step) for step in (0, 19, 20, 40, 179, 180, 60_000)]
    assert momentum == [0.5, 0.5, 0.25, 0.125, 0.5 / 2**8, 0.001, 0.001]
