"""Photo collections of one's own, reconstructed with COLMAP."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.dataset import DataSet
from pipelines.parameters import option
from pipelines.photo_parameters import D2NET_MIN_OVERLAP, PhotoParameters
from pipelines.photos import photo_stages
from pri3d_data.colmap.scenes import find_scenes
from pri3d_data.errors import UsageError
from pri3d_data.photo_scene import PhotoScene


def parse_side(text: str) -> int:
    """A whole number of pixels.

    Raises:
        UsageError: anything else.
    """
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"--max-image-size '{text}' is not a number of pixels, such as 1600.") from error


@dataclass(frozen=True, kw_only=True)
class ColmapParameters(PhotoParameters):
    """A COLMAP folder.

    Attributes:
        max_image_size: pixels that the longer side of an undistorted photo has at most; None for no limit.
    """

    max_image_size: int | None = option(
        None,
        "Undistorted photos are scaled down to this longer side.",
        parse=parse_side,
        metavar="PIXELS",
        none="no limit",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_image_size is not None and not 16 <= self.max_image_size <= 32_767:
            raise UsageError(
                f"--max-image-size {self.max_image_size} cannot be stored. Use 16 to 32767 pixels."
            )


def largest_side(scene: PhotoScene, parameters: ColmapParameters) -> int | None:
    """What the user said."""
    return parameters.max_image_size


COLMAP = DataSet(
    name="colmap",
    summary="photos with a COLMAP model: images/ and sparse/0/, or folders of such",
    find_scenes=find_scenes,
    stages=photo_stages("colmap", largest_side),
    presets={
        "paper": ColmapParameters(),
        "reference": ColmapParameters(preset="reference"),
        "d2net": ColmapParameters(preset="d2net", min_overlap=D2NET_MIN_OVERLAP),
    },
)
