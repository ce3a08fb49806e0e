import csv
import os
from pathlib import Path

import numpy as np
import pytest

from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.labels import CATEGORIES
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.path import hand_held_path

SHARED = Path(os.environ.get("PRI3D_SHARED_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
SEEDS = range(12)


@pytest.mark.real_data
def test_category_ids_are_scannets():
    source = SHARED / "metadata" / "scannet" / "scannetv2-labels.combined.mmdet3d.tsv"
    if not source.exists():
        pytest.skip(f"{source} is missing")
    with source.open(encoding="utf-8") as file:
        rows = {row["raw_category"]: row for row in csv.DictReader(file, delimiter="\t")}
    for category in CATEGORIES.values():
        row = rows[category.name]
        assert (category.scannet, category.nyu40) == (int(row["id"]), int(row["nyu40id"])), category.name


@pytest.mark.parametrize("seed", SEEDS)
def test_a_room_is_furnished_and_its_things_lie_inside(seed):
    room = make_room(seed)
    furniture = {
        solid.instance for solid in room.solids if solid.category.name not in ("door", "window", "picture")
    }
    assert 8 <= len(furniture) <= 14
    labels = {}
    for solid in room.solids:
        assert labels.setdefault(solid.instance, solid.category) is solid.category
    to_room = np.linalg.inv(room.room_to_world)
    centers = np.array([solid.center_world for solid in room.solids]) @ to_room[:3, :3].T + to_room[:3, 3]
    assert (np.abs(centers[:, :2]) < np.array(room.size_m[:2]) / 2).all()
    assert (centers[:, 2] > 0).all()
    assert (centers[:, 2] < room.size_m[2]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_walk_stays_in_free_space_and_is_smooth(seed):
    room = make_room(seed)
    poses = hand_held_path(room, seed, 1500)
    assert distance_to_surface(room, poses[:, :3, 3]).min() > 0.25
    assert np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max() < 0.05
    turns = np.einsum("nij,nij->n", poses[1:, :3, :3], poses[:-1, :3, :3])
    assert np.degrees(np.arccos(np.clip((turns - 1) / 2, -1, 1))).max() < 3
    assert np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].swapaxes(1, 2), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(poses[:, :3, :3]), 1)


def test_a_stride_skips_along_the_same_walk():
    room = make_room(3)
    assert np.allclose(hand_held_path(room, 3, 10, stride=5), hand_held_path(room, 3, 50)[::5], atol=1e-12)


def test_distance_of_points_with_known_answers():
    room = make_room(0, offset_world=(10.0, -4.0, 1.0), yaw_rad=0.0)
    half_x = room.size_m[0] / 2
    points = np.array(
        [[10.0, -4.0, 3.55], [10.0 - half_x, -4.0, 3.5], [10.0 + half_x + 3, -4.0, 3.5], [10.0, -4.0, 0.5]]
    )
    assert np.allclose(distance_to_surface(room, points), [0.05, 0.0, -3.0, -0.5], atol=1e-9)


def test_where_a_room_stands_does_not_change_it():
    here = make_room(5, offset_world=(0.0, 0.0, 0.0), yaw_rad=0.0)
    there = make_room(5, offset_world=(7.0, -2.0, 1.0), yaw_rad=1.0)
    points = np.random.default_rng(0).uniform([-1.5, -1.5, 0], [1.5, 1.5, 2.5], (500, 3))
    moved = points @ there.room_to_world[:3, :3].T + there.room_to_world[:3, 3]
    assert np.allclose(distance_to_surface(here, points), distance_to_surface(there, moved), atol=1e-9)
