from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from pri3d_data.errors import UsageError
from pri3d_train.linear_probe import DECAY, fit, linear_probe, scores
from pri3d_train.pair_model import PairModel


def test_the_layer_is_the_best_there_is():
    random = np.random.default_rng(0)
    centres = random.normal(size=(3, 4))
    targets = random.integers(0, 3, 300)
    features = (centres[targets] + random.normal(size=(300, 4))) * [1, 10, 0.1, 1] + [0, 50, 0, -3]
    layer = fit(torch.from_numpy(features).float(), torch.tensor([7, 2, 41])[targets])
    standard = (features - features.mean(0)) / features.std(0)
    numbers = np.array([7, 2, 41])[targets]
    column = np.searchsorted([2, 7, 41], numbers)

    def objective(flat):
        weight, bias = flat[:12].reshape(4, 3), flat[12:]
        logits = standard @ weight + bias
        logits -= logits.max(1, keepdims=True)
        chosen = logits[np.arange(300), column] - np.log(np.exp(logits).sum(1))
        return -chosen.mean() + 0.5 * DECAY * (weight**2).sum()

    best = minimize(objective, np.zeros(15), method="BFGS", options={"maxiter": 2000})
    assert layer.classes.tolist() == [2, 7, 41]
    np.testing.assert_allclose(layer.weight.numpy(), best.x[:12].reshape(4, 3), atol=2e-3)
    # Only differences of biases mean anything.
    np.testing.assert_allclose(np.diff(layer.bias.numpy()), np.diff(best.x[12:]), atol=2e-3)
    told, told_even = layer(torch.from_numpy(features).float())
    logits = standard @ best.x[:12].reshape(4, 3) + best.x[12:]
    shares = np.bincount(column) / 300
    for said, expected in ((told, logits), (told_even, logits - np.log(shares))):
        assert (said.numpy() == np.array([2, 7, 41])[expected.argmax(1)]).mean() > 0.99


def test_scores_are_a_confusion_matrix_s():
    random = np.random.default_rng(1)
    true, told = random.choice([3, 5, 9], 400), random.choice([3, 5, 9, 11], 400)
    table = {(t, p): int(((true == t) & (told == p)).sum()) for t in (3, 5, 9) for p in (3, 5, 9, 11)}
    ious, recalls = [], []
    for c in (3, 5, 9):
        row = sum(table[c, p] for p in (3, 5, 9, 11))
        column = sum(table[t, c] for t in (3, 5, 9))
        ious.append(table[c, c] / (row + column - table[c, c]))
        recalls.append(table[c, c] / row)
    miou, accuracy, class_accuracy, present = scores(torch.from_numpy(told), torch.from_numpy(true))
    assert miou == pytest.approx(np.mean(ious))
    assert accuracy == pytest.approx(sum(table[c, c] for c in (3, 5, 9)) / 400)
    assert class_accuracy == pytest.approx(np.mean(recalls))
    assert present.tolist() == [3, 5, 9]


@dataclass
class Frame:
    image: np.ndarray
    labels: np.ndarray


class Colours(PairModel):
    """A network whose features are the colours of every other pixel."""

    def features(self, images):
        return images[:, ::2, ::2].permute(0, 3, 1, 2).float() / 255


def frame(seed, colours, size=(40, 60)):
    """Blocks of 10 x 10 pixels, each of one class of ``colours`` (class: RGB) and some noise."""
    random = np.random.default_rng(seed)
    blocks = random.choice(list(colours), (size[0] // 10, size[1] // 10))
    labels = blocks.repeat(10, 0).repeat(10, 1).astype(np.uint16)
    image = np.zeros((*size, 3))
    for number, rgb in colours.items():
        image[labels == number] = rgb
    image += random.normal(scale=20, size=image.shape)
    return Frame(image.clip(0, 255).astype(np.uint8), labels)


PAINT = {4: (200, 60, 60), 6: (60, 200, 60), 300: (60, 60, 200)}


def test_classes_that_colours_tell_apart_are_told_apart_in_frames_never_seen():
    score = linear_probe(Colours("resnet18"), [frame(0, PAINT), frame(1, PAINT)], [frame(2, PAINT)])
    assert (score.classes, score.unseen, score.frames, score.train_frames) == (3, 0, 1, 2)
    assert score.miou > 0.98
    assert score.accuracy > 0.98


def test_a_class_never_shown_counts_as_nothing_and_unlabelled_pixels_do_not_count():
    seen = frame(2, PAINT)
    seen.labels[:, :30] = 0
    known = linear_probe(Colours("resnet18"), [frame(0, PAINT)], [seen])
    other = Frame(seen.image, np.where(seen.labels == 300, 77, seen.labels).astype(np.uint16))
    score = linear_probe(Colours("resnet18"), [frame(0, PAINT)], [other])
    assert (known.unseen, score.unseen, score.classes) == (0, 1, known.classes)
    assert score.miou == pytest.approx(known.miou * (1 - 1 / known.classes), abs=0.02)
    share = (seen.labels == 300).sum() / (seen.labels > 0).sum()
    assert score.accuracy == pytest.approx(known.accuracy * (1 - share), abs=0.02)


def test_a_rare_class_is_not_drowned_when_all_are_asked_for_alike():
    random = np.random.default_rng(6)

    def overlapping():
        labels = np.where(random.random((80, 80)) < 0.95, 1, 2).astype(np.uint16)
        values = random.normal(np.where(labels == 1, 110, 140), 20).clip(0, 255).astype(np.uint8)
        image, labels = values[::2, ::2], labels[::2, ::2]
        return Frame(np.stack([image] * 3, 2).repeat(2, 0).repeat(2, 1), labels.repeat(2, 0).repeat(2, 1))

    score = linear_probe(
        Colours("resnet18"), [overlapping() for _ in range(8)], [overlapping() for _ in range(4)]
    )
    # The best threshold lies half way, 0.75 deviations from either mean: 77 % of both are on their side.
    assert score.class_accuracy == pytest.approx(0.77, abs=0.03)
    assert score.accuracy > 0.94


def test_the_seed_decides_which_pixels_are_trained_on_and_nothing_else_does():
    random = np.random.default_rng(5)
    hard = [Frame(random.integers(0, 256, (40, 60, 3), np.uint8), frame(s, PAINT).labels) for s in range(3)]
    once, again, other = (
        linear_probe(Colours("resnet18"), hard[:2], hard[2:], seed=seed) for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([frame(0, {4: (0, 0, 0)})], [frame(0, PAINT)], "1 labelled classes"),
        ([], [frame(0, PAINT)], "--train-scenes"),
        ([frame(0, PAINT)], [], "other --scenes"),
        ([frame(0, PAINT)], [frame(0, {0: (9, 9, 9)})], "No labelled pixel"),
    ],
)
def test_what_cannot_be_measured_says_so(train, test, message):
    with pytest.raises(UsageError, match=message):
        linear_probe(Colours("resnet18"), train, test)
