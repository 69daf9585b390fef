"""Templates of pages and texts, filled."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup, escape

from ds3bayes.reports import markdown


def render(template: str, content: dict[str, Any]) -> str:
    """Fill a template of this package; what is filled into HTML is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ds3bayes.reports"),
        autoescape=template.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": prose, "md": markdown.text, "md_table": markdown.table}
    return environment.get_template(template).render(content)


def prose(text: str) -> Markup:
    """Return a sentence for HTML: what it quotes with backticks is set as code, all else is text.

    Examples
    --------
    >>> print(prose("`a < b` or not"))
    <code>a &lt; b</code> or not
    """
    # Of a backtick without its fellow nothing is made.
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    set_as = (Markup("{}"), Markup("<code>{}</code>"))
    return Markup("").join(set_as[place % 2].format(part) for place, part in enumerate(parts))
