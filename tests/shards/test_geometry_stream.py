from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.build import build
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pipelines.rgbd_parameters import RgbdParameters
from pri3d_data.errors import DataError, UsageError
from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.raycast import trace
from pri3d_data.synth.request import scene_seed
from pri3d_data.synth.scannet import ScanNetSynth, write_scannet
from pri3d_data.synth.scannet_spec import ScanNetTruth, scannet_truth
from shards import geometry_cache
from shards.bundle import make_bundle
from shards.dealing import Place
from shards.frame_cache import FrameCache, OpenShards
from shards.frames import StoredFrame
from shards.geometry_cache import GeometryCache, decode_geometry
from shards.pair import Pair, PairRecipe, frame_chunk, match_pair
from shards.parts import Geometry, PairRows
from shards.stream import PairStream

SPEC = ScanNetSynth(
    frames=10,
    color_size=(128, 96),
    depth_size=(64, 48),
    color_codec="png",
    labels=False,
    pose_stride=3,
    displaced_cameras=True,
)
SEED = 11
# Depth is stored in whole millimetres along z; along the ray that is a little more.
ROUNDING_M = 0.0009
NO_MESH = "scene0002_00"


class Unwatched:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@dataclass(frozen=True)
class Capture:
    root: Path
    truths: dict[str, ScanNetTruth]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """Three procedural scans built into shards; the last has no mesh, so no geometry."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("built") / "out"
    write_scannet(raw, scenes=3, seed=SEED, spec=SPEC)
    (raw / "scans" / NO_MESH / f"{NO_MESH}_vh_clean_2.ply").unlink()
    parameters = BuildParameters(RgbdParameters(stride=1, image_size=(48, 64)))
    build(BuildRequest(DATASETS["scannet"], str(raw), str(out), parameters), 0, None, Unwatched())
    truths = {f"scene{n:04d}_00": scannet_truth(SPEC, scene_seed(SEED, n)) for n in range(3)}
    return Capture(out, truths)


def stream_of(capture: Capture, geometry: Any = "paper", **settings: Any) -> PairStream:
    return PairStream([str(capture.root)], seed=1, geometry=geometry, **({"lanes": 4} | settings))


def epoch_of(stream: PairStream, lanes: Any = None) -> list[Pair]:
    own = range(stream.lanes) if lanes is None else lanes
    deal = stream.deal
    turns = [[lane for lane in own if lane in deal.lanes_of(turn)] for turn in range(deal.turns)]
    served = stream.serve(Place(0, number, tuple(lanes)) for number, lanes in enumerate(turns))
    return [pair for turn in served for pair in turn]


def frames_of(stream: PairStream) -> dict[tuple[str, int], StoredFrame]:
    cache = FrameCache(stream.index, 1 << 30)
    return {
        (stream.index.scene_names[scene], int(stream.index.frames.number[row])): cache.get(row)
        for row, scene in enumerate(stream.index.frames.scene)
    }


def chunks_of(pair: Pair) -> list[tuple[tuple[str, int], Any, Any]]:
    """((scene, frame), chunk, image) of both sides."""
    return [
        ((pair.scene, pair.frame_a), pair.chunk_a, pair.image_a),
        ((pair.scene, pair.frame_b), pair.chunk_b, pair.image_b),
    ]


def stored_arrays(root: Path, scene: str) -> tuple[np.ndarray, np.ndarray]:
    for shard in sorted((root / "shards").iterdir()):
        with tarfile.open(shard) as tar:
            if f"{scene}/scene.voxels.npy" in tar.getnames():
                return tuple(  # type: ignore[return-value]
                    np.load(io.BytesIO(tar.extractfile(f"{scene}/scene.{name}.npy").read()))  # type: ignore[union-attr]
                    for name in ("voxels", "voxel_colors")
                )
    raise AssertionError(scene)


def same(a: Pair, b: Pair) -> bool:
    if (a.scene, a.frame_a, a.frame_b) != (b.scene, b.frame_a, b.frame_b):
        return False
    equal = np.array_equal(a.matches, b.matches) and np.array_equal(a.image_a, b.image_a)
    for (_, mine, _), (_, theirs, _) in zip(chunks_of(a), chunks_of(b), strict=True):
        if (mine is None) != (theirs is None):
            return False
        if mine is not None:
            equal = equal and all(
                np.array_equal(getattr(mine, name), getattr(theirs, name))
                for name in ("voxels", "colors", "matches")
            )
    return equal


def test_a_chunk_is_what_of_the_scenes_voxels_has_its_centre_in_the_frames_box(capture: Capture) -> None:
    stream = stream_of(capture)
    frames = frames_of(stream)
    stored = {scene: stored_arrays(capture.root, scene) for scene in capture.truths if scene != NO_MESH}
    looked_at = 0
    for pair in epoch_of(stream):
        for key, chunk, _ in chunks_of(pair):
            if pair.scene == NO_MESH:
                continue
            voxels, colors = stored[pair.scene]
            low, high = frames[key].chunk_box_m
            centers = (voxels + 0.5) * 0.02
            inside = ((centers >= low) & (centers <= high)).all(axis=1)
            np.testing.assert_array_equal(chunk.voxels, voxels[inside])
            np.testing.assert_array_equal(chunk.colors, colors[inside])
            assert (chunk.voxels.dtype, chunk.colors.dtype, chunk.matches.dtype) == ("i4", "u1", "i4")
            assert 0 < inside.sum() < len(voxels)
            looked_at += 1
    assert looked_at > 20


def true_points(capture: Capture, scene: str, view: Any) -> np.ndarray:
    """(H, W, 3): where the depth pixels' rays truly hit the room."""
    height, width = view.depth.shape
    room = capture.truths[scene].room.arrays
    return trace(room, view.depth_camera, width, height, view.depth_to_world)[1]


