"""`decide`: what to deploy, what reaches a target, and how what was observed bears that out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.generative.spec import ModelSpec, Query
from ds3bayes.inference.artifact import spec_of
from ds3bayes.queries.choices import best, cheapest, frontier
from ds3bayes.queries.next_evals import next_evals
from ds3bayes.queries.observed_options import observed_options
from ds3bayes.queries.options import practical_tie
from ds3bayes.queries.predict import predict
from ds3bayes.queries.what_changes import what_changes
from ds3bayes.queries.words import LEVEL, amount, chance, interval, mean_interval, number, share

Array = np.ndarray

# Draws of task effects for which the value of evaluations is found in about a second.
_QUICK = 500_000
#: What stands for all benchmarks of a decision on several.
ALL = "all benchmarks"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What predictions say to deploy, the same for the page, the command line, JSON and Python.

    Parameters
    ----------
    benchmark : str
        What it is about, ``"all benchmarks"`` where it weighs several.
    options : pandas.DataFrame
        One row per LLM and strategy, least regret first and upper bounds last: ``number, option, model, strategy``,
        ``success`` and ``cost`` with ``_lower`` and ``_upper`` end of their 90 % intervals (a cost that is absent is
        NaN), ``p_best, p_affordable, regret, tied, chosen, bound`` as of `best`, ``p_frontier, on_frontier`` as of
        `frontier`, ``p_reach, nearly`` as of `cheapest` with ``suffices`` and ``enough`` for its choice,
        ``cost_to_reach`` median cost of reaching the target, infinite where more than half of the draws do not;
        ``extrapolated`` beyond the efforts, budgets and cuts that were observed; and
        ``observed, observed_tasks, observed_lower, observed_upper, away, edge``: success on the tasks that it was run
        on, where a prediction for these same tasks puts it with probability .9, whether it is outside, and whether
        inside at the very edge. NaN and False for options that were not run.
    cost : str
        Which cost it weighs.
    chosen : str
        The option to deploy, empty if there is none.
    choice, enough, reach : str
        Sentences: what to deploy, the cheapest that reaches the target, what reaching it costs. The latter two are
        empty where the cost is not predicted.
    changes : tuple of str
        What would change the choice: the cap, the price, the margin or the target at which it is another, and what
        knowing more could gain. Of the whole only, not of its parts.
    borne_out : tuple of str
        What was observed of the options that are recommended, where a prediction for the same tasks agrees with it.
    notes : tuple of str
        What else must be known: bounds, predictions away from what was observed, options left out.
    weights : dict of str to float
        Share of each benchmark, summing to 1.
    parts : tuple of Decision
        Of each benchmark alone, where there are several.
    draws : dict of str to numpy.ndarray
        What it rests on: ``success`` and, where they are predicted, ``cost`` and ``tokens``, each of shape (draws,
        options) in the order of the options.
    """

    benchmark: str
    options: pd.DataFrame
    cost: str = "tokens"
    chosen: str
    choice: str
    enough: str
    reach: str
    changes: tuple[str, ...] = ()
    borne_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    weights: Mapping[str, float]
    parts: tuple[Decision, ...] = ()
    draws: Mapping[str, Array] = field(default_factory=dict, repr=False, compare=False)

    @property
    def sentences(self) -> list[str]:
        """All that is said, the choice first."""
        return [one for _, said in self.card for one in said]

    @property
    def headline(self) -> str:
        """Success and cost of what is chosen, each with its 90 % interval; empty if nothing is."""
        if not self.chosen:
            return ""
        row = self.options[self.options["chosen"]].iloc[0]
        return f"success {_success(row)}" + (f", {_money(row, self.cost)}" if np.isfinite(row["cost"]) else "")

    @property
    def card(self) -> list[tuple[str, list[str]]]:
        """All that is said, under headings: what to choose, what reaches the target, what would change it, and so on.

        Headings under which there is nothing to say are left out.
        """
        headed = [
            ("Choose", [self.choice]),
            ("To reach the target", [self.enough, self.reach]),
            ("What would change it", self.changes),
            ("What was observed", self.borne_out),
            ("Mind", self.notes),
        ]
        found = [(heading, [one for one in said if one]) for heading, said in headed]
        return [(heading, said) for heading, said in found if said]

    @property
    def rows(self) -> pd.DataFrame:
        """The options of this decision and of its parts, with the benchmark that they are about."""
        frames = [one.options.assign(benchmark=one.benchmark) for one in (self, *self.parts) if len(one.options)]
        if not frames:
            return self.options
        table = pd.concat(frames, ignore_index=True)
        return table[["benchmark", *(name for name in table if name != "benchmark")]]

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as for JSON."""
        return {
            "benchmark": self.benchmark,
            "weights": dict(self.weights),
            "chosen": self.chosen or None,
            "choice": self.choice,
            "enough": self.enough,
            "reach": self.reach,
            "changes": list(self.changes),
            "borne_out": list(self.borne_out),
            "notes": list(self.notes),
            "options": self.options.to_dict("records"),
            "parts": [one.as_dict() for one in self.parts],
        }


def decide(
    fit: xr.DataTree,
    pred: xr.Dataset | None = None,
    *,
    cost: Literal["tokens", "usd", "flops", "joules", "seconds"] | None = None,
    max_cost: float | None = None,
    success: float | None = None,
    confidence: float | None = None,
    margin: float | None = None,
    perfect_check: bool | Collection[str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> Decision:
    """Decide which option to deploy, an LLM with a strategy, and say how what was observed bears that out.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    pred : xarray.Dataset, optional
        From `predict` on this fit, without a task dimension; of the spec's strategies and tasks if absent.
    cost, max_cost, success, confidence, margin, perfect_check, weights
        Questions; each is the spec's (``[query]``) if absent. ``max_cost`` is a cap on expected cost per task,
        ``success`` with ``confidence`` the target of `cheapest`, ``margin`` the difference in success that is not
        worth paying for, ``perfect_check`` whether wrong answers can be told from right ones when deployed (or the
        benchmarks where they can), ``weights`` the share of the deployed tasks that are like those of each benchmark.

    Returns
    -------
    Decision
        Of several benchmarks a decision on all, success and cost being means over them, with that of each in
        ``parts``. They count alike unless ``weights`` says otherwise; one that it leaves out is not decided on. An
        option that was not run on all of them is left out of the common decision, and named.

    Raises
    ------
    InputError
        If a question is out of range, ``pred`` keeps its tasks, or there is a cap on a cost that is not predicted.
    """
    spec = spec_of(fit)
    asked = {
        "cost": cost,
        "max_cost": max_cost,
        "success": success,
        "confidence": confidence,
        "margin": margin,
        "perfect_check": perfect_check
        if perfect_check is None or isinstance(perfect_check, bool)
        else [*perfect_check],
        "weights": None if weights is None else dict(weights),
    }
    query = asking(spec, asked, "decide").query
    if pred is None:
        pred = predict(fit, query.parsed() or None, tasks=query.tasks)
    return _with_evaluations(decision_of(pred, query, observed_options(fit, pred)), fit, pred, query)


def _with_evaluations(decision: Decision, fit: xr.DataTree, pred: xr.Dataset, query: Query) -> Decision:
    """Say which evaluation would help most, where there is something to gain and telling it takes a moment."""
    sizes = fit["task_effects"].to_dataset().sizes
    which = str(pred.attrs.get("tasks"))
    if decision.parts or not decision.chosen or "cost" not in decision.draws or which not in ("observed", "new"):
        return decision
    options = decision.options[~decision.options["bound"].astype(bool)]
    top = options.iloc[0]
    enough = top["regret"] <= practical_tie(float(top["success"]), query.margin)
    if enough or len(options) < 2 or sizes["chain"] * sizes["draw"] * sizes["cell"] > _QUICK:
        return decision
    try:
        found = next_evals(
            fit,
            options.nlargest(3, "p_best")["option"].tolist(),
            on=which,  # type: ignore[arg-type]
            tasks=which,  # type: ignore[arg-type]
            cost=query.cost,
            max_cost=query.max_cost,
            margin=query.margin,
            perfect_check=query.checkable(decision.benchmark),
            benchmark=decision.benchmark,
        )
    except InputError:
        # Of what cannot be evaluated nothing is said.
        return decision
    sentence = found.attrs["sentence"]
    said = f"More attempts: {sentence[:1].lower()}{sentence[1:]}"
    return replace(decision, changes=(*(one for one in decision.changes if not one.startswith("More attempts:")), said))


def asking(spec: ModelSpec, asked: Mapping[str, Any], where: str) -> ModelSpec:
    """Return a spec with some of its questions replaced; those that are None stay.

    Raises
    ------
    InputError
        If one is out of range.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return spec
    content = spec.model_dump(mode="json", exclude_none=True)
    return ModelSpec.from_dict(content | {"query": content["query"] | given}, where)


