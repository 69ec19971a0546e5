"""Compare `zoo predict` with timm on this machine.

    python benchmarks/predict.py parity --model RUN --images FOLDER     classes and probabilities, and those of timm and Pillow
    python benchmarks/predict.py speed --model RUN --images FOLDER      images/s, and those of the loop of timm's inference.py
    python benchmarks/predict.py memory --model RUN --images FOLDER     peak memory for all images and for a tenth
    python benchmarks/predict.py start --model RUN --images FOLDER      seconds for one photograph, and for `import torch, timm`

Seconds and memory are those of whole processes, which take turns. timm's package does not contain its `inference.py`, so this
file has a copy of its loop with its defaults: batches of 256, 2 workers, contiguous memory, a CSV of the best class.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["parity", "speed", "memory", "start", "timm"])
    parser.add_argument("--model", required=True, metavar="RUN", help="a finished run")
    parser.add_argument("--images", required=True, metavar="FOLDER", help="a folder of images, with a folder of each class")
    parser.add_argument("--rounds", type=int, default=3, help="how often each contender is measured (3)")
    parser.add_argument("--limit", type=int, help="take only so many of the images, spread evenly")
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    globals()[f"compare_{options.what}" if options.what != "timm" else "timm_loop"](options)


def zoo_predict(options: argparse.Namespace, out: Path, *images: str) -> list[str]:
    """Return the command of `zoo predict` for these images, or for the folder of the options."""
    return [
        sys.executable,
        "-m",
        "zoo",
        "predict",
        options.model,
        *(images or [options.images]),
        "--topk",
        "1",
        "--out",
        str(out),
    ]


def seconds(command: list[str], **options: object) -> tuple[float, float]:
    """Run a command and return its seconds and its peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed")
    assert isinstance(usage, resource.struct_rusage)
    return time.perf_counter() - started, usage.ru_maxrss / 1e3


def files(options: argparse.Namespace) -> list[str]:
    """Return the paths of the images to predict."""
    found = sorted(str(path) for path in Path(options.images).rglob("*") if path.is_file())
    if options.limit is None or options.limit >= len(found):
        return found
    return [found[place * len(found) // options.limit] for place in range(options.limit)]


def compare_parity(options: argparse.Namespace) -> None:
    """Print how many classes equal those of timm and Pillow, and the largest difference of a probability."""
    import timm
    import timm.data
    import torch
    from PIL import Image

    paths = files(options)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.csv"
        command = [*zoo_predict(options, out, "-"), "--probabilities"]
        subprocess.run(command, input="\n".join(paths), text=True, check=True, stdout=subprocess.DEVNULL)
        with open(out, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    model: Any = timm.create_model(f"local-dir:{options.model}/model", pretrained=True).eval()
    transform: Any = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    names = model.pretrained_cfg["label_names"]
    agree, largest = 0, 0.0
    with torch.inference_mode():
        for path, row in zip(paths, rows, strict=True):
            expected = model(transform(Image.open(path).convert("RGB"))[None]).softmax(1)[0]
            agree += names[int(expected.argmax())] == row["label"]
            ours = torch.tensor([float(row[f"prob:{name}"]) for name in names])
            largest = max(largest, float((ours - expected).abs().max()))
    print(f"{agree:,} of {len(paths):,} classes agree, largest difference of a probability {largest:.1e}")


def compare_speed(options: argparse.Namespace) -> None:
    """Print images/s and peak memory of both contenders as whole processes, and the ratio of their speeds."""
    count = len(files(options))
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.csv"
        theirs = [sys.executable, __file__, "timm", "--model", options.model, "--images", options.images, "--out", str(out)]
        for number in range(1, options.rounds + 1):
            (timm_s, timm_mb), (zoo_s, zoo_mb) = seconds(theirs), seconds(zoo_predict(options, out))
            ratios.append(timm_s / zoo_s)
            speeds = f"timm {count / timm_s:,.0f} images/s ({timm_mb:,.0f} MB), zoo {count / zoo_s:,.0f} ({zoo_mb:,.0f} MB)"
            print(f"round {number}: {speeds}, {ratios[-1]:.2f} times", flush=True)
    print(f"median {statistics.median(ratios):.2f} times")


def compare_memory(options: argparse.Namespace) -> None:
    """Print the peak memory for all images and for a tenth of them."""
    paths = files(options)
    with tempfile.TemporaryDirectory() as folder:
        for part in (paths[:: len(paths) // (len(paths) // 10)], paths):
            listing = Path(folder) / "list"
            listing.write_text("\n".join(part))
            with open(listing) as file:
                _, peak = seconds(zoo_predict(options, Path(folder) / "out.csv", "-"), stdin=file)
            print(f"{len(part):,} images: peak {peak:,.0f} MB", flush=True)


def compare_start(options: argparse.Namespace) -> None:
    """Print the seconds of the whole command for one photograph, and those of the imports only."""
    bare, zoo = [], []
    for _ in range(options.rounds):
        bare.append(seconds([sys.executable, "-c", "import torch, timm"])[0])
        zoo.append(seconds([sys.executable, "-m", "zoo", "predict", options.model, files(options)[0]])[0])
    ratio = statistics.median(ours / theirs for ours, theirs in zip(zoo, bare, strict=True))
    print(f"imports {statistics.median(bare):.2f} s, zoo predict {statistics.median(zoo):.2f} s, {ratio:.2f} times")


def timm_loop(options: argparse.Namespace) -> None:
    """Predict in the same way as timm's inference.py."""
    import timm
    import torch
    from timm.data import create_dataset, create_loader, resolve_data_config

    model: Any = timm.create_model(f"local-dir:{options.model}/model", pretrained=True).eval()
    names = model.pretrained_cfg["label_names"]
    config = resolve_data_config({}, model=model, use_test_size=True)
    dataset: Any = create_dataset("", root=options.images)
    loader = create_loader(dataset, batch_size=256, use_prefetcher=True, num_workers=2, device=torch.device("cpu"), **config)
    labels, probs = [], []
    with torch.inference_mode():
        for images, _ in loader:
            values, indices = model(images).softmax(-1).topk(1)
            labels += [names[index] for index in indices[:, 0].tolist()]
            probs += values[:, 0].tolist()
    with open(options.out, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(zip(dataset.filenames(basename=False), labels, probs, strict=True))


if __name__ == "__main__":
    main()
