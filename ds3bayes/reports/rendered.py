"""Templates of pages and texts, filled."""

from __future__ import annotations

from typing import Any

import jinja2

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
    environment.filters |= {"md": markdown.text, "md_table": markdown.table}
    return environment.get_template(template).render(content)
