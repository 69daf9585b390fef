"""`rank`: how sure it is in which order LLMs, or options, stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.queries.options import asked_of, is_bound, only_benchmark, practical_tie
from ds3bayes.queries.predict import predict
from ds3bayes.queries.words import LEVEL, chance
from ds3bayes.strategies import Strategy

Array = np.ndarray


def rank(
    fit_or_pred: xr.DataTree | xr.Dataset,
    strategies: Sequence[Strategy | str] | None = None,
    *,
    of: Literal["model", "option"] = "model",
    tasks: Literal["observed", "new"] | Sequence[str] = "observed",
    benchmark: str | None = None,
    margin: float | None = None,
    perfect_check: bool | Collection[str] | None = None,
    level: float = LEVEL,
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Rank LLMs, or options, by success, with the uncertainty of every place.

    In each posterior draw all stand in one order, on the same tasks and the same draw of the population, so that what
    is common to them does not blur it. Two of them that a leaderboard puts first and second may each be first with
    probability one half.

    Parameters
    ----------
    fit_or_pred : xarray.DataTree or xarray.Dataset
        A fit, or predictions (then ``strategies``, ``tasks``, ``new_tasks`` and ``seed`` are theirs).
    strategies : sequence of Strategy or str, optional
        As for `predict`: all samplers seen in the data if absent.
    of : {"model", "option"}, default "model"
        What is ranked: LLMs, each with the strategy that succeeds most in the mean over draws and is no upper bound, or
        every LLM with every strategy.
    tasks : {"observed", "new"} or sequence of str, default "observed"
        These very tasks, or new ones of the same population: an order on 45 tasks need not hold on others.
    benchmark : str, optional
        Needed where there are several.
    margin : float, optional
        Difference in success to the first below which a place does not matter, in [0, 1): a practical tie, as of
        `best` (at most a tenth of the first's success). That of the fit's spec if absent (``query.margin``), .01 with
        predictions.
    perfect_check : bool or collection of str, optional
        Whether wrong answers can be told from right ones when deployed, or the benchmarks where they can. That of the
        fit's spec if absent, false with predictions. Elsewhere what picks by an oracle is an upper bound and has no
        rank.
    level : float, default 0.9
        Probability of the intervals of ranks, in (0, 1).
    new_tasks, seed : int
        As for `predict`.

    Returns
    -------
    xarray.Dataset
        Along ``option``, least expected rank first: ``success`` (mean) with ``success_lower`` and ``success_upper``
        (the ends of its interval of ``level``), ``expected_rank``, ``rank_lower`` and ``rank_upper`` (the shortest run
        of ranks that holds ``level`` of the probability), ``p_first``, ``p_tied`` (that success is practically tied
        with the first of the draw), ``model`` and ``strategy``; ``p_rank`` (option, rank) probability of each rank, 1
        being the best; ``p_above`` (option, other) that one succeeds more often than another. Equal successes share
        their ranks evenly. ``attrs["sentence"]`` says who is first, and who may be; ``attrs["bounds"]`` which options
        have no rank, being upper bounds.

    Raises
    ------
    InputError
        If fewer than two are left to rank, or an argument is out of range.

    Notes
    -----
    Beside scorio 0.2.3 (independent uniform priors per LLM and task; Hariri et al. 2026, arXiv 2510.04265) on AIME
    2024: 50 LLMs, 30 tasks, 1, 4 and 16 attempts drawn from 1,100, whose order is the truth, two subsamples each. Our
    90 % intervals of ranks hold it for .88, .89 and .94 of the LLMs and are 18, 12 and 7.5 ranks wide; those of
    scorio's posterior hold it for all of them and are 34, 21 and 13 wide. Posterior means are off by .024, .011 and
    .006 of success (.277, .140, .046: a uniform prior draws all to one half, and LLMs with fewer attempts more). The
    order of the means is no better than that of the accuracies: Kendall's tau is .67, .81 and .91 (.69, .81, .90).
    """
    margin, perfect_check = asked_of(fit_or_pred, margin, perfect_check)
    if not 0.0 < level < 1.0:
        raise InputError(f"level = {level}: it must be a probability between 0 and 1")
    if of not in ("model", "option"):
        raise InputError(f"of = {of!r}; allowed: 'model', 'option'")
    pred = fit_or_pred
    if isinstance(pred, xr.DataTree):
        pred = predict(pred, strategies, tasks=tasks, new_tasks=new_tasks, seed=seed)
    if "task" in pred["success"].dims:
        raise InputError("these predictions keep their tasks; rank those made without per_task=True")
    where = only_benchmark(pred["benchmark"].values, benchmark)
    success = pred["success"].sel(benchmark=where).stack(sample=("chain", "draw"))
    values = success.transpose("model", "strategy", "sample").values
    mean = values.mean(axis=2)
    bound = np.array([is_bound(str(label), where, perfect_check) for label in pred["strategy"].values])
    there = np.isfinite(mean) & ~bound
    bounds = _labels(pred, np.argwhere(np.isfinite(mean) & bound))
    if of == "model":
        best = np.where(there, mean, -1.0).argmax(axis=1)
        there &= np.arange(mean.shape[1]) == best[:, None]
    places = np.argwhere(there)
    if len(places) < 2:
        raise InputError(
            f"there is only {len(places)} {'LLM' if of == 'model' else 'option'} on {where} to rank; ranks need two"
            + (" (of='option' ranks the strategies of an LLM)" if of == "model" else "")
            + (
                f". {'; '.join(bounds[:3])}: an upper bound, for it picks by a perfect check (perfect_check=True says "
                "that answers can be checked)"
                if bounds
                else ""
            )
        )
    draws = values[places[:, 0], places[:, 1]].astype(float)
    p_rank = _rank_probabilities(draws)
    expected = p_rank @ np.arange(1, len(draws) + 1)
    order = np.lexsort((-draws.mean(axis=1), expected))
    draws, p_rank, expected = draws[order], p_rank[order], expected[order]
    places = places[order]
    models = [str(pred["model"].values[place]) for place, _ in places]
    labels = [str(pred["strategy"].values[place]) for _, place in places]
    runs = np.array([_shortest_run(one, level) for one in p_rank])
    names = models if of == "model" else _labels(pred, places)
    first = draws.max(axis=0)
    tied = (draws >= first - practical_tie(first, margin)).mean(axis=1)
    above = (draws[:, None] > draws[None]).mean(axis=2) + 0.5 * (draws[:, None] == draws[None]).mean(axis=2)
    np.fill_diagonal(above, np.nan)
    lower, upper = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=1)
    probability = {"units": "1"}
    result = xr.Dataset(
        {
            "success": ("option", draws.mean(axis=1), {"units": "1", "long_name": "expected success"}),
            "success_lower": ("option", lower, {"units": "1", "long_name": f"lower end of its {level:.0%} interval"}),
            "success_upper": ("option", upper, {"units": "1", "long_name": f"upper end of its {level:.0%} interval"}),
            "expected_rank": ("option", expected, {"long_name": "expected rank, 1 being the best"}),
            "rank_lower": ("option", runs[:, 0], {"long_name": f"best rank of the {level:.0%} interval"}),
            "rank_upper": ("option", runs[:, 1], {"long_name": f"worst rank of the {level:.0%} interval"}),
            "p_first": ("option", p_rank[:, 0], probability | {"long_name": "probability to be first"}),
            "p_tied": (
                "option",
                tied,
                probability | {"long_name": f"probability to be practically tied ({margin:g}) with the first"},
            ),
            "p_rank": (("option", "rank"), p_rank, probability | {"long_name": "probability of each rank"}),
            "p_above": (("option", "other"), above, probability | {"long_name": "probability to succeed more often"}),
        },
        coords={
            "option": names,
            "other": names,
            "rank": np.arange(1, len(names) + 1),
            "model": ("option", models),
            "strategy": ("option", labels),
        },
        attrs={
            "benchmark": where,
            "tasks": str(pred.attrs.get("tasks", "")),
            "margin": margin,
            "level": level,
            "bounds": "; ".join(bounds) or "none",
        },
    )
    return result.assign_attrs(sentence=_sentence(result))


