"""Pairs of a drive and their matches, found while a window of frames slides along it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.kitti_parameters import KittiParameters
from pri3d_data.capture import Failure, Frame
from pri3d_data.errors import DataError
from pri3d_data.ground import ground_mask
from pri3d_data.kitti.drive import CAMERA_HEIGHT_M, DEPTH_UNIT_M, KittiDrive
from pri3d_data.kitti.scenes import open_drive
from pri3d_data.kitti.velodyne import spacing_px
from pri3d_data.lidar_surface import fill_between_rows
from pri3d_data.mapping import SparseView, common_share, measured_points, seen_in
from shards.parts import PairRows

# A plane may pass the camera as near as this and still be one surface: nearer than any road or wall.
_NEAREST_PLANE_M = 1.0
_GROUND_THICKNESS_M = 0.3


class PairMapping(NamedTuple):
    """How two frames share what they see.

    Attributes:
        frames: their numbers, the lower first.
        points, matched: of each frame, points that overlap was counted on, and those seen in the other.
        overlap: in [0, 1].
        bits: (⌈n/8⌉,) uint8: whether each of the lower frame's n measured pixels is seen in the other.
    """

    frames: tuple[int, int]
    points: tuple[int, int]
    matched: tuple[int, int]
    overlap: float
    bits: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class MappedPairs:
    """Pairs whose lower frame is the scene's own.

    Attributes:
        pairs: sorted by their frames.
        measured: measured pixels of every frame whose depth could be read, by frame number.
        failures: own frames whose depth could not.
    """

    pairs: tuple[PairMapping, ...]
    measured: dict[int, int]
    failures: tuple[Failure, ...]

    def rows(self) -> PairRows:
        """What the pairs table says of them."""
        return PairRows(
            np.array([pair.frames for pair in self.pairs], dtype=np.int64).reshape(-1, 2),
            np.array([pair.points for pair in self.pairs], dtype=np.int64).reshape(-1, 2),
            np.array([pair.matched for pair in self.pairs], dtype=np.int64).reshape(-1, 2),
            np.array([pair.overlap for pair in self.pairs], dtype=np.float64),
        )

    def bits_of(self, frame: int) -> NDArray[np.uint8]:
        """(K, ⌈n/8⌉) uint8: the bits of the pairs that begin at a frame, one row each."""
        rows = [pair.bits for pair in self.pairs if pair.frames[0] == frame]
        return np.stack(rows) if rows else np.zeros((0, -(-self.measured[frame] // 8)), np.uint8)

    def among(self, frames: set[int]) -> MappedPairs:
        """The same without pairs that name another frame."""
        kept = tuple(pair for pair in self.pairs if frames.issuperset(pair.frames))
        return MappedPairs(kept, self.measured, self.failures)


def map_pairs(drive: KittiDrive, parameters: KittiParameters) -> MappedPairs:
    """Match every two frames that are near enough in time, and keep those that overlap.

    Every frame is read once, and only the last ``max_gap`` are held: memory does not grow with the drive.
    """
    window: deque[tuple[int, SparseView]] = deque()
    pairs, measured, failures = [], {}, []
    with open_drive(drive, parameters.max_gap, parameters.stride) as capture:
        for frame in capture.frames:
            try:
                depth = capture.depth(frame)
                if not depth.any():
                    raise DataError("nothing was measured in the view of camera 2.", frame=frame.index)
            except DataError as error:
                lost = Failure.of(drive.scene, frame.index, "mapping", error)
                failures += [lost] if frame.index <= drive.last else []
                continue
            view = view_of(frame, depth, parameters)
            measured[frame.index] = len(view.points_m)
            while window and window[0][0] < frame.index - parameters.max_gap:
                window.popleft()
            for number, earlier in window:
                pair = _compare(number, earlier, frame.index, view, parameters)
                if pair.overlap > parameters.min_overlap:
                    pairs.append(pair)
            if frame.index <= drive.last:
                window.append((frame.index, view))
    pairs.sort(key=lambda pair: pair.frames)
    return MappedPairs(tuple(pairs), measured, tuple(failures))


def view_of(frame: Frame, depth: NDArray[np.uint16], parameters: KittiParameters) -> SparseView:
    """A frame as it is compared with others.

    Args:
        frame: with its camera and pose.
        depth: (H, W) uint16 sparse depth in steps of 1/256 m, 0 where nothing was measured.
        parameters: what is compared, and what counts.
    """
    camera = frame.camera.vector
    points = measured_points(depth, DEPTH_UNIT_M, camera)
    counted = np.ones(len(points), dtype=np.bool_)
    if parameters.overlap_on == "above_ground":
        ground = ground_mask(depth, DEPTH_UNIT_M, camera, CAMERA_HEIGHT_M, _GROUND_THICKNESS_M)
        counted = ~ground[depth > 0]
    surface = depth
    if parameters.seen_on == "surface":
        rows, columns = spacing_px(frame.camera)
        steepest = DEPTH_UNIT_M / (_NEAREST_PLANE_M * frame.camera.fy)
        # Half as far again as neighbouring rows lie: towards the image's border they lie farther apart.
        surface = fill_between_rows(depth, 3 * rows // 2, columns, steepest)
    return SparseView(points, counted, surface, DEPTH_UNIT_M, camera, frame.camera_to_world)


def _compare(
    number_a: int, a: SparseView, number_b: int, b: SparseView, parameters: KittiParameters
) -> PairMapping:
    truncate = parameters.seen_on == "pixel"
    a_in_b = seen_in(a, b, parameters.match_tolerance_m, truncate)
    points = int(a.counted.sum()), int(b.counted.sum())
    matched_a = matched_b = int((a_in_b & a.counted).sum())
    if parameters.overlap_on == "above_ground":
        b_in_a = seen_in(b, a, parameters.match_tolerance_m, truncate)
        matched_b = int((b_in_a & b.counted).sum())
    overlap = common_share(matched_a, matched_b, *points)
    return PairMapping((number_a, number_b), points, (matched_a, matched_b), overlap, np.packbits(a_in_b))
