"""The stages of posed RGB-D captures: frames, overlap, geometry, bundle.

Every stage opens the capture itself and reads just what it needs, so nothing large travels between stages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.dataset import BuiltScene, Scene
from pipelines.rgbd_parameters import RgbdParameters
from pipelines.stage import Stage
from pipelines.stored_color import store_color
from pri3d_data.backproject import backproject
from pri3d_data.capture import Capture, Failure, Frame
from pri3d_data.errors import DataError
from pri3d_data.frustum import frustum_box, whole_metre_box
from pri3d_data.images import encode_depth_png, resize_nearest
from pri3d_data.overlap import match_counts
from pri3d_data.voxels import occupied_voxels, voxel_means
from shards.bundle import make_bundle
from shards.match_rule import MatchRule
from shards.parts import FrameSample, Geometry, PairRows, StoredDepth

OpenCapture = Callable[[Scene, Any], Capture]


@dataclass(frozen=True)
class EncodedFrames:
    """Frames ready to store, and those that cannot be."""

    samples: tuple[FrameSample, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class SceneOverlap:
    """Pairs that overlap enough, and frames nothing could be counted on."""

    pairs: PairRows
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class SceneGeometry:
    """The surface on the grid; None, with its reason, where there is none."""

    geometry: Geometry | None
    failures: tuple[Failure, ...]


def rgbd_stages(dataset: str, open_capture: OpenCapture) -> tuple[Stage, ...]:
    """The stages of a data set whose captures have posed colour, depth and a surface."""
    return (
        Stage("frames", partial(encode_frames, open_capture)),
        Stage("overlap", partial(count_overlap, open_capture)),
        Stage("geometry", partial(quantise_geometry, open_capture)),
        Stage("bundle", partial(bundle_scene, dataset), needs=("frames", "overlap", "geometry")),
    )


def encode_frames(open_capture: OpenCapture, scene: Scene, parameters: RgbdParameters) -> EncodedFrames:
    """Every usable frame with its images in the form they are stored in, and its chunk box."""
    samples, failures = [], []
    with open_capture(scene, parameters) as capture:
        failures += [
            Failure(scene.scene, lost.frame, "index", lost.file, lost.offset, lost.reason)
            for lost in capture.lost
        ]
        for frame in capture.frames:
            try:
                sample = _encode(capture, frame, parameters)
            except DataError as error:
                failures.append(Failure.of(scene.scene, frame.index, "frames", error))
                continue
            if parameters.labels:
                try:
                    sample = replace(sample, label=_label(capture, frame, sample))
                except DataError as error:
                    failures.append(Failure.of(scene.scene, frame.index, "labels", error))
            samples.append(sample)
    return EncodedFrames(tuple(samples), tuple(failures))


def count_overlap(open_capture: OpenCapture, scene: Scene, parameters: RgbdParameters) -> SceneOverlap:
    """Pairs of the scene by the preset's rule (paper, section 3.1), on the capture's own depth images."""
    thin = parameters.overlap_voxel_m
    measured, failures = [], []
    with open_capture(scene, parameters) as capture:
        for frame in capture.frames:
            try:
                measured.append((frame, _measured(capture, frame)))
            except DataError as error:
                failures.append(Failure.of(scene.scene, frame.index, "overlap", error))
        unit_m = capture.depth_unit_m
    # Points are float32 from a whole-metre origin near the scene, exact to micrometres anywhere on Earth, and
    # laid out in one array from the start: of a long scan there is no room for a second copy.
    origin = np.round(measured[0][0].camera_to_world[:3, 3]) if measured else np.zeros(3)
    cloud = np.empty((sum(np.count_nonzero(depth) for _, depth in measured), 3), dtype=np.float32)
    starts = np.zeros(len(measured) + 1, dtype=np.int64)
    numbers = np.array([frame.index for frame, _ in measured], dtype=np.int64)
    try:
        for number, (frame, depth) in enumerate(measured):
            assert frame.depth_camera is not None
            assert frame.depth_to_world is not None
            part = backproject(depth, unit_m, frame.depth_camera.vector, frame.depth_to_world, origin)
            part = voxel_means(part, thin) if thin else part
            starts[number + 1] = starts[number] + len(part)
            cloud[starts[number] : starts[number + 1]] = part
        measured.clear()
        counts = match_counts(cloud[: starts[-1]], starts, parameters.overlap_radius_m)
    except ValueError as error:
        raise DataError(f"{error}.") from error
    return SceneOverlap(_pairs(numbers, np.diff(starts), counts, parameters), tuple(failures))


def quantise_geometry(open_capture: OpenCapture, scene: Scene, parameters: RgbdParameters) -> SceneGeometry:
    """The scene's surface as occupied voxels. A scene without one is still worth its frames and pairs."""
    try:
        with open_capture(scene, parameters) as capture:
            surface = capture.surface()
        if surface is None:
            return SceneGeometry(None, ())
        voxels, colors = occupied_voxels(surface.points_world, surface.colors, parameters.voxel_m)
    except DataError as error:
        return SceneGeometry(None, (Failure.of(scene.scene, -1, "geometry", error),))
    except ValueError as error:
        return SceneGeometry(None, (Failure(scene.scene, -1, "geometry", "", -1, f"{error}."),))
    return SceneGeometry(Geometry(voxels, colors, parameters.voxel_m), ())


