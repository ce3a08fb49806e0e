"""PointInfoNCE: matched pixels of a pair attract, its other sampled matches repel (paper, equation 1).

The negatives of a match are the other matches of the same pair and nothing else, as in the authors' runs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

#: exp() of it is exactly zero in float32, yet finite, so a row that is padding throughout makes no NaN.
_NEVER = -1e9


def gather_features(features: Tensor, pixels: Tensor) -> Tensor:
    """Features of full-resolution pixels, read at floor(pixel / 2) of a half-resolution map.

    Args:
        features: (B, C, h, w) float.
        pixels: (B, M, 2) integer, columns x and y in the full-resolution image.

    Returns:
        (B, M, C), the dtype of ``features``.
    """
    cells = torch.div(pixels.long(), 2, rounding_mode="floor")
    index = cells[..., 1] * features.shape[-1] + cells[..., 0]
    flat = features.flatten(2)
    return flat.gather(2, index[:, None, :].expand(-1, flat.shape[1], -1)).transpose(1, 2)


def point_info_nce(query: Tensor, key: Tensor, valid: Tensor, temperature: float = 0.4) -> Tensor:
    """Symmetric InfoNCE over the matches of each pair, averaged over the pairs that have any.

    With S = q k^T / temperature over L2-normalised rows, a pair's loss is 0.5 (CE(S) + CE(S^T)) against the
    diagonal. Padding rows are neither positives nor negatives. A batch without one match gives a zero that
    still depends on both inputs, so that every DDP rank runs its backward pass.

    Args:
        query: (B, M, C) float features of the first image; row i matches row i of ``key``.
        key: (B, M, C) float features of the second image.
        valid: (B, M) bool, False for padding.
        temperature: divides the cosine similarities; the published runs use 0.4.

    Returns:
        () float32, computed in float32 whatever autocast is active.
    """
    with torch.autocast(query.device.type, enabled=False):
        q = normalize(query.float(), dim=-1)
        k = normalize(key.float(), dim=-1)
        scores = torch.bmm(q, k.transpose(1, 2)) / temperature
        positive = scores.diagonal(dim1=1, dim2=2)
        both = valid[:, :, None] & valid[:, None, :]
        scores = scores.masked_fill(~both, _NEVER)
        per_match = 0.5 * (scores.logsumexp(2) + scores.logsumexp(1)) - positive
        matches = valid.sum(1)
        per_pair = torch.where(valid, per_match, 0.0).sum(1) / matches.clamp(min=1)
        return per_pair.sum() / (matches > 0).sum().clamp(min=1)
