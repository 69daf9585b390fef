"""LLM x task cells that no fit saw, scored: the default model against Rasch and 2PL, each also with a cell effect.

``python tests/benchmarks/held_out_cells.py TABLE --attempts 1 --llms 40``: TABLE has the columns model, task, attempts
and successes. Of each cell `--attempts` of its attempts are drawn without replacement; then the cells are dealt into
five parts, which are held out in turn (`--parts` of them). Every model gets the rest, and says how likely the attempts
of the held-out cells are: the log score of one attempt and of ten attempts together, the mean over which of the cell's
attempts these are (exactly, by the hypergeometric law). Scores are means over cells, in nats; beside them is how much
better the first model is, with its standard error over cells, and with one in which cells of a task go together.

The rivals are hierarchical, fitted by nutpie in PyMC: Rasch logit q = ability(LLM) + easiness(task), which is bambi's
``(1|model) + (1|task)``; 2PL logit q = discrimination(task) * ability(LLM) + easiness(task); and either with a normal
effect of each cell. "ours, two skills" is ``capability = "latent_skills"``.
"""

import argparse
import logging
import time
from functools import partial

import arviz_stats as az
import numpy as np
import nutpie
import pandas as pd
import pymc as pm
import xarray as xr
from scipy.special import expit, gammaln
from scipy.stats import hypergeom

import ds3bayes as ds3

SCORED = (1, 10)


def log_score(success: np.ndarray, hits: np.ndarray, attempts: np.ndarray, scored: int) -> np.ndarray:
    """Return the log score of ``scored`` attempts of each cell, the mean over which of them these are.

    Parameters
    ----------
    success : array, shape (draws, cells)
        Draws of the success of an attempt.
    hits, attempts : int arrays, shape (cells,)
        All that were made of the cell.
    scored : int
        No more than the fewest attempts.

    Returns
    -------
    array, shape (cells,)
    """
    count = np.arange(scored + 1)
    share = hypergeom.pmf(count, attempts[:, None], hits[:, None], scored)
    chosen = gammaln(scored + 1) - gammaln(count + 1) - gammaln(scored - count + 1)
    # An effect of 40 logits rounds to certain success; the attempt may fail all the same.
    q = np.clip(success, 1e-12, 1 - 1e-12)[..., None]
    density = np.mean(np.exp(chosen + count * np.log(q) + (scored - count) * np.log1p(-q)), axis=0)
    return (share * np.log(np.maximum(density, 1e-300))).sum(axis=1)


def rival(llms: int, tasks: int, *, discriminates: bool, cells: bool) -> pm.Model:
    """Return a model of counts (LLM, task); no attempts are no data."""
    with pm.Model() as model:
        attempts = pm.Data("attempts", np.ones((llms, tasks), dtype=np.int64))
        # Centred where there are many attempts, of an LLM or a task; cells have few. The level takes up tasks' mean.
        ability = pm.Normal("ability", pm.Normal("level", 0.0, 3.0), pm.HalfNormal("ability_sd", 2.5), size=llms)
        easiness = pm.ZeroSumNormal("easiness", pm.HalfNormal("easiness_sd", 2.5), shape=tasks)
        slope = np.ones(tasks)
        if discriminates:
            slope = pm.math.exp(pm.HalfNormal("log_slope_sd", 0.5) * pm.Normal("slope_standard", size=tasks))
        logit = slope * ability[:, None] + easiness
        if cells:
            logit = logit + pm.HalfNormal("cell_sd", 1.5) * pm.Normal("cell_standard", size=(llms, tasks))
        pm.Deterministic("logit", logit)
        hits = pm.Data("hits", np.zeros((llms, tasks), dtype=np.int64))
        # By hand, so that counts are data that can be exchanged: the model is compiled once for all parts.
        pm.Potential("counts", (hits * logit - attempts * pm.math.log1pexp(logit)).sum())
    return model


OURS = {"ours": "free", "ours, two skills": "latent_skills"}
RIVALS = {
    "Rasch": {"discriminates": False, "cells": False},
    "Rasch + cells": {"discriminates": False, "cells": True},
    "2PL": {"discriminates": True, "cells": False},
    "2PL + cells": {"discriminates": True, "cells": True},
}


def theirs(compiled: object, hits: np.ndarray, attempts: np.ndarray, seed: int) -> tuple[np.ndarray, xr.Dataset]:
    """Return draws (draws, LLM, task) of a rival's success, and of its parameters."""
    given = compiled.with_data(hits=hits, attempts=attempts)
    tree = nutpie.sample(given, draws=1000, tune=1000, chains=4, cores=2, seed=seed, progress_bar=False)
    posterior = tree["posterior"].to_dataset()
    logit = posterior["logit"].values
    return expit(logit.reshape(-1, *logit.shape[2:])), posterior.drop_vars("logit")


