"""What pre-training optimises: one image network on both frames of a pair, a sparse one on their geometry.

State-dict keys are those of the published weights: ``backbone.*``, and with the geometric prior
``backbone3d.*``, ``w2d.*`` and ``w3d.*``, and ``headnet.*`` with the depth loss.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pri3d_train.config import BackboneName, BackendName, LossConfig
from pri3d_train.depth_loss import DepthHead, depth_loss
from pri3d_train.geometry_batch import GeometryBatch
from pri3d_train.info_nce import gather_features, point_info_nce
from pri3d_train.pair_batch import PairBatch
from pri3d_train.resunet import FEATURE_CHANNELS, ResUNet

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
#: Features of a voxel, and dimensions both kinds are projected to for the geometric prior (authors' code).
VOXEL_CHANNELS = 96
PROJECTED = 64


class PairModel(nn.Module):
    """The networks and the losses of one run.

    Args:
        backbone: the image encoder.
        losses: which terms, their weights and temperature.
        backbone3d: maps (N, 4) int32 coordinates and (N, 3) float colours to (N, 96) features, row by row;
            has to be given exactly when there is a geo term.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: BackboneName,
        losses: LossConfig | None = None,
        backbone3d: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.losses = losses or LossConfig()
        self.backbone = ResUNet(backbone)
        if "geo" in self.losses.terms:
            if backbone3d is None:
                raise ValueError("a geo loss needs a 3D network")
            self.backbone3d = backbone3d
            self.w2d = nn.Linear(FEATURE_CHANNELS[backbone], PROJECTED)
            self.w3d = nn.Linear(VOXEL_CHANNELS, PROJECTED)
        if "depth" in self.losses.terms:
            self.headnet = DepthHead(FEATURE_CHANNELS[backbone])
        # Not persistent: a published state dict has no such keys and has to load strictly.
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB -> (B, C, ~H/2, ~W/2) float features."""
        scaled = images.permute(0, 3, 1, 2).float() / 255.0
        out: Tensor = self.backbone((scaled - self.mean) / self.std)
        return out

    def forward(self, batch: PairBatch) -> dict[str, Tensor]:
        """Each term and their weighted sum ``loss``, () float32 each, named as in the run's log.

        Whatever a batch lacks costs its own term alone, which is then a zero that still depends on every
        parameter it trains: DDP waits for the gradient of each on every rank.
        """
        # Two passes and not one of 2B images: batch statistics are then those of one view, as in the paper's
        # runs.
        maps = (self.features(batch.image_a), self.features(batch.image_b))
        terms = {}
        if "view" in self.losses.terms:
            # The view loss reads the features directly: only the geometric prior has projections.
            query = gather_features(maps[0], batch.matches[..., :2])
            key = gather_features(maps[1], batch.matches[..., 2:])
            terms["loss_view"] = point_info_nce(query, key, batch.valid, self.losses.temperature)
        if "geo" in self.losses.terms:
            if batch.geometry is None:
                raise ValueError("a geo loss needs batches with geometry")
            terms["loss_geo"] = self._geo(torch.cat(maps), batch.geometry)
        if "depth" in self.losses.terms:
            if batch.depth is None:
                raise ValueError("a depth loss needs batches with depth")
            # Both frames have the same number of pixels, so this is the mean of their losses.
            halves = zip(maps, batch.depth.chunk(2), strict=True)
            both = [depth_loss(self.headnet(features, d.shape[-2:]), d) for features, d in halves]
            terms["loss_depth"] = torch.stack(both).mean()
        weighted = [getattr(self.losses, name.removeprefix("loss_")) * term for name, term in terms.items()]
        return {"loss": torch.stack(weighted).sum(), **terms}

    def _geo(self, maps: Tensor, geometry: GeometryBatch) -> Tensor:
        """InfoNCE of pixels and the voxels they see, over the frames that have matches (section 3.2)."""
        query = self.w2d(gather_features(maps, geometry.matches[..., :2]))
        if len(geometry.coordinates):
            voxels = self.backbone3d(geometry.coordinates, geometry.colors.float() / 255.0)
        else:
            # Sparse networks need not take an empty scene; one row of zeros stands in for its features.
            untouched = sum(value.sum() * 0.0 for value in self.backbone3d.parameters())
            voxels = query.new_zeros(1, VOXEL_CHANNELS) + untouched
        # Projecting the matched rows only is the same as choosing among projected ones, and less work.
        key = self.w3d(voxels[geometry.matches[..., 2]])
        return point_info_nce(query, key, geometry.valid, self.losses.temperature)


def sparse_network(backend: BackendName) -> nn.Module:
    """The 3D network of the geometric prior (authors' MinkUNet34C) on ``backend``."""
    # Imported only when wanted: a backend may load compiled libraries that image-only runs do without.
    from pri3d_train.sparse.unet import SparseUNet  # type: ignore[import-not-found, unused-ignore]

    network: nn.Module = SparseUNet(in_channels=3, out_channels=VOXEL_CHANNELS, backend=backend)
    return network
