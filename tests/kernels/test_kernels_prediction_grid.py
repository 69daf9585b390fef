"""The kernel of prediction grids: against NumPy, NumPy against plain numbers, and used by a grid."""

import driver_best_level as driver
import numpy as np
import pytest
from scipy.interpolate import BarycentricInterpolator

from ds3bayes.engine.library import MachineError
from ds3bayes.kernels.prediction_grid import GridInputs, fill_grid

needs_compiler = pytest.mark.skipif(driver.compiler() is None, reason="no C compiler is found")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return driver.compiled(tmp_path_factory.mktemp("prediction_grid"), "prediction_grid.c")


def random_inputs(seed: int) -> GridInputs:
    """Return inputs of random sizes, of each of the shapes that a grid may have."""
    rng = np.random.default_rng([seed, 5])
    draws, tasks, budgets, strategies = rng.integers(1, [9, 12, 40, 11])
    lengths, nodes, points = (1, 2, 3, 7)[seed % 4], int(rng.integers(4, 30)), int(rng.integers(2, 60))
    one_length = bool(seed % 2)
    place = rng.uniform(0.0, lengths - 1.0, draws) if one_length else rng.integers(0, lengths, tasks).astype(float)
    attempt = rng.uniform(size=(draws, tasks))
    attempt[rng.uniform(size=attempt.shape) < 0.2] = rng.choice([0.0, 1.0])
    return GridInputs(
        attempt=attempt,
        position=rng.uniform(0.0, nodes - 1.0, size=(draws, tasks)),
        place=place,
        one_length=one_length,
        forced=rng.uniform(size=draws),
        answers=rng.uniform(size=(draws if seed % 3 else 1, points, strategies)).astype(np.float32),
        finished=rng.uniform(size=(lengths, nodes, budgets)),
        spent=rng.uniform(1.0, 50.0, size=(lengths, nodes, budgets)),
    )


def by_plain_numbers(given: GridInputs) -> tuple[np.ndarray, np.ndarray]:
    """Success and steps by loops over single numbers."""
    draws, budgets, strategies = given.shape
    points = given.answers.shape[1]
    # Points of success at which answers are tabulated.
    u = np.linspace(0.0, 1.0, points)
    grid = np.where(u < 0.5, 2.0 * u**2, 1.0 - 2.0 * (1.0 - u) ** 2)

    def through_nearest(values, x):
        count = min(4, len(values))
        first = int(np.clip(np.floor(x) - 1, 0, len(values) - count))
        return float(BarycentricInterpolator(np.arange(count), values[first : first + count])(x - first))

    success, steps = np.zeros((draws, budgets, strategies)), np.zeros((draws, budgets))
    for d, t, k in np.ndindex(*given.attempt.shape, budgets):
        at_nodes = []
        for table in (given.finished, given.spent):
            if given.one_length:
                at_nodes.append([through_nearest(table[:, p, k], given.place[d]) for p in range(table.shape[1])])
            else:
                at_nodes.append(table[int(given.place[t]), :, k])
        finished, spent = (through_nearest(values, given.position[d, t]) for values in at_nodes)
        steps[d, k] += spent / given.attempt.shape[1]
        right = np.clip(given.attempt[d, t] * (finished + (1 - finished) * given.forced[d]), 0.0, 1.0)
        j = int(np.clip(np.searchsorted(grid, right, side="right") - 1, 0, points - 2))
        # Linear in u.
        place = np.sqrt(right / 2) if right < 0.5 else 1 - np.sqrt((1 - right) / 2)
        share = (place - u[j]) / (u[j + 1] - u[j])
        row = given.answers[d if len(given.answers) > 1 else 0].astype(float)
        success[d, k] += (row[j] + share * (row[j + 1] - row[j])) / given.attempt.shape[1]
    return success, steps


@pytest.mark.parametrize("seed", range(8))
def test_numpy_is_the_interpolation_that_it_stands_for(seed):
    given = random_inputs(seed)
    found, expected = fill_grid(given, None), by_plain_numbers(given)
    # Differences of answers are rounded to 32 bits.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9)


