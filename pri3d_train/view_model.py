"""What view-only pre-training optimises: one backbone on both images of a pair, and PointInfoNCE."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pri3d_train.config import BackboneName
from pri3d_train.info_nce import gather_features, point_info_nce
from pri3d_train.resunet import ResUNet

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class ViewModel(nn.Module):
    """Holds the ResUNet as ``backbone``, so that state-dict keys are those of the published weights.

    The view loss reads the backbone's features directly: only the geometric prior has projection heads.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: BackboneName, temperature: float = 0.4) -> None:
        super().__init__()
        self.temperature = temperature
        self.backbone = ResUNet(backbone)
        # Not persistent: a published state dict has no such keys and has to load strictly.
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB -> (B, C, ~H/2, ~W/2) float features."""
        scaled = images.permute(0, 3, 1, 2).float() / 255.0
        out: Tensor = self.backbone((scaled - self.mean) / self.std)
        return out

    def forward(self, image_a: Tensor, image_b: Tensor, matches: Tensor, valid: Tensor) -> Tensor:
        """The view loss, () float32.

        Args:
            image_a: (B, H, W, 3) uint8 RGB.
            image_b: (B, H, W, 3) uint8 RGB.
            matches: (B, M, 4) integer columns xa ya xb yb, full-resolution pixels.
            valid: (B, M) bool, False for padding rows of ``matches``.
        """
        # Two passes and not one of 2B images: batch statistics are then those of one view, as in the paper's
        # runs.
        features_a = self.features(image_a)
        features_b = self.features(image_b)
        query = gather_features(features_a, matches[..., :2])
        key = gather_features(features_b, matches[..., 2:])
        return point_info_nce(query, key, valid, self.temperature)
