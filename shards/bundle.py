"""A scene as a run of tar members: its own sample first, then each of its frames once, in frame order.

A shard is bundles one after the other, so a scene can be built alone, moved, and found again by its bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from shards import schema, tar


@dataclass(frozen=True, eq=False)
class FrameSample:
    """One frame ready to be stored.

    Attributes:
        frame: number in the capture.
        timestamp_us: microseconds.
        color, color_member: encoded colour image, and `schema.COLOR_JPEG` or `schema.COLOR_PNG`.
        camera, camera_to_world: of the stored colour image; (4, 4) float64, metres.
        depth: 16-bit PNG bytes.
        depth_camera, depth_to_world: of the stored depth image.
        depth_unit_m: metres a depth step stands for.
        chunk_box_m: (2, 3) float64 world corners of the frame's part of the geometry.
        points: measured pixels of the capture's own depth image.
    """

    frame: int
    timestamp_us: int
    color: bytes
    color_member: str
    camera: Camera
    camera_to_world: NDArray[np.float64]
    depth: bytes
    depth_camera: Camera
    depth_to_world: NDArray[np.float64]
    depth_unit_m: float
    chunk_box_m: NDArray[np.float64]
    points: int


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs of a scene, sorted by frame_a, then frame_b.

    Attributes:
        frames: (P, 2) int64 frame numbers, the lower first.
        points, matched: (P, 2) int64 counts for a and b.
        overlap: (P,) float64.
    """

    frames: NDArray[np.int64]
    points: NDArray[np.int64]
    matched: NDArray[np.int64]
    overlap: NDArray[np.float64]

    def among(self, frames: Sequence[int]) -> PairRows:
        """The pairs whose frames are both in ``frames``."""
        keep = np.isin(self.frames, np.asarray(frames, dtype=np.int64)).all(axis=1)
        return PairRows(self.frames[keep], self.points[keep], self.matched[keep], self.overlap[keep])


@dataclass(frozen=True, eq=False)
class Geometry:
    """A scene's surface on the voxel grid.

    Attributes:
        voxels: (V, 3) int32; voxel (i, j, k) spans [i, i + 1) · voxel_m and so on in the world.
        colors: (V, 3) uint8 RGB.
        voxel_m: edge of a voxel in metres.
    """

    voxels: NDArray[np.int32]
    colors: NDArray[np.uint8]
    voxel_m: float


@dataclass(frozen=True)
class Bundle:
    """A scene's bytes and the table rows that describe them, offsets relative to the bundle's start."""

    scene: str
    data: bytes
    sha256: str
    voxels: int
    frame_rows: dict[str, list[Any]] = field(repr=False)
    pair_rows: dict[str, list[Any]] = field(repr=False)


def make_bundle(
    scene: str, dataset: str, frames: Sequence[FrameSample], pairs: PairRows, geometry: Geometry | None
) -> Bundle:
    """Lay out a scene; the bytes are a function of the arguments alone."""
    pieces: list[bytes] = []
    key = schema.scene_key(scene)
    about = {
        "format_version": schema.VERSION,
        "dataset": dataset,
        "scene": scene,
        "frames": [sample.frame for sample in frames],
        "pairs": len(pairs.overlap),
        "voxel_m": geometry.voxel_m if geometry else None,
    }
    _add(pieces, key, schema.SCENE, _json(about))
    _add(pieces, key, schema.PAIRS, _npy(pairs.frames.astype("<i4")))
    _add(pieces, key, schema.OVERLAP, _npy(pairs.overlap.astype("<f4")))
    if geometry is not None:
        _add(pieces, key, schema.VOXELS, _npy(geometry.voxels.astype("<i4")))
        _add(pieces, key, schema.VOXEL_COLORS, _npy(geometry.colors))
    rows: dict[str, list[Any]] = {
        name: [] for name in ("frame", "key", "offset", "bytes", "width", "height", "points", "timestamp")
    }
    at = sum(map(len, pieces))
    for sample in frames:
        before = len(pieces)
        key = schema.frame_key(scene, sample.frame)
        _add(pieces, key, sample.color_member, sample.color)
        _add(pieces, key, schema.DEPTH, sample.depth)
        _add(pieces, key, schema.CAMERA, _json(_camera(sample)))
        size = sum(map(len, pieces[before:]))
        row = (
            sample.frame,
            key,
            at,
            size,
            sample.camera.width,
            sample.camera.height,
            sample.points,
            sample.timestamp_us,
        )
        for column, value in zip(rows.values(), row, strict=True):
            column.append(value)
        at += size
    data = b"".join(pieces)
    pair_rows = {
        "frame_a": pairs.frames[:, 0].tolist(),
        "frame_b": pairs.frames[:, 1].tolist(),
        "points_a": pairs.points[:, 0].tolist(),
        "points_b": pairs.points[:, 1].tolist(),
        "matched_a": pairs.matched[:, 0].tolist(),
        "matched_b": pairs.matched[:, 1].tolist(),
        "overlap": pairs.overlap.tolist(),
    }
    voxels = len(geometry.voxels) if geometry else 0
    return Bundle(scene, data, hashlib.sha256(data).hexdigest(), voxels, rows, pair_rows)


def _camera(sample: FrameSample) -> dict[str, Any]:
    return {
        "frame": sample.frame,
        "timestamp_us": sample.timestamp_us,
        "color": _one_camera(sample.camera, sample.camera_to_world),
        "depth": _one_camera(sample.depth_camera, sample.depth_to_world) | {"unit_m": sample.depth_unit_m},
        "chunk_box_m": sample.chunk_box_m.tolist(),
        "points": sample.points,
    }


def _one_camera(camera: Camera, to_world: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "width": camera.width,
        "height": camera.height,
        "intrinsics": [camera.fx, camera.fy, camera.cx, camera.cy],
        "camera_to_world": to_world.tolist(),
    }


def _add(pieces: list[bytes], key: str, member: str, data: bytes) -> None:
    pieces += (tar.header(f"{key}.{member}", len(data)), data, tar.padding(len(data)))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
