"""Compare `zoo scout` with the work that it replaces, on this machine.

    python benchmarks/scout.py probe --data FOLDER     accuracy, and that of scikit-learn on features from plain timm
    python benchmarks/scout.py speed --data FOLDER     images/s of extracting features, and of the bare inference step
    python benchmarks/scout.py time --data FOLDER      seconds of scouting three backbones, and of fine-tuning each 2 epochs

FOLDER has train/CLASS/IMAGE. The baseline of `probe` is what a careful user would write: Pillow and timm's own transform,
then scikit-learn's StandardScaler and LogisticRegression on the same outer folds, with the penalty chosen by GridSearchCV on
inner folds. The bare step of `speed` is timm's model, in fp32 and channels_last, on one batch in memory that has the same
size as zoo's batches.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

# Values of scikit-learn's C: 1 / (penalty x number of images). The range is about as wide as that of zoo's penalties.
GRID = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1]
BACKBONES = ["tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2"]


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["probe", "speed", "time"])
    parser.add_argument("--data", required=True, metavar="FOLDER", help="images, as FOLDER/train/CLASS/IMAGE")
    parser.add_argument("--models", nargs="+", default=BACKBONES)
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (96)")
    parser.add_argument("--images", type=int, default=3200, help="images at most (3200)")
    parser.add_argument("--rounds", type=int, default=5, help="blocks that take turns, for speed (5)")
    parser.add_argument("--threads", type=int, help="CPU threads (all cores)")
    parser.add_argument("--set", nargs="*", default=[], metavar="key=value", help="more options of the recipe, for time")
    options = parser.parse_args()
    globals()[f"compare_{options.what}"](options)


def subject(options: argparse.Namespace, model: str) -> tuple[Any, Any, Any]:
    """Return the recipe, the images that `zoo scout` would use, and a split of these images."""
    from zoo.scout.folds import scouted
    from zoo.scout.scouting import look_at
    from zoo.scout.settings import Settings
    from zoo.scout.subject import find_subject

    words = [f"backbone.name={model}", f"image_size={options.size}", "augment.crop=pad_shift"]
    recipe = find_subject(options.data, words).recipe
    images = look_at(recipe, options.size, Settings({}, options.size, options.images, 5))
    data = recipe.data.load(recipe.train.seed, options.size)
    return recipe, images, scouted(data).take(images.positions)


def extractor(options: argparse.Namespace, recipe: Any, split: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return zoo's feature extractor, timm's bare model, and the facts of its preprocessing."""
    import torch

    from zoo.data.batches import Batches, Preprocessing
    from zoo.data.resize import Normalize
    from zoo.models.build import build_model, data_config
    from zoo.scout.features import Backbone

    facts = data_config(recipe.backbone.name)
    found = recipe.backbone.weights.find(recipe.backbone.name)
    model = build_model(recipe.backbone, found, 10, options.size).model.eval()
    preprocessing = Preprocessing(Normalize(facts["mean"], facts["std"]), facts["interpolation"], 1.0)
    batches = Batches(split, preprocessing, 10, torch.device("cpu"), channels_last=True)
    return Backbone(model, batches, options.size), model, facts


def compare_probe(options: argparse.Namespace) -> None:
    """Print the accuracy and the seconds of zoo and of scikit-learn for each backbone."""
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from zoo.scout.probe import probe

    torch.set_num_threads(options.threads or torch.get_num_threads())
    for name in options.models:
        recipe, images, split = subject(options, name)
        backbone, model, facts = extractor(options, recipe, split)
        started = time.perf_counter()
        scores = probe(backbone.extract(len(split))[0], torch.from_numpy(split.targets), images.fold)
        ours, spent = statistics.fmean(scores.folds), time.perf_counter() - started
        started = time.perf_counter()
        features = plain_features(options, model, facts, split)
        accuracies = []
        for left in range(5):
            test = images.fold == left
            fit = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
            grid = GridSearchCV(fit, {"logisticregression__C": GRID}, cv=3)
            grid.fit(features[~test], split.targets[~test])
            accuracies.append(grid.score(features[test], split.targets[test]))
        theirs, longer = statistics.fmean(accuracies), time.perf_counter() - started
        print(
            f"{name:<28} zoo {ours:.2%} in {spent:.0f} s  scikit-learn {theirs:.2%} in {longer:.0f} s  "
            f"difference {100 * (ours - theirs):+.2f} points",
            flush=True,
        )


