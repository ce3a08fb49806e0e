import os
import pickle

import pytest
import torch

from pri3d_data.errors import DataError, StorageError, UsageError
from pri3d_train import checkpoint
from pri3d_train.config import CheckpointConfig, PretrainConfig
from pri3d_train.initialise import initialise, load_network
from pri3d_train.pair_model import PairModel


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    return PairModel("resnet18")


@pytest.fixture(scope="module")
def torchvision_state(model):
    """The layout of a resnet18 file: flat keys and a classifier."""
    state = {name: value + 1 for name, value in model.backbone.encoder.state_dict().items()}
    return {**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}


def test_a_torchvision_file_fills_the_encoder_and_nothing_else(tmp_path, model, torchvision_state):
    file = str(tmp_path / "resnet18.pth")
    torch.save(torchvision_state, file)
    fresh = PairModel("resnet18")
    decoder = {name: value.clone() for name, value in fresh.backbone.decoder.state_dict().items()}
    assert "120 of 120 tensors" in initialise(fresh, file)
    for name, value in fresh.backbone.encoder.state_dict().items():
        assert torch.equal(value, torchvision_state[name]), name
    assert all(
        torch.equal(value, decoder[name]) for name, value in fresh.backbone.decoder.state_dict().items()
    )


def test_torchvision_s_first_files_lack_counters_and_load_all_the_same(tmp_path, torchvision_state):
    old = {
        name: value for name, value in torchvision_state.items() if not name.endswith("num_batches_tracked")
    }
    torch.save(old, tmp_path / "old.pth")
    assert "100 of 120 tensors" in initialise(PairModel("resnet18"), str(tmp_path / "old.pth"))


def test_a_published_checkpoint_fills_encoder_and_decoder_past_its_other_heads(tmp_path, model):
    content = {
        "model": {**model.state_dict(), "w2d.weight": torch.zeros(64, 32), "headnet.bias": torch.zeros(1)}
    }
    torch.save({**content, "step": 5}, tmp_path / "checkpoint5.pth")
    fresh = PairModel("resnet18")
    initialise(fresh, str(tmp_path / "checkpoint5.pth"))
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in model.state_dict().items())
    network, said = load_network(str(tmp_path / "checkpoint5.pth"))
    assert said.startswith("resnet18: ")
    assert not network.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: s.update({"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}),
            "is 64x64x1x1 and should be 64x64x3x3",
        ),
        (lambda s: s.pop("layer4.1.bn2.bias"), "layer4.1.bn2.bias is missing"),
        (lambda s: s.update({"layer1.2.conv1.weight": torch.zeros(1)}), "layer1.2.conv1.weight has no place"),
        (
            lambda s: [s.update({"module." + name: s.pop(name)}) for name in list(s)],
            "none of its 122 tensors",
        ),
    ],
)
def test_a_file_that_fits_only_partly_is_refused(tmp_path, torchvision_state, change, message):
    state = dict(torchvision_state)
    change(state)
    torch.save(state, tmp_path / "wrong.pth")
    fresh = PairModel("resnet18")
    before = fresh.backbone.encoder.conv1.weight.clone()
    with pytest.raises(DataError, match=message):
        initialise(fresh, str(tmp_path / "wrong.pth"))
    assert torch.equal(fresh.backbone.encoder.conv1.weight, before)


class Payload:
    def __reduce__(self):
        return os.mkdir, ("ran-code",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_with_code_in_it_is_refused_and_does_not_run(tmp_path, monkeypatch, legacy):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Payload()}, "evil.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(DataError, match=r"evil\.pth"):
        load_network("evil.pth")
    assert not (tmp_path / "ran-code").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"<html>404</html>", pickle.dumps([1, 2])])
def test_what_is_no_torch_file_is_named(tmp_path, content):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"weights\.pth"):
        initialise(PairModel("resnet18"), str(tmp_path / "weights.pth"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"nothing\.pth cannot be read"):
        load_network(str(tmp_path / "nothing.pth"))


CONFIG = PretrainConfig("resnet18", checkpoint=CheckpointConfig(every=1, keep=2))


def save(run, step, config=CONFIG):
    small = torch.nn.Linear(2, 2)
    return checkpoint.save(run, step, small, torch.optim.SGD(small.parameters(), 0.1), {"epoch": 0}, config)


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for step in (1, 2, 9, 10):
        save(tmp_path, step)
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "step-000009.pt",
        "step-000010.pt",
    ]


def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    save(tmp_path, 1)
    whole = save(tmp_path, 2)
    folder = tmp_path / "checkpoints"
    (folder / "step-000003.pt").write_bytes(whole.read_bytes()[:-100])
    (folder / ".step-000004.pt.partial").write_bytes(whole.read_bytes())
    assert checkpoint.latest(tmp_path) == whole


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(tmp_path, monkeypatch):
    before = save(tmp_path, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"step-000002\.pt could not be written.*No space"):
        save(tmp_path, 2)
    assert checkpoint.latest(tmp_path) == before


def test_starts_that_would_mix_two_runs_are_refused(tmp_path):
    first = save(tmp_path, 1)
    save(tmp_path, 2)
    assert checkpoint.choose(tmp_path / "other", "never") is None
    assert checkpoint.choose(tmp_path / "other", "auto") is None
    assert checkpoint.choose(tmp_path / "other", str(tmp_path)).name == "step-000002.pt"
    with pytest.raises(UsageError, match="another --output"):
        checkpoint.choose(tmp_path, "never")
    with pytest.raises(UsageError, match=r"step-000002\.pt, which is later"):
        checkpoint.choose(tmp_path, str(first))
    with pytest.raises(UsageError, match="no whole checkpoint"):
        checkpoint.choose(tmp_path, str(tmp_path / "nowhere"))


def test_a_checkpoint_of_another_backbone_says_which(tmp_path, model):
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    file = checkpoint.save(tmp_path, 1, model, optimizer, {}, CONFIG)
    with pytest.raises(UsageError, match="--backbone resnet18"):
        checkpoint.restore(file, model, optimizer, PretrainConfig("resnet50"))


def test_a_checkpoint_of_other_shapes_names_the_tensor(tmp_path):
    file = save(tmp_path, 1)
    wider = torch.nn.Linear(3, 2)
    with pytest.raises(DataError, match="weight is 2x2 and should be 2x3"):
        checkpoint.restore(file, wider, torch.optim.SGD(wider.parameters(), 0.1), CONFIG)
    assert wider.weight.shape == (2, 3)


def test_an_optimiser_of_other_parameters_is_named(tmp_path):
    file = save(tmp_path, 1)
    small = torch.nn.Linear(2, 2)
    with pytest.raises(DataError, match=r"step-000001\.pt: its optimiser state does not fit"):
        checkpoint.restore(file, small, torch.optim.SGD([small.weight], 0.1), CONFIG)
