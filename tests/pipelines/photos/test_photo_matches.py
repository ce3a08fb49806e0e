"""Pairs, depth and matches of built photo collections, against what the made-up ones truly show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from photo_truth import (
    SPEC,
    Sight,
    built,
    pairs_of,
    precision_and_recall,
    seen_in,
    table,
    truth_of,
)

from pri3d_data.colmap.library import colmap
from shards.dataset import Dataset
from shards.stream import PairStream
from shards.verify import verify


def test_matches_of_photos_with_depth_are_the_true_ones(dense: Path) -> None:
    precision, recall = precision_and_recall(dense, ("0000", "0001"))
    print(f"precision {precision:.4f}, recall {recall:.4f} in {len(table(dense, 'pairs'))} pairs")
    assert precision > 0.98
    assert recall > 0.98


def test_matches_of_photos_without_depth_are_the_sparse_points_both_see(sparse: Path) -> None:
    truth = truth_of("0000")
    model = colmap().Reconstruction(str(sparse.parent / "raw" / "0000" / "sparse" / "0"))
    # Without a limit on their size, the originals are undistorted larger than the published photos.
    whole = replace(truth, spec=replace(SPEC, dense_side=10_000, largest_side=10_000))
    compared = 0
    for a, b, matches in pairs_of(sparse, "0000"):
        expected = set()
        for number in seen_in(model, truth.names[a.frame]) & seen_in(model, truth.names[b.frame]):
            point = model.points3D[number].xyz[None] / SPEC.units_per_m
            ends = [np.floor(Sight(whole, frame).sees(point)[0][0] + 0.5) for frame in (a, b)]
            sizes = [(frame.view.width, frame.view.height) for frame in (a, b)]
            # Undistorting cuts a little off the borders, and points there with it.
            if all((end >= 0).all() and (end < size).all() for end, size in zip(ends, sizes, strict=True)):
                expected.add((*ends[0], *ends[1]))
        assert {tuple(match) for match in matches.tolist()} == expected
        compared += len(matches)
    assert compared > 5000


def test_depth_is_stored_in_the_scenes_own_unit(dense: Path) -> None:
    assert {row["length_unit"] for row in table(dense, "scenes")} == {"scene"}
    assert {(r["match_rule"], r["match_tolerance"]) for r in table(dense, "scenes")} == {
        ("relative_depth", 0.05)
    }
    truth = truth_of("0000")
    for frame in {f.frame: f for pair in pairs_of(dense, "0000") for f in pair[:2]}.values():
        sight, view = Sight(truth, frame), frame.view
        np.testing.assert_allclose(view.camera, sight.camera.vector, rtol=1e-12)
        np.testing.assert_allclose(view.camera_to_world[:3, :3], sight.pose[:3, :3], atol=1e-9)
        np.testing.assert_allclose(
            view.camera_to_world[:3, 3], sight.pose[:3, 3] * SPEC.units_per_m, atol=1e-9
        )
        rows, columns = np.mgrid[: view.height, : view.width]
        points, sky = sight.points(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(float))
        depth = (points - sight.pose[:3, 3]) @ sight.pose[:3, 2] * SPEC.units_per_m
        stored = view.depth.ravel() * view.depth_unit
        # Half a step, and what the file's float32 rounds.
        assert np.abs(stored[~sky] - depth[~sky]).max() <= 0.5 * view.depth_unit + 1e-7 * depth.max()
        assert not stored[sky].any()
    assert table(dense, "scenes")[0]["frames"] == SPEC.photos - SPEC.photos // SPEC.mask_every


def test_pairs_are_those_of_the_model_counted_with_sets(collections: Path, dense: Path) -> None:
    model = colmap().Reconstruction(str(collections / "MegaDepth_v1_SfM/0000/sparse/manhattan/0"))
    truth = truth_of("0000")
    rows = {(r["frame_a"], r["frame_b"]): r for r in table(dense, "pairs") if r["scene"] == "0000"}
    masked = {number for number, masked in enumerate(truth.masked) if masked}
    seen, near = {}, {}
    for number, name in enumerate(truth.names):
        image = model.find_image_with_name(name)
        camera = truth.undistorted[number]
        ids = seen[number] = seen_in(model, name)
        near[number] = {
            i: (image.cam_from_world() * model.points3D[i].xyz)[2] / (0.5 * (camera.fx + camera.fy))
            for i in ids
        }
    expected = {}
    for a in range(SPEC.photos):
        for b in range(a + 1, SPEC.photos):
            shared = seen[a] & seen[b]
            overlap = len(shared) / min(len(seen[a]), len(seen[b]))
            if overlap >= 0.3 and not {a, b} & masked:
                scale = min(max(near[a][p] / near[b][p], near[b][p] / near[a][p]) for p in shared)
                expected[a, b] = (len(seen[a]), len(seen[b]), len(shared), overlap, scale)
    assert len(expected) > 10
    assert set(rows) == set(expected)
    for ends, (points_a, points_b, shared, overlap, scale) in expected.items():
        row = rows[ends]
        assert (row["points_a"], row["points_b"], row["matched_a"], row["matched_b"]) == (
            points_a,
            points_b,
            shared,
            shared,
        )
        assert row["overlap"] == pytest.approx(overlap)
        assert row["scale_ratio"] == pytest.approx(scale)


def test_photos_come_out_of_the_stream_in_one_size_with_matches(dense: Path, sparse: Path) -> None:
    stream = PairStream([str(dense), str(sparse)], seed=0, size=(96, 112), matches=64)
    counts = []
    for pair in (pair for turn in stream.epoch(0) for pair in turn):
        assert pair.image_a.shape == pair.image_b.shape == (96, 112, 3)
        assert (pair.matches >= 0).all()
        assert (pair.matches < [112, 96, 112, 96]).all()
        counts.append(len(pair.matches))
    assert len(counts) > 0.9 * (len(table(dense, "pairs")) + len(table(sparse, "pairs")))
    # Each window lies around a match.
    assert min(counts) >= 1


@pytest.mark.real_data
def test_real_photos_build_from_their_colmap_model(shared_data: Path, tmp_path: Path) -> None:
    summary = built("colmap", shared_data / "sacre_coeur_colmap", tmp_path / "out")
    assert summary.failures == []
    (record,) = summary.records.values()
    assert len(record.frames["frame"]) == 10
    assert list(verify(Dataset(str(tmp_path / "out")))) == []
    model = colmap().Reconstruction(str(shared_data / "sacre_coeur_colmap" / "sparse" / "0"))
    names = record.frames["name"]
    for a, b, matches in pairs_of(tmp_path / "out", "sacre_coeur_colmap"):
        shared = seen_in(model, names[a.frame]) & seen_in(model, names[b.frame])
        assert 0.9 * len(shared) <= len(matches) <= len(shared)
        assert len(matches) >= 20