def decision_of(pred: xr.Dataset, query: Query, observed: pd.DataFrame | None = None) -> Decision:
    """Decide from predictions alone; see `decide`.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    query : Query
    observed : pandas.DataFrame, optional
        From `observed_options`.
    """
    benchmarks = [str(name) for name in pred["benchmark"].values]
    shares = query.shares(benchmarks)
    pred = pred.sel(benchmark=list(shares))
    parts = tuple(_decide(pred.sel(benchmark=[name]), query, observed, {name: 1.0}) for name in shares)
    prices = _of_prices(pred, query.cost)
    if len(parts) == 1:
        return replace(_changing(parts[0], query), notes=(*parts[0].notes, *prices))
    joint = _weighted(pred, shares)
    if not np.isfinite(joint["success"].values).any():
        return Decision(
            benchmark=ALL,
            options=parts[0].options.iloc[:0],
            cost=query.cost,
            chosen="",
            choice=f"No option was run on all of {', '.join(shares)}, so each is decided on its own.",
            enough="",
            reach="",
            notes=tuple(prices),
            weights=shares,
            parts=parts,
        )
    one = _changing(_decide(joint, query, _weighted_observed(observed, shares), shares), query)
    weighed = ", ".join(f"{name} {weight:.2g}" for name, weight in shares.items())
    how = "weighed" if query.weights is not None else "weighed alike"
    left = [name for name in benchmarks if name not in shares]
    without = f"; query.weights leaves out {', '.join(left)}" if left else ""
    note = f"Success and cost are means over {len(shares)} benchmarks, {how} ({weighed}){without}."
    # The whole has said what a bound is.
    parts = tuple(replace(each, notes=_without(each.notes, _of_bounds(each.options))) for each in parts)
    notes = (note, *one.notes, *_missing(pred, parts, one), *prices)
    return replace(one, notes=notes, weights=shares, parts=parts)


