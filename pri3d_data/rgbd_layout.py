"""Which files of a folder make up its frames: colour, depth and pose of one moment belong together.

Three layouts are recognised by looking: images and poses side by side (7-Scenes: ``X.color.png``,
``X.depth.png``, ``X.pose.txt``); folders ``color`` or ``rgb``, ``depth`` and ``pose`` or one Open3D ``.log``;
TUM's ``rgb.txt``, ``depth.txt`` and ``groundtruth.txt``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pri3d_data.byte_source import ByteSource
from pri3d_data.errors import DataError, UsageError
from pri3d_data.input_folder import Folder
from pri3d_data.trajectory import nearest_times, parse_pose, parse_trajectory, parse_tum_trajectory

#: TUM's images and poses are of one moment if their times differ by no more.
APART_S = 0.02

_COLOR = re.compile(r"^(?P<stem>.+?)(?:[._-]colou?r)?\.(?:jpe?g|png)$", re.IGNORECASE)
_DEPTH = re.compile(r"^(?P<stem>.+?)(?:[._-]depth)?\.png$", re.IGNORECASE)
_POSE = re.compile(r"^(?P<stem>.+?)(?:[._-]pose)?\.txt$", re.IGNORECASE)
_PATTERNS = (_COLOR, _DEPTH, _POSE)
_CAMERA = re.compile(r"^(?:camera.*\.json|intrinsics?(?:_color)?\.txt)$", re.IGNORECASE)


@dataclass(frozen=True)
class RgbdScene:
    """A folder of frames.

    Attributes:
        scene: its name: the path below the input, joined by dashes.
        folder: path or URL.
        camera, mesh: paths or URLs of its camera file and mesh; empty without.
        stamps: of its files, folder by folder: what a rebuild is decided by.
    """

    scene: str
    folder: str
    camera: str
    mesh: str
    stamps: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, eq=False)
class RgbdFiles:
    """One frame: its number, paths or URLs of its images, and its (4, 4) camera to world, None where lost."""

    frame: int
    color: str
    depth: str
    pose: NDArray[np.float64] | None
    timestamp_us: int = 0


def find_scenes(root: str) -> list[RgbdScene]:
    """Folders of frames: the input itself, or folders up to two levels below it, sorted by name.

    Raises:
        UsageError: the input is missing, or none of the layouts is in it.
    """
    top = Folder.open(root, "Give a folder of frames, or one of such folders.")
    level, scenes = [top], list[RgbdScene]()
    for _ in range(3):
        scenes += [_scene(top, folder) for folder in level if _holds_frames(folder)]
        level = [inner for folder in level if not _holds_frames(folder) for inner in folder.folders()]
    if scenes:
        return sorted(scenes, key=lambda scene: scene.scene)
    raise UsageError(
        f"No RGB-D frames in '{root}'. Expected X.color.png, X.depth.png and X.pose.txt side by side, "
        "folders color (or rgb), depth and pose (or a trajectory .log), or TUM's rgb.txt, depth.txt and "
        f"groundtruth.txt; found {top.listing()}."
    )


def list_files(scene: RgbdScene) -> list[RgbdFiles]:
    """The scene's frames in order of their names or times; only those with colour and depth.

    Raises:
        DataError: a text file is broken.
    """
    folder = Folder.open(scene.folder, "It was there a moment ago.")
    files, folders = folder.files(), {inner.name for inner in folder.folders()}
    if {"rgb.txt", "depth.txt", "groundtruth.txt"} <= set(files):
        return list(_tum_files(scene.folder))
    color = next((name for name in ("color", "rgb") if name in folders), "")
    pose = next((name for name in ("pose", "poses") if name in folders), "")
    parts = (color, "depth" if color else "", pose)
    found = [_by_stem(pattern, folder, part) for pattern, part in zip(_PATTERNS, parts, strict=True)]
    if not color:
        # Side by side, a depth image's name would do for a colour image as well.
        words = ("colou?r", "depth", "pose")
        found = [
            {stem: file for stem, file in named.items() if re.search(rf"[._-]{word}\.", file, re.IGNORECASE)}
            for named, word in zip(found, words, strict=True)
        ]
    # Of several, one that is called a trajectory.
    logs = sorted((name for name in files if name.endswith(".log")), key=lambda name: "traj" not in name)
    return list(_stem_files(scene.folder, found[0], found[1], found[2], logs))


def _stem_files(
    folder: str, colors: dict[str, str], depths: dict[str, str], poses: dict[str, str], logs: list[str]
) -> Iterator[RgbdFiles]:
    stems = sorted(set(colors) & set(depths))
    digits = [re.findall(r"\d+", stem) for stem in stems]
    numbers = {stem: int(found[-1]) for stem, found in zip(stems, digits, strict=True) if found}
    if len(set(numbers.values())) == len(stems):
        # 2 comes before 10, which names without leading zeros hide.
        stems.sort(key=numbers.__getitem__)
    else:
        numbers = {stem: position for position, stem in enumerate(stems)}
    trajectory: list[NDArray[np.float64] | None] = []
    if not poses and logs:
        file = f"{folder}/{logs[0]}"
        trajectory = parse_trajectory(_text(file), file)
        if len(trajectory) != len(stems):
            raise DataError(f"has {len(trajectory)} poses, the folder {len(stems)} frames.", file=file)
    for position, stem in enumerate(stems):
        pose = trajectory[position] if trajectory else None
        if stem in poses:
            file = f"{folder}/{poses[stem]}"
            pose = parse_pose(_text(file), file)
        yield RgbdFiles(numbers[stem], f"{folder}/{colors[stem]}", f"{folder}/{depths[stem]}", pose)


def _tum_files(folder: str) -> Iterator[RgbdFiles]:
    lists = {}
    for name in ("rgb.txt", "depth.txt"):
        lines = [line.split() for line in _text(f"{folder}/{name}").splitlines() if line.strip()]
        rows = [line for line in lines if not line[0].startswith("#")]
        try:
            lists[name] = sorted((float(time), file) for time, file in rows)
        except ValueError as error:
            raise DataError(
                f"has a line other than 'time file' ({error}).", file=f"{folder}/{name}"
            ) from error
    times, poses = parse_tum_trajectory(_text(f"{folder}/groundtruth.txt"), f"{folder}/groundtruth.txt")
    depth_times = np.array([time for time, _ in lists["depth.txt"]])
    color_times = np.array([time for time, _ in lists["rgb.txt"]])
    if not (len(color_times) and len(depth_times)):
        raise DataError("lists no images.", file=f"{folder}/rgb.txt or depth.txt")
    depth_of = nearest_times(depth_times, color_times, APART_S)
    pose_of = nearest_times(times, color_times, APART_S)
    for number, (time, color) in enumerate(lists["rgb.txt"]):
        if depth_of[number] < 0:
            continue
        pose = poses[pose_of[number]] if pose_of[number] >= 0 else None
        depth = lists["depth.txt"][depth_of[number]][1]
        yield RgbdFiles(number, f"{folder}/{color}", f"{folder}/{depth}", pose, round(time * 1e6))


def _by_stem(pattern: re.Pattern[str], folder: Folder, part: str) -> dict[str, str]:
    """Files of a subfolder, or of the folder itself where ``part`` is empty, by what their names share."""
    names = (folder.inside(part) if part else folder).files()
    return {found["stem"]: f"{part}/{name}".lstrip("/") for name in names if (found := pattern.match(name))}


def _holds_frames(folder: Folder) -> bool:
    side_by_side = any(re.search(r"[._-]depth\.png$", name, re.IGNORECASE) for name in folder.files())
    names = {inner.name for inner in folder.folders()}
    return side_by_side or ("depth" in names and bool({"color", "rgb"} & names))


def _scene(top: Folder, folder: Folder) -> RgbdScene:
    name = folder.path[len(top.path) :].strip("/") or top.name
    files = folder.files()
    camera = next((f"{folder.address}/{file}" for file in files if _CAMERA.match(file)), "")
    mesh = f"{folder.address}/mesh.ply" if "mesh.ply" in files else ""
    stamps = (folder.stamp(), *(inner.stamp() for inner in folder.folders()))
    return RgbdScene(re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:64], folder.address, camera, mesh, stamps)


def _text(file: str) -> str:
    with ByteSource(file) as source:
        return source.read(0, source.size).decode("utf-8", "replace")
