"""The likelihood of tree searches: cells against enumeration, interpolation, gradients, and what a table says."""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import graph_replace
from scipy import stats

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.counts.cell import LogLikelihood
from ds3bayes.generative.counts.grid import success_grid
from ds3bayes.generative.counts.searches import FIDELITIES, GAPS, OVERLAPS, Searches, draw_right, searches_of
from ds3bayes.generative.task_effects import by_draw, new_task_effects, rerun, success_of_attempts
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.theory.evaluate import python_mode

GRID = success_grid(3)
SEARCH = ds3.TreeOfThought(branching=4, kept_states=3)


def law(outputs, x, gaps, overlaps):
    return SEARCH.writing(outputs).right_outputs(x, gaps, overlaps, 3)


def table_of(*cells):
    return GRID.search_table([*cells, ()], law, 1)


def at(table, *learned):
    return np.asarray(table.log_mass_at([pt.constant(one) for one in learned]).eval(mode=python_mode()))


def row(task, strategy, n, c, **more):
    cell = {"model": "m", "benchmark": "b", "task": task, "strategy": strategy, "attempts": n, "successes": c}
    return cell | {"steps": 3} | more


def tree(task, n, c, **more):
    return row(task, "tot", n, c, branching=4, kept_states=3, **more)


# --- cells --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "c"), [(1, 0), (1, 1), (12, 5)])
def test_searches_of_one_output_are_binomial(n, c):
    """As attempts are that are right with the mean success of an output."""
    found = at(table_of((Searches(1, n, c),)), GAPS[5], OVERLAPS[3], FIDELITIES[8])[0]
    x, gaps, overlaps = GRID.nodes, GAPS[[5]], OVERLAPS[[3]]

    def mean(q, _):
        logit = np.log(q) - np.log1p(-q)
        return FIDELITIES[8] * law(1, logit.reshape(1, -1), gaps, overlaps)[0, :, 1].reshape(q.shape)

    wanted = GRID.table([LogLikelihood(attempts=n, rows=((mean, n, c),))]).log_mass[0, 0]
    inside = np.abs(x) < 10
    np.testing.assert_allclose(found[inside], wanted[inside], rtol=1e-8, atol=1e-8)


def test_several_searches_of_several_outputs_by_enumeration():
    """Right outputs of two searches together: every pair of right states, and every way of writing them out."""
    c, fidelity, gap, overlap = 2, FIDELITIES[7], GAPS[4], OVERLAPS[5]
    found = at(table_of((Searches(2, 2, c),)), gap, overlap, fidelity)[0]
    offsets, weights = GRID.within(4)
    points = GRID.nodes[:, None] + offsets
    right = law(2, points.reshape(1, -1), np.array([gap]), np.array([overlap]))[0]
    total = np.zeros(len(right))
    for first, second in itertools.product(range(3), repeat=2):
        for i, j in itertools.product(range(first + 1), range(second + 1)):
            if i + j == c:
                written = stats.binom.pmf(i, first, fidelity) * stats.binom.pmf(j, second, fidelity)
                total += right[:, first] * right[:, second] * written
    np.testing.assert_allclose(found, np.log(total.reshape(points.shape) @ weights), rtol=1e-9)


def test_all_counts_of_a_search_sum_to_one():
    found = at(table_of(*((Searches(3, 1, c),) for c in range(4))), 1.37, 0.42, 0.61)[:-1]
    np.testing.assert_allclose(np.exp(found).sum(axis=0), 1.0, atol=5e-3)


