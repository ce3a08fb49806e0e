"""What a build may be told, as small frozen objects. Each data set has its own; here is what all share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from pri3d_data.errors import UsageError


def option(
    default: Any,
    help: str,
    *,
    parse: Callable[[str], Any] | None = None,
    metavar: str | None = None,
    none: str = "",
) -> Any:
    """A field that is also a command-line option, named as the field is.

    Args:
        default: its value where a preset does not say another.
        help: one line.
        parse: from the text the user gives; the field's type where it is None.
        metavar: stands for the value in the help text.
        none: how the help text calls a default of None.
    """
    said = {"help": help, "parse": parse, "metavar": metavar, "none": none}
    return field(default=default, metadata=said)


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


@dataclass(frozen=True, kw_only=True)
class SceneParameters:
    """Everything beside the raw files that decides a scene's bytes; data sets add fields of their own.

    Attributes:
        preset: the named set of choices these values started from.
        image_size: (height, width) of stored images in pixels; None keeps the capture's own bytes.
        jpeg_quality: of images that are encoded here.
    """

    preset: str = "paper"
    image_size: tuple[int, int] | None = option(
        (240, 320),
        "Size of stored images in pixels; native keeps the capture's own.",
        parse=parse_image_size,
        metavar="HxW|native",
        none="native",
    )
    jpeg_quality: int = option(95, "Quality of images that are resized.", metavar="1..100")

    def __post_init__(self) -> None:
        if self.image_size is not None and not all(16 <= side <= 8192 for side in self.image_size):
            raise UsageError(
                f"--image-size {self.image_size} cannot be stored. Use sides between 16 and 8192."
            )
        if not 1 <= self.jpeg_quality <= 100:
            raise UsageError(f"--jpeg-quality {self.jpeg_quality} is not between 1 and 100.")

    def described(self) -> dict[str, Any]:
        """JSON-ready, units in the names."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class BuildParameters:
    """A whole build: what decides each scene, and how scenes are packed.

    Attributes:
        scene: see there.
        shard_mb: target size of a shard in MB (10^6 bytes).
    """

    scene: SceneParameters
    shard_mb: int = 256

    def __post_init__(self) -> None:
        if self.shard_mb < 1:
            raise UsageError(f"--shard-mb {self.shard_mb} cannot hold a scene. 256 suits disks and buckets.")

    def described(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.scene.described() | {"shard_mb": self.shard_mb}


def fingerprint(*parts: Any) -> str:
    """Hex digest of JSON-ready values: equal where and only where they are."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
