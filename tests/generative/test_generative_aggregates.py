"""Aggregated rows: their likelihood against plain loops, what they teach, and what is predicted for them."""

import warnings

import numpy as np
import pandas as pd
import pytensor
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.inference.artifact import design_of
from ds3bayes.queries.observed_vs_predicted import observed_vs_predicted
from ds3bayes.strategies import parse_strategy
from ds3bayes.strategies.base import Learned
from ds3bayes.strategies.learned import answer_at_draws, chosen_weights, vote_weights
from ds3bayes.theory.evaluate import python_mode
from ds3bayes.theory.selectors import verifier_weights
from ds3bayes.theory.votes import plurality_weights_partition, weighted_vote_weights_partition

SELECTION = pd.DataFrame(
    [
        ("a", "cot", None, None, 400, 240),
        ("a", "majority", 4, None, 400, 262),
        ("a", "best_of_n", 2, "prm", 400, 270),
        ("a", "best_of_n", 4, "prm", 400, 281),
        ("a", "best_of_n", 4, "oracle", 400, 330),
        ("a", "weighted_best_of_n", 4, "prm", 400, 285),
        ("b", "cot", None, None, 400, 180),
        ("b", "best_of_n", 4, "prm", 400, 215),
    ],
    columns=["model", "strategy", "n_samples", "verifier", "attempts", "successes"],
).assign(benchmark="math", tasks=400)

BUDGETS = pd.DataFrame(
    [(1000, 60, 21, 980.0), (4000, 60, 30, 2900.0), (16000, 60, 39, 5200.0)],
    columns=["max_tokens", "attempts", "successes", "tokens_mean"],
).assign(model="a", benchmark="aime", strategy="cot", tasks=60)

SPEC = ds3.ModelSpec.from_dict({"population": {"reachability": False}})
BUDGET_SPEC = ds3.ModelSpec.from_dict(
    {
        "population": {"reachability": True, "family": "normal", "path_length": 6},
        "priors": {
            "log_tokens": {"family": "Normal", "mu": 8.3, "sigma": 0.5},
            "location": {"family": "Normal", "mu": 0.5, "sigma": 1.0},
        },
    }
)


def potential(evals: xr.Dataset, spec: ds3.ModelSpec, given: dict[str, np.ndarray]) -> float:
    """The model's log-likelihood of all aggregated rows at given values of its variables."""
    model = assemble(spec, make_design(evals, spec))
    names = [variable.name for variable in model.free_RVs]
    function = pytensor.function(
        model.free_RVs,
        model.named_vars["curves"],
        mode=python_mode(),
        on_unused_input="ignore",
        allow_input_downcast=True,
    )
    return float(function(*[given[name] for name in names]))


def population(location: float, spread: float, skew: float) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of logit success of a lone arm and their probabilities, by the two-piece normal's definition."""
    nodes = np.linspace(-20, 12, 161)
    left, right = np.exp(skew / 2), np.exp(-skew / 2)
    shift = np.sqrt(2 / np.pi) * (right - left)
    sd = np.sqrt((1 - 2 / np.pi) * (right - left) ** 2 + left * right)
    y = (nodes - location) / spread * sd + shift
    weight = np.where(y < 0, stats.norm.pdf(y / left), stats.norm.pdf(y / right))
    return nodes, weight / weight.sum()


def test_rows_of_selectors_are_loops_over_the_population() -> None:
    # Values at nodes of the interpolated tables, where these are exact.
    concentration = np.exp(np.linspace(np.log(0.02), np.log(50.0), 17))[[6, 9]]
    gap, agreement = np.array([1.25, 0.75]), np.array([0.4, 0.08])
    evals = ds3.read_evals(SELECTION)
    design = make_design(evals, SPEC)
    mean_logit, spread, skew = np.array([0.4, -0.3]), np.array([2.0, 3.0]), np.array([0.3, -0.2])
    voted = [design.labels[arm] for arm in design.subsets.voted_arm]
    assert voted == ["a | math | cot"]
    found = potential(
        evals,
        SPEC,
        {
            "mean_logit": mean_logit,
            "spread": spread,
            "skew": skew,
            "wrong_answer_concentration": concentration[:1],
            "verifier_discrimination": gap,
            "verifier_agreement": agreement,
        },
    )
    c = (16 * np.sqrt(3) / (15 * np.pi)) ** 2
    expected = 0.0
    for row in SELECTION.to_dict("records"):
        i = "ab".index(row["model"])
        nodes, weight = population(mean_logit[i] * np.sqrt(1 + c * spread[i] ** 2), spread[i], skew[i])
        q = expit(nodes)
        if row["strategy"] == "cot":
            value = q
        else:
            n = int(row["n_samples"])
            if row["strategy"] == "majority":
                w = plurality_weights_partition(n, concentration[0])
            elif row["strategy"] == "weighted_best_of_n":
                w = weighted_vote_weights_partition(n, float(gap[i]), concentration[0])
            elif row["verifier"] == "oracle":
                w = np.arange(n + 1) > 0
            else:
                w = verifier_weights(n, gap[i], agreement[i])
            value = sum(stats.binom.pmf(k, n, q) * w[k] for k in range(n + 1))
        expected += stats.binom.logpmf(row["successes"], row["attempts"], float(weight @ value))
    assert found == pytest.approx(expected, rel=1e-9)


