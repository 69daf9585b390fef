"""Replicated data, in the groups that ArviZ reads."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import ds3bayes as ds3


@pytest.fixture(scope="module")
def replicated(game24_fit) -> xr.DataTree:
    return ds3.posterior_predictive(game24_fit, seed=3)


def test_rows_are_replicated_at_these_very_tasks(game24_fit, replicated):
    drawn = replicated["posterior_predictive"]["successes"]
    assert drawn.dims == ("chain", "draw", "row")
    assert drawn.sizes["row"] == game24_fit["observed_data"].sizes["row"]
    evals = game24_fit["constant_data"].to_dataset()
    attempts = evals["attempts"].values
    assert (drawn.values <= attempts).all()
    mine = (evals["strategy"] == "cot").values
    tasks = [str(one) for one in evals["task"].values[mine]]
    expected = ds3.predict(game24_fit, ["cot"], tasks=tasks, per_task=True)["success"].squeeze().sel(task=tasks)
    mean = drawn.values[..., mine].mean(axis=(0, 1)) / attempts[mine]
    np.testing.assert_allclose(mean, expected.mean(("chain", "draw")).values, atol=0.02)


def test_arviz_draws_and_scores_them(replicated):
    with pytest.warns(UserWarning, match="discrete"):
        az.plot_ppc_dist(replicated, var_names="successes", backend="none", num_samples=5)
    az.plot_ppc_pit(replicated, var_names="successes", backend="none")
    # A task drawn anew beside what was observed of it, left out of the fit: even from 0 to 1 for a model that is right.
    pit = az.loo_pit(replicated, var_names="tasks")["tasks"].values
    assert pit.size == 100
    assert stats.kstest(pit, "uniform").pvalue > 1e-3


def test_a_population_that_is_wrong_is_seen(replicated):
    wrong = replicated.copy()
    observed = wrong["observed_data"].to_dataset()
    wrong["observed_data"] = observed.assign(tasks=observed["tasks"] // 4)
    pit = az.loo_pit(wrong, var_names="tasks")["tasks"].values
    assert stats.kstest(pit, "uniform").pvalue < 1e-3


def test_decisions_among_samples_say_why_tasks_are_absent(prior_fit):
    table = pd.DataFrame({"task": [f"t{i}" for i in range(6)], "successes": [0, 1, 1, 0, 1, 1]})
    table = table.assign(model="m", benchmark="b", strategy="majority", n_samples=5, attempts=1)
    singles = table.assign(strategy="cot", n_samples=np.nan, attempts=4, successes=[0, 1, 4, 2, 3, 4])
    tree = ds3.posterior_predictive(prior_fit(ds3.read_evals(pd.concat([table, singles]))))
    drawn = tree["posterior_predictive"].to_dataset()
    assert "tasks" not in drawn
    assert "majority(n=5)" in drawn.attrs["absent"]
    assert drawn["successes"].max() <= 4


def test_rows_without_a_task_are_of_their_population(prior_fit):
    table = pd.DataFrame({"task": ["a", "b", "c", ""], "tasks": [np.nan, np.nan, np.nan, 50.0]})
    table = table.assign(model="m", benchmark="b", strategy="cot", attempts=[4, 4, 4, 50], successes=[1, 2, 3, 20])
    drawn = ds3.posterior_predictive(prior_fit(ds3.read_evals(table)))["posterior_predictive"]["successes"]
    assert drawn.values.max() > 4
    assert drawn.values.max() <= 50
