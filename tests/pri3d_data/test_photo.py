from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from pri3d_data.errors import DataError
from pri3d_data.photo import photo_size, read_photo


def picture(height: int = 40, width: int = 60) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([4 * columns, 6 * rows, 255 - 4 * columns], axis=2).astype(np.uint8)


def turned(jpeg: bytes, orientation: int) -> bytes:
    """The JPEG with an EXIF note of how the camera was held."""
    tiff = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x0112, 3, 1, orientation, 0)
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def test_a_photo_lies_as_it_is_stored_however_the_camera_was_held(tmp_path: Path) -> None:
    plain = simplejpeg.encode_jpeg(picture(), 95, "RGB")
    file = tmp_path / "a.jpg"
    for orientation in (1, 3, 6, 8):
        file.write_bytes(turned(plain, orientation))
        photo = read_photo(str(file))
        assert photo.size == photo_size(str(file)) == (60, 40)
        np.testing.assert_array_equal(
            photo.pixels(), simplejpeg.decode_jpeg(plain, "RGB", fastdct=False, fastupsample=False)
        )
    # OpenCV by itself turns it: the file does carry the note.
    assert cv2.imread(str(file)).shape == (60, 40, 3)


def test_a_grey_photo_has_its_grey_three_times(tmp_path: Path) -> None:
    grey = picture()[:, :, :1].copy()
    (tmp_path / "a.jpg").write_bytes(simplejpeg.encode_jpeg(grey, 100, "GRAY", colorsubsampling="Gray"))
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    for name, off in (("a.jpg", 2), ("a.png", 0)):
        pixels = read_photo(str(tmp_path / name)).pixels()
        assert pixels.shape == (40, 60, 3)
        assert np.abs(pixels.astype(int) - grey).max() <= off


@pytest.mark.parametrize("kind", ["png", "webp", "bmp", "tiff"])
def test_other_formats_are_photos_too(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"a.{kind}"
    cv2.imwrite(str(file), picture()[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, 101] if kind == "webp" else [])
    assert photo_size(str(file)) == (60, 40)
    np.testing.assert_array_equal(read_photo(str(file)).pixels(), picture())


def test_a_photo_whose_header_lies_far_back_is_measured_too(tmp_path: Path) -> None:
    plain = simplejpeg.encode_jpeg(picture(), 95, "RGB")
    profile = b"\xff\xe2" + struct.pack(">H", 65_000) + bytes(64_998)
    (tmp_path / "a.jpg").write_bytes(plain[:2] + profile * 3 + plain[2:])
    assert photo_size(str(tmp_path / "a.jpg")) == (60, 40)


@pytest.mark.parametrize("data", [b"", b"not a photo", b"\xff\xd8 cut", b"\x89PNG\r\n\x1a\n cut"])
def test_bytes_that_are_no_photo_are_named(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    for ask in (lambda: read_photo(str(file)).pixels(), lambda: photo_size(str(file))):
        with pytest.raises(DataError) as caught:
            ask()
        assert caught.value.file == str(file)


def test_a_photo_cut_short_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    whole = simplejpeg.encode_jpeg(picture(), 95, "RGB")
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="cannot be decoded"):
        read_photo(str(file)).pixels()
