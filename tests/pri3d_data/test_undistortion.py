from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pri3d_data.camera import Camera
from pri3d_data.colmap.camera import ColmapCamera
from pri3d_data.colmap.library import colmap
from pri3d_data.colmap.model import read_model
from pri3d_data.photo import read_photo
from pri3d_data.synth.layout import make_room
from pri3d_data.synth.lens import pixel_grid, project, rays
from pri3d_data.synth.path import hand_held_path
from pri3d_data.synth.raycast import render
from pri3d_data.synth.rays import trace_rays
from pri3d_data.synth.texture import surface_colors
from pri3d_data.undistortion import is_undistorted, undistort_photo, undistort_points, undistorted_camera

BENT = ColmapCamera("SIMPLE_RADIAL", 96, 72, (80.0, 48.0, 36.0, 0.12))


@pytest.mark.real_data
@pytest.mark.parametrize("largest_side", [None, 400])
def test_undistorted_photos_and_points_are_colmaps_own(
    shared_data: Path, tmp_path: Path, largest_side: int | None
) -> None:
    # The same photos as PNG, so that what COLMAP writes can be compared pixel for pixel.
    source = shared_data / "sacre_coeur_colmap"
    model = read_model(str(source / "sparse" / "0"))
    chosen = range(0, 10, 3)
    theirs = colmap().Reconstruction(str(source / "sparse" / "0"))
    for image in theirs.images.values():
        image.name = image.name.replace(".jpg", ".png")
    (tmp_path / "images").mkdir()
    (tmp_path / "sparse").mkdir()
    theirs.write(str(tmp_path / "sparse"))
    photos = {}
    for row in chosen:
        photos[row] = read_photo(str(source / "images" / model.names[row])).pixels()
        name = model.names[row].replace(".jpg", ".png")
        cv2.imwrite(str(tmp_path / "images" / name), photos[row][:, :, ::-1])
    colmap().undistort_images(
        output_path=str(tmp_path / "undistorted"),
        input_path=str(tmp_path / "sparse"),
        image_path=str(tmp_path / "images"),
        undistort_options={"max_image_size": -1 if largest_side is None else largest_side},
    )
    written = colmap().Reconstruction(str(tmp_path / "undistorted" / "sparse"))
    for row in chosen:
        name = model.names[row].replace(".jpg", ".png")
        expected = cv2.imread(str(tmp_path / "undistorted" / "images" / name))[:, :, ::-1]
        ours = undistort_photo(photos[row], model.cameras[row], largest_side)
        np.testing.assert_array_equal(ours, expected)
        image, before = written.find_image_with_name(name), theirs.find_image_with_name(name)
        camera = undistorted_camera(model.cameras[row], largest_side)
        fx, fy, cx, cy = image.camera.params
        assert camera == Camera(image.camera.width, image.camera.height, fx, fy, cx - 0.5, cy - 0.5)
        distorted = np.array([point.xy for point in before.points2D])
        straight = np.array([point.xy for point in image.points2D])
        found = undistort_points(distorted - 0.5, model.cameras[row], camera) + 0.5
        np.testing.assert_allclose(found, straight, atol=1e-9)


def test_a_bent_photo_becomes_what_a_pinhole_sees() -> None:
    # The room is rendered through the bent lens and through the pinhole; truth is the second picture.
    room, largest = make_room(5).arrays, 90
    pose = hand_held_path(make_room(5), 5, 1)[0]
    lens = ColmapCamera("SIMPLE_RADIAL", 384, 288, (320.0, 192.0, 144.0, 0.12))
    _, points, surface, face = trace_rays(room, rays(lens, pixel_grid(384, 288)), pose)
    photo = surface_colors(room, points, surface, face).reshape(288, 384, 3)
    camera = undistorted_camera(lens, None)
    truth = render(room, camera.vector, camera.width, camera.height, pose).rgb.astype(np.float64)
    ours = undistort_photo(photo, lens, None).astype(np.float64)
    bent = cv2.resize(photo, (camera.width, camera.height)).astype(np.float64)
    assert np.abs(ours - truth).mean() < 0.35 * np.abs(bent - truth).mean()
    # Half a pixel of misplacement would more than double what interpolation alone costs.
    shifted = np.abs(ours[:, 1:] - truth[:, :-1]).mean()
    assert np.abs(ours - truth).mean() < 0.7 * shifted
    assert max(undistorted_camera(lens, largest).width, undistorted_camera(lens, largest).height) == largest


def test_points_lie_where_the_pinhole_sees_them() -> None:
    rng = np.random.default_rng(0)
    camera = undistorted_camera(BENT, 64)
    points = np.column_stack([rng.uniform(-0.5, 0.5, 200), rng.uniform(-0.4, 0.4, 200), np.ones(200)])
    points *= rng.uniform(1, 5, (200, 1))
    straight = points[:, :2] / points[:, 2:] * camera.vector[:2] + camera.vector[2:]
    np.testing.assert_allclose(undistort_points(project(BENT, points), BENT, camera), straight, atol=1e-6)


def test_points_of_a_pinhole_photo_move_only_with_its_size() -> None:
    lens = ColmapCamera("PINHOLE", 100, 60, (90.0, 91.0, 50.0, 30.0))
    half = undistorted_camera(lens, 50)
    assert (half.width, half.height) == (50, 30)
    # The corner of the image stays its corner: (-0.5, -0.5) in every size.
    np.testing.assert_allclose(
        undistort_points(np.array([[-0.5, -0.5]]), lens, half), [[-0.5, -0.5]], atol=1e-9
    )


def test_a_photo_without_distortion_is_left_alone() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (60, 100, 3), dtype=np.uint8)
    lens = ColmapCamera("SIMPLE_PINHOLE", 100, 60, (90.0, 50.0, 30.0))
    for largest in (None, 100, 4000):
        assert is_undistorted(lens, largest)
        assert undistort_photo(photo, lens, largest) is photo
    assert not is_undistorted(lens, 50)
    assert undistort_photo(photo, lens, 50).shape == (30, 50, 3)
    assert not is_undistorted(BENT, None)


def test_a_photo_of_another_size_than_its_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="72x96 pixels, its camera 96x72"):
        undistort_photo(np.zeros((96, 72, 3), np.uint8), BENT)
