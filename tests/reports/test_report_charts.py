"""The pictures that a page draws itself: every number is there, names are text, nothing stands on something else."""

import re
from html import unescape
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hostile import EVIL
from test_report import many_options

from ds3bayes.reports import charts, curve_tables, tables
from ds3bayes.reports.labelled import Row
from ds3bayes.reports.svg import Scale


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.001, 2.3), (3.0, 4.0), (12.0, 4e6), (1e-9, 1.0)])
@pytest.mark.parametrize("most", [3, 7, 12])
def test_ticks_are_round_inside_and_few(low, high, log, most):
    scale = Scale(low, high, 50.0, 950.0, log)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most + 2
    assert all(low * 0.999 <= one <= high * 1.001 for one in ticks)
    places = [scale(one) for one in ticks]
    assert places == sorted(places)
    assert (scale(low), scale(high), scale(10 * high)) == pytest.approx((50.0, 950.0, 950.0))


@pytest.mark.parametrize("kind", ["wide", "narrow"])
def test_labels_of_options_do_not_cover_each_other(kind):
    drawn = charts.success_against_cost(many_options(90), "caption", "alt", cost="tokens", max_cost=1e5, target=0.8)
    found = re.findall(
        r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" class="tag">([^<]*)</text>', getattr(drawn, kind)
    )
    assert len(found) >= 7
    boxes = []
    for x, y, anchor, text in found:
        size = 6.0 * len(text)
        left = float(x) - {"start": 0.0, "middle": size / 2, "end": size}[anchor]
        boxes.append((left, float(y) - 9, left + size, float(y) + 2))
    covered = [1 for a, b in combinations(boxes, 2) if charts._common(a, b) > 0]
    assert len(covered) <= 1


def test_options_are_drawn_with_their_numbers_and_state():
    options = many_options(12).assign(chosen=[True] + 11 * [False])
    drawn = charts.success_against_cost(options, "caption", "alt", cost="usd", max_cost=None, target=0.5).wide
    groups = re.findall(r'<g class="option (\w+)( chosen)?" data-n="(\d+)"><title>([^<]+)</title>', drawn)
    assert [int(n) for *_, n, _ in groups] == list(range(1, 13))
    assert [bool(chosen) for _, chosen, *_ in groups] == [True] + 11 * [False]
    for row, (*_, title) in zip(options.itertuples(), groups, strict=True):
        assert f"success {row.success:.3f} (" in title
        assert "USD" in title
    # Without a cap its line is there, hidden, for a script to show.
    assert re.search(r'class="guide cap"[^>]*visibility="hidden"', drawn)


def test_every_sampler_stands_against_attempts(game24_fit):
    found = curve_tables.by_attempts(game24_fit, "observed", 100)
    assert set(found.lines["walk"]) == {"direct", "cot"}
    assert set(found.points["walk"]) == {"direct", "cot"}
    shown = charts.curves(found, "caption", "alt", x_label="attempts", y_label="success", endless="∞")
    for line in found.lines.itertuples():
        x = "∞" if np.isinf(line.x) else f"{line.x:,.0f}"
        assert f"<title>{line.walk} · {line.kind}, {x}: {line.mean:.3f} (" in shown.wide
    assert [key.text for key in shown.keys][:2] == list(dict.fromkeys(found.lines["walk"]))


def test_what_is_extrapolated_is_dotted():
    lines = pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "walk": "cot",
            "kind": "cot",
            "x": [100.0, 200.0, 400.0, 800.0],
            "mean": [0.1, 0.2, 0.3, 0.4],
            "lower": 0.05,
            "upper": 0.5,
            "extrapolated": [False, False, True, True],
        }
    )
    points = pd.DataFrame(columns=["model", "benchmark", "walk", "kind", "x", "success", "lower", "upper", "rows"])
    found = curve_tables.Curves(lines=lines, points=points.astype({"x": float, "lower": float, "upper": float}))
    shown = charts.curves(found, "caption", "alt", x_label="tokens", y_label="success", endless="none")
    paths = re.findall(r'<path class="line k0" d="([^"]+)"( stroke-dasharray="1 4")?/>', shown.wide)
    assert [(path.count(","), bool(dotted)) for path, dotted in paths] == [(2, False), (3, True)]
    assert shown.wide.count(", extrapolated</title>") == 2


def test_a_miss_is_a_word_inside_the_picture():
    shown = [
        Row(label="inside", mean=0.5, lower=0.4, upper=0.6, observed=0.55),
        Row(label="above", mean=0.9, lower=0.88, upper=0.92, observed=0.99),
        Row(label="below", mean=0.1, lower=0.08, upper=0.12, observed=0.01),
    ]
    drawn = charts.rows([("title", shown, "share")], "caption", "alt")
    for picture, width in ((drawn.wide, 960), (drawn.narrow, 360)):
        said = re.findall(r'<text x="([\d.]+)" y="[\d.]+" text-anchor="(\w+)" class="bad">missed</text>', picture)
        assert len(said) == 2
        for x, anchor in said:
            left = float(x) - (44 if anchor == "end" else 0)
            assert 0 <= left <= width - 44
        bars = re.findall(r'class="bar thick k0" d="M([\d.]+),[\d.]+L([\d.]+)', picture)
        for (x, anchor), (low, high) in zip(said, bars[1:], strict=True):
            left = float(x) - (44 if anchor == "end" else 0)
            # Beside the interval, not on it.
            assert left + 44 < float(low) or left > float(high)


def test_names_are_text(fitted):
    compared = tables.comparison(fitted)
    drawn = charts.compared(compared, "caption", EVIL, of_success=True)
    for picture in (drawn.wide, drawn.narrow):
        assert "<script" not in picture
        assert "&lt;script&gt;" in picture
    # A name that does not fit is broken into lines or cut, never lost.
    assert "alert(1)" in unescape(drawn.wide)
