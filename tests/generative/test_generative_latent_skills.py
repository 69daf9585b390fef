"""Latent skills: likelihood against plain loops, loadings that are recovered, cells that are predicted, refusals."""

import warnings

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit, log_expit

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.kernels.own_effect import interaction_density
from ds3bayes.strategies.walks import SOLVED, walk
from ds3bayes.theory.evaluate import python_mode

LOADINGS = np.array([1.5, 1.2, -1.3, 0.2, -1.0, 0.8, -0.3, 1.4])


def spec_of(**rest) -> ds3.ModelSpec:
    return ds3.ModelSpec.from_dict(
        {
            "capability": "latent_skills",
            "population": {"family": "normal", "reachability": False, "soundness": False},
            **rest,
        }
    )


def simulated(
    tasks: int,
    attempts: int,
    seed: int,
    llms: int = 8,
    spread: np.ndarray | float = 1.5,
    loading: np.ndarray = LOADINGS,
    own: np.ndarray | None = None,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return a table of LLMs that differ on a second skill, and the logit success of each (LLM, task)."""
    rng = np.random.default_rng(seed)
    z, u = rng.standard_normal((2, tasks))
    location, spread, loading = np.linspace(-1.5, 1.5, llms), np.full(llms, spread), loading[:llms]
    effects = (
        0.3 * rng.standard_normal((llms, tasks)) if own is None else own[:, None] * rng.standard_t(7, (llms, tasks))
    )
    x = location[:, None] + spread[:, None] * z + loading[:, None] * u + effects
    successes = rng.binomial(attempts, expit(x))
    rows = [
        (f"llm-{llm}", "b", f"t{task:02d}", "cot", attempts, successes[llm, task])
        for llm in range(llms)
        for task in range(tasks)
    ]
    return pd.DataFrame(rows, columns=["model", "benchmark", "task", "strategy", "attempts", "successes"]), x


def test_likelihood_is_that_of_finer_loops_over_both_skills_and_own_effects() -> None:
    table, _ = simulated(4, 5, 3, llms=3)
    spec = spec_of()
    design = make_design(ds3.read_evals(table), spec)
    model = assemble(spec, design)
    rng = np.random.default_rng(1)
    given = {v.name: rng.uniform(0.3, 1.2, size=v.eval(mode=python_mode()).shape) for v in model.free_RVs}
    outputs = [model["tasks_0"], model["location"], model["skill_loading"], model["skill_share"]]
    function = pytensor.function(model.free_RVs, outputs, mode=python_mode(), on_unused_input="ignore")
    found, location, loading, share = function(*given.values())
    # Loadings are a point of the half space, as far from the origin as its coordinates.
    size = given["loading_size"][0] ** 2 + (given["loading_rest"] ** 2).sum()
    assert (loading**2).sum() == pytest.approx(size, rel=1e-12)
    np.testing.assert_allclose(share, loading**2 / (loading**2 + given["spread"] ** 2))

    # Twice as many nodes of both skills, and each arm's own effect summed out at every one of them.
    block = design.blocks[0]
    nodes = block.tables[0].grid.nodes
    easiness, second = np.linspace(-6.0, 6.0, 121), np.linspace(-4.8, 4.8, 33)
    weight = stats.norm.pdf(easiness)[:, None] * stats.norm.pdf(second)
    products = weight / weight.sum() * np.ones((4, 1, 1))
    for column in range(3):
        centre = location[column] + given["spread"][column] * easiness[:, None] + loading[column] * second
        centre = np.clip(centre, nodes[0], nodes[-1])
        density = interaction_density(nodes, centre, given["interaction_sd"][column], 7)
        offsets, hat = block.tables[column].grid.within(5)
        for task in range(4):
            solved = table.query("model == @design.arms[@column].model").iloc[task]["successes"]
            likelihood = stats.binom.pmf(solved, 5, expit(nodes[:, None] + offsets)) @ hat
            products[task] *= density @ likelihood / density.sum(axis=-1)
    expected = np.log(products.sum(axis=(1, 2))).sum()
    assert float(found) == pytest.approx(expected, abs=1e-3)
    assert np.isfinite(model.compile_dlogp(mode=python_mode())(model.initial_point())).all()


@pytest.fixture(scope="module")
def fits() -> dict[str, xr.DataTree]:
    """One LLM was not evaluated on half of the tasks."""
    table, _ = simulated(60, 8, 0)
    hold = [{"where": "model == 'llm-7' and task >= 't30'"}]
    result = {}
    with warnings.catch_warnings():
        # Few draws suffice where inference is not under test.
        warnings.simplefilter("ignore", ds3.FitWarning)
        for kind in ("free", "latent_skills"):
            spec = spec_of(capability=kind, holdout=hold)
            fit = ds3.fit(ds3.read_evals(table), spec, draws=250, tune=400, chains=2, seed=0, progress=False)
            result[kind] = fit
    return result


def test_loadings_are_recovered_up_to_sign(fits) -> None:
    drawn = fits["latent_skills"]["posterior"]["skill_loading"]
    assert int(fits["latent_skills"]["sample_stats"]["diverging"].sum()) == 0
    mean, sd = drawn.mean(("chain", "draw")).values, drawn.std(("chain", "draw")).values
    # A common part of all loadings is easiness.
    truth = LOADINGS * np.sign(np.corrcoef(mean, LOADINGS)[0, 1])
    assert np.corrcoef(mean, truth)[0, 1] > 0.95
    gap, true_gap = mean - mean.mean(), truth - truth.mean()
    assert (np.abs(gap - true_gap) < 3 * sd).all()


def test_loadings_are_restated_by_other_data() -> None:
    """Truths of one data set and a fit to another keep different halves of the space, and other directions in it."""
    spec = spec_of()
    one, other = (make_design(ds3.read_evals(simulated(20, 6, seed, llms=4)[0]), spec) for seed in (1, 2))
    loading = np.array([0.7, -1.1, 0.4, -0.2])
    draw = {"skill_loading": loading, "location": np.zeros(4)}
    stated = [spec.capability.restated(draw, design) for design in (one, other)]
    for design, new in zip((one, other), stated, strict=True):
        model = assemble(spec, design)
        function = pytensor.function(
            [model["loading_size"], model["loading_rest"]],
            model["skill_loading"],
            mode=python_mode(),
            on_unused_input="ignore",
        )
        assert new["loading_size"].item() > 0
        np.testing.assert_allclose(function(new["loading_size"], new["loading_rest"]), new["skill_loading"])
        np.testing.assert_allclose(np.abs(new["skill_loading"]), np.abs(loading))
        assert np.unique(np.sign(new["skill_loading"] / loading)).size == 1
    assert not np.allclose(stated[0]["loading_rest"], stated[1]["loading_rest"])
    assert spec.capability.restated({"location": np.zeros(4)}, one).keys() == {"location"}


def test_what_other_llms_solve_predicts_better_than_their_common_easiness(fits) -> None:
    _, x = simulated(60, 8, 0)
    error = {}
    for kind, fit in fits.items():
        success = ds3.predict(fit, ["cot"], per_task=True)["success"].mean(("chain", "draw")).squeeze()
        found = success.sel(model="llm-7", task=[f"t{task:02d}" for task in range(30, 60)])
        error[kind] = float(np.abs(found.values - expit(x[7, 30:])).mean())
    assert error["latent_skills"] < 0.8 * error["free"]


def test_new_tasks_have_the_moments_of_the_law(fits) -> None:
    fit = fits["latent_skills"]
    new = ds3.predict(fit, ["cot"], tasks="new", new_tasks=512)["success"].mean(("chain", "draw")).squeeze()
    draws = {
        name: fit["posterior"][name].stack(s=("chain", "draw")) for name in ("location", "spread", "skill_loading")
    }
    draws["interaction_sd"] = fit["posterior"]["interaction_sd"].stack(s=("chain", "draw"))
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    for place, llm in enumerate(new["model"].values):
        centre, spread, loading, own = (
            draws[name].values[place] for name in ("location", "spread", "skill_loading", "interaction_sd")
        )
        # A Student t effect of 7 degrees of freedom has 7/5 of its squared scale as variance.
        sd = np.sqrt(spread**2 + loading**2 + 1.4 * own**2)
        mean = (expit(centre[:, None] + sd[:, None] * nodes) @ weights / weights.sum()).mean()
        assert float(new.sel(model=llm)) == pytest.approx(mean, abs=0.01)


@pytest.mark.slow
def test_recovery_over_many_data_sets(posteriors) -> None:
    """Means and covariances of logit success between LLMs, which do not depend on how the two skills are turned.

    Spreads, loadings and own effects differ from data set to data set, as the priors have them.
    """
    held: list[bool] = []
    above = np.triu_indices(8, 1)
    truths, tables = [], []
    for seed in range(20):
        rng = np.random.default_rng([seed, 7])
        spread, loading, own = (
            rng.lognormal(np.log(3.0), 0.35, 8),
            rng.standard_normal(8),
            rng.lognormal(np.log(0.7), 0.5, 8),
        )
        table, x = simulated(60, 8, 400 + seed, spread=spread, loading=loading, own=own)
        # Attempts at a path of 5 skills, step by step.
        rho = np.exp(log_expit(x) / 5).ravel()
        ends = walk(rho[:, None] + np.zeros(8), 0.2, 5, None, rng)
        table["successes"] = (ends.outcome == SOLVED).sum(axis=1)
        tables.append(ds3.read_evals(table))
        covariance = np.outer(spread, spread) + np.outer(loading, loading)
        truths.append(np.concatenate([np.linspace(-1.5, 1.5, 8), covariance[above]]))
    for truth, posterior in zip(truths, posteriors(tables, spec_of()), strict=True):
        location, *factors = (posterior[n].values.reshape(-1, 8) for n in ("location", "spread", "skill_loading"))
        covariance = sum(factor[:, :, None] * factor[:, None, :] for factor in factors)
        drawn = np.concatenate([location, covariance[:, *above]], axis=1)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        held += ((low <= truth) & (truth <= high)).tolist()
    share = np.mean(held)
    of = np.reshape(held, (20, -1))
    print(f"{len(held)} intervals, {share:.3f} hold the truth")
    print(f"of means {of[:, :8].mean():.3f}, of covariances {of[:, 8:].mean():.3f}")
    # Covariances share 16 numbers: as if 6 of the 36 intervals of a data set were independent, 3 errors are .08.
    assert 0.82 <= share <= 0.98


@pytest.mark.parametrize(
    ("llms", "population", "said"),
    [(2, {}, "three or more walks on the same tasks"), (3, {"family": "path"}, "with capability 'latent_skills' use")],
)
def test_what_is_refused(llms: int, population: dict, said: str) -> None:
    table, _ = simulated(3, 2, 0, llms=llms)
    if population:
        table = table.query("model == 'llm-0'")
    with pytest.raises(ds3.InputError, match=said):
        ds3.build_model(spec_of(population={"reachability": False, **population}), ds3.read_evals(table))
