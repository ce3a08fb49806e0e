"""ScanNet: where its scans are, how one is opened, and the stages it goes through."""

from __future__ import annotations

from typing import cast

from pipelines.dataset import DataSet, Scene
from pipelines.rgbd import rgbd_stages
from pipelines.rgbd_parameters import RGBD_PRESETS, RgbdParameters
from pri3d_data.scannet import ScanNetCapture, ScanNetScene, find_scenes


def open_scan(scene: Scene, parameters: RgbdParameters) -> ScanNetCapture:
    """Open a scan at the build's stride."""
    return ScanNetCapture(cast("ScanNetScene", scene), parameters.stride)


SCANNET = DataSet(
    name="scannet",
    summary="ScanNet scans: scans/<scene>/{<scene>.sens, <scene>_vh_clean_2.ply}",
    find_scenes=find_scenes,
    stages=rgbd_stages("scannet", open_scan),
    presets=RGBD_PRESETS,
)
