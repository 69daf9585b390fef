import networkx as nx
import numpy as np
import pytest
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.theory import path
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.graph import ACTIONS, SkillGraph, traverse

EDGES = [
    ("read", "model", 3),
    ("read", "recall", 1),
    ("recall", "model", 1),
    ("recall", "recall", 0.5),
    ("model", "solve", 1),
    ("model", "read", 0.2),
    ("solve", "extra", 1),
]
ACTS = {"advance": 0.2, "wander": 0.03, "backtrack": {"model": 0.05}, "commit": 0.01}


@pytest.fixture(scope="module")
def graph():
    return SkillGraph.from_edges(EDGES, entry={"read": 0.75, "recall": 0.25}, goal="solve", guess={"read": 0.1}, **ACTS)


def by_names(graph, budget):
    """Walk a dictionary of names step by step, from the edges as they were listed."""
    weights = {(a, b): w for a, b, w in EDGES}
    law = {name: float(graph.start.sel(skill=name)) for name in graph.skills}
    solved, wrong, seen, at_step = 0.0, 0.0, dict.fromkeys(law, 0.0), []
    for _ in range(budget):
        after, before = dict.fromkeys(law, 0.0), (solved, wrong)
        for name, p in law.items():
            seen[name] += p
            backtrack = 0.05 if name == "model" else 0.0
            out = {b: w for (a, b), w in weights.items() if a == name}
            into = {
                a: w / sum(v for (c, _), v in weights.items() if c == a) for (a, b), w in weights.items() if b == name
            }
            near = {a if b == name else b for a, b in weights if name in (a, b)} - {name}
            after[name] += p * (1 - 0.2 - 0.03 - backtrack - 0.01)
            if name == "solve":
                solved += 0.2 * p
            elif out:
                for other, w in out.items():
                    after[other] += 0.2 * p * w / sum(out.values())
            else:
                after[name] += 0.2 * p
            for other in near:
                after[other] += 0.03 * p / len(near)
            for other, w in into.items():
                after[other] += backtrack * p * w / sum(into.values())
            luck = 0.1 if name == "read" else 0.0
            solved, wrong = solved + 0.01 * p * luck, wrong + 0.01 * p * (1 - luck)
        law = after
        at_step.append((solved - before[0], wrong - before[1]))
    return solved, wrong, sum(law.values()), seen, np.array(at_step)


@pytest.mark.parametrize("budget", [0, 2, 9, 200])
def test_traverse_against_a_walk_by_names(graph, budget):
    got = traverse(graph, budget)
    solved, wrong, truncated, seen, at_step = by_names(graph, budget)
    np.testing.assert_allclose(
        [got["success"], got["wrong"], got["truncated"]], [solved, wrong, truncated], rtol=1e-12, atol=0
    )
    np.testing.assert_allclose(got["expected_visits"].sel(skill=list(seen)), list(seen.values()), rtol=1e-12)
    np.testing.assert_allclose(got["expected_steps"], sum(seen.values()), rtol=1e-12)
    assert got["step"].values.tolist() == list(range(1, budget + 1))
    if budget:
        # The oracle's steps are differences of sums near 1.
        np.testing.assert_allclose(got["solved_at"], at_step[:, 0], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(got["wrong_at"], at_step[:, 1], rtol=1e-12, atol=1e-15)
    assert np.isnan(got["solved_visits"]).all() == (budget == 0)


def test_paths_are_the_closed_forms():
    rng = np.random.default_rng(1)
    budgets = [0, 1, 2, 3, 5, 8, 30, 200, 1000]
    for _ in range(12):
        m, r = int(rng.integers(1, 13)), rng.uniform() ** 2
        h = (1 - r) * rng.uniform() ** 4
        got = traverse(SkillGraph.path(m, r, h), budgets, by_step=False)
        for name, formula in (
            ("success", path.solved),
            ("wrong", path.wrong),
            ("truncated", path.truncated),
            ("expected_steps", path.expected_steps),
        ):
            np.testing.assert_allclose(got[name], evaluate(formula, budgets, m, r, h), rtol=1e-11, atol=1e-290)


@pytest.mark.parametrize(("r", "h"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.25, 0.75)])
def test_paths_at_the_edges(r, h):
    got = traverse(SkillGraph.path(3, r, h), [0, 2, 3, 50])
    for name, formula in (("success", path.solved), ("wrong", path.wrong), ("truncated", path.truncated)):
        np.testing.assert_allclose(got[name], evaluate(formula, [0, 2, 3, 50], 3, r, h), rtol=1e-14, atol=0)


def test_steps_of_a_solved_path_are_negative_binomial():
    got = traverse(SkillGraph.path(4, 0.2, 0.05), 1000, by_step=False)
    # Given that it ends solved, each skill takes 1 / (r + h) steps.
    np.testing.assert_allclose(got["solved_visits"], 4.0, rtol=1e-9)
    np.testing.assert_allclose(got["success"], 0.8**4, rtol=1e-9)


