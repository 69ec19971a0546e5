"""Scout backbones: measure each in its own worker process, and write each row as soon as it is known."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.models import catalog, names
from zoo.recipe.differences import flatten
from zoo.recipe.recipe import Recipe
from zoo.results import measured, measurements
from zoo.results.measured import Row
from zoo.results.measurements import OK, Kind, Measurements
from zoo.scout import rows
from zoo.scout.settings import NATIVE, WARNING, Candidate, Request, Settings
from zoo.scout.subject import Subject, smallest
from zoo.section import decided
from zoo.system.console import Console, plural
from zoo.system.progress import note

if TYPE_CHECKING:
    import numpy as np

KIND = Kind("scout", "a scout run", "scout.json", rows.COLUMNS, rows.LISTS, rows.key)
# Image side in pixels for backbones whose own size is unknown.
USUAL_SIZE = 224


@dataclass(frozen=True)
class Images:
    """The images that are used.

    Attributes:
        positions: int64 [N], positions in train followed by val.
        fold: int64 [N], fold of each image.
        digest: digest of their pixels.
        notes: lines for the console.
    """

    positions: np.ndarray
    fold: np.ndarray
    digest: str
    notes: tuple[str, ...]


def run_scout(
    subject: Subject,
    models: Sequence[str],
    unknown: Sequence[str],
    chosen: Settings,
    *,
    out: Path | None,
    timeout: float,
    console: Console,
    target: str = "zoo.scout.measure",
) -> tuple[Path, list[Row]]:
    """Measure backbones, and write `results.csv` and `results.json`.

    Args:
        subject: the images and the recipe.
        models: names of backbones that timm has.
        unknown: names that timm does not have; each becomes a row with similar names.
        chosen: settings of the comparison.
        out: the folder; None resumes an unfinished scouting with the same settings, or creates a new folder.
        timeout: maximum seconds for a backbone.
        console: console for the report.
        target: the module that measures.

    Returns:
        The folder, and a row for each backbone and the control.

    Raises:
        ZooError: bad input, before anything is measured.
        StorageError: the results can no longer be written.
    """
    measured.check_writable(out or measured.ROOT)
    size = _store_size(models, chosen)
    images = look_at(subject.recipe, size, chosen)
    candidates = [Candidate(name) for name in [*models, *unknown]]
    if subject.recipe.backbone.weights.kind != "random" and models:
        candidates.append(Candidate(smallest(models), control=True))
    hardware = measurements.hardware(KIND, target)
    settings = {key: str(value) for key, value in flatten(asdict(chosen)).items()} | {"pixels": images.digest}
    state = {"settings": settings, "hardware": hardware, "asked": {"models": [*models, *unknown], "data": subject.data}}
    with measurements.opened(KIND, out, state) as folder:
        rows_of = Measurements(KIND, folder, hardware, target, timeout)
        Scouting(rows_of, subject, chosen, images, size, console).run(candidates)
    return folder, [rows_of.rows[candidate.key] for candidate in candidates]


def look_at(recipe: Recipe, size: int, chosen: Settings) -> Images:
    """Load the images (decoding them if needed), choose a subset, and divide it into folds.

    Raises:
        ZooError: the images are not available, or too few for the classes or the folds.
    """
    from zoo.scout import folds

    data = recipe.data.load(recipe.train.seed, size)
    whole = folds.scouted(data)
    classes = len(set(whole.targets.tolist()))
    if chosen.max_images is not None and chosen.max_images < classes:
        todo = f"give at least {classes * chosen.folds}: an image of each class for each of {chosen.folds} folds"
        raise ZooError("--max-images", f"{chosen.max_images}, but the images are of {plural(classes, 'class', 'classes')}", todo)
    positions = folds.subset(whole.targets, chosen.max_images, 0)
    split = whole.take(positions)
    digests = folds.digests(split)
    group = folds.groups(digests)
    distinct = int(group.max()) + 1
    if distinct < chosen.folds:
        raise ZooError("--folds", f"{chosen.folds}, but only {plural(distinct, 'different image')}", "lower it")
    fold = folds.divide(split.targets, group, chosen.folds, 0)
    copies = len(split) - distinct
    looked = f"{plural(len(split), 'image')} of {len(whole):,} for training, {len(data.classes)} classes; test images stay unseen"
    notes = [looked]
    if copies:
        notes.append(f"{plural(copies, 'exact copy', 'exact copies')} of other images, in the same fold as the originals")
    few = folds.few(split.targets, group, chosen.folds)
    if few:
        rare = f"{few:,} of {plural(classes, 'class', 'classes')} with fewer than {chosen.folds} different images"
        more = "" if len(split) == len(whole) else "; a larger --max-images takes more"
        notes.append(f"{rare}: some of the {chosen.folds} folds lack these classes, so the probe is less certain{more}")
    return Images(positions, fold, hashlib.sha256(b"".join(digests)).hexdigest()[:16], tuple(notes))


def native_size(name: str) -> int:
    """Return the image side in pixels that a backbone was made for."""
    entry = catalog.named(name)
    return (entry.image_size if entry else None) or USUAL_SIZE


def _store_size(models: Sequence[str], chosen: Settings) -> int:
    """Return the largest image side in pixels that a backbone needs, as one pixel store serves all backbones."""
    if chosen.image_size == NATIVE:
        return max([native_size(name) for name in models], default=USUAL_SIZE)
    return int(chosen.image_size)


@dataclass
class Scouting:
    """A scouting in progress."""

    measurements: Measurements
    subject: Subject
    chosen: Settings
    images: Images
    store_size: int
    console: Console
    warned: bool = False

    def run(self, candidates: Sequence[Candidate]) -> None:
        """Measure every candidate that has no row yet or whose row failed."""
        keys = [one.key for one in candidates]
        known = self.measurements.measured_before(keys)
        self._describe(len(candidates), len(known))
        for position, candidate in enumerate(candidates, start=1):
            if candidate.key in known:
                continue
            row: Row = {"model": candidate.name, "control": candidate.control}
            place = f"{position}/{len(candidates)} {rows.title(row)}"
            note(place, end=" ")
            started = time.perf_counter()
            try:
                row = self._measured(candidate)
            except KeyboardInterrupt:
                note("")  # ends the line
                raise
            self.measurements.rows[candidate.key] = row
            spent = time.perf_counter() - started
            fine = row["status"] == OK
            text = f"probe {rows.points(row['probe'])} %" if fine else f"{row['status']}: {row['error']}"
            note(f"{text}, {spent:.0f} s")
            self._warn(row.pop(WARNING, ""))
            self.measurements.write(keys)

    def _warn(self, text: str) -> None:
        """Print only the first warning of a worker process, as further ones would repeat it for other backbones."""
        if text and not self.warned:
            note(f"warning: {text}")
            self.warned = True

    def _describe(self, candidates: int, known: int) -> None:
        """Print the machine, the data, the folder and the number of rows that were measured before."""
        self.measurements.describe_machine(self.console)
        self.console.fact("data", f"{self.subject.data}: {self.images.notes[0]}")
        for text in self.images.notes[1:]:
            self.console.fact("", text)
        size = self.chosen.image_size
        pixels = "each backbone's own size" if size == NATIVE else f"{size} px"
        self.console.fact("probe", f"logistic regression on frozen features at {pixels}, {self.chosen.folds} folds")
        train = self.subject.recipe.train
        length = plural(decided(train.epochs), "epoch") if train.max_minutes is None else f"{train.max_minutes:g} minutes"
        self.console.fact("minutes", f"of a fine-tune by {self.subject.words[0]}: {length}")
        self.console.fact("results", str(self.measurements.folder))
        if known:
            self.console.fact("resumed", f"{known} of {candidates} rows were measured before")

    def _measured(self, candidate: Candidate) -> Row:
        """Measure a backbone in a worker process; if it fails, the row has the error."""
        size = native_size(candidate.name) if self.chosen.image_size == NATIVE else int(self.chosen.image_size)
        recipe = self._recipe(candidate)
        row = self.measurements.new_row(candidate.name) | {"control": candidate.control, "image_size": size}
        row |= {"images": len(self.images.fold), "folds": self.chosen.folds}
        row |= {"license": catalog.license_of(candidate.name, recipe["backbone"]["weights"]["kind"]) or None}
        try:
            names.check_backbone(candidate.name)
        except ValueError as error:
            return row | {"error": str(error)}
        images = self.images
        request = Request(
            candidate, recipe, size, self.store_size, images.positions, images.fold, images.digest, self.subject.data
        )
        return self.measurements.measure(row, request)

    def _recipe(self, candidate: Candidate) -> dict[str, Any]:
        """Return the values of the recipe with a candidate as its backbone."""
        own = self.chosen.recipe["backbone"]
        backbone = own | {"name": candidate.name}
        if candidate.control:
            backbone |= {"weights": {"kind": "random"}}
        elif rows.weights_of_another(own, candidate.name):
            backbone |= {"weights": {"kind": "auto"}}
        return dict(self.chosen.recipe) | {"backbone": backbone}
