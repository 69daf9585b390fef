"""The one error that bad input raises, how it shows text that came from data, and the nearest valid name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from difflib import get_close_matches

#: Most characters of one line of a message.
_LONGEST_LINE = 2000
#: What lists faults, and what says that there are more: the only lines of a message but its first.
_LISTED = re.compile(r"\n(?=  (?:- |\.\.\. ))")


def printable(text: str) -> str:
    r"""Return text that shows every character, on one line: control and format characters as ``\x1b`` or ``\u202e``.

    Names and paths are somebody else's text: escape sequences would steer a terminal, line breaks forge a message.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Without line breaks, tabs, escape sequences, marks of direction or halves of surrogate pairs.

    Examples
    --------
    >>> print(printable("a\x1b[2Jb\nc"))
    a\x1b[2Jb\x0ac
    """
    if text.isprintable():
        return text
    return "".join(one if unicodedata.category(one) not in _UNSHOWN else _code(ord(one)) for one in text)


_UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def _code(number: int) -> str:
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


class InputError(ValueError):
    """Input that cannot be used: the message says what was got, what is allowed and what to do.

    The command line turns it into exit code 2. It is always raised before a model is compiled or a file
    written. What the message quotes is shown by `printable`, so that nothing in data adds a line to it but faults
    that are listed.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(_clipped(printable(line)) for line in _LISTED.split(message)))

    @classmethod
    def of_faults(cls, where: str, faults: Iterable[str]) -> InputError:
        """Put every fault found in one input into one error, a line each.

        Parameters
        ----------
        where : str
            What was read, for instance a file's path.
        faults : iterable of str
            One sentence per fault. Of those that differ in numbers only, as rows do, the first three are told, and how
            many more are like them.
        """
        found = Faults()
        for fault in faults:
            found.add(fault)
        return found.error(where)


#: Faults of one kind that are told; of one more, that too.
LIKE_SHOWN = 3
#: Kinds of faults that are told apart.
_KINDS_KEPT = 1000


class Faults:
    """Faults as they are found: a million that differ in numbers only cost a few sentences."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[str]] = {}
        self._more: dict[str, int] = {}

    def add(self, fault: str) -> None:
        """Take one more.

        Parameters
        ----------
        fault : str
            A sentence.
        """
        kind = re.sub(r"[0-9]+", "#", fault)
        if kind not in self._kinds and len(self._kinds) == _KINDS_KEPT:
            kind = ""
        told = self._kinds.setdefault(kind, [])
        if len(told) <= LIKE_SHOWN:
            told.append(fault)
        self._more[kind] = self._more.get(kind, 0) + 1

    def __len__(self) -> int:
        return sum(self._more.values())

    def tells(self, start: str) -> bool:
        """Whether a fault begins so.

        Parameters
        ----------
        start : str
        """
        return any(fault.startswith(start) for told in self._kinds.values() for fault in told)

    def error(self, where: str, most: int = 40) -> InputError:
        """Return the error that tells them.

        Parameters
        ----------
        where : str
            What was read.
        most : int, default 40
            Kinds that are told.
        """
        lines = []
        for kind, told in list(self._kinds.items())[:most]:
            lines += listed(told, self._more[kind])
        rest = sum(self._more[kind] for kind in list(self._kinds)[most:])
        if rest:
            lines.append(f"  ... and {rest:,} more")
        return InputError("\n".join([f"{where}: {counted(len(self))}", *lines]))


def counted(faults: int) -> str:
    """Return ``'1 fault'`` or ``'1,200 faults'``.

    Parameters
    ----------
    faults : int
    """
    return f"{faults:,} fault{'s' * (faults != 1)}"


def listed(told: list[str], of: int) -> list[str]:
    """Return faults of one kind as lines of a message.

    Parameters
    ----------
    told : list of str
        The first of them.
    of : int
        How many there are in all.
    """
    if of <= min(len(told), LIKE_SHOWN + 1):
        return [f"  - {line}" for line in told]
    lines = [f"  - {line}" for line in told[:LIKE_SHOWN]]
    return [*lines, f"  ... and {of - len(lines):,} more like {'this' if len(lines) == 1 else 'these'}"]


def _clipped(line: str) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    half = _LONGEST_LINE // 2
    return f"{line[:half]} ... ({len(line) - 2 * half:,} more characters) ... {line[-half:]}"


def did_you_mean(got: str, allowed: Iterable[str]) -> str:
    """Return ``' Did you mean 'x'?'`` for the allowed name nearest to ``got``, or an empty string.

    Parameters
    ----------
    got : str
        The name that is not valid.
    allowed : iterable of str
        The valid names.
    """
    names = list(allowed)
    near = get_close_matches(got.lower(), [name.lower() for name in names], n=1, cutoff=0.6)
    return next((f" Did you mean {name!r}?" for name in names if near and name.lower() == near[0]), "")
