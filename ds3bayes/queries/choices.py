"""Choices from predictions: the best option, the cheapest that suffices, the Pareto frontier."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.queries.options import choose, is_bound, refuse_margin
from ds3bayes.queries.words import chance

Array = np.ndarray

COSTS = ("tokens", "usd", "flops", "joules", "seconds")
#: Share of the price of what suffices below which an option that nearly does is worth naming.
FRACTION = 0.5


def best(
    pred: xr.Dataset,
    *,
    max_cost: float | None = None,
    cost: str = "tokens",
    margin: float = 0.01,
    perfect_check: bool | Collection[str] = False,
) -> xr.Dataset:
    """Choose the option with the highest success within a cost cap, or a cheaper one that is practically tied.

    An option is an LLM with a strategy; options compete within a benchmark.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    max_cost : float, optional
        Largest expected cost per task, in the unit of ``cost``.
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"
    margin : float, default 0.01
        Difference in expected success that is not worth paying for, in [0, 1).
    perfect_check : bool or collection of str, default False
        Whether wrong answers can be told from right ones when deployed, or the benchmarks where they can.
        Elsewhere what picks by an oracle is an upper bound, and no candidate.

    Returns
    -------
    xarray.Dataset
        Dims (benchmark, option), the choice of each benchmark in ``attrs["choice"]``: ``p_best`` probability
        that the option is within the cap and no other such candidate succeeds more often; ``regret`` expected
        success lost by choosing it instead of the best of each draw (options over the cap count as failing);
        ``tied`` whether it is practically tied with the best, ``chosen`` whether it is the choice, ``bound``
        whether it is no candidate (then ``p_best`` and ``regret`` are NaN); ``success``, ``cost`` posterior means;
        ``p_affordable``.

    Raises
    ------
    InputError
        If the cost is not in the predictions, or a number is out of range.

    Notes
    -----
    The best is the candidate of least regret. Another is practically tied with it if its regret is larger by at most
    the margin: regrets differ by the posterior mean of the difference in success (nothing for an option over the
    cap), so that choosing it loses no more than the margin on average. Of those tied the cheapest is chosen: who
    would not pay for less than the margin of expected success loses nothing by it, however uncertain the difference
    is. A tie never gives up more than a tenth of the best's success, so that on hard tasks an option that solves
    nothing is not tied with one that solves some.
    """
    if max_cost is not None and not max_cost > 0:
        raise InputError(f"max_cost = {max_cost}: it must be above 0, in {cost} per task")
    refuse_margin(margin)
    success, costs, valid = _options(pred, cost, needed=max_cost is not None)
    bound = _bounds(pred, perfect_check)
    # A bound is shown with its numbers, but competes with nothing.
    affordable = valid if max_cost is None else valid & (costs <= max_cost)
    candidate = affordable & ~bound
    value = np.where(candidate, success, -1.0)
    top = value.max(axis=2, keepdims=True)
    # Equal options share a draw.
    wins = (value == top) & candidate
    share = wins / np.maximum(wins.sum(axis=2, keepdims=True), 1)
    p_best = np.where(bound, np.nan, share.mean(axis=0))
    mean_cost, p_affordable = costs.mean(axis=0), affordable.mean(axis=0)
    regret = np.empty(bound.shape)
    tied, chosen = np.zeros((2, *bound.shape), dtype=bool)
    for place in range(len(bound)):
        regret[place], tied[place], chosen[place] = choose(
            success[:, place], costs[:, place], candidate[:, place], margin
        )
    regret[bound] = np.nan
    result = _table(
        pred,
        valid,
        {
            "p_best": (p_best, "probability of being best"),
            "regret": (regret, "expected success lost against the best of each draw"),
            "tied": (tied, "whether practically tied with the best"),
            "chosen": (chosen, "whether it is the choice"),
            "bound": (bound, "whether it assumes a perfect check that there is not"),
            "success": (success.mean(axis=0), "posterior mean success"),
            "cost": (mean_cost, f"posterior mean {cost}"),
            "p_affordable": (p_affordable, "probability of being within the cap"),
        },
    )
    choices = []
    for benchmark in result["benchmark"].values:
        at = result.sel(benchmark=benchmark)
        if (at["chosen"] == 1).any():
            choices.append(f"{benchmark}: {at['option'].values[int(np.nanargmax(at['chosen'].values))]}")
        elif (at["p_affordable"] > 0).any():
            choices.append(f"{benchmark}: {_ALL_BOUNDS}")
        else:
            none = "there is no option" if max_cost is None else f"no option is within {cost} <= {max_cost:g}"
            choices.append(f"{benchmark}: {none}")
    return result.assign_attrs(
        cost=cost, max_cost="none" if max_cost is None else max_cost, margin=margin, choice="; ".join(choices)
    )


_ALL_BOUNDS = "no option is more than an upper bound (each assumes a perfect check; see perfect_check)"


def cheapest(
    pred: xr.Dataset,
    *,
    success: float = 0.8,
    confidence: float = 0.9,
    cost: str = "tokens",
    margin: float = 0.01,
    perfect_check: bool | Collection[str] = False,
) -> xr.Dataset:
    """Find the cheapest option that reaches a target success with a stated confidence, and what nearly does for less.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    success : float, default 0.8
        Target, in (0, 1).
    confidence : float, default 0.9
        Posterior probability with which the target must be reached, in (0, 1).
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"
    margin : float, default 0.01
        Difference in expected success that is not worth paying for, in [0, 1).
    perfect_check : bool or collection of str, default False
        As for `best`: what is an upper bound does not suffice.

    Returns
    -------
    xarray.Dataset
        Dims (benchmark, option): ``p_reach``, ``cost`` posterior mean, ``suffices`` 0 or 1, ``chosen`` whether it is
        the cheapest of those, ``nearly`` whether it nearly suffices for a fraction of the price, ``bound`` as of
        `best`; in words per benchmark ``attrs["choice"]``, which may be that no option suffices, and
        ``attrs["nearly"]``, the cheapest that nearly does.

    Raises
    ------
    InputError
        If the cost is not in the predictions, or a number is out of range.

    Notes
    -----
    Nearly for a fraction of the price: the option's expected success is at most the margin below the target, and it
    costs at most half of the cheapest that suffices (or, if none does, of the likeliest to reach the target).
    """
    refuse_margin(margin)
    for name, value in (("success", success), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise InputError(f"{name} = {value}: it must be a probability between 0 and 1")
    drawn, costs, valid = _options(pred, cost, needed=True)
    bound = _bounds(pred, perfect_check)
    exists = valid.all(axis=0)
    reach = ((drawn >= success) & valid).mean(axis=0)
    mean_cost = costs.mean(axis=0)
    candidate = exists & ~bound & np.isfinite(mean_cost)
    suffices = (reach >= confidence) & candidate
    chosen, nearly = np.zeros((2, *suffices.shape), dtype=bool)
    for place in range(len(suffices)):
        if not candidate[place].any():
            continue
        if suffices[place].any():
            first = int(np.where(suffices[place], mean_cost[place], np.inf).argmin())
            chosen[place, first] = True
        else:
            first = int(np.where(candidate[place], reach[place], -1.0).argmax())
        nearly[place] = (
            (candidate & ~suffices)[place]
            & (drawn[:, place].mean(axis=0) >= success - margin)
            & (mean_cost[place] <= FRACTION * mean_cost[place, first])
        )
    result = _table(
        pred,
        valid,
        {
            "p_reach": (reach, f"probability that success is at least {success:g}"),
            "cost": (mean_cost, f"posterior mean {cost}"),
            "suffices": (suffices, f"reached with probability at least {confidence:g}"),
            "chosen": (chosen, "whether it is the cheapest that suffices"),
            "nearly": (nearly, "whether it nearly suffices for a fraction of the price"),
            "bound": (bound, "whether it assumes a perfect check that there is not"),
        },
    )
    choices, nearly_so = [], []
    for benchmark in result["benchmark"].values:
        at = result.sel(benchmark=benchmark)
        reached = at["p_reach"].where(at["bound"] == 0).values
        if np.isnan(at["p_reach"].values).all():
            said = "there is no option"
        elif np.isnan(reached).all():
            said = _ALL_BOUNDS
        elif not (at["chosen"] == 1).any():
            likeliest = int(np.nanargmax(reached))
            said = (
                f"none reaches {success:g} with probability {confidence:g}; nearest is "
                f"{at['option'].values[likeliest]} with probability {chance(reached[likeliest])}"
            )
        else:
            said = str(at["option"].values[int(np.nanargmax(at["chosen"].values))])
        choices.append(f"{benchmark}: {said}")
        close = at.isel(option=np.flatnonzero(at["nearly"].values == 1))
        if close.sizes["option"]:
            nearly_so.append(f"{benchmark}: {close['option'].values[close['cost'].values.argmin()]}")
    return result.assign_attrs(
        cost=cost,
        target=success,
        confidence=confidence,
        margin=margin,
        choice="; ".join(choices),
        nearly="; ".join(nearly_so) or "none",
    )


def frontier(pred: xr.Dataset, *, cost: str = "tokens", perfect_check: bool | Collection[str] = False) -> xr.Dataset:
    """Find the options that no other option beats in both success and cost.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"
    perfect_check : bool or collection of str, default False
        As for `best`: an upper bound is not on the frontier, and beats nothing.

    Returns
    -------
    xarray.Dataset
        Dims (benchmark, option): ``p_frontier`` probability of lying on the Pareto frontier (NaN of an upper bound),
        ``success``, ``cost`` posterior means, ``on_frontier`` whether the means themselves do, and ``bound``.
    """
    success, costs, valid = _options(pred, cost, needed=True)
    bound = _bounds(pred, perfect_check)
    mean_success, mean_cost = success.mean(axis=0), costs.mean(axis=0)
    finite = valid & np.isfinite(costs)
    candidate = finite & ~bound
    on = np.where(bound, np.nan, _undominated(success, costs, candidate).mean(axis=0))
    of_means = _undominated(mean_success[None], mean_cost[None], candidate.all(axis=0)[None])[0]
    result = _table(
        pred,
        finite,
        {
            "p_frontier": (on, "probability of lying on the Pareto frontier"),
            "success": (mean_success, "posterior mean success"),
            "cost": (mean_cost, f"posterior mean {cost}"),
            "on_frontier": (of_means, "whether the posterior means lie on it"),
            "bound": (bound, "whether it assumes a perfect check that there is not"),
        },
    )
    return result.assign_attrs(cost=cost)


def _undominated(success: Array, cost: Array, valid: Array) -> Array:
    """Whether an option (samples, benchmark, option) is beaten by none; sorted, so that grids of thousands are fast."""
    success, cost = np.where(valid, success, -1.0), np.where(valid, cost, np.inf)
    order = np.lexsort((-success, cost), axis=2)
    s, c = np.take_along_axis(success, order, axis=2), np.take_along_axis(cost, order, axis=2)
    # Options of one cost stand together, the most successful first.
    places = np.arange(s.shape[2])
    fresh = np.concatenate([np.ones_like(c[:, :, :1], dtype=bool), c[:, :, 1:] > c[:, :, :-1]], axis=2)
    first = np.maximum.accumulate(np.where(fresh, places, 0), axis=2)
    highest = np.maximum.accumulate(s, axis=2)
    cheaper = np.where(first > 0, np.take_along_axis(highest, np.maximum(first - 1, 0), axis=2), -np.inf)
    kept = (s > cheaper) & (s == np.take_along_axis(s, first, axis=2))
    result = np.empty_like(kept)
    np.put_along_axis(result, order, kept, axis=2)
    return result & valid


def _bounds(pred: xr.Dataset, perfect_check: bool | Collection[str]) -> Array:
    """Which options are upper bounds, for want of a perfect check: bool (benchmark, option)."""
    labels = [str(label) for label in pred["strategy"].values]
    bound = [[is_bound(label, str(name), perfect_check) for label in labels] for name in pred["benchmark"].values]
    return np.tile(np.array(bound), len(pred["model"]))


def _options(pred: xr.Dataset, cost: str, *, needed: bool) -> tuple[Array, Array, Array]:
    """Return success and cost draws (samples, benchmark, option), and which options exist."""
    if "task" in pred.dims:
        raise InputError("decisions are about means over tasks: call predict with per_task=False")
    if cost not in COSTS:
        raise InputError(f"cost = {cost!r}; allowed: {', '.join(COSTS)}." + did_you_mean(cost, COSTS))
    if cost not in pred and needed:
        raise InputError(f"the predictions have no {cost} ({pred.attrs.get('absent', 'none given')})")

    def stacked(name: str) -> Array:
        flat = pred[name].stack(sample=("chain", "draw"), option=("model", "strategy"))
        return np.asarray(flat.transpose("sample", "benchmark", "option").values)

    success = stacked("success")
    costs = stacked(cost) if cost in pred else np.full_like(success, np.nan)
    return success, costs, np.isfinite(success)


def _table(pred: xr.Dataset, valid: Array, columns: dict[str, tuple[Array, str]]) -> xr.Dataset:
    """Arrange per-option results; options that exist nowhere are left out."""
    models, strategies = pred["model"].values, pred["strategy"].values
    several = len(models) > 1
    labels = [f"{model} | {strategy}" if several else str(strategy) for model in models for strategy in strategies]
    exists = valid.all(axis=0)
    keep = exists.any(axis=0)
    variables = {
        name: (("benchmark", "option"), np.where(exists, values, np.nan)[:, keep], {"long_name": meaning})
        for name, (values, meaning) in columns.items()
    }
    coords = {
        "benchmark": pred["benchmark"].values,
        "option": np.array(labels)[keep],
        "model": ("option", np.repeat(models, len(strategies))[keep]),
        "strategy": ("option", np.tile(strategies, len(models))[keep]),
    }
    if "extrapolated" in pred.coords:
        beyond = pred["extrapolated"].transpose("benchmark", "model", "strategy").values.reshape(exists.shape)
        coords["extrapolated"] = (("benchmark", "option"), beyond[:, keep], pred["extrapolated"].attrs)
    return xr.Dataset(variables, coords=coords)
