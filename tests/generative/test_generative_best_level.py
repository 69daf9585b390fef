"""Success at the best level by compiled code: against plain numbers, with derivatives by finite differences."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import check_grad
from scipy.special import expit, logit, softmax

from ds3bayes.generative.best_level import success_at_best_level

NODES = np.linspace(-6.0, 6.0, 49)
LLM, BUDGET = np.array([1, 0, 1, 1]), np.array([0, 1, 1, 0])
#: Task levels, lengths, levels at which they are executed, LLMs.
SHAPE, LLMS = (3, 2, 4), 2


def table_of(rng: np.random.Generator, skills: int = 8) -> np.ndarray:
    """Chances that rise with a step's success and fall with the number of skills, for two budgets."""
    hard = np.arange(1.0, skills + 1.0)[:, None]
    return np.stack([expit(NODES - 0.4 * hard), expit(1.5 * NODES - 0.2 * hard + rng.normal())])


def values(rng: np.random.Generator) -> list[np.ndarray]:
    skills = rng.uniform(1.05, 7.9, SHAPE)
    return [skills, -rng.uniform(0.1, 2.0, SHAPE)] + [-rng.uniform(0.01, 0.5, (LLMS, 3, 4)) for _ in range(2)]


def compiled(table: np.ndarray, mode: str = "NUMBA"):
    given = [pt.tensor3(shape=SHAPE), pt.tensor3(shape=SHAPE), *(pt.tensor3(shape=(LLMS, 3, 4)) for _ in range(2))]
    success = success_at_best_level(table, NODES, LLM, BUDGET, *given)
    weights = np.random.default_rng(9).normal(size=(len(LLM), *SHAPE[:2]))
    slopes = pytensor.grad((weights * success).sum(), given)
    return pytensor.function(given, [success, *slopes], mode=mode), weights


@pytest.mark.parametrize("mode", ["NUMBA", "FAST_COMPILE"])
def test_success_is_a_softmax_of_what_levels_achieve(mode):
    rng = np.random.default_rng(4)
    table, (skills, log_step, log_edges, log_component) = table_of(rng), values(rng)
    # Beyond the table's skills and logits; out of reach.
    skills[0, 0, :2] = 1.0, 12.0
    log_step[1, 1, 0] = -9.0
    log_component[0, 2, 1] = -50.0
    found = compiled(table, mode)[0](skills, log_step, log_edges, log_component)[0]
    # Catmull-Rom: slopes at the nodes are those between their neighbours, of a table that goes on quadratically.
    steep = np.gradient(table, NODES, axis=-1, edge_order=2)
    for walk, (m, b) in enumerate(zip(LLM, BUDGET, strict=True)):
        for j, length in np.ndindex(SHAPE[:2]):
            achieved = []
            for d in range(SHAPE[2]):
                x = np.clip(logit(np.exp(log_step[j, length, d] + log_edges[m, j, d])), NODES[0], NODES[-1])
                by_skills = [float(CubicHermiteSpline(NODES, table[b, k], steep[b, k])(x)) for k in range(8)]
                finished = np.interp(skills[j, length, d], np.arange(1.0, 9.0), by_skills)
                achieved.append(np.exp(skills[j, length, d] * log_component[m, j, d]) * finished)
            expected = softmax(np.array(achieved) / 0.05) @ achieved
            assert found[walk, j, length] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("which", range(4))
def test_derivatives_are_differences(which):
    rng = np.random.default_rng(5)
    function, weights = compiled(table_of(rng))
    given = values(rng)

    def with_one(flat):
        return [flat.reshape(one.shape) if i == which else one for i, one in enumerate(given)]

    def total(flat):
        return float((function(*with_one(flat))[0] * weights).sum())

    def slope(flat):
        return function(*with_one(flat))[1 + which].ravel()

    assert abs(slope(given[which].ravel())).max() > 1e-3
    assert check_grad(total, slope, given[which].ravel(), epsilon=1e-7) < 1e-5


def test_what_is_no_number_stays_so():
    rng = np.random.default_rng(6)
    function, _ = compiled(table_of(rng))
    for which in range(4):
        given = values(rng)
        given[which][0, 0, 0] = np.nan
        assert np.isnan(function(*given)[0]).any()
