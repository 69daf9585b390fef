"""Drawing for a page: scales, axes and marks as SVG text, with numbers on hover and colours that a style sheet sets.

No plotting library is embedded. Plotly and Vega-Lite take megabytes of script in every page, before any data; Vega
compiles its expressions at run time, which a strict policy forbids unless it is given an interpreter of them; and what
either draws is not there without script, nor in print before it ran. The page needs a handful of marks. This file
writes them into the document, for wide and narrow screens, light and dark, and a script of a few kilobytes moves them.
Matplotlib draws the pictures that users make for themselves (`ds3bayes.plot_frontier` and its kin).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from ds3bayes.queries.words import number

#: Widths in pixels at which a picture is drawn: one of them is shown, by the width of the page.
WIDE, NARROW = 960, 360
#: Marks that are told apart without colour: shapes of a radius of 4.5 around the origin, and dashes of lines.
SHAPES = (
    "M-4,0a4,4 0 1 0 8,0a4,4 0 1 0 -8,0z",
    "M-4,-4H4V4H-4z",
    "M0,-5L5,4H-5z",
    "M0,-5.4L5.4,0L0,5.4L-5.4,0z",
    "M0,5L5,-4H-5z",
    "M-1.6,-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6z",
    "M0,-5.2L1.5,-1.6L5.2,-1.4L2.3,1L3.3,4.6L0,2.6L-3.3,4.6L-2.3,1L-5.2,-1.4L-1.5,-1.6z",
    "M-5,0L-2.5,-4.4H2.5L5,0L2.5,4.4H-2.5z",
)
DASHES = ("", "7 3", "2 3", "8 3 2 3", "1 2", "12 4", "6 2 1 2 1 2", "3 1")
#: How many colours the style sheet of a page has, as classes k0, k1, and so on.
COLOURS = 8
# Width of a character of the page's small text, in pixels.
_CHARACTER = 6.4


@dataclass(frozen=True)
class Scale:
    """From values to pixels, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, inside the ends."""
        low, high, at = np.log([self.low, self.high, max(value, 1e-300)]) if self.log else (self.low, self.high, value)
        share = (at - low) / (high - low) if high > low else 0.5
        return float(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start))

    def ticks(self, most: int = 7) -> list[float]:
        """Return round values that mark it, no more than about so many."""
        if self.log:
            low, high = np.log10([self.low, self.high])
            decades = high - low
            subs = (1, 2, 5) if decades < most / 3.2 else (1, 3) if decades < most / 2.2 else (1,)
            skip = max(1, int(np.ceil(decades * len(subs) / most))) if subs == (1,) else 1
            every = range(int(np.floor(low)), int(np.ceil(high)) + 1)
            found = [sub * 10.0**power for power in every if power % skip == 0 for sub in subs]
            inside = [one for one in found if self.low * 0.999 <= one <= self.high * 1.001]
            # Of less than a decade even steps say more.
            if len(inside) > 2 or decades > 1:
                return inside
        span = self.high - self.low
        size = 10.0 ** np.floor(np.log10(span / most))
        step = next(one * size for one in (1, 2, 5, 10) if span / (one * size) <= most)
        first = int(np.ceil(self.low / step - 1e-9))
        return [step * one for one in range(first, int(np.floor(self.high / step + 1e-9)) + 1)]


def tick(value: float) -> str:
    """Write the value of a tick."""
    plain = value == 0 or 1e-4 <= abs(value) < 1e9
    return f"{value:,.10g}".replace("-", "−") if plain else number(value, 1)


def wrapped(text: str, width: float) -> list[str]:
    """Break a text into lines of about so many pixels."""
    return textwrap.wrap(text, max(8, int(width / _CHARACTER)), break_on_hyphens=False) or [text]


def kind_class(place: int) -> str:
    """Return the class that colours the kind at a place in their order."""
    return f"k{place % COLOURS}"


@dataclass
class Drawing:
    """An SVG picture that is being drawn, in pixels of its own width."""

    width: float
    height: float
    label: str
    attributes: dict[str, str] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)

    def line(self, points: Sequence[tuple[float, float]], kind: str, dash: str = "") -> None:
        """Draw a line through points."""
        if len(points) > 1:
            path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
            dashed = f' stroke-dasharray="{dash}"' if dash else ""
            self.parts.append(f'<path class="{kind}" d="{path}"{dashed}/>')

    def band(self, lower: Sequence[tuple[float, float]], upper: Sequence[tuple[float, float]], kind: str) -> None:
        """Fill what lies between two lines."""
        if len(lower) > 1:
            path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in (*lower, *reversed(upper)))
            self.parts.append(f'<path class="band {kind}" d="{path}z"/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, title: str = "", more: str = "") -> None:
        """Draw a rectangle."""
        inside = f"><title>{escape(title)}</title></rect>" if title else "/>"
        self.parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"{more}{inside}'
        )

    def text(
        self, x: float, y: float, text: str, *, anchor: str = "start", kind: str = "", width: float | None = None
    ) -> int:
        """Write a text, broken into lines of a width if one is given; return the number of lines."""
        lines = [text] if width is None else wrapped(text, width)
        named = f' class="{kind}"' if kind else ""
        for place, line in enumerate(lines):
            self.parts.append(
                f'<text x="{x:.1f}" y="{y + 14 * place:.1f}" text-anchor="{anchor}"{named}>{escape(line)}</text>'
            )
        return len(lines)

    def mark(self, x: float, y: float, shape: int, kind: str, title: str = "") -> None:
        """Draw a mark."""
        inside = f"><title>{escape(title)}</title></path>" if title else "/>"
        small = " scale(.6)" if "small" in kind.split() else ""
        self.parts.append(
            f'<path class="mark {kind}" transform="translate({x:.1f},{y:.1f}){small}" '
            f'd="{SHAPES[shape % len(SHAPES)]}"{inside}'
        )

    def axes(
        self,
        x: Scale,
        y: Scale,
        *,
        x_label: str = "",
        y_label: str = "",
        x_ticks: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        """Draw a grid, ticks and labels around the area of two scales."""
        left, right, bottom, top = x.start, x.end, y.start, y.end
        for value in y.ticks(6):
            at = y(value)
            self.line([(left, at), (right, at)], "grid")
            self.text(left - 6, at + 4, tick(value), anchor="end")
        given = [(x(value), tick(value)) for value in x.ticks(max(3, int((right - left) / 70)))]
        for at, text in given if x_ticks is None else x_ticks:
            self.line([(at, bottom), (at, bottom + 4)], "axis")
            self.text(at, bottom + 17, text, anchor="middle")
        self.line([(left, top), (left, bottom), (right, bottom)], "axis")
        if x_label:
            self.text((left + right) / 2, bottom + 35, x_label, anchor="middle", kind="label")
        if y_label:
            self.text(left - 38 if left > 44 else left - 30, top - 9, y_label, kind="label")

    def svg(self, kind: str) -> str:
        """Return the picture, as part of a page; one that holds links is a group of them."""
        more = "".join(f' {name}="{escape(value)}"' for name, value in self.attributes.items())
        role = "group" if any(part.startswith("<a ") for part in self.parts) else "img"
        return (
            f'<svg class="{kind}" viewBox="0 0 {self.width:.0f} {self.height:.0f}" role="{role}" '
            f'aria-label="{escape(self.label)}"{more}>{"".join(self.parts)}</svg>'
        )


@dataclass(frozen=True, kw_only=True)
class Key:
    """One entry of a legend: a shape, a dash, or both, and what it stands for."""

    text: str
    kind: str
    shape: int | None = None
    dash: str | None = None
    band: bool = False

    def svg(self) -> str:
        """Return its sign."""
        drawn = Drawing(28, 14, "")
        if self.band:
            drawn.box(0, 2, 28, 10, self.kind)
        if self.dash is not None:
            drawn.line([(0, 7), (28, 7)], self.kind, self.dash)
        if self.shape is not None:
            drawn.mark(14, 7, self.shape, self.kind)
        return f'<svg viewBox="0 0 28 14" width="28" height="14" aria-hidden="true">{"".join(drawn.parts)}</svg>'


__all__ = ["COLOURS", "DASHES", "NARROW", "SHAPES", "WIDE", "Drawing", "Key", "Scale", "kind_class", "tick", "wrapped"]
