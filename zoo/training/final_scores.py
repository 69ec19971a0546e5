"""Count the passes over val at the end of a run, and save one if the final weights were scored before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.training.evaluate import predict_split
from zoo.training.state import ValPredictions

if TYPE_CHECKING:
    from zoo.training.state import Training

# Most bytes of logits that are kept until the run ends: 50,000 images of 1,000 classes would take 200 MB.
MOST_BYTES = 64_000_000
# Bytes of a float32.
BYTES_OF_OUTPUT = 4


def final_passes(recipe: Recipe, outputs: int, *, features: bool) -> int:
    """Return how often val is scored at the end of a run: to make a soup, to fit a temperature, and for the final score.

    Args:
        recipe: with its open options chosen.
        outputs: number of logits of val: images times classes.
        features: whether the head trains on cached features, so that the whole model must be scored at the end.
    """
    soup = int(recipe.train.soup == "uniform")
    if recipe.train.soup == "greedy":
        # Each of the best checkpoints but the first is tried.
        soup = max(0, decided(recipe.output.keep_best) - 1)
    fits = recipe.eval.temperature == "fit"
    changed = recipe.train.soup != "none" or fits or recipe.finetune.lora is not None or features
    return soup + fits + (changed or outputs * BYTES_OF_OUTPUT > MOST_BYTES)


def score_val(training: Training, step: int) -> ValPredictions:
    """Score val after `step` steps, and keep the predictions unless they are large.

    Args:
        training: the run; it has validation images.
        step: steps taken.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    assert training.val is not None
    began = time.perf_counter()
    logits, targets = predict_split(training, training.val)
    found = ValPredictions(step, logits, targets, time.perf_counter() - began)
    training.latest = found if logits.nbytes <= MOST_BYTES else None
    return found


def known_predictions(training: Training, step: int) -> ValPredictions | None:
    """Return the predictions of val after `step` steps, or None if they were not kept, for example before a resume."""
    return next((found for found in (training.best, training.latest) if found is not None and found.step == step), None)
