"""The numbers of a report: one frame per question, and the text that a reader sees of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.evals import to_table
from ds3bayes.generative.capability import described
from ds3bayes.generative.design import Arm
from ds3bayes.generative.spec import Query
from ds3bayes.generative.terms import SEARCH_PARAMETERS
from ds3bayes.inference.artifact import design_of, evals_of
from ds3bayes.queries.decide import Decision
from ds3bayes.queries.observed_vs_predicted import observed_vs_predicted
from ds3bayes.queries.predict import outputs_again
from ds3bayes.queries.words import COST_NAMES, LEVEL, chance, interval, mean_interval, number, share
from ds3bayes.strategies.thoughts import ThoughtSearch

Array = np.ndarray

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
#: Options of a decision that its table holds.
MOST_OPTIONS = 200
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
    keys : dict of str to str
        What a column holds, by its name, where a script writes into it.
    numbers : tuple of int
        What each row is called there.
    """

    caption: str
    frame: pd.DataFrame
    numeric: frozenset[str] = frozenset()
    marked: frozenset[int] = frozenset()
    note: str = ""
    keys: Mapping[str, str] = field(default_factory=dict)
    numbers: tuple[int, ...] = ()


def worth_showing(options: pd.DataFrame, limit: int = 25) -> pd.DataFrame:
    """Keep the options of least regret, those on the frontier and those that are recommended.

    Parameters
    ----------
    options : pandas.DataFrame
        Of a `Decision`.
    limit : int, default 25
        How many of least regret.
    """
    recommended = options["chosen"] | options["enough"] | options["on_frontier"]
    return options[(options["number"] <= limit) | recommended.astype(bool)]


def decision_table(decision: Decision, query: Query) -> Shown:
    """Write the options of a decision for a reader: all of them, but of very many."""
    options = decision.options
    rows = worth_showing(options, MOST_OPTIONS)
    priced = bool(np.isfinite(options["cost"]).any())
    names = rows["option"] + np.where(rows["extrapolated"].astype(bool), " (extrapolated)", "")
    columns = {"option": [f"{n}. {name}" for n, name in zip(rows["number"], names, strict=True)]}
    keys = {"P(best)": "p_best", "expected regret": "regret", "P(within cap)": "p_affordable"}
    keys |= {"P(on frontier)": "p_frontier", f"P(success ≥ {query.success:g})": "p_reach"}
    columns["success"] = _intervals(rows, "success", cost=False)
    unit = COST_NAMES[query.cost]
    if priced:
        columns[f"cost, {unit}"] = _intervals(rows, "cost", cost=True)
    keys |= {f"cost, {unit}": "cost", f"cost to reach {query.success:g}, {unit}": "to_reach"}
    keys["observed"] = "observed"
    columns["P(best)"] = [
        "bound" if bound else chance(p) for p, bound in zip(rows["p_best"], rows["bound"], strict=True)
    ]
    several = options["tied"].sum() > 1
    columns["expected regret"] = [
        share(row.regret) + ", chosen" * bool(row.chosen) + ", tied" * bool(row.tied and several and not row.chosen)
        for row in rows.itertuples()
    ]
    if priced and query.max_cost is not None:
        columns["P(within cap)"] = [chance(p) for p in rows["p_affordable"]]
    if priced:
        columns["P(on frontier)"] = [chance(p) for p in rows["p_frontier"]]
    columns[f"P(success ≥ {query.success:g})"] = [chance(p) for p in rows["p_reach"]]
    if priced:
        columns[f"cost to reach {query.success:g}, {unit}"] = [
            "not reached" if np.isinf(value) else number(value) for value in rows["cost_to_reach"]
        ]
    if options["observed"].notna().any():
        columns["observed"] = [_observed(row) for row in rows.itertuples()]
    left_out = len(options) - len(rows)
    notes = []
    if rows["bound"].any():
        notes.append(
            "“bound”: an upper bound, which assumes a perfect check of answers (query.perfect_check); it competes with "
            "nothing."
        )
    if rows["away"].any():
        notes.append(
            "Marked: what was observed is away from what is predicted for the same tasks, the 90 % interval beside it."
        )
    if left_out:
        notes.append(
            f"{left_out} of {len(options)} options are not shown: they have more regret than these and are not on the "
            "frontier of the means."
        )
    frame = pd.DataFrame(columns)
    return Shown(
        caption=f"Options on {decision.benchmark}, least expected regret first; means with 90 % intervals",
        frame=frame,
        keys={name: key for name, key in keys.items() if name in columns},
        numbers=tuple(int(one) for one in rows["number"]),
        numeric=frozenset(frame.columns[1:]),
        marked=frozenset(np.flatnonzero(rows["away"]).tolist()),
        note=" ".join(notes),
    )


