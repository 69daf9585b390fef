"""An option, an LLM with a strategy, in the words in which users name it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.strategies import Strategy, parse_strategy
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

_BETWEEN = " | "


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
