"""The stream as the probe reads it: pairs that also say where in space the second image's pixels lie."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from pri3d_data.matches import View
from pri3d_data.registration import depth_of_colors
from shards.frame_cache import FrameCache
from shards.geometry_cache import GeometryCache
from shards.pair import Pair
from shards.stream import PairStream


@dataclass(frozen=True, eq=False)
class ProbePair(Pair):
    """A pair with ``points_b``: see `points_of_colors`. None where metres are not known.

    That is where a scene has no depth or its lengths are no metres, or where images are cut to windows.
    """

    points_b: NDArray[np.float32] | None = None


class ProbeStream(PairStream):
    """`shards.stream.PairStream` of `ProbePair`; order and matches are the same."""

    def pair(
        self, number: int, cache: FrameCache, epoch: int = 0, surfaces: GeometryCache | None = None
    ) -> ProbePair:
        """As there."""
        pair = super().pair(number, cache, epoch, surfaces)
        view = cache.get(int(self.index.pairs.b[number])).view
        metric = self.index.scene_metric[int(self.index.pairs.scene[number])] and view.depth.size > 0
        whole = (view.height, view.width) == self.recipe.size
        own = {field.name: getattr(pair, field.name) for field in fields(pair)}
        return ProbePair(**own, points_b=points_of_colors(view) if metric and whole else None)


def points_of_colors(view: View) -> NDArray[np.float32]:
    """(H, W, 3) float32 metres: what colour pixels see, in the colour camera's frame; NaN unmeasured."""
    depth_m = depth_of_colors(view)
    fx, fy, cx, cy = view.camera
    rows, columns = np.indices(depth_m.shape)
    points = np.stack([(columns - cx) / fx * depth_m, (rows - cy) / fy * depth_m, depth_m], axis=2)
    points[depth_m == 0] = np.nan
    return points.astype(np.float32)
