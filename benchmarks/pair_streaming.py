"""Streaming training pairs: frames stored once, read by `PairStream`, against self-contained pair samples.

The same build gives both sides: its shards, and a plain WebDataset tar whose samples hold a pair each, both
JPEGs, both depth PNGs and a JSON with both cameras. One process, one core, files in the page cache.
"""

from __future__ import annotations

import measure

# isort: split
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import webdataset
from numpy.typing import NDArray
from rich.console import Console

from pipelines.build import build
from pipelines.parameters import BuildParameters, parse_image_size
from pipelines.plan import BuildRequest
from pipelines.progress import BuildProgress
from pipelines.registry import DATASETS
from pipelines.rgbd_parameters import RgbdParameters
from pri3d_data.images import decode_depth_png, decode_jpeg
from pri3d_data.matches import View
from shards import schema
from shards.frame_cache import FrameCache
from shards.frames import StoredFrame, split_sample
from shards.pair import Pair, PairRecipe, match_pair
from shards.stream import PairStream

COLUMNS = {
    "what": "",
    "pairs_per_s": "pairs/s",
    "spread": "spread",
    "ratio": "ours is faster by",
    "kb_per_pair": "kB read / pair",
    "stored_kb_per_pair": "kB stored / pair",
    "frames_decoded_per_pair": "frames decoded / pair",
}
_SEED = 0
# Ours is timed over several epochs at once: one alone is too short for a clock beside its neighbours.
_EPOCHS = 8
# What the documentation of webdataset shows for images: RGB bytes through Pillow.
_STOCK = "rgb8"


@dataclass(frozen=True)
class Reader:
    """One way to read pairs.

    Attributes:
        label: its line of the table.
        pass_through: everything that is timed at once.
        pairs: how many pairs that gives.
        bytes_read, bytes_stored, frames_decoded: a pair.
        against: the line of ours that does the same work; None for ours.
    """

    label: str
    pass_through: Callable[[], Iterable[Any]]
    pairs: int
    bytes_read: float
    bytes_stored: float
    frames_decoded: float
    against: str | None


def build_shards(found: measure.Captures, output: Path, image_size: str) -> str:
    """A data set of the captures' first scene, built by this project's own command."""
    scene = RgbdParameters(stride=found.stride, image_size=parse_image_size(image_size))
    request = BuildRequest(
        DATASETS["scannet"], found.root, str(output), BuildParameters(scene), scenes=found.scene().scene
    )
    with BuildProgress(Console(stderr=True)) as progress:
        build(request, 0, None, progress)
    return str(output)


def write_pair_samples(stream: PairStream, path: Path) -> None:
    """Each pair of the stream's index as a sample that needs no other."""
    index = stream.index
    shards = [Path(shard).read_bytes() for shard in index.shards]

    def frame(row: int) -> dict[str, bytes]:
        start = int(index.frames.offset[row])
        data = shards[int(index.frames.shard[row])][start : start + int(index.frames.bytes[row])]
        return split_sample(data, "", start)

    with webdataset.TarWriter(str(path), mtime=0) as sink:
        for scene, *rows in zip(index.pairs.scene, index.pairs.a, index.pairs.b, strict=True):
            ends = {name: frame(int(row)) for name, row in zip("ab", rows, strict=True)}
            numbers = "_".join(f"{int(index.frames.number[row]):06d}" for row in rows)
            sample: dict[str, Any] = {"__key__": f"{index.scene_names[int(scene)]}_{numbers}"}
            for name, parts in ends.items():
                sample[f"{name}.{schema.COLOR_JPEG}"] = parts[schema.COLOR_JPEG]
                sample[f"{name}.{schema.DEPTH}"] = parts[schema.DEPTH]
            cameras = {name: json.loads(parts[schema.CAMERA]) for name, parts in ends.items()}
            sample["pair.json"] = json.dumps(cameras, separators=(",", ":")).encode()
            sink.write(sample)


def decode_pair(sample: dict[str, Any]) -> tuple[StoredFrame, StoredFrame]:
    """Both frames of a pair sample, by the functions that `PairStream` decodes with."""
    cameras = json.loads(sample["pair.json"])
    a, b = (
        _frame(
            decode_jpeg(sample[f"{name}.{schema.COLOR_JPEG}"]),
            decode_depth_png(sample[f"{name}.{schema.DEPTH}"]),
            cameras[name],
        )
        for name in "ab"
    )
    return a, b


def match_sample(sample: dict[str, Any], matches: int) -> Pair:
    """A pair sample with as many matches as `PairStream` draws."""
    a, b = decode_pair(sample)
    return match_pair(sample["__key__"].rsplit("_", 2)[0], a, b, PairRecipe(matches), f"{_SEED}/0")


def epoch_cost(stream: PairStream) -> tuple[float, float]:
    """Bytes read and frames decoded by one epoch, a pair."""
    order = stream.order(0)
    cache = FrameCache(stream.index, stream.cache_mb << 20)
    for number in order.T.ravel():
        stream.pair(int(number), cache)
    return cache.bytes_read / order.size, cache.decoded / order.size