def _changing(one: Decision, query: Query) -> Decision:
    """Add what would change a decision."""
    drawn = one.draws
    if "success" not in drawn:
        return one
    priced = "cost" in drawn
    costs = drawn["cost"] if priced else np.full_like(drawn["success"], np.nan)
    return replace(one, changes=tuple(what_changes(one.options, drawn["success"], costs, query, priced=priced)))


def _of_prices(pred: xr.Dataset, cost: str) -> list[str]:
    """Say where prices come from, and why there are none."""
    if cost not in pred:
        reasons = str(pred.attrs.get("absent", "no reason was recorded"))
        mine = "; ".join(part for part in reasons.split("; ") if part.startswith(f"{cost}:"))
        return [f"The predictions hold no {cost} ({mine or reasons}), so options are compared by success alone."]
    learned = str(pred.attrs.get("learned_prices", "none"))
    return [f"Prices follow from cost_usd: {learned}."] if cost == "usd" and learned != "none" else []


def _without(notes: tuple[str, ...], said: list[str]) -> tuple[str, ...]:
    return tuple(note for note in notes if note not in said)


def _weighted(pred: xr.Dataset, shares: Mapping[str, float]) -> xr.Dataset:
    """Return means over benchmarks; blank for an option that is missing on one."""
    weights = xr.DataArray(list(shares.values()), dims="benchmark", coords={"benchmark": list(shares)})
    drawn = {name: values for name, values in pred.data_vars.items() if "benchmark" in values.dims}
    mean = xr.Dataset({name: (values * weights).sum("benchmark", skipna=False) for name, values in drawn.items()})
    mean = mean.drop_vars("extrapolated", errors="ignore").expand_dims(benchmark=[ALL]).assign_attrs(pred.attrs)
    if "extrapolated" in pred.coords:
        # A mean that rests on what was never observed does so too.
        beyond = pred["extrapolated"].any("benchmark").expand_dims(benchmark=[ALL])
        mean = mean.assign_coords(extrapolated=beyond)
    return mean


def _weighted_observed(observed: pd.DataFrame | None, shares: Mapping[str, float]) -> pd.DataFrame | None:
    """Return means over benchmarks of what was observed, for options that were run on all of them."""
    if observed is None:
        return None
    rows = observed[observed["benchmark"].isin(list(shares))]
    result = []
    for (model, strategy), group in rows.groupby(["model", "strategy"], sort=False):
        if len(group) < len(shares):
            continue
        weight = group["benchmark"].map(shares).to_numpy()
        row = {"model": model, "benchmark": ALL, "strategy": strategy, "tasks": group["tasks"].sum()}
        # The ends of a weighted mean of intervals are wider than its interval; `away` is what each benchmark says.
        row |= {name: float((group[name] * weight).sum()) for name in ("observed", "mean", "lower", "upper")}
        result.append(row | {name: bool(group[name].any()) for name in ("flat", "away", "edge")})
    return pd.DataFrame(result, columns=list(observed.columns))


