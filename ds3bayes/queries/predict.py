"""`predict`: success and cost of inference strategies, as posterior draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.special import expit

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.capability.free import Free
from ds3bayes.generative.counts.searches import draw_right
from ds3bayes.generative.design import Arm, Design, Subsets, budget_rank
from ds3bayes.generative.ladder import rise
from ds3bayes.generative.observation.aggregates import Aggregates, verifier_label
from ds3bayes.generative.observation.cut_attempts import CutAttempts
from ds3bayes.generative.prices import LearnedPrices
from ds3bayes.generative.priors import DEFAULTS
from ds3bayes.generative.spec import Cost, ModelSpec
from ds3bayes.generative.task_effects import new_task_effects
from ds3bayes.generative.terms import SEARCH_PARAMETERS
from ds3bayes.inference.artifact import design_of, prices_of, spec_of
from ds3bayes.inference.notebook import show_in_notebooks
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.strategies.attempts import AttemptStrategy
from ds3bayes.strategies.base import Learned, as_verifier
from ds3bayes.strategies.lengths import Lengths
from ds3bayes.strategies.thoughts import ThoughtSearch
from ds3bayes.theory.cost import flops, joules, usd
from ds3bayes.theory.cost import seconds as seconds_at
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import finish_within, mean_steps_within

Array = np.ndarray


# What a tree makes of its LLM's walk, and of the walk that it searches over.
_OF_WALK = ("tree_offset", "tree_slope")

UNITS = {
    "success": ("1", "probability that the final answer is right, mean over tasks"),
    "tokens": ("tokens per task", "expected generated tokens of all attempts on one task"),
    "usd": ("USD per task", "expected price of prompt and generated tokens of one task"),
    "flops": ("FLOP per task", "expected inference compute of one task"),
    "joules": ("J per task", "expected energy of one task"),
    "seconds": ("s per task", "expected time to generate all attempts one after another"),
    "truncated": ("1", "share of attempts that max_tokens cuts off, mean over tasks"),
}


def predict(
    fit: xr.DataTree,
    strategies: Sequence[Strategy | str] | None = None,
    *,
    tasks: Literal["observed", "new"] | Sequence[str] = "observed",
    per_task: bool = False,
    outcome: bool = False,
    outcome_tasks: int | None = None,
    outcome_attempts: int | None = None,
    calibrated: bool = True,
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Predict success and cost of strategies from a fit.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    strategies : sequence of Strategy or str, optional
        Objects or text forms. One that leaves effort (or budget) open is predicted at every setting that was
        observed. All samplers seen in the data if absent.
    tasks : {"observed", "new"} or sequence of str, default "observed"
        These very tasks, fresh tasks of the same population, or the observed tasks of these names. They are
        different questions: the uncertainty about new tasks is that of the population alone.
    per_task : bool, default False
        Keep a ``task`` dimension instead of the mean over tasks. LLMs that share a benchmark are predicted at all of
        its tasks: at one that an LLM was not tried at, others tell how easy it is, and its own effect there is open.
    outcome : bool, default False
        Add the sampling noise of an evaluation: what a real one would read, not what it expects.
    outcome_tasks : int, optional
        With ``outcome`` and ``tasks="new"``, how many fresh tasks are evaluated: as many as were observed by default.
    outcome_attempts : int, optional
        With ``outcome``, how often each task is tried, once by default.
    calibrated : bool, default True
        False predicts tree search from chain of thought alone: its offset and slope, step selector, answer
        fidelity and own task effect come from their priors, as if no tree had ever been observed.
    new_tasks : int, default 256
        Points (a power of 2) that represent the population for ``tasks="new"``.
    seed : int, default 0

    Returns
    -------
    xarray.Dataset
        ``success`` and those of ``tokens, usd, flops, joules, seconds`` that data and spec determine, with dims (chain,
        draw, model, benchmark, strategy[, task]); NaN where an LLM has no such sampler or setting. ``truncated``, where
        a strategy has a cut that what was observed has not: the chance that an attempt is cut. The coordinate
        ``extrapolated`` (model, benchmark, strategy) is true where an effort, a budget or a cut lies beyond those at
        which the LLM was observed. Units are in the variables' attrs; ``attrs["absent"]`` says why a quantity is
        missing.

    Raises
    ------
    InputError
        If a strategy cannot be predicted from this fit, naming what is missing.

    Notes
    -----
    ``budget_tokens`` is what an LLM is asked to think for. Between two budgets that were observed, logit success and
    log tokens of each task lie on the line between them in log budget, give or take what the LLM's rises differ from
    the trend over budgets; beyond them they follow that trend, with intervals that grow with the distance.

    ``max_tokens`` is a cut. Within one at K steps an attempt succeeds with its eventual success times
    I_s(m, K-m+1), the probability that a path of m skills at pace s is finished (Ellis-Mohr et al. 2025, arXiv
    2507.00004, in this package's orthogonal form); success learned within a cut is divided by that factor first,
    and capped at 1 when an extrapolation to a larger one would exceed it.
    """
    _check_outcome(outcome, outcome_tasks, outcome_attempts, fresh=tasks == "new", per_task=per_task)
    show_in_notebooks()
    view = View.of(fit, tasks, calibrated, new_tasks, seed)
    chosen = expand(view, strategies)
    labels = list(chosen)
    tries = outcome_attempts or 1
    names = view.task_names
    rng = np.random.default_rng([seed, 3])
    size = (view.samples, len(view.models), len(view.design.benchmarks), len(labels))
    found: dict[str, Array] = {}
    # Every reason, not the last one: whoever adds what is missing wants to add all of it.
    lacking: dict[str, dict[str, None]] = {}
    for column, label in enumerate(labels):
        for arm, (quantities, reasons) in evaluate_each(view, chosen[label]):
            for name, reason in reasons.items():
                lacking.setdefault(name, {})[reason] = None
            place = (slice(None), *view.place(arm), column)
            for name, (values, rows) in quantities.items():
                if per_task:
                    store = found.setdefault(name, np.full((*size, len(names)), np.nan))
                    if name == "success" and outcome:
                        values = rng.binomial(tries, values) / tries
                    positions = [names.index(row) for row in rows]
                    store[(*place, positions)] = values
                else:
                    store = found.setdefault(name, np.full(size, np.nan))
                    if name == "success" and outcome:
                        values = view.one_evaluation(values, arm, rng, outcome_tasks, tries)
                    store[place] = values.mean(axis=1)
    absent = {name: " and ".join(reasons) for name, reasons in lacking.items()}
    return as_dataset(view, found, absent, chosen, names if per_task else None)


