"""The numbers of a report: one frame per question, and the text that a reader sees of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals import to_table
from ds3bayes.generative.capability import known_parameters
from ds3bayes.generative.design import Arm
from ds3bayes.generative.spec import Query
from ds3bayes.inference.artifact import design_of, evals_of
from ds3bayes.queries.decide import best, cheapest, frontier
from ds3bayes.queries.observed_vs_predicted import observed_vs_predicted
from ds3bayes.queries.predict import predict
from ds3bayes.strategies import TreeOfThought

Array = np.ndarray

#: Every interval of a report is equal-tailed and holds this much probability.
LEVEL = 0.9
#: Posterior sd over prior sd above which a parameter counts as hardly learned, as in `check`.
HARDLY_LEARNED = 0.8
#: Evaluators that the sweep of tree search sets, with the words that name them.
EVALUATORS: tuple[tuple[str, str | None], ...] = (
    ("from chain of thought alone", None),
    ("learned from the tree rows", None),
    ("picks at random (d = 0)", "noisy(d=0)"),
    ("weak (d = 0.5)", "noisy(d=0.5)"),
    ("fair (d = 1)", "noisy(d=1)"),
    ("good (d = 2)", "noisy(d=2)"),
    ("very good (d = 4)", "noisy(d=4)"),
    ("never errs (oracle)", "oracle"),
)
COST_NAMES = {
    "tokens": "generated tokens per task",
    "usd": "USD per task",
    "flops": "FLOP per task",
    "joules": "joules per task",
    "seconds": "seconds per task",
}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
_SAMPLER_KEYS = {
    "model": "LLM",
    "benchmark": "benchmark",
    "strategy": "strategy",
    "effort": "effort",
    "budget_tokens": "budget, tokens",
    "max_tokens": "cut, tokens",
    "branching": "branching",
    "kept_states": "kept states",
    "n_samples": "samples",
    "verifier": "verifier",
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A table as a reader sees it.

    Parameters
    ----------
    caption : str
    frame : pandas.DataFrame
        Text cells; the first column names the row.
    numeric : frozenset of str
        Columns to align right.
    marked : frozenset of int
        Positions of rows to stand out.
    note : str
        Said below the table.
    """

    caption: str
    frame: pd.DataFrame
    numeric: frozenset[str] = frozenset()
    marked: frozenset[int] = frozenset()
    note: str = ""


