"""Choose rows of evaluations: by a condition on columns, or tasks to hold out."""

from __future__ import annotations

import ast
import re
import warnings

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.read import data_sha256
from ds3bayes.evals.schema import COLUMNS, KEY

Mask = NDArray[np.bool_]

_METHODS = ("isin", "isna", "notna", "between", "contains", "startswith", "endswith")
#: Most characters of a condition and most parts of it; and how deep they may stand in one another.
_LONGEST, _MOST_PARTS, _DEEPEST = 200_000, 500, 30
_NODES = (
    ast.Expression,
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.Invert,
    ast.USub,
    ast.UAdd,
    ast.BinOp,
    ast.Add,
    ast.Sub,
    ast.Mult,
    ast.Div,
    ast.Mod,
    ast.BitAnd,
    ast.BitOr,
    ast.Compare,
    ast.cmpop,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Call,
    ast.Attribute,
    ast.keyword,
)


def to_table(evals: xr.Dataset) -> pd.DataFrame:
    """Return evaluations as a frame that `read_evals` reads back to the same dataset.

    Parameters
    ----------
    evals : xarray.Dataset
        What `read_evals` returned; dimension ``row``.

    Returns
    -------
    pandas.DataFrame
        One row per ``row`` and one column per variable, in the order of the schema.
    """
    names = [column.name for column in COLUMNS if column.name in evals.data_vars]
    return pd.DataFrame({name: evals[name].to_numpy() for name in names})


def select(evals: xr.Dataset, query: str) -> xr.Dataset:
    """Return the rows for which an expression on the columns holds.

    Parameters
    ----------
    evals : xarray.Dataset
        What `read_evals` returned; dimension ``row``.
    query : str
        A pandas query expression such as ``"strategy == 'tot' and branching >= 5"``. Columns, literals,
        comparisons, arithmetic and the methods ``isin``, ``isna``, ``notna``, ``between`` and
        ``str.contains``, ``str.startswith``, ``str.endswith`` may be used.

    Returns
    -------
    xarray.Dataset
        The matching rows, at least one; ``data_sha256`` is that of these rows.

    Raises
    ------
    InputError
        If the expression cannot be evaluated, is not a condition, or no row matches.
    """
    mask = _matches(evals, query)
    chosen = evals.isel(row=np.flatnonzero(mask))
    return chosen.assign_attrs(data_sha256=data_sha256(chosen))


def short_names(evals: xr.Dataset) -> xr.Dataset:
    """Drop from the names of LLMs their provider, and their date, where that leaves them all different.

    Parameters
    ----------
    evals : xarray.Dataset
        What `read_evals` returned; dimension ``row``.

    Returns
    -------
    xarray.Dataset
        With other names of LLMs, and so another ``data_sha256``.

    Examples
    --------
    >>> from ds3bayes.evals import read_evals
    >>> table = pd.DataFrame({"model": ["acme/one-2025-08-07", "acme/one-mini-20250807"], "successes": [3, 4]})
    >>> evals = read_evals(table.assign(benchmark="b", task="t", strategy="cot", attempts=8))
    >>> sorted(short_names(evals)["model"].values.tolist())
    ['one', 'one-mini']
    """
    short = {str(name): str(name) for name in evals["model"].values}
    for part in (r"^[^/]*/", r"-20\d\d-?\d\d-?\d\d$"):
        fewer = {name: re.sub(part, "", now) for name, now in short.items()}
        if len(set(fewer.values())) == len(fewer) and all(fewer.values()):
            short = fewer
    names = np.array([short[str(name)] for name in evals["model"].values], dtype=object)
    renamed = evals.assign(model=("row", names, evals["model"].attrs))
    return renamed.assign_attrs(data_sha256=data_sha256(renamed))


