"""Decisions as frames, pictures and on the command line."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import ds3bayes as ds3
from ds3bayes import cli
from ds3bayes.reports import decision_figures as figures
from ds3bayes.reports import decision_tables as tables


@pytest.fixture(scope="module")
def fits(prior_fit):
    """Two LLMs with a mischievous name, and LLMs whose training is known."""
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 4}
        | {"successes": int(rng.integers(0, 5)), "tokens_mean": 200.0 + 30.0 * i, "steps": 3}
        for model in ("m [red]$x$", "n")
        for i in range(8)
    ]
    trained = [
        {"model": f"m{i}", "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 4, "steps": 3}
        | {"successes": int(rng.integers(0, 5)), "params": 1e9 * (i + 1), "train_tokens": 1e11 * (i + 1)}
        for i in range(3)
        for task in range(6)
    ]
    spec = {"capability": "loss_bridge", "population": {"family": "normal", "reachability": False}}
    return (
        prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=60),
        prior_fit(ds3.read_evals(pd.DataFrame(trained)), ds3.ModelSpec.from_dict(spec), draws=30),
    )


@pytest.fixture(scope="module")
def results(fits):
    plain, bridge = fits
    options = ["m [red]$x$ | cot", "n | cot", "n | best_of_n(n=2)"]
    return {
        "difference": ds3.compare(plain, *options[:2]),
        "variance": ds3.variance(plain, new_tasks=16),
        "cost_to_reach": ds3.cost_to_reach(plain, "best_of_n(n=*)", success=0.6, values=[1, 2, 4, 8]),
        "next_evals": ds3.next_evals(plain, options, attempts=[1, 4]),
        "plan": ds3.plan(plain, *options[:2], difference=0.1, attempts=[1, 4], max_tasks=100),
        "ranking": ds3.rank(plain, ["cot", "majority(n=2)"], of="option"),
        "allocation": ds3.allocate(
            bridge, ["cot", "best_of_n(n=2)"], compute=1e21, future_tasks=1e6, tokens_per_attempt=500, new_tasks=16
        ),
    }


ROWS = {"difference": 3, "variance": 2, "cost_to_reach": 2, "next_evals": 6, "plan": 8, "ranking": 4, "allocation": 2}


@pytest.mark.parametrize("kind", ROWS)
def test_every_decision_has_a_frame_and_a_picture(results, kind):
    frame = getattr(tables, f"{kind}_table")(results[kind])
    assert len(frame) == ROWS[kind]
    assert not frame.drop(columns="p_never", errors="ignore").isna().any(axis=None)
    draw = getattr(figures, f"plot_{kind}")
    alone = draw(results[kind])
    FigureCanvasAgg(alone).draw()
    assert alone.axes[0].get_xlabel()
    given = Figure().add_subplot()
    assert draw(results[kind], ax=given) is given.figure
    assert given.has_data()


def test_frames_hold_the_numbers(results):
    frame = tables.difference_table(results["difference"])
    assert frame["mean"][2] == pytest.approx(frame["mean"][0] - frame["mean"][1])
    frame = tables.variance_table(results["variance"])
    np.testing.assert_allclose(frame[["parameters", "tasks", "attempts"]].sum(axis=1), 1.0)
    frame = tables.next_evals_table(results["next_evals"])
    assert frame["reduction_per_cost"].is_monotonic_decreasing
    np.testing.assert_allclose(
        frame["regret_reduction"] + frame["regret_after"], float(results["next_evals"]["regret"])
    )
    frame = tables.allocation_table(results["allocation"])
    assert frame["strategy"][0] == results["allocation"].attrs["choice"]
    frame = tables.cost_to_reach_table(results["cost_to_reach"])
    assert (frame["setting_lower"] <= frame["setting_upper"]).all()


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, fits):
    """Return a function that runs the command line: (exit code, output, message)."""
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)
    paths = [str(ds3.save(fit, tmp_path / name)) for fit, name in zip(fits, ("plain.nc", "bridge.nc"), strict=True)]

    def go(command, which, *arguments):
        monkeypatch.setattr(sys, "argv", ["ds3bayes", command, paths[which], *arguments])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        said = capsys.readouterr()
        return exit_.value.code or 0, said.out, said.err

    return go


def test_compare_on_the_command_line(run, results):
    code, out, _ = run("compare", 0, "m [red]$x$", "n")
    assert (code, out.strip()) == (0, results["difference"].attrs["sentence"])
    code, out, _ = run("compare", 0, "m [red]$x$", "n", "--json")
    said = json.loads(out)
    assert (code, said["verdict"]) == (0, results["difference"].attrs["verdict"])
    assert said["mean"] == pytest.approx(float(results["difference"]["mean"]))
    code, _, err = run("compare", 0, "nobody", "n")
    assert code == 2
    assert "there is no LLM 'nobody'" in err


def test_next_on_the_command_line(run, results):
    options = ["-s", "m [red]$x$ | cot", "-s", "n | cot", "-s", "n | best_of_n(n=2)", "-n", "1", "-n", "4"]
    code, out, _ = run("next", 0, *options)
    assert code == 0
    assert results["next_evals"].attrs["sentence"] in out
    code, out, _ = run("next", 0, *options, "--json")
    assert (code, len(json.loads(out)["evaluations"])) == (0, 6)
    assert run("next", 0, "-s", "n | cot")[0] == 2


@pytest.mark.parametrize("suffix", ["png", "svg", "html"])
def test_rank_on_the_command_line(run, results, tmp_path, suffix):
    path = tmp_path / f"ranks.{suffix}"
    asked = ["-s", "cot", "-s", "majority(n=2)", "--of", "option"]
    code, out, err = run("rank", 0, *asked, "-o", str(path))
    assert (code, out.split("\n")[0]) == (0, results["ranking"].attrs["sentence"])
    assert f"ranks.{suffix}" in err
    start = {"png": b"\x89PNG", "svg": b"<?xml", "html": b"<!doctype html>"}[suffix]
    assert path.read_bytes().startswith(start)
    code, out, _ = run("rank", 0, *asked, "--json")
    assert len(json.loads(out)["ranks"]) == 4
    assert run("rank", 0, *asked, "-o", str(tmp_path / "ranks.gif"))[0] == 2


def test_allocate_on_the_command_line(run):
    asked = ["-s", "cot", "--compute", "1e21", "--tokens-per-attempt", "500"]
    code, out, _ = run("allocate", 1, *asked)
    assert code == 0
    assert out.startswith("Train ")
    code, out, _ = run("allocate", 1, *asked, "--json")
    assert json.loads(out)["strategies"][0]["strategy"] == "cot"
    code, _, err = run("allocate", 0, *asked)
    assert code == 2
    assert "loss_bridge" in err


def test_decide_says_what_a_target_takes(run):
    code, out, _ = run("decide", 0, "-s", "cot", "--success", "0.6", "--reach", "best_of_n(n=*)", "--json")
    assert code == 0
    assert "best_of_n(n=*, verifier=oracle): success 0.6 is" in json.loads(out)["to_reach"]["best_of_n(n=*)"]
