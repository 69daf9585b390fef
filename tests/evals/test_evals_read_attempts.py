"""Tables with one row per attempt: what each column means, what counts, and what is refused."""

import datetime
import gzip
import json
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

import ds3bayes as ds3
from ds3bayes.errors import InputError
from ds3bayes.evals import READERS, Reader, read_attempts, read_evals, register
from ds3bayes.evals.readers import records

ROWS = [
    {"llm": "org/a:x-2026", "dataset": "qa", "question_id": task, "epoch": epoch, "correct": right, "output_tokens": n}
    for task, epoch, right, n in [
        ("007", 0, True, 90),
        ("007", 1, False, 110),
        ("7", 0, True, 40),
        ("NA", 0, False, 50),
    ]
]
RIGHT = {"007": (2, 1), "7": (1, 1), "NA": (1, 0)}


def counts(evals: Any) -> dict[str, tuple[int, int]]:
    return {
        str(task): (int(attempts), int(successes))
        for task, attempts, successes in zip(
            evals["task"].values, evals["attempts"].values, evals["successes"].values, strict=True
        )
    }


def account(evals: Any) -> dict[str, Any]:
    return json.loads(evals.attrs["account"])


def left_out(evals: Any) -> dict[str, int]:
    return {entry["why"]: entry["count"] for entry in account(evals)["left_out"]}


