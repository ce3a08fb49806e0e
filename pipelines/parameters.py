"""What a build may be told, as small frozen objects, and the presets that name whole sets of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pri3d_data.errors import UsageError


@dataclass(frozen=True)
class OverlapRule:
    """When two frames make a pair.

    Attributes:
        radius_m: points no farther apart are the same point.
        voxel_m: clouds are thinned to the means of voxels of this edge first; 0 keeps every point.
        score: ``union``, (matched_a + matched_b) / (points_a + points_b), or ``larger``, the larger of
            the two directed shares.
        at_least: pairs below this overlap are dropped.
    """

    radius_m: float
    voxel_m: float
    score: Literal["union", "larger"]
    at_least: float = 0.3


@dataclass(frozen=True)
class Preset:
    """A named set of choices: what the paper says, or what the authors' code does."""

    overlap: OverlapRule
    chunk_box: Literal["frustum", "whole_metre"]


PRESETS = {
    "paper": Preset(OverlapRule(radius_m=0.02, voxel_m=0.0, score="union"), "frustum"),
    "reference": Preset(OverlapRule(radius_m=0.075, voxel_m=0.05, score="larger"), "whole_metre"),
}


@dataclass(frozen=True)
class SceneParameters:
    """Everything beside the raw files that decides a scene's bytes.

    Attributes:
        stride: every how-many-th frame of the capture is taken.
        image_size: (height, width) of stored images in pixels; None keeps the capture's own bytes.
        preset: name of the entry of `PRESETS`.
        voxel_m: edge of the geometry's voxels in metres.
        jpeg_quality: of resized colour images.
    """

    stride: int = 25
    image_size: tuple[int, int] | None = (240, 320)
    preset: str = "paper"
    voxel_m: float = 0.02
    jpeg_quality: int = 95

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise UsageError(
                f"--stride {self.stride} takes no frames. Use 1 for every frame, 25 as the paper does."
            )
        if self.image_size is not None and not all(16 <= side <= 8192 for side in self.image_size):
            raise UsageError(
                f"--image-size {self.image_size} cannot be stored. Use sides between 16 and 8192."
            )
        if self.preset not in PRESETS:
            raise UsageError(f"There is no preset '{self.preset}'. Use one of: {', '.join(PRESETS)}.")

    @property
    def rules(self) -> Preset:
        """The preset's contents."""
        return PRESETS[self.preset]

    def described(self) -> dict[str, Any]:
        """JSON-ready, units in the names, the preset spelled out."""
        return json.loads(json.dumps(asdict(self) | {"rules": asdict(self.rules)}))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class BuildParameters:
    """A whole build: what decides each scene, and how scenes are packed.

    Attributes:
        scene: see there.
        shard_mb: target size of a shard in MB (10^6 bytes).
    """

    scene: SceneParameters = field(default_factory=SceneParameters)
    shard_mb: int = 256

    def __post_init__(self) -> None:
        if self.shard_mb < 1:
            raise UsageError(f"--shard-mb {self.shard_mb} cannot hold a scene. 256 suits disks and buckets.")

    def described(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.scene.described() | {"shard_mb": self.shard_mb}


def parse_image_size(text: str) -> tuple[int, int] | None:
    """``HxW`` or ``native``.

    Raises:
        UsageError: anything else.
    """
    if text == "native":
        return None
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise UsageError(
            f"--image-size '{text}' is not HEIGHTxWIDTH in pixels (such as 240x320), nor 'native'."
        )
    return int(height), int(width)


def fingerprint(*parts: Any) -> str:
    """Hex digest of JSON-ready values: equal where and only where they are."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
