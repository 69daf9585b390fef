"""Budgets that were asked for and cuts: two columns, two laws, and curves through what was observed."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq

import ds3bayes as ds3
from ds3bayes.evals import to_table

SHARES = {2000: 0.28, 8000: 0.50, 32000: 0.61}


def asked(shares: dict[int, float], *, tokens: bool, model: str = "m", tasks: int = 40, seed: int = 0) -> pd.DataFrame:
    """Attempts of an LLM that paces itself by the budget asked for: mean success at each, and 70 % of it as tokens."""
    rng = np.random.default_rng(seed)
    ease, rows = rng.normal(0.0, 2.0, tasks), []
    for budget, share in shares.items():
        location = brentq(lambda at, share=share: (1 / (1 + np.exp(-at - ease))).mean() - share, -20, 20)
        q = 1 / (1 + np.exp(-location - ease))
        frame = pd.DataFrame({"task": [f"t{task}" for task in range(tasks)], "successes": rng.binomial(8, q)})
        if tokens:
            frame["tokens_mean"] = 0.7 * budget * np.exp(-0.05 * ease + 0.1 * rng.standard_normal(tasks))
        rows.append(frame.assign(model=model, benchmark="b", strategy="cot", attempts=8, budget_tokens=budget))
    return pd.concat(rows, ignore_index=True)


def fitted(table: pd.DataFrame, **spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds3.FitWarning)
        given = ds3.ModelSpec.from_dict(spec)
        return ds3.fit(ds3.read_evals(table), given, draws=150, tune=250, chains=2, seed=0, progress=False)


@pytest.fixture(scope="module")
def paced():
    return fitted(asked(SHARES, tokens=True))


def at(pred, quantity: str, **setting) -> np.ndarray:
    return pred[quantity].sel(strategy=str(ds3.CoT(**setting))).values.ravel()


def test_asked_budgets_are_one_curve_through_what_was_observed(paced) -> None:
    budgets = [2000, 3000, 5000, 7999, 8000, 8001, 9000, 20000, 32000, 64000, 128000]
    pred = ds3.predict(paced, [f"cot(budget_tokens={budget})" for budget in budgets])
    success = np.stack([at(pred, "success", budget_tokens=budget) for budget in budgets])
    mean, width = success.mean(axis=1), np.subtract(*np.quantile(success, [0.95, 0.05], axis=1))
    by_budget = dict(zip(budgets, mean, strict=True))
    observed = to_table(ds3.read_evals(asked(SHARES, tokens=True))).groupby("budget_tokens")["successes"].mean() / 8
    for budget, share in observed.items():
        assert by_budget[int(budget)] == pytest.approx(share, abs=0.04)
    # It rises from the least to the most, without a cliff at an observed budget.
    assert (np.diff(mean) > -1e-3).all()
    assert by_budget[2000] + 0.01 < by_budget[3000] < by_budget[8000] - 0.05
    assert by_budget[9000] == pytest.approx(by_budget[8000], abs=0.04)
    assert np.abs(success[3] - success[4]).max() < 0.01
    assert np.abs(success[5] - success[4]).max() < 0.01
    # Less is known the further from what was observed.
    by_width = dict(zip(budgets, width, strict=True))
    assert by_width[32000] < by_width[64000] < by_width[128000]
    tokens = {budget: at(pred, "tokens", budget_tokens=budget).mean() for budget in budgets}
    assert tokens[2000] < tokens[3000] < tokens[8000] < tokens[9000] < tokens[20000] < tokens[32000] < tokens[64000]
    beyond = {budget: bool(pred["extrapolated"].sel(strategy=f"cot(budget_tokens={budget})")) for budget in budgets}
    assert [budget for budget, one in beyond.items() if one] == [64000, 128000]


def test_a_cut_ends_attempts_and_a_budget_does_not(paced) -> None:
    pred = ds3.predict(paced, ["cot(budget_tokens=8000)", "cot(budget_tokens=8000, max_tokens=5000)"])
    whole, cut = at(pred, "success", budget_tokens=8000), at(pred, "success", budget_tokens=8000, max_tokens=5000)
    assert (cut <= whole + 1e-12).all()
    share = at(pred, "truncated", budget_tokens=8000, max_tokens=5000).mean()
    assert 0.5 < share < 1.0
    assert cut.mean() < (1 - share) * whole.mean() + 0.2
    assert at(pred, "tokens", budget_tokens=8000, max_tokens=5000).max() <= 5000


def test_the_budget_to_ask_for_is_found_between_those_that_were(paced) -> None:
    found = ds3.cost_to_reach(paced, "cot(budget_tokens=*)", success=0.4, cost="tokens").squeeze()
    assert 2000 < float(found["setting"].median()) < 8000
    assert float(found["p_reach"]) > 0.95


def test_curves_say_what_is_extrapolated(paced) -> None:
    curve = ds3.budget_curve(paced).isel(sampler=0)
    beyond = curve["extrapolated"].values
    budgets = curve["budget"].values
    assert (beyond == ((budgets < 2000) | (budgets > 32000))).all()
    assert beyond.any()
    assert not beyond.all()


def test_a_budget_that_no_llm_was_asked_for_is_no_cut(simulated_fit) -> None:
    with pytest.raises(ds3.InputError, match=r"was asked to think for a budget.*say max_tokens=400"):
        ds3.predict(simulated_fit, ["cot(budget_tokens=400)"])


@pytest.mark.parametrize("case", ["none and two budgets", "two LLMs at one budget each"])
def test_budgets_without_tokens_are_predicted(case: str, tmp_path) -> None:
    if case == "none and two budgets":
        plain = asked({1000: 0.3}, tokens=False, tasks=12).assign(effort="none", budget_tokens=np.nan)
        table = pd.concat([plain, asked({16000: 0.6, 32000: 0.65}, tokens=False, tasks=12).assign(effort="")])
    else:
        table = pd.concat(
            [
                asked({16000: 0.6}, tokens=False, tasks=12),
                asked({32000: 0.65}, tokens=False, tasks=12, model="other"),
            ]
        )
    fit = fitted(table)
    seen = ds3.observed_vs_predicted(fit).query("quantity == 'success per attempt'")
    assert len(seen) == table.groupby(["model", "budget_tokens"], dropna=False).ngroups
    assert seen["inside"].all()
    pred = ds3.predict(fit, ["cot(budget_tokens=20000)"])
    assert np.isfinite(pred["success"]).all()
    assert "tokens" not in pred
    curve = ds3.budget_curve(fit)
    assert set(curve["dial"].values) == {"budget_tokens"}
    assert np.isfinite(curve["success"].sel(budget=16000)).all()
    page = ds3.report(fit, ds3.predict(fit, ["cot(budget_tokens=64000)"]), tmp_path / "report.html").read_text()
    assert "cot(budget_tokens=64000) (extrapolated)" in page
    assert "(extrapolated)" in page.split("Success against token budget")[1]


def test_one_llm_that_cannot_be_predicted_does_not_stop_the_others() -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, "task": f"t{task}", "successes": rng.integers(0, 5), "tokens_mean": tokens}
        for model, tokens in (("timed", 800.0), ("untimed", np.nan))
        for task in range(8)
    ]
    fit = fitted(pd.DataFrame(rows).assign(benchmark="b", strategy="cot", attempts=4))
    pred = ds3.predict(fit, ["cot(max_tokens=500)"])
    assert np.isfinite(pred["success"].sel(model="timed")).all()
    assert np.isnan(pred["success"].sel(model="untimed")).all()
    assert "untimed" in pred.attrs["partly_absent"]
    assert "observed tokens" in pred.attrs["partly_absent"]
    with pytest.raises(ds3.InputError, match="a cut needs observed tokens"):
        ds3.predict(
            fitted(pd.DataFrame(rows[8:]).assign(benchmark="b", strategy="cot", attempts=4)), ["cot(max_tokens=9)"]
        )


def test_tables_that_counted_what_a_budget_truncated_mean_a_cut() -> None:
    table = pd.DataFrame({"task": ["a", "b"], "budget_tokens": [500, 500], "truncated": [1, 0], "successes": [1, 2]})
    table = table.assign(model="m", benchmark="b", strategy="cot", attempts=3)
    evals = ds3.read_evals(table)
    assert evals["max_tokens"].values.tolist() == [500, 500]
    assert np.isnan(evals["budget_tokens"]).all()
    # Read again, nothing moves; and what exceeds its budget was not cut by it.
    assert ds3.read_evals(to_table(evals)).equals(evals)
    for other in (table.assign(tokens_mean=900.0), table.assign(truncated=0), table.assign(max_tokens=np.nan)):
        asked_for = ds3.read_evals(other)
        assert asked_for["budget_tokens"].values.tolist() == [500, 500]
        assert np.isnan(asked_for["max_tokens"]).all()


TOPS = {
    "openai/gpt-5-2025-08-07": "high",
    "openai/gpt-5-mini-2025-08-07": "high",
    "openai/gpt-5-nano-2025-08-07": "high",
    "openai/gpt-5.1": "high",
    "openai/gpt-5.2-2025-12-11": "xhigh",
}


@pytest.mark.slow
def test_top_efforts_are_predicted_from_lower_ones(root) -> None:
    """All at once: at least as well as what each had one effort below, plus the mean gain of the other LLMs."""
    spec = ds3.ModelSpec.from_toml(root / "models" / "aime_effort.toml")
    tops = [f"(model == '{llm}' and effort == '{effort}')" for llm, effort in TOPS.items()]
    tops.append("budget_tokens == 32000")
    held_out = ds3.ModelSpec.from_dict({"holdout": [{"where": " or ".join(tops)}]})
    with warnings.catch_warnings():
        # A few hundred draws are enough for means.
        warnings.simplefilter("ignore", ds3.FitWarning)
        fit = ds3.fit(spec.data.read(), held_out, draws=400, chains=2, seed=1, progress=False)
    seen = ds3.observed_vs_predicted(fit).query("rows == 'held out'")
    success = seen[seen["quantity"] == "success per attempt"]
    assert len(success) == len(tops)
    rows = to_table(spec.data.read())
    rate = rows.groupby(["model", "effort", "budget_tokens"], dropna=False)[["successes", "attempts"]].sum()
    rate = (rate["successes"] / rate["attempts"]).to_dict()
    found = {(llm, effort, None if np.isnan(budget) else budget): one for (llm, effort, budget), one in rate.items()}
    below = {llm: found[(llm, {"high": "medium", "xhigh": "high"}[effort], None)] for llm, effort in TOPS.items()}
    top = {llm: found[(llm, effort, None)] for llm, effort in TOPS.items()}
    opus = "anthropic/claude-opus-4-5-20251101"
    below[opus], top[opus] = found[(opus, "", 16000.0)], found[(opus, "", 32000.0)]
    gains = {llm: top[llm] - below[llm] for llm in top}
    rule = np.mean([abs(gains[llm] - np.mean([gains[one] for one in gains if one != llm])) for llm in gains])
    assert (success["mean"] - success["observed"]).abs().mean() < rule
    tokens = seen[seen["quantity"] == "tokens per attempt"]
    assert len(tokens) == len(tops)
    assert tokens["inside"].mean() >= 0.8
