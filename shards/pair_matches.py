"""Matches of two stored frames, by whatever rule their scene was built for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.carry import carry_pixels
from pri3d_data.errors import DataError
from pri3d_data.matches import sample_matches
from shards.frames import StoredFrame
from shards.match_rule import MatchRule


def find_matches(
    a: StoredFrame, b: StoredFrame, rule: MatchRule, row: int, limit: int, seed: int
) -> NDArray[np.int16]:
    """A random sample, without replacement, of the matches of two frames or of windows of them.

    Args:
        a, b: the pair's frames.
        rule: their scene's.
        row: which of the pairs of frame a this is, in the order of the other frame's number.
        limit: most matches to return.
        seed: chooses the sample.

    Returns:
        (M, 4) int16, columns x_a, y_a, x_b, y_b in pixels. M ≤ limit, 0 where nothing matches.

    Raises:
        DataError: the frames have not what the rule needs.
    """
    agreement = rule.agreement
    if agreement is not None:
        return sample_matches(a.view, b.view, agreement, limit, seed)
    found = _shared_tracks(a, b) if rule.name == "tracks" else _stored(a, b, row)
    if len(found) <= limit:
        return found
    return found[np.random.default_rng(seed).permutation(len(found))[:limit]]


def _shared_tracks(a: StoredFrame, b: StoredFrame) -> NDArray[np.int16]:
    if a.tracks is None or b.tracks is None:
        raise _lacking(a if a.tracks is None else b, "tracks")
    _, in_a, in_b = np.intersect1d(a.tracks.ids, b.tracks.ids, assume_unique=True, return_indices=True)
    ends = np.concatenate([a.tracks.pixels[in_a], b.tracks.pixels[in_b]], axis=1)
    # Half up, as everywhere else pixels are found.
    found = np.floor(ends + np.float32(0.5))
    limit = np.array([a.view.width, a.view.height, b.view.width, b.view.height])
    inside = ((found >= 0) & (found < limit)).all(axis=1)
    return found[inside].astype(np.int16)


def _stored(a: StoredFrame, b: StoredFrame, row: int) -> NDArray[np.int16]:
    measured = np.flatnonzero(a.view.depth)
    if a.match_bits is None or row >= len(a.match_bits) or a.match_bits.shape[1] != -(-len(measured) // 8):
        raise _lacking(a, "stored matches")
    matched = np.unpackbits(a.match_bits[row], count=len(measured)).view(np.bool_)
    return carry_pixels(a.view, b.view, measured[matched])


def _lacking(frame: StoredFrame, what: str) -> DataError:
    return DataError(
        f"its scene is matched by {what}, which the frame lacks or has in another number than its pairs.",
        frame=frame.frame,
        remedy="Run `pri3d-data verify` on the data set, then build it again.",
    )
