import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import COLUMNS, data_sha256, read_evals, to_table
from ds3bayes.evals.schema import ALWAYS


def table(**columns: Any) -> pd.DataFrame:
    """Two good rows, with columns replaced or (None) removed."""
    base: dict[str, Any] = {
        "model": ["a", "a"],
        "benchmark": ["b", "b"],
        "task": ["t1", "t2"],
        "strategy": ["cot", "cot"],
        "attempts": [8, 8],
        "successes": [3, 8],
    }
    base |= columns
    return pd.DataFrame({name: values for name, values in base.items() if values is not None})


def message(source: Any) -> str:
    with pytest.raises(InputError) as error:
        read_evals(source)
    return str(error.value)


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- what a read table is ---


def test_minimal_table() -> None:
    evals = read_evals(table())
    assert evals.sizes == {"row": 2}
    assert set(evals.data_vars) == {"model", "benchmark", "strategy", "attempts", "successes", *ALWAYS}
    assert evals["attempts"].dtype == np.int64
    assert evals["successes"].values.tolist() == [3, 8]
    assert evals["effort"].values.tolist() == ["", ""]
    assert np.isnan(evals["n_samples"]).all()
    assert evals["model"].dtype == object
    assert evals["attempts"].attrs["units"] == "attempts"
    assert evals.attrs["source"] == "DataFrame"
    assert evals.attrs["rows_read"] == 2
    assert evals.attrs["ignored_columns"] == ""
    assert len(evals.attrs["data_sha256"]) == 64


def test_every_column_is_read() -> None:
    samples: dict[str, Any] = {
        "text": "x",
        "parts": "algebra|counting",
        "shares": "2|1",
        "counts": "0|0",
        "count": 1,
        "number": 0.5,
    }
    # Answers become votes, which the table has.
    columns = [column for column in COLUMNS if column.merge != "votes"]
    values = {column.name: [samples[column.kind]] for column in columns}
    values |= {
        "strategy": ["majority"],
        "attempt": [""],
        "attempts": [8],
        "successes": [3],
        "budget_tokens": [100],
        "max_tokens": [100],
        "params": [7e9],
        "train_tokens": [1e12],
    }
    values |= {"tokens_mean": [100.0], "completion_tokens": [800], "tokens_max": [200.0], "accuracy": [0.375]}
    evals = read_evals(pd.DataFrame(values))
    names = {column.read_as or column.name for column in columns if column.merge != "drop"}
    assert set(evals.data_vars) == names
    assert read_evals(to_table(evals)).drop_attrs().identical(evals.drop_attrs())


def test_text_stays_text_and_integers_stay_exact(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "model,benchmark,task,strategy,attempts,successes,effort\n"
        f"NA,null,007,cot,{2**53},{2**53 - 1},\n"
        "1e5,b,NaN,cot,4,1, \n",
    )
    evals = read_evals(path)
    assert evals["model"].values.tolist() == ["1e5", "NA"]
    assert evals["benchmark"].values.tolist() == ["b", "null"]
    assert evals["task"].values.tolist() == ["NaN", "007"]
    assert evals["effort"].values.tolist() == ["", ""]
    assert evals["successes"].values.tolist() == [1, 2**53 - 1]
    assert evals.attrs["source"] == "table.csv"


def test_numbers_as_text_and_blanks(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "model,benchmark,task,strategy,attempts,successes,cost_usd,seconds\n"
        "m,b,1,cot,8.0, 3 ,1e-3,NA\nm,b,2,cot,8,3,,nan\n",
    )
    evals = read_evals(path)
    assert evals["successes"].values.tolist() == [3, 3]
    np.testing.assert_equal(evals["cost_usd"].values, [0.001, np.nan])
    assert np.isnan(evals["seconds"]).all()


def test_integer_tasks_of_a_frame_become_text() -> None:
    assert read_evals(table(task=[7, 8]))["task"].values.tolist() == ["7", "8"]
    # A blank makes pandas hold the others as floats.
    assert read_evals(table(task=[7, None], effort=["low", "high"]))["task"].values.tolist() == ["", "7"]


def test_byte_order_mark_blank_last_lines_and_quotes(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '\ufeffmodel,benchmark,task,strategy,attempts,successes\n"a,b",x,"t ""1""",cot,2,1\n\n\n',
    )
    evals = read_evals(str(path))
    assert evals["model"].item() == "a,b"
    assert evals["task"].item() == 't "1"'


