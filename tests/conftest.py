"""What every room's tests share: the sensor data beside the checkout, the slow lane, hypothesis without a clock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Kernels compile inside the first example, and a test that fails only sometimes teaches nobody anything.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run it with --slow"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real sensor data; its README says what lies in it."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PRI3D_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(
            f"no sensor data: '{folder}' is missing. Set PRI3D_SHARED_DATA or place it beside the checkout."
        )
    return folder