def _observed(row: Any) -> str:
    """Write what was observed of an option, and where its prediction for the same tasks is, if away from it."""
    if np.isnan(row.observed):
        return ""
    said = f"{share(row.observed)} ({row.observed_tasks:,.0f} tasks)"
    predicted = f"{share(row.observed_lower)} to {share(row.observed_upper)}"
    if row.away:
        return f"{said}, predicted {predicted}"
    return f"{said}, at the edge of {predicted}" if row.edge else said


def _intervals(rows: pd.DataFrame, name: str, *, cost: bool) -> list[str]:
    parts = zip(rows[name], rows[f"{name}_lower"], rows[f"{name}_upper"], strict=True)
    return [interval(mean, low, high, cost) for mean, low, high in parts]


def comparison(fit: xr.DataTree, seed: int = 0) -> pd.DataFrame:
    """Return `observed_vs_predicted` with a ``verdict`` in words and a ``sampler`` label without repetition."""
    table = observed_vs_predicted(fit, level=LEVEL, seed=seed)
    table["verdict"] = [_verdict(row) for row in table.itertuples()]
    parts = [name for name in ("model", "benchmark") if table[name].nunique() > 1]
    table["sampler"] = [" · ".join(row) for row in table[[*parts, "strategy"]].astype(str).itertuples(index=False)]
    return table


def _verdict(row: Any) -> str:
    """Say whether an observed value lies in its interval, and whether that tells anything."""
    if row.flat:
        return "no interval: follows from what the fit is given"
    if not row.inside:
        return f"missed: observed is {'above' if row.observed > row.upper else 'below'} the interval"
    return "inside, at the very edge" if row.edge else "inside"


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
        marked=frozenset(np.flatnonzero(~table["inside"] & ~table["flat"]).tolist()),
    )


def held_out_score(table: pd.DataFrame) -> pd.DataFrame:
    """Score the predictions of held-out rows, by kind of quantity; an interval without a width cannot be scored.

    Parameters
    ----------
    table : pandas.DataFrame
        From `comparison`.

    Returns
    -------
    pandas.DataFrame
        ``quantity, number, inside, expected`` (number that right intervals hold on average), ``error`` (mean absolute
        error, relative to the observed for tokens and prices) and ``width`` (mean width of the intervals, likewise).
        Quantities whose interval has no width are left out. Empty if no row was held out.
    """
    held = table[(table["rows"] == "held out") & ~table["flat"]]
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
    proposed : float
        Mean candidates of a kept state: by the states that were evaluated, where the table says so.
    kept_states : int
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
    proposed: float
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
            for name in (*SEARCH_PARAMETERS, "tree_slope")
            if name in posterior and arm.pair in posterior[name].coords.get("tree", [])
        }
        result.append(
            Sweep(
                name=str(arm),
                table=_sweep(fit, arm, rows, seed),
                tasks=len(rows),
                held_out=int(rows["held_out"].sum()),
                proposed=design.proposed(index, arm.branching),
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
    outputs = rows["outputs"].fillna(1.0)
    usual = int(outputs.mode().iloc[0])
    rows = rows[outputs == usual]

    def tree(evaluator: str | None) -> ThoughtSearch:
        return replace(arm.search.writing(usual), evaluator=evaluator)

    tasks = [str(task) for task in rows["task"]]
    n, c = rows["attempts"].to_numpy(), rows["successes"].to_numpy()
    where = (arm.model, arm.benchmark)
    found = []
    for position, (label, evaluator) in enumerate(EVALUATORS):
        # One noise of the attempts for all evaluators, so that these alone tell their rows apart.
        rng = np.random.default_rng([seed, 7])
        calibrated = position > 0
        drawn = outputs_again(fit, tree(evaluator), where, tasks, n // usual, rng, calibrated=calibrated, seed=seed)
        found.append((label, "one output right", *_mean_interval(drawn.sum(axis=1) / n.sum()), c.sum() / n.sum()))
        if n.max() > 1:
            several = f"any of {n[0]} outputs right" if n.min() == n.max() else "any output of a task right"
            found.append((label, several, *_mean_interval((drawn > 0).mean(axis=1)), (c > 0).mean()))
    return pd.DataFrame(found, columns=["evaluator", "quantity", "mean", "lower", "upper", "observed"])


def _mean_interval(draws: Array) -> tuple[float, float, float]:
    mean, low, high = mean_interval(draws, LEVEL)
    return float(mean), float(low), float(high)


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
    rows = []
    for name, group in learned.groupby("parameter", sort=False):
        meaning, unit = described(str(name))
        weak = int((group["sd ratio"] > HARDLY_LEARNED).sum())
        rows.append((str(name), meaning, unit, str(len(group)), str(weak), number(group["sd ratio"].median(), 2)))
    return Shown(
        caption="Parameters, what they mean, and how many of them the data hardly informed",
        frame=pd.DataFrame(
            rows, columns=["parameter", "meaning", "unit", "number", "hardly learned", "median sd ratio"]
        ),
        numeric=frozenset({"number", "hardly learned", "median sd ratio"}),
        marked=frozenset(position for position, row in enumerate(rows) if row[4] != "0"),
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
