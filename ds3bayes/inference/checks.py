"""`check`: does a fit hold water? Each check, and each note, is an object with a verdict, a sentence and a table."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import arviz_stats as az
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import rankdata

from ds3bayes.generative.design import Design
from ds3bayes.generative.observation.aggregates import Aggregates
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.generative.task_effects import by_draw, new_task_effects, rerun, success_of_attempts
from ds3bayes.inference import check_pictures as pictures
from ds3bayes.inference.artifact import design_of, log_prior, spec_of
from ds3bayes.inference.bounds import (
    DEPENDS_ON_PRIOR,
    FALSE_ALARM,
    FEW_TASKS,
    HARDLY_LEARNED,
    HIGH_K,
    MAX_AT_DEPTH,
    MAX_INFLUENTIAL,
    MAX_MOVE,
    MAX_RHAT,
    MIN_BFMI,
    MIN_DRAWS_OF_TAIL,
    MIN_ESS,
    SMALL_MOVE,
)

# Of how many diverging draws it is said where they lie, and how many sds of their mean rank set them apart.
_FEW_DIVERGING, _APART = 3, 3.0
# A log-likelihood that varies less over draws is constant but for rounding: nothing was seen of the task.
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """Outcome of one check: a verdict, a sentence, a table and a picture.

    Parameters
    ----------
    name : str
    passed : bool
        True of a note.
    sentence : str
        The verdict in plain words, with what to do if it failed.
    table : pandas.DataFrame
        The numbers behind it.
    draw : callable
        Draws that table on matplotlib axes: ``draw(table, ax)``.
    note : bool
        Whether it only says something and cannot fail: notes are not counted among checks.
    """

    name: str
    passed: bool
    sentence: str
    table: pd.DataFrame = field(repr=False)
    draw: Callable[[pd.DataFrame, Axes], None] = field(repr=False)
    note: bool = False

    def __str__(self) -> str:
        return f"{self.verdict}  {self.name}: {self.sentence}"

    @property
    def verdict(self) -> str:
        """``pass``, ``FAIL`` or ``note``."""
        return "note" if self.note else "pass" if self.passed else "FAIL"

    def picture(self, *, ax: Axes | None = None) -> Figure:
        """Draw the numbers behind the check, with the bounds it holds them against.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Draw here instead of in a new figure.

        Returns
        -------
        matplotlib.figure.Figure
        """
        if ax is None:
            height = 1.6 + 0.16 * min(len(self.table), pictures.MOST_ROWS)
            ax = Figure(figsize=(7.0, max(3.2, height)), layout="constrained").subplots()
        self.draw(self.table, ax)
        ax.set_title(f"{self.verdict}: {self.name}", loc="left", fontsize=9)
        figure = ax.get_figure(root=True)
        assert figure is not None
        return figure


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """What a fit without one task says: its elpd, and which sampler's expected success moved most, by how much."""

    elpd: float
    sds: float
    by: float
    words: str


#: Leaves tasks (group, places) out by fits without them: what these say, by the order of places, and why some are not.
LeaveOut = Callable[[str, np.ndarray], tuple[dict[int, LeftOut], str]]


def convergence(fit: xr.DataTree) -> CheckResult:
    """Check how the sampler moved: divergences, r-hat, effective draws, tree depth and energy.

    It passes without divergences, with rank-normalised split r-hat at most 1.01, bulk and tail ESS at least 400, at
    most 1 % of draws at the largest tree depth and an energy fraction (BFMI) of at least 0.3 in every chain.

    Parameters
    ----------
    fit : xarray.DataTree
        Groups ``posterior`` and ``sample_stats``; the spec in its attributes tells what the settings were.

    Returns
    -------
    CheckResult
        Its sentence says of every fault which parameter, by how much, and what to set.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter, Buerkner (2021), Bayesian Analysis 16: r-hat and ESS. Betancourt (2016), arXiv
    1604.00695: BFMI.
    """
    faults, table = sampling_faults(fit)
    worst, least = table["r_hat"].max(), table[["ess_bulk", "ess_tail"]].min().min()
    sentence = (
        "; ".join(faults) + "."
        if faults
        else f"no divergences, r-hat at most {worst:.3f}, at least {least:.0f} effective draws."
    )
    return CheckResult(
        name="convergence", passed=not faults, sentence=sentence, table=table, draw=pictures.draw_convergence
    )