def test_rows_of_budgets_are_loops_over_tasks_and_their_lengths() -> None:
    evals = ds3.read_evals(BUDGETS)
    given = {
        "mean_logit": np.array([0.7]),
        "spread": np.array([1.8]),
        "reachability": np.array([0.9]),
        "log_tokens": np.array([8.3]),
        "token_slope": np.array([0.3]),
        "token_sd": np.array([0.4]),
        "forced_answer": np.array([0.35]),
        "budget_token_sd": np.array([0.12]),
    }
    found = potential(evals, BUDGET_SPEC, given)
    c = (16 * np.sqrt(3) / (15 * np.pi)) ** 2
    nodes, weight = population(0.7 * np.sqrt(1 + c * 1.8**2), 1.8, 0.0)
    mean = weight @ nodes
    ease = (nodes - mean) / np.sqrt(weight @ (nodes - mean) ** 2)
    length_node, length_weight = np.polynomial.hermite_e.hermegauss(7)
    length_weight = length_weight / length_weight.sum()
    m, omega = 6, 25.0
    expected = 0.0
    for row in BUDGETS.to_dict("records"):
        steps = row["max_tokens"] / omega
        success = mean_steps = 0.0
        for start in range(0, nodes.size, 4):
            # Four neighbouring nodes share the tokens of a task.
            part = slice(start, min(start + 4, nodes.size))
            share = weight[part].sum()
            right = weight[part] @ expit(nodes[part]) / share
            padded = np.append(ease[part], [ease[-1]] * (4 - (part.stop - start)))
            for z, w in zip(length_node, length_weight, strict=True):
                tokens = np.exp(8.3 - 0.3 * padded + 0.4 * z).mean()
                pace = min(m * omega / tokens, 1.0)
                inside = stats.nbinom.cdf(steps - m, m, pace)
                # E[min(T, K)] = sum over k < K of P(T > k).
                spent = (1.0 - stats.nbinom.cdf(np.arange(int(steps)) - m, m, pace)).sum()
                success += share * w * right * (inside + (1.0 - inside) * 0.35)
                mean_steps += share * w * spent
        expected += stats.binom.logpmf(row["successes"], row["attempts"], 0.9 * success)
        expected += -0.5 * ((np.log(row["tokens_mean"]) - np.log(omega * mean_steps)) / 0.12) ** 2 - np.log(0.12)
    assert found == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("n", [2, 4, 16])
def test_weights_between_the_nodes_of_a_table(n: int) -> None:
    rng = np.random.default_rng(0)
    for d, a, alpha in zip(rng.uniform(0.1, 4.5, 6), rng.uniform(0.0, 0.9, 6), rng.uniform(0.1, 20, 6), strict=True):
        chosen = chosen_weights(n, d, a).eval(mode=python_mode())
        np.testing.assert_allclose(chosen, verifier_weights(n, d, a), atol=2e-3 if n < 16 else 6e-3)
        voted = vote_weights(n, pytensor.tensor.as_tensor(alpha)).eval(mode=python_mode())
        np.testing.assert_allclose(voted, plurality_weights_partition(n, alpha), atol=1e-3 if n < 16 else 2e-2)


def quick_fit(table: pd.DataFrame, spec: ds3.ModelSpec, draws: int = 250, tune: int = 400) -> xr.DataTree:
    with warnings.catch_warnings():
        # Few draws suffice where inference is not under test.
        warnings.simplefilter("ignore", ds3.FitWarning)
        return ds3.fit(ds3.read_evals(table), spec, draws=draws, tune=tune, chains=2, seed=1, progress=False)


