"""The one family of errors a user can meet: what happened, where, what it means, what to do next.

Commands print these without a trace. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations


class Pri3DError(Exception):
    """Base of every error this project raises on purpose; ``str()`` of it is fit to show a user."""

    exit_status = 2


class UsageError(Pri3DError):
    """The command or configuration cannot work as given; nothing was read or written."""


class StorageError(Pri3DError):
    """The place we write to refused (full disk, rights, lock); the job stops and can be resumed."""

    exit_status = 3


class DataError(Pri3DError):
    """Bytes from outside are not what they claim to be.

    Args:
        reason: what is wrong, in one sentence without the location.
        file: the file the bytes came from, as the user would name it.
        offset: byte offset in ``file`` where the trouble starts, if known.
        frame: integer index of the frame in its capture, if it concerns one frame.
        remedy: what the user can do next.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str = "",
        offset: int | None = None,
        frame: int | None = None,
        remedy: str = "",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.file = file
        self.offset = offset
        self.frame = frame
        self.remedy = remedy

    def __str__(self) -> str:
        where = self.file
        if self.frame is not None:
            where += f" frame {self.frame}"
        if self.offset is not None:
            where += f" at byte {self.offset}"
        text = f"{where.strip()}: {self.reason}" if where else self.reason
        return f"{text} {self.remedy}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword-only arguments do not survive pickling between Dask workers by default.
        return _rebuild, (type(self), self.reason, self.file, self.offset, self.frame, self.remedy)


def _rebuild(
    kind: type[DataError], reason: str, file: str, offset: int | None, frame: int | None, remedy: str
) -> DataError:
    return kind(reason, file=file, offset=offset, frame=frame, remedy=remedy)
