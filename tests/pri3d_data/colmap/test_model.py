from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pri3d_data.colmap.library import colmap
from pri3d_data.colmap.model import SparseModel, read_model
from pri3d_data.errors import DataError

TRIO = ("cameras", "images", "points3D")


def synthetic(folder: Path, text: bool = False, per_rig: int = 1) -> Path:
    """A model by COLMAP's own generator, with keypoints that belong to no point."""
    colmap().set_random_seed(3)
    options = colmap().SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 2, per_rig, 4
    options.num_points3D, options.num_points2D_without_point3D = 60, 7
    model = colmap().synthesize_dataset(options)
    folder.mkdir(parents=True)
    (model.write_text if text else model.write_binary)(str(folder))
    return folder


def assert_is_what_colmap_reads(ours: SparseModel, folder: Path) -> None:
    theirs = colmap().Reconstruction(str(folder))
    numbers = sorted(theirs.points3D)
    assert list(ours.names) == sorted(image.name for image in theirs.images.values())
    np.testing.assert_array_equal(ours.points_world, [theirs.points3D[n].xyz for n in numbers])
    for row, name in enumerate(ours.names):
        image = theirs.find_image_with_name(name)
        to_camera = np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])
        np.testing.assert_allclose(ours.camera_to_world[row] @ to_camera, np.eye(4), atol=1e-12)
        camera = ours.cameras[row]
        assert (camera.model, camera.width, camera.height) == (
            image.camera.model.name,
            image.camera.width,
            image.camera.height,
        )
        np.testing.assert_array_equal(camera.params, image.camera.params)
        seen = {p.point3D_id: p.xy for p in image.points2D if p.has_point3D()}
        part = ours.seen_by(row)
        assert [numbers[point] for point in ours.points[part]] == sorted(seen)
        for point, pixel in zip(ours.points[part], ours.pixels[part], strict=True):
            np.testing.assert_allclose(pixel + 0.5, seen[numbers[point]], atol=1e-9)


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
@pytest.mark.parametrize("per_rig", [1, 2], ids=["single cameras", "rigs of two"])
def test_a_model_reads_as_colmap_reads_it(tmp_path: Path, text: bool, per_rig: int) -> None:
    folder = synthetic(tmp_path / "model", text, per_rig)
    assert (folder / ("rigs.txt" if text else "rigs.bin")).exists()
    assert_is_what_colmap_reads(read_model(str(folder)), folder)


def test_a_model_of_three_files_reads_the_same_as_with_rigs_and_frames(tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "model", per_rig=2)
    with_rigs = read_model(str(folder))
    (folder / "rigs.bin").unlink()
    (folder / "frames.bin").unlink()
    alone = read_model(str(folder))
    assert alone.names == with_rigs.names
    np.testing.assert_array_equal(alone.camera_to_world, with_rigs.camera_to_world)
    assert_is_what_colmap_reads(alone, folder)


@pytest.mark.real_data
@pytest.mark.parametrize("form", ["sparse/0", "sparse_txt/0"])
def test_a_model_of_real_photos_reads_as_colmap_reads_it(shared_data: Path, form: str) -> None:
    folder = shared_data / "sacre_coeur_colmap" / form
    model = read_model(str(folder))
    assert (len(model.names), len(model.points_world)) == (10, 1424)
    assert_is_what_colmap_reads(model, folder)


def test_of_two_keypoints_on_one_point_the_last_counts(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "model", [(1.5, 2.5, 7), (3.5, 4.5, 7)])
    model = read_model(str(folder))
    np.testing.assert_array_equal(model.pixels, [[3.0, 4.0]])


def test_names_may_hold_spaces_folders_and_any_letters(tmp_path: Path) -> None:
    for text in (False, True):
        folder = by_hand(tmp_path / f"model{text}", [(1.5, 2.5, 7)], name="été/a b.jpg", text=text)
        assert read_model(str(folder)).names == ("été/a b.jpg",)


def test_a_text_image_without_keypoints_has_an_empty_line(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "model", [], text=True)
    model = read_model(str(folder))
    assert (model.names, len(model.points)) == (("a.jpg",), 0)


def test_a_model_can_be_read_from_a_url(tmp_path: Path) -> None:
    import fsspec

    folder = synthetic(tmp_path / "model")
    memory = fsspec.filesystem("memory")
    for name in TRIO:
        memory.pipe_file(f"/colmap/{name}.bin", (folder / f"{name}.bin").read_bytes())
    try:
        assert_is_what_colmap_reads(read_model("memory://colmap"), folder)
    finally:
        memory.rm("/colmap", recursive=True)


