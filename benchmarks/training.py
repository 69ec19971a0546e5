"""Compare the speed of zoo on this machine with the loops that it replaces, and print tables of medians.

    python benchmarks/training.py training --data FOLDER     images/s of training steps, end to end on real images
    python benchmarks/training.py batches --data FOLDER      images/s of making batches only, at 224 px
    python benchmarks/training.py checkpoints --data FOLDER  seconds of a checkpoint, and the speed left with one per epoch
    python benchmarks/training.py host --data FOLDER         us of random draws, seeding, train mode and weight average

FOLDER has train/CLASS/IMAGE. In `training` and `batches`, the contenders take turns for several rounds, each in its own process.
The baselines are what a careful user would write. The bare step trains on a fixed batch in memory, in the fastest of fp32 and,
if the CPU has it, bf16, each contiguous and channels_last. The plain loop is Accelerate's `examples/cv_example.py` with a
torchvision DataLoader and two workers.
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
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

Step = Callable[[], Any]


class Defaults(NamedTuple):
    """The default image size, batch size and steps of a comparison."""

    size: int
    batch_size: int
    steps: int


# Defaults of each comparison. Images of 96 px make training steps of about a second on two cores. Batches are compared at the
# usual size of ImageNet, in more steps, because two workers deliver two batches at a time.
DEFAULTS = {
    "training": Defaults(size=96, batch_size=64, steps=8),
    "batches": Defaults(size=224, batch_size=128, steps=40),
    "checkpoints": Defaults(size=96, batch_size=64, steps=8),
    "host": Defaults(size=64, batch_size=64, steps=200),
}
# Images of the epoch that the seconds of a checkpoint are compared with: about an eighth of CIFAR-10's training set.
EPOCH_IMAGES = 6_400
# ImageNet's mean and standard deviation by channel, with which images are normalized.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def main() -> None:
    """Run the contenders in turn, or act as one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=DEFAULTS)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="images, as FOLDER/train/CLASS/IMAGE")
    parser.add_argument("--models", nargs="+", default=["tf_efficientnet_lite0", "resnet18"])
    parser.add_argument("--size", type=int, help="side of the images in pixels (96; batches: 224)")
    parser.add_argument("--batch-size", type=int, help="images of a step (64; batches: 128)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender is measured (3)")
    parser.add_argument("--steps", type=int, help="timed steps of each round (8; batches: 40)")
    parser.add_argument("--contenders", nargs="+", help="of training: some of bare, zoo, zoo_folded, plain_loop")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, value in DEFAULTS[options.what]._asdict().items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if options.contender:
        print(json.dumps(globals()[f"run_{options.contender}"](options)))
    elif options.data is None:
        parser.error("--data FOLDER is needed")
    elif options.what == "checkpoints":
        checkpoints(options)
    elif options.what == "host":
        host(options)
    elif options.what == "batches":
        table(options, f"batches of {options.batch_size} images of {options.size} px", ["torchvision_batches", "zoo_batches"], [])
    else:
        for model in options.models:
            contenders = options.contenders or ["bare", "zoo", "zoo_folded", "plain_loop"]
            table(options, f"{model}, {options.size} px, batch {options.batch_size}", contenders, ["--models", model])


