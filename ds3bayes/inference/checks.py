"""`check`: does a fit hold water? Each check is an object with a verdict, a sentence and a table."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit

from ds3bayes.generative.effects import new_task_effects
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.fit import design_of, spec_of

MAX_RHAT = 1.01
MIN_ESS = 400


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Outcome of one check.

    Parameters
    ----------
    name : str
    passed : bool
    sentence : str
        The verdict in plain words, with what to do if it failed.
    table : pandas.DataFrame
        The numbers behind it.
    """

    name: str
    passed: bool
    sentence: str
    table: pd.DataFrame = field(repr=False)

    def __str__(self) -> str:
        return f"{'pass' if self.passed else 'FAIL'}  {self.name}: {self.sentence}"


def check(fit: xr.DataTree, *, seed: int = 0) -> list[CheckResult]:
    """Run every check on a fit.

    Parameters
    ----------
    fit : xarray.DataTree
    seed : int, default 0
        Of the replicated data.

    Returns
    -------
    list of CheckResult
        Convergence, posterior prediction of the task population, leave-one-task-out, prior contraction, sensitivity
        of predictions to the prior.
    """
    return [
        convergence(fit),
        posterior_predictive(fit, seed=seed),
        leave_one_out(fit),
        informed(fit),
        sensitivity(fit),
    ]


def convergence(fit: xr.DataTree) -> CheckResult:
    """Check divergences, rank-normalised split r-hat (at most 1.01) and bulk and tail ESS (at least 400)."""
    posterior = fit["posterior"].to_dataset()
    divergences = int(fit["sample_stats"]["diverging"].sum())
    rows = {}
    if posterior.sizes["chain"] > 1:
        rhat = az.rhat(posterior)
    else:
        rhat = xr.full_like(posterior.isel(chain=0, draw=0, drop=True), np.nan)
    bulk, tail = az.ess(posterior, method="bulk"), az.ess(posterior, method="tail")
    for name in posterior.data_vars:
        for index in np.ndindex(posterior[name].shape[2:]):
            labels = [str(posterior[dim].values[i]) for dim, i in zip(posterior[name].dims[2:], index, strict=True)]
            rows[f"{name}[{', '.join(labels)}]"] = (
                float(rhat[name].values[index]),
                float(bulk[name].values[index]),
                float(tail[name].values[index]),
            )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["r_hat", "ess_bulk", "ess_tail"])
    worst_rhat, worst_ess = table["r_hat"].max(), table[["ess_bulk", "ess_tail"]].min().min()
    faults = []
    if divergences:
        faults.append(f"{divergences} draws diverged: raise tune, or tighten the prior of the parameters named below")
    if posterior.sizes["chain"] == 1:
        faults.append("one chain cannot show that chains agree: use at least 2")
    elif worst_rhat > MAX_RHAT:
        faults.append(f"chains disagree (r-hat {worst_rhat:.3f} at {table['r_hat'].idxmax()}): double tune and draws")
    if worst_ess < MIN_ESS:
        slow = table[["ess_bulk", "ess_tail"]].min(axis=1).idxmin()
        faults.append(f"only {worst_ess:.0f} effective draws at {slow}: raise draws")
    sentence = (
        "; ".join(faults)
        if faults
        else f"no divergences, r-hat at most {worst_rhat:.3f}, at least {worst_ess:.0f} effective draws."
    )
    return CheckResult(name="convergence", passed=not faults, sentence=sentence, table=table)


