"""The picture of a skill graph: where its edges lead and where walks spend their steps.

The visual language is that of `ds3bayes.reports.figures`. One unit of the axes is an inch of a figure made here.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import networkx as nx
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from scipy.optimize import isotonic_regression

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.queries.words import mean_interval, number
from ds3bayes.reports.figures import BLUE, GREY, ORANGE, _styled
from ds3bayes.theory.graph import SkillGraph

# Inches: between columns, largest and smallest node, a node without a traversal, and from node to arrow.
_COLUMN, _LARGEST, _SMALLEST, _PLAIN, _GAP = 1.75, 0.36, 0.05, 0.2, 0.045
_LINE = 0.15
_RING = 0.05
_LABEL_WIDTH = 16
_WIDEST_EDGE = 3.4
_INK, _EDGE = "#222222", "#9a9a9a"
_HALO = (withStroke(linewidth=2.5, foreground="white"),)

_Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class _Reach:
    """How much room something in a column takes above and below its place."""

    up: float
    down: float


# Where a long edge passes a column.
_BEND = _Reach(up=0.16, down=0.16)

# A skill, or the place where an edge passes a column: its first skill, its last and the column.
_Stop = str | tuple[str, str, int]


@_styled
def plot_skill_graph(graph: SkillGraph, traversal: xr.Dataset | None = None, ax: Axes | None = None) -> Figure:
    """Draw a skill graph from its entry on the left to its goals, with the steps that walks spend at each skill.

    Parameters
    ----------
    graph : SkillGraph
        The graph; up to about 15 skills are read with ease.
    traversal : xarray.Dataset, optional
        From `ds3bayes.theory.graph.traverse` of this graph, for one budget: the area of each node is then
        proportional to its expected visits, in steps. A skill visited too little to be seen is a ring.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure of a fitting size if not given.

    Returns
    -------
    matplotlib.figure.Figure
        The figure. Arrows are as wide as the next skill is probable; orange nodes with a ring are goals, arrows
        from outside lead to the skills that walks begin at.

    Raises
    ------
    InputError
        If the traversal is of another graph or has several budgets.
    """
    visits = None if traversal is None else _visits(graph, traversal)
    radius = _radii(graph, visits)
    rim = {name: size + _RING * (name in graph.goals) for name, size in radius.items()}
    labels = {name: "\n".join(textwrap.wrap(name, _LABEL_WIDTH)) for name in graph.skills}
    lines = {name: text.count("\n") + 1 + (visits is not None) for name, text in labels.items()}
    shares = {(a, b): share for a, b, share in graph.to_networkx().edges(data="weight")}
    back = _back_edges(graph)
    columns = _columns(graph, [edge for edge in shares if edge not in back])
    # An edge that leads back takes its way from left to right, the other way round.
    chains = {edge: _chain(edge[::-1] if edge in back else edge, columns) for edge in shares if edge[0] != edge[1]}
    sizes: dict[_Stop, _Reach] = {
        name: _Reach(up=rim[name] + (0.5 if (name, name) in shares else 0.12), down=rim[name] + _LINE * count + 0.2)
        for name, count in lines.items()
    }
    at = _arrange(chains, columns, sizes)
    x, top, low = (
        np.array([point[0] for point in at.values()]),
        max(point[1] + sizes.get(stop, _BEND).up for stop, point in at.items()),
        min(point[1] - sizes.get(stop, _BEND).down for stop, point in at.items()),
    )
    left = x.min() - 1.0
    right = max(x.max() + 0.8, left + (7.6 if traversal is not None else 5.6))
    bounds = (left, right, low - (1.2 if traversal is not None else 0.85), top + 0.45 * (traversal is not None))
    if ax is None:
        figure = Figure(figsize=(bounds[1] - bounds[0], bounds[3] - bounds[2]))
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=bounds[:2], ylim=bounds[2:], aspect="equal")
    ax.set_axis_off()
    for (name, other), share in shares.items():
        if name == other:
            path = _loop(at[name], rim[name])
        else:
            chain = chains[name, other]
            bow = 0.45 * ((other, name) in shares) * (1 if (name, other) in back else -1)
            path = _line([at[stop] for stop in chain], rim[str(chain[0])], rim[str(chain[-1])], bow)
            if (name, other) in back:
                path = Path(np.asarray(path.vertices)[::-1], path.codes)
        _draw_edge(ax, path, share)
    for name, begins in zip(graph.skills, graph.start.values, strict=True):
        seen = None if visits is None else number(visits[name])
        _draw_skill(ax, at[name], radius[name], labels[name], seen, goal=name in graph.goals)
        if begins > 0:
            _draw_entry(ax, at[name], rim[name], float(begins))
    _draw_key(ax, left + 0.25, low - 0.3, visits)
    if traversal is not None:
        ax.text(left + 0.25, top + 0.25, _outcomes(traversal), fontsize=9.5, color=_INK, va="center")
    drawn = ax.get_figure(root=True)
    assert drawn is not None
    return drawn


@_styled
def plot_learned_graph(
    learned: xr.Dataset, llm: str | None = None, *, least: float = 0.2, ax: Axes | None = None
) -> Figure:
    """Draw what a fit learned of a skill graph: mastery of each skill, and how probable each prerequisite is.

    Parameters
    ----------
    learned : xarray.Dataset
        From `ds3bayes.learned_graph`.
    llm : str, optional
        Whose mastery the nodes show; the mean over LLMs if not given.
    least : float, default 0.2
        Edges that are less probable are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure of a fitting size if not given.

    Returns
    -------
    matplotlib.figure.Figure
        Skills in columns, prerequisites to the left; the area of a node is the posterior mean of its mastery, which
        stands below it with its 90 % interval; arrows are as wide as the edge is probable.

    Raises
    ------
    InputError
        If the fit has no such LLM.
    """
    known = [str(name) for name in learned["llm"].values]
    if llm is not None and llm not in known:
        raise InputError(
            f"there is no LLM {llm!r} in this fit; present: {', '.join(known)}." + did_you_mean(llm, known)
        )
    mastery = learned["mastery"].mean("llm") if llm is None else learned["mastery"].sel(llm=llm)
    stacked = mastery.stack(sample=("chain", "draw")).transpose("sample", "skill")
    middle, low, high = (
        {str(name): float(value) for name, value in zip(stacked["skill"].values, part, strict=True)}
        for part in mean_interval(stacked.values)
    )
    shares = {
        (str(first), str(then)): float(share)
        for first, then, share in zip(
            learned["parent"].values, learned["child"].values, learned["edge_probability"].values, strict=True
        )
        if share >= least
    }
    names = list(middle)
    columns = _depths(names, list(shares), names)
    chains = {edge: _chain(edge, columns) for edge in shares}
    radius = {name: _LARGEST * float(np.sqrt(value)) for name, value in middle.items()}
    labels = {name: "\n".join(textwrap.wrap(name, _LABEL_WIDTH)) for name in names}
    sizes: dict[_Stop, _Reach] = {
        name: _Reach(up=radius[name] + 0.12, down=radius[name] + _LINE * (labels[name].count("\n") + 2) + 0.2)
        for name in names
    }
    at = _arrange(chains, columns, sizes)
    x, y = (np.array([point[axis] for point in at.values()]) for axis in (0, 1))
    low_end = min(point[1] - sizes.get(stop, _BEND).down for stop, point in at.items())
    left = float(x.min()) - 1.0
    bounds = (left, max(float(x.max()) + 1.0, left + 7.4), low_end - 1.3, float(y.max()) + 0.95)
    if ax is None:
        figure = Figure(figsize=(bounds[1] - bounds[0], bounds[3] - bounds[2]))
        ax = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    ax.set(xlim=bounds[:2], ylim=bounds[2:], aspect="equal")
    ax.set_axis_off()
    for edge, share in shares.items():
        chain = chains[edge]
        path = _line([at[stop] for stop in chain], radius[str(chain[0])], radius[str(chain[-1])], 0.0)
        _draw_edge(ax, path, share)
    for name in names:
        said = f"{middle[name]:.2f} ({low[name]:.2f} to {high[name]:.2f})"
        _draw_skill(ax, at[name], radius[name], labels[name], said, goal=False)
    title = "mean over LLMs" if llm is None else llm
    ax.text(left + 0.25, bounds[3] - 0.25, f"mastery of steps: {title}", fontsize=9.5, color=_INK, va="center")
    row = low_end - 0.8
    heading: dict[str, Any] = {"fontsize": 8.5, "color": GREY, "va": "center"}
    ax.text(left + 0.25, low_end - 0.3, "area: posterior mean of mastery", **heading)
    for i, shown in enumerate((0.25, 1.0)):
        rim = _LARGEST * float(np.sqrt(shown))
        ax.add_patch(Circle((left + 0.6 + 1.1 * i, row), rim, facecolor=BLUE, edgecolor="none"))
        ax.text(left + 0.66 + 1.1 * i + rim, row, f"{shown:g}", fontsize=8.5, color=_INK, va="center")
    _draw_width_key(ax, left + 3.6, low_end - 0.3, row, f"width: probability of the edge; below {least:g} not drawn")
    drawn = ax.get_figure(root=True)
    assert drawn is not None
    return drawn


def say_skill_graph(graph: SkillGraph, traversal: xr.Dataset | None = None) -> str:
    """Put `plot_skill_graph` in words, with the numbers.

    Parameters
    ----------
    graph : SkillGraph
        The graph.
    traversal : xarray.Dataset, optional
        From `ds3bayes.theory.graph.traverse` of this graph, for one budget.

    Returns
    -------
    str
        Sentences that say what the picture shows.

    Raises
    ------
    InputError
        If the traversal is of another graph or has several budgets.
    """
    said = f"Skill graph, entered at {', '.join(_begins(graph))}; goal: {', '.join(graph.goals)}. "
    joined = graph.to_networkx().edges(data="weight")
    said += "Next skills: " + "; ".join(f"{a} to {b} {share:.2f}" for a, b, share in joined) + "."
    if traversal is not None:
        visits = _visits(graph, traversal)
        said += f" {_outcomes(traversal).capitalize()}. Expected visits in steps: "
        said += "; ".join(f"{name} {number(value)}" for name, value in visits.items()) + "."
    return said


def _visits(graph: SkillGraph, traversal: xr.Dataset) -> dict[str, float]:
    if "expected_visits" not in traversal or set(traversal["skill"].values.tolist()) != set(graph.skills):
        raise InputError("traversal is not of this graph; allowed: traverse(graph, budget_steps)")
    if traversal["expected_visits"].dims != ("skill",):
        budgets = traversal["budget_steps"].values.tolist()
        raise InputError(
            f"traversal has {len(budgets)} budgets; allowed: one, such as traversal.sel(budget_steps={budgets[-1]})"
        )
    return {name: float(traversal["expected_visits"].sel(skill=name)) for name in graph.skills}


def _outcomes(traversal: xr.Dataset) -> str:
    ends = ", ".join(f"{name} {float(traversal[name]):.3f}" for name in ("success", "wrong", "truncated"))
    return f"within {int(traversal['budget_steps']):,} steps: {ends}"


def _radii(graph: SkillGraph, visits: Mapping[str, float] | None) -> dict[str, float]:
    if visits is None:
        return dict.fromkeys(graph.skills, _PLAIN)
    largest = max(visits.values())
    return {name: max(_LARGEST * _root_share(value, largest), _SMALLEST) for name, value in visits.items()}


def _root_share(value: float, largest: float) -> float:
    return float(np.sqrt(value / largest)) if largest > 0 else 0.0


# --- layout -------------------------------------------------------------------------------------------------


def _begins(graph: SkillGraph) -> list[str]:
    return [name for name, share in zip(graph.skills, graph.start.values, strict=True) if share > 0]


def _back_edges(graph: SkillGraph) -> set[tuple[str, str]]:
    """Return the edges that close a cycle for a search from the entry, depth first."""
    every = graph.to_networkx()
    done: set[str] = set()
    back = set()
    for root in [*_begins(graph), *graph.skills]:
        way: list[str] = []
        for name, other, kind in (
            nx.dfs_labeled_edges(every.subgraph(set(every) - done), root) if root not in done else ()
        ):
            if kind == "forward":
                way.append(other)
            elif kind == "reverse":
                way.pop()
            elif other in way:
                back.add((name, other))
        done |= nx.descendants(every, root) | {root}
    return back


def _columns(graph: SkillGraph, edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    return _depths(graph.skills, edges, _begins(graph))


def _depths(skills: Sequence[str], edges: Sequence[tuple[str, str]], begins: Sequence[str]) -> dict[str, int]:
    """Return each skill's depth: the number of edges on the longest way to it; others just before what they join."""
    forward = nx.DiGraph()
    forward.add_nodes_from(skills)
    forward.add_edges_from(edges)
    order = list(nx.topological_sort(forward))
    depth = dict.fromkeys(skills, 0)
    for name in order:
        depth[name] = max((depth[before] + 1 for before in forward.predecessors(name)), default=0)
    for name in reversed(order):
        after = [depth[later] for later in forward.successors(name)]
        if name not in begins and after and not forward.in_degree(name):
            depth[name] = min(after) - 1
    return depth


