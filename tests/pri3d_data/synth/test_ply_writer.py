import os
from pathlib import Path

import numpy as np
import pytest

from pri3d_data.errors import UsageError
from pri3d_data.ply_writer import write_ply_mesh

SHARED = Path(os.environ.get("PRI3D_SHARED_DATA", Path(__file__).parents[3].parent / "shared" / "data"))
VERTEX = np.dtype([(axis, "<f4") for axis in "xyz"] + [(channel, "u1") for channel in "rgba"])
FACE = np.dtype([("n", "u1"), ("i", "<i4"), ("j", "<i4"), ("k", "<i4")])


def parsed(data):
    header, body = data.split(b"end_header\n", 1)
    lines = header.decode().splitlines()
    counts = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("element")}
    vertices = np.frombuffer(body, VERTEX, counts["vertex"])
    faces = np.frombuffer(body, FACE, counts["face"], counts["vertex"] * VERTEX.itemsize)
    assert len(body) == vertices.nbytes + faces.nbytes
    return lines, vertices, faces


def test_mesh_reads_back(tmp_path):
    points = np.array([[0, 0, 0], [1.5, 0, 0], [0, -2, 0], [0, 0, 3.25]])
    colors = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [255, 0, 128]], np.uint8)
    faces = np.array([[0, 1, 2], [3, 2, 1]])
    write_ply_mesh(tmp_path / "a.ply", points, colors, faces)
    _, vertices, read_faces = parsed((tmp_path / "a.ply").read_bytes())
    assert np.array_equal(np.stack([vertices[axis] for axis in "xyz"], axis=1), points)
    assert np.array_equal(np.stack([vertices[channel] for channel in "rgb"], axis=1), colors)
    assert (vertices["a"] == 255).all()
    assert (read_faces["n"] == 3).all()
    assert np.array_equal(np.stack([read_faces[corner] for corner in "ijk"], axis=1), faces)


@pytest.mark.real_data
def test_scannet_layout_is_met_to_the_byte(tmp_path):
    scene = SHARED / "scannet_layout_7scenes" / "scans" / "scene0900_00"
    source = scene / "scene0900_00_vh_clean_2.ply"
    if not source.exists():
        pytest.skip(f"{source} is missing")
    lines, vertices, faces = parsed(source.read_bytes())
    write_ply_mesh(
        tmp_path / "again.ply",
        np.stack([vertices[axis] for axis in "xyz"], axis=1),
        np.stack([vertices[channel] for channel in "rgba"], axis=1),
        np.stack([faces[corner] for corner in "ijk"], axis=1),
        comment=lines[2].removeprefix("comment "),
    )
    assert (tmp_path / "again.ply").read_bytes() == source.read_bytes()


def test_a_face_of_a_missing_vertex_is_refused(tmp_path):
    with pytest.raises(UsageError, match="indices of 3 vertices"):
        write_ply_mesh(
            tmp_path / "a.ply", np.zeros((3, 3)), np.zeros((3, 3), np.uint8), np.array([[0, 1, 3]])
        )
    assert not any(tmp_path.iterdir())
