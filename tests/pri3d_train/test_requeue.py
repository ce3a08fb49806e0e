import os
import signal
import sys

import pytest
from click.testing import CliRunner
from pretend_stream import PretendStream

import shards.stream
from pri3d_train.cli import main

FAKE = """#!{python}
import os, sys
saved = sorted(os.listdir({checkpoints!r}))
open({record!r}, "a").write(" ".join(sys.argv[1:]) + " after " + " ".join(saved) + "\\n")
if {refuses}:
    sys.exit("slurm_requeue error: Job is pending execution")
"""


class Signalled(PretendStream):
    """Sends this process a signal while the second step's pairs are read."""

    number = signal.SIGUSR1

    def __init__(self, datasets, *, seed, matches, **_):
        super().__init__(2, 4, (64, 64), min(matches, 32), seed)

    def pair(self, epoch, turn, lane):
        if (epoch, turn, lane) == (0, 1, 0):
            os.kill(os.getpid(), self.number)
        return super().pair(epoch, turn, lane)


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Runs the command inside a pretended job 4711; gives its result and what scontrol was asked."""
    record, run = tmp_path / "asked", tmp_path / "run"
    monkeypatch.setattr(shards.stream, "PairStream", Signalled)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def start(number=signal.SIGUSR1, scontrol=True, refuses=False):
        monkeypatch.setattr(Signalled, "number", number)
        if scontrol:
            fake = tmp_path / "bin" / "scontrol"
            fake.parent.mkdir()
            told = {"checkpoints": str(run / "checkpoints"), "record": str(record), "refuses": refuses}
            fake.write_text(FAKE.format(python=sys.executable, **told))
            fake.chmod(0o755)
        options = ["--view", "--backbone", "resnet18", "--steps", "4", "--batch-size", "2", "--workers", "0"]
        command = [
            "pretrain",
            "--data",
            "out",
            "--output",
            str(run),
            "--matches",
            "32",
            *options,
            "--requeue",
        ]
        done = CliRunner().invoke(main, command)
        return done, record.read_text() if record.exists() else ""

    return start


def test_a_job_out_of_time_saves_and_then_asks_to_be_run_again(job):
    done, asked = job()
    assert done.exit_code == 3, done.output
    assert asked == "requeue 4711 after step-000002.pt\n"
    assert "Stopped, resumable" in done.stderr
    assert "Job 4711 is back in the queue" in done.stderr


def test_a_cancelled_job_stays_cancelled(job):
    done, asked = job(number=signal.SIGTERM)
    assert (done.exit_code, asked) == (3, "")
    assert "Stopped, resumable" in done.stderr


@pytest.mark.parametrize(
    ("how", "reason"), [({"refuses": True}, "Job is pending"), ({"scontrol": False}, "No such file")]
)
def test_a_queue_that_refuses_leaves_the_checkpoint_and_says_what_to_do(job, tmp_path, how, reason):
    done, _ = job(**how)
    assert done.exit_code == 3
    assert reason in done.stderr
    assert "Submit it again" in done.stderr
    assert (tmp_path / "run" / "checkpoints" / "step-000002.pt").exists()


def test_outside_a_job_there_is_nothing_to_requeue(job, monkeypatch, tmp_path):
    monkeypatch.delenv("SLURM_JOB_ID")
    done, _ = job()
    assert done.exit_code == 2
    assert "SLURM_JOB_ID is not set" in done.stderr
    assert not (tmp_path / "run").exists()
