"""Scenarios: simulated evaluations whose truth is a whole capability, to see what a fit recovers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from scipy.special import log_expit

from ds3bayes.evals.choose import to_table
from ds3bayes.evals.read import read_evals
from ds3bayes.evals.simulate import Simulation, simulate
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.scaling import loss


def training_runs(*, tasks: int = 40, attempts: int = 8, seed: int = 0) -> Simulation:
    """Draw a training grid: 4 sizes x 3 amounts of training tokens, two families, whose loss decides what they can do.

    The logit that a step is right is ``ease + bridge_slope (mean loss - loss)`` plus effects of family and LLM; a task
    takes 4 steps, and tasks differ by a normal easiness, which attempts walk step by step (`simulate`).

    Parameters
    ----------
    tasks, attempts : int
        Tasks, and attempts of every LLM at every task.
    seed : int

    Returns
    -------
    Simulation
        Evaluations with ``params``, ``train_tokens``, ``family`` and ``steps``; the truth of `simulate` with
        ``loss``, ``ease``, ``bridge_slope``, ``family_difference`` and ``llm_sd`` besides.
    """
    rng = np.random.default_rng([seed, 11])
    slope, ease, family_difference, llm_sd, length = 4.0, 1.0, 0.5, 0.2, 4
    params, tokens, family, names = [], [], [], []
    for row, size in enumerate((4e8, 1.2e9, 3.6e9, 1.1e10)):
        for column, trained in enumerate((1e10, 6e10, 4e11)):
            params.append(size)
            tokens.append(trained)
            family.append("alder" if (row + column) % 2 else "birch")
            names.append(f"{family[-1]}-{size / 1e9:g}b-{trained / 1e9:g}bt")
    losses = evaluate(loss, np.array(params), np.array(tokens))
    sign = np.array([0.5 if name == "birch" else -0.5 for name in family])
    logit = ease + slope * (losses.mean() - losses) + family_difference * sign
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
        bridge_slope=float(slope),
        family_difference=float(family_difference),
        llm_sd=float(llm_sd),
    )
    facts = {name: (size, trained, kin) for name, size, trained, kin in zip(names, params, tokens, family, strict=True)}
    table = to_table(made.evals)
    for place, column_name in enumerate(("params", "train_tokens", "family")):
        table[column_name] = [facts[name][place] for name in table["model"]]
    table["steps"] = length
    kept = ["model", "benchmark", "task", "strategy", "attempts", "successes", "params", "train_tokens", "family"]
    evals = read_evals(table[[*kept, "steps"]]).assign_attrs(source=f"scenario training_runs (seed {seed})")
    return Simulation(evals=evals, truth=truth)


#: By name, as the command line gives them.
SCENARIOS: Mapping[str, Callable[..., Simulation]] = MappingProxyType({"training_runs": training_runs})