def bundle_scene(
    dataset: str,
    scene: Scene,
    parameters: RgbdParameters,
    frames: EncodedFrames,
    overlap: SceneOverlap,
    geometry: SceneGeometry,
) -> BuiltScene:
    """Frames that came through both stages, pairs between them, and the geometry, laid out as tar members."""
    failures = {(f.frame, f.file, f.offset): f for f in reversed(frames.failures + overlap.failures)}
    failures |= {(f.frame, f.file, f.offset): f for f in geometry.failures}
    bad = {failure.frame for failure in overlap.failures}
    samples = [sample for sample in frames.samples if sample.frame not in bad]
    if not samples:
        lost = Failure(scene.scene, -1, "bundle", "", -1, "none of the scene's frames could be used")
        return BuiltScene(None, (*failures.values(), lost))
    pairs = overlap.pairs.among([sample.frame for sample in samples])
    rule = MatchRule("radius", parameters.match_radius_m)
    bundle = make_bundle(scene.scene, dataset, samples, pairs, geometry.geometry, rule=rule)
    return BuiltScene(bundle, tuple(failures.values()))


def _encode(capture: Capture, frame: Frame, parameters: RgbdParameters) -> FrameSample:
    depth = _measured(capture, frame)
    assert frame.depth_camera is not None
    assert frame.depth_to_world is not None
    box = frustum_box if parameters.chunk_box == "frustum" else whole_metre_box
    chunk_box = box(depth, capture.depth_unit_m, frame.depth_camera, frame.depth_to_world)
    points = int(np.count_nonzero(depth))
    color, member, camera = store_color(
        capture.color(frame), frame.camera, parameters.image_size, parameters.jpeg_quality
    )
    depth_camera = frame.depth_camera
    if parameters.image_size is not None:
        height, width = parameters.image_size
        depth, depth_camera = resize_nearest(depth, width, height), depth_camera.subsampled(width, height)
    stored = StoredDepth(encode_depth_png(depth), depth_camera, frame.depth_to_world, capture.depth_unit_m)
    return FrameSample(
        frame.index,
        frame.timestamp_us,
        color,
        member,
        camera,
        frame.camera_to_world,
        stored,
        points,
        chunk_box,
        frame.name,
    )


def _label(capture: Capture, frame: Frame, sample: FrameSample) -> bytes | None:
    labels = capture.labels(frame)
    if labels is None:
        return None
    if labels.shape != (frame.camera.height, frame.camera.width):
        raise DataError(
            f"its label image is {labels.shape[1]}x{labels.shape[0]}, its colour image "
            f"{frame.camera.width}x{frame.camera.height}.",
            frame=frame.index,
        )
    return encode_depth_png(resize_nearest(labels, sample.camera.width, sample.camera.height))


def _measured(capture: Capture, frame: Frame) -> NDArray[np.uint16]:
    if frame.depth_camera is None or frame.depth_to_world is None:
        raise DataError("the frame has no depth image.", frame=frame.index)
    depth = capture.depth(frame)
    if not depth.any():
        raise DataError("nothing was measured: its depth image is all zero.", frame=frame.index)
    return depth


def _pairs(
    numbers: NDArray[np.int64], points: NDArray[np.int64], counts: NDArray[np.int64], rule: RgbdParameters
) -> PairRows:
    ends = np.array(list(combinations(range(len(numbers)), 2)), dtype=np.int64).reshape(-1, 2)
    a, b = ends[:, 0], ends[:, 1]
    matched = np.stack([counts[a, b], counts[b, a]], axis=1)
    sizes = points[ends]
    if rule.overlap_score == "union":
        overlap = matched.sum(axis=1) / np.maximum(sizes.sum(axis=1), 1)
    else:
        overlap = (matched / np.maximum(sizes, 1)).max(axis=1, initial=0.0)
    keep = overlap >= rule.min_overlap
    return PairRows(numbers[ends[keep]], sizes[keep], matched[keep], overlap[keep])
