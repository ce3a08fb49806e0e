"""How photo collections are stored: bytes kept, sizes, presets, resume, any number of workers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import fsspec
import numpy as np
import pytest
import simplejpeg
from photo_truth import (
    SPEC,
    as_colmap,
    as_dense_workspace,
    built,
    pairs_of,
    table,
    truth_of,
)

from pipelines.photo_frame import PhotoEncoder
from pipelines.registry import DATASETS
from pri3d_data.errors import UsageError
from shards.dataset import Dataset
from shards.frame_cache import FrameCache
from shards.pair_index import PairIndex
from shards.verify import verify


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_published_photos_keep_their_bytes(collections: Path, dense: Path) -> None:
    imgs = collections / "MegaDepth_v1" / "0000" / "dense0" / "imgs"
    shard = (dense / "shards" / "shard-000000.tar").read_bytes()
    for row in table(dense, "frames"):
        if row["scene"] == "0000":
            assert (imgs / row["name"]).read_bytes() in shard[row["offset"] : row["offset"] + row["bytes"]]
    greys = [name for name, grey in zip(truth_of("0000").names, truth_of("0000").grey, strict=True) if grey]
    assert greys
    assert simplejpeg.decode_jpeg_header((imgs / greys[0]).read_bytes())[2] == "Gray"


def test_any_number_of_workers_gives_the_same_bytes(
    collections: Path, dense: Path, tmp_path: Path, digests_of: Callable[[Path], dict[str, str]]
) -> None:
    built("megadepth", collections, tmp_path / "out", workers=2)
    assert digests_of(tmp_path / "out") == digests_of(dense)
    again = built("megadepth", collections, tmp_path / "out")
    assert again.built == 0
    assert list(verify(Dataset(str(tmp_path / "out")))) == []


def test_an_interrupted_scene_goes_on_with_the_next_photo(
    collections: Path,
    dense: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    digests_of: Callable[[Path], dict[str, str]],
) -> None:
    encode, encoded = PhotoEncoder.encode, []

    def counted(encoder: PhotoEncoder, number: int) -> Any:
        if len(encoded) == 7:
            raise KeyboardInterrupt
        encoded.append((encoder.scene.scene, number))
        return encode(encoder, number)

    monkeypatch.setattr(PhotoEncoder, "encode", counted)
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        built("megadepth", collections, out)
    first = set(encoded)
    assert len(list((out / ".build" / "parts" / "0000").rglob("0*"))) >= 5
    # A part that was tampered with is made anew.
    part = next(path for path in sorted((out / ".build" / "parts").rglob("*")) if path.is_file())
    part.write_bytes(part.read_bytes()[:-1])
    encoded.clear()
    monkeypatch.setattr(
        PhotoEncoder, "encode", lambda e, n: encoded.append((e.scene.scene, n)) or encode(e, n)
    )
    built("megadepth", collections, out)
    kept = {(scene, n) for scene, n in first if not truth_of(scene).masked[n]} - {("0000", int(part.name))}
    assert not kept & set(encoded)
    assert ("0000", int(part.name)) in encoded
    assert digests_of(out) == digests_of(dense)
    assert not (out / ".build").exists()


def test_a_published_photo_that_is_missing_or_of_another_size_is_undistorted_anew(
    raw: Path, tmp_path: Path
) -> None:
    names, imgs = truth_of("0000").names, raw / "MegaDepth_v1/0000/dense0/imgs"
    truth = truth_of("0000")
    (imgs / names[0]).unlink()
    (imgs / names[1]).write_bytes(simplejpeg.encode_jpeg(np.zeros((20, 30, 3), np.uint8)))
    summary = built("megadepth", raw, tmp_path / "out")
    assert all(failure.stage == "index" for failure in summary.failures)
    index = PairIndex([str(tmp_path / "out")], lambda name: name == "0000")
    cache = FrameCache(index, 1 << 30)
    for row in range(2):
        frame = cache.get(row)
        original = cv2.imread(str(raw / "MegaDepth_v1_SfM/0000/images" / names[row]))[:, :, ::-1]
        assert frame.image.shape[:2] == (truth.undistorted[row].height, truth.undistorted[row].width)
        small = cv2.resize(original, frame.image.shape[1::-1], interpolation=cv2.INTER_AREA)
        middle = tuple(slice(side // 3, 2 * side // 3) for side in small.shape[:2])
        assert np.abs(frame.image[middle].astype(int) - small[middle]).mean() < 12


def test_a_folder_of_ones_own_with_depth_is_matched_by_depth(
    collections: Path, dense: Path, tmp_path: Path
) -> None:
    root = as_colmap(collections, tmp_path / "raw")
    shutil.copytree(collections / "MegaDepth_v1/0000/dense0/depths", root / "depths")
    summary = built("colmap", root, tmp_path / "out", max_image_size=SPEC.dense_side)
    assert [f.stage for f in summary.failures] == ["index"] * (SPEC.photos // SPEC.mask_every)
    assert table(tmp_path / "out", "scenes")[0]["match_rule"] == "relative_depth"
    ours, theirs = (
        [{**row, "scene": ""} for row in table(out, "pairs") if row["scene"] == "0000"]
        for out in (tmp_path / "out", dense)
    )
    assert ours == theirs


def test_colmaps_dense_workspace_is_taken_as_it_is(collections: Path, tmp_path: Path) -> None:
    as_dense_workspace(collections, tmp_path / "dense")
    summary = built("colmap", tmp_path / "dense", tmp_path / "out")
    assert {(f.stage, f.reason) for f in summary.failures} == {
        ("index", "there is no depth map of this photo.")
    }
    assert table(tmp_path / "out", "scenes")[0]["match_rule"] == "relative_depth"
    shard = (tmp_path / "out" / "shards" / "shard-000000.tar").read_bytes()
    for row in table(tmp_path / "out", "frames"):
        # Nothing is undistorted twice: a pinhole's photo keeps its bytes.
        assert (tmp_path / "dense" / "images" / row["name"]).read_bytes() in shard


def test_depth_maps_smaller_than_their_photos_have_a_camera_of_their_own(
    collections: Path, tmp_path: Path
) -> None:
    as_dense_workspace(collections, tmp_path / "dense", shrink=2)
    assert built("colmap", tmp_path / "dense", tmp_path / "out").exit_status == 0
    for a, _, matches in pairs_of(tmp_path / "out", "dense"):
        assert a.view.depth.shape[1] == pytest.approx(a.view.width / 2, abs=1)
        assert a.view.depth_camera[0] == pytest.approx(a.view.camera[0] / 2, rel=0.02)
        assert len(matches) > 100


def test_photos_are_scaled_down_until_they_just_cover_the_size_asked_for(
    collections: Path, tmp_path: Path
) -> None:
    built("megadepth", collections, tmp_path / "out", image_size=(48, 64))
    truth = truth_of("0000")
    for row in table(tmp_path / "out", "frames"):
        if row["scene"] == "0000":
            camera = truth.undistorted[row["frame"]]
            assert row["width"] >= 64
            assert row["height"] >= 48
            assert row["width"] == 64 or row["height"] == 48
            assert row["width"] / row["height"] == pytest.approx(camera.width / camera.height, rel=0.03)
    shrunk = [len(matches) > 20 for _, _, matches in pairs_of(tmp_path / "out", "0000")]
    assert np.mean(shrunk) > 0.9


def test_thresholds_and_presets_choose_pairs(collections: Path, tmp_path: Path) -> None:
    built("megadepth", collections, tmp_path / "all", min_overlap=0.01)
    every = table(tmp_path / "all", "pairs")
    said = {
        "d2net": ({"preset": "d2net"}, lambda r: r["overlap"] >= 0.5),
        "far": ({"max_overlap": 0.8}, lambda r: 0.3 <= r["overlap"] <= 0.8),
        "alike": ({"max_scale_ratio": 1.1}, lambda r: r["overlap"] >= 0.3 and r["scale_ratio"] <= 1.1),
        "beside": ({"max_angle_deg": 25.0}, lambda r: r["overlap"] >= 0.3 and r["angle"] <= 25.0),
    }
    for name, (options, rule) in said.items():
        built("megadepth", collections, tmp_path / name, **options)
        expected = [row for row in every if rule(row)]
        assert 0 < len(expected) < len(every), name
        assert table(tmp_path / name, "pairs") == expected, name


def test_the_authors_preset_drops_small_depth_files_unread(collections: Path, tmp_path: Path) -> None:
    sizes = {p.name: p.stat().st_size for p in (collections / "MegaDepth_v1/0000/dense0/depths").iterdir()}
    summary = built("megadepth", collections, tmp_path / "out", preset="reference")
    dropped = {Path(f.file).name for f in summary.failures if f.scene == "0000" and f.frame >= 0}
    assert dropped >= {name for name, size in sizes.items() if size < 102_400}


@pytest.mark.parametrize(
    "option",
    [
        "--min-overlap=0",
        "--max-overlap=0.2",
        "--max-scale-ratio=0.5",
        "--max-scale-ratio=wide",
        "--max-angle-deg=0",
        "--max-image-size=small",
        "--max-image-size=4",
    ],
)
def test_options_that_cannot_work_are_said(option: str) -> None:
    name, _, value = option.removeprefix("--").partition("=")
    preset = DATASETS["colmap"].presets["paper"]
    parse = next(f.metadata["parse"] for f in fields(preset) if f.name == name.replace("-", "_")) or float
    with pytest.raises(UsageError, match=f"--{name}"):
        replace(preset, **{name.replace("-", "_"): parse(value)})


def test_a_made_up_collection_is_written_built_and_told_by_the_command(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out"
    made = run("synth", "megadepth", "--output", raw, "--scenes", "1", "--photos", "3", "--seed", "1")
    assert made.returncode == 0, made.stderr
    done = run(
        "build", "megadepth", "--input", raw, "--output", out, "--workers", "0", "--max-angle-deg", "170"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(run("stats", out, "--json").stdout)
    assert told["frames"] == 3
    refused = run("build", "megadepth", "--input", out, "--output", out / "x", "--max-scale-ratio", "wide")
    assert refused.returncode == 2
    assert "--max-scale-ratio" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_collections_behind_a_url_build_to_the_same_bytes(
    collections: Path, dense: Path, tmp_path: Path, digests_of: Callable[[Path], dict[str, str]]
) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(collections), "/megadepth", recursive=True)
    try:
        built("megadepth", "memory://megadepth", tmp_path / "out")  # type: ignore[arg-type]
    finally:
        memory.rm("/megadepth", recursive=True)
    ours, theirs = digests_of(tmp_path / "out"), digests_of(dense)
    # The scenes table holds fingerprints, which are of the files' times too; failures name files.
    for name in ("shards/shard-000000.tar", "tables/frames.parquet", "tables/pairs.parquet"):
        assert ours[name] == theirs[name]
