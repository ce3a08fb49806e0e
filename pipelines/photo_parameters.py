"""What decides the bytes of a photo collection, and the named sets of thresholds that are known."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.parameters import SceneParameters, option, parse_image_size
from pri3d_data.covisibility import Thresholds
from pri3d_data.errors import UsageError


def parse_ratio(text: str) -> float:
    """A number.

    Raises:
        UsageError: anything else.
    """
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"--max-scale-ratio '{text}' is not a number, such as 1.5.") from error


@dataclass(frozen=True, kw_only=True)
class PhotoParameters(SceneParameters):
    """Photos with a sparse reconstruction.

    Attributes:
        image_size: (height, width) that photos are scaled down to just cover, their shape kept; None keeps
            the size they have once undistorted.
        min_overlap, max_overlap: bounds on the share that both see of the points of the image with fewer.
        max_scale_ratio: most that one image of a pair may see the points they share larger than the other.
        max_angle_deg: most that their optical axes may differ.
        depth_tolerance: two depths of a match differ by no more than this share, where there is dense depth.
        least_depth_bytes: a smaller depth file is taken for a mask unread; 0 looks into every file.
    """

    image_size: tuple[int, int] | None = option(
        None,
        "Photos are scaled down until they just cover this; native keeps their size.",
        parse=parse_image_size,
        metavar="HxW|native",
        none="native",
    )
    jpeg_quality: int = option(95, "Quality of photos that are undistorted or resized.", metavar="1..100")
    min_overlap: float = option(0.3, "Pairs that share fewer of their points are left out.", metavar="SHARE")
    max_overlap: float = option(1.0, "Pairs that share more of their points are left out.", metavar="SHARE")
    max_scale_ratio: float | None = option(
        None,
        "Pairs that see things at more different scales are left out.",
        parse=parse_ratio,
        metavar="RATIO",
        none="any",
    )
    max_angle_deg: float = option(180.0, "Pairs that look apart by more are left out.", metavar="DEGREES")
    depth_tolerance: float = 0.05
    least_depth_bytes: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.min_overlap <= self.max_overlap <= 1.0:
            raise UsageError(
                f"--min-overlap {self.min_overlap} and --max-overlap {self.max_overlap} leave no pairs: "
                "0 < min ≤ max ≤ 1 is needed."
            )
        if self.max_scale_ratio is not None and not self.max_scale_ratio >= 1.0:
            raise UsageError(f"--max-scale-ratio {self.max_scale_ratio} leaves no pairs: 1 is equal scale.")
        if not 0.0 < self.max_angle_deg <= 180.0:
            raise UsageError(f"--max-angle-deg {self.max_angle_deg} is no angle between two views.")

    @property
    def thresholds(self) -> Thresholds:
        """Which pairs to keep."""
        ratio = float("inf") if self.max_scale_ratio is None else self.max_scale_ratio
        return Thresholds(self.min_overlap, self.max_overlap, ratio, self.max_angle_deg)


#: Pri3D keeps every pair of 0.3 and more, in paper and code; D2-Net's own training takes these.
D2NET_MIN_OVERLAP = 0.5