def sampling_faults(fit: xr.DataTree) -> tuple[list[str], pd.DataFrame]:
    """Say what went wrong in sampling, one sentence each, gravest first; return r-hat and ESS of all parameters."""
    posterior, stats = fit["posterior"].to_dataset(), fit["sample_stats"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    accept = spec_of(fit).sampling.target_accept if "spec" in fit.attrs else ModelSpec().sampling.target_accept
    columns = dict(_elements(posterior))
    statistics = {
        "r_hat": az.rhat(posterior) if chains > 1 else xr.full_like(posterior.isel(chain=0, draw=0, drop=True), np.nan),
        "ess_bulk": az.ess(posterior, method="bulk"),
        "ess_tail": az.ess(posterior, method="tail"),
    }
    table = pd.DataFrame(
        {name: {label: float(value) for label, value in _elements(values)} for name, values in statistics.items()}
    ).rename_axis("parameter")
    faults = []
    diverging = stats["diverging"].values.astype(bool)
    if diverging.any():
        faults.append(
            f"{diverging.sum()} of {chains * draws:,} draws diverged{_where(columns, diverging)}: what lies there may "
            f"be missed. Set target_accept = {1 - (1 - accept) / 2:g} in [sampling] (it was {accept:g}); if some still "
            "diverge, give that parameter a tighter prior in [priors]"
        )
    disagreeing = table["r_hat"] > MAX_RHAT
    if chains == 1:
        faults.append("one chain cannot show that chains agree: set chains to at least 2")
    elif disagreeing.any():
        worst = str(table["r_hat"].idxmax())
        means = columns[worst].mean(axis=1)
        faults.append(
            f"chains disagree about {disagreeing.sum()} of {len(table)} parameters, most about {worst} (r-hat "
            f"{table['r_hat'].max():.3f}, at most {MAX_RHAT:g} is wanted; chain means from {means.min():.3g} to "
            f"{means.max():.3g}): double tune and draws (draws were {draws}); if they still disagree, the data leave "
            "two answers open, between which a prior of that parameter in [priors] can choose"
        )
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    if least.min() < MIN_ESS and not disagreeing.any():
        needed = int(np.ceil(1.2 * draws * MIN_ESS / max(float(least.min()), 1.0) / 100) * 100)
        faults.append(
            f"only {least.min():.0f} effective draws of {least.idxmin()} (at least {MIN_ESS} are wanted): set draws = "
            f"{needed} in [sampling] (they were {draws})"
        )
    deepest = stats.get("reached_max_treedepth")
    if deepest is not None and float(deepest.mean()) > MAX_AT_DEPTH:
        faults.append(
            f"{float(deepest.mean()):.0%} of draws stopped at the largest tree depth: the posterior is long and "
            f"narrow, most along {least.idxmin()}; give that parameter a tighter prior in [priors], or raise tune"
        )
    if "energy" in stats and draws > 3:
        fraction = np.atleast_1d(az.bfmi(stats["energy"].values))
        if fraction.min() < MIN_BFMI:
            energy = stats["energy"].values.ravel()
            along = max(columns, key=lambda label: abs(_correlation(columns[label].ravel(), energy)))
            faults.append(
                f"{(fraction < MIN_BFMI).sum()} of {chains} chains hardly changed their energy (BFMI "
                f"{fraction.min():.2f}, at least {MIN_BFMI:g} is wanted), which goes most with {along}: its tails may "
                "be missed; give it a tighter prior in [priors], or double tune and draws"
            )
    return faults, table


def largest_rhat(posterior: xr.Dataset) -> float:
    """Largest rank-normalised split r-hat of all parameters; NaN for one chain."""
    if posterior.sizes["chain"] == 1:
        return float("nan")
    # Variables one by one: put into one array, their dims would multiply.
    return max(float(one.max()) for one in az.rhat(posterior).data_vars.values())


def _elements(dataset: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every element of every variable with its labels: its draws (chain, draw), or its number."""
    for name, values in dataset.data_vars.items():
        dims = [dim for dim in values.dims if dim not in ("chain", "draw")]
        for index in np.ndindex(*(values.sizes[dim] for dim in dims)):
            one = values.isel(dict(zip(dims, index, strict=True)))
            labels = [str(values[dim].values[place]) for dim, place in zip(dims, index, strict=True)]
            yield f"{name}[{', '.join(labels)}]" if labels else str(name), one.values


def _where(columns: dict[str, np.ndarray], diverging: np.ndarray) -> str:
    """Say which parameter sets diverging draws apart from the others, if one does."""
    if diverging.sum() < _FEW_DIVERGING or diverging.all():
        return ""
    apart = {}
    for label, values in columns.items():
        ranks = rankdata(values).reshape(values.shape) / values.size
        # Sd of the mean rank of as many draws taken at random.
        apart[label] = (ranks[diverging].mean() - 0.5) / np.sqrt(1 / 12 / diverging.sum())
    label = max(apart, key=lambda one: abs(apart[one]))
    if abs(apart[label]) < _APART:
        return ""
    there, all_over = np.median(columns[label][diverging]), np.median(columns[label])
    side = "small" if apart[label] < 0 else "large"
    return f", most where {label} is {side} (median {there:.3g} there, {all_over:.3g} over all)"


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Rank correlation; 0 for what does not vary."""
    if one.std() == 0.0 or other.std() == 0.0:
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def posterior_prediction(fit: xr.DataTree, *, seed: int = 0, replicates: int = 200) -> CheckResult:
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
    logit, reachable = (
        fresh[name].stack(sample=("chain", "draw")).transpose("sample", "cell").values
        for name in ("logit_success", "reachable")
    )
    draws = by_draw(thin)
    rows = []
    for block in design.blocks:
        for column, arm in enumerate(block.arms):
            seen = block.attempts[:, column] > 0
            if not seen.any():
                continue
            n, c = block.attempts[seen, column], block.successes[seen, column]
            mine = np.flatnonzero(fresh["cell_arm"].values == arm)
            pick = mine[rng.integers(0, mine.size, size=(len(logit), n.size))]
            x, solvable = (np.take_along_axis(one, pick, axis=1) for one in (logit, reachable))
            replicated = rerun(design, arm, np.flatnonzero(seen), x, solvable, draws, rng)
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
    for row, curve in enumerate(Aggregates.seen(design) or ()):
        expected = thin["aggregate_success"].isel(aggregate=row).values.ravel()
        drawn_share = rng.binomial(curve.attempts, expected) / curve.attempts
        observed_share = curve.successes / curve.attempts
        below = np.mean(drawn_share < observed_share) + 0.5 * np.mean(drawn_share == observed_share)
        label = str(thin["aggregate"].values[row])
        quantiles = np.quantile(drawn_share, [0.05, 0.5, 0.95])
        rows.append((label, "solved attempts", observed_share, *quantiles, 2 * min(below, 1 - below)))
    table = pd.DataFrame(rows, columns=["arm", "statistic", "observed", "lower", "median", "upper", "p"])
    bound = FALSE_ALARM / max(1, table["arm"].nunique())
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
    return CheckResult(
        name="posterior prediction",
        passed=bad.empty,
        sentence=sentence,
        table=table,
        draw=pictures.draw_posterior_prediction,
    )


def _statistics(c: np.ndarray, n: np.ndarray) -> dict[str, np.ndarray]:
    """Return statistics of counts c (S, T) out of n (T,), each of shape (S,)."""
    share = c / n
    return {
        "solved attempts": c.sum(axis=1) / n.sum(),
        "tasks never solved": (c == 0).mean(axis=1),
        "tasks always solved": (c == n).mean(axis=1),
        "sd over tasks": share.std(axis=1),
    }


def leave_one_out(fit: xr.DataTree, *, refits: int = 0, leave_out: LeaveOut | None = None) -> CheckResult:
    """Check whether single tasks (or aggregated rows) dominate the fit, by leaving each of them out.

    Pareto-smoothed importance sampling does so at no cost, except for those whose Pareto k is above 0.7: up to
    ``refits`` of them, the largest k first, are left out by a fit without them. It fails if leaving out one of these
    moves the expected success of some sampler at new tasks by more than a posterior sd and .01, or if more than 5 %
    of all are left with a high k.

    Parameters
    ----------
    fit : xarray.DataTree
    refits : int, default 0
        Most of them.
    leave_out : callable, optional
        Makes these refits (`ds3bayes.inference.check`).

    Returns
    -------
    CheckResult
        Its table has ``elpd`` and ``pareto_k`` of every task, and of those that were refitted ``moved``, by how many
        posterior sds the expected success moved that moved most.

    References
    ----------
    Vehtari, Gelman, Gabry (2017), Statistics and Computing 27.
    """
    unit, group = ("task", "tasks") if "tasks" in fit["log_likelihood"] else ("aggregate", "aggregates")
    name = f"leave one {unit} out"
    if faulty := _too_few_draws(fit, name, [unit, "elpd", "pareto_k"], pictures.draw_leave_one_out):
        return faulty
    with warnings.catch_warnings():
        # The warning about high Pareto k is what this check reports.
        warnings.simplefilter("ignore", UserWarning)
        # Held-out tasks were not seen, so there is nothing to leave out.
        points = fit["log_likelihood"].to_dataset()[[group]]
        seen = points[group].std(("chain", "draw")).values > _ROUNDING
        points = points.isel({unit: seen})
        # Effective draws are those of the draws that have likelihoods.
        posterior = fit["posterior"].to_dataset().sel(draw=points["draw"].values)
        loo = az.loo(
            xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": points}), var_name=group, pointwise=True
        )
    k = np.asarray(loo.pareto_k).ravel()
    table = pd.DataFrame({unit: points[unit].values, "elpd": np.asarray(loo.elpd_i).ravel(), "pareto_k": k})
    table["place"] = np.flatnonzero(seen)
    table = table.sort_values("pareto_k", ascending=False, ignore_index=True)
    high = int((k > HIGH_K).sum())
    left_out: dict[int, LeftOut] = {}
    reason = ""
    if high and refits and leave_out is not None:
        left_out, reason = leave_out(group, table["place"].to_numpy()[: min(high, refits)])
        for row, one in left_out.items():
            table.loc[row, ["elpd", "moved"]] = one.elpd, one.sds
    table = table.drop(columns="place")
    unknown = high - len(left_out)
    moving = {row: one for row, one in left_out.items() if one.sds > MAX_MOVE and one.by > SMALL_MOVE}
    total, se = float(table["elpd"].sum()), float(np.sqrt(k.size * table["elpd"].var(ddof=0)))
    said = (
        f"expected log predictive density of a left-out {unit}: {total / k.size:.2f} ({total:.1f} in all, standard "
        f"error {se:.1f})"
    )
    if not high:
        said += f"; no {unit} dominates."
    if left_out:
        most = max(left_out.values(), key=lambda one: one.sds)
        said += (
            f", {_number(len(left_out), unit)} of Pareto k above {HIGH_K:g} left out by refits (without them it would "
            f"read {float(loo.elpd):.1f})"
        )
        if not moving:
            said += (
                f"; none of these moves the expected success at new tasks by more than {MAX_MOVE:g} posterior sd and "
                f"{SMALL_MOVE:g} (most by {most.sds:.1f} sd, of {most.words})"
            )
    for row, one in list(moving.items())[:3]:
        said += (
            f"; without {table[unit][row]!r} the expected success at new tasks moves by {one.sds:.1f} posterior sds, "
            f"of {one.words}"
        )
    if moving:
        said += (
            f": see whether {'its' if len(moving) == 1 else 'their'} rows are right; if they are, success at new tasks "
            f"is as uncertain as these differences, and more {unit}s make it less so"
        )
    if unknown:
        said += _not_left_out(table, unit, unknown, refits, reason, fit)
    passed = not moving and unknown <= MAX_INFLUENTIAL * k.size
    return CheckResult(
        name=name,
        passed=bool(passed),
        sentence=said if said.endswith(".") else said + ".",
        table=table,
        draw=pictures.draw_leave_one_out,
    )


def _not_left_out(table: pd.DataFrame, unit: str, unknown: int, refits: int, reason: str, fit: xr.DataTree) -> str:
    """Say which tasks of high Pareto k were not left out exactly, why, and what to do."""
    approximate = table[(table["pareto_k"] > HIGH_K) & (table["moved"].isna() if "moved" in table else True)]
    said = (
        f"; {unknown} of {len(table)} {unit}s decide much of the fit (Pareto k above {HIGH_K:g}), most "
        f"{approximate[unit].iloc[0]!r} (k = {approximate['pareto_k'].iloc[0]:.2f})"
    )
    if reason:
        said += f", and could not be left out by refits ({reason})"
    elif refits:
        said += f", beyond the {refits} refits that are made at most (`ds3.check(fit, refits={refits + unknown})`)"
    else:
        said += ", and `ds3.check(fit)` says by refits what leaving them out changes"
    said += ": see whether its rows are right"
    if len(table) < FEW_TASKS:
        return said + f"; with so few {unit}s each decides what is believed of new ones: add {unit}s"
    if unit != "task":
        return said
    # An arm's own task effect is there for arms that share tasks only.
    shared = any(block.easiness is not None for block in design_of(fit).blocks)
    said += "; if they are, tasks differ in a way that the model does not expect: try "
    return said + ("a smaller population.interaction_dof, or " if shared else "") + "another population.family"


def _number(count: int, unit: str) -> str:
    return f"the one {unit}" if count == 1 else f"{count} {unit}s"


def informed(fit: xr.DataTree) -> CheckResult:
    """Note which parameters the data inform: posterior sd over prior sd, with quantiles of both."""
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
    weak = table[table["sd ratio"] > HARDLY_LEARNED]
    sentence = (
        f"the data inform every one of {len(table)} parameters."
        if weak.empty
        else f"{len(weak)} of {len(table)} parameters were hardly learned (posterior nearly as wide as prior): "
        + ", ".join(sorted(set(weak["parameter"])))
        + "; what depends on them rests on the prior."
    )
    design = design_of(fit)
    sentence += "".join(f" {reason}" for reason in uninformative(design))
    if "reachability" in posterior and not design.has_traces:
        sentence += (
            " Missing skills (reachability) and wrong turns both keep success below 1: counts tell them apart only by "
            "how many tasks are never solved; step-level outcomes (column steps_before_error) would tell directly."
        )
    return CheckResult(
        name="what was learned", passed=True, sentence=sentence, table=table, draw=pictures.draw_learned, note=True
    )


def uninformative(design: Design) -> list[str]:
    """Say, one sentence each, what the counts of a design cannot tell and what would."""
    said: dict[str, list[str]] = {}
    for block in design.blocks:
        for column, arm in enumerate(block.arms):
            seen = block.attempts[:, column] > 0
            n, c = block.attempts[seen, column], block.successes[seen, column]
            if not n.size:
                continue
            if (c == n).all():
                reason = (
                    "every attempt succeeded, which bounds location from below only and tells nothing of spread or "
                    "skew: add harder tasks"
                )
            elif not c.any():
                reason = (
                    "no attempt succeeded, which bounds location from above only and cannot tell tasks out of reach "
                    "(reachability) from hard ones: add easier tasks, or attempts"
                )
            elif n.size == 1:
                reason = (
                    "a single task tells its own success and nothing of how tasks differ (spread, skew, reachability): "
                    "add tasks"
                )
            elif (n == 1).all():
                reason = (
                    "one attempt per task tells the mean success and nothing of how tasks differ (spread, skew), nor "
                    "whether failures are tasks out of reach (reachability): add attempts on the same tasks"
                )
            else:
                continue
            said.setdefault(reason, []).append(design.labels[arm])
    return [f"{_some(labels)}: {reason}." for reason, labels in said.items()]


def _some(names: Sequence[str], most: int = 3) -> str:
    """List a few names, and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def sensitivity(fit: xr.DataTree, *, threshold: float = DEPENDS_ON_PRIOR) -> CheckResult:
    """Note which predictions depend on the prior, by power scaling.

    The prior (and the likelihood) is raised to powers slightly below and above 1 by importance weights; how far that
    moves a prediction is the gradient of the cumulative Jensen-Shannon distance. Predictions are each sampler's mean
    success (over its observed tasks, or of its aggregated rows) and mean tokens. Like `informed` it cannot fail; it
    names what rests on the prior: sensitivity above ``threshold``, of the order of one hundredth of a posterior sd.

    References
    ----------
    Kallioinen, Paananen, Buerkner, Vehtari (2024), Detecting and diagnosing prior and likelihood sensitivity with
    power-scaling, Statistics and Computing 34.
    """
    name = "dependence on the prior"
    if faulty := _too_few_draws(fit, name, ["prediction", "prior", "likelihood"], pictures.draw_sensitivity):
        return replace(faulty, passed=True, note=True)
    spec = spec_of(fit)
    effects = fit["task_effects"].to_dataset()
    posterior = fit["posterior"].to_dataset().sel(draw=effects["draw"].values)
    design = design_of(fit)
    every, labels = success_of_attempts(design, effects, posterior), design.labels
    predictions: dict[str, xr.DataArray] = {}
    for index, label in enumerate(labels):
        cells = np.flatnonzero(effects["cell_arm"].values == index)
        mine = effects.isel(cell=cells)
        if not mine.sizes["cell"]:
            continue
        predictions[f"success of {label}"] = every.isel(cell=cells).mean("cell")
        if np.isfinite(mine["log_tokens"].values).any():
            predictions[f"tokens of {label}"] = mine["log_tokens"].mean("cell")
    if "aggregate_success" in posterior:
        for row in map(str, posterior["aggregate"].values):
            predictions[f"success of {row}"] = posterior["aggregate_success"].sel(aggregate=row, drop=True)
    names = {f"p{place}": label for place, label in enumerate(predictions)}
    scaled = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(
                {short: predictions[label].drop_vars("cell", errors="ignore") for short, label in names.items()}
            ),
            "log_prior": log_prior(spec, posterior),
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
    return CheckResult(
        name=name, passed=True, sentence=sentence, table=table, draw=pictures.draw_sensitivity, note=True
    )


def _too_few_draws(
    fit: xr.DataTree, name: str, columns: Sequence[str], draw: Callable[[pd.DataFrame, Axes], None]
) -> CheckResult | None:
    """Fail a check by importance sampling, with an empty table, where draws are too few for it."""
    sizes = fit["log_likelihood"].sizes
    draws = sizes["chain"] * sizes["draw"]
    if draws >= MIN_DRAWS_OF_TAIL:
        return None
    sentence = (
        f"needs at least {MIN_DRAWS_OF_TAIL} draws, this fit has {draws}: raise draws in [sampling], or task_draws."
    )
    return CheckResult(name=name, passed=False, sentence=sentence, table=pd.DataFrame(columns=columns), draw=draw)


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


def _on_log_scale(name: str, spec: ModelSpec, draws: np.ndarray) -> bool:
    """Whether a parameter is a scale, whose width is that of its logarithm; derived ones by their draws."""
    if name in spec.parameters:
        return spec.prior(name).family == "LogNormal"
    return bool(draws.min() > 0.0 and draws.max() > 1.0)
