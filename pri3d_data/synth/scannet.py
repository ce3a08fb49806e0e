"""Procedural captures in ScanNet's raw layout: scans/<scene>/ with .sens, .txt, mesh and label zips."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pri3d_data.atomic_file import atomic_file
from pri3d_data.camera import Camera
from pri3d_data.ply_writer import write_ply_mesh
from pri3d_data.sens_writer import SensSettings, SensWriter
from pri3d_data.synth.codecs import encode_color, encode_depth
from pri3d_data.synth.label_zip import LabelZip
from pri3d_data.synth.mesh import room_mesh
from pri3d_data.synth.raycast import render, trace
from pri3d_data.synth.request import scene_seeds
from pri3d_data.synth.scannet_spec import ScanNetSynth, ScanNetTruth, scannet_truth, scene_name
from pri3d_data.synth.sensor import hole_mask, noisy_color, noisy_depth, quantised_depth

__all__ = ["ScanNetSynth", "ScanNetTruth", "scannet_truth", "write_scannet", "write_scannet_capture"]

_TICK_US = 33_333
_DEPTH_LAG_US = 1_000
_STEPS_PER_M = 1000.0

OnFrame = Callable[[str, int, int], None]


def write_scannet(
    root: Path,
    scenes: int = 4,
    seed: int = 0,
    spec: ScanNetSynth | None = None,
    on_frame: OnFrame | None = None,
) -> list[Path]:
    """Write captures scene0000_00, scene0001_00, ….

    Args:
        root: folder that gets ``scans/``.
        scenes: how many. seed: not negative; the same seed and spec give the same bytes.
        spec: how they are made; `ScanNetSynth` defaults if not given.
        on_frame: called after each frame with (scene, frames done, frames in all).

    Returns:
        The scenes' folders.

    Raises:
        UsageError: ``scenes`` is less than 1, or the seed negative.
        StorageError: a file cannot be written.
    """
    made = spec or ScanNetSynth()
    return [
        write_scannet_capture(root, scene_name(index), made, own, on_frame)
        for index, own in enumerate(scene_seeds(scenes, seed))
    ]


def write_scannet_capture(
    root: Path, scene: str, spec: ScanNetSynth, seed: int, on_frame: OnFrame | None = None
) -> Path:
    """Write one capture; `scannet_truth` of the same spec and seed says what it shows.

    Args:
        root: folder that gets ``scans/<scene>/``.
        scene: its name, such as scene0000_00.
        spec, seed: what to write.
        on_frame: called after each frame with (scene, frames done, frames in all).

    Returns:
        The scene's folder.

    Raises:
        UsageError: the seed is negative.
        StorageError: a file cannot be written.
    """
    truth = scannet_truth(spec, seed)
    folder = root / "scans" / scene
    with atomic_file(folder / f"{scene}.txt") as file:
        file.write(_scan_info(truth, spec).encode())
    mesh = room_mesh(truth.room, spec.mesh_spacing_m)
    write_ply_mesh(folder / f"{scene}_vh_clean_2.ply", mesh.vertices_world, mesh.colors, mesh.faces)
    with ExitStack() as stack:
        sens = stack.enter_context(SensWriter(folder / f"{scene}.sens", _settings(truth, spec)))
        zips: list[LabelZip] = []
        if spec.labels:
            for kind in ("label", "instance"):
                zips.append(
                    stack.enter_context(LabelZip(folder / f"{scene}_2d-{kind}-filt.zip", f"{kind}-filt"))
                )
        for index in range(spec.frames):
            _write_frame(sens, zips, truth, spec, seed, index)
            if on_frame is not None:
                on_frame(scene, index + 1, spec.frames)
    return folder


def _write_frame(
    sens: SensWriter, zips: list[LabelZip], truth: ScanNetTruth, spec: ScanNetSynth, seed: int, index: int
) -> None:
    arrays, pose, rig = truth.room.arrays, truth.poses[index], truth.rig
    color, depth = rig.color, rig.depth
    seen = render(arrays, color.vector, color.width, color.height, rig.color_to_world(pose))
    depth_m = trace(arrays, depth.vector, depth.width, depth.height, rig.depth_to_world(pose))[0]
    rng = np.random.default_rng([seed, 3, index])
    rgb, measured_m = seen.rgb, depth_m
    if spec.noise:
        rgb, measured_m = noisy_color(rgb, rng), noisy_depth(depth_m, rng)
    steps = quantised_depth(measured_m, _STEPS_PER_M)
    if spec.holes:
        steps[hole_mask(depth_m, depth.fx, rng)] = 0
    lost = index in spec.lost_frames
    time_us = index * spec.pose_stride * _TICK_US
    sens.frame(
        np.full((4, 4), -np.inf) if lost else pose,
        time_us,
        time_us + _DEPTH_LAG_US,
        encode_color(rgb, spec.color_codec, spec.jpeg_quality),
        encode_depth(steps, spec.depth_codec),
    )
    if zips:
        # Labels are drawn from the mesh at the frame's pose; a frame without one has none.
        keep = np.uint16(0 if lost else 1)
        zips[0].frame(index, seen.semantic * keep)
        zips[1].frame(index, (seen.instance * keep).astype(np.uint8))


def _settings(truth: ScanNetTruth, spec: ScanNetSynth) -> SensSettings:
    rig = truth.rig
    return SensSettings(
        color_width=rig.color.width,
        color_height=rig.color.height,
        depth_width=rig.depth.width,
        depth_height=rig.depth.height,
        intrinsic_color=_intrinsic(rig.color),
        intrinsic_depth=_intrinsic(rig.depth),
        extrinsic_color=rig.color_to_sensor,
        extrinsic_depth=rig.depth_to_sensor,
        color_codec=spec.color_codec,
        depth_codec=spec.depth_codec,
        depth_shift=_STEPS_PER_M,
    )


def _intrinsic(camera: Camera) -> NDArray[np.float32]:
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = camera.matrix
    return matrix


def _scan_info(truth: ScanNetTruth, spec: ScanNetSynth) -> str:
    rig = truth.rig
    color_to_depth = np.linalg.inv(rig.depth_to_sensor.astype(np.float64)) @ rig.color_to_sensor
    pairs: dict[str, object] = {
        "axisAlignment": _numbers(np.linalg.inv(truth.room.room_to_world)),
        "colorHeight": rig.color.height,
        "colorToDepthExtrinsics": _numbers(color_to_depth),
        "colorWidth": rig.color.width,
        "depthHeight": rig.depth.height,
        "depthWidth": rig.depth.width,
    }
    for short, of in (("fx", "fx"), ("fy", "fy"), ("mx", "cx"), ("my", "cy")):
        pairs[f"{short}_color"] = f"{getattr(rig.color, of):.6f}"
        pairs[f"{short}_depth"] = f"{getattr(rig.depth, of):.6f}"
    pairs |= {"numColorFrames": spec.frames, "numDepthFrames": spec.frames, "numIMUmeasurements": 0}
    pairs["sceneType"] = "Procedural"
    return "".join(f"{key} = {value}\n" for key, value in pairs.items())


def _numbers(matrix: NDArray[np.floating]) -> str:
    # Adding zero turns -0.0 into 0.0.
    return " ".join(f"{value:.6f}" for value in (np.round(matrix, 6) + 0.0).ravel())
