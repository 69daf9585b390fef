"""Draw what `live_replays.py` wrote: error against attempts, of fixed epochs and of early stopping.

``python tests/benchmarks/live_picture.py PICTURE.png --better OUT --best OUT --success OUT...``: OUT as given to its
``--out``. The fixed line of each panel is that of the last.
"""

import argparse
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes


def draw(axes: Axes, runs: Sequence[str], title: str, *, wrong: bool) -> None:
    """Draw one panel; points are medians of attempts, bars their middle half."""
    fixed = pd.read_csv(f"{runs[-1]}-fixed.csv")
    counted = fixed["wrong" if wrong else "rmse"]
    axes.plot(fixed["attempts"], counted, color="0.45", label="fixed epochs")
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
            label="stopped when decided" if place == 0 else None,
        )
    axes.set_xscale("log")
    axes.set_xlabel("attempts spent")
    axes.set_ylabel("share of wrong decisions" if wrong else "root mean square error")
    axes.set_title(title, fontsize=10)
    axes.set_ylim(bottom=0.0)
    axes.legend(fontsize=8, frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("picture")
    parser.add_argument("--better", required=True)
    parser.add_argument("--best", required=True)
    parser.add_argument("--success", nargs="+", required=True)
    options = parser.parse_args()
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
    draw(panels[0], [options.better], "Is this LLM better than that one?", wrong=True)
    draw(panels[1], [options.best], "Which of three LLMs is best?", wrong=True)
    draw(panels[2], options.success, "How often does this LLM succeed?", wrong=False)
    figure.savefig(options.picture, dpi=100)


if __name__ == "__main__":
    main()