def ours(hits: np.ndarray, attempts: np.ndarray, seed: int, capability: str = "free") -> tuple[np.ndarray, xr.Dataset]:
    """Return draws (draws, LLM, task) of our success, of cells with and without attempts, and of our parameters."""
    llm, task = np.nonzero(attempts)
    rows = pd.DataFrame({"model": [f"llm-{i:03}" for i in llm], "task": [f"task-{i:03}" for i in task]})
    rows = rows.assign(benchmark="held-out", strategy="cot", attempts=attempts[llm, task], successes=hits[llm, task])
    spec = ds3.ModelSpec.from_dict({"capability": capability})
    fit = ds3.fit(ds3.read_evals(rows), spec, seed=seed, task_draws=4000, progress=False)
    success = ds3.predict(fit, ["cot"], per_task=True)["success"].isel(benchmark=0, strategy=0)
    ordered = success.sortby(["model", "task"]).stack(sample=("chain", "draw")).transpose("sample", "model", "task")
    return ordered.values, fit["posterior"].to_dataset()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("--attempts", type=int, default=1, help="of each cell that models see")
    parser.add_argument("--llms", type=int, default=40, help="drawn at random, of those with at least 100 attempts")
    parser.add_argument("--parts", type=int, default=1, help="of five, held out in turn")
    parser.add_argument("--models", nargs="+", default=["ours", *RIVALS], choices=[*OURS, *RIVALS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="CSV of the scores of every cell")
    options = parser.parse_args()
    logging.getLogger("pymc").setLevel(logging.ERROR)
    rng = np.random.default_rng(options.seed)
    wide = pd.read_csv(options.table).pivot(index="model", columns="task", values=["attempts", "successes"])
    wide = wide[(wide["attempts"] >= 100).all(axis=1)]
    wide = wide.iloc[np.sort(rng.permutation(len(wide))[: options.llms])]
    total, right = (wide[name].to_numpy().astype(np.int64) for name in ("attempts", "successes"))
    hits = rng.hypergeometric(right, total - right, options.attempts)
    part = rng.permutation(total.size).reshape(total.shape) % 5
    print(
        f"{total.shape[0]} LLMs x {total.shape[1]} tasks, {options.attempts} attempts each, {vars(options)}", flush=True
    )
    models = {}
    for name in options.models:
        if name in OURS:
            models[name] = partial(ours, capability=OURS[name])
            continue
        compiled = nutpie.compile_pymc_model(rival(*total.shape, **RIVALS[name]))
        models[name] = partial(theirs, compiled)
    scores = []
    for number in range(options.parts):
        held = part == number
        left = np.where(held, 0, options.attempts)
        if not left.any(axis=1).all() or not left.any(axis=0).all():
            raise SystemExit("an LLM or a task is held out wholly; take another --seed")
        for name, model in models.items():
            started, spent = time.perf_counter(), time.process_time()
            success, posterior = model(np.where(held, 0, hits), left, options.seed + number)
            r_hat = max(float(values.max()) for values in az.rhat(posterior).data_vars.values())
            ess = min(float(values.min()) for values in az.ess(posterior).data_vars.values())
            found = {f"{m}": log_score(success[:, held], right[held], total[held], m) for m in SCORED}
            llm, task = np.nonzero(held)
            scores.append(pd.DataFrame({"model": name, "part": number, "llm": llm, "task": task, **found}))
            scores[-1]["mean"] = success[:, held].mean(axis=0)
            scores[-1]["rate"] = right[held] / total[held]
            print(
                f"part {number}, {name}: {time.perf_counter() - started:.0f} s, "
                f"CPU {time.process_time() - spent:.0f} s, least ESS {ess:.0f}, r-hat {r_hat:.3f}, "
                + ", ".join(f"{m} attempts {found[str(m)].mean():.4f}" for m in SCORED),
                flush=True,
            )
    every = pd.concat(scores, ignore_index=True)
    if options.out:
        every.to_csv(options.out, index=False)
    for m in map(str, SCORED):
        by_cell = every.pivot(index=["part", "llm", "task"], columns="model", values=m)
        print(f"\nlog score of {m} attempts, {len(by_cell)} cells")
        for name in models:
            ahead = by_cell[options.models[0]] - by_cell[name]
            of_task = ahead.groupby("task").sum()
            together = np.sqrt((of_task**2).sum() - of_task.sum() ** 2 / len(of_task)) / len(ahead)
            print(
                f"{name:16} {by_cell[name].mean():.4f}   {options.models[0]} better by {ahead.mean():+.4f} "
                f"+- {ahead.sem():.4f} (by task {together:.4f})"
            )


if __name__ == "__main__":
    main()
