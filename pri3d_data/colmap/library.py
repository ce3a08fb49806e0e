"""The one door to pycolmap, COLMAP's own library: its camera models and its undistortion.

Two of its habits stop here. Its wheels carry a zlib of their own, and a system zlib that is loaded after it
binds to that one: the first compression then corrupts the heap. So zlib comes first, and nobody else imports
pycolmap. And it takes over signals: SIGTERM would end a build with a C++ trace instead of stopping it.
"""

from __future__ import annotations

import ctypes
import signal
import zlib  # must precede pycolmap
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

assert zlib.crc32(b"") == 0

# More than the structure of sigaction(2) takes anywhere; what is in it is nobody's business here.
_ACTION_BYTES = 512
_TAKEN_OVER = (
    signal.SIGTERM,
    signal.SIGABRT,
    signal.SIGSEGV,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGBUS,
)


@cache
def colmap() -> ModuleType:
    """pycolmap, imported when first asked for: a third of a second that most commands need not pay."""
    with _signals_kept():
        import pycolmap

        # Its log would end up between the progress bars.
        pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    return pycolmap


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Leave every signal as it was, from whatever thread, which Python's own `signal` refuses."""
    library = ctypes.CDLL(None)
    kept = {number: ctypes.create_string_buffer(_ACTION_BYTES) for number in _TAKEN_OVER}
    for number, action in kept.items():
        library.sigaction(int(number), None, action)
    try:
        yield
    finally:
        for number, action in kept.items():
            library.sigaction(int(number), action, None)
