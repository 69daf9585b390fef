"""Evaluations with known truth, drawn by walking each task's path of skills one step at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit, log_expit, logit

from ds3bayes.errors import InputError
from ds3bayes.evals.read import read_table
from ds3bayes.strategies.attempts import single_attempt
from ds3bayes.strategies.base import Strategy
from ds3bayes.strategies.task import PathTask
from ds3bayes.strategies.text import parse_strategy
from ds3bayes.strategies.thoughts import ThoughtSearch
from ds3bayes.strategies.walks import ENDLESS, TRUNCATED, Floats, Ints, Restaurant

_LONGEST_WALK = 100_000
_MOST_WALKS = 20_000_000
# Answer that right attempts give where the key is wrong: no other has so large a number.
_RIGHT_BUT_FOR_THE_KEY = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Simulated evaluations and what they were drawn from.

    Parameters
    ----------
    evals : xarray.Dataset
        What `read_evals` would return for them.
    truth : xarray.Dataset
        ``eventual_success``, ``pace`` and ``reachable`` with dims ``(model, task)``, ``path_length`` and ``sound``
        with dim ``task``, ``location`` with dim ``model``, and the scalars ``spread``, ``skew``, ``interaction_sd``,
        ``reachability``, ``soundness``, ``typical_pace``, ``difficulty_effect``, ``tokens_per_step`` and
        ``wrong_answer_concentration``. ``eventual_success`` is the chance that one attempt without a cut
        succeeds if the task is reachable and sound.
    """

    evals: xr.Dataset
    truth: xr.Dataset


