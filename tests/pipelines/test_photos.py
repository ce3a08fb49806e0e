"""Photo collections from raw files to shards, against made-up ones whose every true match is known."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import simplejpeg
from click.testing import CliRunner

from pipelines.build import BuildSummary, build
from pipelines.cli import main
from pipelines.parameters import BuildParameters
from pipelines.photo_frame import PhotoEncoder
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.colmap_library import colmap
from pri3d_data.synth.megadepth import (
    MegaDepthSynth,
    MegaDepthTruth,
    megadepth_truth,
    scene_seed,
    write_megadepth,
)
from pri3d_data.synth.rays import trace_rays
from shards.dataset import Dataset
from shards.frame_cache import FrameCache
from shards.frames import StoredFrame
from shards.pair_index import PairIndex
from shards.pair_matches import find_matches
from shards.stream import PairStream
from shards.verify import verify

SPEC = MegaDepthSynth(photos=10, largest_side=220, dense_side=160, points=1500, grey_every=4, mask_every=5)
SEED = 3
WINDOW = 9


class Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def built(
    name: str, raw: Path, out: Path, workers: int = 0, preset: str = "paper", **changes: Any
) -> BuildSummary:
    dataset = DATASETS[name]
    parameters = BuildParameters(replace(dataset.presets[preset], **changes))
    return build(BuildRequest(dataset, str(raw), str(out), parameters), workers, None, Silent())


@pytest.fixture(scope="module")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small photo collections in MegaDepth's layout; read only."""
    root = tmp_path_factory.mktemp("collections")
    write_megadepth(root, 2, SEED, SPEC)
    return root


@pytest.fixture
def raw(collections: Path, tmp_path: Path) -> Path:
    """A copy to break things in."""
    return Path(shutil.copytree(collections, tmp_path / "raw"))


