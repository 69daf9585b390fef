"""The report is whole, safe to open, readable without pictures, and says misses in words."""

import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hostile import EVIL, SPEC, evaluations
from matplotlib import rcParams
from matplotlib.figure import Figure
from matplotlib.text import Text

import ds3bayes as ds3
from ds3bayes import files
from ds3bayes.generative.spec import Query
from ds3bayes.queries import words
from ds3bayes.queries.decide import decision_of
from ds3bayes.queries.observed_vs_predicted import at_the_edge
from ds3bayes.reports import curve_tables, figures, html, report, tables

VOID = {"meta", "img", "source", "br", "hr", "link", "input"}


class Reader(HTMLParser):
    """Collects tags with their attributes, text, and whether tags nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.faults: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def read(page) -> Reader:
    return Reader(page)


@pytest.fixture(scope="module")
def text(read) -> str:
    return re.sub(r"\s+", " ", read.text)


def test_names_from_data_and_spec_are_escaped(page, read, text):
    # One script, the page's own, after all that came from data.
    assert page.count("<script") == 1
    assert page.index("<script>") > page.rindex("</section>")
    assert "onerror=alert(2)>" not in page
    assert not any(name.startswith("on") for _, attrs in read.tags for name in attrs)
    assert EVIL in text
    assert "bench <b>" in text
    assert "chains disagree <here>" in text


def test_tags_nest_and_language_is_stated(read):
    assert read.faults == []
    assert read.open == []
    assert read.named("html")[0]["lang"] == "en"
    assert len(read.named("h1")) == 1
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {attrs["href"] for attrs in read.named("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_page_loads_nothing_from_elsewhere(page, read):
    for tag, attrs in read.tags:
        for name in ("src", "srcset"):
            assert attrs.get(name, "data:").startswith("data:image/svg+xml;base64,") or name not in attrs, tag
        if "href" in attrs:
            assert tag == "a"
            assert attrs["href"].startswith(("#", "https://arxiv.org/abs/", "https://doi.org/"))
    assert {"link", "iframe", "object"}.isdisjoint(tag for tag, _ in read.tags)
    assert [attrs for tag, attrs in read.tags if tag == "script"] == [{}]
    assert "@import" not in page
    assert "url(" not in page


def test_pictures_say_their_numbers_and_are_safe(read):
    images = read.named("img")
    drawn = [attrs for attrs in read.named("svg") if attrs.get("role") in ("img", "group")]
    said = [image["alt"] for image in images] + [attrs["aria-label"] for attrs in drawn]
    assert len(said) >= 12
    for one in said:
        assert re.search(r"\d", one), one
    for image in images:
        svg = base64.b64decode(image["src"].partition(",")[2]).decode()
        assert "<script" not in svg
        assert 'href="http' not in svg
    assert any("missed" in one or "inside" in one for one in said)
    # Each is drawn for wide and for narrow pages.
    kinds = [attrs["class"].rpartition(" ")[2] for attrs in drawn]
    assert kinds.count("wide") == kinds.count("narrow") == len(kinds) / 2


def test_marks_tell_their_numbers_on_hover(page):
    titles = re.findall(r"<title>([^<]+)</title></(?:path|rect)>|<title>(\d+\. [^<]+)</title>", page)
    said = [first or second for first, second in titles]
    assert sum("P(best)" in one for one in said) >= 4
    assert sum("observed" in one for one in said) >= 4
    assert [one for one in said if not re.search(r"\d", one)] == []


def test_checks_are_drawn_but_for_what_has_a_section_of_its_own(read, text):
    assert [image["alt"] for image in read.named("img") if "<here>" in image["alt"]] == [
        "convergence: chains disagree <here>: r-hat 1.2."
    ]
    assert "Picture and table of convergence" in text
    assert "Table of what was learned" in text


def test_names_of_a_checks_rows_stand_beside_them_or_above_them(checks):
    names = ["location a | cot", "location b | cot", "skew bench"]
    beside = figures.check_outcome(checks[1], width=figures.WIDE).axes[0]
    assert sorted(label.get_text() for label in beside.get_yticklabels()) == names
    above = figures.check_outcome(checks[1], width=figures.PHONE).axes[0]
    assert sorted(label.get_text() for label in above.texts) == names
    assert not above.get_yticks().size


def luminance(colour: str) -> float:
    """Relative luminance of a colour of the page, as WCAG 2 defines it."""
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * one for one in digits)
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_text_stands_out_in_light_dark_and_print(page):
    roots = re.findall(r":root \{([^}]*)\}", page)
    assert len(roots) == 3
    for root in roots:
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", root))
        pairs = [(ink, back) for ink in ("ink", "soft", "link", "bad", "good") for back in ("paper", "card")]
        for ink, back in [*pairs, ("bad", "bad-back"), ("ink", "bad-back")]:
            light, dark = sorted((luminance(colours[ink]), luminance(colours[back])), reverse=True)
            # WCAG 2 AA for text of this size.
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, back, colours)


def test_everything_that_scrolls_or_folds_can_be_reached_by_keyboard(read):
    assert all(attrs.get("tabindex") == "0" for attrs in read.named("div") if attrs.get("class") == "scroll")
    assert all(attrs.get("tabindex") == "0" for attrs in read.named("pre"))
    assert len(read.named("details")) == len(read.named("summary"))
    assert read.named("a")[0] == {"class": "skip", "href": "#summary"}


def test_tables_have_captions_and_scoped_headers(read):
    assert len(read.named("caption")) == len(read.named("table")) >= 5
    assert {attrs["scope"] for attrs in read.named("th")} == {"col", "row"}


def test_every_section_is_there(read):
    ids = {attrs["id"] for attrs in read.named("section")}
    always = {"summary", "decision", "curves", "tasks", "compared", "checks", "learned", "data", "how", "provenance"}
    assert ids == always | {"tree"}


def test_failed_checks_and_weak_parameters_are_said_in_words(text):
    assert "Not all checks passed: convergence" in text
    assert "Failed · convergence" in text
    # What cannot fail is not counted.
    assert "0 of 1 checks passed" in text
    assert "Passed · " not in text
    assert text.index("Notes What the numbers rest on") < text.index("what was learned: 1 of 3 was hardly learned.")
    assert "hardly learned" in text
    assert "log ratio of left to right scale" in text


def test_provenance_names_what_the_fit_was_made_from(fitted, text):
    assert fitted.attrs["model_id"] in text
    assert fitted.attrs["data_sha256"] in text
    assert "[query]" in text
    assert "2507.00004" in text


def test_a_miss_is_said_in_words(fitted):
    compared = tables.comparison(fitted)
    row = compared.index[compared["rows"] == "held out"][0]
    compared.loc[row, ["observed", "lower", "upper", "inside"]] = [0.9, 0.2, 0.5, False]
    compared.loc[row, "verdict"] = "missed: observed is above the interval"
    assert "missed" in html._verdict(compared)
    assert "observed 0.900, predicted 0.200 to 0.500" in html._verdict(compared)
    assert row in tables.comparison_table(compared).marked
    assert "missed: observed is above the interval" in figures.say_compared(compared, of_success=True)


def test_verdict_says_when_nothing_was_held_out(fitted):
    compared = tables.comparison(fitted)
    assert "No rows were held out" in html._verdict(compared[compared["rows"] == "fitted"])


def test_summary_agrees_with_best(fitted, text):
    spec = ds3.ModelSpec.from_dict(SPEC)
    pred = ds3.predict(fitted, spec.query.parsed())
    decision = ds3.decide(fitted)
    assert ds3.best(pred, max_cost=500, cost="tokens").attrs["choice"] == f"bench <b>: {decision.chosen}"
    assert f"Best for at most 500 tokens per task: {decision.chosen}, with success" in text
    for sentence in decision.sentences:
        assert sentence in text


def test_without_its_cost_the_decision_is_by_success_and_says_why(fitted, checks, tmp_path):
    query = {name: value for name, value in SPEC["query"].items() if name != "max_cost"}
    spec = ds3.ModelSpec.from_dict(SPEC | {"query": {**query, "cost": "usd"}})
    unpriced = fitted.copy()
    unpriced.attrs = {**fitted.attrs, "spec": spec.model_dump_json()}
    seen = Reader(report(unpriced, path=tmp_path / "r.html", checks=checks).read_text(encoding="utf-8"))
    assert "hold no usd" in seen.text
    assert "compared by success alone" in seen.text
    assert "P(on frontier)" not in [attrs.get("data-label") for attrs in seen.named("td")]


def test_options_that_an_llm_lacks_are_left_out(fitted):
    pred = ds3.predict(fitted, ["cot", "tot(branching=3, kept_states=2)"])
    pred["success"].loc[{"model": "plain", "strategy": "tot(branching=3, kept_states=2)"}] = np.nan
    options = decision_of(pred, Query()).options
    assert len(options) == 3
    assert options["success"].notna().all()


def test_file_is_written_whole_or_not_at_all(fitted, checks, tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    old = f'<meta name="generator" content="{files.MARK}">old'
    path.write_text(old)

    def fail(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk is full"):
        report(fitted, path=path, checks=checks)
    assert path.read_text() == old
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_same_fit_gives_the_same_page(fitted, checks, tmp_path, page):
    assert report(fitted, path=tmp_path / "again.html", checks=checks).read_text(encoding="utf-8") == page


def test_checks_are_run_when_none_are_given(fitted, tmp_path):
    seen = Reader(report(fitted, path=tmp_path / "r.html", title="mine").read_text(encoding="utf-8"))
    assert "posterior prediction" in seen.text
    assert "mine" in seen.text


def test_unusable_input_is_named(fitted, checks, tmp_path):
    with pytest.raises(ds3.InputError, match="is a folder"):
        report(fitted, path=tmp_path, checks=checks)
    with pytest.raises(ds3.InputError, match="needs a fit"):
        report(xr.DataTree(), path=tmp_path / "r.html")
    with pytest.raises(ds3.InputError, match="per_task=False"):
        report(fitted, ds3.predict(fitted, ["cot"], per_task=True), tmp_path / "r.html", checks=checks)
    with pytest.raises(ds3.InputError, match="not a prediction"):
        report(fitted, xr.Dataset(), tmp_path / "r.html", checks=checks)
    assert not Path(tmp_path / "r.html").exists()


def many_options(count: int) -> pd.DataFrame:
    """Options as `decide` makes them, on a rising curve with some far below it."""
    rng = np.random.default_rng(0)
    cost = np.sort(np.exp(rng.uniform(5, 13, count)))
    success = 0.9 / (1 + np.exp(-(np.log(cost) - 8))) * rng.choice([1.0, 0.6], count)
    order = np.argsort(-success)
    front = success >= np.maximum.accumulate(success)
    frame = pd.DataFrame(
        {
            "option": [f"LLM {i % 8} · best_of_n(n={i})" for i in range(count)],
            "model": [f"LLM {i % 8}" for i in range(count)],
            "strategy": [f"best_of_n(n={i}, verifier=oracle)" for i in range(count)],
            "p_best": 1 / count,
            "p_affordable": 1.0,
            "regret": success.max() - success,
            "success": success,
            "success_lower": success * 0.95,
            "success_upper": success * 1.05,
            "cost": cost,
            "cost_lower": cost * 0.9,
            "cost_upper": cost * 1.1,
            "p_reach": 0.5,
            "cost_to_reach": np.inf,
            "p_frontier": 0.5,
            "on_frontier": front,
            "chosen": False,
            "tied": False,
            "enough": False,
            "bound": False,
            "extrapolated": False,
            "observed": np.nan,
            "observed_tasks": np.nan,
            "observed_lower": np.nan,
            "observed_upper": np.nan,
            "away": False,
            "edge": False,
        }
    ).iloc[order]
    frame.insert(0, "number", np.arange(1, count + 1))
    return frame.reset_index(drop=True)


def test_long_lists_of_options_are_cut_and_the_rest_counted():
    options = many_options(290)
    decision = ds3.Decision(
        benchmark="b", options=options, chosen="", choice="", enough="", reach="", weights={"b": 1.0}
    )
    shown = tables.decision_table(decision, Query())
    kept = len(shown.frame)
    assert 200 <= kept < 290
    assert f"{290 - kept} of 290 options are not shown" in shown.note
    # Of fewer all are shown, numbered without a gap.
    few = tables.decision_table(replace(decision, options=many_options(90)), Query())
    assert [name.split(".")[0] for name in few.frame["option"]] == [str(n) for n in range(1, 91)]
    front = options[options["on_frontier"]]
    assert {f"{n}." for n in front["number"]} <= {name.split()[0] for name in shown.frame["option"]}


def test_labels_do_not_overlap():
    figure = figures.success_against_cost(many_options(90), cost="tokens", max_cost=1e5, target=0.8)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert len(boxes) >= 8
    overlapping = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]
    assert len(overlapping) <= 1


def test_figures_are_figures_and_leave_the_users_style_alone(fitted, checks):
    before = dict(rcParams)
    compared = tables.comparison(fitted)
    options = many_options(5)
    drawn = [
        figures.success_against_cost(options, cost="usd"),
        figures.success_alone(options, target=0.5),
        figures.compared_success(compared),
        figures.compared_cost(compared),
        figures.prior_and_posterior(checks[1].table, log_scaled=["spread"]),
        *(figures.check_outcome(one, width=width) for one in checks for width in (figures.WIDE, figures.SLIM)),
    ]
    assert all(isinstance(figure, Figure) for figure in drawn)
    axes = [one for figure in drawn for one in figure.axes if one.get_visible()]
    assert all(one.get_xlabel() or one.get_title(loc="left") for one in axes)
    assert dict(rcParams) == before


def test_sweep_moves_with_the_evaluator_and_holds_the_observed(fitted):
    sweep = tables.sweeps(fitted)[0]
    rows = evaluations().query("strategy == 'tot'")
    one = sweep.table[sweep.table["quantity"] == "one output right"].set_index("evaluator")
    assert one["observed"].iloc[0] == pytest.approx(rows["successes"].sum() / rows["attempts"].sum())
    ordered = one.loc[[label for label, evaluator in tables.EVALUATORS if evaluator], "mean"]
    assert ordered.is_monotonic_increasing
    assert (sweep.tasks, sweep.held_out) == (12, 6)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (1234.5, "1,234"),
        (0.00138, "0.00138"),
        (2.5e13, "2.50×10¹³"),
        (np.nan, "–"),
        (-3.0, "−3.00"),
        (np.inf, "∞"),
    ],
)
def test_numbers_are_written_for_people(value, said):
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(0.001, "<0.01"), (0.999, ">0.99"), (1.0, ">0.99"), (0.0, "<0.01"), (0.5, "0.50")]
)
def test_probabilities_are_never_rounded_to_certainty(value, said):
    assert words.chance(value) == said


def compared_row(observed: float, lower: float, upper: float) -> pd.DataFrame:
    row = {"model": "m", "benchmark": "b", "strategy": "cot", "rows": "held out", "quantity": "success per attempt"}
    row |= {"tasks": 9, "observed": observed, "mean": 0.5 * (lower + upper), "lower": lower, "upper": upper}
    frame = pd.DataFrame([row])
    frame["inside"] = (frame["observed"] >= frame["lower"]) & (frame["observed"] <= frame["upper"])
    frame["flat"] = lower == upper
    frame["edge"] = frame["inside"] & ~frame["flat"] & at_the_edge(frame)
    return frame


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        (0.5, "inside"),
        (0.70, "inside, at the very edge"),
        (0.31, "inside, at the very edge"),
        (0.33, "inside"),
        (0.71, "missed: observed is above the interval"),
    ],
)
def test_a_near_miss_is_said(observed, said, monkeypatch):
    monkeypatch.setattr(tables, "observed_vs_predicted", lambda *_, **__: compared_row(observed, 0.3, 0.7))
    found = tables.comparison(None)
    assert found["verdict"].tolist() == [said]
    assert ("edge" in html._verdict(found)) is ("edge" in said)


def test_an_interval_without_width_is_no_success(monkeypatch):
    monkeypatch.setattr(tables, "observed_vs_predicted", lambda *_, **__: compared_row(1.0, 1.0, 1.0))
    found = tables.comparison(None)
    assert found["verdict"].tolist() == ["no interval: follows from what the fit is given"]
    assert tables.held_out_score(found).empty


def test_means_lie_in_their_intervals():
    """One draw in fifty is a thousand times the others: their mean is above nineteen in twenty of them."""
    draws = np.r_[np.full(98, 1.0), np.full(2, 1000.0)]
    mean, low, high = words.mean_interval(draws)
    assert mean == pytest.approx(20.98)
    assert np.quantile(draws, 0.95) == 1.0
    assert (low, high) == (1.0, mean)
    # Where it lies inside already, the interval is the equal-tailed one.
    even = np.linspace(0.0, 1.0, 101)
    assert words.mean_interval(even) == pytest.approx((0.5, 0.05, 0.95))


def test_every_printed_mean_lies_in_its_printed_interval(page):
    """Of all tables of the page; a mean stands before its interval in brackets."""
    number = r"[−-]?[\d,]+(?:\.\d+)?"
    found = re.findall(rf"({number}) \(({number}) to ({number})\)", page)
    assert len(found) > 50
    for parts in found:
        mean, low, high = (float(one.replace(",", "").replace("−", "-")) for one in parts)
        assert low <= mean <= high, parts


def test_marks_of_other_tasks_are_not_drawn_on_a_curve_of_these(fitted, prior_fit):
    """Half of the tree rows are held out: one mark of all tasks, not two of other halves."""
    frame = evaluations().query("strategy == 'cot' and model == 'plain'")
    votes = frame.assign(strategy="majority", n_samples=4.0, attempts=1, successes=1)
    spec = ds3.ModelSpec.from_dict({"holdout": [{"where": "strategy == 'cot'", "fraction": 0.25}]})
    fit = prior_fit(ds3.read_evals(pd.concat([frame, votes.iloc[:5]])), spec)
    points = curve_tables.by_attempts(fit, "observed", 8).points
    single = points[points["kind"] == ""]
    assert single["rows"].tolist() == ["partly held out"]
    assert single["success"].item() == pytest.approx(frame["successes"].sum() / frame["attempts"].sum())
    # Votes on five of the twelve tasks are no mark on a curve of twelve.
    assert "majority vote" not in set(points["kind"])
    # New tasks are a population: what was seen and what was held out are two samples of it.
    assert set(curve_tables.by_attempts(fit, "new", 8).points["rows"]) >= {"fitted", "held out"}