def _chain(edge: tuple[str, str], columns: dict[str, int]) -> list[_Stop]:
    """Return what an edge passes, with a bend in every column between its skills."""
    first, last = edge
    return [first, *((first, last, column) for column in range(columns[first] + 1, columns[last])), last]


def _arrange(
    chains: Mapping[tuple[str, str], Sequence[_Stop]], columns: Mapping[str, int], sizes: Mapping[_Stop, _Reach]
) -> dict[_Stop, _Point]:
    """Place skills and bends in columns so that few edges cross and none is longer than it must be."""
    column: dict[_Stop, int] = dict(columns.items())
    for chain in chains.values():
        for stop in chain[1:-1]:
            column[stop] = int(stop[2])
    joined: dict[_Stop, list[_Stop]] = {stop: [] for stop in column}
    links = [pair for chain in chains.values() for pair in pairwise(chain)]
    for before, after in links:
        joined[before].append(after)
        joined[after].append(before)
    rows: list[list[_Stop]] = [[] for _ in range(max(column.values()) + 1)]
    for stop, place in column.items():
        rows[place].append(stop)
    rows = _untangled(rows, joined, column, links)
    y = {stop: -float(i) for row in rows for i, stop in enumerate(row)}
    for sweep in range(60):
        for row in rows if sweep % 2 else rows[::-1]:
            reach = [sizes.get(stop, _BEND) for stop in row]
            apart = [0.0, *np.cumsum([a.down + b.up for a, b in pairwise(reach)])]
            wish = np.array([np.mean([y[other] for other in joined[stop]] or [y[stop]]) for stop in row])
            # In order from the top and far enough apart, as near as can be to the middle of what each joins.
            fitted = isotonic_regression(wish + apart, increasing=False).x - apart
            y.update(zip(row, fitted.tolist(), strict=True))
    return {stop: (_COLUMN * column[stop], y[stop]) for stop in column}


