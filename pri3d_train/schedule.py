"""Rates as functions of the step alone, so that a resumed run needs no scheduler's memory."""

from __future__ import annotations

from pri3d_train.config import ScheduleConfig


def learning_rate(schedule: ScheduleConfig, lr: float, step: int, steps: int) -> float:
    """The rate of the optimiser step that follows ``step`` finished ones.

    ``staircase`` multiplies by ``factor`` every ``every`` steps (paper, section 4: x0.99 every 1000);
    ``poly`` is lr (1 - step / (steps + 1)) ** power, the authors' code.

    Args:
        schedule: which curve, and its numbers.
        lr: the rate at step 0.
        step: finished optimiser steps, 0 <= step.
        steps: length of the whole run; only ``poly`` looks at it.
    """
    if schedule.kind == "poly":
        return lr * float((1.0 - step / (steps + 1)) ** schedule.power)
    return lr * float(schedule.factor ** (step // schedule.every))


def batch_norm_momentum(step: int) -> float:
    """The momentum of batch norm's running statistics in the step after ``step`` finished ones.

    The authors' code: 0.5 halved every 20 steps, no lower than 0.001 (reached at step 180).
    """
    return float(max(0.5 * 0.5 ** (step // 20), 0.001))
