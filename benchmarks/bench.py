"""Compare `zoo bench` on this machine with measurements that it should agree with.

    python benchmarks/bench.py timm                    images/s, and those of the timed loops of timm's benchmark.py
    python benchmarks/bench.py auto                    the choice of `auto`, and the speed of every precision and layout
    python benchmarks/bench.py repeat --rounds 21      number of later medians within the first round's percentiles,
                                                       and the same for plain matrix products
    python benchmarks/bench.py order                   models measured in order, in reverse order, and alone

All but `auto` measure fp32 in the default layout. The contenders take turns, each in its own process. With `timm`, the steps
of timm and zoo take turns in one process, because the speed of a shared machine changes within seconds. timm's package does
not contain its `benchmark.py`, so this file has copies of its loops (InferenceBenchmarkRunner, TrainBenchmarkRunner).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODES = ("infer", "train")
# Warm-up steps of each contender, which do not count.
WARM_UP = 3
# Timed steps of each contender per round.
STEPS = 10
# Seconds for which matrix products are timed before each round of `repeat`: about as long as zoo bench measures a mode.
CONTROL_SECONDS = 5.0
# The flags of zoo bench for `repeat` and `order`.
DEFAULT = ["--precision", "fp32", "--channels-last", "off"]


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["timm", "auto", "repeat", "order"])
    parser.add_argument("--models", nargs="+", default=["tf_efficientnet_lite0", "resnet18", "deit_tiny_patch16_224"])
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels (224)")
    parser.add_argument("--batch-size", type=int, default=16, help="images of a step (16)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender is measured (3)")
    parser.add_argument("--steps", help="timed steps of each zoo bench (its own choice)")
    parser.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        print(json.dumps(pair(options)))
        return
    globals()[f"compare_{options.what}"](options)


def bench(options: argparse.Namespace, models: list[str], *flags: str) -> dict[str, dict[str, Any]]:
    """Run zoo bench; return its rows by model."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["--image-size", str(options.size), "--batch-size", str(options.batch_size), "--out", folder]
        settings += ["--steps", options.steps] if options.steps else []
        command = [sys.executable, "-m", "zoo", "bench", *models, *settings, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        return {row["model"]: row for row in json.loads((Path(folder) / "results.json").read_text())}


def compare_timm(options: argparse.Namespace) -> None:
    """Print the median images/s of timm's steps and of zoo's; the steps take turns."""
    print(f"{'model':<24} {'mode':<6} {'timm':>8} {'zoo':>8} {'zoo/timm':>9}   steps of each")
    for model in options.models:
        for mode in MODES:
            settings = [f"--size={options.size}", f"--batch-size={options.batch_size}", f"--rounds={options.rounds}"]
            command = [sys.executable, __file__, "timm", f"--models={model}", f"--mode={mode}", *settings]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            seconds = json.loads(done.stdout.splitlines()[-1])
            theirs, ours = (options.batch_size / statistics.median(seconds[who]) for who in ("timm", "zoo"))
            count = len(seconds["zoo"])
            print(f"{model:<24} {mode:<6} {theirs:>8.1f} {ours:>8.1f} {ours / theirs:>9.3f}   {count}", flush=True)


def pair(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of timm's steps and of zoo's, which take turns, each with its own model and batch."""
    import torch

    from zoo.system import launch
    from zoo.system.threads import set_threads

    set_threads("auto", launch.read())
    torch.manual_seed(0)
    steps = {"timm": _timm_step(options), "zoo": _zoo_step(options)}
    seconds: dict[str, list[float]] = {who: [] for who in steps}
    for number in range(WARM_UP + STEPS * options.rounds):
        # Each contender goes first in half of the steps.
        for who in sorted(steps, reverse=bool(number % 2)):
            took = steps[who]()
            if number >= WARM_UP:
                seconds[who].append(took)
    return seconds


def _zoo_step(options: argparse.Namespace) -> Callable[[], float]:
    import torch

    from zoo.bench import steps
    from zoo.bench.settings import Request, Settings
    from zoo.models.build import build_model
    from zoo.models.options import Backbone, RandomWeights

    settings = Settings(modes=(options.mode,), batch_size=options.batch_size, precision="fp32", channels_last=False)
    backbone = Backbone(name=options.models[0], weights=RandomWeights())
    model = build_model(backbone, None, settings.classes, options.size).model
    prepared = steps.prepare(Request(options.models[0], settings), model, options.size, torch.device("cpu"))
    steps.choose_batch(prepared)
    step = steps.step_alone(prepared, options.mode)
    return lambda: steps.seconds_of(step, prepared)


def _timm_step(options: argparse.Namespace) -> Callable[[], float]:
    import timm
    import torch
    from timm.optim import create_optimizer_v2

    size = {"img_size": options.size} if "vit" in options.models[0] or "deit" in options.models[0] else {}
    model = timm.create_model(options.models[0], **size).train(options.mode == "train")
    images = torch.randn(options.batch_size, 3, options.size, options.size)
    optimizer = create_optimizer_v2(model, opt="sgd", lr=1e-4)
    loss = torch.nn.CrossEntropyLoss()

    def infer() -> float:
        started = time.perf_counter()
        with torch.no_grad():
            model(images)
        return time.perf_counter() - started

    def train() -> float:
        optimizer.zero_grad()
        started = time.perf_counter()
        output = model(images)
        targets = torch.empty((len(output),), dtype=torch.long).random_(output.shape[1])
        loss(output, targets).backward()
        optimizer.step()
        return time.perf_counter() - started

    return infer if options.mode == "infer" else train


def compare_auto(options: argparse.Namespace) -> None:
    """Print the training speed of the choice of `auto` as a share of the fastest candidate's."""
    import torch

    from zoo.system.device import native_bf16

    native = native_bf16(torch.device("cpu"))
    candidates = [(precision, layout) for precision in (["fp32", "bf16"] if native else ["fp32"]) for layout in ("on", "off")]
    for model in options.models:
        speeds: dict[tuple[str, str], list[float]] = {candidate: [] for candidate in candidates}
        chosen = []
        for _ in range(options.rounds):
            for precision, layout in candidates:
                flags = ["--mode", "train", "--precision", precision, "--channels-last", layout]
                speeds[precision, layout].append(bench(options, [model], *flags)[model]["train_samples_per_sec"])
            row = bench(options, [model], "--mode", "train")[model]
            chosen.append((row["precision"], "on" if row["channels_last"] else "off"))
        medians = {candidate: statistics.median(values) for candidate, values in speeds.items()}
        # The speed of a choice is the median speed of the same candidate, not its own measurement.
        shares = [medians[candidate] / max(medians.values()) for candidate in chosen]
        shown = ", ".join(f"{precision}/{layout} {speed:.1f}" for (precision, layout), speed in medians.items())
        print(f"{model:<24} chosen {chosen}, share of the best {[round(share, 3) for share in shares]} ({shown})", flush=True)


def compare_repeat(options: argparse.Namespace) -> None:
    """Print how many later medians lie between the first round's percentiles, and the same for a control without zoo.

    The control is a series of plain matrix products, timed before each round and evaluated in the same way. It shows how
    constant the speed of the machine itself is from one round to the next.
    """
    for model in options.models:
        rows, controls = [], []
        for _ in range(options.rounds):
            controls.append(_control())
            rows.append(bench(options, [model], *DEFAULT)[model])
        for mode in MODES:
            column = f"{mode}_samples_per_sec"
            _print_repeats(model, mode, [(row[f"{column}_p10"], row[column], row[f"{column}_p90"]) for row in rows])
        _print_repeats("matrix products", "", controls)


def _control(seconds: float = CONTROL_SECONDS) -> tuple[float, float, float]:
    """Return the GFLOP/s of plain matrix products, measured in a separate process: 10th percentile, median, 90th percentile."""
    code = (
        "import json, time, torch\n"
        "side, found, started = 1024, [], time.perf_counter()\n"
        "left = torch.ones(side, side)\n"
        f"while time.perf_counter() - started < {seconds}:\n"
        "    before = time.perf_counter()\n"
        "    for _ in range(4): torch.mm(left, left)\n"
        "    found.append(4 * 2 * side**3 / (time.perf_counter() - before) / 1e9)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    tenths = statistics.quantiles(json.loads(done.stdout), n=10)
    return tenths[0], tenths[4], tenths[8]


def _print_repeats(name: str, mode: str, rounds: list[tuple[float, float, float]]) -> None:
    low, _, high = rounds[0]
    medians = [median for _, median, _ in rounds[1:]]
    inside = sum(low <= median <= high for median in medians)
    shown = ", ".join(f"{median:.1f}" for median in medians)
    print(f"{name:<24} {mode:<6} {inside} of {len(medians)} within {low:.1f}-{high:.1f}: {shown}", flush=True)


def compare_order(options: argparse.Namespace) -> None:
    """Print each model's speed when measured in the given order, in reverse order, and alone."""
    runs = [bench(options, options.models, *DEFAULT), bench(options, options.models[::-1], *DEFAULT)]
    runs.append({model: bench(options, [model], *DEFAULT)[model] for model in options.models})
    print(f"{'model':<24} {'mode':<6} {'in order':>9} {'reverse':>9} {'alone':>9}")
    for model in options.models:
        for mode in MODES:
            speeds = "".join(f"{run[model][f'{mode}_samples_per_sec']:>10.1f}" for run in runs)
            print(f"{model:<24} {mode:<6}{speeds}", flush=True)


if __name__ == "__main__":
    main()
