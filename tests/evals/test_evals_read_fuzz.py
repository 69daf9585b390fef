"""Damaged logs and tables: evaluations or one clear error, in bounded time, and never a traceback."""

import bz2
import gzip
import io
import json
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest
import xarray as xr
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from ds3bayes.errors import InputError
from ds3bayes.evals import read_attempts, read_evals

ROWS = [
    {"model": "org/a", "dataset": "qa", "question_id": f"00{n % 3}", "epoch": n // 3, "correct": n % 2 == 0}
    | {"error": None, "usage": {"completion_tokens": 100 + n, "prompt_tokens": 50}, "answer": "x" * (n % 4)}
    for n in range(9)
]
FLAT = [{name: value for name, value in row.items() if name != "usage"} | {"tokens": 5} for row in ROWS]
COUNTS = "model,benchmark,task,strategy,attempts,successes,tokens_mean\nm,b,007,cot,8,5,10.5\nm,b,NA,cot,8,0,\n"
TAU = [{"task_id": n, "reward": 1.0, "info": {"reward_info": {}}, "traj": [], "trial": 0} for n in range(4)]
PROMPTFOO = {
    "evalId": "e",
    "results": {"results": [{"testIdx": 0, "promptIdx": 0, "provider": "p", "success": True, "response": {}}]},
}
HELM = [{"instance_id": "a", "train_trial_index": 0, "stats": [{"name": {"name": "exact_match"}, "mean": 1.0}]}]
EVALPLUS = {"eval": {"H/0": [{"base_status": "pass", "plus_status": "pass"}]}}
OPENCOMPASS = {"details": {"0": {"correct": True}}}
AIDER = "- dirname: a\n  test_cases: 224\n  model: acme (high)\n  pass_num_1: 47\n  pass_num_2: 50\n"
TERMINAL = {"trial_name": "a.1", "task_id": "a", "is_resolved": True, "failure_mode": "unset"}
OPTIONS: list[dict[str, Any]] = [
    *({}, {"benchmark": "b"}, {"model": "m"}, {"benchmark": "b", "model": "m"}, {"model": "m", "tests": "plus"}),
    *({"constants": {"model": "m", "benchmark": "b"}}, {"answer": "answer"}, {"threshold": 0.5}, {"errors": "count"}),
]
#: What a log does not say by itself.
NEEDED: dict[str, dict[str, Any]] = {
    "tau": {"benchmark": "b", "model": "m"},
    "promptfoo": {"benchmark": "b"},
    "helm": {"benchmark": "b", "model": "m"},
    "evalplus": {"model": "m", "tests": "plus"},
    "opencompass": {"benchmark": "b", "model": "m"},
    "terminal": {"model": "m"},
}
#: What replaces a value of a record.
ODD = [
    *(None, True, -1, 0.5, 1e400, 10**30, 10**4000, "", "007", "NA", "\0", "\ud800", "é" * 300, [], {}, [[[]]]),
    *({"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}, [1, "x", None], "nan", "1,5", "1.234,5", b"x".hex(), -0.0),
]


def excel() -> bytes:
    book = openpyxl.Workbook()
    page = book.active
    for row in [list(FLAT[0]), *(list(row.values()) for row in FLAT)]:
        page.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def parquet() -> bytes:
    file = io.BytesIO()
    pd.DataFrame(FLAT).to_parquet(file)
    return file.getvalue()


def lines(rows: Any) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


LINES = lines(ROWS)
CSV = pd.DataFrame(FLAT).to_csv(index=False).encode()
CONTENTS: dict[str, bytes] = {
    "jsonl": LINES,
    "json": json.dumps(ROWS).encode(),
    "csv": CSV,
    "semicolons": pd.DataFrame(FLAT).to_csv(index=False, sep=";", decimal=",").encode("cp1252"),
    "utf16": CSV.decode().encode("utf-16"),
    "parquet": parquet(),
    "excel": excel(),
    "gz": gzip.compress(LINES),
    "csv gz": gzip.compress(CSV),
    "zst": zstandard.compress(LINES),
    "bz2": bz2.compress(LINES),
    "counts": COUNTS.encode(),
    "tau": json.dumps(TAU).encode(),
    "promptfoo": json.dumps(PROMPTFOO).encode(),
    "helm": json.dumps(HELM).encode(),
    "evalplus": json.dumps(EVALPLUS).encode(),
    "opencompass": json.dumps(OPENCOMPASS).encode(),
    "terminal": json.dumps(TERMINAL).encode(),
    "aider": AIDER.encode(),
}
NAMES = ("a.csv", "a.parquet", "a.jsonl", "a.json", "log", "a.xlsx", "a.gz", "results.json")


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            del data[place:]
        elif kind == 1:
            del data[place : place + rng.randint(1, 30)]
        elif kind == 2 and data:
            data[min(place, len(data) - 1)] = rng.randrange(256)
        elif kind == 3:
            piece = [b"\0", b'"', b"\n", b"[" * 5000, b"9" * 5000, b"\xff\xfe", b"NaN", b",", b"null", b"}", b"1e999"]
            data[place:place] = rng.choice(piece)
        elif kind == 4:
            data[place:place] = data[: rng.randint(0, 200)]
        else:
            data[place:place] = rng.randbytes(rng.randint(1, 20))
    return bytes(data)


def damage_values(value: Any, rng: random.Random) -> Any:
    """Replace some value in a document by an odd one, or take it away."""
    if rng.random() < 0.02:
        return rng.choice(ODD)
    if isinstance(value, dict):
        items = [(name, damage_values(inner, rng)) for name, inner in value.items() if rng.random() > 0.04]
        return {(rng.choice(["score", "id", "x" * 50, "task"]) if rng.random() < 0.01 else n): v for n, v in items}
    if isinstance(value, list):
        return [damage_values(inner, rng) for inner in value]
    return value


DOCUMENTS: dict[str, Any] = {"tau": TAU, "promptfoo": PROMPTFOO, "helm": HELM, "evalplus": EVALPLUS}
DOCUMENTS |= {"opencompass": OPENCOMPASS, "terminal": TERMINAL, "nested": ROWS, "rows": ROWS, "flat": FLAT}


def damaged(rng: random.Random) -> tuple[bytes, dict[str, Any]]:
    """Return a damaged log, and the options that it needs."""
    if rng.random() < 0.5:
        name = rng.choice(list(CONTENTS))
        return damage_bytes(CONTENTS[name], rng), NEEDED.get(name, {})
    name = rng.choice(list(DOCUMENTS))
    return damaged_document(name, rng), NEEDED.get(name, {})


def damaged_document(name: str, rng: random.Random) -> bytes:
    document = damage_values(DOCUMENTS[name], rng)
    try:
        if name not in NEEDED and rng.random() < 0.6:
            if rng.random() < 0.3:
                return pd.DataFrame(document).to_csv(index=False).encode(errors="replace")
            return lines(document)
        return json.dumps(document).encode()
    except (ValueError, TypeError, AttributeError):
        # Python does not write some of the odd values.
        return b"9" * 10_000


def check(read: Callable[..., Any], source: Any, **options: Any) -> str:
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            evals = read(source, **options)
        except InputError as error:
            text = str(error)
            assert text.strip()
            assert len(text) < 20_000
            outcome = "refused"
        else:
            assert isinstance(evals, xr.Dataset)
            assert (evals["successes"] <= evals["attempts"]).all()
            if "account" in evals.attrs:
                told = json.loads(evals.attrs["account"])
                assert told["counted"] == int(evals["attempts"].sum())
            outcome = "read"
    assert time.perf_counter() - start < 20
    return outcome


def run(folder: Path, seeds: range) -> dict[str, int]:
    found = {"read": 0, "refused": 0}
    for seed in seeds:
        rng = random.Random(seed)
        path = folder / rng.choice(NAMES)
        content, needed = damaged(rng)
        path.write_bytes(content)
        options = needed if rng.random() < 0.8 else rng.choice(OPTIONS)
        read = read_attempts if not needed and rng.random() < 0.4 else read_evals
        try:
            found[check(read, path, **options)] += 1
        except Exception as error:
            # Options that `read_attempts` does not have are errors of a program, not of a log.
            if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
                continue
            raise AssertionError(f"seed {seed}: {path.name}") from error
        finally:
            path.unlink()
    return found


def test_what_is_damaged_here_is_readable_before(tmp_path: Path) -> None:
    fine = {"counts", "jsonl", "json", "csv", "semicolons", "utf16", "parquet", "excel", "gz", "csv gz", "zst"}
    for name, content in CONTENTS.items():
        (tmp_path / "log.csv").write_bytes(content) if name == "counts" else (tmp_path / "log").write_bytes(content)
        outcomes = {
            check(read_evals, tmp_path / ("log.csv" if name == "counts" else "log"), **options)
            for options in OPTIONS
            if name not in fine or not options
        }
        assert ("read" in outcomes) == (name != "bz2"), name


def test_damaged_logs(tmp_path: Path) -> None:
    found = run(tmp_path, range(250))
    assert found["read"] > 10
    assert found["refused"] > 50


@pytest.mark.slow
def test_ten_thousand_damaged_logs(tmp_path: Path) -> None:
    found = run(tmp_path, range(1_000, 11_000))
    assert found["read"] > 1_000
    assert found["refused"] > 2_000


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["1", "0", "pass", "fail", "1,5", "100", pd.NA, pd.NaT, b"x"]),
    st.datetimes(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.builds(object),
)
names = st.one_of(
    st.sampled_from(["model", "dataset", "task", "id", "score", "correct", "tokens", "epoch", "error", "n_samples"]),
    st.text(max_size=4),
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.dictionaries(names, values, max_size=8), max_size=4), st.booleans(), st.sampled_from(OPTIONS[5:]))
def test_rows_of_anything(rows: list[dict[str, Any]], framed: bool, options: dict[str, Any]) -> None:
    rows = [{"model": "m", "dataset": "b", "task": "t", "score": 1} | row for row in rows]
    check(read_attempts, pd.DataFrame(rows, dtype=object) if framed else rows, **options)


def test_rows_that_hold_themselves() -> None:
    row: dict[str, Any] = {"model": "m", "dataset": "b", "task": "t", "score": 1, "epoch": 1}
    row["self"] = row
    row["list"] = [row]
    assert check(read_attempts, [row, row]) == "read"
