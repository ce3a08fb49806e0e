"""A colour and a depth camera fixed to one another, with all numbers as a `.sens` file can hold them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera


@dataclass(frozen=True, eq=False)
class Rig:
    """Two cameras and how they sit on the sensor.

    Attributes:
        color, depth: the cameras; their numbers are float32 values.
        color_to_sensor, depth_to_sensor: (4, 4) float32, metres: the `.sens` extrinsics. A frame's pose takes
            the sensor to the world.
    """

    color: Camera
    depth: Camera
    color_to_sensor: NDArray[np.float32]
    depth_to_sensor: NDArray[np.float32]

    def color_to_world(self, pose: NDArray[np.float32]) -> NDArray[np.float64]:
        """(4, 4) float64 colour camera to world of a stored (4, 4) pose."""
        return pose.astype(np.float64) @ self.color_to_sensor.astype(np.float64)

    def depth_to_world(self, pose: NDArray[np.float32]) -> NDArray[np.float64]:
        """(4, 4) float64 depth camera to world of a stored (4, 4) pose."""
        return pose.astype(np.float64) @ self.depth_to_sensor.astype(np.float64)


def make_rig(color_size: tuple[int, int], depth_size: tuple[int, int], displaced: bool) -> Rig:
    """The rig of a ScanNet-like recorder.

    Args:
        color_size, depth_size: (width, height) in pixels.
        displaced: set both cameras 1 to 3 cm and less than a degree off the sensor, instead of right in it.
    """
    identity = np.eye(4, dtype=np.float32)
    return Rig(
        color=_camera(color_size, 0.9, 0.004, -0.006),
        depth=_camera(depth_size, 0.9, -0.003, 0.005),
        color_to_sensor=_offset(0.008, (0.03, -0.005, 0.002)) if displaced else identity,
        depth_to_sensor=_offset(-0.005, (-0.012, 0.004, 0.0)) if displaced else identity,
    )


def _camera(size: tuple[int, int], focal: float, shift_x: float, shift_y: float) -> Camera:
    width, height = size
    numbers = np.array(
        [
            focal * width,
            focal * 1.002 * width,
            (width - 1) / 2 + shift_x * width,
            (height - 1) / 2 + shift_y * height,
        ],
        dtype=np.float32,
    ).tolist()
    return Camera(width, height, numbers[0], numbers[1], numbers[2], numbers[3])


def _offset(turn_rad: float, shift_m: tuple[float, float, float]) -> NDArray[np.float32]:
    c, s = np.cos(turn_rad), np.sin(turn_rad)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.array(
        [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    )
    matrix[:3, 3] = shift_m
    return matrix.astype(np.float32)
