"""A stand-in for `shards.stream.PairStream`: the same promises, pixels out of a random generator."""

from dataclasses import dataclass

import numpy as np

from pri3d_data.errors import DataError


@dataclass
class PretendPair:
    scene: str
    frame_a: int
    frame_b: int
    image_a: np.ndarray
    image_b: np.ndarray
    matches: np.ndarray


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

    def iterate(self, epoch, lanes, start_turn=0):
        for turn in range(start_turn, self.turns):
            yield [self.pair(epoch, turn, lane) for lane in lanes]

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
        return PretendPair(f"scene{lane}", number, epoch, wide[:, :width], wide[:, 4:], matches)
