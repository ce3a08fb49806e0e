"""How somebody walks through a room with a camera in the hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.synth.room import Room

TICKS_PER_S = 30.0
WALL_CLEARANCE_M = 1.05
_SPEED = 2.0 * np.pi


def hand_held_path(room: Room, seed: int, frames: int, stride: int = 1) -> NDArray[np.float64]:
    """Camera poses of a slow walk: a wandering position, a gaze that pans round the room, and a little shake.

    Args:
        room: the room walked in; the camera stays a metre off the walls, 1.25 to 1.65 m above the floor.
        seed: not negative; the same seed gives the same path.
        frames: number of poses.
        stride: thirtieths of a second from one pose to the next.

    Returns:
        (frames, 4, 4) float64 camera_to_world, OpenCV axes, metres.
    """
    rng = np.random.default_rng([seed, 2])
    time_s = np.arange(frames, dtype=np.float64) * (stride / TICKS_PER_S)
    reach = np.array(room.size_m[:2]) / 2 - WALL_CLEARANCE_M
    # Wave amplitudes of one coordinate add up to 1, so the walk cannot leave its rectangle.
    x = reach[0] * _waves(rng, time_s, (0.06, 0.11), (0.7, 0.3))
    y = reach[1] * _waves(rng, time_s, (0.05, 0.09), (0.7, 0.3))
    z = 1.45 + 0.2 * _waves(rng, time_s, (0.1, 0.31, 1.7), (0.8, 0.18, 0.02))
    direction = 1.0 if rng.uniform() < 0.5 else -1.0
    pan = rng.uniform(-np.pi, np.pi) + direction * np.radians(18.0) * time_s
    gaze = pan + np.radians(16.0) * _waves(rng, time_s, (0.13, 0.29, 1.9), (0.7, 0.27, 0.03))
    pitch = np.radians(-17.0) + np.radians(14.0) * _waves(rng, time_s, (0.11, 0.23, 2.3), (0.65, 0.32, 0.03))
    roll = np.radians(4.0) * _waves(rng, time_s, (0.17, 0.41, 2.1), (0.6, 0.35, 0.05))
    camera_to_room = np.zeros((frames, 4, 4))
    camera_to_room[:, :3, :3] = _rotation(gaze, pitch, roll)
    camera_to_room[:, :3, 3] = np.stack([x, y, z], axis=1)
    camera_to_room[:, 3, 3] = 1.0
    return room.room_to_world @ camera_to_room


def _waves(
    rng: np.random.Generator,
    time_s: NDArray[np.float64],
    frequencies_hz: tuple[float, ...],
    amplitudes: tuple[float, ...],
) -> NDArray[np.float64]:
    total = np.zeros_like(time_s)
    for frequency, amplitude in zip(frequencies_hz, amplitudes, strict=True):
        varied = frequency * rng.uniform(0.8, 1.2)
        total += amplitude * np.sin(_SPEED * (varied * time_s + rng.uniform()))
    return total


def _rotation(
    gaze: NDArray[np.float64], pitch: NDArray[np.float64], roll: NDArray[np.float64]
) -> NDArray[np.float64]:
    forward = np.stack([np.cos(pitch) * np.cos(gaze), np.cos(pitch) * np.sin(gaze), np.sin(pitch)], axis=1)
    level = np.stack([np.sin(gaze), -np.cos(gaze), np.zeros_like(gaze)], axis=1)
    down = np.cross(forward, level)
    c, s = np.cos(roll)[:, None], np.sin(roll)[:, None]
    return np.stack([c * level + s * down, c * down - s * level, forward], axis=2)