def message(source: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read_attempts(source, **options)
    return str(error.value)


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def rows_of(values: list[Any], **more: Any) -> list[dict[str, Any]]:
    """Rows with these outcomes, at one task."""
    return [{"model": "m", "benchmark": "b", "task": "t", "score": value, **more} for value in values]


# --- every kind of source ---


def write_excel(path: Path, rows: list[dict[str, Any]]) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.append(list(rows[0]))
    for row in rows:
        page.append(list(row.values()))
    book.create_sheet("empty")
    book.save(path)


def write(path: Path, kind: str) -> Path:
    frame = pd.DataFrame(ROWS)
    text = {
        "jsonl": lines(ROWS),
        "json": json.dumps(ROWS, indent=1),
        "csv": frame.to_csv(index=False),
        "tsv": frame.to_csv(index=False, sep="\t"),
        "pipes": frame.to_csv(index=False, sep="|"),
    }
    if kind in text:
        path.write_text(text[kind], encoding="utf-8")
    elif kind == "bom":
        path.write_text(text["csv"], encoding="utf-8-sig")
    elif kind == "utf16":
        path.write_text(text["csv"], encoding="utf-16")
    elif kind == "jsonl utf16":
        path.write_text(text["jsonl"], encoding="utf-16")
    elif kind == "gz":
        path.write_bytes(gzip.compress(text["jsonl"].encode()))
    elif kind == "csv gz":
        path.write_bytes(gzip.compress(text["csv"].encode()))
    elif kind == "zst":
        path.write_bytes(zstandard.compress(text["jsonl"].encode()))
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        write_excel(path, ROWS)
    return path


KINDS = [
    *("jsonl", "json", "csv", "tsv", "pipes", "bom", "utf16", "jsonl utf16", "gz", "csv gz", "zst", "parquet", "excel")
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_file_reads_alike_whatever_its_name(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "log.dat", kind)
    for read in (read_attempts, read_evals):
        evals = read(path)
        assert counts(evals) == RIGHT
        assert evals["model"].values.tolist() == ["org/a:x-2026"] * 3
        np.testing.assert_array_equal(evals["tokens_mean"].values, [100, 40, 50])
        assert evals.attrs["source"] == "log.dat"
        told = account(evals)
        assert told["reader"] == "attempts"
        assert told["counted"] == 4
        assert list(told["sources"]) == [str(path)]
        assert len(told["sources"][str(path)]) == 64
        assert told["columns"]["success"].startswith("column 'correct'")
        assert told["columns"]["tokens"] == "column 'output_tokens'"
        assert "cot" in told["columns"]["strategy"]
        library = {"zst": "zstandard", "parquet": "pyarrow", "excel": "openpyxl"}.get(kind, "ds3bayes")
        assert told["versions"][library]


def test_lists_and_frames(tmp_path: Path) -> None:
    reads = [read_attempts(ROWS), read_attempts(pd.DataFrame(ROWS)), read_attempts(iter(ROWS))]
    assert [counts(evals) for evals in reads] == [RIGHT] * 3
    path = write(tmp_path / "a.jsonl", "jsonl")
    assert len({evals.attrs["data_sha256"] for evals in [*reads, read_attempts(path)]}) == 1
    assert ds3.read_attempts is read_attempts


def test_several_files_and_folders(tmp_path: Path) -> None:
    for name, epoch in (("a.jsonl", 0), ("b.jsonl", 1)):
        (tmp_path / name).write_text(lines([row | {"epoch": f"{epoch}{row['epoch']}"} for row in ROWS]))
    doubled = {task: (2 * attempts, 2 * successes) for task, (attempts, successes) in RIGHT.items()}
    assert counts(read_attempts([tmp_path / "a.jsonl", tmp_path / "b.jsonl"])) == doubled
    assert counts(read_evals(tmp_path)) == doubled
    assert counts(read_attempts(tmp_path)) == doubled
    assert "given more than once" in message([tmp_path / "a.jsonl", str(tmp_path / "a.jsonl")])


def test_a_run_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    for name in ("a.jsonl", "copy.jsonl"):
        (tmp_path / name).write_text(lines(ROWS))
    evals = read_attempts(tmp_path)
    assert counts(evals) == RIGHT
    assert left_out(evals) == {"copies of another row": 4}


# --- columns ---


def test_names_of_columns_that_people_use() -> None:
    for names in (
        {"model": "model_name", "benchmark": "dataset", "task": "doc_id", "success": "is_correct"},
        {"model": "LLM", "benchmark": "Benchmark", "task": "id", "success": "Passed"},
        {"model": "modelName", "benchmark": "dataset_name", "task": "problemId", "success": "reward"},
        {"model": "model-id", "benchmark": "bench mark", "task": "sample_id", "success": "is_resolved"},
    ):
        row = dict(zip(names.values(), ["m", "b", "t", 1], strict=True))
        if "bench mark" in row:
            row["dataset"] = row.pop("bench mark")
        assert counts(read_attempts([row])) == {"t": (1, 1)}


def test_fields_of_objects_are_columns() -> None:
    usage = {"prompt_tokens": 900, "prompt_tokens_details": {"cached_tokens": 800}, "completion_tokens": 100}
    rows = rows_of([1, 0], usage=usage | {"completion_tokens_details": {"reasoning_tokens": 60}})
    rows = [row | {"judge": {"usage": {"completion_tokens": 9999}}, "epoch": n} for n, row in enumerate(rows)]
    evals = read_attempts(rows)
    assert evals["tokens_mean"].values.tolist() == [100]
    assert evals["prompt_tokens"].values.tolist() == [1800]
    assert account(evals)["columns"]["tokens"] == "column 'usage.completion_tokens'"


def test_sample_id_is_the_task_or_tells_attempts_apart() -> None:
    rows = [{"model": "m", "dataset": "b", "sample_id": "00a", "epoch": n, "score": 1} for n in range(3)]
    assert counts(read_attempts(rows)) == {"00a": (3, 3)}
    rows = [{"model": "m", "dataset": "b", "task_id": "q", "sample_id": n, "score": 1} for n in range(3)]
    assert counts(read_attempts([*rows, rows[0]])) == {"q": (3, 3)}


def test_a_task_beside_an_id_is_asked() -> None:
    rows = [{"model": "m", "dataset": "x", "task": "gsm8k", "id": n, "score": 1} for n in range(3)]
    said = message(rows)
    assert "task: could be 'task', 'id', which differ. Pass task=" in said
    rows = [{"model": "m", "task": "gsm8k", "id": n, "score": 1} for n in range(3)]
    assert len(read_attempts(rows, benchmark="task", task="id")["task"]) == 3


def test_several_columns_with_the_same_content_are_no_question() -> None:
    rows = [row | {"score": int(row["correct"]), "completion_tokens": row["output_tokens"]} for row in ROWS]
    evals = read_attempts(rows)
    assert counts(evals) == RIGHT
    assert any("'correct', 'score' say the same" in note for note in account(evals)["notes"])


def test_a_benchmark_without_a_name(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS).drop(columns="dataset").rename(columns={"question_id": "question"})
    frame.to_csv(tmp_path / "a.csv", index=False)
    evals = read_evals(tmp_path / "a.csv")
    assert counts(evals) == RIGHT
    assert set(evals["benchmark"].values) == {"unnamed"}
    assert account(evals)["columns"]["benchmark"] == "unnamed, as no column says which"
    # Of several files nobody knows whether they hold the same tasks.
    frame.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"benchmark .*: no column found"):
        read_evals(tmp_path)


def test_what_is_not_certain_is_refused_at_once() -> None:
    rows = [row | {"passed": not row["correct"], "tokens": 3} for row in ROWS]
    rows = [{name: value for name, value in row.items() if name not in ("llm", "dataset")} for row in rows]
    said = message(rows)
    assert "success: could be 'correct', 'passed', which differ. Pass success=" in said
    assert "tokens: could be 'output_tokens', 'tokens', which differ" in said
    assert "model (name of the LLM): no column found. Pass model= with a column, or constants={'model': ...}" in said
    # Which benchmark it is changes nothing within one source.
    assert "benchmark" not in said
    assert "the columns are: question_id, epoch, correct, output_tokens, passed, tokens" in said
    fine = {"success": "correct", "ignore": ["tokens"], "constants": {"model": "m", "benchmark": "b"}}
    assert counts(read_attempts(rows, **fine)) == RIGHT
    assert account(read_attempts(rows, **fine))["columns"]["model"] == "m, as stated"


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"success": "corect"}, "success: no column 'corect'. Did you mean 'correct'?"),
        ({"model": "gpt-4o"}, "To give a value for all rows, pass constants={'model': 'gpt-4o'}"),
        ({"constants": {"model": "x"}}, "model: a constant is given, and there is a column for it ('llm')"),
        ({"constants": {"modell": "x"}}, "constants: got 'modell'; allowed: columns of an evaluation table"),
        ({"columns": {"attempts": "epoch"}}, "columns: got 'attempts'"),
        ({"model": "llm", "constants": {"model": "x"}}, "given as a column and as a constant"),
        ({"threshold": math.nan}, "threshold: got nan"),
        ({"errors": "drop"}, "errors: got 'drop'; allowed: 'leave_out', 'count'"),
        ({"decimal": ";"}, "decimal: got ';'"),
        ({"model": 7}, "model: got 7; allowed: the name of a column"),
        ({"constants": {"strategy": "cott"}}, "Did you mean 'cot'?"),
    ],
)
def test_options_at_fault(options: dict[str, Any], part: str) -> None:
    assert part in message(ROWS, **options)


