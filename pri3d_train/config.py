"""Everything a pre-training run is made of, as frozen values that refuse what cannot work.

Each error says what would happen and what to do instead. Values travel in checkpoints as plain dicts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from pri3d_data.errors import UsageError

BackboneName = Literal["resnet18", "resnet50"]


@dataclass(frozen=True)
class SgdConfig:
    """Stochastic gradient descent over every parameter."""

    lr: float = 0.1
    momentum: float = 0.9
    dampening: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.lr < float("inf"):
            raise UsageError(f"A learning rate of {self.lr} cannot train: give --lr a number above 0.")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"Momentum {self.momentum} lets updates grow without end: give one in [0, 1).")
        if self.weight_decay < 0:
            raise UsageError(f"Weight decay {self.weight_decay} would inflate the weights: give 0 or more.")


@dataclass(frozen=True)
class ScheduleConfig:
    """The curve of the learning rate; see `pri3d_train.schedule`."""

    kind: Literal["staircase", "poly"] = "staircase"
    factor: float = 0.99
    every: int = 1000
    power: float = 0.9

    def __post_init__(self) -> None:
        if self.kind not in ("staircase", "poly"):
            raise UsageError(f"No learning-rate schedule is called {self.kind!r}: use 'staircase' or 'poly'.")
        if self.every < 1:
            raise UsageError(f"A rate that changes every {self.every} steps is undefined: give 1 or more.")


@dataclass(frozen=True)
class CheckpointConfig:
    """How often the run is written down, and how many of its checkpoints stay on disk."""

    every: int = 1000
    keep: int = 3

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UsageError(f"--checkpoint-every {self.every} would never save: give 1 or more.")
        if self.keep < 1:
            raise UsageError(f"--keep {self.keep} would delete the checkpoint just written: give 1 or more.")


@dataclass(frozen=True)
class PretrainConfig:
    """One view-only pre-training run; the defaults are the paper's (section 4).

    ``batch_size`` counts pairs over all ranks. ``workers`` is per rank and changes speed only, never order.
    """

    backbone: BackboneName = "resnet50"
    steps: int = 60_000
    batch_size: int = 64
    seed: int = 0
    matches: int = 1024
    temperature: float = 0.4
    workers: int = 2
    log_every: int = 10
    sgd: SgdConfig = field(default_factory=SgdConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        if self.backbone not in get_args(BackboneName):
            raise UsageError(f"No backbone is called {self.backbone!r}: use resnet18 or resnet50.")
        for name, least, why in (
            ("steps", 1, "would train nothing"),
            ("batch_size", 1, "leaves a step without pairs"),
            ("matches", 2, "leaves a match without negatives, so the loss is constant"),
            ("workers", 0, "is no number of processes"),
            ("log_every", 1, "would never log"),
        ):
            if getattr(self, name) < least:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} {getattr(self, name)} {why}: give {least} or more.")
        if self.seed < 0:
            raise UsageError(
                f"--seed {self.seed} is negative, which the samplers do not take: give 0 or more."
            )
        if not self.temperature > 0:
            raise UsageError(
                f"A temperature of {self.temperature} divides by zero or worse: the paper's is 0.4."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dicts of str, int and float: safe to store beside weights and to write as JSON."""
        return asdict(self)


def preset(name: str) -> PretrainConfig:
    """``paper`` or ``reference``.

    ``paper``: SGD 0.1, momentum 0.9, no weight decay, x0.99 every 1000 steps, 60,000 steps of 64 pairs.

    ``reference``: the authors' scripts as far as they concern the view loss: dampening 0.1, poly 0.9 at every
    step, and 65,625 steps, which are their five epochs of 840,000 pairs. Their batch-norm momentum schedule
    (0.5 down to 0.001 within 180 steps), colour augmentation and depth-regression loss are not part of it, so
    its numbers are theirs only in optimiser and schedule.

    Raises:
        UsageError: for any other name.
    """
    if name == "paper":
        return PretrainConfig()
    if name == "reference":
        return PretrainConfig(
            steps=65_625, sgd=SgdConfig(dampening=0.1), schedule=ScheduleConfig(kind="poly", power=0.9)
        )
    raise UsageError(f"No preset is called {name!r}: use 'paper' or 'reference'.")
