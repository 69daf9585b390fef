"""What a fit says, written as aggregate records of Every Eval Ever, and read again."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3

#: Fields of the published schema 0.3.0: of an object, those that it may have, and those that it must.
FIELDS = {
    "record": (
        "schema_version evaluation_id evaluation_timestamp retrieved_timestamp source_metadata eval_library model_info "
        "evaluation_results detailed_evaluation_results",
        "schema_version evaluation_id retrieved_timestamp source_metadata model_info eval_library evaluation_results",
    ),
    "source_metadata": (
        "source_name source_type source_organization_name source_organization_url source_organization_logo_url "
        "evaluator_relationship additional_details",
        "source_type source_organization_name evaluator_relationship",
    ),
    "eval_library": ("name version additional_details", "name version"),
    "model_info": (
        "name id developer inference_platform inference_engine additional_details",
        "name id additional_details",
    ),
    "result": (
        "evaluation_result_id evaluation_name source_data evaluation_timestamp metric_config score_details "
        "generation_config",
        "evaluation_name source_data metric_config score_details",
    ),
    "source_data": ("dataset_name source_type additional_details", "dataset_name source_type"),
    "metric_config": (
        "evaluation_description metric_id metric_name metric_kind metric_unit metric_parameters lower_is_better "
        "score_type min_score max_score additional_details",
        "lower_is_better min_score max_score",
    ),
    "score_details": ("score details uncertainty", "score"),
    "uncertainty": ("standard_error confidence_interval standard_deviation num_samples num_bootstrap_samples", ""),
    "standard_error": ("value method", "value"),
    "confidence_interval": ("lower upper confidence_level method", "lower upper"),
}


def has_fields(value: dict, kind: str) -> None:
    may, must = (set(names.split()) for names in FIELDS[kind])
    assert must <= set(value) <= may, kind


@pytest.fixture(scope="module")
def evals() -> xr.Dataset:
    """Two LLMs at two efforts and by votes on one benchmark, and a row without tasks of another."""
    rng = np.random.default_rng(3)
    rows = [
        {"model": model, "benchmark": "sums", "task": task, "strategy": "cot", "effort": effort, "attempts": 4}
        | {"successes": int(rng.integers(0, 5)), "tokens_mean": float(rng.integers(100, 900)) + 0.25}
        for model in ("acme/a b:1", "../evil")
        for effort in ("low", "high")
        for task in ("7", "007", "x|\u00e9")
    ]
    rows.append(rows[0] | {"benchmark": "whole", "task": "", "attempts": 40, "successes": 11, "tasks": 40})
    return ds3.read_evals(pd.DataFrame(rows))


@pytest.fixture(scope="module")
def fit(evals, prior_fit) -> xr.DataTree:
    return prior_fit(evals)


def test_records_have_the_fields_of_the_schema(fit, tmp_path):
    paths = ds3.write_every_eval_ever(fit, tmp_path, organization="Acme", relationship="third_party", level=0.8)
    assert len(paths) == 3
    for path in paths:
        record = json.loads(path.read_text(encoding="utf-8"))
        benchmark, developer, llm, name = path.relative_to(tmp_path / "data").parts
        assert (benchmark, developer, llm) in {
            ("sums", "acme", "a b_1"),
            ("whole", "acme", "a b_1"),
            ("sums", "unknown", "evil"),
        }
        assert len(name) == 41
        has_fields(record, "record")
        for kind in ("source_metadata", "eval_library", "model_info"):
            has_fields(record[kind], kind)
        assert record["schema_version"] == "0.3.0"
        assert record["source_metadata"]["source_organization_name"] == "Acme"
        assert record["model_info"]["id"] in ("acme/a b:1", "../evil")
        for result in record["evaluation_results"]:
            has_fields(result, "result")
            for kind in ("source_data", "metric_config", "score_details"):
                has_fields(result[kind], kind)
            score = result["score_details"]
            has_fields(score["uncertainty"], "uncertainty")
            for kind in ("standard_error", "confidence_interval"):
                has_fields(score["uncertainty"][kind], kind)
            assert all(isinstance(value, str) for value in score["details"].values())


def test_scores_and_intervals_are_the_posteriors(fit, evals, tmp_path):
    paths = ds3.write_every_eval_ever(fit, tmp_path, level=0.8, seed=4)
    observed = ds3.predict(fit, tasks="observed", seed=4)["success"]
    new = ds3.predict(fit, tasks="new", seed=4)["success"]
    seen = set()
    for path in paths:
        record = json.loads(path.read_text(encoding="utf-8"))
        for result in record["evaluation_results"]:
            benchmark, llm = result["evaluation_name"], record["model_info"]["id"]
            setting = result["generation_config"]["additional_details"]["strategy"]
            of_tasks = new if benchmark == "whole" else observed
            at = of_tasks.sel(model=llm, benchmark=benchmark, strategy=setting).values
            score = result["score_details"]
            interval = score["uncertainty"]["confidence_interval"]
            assert score["score"] == pytest.approx(at.mean(), rel=1e-12)
            assert [interval["lower"], interval["upper"]] == pytest.approx(np.quantile(at, [0.1, 0.9]), rel=1e-12)
            assert interval["confidence_level"] == 0.8
            assert score["uncertainty"]["standard_error"]["value"] == pytest.approx(at.std(), rel=1e-12)
            mine = (evals["model"] == llm) & (evals["benchmark"] == benchmark)
            mine = mine & (evals["effort"] == setting.removeprefix("cot(effort=").rstrip(")"))
            counts = [int(evals[name].where(mine, 0).sum()) for name in ("successes", "attempts")]
            assert [int(score["details"][name]) for name in ("successes", "attempts")] == counts
            assert score["uncertainty"]["num_samples"] == (40 if benchmark == "whole" else 3)
            seen.add((llm, benchmark, setting))
    assert len(seen) == 5


def test_what_was_written_is_read_again(fit, evals, tmp_path):
    ds3.write_every_eval_ever(fit, tmp_path)
    again = ds3.read_evals(tmp_path)
    xr.testing.assert_identical(again.drop_attrs(), evals.drop_attrs())
    account = json.loads(again.attrs["account"])
    assert account["reader"] == "every_eval_ever"
    assert account["counted"] == 12 * 4 + 40
    assert len(account["sources"]) == 3
    # Records of a second writing hold the same rows.
    ds3.write_every_eval_ever(fit, tmp_path)
    twice = ds3.read_every_eval_ever(tmp_path)
    xr.testing.assert_identical(twice.drop_attrs(), evals.drop_attrs())
    assert any("counted once" in note for note in json.loads(twice.attrs["account"])["notes"])


def test_scores_alone_are_no_counts(fit, tmp_path):
    (path, *_) = ds3.write_every_eval_ever(fit, tmp_path, counts=False)
    with pytest.raises(ds3.InputError, match="does not say how many attempts"):
        ds3.read_evals(tmp_path)
    with pytest.raises(ds3.InputError, match="drop threshold="):
        ds3.read_every_eval_ever(path, threshold=0.5)
    path.write_text(path.read_text(encoding="utf-8").replace('"observed_share"', '"ds3bayes_rows"'), encoding="utf-8")
    with pytest.raises(ds3.InputError, match="result 1 is an aggregate"):
        ds3.read_evals(path)


def test_held_out_rows_are_not_written(evals, prior_fit, tmp_path):
    spec = ds3.ModelSpec.from_dict({"holdout": [{"where": "effort == 'low' and task == '7'"}]})
    fit = prior_fit(evals, spec)
    ds3.write_every_eval_ever(fit, tmp_path)
    again = ds3.read_evals(tmp_path)
    held = ((evals["effort"] == "low") & (evals["task"] == "7")).values
    assert held.sum() == 2
    xr.testing.assert_identical(again.drop_attrs(), evals.isel(row=~held).drop_attrs())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"level": 0}, "level: got 0"),
        ({"level": math.nan}, "level: got nan"),
        ({"relationship": "third-party"}, "Did you mean 'third_party'"),
        ({"organization": " "}, "organization"),
    ],
)
def test_faulty_arguments_are_refused(fit, tmp_path, options, said):
    with pytest.raises(ds3.InputError, match=said):
        ds3.write_every_eval_ever(fit, tmp_path / "out", **options)
    assert not Path(tmp_path / "out").exists()
