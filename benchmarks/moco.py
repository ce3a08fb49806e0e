"""MoCo-v2 on the frames of shards, the paper's baseline without pairs or 3D; see `learning.py --variants`.

Queue and loss are pytorch-metric-learning's. An image is the first frame of a pair of the stream, seen twice
through random crops, flips and the colour augmentation that every other run has. Batch norm is not shuffled,
since there is one device.
"""

from __future__ import annotations

import measure  # noqa: F401 (one thread a library; has to come first)

# isort: split
import copy
import math
from contextlib import closing
from pathlib import Path

import click
import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from pri3d_train.augmentation import augment_batch
from pri3d_train.config import PretrainConfig
from pri3d_train.distributed import World
from pri3d_train.loader import PairLoader
from pri3d_train.pretrain import batches
from pri3d_train.resnet import ResNetEncoder
from pri3d_train.scene_choice import parse_scenes
from pri3d_train.trivial import TrivialStream
from shards.stream import PairStream

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Tower(nn.Module):
    """Encoder, mean over the image, and MoCo-v2's head of two layers: (B, 3, H, W) to (B, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = ResNetEncoder("resnet18")
        self.head = nn.Sequential(nn.Linear(512, 512), nn.ReLU(inplace=True), nn.Linear(512, 128))

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings, not normalised."""
        out: Tensor = self.head(self.encoder(images)[-1].mean((2, 3)))
        return out


def cropped(images: Tensor, random: torch.Generator) -> Tensor:
    """(B, H, W, 3) uint8 RGB to normalised (B, 3, H, W): crops of 20 to 100 % of the area, half flipped."""
    count = len(images)
    side = (0.2 + 0.8 * torch.rand(count, generator=random)).sqrt()
    stretch = ((torch.rand(count, generator=random) - 0.5) * 2 * math.log(4 / 3) / 2).exp()
    width, height = (side * stretch).clamp(max=1), (side / stretch).clamp(max=1)
    x, y = ((torch.rand(count, generator=random) * 2 - 1) * (1 - part) for part in (width, height))
    flip = (torch.rand(count, generator=random) < 0.5) * -2.0 + 1
    zero = torch.zeros(count)
    theta = torch.stack([torch.stack([width * flip, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    pixels = images.permute(0, 3, 1, 2).float() / 255
    grid = affine_grid(theta, list(pixels.shape), align_corners=False)
    seen = grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    return (seen - torch.tensor(_MEAN).view(1, 3, 1, 1)) / torch.tensor(_STD).view(1, 3, 1, 1)


@click.command()
@click.option("--data", required=True, help="Data set that `pri3d-data build` wrote.")
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), help="The encoder, as torchvision's."
)
@click.option("--hold-out", default="", help="Scenes to leave out, by commas.")
@click.option("--steps", type=click.IntRange(min=1), default=120, show_default=True)
@click.option("--batch-size", type=click.IntRange(min=2), default=8, show_default=True, help="Images a step.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--lr", type=float, default=0.03, show_default=True, help="At the first step; cosine to 0.")
@click.option("--queue", type=click.IntRange(min=8), default=256, show_default=True, help="Negatives kept.")
@click.option("--momentum", type=float, default=0.99, show_default=True, help="Of the key network.")
def main(
    data: str, output: Path, hold_out: str, steps: int, batch_size: int, seed: int, lr: float, queue: int,
    momentum: float,
) -> None:  # fmt: skip
    """Train and write the encoder."""
    try:
        from pytorch_metric_learning.losses import CrossBatchMemory, NTXentLoss
    except ImportError as error:
        raise click.ClickException(f"pip install pytorch-metric-learning ({error}).") from error
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    config = PretrainConfig("resnet18", steps, batch_size, seed, workers=0, augment=True, trivial=True)
    world = World(0, 1, torch.device("cpu"))
    source = TrivialStream(PairStream([data], seed=seed, scenes=parse_scenes(hold_out, exclude=True)))
    query = Tower()
    key = copy.deepcopy(query).requires_grad_(False)
    loss_of = CrossBatchMemory(NTXentLoss(temperature=0.2), embedding_size=128, memory_size=queue)
    optimizer = torch.optim.SGD(query.parameters(), lr, momentum=0.9, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    enqueue = torch.arange(2 * batch_size) >= batch_size
    pieces = batches(PairLoader(source, batch_size=batch_size), config, world)
    with closing(pieces):
        for step in range(steps):
            ((batch, recipes),) = next(pieces)
            views = augment_batch(batch, recipes)
            with torch.no_grad():
                for mine, theirs in zip(key.parameters(), query.parameters(), strict=True):
                    mine.lerp_(theirs, 1 - momentum)
                keys = key(cropped(views.image_b, random))
            queries = query(cropped(views.image_a, random))
            # Every image is a class of its own, whenever it comes by.
            label = torch.arange(step * batch_size, (step + 1) * batch_size).repeat(2)
            loss = loss_of(torch.cat([queries, keys]), label, enqueue_mask=enqueue)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 10 == 0 or step == steps - 1:
                click.echo(f"step {step + 1}  loss {loss.item():.4f}", err=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(query.encoder.state_dict(), output)


if __name__ == "__main__":
    main()