def test_parquet_equals_csv_equals_frame(tmp_path: Path) -> None:
    frame = table(effort=["high", None], tokens_mean=[10.5, None], successes=[True, False], attempts=[8, 8])
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame["effort"] = frame["effort"].astype("category")
    frame["successes"] = frame["successes"].astype("Int64")
    frame.to_parquet(tmp_path / "t.parquet")
    numbers = frame.assign(successes=frame["successes"].astype(int))
    numbers.to_csv(tmp_path / "t.csv", index=False)
    reads = [read_evals(source) for source in (frame, tmp_path / "t.csv", tmp_path / "t.parquet")]
    assert len({read.attrs["data_sha256"] for read in reads}) == 1
    assert reads[0].drop_attrs().identical(reads[1].drop_attrs())
    assert reads[0].drop_attrs().identical(reads[2].drop_attrs())


def test_synonyms_become_one_column() -> None:
    votes = read_evals(table(strategy="majority", votes=[4, 8]))
    assert votes["n_samples"].values.tolist() == [4, 8]
    both = read_evals(table(strategy="majority", votes=[4, None], n_samples=[4, 8]))
    assert both["n_samples"].values.tolist() == [4, 8]
    assert "votes" not in both
    total = read_evals(table(completion_tokens=[80, 160]))
    assert total["tokens_mean"].values.tolist() == [10, 20]
    near = read_evals(table(completion_tokens=[8000, None], tokens_mean=[1004, 7]))
    assert near["tokens_mean"].values.tolist() == [1004, 7]


def test_hash_ignores_order_and_blank_columns_but_not_values() -> None:
    plain = read_evals(table(effort=["x", "y"])).attrs["data_sha256"]
    shuffled = table(effort=["x", "y"]).iloc[::-1, ::-1]
    assert read_evals(shuffled).attrs["data_sha256"] == plain
    assert read_evals(table(effort=["x", "y"], seconds=[None, None])).attrs["data_sha256"] == plain
    assert read_evals(table(effort=["x", "z"])).attrs["data_sha256"] != plain
    assert read_evals(table(effort=["x", "y"], successes=[3, 7])).attrs["data_sha256"] != plain
    # Text cannot move between columns or rows unseen.
    assert (
        read_evals(table(effort=["x", ""])).attrs["data_sha256"]
        != (read_evals(table(verifier=["x", ""])).attrs["data_sha256"])
    )


def test_dataset_survives_a_file(tmp_path: Path) -> None:
    evals = read_evals(table(seconds=[1.5, None], cost_usd=[1, 2]))
    evals.to_netcdf(tmp_path / "evals.nc")
    with xr.open_dataset(tmp_path / "evals.nc") as back:
        assert data_sha256(back) == evals.attrs["data_sha256"]
        assert back["seconds"].dtype == np.float64
        assert back.attrs["ignored_columns"] == ""


def test_other_columns_are_left_out_with_one_warning() -> None:
    frame = table(notes=["x", "y"], budget=[1, 2])
    with pytest.warns(UserWarning, match=r"'notes'.*'budget' Did you mean 'budget_tokens'") as caught:
        evals = read_evals(frame)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert evals.attrs["ignored_columns"] == "notes, budget"


# --- what is refused ---


