"""Pixel–pixel matches of one pair while streaming, next to what decoding its two frames takes.

python benchmarks/pair_matches.py --json pair_matches.json
"""

from __future__ import annotations

import measure

# isort: split
import tempfile
from functools import partial
from pathlib import Path

import click
import numpy as np

from pri3d_data.images import (
    decode_color,
    decode_depth_png,
    decode_jpeg,
    encode_depth_png,
    encode_jpeg,
    resize_area,
    resize_nearest,
)
from pri3d_data.matches import View, sample_matches

RADIUS_M = 0.02
COLUMNS = {"what": "", "us": "µs / pair", "spread": "spread", "matches": "matches / pair"}


@click.command()
@measure.options
@click.option("--pairs", default=40, show_default=True, help="Pairs of neighbouring frames to take.")
def main(
    json_file: Path | None, repeats: int, data: str | None, stride: int | None, markdown: bool, pairs: int
) -> None:
    """Matches of a pair at training sizes, beside the decoding of its frames."""
    measure.one_core()
    report = measure.Report("pair_matches", {"radius_m": RADIUS_M, "repeats": repeats}, COLUMNS)
    with tempfile.TemporaryDirectory() as scratch:
        found = measure.captures(data, stride, Path(scratch))
        report.setting |= {"data": found.name, "stride": found.stride}
        for height, width in ((240, 320), (120, 160)):
            views, encoded = _frames(found, height, width)
            chosen = [(i, i + 1) for i in range(len(views) - 1)][:pairs]
            counts: dict[str, int] = {}
            sides = {
                f"{width}×{height}, decoding two frames": partial(_decode, encoded, chosen),
                f"{width}×{height}, 1024 matches": partial(_match, views, chosen, 1024, counts, "1024"),
                f"{width}×{height}, all matches": partial(
                    _match, views, chosen, width * height, counts, "all"
                ),
            }
            for work in sides.values():
                work()
            for (what, seconds), key in zip(
                measure.interleaved(sides, repeats).items(), ("", "1024", "all"), strict=True
            ):
                us = 1e6 * measure.median(seconds) / len(chosen)
                row = {"what": what, "us": us, "spread": f"{100 * measure.spread(seconds):.0f} %"}
                report.rows.append(row | ({"matches": counts[key] // len(chosen)} if key else {}))
    report.publish(json_file, markdown)


def _frames(found: measure.Captures, height: int, width: int) -> tuple[list[View], list[tuple[bytes, bytes]]]:
    views, encoded = [], []
    with found.open() as capture:
        for frame in capture.frames:
            assert frame.depth_camera is not None
            assert frame.depth_to_world is not None
            depth = resize_nearest(capture.depth(frame), width, height)
            color = resize_area(decode_color(capture.color(frame)), width, height)
            views.append(
                View(
                    depth,
                    capture.depth_unit_m,
                    frame.depth_camera.subsampled(width, height).vector,
                    frame.depth_to_world,
                    frame.camera.resized(width, height).vector,
                    np.asarray(frame.camera_to_world),
                    width,
                    height,
                )
            )
            encoded.append((encode_jpeg(color, 90), encode_depth_png(depth)))
    return views, encoded


def _decode(encoded: list[tuple[bytes, bytes]], pairs: list[tuple[int, int]]) -> None:
    for pair in pairs:
        for i in pair:
            decode_jpeg(encoded[i][0])
            decode_depth_png(encoded[i][1])


def _match(
    views: list[View], pairs: list[tuple[int, int]], limit: int, counts: dict[str, int], key: str
) -> None:
    counts[key] = sum(len(sample_matches(views[a], views[b], RADIUS_M, limit, 7)) for a, b in pairs)


if __name__ == "__main__":
    main()
