"""`held_out_calibration`: forecast pass@k from few attempts, and score it against what many attempts show."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import arviz_stats as az
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import xarray as xr
from rich.console import Console
from rich.progress import Progress
from scipy.special import expit

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import read_evals, to_table
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import task_effects
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.queries.calibration.baselines import BASELINES, Counts
from ds3bayes.queries.calibration.coverage import pass_at_k
from ds3bayes.queries.calibration.scores import crps, log_score, pit

Fit = Literal["alone", "joint"]

#: Names of our own forecasts, by how LLMs are fitted.
OURS: dict[Fit, str] = {"alone": "ds3bayes", "joint": "ds3bayes, joint fit"}
_SETTING = ["model", "benchmark", "strategy", "effort", "budget_tokens", "max_tokens"]
_SCORES = ("mean", "error", "crps", "log_score", "pit")


def held_out_calibration(
    evals: xr.Dataset,
    spec: ModelSpec | None = None,
    *,
    samples: Sequence[int] = (10, 100),
    at: Sequence[int] = (100,),
    seeds: int = 3,
    fits: Sequence[Fit] = ("alone",),
    baselines: Sequence[str] | None = None,
    least_attempts: int = 1000,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    cores: int = 2,
    forecast_draws: int = 500,
    progress: bool = True,
) -> xr.Dataset:
    """Measure how well pass@k of a benchmark's tasks is forecast from few attempts at each.

    From a table of counts with many attempts per task, ``samples`` attempts per task are drawn without replacement.
    The model is fitted to them and forecasts what the unbiased estimator of pass@k will read on all attempts, of these
    very tasks; so do rivals. That reading holds the attempts drawn and the binomial noise of the others, and so do the
    forecasts.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`: rows of single attempts (``cot`` or ``direct``) at named tasks.
    spec : ModelSpec, optional
        Defaults to ``ModelSpec()``.
    samples : sequence of int, default (10, 100)
        Attempts m per task that forecasts may see.
    at : sequence of int, default (100,)
        Numbers k of attempts of which one at least is to succeed.
    seeds : int, default 3
        Subsamples per LLM and m, the same for all forecasters.
    fits : sequence of {"alone", "joint"}, default ("alone",)
        Fit every sampler by itself, or all samplers of the table in one model.
    baselines : sequence of str, optional
        Names out of `BASELINES`; all of them by default.
    least_attempts : int, default 1000
        Samplers with fewer attempts at some task, or without a single success, are left out.
    draws, tune, chains, cores : int
        Of each fit; chains at the same time.
    forecast_draws : int, default 500
        Draws of every forecast.
    progress : bool, default True

    Returns
    -------
    xarray.Dataset
        With dims (forecaster, sampler, samples, at, seed): ``mean`` of the forecast, its absolute ``error``, ``crps``,
        ``log_score`` (see `log_score`; larger is better) and ``pit`` (share of the forecast below the truth); with dims
        (sampler, at) ``truth``; with dims (fit, sampler, samples, seed) ``divergences``, ``r_hat``, ``ess`` (worst
        over parameters, smaller of bulk and tail) and ``seconds`` of sampling. NaN where k exceeds the attempts there
        are. ``attrs["left_out"]`` names samplers left out. `calibration_table` and `sampling_table` sum it up.

    Raises
    ------
    InputError
        If the table or an argument cannot be used.

    Notes
    -----
    A model is compiled about once per kind of fit; the counts are swapped (`compile_model`).
    """
    spec = spec or ModelSpec()
    chosen = _chosen(baselines)
    _check(samples, at, {"seeds": seeds, "draws": draws, "tune": tune, "chains": chains, "cores": cores}, fits)
    tables, left_out = _tables(evals, max(least_attempts, *samples, *at))
    labels = list(tables)
    ours = [OURS[one] for one in fits]
    sampling = spec.sampling.model_copy(update={"draws": draws, "tune": tune, "chains": chains})
    shape = (len(ours) + len(chosen), len(labels), len(samples), len(at), seeds)
    scores = {name: np.full(shape, np.nan) for name in _SCORES}
    truth = np.array([[_reading(table, k) for k in at] for table in tables.values()])
    told = {
        name: np.full((len(fits), len(labels), len(samples), seeds), np.nan)
        for name in ("divergences", "r_hat", "ess", "seconds")
    }
    compiled: dict[Fit, CompiledModel] = {}

    def score(place: tuple[int, int, int, int], k: int, forecast: np.ndarray) -> None:
        where = (*place[:3], list(at).index(k), place[3])
        seen = truth[place[1], list(at).index(k)]
        values = (forecast.mean(), abs(forecast.mean() - seen), crps(forecast, seen), log_score(forecast, seen))
        for name, value in zip(_SCORES, (*values, pit(forecast, seen)), strict=True):
            scores[name][where] = value

    total = len(samples) * seeds * len(labels)
    with Progress(console=Console(stderr=True), disable=not progress) as bar:
        task = bar.add_task("subsamples forecast", total=total)
        for column, m in enumerate(samples):
            for seed in range(seeds):
                drawn = [_subsample(table, m, [seed, m, row]) for row, table in enumerate(tables.values())]
                for row, table in enumerate(tables.values()):
                    counts = Counts(drawn[row], m, table["attempts"].to_numpy())
                    for place, name in enumerate(chosen, start=len(ours)):
                        rng = np.random.default_rng([seed, m, row, place])
                        for k in at:
                            score((place, row, column, seed), k, BASELINES[name](counts, k, forecast_draws, rng))
                for which, one in enumerate(fits):
                    groups = [[row] for row in range(len(labels))] if one == "alone" else [list(range(len(labels)))]
                    for rows in groups:
                        fitted = _fit(
                            [(labels[row], tables[labels[row]], drawn[row]) for row in rows],
                            m,
                            spec,
                            sampling.model_copy(update={"seed": seed}),
                            compiled,
                            one,
                            cores,
                            forecast_draws,
                        )
                        for name, value in fitted[1].items():
                            told[name][which, rows, column, seed] = value
                        for row, q in zip(rows, fitted[0], strict=True):
                            rng = np.random.default_rng([seed, m, row, which, 1])
                            n = tables[labels[row]]["attempts"].to_numpy()
                            full = drawn[row] + rng.binomial(n - m, q)
                            for k in at:
                                score((which, row, column, seed), k, pass_at_k(full, n, k).mean(axis=1))
                        bar.advance(task, len(rows) / len(fits))
    return xr.Dataset(
        {
            **{name: (("forecaster", "sampler", "samples", "at", "seed"), values) for name, values in scores.items()},
            "truth": (("sampler", "at"), truth),
            **{name: (("fit", "sampler", "samples", "seed"), values) for name, values in told.items()},
        },
        coords={
            "forecaster": [*ours, *chosen],
            "sampler": labels,
            "samples": list(samples),
            "at": list(at),
            "seed": range(seeds),
            "fit": list(fits),
        },
        attrs={"left_out": "; ".join(left_out) or "none", "tasks": sum(len(table) for table in tables.values())},
    )


def read_counts(path: str | Path) -> xr.Dataset:
    """Read a table of counts for `held_out_calibration`.

    Parameters
    ----------
    path : path
        A ``.csv`` or ``.parquet`` file as for `read_evals`; ``model, benchmark, task, attempts, successes`` are enough:
        without a column ``strategy`` all attempts are single ones, ``cot``.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    InputError
        From `read_evals`.
    """
    path = Path(path)
    if path.suffix.lower() == ".csv" and path.is_file():
        with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            told = "strategy" in [header.strip().lower() for header in next(csv.reader(lines), [])]
        if not told:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", encoding_errors="replace")
            return read_evals(frame.assign(strategy="cot"))
    if path.suffix.lower() == ".parquet" and path.is_file() and "strategy" not in pq.read_schema(path).names:
        return read_evals(pd.read_parquet(path).assign(strategy="cot"))
    return read_evals(path)


def calibration_table(result: xr.Dataset, *, levels: Sequence[float] = (0.5, 0.8, 0.9, 0.95)) -> pd.DataFrame:
    """Sum up a held-out calibration: a row per m, k and forecaster, means over samplers and subsamples.

    Parameters
    ----------
    result : xarray.Dataset
        From `held_out_calibration`.
    levels : sequence of float
        Of the central intervals whose coverage is wanted.

    Returns
    -------
    pandas.DataFrame
        ``samples``, ``at``, ``forecaster``, number of ``forecasts``, ``mae``, ``crps``, ``log_score``, a column such
        as ``cover 0.9`` per level, and ``crps above ours`` with its standard error ``se`` over samplers (of the mean of
        each sampler's subsamples, so that they need not be independent). Points have no coverage and no log score.
    """
    rows: list[dict[str, Any]] = []
    ours = result["forecaster"].values[0]
    for m in result["samples"].values:
        for k in result["at"].values:
            for name in result["forecaster"].values:
                one = result.sel(samples=m, at=k, forecaster=name)
                scored = one["crps"].notnull()
                if not bool(scored.any()):
                    continue
                point = bool(one["log_score"].isnull().all())
                above = (one["crps"] - result["crps"].sel(samples=m, at=k, forecaster=ours)).mean("seed")
                samplers = int(above.notnull().sum())
                row = {
                    "samples": int(m),
                    "at": int(k),
                    "forecaster": str(name),
                    "forecasts": int(scored.sum()),
                    "mae": float(one["error"].mean()),
                    "crps": float(one["crps"].mean()),
                    "log_score": float(one["log_score"].mean()),
                }
                for level in levels:
                    inside = abs(one["pit"] - 0.5) <= level / 2
                    row[f"cover {level:g}"] = float("nan") if point else float(inside.where(scored).mean())
                row["crps above ours"] = float(above.mean())
                row["se"] = float(above.std(ddof=1) / np.sqrt(samplers)) if samplers > 1 else float("nan")
                rows.append(row)
    return pd.DataFrame(rows)


def sampling_table(result: xr.Dataset) -> pd.DataFrame:
    """Sum up how the fits of a held-out calibration were sampled: a row per kind of fit and m.

    Parameters
    ----------
    result : xarray.Dataset
        From `held_out_calibration`.

    Returns
    -------
    pandas.DataFrame
        ``fit``, ``samples``, number of ``fits``, ``divergences`` in all of them, largest ``r_hat`` and smallest ``ess``
        over parameters and fits, and ``seconds`` of sampling, all fits together.
    """
    rows: list[dict[str, Any]] = []
    for one in result["fit"].values:
        for m in result["samples"].values:
            told = result.sel(fit=one, samples=m)
            if one == "joint":
                # The figures of one fit stand at each of its samplers.
                told = told.isel(sampler=[0])
            rows.append(
                {
                    "fit": str(one),
                    "samples": int(m),
                    "fits": int(told["ess"].size),
                    "divergences": int(told["divergences"].sum()),
                    "r_hat": float(told["r_hat"].max()),
                    "ess": float(told["ess"].min()),
                    "seconds": float(told["seconds"].sum()),
                }
            )
    return pd.DataFrame(rows)


def _fit(
    members: Sequence[tuple[str, pd.DataFrame, np.ndarray]],
    m: int,
    spec: ModelSpec,
    sampling: Any,
    compiled: dict[Fit, CompiledModel],
    which: Fit,
    cores: int,
    forecast_draws: int,
) -> tuple[list[np.ndarray], dict[str, float]]:
    """Fit samplers together; return draws (S, T) of each one's success at its tasks, and how sampling went."""
    rows = [table.assign(attempts=m, successes=successes) for _, table, successes in members]
    design = make_design(read_evals(pd.concat(rows, ignore_index=True)), spec)
    compiled[which] = compiled[which].of(design) if which in compiled else compile_model(design, spec)
    started = time.perf_counter()
    tree = compiled[which].sample(sampling, cores=cores)
    seconds = time.perf_counter() - started
    posterior = tree["posterior"].to_dataset()
    step = max(1, posterior.sizes["chain"] * posterior.sizes["draw"] // forecast_draws)
    effects = task_effects(design, spec, posterior.isel(draw=slice(None, None, step)), sampling.seed)
    success = xr.apply_ufunc(expit, effects["logit_success"]) * effects["reachable"]
    q = success.stack(sample=("chain", "draw")).transpose("sample", "cell").values[:forecast_draws]
    arms = {_label(pd.Series(vars(arm) | {"strategy": arm.walk})): index for index, arm in enumerate(design.arms)}
    cell_arm, cell_task = effects["cell_arm"].values, effects["cell_task"].values
    drawn = []
    for label, table, _ in members:
        mine = np.flatnonzero(cell_arm == arms[label])
        place = {str(cell_task[cell]): cell for cell in mine}
        drawn.append(q[:, [place[str(name)] for name in table["task"]]])
    return drawn, {"seconds": seconds, **_told(tree)}


def _told(tree: xr.DataTree) -> dict[str, float]:
    posterior = tree["posterior"].to_dataset()
    ess = min(float(az.ess(posterior, method=kind).to_array().min()) for kind in ("bulk", "tail"))
    rhat = float(az.rhat(posterior).to_array().max()) if posterior.sizes["chain"] > 1 else float("nan")
    return {"divergences": float(tree["sample_stats"]["diverging"].sum()), "r_hat": rhat, "ess": ess}


def _subsample(table: pd.DataFrame, m: int, seed: Sequence[int]) -> np.ndarray:
    """Draw m attempts of each task without replacement; return how many succeeded."""
    solved, tried = table["successes"].to_numpy(), table["attempts"].to_numpy()
    return np.random.default_rng(list(seed)).hypergeometric(solved, tried - solved, m)


def _reading(table: pd.DataFrame, k: int) -> float:
    return float(pass_at_k(table["successes"], table["attempts"], k).mean())


def _tables(evals: xr.Dataset, least: int) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return a table of tasks per sampler, runs added up, and samplers left out with the reason."""
    table = to_table(evals)
    unusable = (table["task"] == "") | ~table["strategy"].isin(["cot", "direct"])
    if unusable.any():
        raise InputError(
            f"{int(unusable.sum())} rows are aggregates or not single attempts; held-out calibration takes rows of "
            "`cot` or `direct` with a task: select them, or fit the others and compare with `observed_vs_predicted`"
        )
    found: dict[str, pd.DataFrame] = {}
    left_out: list[str] = []
    counts = table.groupby([*_SETTING, "task"], dropna=False, sort=False)[["attempts", "successes"]].sum().reset_index()
    for _, mine in counts.groupby(_SETTING, dropna=False, sort=False):
        label = _label(mine.iloc[0])
        if mine["attempts"].min() < least:
            left_out.append(f"{label}: a task has {mine['attempts'].min()} attempts only, fewer than {least}")
        elif not mine["successes"].sum():
            left_out.append(f"{label}: no success at all")
        else:
            found[label] = mine.reset_index(drop=True)
    if not found:
        raise InputError(f"no sampler has {least} attempts at every task and a success: {'; '.join(left_out)}")
    return found, left_out


def _label(row: pd.Series) -> str:
    settings = [row["effort"]]
    for column, words in (("budget_tokens", "tokens"), ("max_tokens", "tokens at most")):
        given = row[column]
        settings.append("" if given is None or np.isnan(given) else f"{given:g} {words}")
    return " | ".join([row["model"], row["benchmark"], row["strategy"], *filter(None, settings)])


def _chosen(baselines: Sequence[str] | None) -> list[str]:
    chosen = list(BASELINES) if baselines is None else list(baselines)
    unknown = [name for name in chosen if name not in BASELINES]
    if unknown:
        raise InputError(
            f"baselines: {unknown[0]!r}; allowed: {', '.join(BASELINES)}." + did_you_mean(unknown[0], BASELINES)
        )
    return chosen


def _check(samples: Sequence[int], at: Sequence[int], counts: dict[str, int], fits: Sequence[str]) -> None:
    faults = [f"{name} must be at least 1, got {value}" for name, value in counts.items() if value < 1]
    for name, values in (("samples", samples), ("at", at)):
        if not values or min(values) < 1 or len(set(values)) < len(values):
            faults.append(f"{name} = {list(values)}; allowed: different integers, 1 or more")
    if not fits or set(fits) - set(OURS):
        faults.append(f"fits = {list(fits)}; allowed: {', '.join(OURS)}")
    if faults:
        raise InputError.of_faults("held_out_calibration", faults)
