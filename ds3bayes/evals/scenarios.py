"""Scenarios: simulated evaluations whose truth is a whole capability, to see what a fit recovers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit, log_expit

from ds3bayes.evals.choose import to_table
from ds3bayes.evals.read import read_table
from ds3bayes.evals.simulate import Simulation, simulate
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER
from ds3bayes.theory import hierarchy
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import finish_within
from ds3bayes.theory.scaling import loss


def training_runs(
    *,
    tasks: int = 40,
    attempts: int = 8,
    seed: int = 0,
    ease: float = 1.0,
    size_slope: float = 6.0,
    size_margin: float = 1.0,
    tokens_slope: float = 6.0,
    tokens_margin: float = 1.0,
    family_difference: float = 0.5,
    llm_sd: float = 0.2,
) -> Simulation:
    """Draw a training grid: 4 sizes x 3 amounts of training tokens, two families, whose loss decides what they can do.

    The logit that a step is right is ``ease`` at the mean losses. Its odds are those of an unlimited LLM times the
    chance that the LLM is large enough, ``logistic(size_margin + size_slope (mean - loss due to size))``, and times
    that of the loss due to training tokens; effects of family and LLM add to the logit. A task takes 4 steps, and tasks
    differ by a normal easiness, which attempts walk step by step (`simulate`).

    Parameters
    ----------
    tasks, attempts : int
        Tasks, and attempts of every LLM at every task.
    seed : int
    ease : float
        Logit of a right step at the mean losses.
    size_slope, tokens_slope : float
        Rise of the logit that size, or training tokens, suffice, per nat of the loss due to them; above 0.
    size_margin, tokens_margin : float
        Those logits at the mean loss due to size, or training tokens.
    family_difference : float
        Logit of family birch less that of alder.
    llm_sd : float
        Standard deviation of what an LLM has beyond its loss and its family; at least 0.

    Returns
    -------
    Simulation
        Evaluations with ``params``, ``train_tokens``, ``family`` and ``steps``; the truth of `simulate` with
        ``loss`` and the values of the other arguments besides.
    """
    rng = np.random.default_rng([seed, 11])
    length = 4
    params, tokens, family, names = [], [], [], []
    for row, size in enumerate((4e8, 1.2e9, 3.6e9, 1.1e10)):
        for column, trained in enumerate((1e10, 6e10, 4e11)):
            params.append(size)
            tokens.append(trained)
            family.append("alder" if (row + column) % 2 else "birch")
            names.append(f"{family[-1]}-{size / 1e9:g}b-{trained / 1e9:g}bt")
    losses = evaluate(loss, np.array(params), np.array(tokens))
    sign = np.array([0.5 if name == "birch" else -0.5 for name in family])
    # What an infinite LLM, or endless text, leaves of the loss is due to the other one.
    by_size, by_tokens = (
        losses - evaluate(loss, np.inf, np.array(tokens)),
        losses - evaluate(loss, np.array(params), np.inf),
    )
    logit = ease + family_difference * sign
    for lost, slope, margin in ((by_size, size_slope, size_margin), (by_tokens, tokens_slope, tokens_margin)):
        logit = logit + log_expit(margin + slope * (lost.mean() - lost)) - log_expit(margin)
    logit = logit + llm_sd * rng.standard_normal(len(names))
    log_success = length * log_expit(logit)
    location = log_success - np.log(-np.expm1(log_success))
    made = simulate(
        tasks=tasks,
        attempts=attempts,
        models=dict(zip(names, location.tolist(), strict=True)),
        path_length=length,
        location=0.0,
        spread=1.5,
        interaction_sd=0.4,
        seed=seed,
    )
    truth = made.truth.assign(
        loss=("model", losses),
        ease=float(ease),
        size_slope=float(size_slope),
        size_margin=float(size_margin),
        tokens_slope=float(tokens_slope),
        tokens_margin=float(tokens_margin),
        family_difference=float(family_difference),
        llm_sd=float(llm_sd),
    )
    facts = {name: (size, trained, kin) for name, size, trained, kin in zip(names, params, tokens, family, strict=True)}
    table = to_table(made.evals)
    for place, column_name in enumerate(("params", "train_tokens", "family")):
        table[column_name] = [facts[name][place] for name in table["model"]]
    table["steps"] = length
    kept = ["model", "benchmark", "task", "strategy", "attempts", "successes", "params", "train_tokens", "family"]
    evals = read_table(table[[*kept, "steps"]]).assign_attrs(source=f"scenario training_runs (seed {seed})")
    return Simulation(evals=evals, truth=truth)


#: Skills of the simulated benchmark, each before those that build on it, and its true prerequisites with weights.
SKILLS = (
    "reading",
    "counting",
    "units",
    "arithmetic",
    "fractions",
    "estimation",
    "equations",
    "geometry",
    "probability",
    "functions",
    "proof",
    "modelling",
)
PREREQUISITES: Mapping[tuple[str, str], float] = MappingProxyType(
    {
        ("counting", "arithmetic"): 1.5,
        ("arithmetic", "fractions"): 1.5,
        ("counting", "estimation"): 0.8,
        ("units", "estimation"): 1.0,
        ("arithmetic", "equations"): 1.2,
        ("fractions", "equations"): 0.8,
        ("units", "geometry"): 1.0,
        ("fractions", "probability"): 1.5,
        ("equations", "functions"): 1.5,
        ("reading", "proof"): 1.0,
        ("equations", "proof"): 1.0,
        ("functions", "modelling"): 1.2,
    }
)


def skill_benchmark(*, llms: int = 6, tasks: int = 60, attempts: int = 12, seed: int = 0) -> Simulation:
    """Draw a benchmark of 12 skills, each task annotated with the 2 to 5 skills that it needs.

    LLMs have an ability and deviations at each skill; a skill that builds on others is the harder for an LLM the less
    it masters those. Attempts cross a task's skills one by one, step by step: a step completes the skill, gives a
    wrong answer, or idles.

    Parameters
    ----------
    llms, tasks, attempts : int
        LLMs, tasks, and attempts of every LLM at every task.
    seed : int

    Returns
    -------
    Simulation
        Evaluations with ``skills``; ``truth`` has ``mastery`` (model, skill), ``weight`` (prerequisite, skill; 0
        where there is no edge), ``task_residual`` (task), ``eventual_success`` (model, task) and the scalars
        ``deviation_sd``, ``task_sd``, ``interaction_sd``.
    """
    rng = np.random.default_rng([seed, 12])
    deviation_sd, task_sd, interaction_sd, pace = 0.3, 0.4, 0.3, 0.25
    weight = np.zeros((len(SKILLS), len(SKILLS)))
    for (first, then), value in PREREQUISITES.items():
        weight[SKILLS.index(first), SKILLS.index(then)] = value
    ability = np.linspace(-1.2, 1.2, llms) if llms > 1 else np.zeros(1)
    ease = rng.normal(2.2, 0.5, len(SKILLS))
    logit = ability[:, None] + ease + deviation_sd * rng.standard_normal((llms, len(SKILLS)))
    for place in range(len(SKILLS)):
        log_mastery = log_expit(logit[:, :place])
        logit[:, place] += (log_mastery - log_mastery.mean(axis=0)) @ weight[:place, place]
    needed = [np.sort(rng.choice(len(SKILLS), rng.integers(2, 6), replace=False)) for _ in range(tasks)]
    residual = task_sd * rng.standard_normal(tasks)
    effect = residual + interaction_sd * rng.standard_normal((llms, tasks))
    eventual, successes = np.empty((llms, tasks)), np.empty((llms, tasks), dtype=int)
    for task, path in enumerate(needed):
        log_steps = log_expit(logit[:, path])
        log_success = log_steps.sum(axis=1)
        plain = log_success - np.log(-np.expm1(log_success))
        eventual[:, task] = log_expit(plain + effect[:, task])
        # What makes a task harder than its skills makes each of its steps harder.
        rho = np.exp(log_steps * (eventual[:, task] / log_success)[:, None])
        for llm in range(llms):
            successes[llm, task] = _crossed(rho[llm], pace, attempts, rng)
    names = [f"llm-{index + 1}" for index in range(llms)]
    width = len(str(tasks))
    labels = [f"task-{index + 1:0{width}d}" for index in range(tasks)]
    table = pd.DataFrame(
        {
            "model": np.repeat(names, tasks),
            "benchmark": "skills",
            "task": np.tile(labels, llms),
            "strategy": DEFAULT_SAMPLER,
            "attempts": attempts,
            "successes": successes.ravel(),
            "skills": np.tile(["|".join(SKILLS[skill] for skill in path) for path in needed], llms),
        }
    )
    truth = xr.Dataset(
        {
            "mastery": (("model", "skill"), expit(logit)),
            "weight": (("prerequisite", "skill"), weight),
            "task_residual": ("task", residual),
            "eventual_success": (("model", "task"), np.exp(eventual)),
            "deviation_sd": ((), deviation_sd),
            "task_sd": ((), task_sd),
            "interaction_sd": ((), interaction_sd),
        },
        coords={"model": names, "skill": list(SKILLS), "prerequisite": list(SKILLS), "task": labels},
    )
    evals = read_table(table).assign_attrs(source=f"scenario skill_benchmark (seed {seed})")
    return Simulation(evals=evals, truth=truth)


def _crossed(rho: np.ndarray, pace: float, attempts: int, rng: np.random.Generator) -> int:
    """Count the attempts that cross all skills; each step advances, commits to a wrong answer or idles."""
    at, active = np.zeros(attempts, dtype=int), np.ones(attempts, dtype=bool)
    solved = 0
    while active.any():
        moved = active & (rng.random(attempts) < pace)
        right = rng.random(attempts) < rho[np.minimum(at, len(rho) - 1)]
        active &= ~(moved & ~right)
        at += moved & right
        done = active & (at == len(rho))
        solved += int(done.sum())
        active &= ~done
    return solved


def training_grid(
    *,
    tasks: int = 40,
    attempts: int = 8,
    task_level_sd: float = 3.0,
    task_length: float = 5.0,
    constants: hierarchy.Hierarchy | None = None,
    seed: int = 0,
) -> Simulation:
    """Draw six LLMs of rising training compute at three budgets, from the smooth skill hierarchy.

    An LLM learns levels of skills; a task of some level and number of skills is executed at the level that is best for
    it within the budget. Every needed skill is reachable with the chance of the level's giant component, drawn once per
    LLM and task; attempts then walk: a skill takes a geometric number of steps, until the budget ends.

    Parameters
    ----------
    tasks, attempts : int
        Tasks, and attempts of every LLM and budget at every task.
    task_level_sd : float, default 3
        Standard deviation over tasks of their level, > 0; levels are kept within 20 to 45.
    task_length : float, default 5
        Mean number of skills of a task, at least 1.
    constants : Hierarchy, optional
        Of the hierarchy of skills; the published ones if absent.
    seed : int

    Returns
    -------
    Simulation
        Evaluations with ``params``, ``train_tokens`` and ``max_tokens``; ``truth`` has ``level`` and ``skills``
        (task), ``success`` (model, budget, task) of an attempt as closed forms give it, ``frontier`` (model), the
        level up to which it has learned skills, and the scalars ``task_level`` and ``task_level_sd``.
    """
    rng = np.random.default_rng([seed, 13])
    constants = constants or hierarchy.Hierarchy()
    compute = np.logspace(22.4, 24.0, 6)
    budgets, mean_level = (500, 2000, 8000), 33.0
    levels = np.clip(np.rint(rng.normal(mean_level, task_level_sd, tasks)), 20, 45).astype(int)
    lengths = 1 + rng.poisson(task_length - 1.0, tasks)
    learned = hierarchy.skill_levels(compute, constants)
    params, train_tokens = learned["params"].values, learned["tokens"].values
    concepts = params / constants.params_per_concept
    frontier = evaluate(hierarchy.highest_level, concepts, constants.decay, constants.skills)
    names = [f"llm-{size / 1e9:.0f}b" for size in params]
    labels = [f"task-{index + 1:0{len(str(tasks))}d}" for index in range(tasks)]
    frames, success = [], np.empty((len(compute), len(budgets), tasks))
    for task, (level, length) in enumerate(zip(levels.tolist(), lengths.tolist(), strict=True)):
        # Within reach of the tables of the fit: lower levels take so many skills that they never pay.
        executed = np.arange(level - 3, level + 1)
        skills = evaluate(
            hierarchy.steps_at_level,
            float(length),
            level=level,
            executed=tuple(executed.tolist()),
            sigma=constants.sigma,
            temperature=1.0,
        )
        for llm, name in enumerate(names):
            log_p, log_gamma = evaluate(
                hierarchy.smooth_levels, frontier[llm], executed.astype(float), constants.skills, constants.sigma
            )
            r = evaluate(
                hierarchy.step_success,
                skills,
                np.exp(log_p),
                relevance=constants.relevance,
                search=constants.search,
                temperature=1.0,
            )
            # Between two whole numbers of skills, a task takes either.
            share = skills - np.floor(skills)
            reach_draw = rng.random()
            for place, budget in enumerate(budgets):
                steps = int(budget / constants.tokens_per_step)
                allowed = np.full(len(executed), float(steps))
                finished = (1.0 - share) * evaluate(finish_within, allowed, np.floor(skills), r)
                finished += share * evaluate(finish_within, allowed, np.floor(skills) + 1.0, r)
                at_level = np.exp(skills * log_gamma) * finished
                best = int(np.argmax(at_level))
                success[llm, place, task] = at_level[best]
                reached = reach_draw < np.exp(skills[best] * log_gamma[best])
                needed = np.floor(skills[best]) + (rng.random(attempts) < share[best])
                walked = needed + rng.negative_binomial(needed, max(r[best], 1e-12))
                frames.append(
                    {
                        "model": name,
                        "benchmark": "grid",
                        "task": labels[task],
                        "strategy": DEFAULT_SAMPLER,
                        "max_tokens": budget,
                        "attempts": attempts,
                        "successes": int((walked <= steps).sum()) if reached else 0,
                        "params": float(params[llm]),
                        "train_tokens": float(train_tokens[llm]),
                    }
                )
    truth = xr.Dataset(
        {
            "level": ("task", levels),
            "skills": ("task", lengths),
            "success": (("model", "budget", "task"), success),
            "frontier": ("model", frontier),
            "task_level": ((), mean_level),
            "task_level_sd": ((), task_level_sd),
        },
        coords={"model": names, "budget": list(budgets), "task": labels},
    )
    evals = read_table(pd.DataFrame(frames)).assign_attrs(source=f"scenario training_grid (seed {seed})")
    return Simulation(evals=evals, truth=truth)


def budgeted_runs(*, llms: int = 2, tasks: int = 60, attempts: int = 8, seed: int = 0) -> Simulation:
    """Draw attempts under budgets that cut many of them, with their step-level outcomes.

    A task is a path of 6 skills. At each step an attempt finishes its current skill or goes on with it; a finished
    skill is right or wrong, and after a wrong one the attempt works through the rest all the same and ends wrong, if
    the budget lets it end. A skill that the LLM never learned is always wrong. Harder tasks take more steps.

    Parameters
    ----------
    llms, tasks, attempts : int
        LLMs, tasks, and attempts of every LLM at every task and budget (500, 1,500 and 6,000 tokens).
    seed : int

    Returns
    -------
    Simulation
        Evaluations with ``truncated``, ``steps_before_error``, ``steps`` and tokens; ``truth`` has
        ``eventual_success``, ``reachable`` and ``log_tokens`` (model, task), ``location`` (model) and the scalars
        ``spread``, ``interaction_sd``, ``token_slope``, ``token_sd``, ``reachability`` and ``path_length``.
    """
    rng = np.random.default_rng([seed, 17])
    length, omega, budgets = 6, 25.0, (500, 1500, 6000)
    spread, own_sd, slope, token_sd, reachability = 1.5, 0.5, 0.3, 0.3, 0.85
    location = np.linspace(1.5, 0.5, llms) if llms > 1 else np.ones(1)
    easiness = rng.standard_normal(tasks)
    shape = (llms, tasks)
    own = own_sd * rng.standard_t(7.0, shape) if llms > 1 else np.zeros(shape)
    log_rho = log_expit(location[:, None] + spread * easiness + own) / length
    log_tokens = np.log(1500.0) - slope * easiness + token_sd * rng.standard_normal(shape)
    reachable = rng.random(shape) < reachability
    # The skill that is missing where one is.
    missing = np.where(reachable, -1, rng.integers(0, length, shape))
    pace = np.minimum(length * omega / np.exp(log_tokens), 1.0)
    names, labels = [f"llm-{index + 1}" for index in range(llms)], [f"task-{index + 1:02d}" for index in range(tasks)]
    frames = []
    for budget in budgets:
        outcome = _finish_path(np.exp(log_rho), pace, missing, length, int(budget / omega), attempts, rng)
        ended, right, before_error, steps = outcome
        wrong = ended & ~right
        frames.append(
            pd.DataFrame(
                {
                    "model": np.repeat(names, tasks),
                    "benchmark": "budgets",
                    "task": np.tile(labels, llms),
                    "strategy": DEFAULT_SAMPLER,
                    "max_tokens": budget,
                    "attempts": attempts,
                    "successes": (ended & right).sum(axis=2).ravel(),
                    "truncated": (~ended).sum(axis=2).ravel(),
                    "steps_before_error": [
                        "|".join(map(str, sorted(right_steps[failed])))
                        for right_steps, failed in zip(
                            before_error.reshape(-1, attempts), wrong.reshape(-1, attempts), strict=True
                        )
                    ],
                    "tokens_mean": omega * steps.mean(axis=2).ravel(),
                    "steps": length,
                }
            )
        )
    both = ("model", "task")
    truth = xr.Dataset(
        {
            "eventual_success": (both, np.exp(length * log_rho)),
            "reachable": (both, reachable),
            "log_tokens": (both, log_tokens),
            "location": ("model", location),
            "spread": ((), spread),
            "interaction_sd": ((), own_sd),
            "token_slope": ((), slope),
            "token_sd": ((), token_sd),
            "reachability": ((), reachability),
            "path_length": ((), length),
        },
        coords={"model": names, "task": labels},
    )
    evals = read_table(pd.concat(frames, ignore_index=True))
    return Simulation(evals=evals.assign_attrs(source=f"scenario budgeted_runs (seed {seed})"), truth=truth)


def _finish_path(
    rho: np.ndarray,
    pace: np.ndarray,
    missing: np.ndarray,
    length: int,
    budget: int,
    attempts: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Walk step by step to the end of the path or of the budget.

    Returns whether an attempt ended, whether it made no error, its right skills before the first one, and its steps,
    of shape (..., attempts).
    """
    shape = (*rho.shape, attempts)
    done, right = np.zeros(shape, dtype=int), np.ones(shape, dtype=bool)
    before_error, steps = np.zeros(shape, dtype=int), np.zeros(shape, dtype=int)
    for _ in range(budget):
        active = done < length
        finishes = active & (rng.random(shape) < pace[..., None])
        correct = (rng.random(shape) < rho[..., None]) & (done != missing[..., None])
        before_error += finishes & right & correct
        right &= ~(finishes & ~correct)
        done += finishes
        steps += active
    return done == length, right, before_error, steps


#: By name, as the command line gives them.
SCENARIOS: Mapping[str, Callable[..., Simulation]] = MappingProxyType(
    {
        "training_runs": training_runs,
        "skill_benchmark": skill_benchmark,
        "training_grid": training_grid,
        "budgeted_runs": budgeted_runs,
    }
)
