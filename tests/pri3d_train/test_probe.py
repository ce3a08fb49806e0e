"""The probe on rooms whose every pixel is known, from captures to figures."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from made_up_rooms import ROOMS, build

from pri3d_data.errors import UsageError
from pri3d_data.synth.raycast import render, trace
from pri3d_data.synth.request import scene_seed
from pri3d_data.synth.scannet import scannet_truth
from pri3d_train.cli import main
from pri3d_train.labelled_frames import LabelledFrames
from pri3d_train.margin import first_pairs, measure
from pri3d_train.pair_model import PairModel
from pri3d_train.probe_stream import ProbeStream
from pri3d_train.scene_choice import parse_scenes


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("network") / "random.pt"
    torch.save({"model": PairModel("resnet18").state_dict()}, file)
    return str(file)


def probe(data, network, *options):
    command = ["probe", "--data", str(data), "--checkpoint", network, "--pairs", "3", *options]
    return CliRunner().invoke(main, command)


def test_every_figure_is_there_for_scripts_and_in_words(built, network):
    options = ["--scenes", "scene0001_00", "--train-scenes", "scene0000_00", "--frames", "3"]
    done = probe(built / "out", network, *options, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["pairs"], found["linear_frames"], found["linear_train_frames"]) == (3, 3, 3)
    for name in ("retrieval", "retrieval_2cm", "linear_miou", "linear_accuracy", "linear_class_accuracy"):
        assert 0 < found[name] < 1, name
    assert json.loads(probe(built / "out", network, *options, "--json").stdout) == found
    words = probe(built / "out", network, *options).stdout
    assert f"within 2 cm {found['retrieval_2cm']:.1%}" in words
    assert f"mean IoU {found['linear_miou']:.1%} over {found['linear_classes']} classes" in words


def test_points_are_where_the_room_s_surfaces_are(built):
    stream = ProbeStream([str(built / "out")], seed=0, matches=64)
    known = 0
    for pair in first_pairs(stream, 6):
        truth = scannet_truth(ROOMS, scene_seed(0, int(pair.scene[5:9])))
        camera, pose = truth.rig.color, truth.poses[pair.frame_b]
        to_world = truth.rig.color_to_world(pose)
        world = pair.points_b @ to_world[:3, :3].T + to_world[:3, 3]
        both = np.isfinite(world).all(2)
        # A measured point falls on a pixel up to half a pixel from its middle, 2 cm at 3 m in so small an image.
        apart = np.linalg.norm(world - seen_points(truth, camera, to_world), axis=2)[both]
        assert np.median(apart) < 0.01
        assert (apart < 0.04).mean() > 0.93
        known += both.mean() / 6
    assert known > 0.5


def seen_points(truth, camera, to_world):
    """World points of a camera's pixels, by a ray through each."""
    depth_m = trace(truth.room.arrays, camera.vector, camera.width, camera.height, to_world)[0]
    fx, fy, cx, cy = camera.vector
    y, x = np.indices(depth_m.shape)
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(depth_m)], 2)
    return (rays * depth_m[..., None]) @ to_world[:3, :3].T + to_world[:3, 3]


def test_two_centimetres_are_measured_in_space(built):
    stream = ProbeStream([str(built / "out")], seed=0, matches=64)
    (pair,) = first_pairs(stream, 1)

    class Positions(PairModel):
        """Features that name the cell, so that a pixel of the same image finds itself."""

        def features(self, images):
            torch.manual_seed(1)
            return torch.randn(1, 32, images.shape[1] // 2, images.shape[2] // 2)

    pair.matches[:, :2] = pair.matches[:, 2:]
    ends = pair.matches[:, 2:].astype(int)
    cells = ends // 2
    # Matches that share a cell share their feature; the first of them is what is found.
    first = np.array([np.flatnonzero((cells == cell).all(1))[0] for cell in cells])
    points = pair.points_b[ends[:, 1], ends[:, 0]].astype(np.float64)
    known = np.isfinite(points).all(1)
    expected = (np.linalg.norm(points - points[first], axis=1)[known] <= 0.02).mean()
    assert measure(Positions("resnet18"), [pair], matches=64).retrieval_2cm == pytest.approx(expected)
    object.__setattr__(pair, "points_b", np.full_like(pair.points_b, np.nan))
    assert measure(Positions("resnet18"), [pair], matches=64).retrieval_2cm is None


def test_labels_are_the_room_s_own(built):
    frames = LabelledFrames([str(built / "out")], parse_scenes("scene0001_00", exclude=False), 99)
    assert frames.scenes == {"scene0001_00"}
    truth = scannet_truth(ROOMS, scene_seed(0, 1))
    camera = truth.rig.color
    for frame, pose in zip(frames, truth.poses, strict=True):
        seen = render(
            truth.room.arrays, camera.vector, camera.width, camera.height, truth.rig.color_to_world(pose)
        )
        assert np.array_equal(frame.labels, seen.semantic)
        # Two JPEGs lie between them; the next frame differs by more than 16.
        assert np.abs(frame.image.astype(int) - seen.rgb).mean() < 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--train-scenes", "scene0000_00"], "scene0000_00 is among both --train-scenes and --scenes"),
        (["--scenes", "scene0001_00", "--train-scenes", "scene7*"], "No frame of the scenes asked for"),
        (["--frames", "0"], "--frames above 0"),
    ],
)
def test_what_cannot_be_probed_says_so(built, network, options, message):
    done = probe(built / "out", network, *options)
    assert (done.exit_code, message in done.output) == (2, True), done.output


def test_data_without_labels_names_the_option_that_stores_them(built, tmp_path):
    build(built / "raw", tmp_path / "out")
    with pytest.raises(UsageError, match="build the data with --labels"):
        list(LabelledFrames([str(tmp_path / "out")], None, 9))
