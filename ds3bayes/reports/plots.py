"""Plots of fits and predictions, as the report draws them: each returns its matplotlib figure and can take axes.

One visual language: blue is predicted, black and filled marks are observed, open marks were held out of the fit,
orange-red means missed or hardly learned, grey is the prior. Every value has its 90 % interval, every axis its unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.spec import Query
from ds3bayes.inference.artifact import spec_of
from ds3bayes.inference.checks import informed
from ds3bayes.queries.decide import decision_of
from ds3bayes.queries.learned_graph import learned_graph
from ds3bayes.reports import curve_figures, curve_tables, figures, tables
from ds3bayes.reports.curve_tables import Curves
from ds3bayes.reports.graph_figure import plot_learned_graph


def plot_frontier(
    pred: xr.Dataset,
    *,
    cost: Literal["tokens", "usd", "flops", "joules", "seconds"] = "tokens",
    benchmark: str | None = None,
    max_cost: float | None = None,
    success: float | None = None,
    perfect_check: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw predicted success against cost of every option, with the frontier of the means.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    cost : {"tokens", "usd", "flops", "joules", "seconds"}, default "tokens"
        If it is not predicted, success is drawn alone.
    benchmark : str, optional
        The first if absent.
    max_cost : float, optional
        Cap per task, in the unit of ``cost``, drawn as a guide.
    success : float, optional
        Success aimed at, in (0, 1), drawn as a guide.
    perfect_check : bool, default False
        Whether answers can be checked when deployed; otherwise what picks by an oracle is drawn open, as an upper
        bound, and is not on the frontier.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is no such benchmark, or ``pred`` keeps its tasks.
    """
    names = [str(name) for name in pred["benchmark"].values]
    chosen = _one_of(names, benchmark, "benchmark")
    query = Query(
        cost=cost,
        max_cost=max_cost if cost in pred else None,
        success=0.8 if success is None else success,
        perfect_check=perfect_check,
    )
    options = decision_of(pred.sel(benchmark=[chosen]), query).options
    if cost not in pred:
        return figures.success_alone(options, target=success, ax=ax)
    return figures.success_against_cost(options, cost=cost, max_cost=max_cost, target=success, key=True, ax=ax)