def evaluate_each(
    view: View, arms: Mapping[Arm, Strategy]
) -> Iterator[tuple[Arm, tuple[dict[str, tuple[Array, list[str]]], dict[str, str]]]]:
    """Yield `View.evaluate` of a strategy's arms; an LLM that it cannot be predicted for is absent, with the reason.

    Raises
    ------
    InputError
        If it can be predicted for none of them.
    """
    errors = []
    for arm, strategy in arms.items():
        try:
            yield arm, view.evaluate(strategy, arm)
        except InputError as error:
            errors.append(error)
            yield arm, ({}, {"success": f"{arm.model}: {error}"})
    if len(errors) == len(arms):
        raise errors[0]


def predict_limit(view: View, strategy: AttemptStrategy) -> xr.DataArray:
    """Predict the success of a strategy with endlessly many attempts.

    Parameters
    ----------
    view : View
    strategy : AttemptStrategy
        Its number of attempts does not matter.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, model, benchmark, strategy) as of `predict`; NaN where the limit is not known.
    """
    chosen = expand(view, [strategy])
    success = np.full((view.samples, len(view.models), len(view.design.benchmarks), len(chosen)), np.nan)
    for column, arms in enumerate(chosen.values()):
        for arm, one in arms.items():
            endless = view.limit(one, arm)  # type: ignore[arg-type]
            if endless is not None:
                success[(slice(None), *view.place(arm), column)] = endless.mean(axis=1)
    return as_dataset(view, {"success": success}, {}, chosen, None)["success"]


def as_dataset(
    view: View,
    found: dict[str, Array],
    absent: dict[str, str],
    chosen: Mapping[str, Mapping[Arm, Strategy]],
    names: list[str] | None,
) -> xr.Dataset:
    """Arrange what was found, each (samples, model, benchmark, strategy[, task]), as `predict` returns it."""
    labels = list(chosen)
    beyond = np.zeros((len(view.models), len(view.design.benchmarks), len(labels)), dtype=bool)
    for column, arms in enumerate(chosen.values()):
        for arm, strategy in arms.items():
            beyond[(*view.place(arm), column)] = view.extrapolates(strategy, arm)
    dims = ["model", "benchmark", "strategy", *(["task"] if names else [])]
    chains, draws = view.effects.sizes["chain"], view.effects.sizes["draw"]
    coords: dict[str, Any] = {
        "chain": view.effects["chain"].values,
        "draw": view.effects["draw"].values,
        "model": view.models,
        "benchmark": view.design.benchmarks,
        "strategy": labels,
        "extrapolated": (dims[:3], beyond, {"long_name": "beyond the efforts, budgets and cuts that were observed"}),
    }
    if names:
        coords["task"] = names
    variables = {}
    for name, values in found.items():
        unit, meaning = UNITS[name]
        shaped = values.reshape(chains, draws, *values.shape[1:])
        variables[name] = (("chain", "draw", *dims), shaped, {"units": unit, "long_name": meaning})
    missing = {name: reason for name, reason in absent.items() if name not in found}
    partly = {name: reason for name, reason in absent.items() if name in found}
    attrs = {
        "tasks": view.which,
        "learned_prices": view.prices.said or "none",
        "absent": "; ".join(f"{name}: {reason}" for name, reason in missing.items()) or "none",
        "partly_absent": "; ".join(f"{name}: {reason}" for name, reason in partly.items()) or "none",
    }
    return xr.Dataset(variables, coords=coords, attrs=attrs)


def expand(view: View, strategies: Sequence[Strategy | str] | None) -> dict[str, dict[Arm, Strategy]]:
    """Give every strategy its settings: label -> the arm of each LLM and benchmark it draws from."""
    if isinstance(strategies, str | Strategy):
        strategies = [strategies]
    if strategies is None:
        seen: dict[str, dict[Arm, Strategy]] = {}
        for arm in view.design.arms:
            if view.has_tasks(arm):
                seen.setdefault(str(arm.strategy), {})[arm] = arm.strategy
        if not seen:
            raise InputError(
                "all evaluations of this fit are aggregates, so there are no observed tasks; predict for new tasks of "
                "the same population, with tasks='new'"
            )
        return seen
    parsed = [parse_strategy(one) if isinstance(one, str) else one for one in strategies]
    if not parsed:
        raise InputError(
            "no strategies to predict; give at least one, such as CoT() or 'best_of_n(n=8, verifier=oracle)'"
        )
    result: dict[str, dict[Arm, Strategy]] = {}
    for strategy in parsed:
        hits, without_tasks = 0, ""
        for pair in view.design.pairs:
            for arm, set_strategy in view.settings(strategy, pair):
                if not view.has_tasks(arm):
                    without_tasks = str(arm)
                    continue
                result.setdefault(str(set_strategy), {})[arm] = set_strategy
                hits += 1
        if without_tasks and not hits:
            raise InputError(
                f"{strategy}: the evaluations of {without_tasks} are aggregates, so it has no observed tasks; predict "
                "it for new tasks of the same population, with tasks='new'"
            )
        if not hits and strategy.budget_tokens is not None:
            raise InputError(
                f"{strategy}: no LLM in this fit was asked to think for a budget, so it is not known what one does; "
                f"if attempts are to be cut at {strategy.budget_tokens} tokens, say max_tokens={strategy.budget_tokens}"
            )
        if not hits:
            raise InputError(
                f"{strategy}: no LLM in this fit has a sampler {strategy.walk!r}"
                + (f" with effort {strategy.effort!r}" if strategy.effort else "")
                + f"; observed: {', '.join(sorted({str(arm.strategy) for arm in view.design.arms}))}"
            )
    return result


