"""Samples of the LM Evaluation Harness, in the form that it documents and writes."""

import json
from pathlib import Path

import pytest

import ds3bayes as ds3

DATE = "2026-01-05T14-06-46.498196"


def sample(doc: int, score: float | None, **more) -> dict:
    """One line of a samples file."""
    return {
        "doc_id": doc,
        "doc": {"q": f"question {doc}"},
        "target": str(doc),
        "arguments": {"gen_args_0": {"arg_0": "Q:", "arg_1": {"until": ["\n"]}}},
        "resps": [["0", "1", "1", "3"]],
        "filtered_resps": ["0"],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": f"hash {doc}",
        "exact_match": score,
    } | more


def write(
    folder: Path, samples: list[dict], *, task: str = "sums", date: str = DATE, config: dict | None = None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{date}.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in samples), encoding="utf-8")
    results = {
        "model_name": "org/small-1b",
        "lm_eval_version": "0.4.13",
        "configs": {task: {"output_type": "generate_until", "repeats": 4} | (config or {})},
    }
    (folder / f"results_{date}.json").write_text(json.dumps(results), encoding="utf-8")
    return path


def counts(evals) -> dict[str, tuple[int, int]]:
    rows = zip(evals["task"].values, evals["attempts"].values, evals["successes"].values, strict=True)
    return {str(task): (int(n), int(c)) for task, n, c in rows}


def test_only_the_scored_response_counts(tmp_path):
    write(tmp_path / "org__small-1b", [sample(doc, float(doc % 2)) for doc in range(4)])
    evals = ds3.read_evals(tmp_path)
    assert counts(evals) == {"0": (1, 0), "1": (1, 1), "2": (1, 0), "3": (1, 1)}
    assert set(evals["model"].values) == {"org/small-1b"}
    assert set(evals["benchmark"].values) == {"sums"}
    assert set(evals["strategy"].values) == {"cot"}
    account = json.loads(evals.attrs["account"])
    assert account["reader"] == "lm_eval"
    assert account["versions"]["lm_eval"] == "0.4.13"
    assert len(account["sources"]) == 2


def test_several_filters_are_chosen_from(tmp_path):
    lines = [sample(doc, 1.0, filter="score-first") for doc in range(3)]
    lines += [sample(doc, 0.0, filter="maj@4") for doc in range(3)]
    path = write(tmp_path, lines)
    with pytest.raises(ds3.InputError, match=r"2 filters \(score-first, maj@4\).*pass filter="):
        ds3.read_evals(path)
    assert counts(ds3.read_evals(path, filter="score-first")) == {str(doc): (1, 1) for doc in range(3)}
    voted = ds3.read_evals(path, filter="maj@4")
    assert counts(voted) == {str(doc): (1, 0) for doc in range(3)}
    assert set(voted["strategy"].values) == {"majority"}
    assert set(voted["n_samples"].values) == {4.0}
    with pytest.raises(ds3.InputError, match="Did you mean 'maj@4'"):
        ds3.read_evals(path, filter="maj@5")


def test_a_vote_is_known_by_what_its_filter_does(tmp_path):
    steps = [{"function": "take_first_k", "k": 3}, {"function": "majority_vote"}, {"function": "take_first"}]
    config = {"filter_list": [{"name": "consensus", "filter": steps}]}
    path = write(tmp_path, [sample(0, 1.0, filter="consensus")], config=config)
    evals = ds3.read_evals(path)
    assert (evals["strategy"].item(), evals["n_samples"].item()) == ("majority", 3)


def test_pass_at_1_is_a_share_of_the_responses(tmp_path):
    several = {"metrics": ["pass@1"], "filtered_resps": [["a", "b", "c", "d"]]}
    path = write(
        tmp_path, [sample(0, None, **several, **{"pass@1": 0.75}), sample(1, None, **several, **{"pass@1": 0})]
    )
    assert counts(ds3.read_evals(path)) == {"0": (4, 3), "1": (4, 0)}
    path = write(tmp_path / "odd", [sample(0, None, **several, **{"pass@1": 0.3})])
    with pytest.raises(ds3.InputError, match=r"0\.3 is no share of 4 responses"):
        ds3.read_evals(path)
    path = write(tmp_path / "best", [sample(0, 1.0, filtered_resps=[["a", "b"]])])
    with pytest.raises(ds3.InputError, match="one score of 2 responses"):
        ds3.read_evals(path)


