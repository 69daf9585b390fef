"""Evaluations and a spec whose names try to break out of a report."""

import numpy as np
import pandas as pd

EVIL = "<script>alert(1)</script> $x_{1$ & \"b\" 'c'"


def evaluations() -> pd.DataFrame:
    """Twelve tasks by two LLMs, one with a hostile name and a tree search."""
    rng = np.random.default_rng(3)
    rows = []
    for task in range(12):
        easy = rng.normal()
        for model, shift in ((EVIL, -0.5), ("plain", 0.5)):
            q = 1 / (1 + np.exp(-shift - easy))
            for strategy, attempts in (("cot", 8), ("tot", 3)):
                if strategy == "tot" and model == "plain":
                    continue
                tree = strategy == "tot"
                rows.append(
                    {
                        "model": model,
                        "benchmark": "bench <b>",
                        "task": f"t{task}",
                        "strategy": strategy,
                        "branching": 3 if tree else np.nan,
                        "kept_states": 2 if tree else np.nan,
                        "outputs": 1 if tree else np.nan,
                        "steps": 3,
                        "attempts": attempts,
                        "successes": rng.binomial(attempts, q),
                        "tokens_mean": float(np.round(np.exp(rng.normal(5, 0.3)), 1)),
                    }
                )
    return pd.DataFrame(rows)


SPEC = {
    "name": EVIL,
    "description": "</title><img src=x onerror=alert(2)>",
    "holdout": [{"where": "strategy == 'tot'", "fraction": 0.5, "seed": 1}],
    "query": {
        "strategies": ["cot", "best_of_n(n=4, verifier=oracle)", "cot(max_tokens=120)"],
        "max_cost": 500,
        "success": 0.6,
    },
}
