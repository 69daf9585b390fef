"""Held-out and simulation-based calibration: bookkeeping on draws from priors, and (slow) whole studies by fits."""

import json

import jsonschema
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from typer.testing import CliRunner

import ds3bayes as ds3
from ds3bayes.answers import schema
from ds3bayes.cli import app
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.queries.calibration import BASELINES, by_simulation, held_out, uniformity
from ds3bayes.queries.calibration.by_simulation import _drawn, _layout
from ds3bayes.queries.calibration.coverage import pass_at_k
from ds3bayes.queries.calibration.held_out import read_counts
from ds3bayes.reports.calibration_figure import plot_ranks

Z = stats.norm.ppf(1 - 1e-4)


def counts_table(models: int = 2, tasks: int = 14, attempts: int = 400, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"llm{i}", "b", f"t{j}") for i in range(models) for j in range(tasks)]
    q = rng.beta(0.4, 1.0, len(rows))
    table = pd.DataFrame(rows, columns=["model", "benchmark", "task"])
    return table.assign(attempts=attempts, successes=rng.binomial(attempts, q))


@pytest.fixture(scope="module")
def from_the_prior():
    """Let "fits" return draws from the prior: nothing is compiled."""

    class Prior:
        code = None

        def __init__(self, design, spec):
            self.design, self.spec = design, spec

        def of(self, design):
            return Prior(design, self.spec)

        def sample(self, sampling, **_):
            posterior = prior_draws(self.design, self.spec, sampling.seed, sampling.draws)
            diverging = xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, sampling.draws), dtype=bool))})
            return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": diverging})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held_out, "compile_model", Prior)
        yield


@pytest.fixture(scope="module")
def scored(from_the_prior):
    evals = ds3.read_evals(counts_table().assign(strategy="cot"))
    return ds3.held_out_calibration(
        evals,
        samples=(20,),
        at=(20, 300),
        seeds=2,
        fits=("alone", "joint"),
        least_attempts=400,
        draws=20,
        chains=1,
        forecast_draws=20,
        progress=False,
    )


# --- held out -----------------------------------------------------------------------------------------------


def test_every_forecaster_is_scored_on_every_subsample(scored):
    assert list(scored["forecaster"].values) == ["ds3bayes", "ds3bayes, joint fit", *BASELINES]
    assert list(scored["sampler"].values) == ["llm0 | b | cot", "llm1 | b | cot"]
    assert np.isfinite(scored["crps"]).all()
    table = counts_table()
    mine = table[table["model"] == "llm1"]
    for k in (20, 300):
        seen = float(scored["truth"].sel(sampler="llm1 | b | cot", at=k))
        assert seen == pytest.approx(pass_at_k(mine["successes"], 400, k).mean(), rel=1e-12)
    assert ((scored["pit"] >= 0) & (scored["pit"] <= 1)).all()
    assert np.isfinite(scored["log_score"]).all()
    np.testing.assert_allclose(scored["error"], abs(scored["mean"] - scored["truth"]))
    assert scored["divergences"].sum() == 0


def test_forecasts_know_the_attempts_that_they_saw(from_the_prior):
    # With all attempts seen there is nothing left to forecast: every conjugate forecast, and ours, is the truth.
    evals = ds3.read_evals(counts_table(attempts=30).assign(strategy="cot"))
    result = ds3.held_out_calibration(
        evals,
        samples=(30,),
        at=(7,),
        seeds=1,
        least_attempts=30,
        baselines=["beta-binomial, empirical Bayes"],
        draws=10,
        chains=1,
        progress=False,
    )
    np.testing.assert_allclose(
        result["mean"], np.broadcast_to(result["truth"].values[None, :, None, :, None], (2, 2, 1, 1, 1))
    )
    np.testing.assert_allclose(result["crps"], 0.0, atol=1e-12)


