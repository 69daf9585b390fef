"""Suspect tasks as a frame, in a report and on the command line."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes import cli
from ds3bayes.reports.suspect_tasks import suspect_tasks_table, suspects_shown

EVIL = "<b>key</b> [red]"


@pytest.fixture(scope="module")
def fit(prior_fit) -> xr.DataTree:
    """Two LLMs that hardly ever fail, and two tasks that neither solved; the draws are those of a narrow prior."""
    tasks = [EVIL, "never", *(f"t{i}" for i in range(10))]
    table = pd.DataFrame(
        [
            {"model": model, "benchmark": "b", "task": task, "strategy": "cot", "attempts": 20, "successes": solved}
            for model in ("m", "n")
            for task, solved in zip(tasks, [0, 0, *[20] * 8, 17, 3], strict=True)
        ]
    )
    easy = {
        "location": {"family": "Normal", "mu": 4.0, "sigma": 0.3},
        "reachability": {"family": "Beta", "alpha": 99.0, "beta": 1.0},
    }
    return prior_fit(ds3.read_evals(table), ds3.ModelSpec.from_dict({"priors": easy}))


def test_the_frame_has_the_most_suspect_first(fit):
    table = suspect_tasks_table(ds3.suspect_tasks(fit, level=0.9))
    assert set(table["task"][:2]) == {EVIL, "never"}
    assert table["broken"].is_monotonic_decreasing
    assert table["broken"][1] > 0.5
    assert (table["broken"][2:] == 0).all()
    assert table.loc[2, "spent"] == table.loc[2:, "spent"].max() > 0.5
    first = table.set_index("task").loc["never"]
    assert (first["attempts"], first["successes"], first["llms"], first["solved_by"]) == (40, 0, 2, 0)
    shown = suspects_shown(table)
    assert list(shown.frame["task"]) == list(table["task"][:2])
    assert "of 12 tasks are spent" in shown.note
    assert suspects_shown(table.assign(broken=0.4)) is None
    assert suspects_shown(table.assign(broken=np.nan)) is None


def test_a_report_names_them(fit, tmp_path):
    written = ds3.report(fit, path=tmp_path / "report.html", checks=[])
    page = written.read_text(encoding="utf-8")
    assert 'id="suspects"' in page
    assert EVIL not in page
    assert "&lt;b&gt;key&lt;/b&gt;" in page
    (listed,) = Path(tmp_path).rglob("suspect_tasks.csv")
    assert len(pd.read_csv(listed)) == 12
    assert "Suspect tasks" in written.with_suffix(".md").read_text(encoding="utf-8")


def test_on_the_command_line(fit, tmp_path, monkeypatch, capsys):
    path = str(ds3.save(fit, tmp_path / "run.nc"))

    def run(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ds3bayes", "suspects", path, *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        assert not exit_.value.code
        return capsys.readouterr().out

    told = json.loads(run("--json"))
    assert {row["task"] for row in told["tasks"]} == {EVIL, "never"}
    assert told["absent"] == "none"
    assert "2 of 12" in run()
    assert EVIL in run()
    assert "0 of 12" in run("--least", "1.1")
    spent = json.loads(run("--json", "--spent", "--level", "0.9"))["tasks"]
    assert spent
    assert all(row["successes"] > 0 for row in spent)