def plot_success_by_attempts(
    fit: xr.DataTree,
    *,
    attempts: int = 64,
    tasks: Literal["observed", "new"] = "observed",
    model: str | None = None,
    benchmark: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how success grows with the number of attempts, by selector, with its limits and the observed points.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    attempts : int, default 64
        Curves go to at least this number.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    model, benchmark : str, optional
        Panels of this LLM or benchmark only.
    ax : matplotlib.axes.Axes, optional
        Draw one panel here; a new figure with all panels if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there are no such tasks, LLM or benchmark.
    """
    shown = _only(curve_tables.by_attempts(fit, tasks, attempts), model, benchmark)
    return curve_figures.success_against_attempts(shown, ax=ax)


def plot_success_by_budget(
    fit: xr.DataTree,
    *,
    tasks: Literal["observed", "new"] = "observed",
    model: str | None = None,
    benchmark: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how success of one attempt grows with its token budget, with the observed points.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    model, benchmark : str, optional
        Panels of this LLM or benchmark only.
    ax : matplotlib.axes.Axes, optional
        Draw one panel here; a new figure with all panels if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there are no such tasks, LLM or benchmark, or the fit lacks tokens or path lengths.
    """
    return curve_figures.success_against_budget(_only(curve_tables.by_budget(fit, tasks), model, benchmark), ax=ax)


def plot_success_by_compute(
    fit: xr.DataTree, *, tasks: Literal["observed", "new"] = "observed", ax: Axes | None = None
) -> Figure:
    """Draw success against training compute, a line per size of LLM, with the observed points.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "loss_bridge"``.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    ax : matplotlib.axes.Axes, optional
        Draw the first sampler setting here; a new figure with all settings if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the fit has another capability.
    """
    found = curve_tables.scaling(fit, tasks)
    if found is None:
        raise _other_capability(fit, "loss_bridge")
    return curve_figures.success_against_compute(found, ax=ax)


def plot_levels(fit: xr.DataTree, *, ax: Axes | None = None) -> Figure:
    """Draw the level of skills that each LLM reaches against its training compute, and where the tasks lie.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "skill_hierarchy"``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the fit has another capability.
    """
    found = curve_tables.levels(fit)
    if found is None:
        raise _other_capability(fit, "skill_hierarchy")
    return curve_figures.levels_against_compute(found, ax=ax)


def plot_skills(fit: xr.DataTree, llm: str | None = None, *, ax: Axes | None = None) -> Figure:
    """Draw the skill graph that a fit learned: mastery of each skill, and how probable each prerequisite is.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "skill_graph"``.
    llm : str, optional
        Whose mastery the nodes show; the mean over LLMs if absent.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the fit has another capability, or no such LLM.
    """
    return plot_learned_graph(learned_graph(fit), llm, ax=ax)


def plot_observed(
    fit: xr.DataTree, *, quantity: Literal["success", "cost"] = "success", ax: Axes | None = None
) -> Figure:
    """Draw observed values beside what the fit predicts for the same tasks, held-out rows first.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    quantity : {"success", "cost"}, default "success"
        Shares of right answers; or tokens and prices, as predicted over observed.
    ax : matplotlib.axes.Axes, optional
        Draw the first kind of quantity here; a new figure with all kinds if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If ``quantity`` is another word, or nothing of it was observed.
    """
    if quantity not in ("success", "cost"):
        raise InputError(f"quantity = {quantity!r}; allowed: 'success' or 'cost'")
    compared = tables.comparison(fit)
    if quantity == "success":
        return figures.compared_success(compared, ax=ax)
    costs = compared[~tables.is_share(compared) & (compared["observed"] > 0) & (compared["lower"] > 0)]
    if costs.empty:
        raise InputError("no tokens or prices were observed in this fit; give completion_tokens or tokens_mean")
    return figures.compared_cost(compared, ax=ax)


def plot_prior_posterior(
    fit: xr.DataTree, parameters: Sequence[str] | None = None, *, ax: Axes | None = None
) -> Figure:
    """Draw the 90 % interval of parameters before and after the data, and mark those hardly learned.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    parameters : sequence of str, optional
        Their names; all if absent.
    ax : matplotlib.axes.Axes, optional
        Draw the first parameter here; a new figure with a panel for each if absent.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If the fit has no such parameter.
    """
    learned = informed(fit).table
    known = list(dict.fromkeys(learned["parameter"]))
    wanted = known if parameters is None else [_one_of(known, name, "parameter") for name in parameters]
    shown = learned[learned["parameter"].isin(wanted)]
    return figures.prior_and_posterior(shown, log_scaled=set(shown.loc[shown["log scale"], "parameter"]), ax=ax)


def _one_of(known: Sequence[str], name: str | None, what: str) -> str:
    if name is None:
        return known[0]
    if name not in known:
        raise InputError(f"there is no {what} {name!r}; present: {', '.join(known)}." + did_you_mean(name, known))
    return name


def _only(found: Curves, model: str | None, benchmark: str | None) -> Curves:
    """Keep the panels of one LLM, or benchmark."""
    lines, points = found.lines, found.points
    for column, name in (("model", model), ("benchmark", benchmark)):
        if name is not None:
            _one_of(list(dict.fromkeys(lines[column])), name, column)
            lines, points = lines[lines[column] == name], points[points[column] == name]
    if lines.empty:
        raise InputError(f"{model!r} was not evaluated on {benchmark!r}")
    return Curves(lines=lines, points=points)


def _other_capability(fit: xr.DataTree, wanted: str) -> InputError:
    kind = spec_of(fit).capability.kind
    return InputError(f"this fit has capability {kind!r}; this plot is for capability = {wanted!r}")
