import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import simplejpeg

from pri3d_data.errors import UsageError
from pri3d_data.synth.distance import distance_to_surface
from pri3d_data.synth.raycast import render
from pri3d_data.synth.request import scene_seed
from pri3d_data.synth.scannet import write_scannet, write_scannet_capture
from pri3d_data.synth.scannet_spec import ScanNetSynth, scannet_truth, scene_name

SMALL = {
    "frames": 3,
    "color_size": (96, 72),
    "depth_size": (64, 48),
    "mesh_spacing_m": 0.1,
    "pose_stride": 20,
}
NAMES = (".sens", ".txt", "_2d-instance-filt.zip", "_2d-label-filt.zip", "_vh_clean_2.ply")


def frames_of(path):
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data, 4)
    at = 12 + length
    matrices = np.frombuffer(data, "<f4", 64, at).reshape(4, 4, 4)
    *_, count = struct.unpack_from("<iiIIIIfQ", data, at + 256)
    at += 256 + 36
    frames = []
    for _ in range(count):
        pose = np.frombuffer(data, "<f4", 16, at).reshape(4, 4)
        color_bytes, depth_bytes = struct.unpack_from("<QQ", data, at + 80)
        at += 96
        frames.append(
            (pose, data[at : at + color_bytes], data[at + color_bytes : at + color_bytes + depth_bytes])
        )
        at += color_bytes + depth_bytes
    assert data[at:] == bytes(8)
    return matrices, frames


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_capture_has_scannets_files_and_the_same_seed_the_same_bytes(tmp_path):
    spec = ScanNetSynth(**SMALL, noise=True, holes=True)
    seen = []
    folders = write_scannet(tmp_path / "a", 2, 7, spec, lambda *progress: seen.append(progress))
    assert seen == [(scene_name(index), frame + 1, 3) for index in range(2) for frame in range(3)]
    assert folders == [tmp_path / "a" / "scans" / "scene0000_00", tmp_path / "a" / "scans" / "scene0001_00"]
    first = contents(folders[0])
    assert sorted(first) == sorted(f"scene0000_00{name}" for name in NAMES)
    again = write_scannet_capture(tmp_path / "b", "scene0000_00", spec, scene_seed(7, 0))
    assert contents(again) == first
    other = contents(folders[1])
    assert not set(first.values()) & set(other.values())


def test_other_seed_other_bytes(tmp_path):
    spec = ScanNetSynth(**SMALL)
    one = contents(write_scannet_capture(tmp_path / "a", "scene0000_00", spec, 1))
    two = contents(write_scannet_capture(tmp_path / "b", "scene0000_00", spec, 2))
    assert all(one[name] != two[name] for name in one)


@pytest.mark.parametrize(
    ("color_codec", "depth_codec"), [("jpeg", "zlib"), ("png", "raw"), ("raw", "zlib")], ids=str
)
def test_blobs_decode_to_the_true_images(tmp_path, color_codec, depth_codec):
    spec = ScanNetSynth(**SMALL, color_codec=color_codec, depth_codec=depth_codec, displaced_cameras=True)
    folder = write_scannet_capture(tmp_path, "scene0000_00", spec, 11)
    truth = scannet_truth(spec, 11)
    matrices, frames = frames_of(folder / "scene0000_00.sens")
    assert np.array_equal(matrices[1], truth.rig.color_to_sensor)
    assert not np.array_equal(matrices[1], np.eye(4))
    labels = zipfile.ZipFile(folder / "scene0000_00_2d-label-filt.zip")
    instances = zipfile.ZipFile(folder / "scene0000_00_2d-instance-filt.zip")
    for index, (pose, color, depth) in enumerate(frames):
        assert np.array_equal(pose, truth.poses[index])
        k = matrices[0].astype(np.float64)
        camera = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]])
        color_to_world = pose.astype(np.float64) @ matrices[1].astype(np.float64)
        true = render(truth.room.arrays, camera, 96, 72, color_to_world)
        if color_codec == "jpeg":
            difference = np.abs(simplejpeg.decode_jpeg(color).astype(int) - true.rgb)
            assert difference.mean() < 12
        elif color_codec == "png":
            assert np.array_equal(cv2.imdecode(np.frombuffer(color, np.uint8), 1)[..., ::-1], true.rgb)
        else:
            assert color == true.rgb.tobytes()
        steps = np.frombuffer(zlib.decompress(depth) if depth_codec == "zlib" else depth, "<u2").reshape(
            48, 64
        )
        kd = matrices[2].astype(np.float64)
        v, u = np.mgrid[:48, :64]
        rays = np.stack([(u - kd[0, 2]) / kd[0, 0], (v - kd[1, 2]) / kd[1, 1], np.ones((48, 64))], axis=-1)
        depth_to_world = pose.astype(np.float64) @ matrices[3].astype(np.float64)
        points = (rays * (steps[..., None] / 1000)).reshape(-1, 3) @ depth_to_world[
            :3, :3
        ].T + depth_to_world[:3, 3]
        assert np.abs(distance_to_surface(truth.room, points)).max() < 0.001
        for archive, member, expected in (
            (labels, "label-filt", true.semantic),
            (instances, "instance-filt", true.instance.astype(np.uint8)),
        ):
            image = cv2.imdecode(np.frombuffer(archive.read(f"{member}/{index}.png"), np.uint8), -1)
            assert image.dtype == expected.dtype
            assert np.array_equal(image, expected)


