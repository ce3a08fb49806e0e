"""Scenes' geometry kept for as long as they are visited, within a stated amount of memory."""

from __future__ import annotations

import json
import math
from collections import OrderedDict

import numpy as np

from pri3d_data.errors import DataError
from shards import schema
from shards.frame_cache import OpenShards
from shards.frames import split_sample
from shards.npy import read_npy
from shards.pair_index import PairIndex
from shards.parts import Geometry

_BITS = 21
_HALF = 1 << (_BITS - 1)


class GeometryCache:
    """Voxels of the scenes in use, the least recently used dropped when they outgrow their memory.

    Args:
        index: where scenes lie.
        limit_bytes: memory for voxels and colours, 15 bytes a voxel. The scene in use is kept whatever it
            takes; with less than the scenes of the caller's lanes take, scenes are read more than once a
            visit.
        shards: what to read through.
    """

    def __init__(self, index: PairIndex, limit_bytes: int, shards: OpenShards) -> None:
        self._index = index
        self._limit = limit_bytes
        self._shards = shards
        self._scenes: OrderedDict[int, Geometry] = OrderedDict()
        self._bytes = 0
        self.decoded = 0

    def get(self, scene: int) -> Geometry | None:
        """The geometry of a scene of the index, None where it has none.

        Raises:
            DataError: it cannot be read, or is not what the format says.
        """
        index = self._index
        if index.scenes.voxels[scene] == 0:
            return None
        geometry = self._scenes.get(scene)
        if geometry is not None:
            self._scenes.move_to_end(scene)
            return geometry
        shard, offset = int(index.scenes.shard[scene]), int(index.scenes.offset[scene])
        # One read of the scene's whole sample: its pairs lie before the voxels, but are a fraction of them.
        size, crc32 = int(index.scenes.bytes[scene]), int(index.scenes.crc32[scene])
        data = self._shards.read(shard, offset, size, crc32)
        geometry = decode_geometry(data, index.shards[shard], offset)
        self.decoded += 1
        self._scenes[scene] = geometry
        self._bytes += _size(geometry)
        while self._bytes > self._limit and len(self._scenes) > 1:
            self._bytes -= _size(self._scenes.popitem(last=False)[1])
        return geometry


def decode_geometry(data: bytes, file: str = "", offset: int = 0) -> Geometry:
    """The geometry in a scene's own sample.

    Args:
        data: the sample's part of a shard, headers included.
        file, offset: where it came from, for errors.

    Raises:
        DataError: a member is missing or broken, or the voxels are not sorted, each once.
    """
    parts = split_sample(data, file, offset)
    try:
        voxel_m = float(json.loads(parts[schema.SCENE])["voxel_m"])
        if not (math.isfinite(voxel_m) and voxel_m > 0.0):
            raise ValueError(f"voxels of {voxel_m} m")
        voxels = read_npy(parts[schema.VOXELS], "<i4", 3).astype(np.int32)
        colors = read_npy(parts[schema.VOXEL_COLORS], "|u1", 3).copy()
        if len(voxels) != len(colors):
            raise ValueError(f"{len(voxels)} voxels with {len(colors)} colours")
        # What searches in them relies on.
        shifted = voxels.astype(np.int64) + _HALF
        if ((shifted < 0) | (shifted >> _BITS != 0)).any():
            raise ValueError("a voxel lies beyond 2^20 from the world's zero")
        keys = (shifted[:, 0] << (2 * _BITS)) | (shifted[:, 1] << _BITS) | shifted[:, 2]
        if (keys[1:] <= keys[:-1]).any():
            raise ValueError("the voxels are not sorted")
        return Geometry(voxels, colors, voxel_m)
    except KeyError as error:
        reason = f"the sample lacks {error}."
    except (ValueError, TypeError) as error:
        reason = f"the sample cannot be decoded ({error})."
    raise DataError(
        reason,
        file=file,
        offset=offset,
        remedy="Run `pri3d-data verify` on the data set, then build it again.",
    )


def _size(geometry: Geometry) -> int:
    return geometry.voxels.nbytes + geometry.colors.nbytes
