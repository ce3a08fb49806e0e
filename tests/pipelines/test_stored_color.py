from __future__ import annotations

import numpy as np
import pytest

from pipelines.stored_color import store_color
from pri3d_data.camera import Camera
from pri3d_data.capture import Codec, EncodedImage
from pri3d_data.errors import DataError
from pri3d_data.images import decode_jpeg, decode_png_color, encode_jpeg, encode_png_color
from shards import schema

CAMERA = Camera(48, 32, 50.0, 51.0, 23.0, 16.0)
PIXELS = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8), 8, 0), 8, 1)


def image(data: bytes, codec: Codec) -> EncodedImage:
    return EncodedImage(data, codec, 48, 32, "capture", 0)


def test_the_captures_own_jpeg_and_png_bytes_are_kept() -> None:
    jpeg, png = encode_jpeg(PIXELS), encode_png_color(PIXELS)
    assert store_color(image(jpeg, "jpeg"), CAMERA, None, 95) == (jpeg, schema.COLOR_JPEG, CAMERA)
    assert store_color(image(png, "png"), CAMERA, None, 95) == (png, schema.COLOR_PNG, CAMERA)


def test_raw_pixels_become_a_png_of_the_same_pixels() -> None:
    data, member, camera = store_color(image(PIXELS.tobytes(), "raw"), CAMERA, None, 95)
    assert (member, camera) == (schema.COLOR_PNG, CAMERA)
    np.testing.assert_array_equal(decode_png_color(data), PIXELS)


def test_a_size_gives_a_jpeg_of_area_means_and_its_camera() -> None:
    data, member, camera = store_color(image(encode_png_color(PIXELS), "png"), CAMERA, (16, 24), 100)
    assert (member, camera) == (schema.COLOR_JPEG, CAMERA.resized(24, 16))
    assert np.abs(decode_jpeg(data).astype(int) - PIXELS[::2, ::2]).max() < 6


def test_broken_bytes_are_found_even_where_they_would_be_kept() -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        store_color(image(encode_png_color(PIXELS)[:60], "png"), CAMERA, None, 95)
