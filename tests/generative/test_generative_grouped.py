"""Groups of tasks and of LLMs: the likelihood, what is learned of them, what is predicted of each."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.evals import COLUMNS, keep_columns
from ds3bayes.evals.schema import COLUMN, remove_columns
from ds3bayes.generative import density
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.observation.tokens import tokens_of
from ds3bayes.generative.task_effects import PopulationAtDraws
from ds3bayes.inference.artifact import prior_draws

GROUPS = ("algebra", "geometry", "logic")
EFFECT = {"algebra": 1.2, "geometry": -1.2, "logic": 0.0}
SPEC = ds3.ModelSpec.from_dict({"capability": {"kind": "grouped", "tasks": ["category"]}})


def grouped(tasks: int = 60, llms: int = 3, attempts: int = 6, gap: float = 2.0, seed: int = 0) -> pd.DataFrame:
    """LLMs on tasks of three groups; the last LLM is better by ``gap`` at geometry."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in range(tasks):
        group, z = GROUPS[task % 3], rng.normal()
        for llm in range(llms):
            own = gap if llm == llms - 1 and group == "geometry" else 0.0
            q = expit(-0.5 + 0.5 * llm + EFFECT[group] + own + 1.2 * z + 0.3 * rng.standard_t(7))
            rows.append((f"m{llm}", f"t{task}", rng.binomial(attempts, q), group, 1 + task % 2))
    frame = pd.DataFrame(rows, columns=["model", "task", "successes", "category", "level"])
    return frame.assign(benchmark="b", strategy="cot", attempts=attempts)


@pytest.fixture(scope="module")
def fitted(short_fit) -> xr.DataTree:
    return short_fit(ds3.read_evals(grouped()), SPEC)


@pytest.mark.parametrize("columns", [["category"], ["category", "level"]])
def test_likelihood_is_that_of_the_page(columns):
    """Every task has the law of its groups, by `ds3bayes.generative.density`, one task after the other."""
    frame = grouped(tasks=7)
    frame.loc[frame["task"] == "t3", "category"] = ""
    frame["tokens_mean"] = 100.0 + 10.0 * frame["successes"]
    spec = ds3.ModelSpec.from_dict(
        {"capability": {"kind": "grouped", "tasks": columns}, "population": {"path_length": 2}}
    )
    design = make_design(ds3.read_evals(frame), spec)
    block, draws = design.blocks[0], prior_draws(design, spec, seed=5, draws=3)
    population = PopulationAtDraws(design, spec, draws)
    for at in range(3):
        one = draws.isel(chain=0, draw=at)
        found = population(0, {str(n): one[n].values for n in one.data_vars})["log_marginal"][block.distinct[1]]
        for number, task in enumerate(block.tasks):
            facts = frame[frame["task"] == task].iloc[0]
            groups = [f"{name}: {facts[name]}" for name in columns if facts[name] != ""]
            arms, data = [], []
            for column, index in enumerate(block.arms):
                arm, label = design.arms[index], design.labels[index]
                shift = sum(
                    float(one["group_effect"].sel(task_group=group))
                    + float(one["llm_group_effect"].sel(task_group=group, llm=arm.model))
                    for group in groups
                )
                level = float(one["location"].sel(walk=label)) + shift
                spread = float(one["spread"].sel(walk=label))
                log_tokens = float(one["log_tokens"].sel(timed_arm=label))
                arms.append(
                    density.ArmLaw(
                        llm=arm.pair,
                        mean_logit=lambda z, level=level, spread=spread: level + spread * z,
                        own_sd=float(one["interaction_sd"].sel(linked_arm=label)),
                        log_tokens=log_tokens,
                        token_slope=float(one["token_slope"].sel(timed_arm=label)),
                        token_sd=float(one["token_sd"].sel(timed_arm=label)),
                        length_spread=float(one["length_spread"].sel(linked_timed_arm=label)),
                        attempt_variance=max(1 / 2 - design.tokens_per_step / np.exp(log_tokens), 0.0),
                    )
                )
                data.append(
                    density.Counts(
                        attempts=int(block.attempts[number, column]),
                        successes=int(block.successes[number, column]),
                        log_tokens=float(tokens_of(block)[0][number, column]),
                        timed=float(tokens_of(block)[1][number, column]),
                    )
                )
            gamma = {pair: float(one["reachability"].sel(model_benchmark=pair)) for pair in design.pairs}
            nodes = density.Nodes(
                easiness=block.easiness.nodes, width=np.exp(block.easiness.log_width), logit=block.tables[0].grid.nodes
            )
            skew, dof = float(one["skew"].values[0]), spec.population.interaction_dof
            sound = float(one["soundness"].values[0])
            wanted = density.log_density(data, arms, skew=skew, gamma=gamma, soundness=sound, nodes=nodes, dof=dof)
            # Tasks with few alike are looked up between locations of the table.
            assert abs(found[number] - wanted) < 5e-3 + 1e-3 * abs(wanted)


