"""`predict_llms`: success of LLMs that were never evaluated, from their size and training tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from scipy.special import expit

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.capability.loss_bridge import LossBridge, location_of_new, path_lengths, setting_label
from ds3bayes.inference.artifact import design_of, spec_of
from ds3bayes.queries.predict import UNITS, View
from ds3bayes.strategies import Strategy, parse_strategy

_LAW = ("size_slope", "size_exponent", "tokens_slope", "tokens_exponent", "overtraining", "overtraining_onset")
_FACTS = ("params", "train_tokens", "family")


def predict_llms(
    fit: xr.DataTree,
    llms: Mapping[str, Mapping[str, Any]],
    strategies: Sequence[Strategy | str],
    *,
    tasks: Literal["observed", "new"] = "observed",
    new_tasks: int = 256,
    seed: int = 0,
) -> xr.Dataset:
    """Predict success of LLMs that the fit has never seen.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "loss_bridge"``.
    llms : mapping of str to mapping
        By name: ``params``, ``train_tokens`` (both > 0) and optionally ``family``. A family that was not evaluated
        has an effect drawn from its prior.
    strategies : sequence of Strategy or str
        Walks (or selectors over walks) at settings that were observed; budgets must be those of the data.
    tasks : {"observed", "new"}, default "observed"
        These very tasks, or fresh ones of the same population.
    new_tasks : int, default 256
        Points (a power of 2) that represent the population for ``tasks="new"``.
    seed : int, default 0

    Returns
    -------
    xarray.Dataset
        ``success`` with dims (chain, draw, model, benchmark, strategy), as from `predict`; ``attrs["absent"]`` says
        why costs are missing. The draws hold what is not known of the LLM: its own effect beyond its loss, its own
        effect on each task, and which tasks it reaches, each drawn as from the evaluated LLMs.

    Raises
    ------
    InputError
        If the fit has another capability, a fact is missing or out of range, or no LLM ran with such a setting.

    Notes
    -----
    LLMs differ from what training says of them, so that the draws are skew: their median is the better point, and the
    nearest evaluated LLM may be as good. `ds3bayes.bridge_against_rivals` tells on the fit's own table.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004; Hoffmann et al. (2022), arXiv 2203.15556.
    """
    design, spec = design_of(fit), spec_of(fit)
    if not isinstance(spec.capability, LossBridge):
        raise InputError(
            f"this fit has capability {spec.capability.kind!r}, which knows evaluated LLMs only; fit with capability = "
            "'loss_bridge' to predict others from their size and training tokens"
        )
    _check(llms)
    parsed = [parse_strategy(one) if isinstance(one, str) else one for one in strategies]
    view = View.of(fit, tasks, True, new_tasks, seed)
    draws = {str(name): values.stack(sample=("chain", "draw")) for name, values in view.posterior.data_vars.items()}
    rng = np.random.default_rng([seed, 8])
    settings = {setting_label(arm): index for index, arm in enumerate(design.arms)}
    benchmarks = design.benchmarks
    labels = [str(strategy) for strategy in parsed]
    success = np.full((view.samples, len(llms), len(benchmarks), len(parsed)), np.nan)
    for number, facts in enumerate(llms.values()):
        llm_effect = effect_of_new(view, facts, draws, rng)
        for column, strategy in enumerate(parsed):
            refuse_beyond_success(strategy)
            hits = 0
            for place, benchmark in enumerate(benchmarks):
                label = f"{benchmark} | {walk_text(strategy)}"
                if label not in settings:
                    continue
                hits += 1
                arm = settings[label]
                given = bridge_given(draws, benchmark, label) | {"effect": llm_effect}
                location = location_of_new(
                    float(facts["params"]),
                    float(facts["train_tokens"]),
                    float(path_lengths(design, [arm])[0]),
                    design,
                    given,
                )
                effects, reached = task_effects_of_new(view, arm, draws, rng)
                q = expit(location[:, None] + effects) * reached
                answer = view.answer(strategy, q, arm)
                success[:, number, place, column] = answer.mean(axis=1)
            if not hits:
                raise InputError(
                    f"{strategy}: no LLM in this fit ran with that setting; observed: {', '.join(settings)}"
                )
    unit, meaning = UNITS["success"]
    shape = (view.effects.sizes["chain"], view.effects.sizes["draw"], *success.shape[1:])
    dims = ("chain", "draw", "model", "benchmark", "strategy")
    return xr.Dataset(
        {"success": (dims, success.reshape(shape), {"units": unit, "long_name": meaning})},
        coords={
            "chain": view.effects["chain"].values,
            "draw": view.effects["draw"].values,
            "model": list(llms),
            "benchmark": benchmarks,
            "strategy": labels,
        },
        attrs={
            "tasks": view.which,
            "absent": "tokens: what an LLM generates does not follow from its loss",
            "evidence": "none yet on this table; ds3.bridge_against_rivals(fit) predicts its own best-trained LLMs, "
            "beside the nearest LLM and regressions",
            "partly_absent": "none",
        },
    )


def refuse_beyond_success(strategy: Strategy) -> None:
    """Refuse strategies that take more than the success of attempts, which is all that a loss explains."""
    if strategy.is_search:
        raise InputError(f"{strategy}: capability 'loss_bridge' does not explain tree search")
    if strategy.random_units:
        raise InputError(
            f"{strategy}: its cost depends on what each attempt does, of which the loss of an LLM says nothing; give a "
            "strategy of a fixed number of attempts"
        )


def _check(llms: Mapping[str, Mapping[str, Any]]) -> None:
    faults = [] if llms else ["no LLMs; give at least one, as {'name': {'params': 7e9, 'train_tokens': 2e12}}"]
    for name, facts in llms.items():
        for key in facts:
            if key not in _FACTS:
                faults.append(
                    f"{name}: unknown fact {key!r}; allowed: {', '.join(_FACTS)}." + did_you_mean(key, _FACTS)
                )
        for key in ("params", "train_tokens"):
            value = facts.get(key)
            if not isinstance(value, int | float) or not 0 < value < np.inf:
                faults.append(f"{name}: {key} must be a number > 0, got {value!r}")
    if faults:
        raise InputError.of_faults("predict_llms", faults)


def walk_text(strategy: Strategy) -> str:
    """Text of the walk that a strategy repeats."""
    return str(strategy.one_attempt)


def bridge_given(draws: Mapping[str, xr.DataArray], benchmark: str, setting: str) -> dict[str, np.ndarray]:
    """Return draws (samples,) of the bridge's parameters at a setting of a benchmark, for `location_of_new`."""
    if _LAW[0] not in draws:
        raise InputError("this fit holds an older form of the loss bridge, without limits; fit its evaluations again")
    given = {law: draws[law].values for law in _LAW} | {"ease": draws["ease"].sel(setting=setting).values}
    return given | {name: draws[name].sel(benchmark=benchmark).values for name in ("size_margin", "tokens_margin")}


