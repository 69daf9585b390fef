"""`compare`: LLMs that differ and LLMs that do not, and what pairing is worth."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import expit

import ds3bayes as ds3


@pytest.fixture(scope="module")
def four(short_fit) -> xr.DataTree:
    """Twins a and b, c far behind, and d that was hardly run: 40 shared tasks."""
    rng = np.random.default_rng(4)
    easiness = rng.normal(0.0, 1.5, 40)
    rows = [
        {"model": model, "benchmark": "b", "task": f"t{task}", "strategy": "cot", "attempts": n}
        | {"successes": int(rng.binomial(n, expit(gap + x)))}
        for model, gap, n in (("a", 1.0, 200), ("b", 1.0, 200), ("c", -0.5, 200), ("d", 1.0, 3))
        for task, x in enumerate(easiness)
    ]
    return short_fit(ds3.read_evals(pd.DataFrame(rows)))


def test_two_that_differ(four):
    result = ds3.compare(four, "a", "c")
    assert result.attrs["verdict"] == "a"
    assert result.attrs["sentence"].startswith(
        "On these 40 tasks of b a | cot is better than c | cot, with probability"
    )
    # Whoever is named first.
    turned = ds3.compare(four, "c", "a")
    assert turned.attrs["verdict"] == "b"
    assert turned.attrs["sentence"] == result.attrs["sentence"]
    assert float(turned["mean"]) == pytest.approx(-float(result["mean"]))
    assert ds3.compare(four, "a", "c", tasks="new", new_tasks=64).attrs["verdict"] == "a"


def test_two_that_do_not_differ(four):
    result = ds3.compare(four, "a", "b", margin=0.03)
    assert result.attrs["verdict"] == "equal"
    assert "a | cot and b | cot do not differ by more than 0.03: success 0." in result.attrs["sentence"]


def test_two_of_which_too_little_is_known(four):
    result = ds3.compare(four, "a", "d")
    assert result.attrs["verdict"] == "open"
    assert "cannot be told apart" in result.attrs["sentence"]
    assert "the first is better with probability" in result.attrs["sentence"]


def test_pairing_over_new_tasks_narrows_the_difference(four):
    pred = ds3.predict(four, ["cot"], tasks="new", new_tasks=64)["success"].squeeze()
    a, c = (pred.sel(model=name).values.ravel() for name in "ac")
    result = ds3.compare(four, "a", "c", tasks="new", new_tasks=64)
    np.testing.assert_allclose(result["difference"].values.ravel(), a - c, rtol=1e-9)
    assert float(result["pairing"]) == pytest.approx(np.sqrt(a.var() + c.var()) / (a - c).std())
    # What makes tasks hard is common to both.
    assert float(result["pairing"]) > 1.3


def test_numbers_are_those_of_a_loop_over_draws(four):
    per_task = ds3.predict(four, ["cot"], per_task=True)
    result = ds3.compare(per_task, "a", "d", level=0.8)
    each = (per_task["success"].sel(model="a") - per_task["success"].sel(model="d")).squeeze(drop=True)
    flat = each.mean("task").values.ravel()
    assert float(result["p_better"]) == pytest.approx(np.mean(flat > 0))
    assert float(result["lower"]) == pytest.approx(np.quantile(flat, 0.1))
    assert float(result["upper"]) == pytest.approx(np.quantile(flat, 0.9))
    np.testing.assert_allclose(result["p_task_better"], (each > 0).mean(("chain", "draw")))
    # Predictions without tasks give the same difference.
    whole = ds3.compare(per_task.mean("task").assign_attrs(per_task.attrs), "a", "d", level=0.8)
    np.testing.assert_allclose(whole["difference"], result["difference"], rtol=1e-9)


def test_strategies_of_one_llm(four):
    result = ds3.compare(four, "a | best_of_n(n=4)", "a | cot")
    assert result.attrs["verdict"] == "a"
    assert ", a: best_of_n(n=4, verifier=oracle) is better than cot" in result.attrs["sentence"]


def test_what_compare_refuses(four):
    with pytest.raises(ds3.InputError, match=r"no LLM 'e'.*with one of: a, b, c, d"):
        ds3.compare(four, "e", "a")
    with pytest.raises(ds3.InputError, match="of which LLM"):
        ds3.compare(four, "cot", "a")
    with pytest.raises(ds3.InputError, match="with itself"):
        ds3.compare(four, "a", "a | cot")
    with pytest.raises(ds3.InputError, match="margin must be"):
        ds3.compare(four, "a", "b", margin=-0.1)
    with pytest.raises(ds3.InputError, match=r"benchmark = 'x'; allowed: b"):
        ds3.compare(four, "a", "b", benchmark="x")


def test_settings_must_be_told_apart(prior_fit):
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 4, "successes": i % 5}
        | {"effort": effort}
        for i in range(5)
        for effort in ("low", "high")
    ]
    rows += [{**row, "model": "n", "task": f"other-{row['task']}"} for row in rows if row["effort"] == "low"]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)))
    with pytest.raises(
        ds3.InputError, match=r"several settings on b; name one of: cot\(effort=high\); cot\(effort=low\)"
    ):
        ds3.compare(fit, "m", "n")
    with pytest.raises(ds3.InputError, match="share no task"):
        ds3.compare(fit, "m | cot(effort=low)", "n")
    one = ds3.compare(fit, "m | cot(effort=low)", "m | cot(effort=high)")
    assert one.attrs["b"] == "m | cot(effort=high)"


def test_a_setting_named_in_full_is_that_one(prior_fit):
    rows = [
        {"model": "m", "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 4, "successes": i % 5}
        | {"effort": effort}
        for i in range(5)
        for effort in ("", "high")
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)))
    # Runs that state no effort have no longer name.
    result = ds3.compare(fit, "m | cot", "m | cot(effort=high)")
    assert (result.attrs["a"], result.attrs["b"]) == ("m | cot", "m | cot(effort=high)")