def _missing(pred: xr.Dataset, parts: tuple[Decision, ...], joint: Decision) -> list[str]:
    """Name the options that are missing on some benchmark, and where."""
    several = pred.sizes["model"] > 1
    left: dict[str, list[str]] = {}
    known = set(zip(joint.options["model"], joint.options["strategy"], strict=True))
    for part in parts:
        for row in part.options.itertuples():
            if (row.model, row.strategy) not in known:
                name = f"{row.model} | {row.strategy}" if several else str(row.strategy)
                left.setdefault(name, []).append(part.benchmark)
    if not left:
        return []
    named = [f"{name} (on {', '.join(where)} only)" for name, where in left.items()]
    more = f" and {len(named) - 5} more" if len(named) > 5 else ""
    return [
        f"Not compared, as a fit does not predict an LLM or a strategy on a benchmark where it was not run: "
        f"{'; '.join(named[:5])}{more}."
    ]


def _decide(pred: xr.Dataset, query: Query, observed: pd.DataFrame | None, shares: Mapping[str, float]) -> Decision:
    cost = query.cost
    priced = cost in pred
    if query.max_cost is not None and not priced:
        raise InputError(
            f"max_cost = {query.max_cost:g}, but the predictions have no {cost} ({pred.attrs.get('absent', '')})"
        )
    # What holds for all benchmarks of a mean holds for it.
    checked = all(query.checkable(name) for name in shares)
    asked: dict[str, Any] = {"cost": cost, "margin": query.margin, "perfect_check": checked}
    winner = best(pred, max_cost=query.max_cost, **asked)
    frame = winner.isel(benchmark=0).to_dataframe().reset_index()
    flags = ["tied", "chosen", "bound"]
    frame["extrapolated"] = frame["extrapolated"].astype(bool) if "extrapolated" in frame else False
    frame = frame[["option", "model", "strategy", "p_best", "p_affordable", "regret", *flags, "extrapolated"]]
    draws = _draws(pred, "success", frame)
    costs = _draws(pred, cost, frame) if priced else np.full_like(draws, np.nan)
    for name, values in (("success", draws), ("cost", costs)):
        frame[name], frame[f"{name}_lower"], frame[f"{name}_upper"] = mean_interval(values)
    reached = draws >= query.success
    frame["p_reach"] = reached.mean(axis=0)
    to_reach = np.where(reached & np.isfinite(costs), costs, np.inf)
    # The mean of the two middle draws is undefined where one is infinite: take the upper of them.
    frame["cost_to_reach"] = np.sort(to_reach, axis=0)[to_reach.shape[0] // 2] if priced else np.nan
    frame["p_frontier"], later = np.nan, ["on_frontier", "suffices", "enough", "nearly"]
    frame[later] = False
    if priced:
        front = frontier(pred, cost=cost, perfect_check=checked).isel(benchmark=0).to_dataframe()
        enough = cheapest(pred, success=query.success, confidence=query.confidence, **asked).isel(benchmark=0)
        found = enough.to_dataframe().rename(columns={"chosen": "enough"})
        frame["p_frontier"] = front["p_frontier"].reindex(frame["option"]).to_numpy()
        frame["on_frontier"] = (front["on_frontier"].reindex(frame["option"]) == 1).to_numpy()
        for name in later[1:]:
            frame[name] = (found[name].reindex(frame["option"]) == 1).to_numpy()
    frame[flags] = frame[flags] == 1
    there = np.isfinite(frame["success"].to_numpy())
    keys = (-frame["success"].to_numpy(), frame["regret"].fillna(np.inf).to_numpy(), frame["bound"].to_numpy())
    order = [place for place in np.lexsort(keys) if there[place]]
    tokens = {"tokens": _draws(pred, "tokens", frame)[:, order]} if "tokens" in pred else {}
    frame, draws, to_reach = frame.iloc[order].reset_index(drop=True), draws[:, order], to_reach[:, order]
    frame.insert(0, "number", np.arange(1, len(frame) + 1))
    frame = _beside(frame, observed, str(pred["benchmark"].values[0]))
    chosen = frame[frame["chosen"]]
    candidates = ~frame["bound"].to_numpy()
    return Decision(
        benchmark=str(pred["benchmark"].values[0]),
        options=frame,
        cost=cost,
        chosen="" if chosen.empty else str(chosen["option"].iloc[0]),
        choice=_choice(frame, draws, query, priced),
        enough=_enough(frame, query) if priced and candidates.any() else "",
        reach=_reach(to_reach[:, candidates].min(axis=1), query) if priced and candidates.any() else "",
        borne_out=tuple(_borne_out(frame)),
        notes=(*_notes(frame, compared=observed is not None), *_of_bounds(frame)),
        weights=dict(shares),
        draws={"success": draws, **({"cost": costs[:, order]} if priced else {}), **tokens},
    )


def _draws(pred: xr.Dataset, name: str, options: pd.DataFrame) -> Array:
    """Return draws (samples, option) of a quantity in the order of the options."""
    at = pred[name].isel(benchmark=0).stack(sample=("chain", "draw")).transpose("model", "strategy", "sample")
    models = [list(pred["model"].values).index(name) for name in options["model"]]
    strategies = [list(pred["strategy"].values).index(name) for name in options["strategy"]]
    return np.asarray(at.values[models, strategies]).T


def _beside(options: pd.DataFrame, observed: pd.DataFrame | None, benchmark: str) -> pd.DataFrame:
    """Add what was observed of the options that were run."""
    names = {"observed": "observed", "tasks": "observed_tasks", "lower": "observed_lower", "upper": "observed_upper"}
    if observed is None:
        return options.assign(**dict.fromkeys(names.values(), np.nan), away=False, edge=False)
    rows = observed[observed["benchmark"] == benchmark].rename(columns=names)
    flags = ["away", "edge"]
    joined = options.merge(rows[["model", "strategy", *names.values(), *flags]], on=["model", "strategy"], how="left")
    # Blank where it was not run.
    return joined.assign(**{name: joined[name].eq(True) for name in flags})


def _choice(options: pd.DataFrame, draws: Array, query: Query, priced: bool) -> str:
    cost, cap = query.cost, query.max_cost
    if options["chosen"].any():
        return _chosen(options, draws, query, priced)
    if options["bound"].all():
        return (
            "No option can be recommended: each picks by a perfect check, which the spec does not say exists, so that "
            "its success is an upper bound (query.perfect_check = true says that answers can be checked)."
        )
    real = options[~options["bound"]]
    least = real.loc[real["cost"].idxmin()]
    return (
        f"No option is within the cap of {amount(cap or np.nan, cost, exact=True)} per task; the cheapest is "
        f"{least['option']}, {amount(least['cost'], cost)}."
    )


def _chosen(options: pd.DataFrame, draws: Array, query: Query, priced: bool) -> str:
    """Say what is chosen, with what it is tied, and what it may lose."""
    cost, cap = query.cost, query.max_cost
    limit = "at any cost" if priced else "by success alone"
    limit = limit if cap is None else f"for at most {amount(cap, cost, exact=True)} per task"
    place = int(options["chosen"].to_numpy().argmax())
    chosen, top = options.iloc[place], options.iloc[0]
    paid = f" for {_money(chosen, cost)}" if priced and np.isfinite(chosen["cost"]) else ""
    said = f"Best {limit}: {chosen['option']}, with success {_success(chosen)}{paid}"
    tied = options[options["tied"]]
    if chosen["number"] != top["number"]:
        mean, low, high = (float(one) for one in mean_interval(draws[:, 0] - draws[:, place]))
        paid = f" and costs {number(top['cost'] / chosen['cost'], 2)} times as much" if chosen["cost"] > 0 else ""
        return (
            f"{said}. It is the cheapest of {len(tied)} options practically tied within {query.margin:g} of expected "
            f"success: the most successful of them, {top['option']}, has {_signed(mean)} ({_signed(low)} to "
            f"{_signed(high)}){paid}."
        )
    said = (
        f"{said}; it is the best option with probability {chance(top['p_best'])}, and choosing it loses "
        f"{share(top['regret'])} of success on average."
    )
    likeliest = options.loc[options["p_best"].idxmax()]
    if len(tied) > 1:
        named = "it is the cheapest of them" if priced else f"the next is {tied.iloc[1]['option']}"
        said += f" Practically tied within {query.margin:g} of expected success are {len(tied)} options; {named}."
    elif likeliest["number"] != top["number"]:
        over = likeliest["p_affordable"] < 1
        said += (
            f" {likeliest['option']} is more often the best (probability {chance(likeliest['p_best'])}), but loses "
            f"{share(likeliest['regret'])} on average"
            + (f", being over the cap with probability {chance(1 - likeliest['p_affordable'])}." if over else ".")
        )
    return said


def _borne_out(options: pd.DataFrame) -> list[str]:
    """Say of what is recommended what was observed, where it agrees with the prediction for the same tasks."""
    return [
        f"{row.option} was run on {row.observed_tasks:,.0f} tasks: success {share(row.observed)}, "
        f"{'at the edge of' if row.edge else 'where'} {share(row.observed_lower)} to {share(row.observed_upper)}"
        f"{', which' if row.edge else ''} is predicted for these same tasks."
        for row in options[options["chosen"] | options["enough"]].itertuples()
        if np.isfinite(row.observed) and not row.away
    ]


def _notes(options: pd.DataFrame, *, compared: bool) -> list[str]:
    """Say of what is recommended where observations do not confirm it."""
    notes = []
    for row in options[options["chosen"] | options["enough"]].itertuples():
        if compared and np.isnan(row.observed):
            notes.append(f"{row.option} was not run: it rests on the model alone, and nothing observed confirms it.")
        if row.extrapolated:
            notes.append(
                f"{row.option} is extrapolated: it lies beyond the efforts, budgets and cuts that were observed."
            )
        if row.away:
            notes.append(
                f"Beware: {row.option} was observed on {row.observed_tasks:,.0f} tasks with success "
                f"{share(row.observed)}, away from the {share(row.observed_lower)} to {share(row.observed_upper)} that "
                f"is predicted for these same tasks."
            )
    return notes


def _of_bounds(options: pd.DataFrame) -> list[str]:
    """Say which upper bounds there are within the cap."""
    within = options[options["p_affordable"] > 0]
    bounds, real = within[within["bound"]], within[~within["bound"]]
    if bounds.empty:
        return []
    top = bounds.loc[bounds["success"].idxmax()]
    ahead = real.empty or top["success"] > real["success"].max()
    one = len(bounds) == 1
    return [
        f"{len(bounds)} {'option picks' if one else 'options pick'} by a perfect check, which the spec does not say "
        f"exists: {'an upper bound' if one else 'upper bounds'}, not recommended"
        + (f" (the highest is {top['option']}, {share(top['success'])})" if ahead else "")
        + ". query.perfect_check = true says that answers can be checked."
    ]


def _success(row: pd.Series) -> str:
    return interval(row["success"], row["success_lower"], row["success_upper"])


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")


def _money(row: pd.Series, cost: str) -> str:
    return f"{amount(row['cost'], cost)} ({number(row['cost_lower'])} to {number(row['cost_upper'])}) per task"


def _enough(options: pd.DataFrame, query: Query) -> str:
    target = f"success {query.success:g} with probability at least {query.confidence:g}"
    good = options[options["enough"]]
    if good.empty:
        real = options[~options["bound"]]
        first = real.loc[real["p_reach"].idxmax()]
        said = f"No option reaches {target}; the nearest is {first['option']}, with probability "
        said += f"{chance(first['p_reach'])}."
    else:
        first = good.iloc[0]
        said = f"Cheapest that reaches {target}: {first['option']}, for {_money(first, query.cost)}."
    near = options[options["nearly"]]
    if near.empty:
        return said
    close = near.loc[near["cost"].idxmin()]
    return (
        f"{said} {close['option']} nearly does, for {number(close['cost'] / first['cost'], 2)} of that price: success "
        f"{_success(close)}, {query.success:g} reached with probability {chance(close['p_reach'])}."
    )


def _reach(lowest: Array, query: Query) -> str:
    never = float(np.isinf(lowest).mean())
    if never == 1:
        return f"Success {query.success:g} is reached by no option in any posterior draw."
    tails = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    middle, low, high = (float(np.quantile(lowest[np.isfinite(lowest)], p)) for p in (0.5, *tails))
    said = f"{amount(middle, query.cost)} ({number(low)} to {number(high)}) per task"
    if never == 0:
        return f"Some option reaches success {query.success:g} in every draw; the cheapest then costs {said}."
    return (
        f"With probability {chance(never)} no option reaches success {query.success:g}; where one does, the cheapest "
        f"costs {said}."
    )
