"""What a procedural KITTI drive is made of, and the truth behind one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.errors import UsageError
from pri3d_data.synth.room import Room
from pri3d_data.synth.street import make_street

DAY = "2000_01_01"
FRAMES_PER_S = 10.0
LIDAR_HEIGHT_M = 1.73


@dataclass(frozen=True)
class KittiSynth:
    """How to write procedural drives.

    Attributes:
        frames: number of frames, a tenth of a second apart.
        image_size: (width, height) in pixels.
        azimuths: measurements a turn and beam of the scanner.
        speed_m_per_frame: how far the car moves from one frame to the next.

    Raises:
        UsageError: a value is out of range.
    """

    frames: int = 40
    image_size: tuple[int, int] = (1242, 375)
    azimuths: int = 2000
    speed_m_per_frame: float = 1.0

    def __post_init__(self) -> None:
        checks = (
            ("frames", self.frames >= 1, "at least 1"),
            ("image_size", min(self.image_size) >= 16, "at least 16 pixels a side"),
            ("azimuths", self.azimuths >= 8, "at least 8"),
            ("speed_m_per_frame", 0.0 <= self.speed_m_per_frame <= 5.0, "0 to 5"),
        )
        for name, holds, wanted in checks:
            if not holds:
                raise UsageError(f"KittiSynth.{name}: {getattr(self, name)!r} given. It must be {wanted}.")


@dataclass(frozen=True, eq=False)
class KittiTruth:
    """What a procedural drive shows.

    Attributes:
        street: its surfaces.
        camera: camera 2, rectified.
        imu_to_lidar, lidar_to_reference, rectification, reference_to_camera: (4, 4) float64 mounts, metres:
            inertial unit to scanner, scanner to camera 0, its rectifying rotation, and on to camera 2.
        imu_to_world: (frames, 4, 4) float64.
    """

    street: Room
    camera: Camera
    imu_to_lidar: NDArray[np.float64]
    lidar_to_reference: NDArray[np.float64]
    rectification: NDArray[np.float64]
    reference_to_camera: NDArray[np.float64]
    imu_to_world: NDArray[np.float64]

    @property
    def lidar_to_camera(self) -> NDArray[np.float64]:
        """(4, 4) float64."""
        return self.reference_to_camera @ self.rectification @ self.lidar_to_reference

    @property
    def lidar_to_world(self) -> NDArray[np.float64]:
        """(frames, 4, 4) float64."""
        return self.imu_to_world @ np.linalg.inv(self.imu_to_lidar)

    @property
    def camera_to_world(self) -> NDArray[np.float64]:
        """(frames, 4, 4) float64, OpenCV axes."""
        return self.lidar_to_world @ np.linalg.inv(self.lidar_to_camera)


def kitti_truth(spec: KittiSynth, seed: int) -> KittiTruth:
    """The truth of the drive that ``write_kitti_drive(..., spec, seed)`` writes.

    Raises:
        UsageError: the seed is negative.
    """
    if seed < 0:
        raise UsageError(f"seed: {seed} given. It must not be negative.")
    imu_to_lidar = _rigid((0.0007, 0.0148, 0.0021), (-0.81, 0.32, -0.8))
    width, height = spec.image_size
    focal = 0.581 * width
    camera = Camera(width, height, focal, focal, 0.49 * width, 0.46 * height)
    axes = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    lidar_to_reference = _rigid((0.006, -0.0148, 0.0075), (-0.004, -0.076, -0.272)) @ axes
    return KittiTruth(
        make_street(seed, spec.frames * spec.speed_m_per_frame),
        camera,
        imu_to_lidar,
        lidar_to_reference,
        _rigid((0.0043, -0.0074, 0.0098), (0.0, 0.0, 0.0)),
        _rigid((0.0, 0.0, 0.0), (0.0598, 0.0, 0.0)),
        _drive(spec, seed) @ imu_to_lidar,
    )


def _drive(spec: KittiSynth, seed: int) -> NDArray[np.float64]:
    """(frames, 4, 4) float64 scanner to world: along the lane, swaying a little, the springs at work."""
    rng = np.random.default_rng([seed, 12])
    time_s = np.arange(spec.frames) / FRAMES_PER_S
    waves = [
        np.sin(2.0 * np.pi * (hertz * rng.uniform(0.8, 1.2) * time_s + rng.uniform()))
        for hertz in (0.11, 0.09, 0.7, 0.9, 1.1)
    ]
    poses = np.empty((spec.frames, 4, 4))
    for frame in range(spec.frames):
        side, sway, pitch, roll, heave = (wave[frame] for wave in waves)
        place = (spec.speed_m_per_frame * frame, 1.2 * side - 0.8, LIDAR_HEIGHT_M + 0.02 * heave)
        poses[frame] = _rigid((0.008 * roll, 0.008 * pitch, 0.06 * sway), place)
    return poses


def _rigid(turn_rad: tuple[float, float, float], shift_m: tuple[float, float, float]) -> NDArray[np.float64]:
    """Turned about x, then y, then z, then shifted."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(turn_rad), np.sin(turn_rad)
    matrix = np.eye(4)
    matrix[:3, :3] = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    )
    matrix[:3, 3] = shift_m
    return matrix
