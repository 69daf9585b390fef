"""`plan`: how many tasks, attempts and dollars an evaluation needs, before it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr, ndtri

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import read_evals, to_table
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.spec import HoldOut, ModelSpec, Sampling
from ds3bayes.inference.artifact import design_of
from ds3bayes.inference.fit import fit
from ds3bayes.queries.answerable import tree_of_prior
from ds3bayes.queries.choices import COSTS
from ds3bayes.queries.options import draws_of, only_benchmark, parse_option
from ds3bayes.queries.predict import predict
from ds3bayes.queries.words import LEVEL, amount, number

Array = np.ndarray
Source = xr.DataTree | xr.Dataset | ModelSpec | Mapping[str, tuple[float, int]]

#: Numbers of tasks that are shown.
TASKS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
# Ratio of the ends of a price that is well known.
_SURE = 2.0
# Of a population's law; more would move no quantile that matters.
_DRAWS = 400
# The task by which LLMs that were run on different ones are in one population; it is held out, and so says nothing.
_SHARED = "shared by all"
_UNIT = "attempts"
# Two accuracies say little of a population, so that its posterior is nearly a prior: wide, with narrow ends.
_SAMPLING = Sampling(draws=500, target_accept=0.97)


def plan(
    source: Source,
    a: str | None = None,
    b: str | None = None,
    *,
    width: float | None = None,
    difference: float | None = None,
    power: float = 0.8,
    max_cost: float | None = None,
    level: float = LEVEL,
    assurance: float = 0.9,
    tasks: Literal["observed", "new"] = "new",
    max_tasks: int | None = None,
    attempts: Sequence[int] = (1, 2, 4, 8, 16, 32),
    cost: Literal["attempts", "tokens", "usd", "flops", "joules", "seconds"] | None = None,
    price: float | None = None,
    task_cost: float = 0.0,
    benchmark: str | None = None,
    new_tasks: int = 1024,
    seed: int = 0,
) -> xr.Dataset:
    """Plan an evaluation: tasks, attempts per task and cost that answer a question, or what a budget can answer.

    Three questions. ``width``: how much it takes to know an LLM's success within an interval of that width.
    ``difference``: how much it takes to tell two LLMs that differ by so much, run on the same tasks, with ``power``.
    ``max_cost`` alone: the narrowest interval, or of two LLMs the smallest difference, that a budget can show.

    Parameters
    ----------
    source : xarray.DataTree, xarray.Dataset, ModelSpec or mapping
        Where it is known from how far tasks differ, what an attempt costs and how LLMs agree: a former fit; a table
        of counts from `read_evals` (fitted with the default model); published accuracies, each with the number of
        tasks that it is a mean of (``{"acme-1": (0.62, 198)}``); or a spec, whose priors are asked (for the LLMs of
        its table, whose counts are not used; without one, for two LLMs ``"a"`` and ``"b"``).
    a, b : str, optional
        ``"LLM | strategy"``, an LLM, or a strategy where there is one LLM. May be left out where there is one LLM, or
        two that are to be told apart. An attempt is one decision of the strategy.
    width : float, optional
        Of the interval of success, or of the difference if ``b`` is given, in (0, 1).
    difference : float, optional
        Difference in success to tell, in (0, 1).
    power : float, default 0.8
        Probability that the interval of the difference then excludes 0, in [0.5, 1).
    max_cost : float, optional
        Budget of the whole evaluation, in the unit of ``cost``.
    level : float, default 0.9
        Probability of the interval, in (0, 1).
    assurance : float, default 0.9
        Probability that the plan suffices, over what the source leaves open, in [0.5, 1).
    tasks : {"new", "observed"}, default "new"
        Whether the claim is about tasks like those that will be run, or about these very tasks, all of a benchmark's:
        then how far tasks differ does not matter, and ``max_tasks`` of them are run.
    max_tasks : int, optional
        How many tasks there are to run, at least 2. Those of the source for ``tasks="observed"``, else no limit.
    attempts : sequence of int, default (1, 2, 4, 8, 16, 32)
        Attempts per task to show, at least 1. The choice is among all whole numbers up to the largest.
    cost : {"attempts", "tokens", "usd", "flops", "joules", "seconds"}, optional
        What the evaluation costs: ``usd`` if the source has prices or ``price`` is given, else ``tokens`` if it has
        those, else ``attempts``.
    price : float, optional
        Cost of one attempt, of both LLMs together if there are two, above 0. If absent the median over draws of what
        the source expects, which ``attrs`` holds as ``price`` between ``price_lower`` and ``price_upper``.
    task_cost : float, default 0
        Cost of one more task beside its attempts (to write it, or to grade it), at least 0.
    benchmark : str, optional
        Needed where there are several.
    new_tasks, seed : int
        As for `predict`: how many points stand for the population of tasks (with 1,024 the variance over tasks is known
        to 2 % at a draw, and to .2 % in the mean over draws).

    Returns
    -------
    xarray.Dataset
        Dims (tasks, attempts): ``width`` of the interval, and with two LLMs ``detectable``, the smallest difference
        told with ``power``, and with ``difference`` the ``power``; each the median over draws, with ``_lower`` and
        ``_upper`` end of the interval that leaves out 1 - ``assurance`` at either end; ``cost`` in its unit. Along
        ``attempts`` alone, with a width or a difference: ``tasks_needed`` and ``cost_needed`` (infinite where more
        than ``max_tasks`` would be needed). By ``draw``: ``between`` variance of success (or of its difference) over
        tasks, and ``within`` the mean variance of one attempt at a task; with two LLMs their ``correlation`` over
        tasks. Scalars ``chosen_tasks``, ``chosen_attempts``, ``chosen_cost`` of the cheapest design (of the most
        telling one within a budget), NaN if none suffices. ``attrs["sentence"]`` says it in words.

    Raises
    ------
    InputError
        If the question is none or two, an option is unknown, a number is out of range, two LLMs share no tasks, or a
        cost is not known.

    Notes
    -----
    The mean over T tasks of the share right in m attempts has variance (between + within / m) / T about the success
    on tasks like these, and within / (m T) about that on these very tasks; for two LLMs on the same tasks, between is
    var(q_a) + var(q_b) - 2 cov(q_a, q_b) and within is the sum of theirs (Miller 2024). An interval is 2 z sd wide,
    and a difference d is told with probability Phi(d / sd - z). Both variances are those of each draw's population of
    tasks. The default model's intervals are about as wide; of few tasks or attempts they are wider or narrower by what
    it does not know, or takes from its prior.

    While tasks cost nothing beside their attempts, one attempt at each of many tasks is the best use of a budget;
    with ``task_cost`` it is about sqrt(task_cost within / (price between)) attempts.

    References
    ----------
    Miller (2024), Adding error bars to evals, arXiv:2411.00640: variance of a mean over tasks with resamples, paired
    differences, power. O'Hagan, Stevens, Campbell (2005), Assurance in clinical trial design, Pharmaceutical
    Statistics 4.
    """
    asked = _Question(
        width=width,
        difference=difference,
        power=power,
        max_cost=max_cost,
        level=level,
        assurance=assurance,
        which=tasks,
        max_tasks=max_tasks,
        most=max(attempts, default=0),
    )
    asked.refuse(attempts, cost, price, task_cost)
    tree, source_tasks = _tree(source, pair=difference is not None or b is not None)
    options = _options(tree, a, b, pair=difference is not None)
    found = _components(tree, options, benchmark, new_tasks, seed)
    if tasks == "observed" and max_tasks is None:
        if not source_tasks:
            raise InputError("tasks='observed': say by max_tasks how many tasks the benchmark has")
        max_tasks = source_tasks.get(found.benchmark, max(source_tasks.values()))
    unit, prices = _price(found, cost, price)
    design = _Design(
        between=found.between * (tasks == "new"),
        within=found.within,
        question=asked,
        max_tasks=max_tasks,
        price=float(np.median(prices)),
        task_cost=task_cost,
    )
    answer = _answer(design, found, unit, attempts)
    low, high = (float(one) for one in np.quantile(prices, [1.0 - assurance, assurance]))
    said = ""
    if high > _SURE * low:
        said = f" What an attempt costs is not well known: {amount(low, unit)} to {number(high)}; state it by price."
    sentence = answer.attrs["sentence"] + said
    return answer.assign_attrs(price_lower=low, price_upper=high, sentence=sentence)


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is asked, and how surely."""

    width: float | None
    difference: float | None
    power: float
    max_cost: float | None
    level: float
    assurance: float
    which: str
    max_tasks: int | None
    most: int

    def refuse(self, attempts: Sequence[int], cost: str | None, price: float | None, task_cost: float) -> None:
        """Refuse a question that is none, or out of range."""
        faults = []
        if self.width is not None and self.difference is not None:
            faults.append("width and difference are two questions: ask one")
        if self.width is None and self.difference is None and self.max_cost is None:
            faults.append("nothing is asked: give width, difference or max_cost")
        for name in ("width", "difference", "level"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1.0:
                faults.append(f"{name} = {value}: it must be between 0 and 1")
        for name in ("power", "assurance"):
            value = getattr(self, name)
            if not 0.5 <= value < 1.0:
                faults.append(f"{name} = {value}: it must be at least 0.5 and below 1")
        if self.which not in ("observed", "new"):
            faults.append(
                f"tasks = {self.which!r}; allowed: observed, new." + did_you_mean(str(self.which), ["observed", "new"])
            )
        if self.max_tasks is not None and (self.max_tasks != int(self.max_tasks) or self.max_tasks < 2):
            faults.append(f"max_tasks = {self.max_tasks}: it must be a whole number of at least 2")
        if not len(attempts) or any(m != int(m) or m < 1 for m in attempts):
            faults.append(f"attempts must be whole numbers of at least 1, got {list(attempts)}")
        known = (_UNIT, *COSTS)
        if cost is not None and cost not in known:
            faults.append(f"cost = {cost!r}; allowed: {', '.join(known)}." + did_you_mean(cost, known))
        for name, value in (("max_cost", self.max_cost), ("price", price)):
            if value is not None and not 0.0 < value < np.inf:
                faults.append(f"{name} = {value}: it must be above 0, and finite")
        if not 0.0 <= task_cost < np.inf:
            faults.append(f"task_cost = {task_cost}: it must be at least 0, and finite")
        if faults:
            raise InputError.of_faults("plan", faults)

    @property
    def z(self) -> float:
        """Half an interval, in sds."""
        return float(ndtri(0.5 + 0.5 * self.level))

    @property
    def sds_told(self) -> float:
        """How many sds from 0 a difference must be to be told with the power."""
        return self.z + float(ndtri(self.power))

    @property
    def sd(self) -> float | None:
        """The sd that answers it; None if only a budget is given."""
        if self.width is not None:
            return self.width / (2.0 * self.z)
        return None if self.difference is None else self.difference / self.sds_told


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What a source says of one option, or of two on the same tasks, by draw (S,)."""

    labels: list[str]
    benchmark: str
    between: Array
    within: Array
    correlation: Array | None
    success: list[float]
    costs: Mapping[str, Array]
    absent: str


@dataclass(frozen=True, kw_only=True)
class _Design:
    """The arithmetic of tasks and attempts."""

    between: Array
    within: Array
    question: _Question
    max_tasks: int | None
    price: float
    task_cost: float

    def variance(self, tasks: Any, attempts: Any) -> Array:
        """Variance by draw: (S, *shape) of numbers of tasks and attempts."""
        tasks, attempts = np.broadcast_arrays(np.asarray(tasks, dtype=float), np.asarray(attempts, dtype=float))
        rows = (-1, *([1] * tasks.ndim))
        return sampling_variance(self.between.reshape(rows), self.within.reshape(rows), tasks, attempts)

    def surely(self, tasks: Any, attempts: Any) -> Array:
        """Variance that is not exceeded with the assurance that is asked for."""
        return np.asarray(np.quantile(self.variance(tasks, attempts), self.question.assurance, axis=0))

    def cost(self, tasks: Any, attempts: Any) -> Array:
        """Cost of a design."""
        return np.asarray(tasks * (self.task_cost + self.price * np.asarray(attempts, dtype=float)))

    def tasks_needed(self, attempts: Array, sd: float) -> Array:
        """How many tasks reach an sd at each number of attempts; infinite if there are not so many."""
        needed = np.maximum(np.ceil(self.surely(1.0, attempts) / sd**2 - 1e-9), 2.0)
        if self.question.which == "observed":
            assert self.max_tasks is not None
            return np.where(needed <= self.max_tasks, float(self.max_tasks), np.inf)
        return np.where(needed <= (self.max_tasks or np.inf), needed, np.inf)

    def tasks_bought(self, attempts: Array, budget: float) -> Array:
        """How many tasks a budget buys at each number of attempts; 0 where fewer than it takes."""
        bought = np.floor(budget / self.cost(1.0, attempts) + 1e-9)
        if self.question.which == "observed":
            assert self.max_tasks is not None
            return np.where(bought >= self.max_tasks, float(self.max_tasks), 0.0)
        bought = np.minimum(bought, self.max_tasks or np.inf)
        return np.where(bought >= 2, bought, 0.0)

    def cheapest(self) -> tuple[float, float]:
        """Tasks and attempts of the cheapest design that answers the question, NaN if there is none."""
        attempts = np.arange(1.0, self.question.most + 1)
        sd = self.question.sd
        assert sd is not None
        needed = self.tasks_needed(attempts, sd)
        costs = np.where(np.isfinite(needed), self.cost(needed, attempts), np.inf)
        best = int(costs.argmin())
        return (needed[best], attempts[best]) if np.isfinite(costs[best]) else (np.nan, np.nan)

    def most_telling(self, budget: float) -> tuple[float, float]:
        """Tasks and attempts of the design of least variance within a budget, NaN if it buys none."""
        attempts = np.arange(1.0, self.question.most + 1)
        bought = self.tasks_bought(attempts, budget)
        spread = np.where(bought > 0, self.surely(np.maximum(bought, 1.0), attempts), np.inf)
        best = int(spread.argmin())
        return (bought[best], attempts[best]) if np.isfinite(spread[best]) else (np.nan, np.nan)


def sampling_variance(between: Any, within: Any, tasks: Any, attempts: Any) -> Array:
    """Variance of the mean over tasks of the share right in some attempts at each (Miller 2024).

    Parameters
    ----------
    between, within : array or float
        Variance over tasks of success, or of a paired difference of it; mean variance of one attempt at a task.
    tasks, attempts : array or float
    """
    return np.asarray((between + within / attempts) / tasks)


def _tree(source: Source, *, pair: bool) -> tuple[xr.DataTree, dict[str, int]]:
    """Return something that can be asked for predictions, and how many tasks each benchmark has."""
    if isinstance(source, xr.DataTree):
        return source, _number_of_tasks(source)
    if isinstance(source, ModelSpec):
        evals = source.data.read() if source.data is not None else _rows(dict.fromkeys("ab" if pair else "a", (0.0, 0)))
        tree = tree_of_prior(source, evals, make_design(evals, source), draws=_DRAWS)
        return tree, {} if source.data is None else _number_of_tasks(tree)
    if isinstance(source, xr.Dataset):
        table = to_table(source)
        if (table["task"] != "").any():
            tree = fit(source, ModelSpec(name="plan", sampling=_SAMPLING), progress=False)
            return tree, _number_of_tasks(tree)
        source = _accuracies(table)
    counts = _published(source)
    evals = _rows(counts)
    spec = ModelSpec(name="plan", holdout=(HoldOut(where=f"task == {_SHARED!r}"),), sampling=_SAMPLING)
    tree = fit(evals, spec, progress=False)
    return tree, {"benchmark": max(tasks for _, tasks in counts.values())}


def _number_of_tasks(tree: xr.DataTree) -> dict[str, int]:
    design = design_of(tree)
    found: dict[str, set[str]] = {}
    for block in design.blocks:
        for arm in block.arms:
            found.setdefault(design.arms[arm].benchmark, set()).update(block.tasks)
    return {name: len(tasks) for name, tasks in found.items() if tasks}


def _accuracies(table: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """Return the accuracies that a table of aggregates states, one for each LLM."""
    number_of = table.get("tasks", table["attempts"]).fillna(table["attempts"])
    faults = []
    if table["model"].duplicated().any():
        twice = table.loc[table["model"].duplicated(), "model"].iloc[0]
        faults.append(f"{twice!r} has several rows without a task; keep one for each LLM")
    if (number_of != table["attempts"]).any():
        faults.append("rows without a task must be of one attempt at each of their tasks")
    if faults:
        raise InputError.of_faults("plan", faults)
    share = table["successes"] / table["attempts"]
    return {str(name): (float(q), int(n)) for name, q, n in zip(table["model"], share, number_of, strict=True)}


def _published(source: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Check published accuracies."""
    if not isinstance(source, Mapping):
        raise InputError(
            f"source: got {type(source).__name__}; allowed: a fit, a table from read_evals, a ModelSpec, or accuracies "
            "as {'LLM': (accuracy, number of tasks)}"
        )
    faults = [] if source else ["there is no accuracy"]
    counts = {}
    for name, given in source.items():
        try:
            accuracy, tasks = given
            right = 0.0 <= accuracy <= 1.0 and tasks == int(tasks) and tasks >= 1
        except (TypeError, ValueError):
            right = False
        if not right:
            faults.append(
                f"{name}: got {given!r}; give an accuracy in [0, 1] and the whole number of tasks that it is of, as in "
                "(0.62, 198)"
            )
            continue
        counts[str(name)] = (float(accuracy), int(tasks))
    if faults:
        raise InputError.of_faults("source", faults)
    return counts


def _rows(counts: Mapping[str, tuple[float, int]]) -> xr.Dataset:
    """Return evaluations with those accuracies: an attempt at each of an LLM's own tasks, and one task that all share.

    That accuracies were read on the same tasks does not tell in which of them LLMs agree: how alike they are is left
    to the prior.
    """
    rows = []
    for name, (accuracy, tasks) in counts.items():
        right = round(accuracy * tasks)
        rows += [(name, f"{name} {i}", int(i < right)) for i in range(tasks)]
        rows.append((name, _SHARED, 0))
    frame = pd.DataFrame(rows, columns=["model", "task", "successes"])
    return read_evals(frame.assign(benchmark="benchmark", strategy="cot", attempts=1))


def _options(tree: xr.DataTree, a: str | None, b: str | None, *, pair: bool) -> list[tuple[str, Any]]:
    """Return the options that are meant, one or two."""
    models = list(dict.fromkeys(arm.model for arm in design_of(tree).arms))
    if a is None and b is not None:
        raise InputError(f"b = {b!r}, but which is a? Name both")
    if a is None and pair and len(models) == 2:
        a, b = models
    elif a is None and not pair and len(models) == 1:
        a = models[0]
    if a is None or (pair and b is None):
        wanted = "two are compared: name a and b" if pair else "name a"
        raise InputError(f"{wanted}, each 'LLM' or 'LLM | strategy', of the LLMs: {', '.join(models)}")
    return [parse_option(text, models) for text in (a, b) if text is not None]


def _components(
    tree: xr.DataTree, options: list[tuple[str, Any]], benchmark: str | None, new_tasks: int, seed: int
) -> _Found:
    """Return how success varies over the tasks of each draw's population, and within them."""
    strategies = list(dict.fromkeys(strategy for _, strategy in options))
    pred = predict(_thinned(tree), strategies, tasks="new", per_task=True, new_tasks=new_tasks, seed=seed)
    name = only_benchmark(pred["benchmark"].values, benchmark)
    known = [cost for cost in COSTS if cost in pred]
    drawn, labels = [], []
    costs: dict[str, Array] = {}
    for model, strategy in options:
        label, at = draws_of(pred, model, name, strategy, ["success", *known])
        labels.append(f"{model} | {label}")
        drawn.append(at["success"].stack(sample=("chain", "draw")).transpose("sample", "task").values)
        for cost in known:
            # Some priors have draws of endless tokens, so that no mean over draws would say anything.
            each = at[cost].stack(sample=("chain", "draw")).mean("task").values
            costs[cost] = costs.get(cost, 0.0) + each
    if len(drawn) == 2 and labels[0] == labels[1]:
        raise InputError(f"{labels[0]!r} is compared with itself; name two options")
    if len(drawn) == 2:
        _refuse_apart(tree, [model for model, _ in options], name)
    within = sum((q * (1.0 - q)).mean(axis=1) for q in drawn)
    between, correlation = drawn[0].var(axis=1), None
    if len(drawn) == 2:
        between = (drawn[0] - drawn[1]).var(axis=1)
        sds = [q.std(axis=1) for q in drawn]
        covariance = 0.5 * (sds[0] ** 2 + sds[1] ** 2 - between)
        correlation = covariance / np.maximum(sds[0] * sds[1], 1e-300)
    return _Found(
        labels=labels,
        benchmark=name,
        between=between,
        within=np.asarray(within),
        correlation=correlation,
        success=[float(q.mean()) for q in drawn],
        costs={cost: values for cost, values in costs.items() if np.isfinite(values).all()},
        absent=str(pred.attrs.get("absent", "")),
    )


def _thinned(tree: xr.DataTree) -> xr.DataTree:
    """Return a fit with few draws of task effects, at which populations are looked at."""
    effects = tree["task_effects"].to_dataset()
    step = -(-effects.sizes["chain"] * effects.sizes["draw"] // _DRAWS)
    result = tree.copy()
    result["task_effects"] = xr.DataTree(effects.isel(draw=slice(None, None, step)))
    return result


def _refuse_apart(tree: xr.DataTree, models: list[str], benchmark: str) -> None:
    """Refuse two LLMs that a fit knows from different tasks only."""
    design = design_of(tree)
    blocks = [
        {
            int(design.population_of_arm[place])
            for place, arm in enumerate(design.arms)
            if (arm.model, arm.benchmark) == (model, benchmark)
        }
        for model in models
    ]
    if not blocks[0] & blocks[1]:
        raise InputError(
            f"{models[0]} and {models[1]} share no task of {benchmark} in this source, so it does not tell how alike "
            "they are; give one in which they do, or their accuracies ({'LLM': (accuracy, number of tasks)})"
        )


def _price(found: _Found, cost: str | None, price: float | None) -> tuple[str, Array]:
    """Return the unit of costs and draws of the cost of one attempt of every option."""
    if price is not None:
        return cost or "usd", np.array([price])
    unit = cost or next((name for name in ("usd", "tokens") if name in found.costs), _UNIT)
    if unit == _UNIT:
        return unit, np.array([float(len(found.labels))])
    if unit not in found.costs:
        raise InputError(f"cost = {unit!r} is not known of an attempt ({found.absent}); say it by price")
    return unit, found.costs[unit]


def _answer(design: _Design, found: _Found, unit: str, attempts: Sequence[int]) -> xr.Dataset:
    """Arrange the answer."""
    asked, pair = design.question, len(found.labels) == 2
    chosen = (np.nan, np.nan)
    if asked.sd is not None:
        chosen = design.cheapest()
    elif asked.max_cost is not None:
        chosen = design.most_telling(asked.max_cost)
    shown = {number for number in TASKS if number <= (design.max_tasks or np.inf)} | {design.max_tasks}
    if asked.which == "observed":
        shown = {design.max_tasks}
    counts = np.array(sorted(one for one in shown if one), dtype=int)
    tries = np.array(sorted(set(attempts)), dtype=int)
    drawn = design.variance(*np.meshgrid(counts, tries, indexing="ij"))
    # Median, and the ends; of these the lower sd is the higher power.
    sd = np.sqrt(np.quantile(drawn, [0.5, 1.0 - asked.assurance, asked.assurance], axis=0))
    told = {"width": (2.0 * asked.z * sd, f"width of the {asked.level:.0%} interval")}
    if pair:
        told["detectable"] = (asked.sds_told * sd, f"smallest difference told with power {asked.power:g}")
    if asked.difference is not None:
        power = ndtr(asked.difference / sd[[0, 2, 1]] - asked.z)
        told["power"] = (power, f"probability of telling {asked.difference:g}")
    dims, measure = ("tasks", "attempts"), _units(unit)
    variables: dict[str, Any] = {}
    for name, (values, meaning) in told.items():
        for suffix, one in zip(("", "_lower", "_upper"), values, strict=True):
            variables[name + suffix] = (dims, one, {"units": "1", "long_name": meaning})
    costs = design.cost(counts[:, None], tries[None, :])
    variables["cost"] = (dims, costs, {"units": measure, "long_name": "expected cost of the evaluation"})
    if asked.sd is not None:
        needed = design.tasks_needed(tries, asked.sd)
        paid = np.where(np.isfinite(needed), design.cost(np.nan_to_num(needed, posinf=0.0), tries), np.inf)
        variables["tasks_needed"] = ("attempts", needed, {"units": "tasks", "long_name": "tasks that suffice"})
        variables["cost_needed"] = ("attempts", paid, {"units": measure, "long_name": "their expected cost"})
    of = "the difference in success" if pair else "success"
    variables["between"] = ("draw", found.between, {"units": "1", "long_name": f"variance of {of} over tasks"})
    variables["within"] = ("draw", found.within, {"units": "1", "long_name": f"variance of {of} within a task"})
    if found.correlation is not None:
        meaning = "correlation of the two successes over tasks"
        variables["correlation"] = ("draw", found.correlation, {"units": "1", "long_name": meaning})
    bill = float(design.cost(*chosen)) if np.isfinite(chosen[0]) else np.nan
    for name, value, measured in zip(
        ("tasks", "attempts", "cost"), (*chosen, bill), ("tasks", "1", measure), strict=True
    ):
        variables[f"chosen_{name}"] = ((), value, {"units": measured, "long_name": f"{name} of the chosen design"})
    result = xr.Dataset(
        variables,
        coords={
            "tasks": ("tasks", counts, {"units": "tasks"}),
            "attempts": ("attempts", tries, {"units": "attempts per task"}),
        },
        attrs={
            "options": "; ".join(found.labels),
            "benchmark": found.benchmark,
            "tasks": asked.which,
            "cost": unit,
            "price": design.price,
            "task_cost": design.task_cost,
            "level": asked.level,
            "assurance": asked.assurance,
            **{name: getattr(asked, name) for name in ("width", "difference", "max_cost") if getattr(asked, name)},
            **({"power": asked.power} if pair else {}),
        },
    )
    return result.assign_attrs(sentence=_sentence(design, found, unit, chosen))


def _units(unit: str) -> str:
    return {"usd": "USD", "flops": "FLOP", "joules": "J", "seconds": "s"}.get(unit, unit)


def _money(value: float, unit: str) -> str:
    return f"{number(value)} attempts" if unit == _UNIT else amount(value, unit)


def _sentence(design: _Design, found: _Found, unit: str, chosen: tuple[float, float]) -> str:
    """Say the answer."""
    asked = design.question
    these = "these very tasks" if asked.which == "observed" else "new tasks"
    if len(found.labels) == 2:
        who = f"{found.labels[0]} and {found.labels[1]} on {these} of {found.benchmark}"
        goal = f"To tell {who}, if they differ by {asked.difference or 0:g}, with power {asked.power:g}"
    else:
        who = f"the success of {found.labels[0]} on {these} of {found.benchmark}"
        goal = ""
    if asked.width is not None:
        of = "the difference of " if len(found.labels) == 2 else ""
        goal = f"To know {of}{who} within an interval of width {asked.width:g} ({asked.level:.0%})"
    if asked.sd is None:
        assert asked.max_cost is not None
        return _of_budget(design, found, unit, who, chosen)
    if np.isnan(chosen[0]):
        floor = float(np.sqrt(design.surely(design.max_tasks, np.inf)))
        reached = _reached(
            design, float(np.sqrt(design.surely(design.max_tasks, asked.most))), pair=len(found.labels) == 2
        )
        why = (
            "no number of attempts at them does"
            if floor > asked.sd
            else f"it takes more than {asked.most} attempts at each"
        )
        return (
            f"{goal}, {design.max_tasks:,} tasks do not suffice: {why}; {asked.most} attempts at each show {reached}."
        )
    bill = float(design.cost(*chosen))
    said = f"{goal}, run {_size(chosen)}, for {_money(bill, unit)}; it suffices with probability {asked.assurance:g}."
    if asked.max_cost is not None and bill > asked.max_cost:
        within = design.most_telling(asked.max_cost)
        return f"{said} That is over the budget. {_of_budget(design, found, unit, who, within)}"
    return said


def _of_budget(design: _Design, found: _Found, unit: str, who: str, chosen: tuple[float, float]) -> str:
    budget = design.question.max_cost
    assert budget is not None
    if np.isnan(chosen[0]):
        least = design.cost(float(design.max_tasks or 2) if design.question.which == "observed" else 2.0, 1.0)
        return f"{_money(budget, unit)} buy no evaluation of {who}: the smallest costs {_money(float(least), unit)}."
    reached = _reached(design, float(np.sqrt(design.surely(*chosen))), pair=len(found.labels) == 2)
    return (
        f"For {_money(budget, unit)} run {_size(chosen)}: of {who} they show {reached}, with probability "
        f"{design.question.assurance:g}."
    )


def _reached(design: _Design, sd: float, *, pair: bool) -> str:
    asked = design.question
    if pair and asked.width is None:
        return f"a difference of {asked.sds_told * sd:.3f} with power {asked.power:g}"
    return f"an interval of width {2.0 * asked.z * sd:.3f} ({asked.level:.0%})"


def _size(chosen: tuple[float, float]) -> str:
    tasks, attempts = chosen
    return f"{tasks:,.0f} tasks, {attempts:.0f} {'attempt' if attempts == 1 else 'attempts'} at each"
