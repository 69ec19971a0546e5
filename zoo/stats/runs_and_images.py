"""The difference of two models with several runs each, all evaluated on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zoo.stats.intervals import LEVEL, t_quantile, t_tail

# Most degrees of freedom: from here on, Student's t distribution is the normal one.
MOST_FREEDOM = 1e5


@dataclass(frozen=True)
class Difference:
    """A difference of mean accuracies.

    Attributes:
        value: the second model's mean accuracy minus the first model's.
        interval: its 95 % confidence interval.
        p: two-sided p-value of no difference.
    """

    value: float
    interval: tuple[float, float]
    p: float


def paired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compare the mean accuracy of two models by a t test in which both runs and images are random.

    The variance has a part of the images, which all runs share, and a part of the runs of each model. Both contain the noise of
    single answers, which counts once (two crossed random factors: Owen, Annals of Applied Statistics 1, 2007, 386 to 411;
    Gallas, Academic Radiology 13, 2006, 353 to 362). The degrees of freedom account for how little a few runs tell about their
    spread (Satterthwaite, Biometrics Bulletin 2, 1946, 110 to 114). A single run tells nothing about it, and is taken to
    spread as those of the other model; two single runs are compared as these two, not as models.

    Args:
        first: bool [S, N], whether each run of the first model classifies each image correctly.
        second: bool [R, N], the same for the second model.
    """
    assert first.shape[1] == second.shape[1] > 0
    images = first.shape[1]
    value = float(second.mean() - first.mean())
    if np.array_equal(first, second):
        return Difference(0.0, (0.0, 0.0), 1.0)
    by_image = second.mean(0) - first.mean(0)  # [N]
    of_images = float(by_image.var(ddof=1)) / images if images > 1 else 0.0
    parts = _parts_of_runs(first, second)
    of_runs = sum(part.variance - part.noise for part in parts)
    # One image more could change the difference by 1 / N, even if all runs agree on all images.
    variance = max(of_images + max(0.0, of_runs), 1 / images**2)
    known = sum(part.variance**2 / part.freedom for part in parts)
    # The formula is never below the degrees of freedom of a part; here it could be, where the noise exceeds the rest.
    freedom = min(MOST_FREEDOM, max(1.0, variance**2 / known)) if known else MOST_FREEDOM
    error = math.sqrt(variance)
    half = t_quantile((1 + LEVEL) / 2, freedom) * error
    return Difference(value, (max(-1.0, value - half), min(1.0, value + half)), 2 * t_tail(abs(value) / error, freedom))


@dataclass(frozen=True)
class _Part:
    """The part of the runs of a model in the variance of a difference.

    Attributes:
        variance: of the mean accuracy over runs.
        noise: the part of it that is the noise of single answers.
        freedom: degrees of freedom.
    """

    variance: float
    noise: float
    freedom: int


def _parts_of_runs(first: np.ndarray, second: np.ndarray) -> list[_Part]:
    """Return a part for each model; a model with a single run is taken to spread as the other one, in one part for both."""
    if min(len(first), len(second)) == 1:
        return [_part(several, 1 + 1 / len(several)) for several in (first, second) if len(several) > 1]
    return [_part(answers, 1 / len(answers)) for answers in (first, second)]


def _part(answers: np.ndarray, share: float) -> _Part:
    """Return `share` times the variance of single runs, bool [S, N] with S > 1."""
    runs, images = answers.shape
    rest = answers - answers.mean(1, keepdims=True) - answers.mean(0, keepdims=True) + answers.mean()  # [S, N]
    noise = float((rest**2).sum()) / ((runs - 1) * max(1, images - 1)) / images
    return _Part(share * float(answers.mean(1).var(ddof=1)), share * noise, runs - 1)