def test_the_table_sums_up(scored):
    table = ds3.calibration_table(scored, levels=(0.9,))
    assert len(table) == 2 * scored.sizes["forecaster"]
    row = table[(table["samples"] == 20) & (table["at"] == 300) & (table["forecaster"] == "ds3bayes")].iloc[0]
    at = scored.sel(samples=20, at=300, forecaster="ds3bayes")
    assert row["crps"] == pytest.approx(float(at["crps"].mean()))
    assert row["cover 0.9"] == pytest.approx(float((abs(at["pit"] - 0.5) <= 0.45).mean()))
    assert row["crps above ours"] == 0.0
    assert table["se"].notna().all()


def a_point(counts, k, draws, rng):
    """Mean of pass@k as if each task's success were what was seen of it."""
    return np.array([(1 - (1 - counts.successes / counts.samples) ** k).mean()])


def calibrated(from_the_prior, table, **more):
    arguments = {"samples": (20,), "at": (50,), "seeds": 2, "least_attempts": 400, "draws": 20, "chains": 1}
    evals = ds3.read_evals(table.assign(strategy="cot"))
    return ds3.held_out_calibration(evals, progress=False, forecast_draws=40, **{**arguments, **more})


def test_rivals_of_ones_own(from_the_prior):
    result = calibrated(from_the_prior, counts_table(), baselines=[a_point, "beta-binomial"])
    assert list(result["forecaster"].values) == ["ds3bayes", "a_point", "beta-binomial"]
    point = result.sel(forecaster="a_point")
    np.testing.assert_allclose(point["crps"], point["error"])
    table = ds3.calibration_table(result, levels=(0.9,)).set_index("forecaster")
    # An interval without a width covers nothing, and misses nothing.
    assert np.isnan(table.loc["a_point", ["cover 0.9", "log_score"]].to_numpy(dtype=float)).all()
    assert table.loc["beta-binomial", "cover 0.9"] >= 0
    named = calibrated(from_the_prior, counts_table(), baselines={"mine": a_point})
    np.testing.assert_array_equal(named["crps"].sel(forecaster="mine"), point["crps"])
    for wrong, said in (
        ({"mine": lambda *_: np.array([1.5])}, r"rival 'mine' returned an array of shape \(1,\) with values from 1.5"),
        ({"mine": lambda *_: np.zeros((3, 2))}, r"shape \(S,\), or \(S, 14\) of each task"),
        ({"ds3bayes": a_point}, "under another name than ds3bayes"),
        ([a_point, a_point], "'a_point' is there twice"),
        (["beta-binomal"], "Did you mean 'beta-binomial'"),
    ):
        with pytest.raises(ds3.InputError, match=said):
            calibrated(from_the_prior, counts_table(), baselines=wrong)


def test_llms_and_benchmarks_are_chosen(from_the_prior):
    table = pd.concat([counts_table(), counts_table().assign(benchmark="other")])
    chosen = calibrated(from_the_prior, table, baselines=[], models=["llm1"], benchmarks=["b"])
    assert list(chosen["sampler"].values) == ["llm1 | b | cot"]
    with pytest.raises(ds3.InputError, match="models: got 'llm7'; allowed: llm0, llm1"):
        calibrated(from_the_prior, table, models=["llm7"])
    with pytest.raises(ds3.InputError, match="benchmarks: got 'bb'; allowed: b, other"):
        calibrated(from_the_prior, table, benchmarks=["bb"])


def test_llms_on_the_same_tasks_are_no_independent_evidence(scored):
    # One LLM under ten names: as sure as of one, and not as of ten.
    one = scored.isel(sampler=[0])
    copies = xr.concat([one.assign_coords(sampler=[f"copy {i}"]) for i in range(10)], "sampler")
    alone, tenfold = (ds3.calibration_table(result).set_index(["at", "forecaster"]) for result in (one, copies))
    rival = (300, "beta-binomial, empirical Bayes")
    assert alone.loc[rival, "se"] > 0
    assert tenfold.loc[rival, "se"] == pytest.approx(alone.loc[rival, "se"], rel=1e-9)
    # LLMs whose differences have nothing to do with tasks: the error over LLMs.
    own = copies.copy(deep=True)
    shifts = xr.DataArray(np.linspace(-0.3, 0.3, 10), dims="sampler")
    for name in ("crps", "crps_without"):
        own[name] = xr.zeros_like(own[name]) + shifts.where(own["forecaster"] != "ds3bayes", 0.0)
    found = ds3.calibration_table(own).set_index(["at", "forecaster"]).loc[rival, "se"]
    assert found == pytest.approx(np.linspace(-0.3, 0.3, 10).std(ddof=1) / np.sqrt(10))


