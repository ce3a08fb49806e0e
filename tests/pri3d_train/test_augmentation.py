import colorsys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pretend_stream import PretendStream
from scipy.ndimage import gaussian_filter

from pri3d_train.augmentation import Recipe, augment, draw_recipes

NOTHING = Recipe((), (1.0, 1.0, 1.0, 0.0), False, 0.0)
PAIR = PretendStream().pair(0, 0, 0)


@pytest.fixture
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 16, 20, 3), dtype=np.uint8))


def by_hand(image, kind, amount):
    """One change of one image in float64, as colour jitter is defined."""
    pixels = image.double().numpy() / 255
    luma = pixels @ (0.299, 0.587, 0.114)
    if kind == 0:
        changed = pixels * amount
    elif kind == 1:
        changed = amount * pixels + (1 - amount) * luma.mean()
    elif kind == 2:
        changed = amount * pixels + (1 - amount) * luma[..., None]
    else:
        changed = np.zeros_like(pixels)
        for place in np.ndindex(*luma.shape):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixels[place])
            changed[place] = colorsys.hsv_to_rgb((hue + amount) % 1.0, saturation, value)
    return changed.clip(0, 1) * 255


@pytest.mark.parametrize(("kind", "amount"), [(0, 0.6), (0, 1.4), (1, 0.7), (2, 1.3), (3, 0.1), (3, -0.07)])
def test_each_change_is_what_it_says(images, kind, amount):
    amounts = [1.0, 1.0, 1.0, 0.0]
    amounts[kind] = amount
    recipe = replace(NOTHING, order=(3, 1, 0, 2), amounts=tuple(amounts))
    changed = augment(images, [recipe] * 5)
    assert np.abs(changed[1].double().numpy() - by_hand(images[1], kind, amount)).max() <= 0.51


def test_changes_follow_one_another_in_the_order_drawn(images):
    amounts = (1.4, 0.6, 1.0, 0.0)
    one, other = (
        augment(images, [Recipe(order, amounts, False, 0.0)] * 5) for order in ((0, 1, 2, 3), (1, 0, 2, 3))
    )
    assert not torch.equal(one, other)


def test_blur_is_a_gaussian_and_grey_is_grey(images):
    blurred = augment(images, [replace(NOTHING, sigma=sigma) for sigma in (0.1, 0.5, 1.0, 1.5, 2.0)])
    for image, changed, sigma in zip(images, blurred, (0.1, 0.5, 1.0, 1.5, 2.0), strict=True):
        expected = gaussian_filter(image.double().numpy(), (sigma, sigma, 0), mode="mirror", radius=6)
        assert np.abs(changed.double().numpy() - expected).max() <= 0.51
    grey = augment(images, [replace(NOTHING, grey=True)] * 5)
    assert torch.equal(grey[..., 0], grey[..., 1])
    assert torch.equal(augment(images, [NOTHING] * 5), images)


def test_what_is_drawn_follows_seed_epoch_and_pair_alone(images):
    here = draw_recipes(3, 1, PAIR)
    np.random.seed(9)  # noqa: NPY002
    torch.manual_seed(9)
    assert draw_recipes(3, 1, PAIR) == here
    assert here[0] != here[1]
    others = [draw_recipes(4, 1, PAIR), draw_recipes(3, 2, PAIR)]
    others += [draw_recipes(3, 1, replace(PAIR, **{name: 7})) for name in ("scene", "frame_a", "frame_b")]
    assert all(other != here for other in others)
    # An image's result does not depend on which others share its batch.
    recipes = [draw_recipes(0, epoch, PAIR)[0] for epoch in range(5)]
    together = augment(images, recipes)
    assert all(torch.equal(augment(images[i : i + 1], recipes[i : i + 1])[0], together[i]) for i in range(5))


def test_what_is_drawn_has_the_authors_frequencies():
    drawn = [recipe for epoch in range(2000) for recipe in draw_recipes(0, epoch, PAIR)]
    for have, expected in (
        (np.mean([bool(recipe.order) for recipe in drawn]), 0.8),
        (np.mean([recipe.grey for recipe in drawn]), 0.2),
        (np.mean([recipe.sigma > 0 for recipe in drawn]), 0.5),
    ):
        assert have == pytest.approx(expected, abs=0.03)
    amounts = np.array([recipe.amounts for recipe in drawn])
    assert np.allclose(amounts.min(0), [0.6, 0.6, 0.6, -0.1], atol=0.01)
    assert np.allclose(amounts.max(0), [1.4, 1.4, 1.4, 0.1], atol=0.01)
    sigmas = [recipe.sigma for recipe in drawn if recipe.sigma]
    assert 0.1 <= min(sigmas) < 0.12
    assert 1.98 < max(sigmas) <= 2.0
