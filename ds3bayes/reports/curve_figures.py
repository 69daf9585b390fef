"""Pictures of curves: success against attempts, budgets and training compute, and what skills an LLM has.

The visual language is that of `ds3bayes.reports.figures`: bands are 90 % intervals of predictions, filled marks are
observations that the fit saw, open ones were held out, half-filled ones in part, and each has its own 90 % interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ds3bayes.queries.words import chance, interval, number, share
from ds3bayes.reports.curve_tables import MOST_PANELS, Curves, Levels, Scaling, masteries, prerequisites
from ds3bayes.reports.figures import (
    _COLOURS,
    _MARKERS,
    _NARROW,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    WIDE,
    _draw_rows,
    _height,
    _listing,
    _plain_log_ticks,
    _styled,
    _wrap,
    reach,
    root_figure,
    show_legend,
    success_span,
)
from ds3bayes.reports.graph_figure import plot_learned_graph
from ds3bayes.reports.labelled import Row

_SELECTORS = {"best of n, oracle": (ORANGE, "o"), "majority vote": (GREEN, "s")}
_DASHES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))


@_styled
def success_against_attempts(curves: Curves, *, ax: Axes | None = None) -> Figure:
    """Draw success against the number of attempts, one panel per LLM and benchmark, a line per selector.

    Parameters
    ----------
    curves : Curves
        From `curve_tables.by_attempts`.
    ax : matplotlib.axes.Axes, optional
        Draw the first panel here instead.
    """
    curves = _named(curves)
    kinds = list(dict.fromkeys(curves.lines["kind"]))
    finite = sorted(set(curves.lines.loc[np.isfinite(curves.lines["x"]), "x"]))
    span = _span(curves.lines, curves.points)
    # Endlessly many attempts stand apart, one and a half doublings beyond the last number.
    end = finite[-1] * 2**1.5

    def panel(axes: Axes, where: tuple[str, str], *, first: bool, last: bool) -> None:
        lines = _of(curves.lines, where)
        for kind in kinds:
            one = lines[lines["kind"] == kind]
            _line(axes, one[np.isfinite(one["x"])], *_look(kind, kinds))
            _limit(axes, one[np.isinf(one["x"])], end, _look(kind, kinds)[0])
        points = _of(curves.points, where)
        for row in points.itertuples():
            colour, marker = (GREY, "D") if not row.kind else _look(row.kind, kinds)[:2]
            _point(axes, row.x, row, colour, marker)
        axes.set_xscale("log", base=2)
        # As many numbers as can stand side by side.
        shown = finite[:: 2 if len(finite) > 6 else 1]
        axes.set_xticks([*shown, end], [*(f"{n:g}" for n in shown), "∞"])
        axes.minorticks_off()
        axes.set_xlim(0.8, end * 1.35)
        axes.axvline(finite[-1] * 2**0.75, color="#d0d0d0", linewidth=0.8, zorder=0)
        _finish(axes, "attempts n per task" if last else "", "success" if first else "", span)

    handles = [_handle(kind, _look(kind, kinds)) for kind in kinds]
    if (curves.points["kind"] == "").any():
        handles.append(Line2D([], [], color=GREY, marker="D", markersize=5, linestyle="", label="single attempts"))
    return _panels(curves, panel, handles + _seen(curves.points), ax)


def _named(curves: Curves) -> Curves:
    """Name lines by their sampler, too, where an LLM has several."""
    if curves.lines.groupby(["model", "benchmark"])["walk"].nunique().max() <= 1:
        return curves
    lines = curves.lines.assign(kind=curves.lines["walk"] + ", " + curves.lines["kind"])
    several = curves.points["kind"] != ""
    points = curves.points.assign(
        kind=(curves.points["walk"] + ", " + curves.points["kind"]).where(several, curves.points["kind"])
    )
    return Curves(lines=lines, points=points)


@_styled
def success_against_budget(curves: Curves, *, ax: Axes | None = None) -> Figure:
    """Draw success of one attempt against its tokens, asked or cut, one panel per LLM and benchmark, a line per effort.

    Lines are dotted where they are extrapolated.

    Parameters
    ----------
    curves : Curves
        From `curve_tables.by_budget`.
    ax : matplotlib.axes.Axes, optional
        Draw the first panel here instead.
    """
    kinds = list(dict.fromkeys(curves.lines["kind"]))
    low, high = curves.lines["x"].min(), curves.lines["x"].max()
    end = high * (high / low) ** 0.14
    endless, span = bool(np.isinf(curves.points["x"]).any()), _span(curves.lines, curves.points)

    def panel(axes: Axes, where: tuple[str, str], *, first: bool, last: bool) -> None:
        lines, points = _of(curves.lines, where), _of(curves.points, where)
        present = [kind for kind in kinds if (lines["kind"] == kind).any()]
        for kind in present:
            one = lines[lines["kind"] == kind].sort_values("x")
            _line(axes, one, *_look(kind, kinds))
            _dot_beyond(axes, one)
        spread = (high / low) ** 0.025
        for row in points.itertuples():
            place = present.index(row.kind) - (len(present) - 1) / 2
            # Marks of several efforts at the same place stand side by side.
            x = end * spread**place if np.isinf(row.x) else row.x
            _point(axes, x, row, *_look(row.kind, kinds)[:2])
        axes.set_xscale("log")
        axes.set_xlim(low, end * spread ** (len(kinds) / 2 + 1) if endless else high)
        _plain_log_ticks(axes, upper=high)
        if endless:
            axes.axvline(high * (high / low) ** 0.04, color="#d0d0d0", linewidth=0.8, zorder=0)
            axes.text(end, -0.03, "no\nbudget", transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=8)
        _finish(
            axes, "tokens of an attempt, asked or cut" if last else "", "success of one attempt" if first else "", span
        )
        if last and endless:
            axes.xaxis.labelpad = 12

    handles = [_handle(k, _look(k, kinds)) for k in kinds] + _seen(curves.points)
    if curves.lines["extrapolated"].any():
        handles.append(Line2D([], [], color=GREY, linewidth=4, linestyle=(0, (0.4, 0.6)), label="extrapolated"))
    return _panels(curves, panel, handles, ax)


def _dot_beyond(axes: Axes, line: pd.DataFrame) -> None:
    """Cover what is extrapolated of a line, up to the last point that is not, with white dashes."""
    beyond = line["extrapolated"].to_numpy()
    if beyond.any():
        reached = beyond | np.roll(beyond, 1) & (np.arange(beyond.size) > 0) | np.append(beyond[1:], False)
        mean = np.where(reached, line["mean"], np.nan)
        axes.plot(line["x"], mean, color="white", linewidth=2.4, linestyle=(0, (0.6, 0.9)), zorder=2.5)


def say_curves(curves: Curves, what: str, unit: str) -> str:
    """Put `success_against_attempts` or `success_against_budget` in words, with the numbers of each line's ends."""
    said = []
    for (model, benchmark, kind), line in _named(curves).lines.groupby(["model", "benchmark", "kind"], sort=False):
        finite = line[np.isfinite(line["x"])].sort_values("x")
        ends = [
            f"{row.x:,.0f} {unit} {_said(row)}" + (" (extrapolated)" if getattr(row, "extrapolated", False) else "")
            for row in finite.iloc[[0, -1]].itertuples()
        ]
        ends += [f"endlessly many {_said(row)}" for row in line[np.isinf(line["x"])].itertuples()]
        said.append(f"{model} on {benchmark}, {kind}: {', '.join(ends)}")
    return _listing(f"{what}, means with 90 % intervals.", said)


