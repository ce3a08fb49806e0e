"""Which scenes to train on or to probe: names and globs as the user typed them."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from pri3d_data.errors import UsageError


@dataclass
class SceneChoice:
    """Callable that keeps or excludes the scenes of a comma-separated list of names and globs.

    Picklable, so that loader processes can have it. It remembers which entries matched, so that a misspelt
    hold-out cannot go unnoticed.
    """

    entries: tuple[str, ...]
    exclude: bool
    matched: set[str] = field(default_factory=set)

    def __call__(self, scene: str) -> bool:
        """True for a scene to keep."""
        hits = {entry for entry in self.entries if fnmatchcase(scene, entry)}
        self.matched |= hits
        return bool(hits) != self.exclude

    def check(self, option: str) -> None:
        """Call once every scene was asked about.

        Raises:
            UsageError: an entry matched no scene.
        """
        missed = [entry for entry in self.entries if entry not in self.matched]
        if missed:
            raise UsageError(
                f"{option} {','.join(missed)} is no scene of the data, so it would have no effect: "
                "`pri3d-data stats` lists their names."
            )


def parse_scenes(text: str, *, exclude: bool) -> SceneChoice | None:
    """The choice that ``text`` ("scene0000_00,scene01*") describes; None where it is empty."""
    entries = tuple(part.strip() for part in text.split(",") if part.strip())
    return SceneChoice(entries, exclude) if entries else None
