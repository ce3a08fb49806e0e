from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pri3d_data.errors import DataError, UsageError
from shards import tar

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789_./", min_size=1, max_size=100).filter(
    lambda name: not name.startswith("/") and not name.endswith("/")
)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6)


def written(files: list[tuple[str, bytes]]) -> bytes:
    pieces = [tar.header(name, len(data)) + data + tar.padding(len(data)) for name, data in files]
    return b"".join(pieces) + tar.END


@given(FILES)
def test_the_standard_library_reads_what_we_write(files: list[tuple[str, bytes]]) -> None:
    with tarfile.open(fileobj=io.BytesIO(written(files))) as archive:
        read = [(member.name, archive.extractfile(member).read()) for member in archive]  # type: ignore[union-attr]
        owners = {(member.mtime, member.uid, member.gid, member.mode) for member in archive}
    assert read == files
    assert owners <= {(0, 0, 0, 0o644)}


@given(FILES)
def test_we_read_what_the_standard_library_writes(files: list[tuple[str, bytes]]) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    data = buffer.getvalue()
    read = [(member.name, data[member.start : member.start + member.size]) for member in tar.members(data)]
    assert read == files


def test_a_member_beyond_the_end_is_an_error_that_names_the_place() -> None:
    data = written([("a.txt", b"x" * 100), ("b.txt", b"y" * 5000)])[:-3000]
    with pytest.raises(DataError, match=r"b\.txt.*claims 5000") as caught:
        list(tar.members(data, "shard.tar", 4096))
    assert (caught.value.file, caught.value.offset) == ("shard.tar", 4096 + 1024)


@given(st.integers(0, 511), st.integers(1, 255))
def test_one_flipped_byte_in_a_header_is_noticed_or_harmless(position: int, change: int) -> None:
    data = bytearray(written([("a.txt", b"x" * 100)]))
    data[position] ^= change
    try:
        read = [(m.name, m.start, m.size) for m in tar.members(bytes(data))]
    except DataError:
        return
    # Only the checksum's own separators carry nothing.
    assert read == [("a.txt", 512, 100)]
    assert 148 <= position < 156


def test_names_and_sizes_that_do_not_fit_are_refused() -> None:
    for name, size in (("n" * 101, 1), ("größe", 1), ("a", 1 << 33)):
        with pytest.raises(UsageError, match="cannot hold"):
            tar.header(name, size)
