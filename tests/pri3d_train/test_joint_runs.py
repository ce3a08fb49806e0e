"""Joint runs on built shards as users start them: killed, out of time, on two ranks, on every backend."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from pri3d_data.errors import UsageError
from pri3d_train.sparse.backend import find_backend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TRAIN = ["-m", "pri3d_train", "pretrain", "--view", "--geo", "--augment", "--backbone", "resnet18"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command(built, run, steps, *options, launcher=()):
    what = ["--data", built / "out", "--output", run, "--steps", steps, "--batch-size", 2, "--log-every", 1]
    words = [sys.executable, *launcher, *TRAIN, *what, "--checkpoint-every", 1, "--workers", 1, *options]
    return [str(word) for word in words]


def train(*args, **options):
    done = subprocess.run(
        command(*args, **options), env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done


def losses(run):
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["loss_view"], line["loss_geo"]) for line in lines]


def wait_for_line(run, number, process):
    """Until the log has so many lines, looking often enough to fall into the step after."""
    log = run / "log.jsonl"
    while not (log.exists() and log.read_text().count("\n") >= number):
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def undisturbed(built, tmp_path_factory):
    run = tmp_path_factory.mktemp("undisturbed")
    train(built, run, 5)
    return losses(run)


def test_a_run_killed_in_the_middle_of_a_step_repeats_it_to_the_bit(built, tmp_path, undisturbed):
    process = subprocess.Popen(command(built, tmp_path, 5), env=ENVIRONMENT, start_new_session=True)
    wait_for_line(tmp_path, 2, process)
    time.sleep(0.3)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(losses(tmp_path)) < 5
    train(built, tmp_path, 5)
    assert losses(tmp_path) == undisturbed


def test_two_ranks_repeat_themselves_and_resume_to_the_bit(built, tmp_path):
    train(built, tmp_path / "whole", 4, launcher=TORCHRUN)
    train(built, tmp_path / "halves", 2, launcher=TORCHRUN)
    train(built, tmp_path / "halves", 4, launcher=TORCHRUN)
    assert len(losses(tmp_path / "whole")) == 4
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")


@contextmanager
def two_processes(built, run, *options, **settings):
    """Two ranks as in docs/training.md: no launcher, srun's variables under torch's names."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"} | settings
    ranks = [
        subprocess.Popen(
            command(built, run, 500, *options),
            env=ENVIRONMENT | place | {"RANK": rank, "LOCAL_RANK": rank},
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    try:
        wait_for_line(run, 2, ranks[0])
        yield ranks
    finally:
        for process in ranks:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def test_a_slurm_step_out_of_time_stops_together_and_is_put_back_once(built, tmp_path):
    run, asked, tools = tmp_path / "run", tmp_path / "asked", tmp_path / "bin"
    tools.mkdir()
    (tools / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (tools / "scontrol").chmod(0o755)
    slurm = {"SLURM_JOB_ID": "4711", "PATH": f"{tools}:{os.environ['PATH']}"}
    with two_processes(built, run, "--requeue", **slurm) as ranks:
        # SLURM signals every process of a step, the loaders among them; one rank hears of it earlier.
        for process in reversed(ranks):
            os.killpg(process.pid, signal.SIGUSR1)
        said = [process.communicate(timeout=300)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [3, 3], said
    assert asked.read_text() == "requeue 4711\n"
    last = losses(run)[-1][0]
    assert (run / "checkpoints" / f"step-{last:06d}.pt").exists()
    assert f"at step {last} of 500" in said[0]


def test_a_rank_whose_partner_dies_says_so_and_stays_resumable(built, tmp_path):
    with two_processes(built, tmp_path) as ranks:
        os.killpg(ranks[1].pid, signal.SIGKILL)
        said = ranks[0].communicate(timeout=300)[1]
    assert ranks[0].returncode == 3, said
    assert "Rank 0 lost another rank" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("backend", ["spconv", "minkowski"])
def test_other_backends_train_the_same_networks(built, tmp_path, undisturbed, backend):
    # MinkowskiEngine's own import fails on new Pythons; ours knows how to go about it.
    try:
        find_backend(backend)
    except UsageError as error:
        pytest.skip(str(error))
    train(built, tmp_path, 3, "--backend", backend)
    for mine, plain in zip(losses(tmp_path), undisturbed[:3], strict=True):
        assert mine == pytest.approx(plain, rel=5e-3)
    # A checkpoint belongs to no backend.
    train(built, tmp_path, 4)
    assert losses(tmp_path)[3] == pytest.approx(undisturbed[3], rel=2e-2)
