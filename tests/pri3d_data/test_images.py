from __future__ import annotations

import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pri3d_data.capture import Codec, EncodedImage
from pri3d_data.errors import DataError
from pri3d_data.images import (
    decode_color,
    decode_depth_png,
    decode_jpeg,
    decode_png_color,
    encode_depth_png,
    encode_jpeg,
    encode_png_color,
    png_size,
    resize_nearest,
)

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))
NOISE = np.random.default_rng(3).integers(0, 65536, (48, 64)).astype(np.uint16)
COLORS = np.random.default_rng(4).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_by_hand(width: int, height: int, bits: int, color_type: int, rows: bytes) -> bytes:
    """A PNG from its specification: every row is a filter byte 0 and big-endian samples."""
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_claiming(data: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def encoded(data: bytes, codec: Codec, width: int = 64, height: int = 48) -> EncodedImage:
    return EncodedImage(data, codec, width, height, "scene.sens", 1234)


def smooth_picture() -> NDArray[np.uint8]:
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([4 * x, 5 * y, 128 + 40 * np.sin(x / 9)], axis=-1).astype(np.uint8)


# ---- depth


@given(arrays(np.uint16, SHAPES))
def test_depth_survives_its_png_to_the_last_bit(depth: NDArray[np.uint16]) -> None:
    again = decode_depth_png(encode_depth_png(depth))
    assert again.dtype == np.uint16
    np.testing.assert_array_equal(again, depth)


def test_a_depth_png_written_by_hand_is_read_big_endian() -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in NOISE)
    np.testing.assert_array_equal(decode_depth_png(png_by_hand(64, 48, 16, 0, rows)), NOISE)


def test_a_png_of_another_kind_is_no_depth() -> None:
    grey = png_by_hand(4, 2, 8, 0, (b"\0" + bytes(4)) * 2)
    color = png_by_hand(4, 2, 16, 2, (b"\0" + bytes(24)) * 2)
    for data in (grey, color, encode_png_color(COLORS), encode_jpeg(COLORS)):
        with pytest.raises(ValueError, match="PNG"):
            decode_depth_png(data)


@given(
    arrays(np.uint16, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.integers(1, 50),
    st.integers(1, 50),
)
def test_nearest_resizing_takes_the_pixel_under_each_centre(
    depth: NDArray[np.uint16], width: int, height: int
) -> None:
    small = resize_nearest(depth, width, height)
    assert small.shape == (height, width)
    rows, columns = depth.shape
    for i in range(height):
        for j in range(width):
            # floor((i + 0.5) · source / output) in whole numbers.
            assert (
                small[i, j] == depth[(2 * i + 1) * rows // (2 * height), (2 * j + 1) * columns // (2 * width)]
            )


def test_halving_takes_the_odd_pixels() -> None:
    np.testing.assert_array_equal(resize_nearest(NOISE, 32, 24), NOISE[1::2, 1::2])


# ---- colour


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_colour_survives_its_png_to_the_last_bit(pixels: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode_png_color(encode_png_color(pixels)), pixels)


def test_a_colour_png_written_by_hand_is_read_red_first() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in COLORS)
    data = png_by_hand(64, 48, 8, 2, rows)
    np.testing.assert_array_equal(decode_color(encoded(data, "png")), COLORS)


def test_a_jpeg_comes_back_nearly_as_it_was_and_red_first() -> None:
    picture = smooth_picture()
    again = decode_jpeg(encode_jpeg(picture, quality=95))
    assert np.abs(again.astype(int) - picture).mean() < 1.5
    by_opencv = cv2.imdecode(np.frombuffer(encode_jpeg(picture, 95), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(again.astype(int) - by_opencv).max() <= 2


def test_encoding_the_same_pixels_twice_gives_the_same_bytes() -> None:
    for encode, pixels in ((encode_jpeg, COLORS), (encode_png_color, COLORS), (encode_depth_png, NOISE)):
        assert encode(pixels.copy()) == encode(pixels)  # type: ignore[operator]


def test_raw_colour_is_packed_rgb_row_by_row() -> None:
    np.testing.assert_array_equal(decode_color(encoded(COLORS.tobytes(), "raw")), COLORS)


# ---- broken and lying images


@pytest.mark.parametrize("part", [0.0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_image_raises_instead_of_giving_grey_rows(part: float) -> None:
    for data, decode in (
        (encode_jpeg(COLORS), decode_jpeg),
        (encode_png_color(COLORS), decode_png_color),
        (encode_depth_png(NOISE), decode_depth_png),
    ):
        with pytest.raises(ValueError, match=r"."):
            decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("codec", ["jpeg", "png", "raw"])
@pytest.mark.parametrize("data", [b"", b"\0", b"garbage" * 30, b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_a_broken_colour_blob_is_a_data_error_naming_file_and_offset(codec: Codec, data: bytes) -> None:
    with pytest.raises(DataError) as caught:
        decode_color(encoded(data, codec))
    assert (caught.value.file, caught.value.offset) == ("scene.sens", 1234)


@pytest.mark.parametrize("codec", ["jpeg", "png"])
@pytest.mark.parametrize("size", [(63, 48), (64, 49), (48, 64)])
def test_an_image_of_another_size_than_its_capture_says_is_refused(
    codec: Codec, size: tuple[int, int]
) -> None:
    data = encode_jpeg(COLORS) if codec == "jpeg" else encode_png_color(COLORS)
    with pytest.raises(DataError, match=f"64x48, the header says {size[0]}x{size[1]}"):
        decode_color(encoded(data, codec, *size))


def test_a_lying_size_is_noticed_before_pixels_are_allocated() -> None:
    jpeg = encode_jpeg(COLORS)
    lies: list[EncodedImage] = [
        encoded(jpeg_claiming(jpeg, 16_000, 16_000), "jpeg"),
        encoded(jpeg_claiming(jpeg, 65_000, 65_000), "jpeg"),
        encoded(png_by_hand(16_000, 16_000, 8, 2, bytes(100)), "png"),
        encoded(png_by_hand(2**31 - 1, 2**31 - 1, 8, 2, bytes(100)), "png"),
    ]
    tracemalloc.start()
    try:
        for image in lies:
            with pytest.raises(DataError):
                decode_color(image)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (20_000, 20_000), (2**32 - 1, 2**32 - 1), (2**32 - 1, 1)])
def test_a_png_header_that_claims_nothing_or_too_much_is_refused(size: tuple[int, int]) -> None:
    data = png_by_hand(*size, 16, 0, bytes(10))
    for refuse in (png_size, decode_depth_png, decode_png_color):
        with pytest.raises(ValueError, match="PNG of"):
            refuse(data)


def test_a_jpeg_header_that_claims_too_much_is_refused() -> None:
    with pytest.raises(ValueError, match="65000x65000"):
        decode_jpeg(jpeg_claiming(encode_jpeg(COLORS), 65_000, 65_000))


def test_any_mutation_of_an_image_ends_in_pixels_or_in_a_value_error() -> None:
    random = np.random.default_rng(11)
    for data, decode in (
        (encode_jpeg(COLORS), decode_jpeg),
        (encode_png_color(COLORS), decode_png_color),
        (encode_depth_png(NOISE), decode_depth_png),
    ):
        refused = 0
        for _ in range(150):
            mutated = bytearray(data)
            for _ in range(random.integers(1, 4)):
                mutated[int(random.integers(min(len(data), 700)))] = int(random.integers(256))
            try:
                decode(bytes(mutated))
            except ValueError:
                refused += 1
        assert refused > 20
