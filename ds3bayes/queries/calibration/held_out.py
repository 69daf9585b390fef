"""`held_out_calibration`: forecast pass@k from few attempts, and score it against what many attempts show."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import arviz_stats as az
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import xarray as xr

from ds3bayes.cluster import keeping, workers
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import read_evals, to_table
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.design import Design
from ds3bayes.generative.rows import attempts_alone
from ds3bayes.generative.spec import ModelSpec, Sampling
from ds3bayes.generative.task_effects import success_of_attempts, task_effects
from ds3bayes.inference.checks import largest_rhat
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.inference.unfinished import about_fit, keeping_in, with_kept
from ds3bayes.progress import doing
from ds3bayes.queries.calibration.baselines import BASELINES, Counts, Forecaster
from ds3bayes.queries.calibration.coverage import pass_at_k
from ds3bayes.queries.calibration.scores import crps, log_score, pit
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

Fit = Literal["alone", "joint"]
# Draws of each sampler's success at its tasks, and how sampling went.
_Made = tuple[list[np.ndarray], dict[str, float]]

#: Names of our own forecasts, by how LLMs are fitted.
OURS: dict[Fit, str] = {"alone": "ds3bayes", "joint": "ds3bayes, joint fit"}
_SETTING = ["model", "benchmark", "strategy", "effort", "budget_tokens", "max_tokens"]
_SCORES = ("mean", "error", "crps", "log_score", "pit")
# Into how many parts tasks are split, each of which is left out once, and at least how many draws of a rival that is
# asked anew without one of them.
_PARTS, _FEW_DRAWS = 10, 50


def held_out_calibration(
    evals: xr.Dataset,
    spec: ModelSpec | None = None,
    *,
    samples: Sequence[int] = (10, 100),
    at: Sequence[int] = (100,),
    seeds: int = 3,
    fits: Sequence[Fit] = ("alone",),
    baselines: Sequence[str | Forecaster] | Mapping[str, Forecaster] | None = None,
    models: Sequence[str] | None = None,
    benchmarks: Sequence[str] | None = None,
    least_attempts: int = 1000,
    draws: int = 500,
    tune: int = 500,
    chains: int = 2,
    cores: int = 2,
    forecast_draws: int = 500,
    resume: str | os.PathLike[str] | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Measure how well pass@k of a benchmark's tasks is forecast from few attempts at each.

    From a table of counts with many attempts per task, ``samples`` attempts per task are drawn without replacement.
    The model is fitted to them and forecasts what the unbiased estimator of pass@k will read on all attempts, of these
    very tasks; so do rivals. That reading holds the attempts drawn and the binomial noise of the others, and so do the
    forecasts; none of them holds the luck of which tasks a benchmark has.

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
    baselines : sequence of str or callable, or mapping of str to callable, optional
        Names out of `BASELINES`, all of them by default, and rivals of your own: functions of ``(counts, k, draws,
        rng)``, with ``counts.successes`` of ``counts.samples`` attempts at each task and ``counts.in_all`` in the end,
        that return draws of pass@k as measured on all of them, shape (S,), or of each task's, shape (S, T).
    models, benchmarks : sequence of str, optional
        Use these LLMs and benchmarks of the table only.
    least_attempts : int, default 1000
        Samplers with fewer attempts at some task, or without a single success, are left out.
    draws, tune, chains, cores : int
        Of each fit; chains at the same time.
    forecast_draws : int, default 500
        Draws of every forecast.
    resume : path, optional
        Folder in which fits are kept as they come: if this process is killed, the same call goes on from those that
        were done, with the same result. Yours to remove.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, whose workers make the fits: the same ones, by
        their seeds. Needs the extra ``distributed``; rivals, which are quick, forecast here.
    progress : bool, default True

    Returns
    -------
    xarray.Dataset
        With dims (forecaster, sampler, samples, at, seed): ``mean`` of the forecast, its absolute ``error``, ``crps``,
        ``log_score`` (see `log_score`; larger is better) and ``pit`` (share of the forecast below the truth); with dims
        (sampler, at) ``truth``; with dims (fit, sampler, samples, seed) ``divergences``, ``r_hat``, ``ess`` (worst
        over parameters, smaller of bulk and tail) and ``seconds`` of sampling. ``crps_without``, with a dim ``part``
        more, is ``crps`` without a tenth of the benchmark's tasks, the same tasks for all samplers and forecasters;
        of our forecasts (without a new fit) and of those by task it is that of the other tasks, a forecast of the
        benchmark is made anew. ``attrs["left_out"]`` names samplers left out. `calibration_table` and
        `sampling_table` sum it up.

    Raises
    ------
    InputError
        If the table or an argument cannot be used; if the cluster has no scheduler, no worker or other versions, or
        did none of the fits.

    Warns
    -----
    UserWarning
        If a cluster gave some fits up: their scores are NaN.

    Notes
    -----
    A model is compiled about once per kind of fit, and process; the counts are swapped (`compile_model`).
    """
    spec = spec or ModelSpec()
    rivals = _chosen(baselines)
    chosen = list(rivals)
    evals = _of(_of(evals, "model", models), "benchmark", benchmarks)
    _check(samples, at, {"seeds": seeds, "draws": draws, "tune": tune, "chains": chains, "cores": cores}, fits)
    tables, left_out = _tables(evals, max(least_attempts, *samples, *at))
    labels = list(tables)
    ours = [OURS[one] for one in fits]
    sampling = spec.sampling.model_copy(update={"draws": draws, "tune": tune, "chains": chains})
    shape = (len(ours) + len(chosen), len(labels), len(samples), len(at), seeds)
    scores = {name: np.full(shape, np.nan) for name in _SCORES}
    without = np.full((*shape, _PARTS), np.nan)
    truth = np.array([[_readings(table, k).mean() for k in at] for table in tables.values()])
    parts = _parts(tables)
    sampled = {
        name: np.full((len(fits), len(labels), len(samples), seeds), np.nan)
        for name in ("divergences", "r_hat", "ess", "seconds")
    }

    def score(
        place: tuple[int, int, int, int],
        k: int,
        forecast: np.ndarray,
        anew: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Score a forecast, and what it is without each part of the tasks: ``anew`` if it is not of each task."""
        where = (*place[:3], list(at).index(k), place[3])
        label = labels[place[1]]
        read, part = _readings(tables[label], k), parts[label]
        for one in np.unique(part) if np.unique(part).size > 1 else ():
            others = part != one
            fewer = anew(others) if anew is not None and forecast.ndim == 1 else forecast[:, others]
            without[(*where, one)] = crps(_of_benchmark(fewer), read[others].mean())
        forecast, seen = _of_benchmark(forecast), float(read.mean())
        values = (forecast.mean(), abs(forecast.mean() - seen), crps(forecast, seen), log_score(forecast, seen))
        for name, value in zip(_SCORES, (*values, pit(forecast, seen)), strict=True):
            scores[name][where] = value

    def score_rival(place: tuple[int, int, int, int], k: int, name: str, counts: Counts) -> None:
        def forecast(of: Counts, draws: int) -> np.ndarray:
            rng = np.random.default_rng([place[3], counts.samples, place[1], place[0]])
            return _draws(rivals[name](of, k, draws, rng), of, name)

        def anew(tasks: np.ndarray) -> np.ndarray:
            of = Counts(counts.successes[tasks], counts.samples, counts.in_all[tasks])
            return forecast(of, max(_FEW_DRAWS, forecast_draws // 5))

        score(place, k, forecast(counts, forecast_draws), anew)

    drawn = {
        (row, column, seed): _subsample(table, m, [seed, m, row])
        for column, m in enumerate(samples)
        for seed in range(seeds)
        for row, table in enumerate(tables.values())
    }
    cells = [
        _Cell(
            fit=one,
            samples=m,
            drawn={labels[row]: drawn[row, column, seed] for row in rows},
            sampling=sampling.model_copy(update={"seed": seed}),
        )
        for column, m in enumerate(samples)
        for seed in range(seeds)
        for one in fits
        for rows in ([[row] for row in range(len(labels))] if one == "alone" else [list(range(len(labels)))])
    ]
    # On a cluster every thread has a fit of its own.
    shared = _Common(tables, spec, cores if scheduler is None else 1, forecast_draws)
    with doing("forecasts of rivals", len(drawn), unit="subsamples", show=progress) as told:
        for (row, column, seed), successes in drawn.items():
            counts = Counts(successes, samples[column], tables[labels[row]]["attempts"].to_numpy())
            for place, name in enumerate(chosen, start=len(ours)):
                for k in at:
                    score_rival((place, row, column, seed), k, name, counts)
            told(told.done + 1)
    about = about_fit(
        spec,
        evals,
        sampling=sampling.model_dump_json(),
        samples=list(samples),
        seeds=seeds,
        fits=list(fits),
        samplers=labels,
        forecast_draws=forecast_draws,
    )
    made: list[int] = []
    with (
        keeping_in(resume, about) as kept,
        workers(scheduler) as spread,
        keeping(made),
        doing("fits and their forecasts", len(cells), unit="fits", show=progress) as told,
    ):
        done = with_kept(
            spread, _fit, cells, kept, "fit", packed=_arrays, unpacked=_forecasts, shared=shared, prepare=_Compiled
        )
        for number, (forecasts, how) in done:
            cell = cells[number]
            made.append(number)
            which, column = list(fits).index(cell.fit), list(samples).index(cell.samples)
            m, seed = cell.samples, cell.sampling.seed
            rows = [labels.index(label) for label in cell.drawn]
            for name, value in how.items():
                sampled[name][which, rows, column, seed] = value
            for row, q in zip(rows, forecasts, strict=True):
                rng = np.random.default_rng([seed, m, row, which, 1])
                n = tables[labels[row]]["attempts"].to_numpy()
                full = drawn[row, column, seed] + rng.binomial(n - m, q)
                for k in at:
                    score((which, row, column, seed), k, pass_at_k(full, n, k))
            told(len(made))
    return xr.Dataset(
        {
            **{name: (("forecaster", "sampler", "samples", "at", "seed"), values) for name, values in scores.items()},
            "crps_without": (("forecaster", "sampler", "samples", "at", "seed", "part"), without),
            "truth": (("sampler", "at"), truth),
            **{name: (("fit", "sampler", "samples", "seed"), values) for name, values in sampled.items()},
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
            return read_evals(frame.assign(strategy=DEFAULT_SAMPLER))
    if path.suffix.lower() == ".parquet" and path.is_file() and "strategy" not in pq.read_schema(path).names:
        return read_evals(pd.read_parquet(path).assign(strategy=DEFAULT_SAMPLER))
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
        as ``cover 0.9`` per level, and ``crps above ours`` with its standard error ``se``. Forecasts whose interval has
        no width (points) count in no coverage and no log score.

    Notes
    -----
    LLMs that try the same tasks are no independent evidence, nor are the subsamples of one LLM. The standard error is
    that of clusters of two kinds: the variance over LLMs (of the mean of each one's subsamples), plus that over tasks
    (by the jackknife, parts of the tasks left out for all LLMs at once), less that over tasks within each LLM, which
    both hold. It is at least as large as either. Of one LLM it is that over tasks.

    References
    ----------
    Cameron, Gelbach, Miller (2011), Journal of Business and Economic Statistics 29: clusters of two kinds. Miller
    (2024), arXiv 2411.00640: errors of evaluations.
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
                wide = one["log_score"].notnull()
                mine = result.sel(samples=m, at=k, forecaster=ours)
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
                    row[f"cover {level:g}"] = float(inside.where(wide).mean())
                above = (one["crps"] - mine["crps"]).mean("seed")
                row["crps above ours"] = float(above.mean())
                row["se"] = _clustered(above, (one["crps_without"] - mine["crps_without"]).mean("seed"))
                rows.append(row)
    return pd.DataFrame(rows)


def _clustered(above: xr.DataArray, without: xr.DataArray) -> float:
    """Standard error of the mean of differences (sampler,), given those without each part of the tasks."""
    above = above.dropna("sampler")
    without = without.sel(sampler=above["sampler"]).dropna("part", how="all")
    samplers = above.sizes["sampler"]
    over_llms = float(above.var("sampler", ddof=1)) / samplers if samplers > 1 else 0.0
    over_tasks = _jackknife(without.mean("sampler").values)
    within = sum(_jackknife(without.sel(sampler=name).dropna("part").values) for name in above["sampler"].values)
    found = max(over_llms + over_tasks - within / samplers**2, over_llms, over_tasks)
    return float(np.sqrt(found)) if found > 0.0 or samplers > 1 or without.sizes["part"] > 1 else float("nan")


def _jackknife(without: np.ndarray) -> float:
    """Variance of a mean, given its values without each part of the data; 0 where there are no two parts."""
    parts = without.size
    return float((parts - 1) * without.var()) if parts > 1 else 0.0


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


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """One fit: of which samplers, to which counts."""

    fit: Fit
    samples: int
    drawn: Mapping[str, np.ndarray]
    sampling: Sampling


@dataclass(frozen=True)
class _Common:
    """What all fits need: each sampler's tasks, the model, chains at the same time, and draws of a forecast."""

    tables: Mapping[str, pd.DataFrame]
    spec: ModelSpec
    cores: int
    forecast_draws: int


@dataclass(frozen=True)
class _Compiled:
    """That, with the model that a process compiled for each kind of fit."""

    common: _Common
    models: dict[Fit, CompiledModel] = field(default_factory=dict)

    def of(self, which: Fit, design: Design) -> CompiledModel:
        known = self.models.get(which)
        self.models[which] = compile_model(design, self.common.spec) if known is None else known.of(design)
        return self.models[which]


def _fit(cell: _Cell, compiled: _Compiled) -> _Made:
    """Fit samplers together; return draws (S, T) of each one's success at its tasks, and how sampling went."""
    common, sampling = compiled.common, cell.sampling
    spec, forecast_draws = common.spec, common.forecast_draws
    members = [(label, common.tables[label], successes) for label, successes in cell.drawn.items()]
    rows = [table.assign(attempts=cell.samples, successes=successes) for _, table, successes in members]
    design = make_design(read_evals(pd.concat(rows, ignore_index=True)), spec)
    model = compiled.of(cell.fit, design)
    started = time.perf_counter()
    tree = model.sample(sampling, cores=common.cores)
    seconds = time.perf_counter() - started
    posterior = tree["posterior"].to_dataset()
    step = max(1, posterior.sizes["chain"] * posterior.sizes["draw"] // forecast_draws)
    posterior = posterior.isel(draw=slice(None, None, step))
    effects = task_effects(design, spec, posterior, sampling.seed)
    success = success_of_attempts(design, effects, posterior)
    q = success.stack(sample=("chain", "draw")).transpose("sample", "cell").values[:forecast_draws]
    arms = {_label(pd.Series(vars(arm) | {"strategy": arm.walk})): index for index, arm in enumerate(design.arms)}
    cell_arm, cell_task = effects["cell_arm"].values, effects["cell_task"].values
    drawn = []
    for label, table, _ in members:
        mine = np.flatnonzero(cell_arm == arms[label])
        place = {str(cell_task[cell]): cell for cell in mine}
        drawn.append(q[:, [place[str(name)] for name in table["task"]]])
    return drawn, {"seconds": seconds, **_told(tree)}


def _arrays(made: _Made) -> dict[str, np.ndarray]:
    """Return what `_fit` made as arrays by name."""
    forecasts, how = made
    told = {f"how/{name}": np.asarray(value) for name, value in how.items()}
    return told | {f"forecast/{place}": values for place, values in enumerate(forecasts)}


def _forecasts(arrays: Mapping[str, np.ndarray]) -> _Made:
    """Return what `_arrays` was given."""
    how = {name[4:]: float(value) for name, value in arrays.items() if name.startswith("how/")}
    return [arrays[f"forecast/{place}"] for place in range(len(arrays) - len(how))], how


def _told(tree: xr.DataTree) -> dict[str, float]:
    posterior = tree["posterior"].to_dataset()
    ess = min(
        float(one.min()) for kind in ("bulk", "tail") for one in az.ess(posterior, method=kind).data_vars.values()
    )
    rhat = largest_rhat(posterior)
    return {"divergences": float(tree["sample_stats"]["diverging"].sum()), "r_hat": rhat, "ess": ess}


def _subsample(table: pd.DataFrame, m: int, seed: Sequence[int]) -> np.ndarray:
    """Draw m attempts of each task without replacement; return how many succeeded."""
    solved, tried = table["successes"].to_numpy(), table["attempts"].to_numpy()
    return np.random.default_rng(list(seed)).hypergeometric(solved, tried - solved, m)


def _of_benchmark(forecast: np.ndarray) -> np.ndarray:
    """Return draws of the benchmark's pass@k (S,) from those, or from those of each task (S, T)."""
    return forecast.mean(axis=1) if forecast.ndim == 2 else forecast


def _readings(table: pd.DataFrame, k: int) -> np.ndarray:
    """Pass@k of each task as measured on all its attempts, shape (T,)."""
    return pass_at_k(table["successes"], table["attempts"], k)


def _parts(tables: Mapping[str, pd.DataFrame]) -> dict[str, np.ndarray]:
    """Say which part each task of each sampler belongs to: one part of a benchmark's task for all samplers."""
    names: dict[str, dict[str, None]] = {}
    for table in tables.values():
        names.setdefault(table["benchmark"].iloc[0], {}).update(dict.fromkeys(table["task"]))
    part = {}
    for benchmark, tasks in names.items():
        shuffled = np.random.default_rng(0).permutation(np.arange(len(tasks)) % min(_PARTS, len(tasks)))
        part[benchmark] = dict(zip(sorted(tasks), shuffled, strict=True))
    return {
        label: np.array([part[table["benchmark"].iloc[0]][task] for task in table["task"]])
        for label, table in tables.items()
    }


def _draws(forecast: Any, counts: Counts, name: str) -> np.ndarray:
    """Return a rival's draws, or say what is wrong with them."""
    draws = np.asarray(forecast, dtype=float)
    tasks = counts.successes.size
    fits = draws.ndim == 1 or (draws.ndim == 2 and draws.shape[1] == tasks)
    if not (fits and draws.size and np.isfinite(draws).all() and draws.min() >= 0.0 and draws.max() <= 1.0):
        held = f"values from {np.min(draws):.3g} to {np.max(draws):.3g}" if draws.size else "nothing"
        raise InputError(
            f"rival {name!r} returned an array of shape {draws.shape} with {held}; allowed: draws of pass@k in [0, 1], "
            f"shape (S,), or (S, {tasks}) of each task"
        )
    return draws


def _of(evals: xr.Dataset, column: str, names: Sequence[str] | None) -> xr.Dataset:
    """Keep the rows of some LLMs, or benchmarks."""
    if names is None:
        return evals
    there = sorted(set(evals[column].values.tolist()))
    unknown = [name for name in names if name not in there]
    if unknown or not names:
        first = unknown[0] if unknown else ""
        raise InputError(f"{column}s: got {first!r}; allowed: {', '.join(there)}." + did_you_mean(first, there))
    return evals.isel(row=np.isin(evals[column].values.astype(str), list(names)))


def _tables(evals: xr.Dataset, least: int) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return a table of tasks per sampler, runs added up, and samplers left out with the reason."""
    table = to_table(evals)
    unusable = (table["task"] == "") | ~attempts_alone(table["strategy"])
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


def _chosen(baselines: Sequence[str | Forecaster] | Mapping[str, Forecaster] | None) -> dict[str, Forecaster]:
    """Return the rivals by name."""
    if baselines is None:
        return dict(BASELINES)
    if isinstance(baselines, Mapping):
        named = dict(baselines)
    else:
        named = {}
        for one in [baselines] if isinstance(baselines, str) else baselines:
            name = one if isinstance(one, str) else getattr(one, "__name__", type(one).__name__)
            if isinstance(one, str) and one not in BASELINES:
                raise InputError(
                    f"baselines: {one!r}; allowed: {', '.join(BASELINES)}, or a function of (counts, k, draws, rng)."
                    + did_you_mean(one, BASELINES)
                )
            if name in named:
                raise InputError(f"baselines: {name!r} is there twice; give functions of your own as a mapping by name")
            named[name] = BASELINES[one] if isinstance(one, str) else one
    for name, forecaster in named.items():
        if not callable(forecaster) or name in OURS.values():
            raise InputError(
                f"baselines: {name!r} is {forecaster!r}; allowed: a function of (counts, k, draws, rng) under another "
                f"name than {' or '.join(OURS.values())}"
            )
    return named


def _check(samples: Sequence[int], at: Sequence[int], counts: dict[str, int], fits: Sequence[str]) -> None:
    faults = [f"{name} must be at least 1, got {value}" for name, value in counts.items() if value < 1]
    for name, values in (("samples", samples), ("at", at)):
        if not values or min(values) < 1 or len(set(values)) < len(values):
            faults.append(f"{name} = {list(values)}; allowed: different integers, 1 or more")
    if not fits or set(fits) - set(OURS):
        faults.append(f"fits = {list(fits)}; allowed: {', '.join(OURS)}")
    if faults:
        raise InputError.of_faults("held_out_calibration", faults)
