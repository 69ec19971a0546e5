"""Compare the accuracy of zoo and other trainers on the same images, with the same backbone and in the same time.

    python benchmarks/rivals.py --images FOLDER --minutes 1.25 [--seeds 0,1,2] [--contenders zoo fastai timm accelerate]

FOLDER has train/CLASS/IMAGE and val/CLASS/IMAGE, as `benchmarks/accuracy_images.py` makes them; nothing is chosen on val here.
With `--test FOLDER` (CLASS/IMAGE), zoo's model is also scored on images that were used for no choice, after its time is over.
A minute is the time in which bare training steps at 96 px, measured just before, process 11,400 images: 60 s at 190 images/s.
Each contender runs in its own process for this time. All but zoo train for whole epochs: the number that comes nearest to the
time, at least one. All start with the same pretrained weights at 96 px.

- zoo: a recipe of backbone, data, size and `train.max_minutes`, which is the time of the whole command.
- fastai (`pip install fastai`): `vision_learner` with the usual transforms and `fine_tune`, as its documentation shows.
- timm: the defaults of `train.py` in its repository, with timm's own loaders, schedule and loss, but AdamW at 5e-4 and a warm-up
  of a fifth of the run, because its default of 300 epochs of SGD is for training from random weights.
- accelerate: a plain loop that trains all weights, with AdamW at 5e-4, one_cycle, random crops and flips, as in its examples.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

BACKBONE = "tf_efficientnet_lite0"
SIZE = 96
# Batch size of the bare step, timm and accelerate. fastai uses its own default of 64, and zoo chooses.
BATCH_SIZE = 64
# Images that bare steps process in a minute: 60 s at 190 images/s.
IMAGES_PER_MINUTE = 60 * 190
# Timed steps from which a contender plans its epochs, and warm-up steps before them.
TIMED_STEPS = 6
WARM_STEPS = 2
CONTENDERS = ("zoo", "fastai", "timm", "accelerate")


def main() -> None:
    """Run the contenders in turn, or act as one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="train/CLASS/IMAGE and val/CLASS/IMAGE")
    parser.add_argument("--minutes", type=float, default=1.25, help="bare minutes of each contender (1.25)")
    parser.add_argument("--seeds", default="0,1,2", help="numbers with commas between")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="options of zoo's recipe beside the usual ones")
    parser.add_argument("--test", type=Path, metavar="FOLDER", help="score zoo's models on these images too")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(globals()[f"run_{options.contender}"](options)))
        return
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in options.contenders}
    for seed in options.seeds.split(","):
        for name in options.contenders:
            bare = in_a_process("bare", options, seed, 0.0)["speed"]
            seconds = options.minutes * IMAGES_PER_MINUTE / bare
            rows[name].append(in_a_process(name, options, seed, seconds) | {"given": seconds, "bare": bare})
            print(json.dumps({"contender": name, "seed": int(seed)} | rows[name][-1]), flush=True)
    print(f"\n{'':<12}{'accuracy':>10}{'seconds of those given':>24}   all seeds")
    for name, found in rows.items():
        accuracy = [100 * row["accuracy"] for row in found]
        share = statistics.fmean(row["seconds"] / row["given"] for row in found)
        print(f"{name:<12}{statistics.fmean(accuracy):>10.1f}{share:>24.2f}   {', '.join(f'{each:.1f}' for each in accuracy)}")
        if "test" in found[0]:
            print(f"{'on test':<12}{statistics.fmean(100 * row['test'] for row in found):>10.1f}")


def in_a_process(name: str, options: argparse.Namespace, seed: str, seconds: float) -> dict[str, float]:
    """Run a contender in its own process and return the values of its last line."""
    command = [sys.executable, __file__, f"--images={options.images}", f"--seeds={seed}", f"--seconds={seconds}"]
    command += [f"--contender={name}", *([f"--test={options.test}"] if options.test else []), "--set", *options.set]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def run_bare(options: argparse.Namespace) -> dict[str, float]:
    """Measure the images/s of training steps on one batch in memory."""
    from training import run_bare as measured

    settings = {"models": [BACKBONE], "size": SIZE, "batch_size": BATCH_SIZE, "steps": 8}
    return {"speed": measured(argparse.Namespace(**vars(options) | settings))}


