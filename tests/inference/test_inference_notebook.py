"""What a notebook shows of a fit and of predictions."""

import re
import sys
from types import SimpleNamespace

import pytest
import xarray as xr
from IPython.core.formatters import HTMLFormatter

import ds3bayes as ds3
from ds3bayes.inference import notebook


@pytest.fixture
def formatter() -> HTMLFormatter:
    made = HTMLFormatter()
    notebook.register(made)
    return made


@pytest.fixture(scope="module")
def pred(simulated_fit) -> xr.Dataset:
    return ds3.predict(simulated_fit, ["cot", "majority(n=8)"])


def text(shown: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", shown))


def test_a_fit_says_what_it_is_and_what_to_call_next(formatter, simulated_fit):
    assert type(simulated_fit) is xr.DataTree
    said = text(formatter(simulated_fit))
    assert "A fit of simulated" in said
    assert "60 rows (0 held out)" in said
    assert "2 chains of 150" in said
    assert "ds3.decide(fit)" in said
    # Every parameter with its dims, meaning and unit; xarray's own view is below.
    for name in simulated_fit["posterior"].data_vars:
        assert name in said
    assert "mean logit of a task" in said
    assert "log of tokens" in said
    assert "xarray.DataTree" in said


def test_predictions_say_what_they_are_and_what_to_call_next(formatter, simulated_fit, pred):
    assert type(pred) is xr.Dataset
    said = text(formatter(pred))
    assert "Predictions of 2 strategies for the LLM" in said
    assert "strategy 2" in said
    assert "the observed tasks, as means over them" in said
    assert "USD per task" in said
    assert "ds3.best(pred, cost=&#x27;usd&#x27;)" in said
    assert "no joules" in said
    one_by_one = text(formatter(ds3.predict(simulated_fit, ["cot"], per_task=True)))
    assert "one by one" in one_by_one
    assert "pred.mean(&#x27;task&#x27;)" in one_by_one
    assert "ds3.best" not in one_by_one


def test_other_data_look_as_xarray_shows_them(formatter):
    data = xr.Dataset({"x": ("a", [1.0])}, attrs={"tasks": "3"})
    for other in (data, xr.DataTree(data)):
        shown = formatter(other)
        assert "Next:" not in shown
        assert "xarray" in shown


def test_names_are_escaped(formatter, pred):
    shown = formatter(pred.assign_coords(model=["<script>x"]).assign_attrs(absent="flops: <b>why"))
    assert "<script>" not in shown.partition("as xarray shows it")[0]
    assert "<b>why" not in shown.partition("as xarray shows it")[0]


def test_ipython_is_told_once_and_a_users_own_way_stays(monkeypatch):
    html = HTMLFormatter()
    html.for_type(xr.Dataset, lambda _: "mine")
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": html}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    for _ in range(2):
        notebook.show_in_notebooks()
    assert html.lookup_by_type(xr.DataTree) is notebook.fit_html
    assert html(xr.Dataset()) == "mine"
    # Without a shell nothing happens.
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    notebook.show_in_notebooks()
