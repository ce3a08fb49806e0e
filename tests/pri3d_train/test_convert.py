import pickle

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from pri3d_data.errors import DataError, UsageError
from pri3d_train.cli import main
from pri3d_train.config import LossConfig
from pri3d_train.convert import convert, read_encoder
from pri3d_train.initialise import initialise
from pri3d_train.pair_model import PairModel

#: Pairs that whoever knows both projects would write down; the last part of the name is the same.
NAMES = {
    "conv1": "stem.conv1",
    "bn1": "stem.conv1.norm",
    "layer1.0.conv1": "res2.0.conv1",
    "layer1.0.bn2": "res2.0.conv2.norm",
    "layer2.0.downsample.0": "res3.0.shortcut",
    "layer2.0.downsample.1": "res3.0.shortcut.norm",
    "layer4.1.bn1": "res5.1.conv1.norm",
    "layer4.1.conv2": "res5.1.conv2",
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(6)
    return PairModel("resnet18", LossConfig(1.0, 1.0), torch.nn.Linear(2, 2))


@pytest.fixture(scope="module")
def encoder(model):
    return dict(model.backbone.encoder.state_dict())


@pytest.fixture
def files(tmp_path, model, encoder):
    """The same encoder as each kind of file that is read."""
    query = {f"module.encoder_q.{name}": value for name, value in encoder.items()}
    others = {
        "module.encoder_q.fc.0.weight": torch.zeros(2),
        "module.encoder_k.conv1.weight": torch.zeros(2),
        "module.queue": torch.zeros(2),
    }
    contents = {
        "pri3d": {"model": model.state_dict(), "step": 3},
        "moco": {"epoch": 800, "arch": "resnet18", "state_dict": query | others},
        "torchvision": encoder | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)},
    }
    for kind, content in contents.items():
        torch.save(content, tmp_path / f"{kind}.pth")
    return tmp_path


KINDS = ["pri3d", "moco", "torchvision"]


def assert_same_tensors(left, right):
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_torchvision_file_and_comes_back(files, encoder, kind):
    said = convert(str(files / f"{kind}.pth"), files / "out.pth", "torchvision")
    assert "120 of 120 tensors" in said
    assert_same_tensors(torch.load(files / "out.pth", weights_only=True), encoder)
    convert(str(files / "out.pth"), files / "back.pth", "pri3d")
    assert_same_tensors(read_encoder(str(files / "back.pth"))[0], encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_becomes_a_pickle_that_detectron2_reads(files, encoder, kind):
    convert(str(files / f"{kind}.pth"), files / "out.pkl", "detectron2")
    content = pickle.loads((files / "out.pkl").read_bytes())
    assert content.keys() == {"model", "__author__", "matching_heuristics"}
    assert (content["__author__"], content["matching_heuristics"]) == ("torchvision", True)
    written = content["model"]
    assert len(written) == len(encoder)
    assert all(type(value) is np.ndarray for value in written.values())
    for name, new in NAMES.items():
        for last in ("weight", "running_var") if ".norm" in new else ("weight",):
            assert np.array_equal(written[f"{new}.{last}"], encoder[f"{name}.{last}"].numpy()), name
    # And back, by the opposite renames: nothing was lost or mixed up.
    back = {}
    for name, value in written.items():
        layer = name.replace(".shortcut.norm.", ".downsample.1.").replace(".shortcut.", ".downsample.0.")
        for n in (1, 2, 3):
            layer = layer.replace(f"conv{n}.norm.", f"bn{n}.")
        for n in (2, 3, 4, 5):
            layer = layer.replace(f"res{n}.", f"layer{n - 1}.")
        back[layer.removeprefix("stem.")] = torch.from_numpy(value)
    assert_same_tensors(back, encoder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_made_for_pri3d_starts_a_run(files, encoder, kind):
    convert(str(files / f"{kind}.pth"), files / "start.pth", "pri3d")
    fresh = PairModel("resnet18")
    assert "120 of 120 tensors" in initialise(fresh, str(files / "start.pth"))
    assert_same_tensors(dict(fresh.backbone.encoder.state_dict()), encoder)


def test_deep_encoders_have_one_more_convolution_in_a_block(tmp_path):
    state = PairModel("resnet50").backbone.encoder.state_dict()
    torch.save({f"{name}": value for name, value in state.items()}, tmp_path / "deep.pth")
    assert "resnet50" in convert(str(tmp_path / "deep.pth"), tmp_path / "deep.pkl", "detectron2")
    written = pickle.loads((tmp_path / "deep.pkl").read_bytes())["model"]
    expected = state["layer3.5.bn3.running_mean"].numpy()
    assert np.array_equal(written["res4.5.conv3.norm.running_mean"], expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": {"decoder.weight": torch.zeros(2)}}, "none of its tensors is one of a ResNet"),
        ({"state_dict": {"encoder_q.conv1.weight": torch.zeros(2)}}, "none of its tensors"),
        # The authors' converter makes such names, and their loader then trains from scratch in silence.
        ({"model": {"backbone.conv1.weight": torch.zeros(2)}}, "none of its tensors"),
        ({}, "none of its tensors is one of a ResNet encoder .it has nothing"),
    ],
)
def test_what_matches_nothing_is_refused_and_nothing_written(tmp_path, content, message):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(DataError, match=message):
        convert(str(tmp_path / "other.pth"), tmp_path / "out.pth", "torchvision")
    assert not (tmp_path / "out.pth").exists()


def test_half_an_encoder_is_refused(tmp_path, encoder):
    half = {name: value for name, value in encoder.items() if not name.startswith("layer4")}
    torch.save(half, tmp_path / "half.pth")
    with pytest.raises(DataError, match=r"100 of the network's 120|is missing"):
        convert(str(tmp_path / "half.pth"), tmp_path / "out.pth", "torchvision")


def test_the_command_says_what_matched_and_spares_its_source(files):
    source, target = str(files / "moco.pth"), str(files / "out.pth")
    done = CliRunner().invoke(main, ["convert", source, target, "--to", "torchvision"])
    assert (done.exit_code, "resnet18 of a MoCo checkpoint: 120 of 120 tensors" in done.output) == (0, True)
    done = CliRunner().invoke(main, ["convert", source, source, "--to", "pri3d"])
    assert (done.exit_code, "would replace what it is made from" in done.stderr) == (2, True)
    with pytest.raises(UsageError, match="no averaged weights"):
        convert(str(files / "pri3d.pth"), files / "out.pth", "torchvision", ema=True)
