"""Success at the best level: its definition against plain numbers, and its kernel against its definition."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import driver_best_level as driver
import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from scipy.interpolate import CubicHermiteSpline
from scipy.optimize import check_grad
from scipy.special import expit, logit, softmax

from ds3bayes.kernels.best_level import success_at_best_level
from ds3bayes.theory.evaluate import python_mode

NODES = np.linspace(-6.0, 6.0, 49)
LLM, BUDGET = np.array([1, 0, 1, 1]), np.array([0, 1, 1, 0])
#: Task levels, lengths, levels at which they are executed, LLMs.
SHAPE, LLMS = (3, 2, 4), 2
NAMES = ("skills", "log_step", "log_edges", "log_component")

needs_compiler = pytest.mark.skipif(driver.compiler() is None, reason="no C compiler is found")
WAYS = ["definition", pytest.param("kernel", marks=needs_compiler)]


def table_of(rng: np.random.Generator, skills: int = 8) -> np.ndarray:
    """Chances that rise with a step's success and fall with the number of skills, for two budgets."""
    hard = np.arange(1.0, skills + 1.0)[:, None]
    return np.stack([expit(NODES - 0.4 * hard), expit(1.5 * NODES - 0.2 * hard + rng.normal())])


def values(rng: np.random.Generator, shape=SHAPE, llms=LLMS, spread=1.0) -> list[np.ndarray]:
    """Return skills, log_step, log_edges, log_component; with a spread beyond 1 some are beyond the table."""
    by_llm = (llms, shape[0], shape[2])
    skills = np.maximum(rng.uniform(1.05, 7.9, shape) * spread, 1.0)
    log_step = -rng.uniform(0.1, 2.0, shape) * spread**2
    return [skills, log_step] + [-rng.uniform(0.01, 0.5, by_llm) * spread for _ in range(2)]


def defined(table, llm, budget, given):
    """Return PyTensor's function for success and derivatives by sums of it with weights, and its operation."""
    symbols = [pt.tensor3(name, shape=one.shape) for name, one in zip(NAMES, given, strict=True)]
    success = success_at_best_level(table, NODES, llm, budget, *symbols)
    weights = pt.tensor3("weights", shape=success.type.shape)
    slopes = pytensor.grad((weights * success).sum(), symbols)
    function = pytensor.function([*symbols, weights], [success, *slopes], mode=python_mode(), on_unused_input="ignore")
    return function, success.owner


def whole_function(way, library, table, llm=LLM, budget=BUDGET, shape=SHAPE):
    """Return a function of the four arrays and weights to success and four derivatives."""
    like = values(np.random.default_rng(0), shape, llm.max() + 1)
    function, node = defined(table, llm, budget, like)
    if way == "definition":
        return function
    kernel = driver.Kernel(node.op, library)
    padded = node.inputs[0].data

    def run(*given):
        *given, weights = given
        success, slopes = kernel.run([padded, *given, llm, budget], weights)
        return [success, *slopes[1:]]

    return run


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if driver.compiler() is None:
        return None
    return driver.compiled(tmp_path_factory.mktemp("best_level"), "best_level.c")


def weights_of(rng, llm=LLM, shape=SHAPE):
    return rng.normal(size=(len(llm), *shape[:2]))


