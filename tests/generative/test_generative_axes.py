"""Likelihoods that depend on more than success: votes on single tasks, and runs that differ."""

import warnings

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import special, stats

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.counts.grid import AGREEMENT, OVERDISPERSION
from ds3bayes.generative.model import assemble
from ds3bayes.theory.evaluate import python_mode
from ds3bayes.theory.votes import plurality_weights_partition

VOTED = ds3.ModelSpec.from_dict({"population": {"reachability": False, "family": "normal"}})
RUNS = ds3.ModelSpec.from_dict({"population": {"reachability": False, "family": "normal", "overdispersion": True}})


def of_tasks(evals: xr.Dataset, spec: ds3.ModelSpec, **given: float) -> float:
    """The model's log-likelihood of a single arm's tasks at given values of its variables."""
    model = assemble(spec, make_design(evals, spec))
    function = pytensor.function(
        model.free_RVs, model.named_vars["tasks_0"], mode=python_mode(), on_unused_input="ignore"
    )
    return float(function(*[np.array([given[variable.name]]) for variable in model.free_RVs]))


def looped(evals: xr.Dataset, location: float, spread: float, of_rows) -> float:
    """Sum over tasks of the log of the mean, over nodes and their hats, of a product over the task's rows."""
    nodes = np.linspace(-20, 12, 161)
    weight = stats.norm.pdf((nodes - location) / spread)
    weight = weight / weight.sum()
    offsets = 0.2 * np.arange(-8, 9) / 8
    hat = (1 - np.abs(offsets) / 0.2) / 8
    q = 1 / (1 + np.exp(-(nodes[:, None] + offsets)))
    total = 0.0
    for _, rows in evals.to_dataframe().groupby("task"):
        values = np.prod([of_rows(row, q) for row in rows.to_dict("records")], axis=0)
        total += float(np.log(weight @ (values @ hat)))
    return total


def voted(seed: int = 0, tasks: int = 30) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    rows = [
        (f"t{task}", strategy, n, 1, int(rng.random() < 0.7))
        for task in range(tasks)
        for strategy, n in (("cot", None), ("majority", 4), ("majority", 8))
    ]
    table = pd.DataFrame(rows, columns=["task", "strategy", "n_samples", "attempts", "successes"])
    return ds3.read_evals(table.assign(model="a", benchmark="b"))


def test_votes_on_tasks_are_loops_over_their_nodes() -> None:
    evals = voted()
    concentration = float(AGREEMENT.values[7])

    def row(what, q):
        right = q
        if what["strategy"] == "majority":
            n = int(what["n_samples"])
            w = plurality_weights_partition(n, concentration)
            right = sum(stats.binom.pmf(c, n, q) * w[c] for c in range(n + 1))
        return right if what["successes"] else 1 - right

    found = of_tasks(evals, VOTED, location=0.8, spread=1.7, wrong_answer_concentration=concentration)
    assert found == pytest.approx(looped(evals, 0.8, 1.7, row), rel=1e-9)
    # Between tabulated concentrations, against a table of its own at that value.
    between = float(np.exp(AGREEMENT.nodes[7:9].mean()))
    near = of_tasks(evals, VOTED, location=0.8, spread=1.7, wrong_answer_concentration=between)
    concentration = between
    assert near == pytest.approx(looped(evals, 0.8, 1.7, row), abs=2e-3)


