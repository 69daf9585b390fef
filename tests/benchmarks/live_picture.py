"""Draw what `live_replays.py` wrote: error against attempts, of fixed epochs and of early stopping.

``python tests/benchmarks/live_picture.py PICTURE.png --success OUT... --better OUT...``: OUT as given to its ``--out``.
The fixed line of each panel is that of the first.
"""

import argparse
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes


def draw(axes: Axes, runs: Sequence[str], what: str) -> None:
    """Draw one panel; points are medians of attempts, bars their middle half."""
    fixed = pd.read_csv(f"{runs[0]}-fixed.csv")
    wrong = what == "wrong"
    fixed = fixed[fixed["attempts"] <= 4000]
    axes.plot(
        fixed["attempts"], fixed["wrong" if wrong else "rmse"], color="0.45", label="fixed epochs, observed rates"
    )
    for place, run in enumerate(runs):
        spent = pd.read_csv(f"{run}.csv")
        error = 1.0 - spent["right"].mean() if wrong else np.sqrt((spent["error"] ** 2).mean())
        low, middle, high = spent["attempts"].quantile([0.25, 0.5, 0.75])
        axes.errorbar(
            middle,
            error,
            xerr=[[middle - low], [high - middle]],
            fmt="o",
            color="C0",
            capsize=3,
            label="stopped when decided (median, middle half)" if place == 0 else None,
        )
    axes.set_xscale("log")
    axes.set_xlabel("attempts spent")
    axes.set_ylabel("share of wrong decisions" if wrong else "error of the estimate (root mean square)")
    axes.set_title("Is this LLM better than that one?" if wrong else "How often does this LLM succeed?", fontsize=10)
    axes.set_ylim(bottom=0.0)
    axes.legend(fontsize=8, frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture")
    parser.add_argument("--success", nargs="+", required=True)
    parser.add_argument("--better", nargs="+", required=True)
    options = parser.parse_args()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    draw(left, options.better, "wrong")
    draw(right, options.success, "rmse")
    figure.savefig(options.picture, dpi=110)


if __name__ == "__main__":
    main()
