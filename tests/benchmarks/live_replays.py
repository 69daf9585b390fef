"""Replays of attempts that were made, stopped early, against fixed epochs at the same error.

``python tests/benchmarks/live_replays.py TABLE success --within 0.03 --llms 12 --each 5``: TABLE has the columns model,
task, attempts and successes, with hundreds of attempts in every row. LLMs, pairs or groups of them are taken evenly
over the leaderboard, or at random with ``--random``; each is replayed in other orders. The fixed plan is the one number
of epochs, for all of them, at which observed rates are as often wrong (or, of an estimate, as far off) as early
stopping was.
"""

import argparse

import numpy as np
import pandas as pd

import ds3bayes as ds3
from ds3bayes.live import Best, Better, Cheapest, Question, Success, fixed_epochs, replay


def asked(options: argparse.Namespace, names: list[str], rate: pd.Series) -> Question:
    """Return the question about a group of LLMs, the worst first."""
    sure = {} if options.probability is None else {"probability": options.probability}
    if options.asked == "success":
        return Success(option=names[0], within=options.within, **sure)
    if options.asked == "better":
        return Better(option=names[-1], than=names[0], margin=options.margin, **sure)
    if options.asked == "best":
        return Best(options=names, margin=options.margin, **sure)
    costs = {name: float(place + 1) for place, name in enumerate(names)}
    target = float(rate[names].mean())
    return Cheapest(options=names, success=target, costs=costs, margin=options.margin, **sure)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("table")
    parser.add_argument("asked", choices=["success", "better", "best", "cheapest"])
    parser.add_argument("--within", type=float, default=0.03)
    parser.add_argument("--margin", type=float, default=0.02, help="of better, best and cheapest")
    parser.add_argument("--probability", type=float, help="that the answer is right; the question's own if absent")
    parser.add_argument("--llms", type=int, default=12, help="LLMs, pairs or groups")
    parser.add_argument("--options", type=int, default=4, help="of best and cheapest")
    parser.add_argument("--apart", type=int, default=3, help="places on the leaderboard between LLMs of a group")
    parser.add_argument("--random", action="store_true", help="groups of any LLMs, not of neighbours")
    parser.add_argument("--each", type=int, default=5, help="replays of each")
    parser.add_argument("--epochs", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--growth", type=float, default=1.5, help="as for Stopper")
    parser.add_argument("--draws", type=int, default=400, help="as for Stopper")
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--first-epochs", type=int, default=2, help="as for Stopper")
    parser.add_argument("--scheduler", help="address of a Dask scheduler whose workers share the replays of a group")
    parser.add_argument("--out")
    options = parser.parse_args()
    table = pd.read_csv(options.table)
    rate = table.groupby("model")["successes"].sum() / table.groupby("model")["attempts"].sum()
    fewest = table.groupby("model")["attempts"].min()
    rate = rate[(rate > 0.02) & (rate < 0.98) & (fewest >= options.epochs)].sort_values()
    size = {"success": 1, "better": 2}.get(options.asked, options.options)
    last = len(rate) - 1 - (size - 1) * options.apart
    if options.random:
        rng = np.random.default_rng([options.seed, 7])
        groups = [np.sort(rng.choice(len(rate), size, replace=False)) for _ in range(options.llms)]
    else:
        firsts = np.linspace(0, last, options.llms).round().astype(int)
        groups = [first + options.apart * np.arange(size) for first in firsts]
    done, fixed = [], []
    for number, places in enumerate(groups):
        names = [str(rate.index[place]) for place in places]
        rows = table[table["model"].isin(names)].assign(strategy="cot", benchmark="replayed")
        rows = rows.assign(task=rows["task"].astype(str))[
            ["model", "benchmark", "task", "strategy", "attempts", "successes"]
        ]
        evals = ds3.read_evals(rows)
        question = asked(options, names, rate)
        plan = {"epochs": options.epochs, "seed": options.seed + number}
        done.append(
            replay(
                evals,
                question,
                replays=options.each,
                in_flight=options.in_flight,
                first_epochs=options.first_epochs,
                growth=options.growth,
                draws=options.draws,
                scheduler=options.scheduler,
                **plan,
            ).assign(group=number)
        )
        fixed.append(fixed_epochs(evals, question, replays=200, **plan))
        print(number, names, rate[names].round(3).tolist(), flush=True)
        print(done[-1].drop(columns="group").round(3).to_string(), flush=True)
    spent = pd.concat(done, ignore_index=True)
    curve = pd.concat(fixed).groupby("epochs").agg(attempts=("attempts", "mean"), wrong=("wrong", "mean"))
    curve["rmse"] = np.sqrt(pd.concat(fixed).assign(mse=lambda one: one["rmse"] ** 2).groupby("epochs")["mse"].mean())
    error = np.sqrt((spent["error"] ** 2).mean())
    wrong = 1.0 - spent["right"].mean()
    reached = (
        curve.index[curve["rmse"] <= error] if options.asked == "success" else curve.index[curve["wrong"] <= wrong]
    )
    equal = curve.loc[reached.min()] if len(reached) else curve.iloc[-1]
    print(f"\n{options}")
    print(f"replays {len(spent)}; states {spent['state'].value_counts().to_dict()}; failures {spent['failures'].sum()}")
    print(f"adaptive: attempts median {spent['attempts'].median():.0f}, mean {spent['attempts'].mean():.0f}")
    print(f"wrong {wrong:.3f}; rmse {error:.4f}; coverage of 90 % intervals {spent['covered'].mean():.3f}")
    print(f"mean error {spent['error'].mean():+.4f} +- {spent['error'].std() / len(spent) ** 0.5:.4f}")
    print(f"fixed at the same error: {equal.name} epochs, {equal['attempts']:.0f} attempts, {equal.to_dict()}")
    print(f"more epochs needed than tried: {not len(reached)}")
    print(
        f"saved: median {1 - spent['attempts'].median() / equal['attempts']:.2f}, "
        f"mean {1 - spent['attempts'].mean() / equal['attempts']:.2f}"
    )
    if options.out:
        spent.to_csv(f"{options.out}.csv", index=False)
        curve.to_csv(f"{options.out}-fixed.csv")


if __name__ == "__main__":
    main()