def test_further_columns_and_settings() -> None:
    rows = [
        row | {"difficulty": 3, "reasoning_effort": "high", "thinking_budget": 4096, "n_samples": 1} for row in ROWS
    ]
    evals = read_attempts(rows, columns={"level": "difficulty"})
    assert evals["level"].values.tolist() == [3.0] * 3
    assert set(evals["effort"].values) == {"high"}
    assert set(evals["budget_tokens"].values) == {4096.0}
    majority = read_attempts(ROWS, constants={"strategy": "majority", "n_samples": 8})
    assert set(majority["n_samples"].values) == {8.0}


# --- ids ---


def test_ids_stay_what_they_are(tmp_path: Path) -> None:
    ids = ["007", "7", "NA", "null", "1.10", "1.1", "1e5", " x", "true", "2026-03"]
    rows = [{"model": "m", "benchmark": "b", "task": name, "score": 1} for name in ids]
    (tmp_path / "a.csv").write_text(pd.DataFrame(rows).to_csv(index=False))
    (tmp_path / "a.jsonl").write_text(lines(rows))
    write_excel(tmp_path / "a.xlsx", rows)
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.jsonl", "a.xlsx", "a.parquet"):
        assert sorted(read_attempts(tmp_path / name)["task"].values) == sorted(ids)
    # Numbers of JSON too, as they were written.
    path = tmp_path / "numbers.jsonl"
    path.write_text("".join(f'{{"model": "m", "benchmark": "b", "task": {n}, "score": 1}}\n' for n in (7, "1.10", 1.1)))
    assert sorted(read_attempts(path)["task"].values) == ["1.1", "1.10", "7"]


