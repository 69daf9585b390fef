"""`compare`: whether the difference between two options is real."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.inference.artifact import design_of
from ds3bayes.queries.options import draws_of, only_benchmark, parse_option
from ds3bayes.queries.predict import predict
from ds3bayes.queries.words import chance, mean_interval


def compare(
    fit_or_pred: xr.DataTree | xr.Dataset,
    a: str,
    b: str,
    *,
    tasks: Literal["observed", "new"] | Sequence[str] = "observed",
    benchmark: str | None = None,
    margin: float = 0.02,
    level: float = 0.9,
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Tell whether two options differ in success, paired over posterior draws and tasks.

    An option is an LLM with a strategy. What makes a task hard for both, and what both owe to the same draw of the
    population, cancels in the difference, which is therefore known better than either success.

    Parameters
    ----------
    fit_or_pred : xarray.DataTree or xarray.Dataset
        A fit, or predictions (then of the tasks that they are of; with ``per_task=True`` tasks are told apart).
    a, b : str
        ``"LLM | strategy"``, an LLM alone (its chain of thought), or a strategy alone where there is one LLM.
    tasks : {"observed", "new"} or sequence of str, default "observed"
        These very tasks (those that both were run on), or new ones of the same population: that two LLMs differ on
        45 tasks does not mean that they differ on others. Not used with predictions.
    benchmark : str, optional
        Needed where there are several.
    margin : float, default 0.02
        Difference in success below which it does not matter, in [0, 1).
    level : float, default 0.9
        Probability of the equal-tailed interval of the difference, in (0, 1).
    new_tasks, seed : int
        As for `predict`.

    Returns
    -------
    xarray.Dataset
        ``difference``, ``success_a``, ``success_b`` with dims (chain, draw): means over tasks, success of ``a``
        minus success of ``b``; scalars ``mean``, ``lower``, ``upper`` of the difference, ``p_better`` probability
        that a is better, ``pairing`` sd of the difference had the two been taken apart over its sd; with tasks,
        ``task_difference`` and ``p_task_better`` (task). ``attrs["verdict"]`` is ``"a"`` or ``"b"`` (better: the
        interval excludes 0), ``"equal"`` (the interval is within the margin) or ``"open"``;
        ``attrs["sentence"]`` says it in words.

    Raises
    ------
    InputError
        If an option is unknown or stands for several settings, no task is shared, or a number is out of range.
    """
    if not 0.0 <= margin < 1.0 or not 0.0 < level < 1.0:
        raise InputError(f"margin must be in [0, 1) and level in (0, 1), got {margin} and {level}")
    if isinstance(fit_or_pred, xr.DataTree):
        models = list(dict.fromkeys(arm.model for arm in design_of(fit_or_pred).arms))
        first, second = parse_option(a, models), parse_option(b, models)
        asked = list(dict.fromkeys((first[1], second[1])))
        pred = predict(fit_or_pred, asked, tasks=tasks, per_task=True, new_tasks=new_tasks, seed=seed)
    else:
        pred = fit_or_pred
        models = [str(name) for name in pred["model"].values]
        first, second = parse_option(a, models), parse_option(b, models)
    name = only_benchmark(pred["benchmark"].values, benchmark)
    found = [draws_of(pred, model, name, strategy) for model, strategy in (first, second)]
    labels = [f"{model} | {label}" for (model, _), (label, _) in zip((first, second), found, strict=True)]
    if labels[0] == labels[1]:
        raise InputError(f"{labels[0]!r} is compared with itself; name two options")
    success = [draws["success"] for _, draws in found]
    shared = 0
    result = xr.Dataset()
    if "task" in pred.dims:
        both = np.isfinite((success[0] + success[1]).transpose("task", ...).values).all(axis=(1, 2))
        shared = int(both.sum())
        if not shared:
            raise InputError(f"{labels[0]} and {labels[1]} share no task; compare them on new ones, with tasks='new'")
        success = [one.isel(task=np.flatnonzero(both)) for one in success]
        each = success[0] - success[1]
        result["task_difference"] = each.mean(("chain", "draw"))
        result["p_task_better"] = (each > 0).mean(("chain", "draw"))
        success = [one.mean("task") for one in success]
    result["success_a"], result["success_b"] = success
    result["difference"] = success[0] - success[1]
    difference = result["difference"].values.ravel()
    _, low, high = mean_interval(difference, level)
    apart = np.sqrt(sum(float(one.var()) for one in success))
    scalars = {
        "mean": (difference.mean(), "posterior mean difference"),
        "lower": (low, f"lower end of the {level:.0%} interval of the difference"),
        "upper": (high, f"upper end of the {level:.0%} interval of the difference"),
        "p_better": (np.mean(difference > 0) + 0.5 * np.mean(difference == 0), "probability that a is better"),
        "pairing": (apart / max(difference.std(), 1e-300), "sd of the difference without pairing, over its sd"),
    }
    for key, (value, meaning) in scalars.items():
        result[key] = ((), float(value), {"units": "1", "long_name": meaning})
    verdict = "a" if low > 0 else "b" if high < 0 else "open"
    if -margin <= low and high <= margin:
        verdict = "equal"
    for key in ("success_a", "success_b", "difference", "task_difference", "p_task_better"):
        if key in result:
            result[key].attrs["units"] = "1"
    which = str(pred.attrs["tasks"])
    result.attrs = {
        "a": labels[0],
        "b": labels[1],
        "benchmark": name,
        "tasks": which,
        "margin": margin,
        "level": level,
        "verdict": verdict,
        "sentence": _sentence(result, labels, verdict, which, shared, name, margin, level),
    }
    return result


def _sentence(
    result: xr.Dataset,
    labels: Sequence[str],
    verdict: str,
    which: str,
    shared: int,
    benchmark: str,
    margin: float,
    level: float,
) -> str:
    """Say what was found."""
    if which == "new":
        where = f"On new tasks like those of {benchmark}"
    else:
        where = f"On these {shared} tasks of {benchmark}" if shared else f"On the observed tasks of {benchmark}"
    success = [float(result[name].mean()) for name in ("success_a", "success_b")]
    mean, low, high, better = (float(result[name]) for name in ("mean", "lower", "upper", "p_better"))
    names = list(labels)
    if names[0].partition(" | ")[0] == names[1].partition(" | ")[0]:
        where = f"{where}, {names[0].partition(' | ')[0]}:"
        names = [name.partition(" | ")[2] for name in names]
    # The better one is named first.
    if verdict == "b" or (verdict == "open" and better < 0.5):
        names, success = names[::-1], success[::-1]
        mean, low, high, better = -mean, -high, -low, 1.0 - better
    values = (
        f"success {success[0]:.3f} against {success[1]:.3f}, difference {mean:+.3f} ({level:.0%} interval {low:+.3f} "
        f"to {high:+.3f})"
    )
    if verdict == "equal":
        return f"{where} {names[0]} and {names[1]} do not differ by more than {margin:g}: {values}."
    if verdict == "open":
        return (
            f"{where} {names[0]} and {names[1]} cannot be told apart: {values}; the first is better with probability "
            f"{chance(better)}."
        )
    return f"{where} {names[0]} is better than {names[1]}, with probability {chance(better)}: {values}."