def simulate(
    *,
    tasks: int = 100,
    attempts: int = 16,
    models: int | Mapping[str, float] = 1,
    strategies: Sequence[str | Strategy] = ("cot",),
    path_length: int | Sequence[int] | Ints = 5,
    location: float = 0.5,
    spread: float = 1.5,
    skew: float = 0.0,
    interaction_sd: float = 0.0,
    reachability: float = 1.0,
    soundness: float = 1.0,
    pace: float = 0.1,
    difficulty_effect: float = 0.2,
    tokens_per_step: float = 25.0,
    max_tokens: float | Sequence[float | None] | None = None,
    budget_tokens: float | Sequence[float | None] | None = None,
    budget_gain: float = 0.4,
    budget_lengthening: float = 0.35,
    wrong_answer_concentration: float = 1.0,
    benchmark: str = "simulated",
    seed: int = 0,
) -> Simulation:
    """Draw evaluations by the stochastic traversal itself, with the truth they come from.

    Each model and task has an eventual success q on the logit scale and a path of m skills; a finished unit
    of work completes its skill with probability ``q ** (1 / m)``, and attempts walk step by step (`walk`).
    Nothing here uses a closed form, so that the closed forms can be tested against it.

    Parameters
    ----------
    tasks : int
        Number of tasks, >= 1.
    attempts : int
        Attempts of each model, task and strategy, >= 1; an attempt of a many-sample strategy is one decision.
    models : int or mapping of str to float
        Number of models, or their names with shifts of their location on the logit scale.
    strategies : sequence of str or Strategy
        Any strategies without their own budgets and cuts, such as ``"cot"``, ``"best_of_n(n=16, verifier=oracle)"``,
        ``"majority(n=8)"`` or ``"tot(branching=3, evaluator=noisy(d=2))"``; an attempt of a strategy that
        selects is one decision. Truncated attempts do not vote.
    path_length : int or sequence of int
        Skills per task, >= 1; one number for all or one per task.
    location, spread, skew : float
        Law of the tasks on logit eventual success, two half normals: mode ``location``, standard deviation
        ``spread * exp(skew / 2)`` to the left and ``spread * exp(-skew / 2)`` to the right of it, each side
        chosen with probability proportional to its standard deviation. ``spread`` >= 0.
    interaction_sd : float
        Standard deviation, >= 0, of what each model and task add to that on their own (logit scale).
    reachability : float
        Probability in [0, 1] that a needed skill was learned, drawn once per model, task and skill. An
        attempt at a task with a skill missing wanders until it is cut or it commits to a wrong answer.
    soundness : float
        Probability in [0, 1] that a task is sound, drawn once per task. The key of any other is wrong: attempts go as
        they would, and none counts as a success, for any model; right ones give one and the same wrong answer.
    pace : float
        Probability in (0, 1) that a step finishes its unit, for a task at the mode.
    difficulty_effect : float
        Fall of logit pace per unit of difficulty (of fall in the task's logit eventual success).
    tokens_per_step : float
        Generated tokens per step, >= 1.
    max_tokens : int, None or sequence of them
        Tokens at which each walk is cut, at least one step; None for no cut. A sequence runs every strategy at every
        one.
    budget_tokens : int, None or sequence of them
        Budget that each walk is asked for, and paced by; None to ask for none. A sequence runs every strategy at every
        budget.
    budget_gain, budget_lengthening : float
        Rise of logit eventual success, and of the log of the steps that a skill takes, by doubling an asked budget. At
        16,000 tokens both are as if none had been asked.
    wrong_answer_concentration : float
        Concentration, >= 0, of the Chinese restaurant process that says which wrong answers of a model to a
        task are the same; 0 makes them all the same.
    benchmark : str
        Name of the benchmark in the table.
    seed : int
        Seed, >= 0; the same arguments give the same evaluations.

    Returns
    -------
    Simulation
        ``evals`` and ``truth``.

    Raises
    ------
    InputError
        If arguments are out of range; all of them are named at once.

    Examples
    --------
    >>> simulation = simulate(tasks=3, attempts=4, seed=1)
    >>> simulation.evals.sizes["row"], dict(simulation.truth.sizes)
    (3, {'model': 1, 'task': 3})
    """
    faults: list[str] = []

    def check(name: str, value: Any, allowed: str, test: Callable[[Any], bool], whole: bool = False) -> None:
        kinds = (int, np.integer) if whole else (int, np.integer, float, np.floating)
        fine = isinstance(value, kinds) and not isinstance(value, bool)
        if not fine or not math.isfinite(value) or not test(value):
            faults.append(f"{name}={value!r}; allowed: {allowed}")

    check("tasks", tasks, "an integer >= 1", lambda x: x >= 1, whole=True)
    check("attempts", attempts, "an integer >= 1", lambda x: x >= 1, whole=True)
    check("seed", seed, "an integer >= 0", lambda x: x >= 0, whole=True)
    check("location", location, "a number in [-50, 50]", lambda x: abs(x) <= 50)
    check("spread", spread, "a number in [0, 50]", lambda x: 0 <= x <= 50)
    check("skew", skew, "a number in [-10, 10]", lambda x: abs(x) <= 10)
    check("interaction_sd", interaction_sd, "a number in [0, 50]", lambda x: 0 <= x <= 50)
    check("reachability", reachability, "a number in [0, 1]", lambda x: 0 <= x <= 1)
    check("soundness", soundness, "a number in [0, 1]", lambda x: 0 <= x <= 1)
    check("pace", pace, "a number in (0, 1)", lambda x: 0 < x < 1)
    check("difficulty_effect", difficulty_effect, "a number in [-50, 50]", lambda x: abs(x) <= 50)
    check("budget_gain", budget_gain, "a number in [-50, 50]", lambda x: abs(x) <= 50)
    check("budget_lengthening", budget_lengthening, "a number in [-5, 5]", lambda x: abs(x) <= 5)
    check("tokens_per_step", tokens_per_step, "a number >= 1", lambda x: x >= 1)
    check("wrong_answer_concentration", wrong_answer_concentration, "a number >= 0", lambda x: x >= 0)
    if not isinstance(benchmark, str) or not benchmark.strip():
        faults.append(f"benchmark={benchmark!r}; allowed: text that is not blank")
    shifts = _shifts(models, faults)
    settings = _settings(strategies, faults)
    if faults:
        raise InputError.of_faults("simulate", faults)
    lengths = _lengths(path_length, tasks, faults)
    cuts = _limits("max_tokens", max_tokens, tokens_per_step, faults)
    budgets = _limits("budget_tokens", budget_tokens, 1.0, faults)
    drawn = sum(
        float(np.max(one.token_units(lengths) if isinstance(one, ThoughtSearch) else one.attempts)) for one in settings
    )
    walks = int(len(shifts) * tasks * attempts * len(cuts) * len(budgets) * drawn)
    if walks > _MOST_WALKS:
        faults.append(f"that is {walks} walks; allowed: at most {_MOST_WALKS}. Use several calls with other seeds")
    if faults:
        raise InputError.of_faults("simulate", faults)

    rng = np.random.default_rng(seed)
    truth = _draw_truth(
        rng=rng,
        shifts=shifts,
        lengths=lengths,
        location=location,
        spread=spread,
        skew=skew,
        interaction_sd=interaction_sd,
        reachability=reachability,
        soundness=soundness,
        pace=pace,
        difficulty_effect=difficulty_effect,
    )
    truth["tokens_per_step"] = ((), float(tokens_per_step), {"units": "tokens"})
    truth["wrong_answer_concentration"] = ((), float(wrong_answer_concentration))
    truth["budget_gain"] = ((), float(budget_gain))
    truth["budget_lengthening"] = ((), float(budget_lengthening))
    table = pd.concat(
        [_draw_table(rng, truth, settings, cuts, budget, attempts, benchmark) for budget in budgets], ignore_index=True
    )
    evals = read_table(table).assign_attrs(source=f"simulated (seed {seed})")
    return Simulation(evals=evals, truth=truth)


