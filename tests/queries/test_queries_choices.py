"""Decisions against loops over draws and options, on small random predictions."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import ds3bayes as ds3

# Few levels, so that ties are common.
levels = st.integers(0, 4)


@st.composite
def predictions(draw, models=(1, 2), benchmarks=(1, 2)):
    shape = (
        draw(st.integers(1, 2)),
        draw(st.integers(1, 4)),
        draw(st.integers(*models)),
        draw(st.integers(*benchmarks)),
        draw(st.integers(1, 3)),
    )
    size = int(np.prod(shape))
    success = np.array(draw(st.lists(levels, min_size=size, max_size=size))).reshape(shape) / 4
    cost = np.array(draw(st.lists(levels, min_size=size, max_size=size))).reshape(shape) * 10.0
    # Options that exist nowhere, or not for one benchmark; the first always does.
    holes = np.array(
        draw(st.lists(st.booleans(), min_size=int(np.prod(shape[2:])), max_size=int(np.prod(shape[2:]))))
    ).reshape(shape[2:])
    holes[0, :, 0] = False
    success[:, :, holes] = np.nan
    cost[:, :, holes] = np.nan
    return dataset(success, cost)


def dataset(success, cost, name: str = "tokens") -> xr.Dataset:
    dims = ("chain", "draw", "model", "benchmark", "strategy")
    coords = {
        "chain": np.arange(success.shape[0]),
        "draw": np.arange(success.shape[1]),
        "model": [f"m{i}" for i in range(success.shape[2])],
        "benchmark": [f"b{i}" for i in range(success.shape[3])],
        "strategy": [f"s{i}" for i in range(success.shape[4])],
    }
    return xr.Dataset(
        {"success": (dims, success), name: (dims, cost)}, coords=coords, attrs={"absent": "usd: no prices"}
    )


def options(pred: xr.Dataset, benchmark: str) -> dict[str, list[tuple[float, float]]]:
    """Success and cost of each existing option by draw."""
    several = pred.sizes["model"] > 1
    found = {}
    for model in pred["model"].values:
        for strategy in pred["strategy"].values:
            at = pred.sel(model=model, benchmark=benchmark, strategy=strategy)
            s, c = at["success"].values.ravel(), at["tokens"].values.ravel()
            if not np.isnan(s).any():
                found[f"{model} | {strategy}" if several else str(strategy)] = list(zip(s, c, strict=True))
    return found


def row(result: xr.Dataset, benchmark: str, option: str) -> dict[str, float]:
    at = result.sel(benchmark=benchmark, option=option)
    return {str(name): float(at[name]) for name in result.data_vars}


@settings(deadline=None, max_examples=60)
@given(predictions(), st.sampled_from([None, 0.5, 10.0, 25.0]))
def test_best_is_what_a_loop_finds(pred, cap):
    result = ds3.best(pred, max_cost=cap)
    for benchmark in pred["benchmark"].values:
        drawn = options(pred, benchmark)
        samples = len(next(iter(drawn.values())))
        p_best, regret, affordable = dict.fromkeys(drawn, 0.0), dict.fromkeys(drawn, 0.0), dict.fromkeys(drawn, 0)
        for i in range(samples):
            within = {o: v[i][0] for o, v in drawn.items() if cap is None or v[i][1] <= cap}
            top = max(within.values(), default=0.0)
            winners = [o for o, s in within.items() if s == top]
            for o in drawn:
                affordable[o] += o in within
                regret[o] += top - within.get(o, 0.0)
                p_best[o] += (o in winners) / len(winners) if winners else 0.0
        assert set(result["option"].values[~np.isnan(result["regret"].sel(benchmark=benchmark))]) == set(drawn)
        for o in drawn:
            found = row(result, benchmark, o)
            assert found["p_best"] == pytest.approx(p_best[o] / samples)
            assert found["regret"] == pytest.approx(regret[o] / samples)
            assert found["p_affordable"] == pytest.approx(affordable[o] / samples)
            assert found["success"] == pytest.approx(np.mean([s for s, _ in drawn[o]]))
            assert found["cost"] == pytest.approx(np.mean([c for _, c in drawn[o]]))
        choice = choice_of(result, benchmark)
        if not any(affordable.values()):
            assert choice.startswith("no option is within tokens <=")
        else:
            assert affordable[choice] > 0
            assert regret[choice] == pytest.approx(min(regret[o] for o in drawn if affordable[o]))


def choice_of(result: xr.Dataset, benchmark: str) -> str:
    (text,) = [part for part in result.attrs["choice"].split("; ") if part.startswith(f"{benchmark}: ")]
    return text.removeprefix(f"{benchmark}: ")


@settings(deadline=None, max_examples=60)
@given(predictions(), st.sampled_from([0.25, 0.6]), st.sampled_from([0.3, 0.5, 0.9]))
def test_cheapest_is_what_a_loop_finds(pred, target, confidence):
    result = ds3.cheapest(pred, success=target, confidence=confidence)
    for benchmark in pred["benchmark"].values:
        drawn = options(pred, benchmark)
        reach = {o: np.mean([s >= target for s, _ in v]) for o, v in drawn.items()}
        cost = {o: np.mean([c for _, c in v]) for o, v in drawn.items()}
        good = [o for o in drawn if reach[o] >= confidence]
        for o in drawn:
            found = row(result, benchmark, o)
            assert found["p_reach"] == pytest.approx(reach[o])
            assert found["cost"] == pytest.approx(cost[o])
            assert bool(found["suffices"]) == (o in good)
        text = result.attrs["choice"]
        if good:
            choice = choice_of(result, benchmark)
            assert choice in good
            assert cost[choice] == pytest.approx(min(cost[o] for o in good))
        else:
            assert f"{benchmark}: none reaches {target:g} with probability {confidence:g}" in text


@settings(deadline=None, max_examples=60)
@given(predictions())
def test_frontier_is_what_a_loop_finds(pred):
    result = ds3.frontier(pred)

    def beaten(one, others):
        return any(s >= one[0] and c <= one[1] and (s > one[0] or c < one[1]) for s, c in others)

    for benchmark in pred["benchmark"].values:
        drawn = options(pred, benchmark)
        samples = len(next(iter(drawn.values())))
        means = {o: tuple(np.mean(v, axis=0)) for o, v in drawn.items()}
        for o in drawn:
            on = np.mean([not beaten(drawn[o][i], [v[i] for v in drawn.values()]) for i in range(samples)])
            found = row(result, benchmark, o)
            assert found["p_frontier"] == pytest.approx(on)
            if not any(np.isclose(means[o][k], m[k]) and m != means[o] for m in means.values() for k in (0, 1)):
                assert bool(found["on_frontier"]) == (not beaten(means[o], means.values()))


def constant(success: list[float], cost: list[float], draws: int = 3) -> xr.Dataset:
    shape = (1, draws, 1, 1, len(success))
    return dataset(np.broadcast_to(success, shape).copy(), np.broadcast_to(cost, shape).copy())


def test_ties_share_and_go_to_none_over_the_cap():
    pred = constant([0.5, 0.5, 0.9], [10.0, 20.0, 99.0])
    result = ds3.best(pred, max_cost=50.0)
    np.testing.assert_allclose(result["p_best"].values[0], [0.5, 0.5, 0.0])
    np.testing.assert_allclose(result["regret"].values[0], [0.0, 0.0, 0.5])
    assert choice_of(result, "b0") in ("s0", "s1")
    assert choice_of(ds3.best(pred), "b0") == "s2"
    assert "no option is within tokens <= 5" in ds3.best(pred, max_cost=5.0).attrs["choice"]


def test_a_tie_in_success_goes_to_the_cheaper():
    assert choice_of(ds3.best(constant([0.5, 0.5], [20.0, 10.0]), max_cost=50.0), "b0") == "s1"


def test_an_option_over_the_cap_is_not_chosen_because_the_others_fail():
    # Choosing either loses nothing; only one can be afforded.
    assert choice_of(ds3.best(constant([0.9, 0.0], [99.0, 10.0]), max_cost=50.0), "b0") == "s1"


def test_the_cap_itself_is_within():
    assert float(ds3.best(constant([0.5], [10.0]), max_cost=10.0)["p_affordable"].squeeze()) == 1.0


def test_the_answer_lists_all_when_none_exists_for_a_benchmark():
    pred = dataset(np.full((1, 2, 1, 2, 1), 0.5), np.full((1, 2, 1, 2, 1), 1.0))
    pred["success"][:, :, :, 1] = np.nan
    pred["tokens"][:, :, :, 1] = np.nan
    for result in (ds3.best(pred), ds3.best(pred, max_cost=9.0), ds3.cheapest(pred)):
        assert "b0: " in result.attrs["choice"]


@pytest.mark.parametrize("decide", [ds3.best, ds3.cheapest, ds3.frontier])
def test_what_decisions_refuse(decide):
    pred = constant([0.5], [10.0])
    with pytest.raises(ds3.InputError, match=r"cost = 'token'; allowed: tokens.*Did you mean 'tokens'"):
        decide(pred, cost="token")
    with pytest.raises(ds3.InputError, match="per_task=False"):
        decide(pred.expand_dims(task=["a", "b"]))
    if decide is not ds3.best:
        with pytest.raises(ds3.InputError, match=r"no usd .*no prices"):
            decide(pred, cost="usd")
    with pytest.raises(ds3.InputError, match="no usd"):
        ds3.best(pred, cost="usd", max_cost=1.0)


@pytest.mark.parametrize("name", ["success", "confidence"])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 2.0, np.nan])
def test_targets_are_probabilities(name, value):
    with pytest.raises(ds3.InputError, match=f"{name} = "):
        ds3.cheapest(constant([0.5], [10.0]), **{name: value})


@pytest.mark.parametrize("cap", [0.0, -1.0, np.nan])
def test_a_cap_must_be_positive(cap):
    with pytest.raises(ds3.InputError, match="max_cost"):
        ds3.best(constant([0.5], [10.0]), max_cost=cap)
