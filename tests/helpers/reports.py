"""Make runs to report on from plain values, and parse the page of a report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import numpy as np

from zoo.data.pixel_store import PixelStore
from zoo.data.splits import Origin, Split, Splits
from zoo.report.facts import Facts
from zoo.report.gallery import Images
from zoo.report.scored import Scored
from zoo.report.seen import Seen

# Names that HTML, a template or a reader may not handle.
ODD = (
    "<script>alert(1)</script>",
    "say \"hi\" & 'bye'",
    "كلب عربي",
    "שלום",
    "👩‍👩‍👧 family",
    "\u202egpj.evil",
    "日本語",
    "a" * 200,
    "{{ 7 * 7 }}",
    "lone\ufffe\x85",
)
HTML = "{http://www.w3.org/1999/xhtml}"


def scored(classes: int, count: int = 60, seed: int = 0, names: Sequence[str] = ()) -> Scored:
    """Return predictions for made-up images; on average, at least four of five are right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    predicted = np.where(rng.random(count) < 0.8, labels, rng.integers(0, classes, count))
    prob = rng.uniform(1 / classes, 1, count)
    label_prob = np.where(labels == predicted, prob, (1 - prob) * rng.random(count))
    own = names or [f"class{number}" for number in range(classes)]
    files = [f"test/{own[label]}/{number}.png" for number, label in enumerate(labels)]
    return Scored("test", files, labels, predicted, prob, label_prob)


def images(found: Scored, classes: Sequence[str], side: int = 20) -> Images:
    """Return random pixels for every scored image, and for one training image of each class."""
    rng = np.random.default_rng(1)
    count = len(classes)
    names = [*(f"train/{name}/0.png" for name in classes), *found.files]
    pixels = rng.integers(0, 256, (len(names), 3, side, side), dtype=np.uint8)
    store = PixelStore(pixels, rng.uniform(0.5, 2, len(names)).astype(np.float32))
    origin = Origin(files=names)
    train = Split(store, np.arange(count), np.arange(count), origin)
    test = Split(store, np.arange(count, len(names)), found.labels, origin)
    seen = Seen(3, 16, pixels[:2], [[(classes[0], 1.0)], [(classes[1], 0.7), (classes[0], 0.3)]], names[:2])
    return Images(Splits(tuple(classes), train, None, test), seen)


def facts(classes: Sequence[str], found: Scored | None = None, run: Path = Path("runs/odd"), **more: Any) -> Facts:
    """Return the facts of a run of which only the predictions are known, if any; `more` sets other facts."""
    values: dict[str, Any] = {"recipe": None, "result": None, "going": False, "history": [], "environment": {}}
    values |= {"checkpoints": [], "problems": [], "classes": classes, "scored": {found.split: found} if found else {}}
    return Facts(run=run, **(values | more))


def tree(page: str) -> Element:
    """Parse a page into elements; fail if it is not well-formed HTML."""
    return html5lib.HTMLParser(strict=True).parse(page)


def all_of(root: Element, name: str) -> list[Element]:
    return list(root.iter(f"{HTML}{name}"))


def text_of(root: Element) -> str:
    """Return all text of the page's body in one line."""
    (body,) = all_of(root, "body")
    return " ".join(" ".join(body.itertext()).split())


RESULT: dict[str, Any] = {
    "version": 2, "status": "done", "name": "tiny", "backbone": "test_resnet", "weights": "random",
    "weights_source": "random initialization", "num_classes": 2, "classes": ["cat", "dog"], "params": 1234567, "image_size": 32,
    "epochs": 2, "steps": 4, "selected_by": "val.accuracy", "selected_epoch": 1, "val": {"accuracy": 0.5, "loss": 1.5},
    "test": {"accuracy": 0.975, "loss": 0.1, "top5": 1.0, "macro_f1": 0.97, "ece": 0.01, "n": 359, "ci95": [0.953, 0.987], "per_class": {}},
    "test_scored": "once, after selection", "predictions": "predictions.csv",
    "train": {"loss": 0.1, "accuracy": 0.9, "images_per_second": 100.0, "data_share": 0.02, "seconds": 100.0, "peak_memory_mb": 500.0},
    "precision": "fp32", "channels_last": True, "accumulate": 4, "compile": False, "batch_size": 8, "processes": 1, "seed": 0,
    "versions": {"torch": "2"}, "device": "a CPU", "device_type": "cpu",
}  # fmt: skip


def run_folder(place: Path, *, done: bool = True, epochs: int = 2) -> Path:
    """Write a run folder with the text files of a run: recipe, rows, environment and, if it is done, result; return it."""
    place.mkdir(parents=True)
    place.joinpath("recipe.yaml").write_text(
        "name: tiny\nbackbone: {name: test_resnet, weights: random}\ndata: {kind: synthetic, classes: 2}\nimage_size: 32\n"
        "train: {epochs: 5, batch_size: 8}\n"
    )
    rows = [
        {"epoch": epoch, "step": 2 * epoch, "lr": 1e-3, "train.loss": 1.0, "val.accuracy": 0.5 + epoch / 10}
        for epoch in range(1, epochs + 1)
    ]
    place.joinpath("metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    place.joinpath("environment.json").write_text(json.dumps({"threads": 2, "cores": 2, "device": "a CPU", "recipe_version": 2}))
    if done:
        place.joinpath("result.json").write_text(json.dumps(RESULT))
    return place
