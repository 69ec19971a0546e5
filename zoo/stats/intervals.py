"""Mean, deviation and t interval of a few numbers, such as the scores of a recipe with several seeds.

Student's t distribution is computed from the regularized incomplete beta function, by its continued fraction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# Share of intervals that contain the true value.
LEVEL = 0.95
# Smallest argument of the series of `_stirling_error`: from here on, its first omitted term is below 1e-15.
LARGE = 10.0
# Most terms of a continued fraction. It needs about the square root of its larger parameter, or fewer: 2,300 for 10**8.
MOST_TERMS = 100_000
# Relative change of a term at which a continued fraction has converged.
CONVERGED = 1e-16
# Replaces 0 where a continued fraction would divide by it.
TINY = 1e-300
# Most steps of Newton's method for a quantile: each step about doubles a value that is far too small.
MOST_STEPS = 2000


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one number."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation (with the divisor n - 1); None for a single number."""
    if len(values) < 2:
        return None
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def t_interval(values: Sequence[float], level: float = LEVEL) -> tuple[float, float] | None:
    """Return the confidence interval of the mean of normally distributed numbers (Student 1908); None for a single number."""
    spread = deviation(values)
    if spread is None:
        return None
    half = t_quantile((1 + level) / 2, len(values) - 1) * spread / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def t_quantile(share: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution: the value below which `share` of it lies.

    The upper tail is a convex, decreasing function of t > 0, so that Newton's method from 0 approaches the root from one side.

    Args:
        share: between 0 and 1, both excluded.
        freedom: degrees of freedom, above 0.
    """
    assert 0 < share < 1
    if share < 0.5:
        return -t_quantile(1 - share, freedom)
    wanted, found = 1 - share, 0.0
    # The constant factor of the density.
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    for _ in range(MOST_STEPS):
        step = (t_tail(found, freedom) - wanted) / (scale * (1 + found * found / freedom) ** (-(freedom + 1) / 2))
        found += step
        if abs(step) <= 1e-15 * found:
            break
    return found


def t_tail(t: float, freedom: float) -> float:
    """Return the share above t >= 0 (DLMF 8.17 with x = freedom / (freedom + t²)), by the smaller of x and 1 - x."""
    square = t * t
    if square < 1:
        return 0.5 * (1 - incomplete_beta(0.5, freedom / 2, square / (freedom + square)))
    return 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + square))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b), relative error about 1e-13 up to a + b = 10**6.

    The continued fraction of NIST's Digital Library of Mathematical Functions, 8.17.22 (https://dlmf.nist.gov/8.17.v),
    evaluated by the method of Lentz as Thompson and Barnett modified it (J. Comp. Phys. 64, 1986, 490 to 509).

    Args:
        a, b: above 0.
        x: from 0 to 1.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    # The fraction converges fast below the mean, and I_x(a, b) = 1 - I_(1-x)(b, a).
    if x > (a + 1) / (a + b + 2):
        return 1 - _power(a, b, x) * _fraction(b, a, 1 - x) / b
    return _power(a, b, x) * _fraction(a, b, x) / a


def _power(a: float, b: float, x: float) -> float:
    """Return x**a * (1 - x)**b / B(a, b).

    Stirling's formula is factored out of the three gamma functions of B, so that no large logarithms are subtracted.
    """
    total = a + b
    exponent = a * math.log(x * total / a) + b * math.log((1 - x) * total / b)
    correction = _stirling_error(total) - _stirling_error(a) - _stirling_error(b)
    return math.exp(exponent + correction) * math.sqrt(a * b / (2 * math.pi * total))


def _stirling_error(z: float) -> float:
    """Return log gamma(z) minus Stirling's (z - 1/2) log z - z + log(2 pi) / 2 (DLMF 5.11.1)."""
    if z < LARGE:
        return math.lgamma(z) - ((z - 0.5) * math.log(z) - z + 0.5 * math.log(2 * math.pi))
    inverse = 1 / (z * z)
    terms = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
    return sum(term * inverse**power for power, term in enumerate(terms)) / z


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction 1 / (1 + d1 / (1 + d2 / (1 + …))) of I_x(a, b)."""
    numerator, denominator = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = denominator
    for m in range(1, MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            denominator = 1 / _not_zero(1 + coefficient * denominator)
            numerator = _not_zero(1 + coefficient / numerator)
            change = numerator * denominator
            value *= change
        if abs(change - 1) <= CONVERGED:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