def test_numbers_that_a_spreadsheet_shows_with_zeros(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    page = book.active
    page.append(["model", "benchmark", "task", "score"])
    page.append(["m", "b", 7, 1])
    page["C2"].number_format = "000"
    book.save(tmp_path / "a.xlsx")
    assert read_attempts(tmp_path / "a.xlsx")["task"].item() == "007"
    page["C2"] = datetime.date(2026, 3, 1)
    book.save(tmp_path / "b.xlsx")
    assert "column 'task': got datetime.datetime(2026, 3, 1" in message(tmp_path / "b.xlsx")


def test_blank_ids_are_refused() -> None:
    rows = rows_of([1, 0])
    rows[1]["task"] = None
    assert "row 2, column 'task': got nothing (blank)" in message(rows)


def test_sheets_must_be_chosen(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for name in ("one", "two"):
        page = book.create_sheet(name)
        for row in [["model", "benchmark", "task", "score"], ["m", "b", name, 1]]:
            page.append(row)
    book.save(tmp_path / "a.xlsx")
    assert "2 sheets hold something ('one', 'two'); pass sheet=" in message(tmp_path / "a.xlsx")
    assert read_attempts(tmp_path / "a.xlsx", sheet="two")["task"].item() == "two"
    assert "no sheet 'three'" in message(tmp_path / "a.xlsx", sheet="three")


# --- outcomes ---


@pytest.mark.parametrize(
    ("values", "successes", "unscored"),
    [
        ([True, False, True], 2, 0),
        (["true", "False", "TRUE"], 2, 0),
        (["yes", "no", ""], 1, 1),
        (["pass", "fail", None], 1, 1),
        (["C", "I", "C"], 2, 0),
        ([1, 0, 1.0], 2, 0),
        (["1", "0", "nan"], 1, 1),
        ([100, 0, 0], 1, 0),
        ([100, math.nan, 0], 1, 1),
        ([0, 0, 0], 0, 0),
        ([np.bool_(True), np.int64(0), np.float64(1)], 2, 0),
    ],
)
def test_outcomes(values: list[Any], successes: int, unscored: int) -> None:
    evals = read_attempts(rows_of(values))
    assert counts(evals) == {"t": (len(values) - unscored, successes)}
    assert left_out(evals) == ({"not scored": unscored} if unscored else {})


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ([0.5, 1, 0], "its numbers are 0, 0.5, 1: scores, not outcomes. Pass threshold="),
        ([0, 1, 100], "its numbers are 0, 1, 100"),
        ([True, 100], "its numbers are 100"),
        ([10, 7, 3], "such as threshold=10"),
        (["C", "P"], "got P, which is no outcome"),
        ([[1]], "got [1], which is no outcome"),
        ([10**5000], "its numbers are inf"),
        ([None, None], "no attempt is left to count (2 not scored)"),
    ],
)
def test_outcomes_without_a_rule_are_refused(values: list[Any], part: str) -> None:
    assert part in message(rows_of(values))


def test_a_stated_threshold() -> None:
    evals = read_attempts(rows_of([0.5, 1, 0.2, None]), threshold=0.5)
    assert counts(evals) == {"t": (3, 2)}
    assert account(evals)["columns"]["success"] == "column 'score', at least 0.5 is a success"


# --- errors and duplicates ---


def test_errored_attempts_are_not_wrong_ones() -> None:
    rows = rows_of([1, None, 0], error=None)
    rows[1]["error"] = "timeout"
    evals = read_attempts(rows)
    assert counts(evals) == {"t": (2, 1)}
    assert left_out(evals) == {"errored before they were scored": 1}
    assert account(evals)["left_out"][0]["examples"] == ["row 2 (task t)"]
    rows[1]["score"] = 0
    said = message(rows)
    assert "row 2: holds an error (timeout) and an outcome (0). Pass errors='leave_out'" in said
    assert counts(read_attempts(rows, errors="leave_out")) == {"t": (2, 1)}
    assert counts(read_attempts(rows, errors="count")) == {"t": (3, 1)}


def test_words_for_no_error() -> None:
    for blank in ("", "none", "false", 0, False, {}, [], math.nan):
        assert counts(read_attempts(rows_of([1], error=blank))) == {"t": (1, 1)}


