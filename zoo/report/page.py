"""The page: all information about a run in one HTML file of at most `MOST_BYTES`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import StorageError
from zoo.models import catalog
from zoo.report import analysis, figures, wording
from zoo.report.facts import Facts
from zoo.report.gallery import Gallery, Images
from zoo.report.html import render
from zoo.report.recipe_table import options_of
from zoo.report.scored import Scored
from zoo.system.console import plural
from zoo.system.files import write_file

# Name of the page in a run folder.
REPORT = "report.html"
# Maximum bytes of a page, so that it can be sent by mail.
MOST_BYTES = 3_000_000
# Default number of worst mistakes that are shown.
WORST = 48
# Maximum number of classes for which the name is written below the picture of each class.
CAPTIONED = 100
# The probability threshold of the sentence that says how far the model can be trusted.
TRUSTED = 0.9


@dataclass(frozen=True)
class Limits:
    """Maximum numbers of items on a page.

    Attributes:
        worst, hits: worst mistakes and least certain hits.
        pairs, pair_shots: confused pairs of classes, and images of each pair.
        seen: training images.
        rows: classes in the table.
        pictures: bytes of all thumbnails.
    """

    worst: int = WORST
    hits: int = 24
    pairs: int = 8
    pair_shots: int = 4
    seen: int = 24
    rows: int = 1000
    pictures: int = 1_800_000

    def smaller(self) -> Limits:
        """Return limits of half the size."""
        return Limits(**{name: value // 2 for name, value in vars(self).items()})


def write_page(facts: Facts, images: Images, path: Path, worst: int = WORST) -> None:
    """Write the page of a run.

    Args:
        facts: content of the run folder.
        images: images of its data set.
        path: path of the page.
        worst: maximum number of mistakes to show.

    Raises:
        StorageError: the page cannot be written.
    """
    try:
        write_file(path, page(facts, images, Limits(worst=worst)))
    except OSError as error:
        raise StorageError(str(path), f"cannot be written: {error.strerror}", "give another file with --out") from None


def page(facts: Facts, images: Images, limits: Limits | None = None) -> str:
    """Return the page as HTML; halve the limits until it has at most `MOST_BYTES` bytes, or no pictures are left."""
    limits = limits or Limits()
    charts = _charts(facts)
    while True:
        text = render(Path(__file__).parent, _context(facts, images, limits) | charts)
        if len(text.encode()) <= MOST_BYTES or limits.pictures == 0:
            return text
        limits = limits.smaller()


def _charts(facts: Facts) -> dict[str, str]:
    """Return the plots; '' for a plot without data."""
    scored = facts.judged
    return {
        "curves": figures.curves(facts),
        "confusion": figures.confusion(facts, scored) if scored else "",
        "calibration": figures.calibration(scored) if scored else "",
    }


def _context(facts: Facts, images: Images, limits: Limits) -> dict[str, Any]:
    """Return all values of the template except the plots."""
    gallery = Gallery(images, facts.judged, facts.classes, limits.pictures)
    scored = gallery.scored
    # The order decides which images get pictures while the budget lasts.
    judged = _judged(facts, scored, gallery, limits) if scored else None
    seen = gallery.seen()[: limits.seen]
    classes = gallery.classes_shown()
    return {
        "name": facts.name,
        "headline": wording.headline(facts),
        "details": wording.details(facts),
        "problems": [*facts.problems, *_missing(images, gallery)],
        "tiles": list(_tiles(facts)),
        "selected": facts.result.selected_epoch if facts.result else None,
        "judged": judged,
        "seen": seen,
        "seen_about": images.seen.about() if images.seen else "",
        "class_shots": classes,
        "captioned": len(classes) <= CAPTIONED,
        "options": options_of(facts.recipe) if facts.recipe else {},
        "origin": list(_origin(facts, images)),
        "commands": wording.commands(facts),
    }


def _judged(facts: Facts, scored: Scored, gallery: Gallery, limits: Limits) -> dict[str, Any]:
    """Return the values of the template about the scored images."""
    wrong, right = analysis.worst_mistakes(scored), analysis.least_certain_hits(scored)
    mistakes, hits = gallery.predicted(wrong[: limits.worst]), gallery.predicted(right[: limits.hits])
    pairs = analysis.confused_pairs(scored, limits.pairs)
    rows = analysis.per_class(scored, len(facts.classes))
    certain = analysis.at_thresholds(scored)
    shown = next(row for row in certain if row.threshold == TRUSTED)
    taken_for = {pair.label: pair.predicted for pair in reversed(analysis.confused_pairs(scored, len(wrong)))}
    return {
        "split": wording.split_name(scored),
        "total": len(scored),
        "mistakes": mistakes,
        "wrong": len(wrong),
        "hits": hits,
        "right": len(right),
        "pairs": [
            (wording.pair_sentence(pair, facts.classes), gallery.predicted(pair.positions[: limits.pair_shots])) for pair in pairs
        ],
        "rows": [
            (row, facts.classes[row.label], facts.classes[taken_for[row.label]] if row.label in taken_for else "")
            for row in rows[: limits.rows]
        ],
        "left_out": max(0, len(rows) - limits.rows),
        "certain": certain,
        "sentences": [wording.certain_sentence(shown), wording.overconfidence_sentence(analysis.overconfidence(scored))],
        "coarse": figures.cells_per_pixel(len(facts.classes)) if len(facts.classes) > figures.DRAWN else 0,
    }


def _missing(images: Images, gallery: Gallery) -> Iterator[str]:
    """Yield the reasons why images have no picture."""
    if images.missing:
        yield images.missing
    if gallery.lacking:
        yield f"{gallery.lacking:,} of the images that were scored are no longer found under their names."


def _tiles(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each value at the top of the page."""
    result = facts.result
    if result is None:
        return
    scores = result.test.model_dump() if result.test else result.val
    for key, name in (("macro_f1", "macro F1"), ("top5", "top 5"), ("ece", "calibration error")):
        if key in scores and not (key == "top5" and len(result.classes) <= 5):
            yield name, wording.share(scores[key])
    if "loss" in scores:
        yield "loss", f"{scores['loss']:.3f}"
    yield "training", duration(result.train.seconds)
    yield "speed", f"{result.train.images_per_second:,.0f} images/s"
    yield "parameters", f"{result.params / 1e6:.1f} M"


