"""What a scene is made of when it is ready to be stored: frames, pairs and geometry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera


@dataclass(frozen=True, eq=False)
class StoredDepth:
    """A frame's depth image ready to be stored.

    Attributes:
        png: 16-bit PNG bytes, 0 where nothing was measured.
        camera, to_world: of the stored depth image, which may have another lens and size than the colour
            image; (4, 4) float64.
        unit: what a step stands for in the scene's unit of length.
    """

    png: bytes
    camera: Camera
    to_world: NDArray[np.float64]
    unit: float


@dataclass(frozen=True, eq=False)
class Tracks:
    """Sparse points of the scene that a frame observes.

    Attributes:
        ids: (N,) int32 ascending, each once; equal in every frame that observes the point.
        pixels: (N, 2) float32 x, y in the stored colour image, centres at integers.
    """

    ids: NDArray[np.int32]
    pixels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FrameSample:
    """One frame ready to be stored.

    Attributes:
        frame: number in the capture.
        timestamp_us: microseconds.
        color, color_member: encoded colour image, and `schema.COLOR_JPEG` or `schema.COLOR_PNG`.
        camera, camera_to_world: of the stored colour image; (4, 4) float64 in the scene's unit of length.
        depth: None where the frame has none.
        points: measured pixels of the capture's own depth image; without depth, the number of tracks.
        chunk_box_m: (2, 3) float64 world corners of the frame's part of the geometry; None without depth.
        name: the image's file in the capture, empty where it has none of its own.
        tracks: for a scene matched by tracks.
        match_bits: for a scene with stored matches: (K, ⌈n/8⌉) uint8, a row for each pair whose first frame
            this is, in the order of the second's number. Bit i, highest first, says whether the i-th of the n
            measured pixels of the stored depth, row by row, has a match in the second frame: the pixel its
            point falls on.
        label: 16-bit PNG bytes of the size of the colour image, 0 unlabelled; None where there are no labels.
    """

    frame: int
    timestamp_us: int
    color: bytes
    color_member: str
    camera: Camera
    camera_to_world: NDArray[np.float64]
    depth: StoredDepth | None
    points: int
    chunk_box_m: NDArray[np.float64] | None = None
    name: str = ""
    tracks: Tracks | None = None
    match_bits: NDArray[np.uint8] | None = None
    label: bytes | None = None


@dataclass(frozen=True, eq=False)
class PairRows:
    """Pairs of a scene, sorted by frame_a, then frame_b.

    Attributes:
        frames: (P, 2) int64 frame numbers, the lower first.
        points, matched: (P, 2) int64 counts for a and b.
        overlap: (P,) float64.
        scale_ratio: (P,) float64 from 1 up; None where it was not computed.
    """

    frames: NDArray[np.int64]
    points: NDArray[np.int64]
    matched: NDArray[np.int64]
    overlap: NDArray[np.float64]
    scale_ratio: NDArray[np.float64] | None = None

    def among(self, frames: Sequence[int]) -> PairRows:
        """The pairs whose frames are both in ``frames``."""
        keep = np.isin(self.frames, np.asarray(frames, dtype=np.int64)).all(axis=1)
        ratio = None if self.scale_ratio is None else self.scale_ratio[keep]
        return PairRows(self.frames[keep], self.points[keep], self.matched[keep], self.overlap[keep], ratio)


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