@pytest.mark.parametrize("outputs", [1, 3])
def test_likelihood_between_tabulated_parameters(outputs):
    """Cubic between gaps, overlaps and fidelities: within a hundredth where a posterior has any weight."""
    cells = [(Searches(outputs, 1, c),) for c in range(outputs + 1)]
    table = table_of(*cells)
    rng = np.random.default_rng(5)
    offsets, weights = GRID.within(outputs)
    points = GRID.nodes[:, None] + offsets
    for gap, overlap, fidelity in rng.uniform([0.1, 0.0, 0.1], [6.0, 0.96, 0.98], (12, 3)):
        found = np.exp(at(table, gap, overlap, fidelity))[:-1]
        right = law(outputs, points.reshape(1, -1), np.array([gap]), np.array([overlap]))[0]
        written = stats.binom.pmf(np.arange(outputs + 1)[None], np.arange(outputs + 1)[:, None], fidelity)
        wanted = ((right @ written).T.reshape(outputs + 1, *points.shape)) @ weights
        np.testing.assert_allclose(found, wanted, atol=2e-3)
        seen = wanted > 1e-6
        np.testing.assert_allclose(found[seen], wanted[seen], rtol=2e-2)


def test_rows_of_single_outputs_are_counted_together():
    assert searches_of([4, 3, 6], [1, 2, 2], [1, 1, 3]) == (Searches(1, 7, 3), Searches(3, 2, 2))


def test_outputs_drawn_again_follow_their_law():
    rng, size, fidelity = np.random.default_rng(2), 60_000, 0.7
    one = law(3, np.full((1, 1), -0.5), np.array([1.5]), np.array([0.5]))[0, 0]
    drawn = draw_right(np.broadcast_to(one, (size, 4)), 2, np.full(size, fidelity), rng)
    right = np.convolve(one, one)
    wanted = sum(right[k] * stats.binom.pmf(np.arange(7), k, fidelity) for k in range(7))
    error = np.sqrt(wanted * (1 - wanted) / size)
    assert (np.abs(np.bincount(drawn, minlength=7) / size - wanted) < 4.5 * error + 1e-9).all()


# --- what a table says --------------------------------------------------------------------------------------

WALKS = [row(f"t{i}", "cot", 20, c) for i, c in enumerate((0, 4, 12))]


def test_a_row_is_one_search_unless_it_says_otherwise():
    said = ds3.read_evals(pd.DataFrame([*WALKS, tree("t0", 3, 1), tree("t1", 2, 1), tree("t2", 6, 3, outputs=1)]))
    table = ds3.evals.to_table(said).query("strategy == 'tot'").set_index("task")
    assert table["outputs"].to_dict() == {"t0": 3, "t1": 2, "t2": 1}
    assert ds3.evals.to_table(said).query("strategy == 'cot'")["outputs"].isna().all()
    # What is read is read back.
    again = ds3.read_evals(ds3.evals.to_table(said))
    assert again.attrs["data_sha256"] == said.attrs["data_sha256"]
    design = make_design(said, ds3.ModelSpec())
    (arm,) = [index for index, one in enumerate(design.arms) if one.is_tree]
    block, column = design.place(arm)
    cells = block.tables[column].searches.cells
    of_task = {name: cells[block.cell[i, column]] for i, name in enumerate(block.tasks)}
    assert of_task == {"t0": (Searches(3, 1, 1),), "t1": (Searches(2, 1, 1),), "t2": (Searches(1, 6, 3),)}


def test_attempts_of_a_row_each_are_searches_each():
    rows = [tree("t1", 1, c) for c in (1, 0, 1)]
    table = ds3.evals.to_table(ds3.read_evals(pd.DataFrame([*WALKS, *rows]))).query("strategy == 'tot'")
    assert table[["attempts", "successes", "outputs"]].to_numpy().tolist() == [[3, 2, 1]]