def duration(seconds: float) -> str:
    """Return a duration in seconds, minutes, or hours and minutes, depending on its length."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _origin(facts: Facts, images: Images) -> Iterator[tuple[str, str]]:
    """Yield the rows about the origin of the run: backbone, data, weights, training and machine."""
    result, recipe, environment = facts.result, facts.recipe, facts.environment
    if recipe:
        yield "backbone", recipe.backbone.name
        yield "data", f"{recipe.data.kind} {os.fspath(getattr(recipe.data, 'root', ''))}".strip()
    if images.data:
        yield "images", str(images.data)
    elif facts.classes:
        yield "classes", plural(len(facts.classes), "class", "classes")
    if source := result.weights_source if result else environment.get("weights"):
        yield "weights", str(source)
    if recipe and (license_name := _license(recipe.backbone.name, recipe.backbone.weights.kind)):
        yield "license of the weights", license_name
    if result:
        accumulated = f", {plural(result.accumulate, 'micro-batch', 'micro-batches')}" if result.accumulate > 1 else ""
        yield "computed in", f"{result.precision}{', channels_last' if result.channels_last else ''}{accumulated}"
        yield "steps", f"{result.steps:,} of {plural(result.batch_size, 'image')}"
        made = f"{wording.share(result.train.data_share)} of the time to make batches"
        yield "speed", f"{result.train.images_per_second:,.0f} images/s, {made}"
        yield "peak memory", f"{result.train.peak_memory_mb:,.0f} MB"
    yield from _machine(facts)


def _machine(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield the rows about the machine, the start and the versions, as far as they are known."""
    environment, result = facts.environment, facts.result
    device = result.device if result else environment.get("device")
    if device:
        cores, processes, threads = (environment.get(key) for key in ("cores", "processes", "threads"))
        parts = [str(device), *([f"{cores} cores"] if cores else [])]
        parts += [plural(processes, "process", "processes")] if isinstance(processes, int) else []
        yield "machine", ", ".join([*parts, *([f"{threads} threads each"] if threads else [])])
    if "platform" in environment:
        yield "system", str(environment["platform"])
    if "date" in environment:
        yield "started", str(environment["date"])
    versions = result.versions if result else environment.get("versions")
    if isinstance(versions, dict):
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _license(name: str, kind: str) -> str:
    """Return the license of a backbone's weights, or '' if they are not timm's."""
    entry = catalog.named(name)
    return catalog.license_terms(entry.license) if kind in catalog.TIMM_WEIGHTS and entry and entry.tag else ""
