"""Decisions from predictions: the best option, the cheapest that suffices, the Pareto frontier."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean

Array = np.ndarray

COSTS = ("tokens", "usd", "flops", "joules", "seconds")


def best(pred: xr.Dataset, *, max_cost: float | None = None, cost: str = "tokens") -> xr.Dataset:
    """Find the option with the highest success among those within a cost cap.

    An option is an LLM with a strategy; options compete within a benchmark.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    max_cost : float, optional
        Largest expected cost per task, in the unit of ``cost``.
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"

    Returns
    -------
    xarray.Dataset
        Dims (benchmark, option), best first choice in ``attrs["choice"]`` per benchmark: ``p_best`` probability
        that the option is within the cap and no other such option succeeds more often; ``regret`` expected
        success lost by choosing it instead of the best of each draw (options over the cap count as failing);
        ``success``, ``cost`` posterior means; ``p_affordable``.

    Raises
    ------
    InputError
        If the cost is not in the predictions.
    """
    if max_cost is not None and not max_cost > 0:
        raise InputError(f"max_cost = {max_cost}: it must be above 0, in {cost} per task")
    success, costs, valid = _options(pred, cost, needed=max_cost is not None)
    affordable = valid if max_cost is None else valid & (costs <= max_cost)
    value = np.where(affordable, success, -1.0)
    top = value.max(axis=2, keepdims=True)
    # Equal options share a draw.
    wins = (value == top) & affordable
    share = wins / np.maximum(wins.sum(axis=2, keepdims=True), 1)
    lost = np.maximum(top, 0.0) - np.where(affordable, success, 0.0)
    result = _table(
        pred,
        valid,
        {
            "p_best": (share.mean(axis=0), "probability of being best"),
            "regret": (lost.mean(axis=0), "expected success lost against the best of each draw"),
            "success": (success.mean(axis=0), "posterior mean success"),
            "cost": (costs.mean(axis=0), f"posterior mean {cost}"),
            "p_affordable": (affordable.mean(axis=0), "probability of being within the cap"),
        },
    )
    choices = []
    for benchmark in result["benchmark"].values:
        at = result.sel(benchmark=benchmark)
        possible = at["p_affordable"].values > 0
        if not possible.any():
            none = "there is no option" if max_cost is None else f"no option is within {cost} <= {max_cost:g}"
            choices.append(f"{benchmark}: {none}")
            continue
        # Least regret; of equals the likeliest to be affordable, then the cheaper.
        keys = (np.nan_to_num(at["cost"].values), -at["p_affordable"].values, at["regret"].values)
        order = np.lexsort([np.where(possible, key, np.inf) for key in keys])
        choices.append(f"{benchmark}: {at['option'].values[order[0]]}")
    return result.assign_attrs(cost=cost, max_cost="none" if max_cost is None else max_cost, choice="; ".join(choices))


def cheapest(pred: xr.Dataset, *, success: float = 0.8, confidence: float = 0.9, cost: str = "tokens") -> xr.Dataset:
    """Find the cheapest option that reaches a target success with a stated confidence.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    success : float, default 0.8
        Target, in (0, 1).
    confidence : float, default 0.9
        Posterior probability with which the target must be reached, in (0, 1).
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"

    Returns
    -------
    xarray.Dataset
        Dims (benchmark, option): ``p_reach``, ``cost`` posterior mean, ``suffices`` 0 or 1, and
        ``attrs["choice"]`` in words per benchmark, which may be that no option suffices.

    Raises
    ------
    InputError
        If the cost is not in the predictions, or a probability is not in (0, 1).
    """
    for name, value in (("success", success), ("confidence", confidence)):
        if not 0.0 < value < 1.0:
            raise InputError(f"{name} = {value}: it must be a probability between 0 and 1")
    drawn, costs, valid = _options(pred, cost, needed=True)
    reach = ((drawn >= success) & valid).mean(axis=0)
    mean_cost = costs.mean(axis=0)
    suffices = (reach >= confidence) & np.isfinite(mean_cost)
    result = _table(
        pred,
        valid,
        {
            "p_reach": (reach, f"probability that success is at least {success:g}"),
            "cost": (mean_cost, f"posterior mean {cost}"),
            "suffices": (suffices.astype(np.int8), f"reached with probability at least {confidence:g}"),
        },
    )
    choices = []
    for benchmark in result["benchmark"].values:
        at = result.sel(benchmark=benchmark)
        good = at.where(at["suffices"] == 1)
        if np.isnan(at["p_reach"].values).all():
            choices.append(f"{benchmark}: there is no option")
        elif not (at["suffices"] == 1).any():
            likeliest = int(np.nanargmax(at["p_reach"].values))
            choices.append(
                f"{benchmark}: none reaches {success:g} with probability {confidence:g}; nearest is "
                f"{at['option'].values[likeliest]} with probability {float(at['p_reach'][likeliest]):.2f}"
            )
        else:
            choices.append(f"{benchmark}: {at['option'].values[int(np.nanargmin(good['cost'].values))]}")
    return result.assign_attrs(cost=cost, target=success, confidence=confidence, choice="; ".join(choices))


def frontier(pred: xr.Dataset, *, cost: str = "tokens") -> xr.Dataset:
    """Find the options that no other option beats in both success and cost.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"

    Returns
    -------
    xarray.Dataset
        Dims (benchmark, option): ``p_frontier`` probability of lying on the Pareto frontier, ``success``,
        ``cost`` posterior means, and ``on_frontier`` whether the means themselves do.
    """
    success, costs, valid = _options(pred, cost, needed=True)
    valid = valid & np.isfinite(costs)
    on = _undominated(success, costs, valid).mean(axis=0)
    mean_success, mean_cost = success.mean(axis=0), costs.mean(axis=0)
    of_means = _undominated(mean_success[None], mean_cost[None], valid.all(axis=0)[None])[0]
    result = _table(
        pred,
        valid,
        {
            "p_frontier": (on, "probability of lying on the Pareto frontier"),
            "success": (mean_success, "posterior mean success"),
            "cost": (mean_cost, f"posterior mean {cost}"),
            "on_frontier": (of_means.astype(np.int8), "whether the posterior means lie on it"),
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
