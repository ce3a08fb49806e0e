from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pri3d_data import byte_source
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


class FaultyStorage(MemoryFileSystem):
    """Does to each request what ``faults`` says next; nothing once they are used up."""

    protocol = "faulty"
    faults: ClassVar[list[str]] = []
    requests: ClassVar[list[tuple[int, int]]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path.removeprefix("faulty://")

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **settings: object
    ) -> bytes:
        assert start is not None
        assert end is not None
        self.requests.append((start, end))
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "503":
            raise OSError("503 Slow Down")
        if fault == "reset":
            raise RuntimeError("the connection was reset by its peer")
        data = bytes(super().cat_file(path, start=start, end=end, **settings))
        return data[: len(data) // 2] if fault == "short" else data


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FaultyStorage]]:
    fsspec.register_implementation("faulty", FaultyStorage, clobber=True)
    monkeypatch.setattr(byte_source, "_FIRST_WAIT_S", 0.0001)
    monkeypatch.setattr(FaultyStorage, "requests", [])
    storage = fsspec.filesystem("faulty")
    storage.pipe_file("/bytes", CONTENT)
    yield FaultyStorage
    storage.rm("/bytes")


@pytest.mark.parametrize("faults", [["503"], ["reset"], ["short"], ["503", "short", "reset", "503", "short"]])
def test_a_request_that_failed_or_came_back_short_is_repeated(
    faulty: type[FaultyStorage], monkeypatch: pytest.MonkeyPatch, faults: list[str]
) -> None:
    monkeypatch.setattr(faulty, "faults", [*faults])
    with ByteSource("faulty:///bytes") as source:
        assert source.read(100, 50) == CONTENT[100:150]
    # Not a byte more than was asked for, each time.
    assert faulty.requests == [(100, 150)] * (len(faults) + 1)


@pytest.mark.parametrize(
    ("fault", "said"), [("503", "503 Slow Down"), ("reset", "reset by its peer"), ("short", "25 of 50")]
)
def test_storage_that_keeps_failing_is_given_up_with_its_reason(
    faulty: type[FaultyStorage], monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    monkeypatch.setattr(faulty, "faults", [fault] * 100)
    with ByteSource("faulty:///bytes") as source, pytest.raises(DataError, match=said) as caught:
        source.read(100, 50)
    assert caught.value.offset == 100
    assert len(faulty.requests) == 6