def test_matched_voxels_are_within_2_cm_of_the_true_surface_point_and_of_its_colour(capture: Capture) -> None:
    stream = stream_of(capture, matches=300, scenes=lambda scene: scene == "scene0000_00")
    frames = frames_of(stream)
    room = capture.truths["scene0000_00"].room
    differences, shuffled, matched = [], [], set()
    random = np.random.default_rng(0)
    for pair in epoch_of(stream)[:6]:
        for key, chunk, image in chunks_of(pair):
            view = frames[key].view
            truth = true_points(capture, pair.scene, view).reshape(-1, 3)
            seen = (truth - view.camera_to_world[:3, 3]) @ view.camera_to_world[:3, :3]
            fx, fy, cx, cy = view.camera
            x = np.rint(fx * seen[:, 0] / seen[:, 2] + cx)
            y = np.rint(fy * seen[:, 1] / seen[:, 2] + cy)
            centers = (chunk.voxels[chunk.matches[:, 2]] + 0.5) * 0.02
            for (match_x, match_y, _), center in zip(chunk.matches, centers, strict=True):
                # Rounded depth may round the colour pixel to the one beside it.
                here = truth[(np.abs(x - match_x) <= 1) & (np.abs(y - match_y) <= 1)]
                assert np.linalg.norm(here - center, axis=1).min() <= 0.02 + ROUNDING_M
            assert np.abs(distance_to_surface(room, centers)).max() <= 0.02 + ROUNDING_M
            pixels = image[chunk.matches[:, 1], chunk.matches[:, 0]].astype(int)
            colors = chunk.colors[chunk.matches[:, 2]].astype(int)
            differences.append(np.abs(pixels - colors).mean(axis=1))
            shuffled.append(np.abs(pixels - random.permutation(colors)).mean(axis=1))
            matched.add(len(chunk.matches))
    assert matched == {300}
    nearly, by_chance = np.median(np.concatenate(differences)), np.median(np.concatenate(shuffled))
    assert nearly < 8
    assert nearly < by_chance / 3


