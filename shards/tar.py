"""The few lines of tar that shards need: headers that depend on name and size alone, and a walk over them.

Plain POSIX ustar, so every tar program and `webdataset` reads it. The standard library's writer costs about
ten times as much a member and its reader a seek a member.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pri3d_data.errors import DataError, UsageError

BLOCK = 512
END = bytes(2 * BLOCK)
_LONGEST_NAME = 100
_LARGEST_MEMBER = 8**11 - 1
_AFTER_NAME = b"0000644\0" + b"0000000\0" * 2
# Everything after the checksum: type, link name, magic, version, owner, group, device, prefix, padding.
_TAIL = b"0" + bytes(100) + b"ustar\x0000" + bytes(32) + bytes(32) + b"0000000\0" * 2 + bytes(155) + bytes(12)
_FIXED_SUM = sum(_AFTER_NAME) + sum(b"00000000000\0") + 8 * ord(" ") + sum(_TAIL)


class Member(NamedTuple):
    """One file of a tar: its name, and where its bytes start and how many there are."""

    name: str
    start: int
    size: int


def header(name: str, size: int) -> bytes:
    """The 512-byte header of a regular file, owner root, time zero.

    Raises:
        UsageError: the name is too long or not ASCII, or the file larger than 8 GiB.
    """
    encoded = name.encode("ascii", errors="replace")
    if len(encoded) > _LONGEST_NAME or size > _LARGEST_MEMBER or b"?" in encoded:
        raise UsageError(
            f"a tar cannot hold '{name}' of {size} bytes: at most 100 ASCII characters and 8 GiB."
        )
    octal = b"%011o\0" % size
    checksum = sum(encoded) + sum(octal) + _FIXED_SUM
    return b"".join(
        (
            encoded.ljust(_LONGEST_NAME, b"\0"),
            _AFTER_NAME,
            octal,
            b"00000000000\0",
            b"%06o\0 " % checksum,
            _TAIL,
        )
    )


def padding(size: int) -> bytes:
    """Zeros that fill a member's last block."""
    return bytes(-size % BLOCK)


def members(data: bytes | memoryview, file: str = "", offset: int = 0) -> Iterator[Member]:
    """Walk the files of a tar, or of a whole number of its members.

    Args:
        data: the bytes; a tar's closing zero blocks end the walk.
        file, offset: where the bytes came from, for errors.

    Yields:
        Each file, positions relative to ``data``.

    Raises:
        DataError: a header is broken, or a member goes beyond the end of the data.
    """
    view = memoryview(data)
    at = 0
    while at < len(view):
        block = bytes(view[at : at + BLOCK])
        if block == END[:BLOCK]:
            return
        try:
            if len(block) < BLOCK or block[257:262] != b"ustar" or block[156:157] not in (b"0", b"\0"):
                raise ValueError
            if sum(block) - sum(block[148:156]) + 8 * ord(" ") != int(block[148:156].rstrip(b"\0 "), 8):
                raise ValueError
            size = int(block[124:136].rstrip(b"\0 "), 8)
            name = block[:_LONGEST_NAME].rstrip(b"\0").decode("ascii")
        except ValueError as error:
            raise DataError("no valid tar header here.", file=file, offset=offset + at) from error
        start = at + BLOCK
        if size > len(view) - start:
            raise DataError(
                f"'{name}' claims {size} bytes, {len(view) - start} are left.", file=file, offset=offset + at
            )
        yield Member(name, start, size)
        at = start + size + -size % BLOCK
