from __future__ import annotations

import resource
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pri3d_data.covisibility import CovisiblePairs, Thresholds, covisible_pairs


def by_sets(starts, points, depth, axes, thresholds: Thresholds) -> list[tuple[int, int, int, float, float]]:
    """The definition, with Python's sets."""
    seen = [set(points[a:b].tolist()) for a, b in pairwise(starts)]
    near = [dict(zip(points[a:b].tolist(), depth[a:b].tolist(), strict=True)) for a, b in pairwise(starts)]
    out = []
    for a in range(len(seen)):
        for b in range(a + 1, len(seen)):
            shared = seen[a] & seen[b]
            if not shared:
                continue
            overlap = max(len(shared) / len(seen[a]), len(shared) / len(seen[b]))
            scale = min(max(near[a][p] / near[b][p], near[b][p] / near[a][p]) for p in shared)
            angle = float(np.degrees(np.arccos(np.clip(axes[a] @ axes[b], -1, 1))))
            if (
                thresholds.min_overlap <= overlap <= thresholds.max_overlap
                and scale <= thresholds.max_scale_ratio
                and angle <= thresholds.max_angle_deg
            ):
                out.append((a, b, len(shared), scale, angle))
    return out


def rows(pairs: CovisiblePairs) -> list[tuple[int, int, int]]:
    return [(a, b, n) for (a, b), n in zip(pairs.images.tolist(), pairs.shared.tolist(), strict=True)]


def random_scene(rng: np.random.Generator, images: int, points: int, most: int):
    seen = [
        np.sort(rng.choice(points, int(rng.integers(0, min(most, points) + 1)), replace=False))
        for _ in range(images)
    ]
    starts = np.concatenate([[0], np.cumsum([len(s) for s in seen])]).astype(np.int64)
    flat = np.concatenate([*seen, np.zeros(0, int)]).astype(np.int64)
    axes = rng.normal(size=(images, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    return starts, flat, rng.uniform(0.1, 10.0, len(flat)), axes


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 40))
def test_pairs_are_those_of_the_definition_with_sets(seed: int, images: int, points: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng, images, points, 25)
    thresholds = Thresholds(
        float(rng.uniform(0, 0.6)),
        float(rng.uniform(0.6, 1)),
        float(rng.uniform(1, 4)),
        float(rng.uniform(30, 180)),
    )
    for chosen in (thresholds, Thresholds(0.0)):
        pairs = covisible_pairs(*scene, chosen)
        truth = by_sets(*scene, chosen)
        assert rows(pairs) == [row[:3] for row in truth]
        np.testing.assert_allclose(pairs.scale_ratio, [row[3] for row in truth], rtol=1e-12)
        np.testing.assert_allclose(pairs.angle_deg, [row[4] for row in truth], atol=1e-5)


def test_overlap_counts_for_the_image_that_sees_less() -> None:
    # A close-up of 4 points inside a wide view of 40 overlaps by 1, not by 0.1.
    starts = np.array([0, 40, 44])
    points = np.concatenate([np.arange(40), np.arange(10, 14)])
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    for bounds, kept in ((Thresholds(1.0), 1), (Thresholds(0.0, 0.99), 0)):
        assert len(covisible_pairs(starts, points, np.ones(44), axes, bounds).shared) == kept


def test_images_that_share_nothing_are_no_pair_even_without_a_threshold() -> None:
    axes = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    pairs = covisible_pairs(np.array([0, 2, 4, 4]), np.array([0, 1, 2, 3]), np.ones(4), axes, Thresholds(0.0))
    assert len(pairs.shared) == 0


def test_arrays_that_do_not_fit_are_refused() -> None:
    axes = np.array([[0.0, 0.0, 1.0]])
    with pytest.raises(ValueError, match="3 observations"):
        covisible_pairs(np.array([0, 3]), np.array([0, 1]), np.ones(2), axes, Thresholds())
    with pytest.raises(ValueError, match="1 axes of 2 images"):
        covisible_pairs(np.array([0, 1, 2]), np.array([0, 1]), np.ones(2), axes, Thresholds())


def test_memory_follows_the_observations_not_the_square_of_the_images() -> None:
    # 30,000 images of two points each, a chain: 900 million conceivable pairs, 30,000 real ones.
    images = 30_000
    starts = np.arange(images + 1) * 2
    points = (np.arange(images)[:, None] + np.arange(2)).ravel()
    axes = np.tile([0.0, 0.0, 1.0], (images, 1))
    covisible_pairs(starts[:3], points[:4], np.ones(4), axes[:2], Thresholds())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs = covisible_pairs(starts, points, np.ones(len(points)), axes, Thresholds(0.5))
    assert len(pairs.shared) == images - 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000