def table(options: argparse.Namespace, title: str, contenders: list[str], extra: list[str]) -> None:
    """Measure each contender once per round; print its median, absolute and as a share of the first contender's."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name in contenders:
            settings = {"size": options.size, "batch-size": options.batch_size, "steps": options.steps, "data": options.data}
            flags = [f"--{key}={value}" for key, value in settings.items()]
            command = [sys.executable, __file__, options.what, *flags, *extra, "--contender", name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            speeds[name].append(json.loads(done.stdout.splitlines()[-1]))
    first = statistics.median(speeds[contenders[0]])
    print(f"\n{title}\n{'':<22}{'images/s':>10}{'of the first':>14}   all rounds")
    for name, values in speeds.items():
        median = statistics.median(values)
        print(f"{name:<22}{median:>10,.0f}{median / first:>14.2f}   {', '.join(f'{value:,.0f}' for value in values)}", flush=True)


def checkpoints(options: argparse.Namespace) -> None:
    """Time steps and checkpoints of one run in turn; print the share of images/s that is left with a checkpoint per epoch."""
    from zoo.results.folder import RunFolder
    from zoo.training.saver import Saver

    for model in options.models:
        options.models = [model]
        setup, progress, step = _zoo_steps(options, "train")
        for _ in range(3):
            step()
        steps, saves = [], []
        with tempfile.TemporaryDirectory() as folder:
            saver = Saver(setup, RunFolder(Path(folder)))
            for _ in range(options.rounds):
                saves.append(_seconds(lambda saver=saver, progress=progress: saver.save(progress)))
                steps += [_seconds(step) for _ in range(options.steps)]
        epoch = statistics.mean(steps) * EPOCH_IMAGES / options.batch_size
        saving = statistics.median(saves)
        print(f"\n{model}, {options.size} px, batch {options.batch_size}, AdamW")
        print(f"a checkpoint: median {saving:.2f} s ({', '.join(f'{value:.2f}' for value in saves)})")
        share = epoch / (epoch + saving)
        print(f"images/s with one for every {EPOCH_IMAGES:,} images: {share:.4f} of those with none", flush=True)


def host(options: argparse.Namespace) -> None:
    """Print the microseconds of four parts of a step: random draws, seeding, train mode, and the average of the weights."""
    from zoo.data.rng import epoch_order, torch_seed
    from zoo.system.device import seed_device
    from zoo.training.loop import set_train_mode

    print(f"{options.size} px, batch {options.batch_size}: median us\n{'':<22}{'draws':>9}{'seeds':>9}{'modes':>9}{'average':>9}")
    for model in options.models:
        options.models = [model]
        training = _zoo_steps(options, "train", 0.99)[0].training
        positions = epoch_order(0, 0, len(training.train))[: options.batch_size]
        pieces = [
            lambda training=training, positions=positions: training.train.draw(positions, training.augment, 0, 0),
            lambda training=training: seed_device(training.accelerator.device, torch_seed(0, 0, 0)),
            lambda training=training: set_train_mode(training),
            lambda training=training: training.averaged.follow(training.bare_model, 0),
        ]
        medians = [statistics.median(_seconds(piece) for _ in range(options.steps)) * 1e6 for piece in pieces]
        medians[2] /= training.steps_per_epoch  # once per epoch
        print(f"{model:<22}{''.join(f'{median:>9,.0f}' for median in medians)}", flush=True)


def _seconds(act: Step) -> float:
    """Return the seconds of an action."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def timed(step: Step, images: int, steps: int, warm_up: int = 3) -> float:
    """Return the images per second of the median step."""
    for _ in range(warm_up):
        step()
    return images / statistics.median(_seconds(step) for _ in range(steps))


def sustained(step: Step, images: int, steps: int, warm_up: int = 8) -> float:
    """Return the images per second over all steps: two workers deliver two batches at a time, so a median would mean nothing."""
    for _ in range(warm_up):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return images * steps / (time.perf_counter() - started)


def run_bare(options: argparse.Namespace) -> float:
    """Measure forward, backward and fused AdamW on one batch in memory, in the fastest precision and layout."""
    import timm
    import torch

    from zoo.system.device import native_bf16

    torch.set_num_threads(_cores())
    best = 0.0
    native = native_bf16(torch.device("cpu"))
    for precision in [torch.float32, torch.bfloat16] if native else [torch.float32]:
        for layout in (torch.contiguous_format, torch.channels_last):
            model = timm.create_model(options.models[0], num_classes=10).train().to(memory_format=layout)
            optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
            images = torch.randn(options.batch_size, 3, options.size, options.size).contiguous(memory_format=layout)
            targets = torch.randint(10, (options.batch_size,))

            def step() -> None:
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision is torch.bfloat16):
                    loss = torch.nn.functional.cross_entropy(model(images), targets)
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()

            best = max(best, timed(step, options.batch_size, options.steps))
    return best