def effect_of_new(
    view: View, facts: Mapping[str, Any], draws: Mapping[str, xr.DataArray], rng: np.random.Generator
) -> np.ndarray:
    """What an LLM never evaluated has beyond its loss, and its family's effect, (samples,)."""
    own = draws["llm_sd"].values * rng.standard_normal(view.samples)
    return own + _family(facts, draws, view.spec, rng)


def _family(facts: Mapping[str, Any], draws: Mapping[str, xr.DataArray], spec: Any, rng: np.random.Generator) -> Any:
    """Effect of the LLM's family (samples,): learned, or drawn from the prior if it is another one."""
    if "family_effect" not in draws:
        return 0.0
    effects = draws["family_effect"]
    family = facts.get("family", "")
    if family in effects["family"].values:
        return effects.sel(family=family).values
    return spec.prior("family_effect").draw((effects.sizes["sample"],), rng)


def task_effects_of_new(
    view: View, arm: int, draws: Mapping[str, xr.DataArray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Effects of tasks on the logit success of an LLM never evaluated, and which it reaches, both (samples, tasks).

    Shared easiness and which tasks are sound are as learned, the LLM's own effects are drawn.
    """
    design = view.design
    easiness = view.easiness(arm)
    effects = draws["spread"].isel(walk=design.walk_arms.index(arm)).values[:, None] * easiness
    samples = np.arange(view.samples)
    if "interaction_sd" in draws:
        scales = draws["interaction_sd"].transpose("sample", ...).values
        scale = scales[samples, rng.integers(0, scales.shape[1], view.samples)][:, None]
        effects = effects + scale * rng.standard_t(view.spec.population.interaction_dof, size=easiness.shape)
    reached = view.sound(arm).astype(float)
    if "reachability" in draws:
        reach = draws["reachability"].transpose("sample", ...).values
        chance = reach[samples, rng.integers(0, reach.shape[1], view.samples)][:, None]
        reached = reached * (rng.random(easiness.shape) < chance)
    return effects, reached