def _untangled(
    rows: list[list[_Stop]],
    joined: Mapping[_Stop, Sequence[_Stop]],
    column: Mapping[_Stop, int],
    links: Sequence[tuple[_Stop, _Stop]],
) -> list[list[_Stop]]:
    """Order each column by the mean place of what it joins, to and fro, and keep the order with fewest crossings."""
    best, fewest = rows, _crossings(rows, column, links)
    for sweep in range(24):
        rows = [list(row) for row in rows]
        forth = sweep % 2 == 0
        for i in range(len(rows)) if forth else reversed(range(len(rows))):
            near = rows[i - 1] if forth and i else rows[i + 1] if not forth and i + 1 < len(rows) else []
            place = {stop: k for k, stop in enumerate(near)}
            own = {stop: k for k, stop in enumerate(rows[i])}
            means = {stop: [place[other] for other in joined[stop] if other in place] for stop in rows[i]}
            rows[i].sort(key=lambda stop: float(np.mean(means[stop])) if means[stop] else float(own[stop]))
        count = _crossings(rows, column, links)
        if count < fewest:
            best, fewest = rows, count
    return best


def _crossings(
    rows: Sequence[Sequence[_Stop]], column: Mapping[_Stop, int], links: Sequence[tuple[_Stop, _Stop]]
) -> int:
    place = {stop: k for row in rows for k, stop in enumerate(row)}
    ends = np.array([(column[a], place[a], place[b]) for a, b in links]).reshape(-1, 3)
    same = ends[:, None, 0] == ends[None, :, 0]
    return int((same & ((ends[:, None, 1:] - ends[None, :, 1:]).prod(axis=2) < 0)).sum())


