from __future__ import annotations

import weakref
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pretend_street import in_image, in_view, scan, seen_by_camera, truth, write_odometry, write_street

from pipelines import kitti_mapping
from pipelines.kitti_mapping import map_pairs, view_of
from pipelines.kitti_parameters import KITTI_PRESETS, KittiParameters
from pri3d_data.kitti.drive import KittiDrive
from pri3d_data.kitti.scenes import find_scenes, open_drive
from pri3d_data.mapping import SparseView, common_share, seen_in

PAPER, REFERENCE = KITTI_PRESETS["paper"], KITTI_PRESETS["reference"]
ZERO = "2011_10_03_drive_0027_sync"


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> KittiDrive:
    (drive,) = find_scenes(str(write_street(tmp_path_factory.mktemp("street"))))
    return drive


def views(drive: KittiDrive, parameters: KittiParameters) -> dict[int, SparseView]:
    with open_drive(drive) as capture:
        return {frame.index: view_of(frame, capture.depth(frame), parameters) for frame in capture.frames}


def share(a: SparseView, b: SparseView) -> float:
    a_in_b, b_in_a = seen_in(a, b, 0.5, False), seen_in(b, a, 0.5, False)
    matched = int((a_in_b & a.counted).sum()), int((b_in_a & b.counted).sum())
    return common_share(*matched, int(a.counted.sum()), int(b.counted.sum()))


def mean_shares(seen: dict[int, SparseView], gap: int) -> tuple[float, float, float]:
    """Mean overlap of frames ``gap`` apart: with their poses, with one and the same, with the way reversed."""
    shares = []
    for a, b in ((seen[n], seen[n + gap]) for n in seen if n + gap in seen):
        still = share(a, b._replace(camera_to_world=a.camera_to_world))
        back = a.camera_to_world @ np.linalg.inv(b.camera_to_world) @ a.camera_to_world
        shares.append((share(a, b), still, share(a, b._replace(camera_to_world=back))))
    true, identity, inverted = np.mean(shares, axis=0)
    return float(true), float(identity), float(inverted)


# ---- matches against the truth


@pytest.mark.parametrize(("gap", "recall"), [(1, 0.85), (4, 0.75), (12, 0.55)])
def test_stored_matches_are_the_points_that_both_cameras_see(
    street: KittiDrive, gap: int, recall: float
) -> None:
    """Precision and recall by rays to the scan's own points; stated in docs/building.md."""
    known = truth()
    seen = views(street, PAPER)
    stored = true = both = 0
    for number in (0, 3):
        found = seen_by_camera(known, number)
        with open_drive(street) as capture:
            depth = capture.depth(capture.frames[number])
        points = found.points_world[depth[found.row, found.column] > 0]
        visible = in_image(known, points, number + gap) & in_view(known, points, number + gap)
        bits = seen_in(seen[number], seen[number + gap], PAPER.match_tolerance_m, False)
        stored, true, both = stored + bits.sum(), true + visible.sum(), both + (bits & visible).sum()
    assert true > 300
    assert both / stored > 0.985
    assert both / true > recall


# ---- what the score says of poses


def test_overlap_tells_true_poses_from_a_standing_and_a_reversing_car(street: KittiDrive) -> None:
    above = views(street, PAPER)
    whole = {n: view._replace(counted=np.ones_like(view.counted)) for n, view in above.items()}
    for gap in (1, 3, 6):
        true, identity, inverted = mean_shares(above, gap)
        assert true > 3.0 * identity
        assert true > 5.0 * inverted
        # With the ground in it a standing car scores twice as much and more: the reason to leave it out.
        assert mean_shares(whole, gap)[1] > 2.0 * identity


@pytest.mark.real_data
def test_overlap_tells_them_apart_on_the_real_drive(shared_data: Path) -> None:
    (drive,) = find_scenes(str(shared_data / "kitti_raw"))
    above = views(drive, PAPER)
    whole = {n: view._replace(counted=np.ones_like(view.counted)) for n, view in above.items()}
    for gap in range(1, 8):
        true, identity, inverted = mean_shares(above, gap)
        assert true > 0.25
        assert true > 1.7 * identity
        assert true > 2.3 * inverted
        with_ground = mean_shares(whole, gap)
        assert with_ground[1] > 0.8 * with_ground[0]


# ---- the window that slides along the drive


def brute_force(drive: KittiDrive, parameters: KittiParameters) -> dict[tuple[int, int], float]:
    seen = views(drive, parameters)
    shares = {
        (i, j): share(seen[i], seen[j]) for i, j in combinations(seen, 2) if j - i <= parameters.max_gap
    }
    return {pair: overlap for pair, overlap in shares.items() if overlap > parameters.min_overlap}