def test_copies_are_left_out_and_contradictions_refused() -> None:
    copied = [*ROWS, ROWS[0]]
    evals = read_attempts(copied)
    assert counts(evals) == RIGHT
    assert left_out(evals) == {"copies of another row": 1}
    other = [*ROWS, ROWS[0] | {"correct": False}]
    said = message(other)
    assert "row 5: the same attempt (epoch 0) at task '007' as row 1, with other correct" in said
    assert counts(read_attempts(other, ignore=["epoch"]))["007"] == (3, 1)
    # The same in what is used, but not the same row.
    assert "with other columns that are not used" in message([*ROWS, ROWS[0] | {"response": "x"}])


def test_without_an_attempt_column_rows_are_attempts() -> None:
    assert counts(read_attempts(rows_of([1, 1, 1]))) == {"t": (3, 3)}


def test_settings_keep_attempts_apart() -> None:
    rows = [row | {"epoch": 0} for row in rows_of([1], effort="low") + rows_of([0], effort="high")]
    assert len(read_attempts(rows)["task"]) == 2


# --- numbers ---


def test_tokens_that_some_attempts_lack() -> None:
    rows = [
        row | {"epoch": n, "tokens": t}
        for n, (row, t) in enumerate(zip(rows_of([1] * 3), (None, 90, 110), strict=True))
    ]
    with pytest.warns(UserWarning, match="given for some attempts of a cell and not for others") as caught:
        evals = read_attempts(rows)
    assert caught[0].filename == __file__
    assert evals["tokens_mean"].item() == 100
    assert any("given for some attempts" in note for note in account(evals)["notes"])


@pytest.mark.parametrize("value", [-1, "many", True, math.inf, 1e30, [3], {"a": []}, 10**400])
def test_numbers_at_fault(value: Any) -> None:
    assert "row 1, column 'tokens'" in message(rows_of([1], tokens=value), tokens="tokens") or isinstance(value, dict)


def test_columns_that_mean_something_else() -> None:
    rows = [row | {"steps": n + 1, "epoch": n} for n, row in enumerate(rows_of([1, 0]))]
    assert "Found by their names: 'epoch', 'steps'; leave out by ignore=" in message(rows)
    assert counts(read_attempts(rows, ignore=["steps"])) == {"t": (2, 1)}
    said = message(rows_of([1], level="Level 5"))
    assert "got Level 5; allowed: a finite number >= 0, or blank. If it is not that: ignore=['level']" in said


def csv_file(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_decimal_commas(tmp_path: Path) -> None:
    text = "model;benchmark;task;score;cost;seconds\nmodèle;b;007;1;0,12;1.234,5\nmodèle;b;008;0;0,20;2.001\n"
    path = csv_file(tmp_path / "a.csv", text, "cp1252")
    evals = read_attempts(path)
    np.testing.assert_array_equal(evals["cost_usd"].values, [0.12, 0.2])
    np.testing.assert_array_equal(evals["seconds"].values, [1234.5, 2001])
    assert evals["model"].values[0] == "modèle"
    notes = " ".join(account(evals)["notes"])
    for part in ("cp1252", "cut by ';'", "decimal comma"):
        assert part in notes


def test_commas_that_could_be_either(tmp_path: Path) -> None:
    head = "model;benchmark;task;score;tokens\n"
    path = csv_file(tmp_path / "a.csv", head + "m;b;t;1;1,234\n")
    assert "is '1,234' more than a thousand, or has it a decimal comma?" in message(path)
    assert read_attempts(path, decimal=".")["tokens_mean"].item() == 1234
    assert read_attempts(path, decimal=",")["tokens_mean"].item() == 1.234
    path = csv_file(tmp_path / "b.csv", head + "m;b;t;1;1,234,567\nm;b;t;1;1,5\n")
    assert "pass decimal=" in message(path)


def test_a_table_that_nobody_understands_says_how_it_was_read(tmp_path: Path) -> None:
    text = "Modell;Benchmark;Aufgabe;Versuche;Richtig;Tokens (Mittel)\nacmé/1;mathe;007;8;5;1.234,5\nacmé/1;mathe;;;;\n"
    path = csv_file(tmp_path / "a.csv", text, "cp1252")
    with pytest.raises(InputError) as error:
        read_evals(path)
    for said in (message(path), str(error.value)):
        assert "cp1252 text, cut by ';', with a decimal comma" in said


def test_utf16_without_a_mark_is_named(tmp_path: Path) -> None:
    path = csv_file(tmp_path / "a.csv", "model,benchmark,task,score\nm,b,t,1\n", "utf-16-le")
    assert "looks like UTF-16 without a byte order mark" in message(path)
    assert counts(read_attempts(path, encoding="utf-16-le")) == {"t": (1, 1)}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("model,benchmark,task,score\nm,b,t\n", "line 2 has 3 cells and the header 4"),
        ("model,benchmark,task,score\nm,b,t,1,2\n", "line 2 has 5 cells and the header 4"),
        ('model,benchmark,task,score\nm,b,"t,1\n', "cannot be read as CSV"),
        ("model,benchmark,task,task,score\nm,b,t,t,1\n", "column 'task' appears more than once"),
        ("model,,task,score\nm,b,t,1\n", "must name all columns"),
        ("model,benchmark,task,score\n", "holds no attempts"),
        ("", "is empty"),
        ("x", "holds no attempts"),
    ],
)
def test_broken_tables(tmp_path: Path, text: str, part: str) -> None:
    assert part in message(csv_file(tmp_path / "a.csv", text))


