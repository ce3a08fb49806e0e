"""What a broken photo collection costs, and where it is named."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
import simplejpeg
from photo_truth import (
    SPEC,
    as_colmap,
    built,
    truth_of,
)

from pipelines.build import BuildSummary


def test_a_photo_with_labels_or_nothing_for_depth_is_named_and_fails_nothing(
    raw: Path, tmp_path: Path
) -> None:
    names = truth_of("0000").names
    (raw / "MegaDepth_v1/0000/dense0/depths" / f"{Path(names[0]).stem}.h5").unlink()
    summary = built("megadepth", raw, tmp_path / "out", preset="paper")
    masked = [n for n, masked in enumerate(truth_of("0000").masked) if masked]
    of_first = [row for row in failed(summary) if row[0] == "0000"]
    assert of_first == [("0000", n, "index", f"{Path(names[n]).stem}.h5") for n in [0, *masked]]
    assert summary.exit_status == 0


def test_depth_files_that_are_wrong_are_named(raw: Path, tmp_path: Path) -> None:
    names, depths = truth_of("0000").names, raw / "MegaDepth_v1/0000/dense0/depths"
    file = [depths / f"{Path(name).stem}.h5" for name in names]
    with h5py.File(file[0], "w") as h5:
        h5["depth"] = np.full((7, 9), 0.7, np.float32)
    with h5py.File(file[1], "w") as h5:
        h5["height"] = np.full((7, 9), 0.7, np.float32)
    file[2].write_bytes(file[2].read_bytes()[:1000])
    summary = built("megadepth", raw, tmp_path / "out")
    wrong = [f for f in summary.failures if f.scene == "0000" and f.stage == "photos"]
    assert [Path(f.file).name for f in wrong] == [path.name for path in file[:3]]
    for failure, words in zip(wrong, ("(7, 9)", "no image '/depth'", "HDF5"), strict=True):
        assert words in failure.reason
    assert summary.exit_status == 1
    assert set(summary.records) == {"0000", "0001"}


def test_a_scene_of_masks_alone_is_named(raw: Path, tmp_path: Path) -> None:
    for path in (raw / "MegaDepth_v1/0000/dense0/depths").iterdir():
        with h5py.File(path, "r") as h5:
            shape = h5["depth"].shape
        with h5py.File(path, "w") as h5:
            h5["depth"] = (np.arange(np.prod(shape)) % 3).astype(np.float32).reshape(shape)
    summary = built("megadepth", raw, tmp_path / "out")
    assert set(summary.records) == {"0001"}
    of_scene = [f for f in summary.failures if f.scene == "0000"]
    assert [f.reason for f in of_scene if f.frame == -1] == ["none of the scene's photos could be used"]
    assert [f.stage for f in of_scene if f.frame >= 0] == ["index"] * SPEC.photos
    assert summary.exit_status == 1


def test_missing_and_broken_photos_are_named(raw: Path, tmp_path: Path) -> None:
    names, imgs = truth_of("0000").names, raw / "MegaDepth_v1/0000/dense0/imgs"
    images = raw / "MegaDepth_v1_SfM/0000/images"
    for folder in (imgs, images):
        (folder / names[0]).unlink()
    (imgs / names[1]).unlink()
    (images / names[1]).write_bytes(simplejpeg.encode_jpeg(np.zeros((30, 40, 3), np.uint8)))
    (imgs / names[2]).write_bytes((imgs / names[2]).read_bytes()[:800])
    summary = built("megadepth", raw, tmp_path / "out")
    wrong = [f for f in summary.failures if f.scene == "0000" and f.stage == "photos"]
    assert [(f.frame, Path(f.file).name) for f in wrong] == [(n, names[n]) for n in range(3)]
    for failure, words in zip(wrong, ("does not exist", "40x30 pixels", "cannot be decoded"), strict=True):
        assert words in failure.reason


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("images.bin", struct.pack("<Q", 0), "the reconstruction is empty"),
        ("images.bin", None, "cut"),
        ("points3D.bin", b"", "ends at byte 0"),
        ("cameras.bin", struct.pack("<QIiQQ", 1, 1, 77, 10, 10), "number 77"),
    ],
)
def test_a_model_that_cannot_be_read_costs_its_scene(
    raw: Path, tmp_path: Path, file: str, data: bytes | None, words: str
) -> None:
    path = raw / "MegaDepth_v1_SfM/0000/sparse/manhattan/0" / file
    path.write_bytes(path.read_bytes()[:-5] if data is None else data)
    summary = built("megadepth", raw, tmp_path / "out")
    assert set(summary.records) == {"0001"}
    (failure,) = [f for f in summary.failures if f.scene == "0000"]
    assert failure.file.endswith(f"0000/sparse/manhattan/0/{file}")
    assert words in failure.reason or data is None
    assert summary.exit_status == 1


def test_a_model_without_photos_is_one_failure_not_a_row_for_each(collections: Path, tmp_path: Path) -> None:
    root = as_colmap(collections, tmp_path / "raw")
    shutil.rmtree(root / "images")
    summary = built("colmap", tmp_path / "raw", tmp_path / "out")
    (failure,) = summary.failures
    assert failure.file.endswith("0000/images")
    assert "photos of the model are missing" in failure.reason


def failed(summary: BuildSummary) -> list[tuple[str, int, str, str]]:
    return [(f.scene, f.frame, f.stage, Path(f.file).name) for f in summary.failures]
