"""Writing shards: bundles with checksums, fsync and rename against `webdataset.ShardWriter`.

Both write the same frames, encoded in memory beforehand, under the same names. Ours also encodes each frame's
camera JSON, hashes scene and shard, and lets the file appear only when it is on disk; lines of the table take
these away one by one.
"""

from __future__ import annotations

import measure

# isort: split
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import webdataset

from pipelines.build import save_scene
from pipelines.record import Place
from pipelines.rgbd import BuiltScene, encode_frames
from pipelines.rgbd_parameters import RgbdParameters
from pipelines.scannet import open_scan
from pipelines.shard_writing import write_shard
from pri3d_data.scannet import ScanNetScene
from shards import schema, tar
from shards.bundle import make_bundle
from shards.frames import split_sample
from shards.parts import FrameSample, PairRows
from shards.store import Store

COLUMNS = {
    "what": "",
    "mb_per_s": "MB/s",
    "samples_per_s": "samples/s",
    "spread": "spread",
    "ratio": "ratio to webdataset",
    "checksums": "SHA-256",
    "on_disk": "fsync",
}
# A sample as `webdataset` takes and gives it: its key and its files.
Sample = dict[str, str | bytes]
_NO_PAIRS = PairRows(np.zeros((0, 2), int), np.zeros((0, 2), int), np.zeros((0, 2), int), np.zeros(0))


@dataclass(frozen=True)
class Writer:
    """One way to write the samples: its line of the table, the file, and whether it hashes and syncs."""

    label: str
    path: str
    write: Callable[[], None]
    checksums: bool
    on_disk: bool


def encoded_samples(found: measure.Captures) -> tuple[FrameSample, ...]:
    """Frames of the first scene as a build stores them."""
    encoded = encode_frames(open_scan, found.scene(), RgbdParameters(stride=found.stride))
    if not encoded.samples:
        raise click.UsageError(f"No frame of {found.name} could be encoded: {encoded.failures[:1]}")
    return encoded.samples


def members_of(scene: str, frames: Sequence[FrameSample]) -> list[Sample]:
    """The files of every sample of a bundle, as `webdataset` takes and gives them."""
    bundle = make_bundle(scene, "scannet", frames, _NO_PAIRS, None)
    first = bundle.frame_rows["offset"][0]
    parts = [(schema.scene_key(scene), bundle.data[:first])]
    rows = bundle.frame_rows
    parts += [
        (key, bundle.data[offset : offset + size])
        for key, offset, size in zip(rows["key"], rows["offset"], rows["bytes"], strict=True)
    ]
    return [{"__key__": key, **split_sample(data, scene, 0)} for key, data in parts]


@click.command()
@measure.options
@click.option("--scenes", default=40, show_default=True, help="Times the scene is written, under new names.")
@click.option("--output", type=click.Path(exists=True, file_okay=False), help="Folder on the disk to test.")
def main(
    json_file: Path | None,
    repeats: int,
    data: str | None,
    stride: int | None,
    markdown: bool,
    scenes: int,
    output: str | None,
) -> None:
    """Encoded frames to tar files: MB/s and samples/s against webdataset.ShardWriter."""
    measure.one_core()
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory(dir=output) as folder:
        found = measure.captures(data, stride, Path(scratch))
        frames = encoded_samples(found)
        names = [f"scene{number:04d}_00" for number in range(scenes)]
        samples = [sample for name in names for sample in members_of(name, frames)]
        writers = _writers(folder, names, frames, samples)
        for writer in writers.values():
            writer.write()
        sizes = {name: (Path(folder) / writer.path).stat().st_size for name, writer in writers.items()}
        _check(folder, writers, samples)
        seconds = measure.interleaved({name: writer.write for name, writer in writers.items()}, repeats)

    payload = sum(len(part) for sample in samples for part in sample.values() if isinstance(part, bytes))
    report = measure.Report(
        "shard_writing",
        {
            "data": found.name,
            "stride": found.stride,
            "samples": len(samples),
            "payload_mb": payload / 1e6,
            "tar_mb": sizes["ours"] / 1e6,
            "repeats": repeats,
        },
        COLUMNS,
        notes=[
            "scene by scene, then write_shard is what a build does: scenes end in any order and outlive an "
            "interruption as files of their own, so every byte is written twice and hashed three times.",
            "MB/s count the files' own bytes, without tar headers and padding. All lines overwrite a file in "
            "the page cache; only those with fsync wait for the disk.",
            "Lines that say samples are given their camera JSON encoded; make_bundle encodes it itself.",
        ],
    )
    peer = measure.median(seconds["webdataset"])
    for name, writer in writers.items():
        took = measure.median(seconds[name])
        report.rows.append(
            {
                "what": writer.label,
                "mb_per_s": payload / 1e6 / took,
                "samples_per_s": len(samples) / took,
                "spread": f"{100 * measure.spread(seconds[name]):.1f} %",
                "ratio": peer / took,
                "checksums": "yes" if writer.checksums else "no",
                "on_disk": "yes" if writer.on_disk else "no",
            }
        )
        report.figures[f"{name}_mb_per_s"] = payload / 1e6 / took
        report.figures[f"{name}_samples_per_s"] = len(samples) / took
    for figure, name in (
        ("ratio_webdataset", "ours"),
        ("ratio_webdataset_as_built", "as_built"),
        ("ratio_webdataset_without_fsync", "without_fsync"),
        ("ratio_webdataset_members_only", "members_only"),
    ):
        report.figures[figure] = report.rows[list(writers).index(name)]["ratio"]
    report.publish(json_file, markdown)