def test_long_cells_and_line_breaks_in_cells(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS).assign(response="a,b\n" * 60_000)
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert counts(read_attempts(tmp_path / "a.csv")) == RIGHT


# --- votes ---


def test_answers_become_votes() -> None:
    answers = [("5", True), ("4", False), ("4 ", False), ("6", False), ("", False), (None, False), ("5", True)]
    rows = [
        {"model": "m", "benchmark": "b", "task": "t", "correct": right, "answer": answer, "tokens": 10}
        for answer, right in answers
    ]
    rows += [{"model": "m", "benchmark": "b", "task": "u", "correct": True, "answer": "1", "tokens": 20}]
    evals = read_attempts(rows, answer="answer")
    assert counts(evals) == {"t": (7, 2), "u": (1, 1)}
    assert evals["wrong_answer_counts"].values.tolist() == ["2|1", ""]
    assert evals["no_answer"].values.tolist() == [2, 0]
    assert evals["tokens_mean"].values.tolist() == [10, 20]
    assert evals["log_tokens_mean_correct"].values[0] == pytest.approx(math.log(10))
    assert account(evals)["counted"] == 8
    # Without being told: the column could be the reference.
    silent = read_attempts(rows)
    assert "wrong_answer_counts" not in silent
    assert any("pass answer= to count votes" in note for note in account(silent)["notes"])


def test_votes_of_several_cells() -> None:
    rows = [
        {"model": "m", "benchmark": "b", "task": "t", "effort": effort, "n_samples": 1, "correct": False, "pred": pred}
        for effort, pred in [("low", "1"), ("low", "2"), ("high", "3"), ("high", "3")]
    ]
    evals = read_attempts(rows, answer="pred")
    assert dict(zip(evals["effort"].values, evals["wrong_answer_counts"].values, strict=True)) == {
        "high": "2",
        "low": "1|1",
    }


# --- truncation ---


def test_why_attempts_ended() -> None:
    rows = [
        row | {"finish_reason": why}
        for row, why in zip(rows_of([0, 0, 1, 1]), ["length", "stop", "max_tokens", None], strict=True)
    ]
    evals = read_attempts(rows)
    # A success is not cut off.
    assert evals["truncated"].item() == 1
    assert any("1 successes were cut off" in note for note in account(evals)["notes"])


# --- tables of counts ---


def test_tables_of_counts_are_read_as_they_are(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"model": ["a"], "benchmark": ["b"], "task": ["007"], "strategy": ["cot"], "attempts": [8], "successes": [5]}
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    plain = read_evals(table)
    assert read_attempts(table).drop_attrs().identical(plain.drop_attrs())
    assert read_attempts(tmp_path / "t.csv").attrs["data_sha256"] == plain.attrs["data_sha256"]
    assert "account" not in read_evals(tmp_path / "t.csv").attrs
    rows = table.to_dict("records")
    (tmp_path / "t.jsonl").write_text(lines(rows))
    write_excel(tmp_path / "t.xlsx", rows)
    table.to_csv(tmp_path / "t.txt", index=False, sep=";")
    table.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    for name in ("t.jsonl", "t.xlsx", "t.txt"):
        assert read_evals(tmp_path / name).attrs["data_sha256"] == plain.attrs["data_sha256"]
    assert read_attempts(tmp_path / "semicolons.csv").attrs["data_sha256"] == plain.attrs["data_sha256"]


