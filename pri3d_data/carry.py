"""Chosen pixels of one frame carried into another by their depth, whether or not they are seen there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pri3d_data.compiled import kernel
from pri3d_data.matches import View, between, moved, pixel_of, point_at


@kernel
def carry_pixels(a: View, b: View, pixels: NDArray[np.int64]) -> NDArray[np.int16]:
    """Where measured pixels of frame a fall in both colour images.

    Args:
        a, b: the frames; b's depth is not looked at.
        pixels: (K,) int64 positions in a's depth image, row by row, each of a measured pixel.

    Returns:
        (M, 4) int16, columns x_a, y_a, x_b, y_b, in the order of ``pixels``, without those that fall outside
        either image.
    """
    a_to_color = between(a.depth_to_world, a.camera_to_world)
    a_to_b = between(a.depth_to_world, b.camera_to_world)
    width = a.depth.shape[1]
    out = np.empty((len(pixels), 4), dtype=np.int16)
    found = 0
    for pixel in pixels:
        row = pixel // width
        x, y, z = point_at(a.depth, a.depth_unit, a.depth_camera, row, pixel - row * width)
        ux, uy, uz = moved(a_to_color, x, y, z)
        in_a, ya, xa = pixel_of(ux, uy, uz, a.camera, a.width, a.height)
        vx, vy, vz = moved(a_to_b, x, y, z)
        in_b, yb, xb = pixel_of(vx, vy, vz, b.camera, b.width, b.height)
        if in_a and in_b:
            out[found, 0] = xa
            out[found, 1] = ya
            out[found, 2] = xb
            out[found, 3] = yb
            found += 1
    return out[:found]
