"""Depth as the colour camera sees it: measured points carried from one lens to the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel
from pri3d_data.matches import View, between, moved, pixel_of, point_at


@kernel
def depth_of_colors(view: View) -> NDArray[np.float32]:
    """Distance along the colour camera's axis for every colour pixel a measured point falls on.

    Of several points on one pixel the nearest counts. Where the two cameras are the same this is the depth
    image in metres; where the colour image is the larger one, pixels between points stay empty.

    Args:
        view: the frame.

    Returns:
        (height, width) float32 metres of the colour image's size, 0 where nothing was measured.
    """
    out = np.zeros((view.height, view.width), dtype=np.float32)
    to_color = between(view.depth_to_world, view.camera_to_world)
    for row in range(view.depth.shape[0]):
        for column in range(view.depth.shape[1]):
            if view.depth[row, column] == 0:
                continue
            x, y, z = point_at(view.depth, view.depth_unit, view.depth_camera, row, column)
            ux, uy, uz = moved(to_color, x, y, z)
            inside, v, u = pixel_of(ux, uy, uz, view.camera, view.width, view.height)
            if inside and (out[v, u] == 0.0 or uz < out[v, u]):
                out[v, u] = uz
    return out