@pytest.mark.parametrize(
    ("columns", "parts"),
    [
        ({"successes": [9, 8]}, ["row 1, column 'successes': got 9; allowed: at most attempts = 8"]),
        ({"successes": [-1, 8]}, ["row 1, column 'successes': got -1; allowed: an integer >= 0"]),
        ({"successes": [1.5, 8]}, ["got 1.5; allowed: an integer >= 0"]),
        ({"successes": [np.inf, 8]}, ["got inf"]),
        ({"successes": [np.nan, 8]}, ["row 1, column 'successes': got nan"]),
        ({"successes": ["many", 8]}, ["got 'many'"]),
        ({"successes": ["1_0", 8]}, ["got '1_0'"]),
        ({"successes": pd.Series([1 + 2j, 8], dtype=object)}, ["got (1+2j)"]),
        ({"successes": pd.Series([pd.Timestamp("2020"), 8])}, ["got Timestamp("]),
        ({"attempts": [0, 8], "successes": [0, 8]}, ["column 'attempts': got 0; allowed: an integer >= 1"]),
        ({"attempts": [1e300, 8]}, ["got 1e+300; allowed: at most 9007199254740992"]),
        ({"attempts": [2**70, 8]}, ["allowed: at most 9007199254740992"]),
        (
            {"model": ["", "a"]},
            ["row 1, column 'model': got nothing (blank); allowed: text that is not blank"],
        ),
        ({"model": [["x"], "a"]}, ["got ['x']"]),
        ({"task": ["a\0b", "c"]}, ["without NUL characters"]),
        ({"task": pd.Series(["a\ud800b", "c"], dtype=object)}, ["lone surrogates"]),
        ({"strategy": ["Cot", "cot"]}, ["column 'strategy': got 'Cot'", "best_of_n", "Did you mean 'cot'?"]),
        ({"strategy": ["majorty", "cot"]}, ["Did you mean 'majority'?"]),
        ({"strategy": ["majority", "cot"]}, ["row 1: strategy 'majority' needs n_samples (or votes)"]),
        ({"strategy": ["tot", "cot"]}, ["row 1: strategy 'tot' needs branching"]),
        ({"strategy": ["beam", "cot"]}, ["needs branching or n_samples (or votes)"]),
        ({"n_samples": [1, 2]}, ["row 2, column 'n_samples': got 2 for strategy 'cot'; allowed: 1 or blank"]),
        (
            {"strategy": "majority", "n_samples": [4, 4], "votes": [4, 5]},
            ["row 2, column 'votes': got 5", "= 4"],
        ),
        (
            {"strategy": "majority", "n_samples": [0, 4]},
            ["column 'n_samples': got 0; allowed: an integer >= 1"],
        ),
        ({"budget_tokens": [0.5, 1]}, ["column 'budget_tokens': got 0.5; allowed: an integer >= 1"]),
        ({"tokens_mean": [-0.5, 1]}, ["column 'tokens_mean': got -0.5; allowed: a finite number >= 0"]),
        ({"completion_tokens": [-5, 1]}, ["column 'completion_tokens': got -5"]),
        ({"tokens_mean": [100, 1], "completion_tokens": [810, 8]}, ["row 1", "got 810", "the same to 0.5%"]),
        ({"no_answer": [9, 0]}, ["column 'no_answer': got 9; allowed: at most attempts - successes = 5"]),
        ({"truncated": [0, 9]}, ["row 2, column 'truncated': got 9"]),
        ({"wrong_answer_counts": ["3|0", ""]}, ["got '3|0'; allowed: positive integers cut by '|'"]),
        (
            {"wrong_answer_counts": ["3|3", ""]},
            ["'3|3', 6 in all; allowed: at most attempts - successes = 5"],
        ),
        ({"accuracy": [1.2, 1.0]}, ["got 1.2; allowed: a finite number in [0, 1]"]),
        ({"agreement": ["-inf", 0.5]}, ["got '-inf'"]),
        ({"skills": ["a||b", "a"]}, ["got 'a||b'; allowed: names cut by '|'"]),
        ({"steps": [0, 3]}, ["column 'steps': got 0"]),
        ({"params": [7e9, 8e9]}, ["row 2, column 'params': got 8000000000.0, but row 1, column 'params'"]),
        ({"tasks": [2, 1]}, ["row 1, column 'tasks': got 2 in a row about one task"]),
        (
            {"task": None, "tasks": [8, 9], "effort": ["x", "y"]},
            ["row 2, column 'tasks': got 9, but attempts = 8"],
        ),
        (
            {"sucesses": [1, 1], "successes": None},
            ["column 'sucesses' is not a column. Did you mean 'successes'?"],
        ),
        ({"efort": ["x", "y"]}, ["Did you mean 'effort'?"]),
        ({"model": None}, ["column 'model' (name of the LLM) is missing and required"]),
    ],
)
def test_a_fault_is_named(columns: dict[str, Any], parts: list[str]) -> None:
    text = message(table(**columns))
    assert text.startswith("the DataFrame: 1 fault\n"), text
    for part in parts:
        assert part in text, text


def test_conflicting_steps_of_one_task() -> None:
    frame = table(task=["t", "t"], effort=["low", "high"], steps=[3, 4])
    assert "row 2, column 'steps': got 4, but row 1, column 'steps': got 3 for the same task" in message(frame)


def test_columns_of_dates_are_no_numbers() -> None:
    text = message(table(successes=pd.to_datetime(["2020-01-01", None])))
    assert "row 1, column 'successes': got Timestamp('2020-01-01 00:00:00'); allowed: an integer >= 0" in text
    assert "row 2, column 'successes': got NaT" in text


def test_mean_tokens_of_no_attempts() -> None:
    assert "column 'attempts': got 0" in message(table(attempts=[0, 8], successes=[0, 1], tokens_mean=[5, 5]))


