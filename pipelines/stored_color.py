"""A capture's colour image in the form it is stored in."""

from __future__ import annotations

from pri3d_data.camera import Camera
from pri3d_data.capture import EncodedImage
from pri3d_data.images import decode_color, encode_jpeg, encode_png_color, resize_area
from shards import schema


def store_color(
    encoded: EncodedImage, camera: Camera, size: tuple[int, int] | None, jpeg_quality: int
) -> tuple[bytes, str, Camera]:
    """Encode an image for a shard.

    Args:
        encoded: as it lies in the capture.
        camera: of it.
        size: (height, width) in pixels; None keeps JPEG and PNG bytes as they are.
        jpeg_quality: of resized images.

    Returns:
        Bytes, the member of `shards.schema` that they are, and the camera of the stored image.

    Raises:
        DataError: the bytes are broken or hold an image of another size than they should.
    """
    # Decoded even where the bytes are kept: a broken image is to be found now, not by a trainer in a month.
    pixels = decode_color(encoded)
    if size is not None:
        height, width = size
        data = encode_jpeg(resize_area(pixels, width, height), jpeg_quality)
        return data, schema.COLOR_JPEG, camera.resized(width, height)
    if encoded.codec == "jpeg":
        return encoded.data, schema.COLOR_JPEG, camera
    return (encoded.data if encoded.codec == "png" else encode_png_color(pixels)), schema.COLOR_PNG, camera
