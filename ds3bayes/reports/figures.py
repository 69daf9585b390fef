"""The pictures of a report, each a function from data to a matplotlib figure and one that says it in words.

One visual language: blue intervals are predictions, black marks are observations inside them, orange-red crosses
with the word "missed" are observations outside, grey is the prior or what serves as a guide. Every point has its
90 % interval. Those with a ``width`` are also drawn narrow, for a page; the page draws the others itself (`charts`).
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import islice
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ds3bayes.inference.check_pictures import BLUE, GREY, VERMILION
from ds3bayes.inference.checks import CheckResult
from ds3bayes.queries.words import COST_NAMES, amount, interval, number, share
from ds3bayes.reports.charts import short, without_common_start
from ds3bayes.reports.labelled import Row, compared_rows, ratio_span, success_rows
from ds3bayes.reports.tables import HARDLY_LEARNED, Sweep, is_share, worth_showing

#: Widths in inches; a picture narrower than `_NARROW` puts its labels above the rows.
WIDE, PHONE = 9.0, 3.8
#: Width in inches at which a picture of a page can be read on every screen.
SLIM = 4.6
_NARROW = 6.0
# Options of least regret that are labelled; those on the frontier always are.
_LABELS = 15

# The rest of Okabe and Ito's colours, yellow darkened.
BLACK, ORANGE, GREEN, PURPLE, SKY, YELLOW = "#000000", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#B8A900"
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, BLACK)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.0,
    "axes.edgecolor": GREY,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def _styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in the report's style, whatever the user has set."""

    @wraps(draw)
    def styled(*args: Any, **kwargs: Any) -> Figure:
        defaults: dict[Any, Any] = {key: value for key, value in mpl.rcParamsDefault.items() if "backend" not in key}
        with mpl.rc_context(defaults | _STYLE):
            return draw(*args, **kwargs)

    return styled


Array = np.ndarray


def root_figure(
    ax: Axes | None, size: tuple[float, float], lines: int = 1, columns: int = 1, *, share: bool = False
) -> tuple[Figure, Any]:
    """Return the figure of some axes and the axes, or a new figure with a grid of them.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        A user's; a new figure is made if absent.
    size : (float, float)
        Width and height of a new figure, in inches.
    lines, columns : int
        Of the grid; one panel is returned as such, several as a flat array.
    share : bool
        Whether the panels have common axes.
    """
    if ax is not None:
        given = ax.get_figure(root=True)
        assert given is not None
        return given, ax
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(lines, columns, sharex=share, sharey=share, squeeze=False).ravel()
    return figure, grid[0] if lines * columns == 1 else grid


def reach(mean: float, lower: float, upper: float) -> list[list[float]]:
    """How far an interval reaches below and above a mean, which a few extreme draws may pull out of it."""
    return [[max(mean - lower, 0.0)], [max(upper - mean, 0.0)]]


