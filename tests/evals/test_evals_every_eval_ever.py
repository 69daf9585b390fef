"""Records of single samples of Every Eval Ever, in the form of its schema 0.3."""

import json
from pathlib import Path

import pytest

import ds3bayes as ds3


def record(sample: str, score: float | None, epoch: int | None = 1, **more) -> dict:
    """One line of a samples file."""
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "sums/acme-1/1",
        "model_id": "acme/acme-1",
        "evaluation_name": "sums",
        "evaluation_result_id": "match:accuracy",
        "sample_id": sample,
        "interaction_type": "single_turn",
        "input": {"raw": "sum"},
        "output": {"raw": ["yes"]},
        "evaluation": {"score": score, "is_correct": bool(score)},
        "token_usage": {
            "input_tokens": 50,
            "output_tokens": 100,
            "input_tokens_cache_read": 1000,
            "reasoning_tokens": 60,
        },
        "metadata": {"epoch": str(epoch)} if epoch else {},
    } | more


def write(folder: Path, records: list[dict]) -> Path:
    path = folder / "data" / "acme" / "a_samples.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    (path.parent / "a.json").write_text("{}", encoding="utf-8")
    return path


def counts(evals) -> dict[str, tuple[int, int]]:
    rows = zip(evals["task"].values, evals["attempts"].values, evals["successes"].values, strict=True)
    return {str(task): (int(n), int(c)) for task, n, c in rows}


def test_a_mean_over_epochs_is_not_a_success_in_each(tmp_path):
    """is_correct is "mean above 0": counting it gives 5 of 5 where 3 are right."""
    lines = [
        record(task, score, epoch) for task, score in (("7", 0.6), ("007", 0.4), ("x", 0.0)) for epoch in range(1, 6)
    ]
    write(tmp_path, lines)
    evals = ds3.read_evals(tmp_path)
    assert counts(evals) == {"7": (5, 3), "007": (5, 2), "x": (5, 0)}
    assert set(evals["tokens_mean"].values) == {100.0}
    assert set(evals["prompt_tokens"].values) == {5 * 1050.0}
    assert "mean over its epochs" in json.loads(evals.attrs["account"])["notes"][0]


@pytest.mark.parametrize("scores", [[0.5], [0.3, 0.3], [0.5, 0.2], [7.0, 7.0], [0.5, 1.0]])
def test_fractions_that_say_no_number_are_refused(tmp_path, scores):
    path = write(tmp_path, [record("a", score, epoch) for epoch, score in enumerate(scores, 1)])
    with pytest.raises(ds3.InputError, match="no number of successes; pass threshold="):
        ds3.read_evals(path)
    assert counts(ds3.read_evals(path, threshold=0.5)) == {"a": (len(scores), sum(score >= 0.5 for score in scores))}


def test_errored_and_unscored_records_are_left_out(tmp_path):
    lines = [record("a", 1.0, 1), record("a", 1.0, 2, error="overloaded"), record("b", None, 1)]
    evals = ds3.read_evals(write(tmp_path, lines))
    assert counts(evals) == {"a": (1, 1)}
    left = {one["why"]: one["count"] for one in json.loads(evals.attrs["account"])["left_out"]}
    assert left == {"errored, though they hold a score": 1, "unscored": 1}


def test_one_of_several_results_is_chosen(tmp_path):
    lines = [record("a", 1.0), record("a", 0.0, evaluation_result_id="judge:accuracy")]
    path = write(tmp_path, lines)
    with pytest.raises(ds3.InputError, match=r"2 results.*match:accuracy, judge:accuracy.*pass result="):
        ds3.read_evals(path)
    assert counts(ds3.read_evals(path, result="judge:accuracy")) == {"a": (1, 0)}
    with pytest.raises(ds3.InputError, match="Did you mean 'judge:accuracy'"):
        ds3.read_evals(path, result="judge:acuracy")


def test_copies_count_once_and_contradictions_are_refused(tmp_path):
    same = record("a", 1.0)
    assert counts(ds3.read_evals(write(tmp_path, [same, same]))) == {"a": (1, 1)}
    with pytest.raises(ds3.InputError, match="epoch 1 of sample 'a' is there twice"):
        ds3.read_evals(write(tmp_path, [same, record("a", 0.0)]))
    # Without an epoch, records are attempts of their own.
    assert counts(ds3.read_evals(write(tmp_path, [record("a", 1.0, None)] * 2))) == {"a": (2, 2)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"sample_id": 7}, "sample_id is 7"),
        ({"evaluation": {"score": "C"}}, "evaluation.score is C"),
        ({"evaluation": {"score": True}}, "evaluation.score is True"),
        ({"token_usage": {"output_tokens": -3}}, "token_usage holds -3"),
        ({"model_id": ""}, "model_id is ;"),
    ],
)
def test_damaged_records_end_in_one_error(tmp_path, line, said):
    with pytest.raises(ds3.InputError, match=said):
        ds3.read_evals(write(tmp_path, [record("a", 1.0) | line]))


def test_options_that_it_lacks_are_refused(tmp_path):
    with pytest.raises(ds3.InputError, match="no option scorer; allowed: result, threshold"):
        ds3.read_evals(write(tmp_path, [record("a", 1.0)]), scorer="match")
