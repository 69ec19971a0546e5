"""`zoo scout`: rank backbones on your images by a probe on frozen features."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.commands.list import add_filters
from zoo.errors import ZooError
from zoo.flags import seconds, whole_number
from zoo.models.catalog import Query
from zoo.section import decided

if TYPE_CHECKING:
    from zoo.recipe.recipe import Recipe
    from zoo.results.measured import Row
    from zoo.system.console import Console

# Minimum number of folds: two are left out to choose the penalty, and one must remain.
FEWEST_FOLDS = 3
# Allowed image sizes in pixels, as in a recipe.
SIZES = range(8, 2049)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo scout`; `run` checks their values."""
    about = "a folder of images, cifar10, cifar100, fashion_mnist or digits; or a recipe, for its data"
    parser.add_argument("data", metavar="DATA|RECIPE", help=about)
    # Named as in `zoo train`: `zoo.cli.parse` adds words that follow a flag to `overrides`.
    about = "names and patterns of backbones, and options of the recipe to change (key=value)"
    parser.add_argument("overrides", metavar="MODEL|PATTERN|key=value", nargs="*", help=about)
    add_filters(parser)
    about = "image side in pixels for computing features (default: the recipe's; native: each backbone's own)"
    parser.add_argument("--image-size", metavar="N|native", help=about)
    about = "maximum number of images, chosen at random from train and val (default 4000)"
    parser.add_argument("--max-images", metavar="N", default="4000", help=about)
    parser.add_argument("--folds", metavar="N", default="5", help="number of cross-validation folds (default 5)")
    parser.add_argument("--timeout", metavar="S", default="1800", help="time limit per backbone in seconds (default 1800)")
    about = "results folder (default: resume an unfinished one with the same settings, else a new runs/scout-N)"
    parser.add_argument("--out", metavar="DIR", type=Path, help=about)
    about = "order by probe, knn, speed or name (default probe)"
    parser.add_argument("--sort", metavar="KEY", default="probe", help=about)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    about = "draw accuracy against speed and against minutes as .svg or .png, with the best backbones named"
    parser.add_argument("--plot", metavar="FILE", type=Path, help=about)


def run(namespace: argparse.Namespace) -> int:
    """Measure backbones and print them; return the exit code.

    Raises:
        ZooError: bad input.
    """
    from zoo.results import pareto
    from zoo.scout import rows
    from zoo.scout.scouting import run_scout
    from zoo.scout.settings import Settings
    from zoo.scout.subject import find_backbones, find_subject
    from zoo.system.console import Console
    from zoo.system.signals import stoppable

    options = vars(namespace)
    rows.check_sort(options["sort"])
    if options["plot"]:
        pareto.check(options["plot"])
    overrides = [word for word in options["overrides"] if "=" in word]
    words = [word for word in options["overrides"] if "=" not in word]
    subject = find_subject(options["data"], overrides)
    models, unknown = find_backbones(words, query(options))
    chosen = Settings(
        recipe=subject.recipe.model_dump(mode="json"),
        image_size=image_size(options["image_size"], subject.recipe),
        max_images=whole_number("--max-images", options["max_images"], 1, 2),
        folds=whole_number("--folds", options["folds"], FEWEST_FOLDS, 2 * FEWEST_FOLDS),
    )
    console = Console(quiet=options["json"] or options["csv"])
    limit = seconds("--timeout", options["timeout"])
    with stoppable():
        folder, found = run_scout(subject, models, unknown, chosen, out=options["out"], timeout=limit, console=console)
    found = rows.ordered(found, options["sort"])
    show(found, options, folder, subject.data, rows.sweep_line(found, subject.words, chosen.recipe["backbone"]))
    return 0 if all(row["status"] == "ok" for row in found) else 1


def query(options: Mapping[str, Any]) -> Query:
    """Return the filters for the catalog; here `--image-size` is not one of them."""
    known = {field.name for field in fields(Query)} - {"patterns", "image_size", "sort"}
    return Query(**{name: options[name] for name in known})


def image_size(text: str | None, recipe: Recipe) -> int | str:
    """Return the image size for the features, in pixels or `native`.

    Raises:
        ZooError: the text is neither a size nor `native`.
    """
    from zoo.scout.settings import NATIVE

    if text is None:
        return decided(recipe.image_size.end)
    if text == NATIVE:
        return text
    size = whole_number("--image-size", text, SIZES.start, 2 * SIZES.start, f" or {NATIVE}")
    if size not in SIZES:
        raise ZooError("--image-size", f"at most {SIZES.stop - 1} pixels, found {size}", "e.g. --image-size 224")
    return size


def show(found: Sequence[Row], options: Mapping[str, Any], folder: Path, data: str, line: str) -> None:
    """Print the rows in the requested format, draw them if requested, and print the next command.

    Raises:
        ZooError: the picture cannot be written.
    """
    from zoo.results.measured import csv_text
    from zoo.scout import rows
    from zoo.system.console import Console

    console, table = Console(), not (options["json"] or options["csv"])
    if options["json"]:
        console.line(json.dumps([{name: row.get(name) for name in rows.COLUMNS} for row in found], indent=1, ensure_ascii=False))
    elif options["csv"]:
        console.line(csv_text(found, [name for name in rows.COLUMNS if name not in rows.LISTS]).rstrip("\n"))
    else:
        console.line()
        for text in rows.as_table(found):
            console.line(text)
        console.line()
        for text in rows.not_above_control(found):
            console.fact("note", text)
    # Draw after printing: measuring took minutes, and if the picture fails, its results must not be lost.
    drawn = draw(found, options["plot"], data, console)
    if table:
        written = f", {options['plot']}" if drawn else ""
        console.fact("results", f"{folder} (results.csv, results.json{written})")
        if line:
            console.fact("next", line)


def draw(found: Sequence[Row], path: Path | None, data: str, console: Console) -> bool:
    """Draw the rows if a picture is requested; return whether it was drawn.

    Raises:
        ZooError: the picture cannot be written.
    """
    from zoo.scout import plot

    if path is None:
        return False
    drawn = plot.draw_scout(found, path, data)
    if not drawn:
        console.warn(f"{path} was not drawn: no backbone could be measured")
    return drawn