@pytest.mark.parametrize("name", TRIO)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.floats(0, 1))
def test_a_file_cut_anywhere_is_named(tmp_path: Path, name: str, cut: float) -> None:
    folder = tmp_path / "model"
    if not folder.exists():
        synthetic(folder)
    file = folder / f"{name}.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(cut * (len(whole) - 1))])
    try:
        with pytest.raises(DataError) as caught:
            read_model(str(folder))
    finally:
        file.write_bytes(whole)
    assert caught.value.file == str(file)


@pytest.mark.parametrize("name", TRIO)
def test_a_count_beyond_the_file_is_refused_before_anything_is_allocated(tmp_path: Path, name: str) -> None:
    folder = synthetic(tmp_path / "model")
    file = folder / f"{name}.bin"
    file.write_bytes(struct.pack("<Q", 2**61) + file.read_bytes()[8:])
    with pytest.raises(DataError, match="2305843009213693952 records are announced") as caught:
        read_model(str(folder))
    assert caught.value.file == str(file)


def test_a_track_longer_than_memory_is_refused(tmp_path: Path) -> None:
    folder = by_hand(tmp_path / "model", [(1.5, 2.5, 7)])
    file = folder / "points3D.bin"
    data = bytearray(file.read_bytes())
    data[8 + 43 : 8 + 51] = struct.pack("<Q", 2**63 + 5)
    file.write_bytes(bytes(data))
    with pytest.raises(DataError, match="track goes beyond") as caught:
        read_model(str(folder))
    assert caught.value.offset == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"camera": 9}, "camera 9 is not in the model"),
        ({"seen": [(1.5, 2.5, 8)]}, "a point that the model does not have"),
        ({"seen": [(float("nan"), 2.5, 7)]}, "position is not a number"),
        ({"rotation": (0.0, 0.0, 0.0, 0.0)}, "not a pose"),
        ({"rotation": (float("nan"), 0.0, 0.0, 1.0)}, "not a pose"),
        ({"name": "../secret.jpg"}, "leads out of"),
        ({"name": "/etc/secret.jpg"}, "leads out of"),
        ({"images": 0}, "empty"),
        ({"images": 2}, "two images of this name"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    change = {"seen": [(1.5, 2.5, 7)]} | change
    folder = by_hand(tmp_path / "model", **change)
    with pytest.raises(DataError, match=words) as caught:
        read_model(str(folder))
    assert caught.value.file.endswith("images.bin")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("cameras.txt", "1 PINHOLE wide 480 1 1 1 1"),
        ("images.txt", "1 1 0 0 0 a.jpg"),
        ("images.txt", "1 1 0 0 0 0 0 0 1 a.jpg\n1.5 2.5 7 3.5"),
        ("points3D.txt", "7 1.0 two 3.0"),
    ],
)
def test_a_text_line_that_says_nothing_is_named_with_its_byte(tmp_path: Path, name: str, line: str) -> None:
    folder = by_hand(tmp_path / "model", [(1.5, 2.5, 7)], text=True)
    (folder / name).write_text(f"# a comment\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_model(str(folder))
    assert (caught.value.file, caught.value.offset) == (str(folder / name), 12)


def test_a_folder_without_a_whole_model_says_what_it_needs(tmp_path: Path) -> None:
    folder = synthetic(tmp_path / "model")
    (folder / "points3D.bin").unlink()
    with pytest.raises(DataError, match="cameras, images and points3D"):
        read_model(str(folder))


def by_hand(
    folder: Path,
    seen: list[tuple[float, float, int]],
    *,
    name: str = "a.jpg",
    camera: int = 1,
    rotation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0),
    images: int = 1,
    text: bool = False,
) -> Path:
    """A model of one camera, one point (number 7) and so many images of the same name."""
    folder.mkdir(parents=True)
    if text:
        keypoints = " ".join(f"{x} {y} {point}" for x, y, point in seen)
        pose = " ".join(map(str, rotation))
        (folder / "cameras.txt").write_text("# cameras\n1 PINHOLE 640 480 500 500 320 240\n")
        (folder / "images.txt").write_text(
            f"# images\n1 {pose} 0 0 0 {camera} {name}\n{keypoints}\n" * images
        )
        (folder / "points3D.txt").write_text("# points\n7 1 2 3 255 255 255 0.5 1 0\n")
        return folder
    image = struct.pack("<I4d3dI", 1, *rotation, 0.0, 0.0, 0.0, camera) + name.encode() + b"\0"
    image += struct.pack("<Q", len(seen)) + b"".join(struct.pack("<ddQ", *row) for row in seen)
    one = struct.pack("<Q", 1)
    (folder / "cameras.bin").write_bytes(one + struct.pack("<IiQQ4d", 1, 1, 640, 480, 500, 500, 320, 240))
    (folder / "images.bin").write_bytes(struct.pack("<Q", images) + image * images)
    (folder / "points3D.bin").write_bytes(
        one + struct.pack("<Q3d3BdQII", 7, 1, 2, 3, 255, 255, 255, 0.5, 1, 1, 0)
    )
    return folder
