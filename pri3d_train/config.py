"""Everything a pre-training run is made of, as frozen values that refuse what cannot work.

Each error says what would happen and what to do instead. Values travel in checkpoints as plain dicts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from pri3d_data.errors import UsageError

BackboneName = Literal["resnet18", "resnet50"]
BackendName = Literal["auto", "torch", "spconv", "minkowski"]


@dataclass(frozen=True)
class LossConfig:
    """The terms of the objective and their weights (paper, section 3.3); a term of weight 0 is not computed.

    ``view``: pixels to pixels. ``geo``: pixels to voxels. ``depth``: the authors' dense depth regression,
    which the paper does not mention and their released models were trained with.
    """

    view: float = 1.0
    geo: float = 0.0
    depth: float = 0.0
    temperature: float = 0.4

    def __post_init__(self) -> None:
        for name in ("view", "geo", "depth"):
            if not 0 <= getattr(self, name) < float("inf"):
                option = "--depth-loss" if name == "depth" else f"--{name}-weight"
                raise UsageError(
                    f"{option} {getattr(self, name)} would push matches apart or is no number: "
                    "give 0 or more."
                )
        if not self.view + self.geo > 0:
            raise UsageError(
                "Nothing pulls matches together: give --view, --geo or both, with weights above 0."
            )
        if not self.temperature > 0:
            raise UsageError(
                f"A temperature of {self.temperature} divides by zero or worse: the paper's is 0.4."
            )

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms that are computed."""
        return tuple(name for name in ("view", "geo", "depth") if getattr(self, name) > 0)


@dataclass(frozen=True)
class ComputeConfig:
    """How a step is computed; nothing here changes which pairs it sees.

    ``accumulate`` cuts each rank's part of the batch into that many pieces of equal size, so memory falls and
    the effective batch stays. ``clip`` is the largest norm of the gradient, 0 for no limit. ``ema`` is the
    decay of averaged weights kept in checkpoints, 0 for none.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    accumulate: int = 1
    clip: float = 0.0
    sync_bn: bool = False
    ema: float = 0.0

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "bf16"):
            raise UsageError(f"No precision is called {self.precision!r}: use 'fp32' or 'bf16'.")
        if self.accumulate < 1:
            raise UsageError(f"--accumulate {self.accumulate} is no number of pieces: give 1 or more.")
        if not 0 <= self.clip < float("inf"):
            raise UsageError(f"--clip {self.clip} would turn the gradient round: give 0 (off) or more.")
        if not 0 <= self.ema < 1:
            raise UsageError(f"--ema {self.ema} would never follow the weights: give 0 (off) up to below 1.")


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
    """One pre-training run; the defaults are the paper's (section 4) with the view loss alone.

    ``batch_size`` counts pairs over all ranks. ``workers`` is per rank and changes speed only, never order.
    ``augment`` draws photometric changes for every image, ``bn_decay`` is the authors' batch-norm momentum
    schedule, ``trivial`` the baseline whose two images are one frame. ``backend`` names who computes sparse
    convolutions; it changes speed, not weights.
    """

    backbone: BackboneName = "resnet50"
    steps: int = 60_000
    batch_size: int = 64
    seed: int = 0
    matches: int = 1024
    workers: int = 2
    log_every: int = 10
    augment: bool = False
    bn_decay: bool = False
    trivial: bool = False
    backend: BackendName = "auto"
    losses: LossConfig = field(default_factory=LossConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
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
        if self.backend not in get_args(BackendName):
            raise UsageError(
                f"No backend is called {self.backend!r}: use {', '.join(get_args(BackendName))}."
            )
        if self.trivial and self.losses.geo > 0:
            raise UsageError(
                "--trivial trains on one frame without 3D, where --geo has nothing to say: give one of them."
            )
        if self.trivial and not self.augment:
            raise UsageError(
                "--trivial without augmentation compares an image with itself: give --augment as well."
            )

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dicts of str, int and float: safe to store beside weights and to write as JSON."""
        return asdict(self)


def preset(name: str) -> PretrainConfig:
    """``paper`` or ``reference``.

    ``paper``: SGD 0.1, momentum 0.9, no weight decay, x0.99 every 1000 steps, 60,000 steps of 64 pairs.

    ``reference``: the authors' scripts: dampening 0.1, poly 0.9 at every step, batch-norm momentum from 0.5
    down to 0.001 within 180 steps, photometric augmentation, the depth loss with weight 1, and 65,625
    steps, which are their five epochs of 840,000 pairs.

    Raises:
        UsageError: for any other name.
    """
    if name == "paper":
        return PretrainConfig()
    if name == "reference":
        return PretrainConfig(
            steps=65_625,
            augment=True,
            bn_decay=True,
            losses=LossConfig(depth=1.0),
            sgd=SgdConfig(dampening=0.1),
            schedule=ScheduleConfig(kind="poly", power=0.9),
        )
    raise UsageError(f"No preset is called {name!r}: use 'paper' or 'reference'.")
