"""Skill graphs with names: the general traversal for users of xarray.

A `SkillGraph` says which skills lead to which and what a step does at each; `traverse` computes how its walks end
and where they spend their steps, from the formulas of `ds3bayes.theory.traversal`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.traversal import absorbed_within, expected_visits, graph_matrices, step_law, visits_by_outcome

#: What a step can do at a skill; a step that does none of them idles.
ACTIONS = ("advance", "wander", "backtrack", "commit")

#: A number for all skills, one per named skill (0 for those left out), or an array with the dim ``skill``.
PerSkill = float | Mapping[str, float] | xr.DataArray

# Sums of probabilities may miss 1 by rounding of the input, and are then put right.
_ROUNDING = 1e-9
# Most steps whose probabilities are listed one by one.
_MOST_STEPS = 10_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SkillGraph:
    """A directed graph of skills, and what a walk over it does at each.

    The walk stands at a skill, which it is working on. A step takes one of these actions, or else idles:

    - advance: the skill is completed. At a goal this solves the task; elsewhere the walk goes on along an outgoing
      edge, drawn by the edges' probabilities. Where no edge leads on it stays.
    - wander: the walk goes to one of the skills joined to this one by an edge in either direction, all equally
      probable, with nothing completed. It stays if there is none.
    - backtrack: the walk goes back along one of the incoming edges, drawn in proportion to their probabilities. It
      stays if there is none.
    - commit: the walk gives an answer now, with the skill at hand incomplete. The answer is wrong, at a goal too,
      but for the lucky ones that ``guess`` says.

    Edges that leave a goal are never followed by advancing, but wandering and backtracking may use them. Cycles and
    self-loops are allowed. A graph whose goals cannot be reached is allowed: its success is 0 (lucky guesses aside).

    Parameters
    ----------
    edges : xarray.DataArray
        Dims ``(skill, next_skill)`` with the same names as coordinates of both: the probability of each next skill
        once a skill is completed. Each row sums to 1, or to 0 if no edge leaves the skill.
    goal : str or sequence of str
        The skill whose completion solves the task, or several of which any one does.
    entry : str, mapping of str to float or xarray.DataArray
        The skill that walks begin at, or the probabilities of several, which sum to 1.
    advance, wander, backtrack, commit : float, mapping of str to float or xarray.DataArray
        Probabilities of the actions at each skill: one number for all, names with numbers (0 for names left out), or
        an array with dim ``skill``. At each skill they sum to at most 1; the rest idles.
    guess : float, mapping of str to float or xarray.DataArray
        Probability that an answer committed at a skill is right by luck.

    Attributes
    ----------
    skills : tuple of str
        Names of the skills, in the order of ``edges``.
    goals : tuple of str
        Names of the goals.
    start : xarray.DataArray
        Probability of each first skill, dim ``skill``.
    policy : xarray.DataArray
        Probability of each action at each skill, dims ``(action, skill)``.
    luck : xarray.DataArray
        ``guess`` at each skill, dim ``skill``.

    Raises
    ------
    InputError
        If names are unknown or probabilities are none; all faults are named at once.

    See Also
    --------
    SkillGraph.from_edges : from a list of weighted edges.
    SkillGraph.from_networkx : from a networkx graph.
    SkillGraph.path : the path of skills of the closed forms.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).

    Examples
    --------
    >>> graph = SkillGraph.from_edges(
    ...     [("read", "model", 3), ("read", "recall", 1), ("recall", "model", 1), ("model", "solve", 1)],
    ...     entry="read", goal="solve", advance=0.2, wander=0.02, commit=0.01,
    ... )
    >>> graph
    SkillGraph(4 skills, 4 edges, entry 'read', goal 'solve')
    >>> round(float(traverse(graph, 30)["success"]), 3)
    0.8
    """

    edges: xr.DataArray
    goal: str | Sequence[str]
    entry: str | Mapping[str, float] | xr.DataArray
    advance: PerSkill = 0.0
    wander: PerSkill = 0.0
    backtrack: PerSkill = 0.0
    commit: PerSkill = 0.0
    guess: PerSkill = 0.0
    skills: tuple[str, ...] = field(init=False)
    goals: tuple[str, ...] = field(init=False)
    start: xr.DataArray = field(init=False)
    policy: xr.DataArray = field(init=False)
    luck: xr.DataArray = field(init=False)

    def __post_init__(self) -> None:
        faults: list[str] = []
        edges = _read_edges(self.edges, faults)
        if edges is None:
            raise InputError.of_faults("SkillGraph", faults)
        skills = tuple(edges["skill"].values.tolist())
        goals = _read_goals(self.goal, skills, faults)
        start = _read_start(self.entry, skills, faults)
        shares = np.stack([_read_share(action, getattr(self, action), skills, faults) for action in ACTIONS])
        luck = _read_share("guess", self.guess, skills, faults)
        total = shares.sum(axis=0)
        for name, value in zip(skills, total, strict=True):
            if value > 1.0 + _ROUNDING:
                faults.append(f"actions at skill {name!r} sum to {value:.6g}; allowed: at most 1, the rest idles")
        if faults:
            raise InputError.of_faults("SkillGraph", faults)
        policy = xr.DataArray(
            shares / np.maximum(total, 1.0),
            dims=("action", "skill"),
            coords={"action": list(ACTIONS), "skill": list(skills)},
            attrs={"long_name": "probability that a step takes the action", "units": "1"},
        )
        read = {
            "edges": edges,
            "skills": skills,
            "goals": goals,
            "start": _over_skills(start, skills, "probability of the first skill"),
            "policy": policy,
            "luck": _over_skills(luck, skills, "probability that a committed answer is right"),
        }
        for name, value in read.items():
            if isinstance(value, xr.DataArray):
                value.values.setflags(write=False)
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        begins = [name for name, share in zip(self.skills, self.start.values, strict=True) if share > 0]
        edges = int((self.edges.values > 0).sum())
        return (
            f"{type(self).__name__}({_count(len(self.skills), 'skill')}, {_count(edges, 'edge')}, "
            f"entry {_names(begins)}, goal {_names(self.goals)})"
        )

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[str, str] | tuple[str, str, float]],
        *,
        goal: str | Sequence[str],
        entry: str | Mapping[str, float] | xr.DataArray,
        advance: PerSkill = 0.0,
        wander: PerSkill = 0.0,
        backtrack: PerSkill = 0.0,
        commit: PerSkill = 0.0,
        guess: PerSkill = 0.0,
    ) -> SkillGraph:
        """Make a graph from a list of edges, whose weights are divided by their sum at each skill.

        Parameters
        ----------
        edges : iterable of tuple
            ``(skill, next_skill)`` or ``(skill, next_skill, weight)`` with a positive, finite weight, 1 if left out.
            Skills are all names in it, in order of first appearance.
        goal, entry, advance, wander, backtrack, commit, guess
            As for `SkillGraph`.

        Returns
        -------
        SkillGraph
            The graph.

        Raises
        ------
        InputError
            If an edge is given twice or has no positive weight, or as for `SkillGraph`.
        """
        faults: list[str] = []
        weights: dict[tuple[str, str], float] = {}
        for edge in edges:
            weight = _weight(edge)
            if weight is None:
                faults.append(f"edge {edge!r}; allowed: (skill, next_skill) or (skill, next_skill, weight > 0)")
            elif tuple(edge[:2]) in weights:
                faults.append(f"edge {edge[0]!r} -> {edge[1]!r} is given twice")
            else:
                weights[edge[0], edge[1]] = weight
        if not weights and not faults:
            faults.append("edges is empty; allowed: at least one edge")
        if faults:
            raise InputError.of_faults("SkillGraph.from_edges", faults)
        skills = list(dict.fromkeys(name for edge in weights for name in edge))
        place = {name: i for i, name in enumerate(skills)}
        table = np.zeros((len(skills), len(skills)))
        for (name, next_name), weight in weights.items():
            table[place[name], place[next_name]] = weight
        largest = table.max(axis=1, keepdims=True)
        table = table / np.where(largest > 0, largest, 1.0)
        total = table.sum(axis=1, keepdims=True)
        return cls(
            edges=_square(table / np.where(total > 0, total, 1.0), skills),
            goal=goal,
            entry=entry,
            advance=advance,
            wander=wander,
            backtrack=backtrack,
            commit=commit,
            guess=guess,
        )

    @classmethod
    def from_networkx(
        cls,
        graph: Any,
        *,
        goal: str | Sequence[str],
        entry: str | Mapping[str, float] | xr.DataArray,
        weight: str = "weight",
        advance: PerSkill = 0.0,
        wander: PerSkill = 0.0,
        backtrack: PerSkill = 0.0,
        commit: PerSkill = 0.0,
        guess: PerSkill = 0.0,
    ) -> SkillGraph:
        """Make a graph from a networkx DiGraph, whose weights are divided by their sum at each skill.

        Parameters
        ----------
        graph : networkx.DiGraph
            Nodes are names of skills. Nodes without edges are left out.
        goal, entry, advance, wander, backtrack, commit, guess
            As for `SkillGraph`.
        weight : str
            Attribute of the edges that holds their positive weight; edges without it weigh 1.

        Returns
        -------
        SkillGraph
            The graph.

        Raises
        ------
        InputError
            If the graph is undirected or has parallel edges, or as for `SkillGraph.from_edges`.
        """
        import networkx as nx

        if not isinstance(graph, nx.DiGraph) or graph.is_multigraph():
            raise InputError(f"graph is a {type(graph).__name__}; allowed: a networkx.DiGraph")
        return cls.from_edges(
            graph.edges(data=weight, default=1.0),
            goal=goal,
            entry=entry,
            advance=advance,
            wander=wander,
            backtrack=backtrack,
            commit=commit,
            guess=guess,
        )

    @classmethod
    def path(cls, m: int, r: float | Sequence[float], h: float | Sequence[float] = 0.0) -> SkillGraph:
        """Make the path of the closed forms: m skills, one after another.

        Parameters
        ----------
        m : int
            Number of skills, at least 1; they are named ``"skill 1"`` to ``"skill m"``.
        r : float or sequence of float
            Probability that a step completes the skill at hand, one for all or one per skill.
        h : float or sequence of float
            Probability that a step commits to a wrong answer, one for all or one per skill; r + h <= 1.

        Returns
        -------
        SkillGraph
            Its traversal equals `ds3bayes.theory.path.solved`, `wrong`, `truncated` and `expected_steps`.

        Raises
        ------
        InputError
            If m, r or h are out of range.
        """
        if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
            raise InputError(f"m={m!r}; allowed: an integer >= 1")
        skills = [f"skill {j + 1}" for j in range(m)]
        shares = {}
        for name, given in (("r", r), ("h", h)):
            values = np.asarray(given, dtype=float)
            if values.shape not in ((), (m,)):
                raise InputError(f"{name} has shape {values.shape}; allowed: one number, or one per skill ({m})")
            shares[name] = _over_skills(np.broadcast_to(values, m), skills, name)
        return cls(
            edges=_square(np.eye(m, k=1), skills),
            goal=skills[-1],
            entry=skills[0],
            advance=shares["r"],
            commit=shares["h"],
        )

    def to_networkx(self) -> Any:
        """Return the edges as a networkx DiGraph, with their probabilities as the attribute ``weight``.

        Returns
        -------
        networkx.DiGraph
            Every skill is a node, in the order of ``skills``.
        """
        import networkx as nx

        graph = nx.DiGraph()
        graph.add_nodes_from(self.skills)
        for i, j in np.argwhere(self.edges.values > 0):
            graph.add_edge(self.skills[i], self.skills[j], weight=float(self.edges.values[i, j]))
        return graph


def traverse(
    graph: SkillGraph, budget_steps: int | Sequence[int] | xr.DataArray, *, by_step: bool = True
) -> xr.Dataset:
    """Compute how walks over a skill graph end, and at which skills they spend their steps.

    Exact: with Q the probabilities of moving between skills and R those of ending, e' sum_{k<K} Q^k R have ended
    within K steps, in O(log K) matrix products.

    Parameters
    ----------
    graph : SkillGraph
        The graph.
    budget_steps : int, sequence of int or xarray.DataArray
        Most steps of a walk, at least 0. Several budgets give results with a dim ``budget_steps``.
    by_step : bool
        Whether to list the probabilities of ending at each step, up to the largest budget (at most 10 million).

    Returns
    -------
    xarray.Dataset
        ``success``, ``wrong`` and ``truncated`` (probabilities, which sum to 1), ``expected_steps``,
        ``expected_visits`` (dim ``skill``; steps begun at each skill, which sum to ``expected_steps``) and
        ``solved_visits`` (the same among walks that end solved; NaN if none can). With ``by_step`` also
        ``solved_at`` and ``wrong_at`` (dim ``step`` from 1; probability of ending at exactly this step; they do not
        depend on the budget).

    Raises
    ------
    InputError
        If a budget is not a whole number >= 0.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).

    Examples
    --------
    >>> result = traverse(SkillGraph.path(3, 0.5, 0.1), [3, 10])
    >>> result["success"].values.round(4)
    array([0.125 , 0.5716])
    """
    budgets = _read_budgets(budget_steps, by_step)
    goal = np.isin(graph.skills, graph.goals)
    Q, R_abs = evaluate(graph_matrices, graph.edges.values, goal, *graph.policy.values, graph.luck.values)
    start = graph.start.values
    most = int(budgets.max(initial=0))
    # The expression depends on the number of doublings only: in fives, so that few expressions are built.
    K_max = (1 << 5 * -(-most.bit_length() // 5)) - 1
    # Budgets are a batch axis: their matrices are copies, so few are held at once.
    options: dict[str, Any] = {"core": (2, 2, 1, 0), "K_max": K_max, "block": max(1, 1_000_000 // Q.size)}
    solved, wrong, truncated, steps = evaluate(absorbed_within, Q, R_abs, start, budgets, **options)
    visits = evaluate(_visits, Q, start, budgets, **options | {"core": (2, 1, 0)})
    visits_if_solved = evaluate(_visits_if_solved, Q, R_abs, start, budgets, **options)
    share = solved[:, None]
    some = share > 0
    result = xr.Dataset(
        {
            "success": _variable(solved, "probability that the task is solved within the budget", "1"),
            "wrong": _variable(wrong, "probability of a wrong answer within the budget", "1"),
            "truncated": _variable(truncated, "probability that the walk is under way when the budget ends", "1"),
            "expected_steps": _variable(steps, "expected steps of a walk", "steps"),
            "expected_visits": _variable(visits, "expected steps begun at the skill", "steps"),
            "solved_visits": _variable(
                np.where(some, visits_if_solved / np.where(some, share, 1.0), np.nan),
                "expected steps begun at the skill by a walk that ends solved",
                "steps",
            ),
        },
        coords={
            "budget_steps": ("budget_steps", budgets, {"long_name": "most steps of a walk", "units": "steps"}),
            "skill": list(graph.skills),
        },
    )
    if np.ndim(budget_steps) == 0:
        result = result.isel(budget_steps=0)
    if by_step:
        law = evaluate(step_law, Q, R_abs, start, K=most)
        result = result.assign_coords(
            step=("step", np.arange(1, most + 1), {"long_name": "step at which the walk ends", "units": "steps"})
        ).assign(
            solved_at=("step", law[:, 0], {"long_name": "probability of ending solved at the step", "units": "1"}),
            wrong_at=("step", law[:, 1], {"long_name": "probability of ending wrong at the step", "units": "1"}),
        )
    return result


def _visits(Q: Any, start: Any, K: Any, *, K_max: int) -> Any:
    return expected_visits(Q, start, K, K_max=K_max)


def _visits_if_solved(Q: Any, R_abs: Any, start: Any, K: Any, *, K_max: int) -> Any:
    return visits_by_outcome(Q, R_abs, start, K, K_max=K_max).solved


def _variable(values: Floats, long_name: str, units: str) -> tuple[Sequence[Hashable], Floats, dict[str, str]]:
    return ("budget_steps", "skill")[: values.ndim], values, {"long_name": long_name, "units": units}


def _over_skills(values: Floats, skills: Sequence[str], long_name: str) -> xr.DataArray:
    return xr.DataArray(
        np.array(values, dtype=float),
        dims="skill",
        coords={"skill": list(skills)},
        attrs={"long_name": long_name, "units": "1"},
    )


def _square(table: Floats, skills: Sequence[str]) -> xr.DataArray:
    return xr.DataArray(
        table,
        dims=("skill", "next_skill"),
        coords={"skill": list(skills), "next_skill": list(skills)},
        attrs={"long_name": "probability of the next skill once the skill is completed", "units": "1"},
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# --- reading what the user gave -----------------------------------------------------------------------------


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool | np.bool_) and math.isfinite(value)


def _weight(edge: Any) -> float | None:
    """Return the weight of an edge, or None if it is not one."""
    if not isinstance(edge, tuple | list) or len(edge) not in (2, 3):
        return None
    if not all(isinstance(name, str) and name.strip() for name in edge[:2]):
        return None
    weight = edge[2] if len(edge) == 3 else 1.0
    return float(weight) if _number(weight) and weight > 0 else None


def _unknown(what: str, got: Iterable[Any], skills: Sequence[str]) -> list[str]:
    shown = _names(skills[:12]) + (", ..." if len(skills) > 12 else "")
    return [
        f"{what} names the unknown skill {name!r}; allowed: {shown}.{did_you_mean(str(name), skills)}"
        for name in got
        if name not in skills
    ]


def _read_edges(edges: Any, faults: list[str]) -> xr.DataArray | None:
    """Return the edges as a clean copy with both axes in one order, or None if they are no square table."""
    if not isinstance(edges, xr.DataArray) or set(edges.dims) != {"skill", "next_skill"}:
        got = f"dims {edges.dims}" if isinstance(edges, xr.DataArray) else f"a {type(edges).__name__}"
        faults.append(f"edges: got {got}; allowed: an xarray.DataArray with dims ('skill', 'next_skill')")
        return None
    if edges.dtype.kind not in "buif":
        faults.append(f"edges: got dtype {edges.dtype}; allowed: numbers")
        return None
    edges = edges.transpose("skill", "next_skill").astype(float)
    for dim in ("skill", "next_skill"):
        if dim not in edges.coords:
            faults.append(f"edges: dim {dim!r} has no coordinate; allowed: the names of the skills")
            return None
    names = edges["skill"].values.tolist()
    if not names:
        faults.append("edges: no skills; allowed: at least one")
        return None
    if not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) < len(names):
        faults.append(f"edges: skills {_names(names)}; allowed: text that is not blank, each name once")
        return None
    others = edges["next_skill"].values.tolist()
    if set(others) != set(names) or len(others) != len(names):
        faults.extend(_unknown("edges: next_skill", others, names))
        faults.extend(f"edges: next_skill lacks the skill {name!r}" for name in names if name not in others)
        if len(set(others)) < len(others):
            faults.append(f"edges: next_skill is {_names(others)}; allowed: each name once")
        return None
    values = edges.sel(next_skill=names).values
    bad = ~((values >= 0) & (values <= 1 + _ROUNDING))
    for i, j in np.argwhere(bad):
        faults.append(f"edge {names[i]!r} -> {names[j]!r} is {values[i, j]:.6g}; allowed: probabilities in [0, 1]")
    total = values.sum(axis=1)
    for name, value, fault in zip(names, total, bad.any(axis=1), strict=True):
        if not fault and value != 0 and abs(value - 1) > _ROUNDING:
            faults.append(f"edges leaving {name!r} sum to {value:.6g}; allowed: 1, or 0 if no edge leaves it")
    # Whatever else is at fault can be found with edges that are at fault themselves.
    return _square(values / np.where(total > 0, total, 1.0)[:, None], names)


def _read_goals(goal: Any, skills: Sequence[str], faults: list[str]) -> tuple[str, ...]:
    goals = [goal] if isinstance(goal, str) else list(goal) if isinstance(goal, Iterable) else None
    if not goals:
        faults.append(f"goal={goal!r}; allowed: the name of a skill, or several")
        return ()
    faults.extend(_unknown("goal", goals, skills))
    return tuple(dict.fromkeys(goals))


def _read_start(entry: Any, skills: Sequence[str], faults: list[str]) -> Floats:
    found = len(faults)
    values = _read_share("entry", {entry: 1.0} if isinstance(entry, str) else entry, skills, faults)
    total = values.sum()
    if len(faults) == found and abs(total - 1) > _ROUNDING:
        faults.append(f"entry sums to {total:.6g}; allowed: 1")
    return values / total if total > 0 else values


def _read_share(name: str, given: Any, skills: Sequence[str], faults: list[str]) -> Floats:
    """Return one probability per skill; zeros where there are faults, which are noted."""
    values = np.zeros(len(skills))
    if isinstance(given, xr.DataArray) and given.dims == ("skill",) and "skill" in given.coords:
        got = given["skill"].values.tolist()
        faults.extend(f"{name} lacks the skill {skill!r}" for skill in skills if skill not in got)
        if len(set(got)) < len(got):
            faults.append(f"{name}: its skills are {_names(got)}; allowed: each name once")
        given = dict(zip(got, given.values.tolist(), strict=True))
    if isinstance(given, Mapping):
        faults.extend(_unknown(name, given, skills))
        known = {skill: value for skill, value in given.items() if skill in skills}
    elif _number(given) and 0 <= given <= 1 and name != "entry":
        known = dict.fromkeys(skills, given)
    else:
        got_text = f"dims {given.dims}" if isinstance(given, xr.DataArray) else f"{given!r}"
        one = "the name of a skill" if name == "entry" else "a number in [0, 1]"
        faults.append(f"{name}: got {got_text}; allowed: {one}, names with numbers, or an array with dim 'skill'")
        known = {}
    for skill, value in known.items():
        if _number(value) and 0 <= value <= 1:
            values[skills.index(skill)] = value
        else:
            faults.append(f"{name} at skill {skill!r} is {value!r}; allowed: probabilities in [0, 1]")
    return values


def _read_budgets(budget_steps: Any, by_step: bool) -> NDArray[np.int64]:
    budgets = np.asarray(budget_steps)
    if budgets.dtype.kind not in "iu" or budgets.ndim > 1 or budgets.size == 0 or budgets.min() < 0:
        raise InputError(f"budget_steps={budget_steps!r}; allowed: whole numbers >= 0, one or several in a row")
    if by_step and budgets.max() > _MOST_STEPS:
        raise InputError(
            f"budget_steps={int(budgets.max())} is too many to list step by step; allowed: at most {_MOST_STEPS}, "
            "or more with by_step=False"
        )
    return np.atleast_1d(budgets).astype(np.int64)
