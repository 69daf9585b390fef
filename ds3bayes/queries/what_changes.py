"""What would change a decision: the cap, the price, the margin and the target at which the choice is another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ds3bayes.generative.spec import Query
from ds3bayes.queries.options import choose, practical_tie
from ds3bayes.queries.words import amount, number, share

Array = np.ndarray

# Caps, and factors of prices, that are tried on each side of the present one, and halvings between two of them.
_TRIED, _HALVINGS = 24, 10
# How much dearer an LLM is thought to become, and a margin that is still a small difference.
_DEAREST, _WIDEST = 10.0, 0.1
# A gain of success below which knowing more is not worth saying.
_WORTH = 5e-4


@dataclass(frozen=True, kw_only=True)
class _Choosing:
    """The draws of a decision, as `choose` takes them."""

    success: Array
    cost: Array
    real: Array
    margin: float
    cap: float

    def choice(self, *, cap: float | None = None, cost: Array | None = None, margin: float | None = None) -> int:
        """Return the place of the choice, -1 if there is none."""
        cost = self.cost if cost is None else cost
        cap = self.cap if cap is None else cap
        within = (cost <= cap) if np.isfinite(cap) else np.ones_like(cost, dtype=bool)
        chosen = choose(self.success, cost, within & self.real, self.margin if margin is None else margin)[2]
        return int(chosen.argmax()) if chosen.any() else -1


def what_changes(options: pd.DataFrame, success: Array, cost: Array, query: Query, *, priced: bool) -> list[str]:
    """Say at which cap, price, margin and target the choice would be another, and what knowing more could gain.

    Parameters
    ----------
    options : pandas.DataFrame
        Of a `Decision`.
    success, cost : array, shape (draws, options)
        In the order of the options; cost is NaN where it is not predicted.
    query : Query
    priced : bool
        Whether the cost is predicted.

    Returns
    -------
    list of str
        Sentences; empty where nothing is chosen.
    """
    if not options["chosen"].any():
        return []
    names = options["option"].tolist()
    place = int(options["chosen"].to_numpy().argmax())
    now = _Choosing(
        success=success,
        cost=cost,
        real=~options["bound"].to_numpy(dtype=bool),
        margin=query.margin,
        cap=np.inf if query.max_cost is None else query.max_cost,
    )
    said = []
    if priced and np.isfinite(cost).all() and now.real.sum() > 1:
        said += [_of_cap(now, place, names, query.cost), _of_price(now, place, options)]
        said += [_of_margin(now, place, options)]
    said += [_of_target(now, options, query, priced=priced), _of_knowing(options, place, query.margin)]
    return [one for one in said if one]


def _first_flip(choice: Callable[[float], int], place: int, tried: Array) -> tuple[float, int] | None:
    """Return where, from the first of some values on, the choice becomes another, and which; None if it stays."""
    before = float(tried[0])
    for value in tried[1:]:
        found = choice(float(value))
        if found == place:
            before = float(value)
            continue
        after = float(value)
        for _ in range(_HALVINGS):
            middle = float(np.sqrt(before * after))
            at = choice(middle)
            before, after, found = (middle, after, found) if at == place else (before, middle, at)
        return after, found
    return None


def _of_cap(now: _Choosing, place: int, names: list[str], cost: str) -> str:
    dear, cheap = float(now.cost[:, now.real].max()), float(now.cost[:, now.real].mean(axis=0).min())
    start = min(now.cap, dear)
    said = []
    if cheap < start:
        down = _first_flip(lambda cap: now.choice(cap=cap), place, np.geomspace(start, 0.999 * cheap, _TRIED))
        if down is not None:
            other = f"it would be {names[down[1]]}" if down[1] >= 0 else "nothing would be within it"
            said.append(f"below {amount(down[0], cost)} per task {other}")
    if now.cap < dear:
        up = _first_flip(lambda cap: now.choice(cap=cap), place, np.geomspace(now.cap, 1.001 * dear, _TRIED))
        said.append(
            f"from {amount(up[0], cost)} on, {names[up[1]]}" if up is not None else "a higher one changes nothing"
        )
    if not said:
        return ""
    return f"Cap: {'; '.join(said)}."


def _of_price(now: _Choosing, place: int, options: pd.DataFrame) -> str:
    models = options["model"].to_numpy()
    mine = models == models[place]
    if mine.all():
        # Of one LLM a price moves like the cap, the other way.
        return ""

    def choice(factor: float) -> int:
        return now.choice(cost=np.where(mine, factor, 1.0) * now.cost)

    up = _first_flip(choice, place, np.geomspace(1.0, _DEAREST, _TRIED))
    if up is None:
        return f"Price: it stays the choice with {models[place]} {_DEAREST:g} times as dear."
    other = f"it would be {options['option'].iloc[up[1]]}" if up[1] >= 0 else "nothing would be within the cap"
    return f"Price: with {models[place]} {number(up[0], 2)} times as dear {other}."


def _of_margin(now: _Choosing, place: int, options: pd.DataFrame) -> str:
    """Say which difference in success would have to matter, or not to, for another choice."""
    regret = options["regret"].to_numpy()
    gap = float(regret[place] - np.nanmin(regret))
    if gap > 0:
        other = now.choice(margin=0.999 * gap)
        if other not in (place, -1):
            return (
                f"Margin: if a difference of {_small(gap)} in success mattered (query.margin = {now.margin:g} says "
                f"that it does not), it would be {options['option'].iloc[other]}."
            )
    mean_cost = now.cost.mean(axis=0)
    most = float(practical_tie(float(now.success[:, int(np.nanargmin(regret))].mean()), _WIDEST))
    cheaper = [
        one
        for one in np.flatnonzero(now.real & (mean_cost < mean_cost[place]))
        if now.margin < regret[one] - np.nanmin(regret) <= most
    ]
    if not cheaper:
        return ""
    least = min(cheaper, key=lambda one: regret[one])
    wanted = float(regret[least] - np.nanmin(regret))
    return (
        f"Margin: who gives up {_small(wanted)} of success gets {options['option'].iloc[least]}, at "
        f"{number(mean_cost[least] / mean_cost[place], 2)} of the price."
    )


def _small(difference: float) -> str:
    return share(difference) if difference >= 5e-4 else number(difference, 1)


def _of_target(now: _Choosing, options: pd.DataFrame, query: Query, *, priced: bool) -> str:
    """Say up to which target what suffices does, and what then would."""
    size = len(now.success)
    # As many draws as must reach a target, counted as `cheapest` counts them.
    needed = next(k for k in range(int(query.confidence * size), size + 1) if k / size >= query.confidence)
    highest = np.where(now.real, np.sort(now.success, axis=0)[size - max(needed, 1)], -np.inf)
    names = options["option"].tolist()
    top = int(highest.argmax())
    sure = f"with probability at least {query.confidence:g}"
    if not options["enough"].any():
        return f"Target: the highest success that any option reaches {sure} is {_floor(highest[top])}, by {names[top]}."
    first = int(options["enough"].to_numpy().argmax())
    said = f"Target: {names[first]} is the cheapest that suffices up to success {_floor(highest[first])}"
    beyond = np.flatnonzero(highest > highest[first])
    mean_cost = now.cost.mean(axis=0)
    if beyond.size:
        then = int(beyond[mean_cost[beyond].argmin()])
        said += f"; above, {names[then]}, up to {_floor(highest[then])}"
    else:
        said += "; above, no option does"
    lower = np.flatnonzero(now.real & (mean_cost < mean_cost[first]) & (highest > 0)) if priced else np.array([], int)
    if lower.size:
        then = int(lower[highest[lower].argmax()])
        said += f"; up to {_floor(highest[then])} the cheaper {names[then]} does"
    return f"{said}."


def _floor(value: float) -> str:
    """Write a success, rounded down: what is said is reached."""
    return f"{np.floor(1000.0 * value) / 1000.0:.3f}"


def _of_knowing(options: pd.DataFrame, place: int, margin: float) -> str:
    """Say what knowing every success could gain: the expected value of perfect information."""
    regret = float(options["regret"].iloc[place])
    if regret < _WORTH:
        return "More attempts: by what the model knows, they would gain nothing worth having."
    said = f"More attempts: knowing every option's success exactly would gain {share(regret)} of success on average"
    if regret <= practical_tie(float(options["success"].max()), margin):
        return f"{said}, within the margin of {margin:g} that is not worth paying for."
    return f"{said}, and no evaluation gains more (`next_evals` says which gains most for its cost)."