def test_parts_of_tasks_are_left_out_of_forecast_and_truth(from_the_prior):
    table = counts_table(tasks=20, models=1)

    def all_right(counts, k, draws, rng):
        return np.ones(3)

    result = calibrated(
        from_the_prior,
        table,
        baselines={"by task": lambda c, k, *_: np.ones((3, c.successes.size)), "whole": all_right},
        seeds=1,
    )
    read = pass_at_k(table["successes"], 400, 50)
    for name in ("by task", "whole"):
        without = result["crps_without"].sel(forecaster=name).squeeze()
        assert without.notnull().all()
        # Parts of two tasks each: the mean over parts is the mean over tasks.
        assert float(without.mean()) == pytest.approx(1 - read.mean(), rel=1e-9)
        assert float(without.std()) > 0


def test_sampling_is_summed_up_once_per_fit(scored):
    troubled = scored.copy(deep=True)
    troubled["divergences"].loc[{"fit": "joint", "seed": 1}] = 3.0
    troubled["divergences"].loc[{"fit": "alone", "sampler": "llm1 | b | cot"}] = 2.0
    table = ds3.sampling_table(troubled).set_index("fit")
    # Two samplers by two subsamples alone, two joint fits that both samplers share.
    assert table["fits"].to_dict() == {"alone": 4, "joint": 2}
    assert table["divergences"].to_dict() == {"alone": 4, "joint": 3}
    assert table.loc["alone", "ess"] == float(scored["ess"].sel(fit="alone").min())
    assert table.loc["joint", "seconds"] == pytest.approx(
        float(scored["seconds"].sel(fit="joint").mean("sampler").sum())
    )


def test_what_cannot_be_scored_is_left_out_or_refused(from_the_prior):
    table = counts_table(models=3).assign(strategy="cot")
    table.loc[table["model"] == "llm1", "successes"] = 0
    table.loc[table.index[-1], ["attempts", "successes"]] = [50, 5]
    arguments = {"samples": (4,), "at": (20,), "seeds": 1, "draws": 10, "chains": 1, "progress": False, "baselines": []}
    result = ds3.held_out_calibration(ds3.read_evals(table), least_attempts=400, **arguments)
    assert list(result["sampler"].values) == ["llm0 | b | cot"]
    assert "llm1 | b | cot: no success at all" in result.attrs["left_out"]
    assert "llm2 | b | cot: a task has 50 attempts only, fewer than 400" in result.attrs["left_out"]
    refused = [
        ({"least_attempts": 5000}, "no sampler has 5000 attempts"),
        ({"samples": (4, 4)}, r"samples = \[4, 4\]"),
        ({"at": ()}, r"at = \[\]"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"fits": ("together",)}, "allowed: alone, joint"),
        ({"baselines": ["beta-binomal"]}, "Did you mean 'beta-binomial'"),
    ]
    for change, said in refused:
        with pytest.raises(ds3.InputError, match=said):
            ds3.held_out_calibration(ds3.read_evals(table), **{**arguments, **change})
    votes = table.assign(strategy="majority", n_samples=4)
    with pytest.raises(ds3.InputError, match="not single attempts"):
        ds3.held_out_calibration(ds3.read_evals(votes), **arguments)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_minimal_table_is_of_single_attempts(tmp_path, suffix):
    path = tmp_path / f"counts{suffix}"
    table = counts_table().assign(task=lambda frame: "0" + frame["task"].str[1:])
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
    evals = read_counts(path)
    assert set(evals["strategy"].values) == {"cot"}
    assert "07" in evals["task"].values
    table.assign(strategy="direct").to_csv(tmp_path / "told.csv", index=False)
    assert set(read_counts(tmp_path / "told.csv")["strategy"].values) == {"direct"}
    with pytest.raises(ds3.InputError, match=r"none\.csv: there is no such table"):
        read_counts(tmp_path / "none.csv")


