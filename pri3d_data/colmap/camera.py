"""COLMAP's camera models: how many parameters each has, and which are plain pinholes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pri3d_data.camera import Camera

# Number in binary files, name in text files, count of parameters.
_MODELS = (
    (0, "SIMPLE_PINHOLE", 3),
    (1, "PINHOLE", 4),
    (2, "SIMPLE_RADIAL", 4),
    (3, "RADIAL", 5),
    (4, "OPENCV", 8),
    (5, "OPENCV_FISHEYE", 8),
    (6, "FULL_OPENCV", 12),
    (7, "FOV", 5),
    (8, "SIMPLE_RADIAL_FISHEYE", 4),
    (9, "RADIAL_FISHEYE", 5),
    (10, "THIN_PRISM_FISHEYE", 12),
    (11, "RAD_TAN_THIN_PRISM_FISHEYE", 16),
    (12, "SIMPLE_DIVISION", 4),
    (13, "DIVISION", 5),
    (14, "SIMPLE_FISHEYE", 3),
    (15, "FISHEYE", 4),
    (16, "EUCM", 6),
)
MODEL_NAMES = {number: name for number, name, _ in _MODELS}
PARAMETER_COUNTS = {name: count for _, name, count in _MODELS}
_LARGEST_SIDE = 65_535
_MOST_PIXELS = 1 << 28


@dataclass(frozen=True)
class ColmapCamera:
    """A camera as a COLMAP model describes it.

    Attributes:
        model: COLMAP's name, such as ``SIMPLE_RADIAL``.
        width, height: pixels.
        params: the model's parameters in COLMAP's order and COLMAP's pixels: the image's corner at 0, pixel
            centres at halves.

    Raises:
        ValueError: an unknown model, a wrong count of parameters, or numbers no camera has.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.model not in PARAMETER_COUNTS:
            raise ValueError(f"camera model '{self.model}' is not one that can be undistorted")
        if len(self.params) != PARAMETER_COUNTS[self.model]:
            raise ValueError(f"{len(self.params)} parameters for a {self.model} camera")
        sides = self.width, self.height
        # Depth and pixels are allocated for what a camera claims.
        if not (min(sides) > 0 and max(sides) <= _LARGEST_SIDE and sides[0] * sides[1] <= _MOST_PIXELS):
            raise ValueError(f"a camera of {self.width}x{self.height} pixels")
        if not (all(map(math.isfinite, self.params)) and 0.0 < self.params[0] < 1e9):
            raise ValueError(f"camera parameters {self.params} are no camera's")

    @property
    def pinhole(self) -> Camera | None:
        """The same camera with pixel centres at integers where it is free of distortion, else None."""
        if self.model == "SIMPLE_PINHOLE":
            f, cx, cy = self.params
            return Camera(self.width, self.height, f, f, cx - 0.5, cy - 0.5)
        if self.model == "PINHOLE":
            fx, fy, cx, cy = self.params
            return Camera(self.width, self.height, fx, fy, cx - 0.5, cy - 0.5)
        return None
