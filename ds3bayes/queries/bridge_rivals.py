"""`bridge_against_rivals`: whether the loss bridge predicts LLMs better than simple rules do, on a fit's own table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import expit, logit

from ds3bayes.errors import InputError
from ds3bayes.evals.choose import to_table
from ds3bayes.generative.capability.loss_bridge import LossBridge
from ds3bayes.generative.rows import attempts_alone, row_strategy
from ds3bayes.generative.spec import HoldOut
from ds3bayes.inference.artifact import evals_of, spec_of
from ds3bayes.inference.fit import fit as sample
from ds3bayes.queries.predict import predict

Array = np.ndarray

# Fewer LLMs tell no slopes of size and of training tokens.
_LEAST = 4
_OURS = "loss bridge"


def bridge_against_rivals(
    fit: xr.DataTree,
    *,
    draws: int | None = None,
    tune: int | None = None,
    chains: int | None = None,
    cores: int = 2,
    seed: int = 0,
) -> xr.Dataset:
    """Predict LLMs of a fit's table that were left out from the others, by the bridge and by simple rivals.

    Left out are the LLMs that the spec holds out with all their single attempts, if there are any: the fit has
    predicted them. Otherwise they are all LLMs of the most parameters and all of the most training tokens, or only the
    one of most training compute where fewer than 4 LLMs would remain; the model is then fitted anew without them. What
    is predicted is their mean success at the fit's own tasks, from ``params``, ``train_tokens`` and family. Rivals are
    the nearest LLM in (log params, log train_tokens), and linear and quadratic least squares of the logit of mean
    success on both logs.

    Parameters
    ----------
    fit : xarray.DataTree
        With ``capability = "loss_bridge"``.
    draws, tune, chains : int, optional
        Of the new fit; those of the fit's spec if absent.
    cores : int, default 2
        Chains sampled at the same time.
    seed : int, default 0

    Returns
    -------
    xarray.Dataset
        With dims (forecaster, case), a case being a left-out LLM on a benchmark at a setting: ``predicted`` (of the
        bridge the posterior median) and ``error``, its distance from what was observed; NaN for a regression that the
        remaining LLMs do not determine. With dim (case): ``observed`` mean success over tasks, and the ends ``lower``
        and ``upper`` of the bridge's 90 % interval of such a reading. Coordinates ``model``, ``benchmark``,
        ``strategy``, ``params`` and ``train_tokens`` of the cases. ``attrs["sentence"]`` says what follows.

    Raises
    ------
    InputError
        If the fit has another capability, or fewer than 5 LLMs with single attempts.

    Warns
    -----
    FitWarning
        If the draws of the new fit cannot be trusted.

    Notes
    -----
    Few LLMs make a rough score: an LLM differs from what size and training tokens say of it by as much as forecasts
    differ. Rivals take an LLM to have had half a success and half a failure more than it had.
    """
    spec = spec_of(fit)
    if not isinstance(spec.capability, LossBridge):
        raise InputError(
            f"this fit has capability {spec.capability.kind!r}, which predicts no LLM from its size and training "
            "tokens; fit with capability = 'loss_bridge'"
        )
    found = bridge_on_held_out(fit, seed)
    if found is not None:
        return found
    evals, held = evals_of(fit)
    every = to_table(evals)
    readings = _readings(every[~held & attempts_alone(every["strategy"]).to_numpy()])
    rule = _rule(readings)
    given = {"draws": draws, "tune": tune, "chains": chains}
    sampling = spec.sampling.model_copy(
        update={"seed": seed} | {name: value for name, value in given.items() if value is not None}
    )
    without = spec.model_copy(update={"holdout": (*spec.holdout, HoldOut(where=rule)), "sampling": sampling})
    refit = sample(evals, without, cores=cores, progress=False)
    out = readings.eval(rule).to_numpy()
    return _compared(refit, readings[~out], readings[out], "the largest or longest trained", seed)


def bridge_on_held_out(fit: xr.DataTree, seed: int = 0) -> xr.Dataset | None:
    """Compare as `bridge_against_rivals` does, if the spec of a fit holds out whole LLMs: without a new fit."""
    evals, held = evals_of(fit)
    table = to_table(evals)
    alone = attempts_alone(table["strategy"])
    unseen = pd.Series(held).groupby(table["model"]).transform("all")
    if not (unseen & alone).any():
        return None
    known = _readings(table[alone & ~held])
    return (
        None if known.empty else _compared(fit, known, _readings(table[alone & unseen]), "held out by the spec", seed)
    )


def _compared(fit: xr.DataTree, known: pd.DataFrame, cases: pd.DataFrame, which: str, seed: int) -> xr.Dataset:
    """Compare forecasts of readings of LLMs that a fit has not seen, given those of the others."""
    cases = cases.reset_index(drop=True)
    success = predict(fit, list(dict.fromkeys(cases["strategy"])), tasks="observed")["success"]
    rng = np.random.default_rng([seed, 19])
    bridge = [
        success.sel(model=case.model, benchmark=case.benchmark, strategy=case.strategy).to_numpy().ravel()
        for case in cases.itertuples()
    ]
    seen = [rng.binomial(int(n), np.clip(q, 0.0, 1.0)) / n for q, n in zip(bridge, cases["attempts"], strict=True)]
    low, high = np.quantile(np.stack(seen), [0.05, 0.95], axis=1)
    predicted = {_OURS: np.median(np.stack(bridge), axis=1)} | {
        name: _of_settings(rival, known, cases) for name, rival in RIVALS.items()
    }
    table = np.stack(list(predicted.values()))
    observed = cases["success"].to_numpy()
    result = xr.Dataset(
        {
            "predicted": (("forecaster", "case"), table, {"units": "1", "long_name": "predicted mean success"}),
            "error": (("forecaster", "case"), np.abs(table - observed), {"units": "1", "long_name": "absolute error"}),
            "observed": ("case", observed, {"units": "1", "long_name": "observed mean success"}),
            "lower": ("case", low, {"units": "1", "long_name": "lower end of the bridge's 90 % interval"}),
            "upper": ("case", high, {"units": "1", "long_name": "upper end of the bridge's 90 % interval"}),
        },
        coords={
            "forecaster": list(predicted),
            **{
                name: ("case", cases[name].to_numpy())
                for name in ("model", "benchmark", "strategy", "params", "train_tokens")
            },
        },
        attrs={"left_out": which, "remaining": int(known["model"].nunique())},
    )
    return result.assign_attrs(sentence=_sentence(result))


def _readings(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean success over tasks of every LLM on a benchmark at a setting, with its attempts and training."""
    rows = rows.assign(
        strategy=[str(row_strategy(row)) for row in rows.to_dict("records")],
        share=rows["successes"] / rows["attempts"],
    )
    found = rows.groupby(["model", "benchmark", "strategy"], sort=False).agg(
        success=("share", "mean"),
        attempts=("attempts", "sum"),
        params=("params", "first"),
        train_tokens=("train_tokens", "first"),
    )
    return found.reset_index()