def test_lost_frames_have_no_pose_and_no_labels(tmp_path):
    spec = ScanNetSynth(**SMALL, lost_frames=(1,))
    folder = write_scannet_capture(tmp_path, "scene0000_00", spec, 0)
    _, frames = frames_of(folder / "scene0000_00.sens")
    assert [bool((pose == -np.inf).all()) for pose, _, _ in frames] == [False, True, False]
    png = zipfile.ZipFile(folder / "scene0000_00_2d-label-filt.zip").read("label-filt/1.png")
    assert not cv2.imdecode(np.frombuffer(png, np.uint8), -1).any()


def test_axis_alignment_puts_the_floor_at_zero_and_the_walls_along_the_axes(tmp_path):
    spec = ScanNetSynth(**SMALL, labels=False, world_offset_m=(3.0, 1.0, -2.0))
    folder = write_scannet_capture(tmp_path, "scene0000_00", spec, 4)
    assert not list(folder.glob("*.zip"))
    info = dict(line.split(" = ") for line in (folder / "scene0000_00.txt").read_text().splitlines())
    align = np.array(info["axisAlignment"].split(), float).reshape(4, 4)
    data = (folder / "scene0000_00_vh_clean_2.ply").read_bytes()
    count = int(data.split(b"element vertex ")[1].split(b"\n")[0])
    vertex = np.dtype([("xyz", "<f4", 3), ("rgba", "u1", 4)])
    points = np.frombuffer(data, vertex, count, data.index(b"end_header\n") + 11)["xyz"].astype(np.float64)
    room = scannet_truth(spec, 4).room
    assert np.abs(distance_to_surface(room, points)).max() < 1e-6
    aligned = points @ align[:3, :3].T + align[:3, 3]
    size = np.array(room.size_m)
    assert np.allclose(aligned.min(axis=0), [-size[0] / 2, -size[1] / 2, 0], atol=1e-4)
    assert np.allclose(aligned.max(axis=0), [size[0] / 2, size[1] / 2, size[2]], atol=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"frames": 0},
        {"lost_frames": (120,)},
        {"color_codec": "gif"},
        {"jpeg_quality": 101},
        {"depth_size": (0, 5)},
    ],
    ids=str,
)
def test_wrong_settings_are_told_by_name(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ScanNetSynth(**wrong)


def test_wrong_counts_and_seeds_are_told(tmp_path):
    with pytest.raises(UsageError, match="at least 1 scene"):
        write_scannet(tmp_path, scenes=0)
    with pytest.raises(UsageError, match="not be negative"):
        write_scannet_capture(tmp_path, "scene0000_00", ScanNetSynth(), -1)
    assert not any(tmp_path.iterdir())