@dataclass(frozen=True)
class View:
    """A fit seen from one set of tasks: its design, effects and population draws, samples stacked."""

    design: Design
    spec: ModelSpec
    effects: xr.Dataset
    posterior: xr.Dataset
    which: str
    only: frozenset[str] | None
    calibrated: bool
    seed: int
    prices: LearnedPrices

    @classmethod
    def of(cls, fit: xr.DataTree, tasks: str | Sequence[str], calibrated: bool, new_tasks: int, seed: int) -> View:
        """Look at a fit; arguments as for `predict`."""
        learned = prices_of(fit)
        design, spec = design_of(fit), learned.priced(spec_of(fit))
        effects = fit["task_effects"].to_dataset()
        posterior = fit["posterior"].to_dataset().sel(draw=effects["draw"].values)
        only = None
        if isinstance(tasks, str):
            if tasks not in ("observed", "new"):
                raise InputError(
                    f"tasks = {tasks!r}; allowed: 'observed', 'new' or a list of task names."
                    + did_you_mean(tasks, ["observed", "new"])
                )
            which = tasks
            if tasks == "new":
                if new_tasks < 2 or new_tasks & (new_tasks - 1):
                    raise InputError(f"new_tasks = {new_tasks}; it must be a power of 2")
                effects = new_task_effects(design, spec, posterior, new_tasks, seed)
        else:
            only = frozenset(tasks)
            known = {str(name) for name in effects["cell_task"].values}
            unknown = sorted(only - known)
            if unknown or not only:
                first = unknown[0] if unknown else ""
                raise InputError(
                    f"{len(unknown)} of the tasks asked for are not in the fit, first {first!r}."
                    + did_you_mean(first, known)
                )
            which = f"{len(only)} observed tasks"
        return cls(design, spec, effects, posterior, which, only, calibrated, seed, learned)

    @property
    def samples(self) -> int:
        """Number of draws of all chains."""
        return int(self.effects.sizes["chain"] * self.effects.sizes["draw"])

    @cached_property
    def subsets(self) -> Subsets:
        """Which arms each parameter belongs to."""
        return self.design.subsets

    @cached_property
    def _stacked(self) -> dict[str, Array]:
        stacked = self.effects.stack(sample=("chain", "draw")).transpose("sample", ...)
        return {str(name): np.asarray(stacked[name].values) for name in self.effects.data_vars}

    @cached_property
    def _cells(self) -> dict[int, Array]:
        arms, names = self.effects["cell_arm"].values, self.effects["cell_task"].values
        wanted = np.ones(arms.size, dtype=bool) if self.only is None else np.isin(names.astype(str), list(self.only))
        return {index: np.flatnonzero((arms == index) & wanted) for index in range(len(self.design.arms))}

    @cached_property
    def task_names(self) -> list[str]:
        """Names of the tasks of all arms, in order of first appearance."""
        names = self.effects["cell_task"].values
        rows = np.concatenate([self._cells[index] for index in range(len(self.design.arms))])
        return list(dict.fromkeys(str(names[row]) for row in np.sort(rows)))

    def _members(self, dim: str) -> list[str]:
        """Labels of a dimension of the posterior, none if it has no such dimension."""
        return [str(name) for name in self.posterior[dim].values] if dim in self.posterior.dims else []

    @cached_property
    def models(self) -> list[str]:
        """Names of the LLMs of the arms, in order of first appearance."""
        return list(dict.fromkeys(arm.model for arm in self.design.arms))

    def place(self, arm: Arm) -> tuple[int, int]:
        """Return where an arm's LLM and benchmark stand in predictions."""
        return self.models.index(arm.model), self.design.benchmarks.index(arm.benchmark)

    @property
    def verifiers(self) -> list[str]:
        """Labels (LLM | name) of the verifiers that were learned."""
        return self._members("verifier")

    def parameter(self, name: str, subset: str, index: int) -> Array:
        """Return draws (samples, 1) of a parameter of one member of a subset of arms, or of a labelled dim."""
        place = self.subsets.place(subset, index) if hasattr(self.subsets, subset) else index
        values = self.posterior[name].isel({self.posterior[name].dims[-1]: place})
        return values.values.reshape(-1, 1)

    def has_tasks(self, arm: Arm) -> bool:
        """Whether there are tasks to predict for; aggregates name none, but come from a population."""
        return self._cells[self.design.arms.index(arm)].size > 0

    def easiness(self, index: int) -> Array:
        """Standardised easiness of an arm's tasks, (samples, tasks)."""
        return self._stacked["easiness"][:, self._cells[index]]

    def sound(self, index: int) -> Array:
        """Whether an arm's tasks can be solved at all, 0 or 1, (samples, tasks)."""
        return self._stacked["sound"][:, self._cells[index]]

    def settings(self, strategy: Strategy, pair: str) -> list[tuple[Arm, Strategy]]:
        """Return the arms of one LLM and benchmark that a strategy can draw from, with the strategy set to each."""
        arms = [arm for arm in self.design.arms if arm.pair == pair]
        if isinstance(strategy, ThoughtSearch):
            arms = [arm for arm in arms if arm.is_tree] or [arm for arm in arms if arm.walk == strategy.searches_over]
        else:
            arms = [arm for arm in arms if arm.walk == strategy.walk]
        if strategy.effort is not None:
            arms = [arm for arm in arms if arm.effort == strategy.effort]
        if isinstance(strategy, ThoughtSearch):
            arms = _closest_trees(arms, strategy)
        if strategy.budget_tokens is not None:
            arms = _closest_budgets(arms, strategy.budget_tokens)
        given = {name: value for name, value in _asked(strategy).items() if value is not None}
        if strategy.max_tokens is None:
            return [(arm, replace(strategy, **(arm.setting | given))) for arm in arms]
        # The smallest observed cut that suffices is the nearest evidence; then none; then the largest.
        result = []
        for effort, budget in dict.fromkeys((arm.effort, arm.budget_tokens) for arm in arms):
            group = [arm for arm in arms if (arm.effort, arm.budget_tokens) == (effort, budget)]
            group.sort(key=lambda arm: arm.max_tokens or np.inf)
            enough = [arm for arm in group if (arm.max_tokens or np.inf) >= strategy.max_tokens]
            arm = enough[0] if enough else group[-1]
            result.append((arm, replace(strategy, **(arm.setting | given))))
        return result

    def extrapolates(self, strategy: Strategy, arm: Arm) -> bool:
        """Whether a strategy's effort, budget or cut is beyond those at which the arm's LLM was observed."""
        index = self.design.arms.index(arm)
        seen = self._observed
        rank = (
            budget_rank(strategy.budget_tokens)
            if strategy.budget_tokens is not None and arm.by_budget
            else arm.effort_rank
        )
        if np.isfinite(rank) and not (seen[index] and rank == arm.effort_rank):
            ranks = [
                other.effort_rank
                for other, observed in zip(self.design.arms, seen, strict=True)
                if observed and other.ladder == arm.ladder
            ]
            if not ranks or not min(ranks) <= rank <= max(ranks):
                return True
        largest = arm.max_tokens or self._cuts.get(index)
        return largest is not None and (strategy.max_tokens or np.inf) > largest

    @cached_property
    def _observed(self) -> list[bool]:
        """Of each arm, whether the fit saw any attempts of it."""
        found = [False] * len(self.design.arms)
        for block in self.design.blocks:
            for column, arm in enumerate(block.arms):
                found[arm] = bool(block.attempts[:, column].any())
        for curve in Aggregates.seen(self.design) or ():
            found[curve.arm] = True
        return found

    @cached_property
    def _cuts(self) -> dict[int, float]:
        """Largest cut of each arm that was never observed without one."""
        found: dict[int, float] = {}
        for curve in Aggregates.seen(self.design) or ():
            found[curve.arm] = max(found.get(curve.arm, 0.0), float(curve.strategy.max_tokens or np.inf))
        for cut in CutAttempts.seen(self.design) or ():
            if cut.truncated.any():
                found[cut.arm] = max(found.get(cut.arm, 0.0), round(float(np.exp(cut.log_cuts.max()))))
        return {arm: largest for arm, largest in found.items() if np.isfinite(largest)}

    def drawn(self, strategy: Strategy, index: int, cells: Array) -> tuple[Array, Array | None]:
        """Logit success and log tokens per unit (None if never observed), (samples, tasks), at the budget asked for.

        Of the arm itself where it has that budget; else on the line in log budget between its neighbours, or beyond
        the last of them along the trend over budgets.
        """
        arm = self.design.arms[index]
        timed = bool(self.design.has_tokens[index])
        names = ("logit_success", "log_tokens") if timed else ("logit_success",)
        own = {name: self._stacked[name][:, cells] for name in names}
        if strategy.budget_tokens not in (None, arm.budget_tokens):
            at = budget_rank(strategy.budget_tokens)  # type: ignore[arg-type]
            rungs = sorted(
                (other.effort_rank, place)
                for place, other in enumerate(self.design.arms)
                if other.ladder == arm.ladder and self._cells[place].size
            )
            below = [rung for rung in rungs if rung[0] <= at]
            above = [rung for rung in rungs if rung[0] > at]
            if below and above:
                own = self._between(own, index, cells, below[-1], above[0], at)
            else:
                own = self._beyond(own, index, arm.effort_rank, at)
        return own["logit_success"], own.get("log_tokens")

    def _between(
        self,
        own: dict[str, Array],
        index: int,
        cells: Array,
        low: tuple[float, int],
        high: tuple[float, int],
        at: float,
    ) -> dict[str, Array]:
        """Logit success and log tokens between two rungs, given those of the nearer one.

        Rises between rungs are sums of independent ones, so that what is between is a Brownian bridge: on the line,
        with a variance of sd^2 distance share (1 - share) that all tasks have in common.
        """
        share = (at - low[0]) / (high[0] - low[0])
        rng = np.random.default_rng([self.seed, 8, low[1], high[1]])
        far, weight = (high[1], share) if index == low[1] else (low[1], 1.0 - share)
        tasks = self.effects["cell_task"].values
        others = self._cells[far]
        same = tasks[cells].tolist() == tasks[others].tolist()
        bridge = np.sqrt((high[0] - low[0]) * share * (1.0 - share))
        result = {}
        for name, values in own.items():
            other = self._stacked[name][:, others]
            # Of other tasks it is only known what they are like on average.
            away = other - values if same else other.mean(axis=1, keepdims=True) - values.mean(axis=1, keepdims=True)
            *_, sd = self._trend(name, index)
            result[name] = values + weight * away + sd * bridge * rng.standard_normal((self.samples, 1))
        if same and all(self.subsets.has("linked_arm", place) for place in (index, far)):
            # Two arms' own effects on a task are independent, so that their mean would vary less than either.
            scale = self.parameter("interaction_sd", "linked_arm", index)
            effect = rng.standard_t(self.spec.population.interaction_dof, size=result["logit_success"].shape)
            result["logit_success"] += scale * np.sqrt(2.0 * share * (1.0 - share)) * effect
        return result

    def _beyond(self, own: dict[str, Array], index: int, rank: float, at: float) -> dict[str, Array]:
        """Logit success and log tokens beyond the last rung of a ladder, given those at it."""
        rng = np.random.default_rng([self.seed, 9, index, int(at > rank)])
        result = {}
        for name, values in own.items():
            gain, decay, sd = self._trend(name, index)
            result[name] = (
                values
                + rise(gain, decay, rank, at)
                + sd * np.sqrt(abs(at - rank)) * rng.standard_normal((self.samples, 1))
            )
        return result

    def _trend(self, name: str, index: int) -> tuple[Array, Array, Array]:
        """Draws (samples, 1) of the trend over doublings of a budget: gain, decay, and sd of a rise.

        From their priors where the data tell of no trend.
        """
        names = {
            "logit_success": ("doubling_gain", "doubling_decay", "doubling_location_sd"),
            "log_tokens": ("doubling_tokens", "doubling_tokens_decay", "doubling_tokens_sd"),
        }[name]
        label = self.design.arms[index].benchmark if name == "logit_success" else "all LLMs"
        found: list[Array] = []
        for place, one in enumerate(names):
            if one in self.posterior and label in self._members(str(self.posterior[one].dims[-1])):
                found.append(self.posterior[one].sel({self.posterior[one].dims[-1]: label}).values.reshape(-1, 1))
            else:
                law = self.spec.priors.get(one, {**Free.parameters, **DEFAULTS}[one].prior)
                found.append(law.draw((self.samples, 1), np.random.default_rng([self.seed, 10, place, len(name)])))
        return tuple(found)  # type: ignore[return-value]

    def evaluate(self, strategy: Strategy, arm: Arm) -> tuple[dict[str, tuple[Array, list[str]]], dict[str, str]]:
        """Return success and costs, each (samples, tasks) with the tasks' names, and reasons for what is absent."""
        index = self.design.arms.index(arm)
        cells = self._cells[index]
        names = [str(name) for name in self.effects["cell_task"].values[cells]]
        found: dict[str, tuple[Array, list[str]]] = {}
        cut_at = None if strategy.max_tokens == arm.max_tokens else strategy.max_tokens
        if isinstance(strategy, ThoughtSearch):
            tokens = spent = self._tokens(strategy, index, cells)
            # A tree reaches what walks do not, unless nothing can solve the task.
            q = self._any_output(strategy, index, cells) * self.sound(index)
            length = self.design.path_length[[index]][None]
            if cut_at is not None:
                units = float(strategy.token_units(length[0, 0]))
                total = self._needed(tokens, strategy) * units
                q = q * (total <= cut_at)
                spent = np.minimum(total, cut_at) / units
        else:
            logit, log_tokens = self.drawn(strategy, index, cells)
            tokens = spent = None if log_tokens is None else np.exp(log_tokens)
            q = self._of_a_run(expit(logit), index)
            length, _ = self.finishing(index, cells)
            if "lengths" in strategy.depends_on:
                # Its own law of paths says what a cut does; how an LLM paces itself is in what was drawn.
                q = self.eventual(q, self._needed(tokens, strategy), index, cells)
                strategy = replace(strategy, budget_tokens=None)
            elif cut_at is not None:
                q, spent, cut = self._within_cut(q, self._needed(tokens, strategy), strategy, index, cells)
                found["truncated"] = (cut, names)
            q = q * self._stacked["reachable"][:, cells]
        lengths = Lengths(tokens=tokens, spent=spent, path_length=length, tokens_per_step=self.design.tokens_per_step)
        learned = self.learned(strategy, index)
        found["success"] = (strategy.answer_given(q, lengths, learned), names)
        costs, absent = self.costs(strategy, index, q, lengths, learned)
        found |= {name: (values, names) for name, values in costs.items()}
        return found, absent

    def limit(self, strategy: AttemptStrategy, arm: Arm) -> Array | None:
        """Success (samples, tasks) of a strategy with endlessly many attempts, or None where that is not known."""
        one, _ = self.evaluate(replace(strategy, n=1), arm)
        index = self.design.arms.index(arm)
        return strategy.limit_array(one["success"][0], self.concentration(index), self.no_answer(index))

    def _of_a_run(self, q: Array, index: int) -> Array:
        """Success of the attempts of a future run: where runs differ, a draw of it."""
        if not self.subsets.has("overdispersed_arm", index):
            return q
        correlation = self.parameter("overdispersion", "overdispersed_arm", index)
        size = (1.0 - correlation) / correlation
        rng = np.random.default_rng([self.seed, 7, index])
        # A beta law has no parameters of 0.
        return rng.beta(np.maximum(size * q, 1e-12), np.maximum(size * (1.0 - q), 1e-12))

    def answer(self, strategy: Strategy, q: Array, index: int, draws: Array | slice = slice(None)) -> Array:
        """Success (draws, tasks) of a strategy from that of attempts, whose lengths must not matter to it."""
        return strategy.answer_given(q, self._spent(None), self.learned(strategy, index, draws))

    def learned(self, strategy: Strategy, index: int, draws: Array | slice = slice(None)) -> Learned:
        """Return what was learned of a strategy beside the attempts of an arm, at all draws or at some."""
        found: dict[str, Array | None] = {
            "concentration": self.concentration(index),
            "no_answer": self.no_answer(index),
        }
        label = verifier_label(self.design.arms[index].model, strategy)
        if label:
            known = self._members("verifier")
            if label not in known:
                raise InputError(
                    f"{strategy}: this fit has not learned that verifier for {self.design.arms[index].model}; learned "
                    f"(LLM | verifier): {', '.join(known) or 'none'}." + did_you_mean(label, known)
                )
            for name in ("discrimination", "agreement"):
                found[name] = self.parameter(f"verifier_{name}", "verifier", known.index(label))
        return Learned(**{name: None if values is None else values[draws] for name, values in found.items()})

    def _needed(self, tokens: Array | None, strategy: Strategy) -> Array:
        if tokens is None:
            raise InputError(
                f"{strategy}: a cut needs observed tokens; give completion_tokens or tokens_mean in the table"
            )
        return tokens

    def _tokens(self, strategy: Strategy, index: int, cells: Array) -> Array | None:
        """Generated tokens per unit, (samples, tasks), or None if never observed."""
        if not self.design.has_tokens[index]:
            return None
        tokens = np.exp(self._stacked["log_tokens"][:, cells])
        if strategy.is_search and not self.design.arms[index].is_tree:
            # Nothing is known of a tree's own tokens: a candidate is one skill of the walk.
            tokens = tokens / self.design.path_length[index]
        return tokens

    def _within_cut(
        self, q: Array, tokens: Array, strategy: Strategy, index: int, cells: Array
    ) -> tuple[Array, Array, Array]:
        """Success, mean tokens and chance to be cut of an attempt with a cut, by the path's finishing law."""
        omega = self.design.tokens_per_step
        assert strategy.max_tokens is not None
        if strategy.max_tokens < omega:
            raise InputError(f"{strategy}: max_tokens must allow at least one step, {omega:g} tokens")
        length, forced = self.finishing(index, cells)
        # An attempt takes at least one step per skill.
        pace = np.minimum(length * omega / tokens, 1.0)
        shape = np.broadcast_arrays(length, pace)
        steps = np.full(pace.shape, strategy.max_tokens / omega)
        finished = evaluate(finish_within, steps, shape[0], shape[1])
        q = self.eventual(q, tokens, index, cells)
        cut = 1.0 - finished
        # Attempts that were cut answered all the same, some of them right.
        finished = finished + cut * forced
        spent = omega * evaluate(mean_steps_within, steps, shape[0], shape[1])
        return q * finished, np.minimum(spent, strategy.max_tokens), cut

    def attempts(self, strategy: Strategy, arm: Arm) -> tuple[Array, Array, Array, Array]:
        """Attempts of a walk without a cut: success and tokens, (samples, tasks), and what `finishing` returns.

        Success is 0 where the task is out of reach.
        """
        index = self.design.arms.index(arm)
        cells = self._cells[index]
        logit, log_tokens = self.drawn(strategy, index, cells)
        tokens = self._needed(None if log_tokens is None else np.exp(log_tokens), strategy)
        q = self._of_a_run(expit(logit), index)
        q = self.eventual(q, tokens, index, cells) * self._stacked["reachable"][:, cells]
        return q, tokens, *self.finishing(index, cells)

    def mean_tokens(self, index: int) -> Array:
        """Mean tokens of an attempt over an arm's tasks, (samples,), which must have been observed."""
        return np.exp(self._stacked["log_tokens"][:, self._cells[index]]).mean(axis=1)

    def curved_costs(self, index: int) -> dict[str, str]:
        """Return the costs that are not proportional to generated tokens, and why."""
        price, curved = self.spec.cost(self.design.arms[index].model), {}
        if self.subsets.has("prompted_arm", index) and (price.input_usd or 0.0) > 0.0:
            curved["usd"] = "prompt tokens are priced, which do not follow from mean generated tokens; use predict"
        if price.n_layer is not None:
            reason = "attention is counted, which does not follow from mean generated tokens; use predict"
            curved |= {"flops": reason, "joules": reason}
        return curved

    def finishing(self, index: int, cells: Array) -> tuple[Array, Array]:
        """Path length, (samples, 1) or (1, tasks), and the chance that a cut attempt is right after all, (samples, 1).

        That chance is relative to an attempt that is not cut; it is 0 where no cut was observed.
        """
        forced = np.zeros((self.samples, 1))
        budgeted = self._members("budgeted_arm")
        if self.design.labels[index] in budgeted:
            place = budgeted.index(self.design.labels[index])
            forced = self.parameter("forced_answer", "budgeted_arm", place)
        if self.subsets.has("free_path_arm", index):
            return self.parameter("path_length", "free_path_arm", index), forced
        return self._steps(index, cells)[None, :], forced

    def eventual(self, q: Array, tokens: Array, index: int, cells: Array) -> Array:
        """Success (samples, tasks) without a cut, from that within the cut the arm was observed at, if any."""
        own = self.design.arms[index].max_tokens
        if own is None:
            return q
        omega = self.design.tokens_per_step
        length, _ = self.finishing(index, cells)
        pace = np.minimum(length * omega / tokens, 1.0)
        length, pace = np.broadcast_arrays(length, pace)
        at_own = evaluate(finish_within, np.full(pace.shape, own / omega), length, pace)
        return np.minimum(q / np.maximum(at_own, np.finfo(float).tiny), 1.0)

    def _steps(self, index: int, cells: Array) -> Array:
        """Known path length of the tasks of some cells."""
        if np.isfinite(self.design.path_length[index]):
            return np.full(cells.size, self.design.path_length[index])
        block = self.design.blocks[int(self.design.population_of_arm[index])]
        known = dict(zip(block.tasks, block.steps, strict=True))
        return np.array([known.get(str(name), np.nan) for name in self.effects["cell_task"].values[cells]])

    def _any_output(self, strategy: ThoughtSearch, index: int, cells: Array) -> Array:
        """Success of a search, (samples, tasks): that any of its outputs is right."""
        law, fidelity = self._right_outputs(strategy, index, cells)
        hit = 1.0 - (1.0 - fidelity[:, None]) ** np.arange(law.shape[-1])
        return np.asarray(np.minimum(np.einsum("sto,so->st", law, hit), 1.0))

    def right_outputs(
        self, strategy: ThoughtSearch, arm: Arm, tasks: Sequence[str], searches: Array, rng: np.random.Generator
    ) -> Array:
        """Draw the right outputs of searches at some tasks; as `outputs_again`."""
        index = self.design.arms.index(arm)
        places = {str(self.effects["cell_task"].values[cell]): cell for cell in self._cells[index]}
        cells = np.array([places[name] for name in tasks])
        law, fidelity = self._right_outputs(strategy, index, cells)
        result = np.zeros((self.samples, len(tasks)), dtype=np.int64)
        for number in np.unique(searches):
            mine = np.flatnonzero(searches == number)
            result[:, mine] = draw_right(law[:, mine], int(number), fidelity[:, None], rng)
        return result * self._stacked["sound"][:, cells]

    def _right_outputs(self, strategy: ThoughtSearch, index: int, cells: Array) -> tuple[Array, Array]:
        """Law of the outputs that come from right states, (samples, tasks, outputs + 1), and fidelity, (samples,)."""
        if self.spec.population.family == "path":
            raise InputError(f"{strategy}: tree search is predicted from the normal families, not from family 'path'")
        length = self.design.path_length[index]
        if not np.isfinite(length):
            raise InputError(
                f"{strategy}: tree search needs one known path length; set population.path_length in the spec"
            )
        arm, proposed = self.design.arms[index], None
        if arm.is_tree:
            # What was seen of how it searches says nothing of how it does.
            proposed = self.design.proposed(index, strategy.branching)
        if arm.is_tree and self.calibrated:
            walk = self._stacked["logit_success"][:, cells]
            tree = self.design.tree_of_pair(int(self.design.pair_of_arm[index]))
            gap, overlap, fidelity = (self.parameter(name, "tree", tree)[:, 0] for name in SEARCH_PARAMETERS)
        else:
            rng = np.random.default_rng([self.seed, 4, index])
            size = (self.samples, 1)
            offset, slope, *rest = (self.spec.prior(name).draw(size, rng) for name in (*_OF_WALK, *SEARCH_PARAMETERS))
            gap, overlap, fidelity = (one[:, 0] for one in rest)
            scale = self.spec.prior("tree_interaction_sd").draw(size, rng)
            own = scale * rng.standard_t(self.spec.population.interaction_dof, size=(self.samples, cells.size))
            base = int(self.design.base[index])
            location, spread = self.parameter("location", "walk", base), self.parameter("spread", "walk", base)
            walk = location + offset + slope * spread * self._stacked["easiness"][:, cells] + own
        if strategy.evaluator is not None:
            gap = np.full_like(gap, as_verifier(strategy.evaluator).discrimination)
        if strategy.candidate_overlap is not None:
            overlap = np.full_like(overlap, strategy.candidate_overlap)
        if strategy.stated_fidelity is not None:
            fidelity = np.full_like(fidelity, strategy.stated_fidelity)
        plain = replace(strategy, effort=None, budget_tokens=None, max_tokens=None)
        return plain.right_outputs(walk, gap, overlap, int(length), proposed), fidelity

    def concentration(self, index: int) -> Array | None:
        """Draws of how wrong answers scatter in an arm, or in the mean over arms where it logged none."""
        return self._like_the_others("wrong_answer_concentration", "voted_arm", index)

    def no_answer(self, index: int) -> Array | None:
        """Draws of the share of an arm's failures that give no answer; None if all are taken to vote."""
        own = self.design.labels[index] in self._members("answering_arm")
        if self.subsets.has("voted_arm", index) and not own:
            # How its wrong answers agree was learned as if all of them voted.
            return None
        return self._like_the_others("no_answer_share", "answering_arm", index)

    def _like_the_others(self, name: str, dim: str, index: int) -> Array | None:
        """Draws (samples, 1) of a parameter of an arm, or of one of those that have it; None if none has."""
        if name not in self.posterior:
            return None
        known, label = self._members(dim), self.design.labels[index]
        samples = self.posterior[name].values.reshape(-1, len(known))
        if label in known:
            return samples[:, [known.index(label)]]
        rng = np.random.default_rng([self.seed, 5, index])
        # An arm that logged nothing of it is like one drawn from those that did.
        return samples[np.arange(len(samples)), rng.integers(0, samples.shape[1], len(samples))][:, None]

    def costs(
        self, strategy: Strategy, index: int, q: Array, lengths: Lengths, learned: Learned
    ) -> tuple[dict[str, Array], dict[str, str]]:
        """Costs of one task, (samples, tasks), and why others are unknown."""
        if lengths.spent is None:
            reason = "the table has no completion_tokens or tokens_mean for some samplers"
            return {}, dict.fromkeys(("tokens", "usd", "flops", "joules", "seconds"), reason)
        arm = self.design.arms[index]
        price = self.spec.cost(arm.model)
        generated = strategy.tokens_given(q, lengths, learned)
        found, absent = {"tokens": generated}, {}
        prompt = self._prompts(lengths.spent, index)
        try:
            units, uncounted = strategy.units_given(q, lengths, learned), ""
        except InputError as error:
            units, uncounted = np.nan, str(error)
        unpriced = [name for name in ("input_usd", "output_usd") if getattr(price, name) is None]
        lacking = []
        if unpriced:
            untold = self.prices.reasons.get(arm.model)
            why = f"; cost_usd does not tell them: {untold}" if untold else ""
            lacking.append(f"the spec has no prices for {arm.model} (costs.*.{', '.join(unpriced)}, 0 where free{why})")
        if prompt is None and price.input_usd != 0:
            lacking.append(f"the table has no prompt_tokens for {arm.model}")
        if price.input_usd and uncounted:
            lacking.append(uncounted)
        if lacking:
            absent["usd"] = " and ".join(lacking)
        else:
            assert price.input_usd is not None
            assert price.output_usd is not None
            prompts = np.zeros_like(generated) if prompt is None or not price.input_usd else prompt * units
            cached, cached_price = np.zeros_like(prompts), 0.0
            if price.cached_input_usd is not None and prompt is not None and not strategy.is_search:
                # Every attempt after the first reads the prompt again.
                cached, cached_price = np.maximum(prompts - prompt, 0.0), price.cached_input_usd
            found["usd"] = evaluate(
                usd, prompts - cached, generated, price.input_usd, price.output_usd, cached, cached_price
            )
        attended = price.n_layer is not None and price.d_attn is not None
        if price.params is None:
            absent["flops"] = f"the spec has no params for {arm.model} (costs.*.params)"
            absent["joules"] = absent["flops"]
        elif attended and uncounted:
            absent["flops"] = absent["joules"] = uncounted
        else:
            if attended:
                found["flops"] = self._attended_flops(index, lengths.spent, units, prompt, price)
            else:
                found["flops"] = evaluate(flops, price.params, generated, 0.0)
            if price.flop_per_joule is None:
                absent["joules"] = f"the spec has no flop_per_joule for {arm.model} (costs.*.flop_per_joule)"
            else:
                found["joules"] = evaluate(joules, found["flops"], price.flop_per_joule)
        if price.tokens_per_second is None:
            absent["seconds"] = f"the spec has no tokens_per_second for {arm.model}"
        else:
            found["seconds"] = evaluate(seconds_at, generated, price.tokens_per_second)
        return found, absent

    def costs_of_attempts(
        self, strategy: Strategy, index: int, tokens: Array
    ) -> tuple[dict[str, Array], dict[str, str]]:
        """Costs of one task by a fixed number of attempts of some mean tokens (samples, 1), as `costs` returns them."""
        return self.costs(strategy, index, np.full(tokens.shape, np.nan), self._spent(tokens), Learned())

    def _spent(self, tokens: Array | None) -> Lengths:
        """Mean tokens of attempts of which nothing else is wanted."""
        return Lengths(
            tokens=None, spent=tokens, path_length=np.full((1, 1), np.nan), tokens_per_step=self.design.tokens_per_step
        )

    def _attended_flops(self, index: int, tokens: Array, units: Any, prompt: Array | None, price: Cost) -> Array:
        """Expected FLOP of one task with attention, (samples, tasks)."""
        prompt = np.zeros_like(tokens) if prompt is None else prompt
        # Attention is quadratic in an attempt's tokens, which vary between attempts on one task.
        squared = tokens**2 * (1.0 + self._attempt_variance(index, tokens))
        return evaluate(_attended, price.params, tokens, prompt, price.n_layer, price.d_attn, units, squared)

    def _attempt_variance(self, index: int, tokens: Array) -> Array:
        """Relative variance of tokens between attempts on one task: 1/m - 1/(mean steps) for a path of m skills."""
        if self.subsets.has("free_path_arm", index):
            return self.parameter("attempt_cv", "free_path_arm", index) ** 2
        length = self.design.path_length[index]
        if self.design.arms[index].is_tree or not np.isfinite(length):
            return np.zeros((1, 1))
        return np.maximum(1.0 / length - self.design.tokens_per_step / tokens, 0.0)

    def _prompts(self, tokens: Array, index: int) -> Array | None:
        """Expected prompt tokens per unit given the generated ones."""
        if not self.subsets.has("prompted_arm", index):
            return None
        centre, slope, sd, mean = (
            self.parameter("log_prompt", "prompted_arm", index),
            self.parameter("prompt_slope", "prompted_arm", index),
            self.parameter("prompt_sd", "prompted_arm", index),
            self.parameter("log_tokens", "timed_arm", index),
        )
        return np.exp(centre + slope * (np.log(tokens) - mean) + 0.5 * sd**2)

    def one_evaluation(
        self, success: Array, arm: Arm, rng: np.random.Generator, tasks: int | None, attempts: int
    ) -> Array:
        """Share of right attempts (samples, tasks) of an evaluation; of new tasks, as many as asked for or observed."""
        if self.which == "new":
            block = self.design.blocks[int(self.design.population_of_arm[self.design.arms.index(arm)])]
            size = len(block.tasks) if tasks is None else tasks
            if not size:
                raise InputError(
                    f"{arm}: its evaluations are aggregates, so it is not known how many tasks an evaluation has; say "
                    "so by outcome_tasks"
                )
            pick = rng.integers(0, success.shape[1], size=(success.shape[0], size))
            success = np.take_along_axis(success, pick, axis=1)
        return rng.binomial(attempts, success) / attempts