def test_unequal_path():
    got = traverse(SkillGraph.path(3, [0.5, 0.2, 0.1], [0.0, 0.1, 0.0]), 1000, by_step=False)
    np.testing.assert_allclose(got["success"], 0.2 / 0.3, rtol=1e-12)
    np.testing.assert_allclose(got["expected_visits"], [2, 1 / 0.3, 2 / 3 / 0.1], rtol=1e-12)


def test_a_batch_of_budgets_is_each_of_them(graph):
    many = traverse(graph, [0, 3, 70])
    assert many["success"].dims == ("budget_steps",)
    assert many["expected_visits"].dims == ("budget_steps", "skill")
    for budget in (0, 3, 70):
        one = traverse(graph, budget)
        for name in ("success", "wrong", "truncated", "expected_steps", "expected_visits", "solved_visits"):
            np.testing.assert_allclose(one[name], many[name].sel(budget_steps=budget), rtol=1e-12)
    np.testing.assert_allclose(many["solved_at"].sum(), many["success"].sel(budget_steps=70), rtol=1e-12)
    array = traverse(graph, xr.DataArray([3, 70], dims="budget_steps"), by_step=False)
    xr.testing.assert_allclose(array["success"], many["success"].isel(budget_steps=[1, 2]))
    assert "solved_at" not in array
    assert all("long_name" in v.attrs and "units" in v.attrs for v in many.data_vars.values())


def test_many_budgets_at_once_take_little_memory():
    many = traverse(SkillGraph.path(30, 0.3, 0.01), range(1000), by_step=False)
    np.testing.assert_allclose(many["success"], evaluate(path.solved, np.arange(1000), 30, 0.3, 0.01), rtol=1e-11)


def test_no_way_to_the_goal():
    graph = SkillGraph.from_edges([("a", "b"), ("c", "d")], entry="a", goal="d", advance=0.5, commit=0.1)
    got = traverse(graph, 30)
    assert float(got["success"]) == 0.0
    np.testing.assert_allclose(got["wrong"], 1 - 0.9**30, rtol=1e-13)
    assert np.isnan(got["solved_visits"]).all()
    lucky = SkillGraph.from_edges([("a", "b"), ("c", "d")], entry="a", goal="d", advance=0.5, commit=0.1, guess=0.25)
    np.testing.assert_allclose(traverse(lucky, 30)["success"], 0.25 * (1 - 0.9**30), rtol=1e-13)


def test_several_goals():
    graph = SkillGraph.from_edges(
        [("a", "b", 1), ("a", "c", 3)], entry="a", goal=["b", "c"], advance={"a": 1, "b": 0.5}
    )
    np.testing.assert_allclose(traverse(graph, 50)["success"], 0.25, rtol=1e-13)
    assert repr(graph) == "SkillGraph(3 skills, 2 edges, entry 'a', goal 'b', 'c')"


def test_committing_at_the_goal_can_be_right():
    at_goal = {"entry": "a", "goal": "b", "advance": {"a": 1.0}, "commit": {"b": 0.5}}
    assert float(traverse(SkillGraph.from_edges([("a", "b")], **at_goal), 2)["wrong"]) == 0.5
    assert float(traverse(SkillGraph.from_edges([("a", "b")], guess={"b": 1}, **at_goal), 2)["success"]) == 0.5


def test_networkx_there_and_back(graph):
    same = SkillGraph.from_networkx(graph.to_networkx(), entry=graph.start, goal=graph.goals, guess=graph.luck, **ACTS)
    xr.testing.assert_allclose(traverse(same, 40), traverse(graph, 40))
    xr.testing.assert_allclose(same.edges, graph.edges)
    plain = SkillGraph.from_networkx(nx.DiGraph([("a", "b"), ("a", "c")]), entry="a", goal="c", advance=1.0)
    np.testing.assert_array_equal(plain.edges.sel(skill="a"), [0, 0.5, 0.5])
    for other in (nx.Graph(), nx.MultiDiGraph(), "a"):
        with pytest.raises(InputError, match=r"allowed: a networkx\.DiGraph"):
            SkillGraph.from_networkx(other, entry="a", goal="b")


def test_arrays_in_any_order(graph):
    skills = list(graph.skills)[::-1]
    same = SkillGraph(
        edges=graph.edges.sel(next_skill=skills).transpose("next_skill", "skill"),
        entry=graph.start.sel(skill=skills),
        goal="solve",
        guess=graph.luck,
        **{action: graph.policy.sel(action=action, drop=True) for action in ACTIONS},
    )
    xr.testing.assert_allclose(traverse(same, 12), traverse(graph, 12))