def plain_features(options: argparse.Namespace, model: Any, facts: dict[str, Any], split: Any) -> np.ndarray:
    """Return features, float32 [N, D], computed with Pillow, timm's transform and timm's model."""
    import timm.data
    import torch
    from PIL import Image

    known: dict[str, Any] = {**facts, "crop_pct": 1.0, "input_size": (3, options.size, options.size)}
    transform: Any = timm.data.create_transform(is_training=False, **known)
    paths = [Path(options.data) / name for name in split.names()]
    rows = []
    for start in range(0, len(paths), 32):
        images = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths[start : start + 32]])
        with torch.inference_mode():
            rows.append(model.forward_head(model.forward_features(images), pre_logits=True).numpy())
    return np.concatenate(rows)


def compare_speed(options: argparse.Namespace) -> None:
    """Print images/s of both for each backbone: medians over blocks that take turns, and the median ratio."""
    import torch

    torch.set_num_threads(options.threads or torch.get_num_threads())
    for name in options.models:
        recipe, _, split = subject(options, name)
        backbone, model, _ = extractor(options, recipe, split)
        model = model.to(memory_format=torch.channels_last)
        batch = torch.randn(backbone.chunk, 3, options.size, options.size).to(memory_format=torch.channels_last)
        steps = max(2, min(len(split), 16 * backbone.chunk) // backbone.chunk)
        pairs = []
        for _ in range(options.rounds + 1):
            bare = bare_speed(model, batch, steps)
            pairs.append((backbone.extract(steps * backbone.chunk)[1], bare))
        # The first block is the warm-up.
        ours, theirs = zip(*pairs[1:], strict=True)
        ratio = statistics.median(own / other for own, other in pairs[1:])
        print(
            f"{name:<28} features {statistics.median(ours):7.0f} images/s  bare step {statistics.median(theirs):7.0f} images/s  "
            f"ratio {ratio:.2f}",
            flush=True,
        )


def bare_speed(model: Any, batch: Any, steps: int) -> float:
    """Return images/s of a model on one batch, float32 [B, 3, S, S]."""
    import torch

    with torch.inference_mode():
        model(batch)
        started = time.perf_counter()
        for _ in range(steps):
            model(batch)
    return steps * len(batch) / (time.perf_counter() - started)


def compare_time(options: argparse.Namespace) -> None:
    """Print the seconds of scouting the backbones with a control, and of fine-tuning each backbone for 2 epochs."""
    words = [f"image_size={options.size}", "train.epochs=2", "augment.crop=pad_shift", *options.set]
    with tempfile.TemporaryDirectory() as folder:
        scout = [*options.models, "--max-images", str(options.images), "--out", f"{folder}/scout"]
        scouting = zoo("scout", options.data, *scout, *words)
        print(f"scout of {len(options.models)} and a control: {scouting:.0f} s", flush=True)
        tuning = 0.0
        for name in options.models:
            changes = [f"data.root={options.data}", f"data.max_train={options.images}", f"output.root={folder}"]
            spent = zoo("train", "folder/example", f"backbone.name={name}", *changes, *words)
            print(f"{name}: {spent:.0f} s", flush=True)
            tuning += spent
        rows = json.loads(Path(folder, "scout", "results.json").read_text())
        print(f"ratio {scouting / tuning:.2f}; order {names_by_probe(rows)}")


def names_by_probe(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of the rows of `zoo scout`, the best probe first; its file has them in the order of the command."""
    from zoo.scout.rows import ordered, title

    return [title(row) for row in ordered(rows, "probe")]


def zoo(*words: str) -> float:
    """Run a command of zoo and return its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "zoo", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"zoo {' '.join(words)} failed: {done.stderr}")
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
