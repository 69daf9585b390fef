"""ArviZ's tools take fits as they are, and what fits warn of is specific."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from scipy import stats

import ds3bayes as ds3
from ds3bayes.inference import fit as fitting
from ds3bayes.inference import refits
from ds3bayes.inference.check import leave_out_by_refits
from ds3bayes.inference.checks import leave_one_out, sampling_faults
from ds3bayes.inference.compiled import compile_model
from ds3bayes.inference.fit import warn_of_faults


def rows(tasks: int = 24, attempts: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    return pd.DataFrame(
        {
            "model": "a",
            "benchmark": "b",
            "task": [f"t{i}" for i in range(tasks)],
            "strategy": "cot",
            "attempts": attempts,
            "successes": rng.binomial(attempts, rng.beta(0.8, 0.8, tasks)),
        }
    )


@pytest.fixture(scope="module")
def code():
    """Compile the one-LLM model once for all fits and refits of this module; count the compilations."""
    kept = []

    def compiled(design, spec, *, swap=True):
        del swap
        kept.append(kept[-1].of(design) if kept else compile_model(design, spec))
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "compile_model", compiled)
        patch.setattr(refits, "compile_model", compiled)
        yield kept


@pytest.fixture(scope="module")
def good(code):
    # Warnings are errors: this fit must not warn.
    return ds3.fit(ds3.read_evals(rows()), draws=500, tune=500, chains=4, seed=0, task_draws=1000, progress=False)


def with_posterior(fit: xr.DataTree, **variables: np.ndarray) -> xr.DataTree:
    posterior = fit["posterior"].to_dataset()
    changed = fit.copy()
    changed["posterior"] = xr.DataTree(posterior.assign({k: (posterior[k].dims, v) for k, v in variables.items()}))
    return changed


def with_stats(fit: xr.DataTree, **variables: np.ndarray) -> xr.DataTree:
    changed = fit.copy()
    dims = ("chain", "draw")
    changed["sample_stats"] = xr.DataTree(
        fit["sample_stats"].to_dataset().assign({k: (dims, v) for k, v in variables.items()})
    )
    return changed


def only_fault(fit: xr.DataTree) -> str:
    (fault,) = sampling_faults(fit)[0]
    with pytest.warns(ds3.FitWarning) as caught:
        warn_of_faults(fit)
    assert [str(one.message) for one in caught] == [fault]
    return fault


# --- warnings -----------------------------------------------------------------------------------------------


def test_draws_outlast_a_fault_in_looking_at_them(monkeypatch):
    def breaks(*_):
        raise RuntimeError("no such measure")

    monkeypatch.setattr("ds3bayes.inference.checks.sampling_faults", breaks)
    evals = ds3.simulate(tasks=4, attempts=5, seed=1).evals
    with pytest.warns(ds3.FitWarning, match="RuntimeError: no such measure"):
        fit = ds3.fit(evals, draws=20, tune=50, chains=1, progress=False)
    assert fit["posterior"].sizes["draw"] == 20


def test_a_good_fit_does_not_warn(good):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_faults(good)
    assert sampling_faults(good)[0] == []


def test_divergences_name_where_they_lie(good):
    spread = good["posterior"]["spread"].values[..., 0]
    low = spread <= np.sort(spread.ravel())[19]
    fault = only_fault(with_stats(good, diverging=low))
    assert fault.startswith("20 of 2,000 draws diverged, most where spread[a | b | cot] is small (median ")
    assert "Set target_accept = 0.95 in [sampling] (it was 0.9)" in fault
    # Of divergences all over the place no parameter is blamed.
    anywhere = np.random.default_rng(0).permuted(low.ravel()).reshape(low.shape)
    assert "most where" not in only_fault(with_stats(good, diverging=anywhere))


def test_chains_that_disagree_are_told_by_how_much(good):
    location = good["posterior"]["location"].values
    fault = only_fault(with_posterior(good, location=location + np.array([0.0, 0.0, 0.0, 4.0])[:, None, None]))
    assert "chains disagree about 1 of 4 parameters, most about location[a | b | cot] (r-hat 1." in fault
    assert "double tune and draws (draws were 500)" in fault


def test_too_few_draws_are_told_how_many_are_needed(good):
    # Half-chains of the very same values, that stand still nine draws out of ten.
    rng = np.random.default_rng(3)
    values = stats.norm.ppf((np.arange(25) + 0.5) / 25)
    halves = [np.repeat(rng.permutation(values), 10) for _ in range(8)]
    fit = with_posterior(good, skew=np.concatenate(halves).reshape(4, 500, 1))
    fault = only_fault(fit)
    least = sampling_faults(fit)[1].loc["skew[a | b | cot]", ["ess_bulk", "ess_tail"]].min()
    assert 100 < least < 400
    assert f"only {least:.0f} effective draws of skew[a | b | cot] (at least 400 are wanted)" in fault
    wanted = int(fault.split("set draws = ")[1].split()[0])
    # A fifth more than in proportion, rounded up to hundreds.
    assert 0 <= wanted - 1.2 * 500 * 400 / least < 100


def test_depth_and_energy_are_told(good):
    deep = np.zeros((4, 500), dtype=bool)
    deep[:, :50] = True
    assert "10% of draws stopped at the largest tree depth" in only_fault(with_stats(good, reached_max_treedepth=deep))
    # Energy that follows a slow walk.
    slow = np.cumsum(np.random.default_rng(1).standard_normal((4, 500)), axis=1)
    fault = only_fault(with_stats(good, energy=slow))
    assert "4 of 4 chains hardly changed their energy (BFMI 0.0" in fault


def test_influential_tasks_are_told(good):
    tasks = good["log_likelihood"]["tasks"]
    heavy = tasks.values.copy()
    # Three tasks of 24 whose likelihood depends on the draws as much as e^(3 normal) does: Pareto k is near 1.
    heavy[..., :3] += 3.0 * np.random.default_rng(2).standard_normal(heavy[..., :3].shape)
    changed = good.copy()
    changed["log_likelihood"] = xr.DataTree(good["log_likelihood"].to_dataset().assign(tasks=(tasks.dims, heavy)))
    with pytest.warns(ds3.FitWarning) as caught:
        warn_of_faults(changed)
    (said,) = [str(one.message) for one in caught]
    assert "3 of 24 tasks decide much of the fit (Pareto k above 0.7)" in said
    assert "another population.family" in said
    assert "`ds3.check(fit)` says by refits what leaving them out changes" in said
    assert not leave_one_out(changed).passed


# --- ArviZ --------------------------------------------------------------------------------------------------


def test_k_fold_agrees_with_leave_one_out(good, code):
    loo = az.loo(good, var_name="tasks", pointwise=True)
    assert (loo.pareto_k < 0.5).all()
    before = len({model.code for model in code})
    refit = ds3.TaskRefits(good, draws=500, tune=500, chains=4, seed=1)
    fold = az.loo_kfold(good, refit, var_name="tasks", k=6, pointwise=True)
    assert len({model.code for model in code}) == before == 1
    assert list(fold.elpd_i["task"].values) == list(loo.elpd_i["task"].values)
    difference = fold.elpd_i.values - loo.elpd_i.values
    assert abs(difference.sum()) < 3 * np.sqrt(difference.size * difference.var())
    # Both are below the density of tasks that were seen.
    seen = np.log(np.exp(good["log_likelihood"]["tasks"].values).mean((0, 1)))
    assert (seen - loo.elpd_i.values).sum() > 0
    assert (seen - fold.elpd_i.values).sum() > 0


def test_left_out_tasks_are_not_seen(good):
    refit = ds3.TaskRefits(good)
    without, places = refit.sel_observations(np.array([2, 5]))
    labels = good["log_likelihood"]["task"].values[places]
    assert without.sum() == 2
    assert {label.split(" | ")[-1] for label in labels} == set(refit.evals["task"].values[without])


def test_likelihood_of_left_out_tasks_is_the_fits(good):
    refit = ds3.TaskRefits(good)
    draws = good["log_likelihood"]["draw"].values
    at = xr.DataTree.from_dict({"posterior": good["posterior"].to_dataset().sel(draw=draws)})
    np.testing.assert_allclose(
        refit.log_likelihood__i(np.array([3, 1]), at).transpose("chain", "draw", "task"),
        good["log_likelihood"]["tasks"].values[..., [3, 1]],
        rtol=1e-10,
    )


def test_aggregates_cannot_be_left_out_as_tasks(prior_fit):
    table = pd.DataFrame(
        {"model": "a", "benchmark": "b", "strategy": "cot", "tasks": [50], "attempts": [50], "successes": [20]}
    )
    with pytest.raises(ds3.InputError, match="no tasks to leave out"):
        ds3.TaskRefits(prior_fit(ds3.read_evals(table)))


def test_compare_ranks_fits_by_left_out_tasks(good, prior_fit):
    # A fit that has learned nothing: its draws are the prior's.
    unlearned = prior_fit(ds3.read_evals(rows()), draws=1000)
    with warnings.catch_warnings():
        # Weights of draws from the prior vary widely.
        warnings.simplefilter("ignore", UserWarning)
        ranked = az.compare({"prior": unlearned, "posterior": good}, var_name="tasks", round_to="none")
    assert list(ranked.index) == ["posterior", "prior"]
    assert float(ranked["elpd"].iloc[0]) == pytest.approx(float(az.loo(good, var_name="tasks").elpd))


def test_power_scaling_takes_a_thinned_fit(good):
    summary = az.psense_summary(ds3.thinned(good))
    assert set(summary.index) == {f"{name}[a | b | cot]" for name in ("location", "spread", "skew")} | {
        "reachability[a | b]"
    }
    assert np.isfinite(summary[["prior", "likelihood"]].to_numpy()).all()
    # Location is learned from the data, skew is not.
    assert summary["likelihood"]["location[a | b | cot]"] > summary["likelihood"]["skew[a | b | cot]"]


def test_log_prior_is_the_priors(good):
    location = good["posterior"]["location"].values
    np.testing.assert_allclose(good["log_prior"]["location"], stats.norm(-1.0, 3.0).logpdf(location))


def test_diagnose_finds_all_it_looks_for(good):
    wrong, found = az.diagnose(good, show_diagnostics=False, return_diagnostics=True)
    assert not wrong
    assert set(found) == {"divergent", "treedepth", "bfmi", "ess", "rhat"}


# --- checks -------------------------------------------------------------------------------------------------


def test_what_cannot_fail_is_a_note(good):
    results = ds3.check(good)
    assert [one.name for one in results if one.note] == ["what was learned", "dependence on the prior"]
    for one in results:
        assert str(one).startswith("note  " if one.note else "pass  ")


def test_every_check_has_all_its_parts(good):
    for result in ds3.check(good):
        assert isinstance(result.passed, bool)
        assert result.sentence.endswith(".")
        assert len(result.table)
        figure = result.picture()
        assert isinstance(figure, Figure)
        figure.canvas.draw()
        (axes,) = figure.axes
        assert result.name in axes.get_title(loc="left")
        assert any(len(marks.get_offsets()) for marks in axes.collections if hasattr(marks, "get_offsets"))


def test_checks_of_a_handful_of_draws_say_that_they_need_more(good):
    draws = good["log_likelihood"]["draw"].values
    for some, short in ((6, True), (7, False)):
        few = good.map_over_datasets(
            lambda data, some=some: data.sel(draw=draws[:some]) if "draw" in data.dims else data
        )
        few.attrs = good.attrs
        results = {result.name: result for result in ds3.check(few)}
        for name in ("leave one task out", "dependence on the prior"):
            said = f"needs at least 25 draws, this fit has {4 * some}: raise draws in [sampling], or task_draws."
            assert (results[name].sentence == said) is short
            results[name].picture().canvas.draw()


def test_pictures_draw_on_given_axes(good):
    axes = Figure().subplots(1, 2)
    figure = leave_one_out(good).picture(ax=axes[1])
    assert figure is axes[0].figure
    assert not axes[0].collections
    assert len(axes[1].collections[0].get_offsets()) == 24


# --- leaving out by refits ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def heavy(good):
    """The good fit, whose pointwise likelihoods of three tasks are spoilt: importance sampling fails for these."""
    tasks = good["log_likelihood"]["tasks"]
    values = tasks.values.copy()
    values[..., :3] += 3.0 * np.random.default_rng(2).standard_normal(values[..., :3].shape)
    changed = good.copy()
    changed["log_likelihood"] = xr.DataTree(good["log_likelihood"].to_dataset().assign(tasks=(tasks.dims, values)))
    return changed


def test_influential_tasks_are_left_out_by_refits(good, heavy):
    found = leave_out_by_refits(heavy, refits=20, seed=1)
    assert found.passed
    assert ", 3 tasks of Pareto k above 0.7 left out by refits" in found.sentence
    assert "none of these moves the expected success at new tasks by more than 1 posterior sd" in found.sentence
    # Refits know nothing of the spoilt numbers: they find what importance sampling finds of the good ones.
    right = leave_one_out(good).table.set_index("task")["elpd"]
    elpd = found.table.set_index("task")["elpd"]
    refitted = found.table.loc[found.table["moved"].notna(), "task"]
    assert len(refitted) == 3
    # Densities of one task vary over draws by a factor of about e^.5; 500 correlated draws, four standard errors.
    np.testing.assert_allclose(elpd[refitted], right[refitted], atol=4 * 0.5 / np.sqrt(100))
    others = [name for name in right.index if name not in set(refitted)]
    np.testing.assert_allclose(elpd[others], right[others], rtol=1e-12)
    assert f"({elpd.sum():.1f} in all" in found.sentence


def test_what_is_not_refitted_is_said(heavy):
    some = leave_out_by_refits(heavy, refits=1, seed=1)
    assert not some.passed
    assert "; 2 of 24 tasks decide much of the fit (Pareto k above 0.7), most" in some.sentence
    assert "beyond the 1 refits that are made at most (`ds3.check(fit, refits=3)`)" in some.sentence


def test_a_task_that_moves_predictions_is_named(heavy, monkeypatch):
    monkeypatch.setattr("ds3bayes.inference.checks.MAX_MOVE", 0.0)
    monkeypatch.setattr("ds3bayes.inference.checks.SMALL_MOVE", 0.0)
    found = leave_out_by_refits(heavy, refits=3, seed=1)
    assert not found.passed
    assert found.sentence.count("the expected success at new tasks moves by") == 3
    assert "of a | b | cot from 0." in found.sentence
    assert "see whether their rows are right; if they are, success at new tasks is as uncertain" in found.sentence


def test_rows_without_a_task_are_left_out_by_refits(short_fit):
    table = pd.DataFrame({"effort": ["low", "medium", "high"], "successes": [10, 21, 30], "attempts": 50, "tasks": 50})
    table = pd.concat([table, table.assign(model="b", successes=[4, 9, 48])]).fillna({"model": "a"})
    fit = short_fit(ds3.read_evals(table.assign(benchmark="b", strategy="cot")))
    wrapper = ds3.TaskRefits(fit, draws=150, chains=2, seed=1, var_name="aggregates")
    draws = fit["log_likelihood"]["draw"].values
    at = xr.DataTree.from_dict({"posterior": fit["posterior"].to_dataset().sel(draw=draws)})
    kept = fit["log_likelihood"]["aggregates"]
    np.testing.assert_allclose(
        wrapper.log_likelihood__i(np.array([5, 1]), at).transpose("chain", "draw", "aggregate"),
        kept.transpose("chain", "draw", "aggregate").values[..., [5, 1]],
        rtol=1e-8,
    )
    without, places = wrapper.sel_observations(np.array([5]))
    assert without.sum() == 1
    assert kept["aggregate"].values[places[0]].startswith("b | b | cot(effort=")
    with pytest.warns(ds3.FitWarning):
        refit = wrapper.sample(without)
    # Seen by no refit, the row is less likely than in the fit.
    left = wrapper.log_likelihood__i(places, refit).values
    assert np.log(np.exp(left).mean()) < np.log(np.exp(kept.values[..., 5]).mean())
