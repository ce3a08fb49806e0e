"""Raw files built by hand from the formats' descriptions, not with this project's writers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import numpy as np
import pytest

SensFrame = tuple[Sequence[float], int, int, bytes, bytes]
PINHOLE = (40.0, 0.0, 7.5, 0.0, 0.0, 40.0, 3.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
IDENTITY = (1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0)


@pytest.fixture(scope="session")
def sens_bytes() -> Callable[..., bytes]:
    """Builds a `.sens` file: header fields by name, then ``frames`` as (pose, t_colour, t_depth, colour, depth)."""

    def build(
        frames: Sequence[SensFrame] = (),
        *,
        version: int = 4,
        name: bytes = b"Kinect",
        name_length: int | None = None,
        intrinsic_color: Sequence[float] = PINHOLE,
        extrinsic_color: Sequence[float] = IDENTITY,
        intrinsic_depth: Sequence[float] = PINHOLE,
        extrinsic_depth: Sequence[float] = IDENTITY,
        color_type: int = 2,
        depth_type: int = 1,
        color_size: tuple[int, int] = (16, 8),
        depth_size: tuple[int, int] = (16, 8),
        shift: float = 1000.0,
        count: int | None = None,
        imu: int = 0,
    ) -> bytes:
        parts = [struct.pack("<IQ", version, len(name) if name_length is None else name_length), name]
        for matrix in (intrinsic_color, extrinsic_color, intrinsic_depth, extrinsic_depth):
            parts.append(struct.pack("<16f", *matrix))
        parts.append(struct.pack("<ii4If", color_type, depth_type, *color_size, *depth_size, shift))
        parts.append(struct.pack("<Q", len(frames) if count is None else count))
        for pose, color_us, depth_us, color, depth in frames:
            parts.append(struct.pack("<16f4Q", *pose, color_us, depth_us, len(color), len(depth)))
            parts += [color, depth]
        parts.append(struct.pack("<Q", imu))
        parts += [struct.pack("<15dQ", *np.arange(15.0), 1_000 * i) for i in range(imu)]
        return b"".join(parts)

    return build


@pytest.fixture(scope="session")
def ply_bytes() -> Callable[..., bytes]:
    """Builds a binary PLY in the layout of ScanNet's meshes; ``count`` and ``properties`` may lie."""

    def build(
        points: np.ndarray,
        colors: np.ndarray,
        *,
        order: str = "<",
        count: int | str | None = None,
        properties: str | None = None,
        faces: int = 1,
    ) -> bytes:
        names = [f"property float {axis}" for axis in "xyz"]
        names += [f"property uchar {channel}" for channel in ("red", "green", "blue", "alpha")]
        header = [
            "ply",
            f"format binary_{'little' if order == '<' else 'big'}_endian 1.0",
            "comment VCGLIB generated",
            f"element vertex {len(points) if count is None else count}",
            *(names if properties is None else properties.splitlines()),
            f"element face {faces}",
            "property list uchar int vertex_indices",
            "end_header",
        ]
        body = b"".join(
            struct.pack(order + "3f4B", *point, *color, 255)
            for point, color in zip(points.tolist(), colors.tolist(), strict=True)
        )
        return ("\n".join(header) + "\n").encode() + body + struct.pack(order + "B3i", 3, 0, 1, 2) * faces

    return build
