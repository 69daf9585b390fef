"""The pictures that a page draws itself: each a function from data to a picture at two widths, with its legend.

One visual language: lines, bands and bars are predictions with their 90 % intervals, dark marks what was observed,
crosses with the word "missed" what a prediction missed, grey the prior or a guide. Marks tell their numbers on hover.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from ds3bayes.queries.words import COST_NAMES, amount, chance, interval, number, share
from ds3bayes.reports.curve_tables import MOST_PANELS, Curves
from ds3bayes.reports.labelled import Row, compared_rows, ratio_span, success_rows
from ds3bayes.reports.svg import DASHES, NARROW, WIDE, Drawing, Key, Scale, kind_class, tick, wrapped
from ds3bayes.reports.tables import HARDLY_LEARNED, Sweep, worth_showing

# Options of least regret that are labelled, on a wide and on a narrow page; those recommended always are.
_LABELS = {False: 14, True: 7}
_FILLED = {"held out": "open", "partly held out": "part"}
_OBSERVED = {"fitted": "seen by the fit", "held out": "held out", "partly held out": "partly held out"}


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of the page: drawn for wide and for narrow screens, with its legend."""

    caption: str
    wide: str
    narrow: str
    keys: tuple[Key, ...] = ()


def _chart(draw: Callable[[float], Drawing], caption: str, keys: Iterable[Key] = (), kind: str = "chart") -> Chart:
    return Chart(
        caption=caption,
        wide=draw(WIDE).svg(f"{kind} wide"),
        narrow=draw(NARROW).svg(f"{kind} narrow"),
        keys=tuple(keys),
    )


def success_against_cost(
    options: pd.DataFrame, caption: str, alt: str, *, cost: str, max_cost: float | None, target: float
) -> Chart:
    """Draw predicted success against cost of every option, with the frontier of the means, the cap and the target.

    Parameters
    ----------
    options : pandas.DataFrame
        Of a `Decision`.
    caption, alt : str
    cost : str
        Which cost the options have.
    max_cost : float, optional
    target : float
    """
    options = options[np.isfinite(options["cost"])]
    group = options["model"] if options["model"].nunique() > 1 else options["strategy"].str.partition("(")[0]
    kinds = list(dict.fromkeys(group))
    low = float(options[["cost_lower", "cost"]].min().min())
    high = float(options[["cost_upper", "cost"]].max().max())
    if max_cost is not None and low / 3 < max_cost < 3 * high:
        low, high = min(low, max_cost), max(high, max_cost)
    log = low > 0 and high > 8 * low
    room = (high / low) ** 0.05 if log else 0.05 * (high - low or abs(high) or 1.0)
    low, high = (low / room, high * room) if log else (max(low - room, 0.0) if low >= 0 else low - room, high + room)
    bottom, top = _success_range(pd.concat([options["success_lower"], options["observed"].dropna()]), options)
    top = max(top, min(target + 0.05, 1.0))

    def draw(width: float) -> Drawing:
        narrow = width < 600
        drawing = Drawing(width, 400 if narrow else 470, alt)
        x = Scale(low, high, 42 if narrow else 52, width - 12, log)
        y = Scale(bottom, top, drawing.height - 46, 22)
        drawing.attributes = {
            name: f"{value:.10g}"
            for name, value in (
                *(("data-x-low", x.low), ("data-x-high", x.high), ("data-x-start", x.start), ("data-x-end", x.end)),
                *(("data-y-low", y.low), ("data-y-high", y.high), ("data-y-start", y.start), ("data-y-end", y.end)),
                ("data-log", int(log)),
            )
        }
        drawing.axes(x, y, x_label=f"expected cost, {COST_NAMES[cost]}", y_label="expected success")
        front = options[options["on_frontier"].astype(bool)].sort_values("cost")
        drawing.parts.append(
            f'<path class="front" d="{_steps([(x(a), y(b)) for a, b in front[["cost", "success"]].values])}"/>'
        )
        at = 0.0 if max_cost is None else x(max_cost)
        shown = "" if max_cost is not None else ' visibility="hidden"'
        drawing.parts.append(
            f'<path class="guide cap" d="M0,{y.start:.1f}V{y.end:.1f}" transform="translate({at:.1f},0)"{shown}/>'
        )
        drawing.parts.append(
            f'<path class="guide target" d="M{x.start:.1f},0H{x.end:.1f}" transform="translate(0,{y(target):.1f})"/>'
        )
        labels = _labels(options, x, y, narrow)
        for row, kind in zip(options.itertuples(), group, strict=True):
            drawing.parts.append(_option(row, kinds.index(kind), x, y, cost, labels.get(row.Index)))
        return drawing

    keys = [Key(text=kind, kind=kind_class(place), shape=place) for place, kind in enumerate(kinds)]
    keys.append(Key(text="frontier of the means", kind="front", dash=""))
    if max_cost is not None:
        keys.append(Key(text=f"cap, {amount(max_cost, cost, exact=True)}", kind="guide", dash="6 4"))
    keys.append(Key(text=f"target, success {target:g}", kind="guide", dash="2 3"))
    if options["bound"].any():
        keys.append(Key(text="open: upper bound", kind="guide open", shape=0))
    return _chart(draw, caption, [*keys, *_seen_keys(options)], "chart costs")


