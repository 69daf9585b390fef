"""A picture as a file of its own."""

from __future__ import annotations

from html import escape
from io import BytesIO, StringIO
from pathlib import Path

from matplotlib.figure import Figure

from ds3bayes import files


def write_picture(figure: Figure, path: Path, title: str) -> Path:
    """Write a picture, or a page that holds nothing else.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
        Ends in ``.png``, ``.svg``, ``.pdf`` or ``.html``.
    title : str
        Of the page.

    Returns
    -------
    Path
    """
    suffix = path.suffix.lower()
    if suffix != ".html":
        drawn = BytesIO()
        noted = {"Software" if suffix == ".png" else "Creator": files.MARK}
        figure.savefig(drawn, format=suffix[1:], dpi=150, metadata=noted)
        return files.write(path, "picture", drawn.getvalue())
    text = StringIO()
    figure.savefig(text, format="svg")
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{files.PICTURE_PAGE}\n'
        f"<title>{escape(title)}</title>"
        "<style>svg { max-width: 100%; height: auto; }</style></head>"
        f"<body>\n{svg}</body></html>\n"
    )
    return files.write(path, "picture", page.encode())