def test_repeated_rows() -> None:
    different = message(table(task=["t", "t"]))
    assert "row 2: the same model, benchmark, task, strategy and parameters as row 1 but other successes" in different
    assert "rows must be distinct, except per-attempt rows (attempts = 1)" in different
    assert "and the same values" in message(table(task=["t", "t"], successes=[3, 3]))
    # One sample said or unsaid is one setting.
    assert "1 fault" in message(table(task=["t", "t"], n_samples=[1, None]))
    assert "1 fault" in message(table(task=["t", "t"], attempts=[1, 8], successes=[1, 8]))


def test_wrong_answers_cannot_be_added_up_over_attempts() -> None:
    frame = table(task=["t", "t"], attempts=1, successes=[0, 1], wrong_answer_counts=["1", ""])
    assert "row 1, column 'wrong_answer_counts': got 1 in a row of one attempt" in message(frame)


def test_all_faults_at_once_with_lines_of_the_file(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "model,benchmark,task,strategy,attempts,successes,sead,tokens_men\n"
        "m,b,1,cot,8,9,1,1\n"
        "m,b,2,cott,8,-2,1,1\n"
        "\n"
        "m,b,3,majority,x,1,1,1\n",
    )
    text = message(path)
    assert str(path) in text.splitlines()[0]
    for part in (
        "'tokens_men' is not a column. Did you mean 'tokens_mean'?",
        "row 1 (line 2), column 'successes': got 9",
        "row 2 (line 3), column 'strategy': got 'cott'",
        "row 2 (line 3), column 'successes': got -2",
        "row 3 (line 4), column 'model': got nothing (blank)",
        "row 4 (line 5), column 'attempts': got 'x'",
        "row 4 (line 5): strategy 'majority' needs n_samples",
    ):
        assert part in text, text


def test_many_faults_are_counted_and_every_kind_is_shown() -> None:
    rows = 50
    frame = pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "task": range(rows),
            "strategy": "cot",
            "attempts": 4,
            "successes": 5,
            "cost_usd": [-1.0] * 7 + [0.0] * (rows - 7),
        }
    )
    text = message(frame)
    assert text.startswith("the DataFrame: 57 faults\n")
    # All of one kind that say the same are told once, and how many there are.
    assert text.splitlines()[1:] == [
        "  - row 1, column 'cost_usd': got -1.0; allowed: a finite number >= 0",
        "  ... and 6 more like this",
        "  - row 1, column 'successes': got 5; allowed: at most attempts = 4",
        "  ... and 49 more like this",
    ]


def test_a_file_of_counts_may_leave_out_benchmark_and_strategy(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("model,task,attempts,successes\nm,1,8,5\nm,2,8,3\n")
    with pytest.warns(UserWarning, match=r"no column 'benchmark', .* 'unnamed'; no column 'strategy', .*'cot'"):
        evals = read_evals(tmp_path / "a.csv")
    assert (set(evals["benchmark"].values), set(evals["strategy"].values)) == ({"unnamed"}, {"cot"})
    # Not where a column may be meant for it.
    (tmp_path / "a.csv").write_text("model,dataset,task,strategi,attempts,successes\nm,b,1,cot,8,5\n")
    text = message(tmp_path / "a.csv")
    assert "Did you mean to rename 'dataset'?" in text
    assert "Did you mean 'strategy'?" in text


def test_faults_of_one_kind_that_differ_are_told_by_three() -> None:
    frame = pd.DataFrame({"model": "m", "benchmark": "b", "task": range(283), "strategy": "cot", "attempts": 4})
    text = message(frame.assign(successes=-1 - np.arange(283)))
    assert [line.partition("got ")[2].partition(";")[0] for line in text.splitlines()[1:4]] == ["-1", "-2", "-3"]
    assert text.splitlines()[4:] == ["  ... and 280 more like these"]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("", "the first line is empty"),
        ("\n\n", "the first line is empty"),
        ("model,benchmark,strategy,attempts,successes\n", "the table has no rows"),
        ("model;benchmark;strategy;attempts;successes\nm;b;cot;1;1\n", "cut by something else than commas"),
        (
            "model,model,benchmark,strategy,attempts,successes\na,a,b,cot,1,1\n",
            "'model' appears more than once",
        ),
        ("model,benchmark,strategy,attempts,successes\na,b,cot,1,1,1\n", "cannot be read as csv"),
        (
            "model,benchmark,strategy,attempts,successes\na,b,cot,1,1\na,b,cot,1,1,1\n",
            "cannot be read as csv",
        ),
        (
            "model,benchmark,strategy,attempts,successes\na,b,cot,1\n",
            "column 'successes': got nothing (blank)",
        ),
        ('model,benchmark,strategy,attempts,successes\n"a,b,cot,1,1\n', "cannot be read as csv"),
    ],
)
def test_broken_files(tmp_path: Path, content: str, part: str) -> None:
    assert part in message(write(tmp_path, content))


