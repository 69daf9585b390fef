"""What would change a choice: every flip that is said is one of the choice itself, and just before it there is none."""

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.generative.spec import Query
from ds3bayes.queries.decide import decision_of

OPTIONS = {
    ("small", "cot"): (0.50, 100.0),
    ("small", "majority(n=8)"): (0.58, 800.0),
    ("large", "cot"): (0.70, 1000.0),
    ("large", "majority(n=8)"): (0.74, 8000.0),
}


def predicted(spread: float = 0.01, dearer: float = 1.0, n: int = 400) -> xr.Dataset:
    """Two LLMs with two strategies; draws of success have their means exactly, costs vary by a fiftieth."""
    rng = np.random.default_rng(1)
    models, strategies = ["small", "large"], ["cot", "majority(n=8)"]
    success = np.empty((1, n, 2, 1, 2))
    cost = np.empty_like(success)
    for (model, strategy), (mean, price) in OPTIONS.items():
        at = (0, slice(None), models.index(model), 0, strategies.index(strategy))
        noise = rng.standard_normal(n)
        success[at] = mean + spread * (noise - noise.mean())
        cost[at] = price * (dearer if model == "large" else 1.0) * np.exp(0.02 * rng.standard_normal(n))
    dims = ("chain", "draw", "model", "benchmark", "strategy")
    coords = {"chain": [0], "draw": np.arange(n), "model": models, "benchmark": ["b"], "strategy": strategies}
    return xr.Dataset(
        {"success": (dims, success), "tokens": (dims, cost)},
        coords=coords,
        attrs={"absent": "usd: no prices", "tasks": "observed"},
    )


def said(decision, what: str) -> str:
    found = [one for one in decision.changes if one.startswith(what)]
    assert len(found) == 1, decision.changes
    return found[0]


def value(text: str) -> float:
    return float(text.replace(",", ""))


def test_caps_at_which_the_choice_flips():
    pred, query = predicted(), Query(max_cost=1500.0, success=0.6)
    decision = decision_of(pred, query)
    assert decision.chosen == "large | cot"
    text = said(decision, "Cap:")
    below = re.search(r"below ([\d,.]+) tokens per task it would be (.+?);", text)
    above = re.search(r"from ([\d,.]+) tokens on, (.+)\.", text)
    for found, inside in ((below, 1.02), (above, 0.98)):
        assert (
            decision_of(pred, query.model_copy(update={"max_cost": inside * value(found[1])})).chosen == "large | cot"
        )
        beyond = value(found[1]) / inside
        assert decision_of(pred, query.model_copy(update={"max_cost": beyond})).chosen == found[2]
    assert (below[2], above[2]) == ("small | majority(n=8)", "large | majority(n=8)")


def test_a_price_at_which_the_choice_flips():
    query = Query(max_cost=1500.0)
    text = said(decision_of(predicted(), query), "Price:")
    factor, other = re.search(r"with large ([\d.]+) times as dear it would be (.+)\.", text).groups()
    assert decision_of(predicted(dearer=0.95 * float(factor)), query).chosen == "large | cot"
    assert decision_of(predicted(dearer=1.05 * float(factor)), query).chosen == other == "small | majority(n=8)"
    # Without a cap nothing but success counts.
    assert "it stays the choice with large 10 times as dear" in said(decision_of(predicted(), Query()), "Price:")


def test_a_difference_that_would_have_to_matter():
    pred = predicted()
    tied = decision_of(pred, Query(margin=0.05))
    assert tied.chosen == "large | cot"
    text = said(tied, "Margin:")
    assert "if a difference of 0.040 in success mattered (query.margin = 0.05" in text
    assert text.endswith("it would be large | majority(n=8).")
    assert decision_of(pred, Query(margin=0.0399)).chosen == "large | majority(n=8)"
    # And one that would have to matter less.
    text = said(decision_of(pred, Query(margin=0.01)), "Margin:")
    assert text.startswith("Margin: who gives up 0.040 of success gets large | cot, at 0.12")
    assert decision_of(pred, Query(margin=0.0401)).chosen == "large | cot"


