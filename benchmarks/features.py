"""Time head-only training on images, and on cached features with an empty and with a filled cache.

python benchmarks/features.py speed --data photos --rounds 3
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# The value of `finetune.cache_features` for each contender; cold has an empty cache, warm a filled one.
CONTENDERS = {"images": "false", "cold": "true", "warm": "true"}


def main() -> None:
    """Train each contender in turn with its own command, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed"])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="images, as FOLDER/train/CLASS/IMAGE")
    parser.add_argument("--model", default="tf_efficientnet_lite0.in1k")
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (96)")
    parser.add_argument("--images", type=int, default=2000, help="training images, val among them (2000)")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="more options of the recipe")
    options = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "head.yaml").write_text(recipe_text(options))
        for _ in range(options.rounds):
            # Only features are removed; decoded images stay in the cache.
            shutil.rmtree(place / "cache" / "features", ignore_errors=True)
            for name, changed in CONTENDERS.items():
                words = [f"name={name}", f"finetune.cache_features={changed}", *options.set]
                seconds[name].append(timed(place / "head.yaml", words))
    what = f"{options.images:,} images of {options.size} px, {options.epochs} epochs"
    print(f"{options.model}, {what}: medians of {options.rounds}")
    print(f"{'':<10}{'training s':>12}{'times':>8}{'command s':>12}{'times':>8}   training, all rounds")
    first = [statistics.median(each) for each in zip(*seconds["images"], strict=True)]
    for name, rounds in seconds.items():
        training, command = (statistics.median(each) for each in zip(*rounds, strict=True))
        each = ", ".join(f"{found[0]:.1f}" for found in rounds)
        print(f"{name:<10}{training:>12.1f}{first[0] / training:>8.1f}{command:>12.1f}{first[1] / command:>8.1f}   {each}")


def recipe_text(options: argparse.Namespace) -> str:
    """Return the recipe that all contenders share."""
    return (
        f"backbone: {{name: {options.model}}}\n"
        f"data: {{kind: folder, root: '{options.data.resolve()}', max_train: {options.images}, max_test: 200}}\n"
        f"image_size: {options.size}\n"
        "augment: {crop: none, hflip: false}\n"
        "finetune: {freeze: backbone}\n"
        f"train: {{epochs: {options.epochs}}}\n"
    )


def timed(recipe: Path, words: list[str]) -> tuple[float, float]:
    """Return the seconds from the start of training, features included, to the last epoch's row, and of the whole command."""
    began = time.perf_counter()
    start = end = 0.0
    # The cache is in the temporary folder of the recipe, so it is empty at first.
    environment = {**os.environ, "ZOO_CACHE": str(recipe.parent / "cache")}
    command = [sys.executable, "-m", "zoo", "train", str(recipe), f"output.root={recipe.parent}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        for line in running.stdout or ():
            # The schedule is printed just before training; the row of an epoch begins with its number.
            if line.startswith("schedule "):
                start = time.perf_counter()
            if line.split()[:1] and line.split()[0].isdigit():
                end = time.perf_counter()
    if running.returncode:
        sys.exit(running.returncode)
    return end - start, time.perf_counter() - began


if __name__ == "__main__":
    main()