def _said(row: Any) -> str:
    return interval(row.mean, row.lower, row.upper)


@_styled
def levels_against_compute(levels: Levels, *, width: float = WIDE, ax: Axes | None = None) -> Figure:
    """Draw the level of skills that each LLM reaches against its training compute, and where the tasks lie.

    Parameters
    ----------
    levels : Levels
        From `curve_tables.levels`.
    width : float
        In inches.
    ax : matplotlib.axes.Axes, optional
        Where to draw.
    """
    figure, axes = root_figure(ax, (width, 0.95 * width if width < _NARROW else 0.5 * width))
    for place, row in enumerate(levels.tasks.itertuples()):
        colour = (ORANGE, GREEN)[place % 2]
        axes.axhspan(row.lower, row.upper, color=colour, alpha=0.16, linewidth=0, zorder=0)
        axes.axhline(row.mean, color=colour, linewidth=1.2, zorder=1)
        axes.annotate(
            f"tasks of {row.benchmark}: nine in ten in the band",
            (0.01, row.upper),
            xycoords=("axes fraction", "data"),
            xytext=(2, 3),
            textcoords="offset points",
            fontsize=8,
            parse_math=False,
        )
    for row in levels.llms.itertuples():
        open_ = row.rows == "held out"
        axes.errorbar(
            row.flop,
            row.mean,
            yerr=reach(row.mean, row.lower, row.upper),
            color=BLUE,
            marker="o",
            markersize=6.5,
            markerfacecolor="white" if open_ else BLUE,
            capsize=2,
            elinewidth=1.4,
            zorder=3,
        )
        label = axes.annotate(
            str(row.model), (row.flop, row.mean), xytext=(6, -2), textcoords="offset points", fontsize=8, va="top"
        )
        label.set_parse_math(False)
    axes.set_xscale("log")
    axes.margins(x=0.12, y=0.08)
    axes.set_xlabel("training compute 6ND, FLOP")
    axes.set_ylabel("level of skills")
    handles = [Line2D([], [], color=BLUE, marker="o", linestyle="", label="level an LLM reaches, 90 % interval")]
    if (levels.llms["rows"] == "held out").any():
        handles.append(
            Line2D([], [], color=BLUE, marker="o", markerfacecolor="white", linestyle="", label="held out of the fit")
        )
    show_legend(figure, axes, handles, width, ax)
    return figure