def test_commands(from_the_prior, tmp_path, root, monkeypatch):
    path = tmp_path / "counts.csv"
    counts_table(tasks=6).to_csv(path, index=False)
    words = [
        "calibrate",
        str(path),
        "--samples",
        "4",
        "--at",
        "20",
        "--seeds",
        "1",
        "--least-attempts",
        "100",
        "--json",
    ]
    (tmp_path / "my_rivals.py").write_text(
        "import numpy as np\ndef half(counts, k, draws, rng):\n    return np.full(draws, 0.5)\n"
    )
    monkeypatch.chdir(tmp_path)
    chosen = ["--model", "llm0", "--benchmark", "b", "--rival", "beta-binomial", "--rival", "my_rivals:half"]
    answer = CliRunner().invoke(app, [*words, *chosen])
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    assert {row["forecaster"] for row in told["scores"]} == {"ds3bayes", "beta-binomial", "half"}
    assert told["sampling"][0]["fits"] == 1
    answer = CliRunner().invoke(app, [*words, "--rival", "my_rivals:third"])
    assert isinstance(answer.exception, ds3.InputError)
    answer = CliRunner().invoke(app, words)
    assert answer.exit_code == 0, answer.output
    told = json.loads(answer.stdout)
    jsonschema.validate(told, schema("calibrate"))
    assert told["left_out"] == "none"
    assert {row["forecaster"] for row in told["scores"]} == {"ds3bayes", *BASELINES}
    assert [(row["fit"], row["fits"], row["divergences"]) for row in told["sampling"]] == [("alone", 2, 0)]
    assert "ds3bayes calibrate counts.csv" in CliRunner().invoke(app, ["calibrate", "--help"]).stdout
    spec = str(root / "models" / "game24.toml")
    answer = CliRunner().invoke(app, ["sbc", spec, "--picture", "ranks.jpg"])
    assert isinstance(answer.exception, ds3.InputError)
    assert "ds3bayes sbc models" in CliRunner().invoke(app, ["sbc", "--help"]).stdout


# --- by simulation ------------------------------------------------------------------------------------------


def ranks_of(values: np.ndarray) -> xr.Dataset:
    return xr.Dataset({"x": ("fit", values)}, attrs={"ranks": 50})


def test_uniformity_tells_bias_and_width():
    rng = np.random.default_rng(4)
    even = ranks_of(rng.integers(0, 50, 400))
    assert ds3.sbc_check(even).passed
    high = ranks_of(np.minimum(rng.integers(0, 50, 400) + 8, 49))
    narrow = ranks_of(np.where(rng.random(400) < 0.5, rng.integers(0, 12, 400), rng.integers(38, 50, 400)))
    wide = ranks_of(rng.integers(14, 36, 400))
    for ranks, said in ((high, "too low"), (narrow, "too narrow"), (wide, "too wide")):
        outcome = ds3.sbc_check(ranks)
        assert not outcome.passed
        assert said in outcome.sentence
    assert uniformity(high)["mean"][0] > 0.6


def test_false_alarms_are_as_rare_as_said():
    rng = np.random.default_rng(5)
    p = [uniformity(ranks_of(rng.integers(0, 50, 200)))["p"][0] for _ in range(300)]
    # Twice the smaller of two P values: at most the nominal rate; 1 false alarm in 10,000 allowed.
    assert (np.array(p) < 0.05).sum() <= stats.binom.ppf(1 - 1e-4, 300, 0.05)


