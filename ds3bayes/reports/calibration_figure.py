"""Picture of simulation-based calibration: how far the ranks' distribution is from a uniform one."""

from __future__ import annotations

import numpy as np
import xarray as xr
from arviz_stats.ecdf_utils import ecdf_pit
from matplotlib.figure import Figure


def plot_ranks(ranks: xr.Dataset, *, level: float = 0.95, columns: int = 4) -> Figure:
    """Draw the ECDF of each parameter's ranks minus that of the uniform law, with simultaneous bands.

    Parameters
    ----------
    ranks : xarray.Dataset
        From `sbc`.
    level : float, default 0.95
        Probability that the whole curve of a right model stays inside its band.
    columns : int, default 4
        Panels side by side.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per parameter; the curve of a posterior that is too narrow rises first and falls below zero later (an
        N on its side), of one that is too high it stays above zero.

    References
    ----------
    Saeilynoja, Buerkner, Vehtari (2022), Statistics and Computing 32: simultaneous bands.
    """
    number = int(ranks.attrs["ranks"])
    rng = np.random.default_rng(0)
    panels = [
        (str(name), index) for name in ranks.data_vars for index in np.ndindex(*ranks[name].shape[1:])
    ]  # fmt: skip
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.4 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)).ravel()
    for axis, (name, index) in zip(axes, panels, strict=False):
        values = ranks[name].values[(slice(None), *index)]
        share = (values + rng.random(values.size)) / number
        x, ecdf, low, high = ecdf_pit(share, level, 1000, rng=np.random.default_rng(0))
        axis.fill_between(x, low - x, high - x, color="0.85", step="mid", label=f"{level:.0%} simultaneous band")
        axis.step(x, ecdf - x, where="mid", color="C0", label="ranks")
        axis.axhline(0.0, color="0.5", linewidth=0.8)
        labels = [str(ranks[dim].values[place]) for dim, place in zip(ranks[name].dims[1:], index, strict=True)]
        axis.set_title("\n".join([name, " | ".join(labels)]).strip(), fontsize=8)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    axes[0].legend(fontsize=7, loc="upper right")
    figure.supxlabel("rank of the truth, as a share", fontsize=9)
    figure.supylabel("ECDF minus uniform", fontsize=9)
    return figure
