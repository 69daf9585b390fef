"""`allocate`: split compute between training an LLM and running it on future tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.special import expit

from ds3bayes.errors import InputError
from ds3bayes.generative.capability.loss_bridge import (
    LossBridge,
    location_of_new,
    path_lengths,
    setting_label,
)
from ds3bayes.inference.artifact import design_of, spec_of
from ds3bayes.queries.new_llms import bridge_given, effect_of_new, refuse_beyond_success, task_effects_of_new, walk_text
from ds3bayes.queries.options import only_benchmark
from ds3bayes.queries.predict import View
from ds3bayes.queries.words import chance, mean_interval
from ds3bayes.strategies import Strategy, parse_strategy

Array = np.ndarray

# Distance of the nodes of location at which success is taken; a cubic in between is within 1e-4 of it.
_SPACING = 0.25
# Beyond these locations success no longer changes.
_FAR = 30.0
_POINTS, _ROUNDS, _ZOOM = 161, 6, 25
_REFUSALS = {
    "skill_hierarchy": "whose levels of skills give no smooth success to search over; ds3bayes.theory.hierarchy has "
    "the closed form of its frontier",
}


def allocate(
    fit: xr.DataTree,
    strategies: Sequence[Strategy | str],
    *,
    compute: float,
    future_tasks: float,
    tokens_per_attempt: float | None = None,
    family: str = "",
    benchmark: str | None = None,
    params_range: tuple[float, float] = (1e6, 1e14),
    tasks: Literal["observed", "new"] = "new",
    new_tasks: int = 128,
    seed: int = 0,
) -> xr.Dataset:
    """Choose the size, training tokens and strategy of an LLM that is yet to be trained.

    Training costs 6 N D FLOP and every generated token 2 N, so that with I future tasks of Omega tokens each
    6 N D + I 2 N Omega = C. A plan is one N, D and strategy for all posterior draws, of highest expected success;
    the optimum of each draw, had one known it, tells how sure the plan is.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "loss_bridge"``.
    strategies : sequence of Strategy or str
        To choose from: walks, or selectors over them, at settings that were observed.
    compute : float
        C in FLOP, > 0.
    future_tasks : float
        I, > 0.
    tokens_per_attempt : float, optional
        Generated tokens of one attempt, > 0. What the evaluated LLMs generate, if the table has tokens; needed
        otherwise.
    family : str, optional
        Family of the LLM; one that was not evaluated, or none, has an effect drawn from its prior.
    benchmark : str, optional
        Whose tasks; needed where there are several.
    params_range : tuple of float, default (1e6, 1e14)
        Least and greatest N of a plan.
    tasks, new_tasks, seed
        As for `predict_llms`.

    Returns
    -------
    xarray.Dataset
        Of each draw's optimum, dims (chain, draw, strategy): ``params``, ``training_tokens``, ``training_share``
        of the compute, ``success``. Of the plan, dim (strategy): ``plan_params``, ``plan_training_tokens``,
        ``plan_training_share``, ``plan_success``, ``regret`` expected success lost against the best strategy and
        allocation of each draw, ``p_best`` probability that the strategy, optimally allocated, is the best, and
        ``tokens`` generated for a task. ``attrs["choice"]`` is the strategy of the best plan and
        ``attrs["sentence"]`` says the plan in words.

    Raises
    ------
    InputError
        If the fit has another capability, a strategy was not observed, tokens are not known, or a number is out of
        range.

    Notes
    -----
    Success rises with the typical task's, whatever the strategy, so in each draw the best N and D of a strategy are
    those of highest location under its demand for tokens. They, and the plan, are searched in log N. An LLM far from
    the evaluated ones in size rests on the published scaling law.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004; Hoffmann et al. (2022), arXiv 2203.15556.
    """
    spec, design = spec_of(fit), design_of(fit)
    if not isinstance(spec.capability, LossBridge):
        why = _REFUSALS.get(spec.capability.kind, "which does not know what training buys")
        raise InputError(
            f"this fit has capability {spec.capability.kind!r}, {why}; to allocate, fit with capability = 'loss_bridge'"
        )
    faults = [
        f"{name} must be a number above 0, got {value!r}"
        for name, value in (
            ("compute", compute),
            ("future_tasks", future_tasks),
            ("tokens_per_attempt", tokens_per_attempt),
        )
        if value is not None and not 0.0 < value < np.inf
    ]
    if not 0.0 < params_range[0] < params_range[1] < np.inf:
        faults.append(f"params_range must be two increasing numbers above 0, got {params_range}")
    if not strategies:
        faults.append("no strategies; give at least one, such as 'cot'")
    if faults:
        raise InputError.of_faults("allocate", faults)
    name = only_benchmark(design.benchmarks, benchmark)
    view = View.of(fit, tasks, True, new_tasks, seed)
    parsed = [parse_strategy(one) if isinstance(one, str) else one for one in strategies]
    worlds = [_World.of(view, one, name, family, tokens_per_attempt) for one in parsed]
    found = [_search(compute, future_tasks, world, params_range) for world in worlds]
    success = np.stack([one.success for one in found], axis=1)
    top = success.max(axis=1)
    wins = success == top[:, None]
    chains, draws = view.effects.sizes["chain"], view.effects.sizes["draw"]
    labels = [str(one) for one in parsed]

    def drawn(values: Sequence[Array], unit: str, meaning: str) -> tuple[Any, ...]:
        return (
            ("chain", "draw", "strategy"),
            np.stack(values, axis=1).reshape(chains, draws, -1),
            {"units": unit, "long_name": meaning},
        )

    def planned(values: Sequence[float] | Array, unit: str, meaning: str) -> tuple[Any, ...]:
        return ("strategy", np.asarray(values, dtype=float), {"units": unit, "long_name": meaning})

    of_plan = [one.plan for one in found]
    regret = [float((top - plan.success).mean()) for plan in of_plan]
    result = xr.Dataset(
        {
            "params": drawn([one.params for one in found], "parameters", "best size of each draw"),
            "training_tokens": drawn([one.tokens for one in found], "tokens", "best training tokens of each draw"),
            "training_share": drawn(
                [6.0 * one.params * one.tokens / compute for one in found],
                "1",
                "share of the compute spent on training",
            ),
            "success": drawn([one.success for one in found], "1", "success of each draw's best allocation"),
            "plan_params": planned([plan.params for plan in of_plan], "parameters", "size of the plan"),
            "plan_training_tokens": planned([plan.tokens for plan in of_plan], "tokens", "training tokens of the plan"),
            "plan_training_share": planned(
                [6.0 * plan.params * plan.tokens / compute for plan in of_plan], "1", "training share of the plan"
            ),
            "plan_success": planned(
                [plan.success.mean() for plan in of_plan], "1", "posterior mean success of the plan"
            ),
            "plan_success_lower": planned(
                [float(mean_interval(plan.success)[1]) for plan in of_plan], "1", "lower end of its 90 % interval"
            ),
            "plan_success_upper": planned(
                [float(mean_interval(plan.success)[2]) for plan in of_plan], "1", "upper end of its 90 % interval"
            ),
            "regret": planned(regret, "1", "expected success lost against the best of each draw"),
            "p_best": planned(
                (wins / wins.sum(axis=1, keepdims=True)).mean(axis=0), "1", "probability that the strategy is the best"
            ),
            "tokens": planned([world.tokens.mean() for world in worlds], "tokens per task", "generated for a task"),
        },
        coords={"chain": view.effects["chain"].values, "draw": view.effects["draw"].values, "strategy": labels},
        attrs={"compute": compute, "future_tasks": future_tasks, "benchmark": name, "tasks": view.which},
    )
    best = int(np.argmin(regret))
    seen = (float(design.params.min()), float(design.params.max()))
    return result.assign_attrs(choice=labels[best], sentence=_sentence(result.isel(strategy=best), seen))


@dataclass(frozen=True, kw_only=True)
class _World:
    """A strategy at every posterior draw: the success of an LLM of some location, and the tokens it takes.

    Parameters
    ----------
    tokens : array, shape (draws,)
        Generated for one task.
    """

    view: View
    strategy: Strategy
    arm: int
    given: Mapping[str, Array]
    effects: Array
    reached: Array
    tokens: Array

    @classmethod
    def of(cls, view: View, strategy: Strategy, benchmark: str, family: str, tokens: float | None) -> _World:
        """Draw what is common to all allocations: the LLM's own effects and the tasks."""
        refuse_beyond_success(strategy)
        design = view.design
        arms = [
            index
            for index, arm in enumerate(design.arms)
            if setting_label(arm) == f"{benchmark} | {walk_text(strategy)}"
        ]
        if not arms:
            known = dict.fromkeys(setting_label(arm) for arm in design.arms)
            raise InputError(f"{strategy}: no LLM in this fit ran with that setting; observed: {', '.join(known)}")
        arm, setting = arms[-1], setting_label(design.arms[arms[-1]])
        draws = {str(name): values.stack(sample=("chain", "draw")) for name, values in view.posterior.data_vars.items()}
        # The order of `predict_llms`, so that both give the same numbers.
        rng = np.random.default_rng([view.seed, 8])
        effect = effect_of_new(view, {"family": family}, draws, rng)
        effects, reached = task_effects_of_new(view, arm, draws, rng)
        given = bridge_given(draws, benchmark, setting) | {"effect": effect}
        per_attempt = np.full(view.samples, np.nan if tokens is None else tokens)
        if tokens is None:
            timed = [index for index in arms if design.has_tokens[index]]
            if not timed:
                raise InputError(
                    f"{strategy}: the table has no tokens for that setting; give tokens_per_attempt, the generated "
                    "tokens of one attempt"
                )
            per_attempt = np.mean([view.mean_tokens(index) for index in timed], axis=0)
        return cls(
            view=view,
            strategy=strategy,
            arm=arm,
            given=given,
            effects=effects,
            reached=reached,
            tokens=per_attempt * float(strategy.token_units(design.path_length[arm])),
        )

    def location(self, params: Any, tokens: Any) -> Array:
        """Location of an LLM of some size and training tokens, which broadcast against (draws,)."""
        length = float(path_lengths(self.view.design, [self.arm])[0])
        return location_of_new(params, tokens, length, self.view.design, self.given)

    def table(self, low: float, high: float) -> _Table:
        """Tabulate mean success over tasks at locations from low to high."""
        low, high = max(low, -_FAR), min(high, _FAR)
        nodes = np.arange(low - 2 * _SPACING, high + 3 * _SPACING, _SPACING)
        rows = [
            self.view.answer(self.strategy, expit(node + self.effects) * self.reached, self.arm).mean(axis=1)
            for node in nodes
        ]
        return _Table(start=float(nodes[0]), rows=np.stack(rows))


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Mean success (nodes, draws) at evenly spaced locations."""

    start: float
    rows: Array

    def at(self, location: Array) -> Array:
        """Interpolate at locations (..., draws)."""
        inside = np.clip(location, self.start, self.start + _SPACING * (len(self.rows) - 1))
        return _interpolated(self.rows, (inside - self.start) / _SPACING)


def _interpolated(table: Array, position: Array) -> Array:
    """Cubic through the four nearest of evenly spaced nodes, (nodes, draws), at positions (..., draws)."""
    left = np.clip(np.floor(position).astype(int) - 1, 0, len(table) - 4)
    x = position - left
    weights = (
        -(x - 1) * (x - 2) * (x - 3) / 6,
        x * (x - 2) * (x - 3) / 2,
        -x * (x - 1) * (x - 3) / 2,
        x * (x - 1) * (x - 2) / 6,
    )
    draws = np.arange(table.shape[1])
    return sum(weight * table[left + step, draws] for step, weight in enumerate(weights))  # type: ignore[return-value]


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One allocation: size, training tokens, and its success at every draw."""

    params: float
    tokens: float
    success: Array


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Each draw's optimum, arrays of shape (draws,), and the plan."""

    params: Array
    tokens: Array
    success: Array
    plan: _Plan


