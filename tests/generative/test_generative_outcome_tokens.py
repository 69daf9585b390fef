"""Tokens of wrong attempts: the lost state against walks step by step, and which law real logs follow."""

import warnings

import arviz as az
import numpy as np
import pytensor.tensor as pt
import pytest
from scipy.special import digamma, polygamma

import ds3bayes as ds3
from ds3bayes.evals import select, to_table
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.observation.outcome_tokens import _log_bias, _trigamma, lost_log_tokens
from ds3bayes.generative.task_effects import points_at_draws
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.theory.evaluate import python_mode

LOST = {"tokens": {"wrong": "lost_state"}}


def test_logs_of_gamma_variables() -> None:
    shape = np.geomspace(0.01, 1e5, 200)
    np.testing.assert_allclose(
        _log_bias(pt.as_tensor(shape)).eval(mode=python_mode()), digamma(shape) - np.log(shape), atol=1e-5
    )
    np.testing.assert_allclose(_trigamma(pt.as_tensor(shape)).eval(mode=python_mode()), polygamma(1, shape), rtol=1e-5)


@pytest.mark.parametrize(("success", "lost_time", "length"), [(0.5, 0.5, 20), (0.05, 0.2, 40), (0.9, 1.0, 6)])
def test_the_lost_state_is_that_of_walks(success: float, lost_time: float, length: int) -> None:
    rng, pace, size = np.random.default_rng(0), 0.02, 200_000
    rho = success ** (1 / length)
    before = rng.choice(length, size, p=rho ** np.arange(length) * (1 - rho) / (1 - success))
    wrong = before + 1 + rng.negative_binomial(before + 1, pace) + rng.geometric(pace / (length * lost_time), size)
    right = length + rng.negative_binomial(length, pace, size)
    given = (np.array([success]), pt.as_tensor(np.array([lost_time])), pt.as_tensor(np.array([(1 - pace) / length])))
    shift, variance = (float(found.eval(mode=python_mode())[0]) for found in lost_log_tokens(*given))
    # The docstring's second order; four standard errors of the simulation are .007.
    assert shift == pytest.approx(np.log(wrong).mean() - np.log(right).mean(), abs=0.012)
    assert variance == pytest.approx(np.log(wrong).var(), rel=0.02)


@pytest.fixture(scope="module")
def evals():
    made = ds3.simulate(tasks=12, attempts=8, models={"a": 0.0, "b": 1.0}, path_length=6, seed=5)
    return ds3.read_evals(to_table(made.evals))


@pytest.mark.parametrize("law", ["log_normal", "lost_state"])
def test_points_are_those_of_tasks_with_both_outcomes(evals, law: str) -> None:
    spec = ds3.ModelSpec.from_dict({"tokens": {"wrong": law}})
    design = make_design(evals, spec)
    table = to_table(evals)
    both = (table["successes"] > 0) & (table["successes"] < 8)
    data = design.observed["outcome_tokens"]
    assert len(data.labels) == both.sum()
    labels, values = points_at_draws(design, spec, prior_draws(design, spec, 0, 3))["outcome_tokens"]
    assert labels == data.labels
    assert values.shape == (1, 3, both.sum())
    assert np.isfinite(values).all()
    names = set(prior_draws(design, spec, 0, 1).data_vars)
    assert ("lost_time" in names) == (law == "lost_state")
    assert ("wrong_token_shift" in names) == (law == "log_normal")


def test_log_normal_points_are_its_density(evals) -> None:
    spec = ds3.ModelSpec()
    design = make_design(evals, spec)
    drawn = prior_draws(design, spec, 1, 1)
    _, values = points_at_draws(design, spec, drawn)["outcome_tokens"]
    data, draw = design.observed["outcome_tokens"], drawn.isel(chain=0, draw=0)
    for point in (0, 7):
        place = int(data.arm[point])
        sd, shift = float(draw["wrong_token_sd"][place]), float(draw["wrong_token_shift"][place])
        error = polygamma(1, 1 / float(draw["attempt_cv"][place]) ** 2) / data.right[point] + sd**2 / data.wrong[point]
        expected = -0.5 * ((data.difference[point] - shift) ** 2 / error + np.log(2 * np.pi * error))
        expected -= 0.5 * ((data.wrong[point] - 1) * np.log(2 * np.pi * sd**2) + data.wrong_squares[point] / sd**2)
        assert values[0, 0, point] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_real_logs_follow_the_log_normal(root, short_fit) -> None:
    evals = select(
        ds3.read_evals(root / "data" / "aime_effort.csv"),
        "model in ['openai/gpt-5-nano-2025-08-07', 'anthropic/claude-opus-4-5-20251101', 'openai/gpt-5.1']",
    )
    fits = {"log_normal": short_fit(evals), "lost_state": short_fit(evals, ds3.ModelSpec.from_dict(LOST))}
    with warnings.catch_warnings():
        # A few tasks are influential in the law that does not fit them.
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto distribution", UserWarning)
        table = az.compare(fits, var_name="outcome_tokens")
    print(table)
    assert table.index[0] == "log_normal"
    assert table["elpd_diff"].abs().iloc[1] > 4 * table["dse"].iloc[1]