@click.command()
@measure.options
@click.option("--image-size", default="240x320", show_default=True, help="Size of stored images, HxW.")
@click.option("--matches", default=1024, show_default=True, help="Most matches a pair carries.")
def main(
    json_file: Path | None,
    repeats: int,
    data: str | None,
    stride: int | None,
    markdown: bool,
    image_size: str,
    matches: int,
) -> None:
    """Decoded training pairs a second: PairStream against WebDataset with self-contained pairs."""
    measure.one_core()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        found = measure.captures(data, stride, folder)
        root = build_shards(found, folder / "built", image_size)
        stream = PairStream([root], seed=_SEED, matches=matches)
        write_pair_samples(stream, folder / "pairs.tar")
        readers = _readers(root, folder / "pairs.tar", matches)
        for name, reader in readers.items():
            count = sum(1 for _ in reader.pass_through())
            if count != reader.pairs:
                raise click.ClickException(f"{name} gave {count} pairs where {reader.pairs} are expected.")
        _check(stream, folder / "pairs.tar", matches)
        sides = {
            name: lambda reader=reader: _drain(reader.pass_through()) for name, reader in readers.items()
        }
        seconds = measure.interleaved(sides, repeats)

    report = measure.Report(
        "pair_streaming",
        {
            "data": found.name,
            "stride": found.stride,
            "frames": len(stream.index.frames.number),
            "pairs": stream.pairs,
            "image_size": image_size,
            "lanes": stream.lanes,
            "matches": matches,
            "repeats": repeats,
        },
        COLUMNS,
        notes=[
            f"Ours mixes {stream.lanes} places of the data and shuffles, the peer does not.",
            f"Ours is timed over {_EPOCHS} epochs, each from an empty cache of frames; the peer over one.",
            "Stored bytes of ours include the scene's geometry, which pair samples lack.",
            "Every line decodes both images and both depths and parses the cameras; those without matches "
            "stop there.",
        ],
    )
    speeds = {name: [reader.pairs / s for s in seconds[name]] for name, reader in readers.items()}
    for name, reader in readers.items():
        row = {
            "what": reader.label,
            "pairs_per_s": measure.median(speeds[name]),
            "spread": f"{100 * measure.spread(speeds[name]):.1f} %",
            "kb_per_pair": reader.bytes_read / 1000,
            "stored_kb_per_pair": reader.bytes_stored / 1000,
            "frames_decoded_per_pair": reader.frames_decoded,
        }
        if reader.against is not None:
            row["ratio"] = measure.median(speeds[reader.against]) / measure.median(speeds[name])
            report.figures[f"ratio_{name}"] = row["ratio"]
        report.figures[f"{name}_pairs_per_s"] = row["pairs_per_s"]
        report.figures[f"{name}_bytes_per_pair"] = reader.bytes_read
        report.rows.append(row)
    ours, peer = readers["ours"], readers["webdataset"]
    report.figures["ratio_webdataset_bytes_read"] = peer.bytes_read / ours.bytes_read
    report.figures["ratio_webdataset_bytes_stored"] = peer.bytes_stored / ours.bytes_stored
    report.publish(json_file, markdown)


def _readers(root: str, pair_tar: Path, matches: int) -> dict[str, Reader]:
    without = PairStream([root], seed=_SEED, matches=0)
    full = PairStream([root], seed=_SEED, matches=matches)
    bytes_read, decoded = epoch_cost(without)
    stored = sum(Path(shard).stat().st_size for shard in without.index.shards) / without.pairs
    in_pairs = pair_tar.stat().st_size / without.pairs
    number = iter(range(1_000_000))

    def own(stream: PairStream) -> Iterator[Pair]:
        for _ in range(_EPOCHS):
            for turn in stream.epoch(next(number)):
                yield from turn

    def samples() -> Any:
        return webdataset.WebDataset(str(pair_tar), shardshuffle=False)

    depth = webdataset.handle_extension("depth.png", decode_depth_png)
    served = without.deal.samples
    ours = (_EPOCHS * served, bytes_read, stored, decoded)
    peer = (without.pairs, in_pairs, in_pairs, 2.0)
    stock = f"webdataset pairs, stock .decode({_STOCK!r})"
    return {
        "ours": Reader("PairStream, no matches", lambda: own(without), *ours, None),
        "webdataset": Reader(
            "webdataset pairs, our decoders", lambda: samples().map(decode_pair), *peer, "ours"
        ),
        "webdataset_stock": Reader(stock, lambda: samples().decode(depth, _STOCK), *peer, "ours"),
        "ours_matches": Reader(f"PairStream, {matches} matches", lambda: own(full), *ours, None),
        "webdataset_matches": Reader(
            f"webdataset pairs, our decoders, {matches} matches",
            lambda: samples().map(lambda sample: match_sample(sample, matches)),
            *peer,
            "ours_matches",
        ),
    }


def _check(stream: PairStream, pair_tar: Path, matches: int) -> None:
    cache = FrameCache(stream.index, stream.cache_mb << 20)
    samples = webdataset.WebDataset(str(pair_tar), shardshuffle=False)
    for number, sample in enumerate(samples):
        mine, theirs = stream.pair(number, cache), match_sample(sample, matches)
        for name in ("image_a", "image_b", "matches"):
            if not np.array_equal(getattr(mine, name), getattr(theirs, name)):
                raise click.ClickException(f"{sample['__key__']}: the two sides differ in {name}.")


def _frame(image: NDArray[np.uint8], depth: NDArray[np.uint16], about: dict[str, Any]) -> StoredFrame:
    view = View(
        depth,
        float(about["depth"]["unit"]),
        np.array(about["depth"]["intrinsics"]),
        np.array(about["depth"]["camera_to_world"]),
        np.array(about["color"]["intrinsics"]),
        np.array(about["color"]["camera_to_world"]),
        image.shape[1],
        image.shape[0],
    )
    return StoredFrame(image, view, np.array(about["chunk_box_m"]), int(about["frame"]))


def _drain(pairs: Iterable[Any]) -> None:
    for _ in pairs:
        pass


if __name__ == "__main__":
    main()
