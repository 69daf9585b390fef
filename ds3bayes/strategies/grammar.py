"""Read and write calls ``name``, ``name()`` and ``name(key=value, ...)``, the text form of strategies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ds3bayes.errors import InputError

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf|nan)(?![A-Za-z0-9_.\-])")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"' + r"|'(?:[^'\\]|\\.)*'", re.DOTALL)
_SPACE = re.compile(r"\s*")
#: Most characters of the text of a strategy, and how deep calls and lists may stand in one another.
_LONGEST, _DEEPEST = 20_000, 10
_SHAPE = "a strategy is written name or name(key=value, ...), for instance best_of_n(n=16, verifier=oracle)"


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """Read one name with its ``key=value`` pairs.

    Values are whole numbers, floats, words, texts in single or double quotes (with the escapes of JSON),
    lists ``[1, 2]``, and nested calls such as ``noisy(d=1.5)``, which are returned as text.

    Parameters
    ----------
    text : str
        For instance ``tot(branching=5, evaluator=noisy(d=2))``.

    Returns
    -------
    tuple of str and dict
        The name and the values by key.

    Raises
    ------
    InputError
        Naming the text, the place where it stops making sense, and the form that is allowed.
    """
    if not isinstance(text, str):
        raise InputError(f"{_SHAPE}; got {text!r}")
    if len(text) > _LONGEST:
        raise InputError(
            f"cannot read {text[:40]!r} ...: it has {len(text):,} characters; at most {_LONGEST:,} are read"
        )
    reader = _Reader(text)
    name, given = reader.call()
    reader.end()
    return name, given


def format_call(name: str, values: Mapping[str, Any]) -> str:
    """Write a name with its ``key=value`` pairs, so that `parse_call` reads the same values back."""
    if not values:
        return name
    return f"{name}({', '.join(f'{key}={_format_value(value)}' for key, value in values.items())})"


def _format_value(value: Any) -> str:
    if isinstance(value, str):
        bare = _WORD.fullmatch(value) and not _NUMBER.fullmatch(value)
        return value if bare else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_format_value(item) for item in value)}]"
    return str(value)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0
        self.skip()

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def fail(self, wanted: str) -> InputError:
        rest = self.text[self.at : self.at + 20]
        found = f"found {rest!r}" if rest else "the text ends"
        return InputError(
            f"cannot read {self.text!r}: {wanted} wanted at character {self.at + 1}, but {found}; {_SHAPE}"
        )

    def take(self, pattern: re.Pattern[str]) -> str | None:
        match = pattern.match(self.text, self.at)
        if match is None:
            return None
        self.at = match.end()
        self.skip()
        return match.group()

    def sign(self, sign: str) -> bool:
        found = self.text.startswith(sign, self.at)
        if found:
            self.at += len(sign)
            self.skip()
        return found

    def end(self) -> None:
        if self.at < len(self.text):
            raise self.fail("nothing more")

    def call(self) -> tuple[str, dict[str, Any]]:
        name = self.take(_WORD)
        if name is None:
            raise self.fail("a name")
        return name, self.arguments() if self.sign("(") else {}

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {}
        while not self.sign(")"):
            key = self.take(_WORD)
            if key is None:
                raise self.fail("a key or ')'")
            if not self.sign("="):
                raise self.fail(f"'=' after {key!r}")
            if key in given:
                raise InputError(f"cannot read {self.text!r}: {key!r} is given twice")
            given[key] = self.inner_value()
            if not self.sign(",") and not self.text.startswith(")", self.at):
                raise self.fail("',' or ')'")
        return given

    def inner_value(self) -> Any:
        if self.depth == _DEEPEST:
            raise InputError(
                f"cannot read {self.text[:40]!r} ...: calls and lists stand more than {_DEEPEST} deep in one another"
            )
        self.depth += 1
        found = self.value()
        self.depth -= 1
        return found

    def value(self) -> Any:
        number = self.take(_NUMBER)
        if number is not None:
            return int(number) if re.fullmatch(r"[+-]?\d{1,4000}", number) else float(number)
        begin = self.at
        quoted = self.take(_QUOTED)
        if quoted is not None:
            return self.unquote(quoted, begin)
        if self.sign("["):
            return self.items()
        word = self.take(_WORD)
        if word is None:
            raise self.fail("a value")
        if not self.sign("("):
            return word
        self.arguments()
        return self.text[begin : self.at].rstrip()

    def unquote(self, quoted: str, begin: int) -> str:
        body = quoted[1:-1]
        if quoted[0] == "'":
            body = re.sub(r"\\.|\"", lambda m: {"\\'": "'", '"': '\\"'}.get(m.group(), m.group()), body, flags=re.S)
        try:
            return json.loads(f'"{body}"', strict=False)
        except ValueError:
            self.at = begin
            raise self.fail("a text with the escapes of JSON") from None

    def items(self) -> tuple[Any, ...]:
        found: list[Any] = []
        while not self.sign("]"):
            found.append(self.inner_value())
            if not self.sign(",") and not self.text.startswith("]", self.at):
                raise self.fail("',' or ']'")
        return tuple(found)
