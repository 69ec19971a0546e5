"""Fit one temperature on the validation images, by which all logits are divided (Guo et al. 2017).

It becomes part of the last layer of the model, so that all uses of the weights have the new probabilities. The order of the
classes does not change.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from zoo.data.views import mean_of_views
from zoo.metrics import METRICS, ece, loss
from zoo.models.head import divide_logits
from zoo.results.result import Result, Temperature
from zoo.system import launch
from zoo.system.console import Console, plural
from zoo.training import processes
from zoo.training.evaluate import averaged, predict_views
from zoo.training.state import Training

# Range of temperatures that is searched. The best one lies outside if all images are right, or none.
LEAST, MOST = 0.05, 20.0
# Points of a first, coarse search, evenly spaced on a logarithmic scale; the minimum of the loss lies between two of them.
COARSE = 25
# Width on the logarithmic scale at which the search ends; the temperature is then rounded to `DIGITS` digits.
WIDTH = 1e-5
DIGITS = 4
# The share of an interval that a step of the search keeps (Kiefer 1953).
GOLDEN = (math.sqrt(5) - 1) / 2
# Images whose loss is computed at a time, in float64.
CHUNK = 8192


@dataclass(frozen=True)
class Fitted:
    """A temperature, and the scores of val without it.

    Attributes:
        value: the temperature; 1 if none fits.
        loss: of val, in nats.
        ece: expected calibration error of val.
    """

    value: float
    loss: float
    ece: float


def calibrate(training: Training, console: Console) -> Fitted:
    """Fit a temperature on val and put it into the last layer of the model that is evaluated; all processes do the same.

    Args:
        training: with the selected weights; it has validation images.
        console: where to say that no temperature fits.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    assert training.val is not None
    outputs, targets = predict_views(training, training.val)
    found = processes.from_first(launch.read(), lambda: fit_temperature(outputs, targets))
    if found is None:
        beyond = f"the best for {plural(len(targets), 'image')} of val is not between {LEAST:g} and {MOST:g}"
        console.warn(f"temperature: {beyond}, which happens if all or none are right; it stays 1")
    logits = averaged(outputs)
    if found is not None:
        divide_logits(training.averaged.module if training.averaged is not None else training.bare_model, found)
    return Fitted(found or 1.0, loss(logits, targets), ece(logits, targets))


def fit_temperature(outputs: Tensor, targets: Tensor) -> float | None:
    """Find the temperature at which the targets are most likely, to `DIGITS` digits.

    Args:
        outputs: logits float32 [N, C], or [N, V, C] of V views whose probabilities are averaged.
        targets: int64 [N].

    Returns:
        The temperature, or None if it is not between `LEAST` and `MOST`, or a logit is not finite.
    """

    def cost(place: float) -> float:
        return _loss_at(math.exp(place), outputs, targets)

    low, high = math.log(LEAST), math.log(MOST)
    places = [low + (high - low) * number / (COARSE - 1) for number in range(COARSE)]
    costs = [cost(place) for place in places]
    best = min(range(COARSE), key=costs.__getitem__)
    if not all(map(math.isfinite, costs)) or best in (0, COARSE - 1):
        return None
    return float(f"{math.exp(_lowest(cost, places[best - 1], places[best + 1])):.{DIGITS}g}")


def _lowest(cost: Callable[[float], float], low: float, high: float) -> float:
    """Find the minimum of a function between two points by a golden-section search (Kiefer 1953)."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    while high - low > WIDTH:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = cost(right)
    return (low + high) / 2


def _loss_at(temperature: float, outputs: Tensor, targets: Tensor) -> float:
    """Return the mean cross-entropy in nats at a temperature, in float64."""
    total = 0.0
    for some, labels in zip(outputs.split(CHUNK), targets.split(CHUNK), strict=True):
        logits = some.double() / temperature
        logits = mean_of_views(logits if logits.ndim == 3 else logits.unsqueeze(1))  # [n, C]
        total -= float(logits.gather(1, labels.unsqueeze(1)).sum())
    return total / len(targets)


def calibrated(result: Result, fitted: Fitted, logits: Tensor, targets: Tensor) -> Result:
    """Return a result with its temperature, and with the metrics of val at this temperature.

    Args:
        result: of the run.
        fitted: the temperature.
        logits: float32 [N, C] of val, at this temperature.
        targets: int64 [N].
    """
    val = {name: metric(logits, targets) for name, metric in METRICS.items()}
    before_and_after = {"loss": (fitted.loss, val["loss"]), "ece": (fitted.ece, val["ece"])}
    temperature = Temperature(value=fitted.value, images=len(targets), **before_and_after)
    return result.model_copy(update={"val": val, "temperature": temperature})
