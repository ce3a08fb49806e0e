"""What a procedural ScanNet capture is made of, and the truth behind one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pri3d_data.sens_writer import COLOR_CODES, DEPTH_CODES
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.path import hand_held_path
from pri3d_data.synth.request import check_fields, check_seed
from pri3d_data.synth.rig import Rig, make_rig
from pri3d_data.synth.room import Room


@dataclass(frozen=True)
class ScanNetSynth:
    """How to write procedural captures. The defaults give exact images, rounded only as the files demand.

    Attributes:
        frames: number of frames.
        color_size, depth_size: (width, height) in pixels.
        color_codec, depth_codec: compression in the `.sens` file. jpeg_quality: 1 to 100.
        noise: sensor noise on depth and colour. holes: missing depth at edges, grazing angles and in blobs.
        lost_frames: frames stored with an all -inf pose and empty label images.
        pose_stride: thirtieths of a second between frames.
        displaced_cameras: extrinsics that are not the identity.
        world_offset_m: added to the room's position in the world.
        labels: write the label zips. mesh_spacing_m: distance of mesh vertices, metres.

    Raises:
        UsageError: a value is out of range.
    """

    frames: int = 120
    color_size: tuple[int, int] = (648, 484)
    depth_size: tuple[int, int] = (320, 240)
    color_codec: Literal["jpeg", "png", "raw"] = "jpeg"
    depth_codec: Literal["zlib", "raw"] = "zlib"
    jpeg_quality: int = 90
    noise: bool = False
    holes: bool = False
    lost_frames: tuple[int, ...] = ()
    pose_stride: int = 1
    displaced_cameras: bool = False
    world_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    labels: bool = True
    mesh_spacing_m: float = 0.02

    def __post_init__(self) -> None:
        checks = (
            ("frames", self.frames >= 1, "at least 1"),
            ("color_size", min(self.color_size) >= 8, "at least 8 pixels a side"),
            ("depth_size", min(self.depth_size) >= 8, "at least 8 pixels a side"),
            ("color_codec", self.color_codec in COLOR_CODES, f"one of {', '.join(COLOR_CODES)}"),
            ("depth_codec", self.depth_codec in DEPTH_CODES, f"one of {', '.join(DEPTH_CODES)}"),
            ("jpeg_quality", 1 <= self.jpeg_quality <= 100, "1 to 100"),
            (
                "lost_frames",
                all(0 <= frame < self.frames for frame in self.lost_frames),
                "frames of the capture",
            ),
            ("pose_stride", self.pose_stride >= 1, "at least 1"),
            ("mesh_spacing_m", self.mesh_spacing_m >= 0.002, "at least 0.002"),
        )
        check_fields(self, checks)


@dataclass(frozen=True, eq=False)
class ScanNetTruth:
    """What a procedural capture shows.

    Attributes:
        room: its surfaces and labels.
        rig: its cameras.
        poses: (frames, 4, 4) float32 sensor to world, exactly those rendered from, lost frames included.
    """

    room: Room
    rig: Rig
    poses: NDArray[np.float32]


def scannet_truth(spec: ScanNetSynth, seed: int) -> ScanNetTruth:
    """The truth of the capture that ``write_scannet_capture(..., spec, seed)`` writes.

    Raises:
        UsageError: the seed is negative.
    """
    check_seed(seed)
    room = make_room(seed)
    if any(spec.world_offset_m):
        x, y, z = np.add(room.offset_world, spec.world_offset_m).tolist()
        room = make_room(seed, offset_world=(x, y, z))
    poses = hand_held_path(room, seed, spec.frames, spec.pose_stride).astype(np.float32)
    return ScanNetTruth(room, make_rig(spec.color_size, spec.depth_size, spec.displaced_cameras), poses)


def scene_name(index: int) -> str:
    """ScanNet's name of the capture with this index."""
    return f"scene{index:04d}_00"
