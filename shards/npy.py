"""Arrays out of NPY members, whose headers may promise anything."""

from __future__ import annotations

import io
import tokenize
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npy(data: bytes, kind: str, columns: int | None) -> NDArray[Any]:
    """An array of known type, as a view of ``data``.

    NumPy's own reader allocates whatever shape the header claims before it looks at what follows.

    Args:
        data: the member's bytes.
        kind: dtype, such as ``<i4``.
        columns: of a table of rows; 0 for any number of them, None for an array of one dimension.

    Raises:
        ValueError: another type or shape, or not as many bytes as its shape takes.
    """
    wanted = np.dtype(kind)
    stream = io.BytesIO(data)
    try:
        header = _HEADERS.get(np.lib.format.read_magic(stream))
        if header is None:
            raise ValueError("an NPY of an unknown version")
        shape, by_columns, found = header(stream)
    except (SyntaxError, TypeError, tokenize.TokenError) as error:
        raise ValueError(f"an NPY header that cannot be parsed ({error})") from error
    body = memoryview(data)[stream.tell() :]
    flat = columns is None
    fits = len(shape) == (1 if flat else 2) and (flat or columns in (0, shape[1]))
    if found != wanted or by_columns or not fits or any(side < 0 for side in shape):
        expected = "values" if flat else f"rows of {columns or 'some'}"
        raise ValueError(f"an array of {found}, shape {shape}, where {expected} {wanted} are expected")
    count = 1
    for side in shape:
        count *= side
    if len(body) != count * wanted.itemsize:
        raise ValueError(f"{len(body)} bytes of an array of shape {shape}")
    return np.frombuffer(body, dtype=wanted).reshape(shape)