def _search(compute: float, future_tasks: float, world: _World, params_range: tuple[float, float]) -> _Found:
    """Find the optimum of every draw, and the allocation of highest expected success."""
    demand = future_tasks * world.tokens
    # A plan pays for the tokens that are expected.
    expected = float(demand.mean())
    low = np.log(params_range[0])
    high, highest = (
        np.log(np.minimum(params_range[1], compute / (2.0 * one) * (1.0 - 1e-9))) for one in (demand, expected)
    )
    if low >= highest:
        raise InputError(
            f"{world.strategy}: {compute:.3g} FLOP do not pay for {expected:.3g} tokens of an LLM of "
            f"{params_range[0]:.3g} parameters; raise compute, or lower future_tasks or the range of params"
        )
    high = np.maximum(high, low)

    def location_at(log_params: Array) -> Array:
        """Location at sizes (points, draws), what compute leaves each draw being its training tokens."""
        size, trained = _split(compute, demand, log_params)
        return world.location(size, np.maximum(trained, 1.0))

    own = low + (high - low) * np.linspace(0.0, 1.0, _POINTS)[:, None]
    steps = (high - low) / (_POINTS - 1)
    every = np.arange(world.view.samples)
    at = location_at(own)
    for _ in range(_ROUNDS):
        top = own[at.argmax(axis=0), every]
        own = np.clip(top + steps * np.linspace(-1.5, 1.5, _ZOOM)[:, None], low, high)
        at, steps = location_at(own), 3.0 * steps / (_ZOOM - 1)
    place = at.argmax(axis=0)
    params, tokens = _split(compute, demand, own[place, every])
    of_draws = at[place, every]

    log_params = np.linspace(low, highest, _POINTS)
    of_plans = world.location(*_split(compute, expected, log_params[:, None]))
    table = world.table(min(of_draws.min(), of_plans.min()), max(of_draws.max(), of_plans.max()))

    def best_of(log_params: Array) -> _Plan:
        size, trained = _split(compute, expected, log_params[:, None])
        success = table.at(world.location(size, trained))
        place = int(success.mean(axis=1).argmax())
        return _Plan(params=float(size[place, 0]), tokens=float(trained[place, 0]), success=success[place])

    best = best_of(log_params)
    step = log_params[1] - log_params[0]
    for _ in range(_ROUNDS):
        around = np.clip(np.log(best.params) + step * np.linspace(-1.5, 1.5, _ZOOM), low, highest)
        best = max(best, best_of(around), key=lambda plan: plan.success.mean())
        step = 3.0 * step / (_ZOOM - 1)
    return _Found(params=params, tokens=tokens, success=table.at(of_draws), plan=best)


