"""A report's text and tables as Markdown, with names from the data kept from being markup."""

from __future__ import annotations

import re

from ds3bayes.reports.tables import Shown

# Within a word an underscore is no emphasis: names such as best_of_n stay readable.
_SPECIAL = re.compile(r"[\\`*\[\]|$~]|(?<![^\W_])_|_(?![^\W_])")


def text(said: str) -> str:
    """Escape what Markdown, or HTML inside it, would take as markup; line breaks become blanks.

    Parameters
    ----------
    said : str

    Returns
    -------
    str
    """
    plain = " ".join(str(said).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(lambda found: f"\\{found.group()}", plain)


def table(shown: Shown) -> str:
    """Write a table as a pipe table, its caption in bold above and its note below.

    Parameters
    ----------
    shown : Shown

    Returns
    -------
    str
    """
    columns = list(shown.frame.columns)
    lines = [
        f"**{text(shown.caption)}**",
        "",
        _row(columns),
        _row(["---:" if name in shown.numeric else "---" for name in columns], escaped=True),
        *(_row(list(row)) for row in shown.frame.itertuples(index=False, name=None)),
    ]
    return "\n".join([*lines, *(["", text(shown.note)] if shown.note else [])])


def _row(cells: list[str], *, escaped: bool = False) -> str:
    return f"| {' | '.join(cell if escaped else text(cell) for cell in cells)} |"
