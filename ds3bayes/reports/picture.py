"""A picture as a file of its own."""

from __future__ import annotations

from html import escape
from io import BytesIO, StringIO
from pathlib import Path

from matplotlib.figure import Figure

from ds3bayes.inference.store import write_atomically

#: How a picture's file may end.
SUFFIXES = (".png", ".svg", ".pdf", ".html")


def write_picture(figure: Figure, path: Path, title: str) -> Path:
    """Write a picture, or a page that holds nothing else.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Ends in one of `SUFFIXES`.
    title : str
        Of the page.

    Returns
    -------
    Path
    """
    if path.suffix != ".html":
        drawn = BytesIO()
        figure.savefig(drawn, format=path.suffix[1:], dpi=150)
        return write_atomically(path, drawn.getvalue())
    text = StringIO()
    figure.savefig(text, format="svg")
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        "<style>svg { max-width: 100%; height: auto; }</style></head>"
        f"<body>\n{svg}</body></html>\n"
    )
    return write_atomically(path, page.encode())
