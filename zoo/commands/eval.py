"""`zoo eval`: score a model on labeled images."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.commands.predict import add_tta
from zoo.errors import DataError, ZooError

if TYPE_CHECKING:
    from zoo.inference.evaluation import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo eval`."""
    about = "a run, its model folder, local-dir:PATH, hf-hub:OWNER/NAME, a timm name, or an exported file"
    parser.add_argument("model", metavar="MODEL", help=about)
    about = "a folder of CLASS/IMAGE or SPLIT/CLASS/IMAGE, or the options of a recipe's data (default: a run's own images)"
    parser.add_argument("--data", metavar="DIR|key=value", help=about)
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="further options of the data, e.g. root=photos")
    parser.add_argument("--split", choices=("test", "val", "train"), default="test", help="the part to score (test)")
    add_tta(parser)
    parser.add_argument("--batch-size", metavar="N", type=int, help="images at a time")
    parser.add_argument("--out", metavar="DIR", type=Path, help="write eval.json, predictions and the confusion matrix there")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Score a model and print its scores; return the exit code.

    Raises:
        ZooError: bad input.
        DataError: some images cannot be read; the others are scored.
    """
    data = data_words(options)
    if options.batch_size is not None and options.batch_size < 1:
        raise ZooError("--batch-size", f"must be >= 1, found {options.batch_size}")
    from zoo.inference.source import find_source
    from zoo.system.threads import announce_threads, keep_freed_memory

    source = find_source(options.model)
    if source.run is not None and data is None:
        # Before torch is imported: OpenMP reads the number of threads only once.
        from zoo.results.folder import threads_of_run
        from zoo.system import launch

        announce_threads(threads_of_run(source.run), launch.read())
    keep_freed_memory()
    from zoo.inference.evaluate import evaluate
    from zoo.inference.evaluation_files import check_out, write_evaluation

    if options.out is not None:
        check_out(options.out, source.run)
    found = evaluate(options.model, data, options.split, tta=options.tta, batch_size=options.batch_size, progress=True)
    if options.out is not None:
        write_evaluation(found, options.out)
    print(json.dumps(found.values(), indent=1, ensure_ascii=False) if options.json else report(found, options.out))
    if not found.unread:
        return 0
    first, total = found.unread[0], len(found.unread) + found.scores.n
    text = f"{len(found.unread):,} of {total:,} images cannot be read, first: {first.file}: {first.error}"
    raise DataError(found.data, text, "the others are scored")


def data_words(options: argparse.Namespace) -> list[str] | None:
    """Return the words of `--data` and its options, or None for the run's own images.

    Raises:
        ZooError: options without `--data`, options of a folder, or a word that is not key=value.
    """
    words = [*([options.data] if options.data is not None else []), *options.overrides]
    for word in options.overrides:
        if options.data is None or "=" not in word or "=" not in options.data or os.path.isdir(options.data):
            raise ZooError("command line", f"unexpected '{word}'", "zoo eval MODEL --data DIR, or --data kind=NAME key=value …")
    return words or None


def report(found: Evaluation, out: Path | None) -> str:
    """Return the scores as lines for the console."""
    from zoo.inference.evaluation_files import written
    from zoo.system.console import NAME_WIDTH, plural
    from zoo.system.table import percent

    scores = found.scores
    low, high = (percent(bound, 2) for bound in scores.ci95)
    views = {"hflip": ", each with its mirror", "five_crop": ", five crops of each"}.get(found.tta, "")
    facts = [
        ("model", found.model),
        ("data", f"{found.data}: {found.split}, {plural(scores.n, 'image')}{views}"),
        *(("", note) for note in found.notes),
        (found.split, f"accuracy {percent(scores.accuracy, 2)} (95 % interval {low} to {high}) on {plural(scores.n, 'image')}"),
        ("loss", f"{scores.loss:.4f}"),
        ("top5", percent(scores.top5, 2)),
        ("macro F1", percent(scores.macro_f1, 2)),
        ("ECE", percent(scores.ece, 2)),
        *([("written", f"{out} ({', '.join(written(out))})")] if out else []),
    ]
    return "\n".join(f"{name:<{NAME_WIDTH}} {text}".rstrip() for name, text in facts)
