"""Started by torchrun in a test: trains on the stand-in stream and saves each rank's weights.

The second run is a joint one in which rank 1 never sees geometry, as it has the odd lanes.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from pretend_sparse import PretendSparse
from pretend_stream import PretendStream

from pri3d_train import pretrain as loop
from pri3d_train.config import ComputeConfig, LossConfig, PretrainConfig
from pri3d_train.distributed import join_world

if __name__ == "__main__":
    run = Path(sys.argv[1])
    torch.set_num_threads(1)
    seen = []
    make = loop.PairModel
    loop.PairModel = lambda *args: seen.append(make(*args)) or seen[0]
    config = PretrainConfig("resnet18", steps=1, batch_size=4, matches=32, workers=0, log_every=1)
    with join_world() as world:
        source = PretendStream(size=(64, 64), matches=32)
        outcome = loop.pretrain(config, source, run, world)
        torch.save(dict(seen[0].named_parameters()), run / f"weights-{world.rank}.pt")
        seen.clear()
        joint = replace(config, losses=LossConfig(1.0, 1.0), compute=ComputeConfig(accumulate=2, clip=9.0))
        source = PretendStream(size=(64, 64), matches=32, geometry="paper", bare_lanes=(1, 3, 5))
        loop.pretrain(joint, source, run / "joint", world, sparse=PretendSparse)
        torch.save(dict(seen[0].named_parameters()), run / f"joint-{world.rank}.pt")
    assert (outcome.step, outcome.stopped) == (1, False)
