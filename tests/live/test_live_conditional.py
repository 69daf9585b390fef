"""What is known of tasks between refits is what the model knows of them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.inference.artifact import design_of, spec_of
from ds3bayes.live.conditional import Conditional
from ds3bayes.live.population import population_at

TASKS = 8


def counts(arms: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of every kind: never solved, always solved, one attempt, a thousand, none by the first arm."""
    attempts = np.tile([3, 7, 1, 12, 5, 1000, 4, 9], (arms, 1))
    successes = np.stack([[0, 3, 1, 12, 2, 433, 0, 4 + arm % 2] for arm in range(arms)])
    if arms > 1:
        attempts[0, 1] = successes[0, 1] = 0
    return successes, attempts


def made(prior_fit, arms: int, draws: int = 40):
    successes, attempts = counts(arms)
    rows = [
        {"model": f"m{arm}", "task": f"t{task}", "attempts": attempts[arm, task], "successes": successes[arm, task]}
        for task in range(TASKS)
        for arm in range(arms)
        if attempts[arm, task]
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows).assign(benchmark="b", strategy="cot")), draws=draws)
    names = [f"m{arm}" for arm in range(arms)]
    population = population_at(design_of(fit), spec_of(fit), fit["posterior"].to_dataset(), names)
    return fit, Conditional(population, [[lambda q: q, lambda q: q**2]] * arms, successes, attempts)


@pytest.mark.parametrize("arms", [1, 2, 5])
def test_the_likelihood_is_the_models(prior_fit, arms):
    fit, known = made(prior_fit, arms)
    named = fit["log_likelihood"]["tasks"].squeeze("chain")
    order = [next(i for i, one in enumerate(named["task"].values) if one.endswith(f"| t{t}")) for t in range(TASKS)]
    # The own effect is kept in single precision.
    np.testing.assert_allclose(known._log_likelihood.T, named.values[:, order], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("arms", [1, 3])
def test_success_is_that_of_drawn_tasks(prior_fit, arms):
    fit, known = made(prior_fit, arms, draws=400)
    effects = fit["task_effects"].to_dataset().squeeze("chain")
    q = expit(effects["logit_success"].values) * effects["reachable"].values
    task, model = effects["cell_task"].values, [design_of(fit).arms[arm].model for arm in effects["cell_arm"].values]
    scores = []
    for place in range(effects.sizes["cell"]):
        arm, number = int(model[place][1:]), int(task[place][1:])
        for law, drawn in enumerate([q[:, place], q[:, place] ** 2]):
            at = known.of_law(arm, law)
            mean, second = known.mean[number, :, at], known.second[number, :, at, at]
            sd = np.sqrt(np.maximum(second - mean**2, 1e-12).sum())
            scores.append((drawn - mean).sum() / max(sd, 0.02))
    # Of up to 48 standard normal scores none is beyond 4.5, but once in three thousand runs.
    assert np.abs(scores).max() < 4.5
    assert np.std(scores) < 2.0


def test_an_update_is_as_good_as_a_new_start(prior_fit):
    _, known = made(prior_fit, 2)
    start = known._log_likelihood.copy()
    successes, attempts = counts(2)
    for task, arm, success in [(0, 0, 1), (0, 1, 0), (4, 1, 1), (0, 0, 0)]:
        attempts[arm, task] += 1
        successes[arm, task] += success
        known.set_counts(task, successes[:, task], attempts[:, task])
    again = Conditional(known.population, known._laws, successes, attempts)
    np.testing.assert_allclose(known.mean, again.mean)
    for one, other in zip(known.of_all_tasks(), again.of_all_tasks(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
    # Draws count by what the new attempts say of them.
    gained = (again._log_likelihood - start).sum(axis=0)
    np.testing.assert_allclose(known.weight, np.exp(gained - gained.max()) / np.exp(gained - gained.max()).sum())
    assert known.effective_draws < len(gained)


def test_tasks_that_all_tried_alike_have_one_law(prior_fit):
    successes, attempts = np.zeros((2, 3), dtype=int), np.array([[2, 2, 0], [1, 1, 0]])
    _, known = made(prior_fit, 2)
    few = Conditional(known.population, known._laws, successes, attempts)
    np.testing.assert_array_equal(few.mean[0], few.mean[1])
    np.testing.assert_allclose(few.mean[2], few.new_mean, rtol=1e-6)
    assert (few.mean[0] < few.mean[2]).all()
