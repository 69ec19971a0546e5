"""Hold `zoo bench` against what it should agree with, on this machine.

    python scripts/compare_bench.py timm --benchmark FILE   images/s beside timm's benchmark.py (FILE, from timm's repository)
    python scripts/compare_bench.py auto                    what `auto` chose beside every precision and layout in full
    python scripts/compare_bench.py repeat --rounds 21      how many repeats' medians lie in the first one's spread
    python scripts/compare_bench.py order                   models measured first, last and alone

Everything is fp32 with the default layout but for `auto`. The contenders take turns, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

MODES = ("infer", "train")
DEFAULT = ["--precision", "fp32", "--channels-last", "off"]


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["timm", "auto", "repeat", "order"])
    parser.add_argument("--benchmark", type=Path, help="timm's benchmark.py")
    parser.add_argument("--models", nargs="+", default=["tf_efficientnet_lite0", "resnet18", "deit_tiny_patch16_224"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    globals()[f"compare_{options.what}"](options)


def bench(options: argparse.Namespace, models: list[str], *flags: str) -> dict[str, dict[str, Any]]:
    """The rows of one benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        settings = ["--image-size", str(options.size), "--batch-size", str(options.batch_size), "--out", folder]
        command = [sys.executable, "-m", "zoo", "bench", *models, *settings, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        return {row["model"]: row for row in json.loads((Path(folder) / "results.json").read_text())}


def compare_timm(options: argparse.Namespace) -> None:
    """Medians over the rounds of both, and their ratio."""
    print(f"{'model':<24} {'mode':<6} {'timm':>8} {'zoo':>8} {'zoo/timm':>9}   all rounds: timm; zoo")
    for model in options.models:
        speeds: dict[tuple[str, str], list[float]] = {(who, mode): [] for who in ("timm", "zoo") for mode in MODES}
        for _ in range(options.rounds):
            sizes = ["--img-size", str(options.size), "-b", str(options.batch_size), "--device", "cpu"]
            iterations = ["--num-warm-iter", "3", "--num-bench-iter", "15"]
            command = [sys.executable, str(options.benchmark), "--model", model, *sizes, *iterations]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            timm = json.loads(done.stdout.partition("--result")[2])
            timm = timm[0] if isinstance(timm, list) else timm
            zoo = bench(options, [model], *DEFAULT)[model]
            for mode in MODES:
                speeds["timm", mode].append(timm[f"{mode}_samples_per_sec"])
                speeds["zoo", mode].append(zoo[f"{mode}_samples_per_sec"])
        for mode in MODES:
            ours, theirs = (statistics.median(speeds[who, mode]) for who in ("zoo", "timm"))
            rounds = "; ".join(", ".join(f"{value:.1f}" for value in speeds[who, mode]) for who in ("timm", "zoo"))
            print(f"{model:<24} {mode:<6} {theirs:>8.1f} {ours:>8.1f} {ours / theirs:>9.3f}   {rounds}", flush=True)


def compare_auto(options: argparse.Namespace) -> None:
    """The training speed of what `auto` chooses as a share of the best candidate's, all in full."""
    import torch

    native = torch.cpu._is_avx512_bf16_supported()
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
        # What was chosen, at the speed it has when measured in full.
        shares = [medians[candidate] / max(medians.values()) for candidate in chosen]
        shown = ", ".join(f"{precision}/{layout} {speed:.1f}" for (precision, layout), speed in medians.items())
        print(f"{model:<24} chosen {chosen}, share of the best {[round(share, 3) for share in shares]} ({shown})", flush=True)


def compare_repeat(options: argparse.Namespace) -> None:
    """How many of the later rounds' medians lie between the first one's percentiles."""
    for model in options.models:
        rows = [bench(options, [model], *DEFAULT)[model] for _ in range(options.rounds)]
        for mode in MODES:
            column = f"{mode}_samples_per_sec"
            low, high = rows[0][f"{column}_p10"], rows[0][f"{column}_p90"]
            medians = [row[column] for row in rows[1:]]
            inside = sum(low <= median <= high for median in medians)
            shown = ", ".join(f"{median:.1f}" for median in medians)
            print(f"{model:<24} {mode:<6} {inside} of {len(medians)} within {low:.1f}-{high:.1f}: {shown}", flush=True)


def compare_order(options: argparse.Namespace) -> None:
    """Each model's speed in the order given, turned round, and alone."""
    runs = [bench(options, options.models, *DEFAULT), bench(options, options.models[::-1], *DEFAULT)]
    runs.append({model: bench(options, [model], *DEFAULT)[model] for model in options.models})
    print(f"{'model':<24} {'mode':<6} {'in order':>9} {'turned':>9} {'alone':>9}")
    for model in options.models:
        for mode in MODES:
            speeds = "".join(f"{run[model][f'{mode}_samples_per_sec']:>10.1f}" for run in runs)
            print(f"{model:<24} {mode:<6}{speeds}", flush=True)


if __name__ == "__main__":
    main()