def test_the_authors_matches_agree_with_the_depth_image_to_20_cm(capture: Capture) -> None:
    stream = stream_of(capture, "reference", matches=200, scenes=lambda scene: scene == "scene0001_00")
    frames = frames_of(stream)
    for pair in epoch_of(stream)[:4]:
        for key, chunk, _ in chunks_of(pair):
            assert len(chunk.matches) == 200
            view = frames[key].view
            corners = chunk.voxels[chunk.matches[:, 2]] * 0.02
            seen = (corners - view.depth_to_world[:3, 3]) @ view.depth_to_world[:3, :3]
            fx, fy, cx, cy = view.depth_camera
            u = (fx * seen[:, 0] / seen[:, 2] + cx).astype(int)
            v = (fy * seen[:, 1] / seen[:, 2] + cy).astype(int)
            assert (np.abs(view.depth[v, u] * view.depth_unit - seen[:, 2]) < 0.2).all()
            assert (view.depth[v, u] > 0).all()
            assert (chunk.matches[:, :2] >= 0).all()
            assert (chunk.matches[:, :2] < [view.width, view.height]).all()


def test_a_scene_without_a_mesh_has_no_chunks_and_loses_nothing_else(capture: Capture) -> None:
    stream = stream_of(capture)
    served = epoch_of(stream)
    assert {pair.scene for pair in served} == set(capture.truths)
    for pair in served:
        for _, chunk, _ in chunks_of(pair):
            assert (chunk is None) == (pair.scene == NO_MESH)
        assert len(pair.matches)
    assert stream.has_geometry
    assert stream_of(capture, "none").has_geometry
    bare = stream_of(capture, scenes=lambda scene: scene == NO_MESH)
    assert not bare.has_geometry
    assert all(pair.chunk_a is pair.chunk_b is None for pair in epoch_of(bare))


def test_geometry_changes_neither_pairs_nor_their_matches(capture: Capture) -> None:
    without, paper, reference = (
        epoch_of(stream_of(capture, kind)) for kind in ("none", "paper", "reference")
    )
    bare = [replace(pair, chunk_a=None, chunk_b=None) for pair in paper]
    assert len(without) > 20
    assert all(pair.chunk_a is None and pair.chunk_b is None for pair in without)
    assert all(map(same, without, bare))
    for ours, theirs in zip(paper, reference, strict=True):
        for (_, mine, _), (_, other, _) in zip(chunks_of(ours), chunks_of(theirs), strict=True):
            if mine is not None:
                np.testing.assert_array_equal(mine.voxels, other.voxels)
                assert not np.array_equal(mine.matches, other.matches)


def test_lanes_apart_a_later_start_and_a_small_cache_give_the_same_chunks(capture: Capture) -> None:
    stream = stream_of(capture)
    whole = list(stream.epoch(3))
    full = stream.deal.turns - 1
    for lane in range(4):
        alone = [turn[0] for turn in stream.serve(Place(3, turn, (lane,)) for turn in range(full))]
        assert all(map(same, alone, [turn[lane] for turn in whole[:full]]))
    late = stream.serve(Place(3, turn, stream.deal.lanes_of(turn)) for turn in range(5, full + 1))
    rest = [pair for turn in late for pair in turn]
    assert all(map(same, rest, [pair for turn in whole[5:] for pair in turn]))
    tight = stream_of(capture, cache_mb=0)
    assert all(map(same, epoch_of(tight), epoch_of(stream)))
    # As a loader's process gets it.
    sent = pickle.loads(pickle.dumps(stream))
    assert all(map(same, epoch_of(sent), epoch_of(stream)))


def test_matches_differ_between_epochs_and_sides_but_chunks_do_not(capture: Capture) -> None:
    stream = stream_of(capture, matches=50)
    cache, surfaces = (
        FrameCache(stream.index, 1 << 30),
        GeometryCache(stream.index, 1 << 30, OpenShards(stream.index.shards)),
    )
    first, again, later = (stream.pair(0, cache, epoch, surfaces) for epoch in (0, 0, 1))
    assert same(first, again)
    assert first.chunk_a is not None
    assert later.chunk_a is not None
    np.testing.assert_array_equal(first.chunk_a.voxels, later.chunk_a.voxels)
    assert not np.array_equal(first.chunk_a.matches, later.chunk_a.matches)


