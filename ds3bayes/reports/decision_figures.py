"""Pictures of decisions, in the report's visual language; each draws on given axes or on a figure of its own.

Blue is what is predicted, grey a guide (no difference, the cost of deciding now), and uncertainty is always drawn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from functools import wraps
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ds3bayes.queries.words import chance
from ds3bayes.reports.decision_tables import allocation_table, cost_to_reach_table, variance_table
from ds3bayes.reports.figures import (
    _COLOURS,
    _MARKERS,
    _STYLE,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    WIDE,
    _plain_log_ticks,
    reach,
)

_PARTS = {"parameters": BLUE, "tasks": ORANGE, "attempts": GREEN}
_GRID = "#e4e4e4"


def _drawn(draw: Callable[..., None]) -> Callable[..., Figure]:
    """Draw in the report's style, on new axes if none are given, and return the figure."""

    @wraps(draw)
    def styled(result: xr.Dataset, *, ax: Axes | None = None) -> Figure:
        defaults: dict[Any, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if "backend" not in key}
        with mpl.rc_context(defaults | _STYLE):
            if ax is None:
                figure = Figure(figsize=(WIDE, 0.5 * WIDE), layout="constrained")
                FigureCanvasAgg(figure)
                ax = figure.add_subplot()
            draw(result, ax=ax)
            drawn = ax.get_figure(root=True)
        assert drawn is not None
        return drawn

    return styled


