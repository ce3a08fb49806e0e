"""Every data set that `pri3d-data build` knows."""

from __future__ import annotations

from pipelines.colmap import COLMAP
from pipelines.dataset import DataSet
from pipelines.kitti import KITTI
from pipelines.megadepth import MEGADEPTH
from pipelines.rgbd_folder import RGBD
from pipelines.scannet import SCANNET

DATASETS: dict[str, DataSet] = {
    dataset.name: dataset for dataset in (SCANNET, MEGADEPTH, COLMAP, KITTI, RGBD)
}
