"""Prices of LLMs that a specification does not state, from what the rows of a table cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.generative.spec import Cost, ModelSpec

Array = np.ndarray

# How far a row's cost may be off its tokens times the prices: a thousandth, or a millionth of a dollar an attempt, to
# which costs are often rounded.
_RELATIVE, _ABSOLUTE = 1e-3, 1e-6
# Largest standard error of a price that counts as determined, relative to it.
_UNSURE = 0.02
_PRICES = ("input_usd", "output_usd")
_MILLION = 1e6


@dataclass(frozen=True, kw_only=True)
class LearnedPrices:
    """What costs of rows tell of prices.

    Parameters
    ----------
    costs : dict of str to Cost
        By LLM: those of the specification, with the prices that were learned.
    reasons : dict of str to str
        By LLM with costs that do not tell its prices: why.
    """

    costs: dict[str, Cost]
    reasons: dict[str, str]

    @property
    def said(self) -> str:
        """The learned prices in words, empty if there are none."""
        parts = [
            f"{model} USD {cost.input_usd:g} and {cost.output_usd:g}"
            for model, cost in self.costs.items()
            if cost.input_usd is not None and cost.output_usd is not None
        ]
        return f"{'; '.join(parts)} per million prompt and generated tokens" if parts else ""

    def priced(self, spec: ModelSpec) -> ModelSpec:
        """Return a specification with the learned prices."""
        return spec.model_copy(update={"costs": {**spec.costs, **self.costs}}) if self.costs else spec


def learned_prices(spec: ModelSpec, evals: xr.Dataset) -> LearnedPrices:
    """Learn the prices that a specification leaves open, where costs and tokens of the rows determine them.

    A row costs its prompt tokens at one price and its generated tokens at another. Both prices, or the one that the
    specification does not state, follow by least squares from the rows with cost and tokens; they are taken only if
    they explain every row's cost (within a thousandth, or a millionth of a dollar an attempt) and if prompt and
    generated tokens vary so that they tell the two apart (a standard error of at most a fiftieth of the price). Cached
    prompts, fees or a change of prices are so noticed, and never averaged away.

    Parameters
    ----------
    spec : ModelSpec
    evals : xarray.Dataset

    Returns
    -------
    LearnedPrices
    """
    if "cost_usd" not in evals:
        return LearnedPrices(costs={}, reasons={})
    names = [name for name in ("model", "attempts", "cost_usd", "prompt_tokens", "tokens_mean") if name in evals]
    table = pd.DataFrame({name: evals[name].values for name in names}).reindex(
        columns=["model", "attempts", "cost_usd", "prompt_tokens", "tokens_mean"]
    )
    costs, reasons = {}, {}
    for model, rows in table[table["cost_usd"].notna()].groupby("model", sort=False):
        known = spec.cost(str(model))
        if all(getattr(known, name) is not None for name in _PRICES):
            continue
        if known.cached_input_usd is not None:
            reasons[str(model)] = "it has a cached_input_usd, and no column says which prompt tokens were cached"
            continue
        found = _of_rows(rows, known)
        if isinstance(found, str):
            reasons[str(model)] = found
        else:
            costs[str(model)] = known.model_copy(update=found)
    return LearnedPrices(costs=costs, reasons=reasons)


def _of_rows(rows: pd.DataFrame, known: Cost) -> dict[str, Any] | str:
    """Return the missing prices of one LLM in USD per million tokens, or why its rows do not tell them."""
    if rows["tokens_mean"].isna().all():
        return "the rows with cost_usd have no completion_tokens or tokens_mean"
    if known.input_usd != 0 and rows["prompt_tokens"].isna().all():
        return "the rows with cost_usd have no prompt_tokens (set input_usd = 0 if prompts are free)"
    tokens = {"input_usd": rows["prompt_tokens"].fillna(np.nan if known.input_usd != 0 else 0.0)}
    tokens["output_usd"] = rows["tokens_mean"] * rows["attempts"]
    whole = rows[tokens["input_usd"].notna() & tokens["output_usd"].notna()].index
    cost = rows.loc[whole, "cost_usd"].to_numpy(dtype=float)
    columns = {name: values.loc[whole].to_numpy(dtype=float) / _MILLION for name, values in tokens.items()}
    allowed = _RELATIVE * cost + _ABSOLUTE * rows.loc[whole, "attempts"].to_numpy(dtype=float)
    open_ = [name for name in _PRICES if getattr(known, name) is None]
    rest = cost - sum(getattr(known, name) * columns[name] for name in _PRICES if name not in open_)
    if len(whole) <= len(open_):
        return f"{len(whole)} rows have cost and tokens, and {len(open_) + 1} are needed"
    # Rows of any size count alike.
    matrix = np.stack([columns[name] for name in open_], axis=1) / allowed[:, None]
    prices, _, rank, _ = np.linalg.lstsq(matrix, rest / allowed, rcond=1e-8)
    apart = "prompt and generated tokens do not vary apart" if len(open_) == 2 else "the tokens are all 0"
    if rank < len(open_):
        return apart
    off = np.abs(matrix @ prices - rest / allowed)
    worst = int(off.argmax())
    if off[worst] > 1 or (prices < -1e-9).any():
        return (
            "no two prices explain the cost of every row"
            f" (a row of USD {cost[worst]:.6g} is off by USD {off[worst] * allowed[worst]:.2g}): cached prompts, or "
            "prices that changed?"
        )
    # What rounding leaves of the residuals bounds the error of the prices.
    scale = max(float(np.sqrt(np.mean(off**2) * len(whole) / (len(whole) - len(open_)))), 1e-6)
    error = scale * np.sqrt(np.diag(np.linalg.inv(matrix.T @ matrix)))
    if (error > _UNSURE * np.maximum(prices, 1e-3)).any():
        return apart
    return {name: _round(float(price), float(one)) for name, price, one in zip(open_, prices, error, strict=True)}


def _round(price: float, error: float) -> float:
    """Return the shortest number within two standard errors of a price, as price lists have it."""
    for digits in range(1, 12):
        short = float(f"{price:.{digits}g}")
        if abs(short - price) <= max(2.0 * error, 1e-9):
            return max(short, 0.0)
    return max(price, 0.0)
