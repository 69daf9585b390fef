"""Effective draws per second of `ds3.fit` against NumPyro's NUTS on the same model and data, in one run.

Needs `uv run --group benchmark`.
"""

import os
from statistics import median
from time import perf_counter

# Chains in parallel need a device each, before JAX starts.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"

import arviz_stats as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design

numpyro = pytest.importorskip("numpyro", reason="uv run --group benchmark ...")

import jax  # noqa: E402
import numpyro_twin  # noqa: E402
from numpyro.infer import MCMC, NUTS  # noqa: E402
from numpyro.infer.util import potential_energy  # noqa: E402

pytestmark = pytest.mark.benchmark

DRAWS = TUNE = 500
# The rival's best way is chosen by runs of a fifth: whole ones of several LLMs take it minutes.
TRIAL = 100
CHAINS, SEEDS = 4, (0, 1, 2)
BAR = 1.5
MODELS = {"one LLM": (1, 100), "four LLMs": (4, 20)}
WAYS = [(method, dense) for method in ("parallel", "vectorized") for dense in (False, True)]


def evaluations(llms: int, attempts: int) -> xr.Dataset:
    """Counts on 200 tasks, a sixth of them out of reach."""
    rng = np.random.default_rng(20250701)
    tasks = 200
    easiness = rng.normal(0.0, 2.5, tasks)
    rows = []
    for llm in range(llms):
        q = expit(easiness + rng.normal(-0.5, 1.0) + 0.7 * rng.standard_t(7.0, tasks) * (llms > 1))
        q[: tasks // 6] = 0.0
        count = rng.binomial(attempts, q)
        rows += [
            {"model": f"m{llm}", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": attempts}
            | {"successes": int(count[i])}
            for i in range(tasks)
        ]
    return ds3.read_evals(pd.DataFrame(rows))


@pytest.fixture(scope="module", params=MODELS)
def setting(request):
    llms, attempts = MODELS[request.param]
    evals = evaluations(llms, attempts)
    design = make_design(evals, ds3.ModelSpec(), np.zeros(evals.sizes["row"], dtype=bool))
    twin = (numpyro_twin.one_llm if llms == 1 else numpyro_twin.several_llms)(design)
    return request.param, evals, twin


def test_the_twin_is_the_same_model(setting):
    _, evals, twin = setting
    model = ds3.build_model(ds3.ModelSpec(), evals)
    ours = model.compile_logp()
    start = model.initial_point()
    rng = np.random.default_rng(1)
    apart, sizes = [], []
    for _ in range(20):
        point = {name: np.asarray(value + rng.normal(0.0, 1.0, np.shape(value))) for name, value in start.items()}
        # Both take positive parameters by their logs, and probabilities by their log odds.
        theirs = {model.values_to_rvs[v].name: np.squeeze(point[v.name]) for v in model.value_vars}
        theirs = {name: value if value.ndim else float(value) for name, value in theirs.items()}
        value = float(ours(point))
        apart.append(value + float(potential_energy(twin, (), {}, theirs)))
        sizes.append(abs(value))
    # Constants of the data may differ; nothing else.
    assert np.ptp(apart) < 1e-10 * max(sizes), apart
    assert np.ptp(sizes) > 10.0


def worst_ess(posterior: xr.Dataset) -> float:
    return float(min(values.min() for values in az.ess(posterior, method="bulk").data_vars.values()))


class Rival:
    """NumPyro's NUTS on a model, by the way of running and the mass matrix that suit it best."""

    def __init__(self, twin, way, draws: int) -> None:
        method, dense = way
        kernel = NUTS(twin, target_accept_prob=ds3.ModelSpec().sampling.target_accept, dense_mass=dense)
        self.mcmc = MCMC(
            kernel, num_warmup=draws, num_samples=draws, num_chains=CHAINS, chain_method=method, progress_bar=False
        )

    def run(self, seed: int) -> tuple[float, float]:
        started = perf_counter()
        self.mcmc.run(jax.random.key(seed))
        drawn = {name: np.asarray(values) for name, values in self.mcmc.get_samples(group_by_chain=True).items()}
        seconds = perf_counter() - started
        sets = {name: (("chain", "draw", *[f"{name}_{i}" for i in range(v.ndim - 2)]), v) for name, v in drawn.items()}
        return worst_ess(xr.Dataset(sets)), seconds


def test_effective_draws_per_second(setting):
    name, evals, twin = setting
    ours, ours_cold = [], []
    free = [variable.name for variable in ds3.build_model(ds3.ModelSpec(), evals).free_RVs]
    for seed in SEEDS:
        fit = ds3.fit(evals, draws=DRAWS, tune=TUNE, chains=CHAINS, seed=seed, progress=False)
        ess = worst_ess(fit["posterior"].to_dataset()[free])
        seconds = fit.attrs["sample_seconds"]
        ours.append(ess / seconds)
        ours_cold.append(ess / (seconds + fit.attrs["compile_seconds"]))
    rates = {}
    for way in WAYS:
        trial = Rival(twin, way, TRIAL)
        trial.run(100)
        ess, seconds = trial.run(101)
        rates[way] = ess / seconds
    way = max(rates, key=rates.get)
    rival = Rival(twin, way, DRAWS)
    first = rival.run(100)[1]
    runs = [rival.run(seed) for seed in SEEDS]
    compiling = max(first - median(seconds for _, seconds in runs), 0.0)
    theirs = [ess / seconds for ess, seconds in runs]
    theirs_cold = [ess / (seconds + compiling) for ess, seconds in runs]
    ratio = median(ours) / median(theirs)
    print(
        f"\n{name}: worst bulk ESS per second, medians of {len(SEEDS)} seeds: ds3bayes {median(ours):.0f}, NumPyro "
        f"{median(theirs):.0f} ({way[0]}, {'dense' if way[1] else 'diagonal'} mass), ratio {ratio:.2f}; compilation "
        f"included {median(ours_cold):.0f} and {median(theirs_cold):.0f}, ratio "
        f"{median(ours_cold) / median(theirs_cold):.2f}. All ways of NumPyro, tried: "
        + ", ".join(f"{m} {'dense' if d else 'diagonal'} {rate:.1f}" for (m, d), rate in rates.items())
    )
    assert ratio >= BAR
