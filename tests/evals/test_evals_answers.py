"""A column of answers of single attempts is read as votes of wrong answers and attempts without one."""

import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3


def answered(**columns) -> pd.DataFrame:
    """Single attempts at two tasks, five each; answer of the second attempt at t1 is missing."""
    base = {
        "model": "m",
        "benchmark": "b",
        "task": ["t0"] * 5 + ["t1"] * 5,
        "strategy": "cot",
        "attempts": 1,
        "successes": [1, 0, 0, 0, 0, 0, 0, 0, 1, 0],
        "answer": ["24", "7", "7", "8", None, "3", "", "4", "12", "4"],
    }
    return pd.DataFrame(base | columns)


def test_answers_of_attempts_are_votes_and_abstentions():
    evals = ds3.read_evals(answered())
    assert evals["wrong_answer_counts"].values.tolist() == ["2|1", "2|1"]
    assert evals["no_answer"].values.tolist() == [1.0, 1.0]
    assert "answer" not in evals
    counted = (
        answered().groupby(["model", "benchmark", "task", "strategy"], as_index=False)[["attempts", "successes"]].sum()
    )
    counted = counted.assign(wrong_answer_counts=["2|1", "2|1"], no_answer=1)
    assert evals.attrs["data_sha256"] == ds3.read_evals(counted).attrs["data_sha256"]
    # Rows that do not repeat are attempts, too.
    alone = ds3.read_evals(answered().iloc[[1, 5]])
    assert alone["wrong_answer_counts"].values.tolist() == ["1", "1"]
    assert alone["no_answer"].values.tolist() == [0.0, 0.0]


def test_a_cell_without_any_answer_logged_none():
    evals = ds3.read_evals(answered(answer=["24", "7", "7", "8", ""] + [""] * 5))
    assert evals["wrong_answer_counts"].values.tolist() == ["2|1", ""]
    np.testing.assert_array_equal(evals["no_answer"], [1.0, np.nan])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"attempts": [1] * 9 + [2]}, "in a row of 2 attempts"),
        ({"wrong_answer_counts": ""}, None),
        ({"wrong_answer_counts": ["", "1", *[""] * 8]}, "row 2, column 'wrong_answer_counts': got 1; allowed: one"),
        ({"no_answer": [0, 1] + [0] * 8}, "row 2, column 'no_answer': got 1; allowed: one of them"),
        ({"no_answer": 0}, None),
        ({"answer": ["24"] * 5 + ["12"] * 5}, "is it the right answer, rather than the one given"),
    ],
)
def test_answers_that_cannot_be_votes_are_refused(columns, said):
    if said is None:
        assert ds3.read_evals(answered(**columns))["no_answer"].sum() == 2
        return
    with pytest.raises(ds3.InputError, match=said):
        ds3.read_evals(answered(**columns))