# --- drawing ------------------------------------------------------------------------------------------------


def _line(points: Sequence[_Point], rim_from: float, rim_to: float, bow: float) -> Path:
    """Join points from left to right by a smooth line between the rims of its ends, bowed by an angle."""
    at = np.array(points)
    slopes = np.zeros(len(at))
    step = np.diff(at, axis=0)
    angles = np.arctan2(step[:, 1], step[:, 0])
    slopes[0], slopes[-1] = 0.75 * angles[0] + bow, 0.75 * angles[-1] - bow
    slopes[1:-1] = np.arctan2(at[2:, 1] - at[:-2, 1], at[2:, 0] - at[:-2, 0])
    along = np.column_stack([np.cos(slopes), np.sin(slopes)])
    at[0] += (rim_from + _GAP) * along[0]
    at[-1] -= (rim_to + _GAP) * along[-1]
    vertices = [at[0]]
    for i in range(len(at) - 1):
        reach = 0.36 * (at[i + 1, 0] - at[i, 0])
        vertices += [at[i] + reach * along[i], at[i + 1] - reach * along[i + 1], at[i + 1]]
    return Path(np.array(vertices), [Path.MOVETO] + [Path.CURVE4] * (len(vertices) - 1))


def _loop(at: _Point, rim: float) -> Path:
    """Lead an edge from the top of a skill back to it."""
    x, y = at
    side, rise = 0.32, rim + 0.42
    foot = ((rim + _GAP) * np.sin(0.6), (rim + _GAP) * np.cos(0.6))
    vertices = [(x + foot[0], y + foot[1]), (x + side, y + rise), (x - side, y + rise), (x - foot[0], y + foot[1])]
    return Path(vertices, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])


