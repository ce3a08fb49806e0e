"""Photometric augmentation of the authors' runs: colour jitter, greyscale and blur; pixels stay in place.

What is drawn for an image depends on seed, epoch and the pair it belongs to, never on who loads it, so runs
resume exactly and ranks and workers change nothing. It is applied on the training device: a GPU does it in
passing what would keep loader processes busy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from pri3d_train.pair_batch import PairBatch
from pri3d_train.pair_like import PairLike

#: Reaches three times the largest sigma, past which a Gaussian's weights are below what a byte can show.
_BLUR_RADIUS = 6
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Recipe:
    """What happens to one image.

    Attributes:
        order: which of brightness, contrast, saturation and hue (0 to 3) is changed first, second ...; empty
            for an image whose colours stay.
        amounts: of these four: three factors around 1, and a part of the colour circle around 0.
        grey: whether colour is dropped afterwards.
        sigma: of the Gaussian blur in pixels at the end, 0 for none.
    """

    order: tuple[int, ...]
    amounts: tuple[float, float, float, float]
    grey: bool
    sigma: float


def draw_recipes(seed: int, epoch: int, pair: PairLike) -> tuple[Recipe, Recipe]:
    """Recipes of the two images of ``pair`` in ``epoch``, with the authors' probabilities.

    Jitter (0.4, 0.4, 0.4, 0.1) 0.8, grey 0.2, blur of sigma 0.1 to 2 pixels 0.5.
    """
    name = f"{seed}/{epoch}/{pair.scene}/{pair.frame_a}/{pair.frame_b}".encode()
    random = np.random.default_rng(int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little"))
    return _draw(random), _draw(random)


def _draw(random: np.random.Generator) -> Recipe:
    # Everything is drawn whether used or not, so that no probability shifts what comes after it.
    order = tuple(int(number) for number in random.permutation(4))
    factors = random.uniform(0.6, 1.4, 3).tolist()
    hue, sigma = random.uniform(-0.1, 0.1), random.uniform(0.1, 2.0)
    jitter, grey, blur = random.random(3) < (0.8, 0.2, 0.5)
    return Recipe(order if jitter else (), (*factors, hue), bool(grey), sigma if blur else 0.0)


def augment_batch(batch: PairBatch, recipes: Sequence[Recipe]) -> PairBatch:
    """``batch`` with both its images changed; ``recipes`` are of the B first images, then the B second."""
    half = len(recipes) // 2
    return replace(
        batch,
        image_a=augment(batch.image_a, recipes[:half]),
        image_b=augment(batch.image_b, recipes[half:]),
    )


@torch.no_grad()
def augment(images: Tensor, recipes: Sequence[Recipe]) -> Tensor:
    """(B, H, W, 3) uint8 RGB and B recipes -> the same shape and type, rounded once at the end."""
    pixels = images.permute(0, 3, 1, 2).float() / 255.0
    for place in range(4):
        for kind, change in enumerate(_CHANGES):
            chosen = [i for i, one in enumerate(recipes) if one.order and one.order[place] == kind]
            if chosen:
                amounts = pixels.new_tensor([recipes[i].amounts[kind] for i in chosen]).view(-1, 1, 1, 1)
                pixels[chosen] = change(pixels[chosen], amounts).clamp(0.0, 1.0)
    grey = [i for i, recipe in enumerate(recipes) if recipe.grey]
    if grey:
        pixels[grey] = _luma(pixels[grey]).expand(-1, 3, -1, -1)
    blurred = [i for i, recipe in enumerate(recipes) if recipe.sigma > 0]
    if blurred:
        pixels[blurred] = _blur(pixels[blurred], [recipes[i].sigma for i in blurred])
    return (pixels * 255.0).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _luma(pixels: Tensor) -> Tensor:
    return (pixels * pixels.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    return pixels * factor


def _contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    mean = _luma(pixels).mean((1, 2, 3), keepdim=True)
    return mean + factor * (pixels - mean)


def _saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    grey = _luma(pixels)
    return grey + factor * (pixels - grey)


def _hue(pixels: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of HSV by a part of its circle, value and saturation untouched."""
    value, which = pixels.max(1, keepdim=True)
    chroma = value - pixels.amin(1, keepdim=True)
    red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    safe = chroma.clamp(min=1e-12)
    of_red, of_green, of_blue = (green - blue) / safe, 2 + (blue - red) / safe, 4 + (red - green) / safe
    hue = torch.where(which == 0, of_red, torch.where(which == 1, of_green, of_blue)) + 6 * turn
    # Red, green and blue are one wave around the circle, sampled at three places a third apart.
    place = (pixels.new_tensor([5.0, 3.0, 1.0]).view(1, 3, 1, 1) + hue) % 6
    return value - chroma * torch.minimum(place, 4 - place).clamp(0.0, 1.0)


def _blur(pixels: Tensor, sigmas: Sequence[float]) -> Tensor:
    count, channels, height, width = pixels.shape
    radius = min(_BLUR_RADIUS, height - 1, width - 1)
    distance = torch.arange(-radius, radius + 1, device=pixels.device, dtype=pixels.dtype)
    weights = torch.exp(-0.5 * (distance[None] / pixels.new_tensor(sigmas)[:, None]) ** 2)
    weights = (weights / weights.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    # Every channel of every image is a group of its own, so that each image has its own sigma.
    flat = pad(
        pixels.reshape(1, count * channels, height, width), (radius, radius, radius, radius), "reflect"
    )
    flat = conv2d(flat, weights[:, None, None, :], groups=count * channels)
    flat = conv2d(flat, weights[:, None, :, None], groups=count * channels)
    return flat.view(count, channels, height, width)


_CHANGES: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (_brightness, _contrast, _saturation, _hue)
