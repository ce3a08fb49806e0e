"""The shard format in one place: file names, sample members, table columns with their units.

Writer, reader, `verify` and the documentation (docs/shard-format.md) all follow this module. `VERSION`
goes up whenever a reader of the old format would misread the new one.
"""

from __future__ import annotations

import re

import pyarrow as pa

from pri3d_data.errors import UsageError

VERSION = 2
DATASET_FILE = "dataset.json"
SHARD_FOLDER = "shards"
TABLE_FOLDER = "tables"
# What an unfinished build keeps; gone when the data set is complete.
WORK_FOLDER = ".build"
# Seconds each stage took, scene by scene; the one file that differs between equal builds.
TIMINGS_FILE = "timings.json"

# Members of a frame's sample: `<scene>/<frame>.<member>`.
COLOR_JPEG = "color.jpg"
COLOR_PNG = "color.png"
DEPTH = "depth.png"
CAMERA = "camera.json"
LABEL = "label.png"
TRACK_IDS = "track_ids.npy"
TRACK_PIXELS = "track_pixels.npy"
MATCH_BITS = "match_bits.npy"
# Members of a scene's own sample: `<scene>/scene.<member>`.
SCENE = "scene.json"
PAIRS = "pairs.npy"
OVERLAP = "overlap.npy"
VOXELS = "voxels.npy"
VOXEL_COLORS = "voxel_colors.npy"

_SCENE_NAME = re.compile(r"^[A-Za-z0-9_-]{1,64}$")


def shard_name(number: int) -> str:
    """Path of a shard below the output folder."""
    return f"{SHARD_FOLDER}/shard-{number:06d}.tar"


def table_name(table: str) -> str:
    """Path of a table below the output folder."""
    return f"{TABLE_FOLDER}/{table}.parquet"


def scene_key(scene: str) -> str:
    """WebDataset key of a scene's own sample, the first of the scene."""
    if not _SCENE_NAME.match(scene):
        raise UsageError(
            f"'{scene}' cannot name a scene: WebDataset cuts keys at dots and folders at slashes. "
            "Use letters, digits, '-' and '_', at most 64."
        )
    return f"{scene}/scene"


def frame_key(scene: str, frame: int) -> str:
    """WebDataset key of a frame's sample."""
    return f"{scene}/{frame:06d}"


def _field(name: str, kind: pa.DataType, meaning: str, unit: str = "") -> pa.Field:
    metadata = {"meaning": meaning} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, nullable=False, metadata=metadata)


_SCENE_FIELD = _field("scene", pa.string(), "the capture's name")

TABLES: dict[str, pa.Schema] = {
    "scenes": pa.schema(
        [
            _SCENE_FIELD,
            _field("shard", pa.string(), "file that holds the scene, below the output folder"),
            _field("offset", pa.int64(), "where the scene's first tar header starts in the shard", "bytes"),
            _field("bytes", pa.int64(), "length of the scene's part of the shard", "bytes"),
            _field("sha256", pa.string(), "of the scene's part of the shard"),
            _field("frames", pa.int64(), "frames stored"),
            _field("pairs", pa.int64(), "pairs stored"),
            _field("voxels", pa.int64(), "occupied voxels of the geometry, 0 without one"),
            _field("crc32", pa.int64(), "of the scene's own sample, headers and padding included"),
            _field("length_unit", pa.string(), "'m', or 'scene' where only ratios of lengths mean anything"),
            _field("match_rule", pa.string(), "how pixels of a pair match: see shards/match_rule.py"),
            _field("match_tolerance", pa.float64(), "of the rule, in length_unit; 0 where it has none"),
            _field("fingerprint", pa.string(), "of the source files, parameters and code it was built from"),
        ]
    ),
    "frames": pa.schema(
        [
            _SCENE_FIELD,
            _field("frame", pa.int64(), "the frame's number in the capture"),
            _field("name", pa.string(), "the image's file in the capture, empty where it has none"),
            _field("shard", pa.string(), "file that holds the frame, below the output folder"),
            _field("key", pa.string(), "WebDataset key of the frame's sample"),
            _field("offset", pa.int64(), "where the sample's first tar header starts in the shard", "bytes"),
            _field("bytes", pa.int64(), "length of the sample with its headers and padding", "bytes"),
            _field("crc32", pa.int64(), "of those bytes: what every read is compared with"),
            _field("width", pa.int32(), "of the stored colour image", "pixels"),
            _field("height", pa.int32(), "of the stored colour image", "pixels"),
            _field(
                "points",
                pa.int64(),
                "measured pixels of the capture's own depth image; without depth, its tracks",
            ),
            _field("timestamp", pa.int64(), "of the colour image, in the capture's clock", "microseconds"),
        ]
    ),
    "pairs": pa.schema(
        [
            _SCENE_FIELD,
            _field("frame_a", pa.int64(), "the lower frame number"),
            _field("frame_b", pa.int64(), "the higher frame number"),
            _field("points_a", pa.int64(), "points of a that overlap was counted on"),
            _field("points_b", pa.int64(), "points of b that overlap was counted on"),
            _field("matched_a", pa.int64(), "points of a that b sees too"),
            _field("matched_b", pa.int64(), "points of b that a sees too"),
            _field("overlap", pa.float64(), "as the preset in dataset.json defines it, in [0, 1]"),
            _field("angle", pa.float64(), "between the two optical axes", "degrees"),
            _field(
                "scale_ratio",
                pa.float64(),
                "how much larger one frame sees the common points, NaN: not computed",
            ),
        ]
    ),
    "shards": pa.schema(
        [
            _field("shard", pa.string(), "file below the output folder"),
            _field("bytes", pa.int64(), "size of the file", "bytes"),
            _field("sha256", pa.string(), "of the file"),
            _field("scenes", pa.int64(), "scenes in it"),
            _field("frames", pa.int64(), "frames in it"),
            _field("pairs", pa.int64(), "pairs in it"),
        ]
    ),
    "failures": pa.schema(
        [
            _SCENE_FIELD,
            _field("frame", pa.int64(), "the frame's number, -1 where the whole scene is meant"),
            _field("stage", pa.string(), "the step that failed"),
            _field("file", pa.string(), "the file whose bytes were at fault"),
            _field("offset", pa.int64(), "where in the file, -1 where that says nothing", "bytes"),
            _field("reason", pa.string(), "what was wrong"),
        ]
    ),
}

# Columns of the scenes table that a scene's bundle decides by itself.
BUNDLE_COLUMNS = ("voxels", "crc32", "length_unit", "match_rule", "match_tolerance")