@_drawn
def plot_difference(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw the posterior of a difference in success, its interval, no difference and the margin.

    Parameters
    ----------
    result : xarray.Dataset
        From `compare`.
    ax : matplotlib.axes.Axes, optional
        New ones if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    drawn, margin = result["difference"].values.ravel(), result.attrs["margin"]
    low, high = float(result["lower"]), float(result["upper"])
    ax.axvspan(-margin, margin, color=_GRID, zorder=0, label=f"within ±{margin:g}: does not matter")
    ax.axvline(0.0, color=GREY, linewidth=1.2, zorder=1)
    ax.hist(drawn, bins=40, density=True, color=BLUE, alpha=0.35, zorder=2)
    ax.plot([low, high], [0, 0], color=BLUE, linewidth=6, solid_capstyle="butt", zorder=4, clip_on=False)
    ax.plot(float(result["mean"]), 0, "o", color=BLUE, markeredgecolor="white", markersize=10, zorder=5, clip_on=False)
    span = 1.1 * max(np.abs(drawn).max(), margin)
    ax.set_xlim(-span, span)
    ax.set_ylim(bottom=0.0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    a, b = (_wrap(result.attrs[key], 60) for key in ("a", "b"))
    ax.set_xlabel(f"difference in success: {a}\nminus {b}, bar: {result.attrs['level']:.0%} interval", parse_math=False)
    ax.set_title(_wrap(result.attrs["sentence"], 110), parse_math=False)
    ax.legend(loc="upper left")


@_drawn
def plot_variance(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw what makes the success that an evaluation reads uncertain: bars of variance shares, the sd beside them.

    Parameters
    ----------
    result : xarray.Dataset
        From `variance`.
    ax : matplotlib.axes.Axes, optional
        New ones if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = variance_table(result)
    labels = _labels(table)
    places = np.arange(len(table))
    left = np.zeros(len(table))
    for part, colour in _PARTS.items():
        width = table[part].to_numpy()
        ax.barh(places, width, left=left, color=colour, height=0.6, label=part)
        left = left + width
    for place, row in enumerate(table.itertuples()):
        ax.text(1.01, place, f"{row.mean:.3f} ± {row.sd:.3f}", va="center", fontsize=8.5)
    ax.set_yticks(places, [_wrap(label, 34) for label in labels], parse_math=False)
    ax.invert_yaxis()
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel("share of the predictive variance of success; beside: mean ± sd")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


@_drawn
def plot_cost_to_reach(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw the probability that a target success is reached for at most a cost; what is missing to 1 is never.

    Parameters
    ----------
    result : xarray.Dataset
        From `cost_to_reach`.
    ax : matplotlib.axes.Axes, optional
        New ones if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = cost_to_reach_table(result)
    labels = _labels(table)
    for place, (row, label) in enumerate(zip(table.itertuples(), labels, strict=True)):
        at = result["cost"].sel(model=row.model, benchmark=row.benchmark, strategy=row.strategy).values.ravel()
        found = np.sort(at[np.isfinite(at)])
        colour = _COLOURS[place % len(_COLOURS)]
        label = _wrap(f"{label}, reached: {chance(row.p_reach)}", 60)
        ax.step(found, np.arange(1, found.size + 1) / at.size, where="post", color=colour, label=label)
        if found.size:
            ax.plot(found[-1], row.p_reach, _MARKERS[place % len(_MARKERS)], color=colour)
    if (table["cost"] > 0).any():
        ax.set_xscale("log")
        _plain_log_ticks(ax)
    ax.axhline(1.0, color=GREY, linestyle=":", linewidth=1)
    ax.set_ylim(0.0, 1.05)
    ax.grid(color=_GRID, linewidth=0.7)
    ax.set_xlabel(f"expected cost, {result['cost'].attrs['units']}")
    ax.set_ylabel(f"probability that success {result.attrs['target']:g} is reached")
    for text in ax.legend(loc="best").get_texts():
        text.set_parse_math(False)


@_drawn
def plot_next_evals(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw the expected regret after each evaluation against what it costs, from that of deciding now.

    Parameters
    ----------
    result : xarray.Dataset
        From `next_evals`.
    ax : matplotlib.axes.Axes, optional
        New ones if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    now = float(result["regret"])
    ax.axhline(now, color=GREY, linestyle="--", linewidth=1.2, label=f"decide now: {now:.4f}")
    for place, name in enumerate(result["candidate"].values):
        at = result.sel(candidate=name)
        colour = _COLOURS[place % len(_COLOURS)]
        cost, after = at["eval_cost"].values, at["regret_after"].values
        # The band is what too few draws leave open.
        ax.fill_between(cost, now - at["regret_reduction_upper"].values, after, color=colour, alpha=0.25, linewidth=0)
        ax.plot(cost, after, marker=_MARKERS[place % len(_MARKERS)], color=colour, label=_wrap(str(name), 60))
        for x, y, k in zip(cost, after, at["attempts"].values, strict=True):
            ax.annotate(str(k), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7.5, color=colour)
    ax.set_xscale("log")
    _plain_log_ticks(ax)
    ax.set_ylim(0.0, 1.15 * max(now, 1e-6))
    ax.grid(color=_GRID, linewidth=0.7)
    ax.set_xlabel(f"expected cost of the evaluation, {result['eval_cost'].attrs['units']} (number: decisions per task)")
    ax.set_ylabel("expected regret afterwards, success")
    for text in ax.legend(loc="best").get_texts():
        text.set_parse_math(False)


@_drawn
def plot_allocation(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw each strategy's plan, size against expected success, and how far the best size of the draws spreads.

    Parameters
    ----------
    result : xarray.Dataset
        From `allocate`.
    ax : matplotlib.axes.Axes, optional
        New ones if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    for place, row in enumerate(allocation_table(result).itertuples()):
        colour = _COLOURS[place % len(_COLOURS)]
        ax.errorbar(
            row.params,
            row.success,
            xerr=reach(row.params, row.params_lower, row.params_upper),
            yerr=reach(row.success, row.success_lower, row.success_upper),
            color=colour,
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=7,
            elinewidth=1.4,
            capsize=3,
            linestyle="",
            label=_wrap(
                f"{row.strategy}: training {row.training_share:.0%} of the compute, P(best) {chance(row.p_best)}", 60
            ),
        )
    ax.set_xscale("log")
    ax.set_ylim(0.0, 1.02)
    ax.grid(color=_GRID, linewidth=0.7)
    ax.set_xlabel("parameters of the plan (bar: 90 % interval of the best size)")
    ax.set_ylabel("expected success (bar: 90 % interval)")
    ax.set_title(
        f"{result.attrs['compute']:.3g} FLOP for training and {result.attrs['future_tasks']:.3g} future tasks",
        parse_math=False,
    )
    for text in ax.legend(loc="best").get_texts():
        text.set_parse_math(False)


@_drawn
def plot_ranking(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw the probability of every rank of LLMs or options, with the interval and the mean of each.

    Parameters
    ----------
    result : xarray.Dataset
        From `rank`.
    ax : matplotlib.axes.Axes, optional
        New ones if not given; higher for many.

    Returns
    -------
    matplotlib.figure.Figure
    """
    size = result.sizes["option"]
    places = np.arange(size)
    fade = LinearSegmentedColormap.from_list("blue", ["white", BLUE])
    edges = np.arange(size + 1)
    ax.pcolormesh(
        edges + 0.5, edges - 0.5, result["p_rank"].values, cmap=fade, vmin=0.0, vmax=1.0, rasterized=size > 40
    )
    low, high = result["rank_lower"].values, result["rank_upper"].values
    ax.hlines(places, low, high, color="black", linewidth=1.2, label=f"{result.attrs['level']:.0%} interval")
    ax.plot(result["expected_rank"].values, places, "o", color="black", markersize=4, label="expected rank")
    names = [
        f"{name}  {success:.3f}"
        for name, success in zip(result["option"].values, result["success"].values, strict=True)
    ]
    ax.set_yticks(places, [_wrap(name, 60) for name in names], parse_math=False, fontsize=8.5 if size <= 30 else 6.5)
    ax.invert_yaxis()
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlim(0.5, size + 0.5)
    ax.set_xlabel("rank, 1 being the best (blue: its probability; beside names: expected success)")
    ax.set_title(_wrap(result.attrs["sentence"], 110), parse_math=False)
    ax.legend(loc="lower left")
    figure = ax.get_figure(root=True)
    if figure is not None and len(figure.axes) == 1:
        figure.set_figheight(max(0.5 * WIDE, 1.6 + (0.24 if size <= 30 else 0.17) * size))


@_drawn
def plot_plan(result: xr.Dataset, *, ax: Axes) -> None:
    """Draw what an evaluation would tell against its tasks, a line for each number of attempts, and the choice.

    Parameters
    ----------
    result : xarray.Dataset
        From `plan`: its power if a difference was asked about, else the smallest difference that would be told, of
        one LLM the width of the interval.
    ax : matplotlib.axes.Axes, optional
        New ones if not given.

    Returns
    -------
    matplotlib.figure.Figure
    """
    name = next(one for one in ("power", "detectable", "width") if one in result)
    if "width" in result.attrs:
        name = "width"
    tasks = result["tasks"].values
    for place, attempts in enumerate(result["attempts"].values):
        at = result.sel(attempts=attempts)
        colour = _COLOURS[place % len(_COLOURS)]
        label = f"{attempts} {'attempt' if attempts == 1 else 'attempts'} per task"
        ax.plot(tasks, at[name], marker=_MARKERS[place % len(_MARKERS)], color=colour, label=label)
        if place in (0, result.sizes["attempts"] - 1):
            ax.fill_between(tasks, at[f"{name}_lower"], at[f"{name}_upper"], color=colour, alpha=0.15, linewidth=0)
    wanted = {"power": result.attrs.get("power"), "width": result.attrs.get("width")}.get(name)
    if wanted is not None:
        ax.axhline(wanted, color=GREY, linestyle="--", linewidth=1.2, label=f"asked for: {wanted:g}")
    if np.isfinite(result["chosen_tasks"]):
        ax.axvline(float(result["chosen_tasks"]), color=GREY, linestyle=":", linewidth=1.4, label="the plan")
    ax.set_xscale("log")
    _plain_log_ticks(ax)
    if name == "power":
        ax.set_ylim(0.0, 1.02)
    else:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.grid(color=_GRID, linewidth=0.7)
    ends = f"{1 - result.attrs['assurance']:.0%} to {result.attrs['assurance']:.0%}"
    ax.set_xlabel(f"tasks (bands, of the fewest and the most attempts: {ends} of what the source leaves open)")
    ax.set_ylabel(result[name].attrs["long_name"])
    ax.set_title(_wrap(result.attrs["sentence"], 110), parse_math=False)
    ax.legend(loc="best")


def _labels(table: Any) -> list[str]:
    """Name rows by what tells them apart."""
    parts = [name for name in ("model", "benchmark") if table[name].nunique() > 1]
    return [" · ".join(map(str, row)) for row in table[[*parts, "strategy"]].itertuples(index=False)]


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width))