def number(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, thousands apart and powers of ten where it is long."""
    if value is None or np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = int(np.floor(np.log10(abs(value))))
    if size >= 9 or size < -4:
        front, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{front}×10{str(int(power)).translate(_RAISED)}".replace("-", "−")
    return f"{value:,.{max(0, digits - 1 - size)}f}".replace("-", "−")


def share(value: float) -> str:
    """Write a success rate with three decimals."""
    return "–" if np.isnan(value) else f"{value:.3f}"


def chance(value: float) -> str:
    """Write a probability with two decimals, never rounded to certainty."""
    if np.isnan(value):
        return "–"
    if 0 < value < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 < value < 1 else f"{value:.2f}"


def interval(mean: float, lower: float, upper: float, cost: bool = False) -> str:
    """Write a mean with its interval."""
    if np.isnan(mean):
        return "–"
    write = number if cost else share
    return f"{write(mean)} ({write(lower)} to {write(upper)})"


def amount(value: float, cost: str, *, exact: bool = False) -> str:
    """Write a cost with its unit; ``exact`` is for what a user stated."""
    said = f"{value:,.10g}" if exact else number(value)
    return {
        "usd": f"USD {said}",
        "tokens": f"{said} tokens",
        "flops": f"{said} FLOP",
        "joules": f"{said} J",
        "seconds": f"{said} s",
    }[cost]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What predictions say about one benchmark.

    Parameters
    ----------
    benchmark : str
    options : pandas.DataFrame
        One row per LLM and strategy, least regret first: ``number, model, strategy``, success and cost with
        interval, ``p_best, p_affordable, regret, p_frontier, on_frontier, p_reach, cost_to_reach``. A cost that is
        absent is NaN.
    choice, enough, reach : str
        Sentences: the best within the cap, the cheapest that reaches the target, what reaching it costs.
    """

    benchmark: str
    options: pd.DataFrame
    choice: str
    enough: str
    reach: str


def decide(pred: xr.Dataset, query: Query) -> list[Decision]:
    """Decide for each benchmark, by cost and success, or by success alone if the cost is not predicted.

    Parameters
    ----------
    pred : xarray.Dataset
        From `predict`, without a task dimension.
    query : Query
        The spec's questions.

    Returns
    -------
    list of Decision
    """
    return [_decide(pred.sel(benchmark=[name]), query) for name in pred["benchmark"].values]


def _decide(pred: xr.Dataset, query: Query) -> Decision:
    cost = query.cost
    priced = cost in pred
    cap = query.max_cost if priced else None
    winner = best(pred, max_cost=cap, cost=cost)
    keys = ["model", "strategy"]
    frame = winner.isel(benchmark=0).to_dataframe().reset_index()
    frame = frame[["option", *keys, "p_best", "p_affordable", "regret"]]
    if frame["model"].nunique() > 1:
        frame["option"] = frame["model"] + " · " + frame["strategy"]
    frame["extrapolated"] = _beyond(winner)
    frame["option"] += np.where(frame["extrapolated"], " (extrapolated)", "")
    draws = _draws(pred, "success", frame)
    costs = _draws(pred, cost, frame) if priced else np.full_like(draws, np.nan)
    for name, values in (("success", draws), ("cost", costs)):
        frame[name] = values.mean(axis=0)
        frame[f"{name}_lower"], frame[f"{name}_upper"] = np.quantile(values, _TAILS, axis=0)
    reached = draws >= query.success
    frame["p_reach"] = reached.mean(axis=0)
    to_reach = np.where(reached & np.isfinite(costs), costs, np.inf)
    # The mean of the two middle draws is undefined where one is infinite: take the upper of them.
    frame["cost_to_reach"] = np.sort(to_reach, axis=0)[to_reach.shape[0] // 2] if priced else np.nan
    frame["p_frontier"], frame["on_frontier"] = np.nan, False
    if priced:
        front = frontier(pred, cost=cost).isel(benchmark=0).to_dataframe()
        front = front.set_index("strategy", append=True).reset_index()
        found = front.set_index(keys).loc[list(zip(frame["model"], frame["strategy"], strict=True))]
        frame["p_frontier"] = found["p_frontier"].to_numpy()
        frame["on_frontier"] = found["on_frontier"].to_numpy() == 1
    frame = frame[np.isfinite(frame["success"])].sort_values("regret", kind="stable", ignore_index=True)
    frame.insert(0, "number", np.arange(1, len(frame) + 1))
    benchmark = str(pred["benchmark"].values[0])
    return Decision(
        benchmark=benchmark,
        options=frame,
        choice=_choice(frame, cost, cap),
        enough=_enough(pred, frame, query) if priced else "",
        reach=_reach(to_reach.min(axis=1), query) if priced else "",
    )


def _beyond(decided: xr.Dataset) -> Array:
    """Whether each option is beyond what was observed, of results for one benchmark."""
    return (
        np.asarray(decided["extrapolated"].isel(benchmark=0).values) if "extrapolated" in decided else np.array(False)
    )


def _draws(pred: xr.Dataset, name: str, options: pd.DataFrame) -> Array:
    """Return draws (samples, option) of a quantity in the order of the options."""
    at = pred[name].isel(benchmark=0).stack(sample=("chain", "draw")).transpose("model", "strategy", "sample")
    models = [list(pred["model"].values).index(name) for name in options["model"]]
    strategies = [list(pred["strategy"].values).index(name) for name in options["strategy"]]
    return np.asarray(at.values[models, strategies]).T


def _choice(options: pd.DataFrame, cost: str, cap: float | None) -> str:
    limit = "at any cost" if cap is None else f"for at most {amount(cap, cost, exact=True)} per task"
    if not (options["p_affordable"] > 0).any():
        cheapest_one = options.loc[options["cost"].idxmin()]
        return (
            f"No option is within the cap of {amount(cap or np.nan, cost, exact=True)} per task; the cheapest is "
            f"{cheapest_one['option']}, {amount(cheapest_one['cost'], cost)}."
        )
    top = options.iloc[0]
    paid = "" if np.isnan(top["cost"]) else f" for {_money(top, cost)}"
    said = (
        f"Best {limit}: {top['option']}, with success "
        f"{interval(top['success'], top['success_lower'], top['success_upper'])}{paid}; it is the best option with "
        f"probability {chance(top['p_best'])}, and choosing it loses {share(top['regret'])} of success on average."
    )
    likeliest = options.loc[options["p_best"].idxmax()]
    if likeliest["number"] == top["number"]:
        return said
    return (
        f"{said} {likeliest['option']} is more often the best (probability {chance(likeliest['p_best'])}), but loses "
        f"{share(likeliest['regret'])} on average"
        + (
            f", being over the cap with probability {chance(1 - likeliest['p_affordable'])}."
            if likeliest["p_affordable"] < 1
            else "."
        )
    )


def _money(row: pd.Series, cost: str) -> str:
    return f"{amount(row['cost'], cost)} ({number(row['cost_lower'])} to {number(row['cost_upper'])}) per task"


def _enough(pred: xr.Dataset, options: pd.DataFrame, query: Query) -> str:
    result = cheapest(pred, success=query.success, confidence=query.confidence, cost=query.cost).isel(benchmark=0)
    good = result.to_dataframe().reset_index()
    good = good[good["suffices"] == 1]
    target = f"success {query.success:g} with probability at least {query.confidence:g}"
    if good.empty:
        near = options.loc[options["p_reach"].idxmax()]
        return (
            f"No option reaches {target}; the nearest is {near['option']}, with probability {chance(near['p_reach'])}."
        )
    first = good.loc[good["cost"].idxmin()]
    row = options[(options["model"] == first["model"]) & (options["strategy"] == first["strategy"])].iloc[0]
    return f"Cheapest that reaches {target}: {row['option']}, for {_money(row, query.cost)}."


def _reach(lowest: Array, query: Query) -> str:
    never = float(np.isinf(lowest).mean())
    if never == 1:
        return f"Success {query.success:g} is reached by no option in any posterior draw."
    middle, low, high = (float(np.quantile(lowest[np.isfinite(lowest)], p)) for p in (0.5, *_TAILS))
    said = f"{amount(middle, query.cost)} ({number(low)} to {number(high)}) per task"
    if never == 0:
        return f"Some option reaches success {query.success:g} in every draw; the cheapest then costs {said}."
    return (
        f"With probability {chance(never)} no option reaches success {query.success:g}; where one does, the cheapest "
        f"costs {said}."
    )


def worth_showing(options: pd.DataFrame, limit: int = 25) -> pd.DataFrame:
    """Keep the options of least regret and those on the frontier.

    Parameters
    ----------
    options : pandas.DataFrame
        Of a `Decision`.
    limit : int, default 25
        How many of least regret.
    """
    return options[(options["number"] <= limit) | options["on_frontier"].astype(bool)]


def decision_table(decision: Decision, query: Query, several_models: bool) -> Shown:
    """Write the options of a decision for a reader."""
    options = decision.options
    rows = worth_showing(options)
    priced = bool(np.isfinite(options["cost"]).any())
    names = rows["model"] + " · " + rows["strategy"] if several_models else rows["strategy"]
    names = names + np.where(rows["extrapolated"].astype(bool), " (extrapolated)", "")
    columns = {"option": [f"{n}. {name}" for n, name in zip(rows["number"], names, strict=True)]}
    columns["success"] = _intervals(rows, "success", cost=False)
    if priced:
        columns[f"cost, {COST_NAMES[query.cost]}"] = _intervals(rows, "cost", cost=True)
    columns["P(best)"] = [chance(p) for p in rows["p_best"]]
    columns["expected regret"] = [share(p) for p in rows["regret"]]
    if priced and query.max_cost is not None:
        columns["P(within cap)"] = [chance(p) for p in rows["p_affordable"]]
    if priced:
        columns["P(on frontier)"] = [chance(p) for p in rows["p_frontier"]]
    columns[f"P(success ≥ {query.success:g})"] = [chance(p) for p in rows["p_reach"]]
    if priced:
        columns[f"cost to reach {query.success:g}"] = [
            "not reached" if np.isinf(value) else number(value) for value in rows["cost_to_reach"]
        ]
    left_out = len(options) - len(rows)
    note = (
        f"{left_out} of {len(options)} options are not shown: they have more regret than these and are not on the "
        "frontier of the means."
        if left_out
        else ""
    )
    frame = pd.DataFrame(columns)
    return Shown(
        caption=f"Options on {decision.benchmark}, least expected regret first; means with 90 % intervals",
        frame=frame,
        numeric=frozenset(frame.columns[1:]),
        note=note,
    )


def _intervals(rows: pd.DataFrame, name: str, *, cost: bool) -> list[str]:
    parts = zip(rows[name], rows[f"{name}_lower"], rows[f"{name}_upper"], strict=True)
    return [interval(mean, low, high, cost) for mean, low, high in parts]


def comparison(fit: xr.DataTree, seed: int = 0) -> pd.DataFrame:
    """Return `observed_vs_predicted` with a ``verdict`` in words and a ``sampler`` label without repetition."""
    table = observed_vs_predicted(fit, level=LEVEL, seed=seed)
    table["verdict"] = [
        "inside"
        if row.inside
        else f"missed: observed is {'above' if row.observed > row.upper else 'below'} the interval"
        for row in table.itertuples()
    ]
    parts = [name for name in ("model", "benchmark") if table[name].nunique() > 1]
    table["sampler"] = [" · ".join(row) for row in table[[*parts, "strategy"]].astype(str).itertuples(index=False)]
    return table


def is_share(table: pd.DataFrame) -> pd.Series:
    """Whether a compared quantity is a share of right answers rather than a cost."""
    return ~table["quantity"].str.startswith(("tokens", "USD"))


def comparison_table(table: pd.DataFrame, part: str = "") -> Shown:
    """Write a comparison, or the held-out or fitted part of it, for a reader."""
    shares = is_share(table)
    write = [share if of_success else number for of_success in shares]
    frame = pd.DataFrame(
        {
            "sampler": table["sampler"],
            "quantity": table["quantity"],
            **({} if part else {"rows": table["rows"]}),
            "tasks": [f"{n:,}" for n in table["tasks"]],
            "observed": [form(value) for form, value in zip(write, table["observed"], strict=True)],
            "predicted": [
                interval(row.mean, row.lower, row.upper, not of_success)
                for row, of_success in zip(table.itertuples(), shares, strict=True)
            ],
            "verdict": table["verdict"],
        }
    )
    return Shown(
        caption={"held out": "Held-out rows: observed", "fitted": "Rows used in the fit: observed"}.get(
            part, "Observed"
        )
        + " values and what the fit predicts for the same tasks; means with 90 % intervals",
        frame=frame,
        numeric=frozenset({"tasks", "observed", "predicted"}),
        marked=frozenset(np.flatnonzero(~table["inside"]).tolist()),
    )


def held_out_score(table: pd.DataFrame) -> pd.DataFrame:
    """Score the predictions of held-out rows, by kind of quantity.

    Parameters
    ----------
    table : pandas.DataFrame
        From `comparison`.

    Returns
    -------
    pandas.DataFrame
        ``quantity, number, inside, expected`` (number that right intervals hold on average), ``error`` (mean absolute
        error, relative to the observed for tokens and prices) and ``width`` (mean width of the intervals, likewise).
        Empty if no row was held out.
    """
    held = table[table["rows"] == "held out"]
    kinds = held["quantity"].str.replace(r"^any of \d+ ", "any of the ", regex=True)
    rows = []
    for kind, group in held.groupby(kinds, sort=False):
        unit = 1.0 if is_share(group).all() else group["observed"].where(group["observed"] > 0)
        error = ((group["mean"] - group["observed"]).abs() / unit).mean()
        width = ((group["upper"] - group["lower"]) / unit).mean()
        rows.append((str(kind), len(group), int(group["inside"].sum()), LEVEL * len(group), error, width))
    return pd.DataFrame(rows, columns=["quantity", "number", "inside", "expected", "error", "width"])


def held_out_table(score: pd.DataFrame) -> Shown:
    """Write the score of held-out rows for a reader."""
    relative = score["quantity"].str.startswith(("tokens", "USD"))
    write = [(lambda value: f"{100 * value:.0f} %") if one else share for one in relative]
    frame = pd.DataFrame(
        {
            "quantity": score["quantity"],
            "predicted": [f"{n}" for n in score["number"]],
            "inside 90 % interval": [f"{n}" for n in score["inside"]],
            "expected inside": [f"{n:.1f}" for n in score["expected"]],
            "mean absolute error": [form(value) for form, value in zip(write, score["error"], strict=True)],
            "mean width of the interval": [form(value) for form, value in zip(write, score["width"], strict=True)],
        }
    )
    return Shown(
        caption="Held-out rows by kind of quantity; errors of tokens and prices are relative to the observed",
        frame=frame,
        numeric=frozenset(frame.columns[1:]),
        note=(
            "Quantities of the same LLM or tasks are missed or hit together, so that small numbers say little; widths "
            "far above the errors mean careful intervals, not good ones."
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How the prediction for one observed tree search moves with its step evaluator.

    Parameters
    ----------
    name : str
        LLM, benchmark and tree.
    table : pandas.DataFrame
        ``evaluator, quantity, mean, lower, upper, observed``: predictions for the rows that were observed, with the
        noise of their attempts.
    tasks, held_out : int
        Observed tasks, and how many of them the fit did not see.
    branching, kept_states : int
        Of the tree.
    path_length : float
        Skills on the path of a task.
    learned : dict of str to tuple of float
        Posterior mean and interval of what is particular to trees.
    """

    name: str
    table: pd.DataFrame
    tasks: int
    held_out: int
    branching: int
    kept_states: int
    path_length: float
    learned: dict[str, tuple[float, float, float]]


def sweeps(fit: xr.DataTree, seed: int = 0) -> list[Sweep]:
    """Predict every observed tree search at several step evaluators.

    Parameters
    ----------
    fit : xarray.DataTree
    seed : int, default 0

    Returns
    -------
    list of Sweep
        One per tree arm; empty if there is none.

    Raises
    ------
    InputError
        If a tree cannot be predicted, for want of a path length for instance.
    """
    design = design_of(fit)
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    result = []
    for index, arm in enumerate(design.arms):
        if not arm.is_tree:
            continue
        rows = _rows_of(table, arm)
        if rows.empty:
            continue
        posterior = fit["posterior"].to_dataset()
        learned = {
            name: _mean_interval(posterior[name].sel(tree=arm.pair).values.ravel())
            for name in ("step_discrimination", "answer_fidelity", "tree_slope")
            if name in posterior and arm.pair in posterior[name].coords.get("tree", [])
        }
        result.append(
            Sweep(
                name=str(arm),
                table=_sweep(fit, arm, rows, seed),
                tasks=len(rows),
                held_out=int(rows["held_out"].sum()),
                branching=arm.branching,
                kept_states=arm.kept_states,
                path_length=float(design.path_length[index]),
                learned=learned,
            )
        )
    return result


def _rows_of(table: pd.DataFrame, arm: Arm) -> pd.DataFrame:
    def given(name: str, value: int | None) -> pd.Series:
        return table[name].isna() if value is None else table[name] == value

    mine = (
        (table["strategy"] == arm.walk)
        & (table["model"] == arm.model)
        & (table["benchmark"] == arm.benchmark)
        & (table["effort"] == arm.effort)
        & given("budget_tokens", arm.budget_tokens)
        & given("max_tokens", arm.max_tokens)
        & (table["branching"] == arm.branching)
        & (table["kept_states"].fillna(1) == arm.kept_states)
    )
    return table[mine].sort_values("task")


def _sweep(fit: xr.DataTree, arm: Arm, rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    def tree(evaluator: str | None) -> TreeOfThought:
        return TreeOfThought(
            branching=arm.branching,
            kept_states=arm.kept_states,
            evaluator=evaluator,
            effort=arm.effort or None,
            budget_tokens=arm.budget_tokens,
            max_tokens=arm.max_tokens,
        )

    tasks = [str(task) for task in rows["task"]]
    set_trees = {label: tree(evaluator) for label, evaluator in EVALUATORS}
    calibrated = predict(fit, list(dict.fromkeys(set_trees.values())), tasks=tasks, per_task=True, seed=seed)
    alone = predict(fit, [tree(None)], tasks=tasks, per_task=True, calibrated=False, seed=seed)
    n, c = rows["attempts"].to_numpy(), rows["successes"].to_numpy()
    rng = np.random.default_rng([seed, 7])
    found = []
    for position, (label, strategy) in enumerate(set_trees.items()):
        pred = alone if position == 0 else calibrated
        at = pred["success"].sel(model=arm.model, benchmark=arm.benchmark, strategy=str(strategy), task=tasks)
        q = at.stack(sample=("chain", "draw")).transpose("sample", "task").values
        drawn = rng.binomial(n, q)
        found.append((label, "one output right", *_mean_interval(drawn.sum(axis=1) / n.sum()), c.sum() / n.sum()))
        if n.max() > 1:
            several = f"any of {n[0]} outputs right" if n.min() == n.max() else "any output of a task right"
            found.append((label, several, *_mean_interval((drawn > 0).mean(axis=1)), (c > 0).mean()))
    return pd.DataFrame(found, columns=["evaluator", "quantity", "mean", "lower", "upper", "observed"])


def _mean_interval(draws: Array) -> tuple[float, float, float]:
    low, high = np.quantile(draws, _TAILS)
    return float(draws.mean()), float(low), float(high)


def sweep_table(sweep: Sweep) -> Shown:
    """Write a sweep over evaluators for a reader."""
    wide: dict[str, list[str]] = {"step evaluator": list(dict.fromkeys(sweep.table["evaluator"]))}
    for quantity, rows in sweep.table.groupby("quantity", sort=False):
        wide[f"{quantity}, predicted"] = [interval(row.mean, row.lower, row.upper) for row in rows.itertuples()]
        wide[f"{quantity}, observed"] = [share(value) for value in rows["observed"]]
    frame = pd.DataFrame(wide)
    return Shown(
        caption=f"{sweep.name}: predictions for its {sweep.tasks} tasks by step evaluator, with 90 % intervals",
        frame=frame,
        numeric=frozenset(frame.columns[1:]),
    )


def learned_table(learned: pd.DataFrame) -> Shown:
    """Write prior against posterior for a reader, with what each parameter means."""
    weak = learned["sd ratio"] > HARDLY_LEARNED
    frame = pd.DataFrame(
        {
            "parameter": learned["parameter"],
            "of": learned["of"],
            "prior": [_triple(row, "prior ") for _, row in learned.iterrows()],
            "posterior": [_triple(row, "") for _, row in learned.iterrows()],
            "sd ratio": [number(value, 2) for value in learned["sd ratio"]],
            "verdict": np.where(weak, "hardly learned", "learned"),
        }
    )
    return Shown(
        caption="Every parameter before and after the data: median with 90 % interval, and posterior sd over prior sd",
        frame=frame,
        numeric=frozenset({"prior", "posterior", "sd ratio"}),
        marked=frozenset(np.flatnonzero(weak).tolist()),
    )


def _triple(row: pd.Series, before: str) -> str:
    middle, low, high = (number(row[f"{before}{p}"]) for p in ("50%", "5%", "95%"))
    return f"{middle} ({low} to {high})"


def meanings(learned: pd.DataFrame) -> Shown:
    """Say in words what each parameter is, with how many of them there are and how many were hardly learned."""
    rows, known = [], known_parameters()
    for name, group in learned.groupby("parameter", sort=False):
        meaning = known[str(name)].meaning if str(name) in known else ""
        weak = int((group["sd ratio"] > HARDLY_LEARNED).sum())
        rows.append((str(name), meaning, str(len(group)), str(weak), number(group["sd ratio"].median(), 2)))
    return Shown(
        caption="Parameters, what they mean, and how many of them the data hardly informed",
        frame=pd.DataFrame(rows, columns=["parameter", "meaning", "number", "hardly learned", "median sd ratio"]),
        numeric=frozenset({"number", "hardly learned", "median sd ratio"}),
        marked=frozenset(position for position, row in enumerate(rows) if row[3] != "0"),
    )


def beliefs_table(beliefs: pd.DataFrame) -> Shown:
    """Write what the priors believed beside what was observed."""
    rows = []
    for row in beliefs.to_dict("records"):
        write = number if row["quantity"] == "tokens per unit" else share
        seen = write(row["observed"]) if np.isfinite(row["observed"]) else "not observed"
        rows.append(
            (row["sampler"], row["quantity"], f"{write(row['50%'])} ({write(row['5%'])} to {write(row['95%'])})", seen)
        )
    return Shown(
        caption="What the priors believed before the data: median with 90 % interval",
        frame=pd.DataFrame(rows, columns=["sampler", "quantity", "prior", "observed"]),
        numeric=frozenset({"prior", "observed"}),
    )


def samplers(fit: xr.DataTree) -> pd.DataFrame:
    """Summarise the data: one row per LLM, benchmark and sampler setting.

    Returns
    -------
    pandas.DataFrame
        The settings, ``tasks, attempts, success, tokens`` (mean generated tokens per attempt, NaN if not logged)
        and ``held out`` (tasks).
    """
    evals, held = evals_of(fit)
    table = to_table(evals).assign(held_out=held)
    rows = []
    for key, group in table.groupby(list(_SAMPLER_KEYS), dropna=False, sort=False):
        attempts = int(group["attempts"].sum())
        tokens = float("nan")
        if "tokens_mean" in group and group["tokens_mean"].notna().any():
            given = group[group["tokens_mean"].notna()]
            tokens = float(np.average(given["tokens_mean"], weights=given["attempts"]))
        held_tasks = group.loc[group["held_out"], "task"].nunique()
        success = group["successes"].sum() / attempts if attempts else float("nan")
        rows.append((*key, group["task"].nunique(), attempts, success, tokens, held_tasks))
    return pd.DataFrame(rows, columns=[*_SAMPLER_KEYS, "tasks", "attempts", "success", "tokens", "held out"])


def samplers_table(table: pd.DataFrame) -> Shown:
    """Write the summary of the data for a reader; settings that no row has are left out."""
    columns: dict[str, Sequence[str]] = {}
    for key, name in _SAMPLER_KEYS.items():
        values = ["" if pd.isna(value) else _plain(value) for value in table[key]]
        if any(values):
            columns[name] = values
    columns["tasks"] = [f"{n:,}" for n in table["tasks"]]
    columns["attempts"] = [f"{n:,}" for n in table["attempts"]]
    columns["success per attempt"] = [share(value) for value in table["success"]]
    columns["tokens per attempt"] = [number(value) for value in table["tokens"]]
    columns["tasks held out"] = [f"{n:,}" for n in table["held out"]]
    frame = pd.DataFrame(columns)
    numeric = {"tasks", "attempts", "success per attempt", "tokens per attempt", "tasks held out"}
    numeric |= {"budget, tokens", "branching", "kept states", "samples"} & set(frame.columns)
    return Shown(caption="What was observed, by sampler", frame=frame, numeric=frozenset(numeric))


def _plain(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def check_table(name: str, table: pd.DataFrame, limit: int = 60) -> Shown:
    """Write the numbers behind a check for a reader, the first ``limit`` rows of them."""
    named = not isinstance(table.index, pd.RangeIndex)
    frame = table.reset_index(names="parameter") if named else table
    shown = frame.head(limit)
    numeric = {column for column in frame.columns if pd.api.types.is_numeric_dtype(frame[column])}
    text = pd.DataFrame(
        {
            column: [number(float(v)) for v in shown[column]] if column in numeric else shown[column].astype(str)
            for column in shown.columns
        }
    )
    note = f"The first {limit} of {len(frame):,} rows; `check` returns them all." if len(frame) > limit else ""
    return Shown(caption=f"The numbers behind the check: {name}", frame=text, numeric=frozenset(numeric), note=note)