def run_plain_loop(options: argparse.Namespace) -> float:
    """Measure a plain loop with Accelerate: PIL transforms in two DataLoader workers, AdamW, fp32."""
    import timm
    import torch
    from accelerate import Accelerator

    torch.set_num_threads(_cores())
    accelerator = Accelerator(cpu=True)
    model = timm.create_model(options.models[0], num_classes=10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model, optimizer, loader = accelerator.prepare(model, optimizer, _pil_loader(options.data, options.size, options.batch_size))
    model.train()
    batches = iter(loader)

    def step() -> None:
        images, targets = next(batches)
        loss = torch.nn.functional.cross_entropy(model(images), targets)
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return timed(step, options.batch_size, options.steps)


def run_zoo(options: argparse.Namespace) -> float:
    """Measure zoo's own step on real images, with BatchNorm in training mode."""
    return _zoo(options, "train")


def run_zoo_folded(options: argparse.Namespace) -> float:
    """Measure zoo's own step on real images, with BatchNorm frozen and folded."""
    return _zoo(options, "frozen")


def _zoo(options: argparse.Namespace, norm: str) -> float:
    return timed(_zoo_steps(options, norm)[2], options.batch_size, options.steps)


def _zoo_steps(options: argparse.Namespace, norm: str, ema: float | None = None) -> tuple[Any, Any, Step]:
    """Return a setup, its progress, and a function that makes the next training step on real images."""
    from zoo.data.rng import epoch_order
    from zoo.system import launch
    from zoo.system.console import Console
    from zoo.training.auto import decide
    from zoo.training.loop import one_step
    from zoo.training.setup import set_up
    from zoo.training.state import EpochTotals, Progress

    setup, progress = set_up(decide(_recipe(options, norm, ema)).recipe, launch.read(), Console(quiet=True)), Progress()
    order = epoch_order(0, 0, len(setup.training.train))

    def step() -> None:
        first = progress.step * options.batch_size % (len(order) - options.batch_size)
        one_step(setup.training, order[first : first + options.batch_size], progress.step, EpochTotals())
        progress.step += 1

    return setup, progress, step


def _recipe(options: argparse.Namespace, norm: str, ema: float | None = None) -> Any:
    from zoo.recipe.recipe import Recipe

    return Recipe.model_validate_json(
        json.dumps(
            {
                "backbone": {"name": options.models[0], "weights": "random"},
                "data": {"kind": "folder", "root": str(options.data), "val_fraction": 0},
                "image_size": options.size,
                "finetune": {"batch_norm": norm},
                "train": {"batch_size": options.batch_size, "epochs": 1, "ema": ema},
                "eval": {"select_by": "last"},
                "schedule": "constant",
            }
        )
    )


def run_torchvision_batches(options: argparse.Namespace) -> float:
    """Measure batches by torchvision: RandomResizedCrop, flip and normalization of PIL images in two DataLoader workers."""
    loader = _pil_loader(options.data, options.size, options.batch_size)
    batches = (batch for _ in itertools.count() for batch in loader)
    return sustained(lambda: next(batches), options.batch_size, options.steps)


def run_zoo_batches(options: argparse.Namespace) -> float:
    """Measure batches by zoo with the same augmentation, made in the training process."""
    import numpy as np
    import torch

    from zoo.data.augment import Augment, RandomResized
    from zoo.data.batches import Batches, Preprocessing
    from zoo.data.resize import Normalize
    from zoo.system import launch
    from zoo.system.threads import keep_freed_memory, set_threads
    from zoo.training.inputs import load_inputs

    set_threads("auto", launch.read())
    keep_freed_memory()
    data = load_inputs(_recipe(options, "train")).data
    preprocessing = Preprocessing(Normalize(MEAN, STD), "bicubic", 0.875)
    batches = Batches(data.train, preprocessing, len(data.classes), torch.device("cpu"))
    augment = Augment(crop=RandomResized(scale=(0.08, 1.0)))
    order = np.random.default_rng(0).permutation(len(data.train))
    number = itertools.count()

    def step() -> None:
        index = next(number)
        positions = order[np.arange(index * options.batch_size, (index + 1) * options.batch_size) % len(order)]
        batches.training(positions, slice(None), options.size, augment, 0, index)

    return sustained(step, options.batch_size, options.steps)


def _pil_loader(root: Path, size: int, batch_size: int) -> Any:
    import torch
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    data = datasets.ImageFolder(str(root / "train"), transform)
    return torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True, num_workers=2)


def _cores() -> int:
    from zoo.system.hardware import cores

    return cores()


if __name__ == "__main__":
    main()
