"""Numbers as people read them: one way to write a success, a probability, a cost and an interval."""

from __future__ import annotations

import numpy as np

#: Every interval of a decision or a report is equal-tailed and holds this much probability.
LEVEL = 0.9
COST_NAMES = {
    "tokens": "generated tokens per task",
    "usd": "USD per task",
    "flops": "FLOP per task",
    "joules": "joules per task",
    "seconds": "seconds per task",
}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, thousands apart and powers of ten where it is long."""
    if value is None or np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = int(np.floor(np.log10(abs(value))))
    if size >= 9 or size < -4:
        front, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{front}×10{str(int(power)).translate(_RAISED)}".replace("-", "−")
    return f"{value:,.{max(0, digits - 1 - size)}f}".replace("-", "−")


def share(value: float) -> str:
    """Write a success rate with three decimals."""
    return "–" if np.isnan(value) else f"{value:.3f}"


def chance(value: float) -> str:
    """Write a share of posterior draws with two decimals; neither none nor all of them are certainty."""
    if np.isnan(value):
        return "–"
    if value < 0.005:
        return "<0.01"
    return ">0.99" if value > 0.995 else f"{value:.2f}"


def interval(mean: float, lower: float, upper: float, cost: bool = False) -> str:
    """Write a mean with its interval."""
    if np.isnan(mean):
        return "–"
    write = number if cost else share
    return f"{write(mean)} ({write(lower)} to {write(upper)})"


def amount(value: float, cost: str, *, exact: bool = False) -> str:
    """Write a cost with its unit; ``exact`` is for what a user stated."""
    said = f"{value:,.10g}" if exact else number(value)
    return {
        "usd": f"USD {said}",
        "tokens": f"{said} tokens",
        "flops": f"{said} FLOP",
        "joules": f"{said} J",
        "seconds": f"{said} s",
    }[cost]


def mean_interval(draws: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and equal-tailed interval of draws along the first axis, widened where the mean lies outside.

    A few extreme draws can pull a mean out of the interval that holds nine tenths of them; an interval printed beside a
    mean holds it, and then a little more than its level.

    Parameters
    ----------
    draws : numpy.ndarray, shape (samples, ...)
    level : float, default 0.9

    Returns
    -------
    tuple of numpy.ndarray, shape (...)
        Mean, lower and upper end.
    """
    mean = draws.mean(axis=0)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return mean, np.minimum(low, mean), np.maximum(high, mean)