def _draw_edge(ax: Axes, path: Path, share: float) -> None:
    width = max(_WIDEST_EDGE * share, 0.5)
    ax.add_patch(
        FancyArrowPatch(
            path=path,
            arrowstyle="-|>,head_length=0.4,head_width=0.18",
            mutation_scale=11 + 3.0 * width,
            linewidth=width,
            color=_EDGE,
            capstyle="butt",
            joinstyle="miter",
            zorder=1,
        )
    )


def _draw_skill(ax: Axes, at: _Point, radius: float, label: str, below_it: str | None, *, goal: bool) -> None:
    colour = ORANGE if goal else BLUE
    seen = below_it is None or radius > _SMALLEST
    ax.add_patch(Circle(at, radius, facecolor=colour if seen else "white", edgecolor=colour, linewidth=1, zorder=3))
    rim = radius
    if goal:
        rim = radius + _RING
        ax.add_patch(Circle(at, rim, facecolor="none", edgecolor=_INK, linewidth=1.1, zorder=3))
    text: dict[str, Any] = {"ha": "center", "va": "top", "parse_math": False, "path_effects": _HALO, "zorder": 5}
    below = at[1] - rim - 0.06
    ax.text(at[0], below, label, fontsize=9, color=_INK, linespacing=1.05, **text)
    if below_it is not None:
        lines = label.count("\n") + 1
        ax.text(at[0], below - _LINE * lines, below_it, fontsize=8, color=GREY, **text)