# --- arguments ----------------------------------------------------------------------------------------------


def _shifts(models: int | Mapping[str, float], faults: list[str]) -> dict[str, float]:
    if isinstance(models, Mapping):
        fine = models and all(
            isinstance(name, str)
            and name.strip()
            and isinstance(shift, int | float)
            and not isinstance(shift, bool)
            and abs(shift) <= 50
            for name, shift in models.items()
        )
        if fine:
            return {name: float(shift) for name, shift in models.items()}
    elif isinstance(models, int | np.integer) and not isinstance(models, bool) and models >= 1:
        width = len(str(models - 1))
        return {f"model-{index:0{width}d}": 0.0 for index in range(int(models))}
    faults.append(f"models={models!r}; allowed: an integer >= 1, or names with shifts in [-50, 50]")
    return {}


def _settings(strategies: Sequence[str | Strategy], faults: list[str]) -> list[Strategy]:
    if isinstance(strategies, str) or not isinstance(strategies, Sequence) or not strategies:
        faults.append(f"strategies={strategies!r}; allowed: a list such as ['cot', 'majority(n=8)']")
        return []
    settings: list[Strategy] = []
    for given in strategies:
        try:
            strategy = given if isinstance(given, Strategy) else parse_strategy(given)
        except InputError as error:
            faults.append(str(error))
            continue
        if strategy.limit_tokens is not None or strategy.effort is not None:
            faults.append(
                f"strategy {str(strategy)!r} states a budget, a cut or an effort; give budget_tokens or max_tokens to "
                "simulate"
            )
        elif strategy.is_search and strategy.attempts > 1:
            faults.append(f"strategy {str(strategy)!r}: simulated searches write out one answer; leave out outputs")
        elif any(strategy.to_row() == other.to_row() for other in settings):
            faults.append(f"strategy {str(strategy)!r} is given twice: a table cannot tell it from the other")
        else:
            settings.append(strategy)
    return settings


def _lengths(path_length: int | Sequence[int] | Ints, tasks: int, faults: list[str]) -> Ints:
    try:
        lengths = np.asarray(path_length)
        if lengths.dtype.kind in "iu" and lengths.min(initial=1) >= 1 and lengths.max(initial=1) <= _LONGEST_WALK:
            return np.broadcast_to(lengths, (tasks,)).astype(np.int64)
    except ValueError:
        # Ragged or of another length: said below like every other misfit.
        lengths = np.empty(0)
    faults.append(
        f"path_length={path_length!r}; allowed: an integer from 1 to {_LONGEST_WALK}, or one for each of {tasks} tasks"
    )
    return np.ones(tasks, dtype=np.int64)


