"""`zoo embed`: compute the features of images, before a model's last layer."""

from __future__ import annotations

import argparse
from pathlib import Path

from zoo.commands.predict import add_model_and_paths
from zoo.errors import ZooError

FORMATS = (".npz", ".parquet", ".jsonl")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo embed`."""
    add_model_and_paths(parser)
    about = "output file; its extension sets the format: .npz (arrays features, filename, error), .parquet or .jsonl"
    parser.add_argument("--out", type=Path, metavar="FILE", help=about)
    parser.add_argument("--resume", action="store_true", help="resume an --out that was interrupted")
    parser.add_argument("--json", action="store_true", help="print a JSON list instead")


def run(options: argparse.Namespace) -> int:
    """Compute features; return the exit code.

    Raises:
        ZooError: bad input, or images that cannot be read.
        Stopped: a signal interrupted it.
    """
    from zoo.inference.image_paths import ImagePaths
    from zoo.inference.source import find_source
    from zoo.inference.tables import check_format

    if options.json and (options.out is not None or options.resume):
        raise ZooError("--json", "prints the results, --out writes them to a file", "give one of them")
    if options.out is not None:
        check_format(options.out, FORMATS)
    elif not options.json:
        raise ZooError("--out", "no output file given", "give --out features.npz, or --json")
    find_source(options.model)
    images = ImagePaths(options.paths)
    images.check()
    from zoo.inference.embed import embed

    embed(options.model, images, options.out, resume=options.resume)
    return 0
