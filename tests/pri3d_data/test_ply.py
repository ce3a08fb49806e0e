from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pri3d_data.errors import DataError
from pri3d_data.ply import read_ply_vertices

PlyBytes = Callable[..., bytes]
POINTS = np.array([[0.5, -1.25, 2.0], [1e-3, 7.0, -3.5], [4.0, 5.0, 6.0], [-0.0, 1e6, 3e-7]], np.float32)
COLORS = np.array([[1, 2, 3], [255, 0, 128], [9, 8, 7], [0, 0, 0]], np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scene0000_00_vh_clean_2.ply"


def refusal(path: Path, data: bytes) -> DataError:
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_ply_vertices(str(path))
    assert caught.value.file == str(path)
    return caught.value


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("faces", [0, 1, 500])
def test_vertices_and_colours_of_scannets_layout_are_read_and_faces_are_not(
    path: Path, ply_bytes: PlyBytes, order: str, faces: int
) -> None:
    path.write_bytes(ply_bytes(POINTS, COLORS, order=order, faces=faces))
    surface = read_ply_vertices(str(path))
    np.testing.assert_array_equal(surface.points_world, POINTS)
    np.testing.assert_array_equal(surface.colors, COLORS)
    assert (surface.points_world.dtype, surface.colors.dtype) == (np.float32, np.uint8)


@pytest.mark.real_data
def test_a_fused_mesh_is_read_as_its_own_bytes_say(shared_data: Path) -> None:
    mesh = shared_data / "scannet_layout_7scenes/scans/scene0900_00/scene0900_00_vh_clean_2.ply"
    data = mesh.read_bytes()
    start = data.index(b"end_header\n") + len(b"end_header\n")
    vertices = list(struct.iter_unpack("<3f4B", data[start : start + 79775 * 16]))
    surface = read_ply_vertices(str(mesh))
    np.testing.assert_array_equal(surface.points_world, [vertex[:3] for vertex in vertices])
    np.testing.assert_array_equal(surface.colors, [vertex[3:6] for vertex in vertices])


def test_other_properties_types_and_orders_are_stepped_over(path: Path) -> None:
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment any\nobj_info any\nelement vertex 2\n"
        "property uint8 blue\nproperty double z\nproperty float nx\nproperty float64 x\nproperty short label\n"
        "property float32 y\nproperty uchar red\nproperty uchar green\nend_header\n"
    )
    body = struct.pack("<BdfdhfBB", 3, 30.0, 9.0, 10.0, -7, 20.0, 1, 2)
    body += struct.pack("<BdfdhfBB", 6, 3.5, 9.0, 1.5, -7, 2.5, 4, 5)
    path.write_bytes(header.encode() + body)
    surface = read_ply_vertices(str(path))
    np.testing.assert_array_equal(surface.points_world, [[10, 20, 30], [1.5, 2.5, 3.5]])
    np.testing.assert_array_equal(surface.colors, [[1, 2, 3], [4, 5, 6]])


def test_a_mesh_without_colours_is_grey(path: Path) -> None:
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 1\n"
    header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
    path.write_bytes(header.encode() + struct.pack("<3f", 1, 2, 3))
    np.testing.assert_array_equal(read_ply_vertices(str(path)).colors, [[128, 128, 128]])


