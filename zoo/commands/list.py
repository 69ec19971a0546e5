"""`zoo list`: find a backbone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from zoo.errors import ZooError
from zoo.models import catalog, listing
from zoo.models.catalog import Entry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo list`; the catalog checks their values and raises errors that name the flag."""
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="names with or without a tag; * and ? are wildcards")
    add_filters(parser)
    parser.add_argument("--image-size", metavar="N", help="only backbones made for images of N pixels a side")
    parser.add_argument("--sort", metavar="KEY", default="name", help="order by name, params, gmacs or top1 (default name)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    about = "draw cost against top-1 accuracy as .svg or .png, with the best backbones named"
    parser.add_argument("--plot", metavar="FILE", type=Path, help=about)


def add_filters(parser: argparse.ArgumentParser) -> None:
    """Add the flags that filter backbones, the same for every command that takes names or patterns."""
    parser.add_argument("--max-params", metavar="N", help="maximum number of parameters, e.g. 30M or 1.2e7")
    parser.add_argument("--max-gmacs", metavar="N", help="maximum cost of one image, in billions of multiply-adds")
    about = "license of the weights: its name, or permissive for any that allows commercial use"
    parser.add_argument("--license", "--licence", metavar="NAME", help=about)
    parser.add_argument("--pretrained", action="store_true", help="only backbones with pretrained weights")
    about = "only backbones whose weights are on this machine, in the hub's cache or in an installed package"
    parser.add_argument("--cached", action="store_true", help=about)


def run(options: argparse.Namespace) -> int:
    """Print the backbones that match the patterns and filters; return the exit code.

    Raises:
        ZooError: a filter has a wrong value, a pattern matches nothing, or the picture cannot be drawn.
    """
    query = catalog.Query(**{field.name: getattr(options, field.name) for field in fields(catalog.Query)})
    found = catalog.choose(query)
    drawn = draw(found, options.plot) if options.plot else ""
    note = listing.other_timm()
    if note:
        print(note, file=sys.stderr)
    if options.json:
        print(listing.as_json(found))
    elif options.csv:
        print(listing.as_csv(found))
    else:
        print(drawn or listing.as_table(found, query))
    return 0


def draw(found: Sequence[Entry], path: Path) -> str:
    """Draw parameters and GMACs against top-1; return a line that describes the picture.

    Raises:
        ZooError: no entry has a published top-1, or the file cannot be written.
    """
    from zoo.results.pareto import Axis, Dot, check, draw_pareto

    check(path)
    known = [entry for entry in found if entry.top1 and entry.params and entry.gmacs]
    if not known:
        raise ZooError("--plot", f"timm publishes no top-1 accuracy for these {len(found):,} backbones", "choose others")
    axes = [
        Axis("parameters, millions", [Dot(entry.name, (entry.params or 0) / 1e6, entry.top1 or 0) for entry in known]),
        Axis("GMACs of an image at native size", [Dot(entry.name, entry.gmacs or 0, entry.top1 or 0) for entry in known]),
    ]
    title = f"{len(known):,} of {len(found):,} backbones with a published ImageNet top-1, and the Pareto front"
    draw_pareto(axes, "top-1, percent", path, title)
    return f"{path}: {len(known):,} of {len(found):,} backbones, all with a top-1 that timm publishes"
