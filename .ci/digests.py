"""Digests of what every data set builds from made-up captures, to show that a change of code changes no byte.

    python .ci/digests.py > before; …; python .ci/digests.py | diff before -

Fingerprints are left out, since stage versions and libraries are part of them: what is stored is compared.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.build import build
from pipelines.parameters import BuildParameters, SceneParameters
from pipelines.plan import BuildRequest
from pipelines.registry import DATASETS
from pri3d_data.synth.kitti import KittiSynth, write_kitti
from pri3d_data.synth.megadepth import MegaDepthSynth, write_megadepth
from pri3d_data.synth.scannet import ScanNetSynth, write_scannet
from shards.dataset import Dataset

_LEFT_OUT = {"fingerprint"}


class _Silent:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def main() -> None:
    """Make captures, build them, print digests."""
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        spec = ScanNetSynth(frames=16, color_size=(160, 120), depth_size=(80, 60), noise=True, holes=True)
        write_scannet(top / "scannet", scenes=2, seed=3, spec=spec)
        write_megadepth(top / "megadepth", 1, 3, MegaDepthSynth(photos=8))
        write_kitti(top / "kitti", 1, 3, KittiSynth(frames=6))
        # The same photos as somebody's own reconstruction.
        (published,) = (top / "megadepth/MegaDepth_v1_SfM").iterdir()
        shutil.copytree(published / "images", top / "colmap/images")
        shutil.copytree(published / "sparse/manhattan/0", top / "colmap/sparse/0")
        inputs = {name: top / name for name in ("scannet", "megadepth", "colmap", "kitti")}
        for name, raw in inputs.items():
            for preset, parameters in DATASETS[name].presets.items():
                changes = {"stride": 2, "labels": True} if name == "scannet" else {}
                _digest(f"{name} {preset}", name, raw, top / "out", replace(parameters, **changes))


def _digest(title: str, name: str, raw: Path, top: Path, parameters: SceneParameters) -> None:
    out = top / title.replace(" ", "-")
    request = BuildRequest(DATASETS[name], str(raw), str(out), BuildParameters(parameters))
    summary = build(request, 0, None, _Silent())
    print(f"{title}: {len(summary.records)} scenes, {len(summary.failures)} failures")
    for shard in sorted((out / "shards").glob("*.tar")):
        print(f"  {shard.name} {hashlib.sha256(shard.read_bytes()).hexdigest()}")
    dataset = Dataset(str(out))
    for table in ("scenes", "frames", "pairs", "failures"):
        rows: list[dict[str, Any]] = dataset.table(table).to_pylist()
        kept = [{key: value for key, value in row.items() if key not in _LEFT_OUT} for row in rows]
        print(f"  {table} {hashlib.sha256(repr(kept).encode()).hexdigest()}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