@pytest.mark.parametrize("way", WAYS)
def test_success_is_a_softmax_of_what_levels_achieve(way, library):
    rng = np.random.default_rng(4)
    table, (skills, log_step, log_edges, log_component) = table_of(rng), values(rng)
    # Beyond the table's skills and logits; out of reach.
    skills[0, 0, :2] = 1.0, 12.0
    log_step[1, 1, 0] = -9.0
    log_component[0, 2, 1] = -50.0
    function = whole_function(way, library, table)
    found = function(skills, log_step, log_edges, log_component, weights_of(rng))[0]
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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("which", range(4))
def test_derivatives_are_differences(way, which, library):
    rng = np.random.default_rng(5)
    function, weights = whole_function(way, library, table_of(rng)), weights_of(rng)
    given = values(rng)

    def with_one(flat):
        return [flat.reshape(one.shape) if i == which else one for i, one in enumerate(given)]

    def total(flat):
        return float((function(*with_one(flat), weights)[0] * weights).sum())

    def slope(flat):
        return function(*with_one(flat), weights)[1 + which].ravel()

    assert abs(slope(given[which].ravel())).max() > 1e-3
    assert check_grad(total, slope, given[which].ravel(), epsilon=1e-7) < 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_beyond_the_table_and_out_of_reach_nothing_moves(way, library):
    rng = np.random.default_rng(8)
    function, weights = whole_function(way, library, table_of(rng)), weights_of(rng)
    skills, log_step, log_edges, log_component = values(rng)
    skills[0, 0, :2], log_step[1, 1, 0] = (1.0, 12.0), -9.0
    log_component[:, 2, 1] = -50.0
    _, of_skills, of_step, _, of_component = function(skills, log_step, log_edges, log_component, weights)
    assert of_step[1, 1, 0] == 0.0
    assert (of_skills[2, :, 1] == 0.0).all()
    assert (of_component[:, 2, 1] == 0.0).all()
    # More skills still are out of reach sooner.
    assert of_skills[0, 0, 1] != 0.0
    # At one skill the chance to finish does not move, only that to reach.
    half = [log_component * 1e-12 if k == 3 else one for k, one in enumerate((skills, log_step, log_edges))]
    assert abs(function(*half, log_component * 1e-12, weights)[1][0, 0, :2]).max() < 1e-9


@pytest.mark.parametrize("way", WAYS)
def test_what_is_no_number_stays_so(way, library):
    rng = np.random.default_rng(6)
    function, weights = whole_function(way, library, table_of(rng)), weights_of(rng)
    for which in range(4):
        given = values(rng)
        given[which][0, 0, 0] = np.nan
        success, *slopes = function(*given, weights)
        assert np.isnan(success).any()
        assert np.isnan(slopes[which].ravel()[0])
        # And nowhere else.
        assert np.isfinite(success[:, 1:]).all()


def test_walks_need_an_llm_and_a_budget_that_are_there():
    rng = np.random.default_rng(7)
    given = [pt.as_tensor(one) for one in values(rng)]
    with pytest.raises(ValueError, match="LLMs of walks must be from 0 to 1, got 0 to 2"):
        success_at_best_level(table_of(rng), NODES, LLM + np.array([1, 0, 0, 0]), BUDGET, *given)
    with pytest.raises(ValueError, match="budgets of walks must be from 0 to 1, got -1 to 1"):
        success_at_best_level(table_of(rng), NODES, LLM, BUDGET - np.array([1, 0, 0, 0]), *given)


