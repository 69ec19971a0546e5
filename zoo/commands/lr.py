"""`zoo lr`: find a learning rate for a recipe by a range test of a hundred steps."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from zoo.commands.train import input_of_first
from zoo.flags import check_new_file, whole_number

# Default number of steps of a test.
STEPS = "100"
# Minimum number of steps: with fewer, each rate would be several times the previous one.
FEWEST = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo lr`."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="a recipe file, or the name of a shipped one")
    about = "options to change; rates from a thousandth to a thousand times optim.lr are tested"
    parser.add_argument("overrides", metavar="key=value", nargs="*", help=about)
    parser.add_argument("--steps", metavar="N", default=STEPS, help=f"training steps at most (default {STEPS})")
    parser.add_argument("--plot", metavar="FILE.svg", type=Path, help="draw the loss over the rate")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Test rates and print the suggested one; return the exit code.

    Raises:
        ZooError: bad input, or the loss never fell.
    """
    began = time.perf_counter()
    from zoo.system import launch
    from zoo.system.console import Console
    from zoo.system.threads import announce_threads

    steps = whole_number("--steps", options.steps, FEWEST, 100)
    if options.plot is not None:
        check_new_file("--plot", options.plot, [".svg"], "picture")
    start = launch.read()
    launch.follow_launcher()
    with input_of_first(argparse.Namespace(**{**vars(options), "resume": None}), start) as (recipe, _, _):
        recipe.data.check()
        announce_threads(recipe.train.threads, start)
        from zoo.training.lr_range import described, range_test

        console = Console(quiet=options.json or not start.main)
        found = range_test(recipe, steps, console, began)
    if not start.main:
        return 0
    assert found.suggestion is not None
    command = train_command(options.recipe, options.overrides, found.suggestion.lr)
    if options.plot is not None:
        from zoo.results.lr_curve import draw_range

        title = f"{recipe.name}: loss over the learning rate, {recipe.optim.name}"
        read = found.suggestion
        draw_range(found.rates, found.losses, found.smoothed, (read.low, read.lr, read.high), options.plot, title)
    if options.json:
        print(json.dumps({"recipe": str(recipe.name), **found.record(), "command": command}, indent=2, ensure_ascii=False))
        return 0
    for name, text in described(found):
        console.fact(name, text)
    console.fact("picture", str(options.plot) if options.plot else "none; --plot lr.svg draws the loss over the rate")
    console.fact("next", command)
    return 0


def train_command(recipe: Path, overrides: Sequence[str], lr: float) -> str:
    """Return the command that trains a recipe with a learning rate."""
    kept = [word for word in overrides if not word.startswith("optim.lr=")]
    return shlex.join(["zoo", "train", str(recipe), *kept, f"optim.lr={lr:g}"])
