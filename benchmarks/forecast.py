"""Compare the time that `zoo train --plan` predicts with the time that the run then takes, on this machine.

    python benchmarks/forecast.py plan --rounds 10                                      predicted and measured, whole processes
    python benchmarks/forecast.py plan --recipe cifar10/efficientnet_lite0 --set train.epochs=1 --rounds 3
    python benchmarks/forecast.py scout --data FOLDER                                   the same for the minutes of `zoo scout`

Each plan is followed at once by its run, in separate processes, because the speed of a shared machine changes within minutes.
Rounds use the variants of the recipe in turn. The difference of the median ratio from 1 is the bias. The median of the
distances from 1 is the error that a user can expect.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Variants of the recipe, in the options that change the time of a run most.
VARIANTS = (
    (),
    ("backbone.name=tf_efficientnet_lite1.in1k", "image_size=48"),
    ("finetune.freeze=backbone", "finetune.probe_first=true"),
    ("train.batch_size=64", "train.epochs=3"),
    ("finetune.batch_norm=train", "image_size=48"),
)


def main() -> None:
    """Predict and measure in turn, and print each pair and the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["plan", "scout"])
    parser.add_argument("--recipe", default="quickstart", help="the recipe (quickstart)")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="options to change in every round")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of a prediction and a run (10)")
    parser.add_argument("--data", metavar="FOLDER", help="for scout: a folder of images")
    parser.add_argument("--models", nargs="+", default=["tf_efficientnet_lite0", "tf_efficientnet_lite1"])
    options = parser.parse_args()
    ratios = [row(name, *pair) for name, *pair in (plans(options) if options.what == "plan" else scouted(options))]
    distance = statistics.median(abs(ratio - 1) for ratio in ratios)
    print(f"median of {len(ratios)}: ratio {statistics.median(ratios):.2f}, distance from 1 {distance:.1%}")


def row(name: str, predicted: float, measured: float) -> float:
    """Print predicted and measured seconds, and return their ratio."""
    print(f"{name:<60} predicted {predicted:7.1f} s  measured {measured:7.1f} s  ratio {predicted / measured:.2f}", flush=True)
    return predicted / measured


def plans(options: argparse.Namespace) -> Any:
    """Yield for each round the changed options, the seconds that the plan predicts, and the measured seconds of the run."""
    for changes in itertools.islice(itertools.cycle(VARIANTS), options.rounds):
        words = [options.recipe, *changes, *options.set]
        predicted = json.loads(zoo("train", *words, "--plan", "--json"))["seconds"]
        yield " ".join(changes) or "as it is", predicted, run_seconds(words)


def scouted(options: argparse.Namespace) -> Any:
    """Yield for each backbone its name, the seconds that `zoo scout` predicts, and the measured seconds of its run."""
    with tempfile.TemporaryDirectory() as folder:
        for model in options.models:
            out = Path(folder) / model
            zoo("scout", options.data, model, *options.set, "--out", str(out), "--json")
            found = json.loads((out / "results.json").read_text())[0]
            words = ["folder/example", f"data.root={options.data}", f"backbone.name={found['model']}", *options.set]
            yield model, 60 * found["minutes"], run_seconds(words)


def run_seconds(words: list[str]) -> float:
    """Return the seconds of a whole run, from the start to the end of its process."""
    with tempfile.TemporaryDirectory() as root:
        started = time.perf_counter()
        zoo("train", *words, f"output.root={root}")
        return time.perf_counter() - started


def zoo(*words: str) -> str:
    """Run a command of zoo and return its output."""
    done = subprocess.run([sys.executable, "-m", "zoo", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"zoo {' '.join(words)} failed: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
