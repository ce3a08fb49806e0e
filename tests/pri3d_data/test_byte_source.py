from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError

CONTENT = bytes(range(256)) * 4


@pytest.fixture(params=["local", "file-url", "memory-url"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory-url":
        memory = fsspec.filesystem("memory")
        name = f"/{uuid4().hex}"
        memory.pipe_file(name, CONTENT)
        yield f"memory:/{name}"
        memory.rm(name)
    else:
        path = tmp_path / "bytes"
        path.write_bytes(CONTENT)
        yield str(path) if request.param == "local" else f"file://{path}"


def test_reads_any_range_in_any_order(stored: str) -> None:
    with ByteSource(stored) as source:
        assert source.size == len(CONTENT)
        for offset, length in ((1000, 24), (0, 4), (513, 100), (0, 1024), (1024, 0), (7, 0)):
            assert source.read(offset, length) == CONTENT[offset : offset + length]


@pytest.mark.parametrize(("offset", "length"), [(1000, 25), (1024, 1), (0, 2**60), (2**62, 2**62), (5000, 0)])
def test_a_range_beyond_the_file_is_refused_with_its_offset_before_reading(
    stored: str, offset: int, length: int
) -> None:
    with ByteSource(stored) as source, pytest.raises(DataError) as caught:
        source.read(offset, length)
    assert (caught.value.file, caught.value.offset) == (stored, offset)
    assert "1024" in caught.value.reason


def test_negative_offsets_and_lengths_are_refused(stored: str) -> None:
    with ByteSource(stored) as source:
        for offset, length in ((-1, 4), (4, -1)):
            with pytest.raises(DataError):
                source.read(offset, length)


def test_closing_twice_is_harmless(stored: str) -> None:
    source = ByteSource(stored)
    source.close()
    source.close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files in /proc")
def test_closing_gives_the_descriptor_back(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(CONTENT)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        with ByteSource(str(path)) as source:
            source.read(0, 1)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (str(tmp_path / "gone.sens"), "memory://gone.sens"):
        with pytest.raises(DataError, match="does not exist") as caught:
            ByteSource(path)
        assert caught.value.file == path


def test_a_folder_is_refused_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder"):
        ByteSource(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(CONTENT)
    path.chmod(0)
    with pytest.raises(DataError, match="Permission denied"):
        ByteSource(str(path))


def test_an_unknown_url_scheme_is_a_data_error_too() -> None:
    with pytest.raises(DataError, match="nosuchscheme"):
        ByteSource("nosuchscheme://bucket/file")


def test_a_file_that_shrinks_while_open_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(CONTENT)
    with ByteSource(str(path)) as source:
        os.truncate(path, 100)
        with pytest.raises(DataError, match="shrank") as caught:
            source.read(90, 100)
    assert caught.value.offset == 90
