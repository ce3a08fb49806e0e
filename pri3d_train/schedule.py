"""The learning rate as a function of the step alone, so that a resumed run needs no scheduler's memory."""

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