@pytest.fixture(scope="module")
def selected() -> xr.DataTree:
    return quick_fit(SELECTION, SPEC)


def test_predictions_for_new_tasks_are_the_population_means(selected: xr.DataTree) -> None:
    strategies = [f"{text}" for text in ("cot", "majority(n=4)", "best_of_n(n=4, verifier=learned(name=prm))")]
    pred = ds3.predict(selected, strategies, tasks="new", new_tasks=1024).sel(model="a", benchmark="math")
    expected = selected["posterior"]["aggregate_success"].sel(draw=pred["draw"].values)
    for text in strategies:
        difference = pred["success"].sel(strategy=text) - expected.sel(aggregate=f"a | math | {text}")
        # 1,024 evenly spread tasks stand for the population.
        assert float(np.abs(difference).max()) < 5e-3


def test_what_is_fitted_lies_within_its_own_prediction(selected: xr.DataTree) -> None:
    compared = observed_vs_predicted(selected)
    assert len(compared) == len(SELECTION)
    assert compared["inside"].all()
    assert {"aggregates"} == set(selected["log_likelihood"].data_vars)
    assert all(
        np.isfinite(outcome.table.select_dtypes("number").drop(columns="moved", errors="ignore")).all(axis=None)
        for outcome in ds3.check(selected)[1:3]
    )


def test_questions_that_aggregates_cannot_answer(selected: xr.DataTree) -> None:
    with pytest.raises(ds3.InputError, match="no observed tasks; predict for new tasks"):
        ds3.predict(selected)
    with pytest.raises(ds3.InputError, match="aggregates, so it has no observed tasks"):
        ds3.predict(selected, ["cot"])
    with pytest.raises(ds3.InputError, match=r"has not learned that verifier for a; learned .* a \| prm"):
        ds3.predict(selected, ["best_of_n(n=4, verifier=learned(name=orm))"], tasks="new")


def test_a_budget_is_predicted_with_its_forced_answers() -> None:
    # What is predicted at a draw is held against the fit at that draw, wherever it is.
    fit = quick_fit(BUDGETS, BUDGET_SPEC, draws=100, tune=200)
    budgets = BUDGETS["max_tokens"].tolist()
    pred = ds3.predict(fit, [f"cot(max_tokens={budget})" for budget in budgets], tasks="new", new_tasks=1024)
    assert design_of(fit).path_length.tolist() == [6]
    expected = fit["posterior"]["aggregate_success"].sel(draw=pred["draw"].values)
    for row, budget in enumerate(budgets):
        found = pred["success"].sel(strategy=f"cot(max_tokens={budget})").squeeze()
        # 1,024 tasks against the fit's groups of four nodes and seven lengths: coarse for the widest laws.
        difference = np.abs(found - expected.isel(aggregate=row)).values
        assert np.quantile(difference, 0.95) < 0.01
    assert (pred["success"].diff("strategy") > 0).all()


@pytest.mark.parametrize(
    ("strategy", "learned"),
    [
        ("weighted_best_of_n(n=4, verifier=learned(name=prm))", ("concentration", "discrimination")),
        ("weighted_best_of_n(n=4, verifier=noisy(d=1))", ("concentration",)),
        ("best_of_n(n=3, verifier=learned(name=prm))", ("discrimination", "agreement")),
    ],
)
def test_every_draw_has_its_own_selector(strategy: str, learned: tuple[str, ...]) -> None:
    """Draws all at once, more than are taken in one part, are what each gives alone."""
    rng = np.random.default_rng(0)
    q = rng.random((70, 3))
    given = {name: rng.uniform(0.2, 0.9, (70, 1)) for name in learned}
    parsed = parse_strategy(strategy)
    found = answer_at_draws(parsed, q, Learned(**given))
    assert found.shape == q.shape
    for draw in (0, 63, 64, 69):
        own = {name: values[draw : draw + 1] for name, values in given.items()}
        np.testing.assert_allclose(
            answer_at_draws(parsed, q[draw : draw + 1], Learned(**own))[0], found[draw], rtol=1e-12
        )
        if strategy.startswith("best_of_n"):
            weights = pytensor.function(
                [], chosen_weights(3, *(own[name][0, 0] for name in learned)), mode=python_mode()
            )()
            expected = stats.binom.pmf(np.arange(4), 3, q[draw][:, None]) @ weights
            np.testing.assert_allclose(found[draw], expected, rtol=1e-9)