@pytest.mark.parametrize("count", [5, 1000, 2**31, 2**60, 10**19, "9" * 30, "9" * 6000])
def test_a_vertex_count_beyond_the_file_is_refused_before_anything_is_allocated(
    path: Path, ply_bytes: PlyBytes, count: int | str
) -> None:
    data = ply_bytes(POINTS, COLORS, count=count)
    tracemalloc.start()
    try:
        refusal(path, data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("count", ["0", "-4", "1e3", "four", "²", ""])
def test_a_vertex_count_that_is_no_positive_number_is_refused(
    path: Path, ply_bytes: PlyBytes, count: str
) -> None:
    refusal(path, ply_bytes(POINTS, COLORS, count=count))


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param("property list uchar float x\nproperty float y\nproperty float z", id="a list"),
        pytest.param("property float x\nproperty float y", id="no z"),
        pytest.param("property float x\nproperty float x\nproperty float y\nproperty float z", id="two x"),
        pytest.param("property quad x\nproperty float y\nproperty float z", id="an unknown type"),
        pytest.param("property float\nproperty float y\nproperty float z", id="no name"),
        pytest.param("", id="none"),
    ],
)
def test_vertex_properties_that_give_no_points_are_refused(
    path: Path, ply_bytes: PlyBytes, properties: str
) -> None:
    refusal(path, ply_bytes(POINTS, COLORS, properties=properties))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_vertex_that_is_no_number_is_refused_with_its_offset(
    path: Path, ply_bytes: PlyBytes, value: float
) -> None:
    points = POINTS.copy()
    points[2, 1] = value
    data = ply_bytes(points, COLORS)
    error = refusal(path, data)
    assert error.offset == data.index(b"end_header\n") + 11 + 2 * 16
    assert "vertex 2" in error.reason


def test_ascii_is_refused_with_a_remedy(path: Path) -> None:
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
    error = refusal(path, header.encode() + b"end_header\n1 2 3\n")
    assert "not binary" in error.reason
    assert "binary PLY" in error.remedy


def test_a_file_whose_faces_come_first_is_refused(path: Path, ply_bytes: PlyBytes) -> None:
    data = ply_bytes(POINTS, COLORS)
    face = b"element face 1\nproperty list uchar int vertex_indices\n"
    error = refusal(path, data.replace(face, b"").replace(b"element vertex", face + b"element vertex"))
    assert "vertex" in error.reason


@pytest.mark.parametrize("data", [b"", b"ply", b"ply\n" * 40_000, b"\x89PNG\r\n\x1a\n" * 9, b"solid mesh\n"])
def test_a_file_that_is_no_ply_is_refused(path: Path, data: bytes) -> None:
    assert "header" in refusal(path, data).reason


def test_a_missing_mesh_is_named(path: Path) -> None:
    with pytest.raises(DataError, match="does not exist") as caught:
        read_ply_vertices(str(path))
    assert caught.value.file == str(path)


def test_a_mesh_cut_before_its_last_vertex_is_refused_and_one_cut_in_its_faces_is_read(
    path: Path, ply_bytes: PlyBytes
) -> None:
    data = ply_bytes(POINTS, COLORS, faces=2)
    needed = data.index(b"end_header\n") + 11 + len(POINTS) * 16
    for length in range(needed):
        refusal(path, data[:length])
    for length in range(needed, len(data)):
        path.write_bytes(data[:length])
        np.testing.assert_array_equal(read_ply_vertices(str(path)).points_world, POINTS)


def test_any_mutation_of_a_mesh_ends_in_vertices_or_in_a_data_error(path: Path, ply_bytes: PlyBytes) -> None:
    data = ply_bytes(POINTS, COLORS)
    header = data.index(b"end_header\n")
    random = np.random.default_rng(5)
    ends = {"vertices": 0, "error": 0}
    for _ in range(400):
        mutated = bytearray(data)
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(header if random.random() < 0.7 else len(data)))
            kind = random.integers(5)
            if kind == 0:
                mutated[at : at + 1] = random.bytes(1)
            elif kind == 1:
                mutated[at : at + 1] = bytes([random.choice(list(b"0123456789 \n-.")).item()])
            elif kind == 2:
                mutated[at:at] = random.bytes(int(random.integers(1, 9)))
            elif kind == 3:
                lines = bytes(mutated).split(b"\n")
                first, second = random.integers(0, 14, 2) % len(lines)
                lines[first], lines[second] = lines[second], lines[first]
                mutated = bytearray(b"\n".join(lines))
            else:
                del mutated[at : at + int(random.integers(1, 40))]
        path.write_bytes(mutated)
        try:
            surface = read_ply_vertices(str(path))
        except DataError as refused:
            ends["error"] += refused.file == str(path)
            continue
        assert surface.points_world.shape == surface.colors.shape
        assert np.isfinite(surface.points_world).all()
        ends["vertices"] += 1
    assert sum(ends.values()) == 400
    assert min(ends.values()) > 20
