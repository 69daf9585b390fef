"""What is said on a terminal: text that came from data is shown as it is, and steers nothing."""

from __future__ import annotations

import re
from typing import Any

from rich.console import Console

from ds3bayes.errors import printable

#: What rich takes for markup, as `rich.markup` has it, with the backslashes before it; or a bracket that it takes for
#: escaped.
_READ = re.compile(r"(\\*)(\[[a-zA-Z#/@][^\[]*?\])|\\\[")


def plain(text: str) -> str:
    r"""Return text from data for a place where rich reads markup: it is shown as it is, on one line.

    Parameters
    ----------
    text : str
        A name, a path, a sentence that quotes one.

    Returns
    -------
    str
        With markup escaped, and characters that are not shown as in `ds3bayes.errors.printable`. A backslash at the
        end, which would escape what follows, is shown as ``\x5c``.
    """
    shown = _READ.sub(lambda at: f"{at[1] * 2}\\{at[2]}" if at[2] else f"\\{at[0]}", printable(text))
    return f"{shown[:-1]}\\x5c" if shown.endswith("\\") else shown


class Terminal(Console):
    """A console that makes no pictures of words such as ``:skull:``, and breaks no line of what it says.

    It leaves a broken pipe to the command line, whose exit code for it is not that of a failed check.

    Parameters
    ----------
    **settings
        Those of `rich.console.Console`.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"highlight": False, "emoji": False, "soft_wrap": True, **settings})

    def on_broken_pipe(self) -> None:
        """Raise."""
        raise BrokenPipeError


__all__ = ["Terminal", "plain"]
