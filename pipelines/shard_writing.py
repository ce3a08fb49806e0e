"""Shards out of bundles: staged under a name that says what they hold, moved into place when all is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipelines.parameters import fingerprint
from pipelines.record import Place, SceneRecord
from pri3d_data.errors import DataError
from shards import tar
from shards.schema import WORK_FOLDER
from shards.store import Store

STAGED = f"{WORK_FOLDER}/shards"


@dataclass(frozen=True)
class StagedShard:
    """A written shard.

    Attributes:
        digest: names what it holds: scenes and their fingerprints, in order.
        scenes: (scene, fingerprint, offset) of each.
        bytes, sha256: of the file.
    """

    digest: str
    scenes: tuple[tuple[str, str, int], ...]
    bytes: int
    sha256: str

    @property
    def file(self) -> str:
        """Where it is staged, below the output folder."""
        return f"{STAGED}/{self.digest}.tar"


def shard_digest(records: Sequence[SceneRecord]) -> str:
    """The same for the same scenes built from the same input, in the same order."""
    return fingerprint("shard", [(record.scene, record.fingerprint) for record in records])


def write_shard(root: str, records: Sequence[SceneRecord], places: Sequence[Place]) -> StagedShard:
    """Copy bundles into a staged shard.

    Args:
        root: the output folder.
        records: the scenes, in order.
        places: where their bytes lie now.

    Raises:
        DataError: a bundle's bytes are not those that were written.
    """
    store = Store(root)
    whole = hashlib.sha256()
    scenes, at = [], 0
    for record in records:
        scenes.append((record.scene, record.fingerprint, at))
        at += record.bytes

    def chunks() -> Iterator[bytes]:
        for record, place in zip(records, places, strict=True):
            part = hashlib.sha256()
            for chunk in store.read_range(place.file, place.offset, record.bytes):
                part.update(chunk)
                whole.update(chunk)
                yield chunk
            if part.hexdigest() != record.sha256:
                raise DataError(
                    f"the bytes of {record.scene} changed since they were written.",
                    file=store.url(place.file),
                    offset=place.offset,
                    remedy="Build again with --no-resume, and check the disk.",
                )
        whole.update(tar.END)
        yield tar.END

    digest = shard_digest(records)
    store.write(f"{STAGED}/{digest}.tar", chunks())
    shard = StagedShard(digest, tuple(scenes), at + len(tar.END), whole.hexdigest())
    # The manifest comes second: a tar without one is not used.
    manifest = {"scenes": shard.scenes, "bytes": shard.bytes, "sha256": shard.sha256}
    store.write(f"{STAGED}/{digest}.json", [json.dumps(manifest).encode()])
    return shard


def staged_shards(store: Store) -> dict[str, StagedShard]:
    """Shards that an interrupted build left, by digest."""
    found = {}
    names = set(store.list(STAGED))
    for name in names:
        digest, _, kind = name.partition(".")
        if kind != "json" or f"{digest}.tar" not in names:
            continue
        values = json.loads(store.read(f"{STAGED}/{name}"))
        scenes = tuple((str(s), str(f), int(o)) for s, f, o in values["scenes"])
        found[digest] = StagedShard(digest, scenes, int(values["bytes"]), str(values["sha256"]))
    return found
