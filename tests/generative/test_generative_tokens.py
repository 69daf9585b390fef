"""Token terms, whose sums over arms are quadratics in easiness, against the sums over arms themselves."""

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.observation.tokens import (
    attempt_variance,
    length_spread,
    timed_columns,
    token_law,
    token_terms,
    tokens_of,
)
from ds3bayes.theory.evaluate import python_mode

NODES = np.array([-7.0, -2.5, -0.3, 0.0, 1.1, 4.25, 4.3, 4.6])


def design_of(llms: int) -> Design:
    """LLMs on five tasks; of the third task, each second LLM has no tokens."""
    rng = np.random.default_rng(llms)
    rows = [
        {"model": f"m{llm}", "task": f"t{task}", "attempts": 3 + task, "successes": task}
        | {"tokens_mean": np.nan if task == 2 and llm % 2 else float(rng.uniform(200.0, 4000.0))}
        for llm in range(llms)
        for task in range(5)
    ]
    table = pd.DataFrame(rows).assign(benchmark="b", strategy="cot")
    return make_design(ds3.read_evals(table), ds3.ModelSpec())


def draw(design: Design, rng: np.random.Generator, extreme: bool) -> dict[str, np.ndarray]:
    """Token parameters; extreme ones make the errors of the first task vanish together far from an easiness of 0."""
    (block,) = design.blocks
    arms = len(block.arms)
    width = 8.0 if extreme else 1.0
    slope = rng.normal(0.0, 0.3, arms) * np.exp(rng.uniform(-width, 0.6 * width, arms))
    centre = tokens_of(block)[0][0] + 4.3 * slope if extreme else tokens_of(block)[0][0] + rng.normal(0.0, 0.5, arms)
    return {
        "log_tokens": centre,
        "token_slope": slope,
        "token_sd": 0.3 * np.exp(rng.uniform(-width, 0.3 * width, arms)),
        "length_spread": 0.3 * np.exp(rng.uniform(-width, 0.6 * width, arms)),
        "attempt_cv": 0.5 * np.exp(rng.uniform(-width, 0.3 * width, arms)),
    }