def test_a_graph_cannot_be_changed(graph):
    with pytest.raises(ValueError, match="read-only"):
        graph.edges[0, 0] = 1.0
    given = graph.edges.copy()
    kept = SkillGraph(edges=given, entry="read", goal="solve")
    given[0, 0] = 7.0
    xr.testing.assert_equal(kept.edges, graph.edges)


def test_all_faults_at_once(graph):
    with pytest.raises(InputError) as error:
        SkillGraph(
            edges=graph.edges * 0.9,
            goal="slve",
            entry={"read": 0.3, "model": 0.2},
            advance=0.9,
            wander={"raed": 0.1},
            backtrack=xr.DataArray([0.2], dims="skill", coords={"skill": ["read"]}),
            commit={"model": 1.5, "read": 0.3},
            guess="often",
        )
    said = str(error.value)
    for part in (
        "edges leaving 'read' sum to 0.9; allowed: 1, or 0 if no edge leaves it",
        "goal names the unknown skill 'slve'",
        "Did you mean 'solve'?",
        "entry sums to 0.5; allowed: 1",
        "wander names the unknown skill 'raed'",
        "Did you mean 'read'?",
        "backtrack lacks the skill 'model'",
        "commit at skill 'model' is 1.5; allowed: probabilities in [0, 1]",
        "actions at skill 'read' sum to 1.4; allowed: at most 1, the rest idles",
        "guess: got 'often'; allowed: a number in [0, 1]",
    ):
        assert part in said, part
    assert said.startswith("SkillGraph: 14 faults")


def square(values, rows="ab", columns="ab"):
    return xr.DataArray(values, dims=("skill", "next_skill"), coords={"skill": list(rows), "next_skill": list(columns)})


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        (np.eye(2), "got a ndarray; allowed: an xarray.DataArray with dims"),
        (xr.DataArray(np.eye(2), dims=("a", "b")), "got dims"),
        (xr.DataArray(np.eye(2), dims=("skill", "next_skill")), "dim 'skill' has no coordinate"),
        (square(np.eye(2), rows="aa", columns="aa"), "each name once"),
        (square(np.eye(2), columns="ac"), "edges: next_skill names the unknown skill 'c'"),
        (square(np.eye(2), columns="ac"), "edges: next_skill lacks the skill 'b'"),
        (square(np.eye(2), columns="aa"), "next_skill is 'a', 'a'"),
        (square([[0.0, np.nan], [0.0, 0.0]]), "edge 'a' -> 'b' is nan"),
        (square([[-1.0, 2.0], [0.0, 0.0]]), "edge 'a' -> 'a' is -1; allowed: probabilities"),
        (square([["x", "y"], ["x", "y"]]), "allowed: numbers"),
        (square(np.zeros((0, 0)), rows="", columns=""), "no skills"),
        (square(np.eye(2), rows=[1, 2], columns=[1, 2]), "text that is not blank"),
    ],
)
def test_refuses_edges(edges, said):
    with pytest.raises(InputError) as error:
        SkillGraph(edges=edges, entry="a", goal="b")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ([("a", "b", 0.0)], "weight > 0"),
        ([("a", "b", np.inf)], "weight > 0"),
        ([("a", "b"), ("a", "b", 2)], "'a' -> 'b' is given twice"),
        ([("a",)], "allowed: (skill, next_skill)"),
        ([("a", 3)], "allowed: (skill, next_skill)"),
        ([], "edges is empty"),
    ],
)
def test_refuses_lists_of_edges(edges, said):
    with pytest.raises(InputError) as error:
        SkillGraph.from_edges(edges, entry="a", goal="b")
    assert said in str(error.value)


def test_refuses_paths_budgets_and_goals(graph):
    for m in (0, 2.0, True):
        with pytest.raises(InputError, match="allowed: an integer >= 1"):
            SkillGraph.path(m, 0.5)
    with pytest.raises(InputError, match="r has shape"):
        SkillGraph.path(3, [0.5, 0.5])
    with pytest.raises(InputError, match=r"sum to 1\.1"):
        SkillGraph.path(3, 0.5, 0.6)
    for budget in (-1, 2.5, [], [[1]], "many"):
        with pytest.raises(InputError, match="allowed: whole numbers >= 0"):
            traverse(graph, budget)
    with pytest.raises(InputError, match="by_step=False"):
        traverse(graph, 10**9)
    np.testing.assert_allclose(traverse(graph, 10**9, by_step=False)["truncated"], 0.0, atol=1e-300)
    for goal in ([], 3):
        with pytest.raises(InputError, match="allowed: the name of a skill, or several"):
            SkillGraph.from_edges([("a", "b")], entry="a", goal=goal)
    with pytest.raises(InputError, match=r"entry: got 0\.5; allowed: the name of a skill"):
        SkillGraph.from_edges([("a", "b")], entry=0.5, goal="b")
