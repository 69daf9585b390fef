"""Pictures of checks: each draws the table behind one check on axes, with what it may not exceed as a dashed line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ds3bayes.inference.bounds import DEPENDS_ON_PRIOR, FALSE_ALARM, HARDLY_LEARNED, HIGH_K, MAX_RHAT, MIN_ESS

# Okabe and Ito's colours, told apart by every common kind of colour vision, and a grey.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#6e6e6e"
_GOOD, _BAD, _OTHER = BLUE, VERMILION, "#999999"
_DASHED: dict[str, Any] = {"color": GREY, "linestyle": "--", "linewidth": 0.8}
#: Rows of a table that a picture names; of a longer one it shows those that come first.
MOST_ROWS = 30


def draw_convergence(table: pd.DataFrame, ax: Axes) -> None:
    """Draw every parameter's smaller ESS against its r-hat, named where it falls short.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``r_hat``, ``ess_bulk``, ``ess_tail``; a row per parameter.
    ax : matplotlib.axes.Axes
    """
    least = table[["ess_bulk", "ess_tail"]].min(axis=1)
    # One chain has no r-hat: its parameters stand at 1.
    rhat = table["r_hat"].fillna(1.0)
    bad = (rhat > MAX_RHAT) | (least < MIN_ESS)
    ax.scatter(rhat, least, c=np.where(bad, _BAD, _GOOD), s=18)
    ax.axvline(MAX_RHAT, **_DASHED)
    ax.axhline(MIN_ESS, **_DASHED)
    for label in least[bad].sort_values().index[:3]:
        ax.annotate(str(label), (rhat[label], least[label]), fontsize=7, parse_math=False)
    ax.set_yscale("log")
    ax.set_xlabel(f"r-hat (at most {MAX_RHAT:g})")
    ax.set_ylabel(f"effective draws (at least {MIN_ESS})")


def draw_posterior_prediction(table: pd.DataFrame, ax: Axes) -> None:
    """Draw observed statistics on the 90 % intervals that the fitted model expects, the least likely first.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``arm``, ``statistic``, ``observed``, ``lower``, ``median``, ``upper`` and tail probability ``p``.
    ax : matplotlib.axes.Axes
    """
    table = table.sort_values("p", kind="stable").head(MOST_ROWS)
    y = np.arange(len(table))
    outside = (table["observed"] < table["lower"]) | (table["observed"] > table["upper"])
    ax.hlines(y, table["lower"], table["upper"], color=_OTHER, linewidth=4, label="expected, 90 %")
    ax.scatter(table["observed"], y, c=np.where(outside, _BAD, _GOOD), s=18, zorder=3, label="observed")
    _name_rows(ax, [f"{row.statistic}, {row.arm}" for row in table.itertuples()])
    ax.set_xlabel("share")
    ax.legend(fontsize=7, frameon=False)


def draw_leave_one_out(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how much leaving out each task would change the fit (Pareto k), largest first.

    Parameters
    ----------
    table : pandas.DataFrame
        Column ``pareto_k``; the first column names the tasks.
    ax : matplotlib.axes.Axes
    """
    k = table["pareto_k"].to_numpy()
    ax.scatter(np.arange(1, k.size + 1), k, c=np.where(k > HIGH_K, _BAD, _GOOD), s=18)
    ax.axhline(HIGH_K, **_DASHED)
    for place in np.flatnonzero(k > HIGH_K)[:3]:
        ax.annotate(str(table.iloc[place, 0]), (place + 1, k[place]), fontsize=7, parse_math=False)
    ax.set_xlabel(f"{table.columns[0]}s, most influential first")
    ax.set_ylabel(f"Pareto k (above {HIGH_K:g}: influential)")


def draw_learned(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how wide each posterior is compared with its prior, the least learned first.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``parameter``, ``of`` and ``sd ratio``.
    ax : matplotlib.axes.Axes
    """
    table = table.sort_values("sd ratio", ascending=False, kind="stable").head(MOST_ROWS)
    ratio = table["sd ratio"].to_numpy()
    ax.scatter(ratio, np.arange(len(table)), c=np.where(ratio > HARDLY_LEARNED, _BAD, _GOOD), s=18)
    ax.axvline(HARDLY_LEARNED, **_DASHED)
    _name_rows(ax, [f"{row.parameter} {row.of}".strip() for row in table.itertuples()])
    ax.set_xlim(left=0.0)
    ax.set_xlabel(f"posterior sd over prior sd (above {HARDLY_LEARNED:g}: hardly learned)")


def draw_sensitivity(table: pd.DataFrame, ax: Axes) -> None:
    """Draw how much each prediction moves with the prior and with the data, those that rest on the prior first.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``prediction``, ``prior`` and ``likelihood``.
    ax : matplotlib.axes.Axes
    """
    table = table.sort_values("prior", ascending=False, kind="stable").head(MOST_ROWS)
    y = np.arange(len(table))
    ax.scatter(table["likelihood"], y, c=_OTHER, s=18, label="on the data")
    ax.scatter(
        table["prior"], y, c=np.where(table["prior"] > DEPENDS_ON_PRIOR, _BAD, _GOOD), s=18, label="on the prior"
    )
    ax.axvline(DEPENDS_ON_PRIOR, **_DASHED)
    _name_rows(ax, [str(name) for name in table["prediction"]])
    ax.set_xlim(left=0.0)
    ax.set_xlabel(f"dependence (above {DEPENDS_ON_PRIOR:g}: rests on it)")
    ax.legend(fontsize=7, frameon=False)


def draw_uniformity(table: pd.DataFrame, ax: Axes) -> None:
    """Draw the P value of each parameter's ranks being uniform, the smallest first.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``parameter``, ``of`` and ``p``.
    ax : matplotlib.axes.Axes
    """
    table = table.sort_values("p", kind="stable").head(MOST_ROWS)
    # What is too small for a double stands at the smallest one.
    p = np.maximum(table["p"].to_numpy(), np.finfo(float).tiny)
    bound = FALSE_ALARM / max(1, len(table))
    ax.scatter(p, np.arange(len(table)), c=np.where(p < bound, _BAD, _GOOD), s=18)
    ax.axvline(bound, **_DASHED)
    _name_rows(ax, [f"{row.parameter} {row.of}".strip() for row in table.itertuples()])
    ax.set_xscale("log")
    ax.set_xlabel("P value of uniform ranks")


def _name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Name the rows from the top down."""
    ax.set_yticks(np.arange(len(names)), names, fontsize=7, parse_math=False)
    ax.set_ylim(max(1, len(names)) - 0.5, -0.5)
