"""The map of samplers and tasks: its numbers, its order, and what is left out of a big one."""

import numpy as np
import pandas as pd
import pytest
from hostile import evaluations

import ds3bayes as ds3
from ds3bayes.reports import charts, task_map


@pytest.fixture(scope="module")
def found(fitted) -> pd.DataFrame:
    return task_map.task_map(fitted)


def test_every_walk_stands_at_every_task_with_what_it_did(found, fitted):
    frame = evaluations().query("strategy == 'cot'")
    assert len(found) == len(frame)
    joined = found.merge(frame, on=["model", "task"], suffixes=("", "_seen"))
    assert (joined["attempts"] == joined["attempts_seen"]).all()
    assert (joined["successes"] == joined["successes_seen"]).all()
    pred = ds3.predict(fitted, ["cot"], per_task=True)["success"].mean(("chain", "draw"))
    for row in found.itertuples():
        at = float(pred.sel(model=row.model, task=row.task).squeeze())
        assert row.mean == pytest.approx(at, abs=1e-9)
        assert row.lower <= row.mean <= row.upper
    order = found.groupby("task", sort=False)["mean"].mean()
    assert order.is_monotonic_increasing


def test_of_many_tasks_some_are_kept_evenly():
    many = pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "strategy": "cot",
            "task": [f"t{place}" for place in range(1000)],
            "mean": np.linspace(0.0, 1.0, 1000),
            "lower": 0.0,
            "upper": 1.0,
            "attempts": 3,
            "successes": 1,
        }
    )
    shown = task_map.mapped(many)
    assert len(shown) == task_map.MOST_TASKS
    assert shown["mean"].iloc[[0, -1]].tolist() == [0.0, 1.0]
    assert shown["said"].iloc[0] == "t0, cot: 0.000 (0.000 to 1.000); observed 1 of 3"
    each = task_map.of_tasks(shown)
    assert [name for name, *_ in each] == shown["task"].tolist()
    assert each[0][1:] == (
        "1 of 3 attempts right, predicted 0.00 on average",
        [("cot", "1 of 3", "0.000 (0.000 to 1.000)")],
    )


def test_squares_are_darker_the_likelier_and_smaller_the_less_is_known():
    frame = pd.DataFrame(
        {"task": ["a", "b"], "row": "m", "mean": [0.1, 0.9], "lower": [0.0, 0.89], "upper": [0.8, 0.91], "said": "x"}
    )
    drawn = charts.cells(frame, "caption", "alt", across="task", down="row", what="tasks").wide
    opacity, width = (
        [float(part.split('"')[1]) for part in drawn.split('class="cell"')[1:] for part in [part[part.index(name) :]]]
        for name in ("fill-opacity", " width")
    )
    assert opacity[0] < 0.2 < 0.8 < opacity[1]
    assert width[0] < 0.6 * width[1]


def test_a_fit_of_aggregates_has_no_map(prior_fit):
    rows = [
        {"model": "m", "benchmark": "b", "strategy": "cot", "attempts": 50, "successes": 20, "tasks": 50},
        {"model": "n", "benchmark": "b", "strategy": "cot", "attempts": 50, "successes": 30, "tasks": 50},
    ]
    assert task_map.task_map(prior_fit(ds3.read_evals(pd.DataFrame(rows)))).empty
