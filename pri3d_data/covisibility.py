"""Which photos of a sparse reconstruction see the same points, from how different a distance and direction.

For every two images that share points: the directed overlaps |P_a ∩ P_b| / |P_a| and / |P_b|, the scale
ratio, min over shared points of max(n_a / n_b, n_b / n_a) with n = depth / focal length, and the angle
between the principal axes (D2-Net's measures, which Pri3D took over).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import inline_kernel, kernel


class Thresholds(NamedTuple):
    """Which pairs are worth keeping. Every bound is inclusive.

    Attributes:
        min_overlap, max_overlap: of the larger directed overlap.
        max_scale_ratio: of the scale ratio.
        max_angle_deg: of the angle between the principal axes.
    """

    min_overlap: float = 0.3
    max_overlap: float = 1.0
    max_scale_ratio: float = np.inf
    max_angle_deg: float = 180.0


class CovisiblePairs(NamedTuple):
    """Pairs in order of a, then b.

    Attributes:
        images: (K, 2) int64 image rows, a < b.
        shared: (K,) int64 points that both see.
        scale_ratio, angle_deg: (K,) float64.
    """

    images: NDArray[np.int64]
    shared: NDArray[np.int64]
    scale_ratio: NDArray[np.float64]
    angle_deg: NDArray[np.float64]


def covisible_pairs(
    starts: NDArray[np.int64],
    points: NDArray[np.int64],
    normalised_depth: NDArray[np.float64],
    axes_world: NDArray[np.float64],
    thresholds: Thresholds,
) -> CovisiblePairs:
    """Every pair of images within the thresholds.

    Time follows the number of (point, image, image) coincidences; memory is linear in observations and kept
    pairs, and pairs without a shared point cost nothing.

    Args:
        starts: (N + 1,) int64; observations starts[i] to starts[i + 1] are image i's.
        points: (M,) int64 rows of the points seen, unique within an image.
        normalised_depth: (M,) float64, an observed point's depth over the image's mean focal length.
        axes_world: (N, 3) float64 viewing directions of unit length.
        thresholds: which pairs to keep.

    Raises:
        ValueError: the arrays do not fit together.
    """
    if len(points) != len(normalised_depth) or int(starts[-1]) != len(points):
        raise ValueError(f"{len(points)} points, {len(normalised_depth)} depths, {starts[-1]} observations")
    if len(axes_world) != len(starts) - 1:
        raise ValueError(f"{len(axes_world)} axes of {len(starts) - 1} images")
    images, shared, numbers = _pairs(
        np.ascontiguousarray(starts, dtype=np.int64),
        np.ascontiguousarray(points, dtype=np.int64),
        np.ascontiguousarray(normalised_depth, dtype=np.float64),
        np.ascontiguousarray(axes_world, dtype=np.float64),
        thresholds.min_overlap,
        thresholds.max_overlap,
        thresholds.max_scale_ratio,
        thresholds.max_angle_deg,
    )
    return CovisiblePairs(images, shared, numbers[:, 0].copy(), numbers[:, 1].copy())


@kernel
def _pairs(
    starts: NDArray[np.int64],
    points: NDArray[np.int64],
    depth: NDArray[np.float64],
    axes: NDArray[np.float64],
    min_overlap: float,
    max_overlap: float,
    max_scale: float,
    max_angle: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    images = starts.shape[0] - 1
    tracks, seer, seer_depth = _by_point(starts, points, depth)
    # How far into each track the images at or before the current one reach.
    reached = tracks[:-1].copy()
    count = np.zeros(images, np.int64)
    ratio = np.empty(images)
    touched = np.empty(images, np.int64)
    kept = 0
    pairs, shared, numbers = np.empty((64, 2), np.int64), np.empty(64, np.int64), np.empty((64, 2))
    for a in range(images):
        found = 0
        for observation in range(starts[a], starts[a + 1]):
            point = points[observation]
            reached[point] += 1
            for other in range(reached[point], tracks[point + 1]):
                b = seer[other]
                scale = depth[observation] / seer_depth[other]
                scale = max(scale, 1.0 / scale)
                if count[b] == 0:
                    touched[found] = b
                    found += 1
                    ratio[b] = scale
                count[b] += 1
                ratio[b] = min(ratio[b], scale)
        if kept + found > pairs.shape[0]:
            room = max(2 * pairs.shape[0], kept + found)
            pairs, shared, numbers = _grown(pairs, shared, numbers, kept, room)
        seen_by_a = starts[a + 1] - starts[a]
        for b in np.sort(touched[:found]):
            # The larger directed overlap is of the image that sees fewer points.
            overlap = count[b] / min(seen_by_a, starts[b + 1] - starts[b])
            cosine = axes[a, 0] * axes[b, 0] + axes[a, 1] * axes[b, 1] + axes[a, 2] * axes[b, 2]
            angle = np.degrees(np.arccos(min(1.0, max(-1.0, cosine))))
            if min_overlap <= overlap <= max_overlap and ratio[b] <= max_scale and angle <= max_angle:
                pairs[kept, 0], pairs[kept, 1] = a, b
                shared[kept] = count[b]
                numbers[kept, 0], numbers[kept, 1] = ratio[b], angle
                kept += 1
            count[b] = 0
    return pairs[:kept].copy(), shared[:kept].copy(), numbers[:kept].copy()


@inline_kernel
def _by_point(
    starts: NDArray[np.int64], points: NDArray[np.int64], depth: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Observations grouped by point, each group in order of images: starts, images, depths."""
    most = 0
    for observation in range(points.shape[0]):
        most = max(most, points[observation] + 1)
    tracks = np.zeros(most + 1, np.int64)
    for observation in range(points.shape[0]):
        tracks[points[observation] + 1] += 1
    for point in range(most):
        tracks[point + 1] += tracks[point]
    next_free = tracks[:-1].copy()
    seer, seer_depth = np.empty(points.shape[0], np.int64), np.empty(points.shape[0])
    for image in range(starts.shape[0] - 1):
        for observation in range(starts[image], starts[image + 1]):
            place = next_free[points[observation]]
            next_free[points[observation]] += 1
            seer[place], seer_depth[place] = image, depth[observation]
    return tracks, seer, seer_depth


@inline_kernel
def _grown(
    pairs: NDArray[np.int64], shared: NDArray[np.int64], numbers: NDArray[np.float64], kept: int, room: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    more_pairs, more_shared = np.empty((room, 2), np.int64), np.empty(room, np.int64)
    more_numbers = np.empty((room, 2))
    more_pairs[:kept], more_shared[:kept], more_numbers[:kept] = pairs[:kept], shared[:kept], numbers[:kept]
    return more_pairs, more_shared, more_numbers
