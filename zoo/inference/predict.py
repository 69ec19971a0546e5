"""Run `zoo predict`: lines on the console, or rows in a file."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.data.views import ABOUT
from zoo.inference.classifier import Classifier
from zoo.inference.image_paths import ImagePaths
from zoo.inference.load import load
from zoo.inference.prediction import Prediction, RowFormat
from zoo.inference.tables import csv_lines
from zoo.inference.work import Tally, to_console, to_file, to_json
from zoo.system.console import Console, one_line
from zoo.system.files import digest, printable
from zoo.system.table import percent

# Maximum width of the column of class names, in characters.
WIDEST = 24


@dataclass(frozen=True)
class PredictOptions:
    """Options of the command: how predictions are shown.

    Attributes:
        topk: number of best classes to show.
        probabilities: show the probability of every class.
        min_confidence: probability below which no class is named.
        style: format on the console: lines, csv or json.
        out: file to write instead of the console.
        resume: continue a file that was interrupted.
        tta: the views of each image that are averaged; None for the views that the run was scored with.
    """

    topk: int = 3
    probabilities: bool = False
    min_confidence: float = 0.0
    style: str = "lines"
    out: Path | None = None
    resume: bool = False
    tta: str | None = None


def predict(model: str, images: ImagePaths, options: PredictOptions) -> None:
    """Predict the classes of images.

    Raises:
        DataError: some images cannot be read; the others are predicted.
        ZooError: bad input.
        Stopped: a signal interrupted the work.
    """
    classifier = load(model, options.tta)
    if options.tta is None and classifier.tta != "none":
        Console().note(f"predictions average {ABOUT[classifier.tta]}, as the run was scored; --tta none: one view")
    form = RowFormat(classifier.classes, options.topk, options.probabilities, options.min_confidence)

    def rows_of(paths: Iterable[str]) -> Iterator[dict[str, Any]]:
        return (form.row(prediction) for prediction in classifier.stream(paths, options.topk))

    if options.out is not None:
        settings = {"model": identity(classifier), "columns": form.columns, "min_confidence": options.min_confidence}
        settings |= {"tta": classifier.tta} if classifier.tta != "none" else {}
        to_file(options.out, form.columns, settings, images, rows_of, resume=options.resume).check()
        return
    tally = Tally()
    if options.style == "json":
        tally = to_json(images, rows_of)
    elif options.style == "csv":
        to_console(images, lambda paths: tally.counted(rows_of(paths)), csv_lines(sys.stdout, form.columns))
    else:
        show = _text_line(classifier.classes, form, images.paths)

        def show_counted(prediction: Prediction) -> None:
            tally.add(form.row(prediction))
            show(prediction)

        to_console(images, lambda paths: classifier.stream(paths, options.topk), show_counted)
    tally.check()


def identity(classifier: Classifier) -> str:
    """Return a text that identifies a model: a digest of its classes and weights, or of its classes with its name."""
    mark = hashlib.sha256("\0".join(classifier.classes).encode("utf-8", "surrogateescape"))
    path = classifier.source.path
    weights = path / "model.safetensors" if path is not None and path.is_dir() else path
    if weights is not None and weights.is_file():
        mark.update(bytes.fromhex(digest(weights)))
        return mark.hexdigest()[:16]
    return f"{classifier.source.name} {mark.hexdigest()[:16]}"


def _text_line(classes: Sequence[str], form: RowFormat, paths: Sequence[str]) -> Callable[[Prediction], None]:
    """Return a function that prints the aligned line of a prediction."""
    name_width = max((len(path) for path in paths), default=0) + (9 if len(paths) == 1 and Path(paths[0]).is_dir() else 0)
    label_width = min(WIDEST, max(map(len, classes), default=0))

    def show(prediction: Prediction) -> None:
        nonlocal name_width
        filename = one_line(printable(prediction.filename))
        name_width = max(name_width, len(filename))
        if prediction.error:
            print(f"{filename:<{name_width}}  cannot be read: {prediction.error}")  # noqa: T201
            return
        named, width = list(prediction.top), label_width
        if form.probabilities and prediction.probabilities is not None:
            named, width = [*zip(classes, prediction.probabilities.tolist(), strict=True)], 0
        unsure = prediction.label if prediction.prob < form.min_confidence else None
        labels = [f"({label})?" if label == unsure else label for label, _ in named]
        cells = [f"{percent(prob, 2):>8} {label:<{width}}" for label, (_, prob) in zip(labels, named, strict=True)]
        print(f"{filename:<{name_width}}  {'  '.join(cells)}".rstrip())  # noqa: T201

    return show
