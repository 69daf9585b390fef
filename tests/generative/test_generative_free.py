"""Free capability: what walks of several LLMs were drawn from is recovered."""

import numpy as np
import pytest

import ds3bayes as ds3
from ds3bayes.evals import to_table

SHIFTS = {"a": -2.0, "b": -1.0, "c": 0.0, "d": 1.0, "e": 2.0}
COUNTS = ["model", "benchmark", "task", "strategy", "attempts", "successes"]


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
            budget_tokens=50_000,
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