def test_sources_that_are_no_table(tmp_path: Path) -> None:
    write(tmp_path, "x", "evals.csv")
    assert "there is no such table" in message(tmp_path / "eval.csv")
    assert "Did you mean 'evals.csv'?" in message(tmp_path / "eval.csv")
    assert "allowed: .csv, .parquet" in message(write(tmp_path, "x", "evals.xlsx"))
    assert "(no suffix)" in message(write(tmp_path, "x", "evals"))
    assert "cannot be read as parquet" in message(write(tmp_path, "x", "evals.parquet"))
    (tmp_path / "folder.csv").mkdir()
    assert "is a directory" in message(tmp_path / "folder.csv")
    (tmp_path / "latin.csv").write_bytes("modèle,benchmark\n".encode("latin-1"))
    assert "not UTF-8 text" in message(tmp_path / "latin.csv")
    assert "got list" in message([1, 2])
    assert "NUL" in message("a\0.csv")
    assert "there is no such table" in message("x" * 5000 + ".csv")
    assert "the table has no rows" in message(table().iloc[:0])
    assert "is missing and required" in message(pd.DataFrame())


# --- per-attempt rows ---


def attempts_table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "task": ["t", "t", "t", "u"],
            "strategy": "cot",
            "attempts": 1,
            "successes": [1, 0, 1, 0],
            "completion_tokens": [100, 300, 200, 50],
            "cost_usd": [0.5, 0.25, 0.25, 2],
            "tokens_max": [100, 300, 200, 50],
            "params": 7e9,
            "accuracy": [1, 0, 1, 0],
            "truncated": [0, 1, 0, 0],
        }
    )


def test_attempts_are_added_up() -> None:
    evals = read_evals(attempts_table())
    assert evals["task"].values.tolist() == ["t", "u"]
    assert evals["attempts"].values.tolist() == [3, 1]
    assert evals["successes"].values.tolist() == [2, 0]
    assert evals["tokens_mean"].values.tolist() == [200, 50]
    assert evals["tokens_max"].values.tolist() == [300, 50]
    assert evals["cost_usd"].values.tolist() == [1, 2]
    assert evals["truncated"].values.tolist() == [1, 0]
    assert evals["params"].values.tolist() == [7e9, 7e9]
    np.testing.assert_allclose(evals["accuracy"], [2 / 3, 0])
    logs = np.log([100, 200])
    np.testing.assert_allclose(evals["log_tokens_mean_correct"], [logs.mean(), np.nan], rtol=1e-14)
    np.testing.assert_allclose(evals["log_tokens_sd_correct"], [logs.std(ddof=0), np.nan], rtol=1e-14)
    np.testing.assert_allclose(evals["log_tokens_mean_wrong"], np.log([300, 50]), rtol=1e-14)
    assert evals["log_tokens_sd_wrong"].values.tolist() == [0, 0]
    assert evals.attrs["rows_read"] == 4


def test_a_table_of_counts_gets_no_moments() -> None:
    assert "log_tokens_mean_correct" not in read_evals(table(tokens_mean=[1, 2]))


