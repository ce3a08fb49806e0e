"""KITTI: drives of posed images with sparse depth, their matches found beforehand and stored."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pipelines.dataset import BuiltScene, DataSet
from pipelines.kitti_mapping import MappedPairs, map_pairs
from pipelines.kitti_parameters import KITTI_PRESETS, KittiParameters
from pipelines.rgbd import EncodedFrames
from pipelines.stage import Stage
from pipelines.stored_color import store_color
from pri3d_data.capture import Failure, Frame
from pri3d_data.errors import DataError
from pri3d_data.images import encode_depth_png
from pri3d_data.kitti.drive import DEPTH_UNIT_M, KittiCapture, KittiDrive
from pri3d_data.kitti.scenes import find_scenes, open_drive
from shards.bundle import make_bundle
from shards.match_rule import MatchRule
from shards.parts import FrameSample, StoredDepth


def encode_frames(drive: KittiDrive, parameters: KittiParameters, mapped: MappedPairs) -> EncodedFrames:
    """The drive's own frames, and later ones that they make pairs with, in the form they are stored in."""
    samples = []
    wanted = {number for pair in mapped.pairs for number in pair.frames}
    wanted |= {number for number in mapped.measured if number <= drive.last}
    with open_drive(drive, parameters.max_gap, parameters.stride) as capture:
        failures = [
            Failure(drive.scene, lost.frame, stage, lost.file, lost.offset, lost.reason)
            for stage, frames in (("index", capture.lost), ("frames", capture.broken))
            for lost in frames
            if lost.frame <= drive.last
        ]
        for frame in capture.frames:
            if frame.index not in wanted:
                continue
            try:
                samples.append(_encode(capture, frame, parameters))
            except DataError as error:
                lost = Failure.of(drive.scene, frame.index, "frames", error)
                failures += [lost] if frame.index <= drive.last else []
    return EncodedFrames(tuple(samples), tuple(failures))


def bundle_drive(
    drive: KittiDrive, parameters: KittiParameters, mapped: MappedPairs, frames: EncodedFrames
) -> BuiltScene:
    """Frames, the pairs between them, and each frame's stored matches, laid out as tar members."""
    failures = (*frames.failures, *mapped.failures)
    pairs = mapped.among({sample.frame for sample in frames.samples})
    # A later frame whose partners were all lost has no place here; its own scene has it.
    paired = {number for pair in pairs.pairs for number in pair.frames}
    samples = [
        replace(sample, match_bits=pairs.bits_of(sample.frame))
        for sample in frames.samples
        if sample.frame <= drive.last or sample.frame in paired
    ]
    if not samples:
        lost = Failure(drive.scene, -1, "bundle", "", -1, "none of the scene's frames could be used")
        return BuiltScene(None, (*failures, lost))
    bundle = make_bundle(drive.scene, "kitti", samples, pairs.rows(), rule=MatchRule("stored"))
    return BuiltScene(bundle, failures)


def _encode(capture: KittiCapture, frame: Frame, parameters: KittiParameters) -> FrameSample:
    depth = capture.depth(frame)
    color, member, camera = store_color(
        capture.color(frame), frame.camera, parameters.image_size, parameters.jpeg_quality
    )
    stored = StoredDepth(encode_depth_png(depth), frame.camera, frame.camera_to_world, DEPTH_UNIT_M)
    return FrameSample(
        frame.index,
        frame.timestamp_us,
        color,
        member,
        camera,
        frame.camera_to_world,
        stored,
        int(np.count_nonzero(depth)),
        name=frame.name,
    )


KITTI = DataSet(
    name="kitti",
    summary="KITTI raw drives, or odometry sequences with depth-completion maps",
    find_scenes=find_scenes,
    stages=(
        Stage("mapping", map_pairs),
        Stage("frames", encode_frames, needs=("mapping",)),
        Stage("bundle", bundle_drive, needs=("mapping", "frames")),
    ),
    presets=KITTI_PRESETS,
)