def split(evals: xr.Dataset, where: str | None, fraction: float, seed: int, by: str = "task") -> tuple[Mask, Mask]:
    """Choose rows to hold out: a fraction of the tasks among the rows that match a condition.

    Parameters
    ----------
    evals : xarray.Dataset
        What `read_evals` returned; dimension ``row``.
    where : str or None
        A condition as in `select`; None stands for all rows.
    fraction : float
        Share of the tasks to hold out, in (0, 1]; at least one task is held out. 1 holds out every matching
        row.
    seed : int
        Seed of the choice, >= 0. The same seed chooses the same tasks whatever the order of the rows.
    by : str
        The text column whose values are held out together. Tasks of different benchmarks are different; a row
        aggregated over tasks counts as a task of its own.

    Returns
    -------
    kept, held : numpy.ndarray of bool
        Shape ``(row,)``. Rows that do not match ``where`` are kept; each row is in exactly one of the two.

    Raises
    ------
    InputError
        If an argument is out of range or no row matches.
    """
    groupings = [column.name for column in COLUMNS if column.kind == "text" and column.name in evals.data_vars]
    if by not in groupings:
        raise InputError(f"split: by={by!r}; allowed: {', '.join(groupings)}.{did_you_mean(str(by), groupings)}")
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.floating) or not 0 < fraction <= 1:
        raise InputError(f"split: fraction={fraction!r}; allowed: a number in (0, 1]")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"split: seed={seed!r}; allowed: an integer >= 0")
    mask = np.ones(evals.sizes["row"], dtype=bool) if where is None else _matches(evals, where)
    if by == "task":
        benchmarks, tasks = evals["benchmark"].to_numpy(), evals["task"].to_numpy()
        keys = [evals[name].to_numpy() for name in KEY]
        # The whole key sets an aggregated row apart from the other aggregated rows.
        units = [
            (benchmarks[row], task) if task else (benchmarks[row], *(str(key[row]) for key in keys))
            for row, task in enumerate(tasks)
        ]
    else:
        units = [(value,) for value in evals[by].to_numpy()]
    candidates = sorted({units[row] for row in np.flatnonzero(mask)})
    number = max(1, round(fraction * len(candidates)))
    drawn = np.random.default_rng(seed).permutation(len(candidates))[:number]
    out = {candidates[index] for index in drawn}
    held = mask & np.array([unit in out for unit in units], dtype=bool)
    return ~held, held


def _is_text(node: ast.AST, texts: set[str]) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str | bytes)
    return isinstance(node, ast.List | ast.Tuple) or (isinstance(node, ast.Name) and node.id in texts)


def _depth(tree: ast.AST) -> int:
    """Return how many nodes stand in one another, at most."""
    deepest, level = 0, [tree]
    while level:
        deepest, level = deepest + 1, [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest


def _matches(evals: xr.Dataset, query: str) -> Mask:
    columns = [column.name for column in COLUMNS if column.name in evals.data_vars]
    if not isinstance(query, str) or not query.strip():
        raise InputError(f"condition {query!r}: allowed: an expression such as \"strategy == 'tot'\"")

    shown = query if len(query) <= 200 else f"{query[:100]} ... {query[-60:]}"

    def refused(reason: str) -> InputError:
        return InputError(f"condition {shown!r}: {reason}; columns: {', '.join(columns)}")

    if len(query) > _LONGEST:
        raise refused(f"it has {len(query):,} characters; at most {_LONGEST:,} are allowed")
    try:
        tree = ast.parse(query.strip(), mode="eval")
        nodes = list(ast.walk(tree))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise refused(f"not an expression ({reason})") from error
    parts = sum(isinstance(node, ast.BoolOp | ast.BinOp | ast.Compare | ast.UnaryOp | ast.Call) for node in nodes)
    parts += sum(len(node.values) for node in nodes if isinstance(node, ast.BoolOp))
    parts += sum(len(node.ops) for node in nodes if isinstance(node, ast.Compare))
    if parts > _MOST_PARTS or _depth(tree) > _DEEPEST:
        raise refused(
            f"it has {parts:,} parts, {_depth(tree)} deep; at most {_MOST_PARTS}, {_DEEPEST} deep, are allowed: say "
            "`column.isin([...])` in place of many comparisons"
        )
    texts = {column.name for column in COLUMNS if column.kind == "text"}
    # pandas would also run methods that write files, so only what a condition needs is let through.
    for node in nodes:
        if isinstance(node, ast.Name) and node.id not in columns:
            raise refused(f"unknown name {node.id!r}.{did_you_mean(node.id, columns)} Text goes in quotes")
        if isinstance(node, ast.Attribute) and node.attr not in (*_METHODS, "str"):
            raise refused(f"unknown method {node.attr!r}; allowed: {', '.join(_METHODS)}")
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Attribute):
            raise refused("functions are not allowed")
        if not isinstance(node, _NODES):
            raise refused(f"{type(node).__name__} is not allowed in a condition")
        if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitAnd | ast.BitOr):
            # A text times a number can be of any length.
            inside = [one for side in (node.left, node.right) for one in ast.walk(side)]
            if any(_is_text(one, texts) for one in inside):
                raise refused("there is no arithmetic with texts and lists")
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            mask = to_table(evals).eval(query.strip(), engine="python", local_dict={}, global_dict={})
    except Exception as error:
        # pandas raises a dozen types here, and which ones is not documented.
        raise refused(f"cannot be evaluated ({type(error).__name__}: {error})") from error
    array = np.asarray(mask)
    if array.shape != (evals.sizes["row"],) or array.dtype != bool:
        raise refused("not a condition, which is true or false for each row")
    if not array.any():
        raise refused("no row matches")
    return array
