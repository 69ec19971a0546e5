"""Compare `zoo sweep` with the same runs by `zoo train`, one after the other, on this machine.

    python benchmarks/sweep.py overhead --rounds 3     additional seconds per run of the sweep, compared with single runs,
                                                       and whether the models have the same bits

Each round makes all runs in both ways. Each run has one thread, because several threads would wait for each other on a busy
machine. The seconds of a run by `zoo train` are those of its whole process. The images are scikit-learn's digits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECIPE = """\
backbone: {{name: test_resnet, weights: random}}
data: {{kind: digits}}
image_size: {size}
train: {{epochs: {epochs}, batch_size: 32, precision: fp32, channels_last: false, accumulate: 1, threads: 1}}
optim: {{lr: 2.0e-3}}
"""


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead"])
    parser.add_argument("--models", nargs="+", default=["test_resnet", "test_vit"], help="trained with random weights")
    parser.add_argument("--seeds", default="0,1,2", help="seeds of each model (0,1,2)")
    parser.add_argument("--size", type=int, default=32, help="side of the images in pixels (32)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of each run (3)")
    parser.add_argument("--rounds", type=int, default=3, help="how often both are done (3)")
    compare_overhead(parser.parse_args())


def compare_overhead(options: argparse.Namespace) -> None:
    """Print the seconds of both ways, and the seconds that the sweep adds to each run."""
    runs = [(model, seed) for model in options.models for seed in options.seeds.split(",")]
    beyond, beyond_training = [], []
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "recipe.yaml").write_text(RECIPE.format(size=options.size, epochs=options.epochs), encoding="utf-8")
            sweep = seconds(folder, "sweep", "recipe.yaml", *options.models, "--seeds", options.seeds, "--out", "sweep")
            trained = 0.0
            for model, seed in runs:
                more = [f"backbone.name={model}", f"train.seed={seed}", f"name={model}-seed{seed}", "output.root=alone"]
                trained += seconds(folder, "train", "recipe.yaml", *more)
            same = sum(digest(folder / "sweep" / f"{m}-seed{s}") == digest(folder / "alone" / f"{m}-seed{s}") for m, s in runs)
            inside = sum(training_seconds(folder / "sweep" / f"{model}-seed{seed}") for model, seed in runs)
        beyond.append((sweep - trained) / len(runs))
        beyond_training.append((sweep - inside) / len(runs))
        what = f"sweep {sweep:.1f} s, zoo train {trained:.1f} s, training steps alone {inside:.1f} s"
        print(f"round {number}: {what}; {same} of {len(runs)} models have the same bits")
    print(f"beyond zoo train, for each run: {statistics.median(beyond):+.1f} s (median of {len(beyond)})")
    print(f"beyond the training steps, for each run: {statistics.median(beyond_training):+.1f} s (set-up, evaluation, pictures)")


def seconds(folder: Path, *arguments: str) -> float:
    """Run a `zoo` command in a folder and return its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "zoo", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - started


def digest(run: Path) -> str:
    """Return the digest of a run's weights."""
    return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()


def training_seconds(run: Path) -> float:
    """Return the seconds of a run's training steps."""
    return json.loads((run / "result.json").read_text(encoding="utf-8"))["train"]["seconds"]


if __name__ == "__main__":
    main()
