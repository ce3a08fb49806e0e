from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.colmap.library import colmap
from pri3d_data.errors import UsageError
from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.lens import pixel_grid, project, rays
from pri3d_data.synth.megadepth import (
    SEED_KIND,
    MegaDepthSynth,
    megadepth_truth,
    write_megadepth,
    write_megadepth_scene,
)
from pri3d_data.synth.path import hand_held_path
from pri3d_data.synth.raycast import trace
from pri3d_data.synth.rays import trace_rays
from pri3d_data.synth.request import scene_seed

SPEC = MegaDepthSynth(photos=6, largest_side=160, dense_side=120, points=400)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("synth")
    write_megadepth(root, 1, 5, SPEC)
    return root


def test_rays_hit_what_images_show() -> None:
    room = make_room(2)
    pose = hand_held_path(room, 2, 1)[0]
    camera = np.array([70.0, 71.0, 40.0, 29.0])
    plane = (pixel_grid(80, 60) - camera[2:]) / camera[:2]
    for ours, image in zip(
        trace_rays(room.arrays, plane, pose), trace(room.arrays, camera, 80, 60, pose), strict=True
    ):
        np.testing.assert_array_equal(ours, image.reshape(ours.shape))


@pytest.mark.parametrize("k", [-0.08, 0.0, 0.12])
def test_the_lens_is_colmaps_and_is_undone_exactly(k: float) -> None:
    camera = ColmapCamera("SIMPLE_RADIAL", 160, 120, (110.0, 80.0, 60.0, k))
    pixels = pixel_grid(160, 120)[::37]
    plane = rays(camera, pixels)
    points = np.column_stack([plane, np.ones(len(plane))])
    np.testing.assert_allclose(project(camera, 3.0 * points), pixels, atol=1e-9)
    theirs = colmap().Camera(model="SIMPLE_RADIAL", width=160, height=120, params=list(camera.params))
    np.testing.assert_allclose(theirs.img_from_cam(points) - 0.5, pixels, atol=1e-9)


def test_a_collection_lies_as_megadepth_is_published(collection: Path) -> None:
    names = megadepth_truth(SPEC, scene_seed(5, 0, SEED_KIND)).names
    model = collection / "MegaDepth_v1_SfM" / "0000"
    dense = collection / "MegaDepth_v1" / "0000" / "dense0"
    assert sorted(p.name for p in (model / "images").iterdir()) == list(names)
    assert sorted(p.name for p in (dense / "imgs").iterdir()) == list(names)
    assert sorted(p.stem for p in (dense / "depths").iterdir()) == [Path(name).stem for name in names]
    # Three files, as models of 2018.
    manhattan = model / "sparse" / "manhattan" / "0"
    assert sorted(p.name for p in manhattan.iterdir()) == ["cameras.bin", "images.bin", "points3D.bin"]


def test_the_model_is_exact(collection: Path) -> None:
    model = colmap().Reconstruction(str(collection / "MegaDepth_v1_SfM/0000/sparse/manhattan/0"))
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-9
    assert min(len(point.track.elements) for point in model.points3D.values()) >= 2
    assert len(model.points3D) > 100
    points = np.array([point.xyz for point in model.points3D.values()]) / SPEC.units_per_m
    room = megadepth_truth(SPEC, scene_seed(5, 0, SEED_KIND)).room
    assert np.abs(distance_to_surface(room, points)).max() < 1e-9
    assert {camera.model.name for camera in model.cameras.values()} == {"SIMPLE_RADIAL"}
    assert len({(camera.width, camera.height) for camera in model.cameras.values()}) > 3


def test_photos_see_only_points_nothing_stands_before(collection: Path) -> None:
    truth = megadepth_truth(SPEC, scene_seed(5, 0, SEED_KIND))
    model = colmap().Reconstruction(str(collection / "MegaDepth_v1_SfM/0000/sparse/manhattan/0"))
    for name, pose in zip(truth.names, truth.camera_to_world_m, strict=True):
        seen = [p.point3D_id for p in model.find_image_with_name(name).points2D if p.has_point3D()]
        points = np.array([model.points3D[number].xyz for number in seen]) / SPEC.units_per_m
        local = (points - pose[:3, 3]) @ pose[:3, :3]
        first = trace_rays(truth.room.arrays, local[:, :2] / local[:, 2:], pose)[0]
        np.testing.assert_allclose(local[:, 2], first, rtol=1e-6)


def test_depth_is_in_the_models_unit(collection: Path) -> None:
    truth = megadepth_truth(SPEC, scene_seed(5, 0, SEED_KIND))
    for number, name in enumerate(truth.names):
        camera = truth.undistorted[number]
        with h5py.File(collection / f"MegaDepth_v1/0000/dense0/depths/{Path(name).stem}.h5") as file:
            depth = file["depth"][()]
        assert depth.shape == (camera.height, camera.width)
        assert max(depth.shape) <= SPEC.dense_side
        true_m = trace(
            truth.room.arrays, camera.vector, camera.width, camera.height, truth.camera_to_world_m[number]
        )[0]
        if not truth.masked[number]:
            known = depth > 0
            assert known.mean() > 0.5
            np.testing.assert_allclose(depth[known], true_m[known] * SPEC.units_per_m, rtol=1e-6)


def test_masks_hold_labels(tmp_path: Path) -> None:
    spec = MegaDepthSynth(photos=2, largest_side=96, dense_side=64, points=20, mask_every=1, rigs=True)
    write_megadepth_scene(tmp_path, "0000", spec, 1)
    for path in (tmp_path / "MegaDepth_v1/0000/dense0/depths").iterdir():
        with h5py.File(path) as file:
            assert set(np.unique(file["depth"])) <= {0.0, 1.0, 2.0}
    assert (tmp_path / "MegaDepth_v1_SfM/0000/sparse/manhattan/0/rigs.bin").exists()


def test_the_same_seed_gives_the_same_bytes(collection: Path, tmp_path: Path) -> None:
    done = []
    write_megadepth(tmp_path, 1, 5, SPEC, lambda scene, photo, photos: done.append((scene, photo, photos)))
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 3 * SPEC.photos + 3
    for file in files:
        assert (tmp_path / file).read_bytes() == (collection / file).read_bytes()
    assert done == [("0000", photo, SPEC.photos) for photo in range(1, SPEC.photos + 1)]


def test_what_cannot_be_made_is_said() -> None:
    for wrong in (
        {"photos": 0},
        {"largest_side": 10},
        {"dense_side": 999},
        {"points": 0},
        {"grey_every": -1},
        {"mask_every": -1},
        {"units_per_m": 0.0},
        {"jpeg_quality": 0},
    ):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            MegaDepthSynth(**wrong)
    with pytest.raises(UsageError, match="at least 1 scene"):
        write_megadepth(Path("nowhere"), 0)
    with pytest.raises(UsageError, match="seed"):
        megadepth_truth(SPEC, -1)