def test_every_two_frames_within_the_gap_that_overlap_are_a_pair(street: KittiDrive) -> None:
    for parameters in (PAPER, replace(PAPER, max_gap=3), replace(PAPER, min_overlap=0.4)):
        mapped = map_pairs(street, parameters)
        expected = brute_force(street, parameters)
        assert {pair.frames: pair.overlap for pair in mapped.pairs} == expected
        assert [pair.frames for pair in mapped.pairs] == sorted(expected)
        assert not mapped.failures
    assert len(expected) < len(brute_force(street, PAPER))


def test_parts_of_a_drive_have_the_pairs_of_the_whole_each_once(street: KittiDrive) -> None:
    parameters = replace(PAPER, max_gap=5)
    whole = map_pairs(street, parameters)
    parts = [
        map_pairs(replace(street, first=first, last=last), parameters)
        for first, last in ((0, 4), (5, 9), (10, 15))
    ]
    pairs = [pair for part in parts for pair in part.pairs]
    assert [pair.frames for pair in pairs] == [pair.frames for pair in whole.pairs]
    for pair, other in zip(pairs, whole.pairs, strict=True):
        assert pair[1:4] == other[1:4]
        np.testing.assert_array_equal(pair.bits, other.bits)


def test_no_more_frames_are_held_than_the_gap_spans(
    street: KittiDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[np.ndarray]] = []
    most = 0

    def watched(*arguments: Any) -> SparseView:
        nonlocal most
        view = view_of(*arguments)
        held.append(weakref.ref(view.surface))
        most = max(most, sum(surface() is not None for surface in held))
        return view

    monkeypatch.setattr(kitti_mapping, "view_of", watched)
    map_pairs(street, replace(PAPER, max_gap=3))
    assert len(held) == 16
    # Three earlier ones, the one that leaves the window when the next has come, and the newest.
    assert most <= 5


# ---- the authors' way


def test_reference_scores_are_those_of_the_authors_formulas(tmp_path: Path) -> None:
    """Back-project, T2 · P1⁻¹ · P0 · T2⁻¹, truncate, half a metre, m / (n0 + n1 - m), in plain numpy."""
    write_odometry(tmp_path, ZERO, "00", 0, range(0, 10))
    (drive,) = find_scenes(str(tmp_path))
    known = truth()
    k, t2 = known.camera.matrix, known.reference_to_camera
    rows = (tmp_path / "odometry/data_odometry_velodyne/dataset/poses/00.txt").read_text().splitlines()
    poses = [np.vstack([np.array(row.split(), float).reshape(3, 4), [0, 0, 0, 1]]) for row in rows]
    with open_drive(drive) as capture:
        depths = [capture.depth(frame) / 256.0 for frame in capture.frames]
    mapped = map_pairs(drive, replace(REFERENCE, min_overlap=0.0))
    found = {pair.frames: pair for pair in mapped.pairs}
    for i, j in ((0, 1), (0, 4), (2, 3), (5, 9)):
        v, u = np.nonzero(depths[i])
        d = depths[i][v, u]
        points = np.vstack([np.linalg.inv(k) @ np.stack([u * d, v * d, d]), np.ones(len(d))])
        moved = (t2 @ np.linalg.inv(poses[j]) @ poses[i] @ np.linalg.inv(t2) @ points)[:3]
        at = k @ moved
        moved, at, v, u = moved[:, at[2] > 0], at[:, at[2] > 0], v[at[2] > 0], u[at[2] > 0]
        x, y = (at[:2] / at[2]).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < depths[j].shape[1]) & (y < depths[j].shape[0])
        there = np.where(inside, depths[j][y * inside, x * inside], 0.0)
        agree = (there > 0) & (np.abs(there - moved[2]) < 0.5)
        m, n_i, n_j = agree.sum(), np.count_nonzero(depths[i]), np.count_nonzero(depths[j])
        assert found[i, j].points == (n_i, n_j)
        assert found[i, j].overlap == pytest.approx(m / (n_i + n_j - m), abs=1e-12)
        bits = np.zeros(depths[i].shape, bool)
        bits[v, u] = agree
        stored = np.unpackbits(found[i, j].bits, count=n_i).astype(bool)
        np.testing.assert_array_equal(stored, bits[depths[i] > 0])


def test_a_frame_that_saw_nothing_is_a_failure(street: KittiDrive, tmp_path: Path) -> None:
    (drive,) = find_scenes(str(write_street(tmp_path)))
    behind = scan(truth(), 0)
    behind[:, 0] = -np.abs(behind[:, 0]) - 1.0
    (Path(drive.depth) / "0000000004.bin").write_bytes(behind.astype("<f4").tobytes())
    mapped = map_pairs(drive, PAPER)
    assert [(failure.frame, failure.stage) for failure in mapped.failures] == [(4, "mapping")]
    assert "nothing was measured" in mapped.failures[0].reason
    assert 4 not in {number for pair in mapped.pairs for number in pair.frames}
