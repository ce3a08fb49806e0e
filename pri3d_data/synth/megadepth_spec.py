"""What a procedural photo collection is made of, and the truth behind one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.path import WALL_CLEARANCE_M
from pri3d_data.synth.request import check_fields, check_seed
from pri3d_data.synth.room import Room
from pri3d_data.undistortion import undistorted_camera

_SIDEWAYS_EVERY = 6


@dataclass(frozen=True)
class MegaDepthSynth:
    """How to write procedural photo collections.

    Attributes:
        photos: how many people took one.
        largest_side: pixels that the longer side of an original has at most.
        dense_side: the same of the undistorted photos and their depth.
        points: sparse points to look for; those that fewer than two photos see are left out.
        grey_every, mask_every: every how-many-th photo is grey, or has a mask in place of depth; 0 for none.
        units_per_m: length of a metre in the reconstruction's own unit.
        jpeg_quality: 1 to 100.
        rigs: write rigs.bin and frames.bin too, as COLMAP since 3.12; models of 2018 have none.

    Raises:
        UsageError: a value is out of range.
    """

    photos: int = 24
    largest_side: int = 480
    dense_side: int = 320
    points: int = 4000
    grey_every: int = 5
    mask_every: int = 8
    units_per_m: float = 0.37
    jpeg_quality: int = 95
    rigs: bool = False

    def __post_init__(self) -> None:
        checks = (
            ("photos", self.photos >= 1, "at least 1"),
            ("largest_side", self.largest_side >= 64, "at least 64"),
            ("dense_side", 48 <= self.dense_side <= self.largest_side, "48 to largest_side"),
            ("points", self.points >= 1, "at least 1"),
            ("grey_every", self.grey_every >= 0, "0 or more"),
            ("mask_every", self.mask_every >= 0, "0 or more"),
            ("units_per_m", 0.0 < self.units_per_m < np.inf, "positive"),
            ("jpeg_quality", 1 <= self.jpeg_quality <= 100, "1 to 100"),
        )
        check_fields(self, checks)


@dataclass(frozen=True, eq=False)
class MegaDepthTruth:
    """What a procedural photo collection shows.

    Attributes:
        room: its surfaces, in metres.
        names: file names of the photos, sorted.
        cameras: of the originals, SIMPLE_RADIAL.
        camera_to_world_m: (photos, 4, 4) float64, metres.
        grey, masked: per photo, whether it is grey, and whether its depth file holds labels only.
        spec: how it is written.
    """

    room: Room
    names: tuple[str, ...]
    cameras: tuple[ColmapCamera, ...]
    camera_to_world_m: NDArray[np.float64]
    grey: tuple[bool, ...]
    masked: tuple[bool, ...]
    spec: MegaDepthSynth

    @cached_property
    def undistorted(self) -> tuple[Camera, ...]:
        """Cameras of the undistorted photos and their depth."""
        return tuple(undistorted_camera(camera, self.spec.dense_side) for camera in self.cameras)


def megadepth_truth(spec: MegaDepthSynth, seed: int) -> MegaDepthTruth:
    """The truth of the collection that ``write_megadepth_scene(..., spec, seed)`` writes.

    Raises:
        UsageError: the seed is negative.
    """
    check_seed(seed)
    room = make_room(seed)
    rng = np.random.default_rng([seed, 11])
    cameras = tuple(_camera(rng, spec.largest_side) for _ in range(spec.photos))
    poses = np.stack([_pose(rng, room, number) for number in range(spec.photos)])
    # As on the photo sites MegaDepth comes from, names say nothing of the order photos were taken in.
    numbers = rng.choice(10**8, spec.photos, replace=False)
    names = tuple(sorted(f"{number:08d}_{number * 7919 % 10**8:08d}_o.jpg" for number in numbers.tolist()))
    turns = range(1, spec.photos + 1)
    return MegaDepthTruth(
        room,
        names,
        cameras,
        poses,
        tuple(bool(spec.grey_every) and turn % spec.grey_every == 0 for turn in turns),
        tuple(bool(spec.mask_every) and turn % spec.mask_every == 0 for turn in turns),
        spec,
    )


def _camera(rng: np.random.Generator, largest_side: int) -> ColmapCamera:
    longer = int(largest_side * rng.uniform(0.7, 1.0))
    shorter = int(longer * rng.choice([2 / 3, 3 / 4, 9 / 16]))
    width, height = (longer, shorter) if rng.uniform() < 0.6 else (shorter, longer)
    focal = longer * rng.uniform(0.7, 1.1)
    return ColmapCamera(
        "SIMPLE_RADIAL", width, height, (float(focal), width / 2, height / 2, float(rng.uniform(-0.08, 0.12)))
    )


def _pose(rng: np.random.Generator, room: Room, number: int) -> NDArray[np.float64]:
    """Somebody standing anywhere in the room, most of them looking at the sight at its far end."""
    reach = np.array(room.size_m[:2]) / 2 - WALL_CLEARANCE_M
    sight = np.array([room.size_m[0] / 2, 0.0, 1.1])
    eye = np.array([*(reach * rng.uniform([-1.0, -1.0], [0.4, 1.0])), rng.uniform(1.3, 1.7)])
    forward = sight + rng.normal(0.0, [0.3, 0.8, 0.3]) - eye
    forward /= np.linalg.norm(forward)
    level = np.cross(forward, [0.0, 0.0, 1.0])
    level /= np.linalg.norm(level)
    roll = rng.normal(0.0, np.radians(3.0))
    # Some hold the camera on its side, and their photos lie on theirs.
    roll += np.pi / 2 * (number % _SIDEWAYS_EVERY == _SIDEWAYS_EVERY - 1)
    down = np.cross(forward, level)
    c, s = np.cos(roll), np.sin(roll)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([c * level + s * down, c * down - s * level, forward], axis=1)
    pose[:3, 3] = eye
    return room.room_to_world @ pose