def _limits(
    name: str, given: float | Sequence[float | None] | None, least: float, faults: list[str]
) -> list[float | None]:
    listed = given if isinstance(given, list | tuple | np.ndarray) else [given]
    budgets: list[float | None] = []
    for budget in listed:
        if budget is None:
            budgets.append(None)
        elif (
            isinstance(budget, int | float | np.number)
            and not isinstance(budget, bool)
            and least <= budget <= 1e15
            and float(budget).is_integer()
        ):
            budgets.append(float(budget))
        else:
            low = f"one step ({least:g} tokens)" if name == "max_tokens" else "1"
            faults.append(f"{name}={budget!r}; allowed: None or an integer from {low} up")
    if not len(listed) or len(set(budgets)) < len(budgets):
        faults.append(f"{name}={given!r}; allowed: one or more, all different")
    return budgets


# --- drawing ------------------------------------------------------------------------------------------------


def _draw_truth(
    *,
    rng: np.random.Generator,
    shifts: dict[str, float],
    lengths: Ints,
    location: float,
    spread: float,
    skew: float,
    interaction_sd: float,
    reachability: float,
    soundness: float,
    pace: float,
    difficulty_effect: float,
) -> xr.Dataset:
    models, tasks = len(shifts), len(lengths)
    left, right = spread * math.exp(skew / 2), spread * math.exp(-skew / 2)
    # exp(skew) / (exp(skew) + 1), so that no spread means no division by zero.
    is_left = rng.random(tasks) < expit(skew)
    half = np.abs(rng.standard_normal(tasks))
    ease = np.where(is_left, -left * half, right * half)
    shift = np.array(list(shifts.values()))[:, None]
    deviation = ease + interaction_sd * rng.standard_normal((models, tasks))
    # Far beyond what counts can tell apart, and short of where a probability rounds to 0 or 1.
    success_logit = np.clip(location + shift + deviation, -700, 36)
    reachable = rng.random((models, tasks)) < reachability**lengths
    # Only where some may be unsound, so that evaluations of a seed stay what they were.
    sound = rng.random(tasks) < soundness if soundness < 1 else np.ones(tasks, dtype=bool)
    paces = expit(np.clip(logit(pace) + difficulty_effect * ease, -700, 36))
    width = len(str(tasks - 1))
    both = ("model", "task")
    return xr.Dataset(
        {
            "eventual_success": (
                both,
                expit(success_logit),
                {
                    "long_name": "chance that one attempt without a cut succeeds, if the task is reachable",
                    "units": "1",
                },
            ),
            "logit_eventual_success": (both, success_logit, {"units": "1"}),
            "reachable": (both, reachable, {"long_name": "whether the model has every skill of the task"}),
            "sound": ("task", sound, {"long_name": "whether the task's key is right"}),
            "pace": (
                both,
                np.broadcast_to(paces, (models, tasks)).copy(),
                {"long_name": "chance that one step finishes its unit", "units": "1"},
            ),
            "path_length": ("task", lengths, {"units": "steps"}),
            "location": ("model", location + shift[:, 0], {"units": "1"}),
            "spread": ((), float(spread)),
            "skew": ((), float(skew)),
            "interaction_sd": ((), float(interaction_sd)),
            "reachability": ((), float(reachability)),
            "soundness": ((), float(soundness)),
            "typical_pace": ((), float(pace)),
            "difficulty_effect": ((), float(difficulty_effect)),
        },
        coords={"model": list(shifts), "task": [f"task-{index:0{width}d}" for index in range(tasks)]},
    )


