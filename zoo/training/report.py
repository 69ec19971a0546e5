"""Give `zoo.report` the images of a run: at its end those in memory, later the same ones, loaded again with its recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.data.batches import Batches
from zoo.data.torchvision_sets import without_downloads
from zoo.errors import ZooError
from zoo.recipe.recipe import Recipe
from zoo.report.facts import Facts, read_facts
from zoo.report.gallery import Images
from zoo.report.page import REPORT, WORST, Limits, write_page
from zoo.results.folder import RunFolder
from zoo.training.inputs import Inputs, load_images, preprocessing_of
from zoo.training.preview import batches_alone, images_of_step, seen
from zoo.training.state import Progress

if TYPE_CHECKING:
    from zoo.training.setup import Setup


def report_finished(setup: Setup, run: RunFolder, progress: Progress) -> None:
    """Write the report page of a run that has just ended. Any error is only a warning: the run is complete without the page."""
    try:
        train = setup.scored.train
        assert isinstance(train, Batches)
        images = images_of(setup.recipe, setup.inputs, train, progress.step, ended=True)
        write_page(read_facts(run.path), images, run.path / REPORT)
    except Exception as error:
        setup.console.warn(f"{run.path / REPORT} was not written: {error} (zoo report {run.path} tries again)")


def report_run(run: Path, out: Path | None = None, worst: int = WORST) -> tuple[Facts, Path]:
    """Write the report page of a run, finished or not.

    Args:
        run: the run folder.
        out: path of the page; None: `REPORT` in the run folder.
        worst: most mistakes to show.

    Returns:
        The facts of the run, and the path of the page.

    Raises:
        ZooError: there is no run in the folder, or the page cannot be written.
    """
    facts = read_facts(run)
    path = out or run / REPORT
    write_page(facts, find_images(facts), path, worst)
    return facts, path


def find_images(facts: Facts) -> Images:
    """Load the images of a run again; if that fails, the result has a sentence that says why."""
    recipe = facts.recipe
    if recipe is None:
        return Images(missing="Without its recipe, the images of the run are not found.")
    try:
        recipe.data.check()
        with without_downloads():
            inputs = load_images(recipe)
    except ZooError as error:
        return Images(missing=f"The images are not shown: {error.where}: {error.what}.")
    if facts.classes and inputs.data.classes != tuple(facts.classes):
        return Images(missing="The images are not shown: the data has other classes now.")
    taken = facts.history[-1].get("step") if facts.history else None
    # The first step is shown if the last row is damaged, or there is none.
    ended = facts.result is not None
    return images_of(recipe, inputs, batches_alone(inputs), taken if isinstance(taken, int) else 1, ended=ended)


def images_of(recipe: Recipe, inputs: Inputs, train: Batches, taken: int, *, ended: bool) -> Images:
    """Return the images of a run, and those that the model saw in its last step.

    Args:
        recipe: of the run.
        inputs: its images.
        train: its training images.
        taken: number of steps taken.
        ended: whether the run has ended. With `train.max_minutes`, the place of its last step in the schedule is known only if
            it has, and not by patience.
    """
    limited = recipe.train.max_minutes is not None
    if limited and (not ended or recipe.train.patience is not None):
        return Images(inputs.data)
    try:
        found = images_of_step(recipe, train, taken - 1, Limits().seen, taken if limited else None)
    except ZooError:
        # The data has become smaller, or the recipe shorter: it has no such step.
        return Images(inputs.data)
    return Images(inputs.data, seen(found, train, preprocessing_of(inputs).normalize, inputs.data.classes))
