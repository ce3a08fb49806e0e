"""What one linear layer reads out of frozen features: the semantic labels of pixels of other scenes.

The layer is multinomial logistic regression with a little weight decay, which has one best solution and is
solved for it, so that a score belongs to the features and not to an optimiser's luck.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from pri3d_data.errors import UsageError
from pri3d_train.info_nce import gather_features
from pri3d_train.pair_model import PairModel

#: Pixels of a frame that the layer is trained on; neighbours say much the same.
PIXELS_A_FRAME = 250
#: Weight decay; enough to make the solution unique, too little to matter for features of unit variance.
DECAY = 1e-4
_ITERATIONS = 300


class LabelledFrame(Protocol):
    """An image and what its pixels are."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""

    @property
    def labels(self) -> NDArray[np.uint16]:
        """(H, W) uint16 class numbers, 0 where none is known."""


@dataclass(frozen=True)
class LinearScore:
    """Shares in [0, 1]; the mean of IoU is over the classes that occur among the measured pixels.

    Attributes:
        miou: mean intersection over union. A class the layer was never shown counts as 0.
        accuracy: labelled pixels told right.
        class_accuracy: mean over those classes of their pixels told right, when the layer is asked as if all
            classes were equally frequent. Where one class covers half of all pixels, as walls do, features
            show here first.
        classes: classes among the measured pixels. unseen: those of them that were not trained on.
        frames, train_frames: frames measured and trained on.
    """

    miou: float
    accuracy: float
    class_accuracy: float
    classes: int
    unseen: int
    frames: int
    train_frames: int

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LinearLayer:
    """A linear layer on standardised features.

    Attributes:
        classes: (K,) int64 class numbers, ascending.
        mean, deviation: (C,) float64 of the features trained on. weight: (C, K) float64. bias: (K,) float64.
        share: (K,) float64, of each class among the pixels trained on.
    """

    classes: Tensor
    mean: Tensor
    deviation: Tensor
    weight: Tensor
    bias: Tensor
    share: Tensor

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C) features to (N,) int64 class numbers, and those told were all classes equally frequent."""
        scores = (features.double() - self.mean) / self.deviation @ self.weight + self.bias
        # Bayes: scores are log posteriors up to a constant, and the prior is that of the training pixels.
        even = scores - self.share.log()
        return self.classes[scores.argmax(1)], self.classes[even.argmax(1)]


def linear_probe(
    model: PairModel, train: Iterable[LabelledFrame], test: Iterable[LabelledFrame], *, seed: int = 0
) -> LinearScore:
    """Train a layer on frozen features of ``train`` and measure it on every labelled pixel of ``test``.

    Args:
        model: in evaluation mode, on the device to compute on.
        train: frames to learn from, `PIXELS_A_FRAME` labelled pixels of each.
        test: frames of other scenes.
        seed: of the pixels trained on.

    Raises:
        UsageError: one of the two has no labelled pixel, or ``train`` fewer than two classes.
    """
    random = np.random.default_rng(seed)
    drawn = [_pixels(model, frame, random) for frame in train]
    layer = fit(torch.cat([f for f, _ in drawn]), torch.cat([c for _, c in drawn])) if drawn else None
    if layer is None:
        raise UsageError("There is no frame to train the linear probe on: choose other --train-scenes.")
    told: list[Tensor] = []
    told_even: list[Tensor] = []
    true, frames = [], 0
    for frame in test:
        features, classes = _pixels(model, frame)
        for answers, said in zip((told, told_even), layer(features), strict=True):
            answers.append(said.cpu())
        true.append(classes.cpu())
        frames += 1
    if not frames or not sum(len(part) for part in true):
        raise UsageError("No labelled pixel was found to measure: choose other --scenes.")
    miou, accuracy, _, present = scores(torch.cat(told), torch.cat(true))
    class_accuracy = scores(torch.cat(told_even), torch.cat(true))[2]
    unseen = int((~torch.isin(present, layer.classes.cpu())).sum())
    return LinearScore(miou, accuracy, class_accuracy, len(present), unseen, frames, len(drawn))


def fit(features: Tensor, classes: Tensor) -> LinearLayer:
    """The layer of least cross entropy plus half of `DECAY` times the squared weights.

    Args:
        features: (N, C) float.
        classes: (N,) int64 class numbers.

    Raises:
        UsageError: there are fewer than two classes.
    """
    numbers, targets = torch.unique(classes, return_inverse=True)
    if len(numbers) < 2:
        raise UsageError(
            f"The frames to train the linear probe on show {len(numbers)} labelled classes, and it takes two "
            "to tell apart: choose more --train-scenes."
        )
    # Float64: in float32 the line search ends early, at a place that depends on the machine.
    exact = features.double()
    mean, deviation = exact.mean(0), exact.std(0, correction=0).clamp(min=1e-9)
    inputs = (exact - mean) / deviation
    weight = inputs.new_zeros(inputs.shape[1], len(numbers), requires_grad=True)
    bias = inputs.new_zeros(len(numbers), requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_ITERATIONS,
        history_size=20,
        tolerance_grad=1e-6,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        solver.zero_grad()
        loss = cross_entropy(inputs @ weight + bias, targets) + 0.5 * DECAY * (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(objective)  # type: ignore[no-untyped-call]
    share = torch.bincount(targets) / len(targets)
    return LinearLayer(numbers, mean, deviation, weight.detach(), bias.detach(), share.double())


def scores(told: Tensor, true: Tensor) -> tuple[float, float, float, Tensor]:
    """Mean IoU over the classes in ``true``, accuracy, its mean over those classes, and those classes.

    Args:
        told: (N,) int64 class numbers, N > 0.
        true: (N,) int64.
    """
    present: Tensor = torch.unique(true)
    ious, recalls = [], []
    for number in present:
        is_told, is_true = told == number, true == number
        right = float((is_told & is_true).sum())
        ious.append(right / float((is_told | is_true).sum()))
        recalls.append(right / float(is_true.sum()))
    accuracy = float((told == true).double().mean())
    return sum(ious) / len(ious), accuracy, sum(recalls) / len(recalls), present


@torch.no_grad()
def _pixels(
    model: PairModel, frame: LabelledFrame, random: np.random.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Features and classes of a frame's labelled pixels, all of them or as many as are trained on."""
    rows, columns = np.nonzero(frame.labels)
    if random is not None and len(rows) > PIXELS_A_FRAME:
        some = random.choice(len(rows), PIXELS_A_FRAME, replace=False)
        rows, columns = rows[some], columns[some]
    device = model.mean.device
    maps = model.features(torch.from_numpy(np.ascontiguousarray(frame.image))[None].to(device))
    pixels = torch.from_numpy(np.stack([columns, rows], 1))[None].to(device)
    classes: Any = torch.from_numpy(frame.labels[rows, columns].astype(np.int64))
    return gather_features(maps, pixels)[0].float(), classes.to(device)