def check_equality(library, seeds):
    """Hold the kernel against its definition at random points of random sizes."""
    for seed in seeds:
        rng = np.random.default_rng([seed, 3])
        shape = tuple(rng.integers(1, 12, size=3))
        llms, walks = int(rng.integers(1, 5)), int(rng.integers(1, 9))
        # An LLM may have no walk.
        llm, budget = rng.integers(0, llms, size=walks), rng.integers(0, 2, size=walks)
        given = values(rng, shape, llms, spread=(1.0, 1.6, 4.0)[seed % 3])
        table, weights = table_of(rng), rng.normal(size=(walks, *shape[:2]))
        function, node = defined(table, llm, budget, given)
        expected = function(*given, weights)
        kernel = driver.Kernel(node.op, library)
        inputs = [node.inputs[0].data, *given, llm, budget]
        success, slopes = kernel.run(inputs, weights)
        np.testing.assert_allclose(success, expected[0], rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(kernel.run(inputs)[0], success, rtol=1e-15)
        for found, slope in zip(slopes[1:], expected[1:], strict=True):
            np.testing.assert_allclose(found, slope, rtol=1e-10, atol=1e-12 * max(1.0, np.abs(slope).max()))
        # Derivatives are added to what is there, and only where they are wanted.
        for which in range(1, 5):
            _, some = kernel.run(inputs, weights, needs=1 << which, start=3.0)
            for k, found in enumerate(some):
                np.testing.assert_allclose(found, 3.0 + (slopes[k] if k == which else 0.0), rtol=1e-12, atol=1e-12)


@needs_compiler
def test_the_kernel_is_its_definition(library):
    check_equality(library, range(24))


@needs_compiler
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_the_kernel_of_each_processor_is_its_definition(tmp_path, level):
    flags = driver.processor_flags(level)
    check_equality(driver.compiled(tmp_path, "best_level.c", flags=flags), range(24, 30))


#: What is changed, where, in turn.
WRONG = {
    "a cubic weight": ("t * (-1.0 + t * (2.0 - t))", "t * (-1.0 + t * (2.1 - t))"),
    "its derivative": ("0.5 * t * (-10.0 + 9.0 * t)", "0.5 * t * (-10.0 + 9.1 * t)"),
    "the softmax": ("#define CHOICE 0.05", "#define CHOICE 0.0501"),
    "the softmax's derivative": ("(1.0 + (achieved - mean[task])", "(1.0 - (achieved - mean[task])"),
    "the budget": ("budget[walk] * n.rows", "0 * budget[walk] * n.rows"),
    "the row": ("low + columns", "low + 0 * columns"),
    "the share of the row": ("p.skills[k] - 1.0", "p.skills[k] - 1.001"),
    "the failure of a step": ("1.0 - p.success[k]", "1.0 - 0.999 * p.success[k]"),
    "what is out of reach": ("#define UNREACHABLE 1e-15", "#define UNREACHABLE 1e-2"),
    "the end of the table": ("> 0.0 ? per_unit : 0.0", "> -1.0 ? per_unit : 0.0"),
    "the sum over lengths": ("length = 0; length < n.lengths", "length = 1; length < n.lengths"),
    "derivatives set, not added": ("+ down] += from[task]", "+ down] = from[task]"),
}


@needs_compiler
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_kernel_is_found(tmp_path, wrong):
    old, new = WRONG[wrong]
    seen = []

    def change(text):
        seen.append(text.count(old))
        return text.replace(old, new)

    changed = driver.compiled(tmp_path, "best_level.c", change)
    assert sum(seen) == 1
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_equality(changed, range(24))


#: Of skills, at least 1, and of logs, at most 0.
EXTREMES = [1.0, 8.0, 1e15, 1e300, np.inf, np.nan], [0.0, -0.0, -1e-300, -1e-17, -1e-9, -40.0, -1e300, -np.inf, np.nan]


def extreme(rng, name, value):
    """Return arrays of which one has an extreme value at two places."""
    given = values(rng)
    given[NAMES.index(name)][0, 0, 0] = value
    given[NAMES.index(name)][-1, -1] = value
    return given


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_extremes_are_as_defined(name, library):
    rng = np.random.default_rng(11)
    table, weights = table_of(rng), weights_of(rng)
    functions = [whole_function(way, library, table) for way in ("definition", "kernel")]
    for value in EXTREMES[name != "skills"]:
        given = extreme(rng, name, value)
        expected, found = (function(*given, weights) for function in functions)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12, err_msg=f"{name} {value}")


@needs_compiler
@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_stays_within_memory(name, library):
    rng = np.random.default_rng(13)
    function, weights = whole_function("kernel", library, table_of(rng)), weights_of(rng)
    for value in (-1e300, -2.5, 5.0, 1e5, 1e300, -np.inf, np.inf):
        given = extreme(rng, name, value)
        if name != "skills":
            given[0][0, 0, 1] = -value
        # The driver looks at what stands around inputs and outputs.
        function(*given, weights)


@needs_compiler
def test_threads_do_not_meet(library):
    rng = np.random.default_rng(12)
    function = whole_function("kernel", library, table_of(rng))
    calls = [partial(function, *values(rng), weights_of(rng)) for _ in range(32)]
    alone = [call() for call in calls]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda call: call(), calls))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
