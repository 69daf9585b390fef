"""`gate`: whether a candidate is no worse than a baseline, for continuous integration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals, to_table
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.fit import fit
from ds3bayes.queries.predict import predict
from ds3bayes.queries.words import chance
from ds3bayes.strategies.base import ROW_COLUMNS

Verdict = Literal["no worse", "worse", "undecided"]
#: Exit status of the command line by verdict.
STATUS: dict[str, int] = {"no worse": 0, "worse": 1, "undecided": 3}
_SIDES = ("baseline", "candidate")
_SETTING = list(ROW_COLUMNS)
# Probability with which the further attempts that are named decide.
_DECIDES = 0.8


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Whether a candidate passes.

    Parameters
    ----------
    verdict : {"no worse", "worse", "undecided"}
        ``"no worse"`` where success falls by less than ``margin`` with probability ``confidence`` or more, ``"worse"``
        where it falls by more with that probability.
    p_no_worse : float
        Probability that success falls by less than the margin.
    table : pandas.DataFrame
        One row per benchmark, and one of their mean where there are several: ``benchmark, tasks`` (those that both
        tried), ``attempts_baseline, attempts_candidate, baseline, candidate`` (success), ``difference, lower, upper``
        (candidate less baseline, with its interval of probability ``confidence``), ``p_no_worse``.
    further_attempts : float
        How many more attempts of either decide with probability .8, for or against, 0 where it is decided: at these
        same tasks, or where the claim is about new ones at as many further tasks as that takes.
    margin, confidence : float
    tasks : {"observed", "new"}
    """

    verdict: Verdict
    p_no_worse: float
    table: pd.DataFrame
    further_attempts: float
    margin: float
    confidence: float
    tasks: str

    @property
    def status(self) -> int:
        """Exit status: 0 no worse, 1 worse, 3 undecided."""
        return STATUS[self.verdict]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        row = self.table.iloc[-1]
        said = (
            f"The candidate is {self.verdict}: success {row.candidate:.3f} against {row.baseline:.3f}, difference "
            f"{row.difference:+.3f} ({self.confidence:.0%} interval {row.lower:+.3f} to {row.upper:+.3f}); with "
            f"probability {chance(self.p_no_worse)} it falls by less than {self.margin:g}."
        )
        if self.verdict != "undecided":
            return said
        where = "at these tasks" if self.tasks == "observed" else "at further tasks"
        return (
            f"{said} With probability {_DECIDES:g}, {self.further_attempts:,.0f} more attempts of either {where} would "
            "decide."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as for JSON."""
        return {
            "verdict": self.verdict,
            "p_no_worse": self.p_no_worse,
            "margin": self.margin,
            "confidence": self.confidence,
            "tasks": self.tasks,
            "further_attempts": self.further_attempts,
            "sentence": self.sentence,
            "benchmarks": self.table.to_dict("records"),
        }

    def markdown(self) -> str:
        """Return a summary for a pull request."""
        mark = {"no worse": "✅", "worse": "❌", "undecided": "❔"}[self.verdict]
        lines = [
            f"### {mark} ds3bayes gate: {self.verdict}",
            "",
            self.sentence,
            "",
            "| benchmark | tasks | baseline | candidate | difference | interval | P(no worse) |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in self.table.itertuples():
            name = str(row.benchmark).replace("|", "\\|").replace("\n", " ")
            lines.append(
                f"| {name} | {row.tasks:,} | {row.baseline:.3f} | {row.candidate:.3f} | {row.difference:+.3f} | "
                f"{row.lower:+.3f} to {row.upper:+.3f} | {chance(row.p_no_worse)} |"
            )
        return "\n".join(lines) + "\n"

    def junit(self) -> str:
        """Return JUnit XML: one case per benchmark, and one of all; worse fails, undecided is an error."""
        suite = ElementTree.Element("testsuite", name="ds3bayes gate", tests=str(len(self.table)))
        counts = {"failures": 0, "errors": 0}
        for row in self.table.itertuples():
            case = ElementTree.SubElement(suite, "testcase", classname="ds3bayes.gate", name=str(row.benchmark))
            verdict = _verdict(row.p_no_worse, self.confidence)
            if verdict != "no worse":
                kind = "failure" if verdict == "worse" else "error"
                counts[f"{kind}s"] += 1
                where = f"({row.lower:+.3f} to {row.upper:+.3f}), margin {self.margin:g}"
                text = f"difference {row.difference:+.3f} {where}"
                ElementTree.SubElement(case, kind, message=f"{verdict}: {text}")
        for name, count in counts.items():
            suite.set(name, str(count))
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def gate(
    baseline: xr.Dataset,
    candidate: xr.Dataset,
    *,
    margin: float = 0.02,
    confidence: float = 0.95,
    tasks: Literal["observed", "new"] = "observed",
    draws: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Gate:
    """Tell whether a candidate is no worse than a baseline, from the evaluations of both.

    One model is fitted to both, in which they share their tasks: what makes a task hard for both cancels in the
    difference, so that it is known better than either success. Several benchmarks count alike.

    Parameters
    ----------
    baseline, candidate : xarray.Dataset
        From `read_evals`: each of one LLM with one sampler (an agent, a prompt or a version of it counts as one), on
        the same benchmarks. Tasks are told by their names.
    margin : float, default 0.02
        Fall of success that does not matter, in [0, 1).
    confidence : float, default 0.95
        Probability that either verdict needs, in (0.5, 1).
    tasks : {"observed", "new"}, default "observed"
        Whether the claim is about these very tasks (those that both tried), or about new ones like them.
    draws : int, default 1000
        Posterior draws of each of four chains.
    seed : int, default 0
    progress : bool, default False

    Returns
    -------
    Gate

    Raises
    ------
    InputError
        If a side holds several LLMs or samplers, no task is shared, rows are aggregates or a number is out of range.

    Notes
    -----
    Of simulated pairs (40 tasks, five attempts of each side, margin .03, confidence .95) with a true difference right
    at the margin 2 of 61 were found no worse and 3 worse, where .05 each may be; of pairs with other differences 22 of
    61 were decided, none of them wrongly, and 28 of the 39 others after as many further attempts as were named for a
    probability of .8.
    """
    if not 0.0 <= margin < 1.0 or not 0.5 < confidence < 1.0:
        raise InputError(f"margin must be in [0, 1) and confidence in (0.5, 1), got {margin} and {confidence}")
    if tasks not in ("observed", "new"):
        raise InputError(f"tasks = {tasks!r}; allowed: 'observed', 'new'")
    frames = {side: _one_sampler(evals, side) for side, evals in zip(_SIDES, (baseline, candidate), strict=True)}
    tried = {side: set(zip(frame["benchmark"], frame["task"], strict=True)) for side, frame in frames.items()}
    both = tried["baseline"] & tried["candidate"]
    if not both:
        raise InputError(
            f"baseline and candidate share no task (baseline: {len(tried['baseline'])} tasks of "
            f"{', '.join(sorted({name for name, _ in tried['baseline']}))}; candidate: {len(tried['candidate'])} of "
            f"{', '.join(sorted({name for name, _ in tried['candidate']}))}); evaluate both on the same tasks"
        )
    table = pd.concat([frames[side].assign(model=side) for side in _SIDES], ignore_index=True)
    fitted = fit(read_evals(table), ModelSpec(name="gate"), draws=draws, seed=seed, progress=progress)
    pred = predict(fitted, tasks=tasks, per_task=tasks == "observed", seed=seed)
    drawn: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name in dict.fromkeys(frames["baseline"]["benchmark"]):
        mine = sorted(task for benchmark, task in both if benchmark == name)
        if mine:
            drawn[name] = tuple(_success(pred, side, name, mine) for side in _SIDES)  # type: ignore[assignment]
    rows = [_row(name, *drawn[name], table, both, margin, confidence) for name in drawn]
    if len(drawn) > 1:
        first, second = (np.mean([pair[place] for pair in drawn.values()], axis=0) for place in range(2))
        rows.append(_row("all benchmarks", first, second, table, both, margin, confidence))
        difference = second - first
    else:
        difference = next(iter(drawn.values()))[1] - next(iter(drawn.values()))[0]
    p = float(np.mean(difference > -margin))
    verdict = _verdict(p, confidence)
    again = (
        _further(float((difference.mean() + margin) / difference.std()), confidence) if verdict == "undecided" else 0.0
    )
    attempts = max(rows[-1]["attempts_baseline"], rows[-1]["attempts_candidate"])
    return Gate(
        verdict=verdict,
        p_no_worse=p,
        table=pd.DataFrame(rows),
        further_attempts=again * attempts,
        margin=margin,
        confidence=confidence,
        tasks=tasks,
    )


def _verdict(p_no_worse: float, confidence: float) -> Verdict:
    if p_no_worse >= confidence:
        return "no worse"
    return "worse" if 1.0 - p_no_worse >= confidence else "undecided"


def _one_sampler(evals: xr.Dataset, side: str) -> pd.DataFrame:
    """Return a side's table, which must be of one LLM with one sampler, task by task."""
    table = to_table(evals)
    faults = []
    if (table["task"] == "").any():
        faults.append(f"{int((table['task'] == '').sum())} rows have no task; a gate compares task by task")
    models = table["model"].unique()
    if len(models) > 1:
        faults.append(f"it holds several LLMs ({', '.join(map(str, models[:5]))}); keep one")
    settings = table.groupby(["benchmark"], dropna=False)[_SETTING].apply(lambda rows: len(rows.drop_duplicates()))
    several = [str(name) for name, count in settings.items() if count > 1]
    if several and len(models) == 1:
        shown = table.loc[table["benchmark"] == several[0], _SETTING].drop_duplicates().head(4).to_dict("records")
        told = "; ".join(
            ", ".join(f"{key} {value}" for key, value in one.items() if value == value and value != "") for one in shown
        )
        faults.append(f"on {several[0]} it holds several samplers ({told}); keep one")
    if faults:
        raise InputError.of_faults(
            side, [*faults, "choose rows by where (--baseline-where, --candidate-where) or give other files"]
        )
    return table


def _success(pred: xr.Dataset, side: str, benchmark: str, tasks: list[str]) -> np.ndarray:
    """Draws of a side's mean success on a benchmark."""
    at = pred["success"].sel(model=side, benchmark=benchmark)
    if "task" in at.dims:
        at = at.sel(task=tasks)
    # Of a side's samplers only its own has numbers.
    at = at.stack(sample=("chain", "draw"))
    values = at.transpose("strategy", ..., "sample").values
    mine = int(np.isfinite(values).reshape(len(values), -1).any(axis=1).argmax())
    return values[mine].mean(axis=0) if "task" in at.dims else values[mine]


def _row(
    name: str,
    baseline: np.ndarray,
    candidate: np.ndarray,
    table: pd.DataFrame,
    both: set[tuple[str, str]],
    margin: float,
    confidence: float,
) -> dict[str, Any]:
    difference = candidate - baseline
    low, high = np.quantile(difference, [(1 - confidence) / 2, (1 + confidence) / 2])
    rows = table[[one in both for one in zip(table["benchmark"], table["task"], strict=True)]]
    rows = rows if name == "all benchmarks" else rows[rows["benchmark"] == name]
    attempts = rows.groupby("model")["attempts"].sum()
    return {
        "benchmark": name,
        "tasks": len(rows[["benchmark", "task"]].drop_duplicates()),
        "attempts_baseline": int(attempts["baseline"]),
        "attempts_candidate": int(attempts["candidate"]),
        "baseline": float(baseline.mean()),
        "candidate": float(candidate.mean()),
        "difference": float(difference.mean()),
        "lower": float(min(low, difference.mean())),
        "upper": float(max(high, difference.mean())),
        "p_no_worse": float(np.mean(difference > -margin)),
    }


def _further(sds: float, confidence: float) -> float:
    """Return by how many times the attempts made so far have to be made again to decide with probability .8.

    Parameters
    ----------
    sds : float
        How many of its sds the difference lies above the margin: u.
    confidence : float

    Notes
    -----
    After k - 1 times as many more attempts the sd is s / sqrt(k), and by what is believed today the mean will be
    normal about today's, with variance s^2 (1 - 1/k): a posterior mean is a martingale. It decides where it lies
    further than z s / sqrt(k) from the margin, either way: with probability Phi((u sqrt(k) - z) / sqrt(k - 1)) +
    Phi((-u sqrt(k) - z) / sqrt(k - 1)), which grows with k to 1 (Spiegelhalter, Abrams, Myles 2004, section 6.5).
    """
    z = float(ndtri(confidence))

    def missing(again: float) -> float:
        at = abs(sds) * np.sqrt(1.0 + again)
        return _DECIDES - float(ndtr((at - z) / np.sqrt(again)) + ndtr((-at - z) / np.sqrt(again)))

    # Where nothing speaks for either it takes most: 2 Phi(-z / sqrt(k - 1)).
    most = (z / float(ndtri(0.5 * _DECIDES))) ** 2
    return float(brentq(missing, 1e-9, 1.001 * most))