@_styled
def success_against_cost(
    options: pd.DataFrame,
    *,
    cost: str,
    max_cost: float | None = None,
    target: float | None = None,
    key: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """Draw predicted success against cost of every option, with the frontier of the means.

    Parameters
    ----------
    options : pandas.DataFrame
        Of a `Decision`.
    cost : str
        Which cost the options have.
    max_cost, target : float, optional
        Cap on cost and success aimed at, drawn as guides.
    key : bool, default False
        Where points are labelled by numbers alone, say in the legend which options they are.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.
    """
    options = options[np.isfinite(options["cost"])]
    kept = worth_showing(options)
    labelled = worth_showing(options, _LABELS)
    figure, axes = root_figure(ax, (WIDE, 0.66 * WIDE))
    group = options["model"] if options["model"].nunique() > 1 else options["strategy"].str.partition("(")[0]
    kinds = list(dict.fromkeys(group))
    for row, kind in zip(options.itertuples(), group, strict=True):
        place = kinds.index(kind)
        shown = row.Index in kept.index
        colour = _COLOURS[place % len(_COLOURS)]
        axes.errorbar(
            row.cost,
            row.success,
            xerr=reach(row.cost, row.cost_lower, row.cost_upper),
            yerr=reach(row.success, row.success_lower, row.success_upper),
            color=colour,
            marker=_MARKERS[place % len(_MARKERS)],
            markersize=6 if shown else 4,
            markerfacecolor="white" if row.bound else colour,
            elinewidth=1.2,
            capsize=2,
            alpha=1.0 if shown else 0.35,
            zorder=3 if shown else 2,
        )
        # Beside a pale option a mark would be all that is seen.
        if np.isfinite(row.observed) and (shown or row.away):
            _observed_mark(axes, row.cost, row.observed, away=row.away)
    front = options[options["on_frontier"].astype(bool)].sort_values("cost")
    guides = axes.step(front["cost"], front["success"], where="post", color=GREY, linewidth=1, zorder=1)
    positive = options[["cost_lower", "cost"]].min().min() > 0
    if positive and options["cost"].max() > 8 * options["cost"].min():
        axes.set_xscale("log")
        _plain_log_ticks(axes)
    low, high = success_span(options["success_lower"], options["success_upper"])
    axes.set_ylim(low - 0.02, high)
    axes.margins(x=0.08)
    axes.set_xlabel(f"expected cost, {COST_NAMES[cost]}")
    axes.set_ylabel("expected success")
    if max_cost is not None:
        guides.append(axes.axvline(max_cost, color=GREY, linestyle="--", linewidth=1, zorder=1))
    if target is not None:
        low, high = axes.get_ylim()
        axes.set_ylim(low, max(high, min(target + 0.05, 1.02)))
        guides.append(axes.axhline(target, color=GREY, linestyle=":", linewidth=1.2, zorder=1))
    handles = [_mark(place, _wrap(kind, 40)) for place, kind in enumerate(kinds)]
    handles.append(Line2D([], [], color=GREY, label="frontier of the means"))
    handles += _explained(options)
    if max_cost is not None:
        handles.append(Line2D([], [], color=GREY, linestyle="--", label=f"cap, {amount(max_cost, cost, exact=True)}"))
    if target is not None:
        handles.append(Line2D([], [], color=GREY, linestyle=":", label=f"target, success {target:g}"))
    in_words = len(labelled) <= 8
    if key and not in_words:
        handles += [
            _mark(kinds.index(group[row.Index]), f"{row.number}  {_wrap(short(row.strategy), 40)}")
            for row in labelled.itertuples()
        ]
        if ax is None:
            figure.set_figheight(figure.get_figheight() + 0.19 * -(-len(labelled) // 3))
    show_legend(figure, axes, handles, WIDE, ax)
    texts = [
        f"{row.number}  {_wrap(short(row.strategy), 30)}" if in_words else str(row.number)
        for row in labelled.itertuples()
    ]
    _place_labels(axes, labelled, options, texts, 8.0, guides)
    return figure


def _observed_mark(axes: Axes, x: float, y: float, *, away: bool) -> None:
    """Draw what was observed of an option, a cross where its prediction for the same tasks is away from it."""
    look: dict[str, Any] = {"marker": "x", "color": VERMILION, "markersize": 7, "markeredgewidth": 1.8}
    if not away:
        look = {"marker": "d", "color": BLACK, "markersize": 4}
    axes.plot([x], [y], linestyle="", zorder=4, **look)


def _explained(options: pd.DataFrame) -> list[Line2D]:
    """Explain the marks of bounds and of what was observed, where there are any."""
    seen, away = options["observed"].notna(), options["away"].astype(bool)
    handles = []
    if options["bound"].any():
        handles.append(
            Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="", label="open: upper bound")
        )
    if (seen & ~away).any():
        handles.append(Line2D([], [], color=BLACK, marker="d", markersize=4, linestyle="", label="observed"))
    if away.any():
        label = "observed, away from its prediction"
        handles.append(Line2D([], [], color=VERMILION, marker="x", markeredgewidth=1.8, linestyle="", label=label))
    return handles


def _mark(place: int, label: str) -> Line2D:
    """Explain the colour and the marker of a place in the order of kinds."""
    colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
    return Line2D([], [], color=colour, marker=marker, linestyle="", label=label)


def say_success_against_cost(options: pd.DataFrame, *, cost: str) -> str:
    """Put `success_against_cost` in words, with the numbers."""
    rows = worth_showing(options[np.isfinite(options["cost"])])
    said = [
        f"{row.number}: {row.option}, success {interval(row.success, row.success_lower, row.success_upper)}, "
        f"cost {interval(row.cost, row.cost_lower, row.cost_upper, cost=True)}"
        + (", on the frontier" if row.on_frontier else "")
        + _said_beside(row)
        for row in rows.itertuples()
    ]
    return _listing(f"Predicted success against cost in {COST_NAMES[cost]}, means with 90 % intervals.", said)


def _said_beside(row: Any) -> str:
    """Say of an option that it is a bound, and what was observed of it."""
    said = ", an upper bound" if row.bound else ""
    if np.isfinite(row.observed):
        said += f", observed {share(row.observed)}" + (", away from its prediction for the same tasks" * bool(row.away))
    return said


@_styled
def success_alone(options: pd.DataFrame, *, target: float | None = None, ax: Axes | None = None) -> Figure:
    """Draw predicted success of every option, for predictions without a cost."""
    shown, rows = worth_showing(options), success_rows(options)
    figure, axes = root_figure(ax, (WIDE, _height(rows, WIDE)))
    _draw_rows(axes, rows, WIDE)
    if shown["observed"].notna().any():
        show_legend(figure, axes, _explained(shown.assign(bound=False)), WIDE, ax)
    if target is not None:
        axes.axvline(target, color=GREY, linestyle=":", linewidth=1.2)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("expected success")
    return figure


def say_success_alone(options: pd.DataFrame) -> str:
    """Put `success_alone` in words, with the numbers."""
    said = [
        f"{row.number}: {row.option} {interval(row.success, row.success_lower, row.success_upper)}{_said_beside(row)}"
        for row in worth_showing(options).itertuples()
    ]
    return _listing("Predicted success, means with 90 % intervals.", said)


@_styled
def compared_success(table: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Draw observed shares of right answers beside their predictive intervals, held-out rows first.

    Parameters
    ----------
    table : pandas.DataFrame
        From `tables.comparison`.
    ax : matplotlib.axes.Axes, optional
        Draw the first kind of quantity here instead.
    """
    chosen, rows = compared_rows(table, of_success=True)
    figure, panels = _compared(chosen, rows, ax)
    # The word "missed" stands to the left of a mark near 0.
    low = (chosen["observed"] < chosen["lower"]) & (chosen["observed"] < 0.2)
    for axes in panels:
        axes.set_xlim(-0.22 if low.any() else -0.02, 1.02)
        axes.set_xticks(np.linspace(0.0, 1.0, 6))
        first = axes is panels[0] and (chosen["quantity"] == "success per attempt").any()
        axes.set_xlabel("share of attempts" if first else "share of tasks")
    return figure


@_styled
def compared_cost(table: pd.DataFrame, *, ax: Axes | None = None) -> Figure:
    """Draw predicted over observed tokens and prices, held-out rows first; 1 means as observed."""
    chosen, rows = compared_rows(table, of_success=False)
    figure, panels = _compared(chosen, rows, ax)
    span = ratio_span(chosen)
    for axes in panels:
        axes.axvline(1.0, color=BLACK, linewidth=0.8, zorder=1)
        axes.set_xlim(1 / span, span)
        if span > 4:
            axes.set_xscale("log")
            _plain_log_ticks(axes)
        axes.set_xlabel("predicted ÷ observed")
    return figure


def say_compared(table: pd.DataFrame, *, of_success: bool) -> str:
    """Put `compared_success` or `compared_cost` in words, with the numbers."""
    chosen = table[is_share(table) == of_success]
    said = [
        f"{row.rows}, {row.sampler}, {row.quantity}: observed "
        f"{share(row.observed) if of_success else number(row.observed)}, predicted "
        f"{interval(row.mean, row.lower, row.upper, not of_success)}, {row.verdict}"
        for row in chosen.itertuples()
    ]
    return _listing("Observed values and predictions with 90 % intervals.", said)


def say_evaluator_sweep(sweep: Sweep) -> str:
    """Put what a tree search scores with other step evaluators in words, with the numbers."""
    said = [
        f"{row.quantity}, {row.evaluator}: {interval(row.mean, row.lower, row.upper)}, observed {share(row.observed)}"
        for row in sweep.table.itertuples()
    ]
    return _listing(f"Predicted success of {sweep.name} by step evaluator, means with 90 % intervals.", said)


# What follows from other parameters trades off with them by construction.
_NOT_IN_PAIRS = frozenset(
    {
        "aggregate_success",
        "skill_reachability",
        "path_length",
        "pace",
        "mastery_logit",
        "loss",
        "deviation",
        "llm_effect",
    }
)


@_styled
def prior_and_posterior(learned: pd.DataFrame, *, log_scaled: Iterable[str] = (), ax: Axes | None = None) -> Figure:
    """Draw the 90 % interval of every parameter before (grey) and after the data, one panel per parameter.

    Parameters
    ----------
    learned : pandas.DataFrame
        Table of the check `informed`.
    log_scaled : iterable of str
        Parameters whose axis is logarithmic.
    ax : matplotlib.axes.Axes, optional
        Draw the first parameter here instead.
    """
    panels = list(learned.groupby("parameter", sort=False))[: 1 if ax is not None else None]
    columns = min(3, len(panels))
    named = len(learned) <= 40
    row_height = 0.3 if named else 0.075
    lines = -(-len(panels) // columns)
    heights = [
        0.72 + row_height * max(len(group) for _, group in panels[line * columns : (line + 1) * columns])
        for line in range(lines)
    ]
    if ax is not None:
        figure, axes = root_figure(ax, (WIDE, WIDE))
        grid = np.atleast_1d(axes)
    else:
        figure = Figure(figsize=(WIDE, sum(heights) + 0.55), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, gridspec_kw={"height_ratios": heights}).ravel()
    log_scaled = set(log_scaled)
    for axes, (name, group) in zip(grid, panels, strict=False):
        before = group.iloc[0]
        axes.axvspan(before["prior 5%"], before["prior 95%"], color="#dcdcdc", linewidth=0, zorder=0)
        axes.axvline(before["prior 50%"], color="white", linewidth=1.5, zorder=1)
        if not named:
            group = group.sort_values("50%")
        labels = without_common_start([str(label) for label in group["of"]])
        for y, (label, (_, row)) in enumerate(zip(labels, group.iterrows(), strict=True)):
            if named and label:
                axes.text(
                    0.01,
                    y - 0.22,
                    label,
                    transform=axes.get_yaxis_transform(),
                    fontsize=7,
                    va="bottom",
                    parse_math=False,
                    clip_on=True,
                )
            weak = row["sd ratio"] > HARDLY_LEARNED
            axes.plot(
                [row["5%"], row["95%"]], [y, y], color=VERMILION if weak else BLUE, linewidth=2.2, solid_capstyle="butt"
            )
            axes.plot(
                row["50%"], y, "x" if weak else "o", color=VERMILION if weak else BLUE, markersize=5 if named else 3.5
            )
        axes.set_ylim(len(group) - 0.4, -0.9 if named and len(group) > 1 else -0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_title(str(name), parse_math=False)
        if str(name) in log_scaled:
            axes.set_xscale("log")
            _plain_log_ticks(axes)
        axes.locator_params(axis="x", nbins=5) if str(name) not in log_scaled else None
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles = [
        Line2D([], [], color="#dcdcdc", linewidth=7, label="prior"),
        Line2D([], [], color=BLUE, marker="o", linewidth=2.2, markersize=5, label="posterior"),
        Line2D([], [], color=VERMILION, marker="x", linewidth=2.2, markersize=5, label="posterior, hardly learned"),
    ]
    show_legend(figure, grid[0], handles, WIDE, ax)
    return figure


def say_prior_and_posterior(learned: pd.DataFrame) -> str:
    """Put `prior_and_posterior` in words, with the numbers."""
    said = []
    for name, group in learned.groupby("parameter", sort=False):
        row = group.iloc[0]
        weak = int((group["sd ratio"] > HARDLY_LEARNED).sum())
        said.append(
            f"{name}: prior {number(row['prior 5%'])} to {number(row['prior 95%'])}, {len(group)} posterior "
            f"medians from {number(group['50%'].min())} to {number(group['50%'].max())}, {weak} hardly learned"
        )
    return _listing("Prior and posterior 90 % intervals of every parameter.", said)


def strongest_ridges(
    posterior: xr.Dataset, least: float = 0.6, most: int = 6
) -> list[tuple[str, str, Array, Array, float]]:
    """Find the pairs of parameters that the data tell apart least: strongest correlations of different parameters.

    Parameters
    ----------
    posterior : xarray.Dataset
        Draws (chain, draw, ...).
    least : float, default 0.6
        Smallest absolute correlation.
    most : int, default 6
        Number of pairs; each parameter stands in one of them.

    Returns
    -------
    list of (name, name, draws, draws, correlation)
        Strongest first.
    """
    labels, columns = [], []
    for name, values in posterior.data_vars.items():
        if str(name) in _NOT_IN_PAIRS:
            continue
        flat = values.stack(sample=("chain", "draw")).transpose("sample", ...)
        for index in np.ndindex(flat.shape[1:]):
            draws = flat.values[(slice(None), *index)]
            if draws.std() > 0:
                where = [str(flat[dim].values[i]) for dim, i in zip(flat.dims[1:], index, strict=True)]
                labels.append(f"{name}[{', '.join(where)}]" if where else str(name))
                columns.append(draws)
    if len(columns) < 2:
        return []
    correlation = np.corrcoef(np.array(columns))
    first, second = np.triu_indices(len(columns), 1)
    result: list[tuple[str, str, Array, Array, float]] = []
    used: set[int] = set()
    for place in np.argsort(-np.abs(correlation[first, second])):
        i, j = int(first[place]), int(second[place])
        value = float(correlation[i, j])
        if abs(value) < least or len(result) == most:
            break
        same = labels[i].partition("[")[0] == labels[j].partition("[")[0]
        # Samplers on the same tasks move together in every parameter; that is no ridge.
        if same or i in used or j in used or abs(value) > 0.9999:
            continue
        used |= {i, j}
        result.append((labels[i], labels[j], columns[i], columns[j], value))
    return result


@_styled
def ridges(pairs: Sequence[tuple[str, str, Array, Array, float]], *, width: float = WIDE) -> Figure:
    """Draw the joint posterior of pairs of parameters that trade off.

    Parameters
    ----------
    pairs : sequence
        From `strongest_ridges`.
    width : float
        In inches.
    """
    columns = 1 if width < _NARROW else min(3, len(pairs))
    lines = -(-len(pairs) // columns)
    figure = Figure(figsize=(width, 3.2 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, (one, other, x, y, value) in zip(grid, pairs, strict=False):
        step = max(1, len(x) // 800)
        axes.plot(x[::step], y[::step], ".", color=BLUE, markersize=2.5, alpha=0.5, rasterized=True)
        axes.set_xlabel(_wrap(one, 42), fontsize=8)
        axes.set_ylabel(_wrap(other, 36), fontsize=7.5)
        axes.set_title(f"correlation {value:.2f}", fontsize=9)
    for axes in grid[len(pairs) :]:
        axes.set_visible(False)
    return figure


def say_ridges(pairs: Sequence[tuple[str, str, Array, Array, float]]) -> str:
    """Put `ridges` in words."""
    return _listing(
        "Joint posterior draws of the pairs of parameters that trade off most.",
        [f"{one} and {other}: correlation {value:.2f}." for one, other, _, _, value in pairs],
    )


def _compared(table: pd.DataFrame, panels: Mapping[str, Sequence[Row]], ax: Axes | None) -> tuple[Figure, list[Axes]]:
    """Draw one panel per kind of quantity, with a row per sampler and set of rows in each; with ``ax`` the first."""
    if ax is not None:
        panels = dict(islice(panels.items(), 1))
    if ax is not None:
        figure, axes = root_figure(ax, (WIDE, WIDE))
        grid = np.atleast_1d(axes)
    else:
        high = max(_height(rows, WIDE) for rows in panels.values()) + 0.2
        figure = Figure(figsize=(WIDE, high), layout="constrained")
        grid = figure.subplots(1, len(panels), squeeze=False).ravel()
    for axes, (kind, rows) in zip(grid, panels.items(), strict=True):
        _draw_rows(axes, rows, WIDE, labelled=axes is grid[0])
        axes.set_title(str(kind), parse_math=False)
    show_legend(figure, grid[0], _observed_handles(missed=not table["inside"].all()), WIDE, ax)
    return figure, list(grid)


@_styled
def check_outcome(result: CheckResult, *, width: float = WIDE) -> Figure:
    """Draw the numbers behind a check and their bound; on a narrow page names stand above their rows.

    Parameters
    ----------
    result : CheckResult
    width : float
        In inches.
    """
    figure, axes = root_figure(None, (width, 3.2))
    result.picture(ax=axes)
    axes.set_title("")
    if isinstance(axes.yaxis.get_major_locator(), ticker.FixedLocator):
        names = [label.get_text() for label in axes.get_yticklabels()]
        narrow = width < _NARROW
        figure.set_size_inches(width, 1.0 + (0.42 if narrow else 0.18) * len(names))
        if narrow:
            for y, name in enumerate(names):
                axes.text(
                    0.0,
                    y - 0.15,
                    _wrap(name, _label_width(width)),
                    transform=axes.get_yaxis_transform(),
                    va="bottom",
                    fontsize=7,
                    linespacing=1.0,
                    parse_math=False,
                )
            axes.set_yticks([])
            axes.set_ylim(len(names) - 0.5, -0.8)
    return figure


def _lines(row: Row, width: float) -> int:
    return _wrap(row.label, _label_width(width)).count("\n") + 1


def _label_width(width: float) -> int:
    return 56 if width < _NARROW else 46


def _height(rows: Sequence[Row], width: float) -> float:
    """Height in inches of a picture of rows, with room for its axis and legend."""
    return 1.05 + sum(_row_height(row, width) for row in rows)


def _row_height(row: Row, width: float) -> float:
    lines = _lines(row, width)
    if row.header:
        return 0.16 * lines + 0.14
    return 0.16 * lines + (0.22 if width < _NARROW else 0.1)


def _draw_rows(axes: Axes, rows: Sequence[Row], width: float, *, labelled: bool = True) -> None:
    """Draw intervals below one another; on a narrow page each label stands above its interval."""
    narrow = width < _NARROW
    top = 0.0
    ticks, labels = [], []
    for row, y in zip(rows, row_centres(rows, width), strict=True):
        height = _row_height(row, width)
        text = _wrap(row.label, _label_width(width))
        weight = "bold" if row.header else "normal"
        if narrow:
            axes.text(
                0.0,
                top + 0.03,
                text,
                transform=axes.get_yaxis_transform(),
                va="top",
                fontsize=8,
                weight=weight,
                parse_math=False,
                linespacing=1.1,
                zorder=2,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
        else:
            ticks.append(y)
            labels.append(text)
        if np.isfinite(row.mean):
            _draw_interval(axes, row, y)
        top += height
    axes.set_ylim(top, 0.0)
    axes.set_yticks(ticks if labelled else [])
    if labelled and not narrow:
        for tick, row in zip(axes.set_yticklabels(labels), rows, strict=True):
            tick.set_parse_math(False)
            tick.set_fontweight("bold" if row.header else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)


def row_centres(rows: Sequence[Row], width: float) -> list[float]:
    """Heights at which the intervals of rows are drawn."""
    heights = [_row_height(row, width) for row in rows]
    ends = np.cumsum(heights)
    within = [height - 0.12 if width < _NARROW else height / 2 for height in heights]
    return [float(end - height + inside) for end, height, inside in zip(ends, heights, within, strict=True)]


def _draw_interval(axes: Axes, row: Row, y: float) -> None:
    colour, marker = _COLOURS[row.place % len(_COLOURS)], _MARKERS[row.place % len(_MARKERS)]
    axes.plot([row.lower, row.upper], [y, y], color=colour, linewidth=3.2, alpha=0.45, solid_capstyle="butt", zorder=2)
    for end in (row.lower, row.upper):
        axes.plot([end, end], [y - 0.05, y + 0.05], color=colour, linewidth=1.2, zorder=2)
    axes.plot(row.mean, y, marker, color=colour, markersize=4.5, zorder=3)
    if np.isfinite(row.beside):
        _observed_mark(axes, row.beside, y, away=row.away)
    if row.observed is None:
        return
    if row.lower <= row.observed <= row.upper:
        axes.plot(
            row.observed,
            y,
            "o",
            markerfacecolor="white",
            markeredgecolor=BLACK,
            markeredgewidth=1.4,
            markersize=7,
            zorder=2.5,
        )
        return
    axes.plot(row.observed, y, "X", color=VERMILION, markeredgecolor="white", markersize=9, zorder=4)
    right = row.observed > row.upper
    axes.annotate(
        "missed",
        (row.observed, y),
        xytext=(7 if right else -7, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="center",
        fontsize=8,
        weight="bold",
        color="#A84A00",
        annotation_clip=False,
    )


def _observed_handles(*, missed: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=4.5, linewidth=3, label="predicted, 90 % interval"),
        Line2D(
            [],
            [],
            linestyle="",
            marker="o",
            markerfacecolor="white",
            markeredgecolor=BLACK,
            markeredgewidth=1.4,
            markersize=7,
            label="observed, inside",
        ),
    ]
    if missed:
        handles.append(
            Line2D(
                [],
                [],
                linestyle="",
                marker="X",
                color=VERMILION,
                markeredgecolor="white",
                markersize=9,
                label="observed, missed",
            )
        )
    return handles


def show_legend(figure: Figure, axes: Axes, handles: Sequence[Line2D], width: float, ax: Axes | None) -> None:
    """Explain the marks below a figure of our own, or inside a user's axes; names are never formulas."""
    if ax is not None:
        legend = axes.legend(handles=list(handles))
    else:
        legend = figure.legend(handles=list(handles), loc="outside lower center", ncols=1 if width < _NARROW else 3)
    for text in legend.get_texts():
        text.set_parse_math(False)


def success_span(lower: pd.Series, upper: pd.Series) -> tuple[float, float]:
    """Range of success that a picture of intervals shows: from 0, but where all of them are far from it."""
    low = float(lower.min())
    return (np.floor(10.0 * low - 0.5) / 10.0 if low > 0.4 else 0.0), min(1.02, 1.08 * float(upper.max()))


def _plain_log_ticks(axes: Axes, upper: float = np.inf) -> None:
    """Write the ticks of a logarithmic axis as plain numbers, few enough to be read, up to a value."""
    low, high = axes.get_xlim()
    decades = np.log10(high / low)
    subs = (1.0, 2.0, 5.0) if decades < 1.6 else (1.0, 3.0) if decades < 2.6 else (1.0,)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: _tick(value)))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    if np.isfinite(upper):
        places = [value for value in axes.xaxis.get_majorticklocs() if low <= value <= upper]
        axes.xaxis.set_major_locator(ticker.FixedLocator(places))
        axes.xaxis.set_minor_locator(ticker.NullLocator())


def _tick(value: float) -> str:
    return number(value, 1) if value >= 1e9 else f"{value:,.12g}"


def _wrap(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) or text


def _listing(title: str, said: Sequence[str], limit: int = 30) -> str:
    more = f" And {len(said) - limit} more, in the table." if len(said) > limit else ""
    return f"{title} {'; '.join(said[:limit])}.{more}"


def _place_labels(
    axes: Axes,
    rows: pd.DataFrame,
    all_rows: pd.DataFrame,
    texts: Sequence[str],
    size: float,
    guides: Sequence[Line2D],
) -> None:
    """Write a label beside each point where it covers neither points, intervals nor other labels."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    frame = np.array(axes.get_window_extent().extents)
    taken, weights = _obstacles(axes, all_rows, guides)
    placed = np.empty((0, 4))
    angles = np.deg2rad([45, 135, -45, -135, 0, 180, 90, -90])
    radius, angle = (grid.ravel() for grid in np.meshgrid([7, 13, 22, 34, 50, 70, 95], angles, indexing="ij"))
    for row, text in zip(rows.itertuples(), texts, strict=True):
        point = axes.transData.transform((row.cost, row.success))
        probe = axes.text(0, 0, text, fontsize=size, parse_math=False, linespacing=1.05)
        extent = probe.get_window_extent()
        probe.remove()
        half = np.array([extent.width / 2 + 3, extent.height / 2 + 1.5])
        centres = point + np.column_stack([np.cos(angle), np.sin(angle)]) * (radius[:, None] * scale + half)
        boxes = np.hstack([centres - half, centres + half])
        outside = 4 * half.prod() - _overlaps(boxes, frame[None]).sum(axis=1)
        covered = _overlaps(boxes, taken) @ weights + 4 * _overlaps(boxes, placed).sum(axis=1)
        leads = point + np.linspace(0, 1, 12)[:, None, None] * (centres - point)
        inside = (leads[:, :, None] > placed[:, :2]) & (leads[:, :, None] < placed[:, 2:])
        crossed = 60 * inside.all(axis=3).sum(axis=(0, 2))
        chosen = int(np.argmin(4 * outside + covered + crossed + 0.6 * (radius - 7) ** 1.2))
        placed = np.vstack([placed, boxes[chosen]])
        far = radius[chosen] > 13
        label = axes.annotate(
            text,
            (row.cost, row.success),
            xytext=tuple((centres[chosen] - point) / scale),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=size,
            linespacing=1.05,
            color="#222222",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4}
            if far
            else None,
            zorder=5,
        )
        label.set_parse_math(False)
        label.set_in_layout(False)


def _obstacles(axes: Axes, rows: pd.DataFrame, guides: Sequence[Line2D]) -> tuple[np.ndarray, np.ndarray]:
    """Return what labels should not cover, as boxes (n, 4) in pixels, and how much each matters (n,)."""

    def pixels(x: str, y: str) -> np.ndarray:
        return axes.transData.transform(rows[[x, y]].to_numpy())

    points = pixels("cost", "success")
    wide, high = np.array([2, 3]), np.array([3, 2])
    boxes = [
        np.hstack([points - 4, points + 4]),
        np.hstack([pixels("cost_lower", "success") - wide, pixels("cost_upper", "success") + wide]),
        np.hstack([pixels("cost", "success_lower") - high, pixels("cost", "success_upper") + high]),
    ]
    weights = [np.full(len(points), 3.0), np.full(2 * len(points), 2.0)]
    for guide in guides:
        # Guides may be covered, but rather not.
        corners = guide.get_transform().transform(np.column_stack(guide.get_data()))
        ends = np.stack([corners[:-1], corners[1:]])
        boxes.append(np.hstack([ends.min(axis=0) - 1.5, ends.max(axis=0) + 1.5]))
        weights.append(np.full(len(corners) - 1, 0.7))
    return np.vstack(boxes), np.concatenate(weights)


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the area that each of some boxes (n, 4) shares with each of others (m, 4), shape (n, m)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0.0, None).prod(axis=2)
