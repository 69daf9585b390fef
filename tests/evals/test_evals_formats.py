"""Logs that LM Evaluation Harness and Every Eval Ever themselves write; they are in the dependency group ``formats``.

The forms are tested in every run, on files made by hand; here it is seen that the libraries still write them.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import ds3bayes as ds3

pytestmark = pytest.mark.slow


def needs(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed; it is in the dependency group formats (uv sync --group formats)")


def program(*arguments: object) -> None:
    """Run Python in a process of its own, which must not ask the network for anything."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(arguments[-1])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments[:-1])],
        env={**os.environ, **offline},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def counts(evals) -> dict[str, tuple[int, int]]:
    rows = zip(evals["task"].values, evals["attempts"].values, evals["successes"].values, strict=True)
    return {str(task): (int(n), int(c)) for task, n, c in rows}


@pytest.fixture(scope="module")
def lm_eval_logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs("lm_eval")
    root = tmp_path_factory.mktemp("lm_eval")
    program(Path(__file__).with_name("lm_eval_logs.py"), root, tmp_path_factory.mktemp("cache"))
    return root


def test_the_harness_scores_the_first_of_four(lm_eval_logs):
    evals = ds3.read_evals(lm_eval_logs / "first")
    assert counts(evals) == {"0": (1, 1), "1": (1, 0), "2": (1, 1), "3": (1, 0)}
    assert set(evals["model"].values) == {"org/fixed-1b"}
    assert set(evals["benchmark"].values) == {"first"}


def test_filters_of_the_harness_are_chosen_from(lm_eval_logs):
    with pytest.raises(ds3.InputError, match="2 filters"):
        ds3.read_evals(lm_eval_logs / "filters")
    one = ds3.read_evals(lm_eval_logs / "filters", filter="score-first")
    assert counts(one) == {"0": (1, 1), "1": (1, 0), "2": (1, 1), "3": (1, 0)}
    voted = ds3.read_evals(lm_eval_logs / "filters", filter="maj@4")
    assert counts(voted) == {"0": (1, 0), "1": (1, 1), "2": (1, 1), "3": (1, 0)}
    assert set(voted["strategy"].values) == {"majority"}
    assert set(voted["n_samples"].values) == {4.0}


def test_choices_of_the_harness_are_direct_answers(lm_eval_logs):
    evals = ds3.read_evals(lm_eval_logs / "choices")
    assert counts(evals) == {str(number): (1, 1) for number in range(4)}
    assert set(evals["strategy"].values) == {"direct"}


def test_records_that_every_eval_ever_converts(logs, tmp_path, tmp_path_factory):
    """Of three epochs of Inspect, of which two are right: the converter writes the mean into each record."""
    needs("every_eval_ever")
    (log,) = logs["json"].iterdir()
    # The converter wants an LLM whose developer it knows.
    text = log.read_text(encoding="utf-8").replace("mockllm/a", "openai/gpt-4o-2024-08-06")
    (tmp_path / "log.json").write_text(text, encoding="utf-8")
    out = tmp_path / "records"
    program(
        *("-m", "every_eval_ever", "convert", "inspect", "--log_path", tmp_path / "log.json", "--output_dir", out),
        *("--source_organization_name", "test", "--evaluator_relationship", "third_party"),
        tmp_path_factory.mktemp("cache"),
    )
    evals = ds3.read_evals(out)
    expected = ds3.read_evals(tmp_path / "log.json")
    assert counts(evals) == counts(expected) == dict.fromkeys(("7", "007", "algebra/12"), (3, 2))
    assert set(evals["tokens_mean"].values) == {200.0}


def test_what_is_written_validates(prior_fit, tmp_path, tmp_path_factory):
    needs("every_eval_ever")
    rows = [
        {"model": model, "benchmark": "sums", "task": f"t{task}", "strategy": "cot", "attempts": 4, "successes": task}
        for model in ("acme/a b:1", "org/team/b")
        for task in range(4)
    ]
    paths = ds3.write_every_eval_ever(prior_fit(ds3.read_evals(pd.DataFrame(rows))), tmp_path, organization="Acme")
    assert len(paths) == 2
    program("-m", "every_eval_ever", "validate", *paths, tmp_path_factory.mktemp("cache"))
    import every_eval_ever
    import jsonschema

    schema = Path(every_eval_ever.__file__).parent / "schemas" / "eval.schema.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    for path in paths:
        validator.validate(json.loads(path.read_text(encoding="utf-8")))