def _rank_probabilities(draws: Array) -> Array:
    """Return the probability of each rank (option, rank) from draws of success (option, sample)."""
    options, samples = draws.shape
    better = np.zeros(draws.shape, dtype=int)
    equal = np.zeros(draws.shape, dtype=int)
    for one in draws:
        better += one > draws
        equal += one == draws
    result = np.zeros((options, options))
    rows = np.repeat(np.arange(options), samples)
    # Equal ones share the ranks that they take together.
    for step in range(int(equal.max())):
        share = np.where(step < equal, 1.0 / equal, 0.0)
        np.add.at(result, (rows, np.minimum(better + step, options - 1).ravel()), share.ravel())
    return result / samples


def _shortest_run(probability: Array, level: float) -> tuple[int, int]:
    """Return the first and the last rank of the shortest run that holds a probability, the likeliest of equal ones."""
    total = np.concatenate([[0.0], np.cumsum(probability)])
    for length in range(1, len(probability) + 1):
        held = total[length:] - total[:-length]
        start = int(held.argmax())
        if held[start] >= level - 1e-12:
            return start + 1, start + length
    return 1, len(probability)


def _labels(pred: xr.Dataset, places: Array) -> list[str]:
    """Name options by what tells them apart."""
    several = pred.sizes["model"] > 1
    pairs = [(str(pred["model"].values[model]), str(pred["strategy"].values[strategy])) for model, strategy in places]
    return [f"{model} | {label}" if several else label for model, label in pairs]


def _sentence(result: xr.Dataset) -> str:
    first = result.isel(option=0)
    names = [str(name) for name in result["option"].values]
    may = [name for name, p in zip(names, result["p_first"].values, strict=True) if p >= 0.05 and name != names[0]]
    tied = int((result["p_tied"] >= 0.5).sum())
    said = (
        f"On {result.attrs['benchmark']} ({result.attrs['tasks']} tasks) {names[0]} is first with probability "
        f"{chance(float(first['p_first']))}"
    )
    if may:
        shown = ", ".join(f"{name} ({chance(float(result['p_first'].sel(option=name)))})" for name in may[:4])
        said += f"; it may be {shown}" + (f" or one of {len(may) - 4} more" if len(may) > 4 else "")
    if tied > 1:
        said += f"; {tied} of {len(names)} are practically tied within {result.attrs['margin']:g}"
    if result.attrs["bounds"] != "none":
        said += f". Without a rank, being upper bounds (perfect_check): {result.attrs['bounds']}"
    return f"{said}."