def _seen_keys(options: pd.DataFrame) -> list[Key]:
    """Explain the marks of what was observed, where there are any."""
    away = options["away"].astype(bool)
    keys = [Key(text="observed", kind="seen small", shape=3)] if (options["observed"].notna() & ~away).any() else []
    return keys + ([Key(text="observed, away from its prediction", kind="missed", shape=5)] if away.any() else [])


def _cut(text: str, width: float) -> str:
    """Shorten a text to about so many pixels, in the middle: names differ at both ends."""
    most = max(8, int(width / 6.6))
    return text if len(text) <= most else f"{text[: most // 2 - 1]}…{text[len(text) - most + most // 2 :]}"


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """Return the path of a line that rises in steps."""
    if not points:
        return "M0,0"
    path = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    return path + "".join(f"H{x:.1f}V{y:.1f}" for x, y in points[1:])


def _option(row: Any, place: int, x: Scale, y: Scale, cost: str, label: tuple[float, float, str, str] | None) -> str:
    """Draw an option: its intervals, its mark, its label and what was observed of it."""
    at, height = x(row.cost), y(row.success)
    said = (
        f"{row.number}. {row.option}: success {interval(row.success, row.success_lower, row.success_upper)}, "
        f"{amount(row.cost, cost)} ({number(row.cost_lower)} to {number(row.cost_upper)}) per task"
    )
    said += ", an upper bound" if row.bound else f", P(best) {chance(row.p_best)}, expected regret {share(row.regret)}"
    drawing = Drawing(0, 0, "")
    drawing.line([(x(row.cost_lower), height), (x(row.cost_upper), height)], "bar across")
    drawing.line([(at, y(row.success_lower)), (at, y(row.success_upper))], "bar upright")
    drawing.mark(at, height, place, "open" if row.bound else "full")
    if label is not None:
        drawing.text(at + label[0], height + label[1], label[3], anchor=label[2], kind="tag")
    if np.isfinite(row.observed):
        seen = f"{row.option}: observed {share(row.observed)} on {row.observed_tasks:,.0f} tasks"
        drawing.mark(at, y(row.observed), 5 if row.away else 3, "missed" if row.away else "seen small", seen)
    state = " chosen" if row.chosen else ""
    return (
        f'<g class="option {kind_class(place)}{state}" data-n="{row.number}"><title>{escape(said)}</title>'
        f"{''.join(drawing.parts)}</g>"
    )


