"""Code in the documentation does what the documentation says."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from pipelines.build import build
from pipelines.dataset import DataSet
from pipelines.parameters import BuildParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.scannet import ScanNetCapture, find_scenes
from pri3d_data.synth.scannet import ScanNetSynth, write_scannet
from shards.dataset import Dataset

DOCS = Path(__file__).parent.parent / "docs"


def code_of(page: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL))


@pytest.fixture
def from_the_page() -> Iterator[dict[str, Any]]:
    module = types.ModuleType("add_a_dataset")
    sys.modules["add_a_dataset"] = module
    exec(compile(code_of("add-a-dataset.md"), "docs/add-a-dataset.md", "exec"), module.__dict__)
    yield module.__dict__
    del sys.modules["add_a_dataset"]


class Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def write_seven_scenes(folder: Path, scratch: Path) -> None:
    write_scannet(scratch, scenes=1, spec=ScanNetSynth(frames=6, color_size=(64, 48), depth_size=(64, 48)))
    folder.mkdir(parents=True)
    with ScanNetCapture(find_scenes(str(scratch))[0], 1) as capture:
        for frame in capture.frames:
            stem = f"frame-{frame.index:06d}"
            cv2.imwrite(str(folder / f"{stem}.depth.png"), capture.depth(frame))
            cv2.imwrite(str(folder / f"{stem}.color.png"), np.full((48, 64, 3), 40 * frame.index, np.uint8))
            np.savetxt(folder / f"{stem}.pose.txt", frame.camera_to_world)


def test_the_data_set_of_the_page_builds_what_the_rgbd_command_builds(
    from_the_page: dict[str, Any], tmp_path: Path
) -> None:
    write_seven_scenes(tmp_path / "raw" / "chess", tmp_path / "scans")
    ours: DataSet = from_the_page["SEVEN_SCENES"]
    tables = []
    focal = (58.5, 58.5, (320.5 * 0.1 - 0.5), (240.5 * 0.1 - 0.5))
    for dataset, said in ((ours, {}), (DATASETS["rgbd"], {"intrinsics": focal})):
        parameters = replace(dataset.presets["paper"], stride=1, image_size=(48, 64), **said)
        out = tmp_path / dataset.name
        summary = build(
            BuildRequest(dataset, str(tmp_path / "raw"), str(out), BuildParameters(parameters)),
            0,
            None,
            Silent(),
        )
        assert summary.failures == []
        tables.append({name: Dataset(str(out)).table(name).to_pylist() for name in ("frames", "pairs")})
    # As text: the scale ratio, which neither computes, is not a number and so not equal to itself.
    assert str(tables[0]["pairs"]) == str(tables[1]["pairs"])
    assert len(tables[0]["pairs"]) > 3
    assert [row["name"] for row in tables[0]["frames"]] == [row["name"] for row in tables[1]["frames"]]


def test_the_page_says_how_long_its_code_is() -> None:
    lines = [line for line in code_of("add-a-dataset.md").splitlines() if line.strip()]
    assert f"{len(lines)} lines" in (DOCS / "add-a-dataset.md").read_text()
    assert len(lines) < 150


def test_every_place_the_documentation_names_is_there() -> None:
    root = DOCS.parent
    pages = [root / "README.md", root / "CONTRIBUTING.md", *DOCS.glob("*.md")]
    named = [
        (page.name, *found)
        for page in pages
        for found in re.findall(
            r"`((?:pri3d_data|shards|pipelines|pri3d_train)/[\w/]+\.py)(?:::(\w+))?", page.read_text()
        )
    ]
    assert len(named) > 40
    for page, file, name in named:
        assert (root / file).is_file(), f"{page} names {file}"
        text = (root / file).read_text()
        assert not name or re.search(rf"^(?:class|def) {name}\b|^{name}\b", text, re.MULTILINE), (
            f"{page}: {file}::{name}"
        )


def test_links_between_pages_lead_somewhere() -> None:
    root = DOCS.parent
    for page in [root / "README.md", root / "CONTRIBUTING.md", *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:\s]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_list_of_modules_is_up_to_date() -> None:
    script = DOCS.parent / ".ci" / "modules.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (DOCS / "modules.md").read_text() == done.stdout, "run: python .ci/modules.py > docs/modules.md"
