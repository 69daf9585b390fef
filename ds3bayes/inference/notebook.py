"""What a fit and predictions look like in a notebook: what they are, their dims, and what to call next.

Fits stay plain `xarray.DataTree` and predictions plain `xarray.Dataset`, so that what takes these takes them: no
subclass, whose operations would return it where it no longer fits, and no accessor, which nobody finds who does not
know of it. Instead IPython, where it runs, is told how to show the two types; what is neither a fit nor a prediction it
shows as xarray does, and below each summary stands xarray's own view, folded.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from html import escape
from typing import Any

import xarray as xr

from ds3bayes.generative.capability import described
from ds3bayes.inference.artifact import evals_of, spec_of

_STYLE = "text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top"


def show_in_notebooks() -> None:
    """Tell IPython, if this runs in it, how fits and predictions look; done once, and nothing elsewhere."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    if shell is None or getattr(shell, "display_formatter", None) is None:
        return
    register(shell.display_formatter.formatters["text/html"])


def register(formatter: Any) -> None:
    """Set how a formatter of IPython shows fits and predictions, unless a user has set that."""
    for kind, show in ((xr.DataTree, fit_html), (xr.Dataset, predictions_html)):
        try:
            formatter.lookup_by_type(kind)
        except KeyError:
            formatter.for_type(kind, show)


def fit_html(tree: xr.DataTree) -> str:
    """Return a fit as HTML; of another tree what xarray makes of it.

    Parameters
    ----------
    tree : xarray.DataTree
    """
    own = str(tree._repr_html_())
    if "spec" not in tree.attrs or not {"posterior", "constant_data"} <= set(tree.children):
        return own
    spec, (evals, held) = spec_of(tree), evals_of(tree)
    posterior = tree["posterior"].to_dataset()
    facts = [
        ("model", f"{spec.name}, capability {spec.capability.kind!r} (id {tree.attrs.get('model_id', 'unknown')})"),
        (
            "data",
            f"{evals.sizes['row']:,} rows ({int(held.sum()):,} held out): {_named(evals['model'].values, 'LLM')}, "
            f"{_named(evals['benchmark'].values, 'benchmark')}, {int(evals['attempts'].sum()):,} attempts",
        ),
        ("draws", f"{posterior.sizes['chain']} chains of {posterior.sizes['draw']:,}{_divergences(tree)}"),
    ]
    rows = [
        (name, ", ".join(str(dim) for dim in values.dims[2:]) or "one", *described(str(name)))
        for name, values in posterior.data_vars.items()
    ]
    table = _table(("posterior", "dims beside chain, draw", "meaning", "unit"), rows)
    calls = [
        ("ds3.decide(fit)", "what to deploy, and what would change it"),
        ("ds3.report(fit, path='report.html')", "all of it as a page"),
        ("ds3.check(fit)", "whether the fit holds water"),
        ("ds3.predict(fit, ['cot', 'majority(n=8)'])", "success and cost of strategies"),
        ("ds3.samplers(fit)", "parameters by LLM, benchmark and strategy"),
    ]
    return _page(f"A fit of {spec.name}", facts, calls, f"{len(rows)} parameters", table, own)


def predictions_html(data: xr.Dataset) -> str:
    """Return predictions as HTML; of another dataset what xarray makes of it.

    Parameters
    ----------
    data : xarray.Dataset
    """
    own = str(data._repr_html_())
    if not {"tasks", "absent"} <= set(data.attrs) or "success" not in data or "strategy" not in data.dims:
        return own
    of = {"observed": "the observed tasks", "new": "new tasks of the same population"}
    which = of.get(str(data.attrs["tasks"]), str(data.attrs["tasks"]))
    facts = [
        ("dims", ", ".join(f"{name} {size:,}" for name, size in data.sizes.items())),
        ("tasks", f"{which}, {'one by one' if 'task' in data.dims else 'as means over them'}"),
        *((f"no {part.partition(':')[0]}", part.partition(": ")[2]) for part in _absent(data)),
    ]
    rows = [(name, values.attrs.get("units", ""), values.attrs.get("long_name", "")) for name, values in data.items()]
    table = _table(("quantity", "unit", "meaning"), rows)
    cost = next((name for name in ("usd", "tokens") if name in data), None)
    calls = [(f"ds3.best(pred{f', cost={cost!r}' if cost else ''})", "the option to choose")]
    if cost:
        calls += [
            (f"ds3.frontier(pred, cost={cost!r})", "the options that no other beats"),
            (f"ds3.cheapest(pred, success=0.8, cost={cost!r})", "the cheapest that reaches a target"),
        ]
    calls.append(("ds3.decide(fit, pred)", "all of that, beside what was observed"))
    if "task" in data.dims:
        calls = [("pred.mean('task')", "means over tasks, which choices are about")]
    number = data.sizes["strategy"]
    kinds = f"{number} {'strategy' if number == 1 else 'strategies'}"
    title = f"Predictions of {kinds} for {_named(data['model'].values, 'LLM')}"
    return _page(title, facts, calls, f"{len(rows)} quantities", table, own)


def _absent(data: xr.Dataset) -> list[str]:
    said = str(data.attrs["absent"])
    return [] if said == "none" else list(dict.fromkeys(said.split("; ")))


def _named(values: Any, kind: str) -> str:
    names = list(dict.fromkeys(str(one) for one in values))
    return f"the {kind} {names[0]}" if len(names) == 1 else f"{len(names)} {kind}s"


def _divergences(tree: xr.DataTree) -> str:
    if "sample_stats" not in tree.children or "diverging" not in tree["sample_stats"]:
        return ""
    number = int(tree["sample_stats"]["diverging"].sum())
    return f", {number or 'no'} divergence{'' if number == 1 else 's'}"


def _cells(row: Sequence[Any], kind: str = "td") -> str:
    return "".join(f'<{kind} style="{_STYLE}">{escape(str(one))}</{kind}>' for one in row)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = f"<thead><tr>{_cells(heads, 'th')}</tr></thead>" if heads else ""
    return f"<table>{head}<tbody>{''.join(f'<tr>{_cells(row)}</tr>' for row in rows)}</tbody></table>"


def _page(
    title: str, facts: Sequence[tuple[str, str]], calls: Sequence[tuple[str, str]], named: str, table: str, own: str
) -> str:
    return (
        f"<div><strong>{escape(title)}</strong>{_table((), facts)}"
        f"<div>Next:</div>{_table((), calls)}"
        f"<details><summary>{escape(named)}</summary>{table}</details>"
        f"<details><summary>as xarray shows it</summary>{own}</details></div>"
    )


__all__ = ["fit_html", "predictions_html", "register", "show_in_notebooks"]
