"""The worked extensions of the contributor's page do what it says."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.generative import observation
from ds3bayes.strategies import STRATEGIES, parse_strategy

PAGE = (Path(__file__).parents[1] / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: Code by the heading above it.
EXTENSIONS = dict(re.findall(r"^### ([^\n]+)\n.*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))


def run(name: str) -> dict:
    names: dict = {"__name__": "extension"}
    exec(compile(EXTENSIONS[name], f"CONTRIBUTING.md: {name}", "exec"), names)
    return names


def test_every_extension_is_run():
    assert set(EXTENSIONS) == {"A strategy", "An observation", "A question"}


def test_a_strategy(game24_fit):
    run("A strategy")
    try:
        pred = ds3.predict(game24_fit, ["at_least(n=5, t=1)", "best_of_n(n=5)"])
        one, other = (pred["success"].isel(strategy=place).values for place in (0, 1))
        np.testing.assert_allclose(one, other, rtol=1e-9)
        with pytest.raises(ds3.InputError, match=r"t must lie in 1\.\.5, got 7"):
            parse_strategy("at_least(n=5, t=7)")
    finally:
        del STRATEGIES["at_least"]


def test_an_observation(short_fit):
    kind = run("An observation")["Judged"]()
    try:
        rng = np.random.default_rng(1)
        easiness = rng.normal(size=40)
        successes = rng.binomial(8, 1 / (1 + np.exp(-1.5 * easiness)))
        table = pd.DataFrame({"task": [f"t{i}" for i in range(40)], "successes": successes})
        table["judged"] = 5.0 + 2.0 * easiness + 0.3 * rng.normal(size=40)
        evals = ds3.read_evals(table.assign(model="m", benchmark="b", strategy="cot", attempts=8))
        posterior = short_fit(evals)["posterior"]
        for name, truth, most in (("judged_mean", 5.0, 1.0), ("judged_slope", 2.0, 0.7)):
            drawn = posterior[name]
            assert abs(float(drawn.mean()) - truth) < min(3.5 * float(drawn.std()), most), name
    finally:
        observation.unregister(kind)


def test_a_question(game24_fit):
    chance = run("A question")["chance_of_beating"](game24_fit, "best_of_n(n=8)", "cot")
    assert set(chance.dims) == {"model", "benchmark"}
    assert float(chance.item()) == 1.0
