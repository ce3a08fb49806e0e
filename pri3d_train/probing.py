"""Everything that can be said of frozen features, measured in one go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pri3d_data.errors import UsageError
from pri3d_train.initialise import load_network
from pri3d_train.labelled_frames import LabelledFrames
from pri3d_train.linear_probe import linear_probe
from pri3d_train.margin import first_pairs, measure
from pri3d_train.probe_stream import ProbeStream
from pri3d_train.scene_choice import parse_scenes


def probe(
    checkpoint: str,
    datasets: Sequence[str],
    *,
    scenes: str,
    train_scenes: str,
    pairs: int,
    matches: int,
    frames: int,
    seed: int,
    ema: bool,
) -> tuple[dict[str, Any], list[str]]:
    """Measure a network; see `pri3d_train.margin` and `pri3d_train.linear_probe` for what the figures are.

    Args:
        checkpoint: run folder or checkpoint.
        datasets: folders or URLs that `pri3d-data build` wrote.
        scenes: names and globs to measure on, by commas; empty for all.
        train_scenes: those a linear probe is trained on; empty for no linear probe.
        pairs, matches: how many pairs, and most matches of each.
        frames: most frames that the linear probe is trained on, and measured on.
        seed: of everything drawn.
        ema: take the averaged weights.

    Returns:
        Figures by name, those of the linear probe as ``linear_<name>``, and the same as sentences.

    Raises:
        UsageError: nothing can be measured; scenes are asked for that are not there, or both to train and to
            measure on.
        DataError, StorageError: something cannot be read.
    """
    model, loaded = load_network(checkpoint, ema=ema)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    choice = parse_scenes(scenes, exclude=False)
    source = ProbeStream(datasets, seed=seed, matches=matches, scenes=choice)
    if choice is not None:
        choice.check("--scenes")
    margin = measure(model, first_pairs(source, pairs), matches=matches, seed=seed)
    result: dict[str, Any] = margin.as_dict()
    in_space = "" if margin.retrieval_2cm is None else f", within 2 cm {margin.retrieval_2cm:.1%}"
    said = [
        loaded,
        f"{margin.pairs} pairs: cosine of matched pixels {margin.matched:.3f}, of random ones "
        f"{margin.random:.3f}",
        f"margin {margin.margin:.3f}, partner found within 5 px {margin.retrieval:.1%}{in_space}",
    ]
    learn = parse_scenes(train_scenes, exclude=False)
    if learn is not None:
        train, test = (LabelledFrames(datasets, part, frames) for part in (learn, choice))
        learn.check("--train-scenes")
        if both := sorted(train.scenes & test.scenes):
            raise UsageError(
                f"{both[0]} is among both --train-scenes and --scenes, and a linear probe that was shown the "
                "answers says nothing: choose others."
            )
        score = linear_probe(model, train, test, seed=seed)
        result |= {f"linear_{name}": value for name, value in score.as_dict().items()}
        said.append(
            f"linear probe: mean IoU {score.miou:.1%} over {score.classes} classes, "
            f"{score.accuracy:.1%} of pixels ({score.train_frames} frames to learn from, {score.frames} to "
            "measure)"
        )
    return result, said