def test_targets_that_are_reached():
    pred = predicted()
    query = Query(success=0.6, confidence=0.9)
    text = said(decision_of(pred, query), "Target:")
    up_to, then, furthest, lower = re.search(
        r"Target: large \| cot is the cheapest that suffices up to success ([\d.]+); above, (.+), up to ([\d.]+); "
        r"up to ([\d.]+) the cheaper small \| majority\(n=8\) does\.",
        text,
    ).groups()
    assert then == "large | majority(n=8)"

    def enough(target: float) -> list[str]:
        options = decision_of(pred, query.model_copy(update={"success": target})).options
        return options[options["enough"]]["option"].tolist()

    assert enough(float(up_to)) == ["large | cot"]
    assert enough(float(up_to) + 0.001) == [then] == enough(float(furthest))
    assert enough(float(furthest) + 0.001) == []
    assert enough(float(lower)) == ["small | majority(n=8)"]
    assert enough(float(lower) + 0.001) == ["large | cot"]
    none = said(decision_of(pred, Query(success=0.95)), "Target:")
    highest = "Target: the highest success that any option reaches with probability at least 0.9 is"
    assert none == f"{highest} {furthest}, by {then}."


def test_what_knowing_more_could_gain():
    sure, unsure = decision_of(predicted(), Query()), decision_of(predicted(spread=0.1), Query())
    assert "nothing worth having" in said(sure, "More attempts:")
    regret = unsure.options[unsure.options["chosen"]]["regret"].item()
    text = said(unsure, "More attempts:")
    assert f"would gain {regret:.3f} of success on average, and no evaluation gains more" in text
    careless = decision_of(predicted(spread=0.03), Query(margin=0.03))
    assert said(careless, "More attempts:").endswith("within the margin of 0.03 that is not worth paying for.")


def test_where_something_is_to_gain_the_evaluation_that_gains_most_is_named(prior_fit):
    rng = np.random.default_rng(0)
    rows = [
        {"model": model, "benchmark": "b", "task": f"t{i}", "strategy": "cot", "attempts": 2}
        | {"successes": int(rng.integers(0, 3)), "tokens_mean": 200.0 + 30.0 * i, "steps": 3}
        for model in ("m", "n")
        for i in range(8)
    ]
    fit = prior_fit(ds3.read_evals(pd.DataFrame(rows)), draws=60)
    decision = ds3.decide(fit, ds3.predict(fit, ["cot"]), cost="tokens")
    assert decision.options["regret"].min() > 0.01
    text = said(decision, "More attempts:")
    options = decision.options.nlargest(3, "p_best")["option"].tolist()
    wanted = ds3.next_evals(fit, options, cost="tokens").attrs["sentence"]
    assert wanted.startswith("Next run")
    assert text == f"More attempts: n{wanted[1:]}"
    # As with every other sentence, the report says the same.
    assert text in decision.sentences


def test_without_a_cost_only_the_target_and_knowing_more_are_said():
    decision = decision_of(predicted().drop_vars("tokens"), Query())
    assert [one.partition(":")[0] for one in decision.changes] == ["Target", "More attempts"]


def test_nothing_changes_where_nothing_is_chosen():
    assert decision_of(predicted(), Query(max_cost=1.0)).changes == ()


def test_the_card_has_every_sentence_once_and_the_choice_first():
    decision = decision_of(predicted(), Query(max_cost=1500.0))
    assert [heading for heading, _ in decision.card][:3] == ["Choose", "To reach the target", "What would change it"]
    assert decision.sentences[0] == decision.choice
    assert len(set(decision.sentences)) == len(decision.sentences)
    assert set(decision.changes) <= set(decision.sentences)
    assert decision.headline.startswith("success 0.700 (")
    assert "tokens (" in decision.headline


@pytest.mark.parametrize("name", ["success", "cost", "tokens"])
def test_draws_are_those_of_the_options(name):
    decision = decision_of(predicted(), Query())
    drawn = decision.draws[name]
    assert drawn.shape == (400, 4)
    column = "success" if name == "success" else "cost"
    assert drawn.mean(axis=0) == pytest.approx(decision.options[column].to_numpy(), rel=1e-12)
