"""Building into a bucket of a real S3 server, and streaming out of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from object_storage import s3_server

from shards.dataset import Dataset
from shards.stream import PairStream
from shards.verify import verify

OPTIONS = ["--stride", "4", "--image-size", "48x64", "--shard-mb", "1", "--workers", "1"]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


def command(raw: Path, out: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "pipelines.cli",
        "build",
        "scannet",
        "--input",
        str(raw),
        "--output",
        out,
        *OPTIONS,
    ]


def files_of(url: str) -> dict[str, bytes]:
    fs, top = fsspec.core.url_to_fs(url)
    fs.invalidate_cache()
    return {path.removeprefix(top).lstrip("/"): fs.cat_file(path) for path in fs.find(top)}


def test_a_build_killed_on_its_way_into_a_bucket_ends_as_it_would_on_a_disk(
    bucket: str, made_up: Path, undisturbed: Path
) -> None:
    out = f"{bucket}/killed"
    build = subprocess.Popen(command(made_up, out), stderr=subprocess.DEVNULL, start_new_session=True)
    fs, _ = fsspec.core.url_to_fs(out)
    until = time.monotonic() + 60
    while build.poll() is None and time.monotonic() < until:
        fs.invalidate_cache()
        if any("records/" in path for path in fs.find("bucket/killed")):
            break
        time.sleep(0.05)
    os.killpg(build.pid, signal.SIGKILL)
    build.wait()
    assert not fs.exists("bucket/killed/dataset.json")
    done = subprocess.run(command(made_up, out), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    there = files_of(out)
    here = {str(p.relative_to(undisturbed)): p.read_bytes() for p in undisturbed.rglob("*") if p.is_file()}
    same = [name for name in here if name.startswith(("shards/", "tables/"))]
    assert len(same) > 5
    # Nothing is left behind either.
    assert set(there) == set(here) - {".lock"}
    assert all(there[name] == here[name] for name in same)
    assert list(verify(Dataset(out))) == []


def test_pairs_out_of_a_bucket_are_those_out_of_a_folder(bucket: str, undisturbed: Path) -> None:
    fs, _ = fsspec.core.url_to_fs(bucket)
    fs.put(f"{undisturbed}/", "bucket/copy/", recursive=True)
    remote, local = (PairStream([root], seed=0, lanes=4) for root in (f"{bucket}/copy", str(undisturbed)))
    assert remote.identity == local.identity
    for turn, true in zip(remote.epoch(0), local.epoch(0), strict=True):
        for pair, twin in zip(turn, true, strict=True):
            assert (pair.scene, pair.frame_a, pair.frame_b) == (twin.scene, twin.frame_a, twin.frame_b)
            assert (pair.image_a == twin.image_a).all()
            assert (pair.matches == twin.matches).all()
