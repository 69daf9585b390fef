"""Partial credit as ordered grades: every reader that meets it says how to keep it."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.evals.readers.grades import grades_of


def cells(evals: Any) -> dict[str, tuple[int, int, str, float]]:
    columns = (evals[name].values.tolist() for name in ("task", "attempts", "successes", "grades", "grade_max"))
    return {task: (n, c, grades, top) for task, n, c, grades, top in zip(*columns, strict=True)}


@pytest.mark.parametrize(
    ("scores", "full", "expected"),
    [
        ([0, 0.5, 1], 1, ([0, 1, 2], 2)),
        ([0, 0.25, 0.5], 1, ([0, 1, 2], 4)),
        ([1 / 3, 2 / 3, 1, 0], 1, ([1, 2, 3, 0], 3)),
        ([10, 5, 0], 10, ([2, 1, 0], 2)),
        ([10, 7, 3, 0], 10, ([10, 7, 3, 0], 10)),
        ([0, 1], 1, ([0, 1], 1)),
        ([0.05, 1], 1, ([1, 20], 20)),
    ],
)
def test_scores_become_the_fewest_equal_steps(scores, full, expected):
    assert grades_of(scores, full, "x") == expected


@pytest.mark.parametrize(
    ("scores", "full", "said"),
    [
        ([0.5, 1.5], 1, "x: holds the score 1.5; allowed with grades=1"),
        ([-1, 1], 1, "x: holds the score -1"),
        ([0.123, 0.5], 1, "no equal steps up to grades=1, of which 20 are allowed"),
    ],
)
def test_other_scores_are_refused(scores, full, said):
    with pytest.raises(ds3.InputError, match=said):
        grades_of(scores, full, "x")


def test_attempts(tmp_path: Path) -> None:
    rows = [
        {"model": "m", "benchmark": benchmark, "task": "7", "score": score}
        for benchmark, scores in (("essays", (10, 7, 3, None)), ("letters", (0, 10, 5)), ("plain", (0, 10)))
        for score in scores
    ]
    with pytest.raises(ds3.InputError, match="or grades= with the score of full credit"):
        ds3.read_attempts(rows)
    evals = ds3.read_attempts(rows, grades=10)
    by_benchmark = evals.to_dataframe().set_index("benchmark")
    assert by_benchmark["successes"].to_dict() == {"essays": 1, "letters": 1, "plain": 1}
    assert by_benchmark["attempts"].to_dict() == {"essays": 3, "letters": 3, "plain": 2}
    assert by_benchmark["grades"].to_dict() == {"essays": "3|7|10", "letters": "0|1|2", "plain": ""}
    assert by_benchmark["grade_max"].dropna().to_dict() == {"essays": 10, "letters": 2}
    assert "10 is a success, lesser scores are grades" in json.loads(evals.attrs["account"])["columns"]["success"]
    # True is full credit.
    mixed = [{"model": "m", "benchmark": "b", "task": "7", "score": score} for score in (True, False, 0.5)]
    assert cells(ds3.read_attempts(mixed, grades=1)) == {"7": (3, 1, "0|1|2", 2)}
    with pytest.raises(ds3.InputError, match="threshold= was given too"):
        ds3.read_attempts(rows, grades=10, threshold=7)
    for wrong in (0, -1, "ten", True, float("nan")):
        with pytest.raises(ds3.InputError, match="grades: got"):
            ds3.read_attempts(rows, grades=wrong)
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    assert ds3.read_evals(tmp_path / "a.csv", grades=10)["grades"].values.tolist() == evals["grades"].values.tolist()


def test_inspect(logs: dict[str, Path]) -> None:
    with pytest.raises(ds3.InputError, match=r"or grades=1, the score of full credit"):
        ds3.read_evals(logs["graded"])
    # C, P, I, N and P, P, C, I.
    assert cells(ds3.read_evals(logs["graded"], grades=1)) == {
        "q0": (4, 1, "0|0|1|2", 2),
        "q1": (4, 1, "0|1|1|2", 2),
    }
    with pytest.raises(ds3.InputError, match=r"or grades=10"):
        ds3.read_evals(logs["rubric"])
    evals = ds3.read_evals(logs["rubric"], grades={"rubric": 10})
    assert cells(evals) == {"q0": (4, 1, "0|3|7|10", 10)}
    # NaN stays unscored; 1, .5, .25 and 0, True, "1", "yes".
    nan = ds3.read_evals(logs["nan"], grades=1)
    assert cells(nan) == {"q0": (3, 1, "1|2|4", 4), "q1": (4, 3, "0|4|4|4", 4)}
    with pytest.raises(ds3.InputError, match="success= was given too"):
        ds3.read_inspect(logs["rubric"], success=7, grades=10)
    with pytest.raises(ds3.InputError, match="holds the score 7; allowed with grades=5"):
        ds3.read_inspect(logs["rubric"], grades=5)
    with pytest.raises(ds3.InputError, match="Did you mean 'rubric'"):
        ds3.read_inspect(logs["rubric"], grades={"rubrik": 10})


def test_lm_eval(tmp_path: Path) -> None:
    lines = [
        {"doc_id": doc, "filtered_resps": ["x"], "filter": "none", "metrics": ["f"], "doc_hash": str(doc), "f": score}
        for doc, score in enumerate((0.5, 1.0, 0.0))
    ]
    path = tmp_path / "samples_sums_2026-01-05T14-06-46.498196.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(ds3.InputError, match="grades=, the score of full credit"):
        ds3.read_evals(path, model="m")
    evals = ds3.read_evals(path, model="m", grades=1)
    assert cells(evals) == {"0": (1, 0, "1", 2), "1": (1, 1, "2", 2), "2": (1, 0, "0", 2)}
    with pytest.raises(ds3.InputError, match="threshold= was given too"):
        ds3.read_lm_eval(path, model="m", grades=1, threshold=0.5)


def test_every_eval_ever(tmp_path: Path) -> None:
    lines = [
        {"schema_version": "0.3.0", "evaluation_id": "e", "model_id": "m", "evaluation_name": "b", "sample_id": "a"}
        | {"evaluation": {"score": score, "is_correct": score > 0}, "metadata": {"epoch": str(epoch)}}
        for epoch, score in enumerate((0.5, 1.0, 0.25))
    ]
    path = tmp_path / "a_samples.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(ds3.InputError, match="grades=, the score of full credit"):
        ds3.read_evals(path)
    assert cells(ds3.read_evals(path, grades=1)) == {"a": (3, 1, "1|2|4", 4)}


def test_helm(tmp_path: Path) -> None:
    entries = [
        {
            "instance_id": "a",
            "train_trial_index": trial,
            "stats": [{"name": {"name": "f1_score", "split": "test"}, "count": 1, "mean": score}],
        }
        for trial, score in enumerate((0.5, 1.0))
    ]
    path = tmp_path / "per_instance_stats.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    asked = {"model": "m", "benchmark": "b", "metric": "f1_score"}
    with pytest.raises(ds3.InputError, match="pass grades=1"):
        ds3.read_evals(path, **asked)
    assert cells(ds3.read_evals(path, **asked, grades=1)) == {"a": (2, 1, "1|2", 2)}


def test_grades_that_were_read_are_fitted(logs: dict[str, Path], prior_fit: Any) -> None:
    evals = ds3.read_evals(logs["graded"], grades=1)
    fit = prior_fit(evals)
    assert fit["posterior"]["grade_gap"].sizes["grade_step"] == 1
    assert ds3.predict_grades(fit).sizes["threshold"] == 2