def _draw_table(
    rng: np.random.Generator,
    truth: xr.Dataset,
    settings: list[Strategy],
    cuts: list[float | None],
    asked: float | None,
    attempts: int,
    benchmark: str,
) -> pd.DataFrame:
    """Let every setting decide on every task, and add up the decisions of each cell."""
    lengths = np.broadcast_to(truth["path_length"].to_numpy(), truth["pace"].shape).ravel()
    doublings = 0.0 if asked is None else math.log2(asked / 16000)
    # A step less likely to finish its unit makes for more steps; at most all do.
    paces = np.minimum(truth["pace"].to_numpy().ravel() * np.exp(-float(truth["budget_lengthening"]) * doublings), 1.0)
    eventual = truth["logit_eventual_success"].to_numpy().ravel() + float(truth["budget_gain"]) * doublings
    rhos = np.exp(log_expit(np.clip(eventual, -700, 36)) / lengths)
    reachable = truth["reachable"].to_numpy().ravel()
    if None in cuts:
        _check_duration(rhos, paces, np.where(reachable, lengths, ENDLESS))
    sound = np.broadcast_to(truth["sound"].to_numpy(), truth["pace"].shape).reshape(-1, 1)
    task = PathTask(
        path_length=lengths[:, None],
        advance=(rhos * paces)[:, None],
        commit=((1.0 - rhos) * paces)[:, None],
        reachability=reachable[:, None].astype(float),
        tokens_per_step=float(truth["tokens_per_step"]),
    )
    # Wrong answers of a model to a task are one process, whichever strategy gave them.
    restaurant = Restaurant(float(truth["wrong_answer_concentration"]))

    def wrong_answers(decisions: Ints, rng: np.random.Generator) -> Ints:
        return restaurant(decisions // attempts, rng)

    model_names, task_names = truth["model"].to_numpy(), truth["task"].to_numpy()
    frames = []
    for cut_at in cuts:
        for strategy in settings:
            drawn = replace(strategy, max_tokens=None if cut_at is None else int(cut_at)).simulate(
                task, rng, size=(len(rhos), attempts), wrong_answers=wrong_answers
            )
            success = drawn.success & sound
            columns_out: dict[str, Any] = {
                "model": np.repeat(model_names, len(task_names)),
                "benchmark": benchmark,
                "task": np.tile(task_names, len(model_names)),
                **strategy.to_row(),
                "budget_tokens": np.nan if asked is None else asked,
                "max_tokens": np.nan if cut_at is None else cut_at,
                "attempts": attempts,
                "successes": success.sum(axis=1),
                "tokens_mean": drawn.tokens.mean(axis=1),
                "tokens_max": drawn.tokens.max(axis=1),
            }
            if single_attempt(strategy.name):
                assert drawn.outcome is not None
                assert drawn.answers is not None
                cut = (drawn.outcome[:, :, 0] == TRUNCATED).sum(axis=1)
                columns_out |= {
                    "no_answer": cut,
                    "truncated": cut,
                    "wrong_answer_counts": _share_texts(
                        np.where(drawn.success & ~sound, _RIGHT_BUT_FOR_THE_KEY, drawn.answers[:, :, 0])
                    ),
                }
            with np.errstate(divide="ignore"):
                logs = np.log(drawn.tokens)
            for outcome, chosen in (("correct", success), ("wrong", ~success)):
                counts = chosen.sum(axis=1)
                mean = _ratio(np.where(chosen, logs, 0.0).sum(axis=1), counts)
                deviation = np.where(chosen, logs - mean[:, None], 0.0)
                columns_out[f"log_tokens_mean_{outcome}"] = mean
                columns_out[f"log_tokens_sd_{outcome}"] = np.sqrt(_ratio((deviation**2).sum(axis=1), counts))
            frames.append(pd.DataFrame(columns_out))
    # A column of one setting that another lacks is blank there.
    return pd.concat(frames, ignore_index=True)


def _check_duration(rhos: Floats, paces: Floats, ends: Ints) -> None:
    """Refuse walks that a cut must end and that have none."""
    with np.errstate(divide="ignore"):
        commit = 1 / (paces * (1 - rhos))
    expected = np.where(ends == ENDLESS, commit, np.minimum(ends / paces, commit))
    if expected.max() > _LONGEST_WALK:
        raise InputError(
            f"simulate: a walk without a cut would take about {expected.max():.3g} steps; allowed: "
            f"{_LONGEST_WALK}. Give max_tokens, or raise pace or reachability"
        )


def _share_texts(answers: Ints) -> list[str]:
    texts = []
    for row in answers:
        counts = np.unique(row[row >= 0], return_counts=True)[1]
        texts.append("|".join(map(str, sorted(counts.tolist(), reverse=True))))
    return texts


def _ratio(total: Floats, counts: Ints) -> Floats:
    return np.divide(total, counts, out=np.full(len(total), np.nan), where=counts > 0)
