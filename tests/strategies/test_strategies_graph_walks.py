from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import norm

from ds3bayes.errors import InputError
from ds3bayes.strategies.graph_walks import walk_graph
from ds3bayes.strategies.walks import SOLVED, TRUNCATED, WRONG
from ds3bayes.theory.graph import SkillGraph, traverse

# All statistics of a test together raise a false alarm in one run of a million.
FALSE_ALARM = 1e-6


def limit(statistics):
    return norm.isf(FALSE_ALARM / statistics / 2)


def tangled(s, seed):
    rng = np.random.default_rng(seed)
    names = [f"s{i}" for i in range(s)]
    pairs = [(a, b, float(rng.gamma(1.0))) for a in names for b in names if rng.random() < 2.5 / s]
    pairs += [(a, b, 1.0) for a, b in pairwise(names) if (a, b) not in {p[:2] for p in pairs}]
    policy = rng.dirichlet([3, 1, 1, 0.3, 4], size=s)[:, :4].T
    acts = {
        action: dict(zip(names, share.tolist(), strict=True))
        for action, share in zip(("advance", "wander", "backtrack", "commit"), policy, strict=True)
    }
    return SkillGraph.from_edges(
        pairs, entry={names[0]: 0.6, names[2]: 0.4}, goal=[names[-1], names[s // 2]], guess={names[1]: 0.3}, **acts
    )


def scores(graph, budget, size, seed):
    """Return how many standard errors simulation and theory are apart, for every quantity of both."""
    walks = walk_graph(graph, budget, size, np.random.default_rng(seed))
    theory = traverse(graph, budget)
    found = []
    for code, name in ((TRUNCATED, "truncated"), (SOLVED, "success"), (WRONG, "wrong")):
        p = float(theory[name])
        found.append(((walks.outcome == code).mean() - p) / np.sqrt(p * (1 - p) / size))
    found.append((walks.steps.mean() - float(theory["expected_steps"])) / (walks.steps.std() / np.sqrt(size)))
    for code, name in ((SOLVED, "solved_at"), (WRONG, "wrong_at")):
        counts = np.bincount(walks.steps[walks.outcome == code], minlength=budget + 1)[1:]
        expected = size * theory[name].values
        often = expected > 200
        found.extend((counts - expected)[often] / np.sqrt(expected * (1 - theory[name].values))[often])
    return walks, np.array(found)


@pytest.mark.parametrize(("s", "budget", "seed"), [(4, 25, 1), (9, 60, 2), (15, 40, 3)])
def test_walks_agree_with_the_traversal(s, budget, seed):
    graph = tangled(s, seed)
    walks, found = scores(graph, budget, 100_000, seed)
    assert np.abs(found).max() < limit(len(found))
    assert int(walks.visits.sum()) == walks.steps.sum()
    assert int(walks.solved_visits.sum()) == walks.steps[walks.outcome == SOLVED].sum()
    assert (walks.steps[walks.outcome == TRUNCATED] == budget).all()
    assert walks.steps.min() >= 1


def visit_scores(graph, budget, batches, size):
    """Compare visits to each skill, with standard errors from independent batches."""
    rng = np.random.default_rng(7)
    runs = [walk_graph(graph, budget, size, rng) for _ in range(batches)]
    theory = traverse(graph, budget, by_step=False)
    mean = np.array([run.visits.values / size for run in runs])
    joint = np.array([run.solved_visits.values / size for run in runs])
    wanted = theory["expected_visits"].values, (theory["solved_visits"] * theory["success"]).values
    return np.concatenate(
        [
            (found.mean(0) - exact) / (found.std(0, ddof=1) / np.sqrt(batches))
            for found, exact in zip((mean, joint), wanted, strict=True)
        ]
    )


def test_visits_agree_with_the_traversal():
    found = visit_scores(tangled(6, 5), 50, 200, 1000)
    assert np.abs(found).max() < limit(len(found)) * 1.15  # 199 degrees of freedom: Student's t has wider tails


def test_a_wrong_rule_would_be_noticed():
    graph = tangled(6, 5)
    other = SkillGraph(
        edges=graph.edges,
        entry=graph.start,
        goal=graph.goals,
        advance=graph.policy.sel(action="advance", drop=True),
        wander=graph.policy.sel(action="backtrack", drop=True),
        backtrack=graph.policy.sel(action="wander", drop=True),
        commit=graph.policy.sel(action="commit", drop=True),
        guess=graph.luck,
    )
    walks = walk_graph(other, 50, 100_000, np.random.default_rng(1))
    p = float(traverse(graph, 50)["success"])
    assert abs((walks.outcome == SOLVED).mean() - p) / np.sqrt(p * (1 - p) / 100_000) > limit(1)


@pytest.mark.slow
def test_a_million_walks():
    _, found = scores(tangled(12, 11), 600, 1_000_000, 12)
    assert np.abs(found).max() < limit(len(found))


def test_certain_walks():
    rng = np.random.default_rng(1)
    walks = walk_graph(SkillGraph.path(3, 1.0), 3, 40_000, rng)
    assert (walks.outcome == SOLVED).all()
    assert (walks.steps == 3).all()
    assert walks.visits.values.tolist() == [40_000] * 3
    short = walk_graph(SkillGraph.path(3, 1.0), 2, 10, rng)
    assert (short.outcome == TRUNCATED).all()
    assert short.visits.values.tolist() == [10, 10, 0]
    wrong = walk_graph(SkillGraph.path(3, 0.0, 1.0), 5, 10, rng)
    assert (wrong.outcome == WRONG).all()
    assert (wrong.steps == 1).all()
    none = walk_graph(SkillGraph.path(3, 1.0), 0, 10, rng)
    assert (none.outcome == TRUNCATED).all()
    assert (none.steps == 0).all()
    assert int(none.visits.sum()) == 0


def test_dead_ends_hold_the_walk():
    graph = SkillGraph.from_edges([("a", "b"), ("c", "d")], entry="a", goal="d", advance=0.9, backtrack={"a": 0.1})
    walks = walk_graph(graph, 30, 100, np.random.default_rng(2))
    assert (walks.outcome == TRUNCATED).all()
    assert walks.visits.sel(skill=["c", "d"]).values.tolist() == [0, 0]


def test_repeats_with_the_seed():
    one, two = (walk_graph(tangled(4, 1), 20, 50_000, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one.outcome, two.outcome)
    np.testing.assert_array_equal(one.steps, two.steps)


def test_refuses_sizes():
    with pytest.raises(InputError, match="2 faults") as error:
        walk_graph(SkillGraph.path(2, 0.5), -1, 0, np.random.default_rng(1))
    assert "budget_steps=-1; allowed: an integer >= 0" in str(error.value)
    assert "size=0; allowed: an integer >= 1" in str(error.value)
