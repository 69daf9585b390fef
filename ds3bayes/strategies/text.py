"""From the text form of a strategy to the strategy."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.strategies.base import STRATEGIES, Strategy
from ds3bayes.strategies.grammar import parse_call


def parse_strategy(text: str) -> Strategy:
    """Return the strategy that a text such as ``best_of_n(n=16, verifier=noisy(d=1.5))`` means.

    ``parse_strategy(str(strategy)) == strategy`` for every strategy. White space between the parts is free,
    and the keys may come in any order. What strategies are called elsewhere (`Strategy.other_names`) is understood, and
    so is a lone number for the number of attempts: ``pass@5``, ``pass^5``, ``maj@8``, ``self_consistency(8)``,
    ``best_of_n(5)``, ``zero-shot``. ``pass@5`` is the share of tasks that any of 5 attempts solves,
    ``best_of_n(n=5, verifier=oracle)``; ``pass^5`` that of tasks that all of them solve, ``pass_power(n=5)``.

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
    >>> str(parse_strategy("maj@8"))
    'majority(n=8)'
    """
    name, given = parse_call(_in_full(text))
    if name not in STRATEGIES:
        allowed = ", ".join(sorted(STRATEGIES))
        hint = did_you_mean(name, [*STRATEGIES, *_other_names()])
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


# A name with a number of attempts, as pass@5 or best_of_n(5).
_COUNTED = re.compile(r"([A-Za-z_][A-Za-z0-9_ \-]{0,40}?) ?(?:([@^])\s*(\d{1,9})|\(\s*(\d{1,9})\s*\))\s*")
_NAMED = re.compile(r"([A-Za-z_][A-Za-z0-9_ \-]{0,40}?) ?(\(.*)?", re.DOTALL)


def _other_names() -> dict[str, str]:
    """Return the registered name behind each name that strategies have elsewhere."""
    return {other: name for name, cls in STRATEGIES.items() for other in cls.other_names}


def _in_full(text: str) -> str:
    """Write a strategy that is called as elsewhere in the form that is read."""
    # What is longer is in full already, or is refused for its length.
    if not isinstance(text, str) or len(text) > 1000:
        return text
    text = text.strip()
    counted = _COUNTED.fullmatch(text)
    if counted:
        # pass^5, all of 5 right, is not pass@5, any of them right.
        name = _own_name(f"{counted[1]}_hat" if counted[2] == "^" else counted[1])
        if name is None or "n" not in {field.name for field in fields(STRATEGIES[name])}:
            return text
        return f"{name}(n={counted[3] or counted[4]})"
    named = _NAMED.fullmatch(text)
    name = _own_name(named[1]) if named else None
    return text if named is None or name is None else f"{name}{named[2] or ''}"


def _own_name(name: str) -> str | None:
    """Return the registered name of what is meant, None if there is none."""
    if name in STRATEGIES:
        return name
    plain = re.sub(r"[ -]", "_", name.strip().lower())
    return plain if plain in STRATEGIES else _other_names().get(plain)
