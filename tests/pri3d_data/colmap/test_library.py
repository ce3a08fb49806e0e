from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

PROGRAM = """
from pri3d_data.colmap.library import colmap
colmap().Camera(model="PINHOLE", width=4, height=4, params=[1.0, 1.0, 2.0, 2.0])
import gzip, io, zlib
import numpy as np
data = bytes(range(256)) * 4096
for _ in range(20):
    assert zlib.decompress(zlib.compress(data)) == data
    assert gzip.decompress(gzip.compress(data)) == data
    np.savez_compressed(io.BytesIO(), a=np.frombuffer(data, np.uint8))
print("whole")
"""


def test_compressing_after_pycolmap_does_not_break_the_heap() -> None:
    # pycolmap before zlib aborts here; our module must be the first that this process imports.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "whole"


SIGNALLED = """
import os, signal, sys, threading, time
seen = []
signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
from pri3d_data.colmap.library import colmap
load = threading.Thread(target=colmap) if sys.argv[1] == "thread" else None
if load:
    load.start()
    load.join()
else:
    colmap()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.2)
print(seen == [signal.SIGTERM])
"""


@pytest.mark.parametrize("where", ["main", "thread"])
def test_a_signal_still_reaches_whoever_waited_for_it(where: str) -> None:
    # By itself pycolmap answers SIGTERM with a trace and an end; Dask's workers import it in a thread.
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED, where], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")


def test_nobody_else_imports_pycolmap() -> None:
    importers = set()
    for room in ("pri3d_data", "shards", "pipelines", "pri3d_train"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                if any(name.split(".")[0] == "pycolmap" for name in names):
                    importers.add(path.relative_to(ROOT).as_posix())
    assert importers == {"pri3d_data/colmap/library.py"}


def test_the_command_line_does_not_pay_for_pycolmap() -> None:
    program = "import sys, pipelines.cli; sys.exit('pycolmap' in sys.modules or 'h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT).returncode == 0
