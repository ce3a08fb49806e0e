"""What decides the bytes of a driving scene, and the two presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipelines.parameters import SceneParameters, option, parse_image_size
from pri3d_data.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class KittiParameters(SceneParameters):
    """A drive of posed images with sparse depth.

    Attributes:
        stride: every how-many-th frame number is taken.
        max_gap: a pair's frames are at most this many frame numbers apart.
        min_overlap: pairs must overlap more than this.
        match_tolerance_m: a point of one frame is seen in the other where the depth there differs by less.
        seen_on: what the depth there is: the ``surface`` that is known between a scan's rows, at the nearest
            pixel, or, as the authors have it, only the measured ``pixel`` left of and above the point.
        overlap_on: which points overlap is counted on: those ``above_ground``, in both directions, or
            ``all``, from the lower frame to the higher.
    """

    image_size: tuple[int, int] | None = option(
        None,
        "Size of stored images in pixels; native keeps the capture's own. Depth is kept as it is.",
        parse=parse_image_size,
        metavar="HxW|native",
        none="native",
    )
    stride: int = option(1, "Take every how-many-th frame.", metavar="K")
    max_gap: int = option(30, "Most frame numbers between the frames of a pair.", metavar="FRAMES")
    min_overlap: float = option(0.05, "Pairs that overlap no more are left out.", metavar="SHARE")
    match_tolerance_m: float = 0.5
    seen_on: Literal["surface", "pixel"] = "surface"
    overlap_on: Literal["above_ground", "all"] = "above_ground"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride < 1:
            raise UsageError(f"--stride {self.stride} takes no frames. Use 1 for every frame.")
        if self.max_gap < 1:
            raise UsageError(f"--max-gap {self.max_gap} leaves no pairs. KITTI takes 10 frames a second.")
        if not 0.0 <= self.min_overlap < 1.0:
            raise UsageError(f"--min-overlap {self.min_overlap} is no share of points: the authors' is 0.05.")


KITTI_PRESETS = {
    "paper": KittiParameters(),
    "reference": KittiParameters(preset="reference", max_gap=100, seen_on="pixel", overlap_on="all"),
}
