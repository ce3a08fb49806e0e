"""Makes `photo_truth` importable here, and small photo collections to build from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from photo_truth import SEED, SPEC, as_colmap, built

from pri3d_data.synth.megadepth import (
    write_megadepth,
)


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small photo collections in MegaDepth's layout; read only."""
    root = tmp_path_factory.mktemp("collections")
    write_megadepth(root, 2, SEED, SPEC)
    return root


@pytest.fixture
def raw(collections: Path, tmp_path: Path) -> Path:
    """A copy to break things in."""
    return Path(shutil.copytree(collections, tmp_path / "raw"))


@pytest.fixture(scope="session")
def dense(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dense") / "out"
    built("megadepth", collections, out)
    return out


@pytest.fixture(scope="session")
def sparse(collections: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same photos as somebody's own COLMAP folder, without depth."""
    root = tmp_path_factory.mktemp("sparse")
    as_colmap(collections, root / "raw")
    built("colmap", root / "raw", root / "out")
    return root / "out"