def check_equality(library):
    """Hold the kernel against NumPy."""
    for seed in range(24):
        given = random_inputs(seed)
        expected = fill_grid(given, None)
        for one, other in zip(fill_grid(given, library), expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


@needs_compiler
def test_the_kernel_does_what_numpy_does(library):
    check_equality(library)


@needs_compiler
@pytest.mark.parametrize("level", ["x86-64", "x86-64-v3", "x86-64-v4"])
def test_the_kernel_of_each_processor_does_what_numpy_does(tmp_path, level):
    check_equality(driver.compiled(tmp_path, "prediction_grid.c", flags=driver.processor_flags(level)))


WRONG = {
    "a cubic weight": ("x * (x - 2.0) * (x - 3.0) / 2.0", "x * (x - 2.0) * (x - 3.001) / 2.0"),
    "the first node": ("whole_below(position - 1.0", "whole_below(position"),
    "the path length": ("weight[i] *= (place", "weight[i] *= (1.001 * place"),
    "what a cut attempt answers": ("(1.0 - finished) * forced", "(1.0 - finished) * 0.99 * forced"),
    "tasks that never succeed": ("+= (double)room.answers[s]", "+= 1.001 * (double)room.answers[s]"),
    "the last point": ("whole_below(place, 0, points - 2)", "whole_below(place, 0, points - 3)"),
    "the mean": ("double tasks = (double)grid->tasks", "double tasks = (double)grid->tasks + 1"),
    "answers of another draw": ("draw * grid->points * grid->strategies", "grid->points * 0 * draw"),
}


@needs_compiler
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_kernel_is_found(tmp_path, wrong):
    old, new = WRONG[wrong]
    seen = []

    def change(text):
        seen.append(text.count(old))
        return text.replace(old, new)

    changed = driver.compiled(tmp_path, "prediction_grid.c", change)
    assert sum(seen) == 1
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_equality(changed)


WAYS = [None, pytest.param("kernel", marks=needs_compiler)]


@pytest.mark.parametrize("way", WAYS)
def test_threads_share_draws_and_change_nothing(way, request):
    library = request.getfixturevalue("library") if way else None
    for seed in range(4):
        given = random_inputs(seed)
        alone = fill_grid(given, library)
        for threads in (2, 3, 50):
            for one, other in zip(fill_grid(given, library, threads=threads), alone, strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("way", WAYS)
def test_arrays_in_any_order_and_of_any_type(way, request):
    library = request.getfixturevalue("library") if way else None
    given = random_inputs(9)
    strange = given._replace(
        attempt=np.asfortranarray(given.attempt),
        answers=np.asfortranarray(given.answers.astype(float)),
        finished=np.asfortranarray(given.finished),
        forced=np.repeat(given.forced, 2)[::2],
    )
    for one, other in zip(fill_grid(strange, library), fill_grid(given, library), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", [6, 7])
@pytest.mark.parametrize("name", ["attempt", "position", "place", "forced"])
def test_what_is_no_number_or_beyond_the_tables_stays_within_them(way, name, seed, request):
    library = request.getfixturevalue("library") if way else None
    given = random_inputs(seed)
    array = getattr(given, name)
    for extreme in (np.nan, np.inf, -np.inf, 1e300, -1e300, -3.0, 1e9):
        changed = array.copy()
        changed.flat[0] = extreme
        with np.errstate(all="ignore"):
            success, steps = fill_grid(given._replace(**{name: changed}), library)
        # Path lengths of tasks are whole numbers.
        if np.isnan(extreme) and (name != "place" or given.one_length):
            assert np.isnan(success[0]).all()
            assert np.isnan(steps[0]).all() == (name in ("position", "place"))
        if name in ("attempt", "forced"):
            assert np.isfinite(steps).all()


@needs_compiler
def test_a_grid_is_the_same_with_the_kernel_and_without(library, prior_fit, monkeypatch):
    import pandas as pd

    import ds3bayes as ds3

    rng = np.random.default_rng(2)
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": 8, "steps": 2 + task % 4}
        | {"successes": int(rng.integers(0, 9)), "tokens_mean": float(rng.uniform(300, 1500))}
        for task in range(12)
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=20)
    calls = []

    def loaded():
        calls.append(1)
        return library

    def absent():
        raise MachineError("no machine")

    grids = []
    for one in (loaded, absent):
        monkeypatch.setattr("ds3bayes.queries.grid.load", one)
        grids.append(ds3.predict_grid(fit, ["cot", "best_of_n(n=50)"], [100, 400, 2500]))
    assert calls
    for name in grids[0].data_vars:
        np.testing.assert_allclose(grids[0][name], grids[1][name], rtol=1e-12)
