from __future__ import annotations

import pytest

from pri3d_data.colmap.camera import MODEL_NAMES, PARAMETER_COUNTS, ColmapCamera
from pri3d_data.colmap.library import colmap


def test_models_and_their_parameters_are_colmaps_own() -> None:
    ids = colmap().CameraModelId.__members__
    known = {name: ids[name].value for name in ids if name not in ("INVALID", "EQUIRECTANGULAR")}
    assert set(known) <= set(PARAMETER_COUNTS)
    for name, number in known.items():
        camera = colmap().Camera.create_from_model_name(1, name, 500.0, 640, 480)
        assert (MODEL_NAMES[number], PARAMETER_COUNTS[name]) == (name, len(camera.params))


def test_a_pinhole_has_its_pixel_centres_at_integers() -> None:
    # COLMAP calls the middle of the first pixel (0.5, 0.5), we call it (0, 0).
    camera = ColmapCamera("PINHOLE", 640, 480, (500.0, 510.0, 320.0, 240.0)).pinhole
    assert camera is not None
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (500.0, 510.0, 319.5, 239.5)
    simple = ColmapCamera("SIMPLE_PINHOLE", 640, 480, (500.0, 320.0, 240.0)).pinhole
    assert simple is not None
    assert (simple.fx, simple.fy) == (500.0, 500.0)
    assert ColmapCamera("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, 0.0)).pinhole is None


@pytest.mark.parametrize(
    ("model", "width", "params", "words"),
    [
        ("KALEIDOSCOPE", 640, (1.0,), "KALEIDOSCOPE"),
        ("PINHOLE", 640, (500.0, 500.0, 320.0), "3 parameters"),
        ("PINHOLE", 0, (500.0, 500.0, 320.0, 240.0), "0x480"),
        ("PINHOLE", 10**9, (500.0, 500.0, 320.0, 240.0), "1000000000x480"),
        ("PINHOLE", 65_000, (500.0, 500.0, 320.0, 240.0), "65000x48000"),
        ("PINHOLE", 640, (float("nan"), 500.0, 320.0, 240.0), "nan"),
        ("PINHOLE", 640, (-500.0, 500.0, 320.0, 240.0), "-500"),
    ],
)
def test_what_no_camera_can_be_is_refused(
    model: str, width: int, params: tuple[float, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ColmapCamera(model, width, 48_000 if width == 65_000 else 480, params)