def _labels(options: pd.DataFrame, x: Scale, y: Scale, narrow: bool) -> dict[Any, tuple[float, float, str, str]]:
    """Return where labels stand beside their marks, covering neither each other nor other marks."""
    kept = worth_showing(options, _LABELS[narrow])
    in_words = not narrow and len(kept) <= 9
    marks = [(x(row.cost) - 6, y(row.success) - 6, x(row.cost) + 6, y(row.success) + 6) for row in options.itertuples()]
    taken: list[tuple[float, float, float, float]] = []
    found = {}
    # Of one strategy the LLM is what tells options apart.
    one_strategy = options["strategy"].nunique() == 1
    for row in kept.itertuples():
        name = str(row.model) if one_strategy else short(row.strategy)
        text = f"{row.number}  {name}" if in_words else str(row.number)
        at, height, size = x(row.cost), y(row.success), 6.6 * len(text)
        best: tuple[float, Any] | None = None
        for far in (9, 16, 26):
            for anchor, dx in (("start", far), ("end", -far), ("middle", 0.0)):
                for dy in (-far + 2.0, 4.0, far + 8.0) if anchor != "middle" else (-far - 2.0, far + 12.0):
                    left = at + dx - {"start": 0.0, "end": size, "middle": size / 2}[anchor]
                    box = (left, height + dy - 10, left + size, height + dy + 3)
                    off = max(x.start - box[0], 0) + max(box[2] - x.end, 0) + max(y.end - 16 - box[1], 0)
                    worse = 8 * off + far + sum(3 * _common(box, one) for one in taken)
                    worse += sum(_common(box, one) for one in marks)
                    if best is None or worse < best[0]:
                        best = worse, (dx, dy, anchor, text, box)
        assert best is not None
        taken.append(best[1][4])
        found[row.Index] = best[1][:4]
    return found


