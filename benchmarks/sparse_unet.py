"""The sparse U-Net's backends side by side: seconds and peak memory of forward, and of forward and backward.

Chunks are made up: a tilted room with balls in it, a little noise, the voxels nearest to a point. Every
backend has a process and the same weights; they take turns. On a CPU seconds are CPU seconds of one thread,
which other people's work on the machine does not lengthen as it does the clock's; on a GPU the clock's.
"""

from __future__ import annotations

import measure

# isort: split
import multiprocessing
import resource
import time
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from pri3d_data.errors import UsageError
from pri3d_train.sparse.backend import find_backend
from pri3d_train.sparse.unet import SparseUNet

BACKENDS = ("torch", "spconv", "minkowski")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
PACKAGES = ("torch", "spconv", "spconv-triton", "spconv-cu126", "MinkowskiEngine")
COLUMNS = {
    "what": "",
    "pairs_per_voxel": "neighbours / voxel",
    "forward_seconds": "forward, s",
    "step_seconds": "forward + backward, s",
    "spread": "spread",
    "peak_gb": "peak memory, GB",
    "ratio": "torch is faster by",
}


def surface(voxels: int, seed: int = 0) -> NDArray[np.int32]:
    """(voxels, 3) unique voxels on the surfaces of a made-up room, as a depth camera would leave them."""
    random = np.random.default_rng(seed)
    edge = np.sqrt(voxels) * 1.2
    count = int(12 * edge**2)
    walls = random.uniform(0, edge, (count, 3))
    walls[np.arange(count), random.integers(0, 3, count)] = 0
    balls = random.normal(size=(count // 2, 3))
    balls /= np.linalg.norm(balls, axis=1, keepdims=True)
    centres = random.uniform(0.1 * edge, 0.5 * edge, (12, 3))
    balls = balls * edge / 14 + centres[random.integers(0, 12, len(balls))]
    points = np.concatenate([walls, balls])
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    points = (points + random.normal(scale=0.05, size=points.shape)) @ rotation.T
    cells = np.unique(np.floor(points).astype(np.int32), axis=0)
    middle = np.full(3, edge / 4) @ rotation.T
    nearest = np.argsort(np.linalg.norm(cells - middle, axis=1), kind="stable")[:voxels]
    chunk: NDArray[np.int32] = cells[nearest]
    return chunk


def serve(backend: str, device: str, precision: str, pipe: Connection) -> None:
    """One backend's process: takes (work, coordinates), gives (seconds, peak bytes), until it gets None."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    on_gpu = device == "cuda"
    net = SparseUNet(backend=backend).to(device)
    clock = time.perf_counter if on_gpu else time.process_time
    while (order := pipe.recv()) is not None:
        work, cells = order
        coordinates = torch.zeros((len(cells), 4), dtype=torch.int32)
        coordinates[:, 1:] = torch.from_numpy(cells)
        coordinates, colours = coordinates.to(device), torch.rand((len(cells), 3)).to(device)
        reset_peak(on_gpu)
        start = clock()
        with (
            torch.set_grad_enabled(work == "step"),
            torch.autocast(device, dtype=PRECISIONS[precision], enabled=precision != "fp32"),
        ):
            out = net(coordinates, colours)
            loss = out.float().square().mean()
        if work == "step":
            loss.backward()
            net.zero_grad()
        if on_gpu:
            torch.cuda.synchronize()
        pipe.send((clock() - start, peak(on_gpu)))
        del out, loss


def reset_peak(on_gpu: bool) -> None:
    """Start counting peak memory again, where the system can."""
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak(on_gpu: bool) -> int:
    """Bytes: of tensors on a GPU; on a CPU resident bytes of the process, its libraries included."""
    if on_gpu:
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def take_turns(
    pipes: dict[str, Connection], cells: NDArray[np.int32], repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of forward and of a step, and the peak of a step, of every backend; A B C A B C …"""
    found = {name: {"forward": [], "step": [], "peak": []} for name in pipes}
    for _ in range(repeats):
        for work in ("forward", "step"):
            for name, pipe in pipes.items():
                pipe.send((work, cells))
                seconds, bytes_ = pipe.recv()
                found[name][work].append(seconds)
                if work == "step":
                    found[name]["peak"].append(bytes_)
    return found


def installed() -> tuple[list[str], dict[str, str]]:
    """Backends that can be imported, and why the others cannot."""
    there, missing = [], {}
    for name in BACKENDS:
        try:
            find_backend(name)
            there.append(name)
        except UsageError as error:
            missing[name] = str(error)
    return there, missing


def versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def neighbours(cells: NDArray[np.int32]) -> float:
    """Voxels in the 3³ cube around a voxel, itself included, on average."""
    from pri3d_train.sparse.lattice import sort_cells

    coordinates = torch.from_numpy(np.pad(cells, ((0, 0), (1, 0))))
    lattice, _ = sort_cells(coordinates, margin=2)
    return float((lattice.neighbours(3) >= 0).sum()) / len(cells)


def rows(cells: NDArray[np.int32], found: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """A line a backend; ratios compare steps."""
    ours = measure.median(found["torch"]["step"])
    around = neighbours(cells)
    return [
        {
            "what": f"{len(cells):,} voxels, {name}",
            "voxels": len(cells),
            "backend": name,
            "pairs_per_voxel": around,
            "forward_seconds": measure.median(times["forward"]),
            "step_seconds": measure.median(times["step"]),
            "spread": f"{100 * measure.spread(times['step']):.1f} %",
            "peak_gb": max(times["peak"]) / 1e9,
            "ratio": None if name == "torch" else measure.median(times["step"]) / ours,
        }
        for name, times in found.items()
    ]


@click.command()
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Figures go here.")
@click.option("--markdown", is_flag=True, help="Print the table as Markdown.")
@click.option("--repeats", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--voxels",
    type=click.IntRange(min=1),
    multiple=True,
    default=(20_000, 50_000, 100_000),
    show_default=True,
)
@click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True)
@click.option(
    "--precision", type=click.Choice(list(PRECISIONS)), default="fp32", show_default=True, help="Autocast's."
)
def main(
    json_file: Path | None, markdown: bool, repeats: int, voxels: tuple[int, ...], device: str, precision: str
) -> None:
    """Forward and step of the sparse U-Net on every backend that is installed."""
    if device == "cuda" and not torch.cuda.is_available():
        raise click.UsageError("PyTorch sees no CUDA device here.")
    there, missing = installed()
    setting = {"device": device, "precision": precision, "repeats": repeats, "packages": versions()}
    report = measure.Report(
        "sparse_unet", setting, COLUMNS, notes=[f"{n}: {why}" for n, why in missing.items()]
    )
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    for name in there:
        pipes[name], end = context.Pipe()
        # Daemons end with this process, whatever happens to it.
        workers.append(context.Process(target=serve, args=(name, device, precision, end), daemon=True))
        workers[-1].start()
        end.close()
    take_turns(pipes, surface(min(2_000, *voxels)), 1)  # libraries warm up
    for count in sorted(voxels):
        cells = surface(count)
        report.rows += rows(cells, take_turns(pipes, cells, repeats))
    for pipe, worker in zip(pipes.values(), workers, strict=True):
        pipe.send(None)
        worker.join()
    for row in report.rows:
        if row["ratio"] is not None:
            report.figures[f"ratio_{row['backend']}"] = row["ratio"]  # the largest chunk's stays
    report.figures["torch_seconds"] = [
        row["step_seconds"] for row in report.rows if row["backend"] == "torch"
    ]
    report.publish(json_file, markdown)


if __name__ == "__main__":
    main()
