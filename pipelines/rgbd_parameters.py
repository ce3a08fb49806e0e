"""What decides the bytes of a posed RGB-D scene, and the two presets that are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.parameters import SceneParameters, option
from pri3d_data.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class RgbdParameters(SceneParameters):
    """A posed RGB-D scene.

    Attributes:
        stride: every how-many-th frame of the capture is taken.
        min_overlap: pairs below this overlap are dropped (paper, section 3.1).
        voxel_m: edge of the geometry's voxels in metres.
        labels: store each frame's semantic labels, where the capture has any.
        overlap_radius_m: points no farther apart are the same point.
        overlap_voxel_m: clouds are thinned to the means of voxels of this edge before they are compared; 0
            keeps every point.
        overlap_score: ``union``, (matched_a + matched_b) / (points_a + points_b), or ``larger``, the larger
            of the two directed shares.
        chunk_box: the box of a frame's part of the geometry: of its view ``frustum``, or the authors'
            ``whole_metre`` box around its back-projection.
        match_radius_m: world points of two matching pixels are no farther apart.
    """

    stride: int = option(25, "Take every how-many-th frame.", metavar="K")
    min_overlap: float = option(0.3, "Pairs that overlap less are left out.", metavar="SHARE")
    voxel_m: float = option(0.02, "Edge of the geometry's voxels.", metavar="METRES")
    labels: bool = option(False, "Store semantic labels with the frames, where the capture has them.")
    overlap_radius_m: float = 0.02
    overlap_voxel_m: float = 0.0
    overlap_score: Literal["union", "larger"] = "union"
    chunk_box: Literal["frustum", "whole_metre"] = "frustum"
    match_radius_m: float = 0.02

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride < 1:
            raise UsageError(
                f"--stride {self.stride} takes no frames. Use 1 for every frame, 25 as the paper does."
            )
        if not 0.0 < self.min_overlap <= 1.0:
            raise UsageError(f"--min-overlap {self.min_overlap} is no share of points: the paper's is 0.3.")
        if not 0.001 <= self.voxel_m <= 10.0:
            raise UsageError(
                f"--voxel-m {self.voxel_m} is no size for a room's voxels: the paper's are 0.02."
            )


RGBD_PRESETS = {
    "paper": RgbdParameters(),
    "reference": RgbdParameters(
        preset="reference",
        overlap_radius_m=0.075,
        overlap_voxel_m=0.05,
        overlap_score="larger",
        chunk_box="whole_metre",
    ),
}