def test_tasks_without_groups_are_those_of_free():
    """Where no group shifts anything, the law is that of capability 'free'."""
    frame = grouped(tasks=30)
    free = ds3.ModelSpec()
    evals = ds3.read_evals(frame)
    designs = {spec.capability.kind: make_design(evals, spec) for spec in (free, SPEC)}
    draws = prior_draws(designs["grouped"], SPEC, seed=1, draws=2)
    draws["group_effect"] = draws["group_effect"] * 0.0
    draws["llm_group_effect"] = draws["llm_group_effect"] * 0.0
    of_tasks = []
    for spec in (free, SPEC):
        design = designs[spec.capability.kind]
        draw = {str(name): draws[name].values[0, 0] for name in draws.data_vars}
        terms = PopulationAtDraws(design, spec, draws)(0, draw)
        of_tasks.append(terms["log_marginal"][design.blocks[0].distinct[1]])
    np.testing.assert_allclose(*of_tasks, atol=5e-3)


def test_groups_and_what_one_llm_is_good_at_are_learned(fitted):
    posterior = fitted["posterior"]
    effect = posterior["group_effect"].mean(("chain", "draw"))
    assert list(effect["task_group"].values) == [f"category: {group}" for group in GROUPS]
    own = posterior["llm_group_effect"].mean(("chain", "draw"))
    of_first = effect + own.sel(llm="m0")
    assert float(of_first[0] - of_first[1]) == pytest.approx(2.4, abs=1.0)
    own = own.sel(task_group="category: geometry")
    assert float(own.sel(llm="m2") - own.sel(llm=["m0", "m1"]).mean()) > 0.7
    assert {"group_sd", "llm_group_sd", "location"} <= set(posterior.data_vars)


def test_predictions_by_group_are_means_over_its_tasks(fitted):
    found = ds3.predict_by(fitted, ["cot", "best_of_n(n=3)"])
    assert found["success"].dims == ("chain", "draw", "model", "benchmark", "strategy", "group")
    assert list(found["group"].values) == list(GROUPS)
    assert found["tasks"].values.tolist() == [[20, 20, 20]]
    pred = ds3.predict(fitted, ["cot"], per_task=True)["success"].squeeze("benchmark")
    table = grouped()
    mine = sorted(set(table.loc[table["category"] == "logic", "task"]))
    wanted = pred.sel(task=mine).mean("task").squeeze("strategy")
    logic = found["success"].sel(group="logic", strategy="cot").squeeze("benchmark")
    np.testing.assert_allclose(logic.transpose(*wanted.dims), wanted, rtol=1e-5)
    share = table[table["category"] == "logic"].groupby("model")["successes"].sum() / (20 * 6)
    seen = found["observed"].sel(group="logic", strategy="cot").squeeze("benchmark")
    np.testing.assert_allclose(seen.sel(model=list(share.index)), share, rtol=1e-12)
    assert np.isnan(found["observed"].sel(strategy="best_of_n(n=3, verifier=oracle)")).all()
    assert (np.abs(logic.mean(("chain", "draw")) - seen) < 0.08).all()
    best = found["success"].mean(("chain", "draw")).sel(strategy="cot", group="geometry").squeeze("benchmark")
    assert float(best.sel(model="m2")) > float(best.sel(model="m1")) + 0.2


def test_levels_are_groups_in_their_order(fitted):
    found = ds3.predict_by(fitted, ["cot"], by="level")
    assert list(found["group"].values) == ["1", "2"]
    with pytest.raises(ds3.InputError, match=r"by = 'categry'.*they have: .*category.*Did you mean 'category'"):
        ds3.predict_by(fitted, by="categry")


def test_a_new_task_is_like_an_observed_one(fitted):
    new, seen = (
        ds3.predict(fitted, ["cot"], tasks=which)["success"].mean(("chain", "draw")) for which in ("new", "observed")
    )
    assert (np.abs(new - seen) < 0.08).all()


def test_classes_of_llms_shift_their_pool(short_fit):
    rng = np.random.default_rng(4)
    rows = [
        (f"m{llm}", f"t{task}", rng.binomial(4, expit((1.5 if llm % 2 else -1.5) + rng.normal())), "yx"[llm % 2])
        for llm in range(8)
        for task in range(20)
    ]
    frame = pd.DataFrame(rows, columns=["model", "task", "successes", "family"])
    evals = ds3.read_evals(frame.assign(benchmark="b", strategy="cot", attempts=4))
    fit = short_fit(evals, ds3.ModelSpec.from_dict({"capability": {"kind": "grouped", "llms": ["family"]}}))
    effect = fit["posterior"]["llm_class_effect"].mean(("chain", "draw"))
    assert float(effect.sel(llm_class="family: x") - effect.sel(llm_class="family: y")) > 1.0
    assert "task_group" not in fit["posterior"].dims


