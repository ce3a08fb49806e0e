from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pri3d_data.matches import DISTANCE, Agreement, View, sample_matches
from shards.frames import StoredFrame
from shards.parts import Tracks
from shards.window import window_around

HEIGHT, WIDTH = 60, 90


def frame(shift_m: float = 0.0, depth_camera: tuple[float, ...] = (70.0, 70.0, 44.5, 29.5)) -> StoredFrame:
    """A camera before a slanted wall, which every pixel measures."""
    random = np.random.default_rng(int(shift_m * 1000))
    image = random.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    depth = np.broadcast_to(1500 + 4 * np.arange(WIDTH), (HEIGHT, WIDTH)).astype(np.uint16)
    pose = np.eye(4)
    pose[0, 3] = shift_m
    camera = np.array([70.0, 70.0, 44.5, 29.5])
    view = View(depth, 0.001, np.array(depth_camera), pose, camera, pose, WIDTH, HEIGHT)
    return StoredFrame(image, view, np.zeros((2, 3)), 0)


def everything(a: StoredFrame, b: StoredFrame) -> NDArray[np.int16]:
    return sample_matches(a.view, b.view, Agreement(DISTANCE, 0.02), HEIGHT * WIDTH, 0)


@pytest.mark.parametrize("lens", [(70.0, 70.0, 44.5, 29.5), (64.73, 66.31, 42.93, 30.17)], ids=["one", "two"])
def test_matches_of_windows_are_those_of_the_images_that_lie_in_both(lens: tuple[float, ...]) -> None:
    a, b = frame(0.0, lens), frame(0.1, lens)
    cut_a, cut_b = window_around(a, 20, 20, (32, 40)), window_around(b, 50, 30, (32, 40))
    whole = everything(a, b).astype(int) - [0, 4, 30, 14]
    inside = ((whole >= 0) & (whole < [40, 32, 40, 32])).all(axis=1)
    assert inside.sum() >= 80
    assert {tuple(m) for m in everything(cut_a, cut_b).tolist()} == {tuple(m) for m in whole[inside].tolist()}
    assert np.array_equal(cut_a.image, a.image[4:36, 0:40])
    assert np.array_equal(cut_b.image, b.image[14:46, 30:70])


@pytest.mark.parametrize(("x", "y", "corner"), [(0, 0, (0, 0)), (89, 59, (50, 28)), (45, 30, (25, 14))])
def test_a_window_stays_inside_its_image(x: int, y: int, corner: tuple[int, int]) -> None:
    whole = frame()
    cut = window_around(whole, x, y, (32, 40))
    left, top = corner
    assert np.array_equal(cut.image, whole.image[top : top + 32, left : left + 40])
    assert cut.view.camera.tolist() == [70.0, 70.0, 44.5 - left, 29.5 - top]


def test_an_image_smaller_than_its_window_is_filled_up_with_black_where_nothing_matches() -> None:
    a, b = frame(), frame(0.1)
    cut_a, cut_b = (window_around(f, 45, 30, (100, 120)) for f in (a, b))
    assert cut_a.image.shape == (100, 120, 3)
    assert np.array_equal(cut_a.image[:HEIGHT, :WIDTH], a.image)
    assert not cut_a.image[HEIGHT:].any()
    assert not cut_a.image[:, WIDTH:].any()
    assert {tuple(m) for m in everything(cut_a, cut_b).tolist()} == {
        tuple(m) for m in everything(a, b).tolist()
    }


def test_tracks_move_with_the_window_and_the_frame_itself_does_not_change() -> None:
    whole = frame()
    tracks = Tracks(np.array([3, 9], np.int32), np.array([[30.5, 20.0], [88.0, 58.0]], np.float32))
    whole = StoredFrame(whole.image, whole.view, None, 0, tracks)
    cut = window_around(whole, 45, 30, (32, 40))
    assert cut.tracks is not None
    assert cut.tracks.pixels.tolist() == [[5.5, 6.0], [63.0, 44.0]]
    assert tracks.pixels.tolist() == [[30.5, 20.0], [88.0, 58.0]]
