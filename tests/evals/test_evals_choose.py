from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ds3bayes.errors import InputError
from ds3bayes.evals import data_sha256, read_evals, select, split, to_table


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = [
        {"model": model, "benchmark": bench, "task": f"t{task}", "strategy": strategy, "branching": branching}
        for model in ("m1", "m2")
        for bench in ("x", "y")
        for task in range(10)
        for strategy, branching in (("cot", None), ("tot", 5))
    ]
    return pd.DataFrame(rows).assign(attempts=4, successes=2)


def test_select(frame: pd.DataFrame) -> None:
    evals = read_evals(frame)
    chosen = select(evals, "strategy == 'tot' and model in ['m1'] and branching >= 5")
    assert chosen.sizes["row"] == 20
    assert chosen.attrs["data_sha256"] == data_sha256(chosen) != evals.attrs["data_sha256"]
    assert select(evals, "branching.isna() & ~task.str.contains('9')").sizes["row"] == 36
    assert select(evals, "successes / attempts == 0.5").sizes["row"] == 80
    assert read_evals(to_table(chosen)).attrs["data_sha256"] == chosen.attrs["data_sha256"]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("stratgy == 'tot'", "unknown name 'stratgy'. Did you mean 'strategy'?"),
        ("effort == high", "unknown name 'high'"),
        ("strategy = 'tot'", "not an expression"),
        ("strategy ==", "not an expression"),
        ("", "allowed: an expression"),
        ("attempts + 1", "not a condition"),
        ("True", "not a condition"),
        ("strategy > 1", "cannot be evaluated"),
        ("strategy == 'beam'", "no row matches"),
        ("strategy.to_csv('out.csv')", "unknown method 'to_csv'"),
        ("__import__('os').getcwd() == 1", "unknown"),
        ("@pd.isna(task)", "not an expression"),
        ("(lambda: True)()", "not allowed"),
        ("[x for x in task]", "not allowed"),
        ("(" * 500 + "attempts", "not an expression"),
        ("attempts == " + "-" * 20000 + "1", "condition"),
    ],
)
def test_bad_conditions_name_the_columns(frame: pd.DataFrame, query: str, part: str) -> None:
    with pytest.raises(InputError, match="condition") as error:
        select(read_evals(frame), query)
    assert part in str(error.value)
    if query:
        assert "columns: model, benchmark, task" in str(error.value)
    assert not Path("out.csv").exists()


def test_split_holds_out_whole_tasks_of_matching_rows(frame: pd.DataFrame) -> None:
    evals = read_evals(frame)
    kept, held = split(evals, "strategy == 'tot'", 0.3, seed=1)
    assert kept.dtype == held.dtype == bool
    assert (kept ^ held).all()
    assert held.sum() == 12
    assert (evals["strategy"].values[held] == "tot").all()
    tasks = {(b, t) for b, t in zip(evals["benchmark"].values[held], evals["task"].values[held], strict=True)}
    assert len(tasks) == 6
    again = split(evals, "strategy == 'tot'", 0.3, seed=1)
    np.testing.assert_array_equal(again[1], held)
    assert (split(evals, "strategy == 'tot'", 0.3, seed=2)[1] != held).any()


def test_split_does_not_depend_on_the_order_of_rows(frame: pd.DataFrame) -> None:
    evals = read_evals(frame)
    order = np.random.default_rng(0).permutation(evals.sizes["row"])
    held = split(evals, None, 0.4, seed=3)[1]
    np.testing.assert_array_equal(split(evals.isel(row=order), None, 0.4, seed=3)[1], held[order])


def test_split_of_everything_and_of_little(frame: pd.DataFrame) -> None:
    evals = read_evals(frame)
    kept, held = split(evals, "model == 'm2'", 1, seed=0)
    np.testing.assert_array_equal(held, evals["model"].values == "m2")
    np.testing.assert_array_equal(kept, evals["model"].values == "m1")
    assert split(evals, "model == 'm2' and strategy == 'cot'", 1e-9, seed=0)[1].sum() == 1
    assert set(evals["model"].values[split(evals, None, 0.5, seed=0, by="model")[1]]) in ({"m1"}, {"m2"})


def test_split_takes_aggregated_rows_one_by_one() -> None:
    frame = pd.DataFrame(
        {
            "model": "m",
            "benchmark": "b",
            "strategy": "majority",
            "n_samples": [1, 2, 4, 8],
            "attempts": 10,
            "successes": 5,
        }
    )
    assert split(read_evals(frame), None, 0.5, seed=0)[1].sum() == 2


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"fraction": 0}, "allowed: a number in (0, 1]"),
        ({"fraction": 1.1}, "fraction=1.1"),
        ({"fraction": float("nan")}, "fraction=nan"),
        ({"fraction": True}, "fraction=True"),
        ({"seed": -1}, "allowed: an integer >= 0"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"by": "tsk"}, "Did you mean 'task'?"),
        ({"where": "model == 'm9'"}, "no row matches"),
    ],
)
def test_bad_splits(frame: pd.DataFrame, arguments: dict[str, object], part: str) -> None:
    good: dict[str, object] = {"where": None, "fraction": 0.5, "seed": 0, "by": "task"}
    with pytest.raises(InputError) as error:
        split(read_evals(frame), **(good | arguments))  # type: ignore[arg-type]
    assert part in str(error.value)
