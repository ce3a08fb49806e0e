"""Parts of a scene's work that outlive an interruption: kept beside the unfinished build, gone with it."""

from __future__ import annotations

from dataclasses import dataclass

from pri3d_data.errors import DataError
from shards.schema import WORK_FOLDER
from shards.store import Store


@dataclass(frozen=True)
class Scratch:
    """Where a scene's stage may put parts of its result; small enough to be sent to a worker.

    Attributes:
        output: the build's output folder.
        scene: whose parts these are.
        fingerprint: of the scene's files, parameters and stages: parts of other work are not found.
    """

    output: str
    scene: str
    fingerprint: str

    def load(self, name: str) -> bytes | None:
        """A part that an earlier run kept, whole, or None."""
        store = Store(self.output)
        path = f"{self._folder}/{self.fingerprint}/{name}"
        try:
            return store.read(path) if store.exists(path) else None
        except DataError:
            return None

    def save(self, name: str, data: bytes) -> None:
        """Keep a part; `StorageError` where the output refuses."""
        Store(self.output).write(f"{self._folder}/{self.fingerprint}/{name}", [data])

    def clear(self) -> None:
        """Drop every part of the scene, of whatever work."""
        Store(self.output).remove_folder(self._folder)

    @property
    def _folder(self) -> str:
        return f"{WORK_FOLDER}/parts/{self.scene}"