def _split(compute: float, demand: Any, log_params: Array) -> tuple[Array, Array]:
    """Return sizes, and the training tokens that compute leaves them, of the same shape."""
    params = np.exp(log_params)
    return params, (compute / params - 2.0 * demand) / 6.0


def _sentence(at: xr.Dataset, seen: tuple[float, float]) -> str:
    low, middle, high = np.quantile(at["params"].values, [0.05, 0.5, 0.95])
    size = float(at["plan_params"])
    beyond = ""
    if not seen[0] <= size <= seen[1]:
        beyond = (
            f" That size is outside the evaluated LLMs' ({seen[0]:.2g} to {seen[1]:.2g}), where the published scaling "
            "law decides."
        )
    return (
        f"Train {size:.2g} parameters on {float(at['plan_training_tokens']):.2g} tokens "
        f"({float(at['plan_training_share']):.0%} of the compute) and run {at['strategy'].item()}: expected success "
        f"{float(at['plan_success']):.3f} (90 % interval {float(at['plan_success_lower']):.3f} to "
        f"{float(at['plan_success_upper']):.3f}). The best size, had one known it, is {middle:.2g} ({low:.2g} to "
        f"{high:.2g}); this strategy is the best with probability {chance(float(at['p_best']))}, and the plan loses "
        f"{float(at['regret']):.3f} of success on average.{beyond}"
    )
