"""A stand-in for `shards.stream.PairStream`: the same promises, pixels out of a random generator."""

from dataclasses import dataclass

import numpy as np

from pri3d_data.errors import DataError
from shards.dealing import Deal


@dataclass
class PretendChunk:
    voxels: np.ndarray
    colors: np.ndarray
    matches: np.ndarray


@dataclass
class PretendPair:
    scene: str
    frame_a: int
    frame_b: int
    image_a: np.ndarray
    image_b: np.ndarray
    matches: np.ndarray
    chunk_a: PretendChunk | None = None
    chunk_b: PretendChunk | None = None


@dataclass
class PretendStream:
    """``frame_a`` counts the samples of an epoch in their global order and ``frame_b`` is the epoch."""

    lanes: int = 6
    turns: int = 3
    size: tuple[int, int] = (8, 8)
    matches: int = 16
    seed: int = 0
    broken_at: int = -1
    without_matches: bool = False
    geometry: str = "none"
    bare_lanes: tuple[int, ...] = ()
    in_last_turn: int | None = None

    @property
    def has_geometry(self):
        return self.geometry != "none"

    @property
    def deal(self):
        return Deal(self.lanes, self.turns, tuple(range(self.lanes))[: self.in_last_turn])

    @property
    def identity(self):
        return f"{self.seed}-{self.lanes}-{self.turns}"

    def serve(self, wanted):
        for place in wanted:
            yield [self.pair(place.epoch, place.turn, lane) for lane in place.lanes]

    def pair(self, epoch, turn, lane):
        number = turn * self.lanes + lane
        if number == self.broken_at:
            raise DataError("the JPEG is cut short.", file="shard-000.tar", offset=512)
        random = np.random.default_rng([self.seed, epoch, number])
        height, width = self.size
        # The second image is the first moved 4 pixels to the left, so the true matches are known.
        wide = random.integers(0, 256, (height, width + 4, 3), dtype=np.uint8)
        count = 0 if self.without_matches else self.matches
        x, y = random.integers(4, width, count), random.integers(0, height, count)
        matches = np.stack([x, y, x - 4, y], 1).astype(np.int16)
        images = wide[:, :width], wide[:, 4:]
        chunks = (None, None)
        if self.has_geometry and lane not in self.bare_lanes:
            chunks = [self.chunk(random, image) for image in images]
        return PretendPair(f"scene{lane}", number, epoch, *images, matches, *chunks)

    def chunk(self, random, image):
        """Every voxel has the colour of the one pixel it matches; one more voxel matches none."""
        count = 0 if self.without_matches else self.matches
        height, width = image.shape[:2]
        x, y = random.integers(0, width, count), random.integers(0, height, count)
        voxels = random.permutation(1000)[: count + 1]
        voxels = np.stack([voxels // 100, voxels // 10 % 10, voxels % 10 - 5], 1).astype(np.int32)
        rows = random.permutation(count)
        colors = np.zeros((count + 1, 3), np.uint8)
        colors[rows] = image[y, x]
        return PretendChunk(voxels, colors, np.stack([x, y, rows], 1).astype(np.int32))