def _check_outcome(outcome: bool, tasks: int | None, attempts: int | None, *, fresh: bool, per_task: bool) -> None:
    """Refuse a size of an evaluation that is none, or where none is asked for."""
    for name, value in (("outcome_tasks", tasks), ("outcome_attempts", attempts)):
        if value is not None and not outcome:
            raise InputError(f"{name} = {value}: says how an evaluation is made; ask for one by outcome=True")
        if value is not None and value < 1:
            raise InputError(f"{name} = {value}; allowed: 1 or more")
    if tasks is not None and (not fresh or per_task):
        raise InputError(
            f"outcome_tasks = {tasks}: is for the mean over fresh tasks (tasks='new', per_task=False); of observed "
            "tasks each is evaluated, or those whose names `tasks` gives"
        )


def _attended(params: Any, tokens: Any, prompt: Any, n_layer: Any, d_attn: Any, attempts: Any, squared: Any) -> Any:
    return flops(params, tokens, prompt, n_layer, d_attn, attempts=attempts, squared=squared)


def outputs_again(
    fit: xr.DataTree,
    strategy: ThoughtSearch,
    where: tuple[str, str],
    tasks: Sequence[str],
    searches: Array,
    rng: np.random.Generator,
    *,
    calibrated: bool = True,
    seed: int = 0,
) -> Array:
    """Draw the right outputs of tree searches at observed tasks, made once more: those of one search share its tree.

    Parameters
    ----------
    fit : xarray.DataTree
    strategy : ThoughtSearch
        With a prediction at the LLM's observed efforts, or one of them.
    where : tuple of str
        LLM and benchmark.
    tasks : sequence of str
    searches : array of int, shape (task,)
        How many searches each task has.
    rng : numpy.random.Generator
    calibrated, seed
        As for `predict`.

    Returns
    -------
    array of int, shape (samples, task)
    """
    view = View.of(fit, list(dict.fromkeys(tasks)), calibrated, 2, seed)
    chosen = expand(view, [strategy])[str(strategy)]
    arm, one = next((arm, one) for arm, one in chosen.items() if (arm.model, arm.benchmark) == where)
    assert isinstance(one, ThoughtSearch)
    return view.right_outputs(one, arm, tasks, searches, rng)


