"""A page of a first answer, until the report takes its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ds3bayes import files
from ds3bayes.inference.preliminary import MARK
from ds3bayes.queries.words import amount, interval
from ds3bayes.reports import charts
from ds3bayes.reports.labelled import Row
from ds3bayes.reports.rendered import render
from ds3bayes.reports.svg import Key

# Options that are shown, by expected success.
_MOST, _SAID, _IN_A_LINE = 40, 8, 3


def write_preliminary(rows: Sequence[Mapping[str, Any]], path: Path, *, name: str) -> Path:
    """Write a page with the expected success of every option, marked as preliminary.

    Parameters
    ----------
    rows : sequence of mapping
        Of each option ``model, benchmark, strategy, success, success_lower, success_upper``.
    path : Path
        Ends in ``.html``.
    name : str
        Of the spec.
    """
    ordered = _ordered(rows)
    shown = [
        Row(
            label=label,
            mean=row["success"],
            lower=row["success_lower"],
            upper=row["success_upper"],
            said=_said(row, ""),
        )
        for label, row in ordered[:_MOST]
    ]
    alt = "Preliminary expected success of every option, with 90 % intervals"
    keys = [Key(text="mean, 90 % interval", kind="k0", shape=0, dash="")]
    caption = "Expected success, highest first" + (
        f"; the {_MOST} highest of {len(ordered)}" if len(ordered) > _MOST else ""
    )
    content = {
        "mark": files.MARK,
        "name": name,
        "said": f"{MARK[:1].upper()}{MARK[1:]}. Sampling goes on; once it is done and checked, report.html beside this "
        "page has the answer, and this page goes.",
        "picture": charts.rows([("", shown, "expected success")], caption, alt, keys=keys),
    }
    return files.write(path, "page", render("preliminary.html.j2", content).encode())


def say_preliminary(rows: Sequence[Mapping[str, Any]], *, cost: str, in_a_line: bool) -> str:
    """Say a first answer: a line for each option, the highest success first, or all in one line.

    Parameters
    ----------
    rows : sequence of mapping
        As for `write_preliminary`, with ``cost`` if it is known.
    cost : str
    in_a_line : bool
    """
    ordered = _ordered(rows)
    most = _IN_A_LINE if in_a_line else _SAID
    more = [f"and {len(ordered) - most} more"] if len(ordered) > most else []
    if in_a_line:
        said = [
            f"{label} {interval(row['success'], row['success_lower'], row['success_upper'])}"
            for label, row in ordered[:most]
        ]
        return f"{MARK}: success of {'; '.join([*said, *more])}"
    wide = max(len(label) for label, _ in ordered[:most])
    return "\n".join([f"{MARK}:", *(f"  {label:<{wide}}  {_said(row, cost)}" for label, row in ordered[:most]), *more])


def _said(row: Mapping[str, Any], cost: str) -> str:
    said = f"success {interval(row['success'], row['success_lower'], row['success_upper'])}"
    return f"{said}, {amount(row[cost], cost)} per task" if row.get(cost) is not None else said


def _ordered(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return options with labels of what tells them apart, the highest success first."""
    names = [name for name in ("model", "benchmark", "strategy") if len({row[name] for row in rows}) > 1]
    labelled = [(" | ".join(str(row[name]) for name in names or ["strategy"]), row) for row in rows]
    return sorted(labelled, key=lambda one: -one[1]["success"])