def _writers(
    folder: str,
    names: Sequence[str],
    frames: Sequence[FrameSample],
    samples: Sequence[dict[str, str | bytes]],
) -> dict[str, Writer]:
    store = Store(folder)

    def bundles() -> Iterator[bytes]:
        whole = hashlib.sha256()
        for name in names:
            bundle = make_bundle(name, "scannet", frames, _NO_PAIRS, None)
            whole.update(bundle.data)
            yield bundle.data
        yield tar.END

    def without_fsync() -> None:
        with (Path(folder) / "plain.tar").open("wb") as file:
            file.writelines(bundles())

    def members_only() -> None:
        with (Path(folder) / "members.tar").open("wb") as file:
            for sample in samples:
                for name, part in sample.items():
                    if isinstance(part, bytes):
                        member = f"{sample['__key__']!s}.{name}"
                        file.writelines((tar.header(member, len(part)), part, tar.padding(len(part))))
            file.write(tar.END)

    def peer() -> None:
        with webdataset.ShardWriter(f"{folder}/webdataset-%06d.tar", mtime=0, verbose=0) as sink:
            for sample in samples:
                sink.write(sample)

    def as_built() -> None:
        parameters = RgbdParameters()
        records = []
        for name in names:
            bundle = make_bundle(name, "scannet", frames, _NO_PAIRS, None)
            scene = ScanNetScene(name, "", "", "", ())
            record, _ = save_scene(folder, "", "", scene, parameters, BuiltScene(bundle, ()))
            assert record is not None
            records.append(record)
        shard = write_shard(folder, records, [Place(record.scratch_file, 0) for record in records])
        store.rename(shard.file, "built.tar")
        for record in records:
            store.remove(record.scratch_file)

    return {
        "ours": Writer(
            "bundles through Store.write", "ours.tar", lambda: store.write("ours.tar", bundles()), True, True
        ),
        "as_built": Writer("scene by scene, then write_shard", "built.tar", as_built, True, True),
        "without_fsync": Writer("bundles to a plain file", "plain.tar", without_fsync, True, False),
        "members_only": Writer("samples through shards.tar", "members.tar", members_only, False, False),
        "webdataset": Writer(
            "samples through webdataset.ShardWriter", "webdataset-000000.tar", peer, False, False
        ),
    }


def _check(folder: str, writers: dict[str, Writer], samples: Sequence[Sample]) -> None:
    # Whatever is timed must be right: every line holds the same files.
    expected = {
        f"{sample['__key__']!s}.{name}": part
        for sample in samples
        for name, part in sample.items()
        if isinstance(part, bytes)
    }
    for writer in writers.values():
        data = (Path(folder) / writer.path).read_bytes()
        written = {m.name: data[m.start : m.start + m.size] for m in tar.members(data, writer.path)}
        if written != expected:
            raise click.ClickException(f"{writer.label} wrote other files than it was given.")


if __name__ == "__main__":
    main()