def test_geometry_is_read_once_a_visit_and_kept_within_its_memory(
    capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    true = geometry_cache.decode_geometry
    monkeypatch.setattr(
        geometry_cache,
        "decode_geometry",
        lambda data, file, offset: read.append(offset) or true(data, file, offset),  # type: ignore[func-returns-value]
    )
    epoch_of(stream_of(capture))
    assert len(read) == len(set(read)) == 2
    index = stream_of(capture).index
    roomy, tight = (GeometryCache(index, limit, OpenShards(index.shards)) for limit in (1 << 30, 0))
    for scene in (0, 1, 2, 0, 0, 1):
        assert (roomy.get(scene) is None) == (tight.get(scene) is None) == (scene == 2)
    assert (roomy.decoded, tight.decoded) == (2, 4)


def test_a_frame_whose_box_is_empty_keeps_its_pixel_matches(capture: Capture) -> None:
    stream = stream_of(capture)
    frames = list(frames_of(stream).values())
    surface = GeometryCache(stream.index, 1 << 30, OpenShards(stream.index.shards)).get(0)
    assert surface is not None
    elsewhere = replace(frames[0], chunk_box_m=frames[0].chunk_box_m + 1000.0)
    for kind in ("paper", "reference"):
        chunk = frame_chunk(elsewhere, surface, kind, 100, 0)  # type: ignore[arg-type]
        assert (chunk.voxels.shape, chunk.colors.shape, chunk.matches.shape) == ((0, 3),) * 3
        pair = match_pair(
            "scene0000_00", elsewhere, frames[1], PairRecipe(100, geometry=kind), "0/0", surface=surface
        )
        assert len(pair.matches)
        assert pair.chunk_b is not None
        assert len(pair.chunk_b.matches)


def test_an_unknown_geometry_is_said(capture: Capture) -> None:
    with pytest.raises(UsageError, match="none, paper, reference"):
        stream_of(capture, "minkowski")


def sample_of(voxels: Any, colors: Any = None, voxel_m: float = 0.02) -> bytes:
    none = np.zeros((0, 2), np.int64)
    voxels = np.asarray(voxels, np.int32)
    colors = np.zeros((len(voxels), 3), np.uint8) if colors is None else colors
    geometry = Geometry(voxels, colors, voxel_m)
    return make_bundle("s", "made-up", [], PairRows(none, none, none, np.zeros(0)), geometry).data


def test_a_scenes_sample_decodes_to_what_was_stored() -> None:
    voxels = [[-3, 0, 5], [-3, 0, 6], [0, -9, 2]]
    colors = np.arange(9, dtype=np.uint8).reshape(3, 3)
    found = decode_geometry(sample_of(voxels, colors, 0.04))
    assert (found.voxels.tolist(), found.colors.tolist(), found.voxel_m) == (voxels, colors.tolist(), 0.04)
    assert found.voxels.flags.writeable


GOOD = sample_of([[0, 0, 0], [0, 0, 1]])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (sample_of([[0, 0, 1], [0, 0, 0]]), "not sorted"),
        (sample_of([[0, 0, 1], [0, 0, 1]]), "not sorted"),
        (sample_of([[0, 0, 1 << 20]]), "beyond 2"),
        (sample_of([[0, 0, 1]], np.zeros((2, 3), np.uint8)), "1 voxels with 2 colours"),
        (sample_of([[0, 0, 1]], np.zeros((1, 4), np.uint8)), "rows of 3"),
        (sample_of([[0, 0, 1]], voxel_m=-1.0), "voxels of -1"),
        (sample_of([[0, 0, 1]], voxel_m=0.02).replace(b"0.02,", b"[20],"), "cannot be decoded"),
        # The claimed rows would take 240 GB.
        (GOOD.replace(b"(2, 3), }          ", b"(20000000000, 3), }"), "24 bytes of an array of shape"),
        (GOOD.replace(b"'<i4'", b"'|O4'"), "cannot be decoded"),
        (GOOD.replace(b"{'descr'", b"(('descr"), "cannot be decoded"),
        (GOOD.replace(b"\x93NUMPY\x01", b"\x93NUMPY\x07"), "unknown version"),
        (GOOD[:-1024], "lacks 'voxel_colors.npy'"),
    ],
)
def test_a_broken_sample_names_its_place_and_allocates_nothing(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        decode_geometry(data, "shard.tar", 512)
    assert (caught.value.file, caught.value.offset) == ("shard.tar", 512)
    assert "verify" in caught.value.remedy