def test_ranks_have_a_picture():
    rng = np.random.default_rng(6)
    ranks = xr.Dataset(
        {"x": (("fit", "walk"), rng.integers(0, 50, (60, 2))), "y": ("fit", rng.integers(0, 50, 60))},
        coords={"walk": ["a", "b"]},
        attrs={"ranks": 50},
    )
    figure = plot_ranks(ranks)
    titles = [axis.get_title() for axis in figure.axes if axis.get_visible()]
    assert titles == ["x\na", "x\nb", "y"]


class PriorOfLoneLLM:
    """A "model" whose posterior is its prior."""

    code = None

    def __init__(self, design, spec):
        self.spec = spec

    def of(self, design):
        return self

    def sample(self, sampling, **_):
        rng = np.random.default_rng([9, sampling.seed])
        names = {"location": "walk", "spread": "walk", "skew": "population", "reachability": "model_benchmark"}
        size = (1, sampling.draws, 1)
        drawn = {name: (("chain", "draw", dim), self.spec.prior(name).draw(size, rng)) for name, dim in names.items()}
        diverging = xr.Dataset({"diverging": (("chain", "draw"), np.zeros(size[:2], dtype=bool))})
        return xr.DataTree.from_dict({"posterior": xr.Dataset(drawn), "sample_stats": diverging})


def test_priors_for_posteriors_are_ranked_uniformly(monkeypatch):
    # Truths and "posterior" draws from one law: the bookkeeping of ranks by itself.
    monkeypatch.setattr(by_simulation, "compile_model", PriorOfLoneLLM)
    evals = ds3.simulate(tasks=2, attempts=4, seed=1).evals
    ranks = ds3.sbc(evals, fits=100, progress=False)
    assert ranks.attrs["drawn_by"] == "model"
    assert {"location", "spread", "skew", "reachability"} <= set(ranks.data_vars)
    assert ds3.sbc_check(ranks, false_alarm=1e-3).passed
    # Of 100 fits with 19 independent draws each; as seen from their mean, those correlate by -1/19.
    assert abs(ranks.attrs["correlated"] + 1 / 19) < 4 / np.sqrt(100 * 19)
    assert "raise thin" not in ds3.sbc_check(ranks).sentence
    assert "raise thin" in ds3.sbc_check(ranks.assign_attrs(correlated=0.3)).sentence
    shifted = ds3.ModelSpec.from_dict({"priors": {"location": {"family": "Normal", "mu": 3.0, "sigma": 3.0}}})
    outcome = ds3.sbc_check(ds3.sbc(evals, fits=100, fit_spec=shifted, progress=False))
    assert not outcome.passed
    assert "location" in outcome.sentence


@pytest.mark.parametrize("drawn_by", ["model", "simulator"])
def test_counts_drawn_follow_the_population(drawn_by):
    spec = ds3.ModelSpec.from_dict(
        {
            "priors": {
                "location": {"family": "Normal", "mu": -0.4, "sigma": 1e-6},
                "spread": {"family": "LogNormal", "mu": 0.3, "sigma": 1e-6},
                "skew": {"family": "Normal", "mu": 0.8, "sigma": 1e-6},
                "reachability": {"family": "Beta", "alpha": 7e8, "beta": 3e8},
            }
        }
    )
    table = pd.DataFrame({"model": "m", "benchmark": "b", "task": [f"t{i}" for i in range(400)], "strategy": "cot"})
    evals = ds3.read_evals(table.assign(attempts=3, successes=0))
    draw, _ = _drawn(_layout(evals, None), spec, 10, drawn_by, 2)
    counts = np.stack([draw(index)["successes"] for index in range(10)]).ravel()
    # The two-piece normal written out: mean -0.4, sd exp(0.3), log ratio of sides 0.8; 0.7 reachable.
    left, right = np.exp(0.4), np.exp(-0.4)
    scale = np.exp(0.3) / np.sqrt((1 - 2 / np.pi) * (right - left) ** 2 + 1)
    x = np.linspace(-14, 12, 20001)
    mode = -0.4 - scale * np.sqrt(2 / np.pi) * (right - left)
    density = np.exp(-0.5 * ((x - mode) / (scale * np.where(x < mode, left, right))) ** 2)
    density /= density.sum()
    q = 1 / (1 + np.exp(-x))
    for c in range(4):
        expected = 0.7 * (density * stats.binom.pmf(c, 3, q)).sum() + 0.3 * (c == 0)
        seen = (counts == c).mean()
        assert abs(seen - expected) < Z * np.sqrt(expected * (1 - expected) / counts.size), c