def say_levels(levels: Levels) -> str:
    """Put `levels_against_compute` in words, with the numbers."""
    tasks = [f"tasks of {r.benchmark}: level {_level(r)}" for r in levels.tasks.itertuples()]
    llms = [f"{r.model}, {number(r.flop)} FLOP: level {_level(r)}" for r in levels.llms.itertuples()]
    return _listing("Levels of skills against training compute, means with 90 % intervals.", tasks + llms)


def _level(row: Any) -> str:
    return f"{number(row.mean)} ({number(row.lower)} to {number(row.upper)})"


@_styled
def success_against_compute(scaling: Scaling, *, width: float = WIDE, ax: Axes | None = None) -> Figure:
    """Draw success against training compute, a line per size of LLM, with what the evaluated LLMs did.

    Parameters
    ----------
    scaling : Scaling
        From `curve_tables.scaling`.
    width : float
        In inches.
    ax : matplotlib.axes.Axes, optional
        Draw the first sampler setting here instead.
    """
    settings = list(dict.fromkeys(scaling.lines["setting"]))
    sizes = sorted(set(scaling.lines["params"]))
    narrow = width < _NARROW
    shown = settings[:1] if ax is not None else settings[:MOST_PANELS]
    columns = 1 if narrow or len(shown) == 1 else 2
    lines = -(-len(shown) // columns)
    height = 0.9 * width if narrow else (0.5 if columns == 1 else 0.42) * width
    figure, axes = root_figure(ax, (width, height * lines + 0.2), lines, columns, share=True)
    every, span = [f"{size:g}" for size in sizes], _span(scaling.lines, scaling.points)
    for place, (setting, one) in enumerate(zip(shown, np.atleast_1d(axes), strict=False)):
        for size in sizes:
            line = scaling.lines[(scaling.lines["setting"] == setting) & (scaling.lines["params"] == size)]
            _line(one, line.rename(columns={"flop": "x"}), *_look(f"{size:g}", every))
        for row in scaling.points[scaling.points["setting"] == setting].itertuples():
            nearest = min(sizes, key=lambda size: abs(np.log(size / row.params)))
            exact = np.isclose(nearest, row.params)
            colour, marker, _ = _look(f"{nearest:g}", every) if exact else (GREY, "D", "-")
            _point(one, row.flop, row, colour, marker)
        one.set_xscale("log")
        one.set_title(_wrap(setting, 46), parse_math=False)
        one.xaxis.set_tick_params(labelbottom=True)
        last = place >= len(shown) - columns
        _finish(one, "training compute 6ND, FLOP" if last else "", "success", span)
    handles = [_handle(f"{size / 1e9:.3g} billion parameters", _look(f"{size:g}", every)) for size in sizes]
    if not set(scaling.points["params"]) <= set(sizes):
        handles.append(Line2D([], [], color=GREY, marker="D", linestyle="", label="observed, other sizes"))
    show_legend(figure, np.atleast_1d(axes)[0], handles + _seen(scaling.points), width, ax)
    return figure


def say_scaling(scaling: Scaling) -> str:
    """Put `success_against_compute` in words, with the numbers."""
    said = []
    for (setting, params), line in scaling.lines.groupby(["setting", "params"], sort=False):
        ends = ", ".join(f"{number(r.flop)} FLOP {_said(r)}" for r in line.iloc[[0, -1]].itertuples())
        said.append(f"{setting}, {number(float(params))} parameters: {ends}")
    said += [f"{r.model} on {r.setting}: observed {share(r.success)} ({r.rows})" for r in scaling.points.itertuples()]
    return _listing("Success against training compute, means with 90 % intervals.", said)


@_styled
def skills(learned: xr.Dataset, *, width: float = WIDE) -> Figure:
    """Draw a learned skill graph; on a narrow page its masteries as rows, each with what the skill builds on.

    Parameters
    ----------
    learned : xarray.Dataset
        From `ds3bayes.learned_graph`.
    width : float
        In inches.
    """
    if width >= _NARROW:
        return plot_learned_graph(learned)
    frame = masteries(learned)
    frame = frame[frame["llm"] == "mean over LLMs"]
    edges = prerequisites(learned)
    rows = []
    for row in frame.itertuples():
        needed = edges[(edges["skill"] == row.skill) & (edges["probability"] >= 0.2)]
        builds = ", ".join(f"{one.prerequisite} (P {chance(one.probability)})" for one in needed.itertuples())
        label = f"{row.skill}, builds on {builds}" if builds else str(row.skill)
        rows.append(Row(label=label, mean=row.mean, lower=row.lower, upper=row.upper))
    figure = Figure(figsize=(width, _height(rows, width)), layout="constrained")
    axes = figure.add_subplot()
    _draw_rows(axes, rows, width)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("mastery, mean over LLMs")
    return figure


def say_skills(learned: xr.Dataset) -> str:
    """Put `skills` in words, with the numbers."""
    frame = masteries(learned)
    said = [
        f"{row.skill} {interval(row.mean, row.lower, row.upper)}"
        for row in frame[frame["llm"] == "mean over LLMs"].itertuples()
    ]
    said += [
        f"{row.skill} builds on {row.prerequisite} with probability {chance(row.probability)}"
        for row in prerequisites(learned).itertuples()
    ]
    return _listing("Mastery of skills, mean over LLMs with 90 % intervals, and their prerequisites.", said)


def _of(frame: pd.DataFrame, where: tuple[str, str]) -> pd.DataFrame:
    return frame[(frame["model"] == where[0]) & (frame["benchmark"] == where[1])]


def _look(kind: str, kinds: Sequence[str]) -> tuple[str, str, Any]:
    """Colour, marker and dashes of a line: told apart without colour, too."""
    place = list(kinds).index(kind)
    if kind in _SELECTORS:
        return (*_SELECTORS[kind], "-")
    free = [one for one in kinds if one not in _SELECTORS]
    own = free.index(kind)
    taken = {colour for name, (colour, _) in _SELECTORS.items() if name in kinds}
    colours = [colour for colour in _COLOURS if colour not in taken]
    markers = [marker for marker in _MARKERS if marker not in ("o", "s")] if taken else list(_MARKERS)
    return colours[own % len(colours)], markers[own % len(markers)], _DASHES[place % len(_DASHES)]


def _line(axes: Axes, line: pd.DataFrame, colour: str, marker: str, dashes: Any) -> None:
    """Draw a mean with its band."""
    del marker
    line = line.sort_values("x")
    axes.fill_between(line["x"], line["lower"], line["upper"], color=colour, alpha=0.27, linewidth=0, zorder=1)
    axes.plot(line["x"], line["mean"], color=colour, linestyle=dashes, linewidth=1.6, zorder=2)


def _limit(axes: Axes, limit: pd.DataFrame, end: float, colour: str) -> None:
    for row in limit.itertuples():
        axes.errorbar(
            end,
            row.mean,
            yerr=reach(row.mean, row.lower, row.upper),
            color=colour,
            marker="_",
            markersize=13,
            markeredgewidth=2.2,
            capsize=2,
            elinewidth=1.2,
            zorder=3,
        )


def _point(axes: Axes, x: float, row: Any, colour: str, marker: str) -> None:
    axes.errorbar(
        x,
        row.success,
        yerr=reach(row.success, row.lower, row.upper),
        color=colour,
        marker=marker,
        markersize=5.5,
        **_face(row.rows, colour),
        markeredgewidth=1.4,
        capsize=2,
        elinewidth=1.0,
        zorder=4,
    )


def _face(rows: str, colour: str) -> dict[str, Any]:
    """Fill a mark by half if some of its rows were held out, not at all if all were."""
    if rows == "partly held out":
        return {"fillstyle": "left", "markerfacecolor": colour, "markerfacecoloralt": "white"}
    return {"markerfacecolor": "white" if rows == "held out" else colour}


def _span(lines: pd.DataFrame, points: pd.DataFrame) -> tuple[float, float]:
    """Range of success over lines and points."""
    return success_span(pd.concat([lines["lower"], points["lower"]]), pd.concat([lines["upper"], points["upper"]]))


def _finish(axes: Axes, x_label: str, y_label: str, span: tuple[float, float]) -> None:
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_ylim(*span)


def _handle(label: str, look: tuple[str, str, Any]) -> Line2D:
    colour, marker, dashes = look
    return Line2D([], [], color=colour, marker=marker, markersize=5, linestyle=dashes, label=_wrap(label, 40))


def _seen(points: pd.DataFrame) -> list[Line2D]:
    handles = []
    labels = {
        "fitted": "observed, seen by the fit",
        "partly held out": "observed, partly held out",
        "held out": "observed, held out",
    }
    for rows, label in labels.items():
        if (points["rows"] == rows).any():
            style: dict[str, Any] = {"marker": "o", **_face(rows, GREY), "markeredgewidth": 1.4, "markersize": 5.5}
            handles.append(Line2D([], [], color=GREY, linestyle="", label=label, **style))
    return handles


def _panels(curves: Curves, draw: Any, handles: list[Line2D], ax: Axes | None) -> Figure:
    """Draw one panel per LLM and benchmark on common axes."""
    where = curves.panels[:1] if ax is not None else curves.panels[:MOST_PANELS]
    columns = min(3, len(where))
    lines = -(-len(where) // columns)
    size = (WIDE, (0.48 if columns == 1 else 0.31) * WIDE * lines + 0.5)
    figure, axes = root_figure(ax, size, lines, columns, share=True)
    several = len({benchmark for _, benchmark in curves.panels}) > 1
    grid = np.atleast_1d(axes)
    for place, (one, panel) in enumerate(zip(where, grid, strict=False)):
        draw(panel, one, first=place % columns == 0, last=place + columns >= len(where))
        panel.set_title(_wrap(" · ".join(one) if several else one[0], 46), parse_math=False)
        panel.xaxis.set_tick_params(labelbottom=True)
    for panel in grid[len(where) :]:
        panel.set_visible(False)
    show_legend(figure, grid[0], handles, WIDE, ax)
    return figure
