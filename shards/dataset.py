"""A finished data set, opened for reading: its description and its tables."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from pri3d_data.errors import DataError, UsageError
from shards.schema import DATASET_FILE, VERSION, WORK_FOLDER
from shards.store import Store
from shards.tables import read_table


class Dataset:
    """What `pri3d-data build` wrote.

    Args:
        root: local folder or URL.

    Raises:
        UsageError: nothing was built there, or the build is not finished.
        DataError: the description is broken or of another format.
    """

    def __init__(self, root: str) -> None:
        self.store = Store(root)
        if not self.store.exists(DATASET_FILE):
            if self.store.exists(WORK_FOLDER):
                raise UsageError(
                    f"'{root}' holds an unfinished build. Run the same `pri3d-data build` command "
                    "again to finish it."
                )
            raise UsageError(
                f"'{root}' holds no data set: there is no {DATASET_FILE}. Build one with `pri3d-data build`."
            )
        path = self.store.url(DATASET_FILE)
        try:
            about = json.loads(self.store.read(DATASET_FILE))
            version = int(about["format_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"is not the description of a data set ({error}).", file=path) from error
        if version != VERSION:
            raise DataError(
                f"is of format {version}, this program reads format {VERSION}.",
                file=path,
                remedy="Install a newer pri3d."
                if version > VERSION
                else "Build it again into another folder.",
            )
        self.about: dict[str, Any] = about

    @property
    def root(self) -> str:
        """Folder or URL."""
        return self.store.root

    def table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """One of the tables of `shards.schema.TABLES`, or some of its columns."""
        return read_table(self.store, name, columns)
