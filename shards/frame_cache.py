"""Decoded frames kept for as long as their scene is visited, within a stated amount of memory."""

from __future__ import annotations

import zlib
from collections import OrderedDict

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError
from shards.frames import StoredFrame, decode_frame
from shards.pair_index import PairIndex

_OPEN_SHARDS = 32
_ATTEMPTS = 3


class OpenShards:
    """An index's shards, opened as they are needed and the least recently used closed.

    Args:
        paths: local paths or URLs; shards are named by their number among them.
    """

    def __init__(self, paths: list[str]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, ByteSource] = OrderedDict()

    def read(self, shard: int, offset: int, size: int, crc32: int) -> bytes:
        """Bytes of a shard, which are those that were written there.

        Raises:
            DataError: the shard is missing, the range goes beyond it, or its checksum is another.
        """
        for attempt in range(_ATTEMPTS):
            data = self._source(shard).read(offset, size)
            if zlib.crc32(data) == crc32:
                return data
            if attempt + 1 < _ATTEMPTS:
                # What is read ahead or cached on the way may be at fault, not what is stored.
                self._open.pop(shard).close()
        raise DataError(
            "the bytes are not those that were written: their checksum is another.",
            file=self._paths[shard],
            offset=offset,
            remedy="Run `pri3d-data verify` on the data set, then build it again.",
        )

    def _source(self, shard: int) -> ByteSource:
        source = self._open.get(shard)
        if source is None:
            source = self._open[shard] = ByteSource(self._paths[shard])
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return source


class FrameCache:
    """Decoded frames, the least recently used dropped when they outgrow their memory.

    Args:
        index: where frames lie.
        limit_bytes: memory for decoded pixels. It should hold the frames of as many scenes as the caller
            serves lanes; with less, frames are decoded more than once a visit.
        shards: what to read through; its own where it is not given.
    """

    def __init__(self, index: PairIndex, limit_bytes: int, shards: OpenShards | None = None) -> None:
        self._index = index
        self._limit = limit_bytes
        self._frames: OrderedDict[int, StoredFrame] = OrderedDict()
        self._shards = shards or OpenShards(index.shards)
        self._bytes = 0
        self.decoded = 0
        self.bytes_read = 0

    def get(self, row: int) -> StoredFrame:
        """The frame of a row of the frames table, decoded now or earlier."""
        frame = self._frames.get(row)
        if frame is not None:
            self._frames.move_to_end(row)
            return frame
        index = self._index
        shard = int(index.frames.shard[row])
        offset, size = int(index.frames.offset[row]), int(index.frames.bytes[row])
        data = self._shards.read(shard, offset, size, int(index.frames.crc32[row]))
        frame = decode_frame(data, index.shards[shard], offset)
        self.decoded += 1
        self.bytes_read += size
        self._frames[row] = frame
        self._bytes += frame.nbytes
        while self._bytes > self._limit and len(self._frames) > 2:
            self._bytes -= self._frames.popitem(last=False)[1].nbytes
        return frame