def test_metrics_and_thresholds_are_stated(tmp_path):
    lines = [sample(doc, 1.0, metrics=["exact_match", "f1"], f1=0.2 + 0.5 * doc) for doc in range(2)]
    path = write(tmp_path, lines)
    with pytest.raises(ds3.InputError, match=r"2 metrics \(exact_match, f1\).*pass metric="):
        ds3.read_evals(path)
    with pytest.raises(ds3.InputError, match=r"f1 is 0\.2, neither 0 nor 1; pass threshold="):
        ds3.read_evals(path, metric="f1")
    assert counts(ds3.read_evals(path, metric="f1", threshold=0.5)) == {"0": (1, 0), "1": (1, 1)}


def test_choices_among_given_answers_are_direct_answers(tmp_path):
    line = sample(0, None, metrics=["acc"], acc=1.0, resps=[[["-1.2", "False"]], [["-3.0", "False"]]])
    evals = ds3.read_evals(write(tmp_path, [line], config={"output_type": "multiple_choice"}))
    assert evals["strategy"].item() == "direct"


def test_runs_add_up_and_copies_do_not(tmp_path):
    first = write(tmp_path / "a", [sample(0, 1.0), sample(1, 0.0)])
    write(tmp_path / "b", [sample(0, 0.0), sample(1, None)], date="2026-02-01T00-00-00.000000")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / first.name).write_bytes(first.read_bytes())
    (tmp_path / "copy" / f"results_{DATE}.json").write_bytes((tmp_path / "a" / f"results_{DATE}.json").read_bytes())
    evals = ds3.read_evals(tmp_path)
    assert counts(evals) == {"0": (2, 1), "1": (1, 0)}
    left = {one["why"]: one["count"] for one in json.loads(evals.attrs["account"])["left_out"]}
    assert left == {"not scored by exact_match": 1, f"in a copy of {first.name}": 2}


def test_other_data_under_one_name_are_refused(tmp_path):
    write(tmp_path / "a", [sample(0, 1.0)])
    write(tmp_path / "b", [sample(0, 1.0, doc_hash="another")], date="2026-02-01T00-00-00.000000")
    with pytest.raises(ds3.InputError, match="another one \\(doc_hash\\)"):
        ds3.read_evals(tmp_path)


def test_the_llm_is_asked_for(tmp_path):
    path = write(tmp_path, [sample(0, 1.0)])
    (tmp_path / f"results_{DATE}.json").unlink()
    with pytest.raises(ds3.InputError, match="pass model="):
        ds3.read_evals(path)
    assert ds3.read_lm_eval(path, model="m")["model"].item() == "m"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"doc_id": None}, "doc_id of .* is None"),
        ({"exact_match": "yes"}, "exact_match is yes; a number"),
        ({"exact_match": 10**400}, "."),
        ({"metrics": "exact_match"}, "0 metrics"),
        ({"resps": 7, "filtered_resps": {}}, ""),
    ],
)
def test_damaged_samples_end_in_one_error(tmp_path, line, said):
    path = write(tmp_path, [sample(0, 1.0) | line])
    if said:
        with pytest.raises(ds3.InputError, match=said):
            ds3.read_evals(path)
    else:
        assert counts(ds3.read_evals(path)) == {"0": (1, 1)}


def test_options_that_it_lacks_are_refused(tmp_path):
    path = write(tmp_path, [sample(0, 1.0)])
    with pytest.raises(ds3.InputError, match=r"no option filtre; allowed: filter, metric, model, threshold"):
        ds3.read_evals(path, filtre="none")
