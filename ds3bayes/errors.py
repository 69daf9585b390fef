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
            One sentence per fault.
        """
        lines = list(faults)
        count = "1 fault" if len(lines) == 1 else f"{len(lines)} faults"
        return cls("\n".join([f"{where}: {count}", *(f"  - {line}" for line in lines)]))


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
