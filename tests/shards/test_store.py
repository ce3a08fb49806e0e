from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pri3d_data.errors import DataError, StorageError
from shards.store import Store


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("a/b.bin", [b"old"])

    def breaks() -> Iterator[bytes]:
        yield b"new"
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        store.write("a/b.bin", breaks())
    assert store.read("a/b.bin") == b"old"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.bin"]


def test_a_full_disk_is_said_with_what_to_do(tmp_path: Path) -> None:
    store = Store(str(tmp_path))

    def full() -> Iterator[bytes]:
        yield b"some"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"No space left.*Free some space"):
        store.write("a.bin", full())
    assert list(tmp_path.iterdir()) == []


def test_the_same_calls_work_on_an_object_store() -> None:
    store = Store("memory://bucket/out")
    store.write("x/one.bin", [b"0123", b"456789"])
    store.write("x/two.bin", [b"two"])
    assert store.list("x") == ["one.bin", "two.bin"]
    assert b"".join(store.read_range("x/one.bin", 2, 5)) == b"23456"
    store.rename("x/one.bin", "y/one.bin")
    assert store.read("y/one.bin") == b"0123456789"
    store.remove("x/two.bin")
    store.remove("x/two.bin")
    store.remove_folder("y")
    assert not store.exists("y/one.bin")
    fsspec.filesystem("memory").store.clear()


def test_reading_beyond_the_end_is_refused_before_it_is_tried(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write("a.bin", [b"1234"])
    with pytest.raises(DataError, match="ends at byte 4"):
        list(store.read_range("a.bin", 2, 1 << 40))


def test_listing_a_missing_folder_gives_nothing(tmp_path: Path) -> None:
    assert Store(str(tmp_path)).list("nowhere") == []