def run_zoo(options: argparse.Namespace) -> dict[str, float]:
    """Train with zoo for the given time."""
    import zoo
    from zoo.recipe.load import check_recipe
    from zoo.recipe.yaml import Source, apply_overrides
    from zoo.results.folder import RunFolder
    from zoo.results.result import read_result
    from zoo.training.run import train

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        source = Source("rivals.yaml")
        usual = [f"backbone={{name: {BACKBONE}.in1k}}", f"data={{kind: folder, root: {options.images}}}"]
        usual += [f"image_size={SIZE}", f"train.max_minutes={options.seconds / 60}", f"train.seed={options.seeds}"]
        apply_overrides(source, [*usual, f"output.root={folder}", "eval.every_epochs=100000", *options.set])
        run = train(check_recipe(source, Path("rivals.yaml")), began=began)
        seconds, result = time.perf_counter() - began, read_result(RunFolder(run))
        assert result is not None
        found = {
            "accuracy": result.val["accuracy"],
            "seconds": seconds,
            "epochs": float(result.epochs),
            "images": result.train.images_per_second * result.train.seconds,
        }
        if options.test:
            found["test"] = zoo.evaluate(run, options.test).scores.accuracy
        return found


def pretrained(folder: str) -> dict[str, Any]:
    """Write the weights that zoo finds to a folder, and return the arguments with which `timm.create_model` loads them."""
    from safetensors.torch import save_file

    from zoo.models.build import build_model
    from zoo.models.options import Backbone

    backbone = Backbone(name=f"{BACKBONE}.in1k")
    built = build_model(backbone, backbone.weights.find(backbone.name), 1000, SIZE)
    save_file({key: value.contiguous() for key, value in built.model.state_dict().items()}, f"{folder}/weights.safetensors")
    return {"pretrained": True, "pretrained_cfg_overlay": {"file": f"{folder}/weights.safetensors"}}


def epochs_in(seconds: float, epoch_seconds: float) -> int:
    """Return the number of whole epochs that comes nearest to a time, at least one."""
    return max(1, round(seconds / epoch_seconds))


def epoch_seconds(step: Callable[[Any], object], loader: Iterable[Any], steps: int) -> float:
    """Return the seconds of an epoch of `steps` steps, estimated from a few steps and their batches."""
    batches = iter(loader)
    for _ in range(WARM_STEPS):
        step(next(batches))
    started = time.perf_counter()
    for _ in range(TIMED_STEPS):
        step(next(batches))
    return (time.perf_counter() - started) / TIMED_STEPS * steps


def run_fastai(options: argparse.Namespace) -> dict[str, float]:
    """Fine-tune as in fastai's documentation."""
    import torch

    # zoo does not depend on fastai, so it is imported only here.
    fastai: Any = importlib.import_module("fastai.vision.all")

    began = time.perf_counter()
    seed = int(options.seeds)
    fastai.set_seed(seed, reproducible=True)
    with tempfile.TemporaryDirectory() as folder:
        loaders = fastai.ImageDataLoaders.from_folder(
            options.images,
            train="train",
            valid="val",
            item_tfms=fastai.Resize(SIZE),
            batch_tfms=fastai.aug_transforms(),
            seed=seed,
            num_workers=0,
        )
        learner = fastai.vision_learner(loaders, BACKBONE, metrics=fastai.accuracy, path=folder, **pretrained(folder))
        start = {key: value.clone() for key, value in learner.model.state_dict().items()}

        def step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
            learner.loss_func(learner.model(batch[0]), batch[1]).backward()
            learner.model.zero_grad()

        frozen = epoch_seconds(step, loaders.train, len(loaders.train))
        learner.unfreeze()
        whole = epoch_seconds(step, loaders.train, len(loaders.train))
        learner.model.load_state_dict(start)
        learner.freeze()
        spent = time.perf_counter() - began
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(epochs_in(options.seconds - spent - frozen, whole))
        return {"accuracy": float(learner.recorder.values[-1][2]), "seconds": time.perf_counter() - began - spent}


