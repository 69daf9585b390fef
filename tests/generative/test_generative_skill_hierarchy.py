"""Skill hierarchy: tables against their laws, a task's success against plain numbers, recovery, refusals."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.special import betainc, expit, logit, softmax
from scipy.stats import poisson

import ds3bayes as ds3
from ds3bayes.evals import to_table
from ds3bayes.evals.scenarios import training_grid
from ds3bayes.generative import terms
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.capability import skill_hierarchy
from ds3bayes.generative.model import assemble
from ds3bayes.kernels.best_level import success_at_best_level
from ds3bayes.theory import hierarchy
from ds3bayes.theory.evaluate import evaluate, python_mode

LENGTHS = tuple(range(1, 16))


def spec_of(**rest) -> ds3.ModelSpec:
    return ds3.ModelSpec.from_dict({"capability": "skill_hierarchy", "population": {"reachability": False}, **rest})


def test_tables_are_the_laws_they_stand_for():
    rng = np.random.default_rng(0)
    steps = np.array([20.0, 80.0, 320.0, 80.0])
    skills = rng.uniform(1.0, 60.0, size=200)
    step_logit = rng.uniform(-8.0, 6.0, size=200)
    r, whole, allowed = expit(step_logit), np.floor(skills), steps[:, None]
    # Tasks of one level that is within reach, along edges that are there.
    here = [pt.as_tensor(one[None, :, None]) for one in (skills, np.log(r))] + [pt.zeros((1, 1, 1))] * 2
    table = skill_hierarchy._finishing(steps)
    found = success_at_best_level(table, skill_hierarchy._STEP_LOGITS, np.zeros(4, dtype=int), np.arange(4), *here)
    found = found.eval(mode=python_mode())[:, 0]

    def finished(m):
        possible = m <= allowed
        return np.where(possible, betainc(m, np.where(possible, allowed - m + 1, 1.0), r), 0.0)

    expected = (1 - skills + whole) * finished(whole) + (skills - whole) * finished(whole + 1)
    # Stated in the docstring.
    np.testing.assert_allclose(found, expected, atol=2e-4)
    degree = rng.uniform(-11.0, 11.0, size=500)
    found = skill_hierarchy._log_component(pt.as_tensor(degree)).eval(mode=python_mode())
    np.testing.assert_allclose(found, evaluate(hierarchy.smooth_log_component, degree), atol=5e-5)


def test_success_of_a_task_is_the_formula_at_its_level_and_length():
    evals, spec = training_grid(tasks=3, attempts=2).evals, spec_of()
    design = make_design(evals, spec)
    model = assemble(spec, design)
    rng = np.random.default_rng(1)
    given = {v.name: rng.uniform(0.2, 0.8, size=v.eval(mode=python_mode()).shape) for v in model.free_RVs}
    given |= {"concept_scale": np.array(2300.0), "decay": np.array(9.5), "skills": np.array(9e3)}
    given |= {"sigma": np.array(0.55), "relevance": np.array(4.0), "task_level": np.array([31.0])}
    given |= {"task_level_sd": np.array([2.5]), "task_length": np.array([4.2])}
    names = list(given)
    symbols = {name: pt.as_tensor(model[name]).type(name) for name in names}
    own = {**{name: symbols[name] for name in names}}
    scaled = symbols["concept_effect"] * symbols["concept_sd"]
    frontier = hierarchy.highest_level(
        pt.exp(np.log(design.params) - pt.log(symbols["concept_scale"]) + scaled), symbols["decay"], symbols["skills"]
    )
    law = spec.capability.task_law(design.blocks[0], 0, design, spec, {**own, "frontier": frontier})
    function = pytensor.function(
        list(symbols.values()), [law.log_weight, law.location, frontier], mode=python_mode(), on_unused_input="ignore"
    )
    log_weight, location, frontier = function(*[given[name] for name in names])

    model_frontier = pytensor.function(model.free_RVs, model["frontier"], mode=python_mode(), on_unused_input="ignore")
    in_model = model_frontier(*[given[v.name] for v in model.free_RVs])
    # 20 tokens per parameter: peeling learns all.
    np.testing.assert_allclose(in_model, frontier, rtol=1e-10)

    nodes = np.linspace(-3.0, 3.0, 76)
    weight = np.exp(-0.5 * nodes**2)[:, None] * poisson.pmf(np.array(LENGTHS) - 1, 3.2)
    np.testing.assert_allclose(np.exp(log_weight), (weight / weight.sum()).ravel(), rtol=5e-3)
    arms = [design.arms[arm] for arm in design.blocks[0].arms]
    for walk in (0, 7, 17):
        place = design.llms.index(arms[walk].model)
        steps = arms[walk].max_tokens / design.tokens_per_step
        for node, length in ((12, 2), (30, 0), (48, 7)):
            level = 31.0 + 2.5 * nodes[node] - np.arange(4)
            skills = LENGTHS[length] * np.cumprod(np.concatenate([[1.0], 0.55 * np.log(level[:3])]))
            log_p, log_gamma = evaluate(hierarchy.smooth_levels, frontier[place], level, 9e3, 0.55)
            search = float(given["search"])
            r = np.exp(2 * log_p) * (search / (5.0 * skills) + 1 - search)
            whole = np.floor(skills)
            finished = sum(
                share * np.where(m <= steps, betainc(m, np.maximum(steps - m + 1, 1e-9), r), 0.0)
                for m, share in ((whole, 1 - skills + whole), (whole + 1, skills - whole))
            )
            achieved = np.exp(skills * log_gamma) * finished
            accuracy = softmax(achieved / 0.05) @ achieved
            guess, slip = float(given["guess"]), float(given["slip"])
            expected = logit(guess + (1 - guess - slip) * accuracy)
            assert location[0, walk, node * len(LENGTHS) + length] == pytest.approx(expected, abs=2e-3)


@pytest.fixture(scope="module")
def log_likelihoods():
    """A function of a design and spec: log-likelihoods while tasks move across the nodes, around the truth."""

    def compute(design, spec):
        model = assemble(spec, design)
        of_tasks = model.replace_rvs_by_values([sum(model.potentials)])
        function = pytensor.function(model.value_vars, of_tasks[0], mode=python_mode(), on_unused_input="ignore")
        start = model.initial_point()
        moved = [start | {"task_level": np.array([33.0 + 0.05 * step])} for step in range(5)]
        return np.array([function(*[point[variable.name] for variable in model.value_vars]) for point in moved])

    return compute


@pytest.fixture(scope="module")
def grid():
    spec = spec_of()
    return make_design(training_grid(tasks=40, attempts=8).evals, spec), spec


def test_levels_are_fine_enough_to_sum_over(monkeypatch, log_likelihoods, grid):
    found = log_likelihoods(*grid)
    monkeypatch.setattr(skill_hierarchy, "_LEVELS", np.linspace(-3.0, 3.0, 601))
    # With half of the nodes it is off by up to .3.
    np.testing.assert_allclose(found, log_likelihoods(*grid), atol=0.06)


def test_own_effects_are_summed_out_at_enough_locations(monkeypatch, log_likelihoods, grid):
    found = log_likelihoods(*grid)
    # One by one at all of the 1,140 nodes.
    monkeypatch.setattr(terms, "_FEW", 10_000)
    exact = log_likelihoods(*grid)
    # 720 cells miss it by .007 in all, and wherever the tasks stand.
    np.testing.assert_allclose(found, exact, atol=0.01)
    assert np.ptp(found - exact) < 1e-3


def test_what_a_table_must_say():
    table = to_table(training_grid(tasks=2, attempts=2).evals)
    with pytest.raises(ds3.InputError, match=r"needs params of every LLM; blank for .* and 1 more"):
        ds3.build_model(spec_of(), ds3.read_evals(table.drop(columns="params")))
    alone = table[(table["model"] == table["model"].iloc[0]) & (table["max_tokens"] == 500)]
    with pytest.raises(ds3.InputError, match="give each benchmark two or more"):
        ds3.build_model(spec_of(), ds3.read_evals(alone))
    with pytest.raises(ds3.InputError, match="at least two rising numbers"):
        ds3.ModelSpec.from_dict({"capability": {"kind": "skill_hierarchy", "task_lengths": [3, 2]}})


@pytest.mark.slow
def test_truths_are_recovered(posteriors):
    """Twenty hierarchies and task populations, which differ as the priors have them."""
    spec = spec_of(holdout=[{"where": "params > 8e10"}])
    made, truths = [], []
    for seed in range(20):
        rng = np.random.default_rng([seed, 11])
        names = ("sigma", "search", "relevance", "decay", "task_level_sd", "task_length")
        drawn = {name: float(spec.prior(name).draw((1,), rng)[0]) for name in names}
        # Levels of tasks are kept within 20 to 45.
        drawn["task_level_sd"] = float(np.clip(drawn["task_level_sd"], 1.5, 5.0))
        constants = hierarchy.Hierarchy(**{name: drawn[name] for name in names[:4]})
        of_tasks = {name: drawn[name] for name in names[4:]}
        made.append(training_grid(tasks=24, attempts=6, seed=seed, constants=constants, **of_tasks))
        truths.append(drawn)
    held = []
    for one, truth, posterior in zip(made, truths, posteriors((one.evals for one in made), spec), strict=True):
        frontier = posterior["frontier"] - posterior["task_level"].isel(benchmark=0)
        # Where all levels stand rests on priors; how far LLMs are from the tasks is learned.
        pairs = [(frontier.isel(llm=i), one.truth["frontier"].values[i] - 33.0) for i in range(5)]
        pairs += [(posterior[name], value) for name, value in truth.items()]
        bounds = [(np.quantile(drawn.values, [0.05, 0.95]), value) for drawn, value in pairs]
        held.append([low <= value <= high for (low, high), value in bounds])
        print(np.mean(held, axis=0).round(2), flush=True)
    inside = np.array(held).ravel()
    print(f"{len(inside)} intervals, {np.mean(inside):.3f} hold the truth")
    # As if 5 of the 11 intervals of a data set were independent, 3 standard errors are .09.
    assert 0.81 <= np.mean(inside) <= 0.97
