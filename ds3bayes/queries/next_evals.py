"""`next_evals`: which evaluation to run next, by what it is expected to save in regret for what it costs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import xarray as xr
from scipy.special import ndtr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.inference.artifact import design_of
from ds3bayes.queries.choices import COSTS
from ds3bayes.queries.options import (
    asked_of,
    choose,
    draws_of,
    is_bound,
    only_benchmark,
    parse_option,
    practical_tie,
)
from ds3bayes.queries.predict import predict

Array = np.ndarray

# Counts of up to this many decisions keep their exact law; above, the normal law on so many bins.
_EXACT, _BINS = 512, 257
_FOLDS = 10
# A fall of regret, in success, below which an evaluation does not count as useful.
_WORTH = 5e-4


def next_evals(
    fit: xr.DataTree,
    options: Sequence[str],
    candidates: Sequence[str] | None = None,
    *,
    attempts: Sequence[int] = (1, 2, 4, 8, 16, 32),
    on: Literal["observed", "new"] = "observed",
    evaluated: int | None = None,
    tasks: Literal["observed", "new"] = "observed",
    cost: Literal["tokens", "usd", "flops", "joules", "seconds"] = "tokens",
    max_cost: float | None = None,
    margin: float | None = None,
    perfect_check: bool | Collection[str] | None = None,
    benchmark: str | None = None,
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Rank evaluations that could be run before a decision.

    Today the option of highest expected success would be chosen; its regret is the success that the best option of
    each posterior draw has more. Another evaluation changes beliefs, perhaps the choice, and so lowers the regret:
    by how much, on average over what it may read, is the expected value of sample information.

    Parameters
    ----------
    fit : xarray.DataTree
    options : sequence of str
        What is decided between, at least two: ``"LLM | strategy"``, or a strategy where there is one LLM. What picks by
        an oracle is an upper bound without a perfect check, and not decided on.
    candidates : sequence of str, optional
        What may be run, in the same form; the options if absent. A selecting strategy is run as such: its decisions
        are counted, not its attempts.
    attempts : sequence of int, default (1, 2, 4, 8, 16, 32)
        Decisions per task to consider, at least 1.
    on : {"observed", "new"}, default "observed"
        Run on the observed tasks once more, or on new ones.
    evaluated : int, optional
        Number of new tasks, at least 1; as many as were observed if absent.
    tasks : {"observed", "new"}, default "observed"
        Tasks whose success the decision is about.
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"
        What evaluations and options cost.
    max_cost : float, optional
        Cap on an option's expected cost per task; an option over it counts as failing, as in `best`.
    margin : float, optional
        Difference in expected success that is not worth paying for, in [0, 1), as of `best`: where deciding now loses
        less, nothing needs to be run. That of the fit's spec if absent.
    perfect_check : bool or collection of str, optional
        Whether wrong answers can be told from right ones when deployed, or the benchmarks where they can. That of the
        fit's spec if absent.
    benchmark : str, optional
        Needed where there are several.
    new_tasks, seed : int
        As for `predict`.

    Returns
    -------
    xarray.Dataset
        Dims (candidate, attempts): ``regret_reduction``, its ``regret_reduction_upper``, ``regret_after``,
        ``eval_cost`` expected cost of the evaluation, and ``reduction_per_cost``; scalars ``regret`` before, and
        ``perfect`` the reduction if all were known. Regret is in success per task. In ``attrs``: ``choice`` is the best
        per cost, or ``"none"`` where none is worth its cost; ``now`` the option of least regret today, ``deploy`` the
        cheapest that is practically tied with it, ``bounds`` what is not decided on, and ``sentence`` says it.

    Raises
    ------
    InputError
        If fewer than two options are given or left, or anything cannot be predicted or is out of range.

    Notes
    -----
    Posterior draws are reweighted by the probability of the count of right answers that an evaluation may read
    given each draw, summed over all counts: no refit and no simulation. That count is a summary of what a refit
    would see (task by task), so a refit can gain more, not less. With finitely many draws, choosing and valuing with
    the same draws overstates (``regret_reduction_upper``); ``regret_reduction`` chooses with nine tenths of the
    draws and values with the rest, in turn.

    References
    ----------
    Raiffa, Schlaifer (1961), Applied Statistical Decision Theory: preposterior analysis.
    """
    _check(options, attempts, evaluated, on, cost)
    margin, perfect_check = asked_of(fit, margin, perfect_check)
    models = list(dict.fromkeys(arm.model for arm in design_of(fit).arms))
    wanted = [parse_option(text, models) for text in options]
    running = wanted if candidates is None else [parse_option(text, models) for text in candidates]
    strategies = list(dict.fromkeys(strategy for _, strategy in (*wanted, *running)))
    decided = predict(fit, strategies, tasks=tasks, new_tasks=new_tasks, seed=seed)
    name = only_benchmark(decided["benchmark"].values, benchmark)
    if cost not in decided:
        raise InputError(f"the predictions have no {cost} ({decided.attrs['absent']})")
    bound = [is_bound(str(strategy), name, perfect_check) for _, strategy in wanted]
    bounds = [str(text) for text, one in zip(options, bound, strict=True) if one]
    real = [pair for pair, one in zip(wanted, bound, strict=True) if not one]
    if len(real) < 2:
        raise InputError(
            f"options: {'; '.join(bounds)}: an upper bound, for it picks by a perfect check, which the spec does not "
            "say exists; a decision is between at least two others (perfect_check=True says that answers can be "
            "checked)"
        )
    run = predict(fit, strategies, tasks=on, per_task=True, new_tasks=new_tasks, seed=seed)
    found = [draws_of(decided, model, name, strategy, ("success", cost)) for model, strategy in real]
    success, costs = (np.stack([at[key].values.ravel() for _, at in found], axis=1) for key in ("success", cost))
    affordable = np.isfinite(success) if max_cost is None else costs <= max_cost
    values = np.where(affordable, success, 0.0)
    now = values.mean(axis=0)
    # Rounding may take it below.
    perfect = max(0.0, float(values.max(axis=1).mean() - now.max()))
    chosen = choose(success, costs, affordable, margin)[2]
    said = [str(text) for text, one in zip(options, bound, strict=True) if not one]
    labels, reduction, upper, paid = [], [], [], []
    for model, strategy in running:
        label, at = draws_of(run, model, name, strategy, ("success", cost))
        q = at["success"].stack(sample=("chain", "draw")).transpose("sample", "task").values
        there = np.isfinite(q).all(axis=0)
        q, spent = q[:, there], float(at[cost].values[..., there].mean())
        number = evaluated or (_observed(fit, model, name) if on == "new" else q.shape[1])
        gained = [value_of_count(values, count_law(q, k, None if on == "observed" else number)) for k in attempts]
        labels.append(f"{model} | {label}")
        reduction.append([one[0] for one in gained])
        upper.append([one[1] for one in gained])
        paid.append([spent * number * k for k in attempts])
    dims = ("candidate", "attempts")
    gain, costs = np.array(reduction), np.array(paid)
    unit = str(decided[cost].attrs["units"]).removesuffix(" per task")
    result = xr.Dataset(
        {
            "regret_reduction": (dims, gain, {"units": "1", "long_name": "expected fall of regret"}),
            "regret_reduction_upper": (
                dims,
                np.array(upper),
                {"units": "1", "long_name": "upper estimate of that fall"},
            ),
            "regret_after": (dims, perfect - gain, {"units": "1", "long_name": "expected regret afterwards"}),
            "eval_cost": (dims, costs, {"units": unit, "long_name": "expected cost of the evaluation"}),
            "reduction_per_cost": (
                dims,
                gain / costs,
                {"units": f"1 per {unit}", "long_name": "fall of regret per cost"},
            ),
            "regret": ((), perfect, {"units": "1", "long_name": "expected regret of deciding now"}),
            "perfect": ((), perfect, {"units": "1", "long_name": "fall of regret if all were known"}),
        },
        coords={"candidate": labels, "attempts": ("attempts", list(attempts), {"units": "decisions per task"})},
        attrs={
            "cost": cost,
            "benchmark": name,
            "on": on,
            "tasks": tasks,
            "margin": margin,
            "now": said[int(now.argmax())],
            "deploy": said[int(chosen.argmax())] if chosen.any() else "none",
            "enough": int(perfect <= practical_tie(float(now.max()), margin)),
            "bounds": "; ".join(bounds) or "none",
        },
    )
    return result.assign_attrs(**_words(result))