def test_tokens_drawn_follow_their_law():
    spec = ds3.ModelSpec.from_dict(
        {
            "population": {"path_length": 4},
            "tokens": {"tokens_per_step": 1.0},
            "priors": {
                "log_tokens": {"family": "Normal", "mu": 6.0, "sigma": 1e-6},
                "token_slope": {"family": "Normal", "mu": 0.3, "sigma": 1e-6},
                "token_sd": {"family": "LogNormal", "mu": -1.0, "sigma": 1e-6},
            },
        }
    )
    table = pd.DataFrame({"model": "m", "benchmark": "b", "task": [f"t{i}" for i in range(200)], "strategy": "cot"})
    evals = ds3.read_evals(table.assign(attempts=5, successes=0, tokens_mean=400.0))
    draw, _ = _drawn(_layout(evals, None), spec, 8, "model", 3)
    logs = np.log(np.stack([draw(index)["tokens_mean"] for index in range(8)]))
    # Easiness has sd 1, so slope and own sd add up; a mean of 5 attempts of 4 steps each adds (1/4 - 1/e^6)/5.
    variance = 0.3**2 + np.exp(-2.0) + (0.25 - np.exp(-6.0)) / 5
    assert abs(logs.mean() - 6.0) < Z * np.sqrt(variance / logs.size)
    # Variance of a sample variance of a law of kurtosis near 3, doubled for the skewed part.
    assert abs(logs.var() - variance) < Z * 2 * variance * np.sqrt(2 / logs.size)


def test_what_cannot_be_replicated_is_refused():
    aggregated = pd.DataFrame(
        {"model": ["m"], "benchmark": "b", "strategy": "cot", "tasks": 30, "attempts": 30, "successes": 9}
    )
    evals = ds3.simulate(tasks=3, attempts=4, seed=1).evals
    many = ds3.simulate(tasks=3, attempts=4, models=2, seed=1).evals
    with pytest.raises(ds3.InputError, match="rows have no task"):
        ds3.sbc(ds3.read_evals(aggregated), progress=False)
    with pytest.raises(ds3.InputError, match="fits, tune, thin and cores must be at least 1"):
        ds3.sbc(evals, fits=0, progress=False)
    with pytest.raises(ds3.InputError, match="is for one LLM"):
        ds3.sbc(many, drawn_by="simulator", progress=False)
    with pytest.raises(ds3.InputError, match="'model', 'simulator'"):
        ds3.sbc(evals, drawn_by="nature", progress=False)


# --- whole studies ------------------------------------------------------------------------------------------

NARROW = {
    "location": {"family": "Normal", "mu": 0.0, "sigma": 1.5},
    "spread": {"family": "LogNormal", "mu": 0.5, "sigma": 0.4},
}
# A third of the tasks.
UNSOUND = {"soundness": {"family": "Beta", "alpha": 4.0, "beta": 2.0}}
WIDE = {"family": "LogNormal", "mu": 0.5, "sigma": 0.8}
LAYOUTS = {
    "one LLM": ({"tasks": 30, "attempts": 8}, {"priors": NARROW}),
    "path": ({"tasks": 30, "attempts": 8}, {"priors": NARROW, "population": {"family": "path"}}),
    "shared tasks": ({"tasks": 20, "attempts": 6, "models": 3}, {"priors": NARROW}),
    "unsound tasks": ({"tasks": 20, "attempts": 6, "models": 3}, {"priors": NARROW | UNSOUND}),
    "pooled LLMs": ({"tasks": 20, "attempts": 6, "models": 5}, {}),
    "asked budgets": ({"tasks": 12, "attempts": 6, "models": 2, "budget_tokens": [4000, 16000, 32000]}, {}),
    "latent skills": ({"tasks": 20, "attempts": 6, "models": 4}, {"capability": "latent_skills"}),
}


