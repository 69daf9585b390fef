"""Free capability: what walks of several LLMs were drawn from is recovered."""

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats

import ds3bayes as ds3
from ds3bayes.evals import to_table

SHIFTS = {"a": -2.0, "b": -1.0, "c": 0.0, "d": 1.0, "e": 2.0}
COUNTS = ["model", "benchmark", "task", "strategy", "attempts", "successes"]


def test_spreads_are_drawn_around_that_of_their_benchmark():
    """Four LLMs on one benchmark are pooled; the two on another have the prior of ``spread``."""
    evals = ds3.read_evals(
        pd.DataFrame(
            {
                "model": f"m{llm}",
                "benchmark": name,
                "task": f"t{task}",
                "strategy": "cot",
                "attempts": 5,
                "successes": 2,
            }
            for name, llms in (("many", 4), ("few", 2))
            for llm in range(llms)
            for task in range(6)
        )
    )
    model = ds3.build_model(ds3.ModelSpec(), evals)
    spreads, median, log_sd = pm.draw(
        [model[name] for name in ("spread", "spread_median", "spread_log_sd")], draws=4000, random_seed=1
    )
    alone = np.array([label.split(" | ")[1] == "few" for label in model.coords["walk"]])
    assert alone.sum() == 2
    units = (np.log(spreads[:, ~alone]) - np.log(median)) / log_sd
    assert stats.kstest(units.ravel(), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(units[:, 0], log_sd[:, 0])[0, 1]) < 4.0 / np.sqrt(4000)
    assert stats.kstest(spreads[:, alone].ravel(), stats.lognorm(0.35, scale=3.0).cdf).pvalue > 1e-3
    assert stats.kstest(median.ravel(), stats.lognorm(0.35, scale=3.0).cdf).pvalue > 1e-3
    # A prior that a spec states for spreads holds for each of them, and locations stay pooled.
    stated = {"priors": {"spread": {"family": "Gamma", "alpha": 8.0, "beta": 4.0}}}
    model = ds3.build_model(ds3.ModelSpec.from_dict(stated), evals)
    assert {"spread", "location_mean"} <= {one.name for one in model.free_RVs}
    assert (
        stats.kstest(pm.draw(model["spread"], 1000, random_seed=2).ravel(), stats.gamma(8.0, scale=0.25).cdf).pvalue
        > 1e-3
    )


@pytest.mark.slow
def test_recovery_over_many_data_sets(posteriors) -> None:
    """Spreads differ from data set to data set, as the prior has them: one truth in its tail would miss every time."""
    held: list[bool] = []
    tables = []
    spreads = np.random.default_rng(5).lognormal(np.log(3.0), 0.35, 20)
    for seed, spread in enumerate(spreads):
        made = ds3.simulate(
            tasks=40,
            attempts=6,
            models=SHIFTS,
            path_length=4,
            location=0.5,
            spread=float(spread),
            interaction_sd=0.6,
            reachability=0.98,
            seed=300 + seed,
            max_tokens=50_000,
        )
        # Walks end long before so generous a budget, except those at tasks out of reach.
        tables.append(ds3.read_evals(to_table(made.evals)[COUNTS]))
    for spread, posterior in zip(spreads, posteriors(tables, ds3.ModelSpec()), strict=True):
        low, high = posterior.quantile(0.05, ("chain", "draw")), posterior.quantile(0.95, ("chain", "draw"))
        truth = {"location": 0.5 + np.array(list(SHIFTS.values())), "spread": spread, "reachability": 0.98**4}
        for name, value in truth.items():
            held += ((low[name] <= value) & (value <= high[name])).values.tolist()
    share = np.mean(held)
    print(f"{len(held)} intervals, {share:.3f} hold the truth")
    # LLMs share the tasks: as if 6 of the 15 intervals of a data set were independent, 3 standard errors are .08.
    assert len(held) == 300
    assert 0.82 <= share <= 0.98