def run_timm(options: argparse.Namespace) -> dict[str, float]:
    """Train in the same way as timm's train.py on one CPU."""
    import timm
    import timm.data
    import timm.utils
    from timm.loss.cross_entropy import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler.scheduler_factory import create_scheduler_v2

    timm.utils.random_seed(int(options.seeds), 0)
    with tempfile.TemporaryDirectory() as folder:
        model: Any = timm.create_model(BACKBONE, num_classes=10, **pretrained(folder))
    config = timm.data.resolve_data_config({"input_size": (3, SIZE, SIZE)}, model=model)
    common: dict[str, Any] = {name: config[name] for name in ("input_size", "mean", "std")}
    common |= {"batch_size": BATCH_SIZE, "use_prefetcher": False, "num_workers": 1}
    own: dict[str, dict[str, Any]] = {
        "train": {"color_jitter": 0.4, "interpolation": "random"},
        "val": {"crop_pct": config["crop_pct"], "interpolation": config["interpolation"]},
    }
    train, val = (
        timm.data.create_loader(
            cast("Any", timm.data.create_dataset("", root=str(options.images), split=split, is_training=split == "train")),
            is_training=split == "train",
            **common,
            **extra,
        )
        for split, extra in own.items()
    )
    optimizer = create_optimizer_v2(model, opt="adamw", lr=5e-4, weight_decay=2e-5)

    def schedule(epochs: int) -> Callable[[int], None]:
        """Return the function that sets the learning rate after a step."""
        warm_up: dict[str, Any] = {"warmup_epochs": max(1, epochs // 5), "warmup_lr": 1e-5} if epochs > 1 else {}
        made: Any = create_scheduler_v2(
            optimizer, num_epochs=epochs, step_on_epochs=False, updates_per_epoch=len(train), **warm_up
        )
        return made[0].step_update

    return loop(options, model, optimizer, LabelSmoothingCrossEntropy(0.1), train, val, schedule)


def run_accelerate(options: argparse.Namespace) -> dict[str, float]:
    """Train in a plain loop with Accelerate."""
    import timm
    import torch
    from accelerate import Accelerator
    from accelerate.utils import set_seed
    from torchvision import datasets, transforms

    set_seed(int(options.seeds))
    accelerator = Accelerator(cpu=True)
    with tempfile.TemporaryDirectory() as folder:
        model: Any = timm.create_model(BACKBONE, num_classes=10, **pretrained(folder))
    ending = [transforms.ToTensor(), transforms.Normalize(model.default_cfg["mean"], model.default_cfg["std"])]
    varied = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip()]
    sets = {"train": varied, "val": [transforms.Resize((SIZE, SIZE))]}
    loaders = [
        torch.utils.data.DataLoader(
            datasets.ImageFolder(options.images / split, transforms.Compose([*first, *ending])),
            batch_size=BATCH_SIZE,
            shuffle=split == "train",
            num_workers=1,
        )
        for split, first in sets.items()
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4 / 25)
    model, optimizer, train, val = accelerator.prepare(model, optimizer, *loaders)

    def schedule(epochs: int) -> Callable[[int], None]:
        """Return the function that sets the learning rate after a step."""
        made = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-4, epochs=epochs, steps_per_epoch=len(train) + 1)
        return lambda _step: made.step()

    return loop(options, model, optimizer, torch.nn.functional.cross_entropy, train, val, schedule)


def loop(
    options: argparse.Namespace,
    model: Any,
    optimizer: Any,
    loss_of: Callable[..., Any],
    train: Any,
    val: Any,
    schedule: Callable[[int], Callable[[int], None]],
) -> dict[str, float]:
    """Time a few steps and undo them, train for the number of epochs that comes nearest to the time, and score val."""
    import copy

    import torch

    start = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())

    def step(batch: tuple[torch.Tensor, torch.Tensor]) -> None:
        loss_of(model(batch[0]), batch[1]).backward()
        optimizer.step()
        optimizer.zero_grad()

    model.train()
    epochs = epochs_in(options.seconds, epoch_seconds(step, train, len(train)))
    model.load_state_dict(start[0])
    optimizer.load_state_dict(start[1])
    began, taken = time.perf_counter(), 0
    set_rate = schedule(epochs)
    for _ in range(epochs):
        model.train()
        for batch in train:
            step(batch)
            taken += 1
            set_rate(taken)
    model.eval()
    with torch.inference_mode():
        right = [model(images).argmax(1) == targets for images, targets in val]
    return {"accuracy": float(torch.cat(right).double().mean()), "seconds": time.perf_counter() - began, "epochs": float(epochs)}


if __name__ == "__main__":
    main()
