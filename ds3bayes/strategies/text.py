"""From the text form of a strategy to the strategy."""

from __future__ import annotations

from dataclasses import MISSING, fields

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.strategies.base import STRATEGIES, Strategy
from ds3bayes.strategies.grammar import parse_call


def parse_strategy(text: str) -> Strategy:
    """Return the strategy that a text such as ``best_of_n(n=16, verifier=noisy(d=1.5))`` means.

    ``parse_strategy(str(strategy)) == strategy`` for every strategy. White space between the parts is free,
    and the keys may come in any order.

    Parameters
    ----------
    text : str
        ``name``, ``name()`` or ``name(key=value, ...)``. Values are numbers, words, texts in quotes (with the
        escapes of JSON), lists ``[0.5, 0.5]`` and verifiers ``oracle`` or ``noisy(d=1.5)``.

    Returns
    -------
    Strategy

    Raises
    ------
    InputError
        If the text is not of that form, if the strategy or a key is unknown, if a key is missing, or if a
        value is outside its range; what was got and what is allowed are named.

    Examples
    --------
    >>> from ds3bayes.strategies import parse_strategy
    >>> str(parse_strategy(" best_of_n( n = 16 ) "))
    'best_of_n(n=16, verifier=oracle)'
    """
    name, given = parse_call(text)
    if name not in STRATEGIES:
        allowed = ", ".join(sorted(STRATEGIES))
        hint = did_you_mean(name, STRATEGIES)
        raise InputError(f"unknown strategy {name!r} in {text!r}; allowed are {allowed}.{hint}")
    cls = STRATEGIES[name]
    known = {field.name: field for field in fields(cls) if field.init}
    faults = [
        f"unknown key {key!r}; allowed are {', '.join(known)}.{did_you_mean(key, known)}"
        for key in given
        if key not in known
    ]
    faults += [
        f"{key} is missing; write {name}({key}=...)"
        for key, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING and key not in given
    ]
    if faults:
        raise InputError.of_faults(text, faults)
    return cls(**given)
