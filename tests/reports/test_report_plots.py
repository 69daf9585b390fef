"""Plots return figures, draw where they are told, and name every axis with its unit."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import ds3bayes as ds3
from ds3bayes.reports import curve_figures, curve_tables, figures, tables
from ds3bayes.reports.curve_tables import Curves, Levels, Scaling
from ds3bayes.reports.figures import _COLOURS, reach


@pytest.fixture(scope="module")
def pred(fitted):
    return ds3.predict(fitted, ["cot", "best_of_n(n=4, verifier=oracle)"])


def own_axes() -> tuple[Figure, mpl.axes.Axes]:
    figure = Figure(figsize=(9, 4))
    return figure, figure.subplots(1, 2)[0]


PLOTS = {
    "frontier": lambda fit, pred, ax: ds3.plot_frontier(pred, max_cost=2000, success=0.5, ax=ax),
    "success alone": lambda fit, pred, ax: ds3.plot_frontier(pred, cost="usd", ax=ax),
    "attempts": lambda fit, pred, ax: ds3.plot_success_by_attempts(fit, attempts=8, model="plain", ax=ax),
    "budgets": lambda fit, pred, ax: ds3.plot_success_by_budget(fit, model="plain", ax=ax),
    "observed success": lambda fit, pred, ax: ds3.plot_observed(fit, ax=ax),
    "observed cost": lambda fit, pred, ax: ds3.plot_observed(fit, quantity="cost", ax=ax),
    "prior and posterior": lambda fit, pred, ax: ds3.plot_prior_posterior(fit, ["spread", "skew"], ax=ax),
}


@pytest.mark.parametrize("name", PLOTS)
def test_plots_draw_on_given_axes_only(fitted, pred, name):
    figure, ax = own_axes()
    canvas, before = FigureCanvasAgg(figure), dict(mpl.rcParams)
    assert PLOTS[name](fitted, pred, ax) is figure
    assert len(figure.axes) == 2
    assert not figure.axes[1].has_data()
    assert figure.axes[0].has_data()
    assert figure.axes[0].get_xlabel() or figure.axes[0].get_title(loc="left")
    # A user's canvas and style are as they were.
    assert figure.canvas is canvas
    assert dict(mpl.rcParams) == before


def test_plots_make_a_figure_of_their_own(fitted, pred):
    figure = ds3.plot_success_by_attempts(fitted, attempts=4)
    assert [ax.get_visible() for ax in figure.axes] == [True, True]
    assert ds3.plot_prior_posterior(fitted, ["spread"]).axes[0].get_title(loc="left") == "spread"


@pytest.mark.parametrize("n", [1, 6])
def test_points_that_only_a_number_names_are_explained(fitted, n):
    figure = ds3.plot_frontier(ds3.predict(fitted, [f"best_of_n(n={k}, verifier=oracle)" for k in range(1, n + 1)]))
    numbers = {text.get_text().partition("  ")[0] for text in figure.axes[0].texts}
    explained = {text.get_text().partition("  ")[0] for text in figure.legends[0].get_texts()}
    # A few are named where they stand.
    in_words = any("best_of_n" in text.get_text() for text in figure.axes[0].texts)
    assert in_words is (n == 1)
    assert in_words is not (numbers <= explained)


def line(model: str = "m", benchmark: str = "b", kind: str = "cot", end: bool = True) -> list[tuple]:
    xs = [1.0, 4.0, 16.0] + [np.inf] * end
    return [(model, benchmark, "cot", kind, x, 0.5, 0.4, 0.6) for x in xs]


def made_up(kinds: list[str], models: int = 1) -> Curves:
    import pandas as pd

    rows = [row for i in range(models) for kind in kinds for row in line(model=f"m{i}", kind=kind)]
    seen = [("m0", "b", kinds[0], 4.0, 0.5, 0.3, 0.7, 30, rows_) for rows_ in ("fitted", "held out")]
    columns = ["model", "benchmark", "walk", "kind", "x", "mean", "lower", "upper"]
    points = ["model", "benchmark", "kind", "x", "success", "lower", "upper", "attempts", "rows"]
    return Curves(lines=pd.DataFrame(rows, columns=columns), points=pd.DataFrame(seen, columns=points))


def test_lines_are_told_apart_without_colour():
    kinds = ["best of n, oracle", "majority vote", "best of n, prm", "weighted vote, prm", "best of n, other"]
    looks = [curve_figures._look(kind, kinds) for kind in kinds]
    assert len({colour for colour, _, _ in looks}) == len(kinds)
    assert len({marker for _, marker, _ in looks}) == len(kinds)


def test_colours_stay_apart_for_every_common_kind_of_colour_vision():
    # Okabe and Ito's palette, of which the figures use the seven chromatic colours and black; yellow is darkened.
    okabe = {"#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000"}
    assert okabe <= {to_hex(colour).upper() for colour in _COLOURS}
    assert len(set(_COLOURS)) == 8


def test_every_point_and_limit_has_an_interval():
    figure = curve_figures.success_against_attempts(made_up(["best of n, oracle", "majority vote"]))
    panel = figure.axes[0]
    # Two limits, two observed points; and a band per line.
    assert len(panel.containers) == 4
    assert all(one.has_yerr for one in panel.containers)
    assert len([one for one in panel.collections if one.get_paths() and one.get_facecolor().size]) >= 2
    assert [label.get_text() for label in panel.get_xticklabels()][-1] == "∞"
    assert panel.get_xlabel() == "attempts n per task"


def test_many_llms_are_cut_and_counted():
    shown = made_up(["cot"], models=15)
    figure = curve_figures.success_against_attempts(shown)
    assert len([ax for ax in figure.axes if ax.get_visible()]) == curve_tables.MOST_PANELS


def test_levels_and_scaling_are_drawn_from_their_frames():
    import pandas as pd

    llms = pd.DataFrame(
        {
            "model": ["small", "$x_{1$"],
            "params": [1e9, 1e10],
            "train_tokens": [2e10, 2e11],
            "flop": [1.2e20, 1.2e22],
            "rows": ["fitted", "held out"],
            "mean": [20.0, 40.0],
            "lower": [18.0, 35.0],
            "upper": [22.0, 45.0],
        }
    )
    tasks = pd.DataFrame({"benchmark": ["b"], "mean": [30.0], "lower": [25.0], "upper": [35.0]})
    figure, ax = own_axes()
    curve_figures.levels_against_compute(Levels(llms=llms, tasks=tasks), ax=ax)
    figure.draw_without_rendering()
    assert "FLOP" in ax.get_xlabel()
    assert "level 40.0 (35.0 to 45.0)" in curve_figures.say_levels(Levels(llms=llms, tasks=tasks))
    lines = pd.DataFrame(
        [("b · cot", 1e9, flop, 0.5, 0.4, 0.6) for flop in (1e20, 1e21)],
        columns=["setting", "params", "flop", "mean", "lower", "upper"],
    )
    points = pd.DataFrame(
        [
            ("b · cot", "small", 1e9, 1.2e20, 0.45, 0.4, 0.5, "fitted"),
            ("b · cot", "odd", 3e9, 4e20, 0.5, 0.4, 0.6, "x"),
        ],
        columns=["setting", "model", "params", "flop", "success", "lower", "upper", "rows"],
    )
    drawn = curve_figures.success_against_compute(Scaling(lines=lines, points=points))
    assert "observed, other sizes" in [text.get_text() for text in drawn.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda fit, pred: ds3.plot_frontier(pred, benchmark="bench"), "Did you mean 'bench <b>'"),
        (lambda fit, pred: ds3.plot_success_by_attempts(fit, model="plan"), "Did you mean 'plain'"),
        (lambda fit, pred: ds3.plot_prior_posterior(fit, ["sprea"]), "Did you mean 'spread'"),
        (lambda fit, pred: ds3.plot_observed(fit, quantity="tokens"), "'success' or 'cost'"),
        (lambda fit, pred: ds3.plot_levels(fit), "capability = 'skill_hierarchy'"),
        (lambda fit, pred: ds3.plot_success_by_compute(fit), "capability = 'loss_bridge'"),
        (lambda fit, pred: ds3.plot_skills(fit), "skill_graph"),
    ],
)
def test_unusable_questions_are_named(fitted, pred, ask, said):
    with pytest.raises(ds3.InputError, match=said.replace("(", r"\(")):
        ask(fitted, pred)


def test_held_out_rows_are_scored():
    import pandas as pd

    table = pd.DataFrame(
        {
            "rows": ["held out", "held out", "held out", "held out", "fitted"],
            # The last but one is said by nearly all draws, so that there is nothing to score.
            "quantity": [
                *("success per attempt", "any of 4 attempts right", "tokens per attempt"),
                *("success per attempt", "tokens per attempt"),
            ],
            "observed": [0.5, 0.8, 200.0, 1.0, 1.0],
            "mean": [0.4, 0.9, 150.0, 0.99, 9.0],
            "lower": [0.3, 0.85, 100.0, 0.99, 8.0],
            "upper": [0.6, 0.95, 300.0, 1.0, 9.5],
            "flat": [False, False, False, True, False],
            "inside": [True, False, True, True, False],
        }
    )
    score = tables.held_out_score(table).set_index("quantity")
    assert list(score["inside"]) == [1, 0, 1]
    np.testing.assert_allclose(score["error"], [0.1, 0.1, 0.25])
    np.testing.assert_allclose(score["width"], [0.3, 0.1, 1.0])
    assert "25 %" in set(tables.held_out_table(score.reset_index()).frame["mean absolute error"])


def test_what_has_no_interval_is_neither_hit_nor_missed():
    import pandas as pd

    from ds3bayes.reports.html import _verdict

    table = pd.DataFrame(
        {
            "rows": "held out",
            "sampler": "a",
            "quantity": ["success per attempt", "success per attempt", "USD per attempt"],
            "tasks": 4,
            "observed": [0.5, 1.0, 0.01],
            "mean": [0.4, 1.0, 0.02],
            "lower": [0.3, 1.0, 0.02],
            "upper": [0.6, 1.0, 0.02],
            "flat": [False, True, True],
            "inside": [True, True, False],
            "edge": False,
            "verdict": "",
        }
    )
    assert tables.held_out_score(table)["number"].tolist() == [1]
    assert _verdict(table) == "The one held-out quantity fell inside its 90 % predictive interval."
    assert not tables.comparison_table(table).marked
    assert "No interval of the 2 held-out quantities has a width" in _verdict(table[1:])


def test_a_mean_may_lie_outside_its_interval() -> None:
    # Nearly all draws are 1 and a few are 0.
    assert reach(0.97, 1.0, 1.0) == [[0.0], [pytest.approx(0.03)]]


def test_bounds_and_what_was_observed_are_drawn_and_said(fitted):
    decision = ds3.decide(fitted)
    options = decision.options.copy()
    seen = options["observed"].notna()
    assert seen.sum() == 4
    options.loc[options.index[seen][0], "away"] = True
    drawn = figures.success_against_cost(options, cost="tokens")
    labels = {text.get_text() for text in drawn.legends[0].get_texts()}
    assert {"open: upper bound", "observed", "observed, away from its prediction"} <= labels
    crosses = [line for line in drawn.axes[0].lines if line.get_marker() == "x"]
    assert [float(line.get_ydata()[0]) for line in crosses] == [options.loc[options.index[seen][0], "observed"]]
    said = figures.say_success_against_cost(options, cost="tokens")
    assert said.count("an upper bound") == options["bound"].sum() == 2
    assert said.count("away from its prediction for the same tasks") == 1
    alone = figures.success_alone(options)
    assert "observed, away from its prediction" in {text.get_text() for text in alone.legends[0].get_texts()}
    assert any("(bound)" in label.get_text() for label in alone.axes[0].get_yticklabels())
    table = tables.decision_table(decision, ds3.generative.spec.Query())
    assert table.frame["P(best)"].tolist().count("bound") == 2