def posterior_predictive(fit: xr.DataTree, *, seed: int = 0, replicates: int = 200) -> CheckResult:
    """Compare each arm's counts with those of fresh tasks from the fitted population.

    For every arm, tasks are drawn anew and attempted as often as the observed ones; compared are the share of
    solved attempts, of tasks never solved, of tasks always solved, and the sd over tasks. The two-sided tail
    probability of the observed value should not be extreme; with several arms the bound is 0.01 over their
    number. Of an aggregated row the count is compared with replicated ones.
    """
    design, spec = design_of(fit), spec_of(fit)
    posterior = fit["posterior"].to_dataset()
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    thin = posterior.isel(draw=slice(None, None, max(1, total // replicates)))
    fresh = new_task_effects(design, spec, thin, 256, seed)
    rng = np.random.default_rng([seed, 2])
    logit = fresh["logit_success"].stack(sample=("chain", "draw")).transpose("sample", "cell")
    q = expit(logit.values) * fresh["reachable"].stack(sample=("chain", "draw")).transpose("sample", "cell").values
    rows = []
    for block in design.blocks:
        for column, arm in enumerate(block.arms):
            seen = block.attempts[:, column] > 0
            if not seen.any():
                continue
            n, c = block.attempts[seen, column], block.successes[seen, column]
            mine = q[:, fresh["cell_arm"].values == arm]
            pick = rng.integers(0, mine.shape[1], size=(len(mine), n.size))
            replicated = rng.binomial(n, np.take_along_axis(mine, pick, axis=1))
            observed, drawn = _statistics(c[None], n), _statistics(replicated, n)
            for name, value in observed.items():
                below = np.mean(drawn[name] < value[0]) + 0.5 * np.mean(drawn[name] == value[0])
                rows.append(
                    (
                        str(design.arms[arm]),
                        name,
                        value[0],
                        *np.quantile(drawn[name], [0.05, 0.5, 0.95]),
                        2 * min(below, 1 - below),
                    )
                )
    for row, curve in enumerate(design.observed.get("curves", ())):
        expected = thin["aggregate_success"].isel(aggregate=row).values.ravel()
        drawn_share = rng.binomial(curve.attempts, expected) / curve.attempts
        observed_share = curve.successes / curve.attempts
        below = np.mean(drawn_share < observed_share) + 0.5 * np.mean(drawn_share == observed_share)
        label = str(thin["aggregate"].values[row])
        quantiles = np.quantile(drawn_share, [0.05, 0.5, 0.95])
        rows.append((label, "solved attempts", observed_share, *quantiles, 2 * min(below, 1 - below)))
    table = pd.DataFrame(rows, columns=["arm", "statistic", "observed", "lower", "median", "upper", "p"])
    bound = 0.01 / max(1, table["arm"].nunique())
    bad = table[table["p"] < bound]
    sentence = (
        f"the data look like draws from the fitted population ({len(table)} statistics, smallest tail probability "
        f"{table['p'].min():.3f})."
        if bad.empty
        else "the fitted population cannot reproduce "
        + "; ".join(
            f"{row.statistic} of {row.arm} (observed {row.observed:.3g}, expected {row.lower:.3g} to {row.upper:.3g})"
            for row in bad.head(3).itertuples()
        )
        + ": try another population.family."
    )
    return CheckResult(name="posterior prediction", passed=bad.empty, sentence=sentence, table=table)


def _statistics(c: np.ndarray, n: np.ndarray) -> dict[str, np.ndarray]:
    """Return statistics of counts c (S, T) out of n (T,), each of shape (S,)."""
    share = c / n
    return {
        "solved attempts": c.sum(axis=1) / n.sum(),
        "tasks never solved": (c == 0).mean(axis=1),
        "tasks always solved": (c == n).mean(axis=1),
        "sd over tasks": share.std(axis=1),
    }


def leave_one_out(fit: xr.DataTree) -> CheckResult:
    """Check by Pareto-smoothed importance sampling whether single tasks (or aggregated rows) dominate the fit."""
    unit, group = ("task", "tasks") if "tasks" in fit["log_likelihood"] else ("aggregate", "aggregates")
    with warnings.catch_warnings():
        # The warning about high Pareto k is what this check reports.
        warnings.simplefilter("ignore", UserWarning)
        # Held-out tasks were not seen, so there is nothing to leave out.
        points = fit["log_likelihood"].to_dataset()[[group]]
        seen = points[group].std(("chain", "draw")).values > 0
        points = points.isel({unit: seen})
        loo = az.loo(
            xr.DataTree.from_dict({"posterior": fit["posterior"].to_dataset(), "log_likelihood": points}),
            var_name=group,
            pointwise=True,
        )
    k = np.asarray(loo.pareto_k).ravel()
    table = pd.DataFrame({unit: points[unit].values, "elpd": np.asarray(loo.elpd_i).ravel(), "pareto_k": k})
    table = table.sort_values("pareto_k", ascending=False, ignore_index=True)
    high = int((k > 0.7).sum())
    said = (
        f"expected log predictive density of a left-out {unit}: {loo.elpd / k.size:.2f} ({loo.elpd:.1f} in all, "
        f"standard error {loo.se:.1f})"
    )
    passed = high <= 0.05 * k.size
    advice = (
        f"; no {unit} dominates."
        if not high
        else f"; {high} of {k.size} {unit}s are influential (Pareto k > 0.7), first {table[unit][0]!r}: look at them."
    )
    return CheckResult(name=f"leave one {unit} out", passed=bool(passed), sentence=said + advice, table=table)


def informed(fit: xr.DataTree) -> CheckResult:
    """Say which parameters the data inform: posterior sd over prior sd, with quantiles of both.

    This check has no wrong outcome: it passes, and names what was not learned.
    """
    prior, posterior, spec = fit["prior"].to_dataset(), fit["posterior"].to_dataset(), spec_of(fit)
    rows = []
    latent = {name for name, one in spec.parameters.items() if one.of_a_task}
    for name in (str(name) for name in prior.data_vars if name not in latent):
        dims = prior[name].dims[2:]
        for label in itertools.product(*(prior[dim].values for dim in dims)):
            before = prior[name].sel(dict(zip(dims, label, strict=True))).values.ravel()
            after = posterior[name].sel(dict(zip(dims, label, strict=True))).values.ravel()
            log_scale = _on_log_scale(name, spec, before)
            scaled = np.log if log_scale else np.asarray
            ratio = scaled(after).std() / scaled(before).std()
            quantiles = (*np.quantile(before, [0.05, 0.5, 0.95]), *np.quantile(after, [0.05, 0.5, 0.95]))
            rows.append((name, " | ".join(map(str, label)), *quantiles, ratio, log_scale))
    columns = ["parameter", "of", "prior 5%", "prior 50%", "prior 95%", "5%", "50%", "95%", "sd ratio", "log scale"]
    table = pd.DataFrame(rows, columns=columns)
    weak = table[table["sd ratio"] > 0.8]
    sentence = (
        f"the data inform every one of {len(table)} parameters."
        if weak.empty
        else f"{len(weak)} of {len(table)} parameters were hardly learned (posterior nearly as wide as prior): "
        + ", ".join(sorted(set(weak["parameter"])))
        + "; what depends on them rests on the prior."
    )
    if "reachability" in posterior and not design_of(fit).has_traces:
        sentence += (
            " Missing skills (reachability) and wrong turns both keep success below 1: counts tell them apart only by "
            "how many tasks are never solved; step-level outcomes (column steps_before_error) would tell directly."
        )
    return CheckResult(name="what was learned", passed=True, sentence=sentence, table=table)


def sensitivity(fit: xr.DataTree, *, threshold: float = 0.05) -> CheckResult:
    """Say which predictions depend on the prior, by power scaling.

    The prior (and the likelihood) is raised to powers slightly below and above 1 by importance weights; how far that
    moves a prediction is the gradient of the cumulative Jensen-Shannon distance. Predictions are each sampler's mean
    success (over its observed tasks, or of its aggregated rows) and mean tokens. Like `informed` it always passes, and
    names what rests on the prior: sensitivity above ``threshold``, of the order of one hundredth of a posterior sd.

    References
    ----------
    Kallioinen, Paananen, Buerkner, Vehtari (2024), Detecting and diagnosing prior and likelihood sensitivity with
    power-scaling, Statistics and Computing 34.
    """
    spec = spec_of(fit)
    effects = fit["task_effects"].to_dataset()
    posterior = fit["posterior"].to_dataset().sel(draw=effects["draw"].values)
    labels = design_of(fit).labels
    predictions: dict[str, xr.DataArray] = {}
    for index, label in enumerate(labels):
        mine = effects.isel(cell=np.flatnonzero(effects["cell_arm"].values == index))
        if not mine.sizes["cell"]:
            continue
        success = xr.apply_ufunc(expit, mine["logit_success"]) * mine["reachable"]
        predictions[f"success of {label}"] = success.mean("cell")
        if np.isfinite(mine["log_tokens"].values).any():
            predictions[f"tokens of {label}"] = mine["log_tokens"].mean("cell")
    if "aggregate_success" in posterior:
        for name in map(str, posterior["aggregate"].values):
            predictions[f"success of {name}"] = posterior["aggregate_success"].sel(aggregate=name, drop=True)
    log_prior: dict[str, xr.DataArray] = {}
    for name in map(str, posterior.data_vars):
        # What follows from other parameters has no prior of its own.
        known = name in spec.parameters and not spec.parameters[name].of_a_task
        if known and name in fit["prior"].to_dataset() and not _follows(name, posterior):
            log_prior[name] = spec.prior(name).log_density(posterior[name])
    names = {f"p{place}": label for place, label in enumerate(predictions)}
    scaled = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {short: predictions[label].drop_vars("cell", errors="ignore") for short, label in names.items()}
            ),
            "log_prior": xr.Dataset(log_prior),
            "log_likelihood": fit["log_likelihood"].to_dataset(),
        }
    )
    with warnings.catch_warnings(), _quiet("arviz_stats.psense"):
        # Heavy tails of the importance weights show up as sensitivity; advice is given below.
        warnings.simplefilter("ignore")
        summary = az.psense_summary(scaled, threshold=threshold, round_to=6)
    table = pd.DataFrame(
        {
            "prediction": [names[str(short)] for short in summary.index],
            "prior": summary["prior"].to_numpy(dtype=float),
            "likelihood": summary["likelihood"].to_numpy(dtype=float),
        }
    )
    resting = table[table["prior"] > threshold].sort_values("prior", ascending=False)
    sentence = (
        f"none of {len(table)} predictions depends on the prior (largest sensitivity {table['prior'].max():.3f})."
        if resting.empty
        else f"{len(resting)} of {len(table)} predictions depend on the prior (sensitivity above {threshold:g}), first "
        + "; ".join(f"{row.prediction} ({row.prior:.2f})" for row in resting.head(3).itertuples())
        + ": state the prior with them."
    )
    return CheckResult(name="dependence on the prior", passed=True, sentence=sentence, table=table)


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a library's log to itself."""
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _follows(name: str, posterior: xr.Dataset) -> bool:
    """Whether a variable is drawn around others, or computed from them, in the model that was fitted."""
    pooled = {"location": "location_mean", "log_tokens": "llm_log_tokens"}
    other = pooled.get(name)
    return (other is not None and other in posterior) or (name == "location" and "mean_logit" in posterior)


def _on_log_scale(name: str, spec: ModelSpec, draws: np.ndarray) -> bool:
    """Whether a parameter is a scale, whose width is that of its logarithm; derived ones by their draws."""
    if name in spec.parameters:
        return spec.prior(name).family == "LogNormal"
    return bool(draws.min() > 0.0 and draws.max() > 1.0)
