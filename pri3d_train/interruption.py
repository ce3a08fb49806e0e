"""Ctrl-C, SIGTERM and SIGUSR1 become a wish to stop, which the training loop grants between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """While entered, SIGINT, SIGTERM and SIGUSR1 only set `wanted`; a second SIGINT interrupts at once.

    SIGUSR1 is what `#SBATCH --signal=USR1@120` sends before the time is up, and sets `out_of_time` as well: a
    job ended by it may ask to be run again, one that somebody cancelled (SIGTERM) may not. Off the main
    thread, where Python allows no handlers, it never wants to stop.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.out_of_time = False
        self._interrupted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        # Repeated SIGTERMs come from launchers and schedulers, which have SIGKILL for when they are in
        # earnest.
        if number == signal.SIGINT and self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = self._interrupted or number == signal.SIGINT
        self.out_of_time = self.out_of_time or number == signal.SIGUSR1
        self.wanted = True