def test_further_columns_are_kept_where_they_are_asked_for(tmp_path):
    frame = grouped(tasks=6).rename(columns={"category": "topic"}).assign(licence="open")
    path = tmp_path / "evals.csv"
    frame.to_csv(path, index=False)
    before = list(COLUMNS)
    try:
        content = {
            "data": {"path": "evals.csv", "task_columns": ["topic"], "model_columns": ["licence"]},
            "capability": {"kind": "grouped", "tasks": ["topic"]},
        }
        (tmp_path / "spec.toml").write_text(ds3.ModelSpec.from_dict(content).to_toml(), encoding="utf-8")
        spec = ds3.ModelSpec.from_toml(tmp_path / "spec.toml")
        evals = spec.data.read()
        assert set(evals["topic"].values) == set(GROUPS)
        assert {"task_column", "task_group"} <= set(ds3.build_model(spec, evals).coords)
        with pytest.raises(ds3.InputError, match="columns topic have a meaning of their own"):
            keep_columns(["topic"], about="model")
    finally:
        remove_columns([column for column in list(COLUMN.values()) if column not in before])


@pytest.mark.parametrize(
    ("capability", "change", "said"),
    [
        ({"tasks": ["kind"]}, {}, r"'kind' is no column about tasks; allowed: .*category"),
        ({"tasks": ["language"]}, {}, "the table has no column 'language', or it is blank"),
        ({"tasks": ["category"]}, {"category": "algebra"}, r"column 'category' has one group only \(algebra\)"),
        ({"llms": ["family"]}, {"family": "x"}, r"column 'family' has one group only \(x\)"),
        ({"tasks": ["category"]}, {"task": ""}, "rows have no task"),
    ],
)
def test_what_tells_nothing_apart_is_refused(capability, change, said):
    frame = grouped(tasks=6).assign(**change)
    if "task" in change:
        frame["tasks"] = 6
        frame["level"] = 1
        frame = frame.drop_duplicates("model").assign(category="algebra")
    spec = ds3.ModelSpec.from_dict({"capability": {"kind": "grouped", **capability}})
    with pytest.raises(ds3.InputError, match=said):
        make_design(ds3.read_evals(frame), spec)


def test_a_spec_needs_columns():
    with pytest.raises(ds3.InputError, match=r"needs columns: tasks = \['category'\]"):
        ds3.ModelSpec.from_dict({"capability": "grouped"})
    with pytest.raises(ds3.InputError, match="category are given twice"):
        ds3.ModelSpec.from_dict({"capability": {"kind": "grouped", "tasks": ["category", "category"]}})
    two = grouped(tasks=6, llms=2).assign(family=lambda t: t["model"])
    with pytest.raises(ds3.InputError, match="fewer than 4 samplers ran on b"):
        ds3.build_model(
            ds3.ModelSpec.from_dict({"capability": {"kind": "grouped", "llms": ["family"]}}), ds3.read_evals(two)
        )


def test_samplers_are_selected_by_llm(fitted, game24_fit):
    found = ds3.samplers(fitted)
    assert found["location"].dims == ("chain", "draw", "sampler")
    one = found.sel(model="m1")
    np.testing.assert_array_equal(one["location"], fitted["posterior"]["location"].sel(walk="m1 | b | cot"))
    assert "reachability" in found
    assert "group_effect" not in found
    # A tree has parameters of its own, and no location.
    trees = ds3.samplers(game24_fit)
    walk, tree = (trees.sel(strategy=name) for name in ("cot", "tot"))
    assert np.isfinite(walk["location"]).all()
    assert np.isnan(tree["location"]).all()
    assert np.isfinite(tree["answer_fidelity"]).all()
    assert np.isnan(walk["answer_fidelity"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_calibration_by_simulation(right):
    """Truths are ranked evenly; a model that takes all LLMs to be alike within a group is found out."""
    evals = ds3.read_evals(grouped(tasks=24, llms=3, attempts=3))
    content = SPEC.model_dump(mode="json")
    wide = ds3.ModelSpec.from_dict(
        content | {"priors": {"llm_group_sd": {"family": "LogNormal", "mu": float(np.log(1.5)), "sigma": 0.2}}}
    )
    blind = ds3.ModelSpec.from_dict(
        content | {"priors": {"llm_group_sd": {"family": "LogNormal", "mu": float(np.log(0.05)), "sigma": 0.2}}}
    )
    ranks = ds3.sbc(evals, wide, fits=200, fit_spec=wide if right else blind, progress=False)
    outcome = ds3.sbc_check(ranks)
    print(outcome.sentence, ranks.attrs)
    assert outcome.passed == right


def test_the_command_predicts_by_group(fitted, tmp_path):
    from typer.testing import CliRunner

    from ds3bayes.cli import app

    path = str(ds3.save(fitted, tmp_path / "run.nc"))
    result = CliRunner().invoke(app, ["predict", path, "-s", "cot", "--by", "category", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    assert len(rows) == 9
    assert {row["group"] for row in rows} == set(GROUPS)
    assert all(row["success_lower"] <= row["success"] <= row["success_upper"] and row["tasks"] == 20 for row in rows)
    assert all(abs(row["success"] - row["observed"]) < 0.1 for row in rows)
    refused = CliRunner().invoke(app, ["predict", path, "--by", "category", "--tasks", "new"])
    assert refused.exit_code != 0
    assert "observed tasks" in str(refused.exception)
