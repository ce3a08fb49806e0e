"""Makes `pretend_stream` importable here and in the processes that tests start; rooms built once."""

import pytest
import torch
from made_up_rooms import ROOMS, build

from pri3d_data.synth.scannet import write_scannet


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """Two small made-up rooms as a user has them: raw captures and, with voxels of 16 cm and labels, shards."""
    folder = tmp_path_factory.mktemp("built")
    write_scannet(folder / "raw", scenes=2, seed=0, spec=ROOMS)
    build(folder / "raw", folder / "out", "--labels")
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    # Two threads on a busy machine of two cores wait for each other ten times longer than they compute.
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
