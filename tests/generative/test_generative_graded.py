"""Ordered scores: their likelihood, what is learned from them, and what is predicted."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.generative import density
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.observation.graded import Graded, log_grades_of_failures
from ds3bayes.generative.task_effects import PopulationAtDraws
from ds3bayes.inference.artifact import prior_draws

GAPS = np.array([0.9, 0.5])


def graded(
    tasks: int = 60, attempts: int = 4, llms: int = 2, seed: int = 0, benchmark: str = "b", out: float = 0.0
) -> pd.DataFrame:
    """Attempts scored from 0 to 3 by cut points on their logit success; a share of tasks is out of reach."""
    rng = np.random.default_rng(seed)
    cuts = np.array([GAPS.sum(), GAPS[1], 0.0])
    easiness = rng.normal(size=tasks)
    rows = []
    for llm in range(llms):
        x = -0.5 + 0.8 * llm + 1.8 * easiness + 0.6 * rng.standard_t(7, tasks)
        for task in range(tasks):
            scores = (x[task] + cuts[:, None] > rng.logistic(size=attempts)).sum(axis=0)
            if task < out * tasks:
                # Out of reach: what a failed attempt gets.
                chance = np.exp(log_grades_of_failures(x[[task]], GAPS, np)[:, 0])
                scores = rng.choice(3, attempts, p=chance)
            rows.append(
                {"model": f"m{llm}", "task": f"t{task}", "grades": "|".join(map(str, scores)), "grade_max": 3}
                | {"attempts": attempts, "successes": int((scores == 3).sum())}
            )
    return pd.DataFrame(rows).assign(benchmark=benchmark, strategy="cot")


@pytest.mark.parametrize("gaps", [np.array([]), np.array([0.3]), np.array([0.9, 0.5, 2.0])])
def test_scores_of_failed_attempts_are_differences_of_logistic_functions(gaps):
    x = np.linspace(-8, 8, 33)
    cuts = np.append(np.cumsum(gaps[::-1])[::-1], 0.0)
    at_least = np.vstack([np.ones_like(x), expit(x + cuts[:, None])])
    expected = (at_least[:-1] - at_least[1:]) / (1 - expit(x))
    np.testing.assert_allclose(np.exp(log_grades_of_failures(x, gaps, np)), expected, rtol=1e-10)
    np.testing.assert_allclose(np.exp(log_grades_of_failures(x, gaps, np)).sum(axis=0), 1.0, rtol=1e-12)
    far = log_grades_of_failures(np.array([-700.0, 40.0]), gaps, np)
    assert np.isfinite(far).all()


@pytest.mark.parametrize("reachability", [True, False])
@pytest.mark.parametrize("llms", [1, 2])
def test_likelihood_is_that_of_the_page(llms, reachability):
    frame = graded(tasks=6, llms=llms, seed=3, out=0.3)
    # Some attempts that nobody graded, and a task without any grade.
    frame.loc[1, ["attempts", "successes"]] += [2, 1]
    frame.loc[2, "grades"] = ""
    spec = ds3.ModelSpec.from_dict({"population": {"reachability": reachability}})
    design = make_design(ds3.read_evals(frame), spec)
    block, truth = design.blocks[0], prior_draws(design, spec, seed=2, draws=3)
    population, grid = PopulationAtDraws(design, spec, truth), block.tables[0].grid.nodes
    for index in range(3):
        at = {str(name): truth[name].values[0, index] for name in truth.data_vars}
        arms = [
            density.ArmLaw(
                llm=f"m{i}",
                mean_logit=lambda z, i=i, at=at: at["location"][i] + at["spread"][i] * z,
                own_sd=at["interaction_sd"][i] if llms > 1 else 1.0,
                gaps=tuple(at["grade_gap"]),
            )
            for i in range(llms)
        ]
        gamma = at["reachability"] if reachability else np.ones(llms)
        found = population(0, at)["log_marginal"][block.distinct[1]]
        for task, name in enumerate(block.tasks):
            data = []
            for i in range(llms):
                row = frame[(frame["task"] == name) & (frame["model"] == f"m{i}")].iloc[0]
                scores = [int(part) for part in row["grades"].split("|") if part]
                data.append(
                    density.Counts(
                        attempts=int(row["attempts"]),
                        successes=int(row["successes"]),
                        scores=tuple(scores.count(k) for k in range(3)),
                    )
                )
            skew = float(at["skew"][0])
            if llms == 1:
                nodes = density.Nodes(easiness=grid, width=np.ones_like(grid), logit=grid)
                expected = density.log_density_of_one(
                    data[0],
                    arms[0],
                    location=at["location"][0],
                    spread=at["spread"][0],
                    skew=skew,
                    gamma=gamma[0],
                    nodes=nodes,
                )
            else:
                width = np.exp(block.easiness.log_width)
                nodes = density.Nodes(easiness=block.easiness.nodes, width=width, logit=grid)
                of_llm = {f"m{i}": float(gamma[i]) for i in range(llms)}
                dof = spec.population.interaction_dof
                sound = float(at["soundness"][0])
                expected = density.log_density(
                    data, arms, skew=skew, gamma=of_llm, soundness=sound, nodes=nodes, dof=dof
                )
            assert found[task] == pytest.approx(expected, rel=1e-8)


@pytest.fixture(scope="module")
def fitted(short_fit) -> tuple[xr.DataTree, pd.DataFrame]:
    # On one benchmark some tasks have counts and no grades.
    frame = graded(tasks=80, seed=1)
    frame.loc[frame["task"].isin([f"t{i}" for i in range(20)]), "grades"] = ""
    return short_fit(ds3.read_evals(frame), draws=300), frame


def test_cut_points_are_recovered(fitted):
    fit, _ = fitted
    gaps = fit["posterior"]["grade_gap"]
    assert [str(one) for one in gaps["grade_step"].values] == ["b | 1 instead of 2", "b | 2 instead of 3"]
    mean, sd = gaps.mean(("chain", "draw")).values, gaps.std(("chain", "draw")).values
    assert (np.abs(mean - GAPS) < 3.5 * sd).all()
    assert (sd < 0.2).all()
    assert int(fit["sample_stats"]["diverging"].sum()) == 0


def test_grades_tell_tasks_apart_that_counts_do_not(short_fit):
    """All attempts fail, some with two of three points and some with none."""
    table = pd.DataFrame({"task": [f"t{i}" for i in range(40)], "successes": 0, "attempts": 4, "grade_max": 3})
    table["grades"] = ["2|2|2|2"] * 10 + ["0|0|0|0"] * 10 + [""] * 20
    table.loc[20:, "successes"] = np.arange(20) % 5
    fit = short_fit(ds3.read_evals(table.assign(model="m", benchmark="b", strategy="cot")))
    success = ds3.predict(fit, ["cot"], per_task=True)["success"].mean(("chain", "draw")).squeeze()
    near = success.sel(task=[f"t{i}" for i in range(10)]).mean()
    far = success.sel(task=[f"t{i}" for i in range(10, 20)]).mean()
    assert near > far + 0.01


def test_expected_scores_and_thresholds_are_predicted(fitted):
    fit, frame = fitted
    told = frame[frame["grades"] != ""]
    for which in ("observed", "new"):
        pred = ds3.predict_grades(fit, tasks=which)
        assert pred["grade"].dims == ("chain", "draw", "sampler")
        np.testing.assert_allclose(pred["grade"], pred["at_least"].sum("threshold"), rtol=1e-12)
        assert (pred["at_least"].diff("threshold") <= 1e-12).all()
        assert pred["at_least"].min() >= 0
        assert pred["at_least"].max() <= 1
    per_task = ds3.predict_grades(fit, per_task=True).sel(task=sorted(set(told["task"])))
    for model, rows in told.groupby("model"):
        scores = np.array([[int(part) for part in text.split("|")] for text in rows["grades"]])
        mine = per_task.isel(sampler=int(np.flatnonzero(per_task["model"].values == model)[0])).mean("task")
        wanted = {"grade": (mine["grade"], scores.mean(), 0.1)}
        wanted |= {k: (mine["at_least"].sel(threshold=k), (scores >= k).mean(), 0.04) for k in (1, 2, 3)}
        for name, (drawn, observed, most) in wanted.items():
            # The mean over tasks of what is believed of these very attempts: off by its own sd, at most.
            assert abs(float(drawn.mean()) - observed) < min(3.5 * float(drawn.std()), most), name
    success = ds3.predict(fit, ["cot"], tasks="observed")["success"].squeeze(drop=True)
    full = ds3.predict_grades(fit)["at_least"].sel(threshold=3).swap_dims(sampler="model")
    np.testing.assert_allclose(full.transpose(*success.dims), success, rtol=1e-12)


def test_benchmarks_have_scales_of_their_own(prior_fit):
    letters = graded(tasks=5, seed=4, benchmark="letters")
    letters["grades"] = [text.replace("2", "1").replace("3", "2") for text in letters["grades"]]
    frame = pd.concat(
        [graded(tasks=5), letters.assign(grade_max=2), graded(tasks=5, benchmark="plain").drop(columns="grades")]
    )
    fit = prior_fit(ds3.read_evals(frame))
    assert fit["posterior"].sizes["grade_step"] == 3
    pred = ds3.predict_grades(fit)
    assert set(pred["benchmark"].values) == {"b", "letters"}
    of_letters = pred.isel(sampler=np.flatnonzero(pred["benchmark"].values == "letters"))
    assert of_letters["at_least"].sel(threshold=3).isnull().all()
    assert of_letters["grade"].max() <= 2
    assert (of_letters["grade_max"] == 2).all()


def test_one_step_scales_are_counts(prior_fit):
    frame = graded(tasks=4).assign(grade_max=1)
    frame["grades"] = [
        "|".join(["1"] * int(right) + ["0"] * int(n - right))
        for right, n in zip(frame["successes"], frame["attempts"], strict=True)
    ]
    evals, plain = ds3.read_evals(frame), ds3.read_evals(frame.drop(columns=["grades", "grade_max"]))
    spec = ds3.ModelSpec()
    truth = prior_draws(make_design(plain, spec), spec, seed=1, draws=1)
    at = {str(name): truth[name].values[0, 0] for name in truth.data_vars}
    found = []
    for one in (evals, plain):
        design = make_design(one, spec)
        by_task = PopulationAtDraws(design, spec, truth)(0, at)["log_marginal"][design.blocks[0].distinct[1]]
        found.append(by_task)
    np.testing.assert_allclose(*found, rtol=1e-12)
    assert "grade_gap" not in prior_fit(evals)["posterior"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"grades": "7|0|0|0"}, "the largest is 7, above grade_max 3"),
        ({"grades": "3|3|0|0", "successes": 1}, "2 with full credit"),
        ({"grade_max": np.nan}, "without grade_max"),
        ({"grade_max": 2.5}, "grade_max"),
        ({"grades": "a|b"}, "integers >= 0"),
        ({"grade_max": 100}, "grade_max"),
        ({"strategy": "majority", "n_samples": 3}, "single attempts"),
    ],
)
def test_faults_are_named_before_anything_is_built(change, said):
    frame = graded(tasks=3)
    if "strategy" in change:
        frame["n_samples"] = np.nan
    frame = frame.astype({"grade_max": float})
    for name, value in change.items():
        frame.loc[0, name] = value
    with pytest.raises(ds3.InputError, match=said):
        ds3.build_model(ds3.ModelSpec(), ds3.read_evals(frame))


def test_full_credit_is_one_grade_per_benchmark():
    frame = graded(tasks=3)
    frame.loc[frame["model"] == "m1", "grade_max"] = 4
    frame.loc[frame["model"] == "m1", ["grades", "successes"]] = ["0|1|1|2", 0]
    with pytest.raises(ds3.InputError, match=r"grade_max is 3 in some rows and 4"):
        ds3.build_model(ds3.ModelSpec(), ds3.read_evals(frame))


def test_a_fit_without_grades_says_so(game24_fit):
    with pytest.raises(ds3.InputError, match="holds no grades"):
        ds3.predict_grades(game24_fit)
    with pytest.raises(ds3.InputError, match="'observed', 'new'"):
        ds3.predict_grades(game24_fit, tasks="newest")


class OneCut(Graded):
    """A wrong model: all steps of a scale are one logit, whatever was learned."""

    def gaps(self, benchmark, design, given):
        return super().gaps(benchmark, design, given) * 0.0 + 1.0


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_calibration_by_simulation(right):
    """Truths are ranked evenly, and cut points of a model that ignores its gaps are not."""
    frame = graded(tasks=25, llms=1, attempts=4)
    ranks = ds3.sbc(ds3.read_evals(frame), ds3.ModelSpec(), fits=200, progress=False)
    outcome = ds3.queries.calibration.sbc_check(ranks)
    print(outcome.sentence, ranks.attrs)
    if right:
        assert outcome.passed
        return
    from ds3bayes.generative.observation import OBSERVATIONS

    honest = OBSERVATIONS["graded"]
    wrong = OneCut()
    # Data are drawn by the right law, and fitted by the wrong one.
    wrong.draw_rows = honest.draw_rows  # type: ignore[method-assign]
    OBSERVATIONS["graded"] = wrong
    try:
        ranks = ds3.sbc(ds3.read_evals(frame), ds3.ModelSpec(), fits=200, progress=False)
    finally:
        OBSERVATIONS["graded"] = honest
    assert not ds3.queries.calibration.sbc_check(ranks).passed
