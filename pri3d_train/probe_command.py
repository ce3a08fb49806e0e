"""`pri3d-train probe`: how good a run's features are, without fine-tuning them."""

from __future__ import annotations

import json

import click

from pri3d_data.errors import UsageError


@click.command()
@click.option(
    "--data",
    "datasets",
    multiple=True,
    required=True,
    metavar="OUT",
    help="Dataset folder or URL; repeatable.",
)
@click.option(
    "--checkpoint",
    required=True,
    metavar="RUN_OR_FILE",
    help="Run folder or checkpoint, ours or the authors'.",
)
@click.option(
    "--scenes", default="", metavar="SCENES", help="Measure these scenes: names or globs, by commas."
)
@click.option(
    "--train-scenes",
    default="",
    metavar="SCENES",
    help="Train a linear probe on these scenes' labels and measure it on --scenes.",
)
@click.option("--pairs", type=int, default=64, help="Pairs to measure.")
@click.option("--matches", type=int, default=1024, help="Matches drawn from a pair.")
@click.option("--frames", type=int, default=200, help="Most frames each side of the linear probe takes.")
@click.option("--seed", type=int, default=0, help="Decides the pairs, matches, random and labelled pixels.")
@click.option("--ema", is_flag=True, help="Probe the averaged weights of a run with --ema.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def probe(
    datasets: tuple[str, ...],
    checkpoint: str,
    scenes: str,
    train_scenes: str,
    pairs: int,
    matches: int,
    frames: int,
    seed: int,
    ema: bool,
    as_json: bool,
) -> None:
    """Measure frozen features: matched against random pixels, retrieval, and a linear probe on labels.

    The linear probe needs data built with --labels.

    \b
    Examples, on scenes the run was told to --hold-out:
      pri3d-train probe --data shards/ --checkpoint runs/first --scenes "scene07*" --pairs 200
      pri3d-train probe --data shards/ --checkpoint runs/first --scenes "scene07*" \\
          --train-scenes "scene0[0-6]*" --json
    """
    if pairs < 1 or matches < 1 or frames < 1:
        raise UsageError(
            "There is nothing to measure without pairs, matches or frames: give --pairs, --matches and "
            "--frames above 0."
        )
    from pri3d_train.probing import probe as measure

    result, said = measure(
        checkpoint,
        datasets,
        scenes=scenes,
        train_scenes=train_scenes,
        pairs=pairs,
        matches=matches,
        frames=frames,
        seed=seed,
        ema=ema,
    )
    if as_json:
        click.echo(json.dumps({"checkpoint": checkpoint, **result}))
        return
    click.echo("\n".join(said))
