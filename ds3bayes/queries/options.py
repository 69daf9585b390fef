"""An option, an LLM with a strategy: in the words in which users name it, and whether and what it is worth choosing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.generative.spec import Query
from ds3bayes.inference.artifact import spec_of
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

Array = np.ndarray

_BETWEEN = " | "
# Of the best's success, the most that a practical tie may give up.
_SHARE = 0.1


def parse_option(text: str, models: Sequence[str], default: str = DEFAULT_SAMPLER) -> tuple[str, Strategy]:
    """Read ``"LLM | strategy"``, the name of an LLM alone, or a strategy alone where there is one LLM.

    Parameters
    ----------
    text : str
    models : sequence of str
        The LLMs there are.
    default : str, default "cot"
        Strategy of an LLM named alone.

    Raises
    ------
    InputError
        If the LLM or the strategy is unknown, or it is not clear which LLM is meant.
    """
    # A name may hold the separator itself, so the known names come first.
    for model in sorted(models, key=len, reverse=True):
        if text == model:
            return model, parse_strategy(default)
        if text.startswith(model + _BETWEEN):
            return model, parse_strategy(text.removeprefix(model + _BETWEEN))
    if _BETWEEN not in text:
        try:
            strategy = parse_strategy(text)
        except InputError:
            strategy = None
        if strategy is not None and len(models) == 1:
            return models[0], strategy
        if strategy is not None:
            raise InputError(f"{text!r}: of which LLM? Write 'LLM | {text}', with one of: {', '.join(models)}")
    name = text.partition(_BETWEEN)[0]
    raise InputError(
        f"{text!r}: there is no LLM {name!r}; write 'LLM' or 'LLM | strategy', with one of: {', '.join(models)}."
        + did_you_mean(name, models)
    )


def draws_of(
    pred: xr.Dataset, model: str, benchmark: str, strategy: Strategy, variables: Sequence[str] = ("success",)
) -> tuple[str, xr.Dataset]:
    """Return the label and the draws of one option, which must stand for one setting.

    Raises
    ------
    InputError
        If the LLM has no such sampler on that benchmark, or at several efforts or budgets.
    """
    at = pred[list(variables)].sel(model=model, benchmark=benchmark)
    there = [str(label) for label in at["strategy"].values if is_setting_of(str(label), strategy)]
    there = [label for label in there if np.isfinite(at["success"].sel(strategy=label).values).any()]
    # A setting named in full is that one, even where it leaves open what another fills in.
    if str(strategy) in there:
        there = [str(strategy)]
    if len(there) == 1:
        return there[0], at.sel(strategy=there[0], drop=True)
    if not there:
        raise InputError(f"{model} has no {strategy} on {benchmark}")
    raise InputError(f"{model}: {strategy} stands for several settings on {benchmark}; name one of: {'; '.join(there)}")


def is_setting_of(label: str, strategy: Strategy) -> bool:
    """Whether a predicted label is a strategy with what it left open (effort, budget) filled in."""
    other = parse_strategy(label)
    if type(other) is not type(strategy):
        return False
    opened = [name for name in ("effort", "budget_tokens", "max_tokens") if getattr(strategy, name) is None]
    same = {name: getattr(other, name) for name in other.__dataclass_fields__ if name not in opened}
    return all(getattr(strategy, name) == value for name, value in same.items())


def only_benchmark(benchmarks: Iterable[str], asked: str | None) -> str:
    """Return the benchmark asked for, or the only one there is."""
    names = [str(name) for name in benchmarks]
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None:
        raise InputError(f"there are several benchmarks; name one of: {', '.join(names)}")
    if asked not in names:
        raise InputError(f"benchmark = {asked!r}; allowed: {', '.join(names)}." + did_you_mean(asked, names))
    return asked


def asked_of(
    fit_or_pred: xr.DataTree | xr.Dataset,
    margin: float | None,
    perfect_check: bool | Collection[str] | None,
) -> tuple[float, bool | Collection[str]]:
    """Return margin and perfect check: those given, else those of the fit's spec, else the defaults of a spec.

    Raises
    ------
    InputError
        If the margin is no difference in success.
    """
    query = spec_of(fit_or_pred).query if isinstance(fit_or_pred, xr.DataTree) else Query()
    margin = query.margin if margin is None else margin
    refuse_margin(margin)
    return margin, query.perfect_check if perfect_check is None else perfect_check


def refuse_margin(margin: float) -> None:
    """Refuse a margin that is no difference in success."""
    if not 0.0 <= margin < 1.0:
        raise InputError(f"margin = {margin}: it must be a difference in success, at least 0 and below 1")


def is_bound(label: str, benchmark: str, perfect_check: bool | Collection[str]) -> bool:
    """Whether a strategy, by its text form, is an upper bound: it picks by an oracle, and no perfect check exists.

    Parameters
    ----------
    label, benchmark : str
    perfect_check : bool or collection of str
        Whether wrong answers can be told from right ones when deployed, or the benchmarks where they can.
    """
    checked = perfect_check if isinstance(perfect_check, bool) else benchmark in perfect_check
    return not checked and _assumes_perfect_check(label)


@lru_cache(maxsize=4096)
def _assumes_perfect_check(label: str) -> bool:
    """Whether a strategy picks by an oracle; a label of a user's own makes no such claim."""
    try:
        return parse_strategy(label).assumes_perfect_check
    except InputError:
        return False


def practical_tie(success: Array | float, margin: float) -> Array:
    """Return how far below a success another is practically tied with it: the margin, or a tenth of the success.

    On hard tasks an option that solves nothing is so never tied with one that solves some.
    """
    return np.minimum(margin, _SHARE * np.asarray(success))


def choose(success: Array, cost: Array, candidate: Array, margin: float) -> tuple[Array, Array, Array]:
    """Choose among options by expected regret, or the cheapest of those that are practically tied.

    Parameters
    ----------
    success, cost : array, shape (draws, options)
        Draws; costs that are not known are NaN.
    candidate : bool array, shape (draws, options)
        Which options may be chosen at a draw: others count as failing there, and one that never may is none.
    margin : float
        Difference in expected success that is not worth paying for.

    Returns
    -------
    tuple of array, shape (options,)
        Expected regret against the best candidate of each draw, whether it is practically tied with the option of
        least regret, and whether it is the choice.
    """
    top = np.where(candidate, success, 0.0).max(axis=1, keepdims=True)
    regret = (top - np.where(candidate, success, 0.0)).mean(axis=0)
    tied, chosen = np.zeros((2, regret.size), dtype=bool)
    allowed = candidate.any(axis=0)
    if not allowed.any():
        return regret, tied, chosen
    mean_cost = cost.mean(axis=0)
    # Least regret; of equals the likeliest to be affordable, then the cheaper.
    keys = (np.nan_to_num(mean_cost), -candidate.mean(axis=0), regret)
    first = int(np.lexsort([np.where(allowed, key, np.inf) for key in keys])[0])
    most = practical_tie(float(success[:, first].mean()), margin)
    tied = allowed & (regret <= regret[first] + most + 1e-12)
    among = np.where(tied & np.isfinite(mean_cost), mean_cost, np.inf)
    chosen[int(among.argmin()) if among.min() < among[first] else first] = True
    return regret, tied, chosen