def test_one_kept_state_has_one_output():
    rows = [row("t1", "tot", 8, 3, branching=4)]
    table = ds3.evals.to_table(ds3.read_evals(pd.DataFrame([*WALKS, *rows]))).query("strategy == 'tot'")
    assert table["outputs"].tolist() == [1]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (tree("t0", 8, 3), "not known how many answers each search wrote out: say so in column outputs"),
        (tree("t0", 4, 3, outputs=4), r"more outputs than kept_states \(first: 4 and 3\)"),
        (tree("t0", 5, 3, outputs=2), r"no multiple of outputs \(first: 5 and 2\)"),
    ],
)
def test_what_a_search_cannot_have_done_is_refused(cell, said):
    evals = ds3.read_evals(pd.DataFrame([*WALKS, cell]))
    with pytest.raises(ds3.InputError, match=said):
        ds3.build_model(ds3.ModelSpec(), evals)


@pytest.mark.parametrize(
    ("scored", "expected"),
    # Four candidates of the root and of up to three states twice: 4 + 12 + 12; a search of fewer keeps fewer.
    [(None, 4.0), (28, 4.0), (35, 5.0), (31.5, 4.5), (21, 3.0), (3, 1.0), (2, 1.0)],
)
def test_candidates_are_those_that_were_scored(scored, expected):
    more = {} if scored is None else {"states_evaluated": 2 * scored}
    evals = ds3.read_evals(pd.DataFrame([*WALKS, tree("t0", 2, 1, outputs=1, **more)]))
    design = make_design(evals, ds3.ModelSpec())
    (arm,) = [index for index, one in enumerate(design.arms) if one.is_tree]
    assert design.proposed(arm, 4) == pytest.approx(expected)
    assert design.proposed(arm, 8) == pytest.approx(2 * expected)


def test_candidates_of_game24(game24_evals, game24_spec):
    design = make_design(game24_evals, game24_spec)
    (arm,) = [index for index, one in enumerate(design.arms) if one.is_tree]
    # 84.12 states in 1 + 5 + 5 expansions.
    assert design.proposed(arm, 5) == pytest.approx(84.12 / 11, rel=1e-9)


# --- the model ----------------------------------------------------------------------------------------------


def test_gradient_by_differences(game24_evals, game24_spec):
    model = ds3.build_model(game24_spec, game24_evals)
    point = {"step_discrimination": 1.3, "candidate_overlap": 0.55, "answer_fidelity": 0.62}
    point |= {"tree_interaction_sd": 0.4, "tree_offset": 0.3, "tree_slope": 0.25}
    names = list(point)
    draws = prior_draws(make_design(game24_evals, game24_spec), game24_spec, seed=1, draws=1)
    others = {one: pt.as_tensor(draws[one.name].values[0, 0]) for one in model.free_RVs if one.name not in names}
    variables = [model[name] for name in names]
    total = graph_replace(sum(model.potentials), others, strict=False)
    value = pytensor.function(variables, total, mode=python_mode())
    slopes = pytensor.function(variables, pytensor.grad(total, variables), mode=python_mode())
    here = [np.array([point[name]]) for name in names]
    for place, found in enumerate(slopes(*here)):
        step = 1e-4
        moved = [[one + (step * sign if i == place else 0.0) for i, one in enumerate(here)] for sign in (1, -1)]
        wanted = (float(value(*moved[0])) - float(value(*moved[1]))) / (2 * step)
        assert float(found[0]) == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_reruns_have_the_mean_success_of_an_output(game24_evals, game24_spec):
    """Counts drawn again at fresh tasks average to success times attempts, for walks and searches alike."""
    design = make_design(game24_evals, game24_spec)
    prior = prior_draws(design, game24_spec, seed=3, draws=40)
    fresh = new_task_effects(design, game24_spec, prior, 256, 5)
    success = success_of_attempts(design, fresh, prior)
    rng = np.random.default_rng(1)
    for arm in range(len(design.arms)):
        cells = np.flatnonzero(fresh["cell_arm"].values == arm)
        block, column = design.place(arm)
        seen = np.flatnonzero(block.attempts[:, column] > 0)[:1]
        tasks = np.repeat(seen, cells.size)
        x, solvable = (fresh[name].values[0][:, cells] for name in ("logit_success", "reachable"))
        counts = rerun(design, arm, tasks, x, solvable, by_draw(prior), rng)
        n = int(block.attempts[seen[0], column])
        expected = n * success.values[0][:, cells]
        # The mean over all cells, whose counts are independent and at most n.
        assert abs(counts.mean() - expected.mean()) < 4.5 * counts.std() / math.sqrt(counts.size)