# --- how a reader is found ---


@pytest.fixture
def own_reader() -> Iterator[Reader]:
    class Own(Reader):
        """Files that begin with OWN."""

        name = "own"
        title = "logs of our own"

        def recognises(self, source: Path) -> bool:
            return source.is_file() and source.read_bytes().startswith(b"OWN")

        def read(self, source: Path, *, model: str = "m") -> Any:
            return read_attempts(rows_of([1]) if model == "m" else rows_of([0]))

    yield register(Own())
    del READERS["own"]


def test_a_reader_from_outside(own_reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("OWN,b\n1,2\n")
    assert counts(read_evals(path)) == {"t": (1, 1)}
    assert counts(read_evals(path, model="n")) == {"t": (1, 0)}
    with pytest.raises(
        InputError, match=r"read by 'own' \(logs of our own\), which has no option modl; allowed: model"
    ):
        read_evals(path, modl="n")


def test_a_log_with_a_reader_of_its_own_is_no_plain_table(own_reader: Reader, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("OWN,b\n1,2\n")
    assert "looks like logs of our own, which has a reader of its own (own)" in message(path)


def test_what_nobody_recognises(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("hello\nworld\n")
    (tmp_path / "y.json").write_text('{"a": 1}')
    (tmp_path / "bytes.bin").write_bytes(bytes(range(256)) * 10)
    for path, part in (
        (tmp_path / "x.txt", "Found: text"),
        (tmp_path / "y.json", "Found: json"),
        (tmp_path / "bytes.bin", "Found: bytes that are no text"),
        (tmp_path, "is a directory, in which no reader recognised anything; it holds bytes.bin, x.txt, y.json"),
    ):
        with pytest.raises(InputError) as error:
            read_evals(path)
        assert part in str(error.value)
        assert "attempts (a table with one row per attempt" in str(error.value)
    with pytest.raises(InputError, match="a table of counts takes no options; got model"):
        read_evals(pd.DataFrame(), model="m")
    with pytest.raises(InputError, match="no such file"):
        read_evals(tmp_path / "absent.jsonl")


def test_options_reach_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines([{"task_id": "t", "passed": True}]))
    assert counts(read_evals(path, constants={"model": "m", "benchmark": "b"})) == {"t": (1, 1)}
    with pytest.raises(InputError, match="has no option scorer; allowed: model, benchmark"):
        read_evals(path, scorer="x")


# --- sources at fault ---


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b'{"a": 1}\n{"a": 2\n', "line 2 is no JSON"),
        (b'{"a": 1}\n[1]\n', "line 2 holds a list"),
        (b'{"a": 1}', "the columns are: a"),
        (b'{"a": [1]}', "holds one object; allowed: a list of objects"),
        (b'{"results": [{"a": 1}],\n "n": 1}', "Its lists are: 'results'"),
        (b"[1, 2]", "record 1 is a int"),
        (b'[{"a": 1}', "cannot be read as JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": 1}\n{"a": ' + b"[" * 100_000 + b"\n", "nested too deeply"),
        (b'[{"a": ' + b"9" * 10_000 + b"}]", "cannot be read as JSON"),
        (b"PAR1junk", "cannot be read as Parquet"),
        (b"PK\x03\x04junk", "is a zip archive"),
        (b"\xd0\xcf\x11\xe0junk", "is an Excel file of before 2007"),
        (b"\x1f\x8bjunk", "cannot be read"),
        (b"\x28\xb5\x2f\xfdjunk", "cannot be read"),
        (gzip.compress(b'{"a": 1}\n' * 999, mtime=0)[:-20], "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_at_fault(tmp_path: Path, content: bytes, part: str) -> None:
    (tmp_path / "a.x").write_bytes(content)
    said = message(tmp_path / "a.x")
    assert part in said or (part == "cannot be read" and "is empty" in said)


@pytest.mark.parametrize("source", [7, None, b"x", {"a": 1}, "a\0b", "x" * 5000, [1], ["no.jsonl"]])
def test_sources_that_are_nothing(source: Any) -> None:
    assert message(source)


def test_bombs(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"model": "')
        for _ in range(80):
            file.write(b"0" * 2**20)
    assert "than" in message(path)
    with pytest.raises(InputError):
        read_evals(path)
    path = tmp_path / "a.zst"
    line = b'{"model": "m", "benchmark": "b", "task": "t", "score": 1}\n'
    path.write_bytes(zstandard.compress(line * (80 * 2**20 // len(line)), 3))
    assert "decompresses to more than 250 times its size" in message(path)


def test_a_file_that_holds_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(lines(ROWS * 100))
    monkeypatch.setattr(records, "LARGEST_RECORD", 20)
    assert "line 1 holds more than" in message(path)


def test_a_workbook_that_is_a_bomb(tmp_path: Path) -> None:
    import zipfile

    write_excel(tmp_path / "a.xlsx", ROWS)
    with zipfile.ZipFile(tmp_path / "a.xlsx", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/media/x", b"0" * (70 * 2**20))
    assert "decompresses to" in message(tmp_path / "a.xlsx")


def test_one_long_text_for_many_rows(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 3000), pa.array(["x" * 2_000_000]))
    table = pa.table({"model": ["m"] * 3000, "dataset": ["b"] * 3000, "task": ["t"] * 3000, "score": [1] * 3000})
    table = table.append_column("response", texts)
    pq.write_table(table, tmp_path / "a.parquet", dictionary_pagesize_limit=2**26)
    assert (tmp_path / "a.parquet").stat().st_size < 2**22
    assert "1024 rows come to more than 1,024 MiB" in message(tmp_path / "a.parquet")


def test_a_sheet_that_is_nearly_empty(tmp_path: Path) -> None:
    write_excel(tmp_path / "a.xlsx", ROWS)
    book = openpyxl.load_workbook(tmp_path / "a.xlsx")
    book.active["XFD100000"] = "x"
    book.save(tmp_path / "a.xlsx")
    assert "row 100000 holds more cells than there are named columns (6)" in message(tmp_path / "a.xlsx")


def test_many_faults_are_few_lines() -> None:
    said = message([row | {"tokens": "x", "output_tokens": -1} for row in ROWS * 50], tokens="tokens", attempt="epoch")
    assert "... and" in said
    assert said.count("\n") < 30


def test_a_hundred_thousand_attempts(tmp_path: Path) -> None:
    frame = pd.DataFrame({"task": np.arange(100_000) % 500, "epoch": np.arange(100_000) // 500})
    frame = frame.assign(model="m", benchmark="b", correct=np.arange(100_000) % 7 > 2, output_tokens=50)
    frame.to_csv(tmp_path / "a.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evals = read_evals(tmp_path / "a.csv")
    assert evals["attempts"].values.tolist() == [200] * 500


# --- frames ---


def test_a_frame_is_read_as_its_file_would_be(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS)
    evals = read_evals(frame)
    assert counts(evals) == RIGHT
    assert account(evals)["reader"] == "attempts"
    pd.testing.assert_frame_equal(evals.to_dataframe(), read_attempts(ROWS).to_dataframe())
    frame.to_csv(tmp_path / "a.csv", index=False)
    pd.testing.assert_frame_equal(evals.to_dataframe(), read_evals(tmp_path / "a.csv").to_dataframe())
    # What is open is asked, and can be said.
    lacking = frame.drop(columns=["llm"])
    with pytest.raises(InputError, match=r"model .*: no column found. Pass model= with a column, or constants="):
        read_evals(lacking)
    assert set(read_evals(lacking, constants={"model": "m"})["model"].values) == {"m"}
    with pytest.raises(InputError, match="success: could be 'correct', 'score', which differ"):
        read_evals(frame.assign(score=[0, 1, 1, 1]))
    # A table of counts stays one, and so does a frame of neither.
    table = pd.DataFrame({"model": ["a"], "benchmark": ["b"], "task": ["7"], "strategy": ["cot"]})
    assert "account" not in read_evals(table.assign(attempts=2, successes=1)).attrs
    with pytest.raises(InputError, match="a table of counts takes no options"):
        read_evals(table.assign(attempts=2, successes=1), threshold=0.5)
    with pytest.raises(InputError, match="successes"):
        read_evals(table.assign(attempts=2, correct=1))
