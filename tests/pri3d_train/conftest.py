"""Makes `pretend_stream` importable here and in the processes that tests start."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    # Two threads on a busy machine of two cores wait for each other ten times longer than they compute.
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