def layout(**arguments) -> xr.Dataset:
    made = ds3.evals.to_table(ds3.simulate(**arguments, seed=1).evals)
    kept = ["model", "benchmark", "task", "strategy", "budget_tokens", "attempts", "successes"]
    return ds3.read_evals(made[[name for name in kept if name in made]])


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_right_models_pass(name):
    arguments, spec = LAYOUTS[name]
    ranks = ds3.sbc(layout(**arguments), ds3.ModelSpec.from_dict(spec), fits=200, progress=False)
    outcome = ds3.sbc_check(ranks, false_alarm=1e-3)
    assert outcome.passed, outcome
    assert ranks.attrs["compilations"] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tasks"),
    [("game24", 15), ("training_runs", 10), ("skill_graph", 12), ("gsm8k_voting", 20), ("training_grid", 4)],
)
def test_shipped_models_pass(name, tasks, root):
    """Trees and tokens, a loss bridge, a skill graph, votes, a skill hierarchy: fewer tasks; the last takes 40 min."""
    spec = ds3.ModelSpec.from_toml(root / "models" / f"{name}.toml")
    ranks = ds3.sbc(spec.data.read(), spec, fits=200, tasks=tasks, progress=False)
    outcome = ds3.sbc_check(ranks, false_alarm=1e-3)
    print(name, outcome, ranks.attrs)
    assert outcome.passed, outcome


@pytest.mark.slow
def test_walks_of_the_simulator_pass():
    evals, spec = layout(tasks=30, attempts=8), ds3.ModelSpec.from_dict({"priors": NARROW})
    outcome = ds3.sbc_check(ds3.sbc(evals, spec, fits=200, drawn_by="simulator", progress=False), false_alarm=1e-3)
    assert outcome.passed, outcome


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "fits", "right", "wrong"),
    [
        # Few data, so that the prior shows: 30 tasks of 8 attempts would drown it.
        ({"tasks": 8, "attempts": 4}, 600, NARROW, {"priors": NARROW | {"spread": WIDE}}),
        # A task out of reach fails every attempt; this likelihood takes its failures for separate bad luck.
        ({"tasks": 30, "attempts": 8}, 200, NARROW, {"priors": NARROW, "population": {"reachability": False}}),
        # One unsound is so for all LLMs; this likelihood takes it for three that each lack a skill.
        (
            {"tasks": 20, "attempts": 6, "models": 3},
            200,
            NARROW | UNSOUND,
            {"priors": NARROW, "population": {"soundness": False}},
        ),
    ],
    ids=["a prior twice as wide", "reachability is not shared", "soundness is not shared"],
)
def test_wrong_models_fail(arguments, fits, right, wrong):
    spec, other = (ds3.ModelSpec.from_dict(content) for content in ({"priors": right}, wrong))
    ranks = ds3.sbc(layout(**arguments), spec, fits=fits, fit_spec=other, progress=False)
    assert not ds3.sbc_check(ranks).passed


@pytest.mark.slow
def test_intervals_cover_what_they_say():
    # 40 LLMs whose tasks the default model did not make: success is Beta(0.4, 1) over tasks.
    evals = ds3.read_evals(counts_table(models=40, tasks=40, attempts=1000).assign(strategy="cot"))
    result = ds3.held_out_calibration(evals, samples=(10,), at=(100,), seeds=1, baselines=[], progress=False)
    inside = int((abs(result["pit"].sel(forecaster="ds3bayes") - 0.5) <= 0.45).sum())
    # False alarm 1 in 1000 below; above there is no harm.
    assert inside >= stats.binom.ppf(1e-3, 40, 0.9)
    assert int(result["divergences"].sum()) == 0