# --- recovery -----------------------------------------------------------------------------------------------

TRUTH = {"location": -1.0, "spread": 1.2, "offset": 0.8, "slope": 0.5, "d": 1.5, "overlap": 0.5, "fidelity": 0.8}


def searched(rng, walk, fidelity, gap, overlap, outputs, *, b=4, w=3, levels=3):
    """Run one search per task itself, by its candidates and their scores; count the right outputs."""
    rho = (1 / (1 + np.exp(-walk)))[:, None] ** (1 / levels)
    right = np.ones((walk.size, 1), dtype=bool)
    for _ in range(levels):
        candidates, before = np.zeros((*right.shape, b), dtype=bool), np.zeros(right.shape)
        for place in range(b):
            candidates[..., place] = right & (rng.random(right.shape) < rho * (1 - overlap) ** before)
            before += candidates[..., place]
        candidates = candidates.reshape(walk.size, -1)
        scores = rng.standard_normal(candidates.shape) + gap * candidates
        right = np.take_along_axis(candidates, np.argsort(-scores, axis=1)[:, :w], axis=1)
    written = right[:, :outputs]
    return (written & (rng.random(written.shape) < fidelity)).sum(axis=1)


@pytest.mark.slow
def test_parameters_of_simulated_searches_are_recovered():
    """Of twelve sets, each with two searches per task, one of which writes out all three states that it keeps."""
    inside, told = [], {"answer_fidelity": [], "step_discrimination": []}
    names = {"answer_fidelity": "fidelity", "step_discrimination": "d", "candidate_overlap": "overlap"}
    names |= {"tree_offset": "offset", "tree_slope": "slope"}
    for seed in range(12):
        rng = np.random.default_rng(seed)
        z = rng.standard_normal(150)
        q = 1 / (1 + np.exp(-(TRUTH["location"] + TRUTH["spread"] * z + 0.4 * rng.standard_normal(z.size))))
        walk = TRUTH["location"] + TRUTH["offset"] + TRUTH["slope"] * TRUTH["spread"] * z
        walk = walk + 0.3 * rng.standard_normal(z.size)
        rows = [row(f"t{i}", "cot", 20, c) for i, c in enumerate(rng.binomial(20, q))]
        for outputs in (1, 3):
            counts = searched(rng, walk, TRUTH["fidelity"], TRUTH["d"], TRUTH["overlap"], outputs)
            rows += [tree(f"t{i}", outputs, c, outputs=outputs) for i, c in enumerate(counts)]
        evals = ds3.read_evals(pd.DataFrame(rows))
        spec = ds3.ModelSpec.from_dict({"population": {"reachability": False}})
        with warnings.catch_warnings():
            # Of short chains it says that they are short.
            warnings.simplefilter("ignore", ds3.FitWarning)
            fit = ds3.fit(evals, spec, draws=700, tune=500, chains=2, seed=seed, progress=False)
        assert int(fit["sample_stats"]["diverging"].sum()) == 0
        for name, true in names.items():
            low, high = np.quantile(fit["posterior"][name].values, [0.05, 0.95])
            inside.append(low <= TRUTH[true] <= high)
            told.setdefault(name, []).append(float(fit["posterior"][name].std()))
    # 60 intervals of 90 %: fewer than 47 inside happen once in 500 times.
    assert sum(inside) >= 47
    # Rows of several outputs tell what rows of one do not: fidelity is learned, from a prior of sd .22.
    assert np.mean(told["answer_fidelity"]) < 0.15
