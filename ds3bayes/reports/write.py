"""`report`: what its user calls; what it takes to write a page is imported when one is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray as xr

    from ds3bayes.inference.checks import CheckResult


def report(
    fit: xr.DataTree,
    pred: xr.Dataset | None = None,
    path: str | os.PathLike[str] = "report.html",
    *,
    title: str | None = None,
    checks: Sequence[CheckResult] | None = None,
    tables_in: str | Path | None = "tables",
    progress: Callable[[float], object] = lambda _: None,
) -> Path:
    """Write a fit, its predictions and decisions as one self-contained HTML page, as Markdown and as CSV.

    Parameters
    ----------
    fit : xarray.DataTree
        From `fit` or `load`.
    pred : xarray.Dataset, optional
        From `predict` on this fit, without a task dimension. Predicted from ``spec.query`` if absent.
    path : path, default "report.html"
        Written atomically; its folder is made if needed.
    title : str, optional
        Of the page; the spec's name if absent.
    checks : sequence of CheckResult, optional
        From `check` on this fit; run if absent.
    tables_in : path, optional
        Folder for every table as CSV with unrounded numbers, relative to the page's; beside the page also goes the
        same report as Markdown, NAME.md. None: neither is written, only the page.
    progress : callable, optional
        Called now and then with the share of the work that is done, in [0, 1]; checks that are run have no part in it.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    InputError
        If ``fit`` is not a fit, ``pred`` is not a prediction of means over tasks, or ``path`` is a folder; before
        anything is written.
    """
    from ds3bayes.reports.html import write_page

    return write_page(fit, pred, Path(path), title=title, checks=checks, tables_in=tables_in, progress=progress)