def _check(options: Sequence[str], attempts: Sequence[int], evaluated: int | None, on: str, cost: str) -> None:
    faults = []
    if isinstance(options, str) or len(options) < 2:
        faults.append(f"options: a decision is between at least two, got {options!r}")
    if not len(attempts) or any(k != int(k) or k < 1 for k in attempts):
        faults.append(f"attempts must be whole numbers of at least 1, got {list(attempts)}")
    if on not in ("observed", "new"):
        faults.append(f"on = {on!r}; allowed: observed, new." + did_you_mean(on, ["observed", "new"]))
    if evaluated is not None and (on != "new" or evaluated < 1):
        faults.append(f"evaluated = {evaluated}: a number of at least 1, with on='new'; observed tasks are all run")
    if cost not in COSTS:
        faults.append(f"cost = {cost!r}; allowed: {', '.join(COSTS)}." + did_you_mean(cost, COSTS))
    if faults:
        raise InputError.of_faults("next_evals", faults)


def _observed(fit: xr.DataTree, model: str, benchmark: str) -> int:
    """Return how many tasks an LLM was run on."""
    design = design_of(fit)
    blocks = [
        len(block.tasks)
        for block in design.blocks
        if any((design.arms[arm].model, design.arms[arm].benchmark) == (model, benchmark) for arm in block.arms)
    ]
    return max(blocks)


