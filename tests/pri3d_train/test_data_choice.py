from __future__ import annotations

from pathlib import Path

import pytest

from pri3d_data.errors import UsageError
from pri3d_train.data_choice import parse_data, parse_size


@pytest.mark.parametrize(
    ("said", "roots", "weights"),
    [
        (["a"], ["a"], None),
        (["a", "s3://bucket/b"], ["a", "s3://bucket/b"], None),
        (["a:0.5", "s3://bucket/b:2"], ["a", "s3://bucket/b"], [0.5, 2.0]),
        (["http://host:8080/b"], ["http://host:8080/b"], None),
        (["http://host:8080/b:.25"], ["http://host:8080/b"], [0.25]),
    ],
)
def test_a_number_after_the_last_colon_is_a_weight(
    said: list[str], roots: list[str], weights: list[float] | None
) -> None:
    assert parse_data(said) == (roots, weights)


def test_a_folder_that_is_there_is_no_weight(tmp_path: Path) -> None:
    folder = tmp_path / "run:3"
    folder.mkdir()
    assert parse_data([str(folder)]) == ([str(folder)], None)


@pytest.mark.parametrize(("said", "hint"), [(["a:1", "b"], "'b:1'"), (["a:0", "b:1"], "leave")])
def test_weights_that_mean_nothing_are_said(said: list[str], hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        parse_data(said)


def test_sizes() -> None:
    assert parse_size(None) is None
    assert parse_size("240x320") == (240, 320)
    for wrong in ("240", "0x9", "16x16", "axb", "native"):
        with pytest.raises(UsageError, match="240x320"):
            parse_size(wrong)
