"""The draws of a decision as a page holds them, so that its script can decide again at another cap, target or price.

Success and cost are embedded in single precision with the order of the options of each draw kept, so that the script
finds the very shares, ranks and ties that `ds3bayes.decide` finds, and regrets to one part in ten million.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ds3bayes.generative.spec import Cost, Query
from ds3bayes.queries.choices import FRACTION
from ds3bayes.queries.decide import Decision
from ds3bayes.queries.words import COST_NAMES

Array = np.ndarray

#: Characters that the draws of a page may take.
MOST = 3_000_000
# Steps of the logarithm of tokens, which only matter once a price is moved.
_STEPS = 65_535


def embedded(decision: Decision, query: Query, prices: Mapping[str, Cost], most: int = MOST) -> str:
    """Return the draws of a decision, its options and its questions as JSON; empty where there is nothing to decide.

    Parameters
    ----------
    decision : Decision
    query : Query
        What it answers.
    prices : mapping of str to Cost
        Of every LLM, learned ones included.
    most : int, default 3,000,000
        Characters that the draws may take; beyond that they are thinned evenly.
    """
    drawn = decision.draws
    if "success" not in drawn or (~decision.options["bound"]).sum() < 1:
        return ""
    success, options = drawn["success"], decision.options
    cost = drawn.get("cost")
    models = list(dict.fromkeys(options["model"].astype(str)))
    moved = _prices(models, prices) if query.cost == "usd" and cost is not None and "tokens" in drawn else {}
    size = 4 * (4 + 4 * (cost is not None) + 2 * bool(moved)) * success.shape[1] / 3
    step = max(1, int(np.ceil(len(success) * size / most)))
    content: dict[str, Any] = {
        "draws": len(success[::step]),
        "of": len(success),
        "cost": query.cost,
        "unit": COST_NAMES[query.cost],
        "cap": query.max_cost,
        "target": query.success,
        "confidence": query.confidence,
        "margin": query.margin,
        "fraction": FRACTION,
        "priced": cost is not None,
        "options": [
            {"number": int(row.number), "name": str(row.option), "model": str(row.model), "bound": bool(row.bound)}
            for row in options.itertuples()
        ],
        "success": _floats(_ordered(success[::step])),
    }
    if cost is not None:
        content["costs"] = _floats(_ordered(cost[::step]))
    if moved:
        # A pair of numbers per option stands for the ends of its logarithms.
        tokens = np.log(np.maximum(np.nan_to_num(drawn["tokens"][::step]), 1e-9))
        low, high = tokens.min(axis=0), tokens.max(axis=0)
        steps = np.round(_STEPS * (tokens - low) / np.maximum(high - low, 1e-12)).astype("<u2")
        content |= {"prices": moved, "tokens": _text(steps.T), "ends": np.stack([low, high], axis=1).tolist()}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _prices(models: list[str], prices: Mapping[str, Cost]) -> dict[str, list[float]]:
    """Return prices of prompt and generated tokens of the LLMs that have them."""
    found = {}
    for model in models:
        one = prices.get(model)
        if one is not None and one.input_usd is not None and one.output_usd is not None:
            found[model] = [float(one.input_usd), float(one.output_usd)]
    return found


def _ordered(values: Array) -> Array:
    """Round to single precision; of the options of a draw those that differ still do, in their order; NaN stays."""
    order = np.argsort(values, axis=1, kind="stable")
    exact = np.take_along_axis(values, order, axis=1)
    rounded = exact.astype(np.float32)
    for place in range(1, exact.shape[1]):
        before = rounded[:, place - 1]
        least = np.where(exact[:, place] > exact[:, place - 1], np.nextafter(before, np.float32(np.inf)), before)
        rounded[:, place] = np.maximum(rounded[:, place], least)
    result = np.empty_like(rounded)
    np.put_along_axis(result, order, rounded, axis=1)
    return result


def _floats(values: Array) -> str:
    return _text(values.T.astype("<f4"))


def _text(values: Array) -> str:
    """Return an array, an option's draws after another's, as base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


__all__ = ["MOST", "embedded"]
