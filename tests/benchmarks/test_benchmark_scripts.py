"""What the programs that measure compute beside fits."""

import argparse

import numpy as np
import pandas as pd
import pytest
from held_out_cells import RIVALS, log_score, rival
from large_fits import counts
from scipy.special import expit
from scipy.stats import binom


def test_the_score_of_attempts_is_its_mean_over_which_they_are():
    """Against subsets that are drawn, and against the two outcomes of one attempt."""
    rng = np.random.default_rng(1)
    success = rng.beta(2.0, 3.0, (50, 2))
    hits, attempts = np.array([3, 40]), np.array([20, 40])
    one = log_score(success, hits, attempts, 1)
    mean = success.mean(axis=0)
    assert one == pytest.approx([0.15 * np.log(mean[0]) + 0.85 * np.log(1 - mean[0]), np.log(mean[1])])
    drawn = rng.permuted(np.tile(np.arange(20) < 3, (20_000, 1)), axis=1)[:, :5].sum(axis=1)
    each = np.log(binom.pmf(np.arange(6)[:, None], 5, success[:, 0]).mean(axis=1))
    of_draws = each[drawn]
    assert abs(log_score(success, hits, attempts, 5)[0] - of_draws.mean()) < 4 * of_draws.std() / 20_000**0.5


def test_rivals_give_counts_their_binomial_likelihood():
    """Up to a constant, and cells without attempts say nothing."""
    model = rival(3, 4, **RIVALS["2PL + cells"])
    point = model.initial_point()
    point = {key: value + np.random.default_rng(2).normal(size=np.shape(value)) for key, value in point.items()}
    (at_values,) = model.replace_rvs_by_values([model["logit"]])
    given = {"mode": "FAST_COMPILE", "on_unused_input": "ignore"}
    logit = model.compile_fn(at_values, inputs=model.value_vars, **given)(point)
    assert np.ptp(logit) > 0.1
    density = model.compile_logp(**given)
    without = []
    attempts = np.array([[5, 0, 2, 1]] * 3)
    hits = np.minimum(attempts, [[0], [1], [5]])
    for given, right in ((np.zeros_like(attempts), np.zeros_like(hits)), (attempts, hits)):
        model.set_data("attempts", given)
        model.set_data("hits", right)
        without.append(float(density(point)))
    seen = binom.logpmf(hits, attempts, expit(logit)) - binom.logpmf(hits, attempts, 0.5)
    assert without[1] - without[0] == pytest.approx(seen.sum() + np.log(0.5) * attempts.sum())


def test_counts_are_thinned_or_simulated(tmp_path):
    rows = [
        {"model": model, "task": task, "attempts": 50, "successes": right}
        for model, many in {"a": [0, 0], "b": [50, 10], "c": [0, 50]}.items()
        for task, right in enumerate(many)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    asked = {"llms": 2, "tasks": 2, "attempts": 10, "seed": 0}
    found = counts(argparse.Namespace(table=str(tmp_path / "table.csv"), **asked))
    # Who solved nothing is left out.
    assert found["successes"].tolist()[::3] == [10, 10]
    assert found["successes"][2] == 0
    simulated = counts(argparse.Namespace(table=None, **asked))
    assert simulated.shape == found.shape == (4, 4)
    with pytest.raises(SystemExit, match="has 2 LLMs that solved anything"):
        counts(argparse.Namespace(table=str(tmp_path / "table.csv"), **{**asked, "llms": 3}))