def test_rows_of_counts_beside_attempts_keep_their_moments() -> None:
    frame = pd.concat(
        [attempts_table(), table(log_tokens_mean_wrong=[5.0, None], log_tokens_sd_wrong=[0.5, None])],
        ignore_index=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evals = read_evals(frame)
    np.testing.assert_allclose(evals["log_tokens_mean_wrong"], [5, np.nan, np.log(300), np.log(50)])
    np.testing.assert_allclose(evals["log_tokens_sd_wrong"], [0.5, np.nan, 0, 0])


def test_numbers_that_some_attempts_lack_are_told() -> None:
    frame = attempts_table()
    frame.loc[1, ["completion_tokens", "cost_usd"]] = np.nan
    with pytest.warns(UserWarning, match="tokens_mean, cost_usd: given for some attempts") as caught:
        evals = read_evals(frame)
    assert len(caught) == 1
    assert evals["tokens_mean"].values.tolist() == [150, 50]
    np.testing.assert_equal(evals["cost_usd"].values, [np.nan, 2])
    np.testing.assert_allclose(evals["log_tokens_mean_wrong"], [np.nan, np.log(50)])


def test_attempts_without_a_task_are_an_aggregate() -> None:
    frame = attempts_table().drop(columns=["task", "tokens_max"]).assign(tasks=1)
    evals = read_evals(frame)
    assert evals["attempts"].values.tolist() == [4]
    assert evals["tasks"].values.tolist() == [4]


@pytest.mark.slow
def test_a_million_attempts_are_read_in_seconds() -> None:
    import time

    rng = np.random.default_rng(0)
    number = 1_000_000
    frame = pd.DataFrame(
        {
            "model": rng.choice(["a", "b"], number),
            "benchmark": "b",
            "task": rng.integers(0, 500, number),
            "strategy": "cot",
            "attempts": 1,
            "successes": rng.integers(0, 2, number),
            "completion_tokens": rng.integers(100, 90_000, number),
        }
    )
    start = time.perf_counter()
    evals = read_evals(frame)
    # Several times what it takes on one slow core.
    assert time.perf_counter() - start < 15
    assert evals.sizes["row"] == 1000
    assert int(evals["attempts"].sum()) == number


# --- tables that are wrong, and look right ------------------------------------------------------------------

RUNS = pd.DataFrame({"task": [f"t{i}" for i in range(12)], "successes": [0, 8] * 6}).assign(
    model="m", benchmark="b", strategy="cot", attempts=8
)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"truncated": 1, "successes": 8}, "column 'truncated': got 1; allowed: at most attempts - successes = 0"),
        ({"no_answer": 5, "successes": 4}, "column 'no_answer': got 5; allowed: at most attempts - successes = 4"),
        (
            {"tokens_mean": 300.0, "tokens_max": 200.0},
            "column 'tokens_mean': got 300.0; allowed: at most tokens_max = 200",
        ),
        ({"accuracy": 0.7, "successes": 4}, "column 'accuracy': got 0.7, but successes / attempts = 0.5"),
        ({"params": 7.0}, "column 'params': got 7.0; allowed: the number itself, as in 7e9 for 7B"),
        ({"train_tokens": 1.4}, "column 'train_tokens': got 1.4; allowed: the number itself, as in 1.4e12 for 1.4T"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(change: dict[str, Any], part: str) -> None:
    assert part in message(RUNS.assign(successes=3).assign(**change))


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("model", "gpt-4", "GPT-4"),
        ("model", "m", "m "),
        ("benchmark", "b", "b\u200b"),
        ("effort", "High", "high"),
        ("task", "t0", "t0\ufeff"),
        ("task", "a b", "a\u00a0b"),
        ("model", "\u00e9", "e\u0301"),
    ],
)
def test_names_that_only_look_alike_are_refused(column: str, one: str, other: str) -> None:
    frame = RUNS.assign(successes=3)
    frame[column] = [one] + [other] * 11 if column != "task" else [one, other, *frame["task"][2:]]
    if column == "task":
        frame = frame[frame["task"].duplicated(keep="first").eq(False)]
    text = message(frame)
    assert f"column {column!r}" in text
    assert ascii(one) in text
    assert ascii(other) in text


def test_tasks_may_differ_by_case() -> None:
    frame = RUNS.assign(successes=3, task=["aB", "Ab", *RUNS["task"][2:]])
    assert read_evals(frame).sizes["row"] == 12


def test_all_or_nothing_is_suspicious() -> None:
    with pytest.warns(UserWarning, match="all 12 rows of 4 attempts or more of m on b have none or all of them right"):
        read_evals(RUNS)
    read_evals(RUNS.assign(successes=[0, 8, 1, *RUNS["successes"][3:]]))
    read_evals(RUNS[:9])
    for same in (0, 8):
        read_evals(RUNS.assign(successes=same))
    # One LLM solves everything, another nothing.
    read_evals(pd.concat([RUNS.assign(successes=8), RUNS.assign(successes=0, model="other")]))


