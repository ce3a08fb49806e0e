"""A photo's pixels and depth in their stored form, and as bytes that an interrupted scene finds again."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass

from pri3d_data.camera import Camera

_LENGTHS = struct.Struct("<III")


@dataclass(frozen=True)
class EncodedPhoto:
    """What of a photo takes long to make.

    Attributes:
        color, color_member: encoded image, and the tar member it becomes.
        camera: of the stored image.
        depth_png: 16-bit PNG; empty where the photo has no depth.
        depth_camera: of the stored depth; the camera's own where there is none.
        depth_unit: what a step of it stands for, 0 where there is none.
        measured: pixels with depth in the capture's own depth map.
    """

    color: bytes
    color_member: str
    camera: Camera
    depth_png: bytes
    depth_camera: Camera
    depth_unit: float
    measured: int

    def packed(self) -> bytes:
        """As bytes."""
        about = asdict(self)
        del about["color"], about["depth_png"]
        head = json.dumps(about).encode()
        lengths = _LENGTHS.pack(len(head), len(self.color), len(self.depth_png))
        return lengths + head + self.color + self.depth_png

    @classmethod
    def unpacked(cls, data: bytes) -> EncodedPhoto | None:
        """What `packed` made; None for anything else."""
        try:
            head, color, depth = _LENGTHS.unpack_from(data)
            if len(data) != _LENGTHS.size + head + color + depth:
                return None
            at = _LENGTHS.size + head
            about = json.loads(data[_LENGTHS.size : at])
            camera, depth_camera = Camera(**about.pop("camera")), Camera(**about.pop("depth_camera"))
            return cls(
                color=data[at : at + color],
                depth_png=data[at + color :],
                camera=camera,
                depth_camera=depth_camera,
                **about,
            )
        except (struct.error, ValueError, KeyError, TypeError):
            return None
