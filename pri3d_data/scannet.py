"""ScanNet as its authors publish it: `scans/<scene>/{<scene>.sens, <scene>.txt, <scene>_vh_clean_2.ply}`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from pri3d_data.camera import Camera
from pri3d_data.capture import EncodedImage, Frame, LostFrame, Surface
from pri3d_data.errors import UsageError
from pri3d_data.input_folder import Folder
from pri3d_data.label_zip import LabelZip
from pri3d_data.ply import read_ply_vertices
from pri3d_data.sens import SensFile, SensRecord

_SCENE = re.compile(r"^scene\d{4}_\d{2}$")
_FARTHEST_M = 1e6
_NO_POSE = "tracking was lost: no valid pose"


@dataclass(frozen=True)
class ScanNetScene:
    """Where one scan's files lie.

    Attributes:
        scene: its name, such as ``scene0000_00``.
        sens, mesh, labels: paths or URLs, which need not exist.
        stamps: (file name, bytes, modification time) of those that do: what a rebuild is decided by.
    """

    scene: str
    sens: str
    mesh: str
    labels: str
    stamps: tuple[tuple[str, int, str], ...]


def find_scenes(root: str) -> list[ScanNetScene]:
    """The scans of a ScanNet download, sorted by name.

    Args:
        root: a folder or URL that holds ``scans/<scene>/``, the scene folders themselves, or is one of them.

    Raises:
        UsageError: the folder is missing, unreadable, or holds no scans; says what was found instead.
    """
    top = Folder.open(root, "Give the folder that holds ScanNet's 'scans'.")
    for folder in (top.inside("scans"), top):
        scenes = [_scene(inner) for inner in folder.folders() if _SCENE.match(inner.name) or _is_scene(inner)]
        # Frame folders such as scannet_frames_25k use scene names too; at least one .sens tells them apart.
        if any(scene.stamps for scene in scenes):
            return scenes
    if _is_scene(top):
        return [_scene(top)]
    raise UsageError(_explain(root, top))


def _is_scene(folder: Folder) -> bool:
    return f"{folder.name}.sens" in folder.files()


def _scene(folder: Folder) -> ScanNetScene:
    name = folder.name
    files = (f"{name}.sens", f"{name}_vh_clean_2.ply", f"{name}_2d-label-filt.zip")
    sens, mesh, labels = (f"{folder.address}/{file}" for file in files)
    return ScanNetScene(name, sens, mesh, labels, folder.stamps(files))


def _explain(root: str, top: Folder) -> str:
    text = (
        f"No ScanNet scans in '{root}'. Expected scans/<scene>/<scene>.sens (or <scene>/<scene>.sens) with "
        f"<scene>_vh_clean_2.ply beside it; found {top.listing()}."
    )
    exported = [inner for inner in top.folders()[:3] if {"color", "pose"} & {f.name for f in inner.folders()}]
    if exported:
        text += (
            " These are exported frames (scannet_frames_25k looks like this): they lack most frames and the "
            "mesh, and cannot be paired. Download the .sens files with ScanNet's own script "
            "(--type .sens, --type _vh_clean_2.ply)."
        )
    return text


class ScanNetCapture:
    """One opened scan, a `capture.Capture`.

    Args:
        scene: where its files lie.
        stride: every how-many-th frame of the stream to take; the authors take 25.

    Raises:
        DataError: the `.sens` file is missing, foreign or lies about itself.
    """

    def __init__(self, scene: ScanNetScene, stride: int = 25) -> None:
        self._scene = scene
        self._sens = SensFile(scene.sens)
        header = self._sens.header
        records, cut = self._sens.records(stride)
        color = Camera.from_matrix(header.intrinsic_color, *header.color_size)
        depth = Camera.from_matrix(header.intrinsic_depth, *header.depth_size)
        self._labels: LabelZip | None = None
        self._records: dict[int, SensRecord] = {}
        self._frames: list[Frame] = []
        self._lost: list[LostFrame] = []
        for record in records:
            if not _is_pose(record.sensor_to_world):
                self._lost.append(LostFrame(record.index, scene.sens, record.offset, _NO_POSE))
                continue
            self._records[record.index] = record
            self._frames.append(
                Frame(
                    record.index,
                    record.timestamp_color_us,
                    color,
                    record.sensor_to_world @ header.extrinsic_color,
                    depth,
                    record.sensor_to_world @ header.extrinsic_depth,
                )
            )
        if cut is not None:
            self._lost.append(LostFrame(cut.frame or 0, scene.sens, cut.offset or 0, cut.reason))

    @property
    def frames(self) -> Sequence[Frame]:
        """The posed frames at the stride, in stream order."""
        return self._frames

    @property
    def lost(self) -> Sequence[LostFrame]:
        """Frames without a pose, and of the first one beyond a cut."""
        return self._lost

    @property
    def depth_unit_m(self) -> float:
        """Metres a depth step stands for: one over the header's depth shift."""
        return 1.0 / self._sens.header.depth_shift

    def color(self, frame: Frame) -> EncodedImage:
        """The frame's colour blob."""
        return self._sens.color(self._records[frame.index])

    def depth(self, frame: Frame) -> NDArray[np.uint16]:
        """(height, width) uint16 depth of the frame."""
        return self._sens.depth(self._records[frame.index])

    def labels(self, frame: Frame) -> NDArray[np.uint16] | None:
        """Numbers of ScanNet's label table (its column `id`), from `<scene>_2d-label-filt.zip`."""
        if self._labels is None:
            self._labels = LabelZip(self._scene.labels, "label-filt")
        return self._labels.frame(frame.index)

    def surface(self) -> Surface:
        """The vertices of the scan's 2 cm mesh, in the frame the poses map to (no axis alignment)."""
        return read_ply_vertices(self._scene.mesh)

    def __enter__(self) -> ScanNetCapture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sens.close()
        if self._labels is not None:
            self._labels.close()


def _is_pose(matrix: NDArray[np.float64]) -> bool:
    if not np.isfinite(matrix).all() or np.abs(matrix[:3, 3]).max() > _FARTHEST_M:
        return False
    rotation = matrix[:3, :3]
    return bool(np.abs(rotation @ rotation.T - np.eye(3)).max() < 0.05 and np.linalg.det(rotation) > 0)
