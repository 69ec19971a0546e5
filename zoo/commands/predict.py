"""`zoo predict`: predict the classes of images with a trained model."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.data.views import VIEWS
from zoo.errors import ZooError
from zoo.flags import whole_number

FORMATS = (".csv", ".jsonl", ".parquet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo predict`."""
    add_model_and_paths(parser)
    parser.add_argument("--topk", default="3", metavar="N", help="number of most likely classes to give (default 3)")
    parser.add_argument("--probabilities", action="store_true", help="give the probability of every class")
    about = "leave the label empty if the best class has a lower probability, 0 to 1"
    parser.add_argument("--min-confidence", default="0", metavar="P", help=about)
    about = "write a table; the file extension sets the format: .csv, .jsonl or .parquet"
    parser.add_argument("--out", type=Path, metavar="FILE", help=about)
    parser.add_argument("--resume", action="store_true", help="resume an --out that was interrupted")
    add_tta(parser)
    style = parser.add_mutually_exclusive_group()
    style.add_argument("--json", action="store_true", help="print a JSON list")
    style.add_argument("--csv", action="store_true", help="print CSV")


def add_tta(parser: argparse.ArgumentParser) -> None:
    """Add the flag that chooses the views of an image to average."""
    about = "average the probabilities over an image and its mirror, or over five crops (default: as the run was scored)"
    parser.add_argument("--tta", choices=VIEWS, help=about)


def add_model_and_paths(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a model and images."""
    about = "a run, a model folder, local-dir:PATH, hf-hub:OWNER/NAME, a timm name, or an exported file"
    parser.add_argument("model", metavar="MODEL", help=about)
    about = "images, folders, patterns such as 'photos/*.jpg', or - for a list on standard input"
    parser.add_argument("paths", metavar="PATH", nargs="+", help=about)


def run(options: argparse.Namespace) -> int:
    """Predict; return the exit code.

    Raises:
        ZooError: bad input, or images that cannot be read.
        Stopped: a signal interrupted it.
    """
    from zoo.inference.image_paths import ImagePaths
    from zoo.inference.source import find_source
    from zoo.inference.tables import check_format

    topk, least = whole_number("--topk", options.topk, 1, 5), _share("--min-confidence", options.min_confidence)
    if options.out is not None:
        if options.json or options.csv:
            raise ZooError(
                "--json" if options.json else "--csv", "prints the results, --out writes them to a file", "give one of them"
            )
        check_format(options.out, FORMATS)
    elif options.resume:
        raise ZooError("--resume", "only a file can be resumed", "give --out FILE too")
    find_source(options.model)
    images = ImagePaths(options.paths)
    images.check()
    from zoo.inference.predict import PredictOptions, predict

    style = "json" if options.json else "csv" if options.csv else "lines"
    predict(
        options.model,
        images,
        PredictOptions(topk, options.probabilities, least, style, options.out, options.resume, options.tta),
    )
    return 0


def _share(flag: str, text: str) -> float:
    """Return a flag's value as a number from 0 to 1.

    Raises:
        ZooError: the text is not a number from 0 to 1.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ZooError(flag, f"expected a number from 0 to 1, found {text!r}", f"e.g. {flag} 0.6")
    return value
