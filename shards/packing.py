"""Which scenes share a shard: filled in order, closed before the target size would be passed."""

from __future__ import annotations

from collections.abc import Sequence

BYTES_PER_MB = 1_000_000


def pack(sizes: Sequence[int], target_bytes: int) -> list[range]:
    """Cut a row of scenes into shards.

    A scene is never split, so a scene larger than the target gets a shard of its own.

    Args:
        sizes: bytes of every scene, in order.
        target_bytes: a shard's size is at most this wherever it holds more than one scene.

    Returns:
        One range of scene positions a shard. Positions before the last range never change when scenes are
        added at the end, so shards can be written while later scenes are still being built.
    """
    shards: list[range] = []
    first, filled = 0, 0
    for position, size in enumerate(sizes):
        if position > first and filled + size > target_bytes:
            shards.append(range(first, position))
            first, filled = position, 0
        filled += size
    if first < len(sizes):
        shards.append(range(first, len(sizes)))
    return shards
