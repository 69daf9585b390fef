"""Labelled intervals below one another: what rows a picture has, whoever draws them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ds3bayes.queries.words import interval, number, share
from ds3bayes.reports.tables import is_share, worth_showing

_TITLES = {"held out": "Held out: the fit did not see these", "fitted": "Used in the fit"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One labelled interval, or a header between them.

    Parameters
    ----------
    label : str
    mean, lower, upper : float
        NaN where there is none.
    observed : float, optional
        Of what the interval is about.
    place : int
        Of the kind of row in their order: its colour and its mark.
    said : str
        What is told on hover.
    header : bool
    beside : float
        What was observed of other attempts than the interval is about, NaN if nothing was.
    away : bool
        Whether that is away from what these attempts should show.
    """

    label: str
    mean: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
    observed: float | None = None
    place: int = 0
    said: str = ""
    header: bool = False
    beside: float = np.nan
    away: bool = False


def success_rows(options: pd.DataFrame) -> list[Row]:
    """Return a row of expected success for each option of a decision that is worth showing."""
    return [
        Row(
            label=f"{row.number}  {row.option}" + " (bound)" * bool(row.bound),
            mean=row.success,
            lower=row.success_lower,
            upper=row.success_upper,
            said=f"{row.option}: {interval(row.success, row.success_lower, row.success_upper)}"
            + (f", observed {share(row.observed)}" if np.isfinite(row.observed) else ""),
            beside=row.observed,
            away=bool(row.away),
        )
        for row in worth_showing(options).itertuples()
    ]


def compared_rows(table: pd.DataFrame, *, of_success: bool) -> tuple[pd.DataFrame, dict[str, list[Row]]]:
    """Return what of a comparison is drawn, and its rows by kind of quantity, held-out ones first.

    Parameters
    ----------
    table : pandas.DataFrame
        From `tables.comparison`.
    of_success : bool
        Shares of right answers, rather than tokens and prices, which are relative to what was observed.

    Returns
    -------
    tuple of (pandas.DataFrame, dict of str to list of Row)
        All kinds have the same samplers; one that lacks a kind has a row without an interval there.
    """
    shares = is_share(table)
    chosen = table[shares] if of_success else table[~shares & (table["observed"] > 0) & (table["lower"] > 0)]
    if of_success:
        kinds = chosen["quantity"].where(chosen["quantity"] == "success per attempt", "any of the attempts right")
    else:
        kinds = chosen["quantity"].str.partition(" ")[0]
    write = share if of_success else number
    panels: dict[str, list[Row]] = {}
    for kind in dict.fromkeys(kinds):
        shown = panels.setdefault(str(kind), [])
        for part, group in chosen.groupby("rows", sort=False):
            shown.append(Row(label=_TITLES.get(str(part), str(part)), header=True))
            found = {row.sampler: row for row in group[kinds[group.index] == kind].itertuples()}
            for sampler in dict.fromkeys(group["sampler"]):
                row = found.get(sampler)
                if row is None:
                    shown.append(Row(label=str(sampler)))
                    continue
                unit = 1.0 if of_success else row.observed
                said = (
                    f"{sampler}, {row.quantity}: observed {write(row.observed)}, predicted "
                    f"{interval(row.mean, row.lower, row.upper, not of_success)}, {row.verdict}"
                )
                mean, lower, upper, observed = (
                    value / unit for value in (row.mean, row.lower, row.upper, row.observed)
                )
                shown.append(Row(label=str(sampler), mean=mean, lower=lower, upper=upper, observed=observed, said=said))
    return chosen, panels


def ratio_span(compared: pd.DataFrame) -> float:
    """Return how far an axis of predicted over observed values must reach, both ways from 1, as a factor."""
    ratios = np.concatenate([compared["lower"] / compared["observed"], compared["upper"] / compared["observed"]])
    return float(max(ratios.max(), 1 / ratios.min(), 1.1) ** 1.1)


__all__ = ["Row", "compared_rows", "ratio_span", "success_rows"]
