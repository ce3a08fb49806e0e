"""The authors' dense depth regression: off in the paper, on in their released models.

Log differences of depth, of its gradients, and the angle between surface normals, after Hu et al.,
"Revisiting Single Image Depth Estimation" (WACV 2019). Unlike theirs, gradients are compared only where the
whole 3x3 neighbourhood was measured: the edge of a hole is no surface.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cosine_similarity, interpolate, max_pool2d


class DepthHead(nn.Conv2d):
    """A 1x1 convolution from features to one channel, resized to the image."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, 1)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:  # type: ignore[override]
        """(B, C, h, w) -> (B, *size) metres, float."""
        out: Tensor = interpolate(super().forward(features), size=size, mode="bilinear", align_corners=True)
        return out[:, 0]


def depth_loss(predicted: Tensor, measured: Tensor) -> Tensor:
    """Mean of the depth, gradient and normal terms, () float32; it can be negative, since ln 0.5 is.

    Args:
        predicted: (B, H, W) float metres.
        measured: (B, H, W) float metres, 0 where nothing was measured.

    Returns:
        Zero where nothing was measured, still depending on ``predicted``.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        p, d = predicted.float(), measured.float()
        known = d > 0
        # Zero padding makes the image's border an edge like that of a hole.
        inside = -max_pool2d(-nn.functional.pad(known.float(), (1, 1, 1, 1)), 3, 1) > 0
        p_x, p_y = _sobel(p)
        d_x, d_y = _sobel(d)
        depth = _mean(((d - p).abs() + 0.5).log(), known)
        gradient = _mean(((d_x - p_x).abs() + 0.5).log() + ((d_y - p_y).abs() + 0.5).log(), inside)
        normals = [torch.stack([-x, -y, torch.ones_like(x)], 1) for x, y in ((p_x, p_y), (d_x, d_y))]
        normal = _mean((1 - cosine_similarity(normals[0], normals[1], dim=1)).abs(), inside)
        return (depth + gradient + normal) / 3


def _sobel(image: Tensor) -> tuple[Tensor, Tensor]:
    kernel = image.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
    both = conv2d(image[:, None], torch.stack([kernel, kernel.T])[:, None], padding=1)
    return both[:, 0], both[:, 1]


def _mean(values: Tensor, where: Tensor) -> Tensor:
    # Multiplying would spread what is not finite outside the mask, and where() alone keeps its gradient zero.
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)