def _draw_entry(ax: Axes, at: _Point, radius: float, share: float) -> None:
    tip, tail = (at[0] - radius - _GAP, at[1]), (at[0] - radius - 0.42, at[1])
    ax.add_patch(
        FancyArrowPatch(
            tail, tip, arrowstyle="-|>", mutation_scale=11, shrinkA=0, shrinkB=0, color=_INK, linewidth=1.4, zorder=4
        )
    )
    if share < 1:
        ax.text(tail[0] - 0.04, at[1], f"{share:.2g}", fontsize=8, color=_INK, ha="right", va="center", zorder=5)


def _draw_key(ax: Axes, x: float, y: float, visits: Mapping[str, float] | None) -> None:
    """Say below the graph what arrows, rings and sizes mean."""
    heading: dict[str, Any] = {"fontsize": 8.5, "color": GREY, "va": "center"}
    value: dict[str, Any] = {"fontsize": 8.5, "color": _INK, "va": "center"}
    title, row = y, y - (0.28 if visits is None else 0.45)
    if visits is not None and (values := _round_values(max(visits.values()))):
        ax.text(x, title, "area, and the number: expected visits, steps", **heading)
        place = x
        for shown in values:
            rim = _LARGEST * _root_share(shown, max(visits.values()))
            ax.add_patch(Circle((place + rim, row), rim, facecolor=BLUE, edgecolor="none"))
            ax.text(place + 2 * rim + 0.06, row, f"{shown:,g}", **value)
            place += 2 * rim + 0.5
        x += 3.0
    _draw_width_key(ax, x, title, row, "width: probability of the next skill")
    x += 2.6
    for i, (goal, what) in enumerate(((False, "entry"), (True, "goal"))):
        place = x + 1.1 * i
        rim = 0.1
        ax.add_patch(Circle((place + 0.45, row), rim, facecolor=ORANGE if goal else BLUE, edgecolor="none"))
        if goal:
            ax.add_patch(Circle((place + 0.45, row), rim + _RING, facecolor="none", edgecolor=_INK, linewidth=1.1))
        else:
            _draw_entry(ax, (place + 0.45, row), rim, 1.0)
        ax.text(place + 0.65, row, what, **value)


def _draw_width_key(ax: Axes, x: float, title: float, row: float, meaning: str) -> None:
    ax.text(x, title, meaning, fontsize=8.5, color=GREY, va="center")
    for i, share in enumerate((0.1, 0.5, 1.0)):
        place = x + 0.82 * i
        _draw_edge(ax, Path([(place, row), (place + 0.36, row)]), share)
        ax.text(place + 0.42, row, f"{share:g}", fontsize=8.5, color=_INK, va="center")


def _round_values(largest: float) -> list[float]:
    """Return up to three round numbers that span sizes up to the largest."""
    if not largest > 0:
        return []
    decade = np.floor(np.log10(largest))
    top = max(step * 10**decade for step in (1.0, 2.0, 5.0) if step * 10**decade <= largest)
    return [float(f"{top * part:.3g}") for part in (0.1, 0.4, 1.0)]
