"""Properties that hold for tables nobody thought of."""

import csv
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from ds3bayes.errors import InputError
from ds3bayes.evals import COLUMNS, read_evals, select, strategy_names, to_table

NAMES = [column.name for column in COLUMNS]

words = st.sampled_from(["a", "b", "007", "NA", "é|ü", '"q", r', "1.0"])
outcomes = st.tuples(st.booleans(), st.integers(1, 10**6))
cells = st.dictionaries(
    st.tuples(words, words, words, st.sampled_from(["", "low", "high"]), st.sampled_from([None, 1, 4096])),
    st.lists(outcomes, min_size=1, max_size=6),
    min_size=1,
    max_size=6,
)


def rows_of(keys: dict[Any, list[tuple[bool, int]]], split: bool) -> pd.DataFrame:
    rows = []
    for (model, benchmark, task, effort, budget), attempts in keys.items():
        cell = {"model": model, "benchmark": benchmark, "task": task, "strategy": "cot"}
        cell |= {"effort": effort, "budget_tokens": budget}
        if split:
            rows += [cell | {"attempts": 1, "successes": int(s), "completion_tokens": t} for s, t in attempts]
        else:
            successes, tokens = (sum(values) for values in zip(*attempts, strict=True))
            rows.append(cell | {"attempts": len(attempts), "successes": successes, "completion_tokens": tokens})
    return pd.DataFrame(rows)


def same(one: xr.Dataset, other: xr.Dataset) -> None:
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())


@settings(deadline=None, max_examples=60)
@given(cells, st.integers(0, 2**32 - 1))
def test_order_of_rows_and_columns_does_not_matter(keys: dict[Any, Any], seed: int) -> None:
    for split in (False, True):
        frame = rows_of(keys, split)
        evals = read_evals(frame)
        shuffled = read_evals(frame.sample(frac=1, random_state=seed).sample(frac=1, axis=1, random_state=seed))
        same(evals, shuffled)
        assert evals.attrs["data_sha256"] == shuffled.attrs["data_sha256"]


@settings(deadline=None, max_examples=60)
@given(cells)
def test_attempts_and_their_counts_read_alike(keys: dict[Any, Any]) -> None:
    counts, attempts = read_evals(rows_of(keys, False)), read_evals(rows_of(keys, True))
    same(counts, attempts[list(counts.data_vars)])
    for row in range(counts.sizes["row"]):
        cell = attempts.isel(row=row)
        budget = float(cell["budget_tokens"])
        key = (*(cell[name].item() for name in ("model", "benchmark", "task", "effort")),)
        tokens = [t for s, t in keys[(*key, None if math.isnan(budget) else int(budget))] if s]
        if "log_tokens_mean_correct" in attempts:
            logs = np.log(tokens) if tokens else np.array([np.nan])
            np.testing.assert_allclose(cell["log_tokens_mean_correct"], logs.mean(), rtol=1e-12)
            np.testing.assert_allclose(cell["log_tokens_sd_correct"], logs.std(), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(cells)
def test_tables_read_back_from_csv_and_frames(keys: dict[Any, Any]) -> None:
    evals = read_evals(rows_of(keys, True))
    again = read_evals(to_table(evals))
    same(evals, again)
    assert again.attrs["data_sha256"] == evals.attrs["data_sha256"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        to_table(evals).to_csv(path, index=False)
        same(evals, read_evals(path))


junk = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.text(st.characters(categories=["Cs", "Nd", "Lu"]), max_size=3),
    st.sampled_from([*strategy_names(), "1", "2", "-1", "nan", "inf", "1e400", "3|1", "|", pd.NA, pd.NaT, b"x"]),
    st.complex_numbers(),
    st.datetimes(),
    st.timedeltas(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.builds(object),
)
plausible = st.one_of(st.sampled_from(["cot", "majority", "a", "", "1", "2", 1, 1, 2, 0, 4.0, None]), junk)
headers = st.one_of(
    st.sampled_from(NAMES), st.text(max_size=6), st.integers(), st.none(), st.tuples(st.text(max_size=2))
)


@st.composite
def garbage(draw: st.DrawFn) -> pd.DataFrame:
    required = ["model", "benchmark", "strategy", "attempts", "successes"] if draw(st.booleans()) else []
    labels = [*required, *draw(st.lists(headers, max_size=6))]
    height = draw(st.integers(0, 4))
    columns = []
    for label in labels:
        values = draw(st.lists(plausible, min_size=height, max_size=height))
        column = np.empty(height, dtype=object)
        for i, value in enumerate(values):
            column[i] = value
        series = pd.Series(column, dtype=object)
        kind = draw(st.sampled_from(["object", "inferred", "category", "good"]))
        try:
            if kind == "inferred":
                series = series.infer_objects()
            elif kind == "category":
                series = series.astype("category")
            elif kind == "good":
                series = pd.Series(["cot" if label == "strategy" else 1] * height)
        except (TypeError, ValueError):
            # Not every object can be a category.
            series = pd.Series(column, dtype=object)
        columns.append(series)
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(height))
    frame.columns = pd.Index(labels, dtype=object, tupleize_cols=False)
    return frame


def reads_or_refuses(source: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            evals = read_evals(source)
        except InputError as error:
            str(error).encode("utf-8", "backslashreplace")
            return
    assert evals.sizes["row"] > 0
    assert (evals["successes"] <= evals["attempts"]).all()


@settings(deadline=None, max_examples=400)
@given(garbage())
def test_no_frame_ends_in_anything_but_success_or_an_input_error(frame: pd.DataFrame) -> None:
    reads_or_refuses(frame)


cell_texts = st.one_of(st.sampled_from(["1", "2", "cot", "", "x", "NA", "1e5"]), st.text(max_size=4))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.one_of(st.sampled_from(NAMES), st.text(max_size=4)), max_size=8),
    st.lists(st.lists(cell_texts, max_size=8), max_size=4),
    st.sampled_from(["utf-8", "utf-16", "csv"]),
)
def test_no_csv_ends_in_anything_else_either(header: list[str], rows: list[list[str]], encoding: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        if encoding == "csv":
            with path.open("w", newline="", encoding="utf-8", errors="surrogatepass") as lines:
                csv.writer(lines, escapechar="\\").writerows([header, *rows])
        else:
            text = "\n".join(",".join(row) for row in [header, *rows])
            path.write_bytes(text.encode(encoding, "surrogatepass"))
        reads_or_refuses(path)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200), st.sampled_from(["csv", "parquet"]))
def test_no_bytes_end_in_anything_else_either(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"t.{suffix}")
        path.write_bytes(content)
        reads_or_refuses(path)


pieces = st.sampled_from(
    [
        *NAMES,
        "==",
        "<",
        ">=",
        "in",
        "and",
        "or",
        "not",
        "(",
        ")",
        "[",
        "]",
        "'cot'",
        "1",
        ".",
        "str",
        "isin",
        "@",
        "~",
        "-",
    ]
)


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(max_size=12), st.lists(pieces, max_size=7).map(" ".join)))
def test_no_condition_ends_in_anything_else_either(query: str) -> None:
    evals = read_evals(rows_of({("m", "b", "t", "", None): [(True, 3)], ("m", "b", "u", "", 1): [(False, 4)]}, False))
    try:
        chosen = select(evals, query)
    except InputError:
        return
    assert chosen.sizes["row"] > 0