def _rule(readings: pd.DataFrame) -> str:
    """Say which LLMs are left out, as a query of the table."""
    llms = readings.drop_duplicates("model")
    most = [f"{name} >= {float(llms[name].max())!r}" for name in ("params", "train_tokens")]
    if (~llms.eval(" or ".join(most))).sum() >= _LEAST:
        return " or ".join(most)
    if len(llms) <= _LEAST:
        raise InputError(
            f"{len(llms)} LLMs have single attempts in this fit; at least {_LEAST + 1} are needed, to leave out the "
            "best trained and predict it from the others"
        )
    best = llms.iloc[int((llms["params"] * llms["train_tokens"]).to_numpy().argmax())]
    return f"params == {float(best.params)!r} and train_tokens == {float(best.train_tokens)!r}"


def _of_settings(rival: Callable[[Array, Array, Array], Array], known: pd.DataFrame, cases: pd.DataFrame) -> Array:
    """Ask a rival for all cases, of each benchmark and setting from the readings of its own."""
    result = np.full(len(cases), np.nan)
    for (benchmark, strategy), mine in cases.groupby(["benchmark", "strategy"], sort=False):
        of_setting = known[(known["benchmark"] == benchmark) & (known["strategy"] == strategy)]
        if len(of_setting):
            # The logit of half a success more, and half a failure.
            share = (of_setting["success"] * of_setting["attempts"] + 0.5) / (of_setting["attempts"] + 1.0)
            result[mine.index] = rival(_logs(of_setting), share.to_numpy(), _logs(mine))
    return result


def _logs(llms: pd.DataFrame) -> Array:
    return np.log(llms[["params", "train_tokens"]].to_numpy(dtype=float))


def _nearest(known: Array, success: Array, wanted: Array) -> Array:
    """Success of the nearest LLM, shape (wanted,)."""
    return success[((known[:, None] - wanted) ** 2).sum(axis=2).argmin(axis=0)]


def _regression(known: Array, success: Array, wanted: Array, *, quadratic: bool) -> Array:
    """Least squares of the logit on both logs, and on their products; NaN where it is not determined."""

    def terms(at: Array) -> Array:
        x, y = (at - known.mean(axis=0)).T
        return np.stack([np.ones_like(x), x, y, *((x**2, x * y, y**2) if quadratic else ())], axis=1)

    design = terms(known)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return np.full(len(wanted), np.nan)
    return np.asarray(expit(terms(wanted) @ np.linalg.lstsq(design, logit(success), rcond=None)[0]))


#: Rivals of the bridge: from (log params, log train_tokens) and mean success of known LLMs to that of others.
RIVALS: dict[str, Callable[[Array, Array, Array], Array]] = {
    "nearest LLM": _nearest,
    "linear regression": lambda *given: _regression(*given, quadratic=False),
    "quadratic regression": lambda *given: _regression(*given, quadratic=True),
}


def _sentence(found: xr.Dataset) -> str:
    errors = found["error"].mean("case").to_series()
    ours, rivals = float(errors[_OURS]), errors.drop(_OURS).dropna()
    cases = found.sizes["case"]
    inside = int(((found["lower"] <= found["observed"]) & (found["observed"] <= found["upper"])).sum())
    better = [str(name) for name, error in rivals.items() if error <= ours]
    said = (
        f"Of {len(set(found['model'].values))} LLMs left out, {found.attrs['left_out']}, the loss bridge misses "
        f"mean success by {ours:.2g} on average, "
        + ", ".join(f"{name} by {error:.2g}" for name, error in rivals.items())
        + f"; its 90 % intervals hold {inside} of {cases}. "
    )
    if better:
        return said + (
            f"On this table {' and '.join(better)} predicted LLMs never evaluated at least as well: take the bridge's "
            "point for no better than that."
        )
    return said + "On this table none of these rivals predicted LLMs never evaluated as well as the bridge."