def _asked(strategy: Strategy) -> dict[str, Any]:
    """What a strategy leaves open of a setting is None."""
    return {name: getattr(strategy, name) for name in ("effort", "budget_tokens", "max_tokens")}


def _closest_budgets(arms: list[Arm], budget: int) -> list[Arm]:
    """Keep of every ladder of asked budgets the rung that is nearest in log budget; of trees the one that has it."""
    kept: dict[tuple[Any, ...], Arm] = {}
    for arm in arms:
        if arm.budget_tokens is None or (arm.is_tree and arm.budget_tokens != budget):
            continue
        if not arm.by_budget and arm.budget_tokens != budget:
            continue
        key = arm.ladder if arm.by_budget and not arm.is_tree else (arm,)
        at = budget_rank(budget)
        if key not in kept or abs(arm.effort_rank - at) < abs(kept[key].effort_rank - at):
            kept[key] = arm
    return list(kept.values())


def _closest_trees(arms: list[Arm], strategy: ThoughtSearch) -> list[Arm]:
    """Keep, per effort, budget and cut, the observed tree that is most like the strategy."""
    ranked = sorted(arms, key=lambda arm: (arm.branching != strategy.branching, arm.kept_states != strategy.states))
    kept: dict[tuple[str, int | None, int | None], Arm] = {}
    for arm in ranked:
        kept.setdefault((arm.effort, arm.budget_tokens, arm.max_tokens), arm)
    return list(kept.values())