@pytest.fixture(scope="module")
def dense(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dense") / "out"
    built("megadepth", collections, out)
    return out


@pytest.fixture(scope="module")
def sparse(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos as somebody's own COLMAP folder, without depth."""
    root = tmp_path_factory.mktemp("sparse")
    as_colmap(collections, root / "raw")
    built("colmap", root / "raw", root / "out")
    return root / "out"


def as_colmap(collections: Path, root: Path, scene: str = "0000") -> Path:
    source = collections / "MegaDepth_v1_SfM" / scene
    shutil.copytree(source / "images", root / scene / "images")
    shutil.copytree(source / "sparse" / "manhattan" / "0", root / scene / "sparse" / "0")
    return root / scene


def table(out: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(out / "tables" / f"{name}.parquet").to_pylist()


def truth_of(scene: str) -> MegaDepthTruth:
    return megadepth_truth(SPEC, scene_seed(SEED, int(scene)))


def pairs_of(out: Path, scene: str) -> Iterator[tuple[StoredFrame, StoredFrame, np.ndarray]]:
    """Both frames of every pair with all their matches."""
    index = PairIndex([str(out)], lambda name: name == scene)
    cache = FrameCache(index, 1 << 30)
    rule = index.scene_rule[index.scene_names.index(scene)]
    for a, b, row in zip(index.pair_a, index.pair_b, index.pair_row, strict=True):
        first, second = cache.get(int(a)), cache.get(int(b))
        yield first, second, find_matches(first, second, rule, int(row), 1 << 24, 0)


class Sight:
    """What a stored photo truly sees: the undistorted camera in the room, in metres."""

    def __init__(self, truth: MegaDepthTruth, frame: StoredFrame) -> None:
        self.arrays = truth.room.arrays
        self.camera = truth.undistorted[frame.frame]
        self.pose = truth.camera_to_world_m[frame.frame]

    def points(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points of pixels, and whether they are sky."""
        rays = (pixels - self.camera.vector[2:]) / self.camera.vector[:2]
        _, points, surface, _ = trace_rays(self.arrays, rays, self.pose)
        return points, self.arrays.semantic[surface] == WINDOW

    def sees(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points fall, and whether nothing stands before them."""
        local = (points - self.pose[:3, 3]) @ self.pose[:3, :3]
        ahead = local[:, 2] > 1e-6
        rays = local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None]
        first = trace_rays(self.arrays, rays, self.pose)[0]
        return rays * self.camera.vector[:2] + self.camera.vector[2:], ahead & (local[:, 2] < first * 1.001)


def true_and_possible(
    truth: MegaDepthTruth, a: StoredFrame, b: StoredFrame, matches: np.ndarray
) -> tuple[int, int, int]:
    """Matches that are right to 1.5 pixels, pixels of a that b truly sees, and how many of those matched."""
    sight_a, sight_b = Sight(truth, a), Sight(truth, b)
    points, _ = sight_a.points(matches[:, :2].astype(np.float64))
    there, visible = sight_b.sees(points)
    right = visible & (np.abs(there - matches[:, 2:]).max(axis=1, initial=0.0) <= 1.5)
    height, width = a.image.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns.ravel(), rows.ravel()], axis=1)
    points, sky = sight_a.points(pixels.astype(np.float64))
    there, visible = sight_b.sees(points)
    inside = (there >= -0.5) & (there < [b.view.width - 0.5, b.view.height - 0.5])
    possible = visible & inside.all(axis=1) & ~sky
    found = np.zeros(len(pixels), np.bool_)
    found[matches[:, 1].astype(int) * width + matches[:, 0]] = True
    return int(right.sum()), int(possible.sum()), int((found & possible).sum())


def precision_and_recall(out: Path, scenes: tuple[str, ...]) -> tuple[float, float]:
    counts = np.zeros(4)
    for scene in scenes:
        truth = truth_of(scene)
        for a, b, matches in pairs_of(out, scene):
            right, possible, found = true_and_possible(truth, a, b, matches)
            counts += [len(matches), right, possible, found]
    return counts[1] / counts[0], counts[3] / counts[2]


def test_matches_of_photos_with_depth_are_the_true_ones(dense: Path) -> None:
    precision, recall = precision_and_recall(dense, ("0000", "0001"))
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


def seen_in(model: Any, name: str) -> set[int]:
    """Numbers of the points a photo sees, as COLMAP itself reads them."""
    return {point.point3D_id for point in model.find_image_with_name(name).points2D if point.has_point3D()}


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
        assert np.abs(stored[~sky] - depth[~sky]).max() <= 0.5001 * view.depth_unit
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


def test_published_photos_keep_their_bytes(collections: Path, dense: Path) -> None:
    imgs = collections / "MegaDepth_v1" / "0000" / "dense0" / "imgs"
    shard = (dense / "shards" / "shard-000000.tar").read_bytes()
    for row in table(dense, "frames"):
        if row["scene"] == "0000":
            assert (imgs / row["name"]).read_bytes() in shard[row["offset"] : row["offset"] + row["bytes"]]
    greys = [name for name, grey in zip(truth_of("0000").names, truth_of("0000").grey, strict=True) if grey]
    assert greys
    assert simplejpeg.decode_jpeg_header((imgs / greys[0]).read_bytes())[2] == "Gray"


def test_photos_come_out_of_the_stream_in_one_size_with_matches(dense: Path, sparse: Path) -> None:
    stream = PairStream([str(dense), str(sparse)], seed=0, size=(96, 112), matches=64)
    counts = []
    for pair in stream.epoch(0):
        assert pair.image_a.shape == pair.image_b.shape == (96, 112, 3)
        assert (pair.matches >= 0).all()
        assert (pair.matches < [112, 96, 112, 96]).all()
        counts.append(len(pair.matches))
    assert len(counts) == len(table(dense, "pairs")) + len(table(sparse, "pairs"))
    # Each window lies around a match.
    assert min(counts) >= 1


def test_any_number_of_workers_gives_the_same_bytes(
    collections: Path, dense: Path, tmp_path: Path, digests_of: Callable[[Path], dict[str, str]]
) -> None:
    built("megadepth", collections, tmp_path / "out", workers=2)
    assert digests_of(tmp_path / "out") == digests_of(dense)
    again = built("megadepth", collections, tmp_path / "out")
    assert again.built_now == 0
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


def failed(summary: BuildSummary) -> list[tuple[str, int, str, str]]:
    return [(f.scene, f.frame, f.stage, Path(f.file).name) for f in summary.failures]


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


def as_dense_workspace(collections: Path, root: Path, shrink: int = 1) -> None:
    """What COLMAP's own undistortion and stereo leave: pinhole photos, model, depth maps."""
    source = collections / "MegaDepth_v1_SfM" / "0000"
    colmap().undistort_images(
        output_path=str(root),
        input_path=str(source / "sparse" / "manhattan" / "0"),
        image_path=str(source / "images"),
        undistort_options={"max_image_size": SPEC.dense_side},
    )
    for name in truth_of("0000").names:
        with h5py.File(collections / f"MegaDepth_v1/0000/dense0/depths/{Path(name).stem}.h5") as h5:
            depth = np.maximum(h5["depth"][()], np.float32(1e-3))[::shrink, ::shrink]
        data = f"{depth.shape[1]}&{depth.shape[0]}&1&".encode() + depth.astype("<f4").tobytes()
        (root / "stereo" / "depth_maps" / f"{name}.geometric.bin").write_bytes(data)


def test_colmaps_dense_workspace_is_taken_as_it_is(collections: Path, tmp_path: Path) -> None:
    as_dense_workspace(collections, tmp_path / "dense")
    summary = built("colmap", tmp_path / "dense", tmp_path / "out")
    assert summary.failures == []
    assert table(tmp_path / "out", "scenes")[0]["match_rule"] == "relative_depth"
    shard = (tmp_path / "out" / "shards" / "shard-000000.tar").read_bytes()
    for name in truth_of("0000").names:
        # Nothing is undistorted twice: a pinhole's photo keeps its bytes.
        assert (tmp_path / "dense" / "images" / name).read_bytes() in shard


def test_depth_maps_smaller_than_their_photos_have_a_camera_of_their_own(
    collections: Path, tmp_path: Path
) -> None:
    as_dense_workspace(collections, tmp_path / "dense", shrink=2)
    assert built("colmap", tmp_path / "dense", tmp_path / "out").failures == []
    for a, b, matches in pairs_of(tmp_path / "out", "dense"):
        assert a.view.depth.shape[1] == pytest.approx(a.view.width / 2, abs=1)
        assert a.view.depth_camera[0] == pytest.approx(a.view.camera[0] / 2, rel=0.02)
        assert len(matches) or not len(b.view.depth)


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


def test_thresholds_and_presets_choose_pairs(collections: Path, dense: Path, tmp_path: Path) -> None:
    every = [row for row in table(dense, "pairs") if row["scene"] == "0000"]
    chosen = {
        "d2net": [row for row in every if row["overlap"] >= 0.5],
        "narrow": [r for r in every if r["overlap"] <= 0.8 and r["scale_ratio"] <= 1.1 and r["angle"] <= 25],
    }
    built("megadepth", collections, tmp_path / "d2net", preset="d2net")
    built(
        "megadepth",
        collections,
        tmp_path / "narrow",
        max_overlap=0.8,
        max_scale_ratio=1.1,
        max_angle_deg=25.0,
    )
    for name, expected in chosen.items():
        assert 0 < len(expected) < len(every)
        assert [row for row in table(tmp_path / name, "pairs") if row["scene"] == "0000"] == expected


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
def test_options_that_cannot_work_are_said(option: str, collections: Path, tmp_path: Path) -> None:
    root = as_colmap(collections, tmp_path / "raw")
    done = CliRunner().invoke(
        main, ["build", "colmap", "--input", str(root), "--output", str(tmp_path / "o"), option]
    )
    assert done.exit_code == 2
    assert option.split("=")[0] in done.output


def test_a_made_up_collection_is_written_built_and_told_by_the_command(tmp_path: Path) -> None:
    raw, out = str(tmp_path / "raw"), str(tmp_path / "out")
    run = CliRunner().invoke
    made = run(main, ["synth", "megadepth", "--output", raw, "--scenes", "1", "--photos", "4", "--seed", "1"])
    assert made.exit_code == 0, made.output
    done = run(main, ["build", "megadepth", "--input", raw, "--output", out, "--workers", "0"])
    assert done.exit_code == 0, done.output
    told = json.loads(run(main, ["stats", out, "--json"]).stdout)
    assert told["frames"] == 4


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
