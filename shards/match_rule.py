"""How pixels of a scene's pairs match: said by whoever builds the scene, obeyed by the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pri3d_data.matches import DEPTH, DISTANCE, RELATIVE_DEPTH, Agreement

MatchRuleName = Literal["radius", "depth", "relative_depth", "tracks", "stored"]
LengthUnit = Literal["m", "scene"]

_KINDS = {"radius": DISTANCE, "depth": DEPTH, "relative_depth": RELATIVE_DEPTH}


@dataclass(frozen=True)
class MatchRule:
    """A scene's rule.

    Attributes:
        name: ``radius``: world points no farther apart than the tolerance. ``depth``: depths that differ by
            no more. ``relative_depth``: by no more than that share of the depth. ``tracks``: sparse points
            that both frames observe. ``stored``: pixels of the first frame whose bit is set in its
            `match_bits`.
        tolerance: in the scene's unit of length, a share for ``relative_depth``, 0 where there is none.

    Raises:
        ValueError: there is no such rule, or its tolerance is no number from 0 up.
    """

    name: MatchRuleName
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in get_args(MatchRuleName):
            raise ValueError(f"no matching rule is called {self.name!r}")
        if not 0.0 <= self.tolerance < float("inf"):
            raise ValueError(f"a tolerance of {self.tolerance} decides nothing")

    @property
    def agreement(self) -> Agreement | None:
        """For `pri3d_data.matches.sample_matches`; None where matches do not come from two depths."""
        kind = _KINDS.get(self.name)
        return None if kind is None else Agreement(kind, self.tolerance)


#: World points within 2 cm of each other (paper, section 3.1).
PAPER_RULE = MatchRule("radius", 0.02)
