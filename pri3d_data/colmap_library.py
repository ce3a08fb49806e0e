"""The one door to pycolmap, COLMAP's own library: its camera models and its undistortion.

pycolmap's wheels carry a zlib of their own, and a system zlib that is loaded after it binds to that one: the
first compression then corrupts the heap. So zlib comes first, here, and nobody else imports pycolmap.
"""

from __future__ import annotations

import zlib  # must precede pycolmap
from functools import cache
from types import ModuleType

assert zlib.crc32(b"") == 0


@cache
def colmap() -> ModuleType:
    """pycolmap, imported when first asked for: a third of a second that most commands need not pay."""
    import pycolmap

    # Its log would end up between the progress bars.
    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    return pycolmap