def _common(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> float:
    """Return the area that two boxes have in common."""
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0


def short(strategy: str) -> str:
    """Shorten the text of a strategy for a label."""
    return strategy.replace("_states", "").replace("answer_", "").replace(", verifier=oracle", ", oracle")


def _success_range(lower: pd.Series, options: pd.DataFrame) -> tuple[float, float]:
    """Range of success of a picture: from 0, but where all of it is far from it."""
    low, high = float(lower.min()), float(max(options["success_upper"].max(), options["observed"].max()))
    return (float(np.floor(10.0 * low - 0.5) / 10.0) if low > 0.4 else 0.0), min(
        1.0, float(np.ceil(20 * high + 0.4) / 20)
    )


def curves(found: Curves, caption: str, alt: str, *, x_label: str, y_label: str, endless: str) -> Chart:
    """Draw success along attempts or budgets: a panel per LLM and benchmark, a line per sampler and selector.

    Parameters
    ----------
    found : Curves
    caption, alt, x_label, y_label : str
    endless : str
        What stands for an infinite ``x``.
    """
    lines, points = found.lines, found.points
    panels = found.panels[:MOST_PANELS]
    walks, kinds = list(dict.fromkeys(lines["walk"])), list(dict.fromkeys(lines["kind"]))
    # Of one sampler a colour tells the selector, of several the sampler, and dashes the selector.
    by_walk = (
        lines.groupby(["model", "benchmark"], sort=False)["walk"].nunique().max() > 1 and "extrapolated" not in lines
    )
    finite = sorted(set(lines.loc[np.isfinite(lines["x"]), "x"]))
    has_end = bool(np.isinf(lines["x"]).any() or np.isinf(points["x"]).any())
    ends = pd.concat([lines["upper"], points["upper"]]).max(), pd.concat([lines["lower"], points["lower"]]).min()
    top, low = min(1.0, float(np.ceil(20 * ends[0] + 0.2) / 20)), float(ends[1])
    bottom = float(np.floor(10 * low - 0.5) / 10) if low > 0.4 else 0.0
    of_attempts = "extrapolated" not in lines

    def colour(walk: str, kind: str) -> int:
        return walks.index(walk) if by_walk else kinds.index(kind) if kind in kinds else 0

    def panel(drawing: Drawing, where: tuple[str, str], left: float, high: float, width: float, height: float) -> None:
        x = Scale(finite[0], finite[-1], left + 40, left + width - (46 if has_end else 12), log=True)
        y = Scale(bottom, top, high + height - 40, high + 26)
        whole = Scale(finite[0], finite[-1], left + 40, left + width - 12, log=True)
        end = left + width - 24
        ticks = [one for one in finite if of_attempts] or x.ticks(5)
        room = max(1, int(np.ceil(len(ticks) * 38 / (x.end - x.start))))
        marked = [(x(one), tick(one)) for one in ticks[::room]]
        drawing.axes(whole, y, x_label=x_label, x_ticks=[*marked, *([(end, endless)] if has_end else [])])
        title = " · ".join(where) if len({name for _, name in found.panels}) > 1 else where[0]
        # Titles are bold, and so wider.
        drawing.text(left + 4, high + 14, _cut(title, 0.86 * width - 10), kind="title")
        for (walk, kind), line in _of(lines, where).groupby(["walk", "kind"], sort=False):
            look = kind_class(colour(walk, kind)), DASHES[kinds.index(kind) % len(DASHES)]
            _curve(drawing, line.sort_values("x"), look, x, y, end, endless)
        beside: dict[float, int] = {}
        for row in _of(points, where).itertuples():
            own = by_walk or row.kind in kinds
            at = end if np.isinf(row.x) else x(row.x)
            # Marks of several samplers at the same place stand side by side.
            at += 5.0 * beside.setdefault(row.x, 0) * (-1 if np.isinf(row.x) else 1)
            beside[row.x] += 1
            _point(drawing, row, at, y, colour(row.walk, row.kind) if own else None)

    def draw(width: float) -> Drawing:
        narrow = width < 600
        columns = 1 if narrow else min(4 if len(panels) > 6 else 3, len(panels))
        wide = width / columns
        high = 200 if narrow and len(panels) > 2 else 300 if len(panels) == 1 and not narrow else 230
        drawing = Drawing(width, high * -(-len(panels) // columns), alt)
        for place, where in enumerate(panels):
            panel(drawing, where, wide * (place % columns), high * (place // columns), wide, high)
        return drawing

    names = walks if by_walk else kinds
    keys = [
        Key(text=one, kind=kind_class(place), shape=place, dash="" if by_walk else DASHES[place % len(DASHES)])
        for place, one in enumerate(names)
    ]
    if by_walk:
        keys += [Key(text=one, kind="guide", dash=DASHES[place % len(DASHES)]) for place, one in enumerate(kinds)]
    if not of_attempts and lines["extrapolated"].any():
        keys.append(Key(text="extrapolated", kind="guide", dash="1 4"))
    if len(points):
        keys.append(Key(text="observed, seen by the fit", kind="seen full", shape=0))
    for rows, fill in _FILLED.items():
        if (points["rows"] == rows).any():
            keys.append(Key(text=f"observed, {rows}", kind=f"seen {fill}", shape=0))
    return _chart(draw, caption, keys)


def _curve(
    drawing: Drawing, line: pd.DataFrame, look: tuple[str, str], x: Scale, y: Scale, end: float, endless: str
) -> None:
    """Draw a mean with its band, dotted where it is extrapolated, and its limit beside it."""
    kind, dash = look
    inside, label = line[np.isfinite(line["x"])], " · ".join(dict.fromkeys(line[["walk", "kind"]].iloc[0]))
    at = [x(one) for one in inside["x"]]
    lower, mean, upper = (
        [(a, y(b)) for a, b in zip(at, inside[name], strict=True)] for name in ("lower", "mean", "upper")
    )
    drawing.band(lower, upper, kind)
    beyond = inside.get("extrapolated", pd.Series(False, inside.index)).to_numpy(dtype=bool)
    for start, stop in _runs(beyond):
        # What is extrapolated reaches to the last points that are not.
        part = mean[max(start - 1, 0) : stop + 1] if beyond[start] else mean[start:stop]
        drawing.line(part, f"line {kind}", "1 4" if beyond[start] else dash)
    for row, a, far in zip(inside.itertuples(), at, beyond, strict=True):
        said = f"{label}, {row.x:,.0f}: {interval(row.mean, row.lower, row.upper)}" + ", extrapolated" * bool(far)
        drawing.box(a - 5, y(row.mean) - 5, 10, 10, "hover", said)
    for row in line[np.isinf(line["x"])].itertuples():
        drawing.line([(end, y(row.lower)), (end, y(row.upper))], f"bar {kind}")
        drawing.line([(end - 6, y(row.mean)), (end + 6, y(row.mean))], f"line {kind}")
        said = f"{label}, {endless}: {interval(row.mean, row.lower, row.upper)}"
        drawing.box(end - 7, y(row.mean) - 5, 14, 10, "hover", said)


def _point(drawing: Drawing, row: Any, at: float, y: Scale, place: int | None) -> None:
    """Draw what was observed, in the look of its line if it has one, open where it was held out."""
    kind, shape = ("seen", 3) if place is None else (kind_class(place), place)
    label = " · ".join(dict.fromkeys(filter(None, (row.walk, row.kind))))
    said = f"{label}, observed, {_OBSERVED.get(row.rows, row.rows)}: {interval(row.success, row.lower, row.upper)}"
    drawing.line([(at, y(row.lower)), (at, y(row.upper))], f"bar {kind}")
    drawing.mark(at, y(row.success), shape, f"{kind} {_FILLED.get(row.rows, 'full')}", said)


def _of(frame: pd.DataFrame, where: tuple[str, str]) -> pd.DataFrame:
    return frame[(frame["model"] == where[0]) & (frame["benchmark"] == where[1])]


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return start and end of each run of equal flags."""
    if not len(flags):
        return []
    cuts = [0, *(np.flatnonzero(flags[1:] != flags[:-1]) + 1).tolist(), len(flags)]
    return list(pairwise(cuts))


def rows(
    panels: Sequence[tuple[str, Sequence[Row], str]],
    caption: str,
    alt: str,
    *,
    x_label: str = "",
    log: bool = False,
    span: tuple[float, float] = (0.0, 1.0),
    line: float | None = None,
    lines: Sequence[float] = (),
    keys: Iterable[Key] = (),
) -> Chart:
    """Draw labelled intervals below one another, in panels side by side; on a narrow page one below the other.

    Parameters
    ----------
    panels : sequence of (title, rows, label of the axis)
        All with the same rows, or NaN where one lacks what another has.
    caption, alt, x_label : str
    log : bool
        Whether the axis is logarithmic.
    span : (float, float)
        Its ends.
    line : float, optional
        A guide in every panel; ``lines`` has one for each.
    keys : iterable of Key
    """

    def draw(width: float) -> Drawing:
        narrow = width < 600
        room = 0.0 if narrow else min(0.36 * width, 16 + 6.6 * max((len(row.label) for row in panels[0][1]), default=0))
        drawing = Drawing(width, 0, alt)
        top = 0.0
        wide = width if narrow else (width - room) / len(panels)
        for place, (title, shown, unit) in enumerate(panels):
            left = 8.0 if narrow else room + wide * place + 10
            right = width - 12 if narrow else room + wide * (place + 1) - 14
            x = Scale(*span, left, right, log)
            at = top + 22
            drawing.text(left if not narrow else 2, top + 12, title, kind="title")
            start = at
            guides = len(drawing.parts)
            for row in shown:
                lines_of = wrapped(row.label, (width if narrow else room) - 8)
                kind = "head" if row.header else ""
                if narrow:
                    if row.header or np.isfinite(row.mean):
                        for one in lines_of:
                            drawing.text(2, at + 11, one, kind=f"above {kind}")
                            at += 14
                    centre = at + 7
                    at += 0 if row.header or not np.isfinite(row.mean) else 17
                else:
                    if place == 0:
                        for step, one in enumerate(lines_of):
                            drawing.text(room, at + 12 + 14 * step, one, anchor="end", kind=kind)
                    centre = at + 7 * len(lines_of) + 1
                    at += 14 * len(lines_of) + 5
                if np.isfinite(row.mean):
                    _interval(drawing, row, x, centre)
            drawn: list[str] = []
            grid = Drawing(0, 0, "")
            for value in x.ticks(max(3, int((right - left) / 62))):
                grid.line([(x(value), start), (x(value), at)], "grid")
                grid.text(x(value), at + 14, tick(value), anchor="middle")
            for guide in ([line] if line is not None else []) + ([lines[place]] if lines else []):
                grid.line([(x(guide), start - 4), (x(guide), at)], "axis strong")
            drawn += grid.parts
            drawing.parts[guides:guides] = drawn
            drawing.text((left + right) / 2, at + 31, unit or x_label, anchor="middle", kind="label")
            drawing.height = max(drawing.height, at + 40)
            top = at + 44 if narrow else top
        return drawing

    return _chart(draw, caption, keys)


def _interval(drawing: Drawing, row: Row, x: Scale, y: float) -> None:
    drawing.line([(x(row.lower), y), (x(row.upper), y)], f"bar thick {kind_class(row.place)}")
    drawing.mark(x(row.mean), y, row.place, f"{kind_class(row.place)} full", row.said or row.label)
    if np.isfinite(row.beside):
        drawing.mark(x(row.beside), y, 5 if row.away else 3, "missed" if row.away else "seen small", row.said)
    if row.observed is None:
        return
    inside = row.lower <= row.observed <= row.upper
    drawing.mark(x(row.observed), y, 0 if inside else 5, "seen open" if inside else "missed", row.said or row.label)
    if not inside:
        # Beyond the mark, or if there is no room, on the other side of the interval.
        right = row.observed > row.upper
        at = x(row.observed) + (9 if right else -9)
        if right and at + 44 > x.end:
            at, right = x(row.lower) - 9, False
        elif not right and at - 44 < x.start:
            at, right = x(row.upper) + 9, True
        drawing.text(at, y + 4, "missed", anchor="start" if right else "end", kind="bad")


def success_alone(options: pd.DataFrame, caption: str, alt: str, target: float) -> Chart:
    """Draw predicted success of every option, for predictions without a cost."""
    keys = [Key(text="predicted, 90 % interval", kind="k0", shape=0, dash="")]
    keys += _seen_keys(options)
    keys.append(Key(text=f"target, success {target:g}", kind="axis strong", dash=""))
    return rows([("", success_rows(options), "expected success")], caption, alt, line=target, keys=keys)


def compared(table: pd.DataFrame, caption: str, alt: str, *, of_success: bool) -> Chart:
    """Draw observed values beside their predictive intervals, held-out rows first; costs relative to the observed.

    Parameters
    ----------
    table : pandas.DataFrame
        From `tables.comparison`.
    caption, alt : str
    of_success : bool
        Shares of right answers, rather than tokens and prices.
    """
    chosen, found = compared_rows(table, of_success=of_success)
    units = {kind: "share of attempts" if kind == "success per attempt" else "share of tasks" for kind in found}
    panels = [(kind, shown, units[kind] if of_success else "predicted ÷ observed") for kind, shown in found.items()]
    keys = [
        Key(text="predicted, 90 % interval", kind="k0", shape=0, dash=""),
        Key(text="observed, inside", kind="seen open", shape=0),
    ]
    if not chosen["inside"].all():
        keys.append(Key(text="observed, missed", kind="missed", shape=5))
    if of_success:
        return rows(panels, caption, alt, keys=keys)
    span = ratio_span(chosen)
    return rows(panels, caption, alt, span=(1 / span, span), log=True, line=1.0, keys=keys)


def evaluator_sweep(sweep: Sweep, caption: str, alt: str) -> Chart:
    """Draw how the prediction for a tree search moves with its step evaluator, against the observed value."""
    panels, lines = [], []
    for quantity, group in sweep.table.groupby("quantity", sort=False):
        shown = [
            Row(
                label=row.evaluator,
                mean=row.mean,
                lower=row.lower,
                upper=row.upper,
                place=min(place, 2),
                said=f"{row.evaluator}: {interval(row.mean, row.lower, row.upper)}, observed {share(row.observed)}",
            )
            for place, row in enumerate(group.itertuples())
        ]
        lines.append(float(group["observed"].iloc[0]))
        unit = "share of tasks" if str(quantity).startswith("any") else "share of outputs"
        panels.append((f"{quantity}; line: observed, {share(lines[-1])}", shown, unit))
    return rows(panels, caption, alt, lines=lines)


def prior_and_posterior(learned: pd.DataFrame, caption: str, alt: str) -> Chart:
    """Draw the 90 % interval of every parameter before (grey) and after the data, one panel per parameter.

    Parameters
    ----------
    learned : pandas.DataFrame
        Table of the check `informed`.
    caption, alt : str
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in learned.to_dict("records"):
        groups.setdefault(str(row["parameter"]), []).append(row)
    named = len(learned) <= 40

    def draw(width: float) -> Drawing:
        columns = 1 if width < 600 else 3
        wide, step = width / columns, 22 if named else 5
        drawing = Drawing(width, 0, alt)
        tops = [0.0] * columns
        for name, group in groups.items():
            place = int(np.argmin(tops))
            left, top = wide * place + 8, tops[place]
            before, log = group[0], bool(group[0]["log scale"])
            low, high = (
                float(end([row[f"{of}{p}"] for row in group for of in ("", "prior ")]))
                for end, p in ((min, "5%"), (max, "95%"))
            )
            x = Scale(low, high if high > low else low + 1.0, left, left + wide - 24, log and low > 0)
            drawing.text(left, top + 13, str(name), kind="title")
            base = top + 20
            bottom = base + step * len(group) + 4
            drawing.box(
                x(before["prior 5%"]),
                base,
                max(x(before["prior 95%"]) - x(before["prior 5%"]), 1),
                bottom - base,
                "prior",
            )
            members = without_common_start([str(row["of"]) for row in group])
            order = range(len(group)) if named else sorted(range(len(group)), key=lambda one: group[one]["50%"])
            for line, member in enumerate(order):
                row = group[member]
                y = base + step * line + (step - 4 if named else 2)
                weak = row["sd ratio"] > HARDLY_LEARNED
                kind = "missed" if weak else "k0"
                said = (
                    f"{name} {row['of']}: {number(row['50%'])} ({number(row['5%'])} to {number(row['95%'])}), prior "
                    f"{number(row['prior 50%'])} ({number(row['prior 5%'])} to {number(row['prior 95%'])})"
                    + ", hardly learned"
                    * bool(weak)
                )
                if named and members[member]:
                    drawing.text(left + 2, y - 6, wrapped(members[member], wide - 30)[0], kind="tiny")
                drawing.line([(x(row["5%"]), y), (x(row["95%"]), y)], f"bar {'thick' if named else ''} {kind}")
                drawing.mark(x(row["50%"]), y, 5 if weak else 0, f"{kind} full{'' if named else ' small'}", said)
            for value in x.ticks(4):
                drawing.line([(x(value), bottom), (x(value), bottom + 4)], "axis")
                drawing.text(x(value), bottom + 16, tick(value), anchor="middle")
            drawing.line([(x.start, bottom), (x.end, bottom)], "axis")
            tops[place] = bottom + 30
        drawing.height = max(tops)
        return drawing

    keys = [
        Key(text="prior", kind="prior", band=True),
        Key(text="posterior", kind="k0", shape=0, dash=""),
        Key(text="posterior, hardly learned", kind="missed", shape=5, dash=""),
    ]
    return _chart(draw, caption, keys)


def without_common_start(labels: Sequence[str]) -> list[str]:
    """Leave out what all labels begin with, in whole parts; a lone label needs no name."""
    parts = [label.split(" | ") for label in labels]
    if len(parts) == 1:
        return [""]
    same = 0
    while all(len(part) > same + 1 and part[same] == parts[0][same] for part in parts):
        same += 1
    return [" | ".join(part[same:]) for part in parts]


def cells(
    frame: pd.DataFrame, caption: str, alt: str, *, across: str, down: str, what: str, named: bool = False
) -> Chart:
    """Draw a map: a square per row and column, its colour the mean, its size how narrow the 90 % interval is.

    Parameters
    ----------
    frame : pandas.DataFrame
        Columns named by ``across`` and ``down``, ``mean, lower, upper`` in [0, 1] and ``said`` for the hover; optional
        ``link``, where a square leads.
    caption, alt : str
    across, down : str
    what : str
        What the columns are, for the axis.
    """
    columns, lines = list(dict.fromkeys(frame[across])), list(dict.fromkeys(frame[down]))
    place = {name: index for index, name in enumerate(columns)}

    def draw(width: float) -> Drawing:
        narrow = width < 600
        room = 2.0 if narrow else min(0.45 * width, 14 + 6.4 * max(len(str(one)) for one in lines))
        size = min((width - room - 4) / len(columns), 40 if len(columns) < 12 else 22)
        drawing = Drawing(width, 0, alt)
        top = 18.0
        if named:
            # Names of columns stand at a slant above them.
            top += 0.75 * 6.4 * max(len(str(one)) for one in columns)
            for name in columns:
                at = room + size * (place[name] + 0.5)
                drawing.parts.append(
                    f'<text transform="translate({at:.1f},{top - 4:.1f}) rotate(-52)">{escape(str(name))}</text>'
                )
        for name in lines:
            high = min(max(size, 15.0), 22.0)
            if narrow:
                drawing.text(2, top + 11, _cut(str(name), width - 6))
                top += 15
            else:
                drawing.text(room - 6, top + high / 2 + 4, _cut(str(name), room - 10), anchor="end")
            for row in frame[frame[down] == name].itertuples():
                left = room + size * place[getattr(row, across)]
                sure = 0.25 + 0.75 * (1.0 - min(1.0, row.upper - row.lower))
                drawing.box(left + 0.5, top, size - 1, high - 1, "slot")
                x, y = left + size * (1 - sure) / 2 + 0.5, top + high * (1 - sure) / 2
                shade = f' fill-opacity="{0.06 + 0.94 * row.mean:.2f}"'
                box = Drawing(0, 0, "")
                box.box(x, y, (size - 1) * sure, (high - 1) * sure, "cell", "", shade)
                box.box(left, top, size, high, "hover", row.said)
                link = getattr(row, "link", "")
                drawing.parts.append(
                    f'<a href="#{link}" tabindex="-1" aria-label="{escape(row.said)}">{"".join(box.parts)}</a>'
                    if link
                    else "".join(box.parts)
                )
            top += high + (6 if narrow else 1)
        drawing.text(room, 12, what, kind="label")
        drawing.height = top + 4
        return drawing

    keys = [
        Key(text="low", kind="cell-low", band=True),
        Key(text="high", kind="cell", band=True),
        Key(text="small: the 90 % interval is wide", kind="cell small", shape=1),
    ]
    return _chart(draw, caption, keys)


__all__ = [
    "Chart",
    "Row",
    "cells",
    "compared",
    "curves",
    "evaluator_sweep",
    "prior_and_posterior",
    "rows",
    "short",
    "success_against_cost",
    "success_alone",
    "without_common_start",
]