def test_no_tokens_are_not_free_ones() -> None:
    with pytest.warns(UserWarning, match="tokens are 0 in all rows"):
        evals = read_evals(RUNS.assign(successes=3, tokens_mean=0.0))
    assert np.isnan(evals["tokens_mean"]).all()


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            {"task": ["t0", "", *RUNS["task"][2:]]},
            "row 2, column 'task': got nothing (blank), but row 1, column 'task': got 't0' of the same model",
        ),
        (
            {"task": "", "attempts": 1, "successes": [0, 1] * 6},
            "row 1 and 11 more hold one attempt each without a task",
        ),
        (
            {"max_tokens": 1000, "tokens_mean": 1500.0, "truncated": 2},
            "row 1, column 'tokens_mean': got 1500.0, but attempts were cut off (truncated = 2) at max_tokens = 1000",
        ),
        (
            {"completion_tokens": 2400, "tokens_max": 200},
            "row 1, column 'completion_tokens': got 2400; allowed: at most tokens_max = 200",
        ),
        (
            {"successes": [2.5, *[3.0] * 11]},
            "got 2.5; allowed: an integer >= 0. Partial credit does not add up to successes, in no row of this table: "
            "count the attempts with full credit, and give the score of each in `grades` (such as '10|7|0') with",
        ),
        ({"attempt": "1"}, "row 1, column 'attempt': got 1 in a row of 8 attempts; allowed: blank, or attempts = 1"),
        (
            {"attempt": "e1", "attempts": 1, "successes": 1, "task": ["t0", *RUNS["task"][:11]]},
            "row 2, column 'attempt': got 'e1', as in row 1 of the same model",
        ),
    ],
)
def test_rows_of_which_it_is_not_clear_what_they_are_are_refused(change: dict[str, Any], part: str) -> None:
    text = message(RUNS.assign(successes=3).assign(**change))
    assert part in text
    assert "12 faults" in text or "1 fault\n" in text


def test_what_only_looks_like_it_is_read() -> None:
    runs = RUNS.assign(successes=3)
    # An aggregate of other tasks, or of another setting; attempts each of another task; an LLM that is asked to think
    # for so long, and paces itself; decisions among four samples of that budget.
    read_evals(runs.assign(task=["", *runs["task"][1:]], tasks=[8, *[np.nan] * 11]))
    read_evals(runs.assign(task=["", *runs["task"][1:]], effort=["high", *["low"] * 11]))
    assert read_evals(runs.assign(task="", attempts=1, successes=[0, 1] * 6, tasks=1))["tasks"].item() == 12
    read_evals(runs.assign(budget_tokens=1000, tokens_mean=1500.0))
    read_evals(runs.assign(strategy="majority", n_samples=4, budget_tokens=1000, tokens_mean=3000.0, truncated=2))


