"""The run's story: `log.jsonl` for scripts, TensorBoard for curves, one moving line for the terminal."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pri3d_data.errors import StorageError, UsageError
from pri3d_train.config import PretrainConfig


class RunLog:
    """Writes one JSON object a logged step; on a resumed run the lines past its first step are dropped.

    Args:
        run: the run folder, made if missing.
        start: finished steps of the run so far.
        config: the run; its length and, for Weights & Biases, its settings are of interest here.
        console: where the progress line goes; plain lines where it is no terminal.
        wandb: project of Weights & Biases to log to as well; none if empty.

    Raises:
        StorageError: the folder cannot be written.
        UsageError: Weights & Biases is asked for and not installed.
    """

    def __init__(
        self, run: Path, start: int, config: PretrainConfig, console: Console, wandb: str = ""
    ) -> None:
        self._console = console
        self._wandb = _wandb(wandb, run, config) if wandb else None
        path = run / "log.jsonl"
        try:
            run.mkdir(parents=True, exist_ok=True)
            _drop_after(path, start)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error}. Give another --output.") from error
        self._board = _tensorboard(run / "tensorboard", start)
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[story]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("train", total=config.steps, completed=start, story="")

    def __enter__(self) -> RunLog:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish(exit_code=0 if kind is None else 1)

    def advance(self, step: int) -> None:
        """Move the progress line to ``step``."""
        self._progress.update(self._task, completed=step)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Add one line for ``step``; on disk when this returns, as far as the operating system is asked.

        Raises:
            StorageError: the disk is full or refuses.
        """
        record = {"step": step, **values}
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise StorageError(
                f"{self._file.name} cannot be written: {error}. Free some space and resume."
            ) from error
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"train/{name}", value, step)
        if self._wandb is not None:
            self._wandb.log({f"train/{name}": value for name, value in values.items()}, step=step)
        story = f"loss {values['loss']:.4f}  lr {values['lr']:.4g}  {values['samples_per_s']:.1f} pairs/s"
        story += f"  waiting for data {values['data_wait']:.0%}"
        story += f"  {values['memory_mb'] / 1024:.1f} GB" if "memory_mb" in values else ""
        self._progress.update(self._task, story=story)
        if not self._console.is_terminal:
            self._console.print(f"step {step}  {story}", soft_wrap=True, highlight=False)


def _drop_after(path: Path, step: int) -> None:
    """Keep the whole lines up to ``step``; a line cut short by a crash goes with the rest."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line + "\n")
    partial = path.with_name(".log.jsonl.partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)


def _tensorboard(folder: Path, start: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # purge_step hides the curve past the resumed step, as the dropped lines do in the log.
    return SummaryWriter(str(folder), purge_step=start + 1)


def _wandb(project: str, run: Path, config: PretrainConfig) -> Any:
    try:
        # mypy sees it or not by what is installed.
        import wandb  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise UsageError(
            "--wandb needs a package that is not here: pip install 'pri3d[wandb]', or leave it out."
        ) from error
    run.mkdir(parents=True, exist_ok=True)
    # A resumed run has to find its own curve again, so its name is kept with it.
    name = run / "wandb-id"
    if not name.exists():
        name.write_text(secrets.token_hex(8), encoding="utf-8")
    return wandb.init(
        project=project, id=name.read_text(encoding="utf-8"), resume="allow", dir=run, config=config.as_dict()
    )