def count_law(success: Array, attempts: int, fresh: int | None = None) -> Array:
    """Probability of every count of right answers that an evaluation may read, given each draw.

    Parameters
    ----------
    success : array, shape (draws, tasks)
        Probability of a right answer.
    attempts : int
        Decisions per task.
    fresh : int, optional
        Number of new tasks, of which ``success`` is a sample; the tasks themselves are run if absent.

    Returns
    -------
    array, shape (draws, counts)
        Counts 0..N, or bins of counts if N is large. Rows sum to 1.
    """
    draws, tasks = success.shape
    number = attempts * (tasks if fresh is None else fresh)
    if number > _EXACT:
        mean = success.mean(axis=1)
        spread = attempts * success * (1.0 - success)
        if fresh is None:
            centre, variance = number * mean, spread.sum(axis=1)
        else:
            centre = number * mean
            variance = fresh * (spread.mean(axis=1) + attempts**2 * success.var(axis=1))
        sd = np.sqrt(variance + 1.0 / 12.0)
        edges = np.linspace((centre - 5 * sd).min(), (centre + 5 * sd).max(), _BINS)
        below = ndtr((edges[1:-1] - centre[:, None]) / sd[:, None])
        return np.diff(below, axis=1, prepend=0.0, append=1.0)
    # The law of a sum is the transform of the product of its terms' characteristic functions.
    result = np.empty((draws, number + 1))
    angles = np.exp(-2j * np.pi * np.arange(number // 2 + 1 + number % 2) / (number + 1))
    for rows in np.array_split(np.arange(draws), max(1, draws * tasks * angles.size // 4_000_000)):
        q = success[rows][:, :, None]
        one = (1.0 - q + q * angles) ** attempts
        total = one.prod(axis=1) if fresh is None else one.mean(axis=1) ** fresh
        result[rows] = np.fft.irfft(total, number + 1, axis=1)
    result = np.maximum(result, 0.0)
    return result / result.sum(axis=1, keepdims=True)


def value_of_count(values: Array, law: Array) -> tuple[float, float]:
    """Expected gain of seeing a count before choosing an option.

    Parameters
    ----------
    values : array, shape (draws, options)
        What each option is worth at each draw.
    law : array, shape (draws, counts)
        Probability of each count given each draw.

    Returns
    -------
    tuple of float
        The gain, choosing and valuing with different draws; and choosing and valuing with the same, which overstates
        it where draws are few.
    """
    joint = law.T @ values
    upper = joint.max(axis=1).sum() / len(values) - values.mean(axis=0).max()
    folds = np.arange(len(values)) % min(_FOLDS, len(values))
    reached = 0.0
    for fold in range(folds.max() + 1):
        inside = folds == fold
        own = law[inside].T @ values[inside]
        chosen = (joint - own).argmax(axis=1)
        reached += own[np.arange(len(own)), chosen].sum()
    gain = reached / len(values) - values.mean(axis=0).max()
    # Information cannot hurt; the noise of choosing with fewer draws can.
    return max(float(gain), 0.0), float(max(upper, 0.0))


def _words(result: xr.Dataset) -> dict[str, str]:
    """Name the best evaluation per cost, and say it."""
    regret, now, unit = float(result["regret"]), result.attrs["now"], result["eval_cost"].attrs["units"]
    gain = result["regret_reduction"].values
    bounds = result.attrs["bounds"]
    besides = "" if bounds == "none" else f" Not decided on, being an upper bound (perfect_check): {bounds}."
    if result.attrs["enough"]:
        deploy = result.attrs["deploy"]
        tie = f"; {deploy} is practically tied with it, and cheaper" if deploy not in (now, "none") else ""
        return {
            "choice": "none",
            "sentence": f"Nothing needs to be run: choosing {now} now has an expected regret of {regret:.4f}, within "
            f"the margin of {result.attrs['margin']:g} that is not worth paying for{tie}.{besides}",
        }
    if gain.max() < _WORTH:
        return {
            "choice": "none",
            "sentence": f"No evaluation considered is worth its cost: choosing {now} now has an expected regret of "
            f"{regret:.4f}, which the best of them lowers by {gain.max():.4f}.{besides}",
        }
    per_cost = np.where(gain >= _WORTH, result["reduction_per_cost"].values, -np.inf)
    row, column = np.unravel_index(int(per_cost.argmax()), per_cost.shape)
    at = result.isel(candidate=row, attempts=column)
    row, column = np.unravel_index(int(gain.argmax()), gain.shape)
    most = result.isel(candidate=row, attempts=column)
    k = int(at["attempts"])
    name = str(at["candidate"].item())
    return {
        "choice": f"{name}, {k} per task",
        "sentence": f"Next run {name}, {k} {'decision' if k == 1 else 'decisions'} per task, for "
        f"{float(at['eval_cost']):,.4g} {unit}: expected regret falls from {regret:.4f} (choosing {now} now) to "
        f"{float(at['regret_after']):.4f}, the most per cost. The most of all, to {float(most['regret_after']):.4f}, "
        f"comes from {most['candidate'].item()}, {int(most['attempts'])} per task, for "
        f"{float(most['eval_cost']):,.4g} {unit}.{besides}",
    }