def test_attempts_have_names_that_are_not_kept() -> None:
    frame = RUNS.assign(attempts=1, successes=[0, 1] * 6, task=["t", "u"] * 6, attempt=[str(i // 2) for i in range(12)])
    evals = read_evals(frame)
    assert evals["attempts"].values.tolist() == [6, 6]
    assert "attempt" not in evals


def runs_of(model: str, tasks: int = 24, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    base = {"task": [f"t{i}" for i in range(tasks)], "attempts": 8, "successes": rng.integers(1, 8, tasks)}
    return pd.DataFrame({**base, "tokens_mean": rng.uniform(100, 900, tasks), **columns}).assign(
        model=model, benchmark="b", strategy="cot"
    )


@pytest.mark.parametrize("columns", [{}, {"tokens_mean": np.nan}, {"successes": 8}])
def test_one_run_under_two_names_is_told(columns: dict[str, Any]) -> None:
    both = [runs_of("one", **columns), runs_of("two", **columns)]
    with pytest.warns(
        UserWarning, match=r"one \| b \| cot and two \| b \| cot have the same counts and tokens at all 24"
    ):
        read_evals(pd.concat(both))
    both[1].loc[5, ["successes", "tokens_mean"]] = [7, 77.0]
    read_evals(pd.concat(both))
    # Few tasks, and LLMs that solve all, agree by chance.
    read_evals(pd.concat([runs_of("one", tasks=19), runs_of("two", tasks=19)]))
    read_evals(pd.concat([runs_of(name, successes=8, tokens_mean=np.nan) for name in ("one", "two")]))


def test_one_attempt_under_two_names_is_told() -> None:
    import uuid

    names = [str(uuid.UUID(int=place)) for place in range(12)]
    one = RUNS.assign(attempts=1, successes=[0, 1] * 6, attempt=names)
    with pytest.warns(UserWarning, match=r"m \| b \| cot and other \| b \| cot have 12 attempts of the same name"):
        read_evals(pd.concat([one, one.assign(model="other", successes=1)]))
    # Epochs start anew, and names of tasks and epochs are no copy unless outcomes are.
    read_evals(pd.concat([one.assign(model=name, attempt="1") for name in ("m", "other")]))
    plain = one.assign(attempt=one["task"] + " epoch 1")
    read_evals(pd.concat([plain, plain.assign(model="other", successes=1)]))
    with pytest.warns(UserWarning, match="12 attempts of the same name"):
        read_evals(pd.concat([plain, plain.assign(model="other")]))


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("tokens", "'completion_tokens' (generated tokens of the row, over all its attempts) or 'tokens_mean' (mean"),
        ("output_tokens", "'completion_tokens' (generated tokens"),
        ("cost", "'cost_usd' (cost of the row, over all its attempts)"),
        ("epoch", "'attempt' (name of the one attempt of the row"),
        ("reasoning_effort", "'effort' (reasoning effort"),
        ("score", "'grades' (score of each attempt"),
    ],
)
def test_names_of_other_tools_are_hinted_at(header: str, meant: str) -> None:
    with pytest.warns(UserWarning, match=re.escape(f"{header!r} Did you mean {meant}")):
        read_evals(table(**{header: ["1", "2"]}))


def test_missing_columns_are_found_under_other_names() -> None:
    for header in ("correct", "score", "n_correct"):
        text = message(table(successes=None, **{header: [3, 8]}))
        assert "column 'successes' (attempts whose final answer was right) is missing and required." in text
        assert f"Did you mean to rename {header!r}?" in text
    text = message(table(attempts=None, successes=[0, 1], attempt=["1", "2"]))
    assert "rename" not in text
    assert "is missing and required. In a table with a row per attempt it is 1." in text


# --- folders of tables --------------------------------------------------------------------------------------


def _counts(model: str, successes: list[int], **more: Any) -> pd.DataFrame:
    table = {"model": model, "benchmark": "b", "task": ["t1", "t2"], "strategy": "cot", "attempts": 8}
    return pd.DataFrame({**table, "successes": successes, **more})


def test_tables_of_a_folder_are_one_table_each_with_its_account(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    _counts("large", [8, 3], tokens_mean=[400.0, 500.0]).to_csv(tmp_path / "large.csv", index=False)
    _counts("small", [5, 0]).to_parquet(tmp_path / "more" / "small.parquet", index=False)
    (tmp_path / "copy.csv").write_bytes((tmp_path / "large.csv").read_bytes())
    (tmp_path / "notes.csv").write_text("who,what\nme,nothing\n")
    (tmp_path / "readme.txt").write_text("tables")
    evals = read_evals(tmp_path)
    rows = zip(*(evals[name].values for name in ("model", "task", "attempts", "successes")), strict=True)
    assert set(rows) == {("large", "t1", 8, 8), ("large", "t2", 8, 3), ("small", "t1", 8, 5), ("small", "t2", 8, 0)}
    small = evals["model"].values == "small"
    assert np.isnan(evals["tokens_mean"].values[small]).all()
    assert sorted(evals["tokens_mean"].values[~small]) == [400.0, 500.0]
    account = json.loads(evals.attrs["account"])
    assert account["reader"] == "counts"
    assert {Path(path).name for path in account["sources"]} == {"copy.csv", "large.csv", "small.parquet"}
    assert account["counted"] == 32
    assert [(one["why"], one["count"]) for one in account["left_out"]] == [("in a copy of copy.csv", 16)]
    assert account["notes"] == [
        "copy.csv: 2 rows, 16 attempts",
        "more/small.parquet: 2 rows, 16 attempts",
        "Not read, as they have no columns attempts and successes: notes.csv",
    ]


def test_a_cell_in_two_tables_of_a_folder_is_refused(tmp_path: Path) -> None:
    _counts("large", [8, 3]).to_csv(tmp_path / "a.csv", index=False)
    _counts("large", [7, 3]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"name runs in a column `run`.*2 faults") as caught:
        read_evals(tmp_path)
    assert "a.csv and " in str(caught.value)
    assert "b.csv both have large | b | cot | t1" in str(caught.value)
    # With names of their own these are two runs.
    for name in "ab":
        table = pd.read_csv(tmp_path / f"{name}.csv").assign(run=name)
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    assert read_evals(tmp_path).sizes["row"] == 4


def test_a_fault_in_a_table_of_a_folder_names_the_file(tmp_path: Path) -> None:
    _counts("large", [8, 3]).to_csv(tmp_path / "a.csv", index=False)
    _counts("small", [9, 3]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(InputError, match=r"(?s)b\.csv.*successes"):
        read_evals(tmp_path)
    with pytest.raises(InputError, match="no option scorer"):
        read_evals(tmp_path, scorer="match")
