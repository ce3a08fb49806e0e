"""Pictures of what a shard holds: a scene's frames side by side, pairs with their matches drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from pri3d_data.images import resize_area
from shards.frames import StoredFrame
from shards.pair import Pair

_TILE_HEIGHT = 120
_GAP = 4
_DRAWN_MATCHES = 40


def frame_mosaic(frames: Sequence[StoredFrame]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: colour above depth, if any, whose near is yellow, far blue, unmeasured black."""
    tiles = []
    for frame in frames:
        size = _tile_size(frame.image)
        parts = [_resized(frame.image, size)]
        if frame.view.depth.size:
            parts.append(_resized(_colored(frame.view.depth), size))
        tiles.append(_labelled(np.concatenate(parts), str(frame.frame)))
    return _grid(tiles)


def pair_mosaic(pairs: Sequence[Pair], overlaps: Sequence[float]) -> NDArray[np.uint8]:
    """Frame a beside frame b with some of their matches joined, (H, W, 3) uint8 RGB."""
    tiles = []
    for pair, overlap in zip(pairs, overlaps, strict=True):
        height = 2 * _TILE_HEIGHT
        sizes = [_tile_size(image, height) for image in (pair.image_a, pair.image_b)]
        left, right = (
            _resized(image, size) for image, size in zip((pair.image_a, pair.image_b), sizes, strict=True)
        )
        tile = np.ascontiguousarray(np.concatenate([left, right], axis=1))
        scale_a = height / pair.image_a.shape[0]
        scale_b = height / pair.image_b.shape[0]
        step = max(1, len(pair.matches) // _DRAWN_MATCHES)
        for number, (xa, ya, xb, yb) in enumerate(pair.matches[::step]):
            hue = np.array([[[number * 180 // _DRAWN_MATCHES % 180, 220, 255]]], dtype=np.uint8)
            color = tuple(int(c) for c in cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0])
            start = (round(float(xa) * scale_a), round(float(ya) * scale_a))
            end = (round(float(xb) * scale_b) + left.shape[1], round(float(yb) * scale_b))
            cv2.line(tile, start, end, color, 1, cv2.LINE_AA)
        label = f"{pair.frame_a} - {pair.frame_b}  overlap {overlap:.2f}  {len(pair.matches)} matches"
        tiles.append(_labelled(tile, label))
    return _grid(tiles)


def stack(parts: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Pictures one below the other, the narrower ones filled up with grey."""
    width = max(part.shape[1] for part in parts)
    filled = [
        np.pad(part, ((0, _GAP), (0, width - part.shape[1]), (0, 0)), constant_values=32) for part in parts
    ]
    return np.concatenate(filled)


def _colored(depth: NDArray[np.uint16]) -> NDArray[np.uint8]:
    measured = depth[depth > 0]
    # The farthest hundredth would leave the rest one colour: sky and speckles lie far out.
    farthest = max(float(np.percentile(measured, 99)), 1.0) if len(measured) else 1.0
    near = np.clip(255.0 - depth * (255.0 / farthest), 0, 255).astype(np.uint8)
    colored = cv2.cvtColor(cv2.applyColorMap(near, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB)
    colored[depth == 0] = 0
    return np.asarray(colored, np.uint8)


def _tile_size(image: NDArray[np.uint8], height: int = _TILE_HEIGHT) -> tuple[int, int]:
    return max(1, round(image.shape[1] * height / image.shape[0])), height


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return resize_area(image, *size)


def _labelled(tile: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    tile = np.ascontiguousarray(tile)
    for color, width in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, color, width, cv2.LINE_AA)
    return tile


def _grid(tiles: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if not tiles:
        return np.zeros((_TILE_HEIGHT, _TILE_HEIGHT, 3), np.uint8)
    height = max(tile.shape[0] for tile in tiles) + _GAP
    width = max(tile.shape[1] for tile in tiles) + _GAP
    columns = max(1, min(len(tiles), round(math.sqrt(len(tiles) * 1.6 * height / width))))
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * height, columns * width, 3), 32, np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // columns * height, number % columns * width
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return canvas
