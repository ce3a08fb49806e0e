"""Finding reconstructions: COLMAP folders of one's own, and MegaDepth as it is published."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pri3d_data import megadepth
from pri3d_data.colmap import scenes as colmap
from pri3d_data.errors import UsageError

TRIO = ("cameras", "images", "points3D")


def model(folder: Path, kind: str = "bin") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in TRIO:
        (folder / f"{name}.{kind}").write_bytes(b"12345678")


def photos(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or ("a.jpg",):
        (folder / name).write_bytes(b"photo")


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "."])
@pytest.mark.parametrize("kind", ["bin", "txt"])
def test_a_collection_is_found_wherever_its_model_lies(tmp_path: Path, place: str, kind: str) -> None:
    root = tmp_path / "castle"
    model(root / place, kind)
    photos(root / "images")
    (scene,) = colmap.find_scenes(str(root))
    assert scene.scene == "castle"
    assert Path(scene.model) == root / place
    assert Path(scene.photos) == root / "images"
    assert (scene.undistorted, scene.depths) == ("", "")
    assert colmap.find_scenes(str(tmp_path)) == [scene]


def test_collections_in_a_folder_are_sorted_and_named_for_their_folders(tmp_path: Path) -> None:
    for name in ("Schloß am See", "castle", "castle 2"):
        model(tmp_path / name / "sparse")
    (tmp_path / "notes").mkdir()
    names = [scene.scene for scene in colmap.find_scenes(str(tmp_path))]
    assert names == ["Schlo_am_See", "castle", "castle_2"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) for name in names)


def test_each_model_of_a_collection_is_a_scene(tmp_path: Path) -> None:
    for number in ("0", "1"):
        model(tmp_path / "castle" / "sparse" / number)
    assert [scene.scene for scene in colmap.find_scenes(str(tmp_path))] == ["castle", "castle_1"]


def test_two_scenes_of_one_name_are_refused(tmp_path: Path) -> None:
    model(tmp_path / "a b" / "sparse")
    model(tmp_path / "a_b" / "sparse")
    with pytest.raises(UsageError, match="both be called 'a_b'"):
        colmap.find_scenes(str(tmp_path))


@pytest.mark.parametrize("place", ["stereo/depth_maps", "depths"])
def test_depth_maps_beside_the_photos_are_found(tmp_path: Path, place: str) -> None:
    model(tmp_path / "castle" / "sparse")
    photos(tmp_path / "castle" / place, "a.bin")
    (scene,) = colmap.find_scenes(str(tmp_path / "castle"))
    assert Path(scene.depths) == tmp_path / "castle" / place


def test_a_folder_without_a_model_says_what_was_expected_and_found(tmp_path: Path) -> None:
    photos(tmp_path / "castle" / "images")
    with pytest.raises(UsageError, match=r"sparse/0/.*Found castle/"):
        colmap.find_scenes(str(tmp_path))
    with pytest.raises(UsageError, match="not a folder"):
        colmap.find_scenes(str(tmp_path / "nowhere"))


def test_a_changed_photo_or_model_shows_in_the_stamps(tmp_path: Path) -> None:
    root = tmp_path / "castle"
    model(root / "sparse")
    photos(root / "images", "a.jpg", "b.jpg")
    before = colmap.find_scenes(str(root))[0].stamps
    assert colmap.find_scenes(str(root))[0].stamps == before
    (root / "images" / "b.jpg").write_bytes(b"another")
    changed = colmap.find_scenes(str(root))[0].stamps
    assert changed != before
    (root / "sparse" / "points3D.bin").write_bytes(b"another")
    assert colmap.find_scenes(str(root))[0].stamps != changed


def published(root: Path, depth_root: str = "MegaDepth_v1") -> None:
    for scene, dense, has_model in (
        ("0022", 0, True),
        ("0022", 1, True),
        ("0022", 2, False),
        ("0001", 0, False),
    ):
        photos(root / depth_root / scene / f"dense{dense}" / "imgs")
        photos(root / depth_root / scene / f"dense{dense}" / "depths", "a.h5")
        photos(root / "MegaDepth_v1_SfM" / scene / "images")
        if has_model:
            model(root / "MegaDepth_v1_SfM" / scene / "sparse" / "manhattan" / str(dense))
    model(root / "MegaDepth_v1_SfM" / "0009" / "sparse" / "manhattan" / "0")


@pytest.mark.parametrize(
    "depth_root",
    ["MegaDepth_v1", "phoenix/S6/zl548/MegaDepth_v1", "MegaDepth_v1/phoenix/S6/zl548/MegaDepth_v1"],
)
def test_megadepth_pairs_each_dense_folder_with_its_model(tmp_path: Path, depth_root: str) -> None:
    published(tmp_path, depth_root)
    scenes = megadepth.find_scenes(str(tmp_path))
    # 0001 has depth and no model: a failure of its own. 0009 has no depth, as some scenes; dense2 no model.
    assert [scene.scene for scene in scenes] == ["0001", "0022", "0022_dense1"]
    second = scenes[2]
    assert Path(second.model) == tmp_path / "MegaDepth_v1_SfM/0022/sparse/manhattan/1"
    assert Path(second.photos) == tmp_path / "MegaDepth_v1_SfM/0022/images"
    assert Path(second.undistorted) == tmp_path / depth_root / "0022/dense1/imgs"
    assert Path(second.depths) == tmp_path / depth_root / "0022/dense1/depths"


def test_half_of_megadepth_is_told_from_none(tmp_path: Path) -> None:
    photos(tmp_path / "MegaDepth_v1" / "0022" / "dense0" / "imgs")
    with pytest.raises(UsageError, match=r"no 'MegaDepth_v1_SfM'.*Found MegaDepth_v1/"):
        megadepth.find_scenes(str(tmp_path))
    other = tmp_path / "other"
    (other / "MegaDepth_v1_SfM").mkdir(parents=True)
    with pytest.raises(UsageError, match="no 'MegaDepth_v1'"):
        megadepth.find_scenes(str(other))
    (other / "MegaDepth_v1").mkdir()
    with pytest.raises(UsageError, match="No scene with dense depth"):
        megadepth.find_scenes(str(other))


def test_collections_behind_a_url_are_found_too() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    for name in TRIO:
        memory.pipe_file(f"/photos/castle/sparse/{name}.bin", b"12345678")
    memory.pipe_file("/photos/castle/images/a.jpg", b"photo")
    try:
        (scene,) = colmap.find_scenes("memory://photos")
        assert scene.photos == "memory:///photos/castle/images"
        assert len(scene.stamps) == 4
    finally:
        memory.rm("/photos", recursive=True)
