"""What things in a room are called, and ScanNet's numbers for them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Category:
    """A kind of thing.

    Attributes:
        name: ScanNet's raw category.
        scannet: its id in the ``label-filt`` images.
        nyu40: its id among NYU's 40 classes, which most benchmarks use.
    """

    name: str
    scannet: int
    nyu40: int


CATEGORIES = {
    category.name: category
    for category in (
        Category("wall", 1, 1),
        Category("chair", 2, 5),
        Category("floor", 3, 2),
        Category("table", 4, 7),
        Category("door", 5, 8),
        Category("couch", 6, 6),
        Category("cabinet", 7, 3),
        Category("desk", 9, 14),
        Category("bed", 11, 4),
        Category("picture", 15, 11),
        Category("window", 16, 9),
        Category("bookshelf", 18, 10),
        Category("box", 26, 29),
        Category("lamp", 28, 35),
        Category("stool", 38, 40),
        Category("plant", 40, 40),
        Category("ceiling", 41, 22),
        Category("trash can", 56, 39),
        Category("ottoman", 67, 39),
        Category("ball", 168, 40),
    )
}
