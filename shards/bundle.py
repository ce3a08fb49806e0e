"""A scene as a run of tar members: its own sample first, then each of its frames once, in frame order.

A shard is bundles one after the other, so a scene can be built alone, moved, and found again by its bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from shards import schema, tar
from shards.match_rule import PAPER_RULE, LengthUnit, MatchRule
from shards.parts import FrameSample, Geometry, PairRows


@dataclass(frozen=True)
class Bundle:
    """A scene's bytes and the table rows that describe them, offsets relative to the bundle's start.

    ``scene_row`` has the columns of the scenes table that the bundle itself decides.
    """

    scene: str
    data: bytes
    sha256: str
    scene_row: dict[str, Any]
    frame_rows: dict[str, list[Any]] = field(repr=False)
    pair_rows: dict[str, list[Any]] = field(repr=False)


def make_bundle(
    scene: str,
    dataset: str,
    frames: Sequence[FrameSample],
    pairs: PairRows,
    geometry: Geometry | None = None,
    *,
    rule: MatchRule = PAPER_RULE,
    length_unit: LengthUnit = "m",
) -> Bundle:
    """Lay a scene out as tar members.

    Args:
        scene: its name.
        dataset: kind of raw data it came from.
        frames: in ascending order of frame number.
        pairs: of these frames.
        geometry: the scene's surface, if it has one.
        rule: how pixels of its pairs match.
        length_unit: ``m``, or ``scene`` where the scene's lengths are in a unit of its own.

    Raises:
        UsageError: the scene's name cannot be part of a WebDataset key.
    """
    pieces: list[bytes] = []
    key = schema.scene_key(scene)
    about = {
        "format_version": schema.VERSION,
        "dataset": dataset,
        "scene": scene,
        "frames": [sample.frame for sample in frames],
        "pairs": len(pairs.overlap),
        "voxel_m": geometry.voxel_m if geometry else None,
        "length_unit": length_unit,
        "match_rule": rule.name,
        "match_tolerance": rule.tolerance,
    }
    _add(pieces, key, schema.SCENE, _json(about))
    _add(pieces, key, schema.PAIRS, _npy(pairs.frames.astype("<i4")))
    _add(pieces, key, schema.OVERLAP, _npy(pairs.overlap.astype("<f4")))
    if geometry is not None:
        _add(pieces, key, schema.VOXELS, _npy(geometry.voxels.astype("<i4")))
        _add(pieces, key, schema.VOXEL_COLORS, _npy(geometry.colors))
    rows: dict[str, list[Any]] = {
        name: []
        for name in (
            "frame",
            "name",
            "key",
            "offset",
            "bytes",
            "crc32",
            "width",
            "height",
            "points",
            "timestamp",
        )
    }
    at = sum(map(len, pieces))
    own_crc32 = _crc32(pieces)
    for sample in frames:
        before = len(pieces)
        key = schema.frame_key(scene, sample.frame)
        _add_frame(pieces, key, sample)
        size = sum(map(len, pieces[before:]))
        row = (
            sample.frame,
            sample.name,
            key,
            at,
            size,
            _crc32(pieces[before:]),
            sample.camera.width,
            sample.camera.height,
            sample.points,
            sample.timestamp_us,
        )
        for column, value in zip(rows.values(), row, strict=True):
            column.append(value)
        at += size
    data = b"".join(pieces)
    scene_row = {
        "voxels": len(geometry.voxels) if geometry else 0,
        "crc32": own_crc32,
        "length_unit": length_unit,
        "match_rule": rule.name,
        "match_tolerance": rule.tolerance,
    }
    return Bundle(scene, data, hashlib.sha256(data).hexdigest(), scene_row, rows, _pair_rows(frames, pairs))


def _add_frame(pieces: list[bytes], key: str, sample: FrameSample) -> None:
    _add(pieces, key, sample.color_member, sample.color)
    if sample.depth is not None:
        _add(pieces, key, schema.DEPTH, sample.depth.png)
    if sample.label is not None:
        _add(pieces, key, schema.LABEL, sample.label)
    if sample.tracks is not None:
        _add(pieces, key, schema.TRACK_IDS, _npy(sample.tracks.ids.astype("<i4")))
        _add(pieces, key, schema.TRACK_PIXELS, _npy(sample.tracks.pixels.astype("<f4")))
    if sample.match_bits is not None:
        _add(pieces, key, schema.MATCH_BITS, _npy(sample.match_bits))
    _add(pieces, key, schema.CAMERA, _json(_cameras(sample)))


def _pair_rows(frames: Sequence[FrameSample], pairs: PairRows) -> dict[str, list[Any]]:
    axis = {sample.frame: sample.camera_to_world[:3, 2] for sample in frames}
    cosine = [float(axis[a] @ axis[b]) for a, b in pairs.frames.tolist()]
    angle = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    ratio = np.full(len(cosine), np.nan) if pairs.scale_ratio is None else pairs.scale_ratio
    return {
        "frame_a": pairs.frames[:, 0].tolist(),
        "frame_b": pairs.frames[:, 1].tolist(),
        "points_a": pairs.points[:, 0].tolist(),
        "points_b": pairs.points[:, 1].tolist(),
        "matched_a": pairs.matched[:, 0].tolist(),
        "matched_b": pairs.matched[:, 1].tolist(),
        "overlap": pairs.overlap.tolist(),
        # A thousandth of a degree is far beyond what poses are known to, and the same on every processor.
        "angle": np.round(angle, 3).tolist(),
        "scale_ratio": ratio.tolist(),
    }


def _cameras(sample: FrameSample) -> dict[str, Any]:
    depth, box = sample.depth, sample.chunk_box_m
    return {
        "frame": sample.frame,
        "name": sample.name,
        "timestamp_us": sample.timestamp_us,
        "color": _one_camera(sample.camera, sample.camera_to_world),
        "depth": None if depth is None else _one_camera(depth.camera, depth.to_world) | {"unit": depth.unit},
        "chunk_box_m": None if box is None else box.tolist(),
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


def _crc32(pieces: Sequence[bytes]) -> int:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()