def exact(block: Block, at: np.ndarray, given: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Log-likelihood, the sum of its parts' sizes, mean and variance of the length effect, to 60 digits."""
    rows, size, arms = len(block.tasks), at.shape[1], range(len(block.arms))
    result = np.empty((4, rows, size))
    with localcontext() as context:
        context.prec = 60
        of = {name: [Decimal(value) for value in values.tolist()] for name, values in given.items()}
        two_pi = 2 * Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
        for task in range(rows):
            seen = [arm for arm in arms if tokens_of(block)[1][task, arm] > 0]
            variance = {
                arm: of["token_sd"][arm] ** 2 + of["attempt_cv"][arm] ** 2 / Decimal(tokens_of(block)[1][task, arm])
                for arm in seen
            }
            shrunk = 1 / (1 + sum(of["length_spread"][arm] ** 2 / variance[arm] for arm in seen))
            logs = [(two_pi * variance[arm]).ln() for arm in seen] + [-shrunk.ln()]
            for j in range(size):
                error = {
                    arm: Decimal(tokens_of(block)[0][task, arm])
                    - of["log_tokens"][arm]
                    + of["token_slope"][arm] * Decimal(at[task % len(at), j])
                    for arm in seen
                }
                squares = sum(error[arm] ** 2 / variance[arm] for arm in seen)
                pull = sum(of["length_spread"][arm] * error[arm] / variance[arm] for arm in seen)
                squares -= shrunk * pull**2
                result[0, task, j] = -(squares + sum(logs)) / 2
                result[1, task, j] = (squares + sum(map(abs, logs))) / 2
                result[2, task, j] = shrunk * pull
                result[3, task, j] = shrunk
    return tuple(result)


def direct(block: Block, easiness: Any, design: Design, given: dict[str, Any]) -> Any:
    """The log-likelihood with errors at (task, arm, node)."""
    columns = timed_columns(block, design)
    arms = [block.arms[column] for column in columns]
    mean, sd = token_law(design, arms, easiness, given)
    weight = tokens_of(block)[1][:, columns]
    precision = (weight > 0) / (sd**2 + attempt_variance(design, arms, given) / np.maximum(weight, 1.0))
    spread = length_spread(design, arms, given)
    error = tokens_of(block)[0][:, columns][:, :, None] - mean
    logs = pt.switch(weight > 0, np.log(2 * np.pi) - pt.log(pt.maximum(precision, 1e-300)), 0.0).sum(axis=1)
    pull = ((precision * spread)[:, :, None] * error).sum(axis=1)
    variance = 1.0 / (1.0 + (precision * spread**2).sum(axis=1))
    squares = (precision[:, :, None] * error**2).sum(axis=1) - variance[:, None] * pull**2
    return -0.5 * (squares + (logs - pt.log(variance))[:, None])


def easiness_of(design: Design, by_task: bool) -> np.ndarray:
    """Nodes for all tasks, or for each its own."""
    tasks = len(design.blocks[0].tasks)
    return NODES + 0.07 * np.arange(tasks)[:, None] if by_task else NODES[None]


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize(("llms", "by_task"), [(4, False), (4, True), (1, False)])
def test_a_quadratic_in_easiness_is_exact(llms, by_task, extreme):
    design = design_of(llms)
    (block,) = design.blocks
    at = easiness_of(design, by_task)
    names = ["log_tokens", "token_slope", "token_sd", "length_spread", "attempt_cv"]
    given = {name: pt.vector(name) for name in names}
    terms = token_terms(block, pt.as_tensor(at), design, given)
    outputs = [terms.log_likelihood, terms.length_mean, terms.length_variance]
    function = pytensor.function(list(given.values()), outputs, mode=python_mode(), on_unused_input="ignore")
    rng = np.random.default_rng(3)
    first = block.distinct[0]
    for _ in range(20):
        values = draw(design, rng, extreme)
        if llms == 1:
            # An arm that shares no tasks has no such effect.
            values["length_spread"] = np.zeros(1)
        expected, size, mean, variance = (one[first] for one in exact(block, at, values))
        found, length_mean, length_variance = function(*values.values())
        assert (abs(found - expected) <= 1e-12 * size).all()
        np.testing.assert_allclose(length_mean, mean, rtol=1e-11, atol=1e-11 * abs(mean).max())
        np.testing.assert_allclose(length_variance, variance[:, 0], rtol=1e-12)


@pytest.mark.parametrize("by_task", [False, True])
def test_derivatives_are_those_of_the_sums_over_arms(by_task):
    design = design_of(3)
    (block,) = design.blocks
    rng = np.random.default_rng(4)
    names = ["log_tokens", "token_slope", "token_sd", "length_spread", "attempt_cv"]
    given = {name: pt.vector(name, shape=(3,)) for name in names}
    easiness = pt.matrix("easiness", shape=easiness_of(design, by_task).shape)
    assert block.distinct[0].tolist() == list(range(5)), "the direct form takes tasks in their own order"
    weights = rng.normal(size=(5, NODES.size))
    outputs = []
    for form in (token_terms(block, easiness, design, given).log_likelihood, direct(block, easiness, design, given)):
        outputs += [form, *pytensor.grad((weights * form).sum(), [*given.values(), easiness])]
    function = pytensor.function([*given.values(), easiness], outputs, mode=python_mode())
    at = easiness_of(design, by_task)
    # A sampler starts where tokens do not depend on easiness; there and close by, the quadratic has no lowest point.
    for steepness in [1.0] * 20 + [0.0, 1e-5, 1e-9, 1e-60]:
        values = draw(design, rng, extreme=False)
        values["token_slope"] = steepness * values["token_slope"]
        found = function(*values.values(), at)
        for one, other in zip(found[:7], found[7:], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10 * abs(other).max())
