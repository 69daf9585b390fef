"""The one error that bad input raises, and how it suggests the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class InputError(ValueError):
    """Input that cannot be used: the message says what was got, what is allowed and what to do.

    The command line turns it into exit code 2. It is always raised before a model is compiled or a file
    written.
    """

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