@pytest.mark.parametrize("n", [4, 8, 32])
def test_a_lost_vote_is_unlikely_where_attempts_are_nearly_sure(n: int) -> None:
    """1 - success is rounding there, 0 or not from one concentration to the next: that must not be interpolated."""
    rows = pd.DataFrame({"task": ["t0", "t1"], "strategy": "majority", "n_samples": n, "attempts": 1, "successes": 0})
    block = make_design(ds3.read_evals(rows.assign(model="a", benchmark="b")), VOTED).blocks[0]
    table = block.tables[0]
    offsets = 0.2 * np.arange(-8, 9) / 8
    hat = (1 - np.abs(offsets) / 0.2) / 8
    x = table.grid.nodes[:, None] + offsets
    votes = np.arange(n + 1)
    log_right = -votes * np.logaddexp(0, -x[..., None]) - (n - votes) * np.logaddexp(0, x[..., None])
    count = np.exp(special.gammaln(n + 1) - special.gammaln(votes + 1) - special.gammaln(n - votes + 1) + log_right)
    worst = 0.0
    for concentration in np.exp(np.linspace(np.log(0.02), np.log(50), 65)):
        lost = (count * (1 - plurality_weights_partition(n, concentration))).sum(axis=-1) @ hat
        found = np.exp(table.log_mass_at(pt.constant(concentration)).eval(mode=python_mode())[block.cell[0, 0]])
        assert (found[lost < 1e-11] < 2e-11).all()
        worst = max(worst, np.abs(found / lost - 1)[lost > 1e-10].max())
    # Next to nothing where a vote is lost at all.
    assert worst < 0.02


def in_runs(correlation: float, tasks: int = 60, runs: int = 4, attempts: int = 12, seed: int = 3) -> xr.Dataset:
    """Counts of runs whose success on a task scatters around the task's own."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in range(tasks):
        q = 1 / (1 + np.exp(-rng.normal(0.3, 1.5)))
        for run in range(runs):
            size = (1 - correlation) / correlation if correlation else np.inf
            now = rng.beta(size * q, size * (1 - q)) if correlation else q
            rows.append((f"t{task}", f"run{run}", attempts, int(rng.binomial(attempts, now))))
    table = pd.DataFrame(rows, columns=["task", "run", "attempts", "successes"])
    return ds3.read_evals(table.assign(model="a", benchmark="b", strategy="cot"))


def test_runs_that_differ_are_beta_binomial() -> None:
    evals = in_runs(0.1, tasks=12, attempts=4)
    correlation = float(OVERDISPERSION.values[16])

    def row(what, q):
        size = (1 - correlation) / correlation
        return stats.betabinom.pmf(what["successes"], what["attempts"], size * q, size * (1 - q))

    found = of_tasks(evals, RUNS, location=0.3, spread=1.5, overdispersion=correlation)
    assert found == pytest.approx(looped(evals, 0.3, 1.5, row), rel=1e-8)
    correlation = float(np.exp(OVERDISPERSION.nodes[16:18].mean()))
    near = of_tasks(evals, RUNS, location=0.3, spread=1.5, overdispersion=correlation)
    assert near == pytest.approx(looped(evals, 0.3, 1.5, row), abs=1e-3)


@pytest.fixture(scope="module")
def fits() -> dict[float, xr.DataTree]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        return {
            truth: ds3.fit(in_runs(truth), RUNS, draws=300, tune=400, chains=2, seed=0, progress=False)
            for truth in (0.0, 0.2)
        }


def test_correlation_of_runs_is_learned(fits: dict[float, xr.DataTree]) -> None:
    found = {truth: fit["posterior"]["overdispersion"].values.ravel() for truth, fit in fits.items()}
    low, high = np.quantile(found[0.2], [0.005, 0.995])
    assert low < 0.2 < high
    assert np.quantile(found[0.0], 0.95) < 0.03


def test_best_of_n_of_one_future_run_gains_less(fits: dict[float, xr.DataTree]) -> None:
    gain = {}
    for truth, fit in fits.items():
        pred = ds3.predict(fit, ["cot", "best_of_n(n=16, verifier=oracle)"])["success"].mean(("chain", "draw"))
        one, sixteen = pred.values.ravel()
        gain[truth] = sixteen - one
    assert gain[0.2] < gain[0.0] - 0.03


def test_runs_that_differ_are_not_known_for_votes() -> None:
    with pytest.raises(ds3.InputError, match="60 rows are votes on single tasks"):
        ds3.build_model(RUNS, voted())
