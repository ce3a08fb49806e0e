import json
import subprocess
import sys

import pytest
from click.testing import CliRunner
from pretend_stream import PretendStream

import shards.stream
from pri3d_data.errors import UsageError
from pri3d_train.cli import main
from pri3d_train.scene_choice import parse_scenes


class Recorded(PretendStream):
    """Takes the arguments of the real stream and asks about its scenes, as that does."""

    def __init__(self, datasets, *, seed, matches=1024, scenes=None, geometry="none", **settings):
        super().__init__(2, 4, (64, 64), min(matches, 32), seed, geometry=geometry)
        for scene in ("scene0", "scene1"):
            assert scenes is None or isinstance(scenes(scene), bool)


@pytest.fixture
def command(monkeypatch):
    monkeypatch.setattr(shards.stream, "PairStream", Recorded)
    monkeypatch.setattr("pri3d_train.probing.ProbeStream", Recorded)
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def test_help_shows_examples_without_loading_torch():
    code = "import sys; from pri3d_train.cli import main; main(sys.argv[1:], standalone_mode=False)"
    code += "; assert 'torch' not in sys.modules"
    for args in (["--help"], ["pretrain", "--help"], ["probe", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert args == ["--help"] or "pri3d-train " + args[0] + " --data" in done.stdout


def test_a_run_from_the_command_line_and_a_probe_of_it(command, tmp_path):
    run = tmp_path / "run"
    options = ["--backbone", "resnet18", "--steps", 2, "--batch-size", 2, "--workers", 0, "--matches", 32]
    done = command("pretrain", "--data", "out", "--output", run, "--view", *options, "--hold-out", "scene1")
    assert done.exit_code == 0, done.output
    assert "Done at step 2 of 2" in done.output
    assert [json.loads(line)["step"] for line in (run / "log.jsonl").read_text().splitlines()] == [1, 2]
    probe = command("probe", "--data", "out", "--checkpoint", run, "--pairs", 2, "--matches", 32, "--json")
    assert json.loads(probe.stdout).keys() == {
        "checkpoint",
        "pairs",
        "matched",
        "random",
        "margin",
        "retrieval",
        "retrieval_2cm",
    }
    assert "margin" in command("probe", "--data", "out", "--checkpoint", run, "--pairs", 1).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "add --view (pixels to pixels), --geo (pixels to voxels) or both"),
        (["--view", "--steps", "0"], "--steps 0 would train nothing"),
        (["--view", "--hold-out", "scene7*"], "--hold-out scene7* is no scene of the data"),
        (["--view", "--init", "missing.pth"], "missing.pth cannot be read"),
        (["--view", "--resume", "missing"], "--resume missing"),
    ],
)
def test_wrong_use_is_one_message_and_no_trace(command, tmp_path, options, message):
    done = command(
        "pretrain", "--data", "out", "--output", tmp_path / "run", "--backbone", "resnet18", *options
    )
    assert done.exit_code == (3 if "missing.pth" in message else 2)
    assert message in done.stderr
    assert done.stderr.startswith("pri3d-train: ")
    assert "Traceback" not in done.output


def test_a_run_folder_is_local(command):
    done = command("pretrain", "--data", "out", "--output", "s3://bucket/run", "--view")
    assert (done.exit_code, "run folder is local" in done.stderr) == (2, True)


def test_scenes_are_names_and_globs():
    kept = parse_scenes("scene07*, scene0001_00", exclude=False)
    assert [kept(name) for name in ("scene0700_00", "scene0001_00", "scene0001_01")] == [True, True, False]
    held_out = parse_scenes("scene07*", exclude=True)
    assert [held_out(name) for name in ("scene0700_00", "scene0001_00")] == [False, True]
    assert parse_scenes(" , ", exclude=True) is None
    with pytest.raises(UsageError, match="scene9"):
        parse_scenes("scene9", exclude=True).check("--hold-out")
