import copy
import hashlib
import json
import math
import os
import random
import shutil
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.errors import InputError
from ds3bayes.evals import read_inspect
from ds3bayes.evals.readers import READERS
from ds3bayes.evals.readers.base import Account
from ds3bayes.evals.readers.inspect_attempts import Attempts, Options
from ds3bayes.evals.readers.parts import Archive, PartError, fields, parse

# --- logs ---


@pytest.fixture
def one(logs: dict[str, Path]) -> Path:
    """An archive with three samples of three epochs."""
    return only(logs["once"])


@pytest.fixture
def text(logs: dict[str, Path]) -> dict[str, Any]:
    """The same as a JSON log, parsed, to be changed."""
    return json.loads(only(logs["json"]).read_text())


def only(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def write(folder: Path, log: dict[str, Any], name: str = "log.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(log), encoding="utf-8")
    return path


def pack(folder: Path, log: dict[str, Any], name: str = "log.eval", method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a log as an archive."""
    path = folder / name
    with zipfile.ZipFile(path, "w", method) as archive:
        header = {name: value for name, value in log.items() if name not in ("samples", "reductions")}
        archive.writestr(
            "_journal/start.json", json.dumps({name: header[name] for name in ("version", "eval", "plan")})
        )
        for sample in log["samples"]:
            archive.writestr(f"samples/{sample['id']}_epoch_{sample['epoch']}.json", json.dumps(sample))
        archive.writestr("header.json", json.dumps(header))
    return path


def cells(evals: xr.Dataset, *columns: str) -> dict[str, Any]:
    """Attempts, successes and other columns by task."""
    values = [evals[name].values.tolist() for name in ("attempts", "successes", *columns)]
    return dict(zip(evals["task"].values.tolist(), zip(*values, strict=True), strict=True))


def account(evals: xr.Dataset) -> dict[str, Any]:
    return json.loads(evals.attrs["account"])


def left_out(evals: xr.Dataset) -> dict[str, int]:
    return {entry["why"]: entry["count"] for entry in account(evals)["left_out"]}


def message(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read_inspect(*arguments, **options)
    return str(error.value)


# --- right readings ---


def test_a_grid_of_logs_is_read_as_it_was_made(logs: dict[str, Path]) -> None:
    evals = ds3.read_inspect(logs["grid"])
    # What the LLMs answered, and with how many tokens.
    answers = json.loads((logs["truth"] / "answers.json").read_text())
    assert evals.sizes["row"] == 2 * 2 * (3 + 2)
    for row in range(evals.sizes["row"]):
        cell = {name: evals[name].values[row] for name in evals.data_vars}
        task = int(cell["task"]) if cell["task"] == "7" else cell["task"]
        llm = cell["model"].removeprefix("mockllm/")
        truth = answers[f"{llm} {cell['effort']} {cell['benchmark']} {task!r}"]
        assert cell["attempts"] == 5
        assert cell["successes"] == sum(answer == "yes" for answer, _ in truth)
        assert cell["tokens_mean"] == np.mean([tokens for _, tokens in truth])
        # All wrong attempts answer "no": right ones agree, so that answers are votes.
        wrong = cell["attempts"] - cell["successes"]
        assert cell["wrong_answer_counts"] == (str(wrong) if wrong else "")
        assert cell["no_answer"] == 0
        # Tokens read from a cache are prompt tokens.
        assert cell["prompt_tokens"] == 5 * 1010
        assert (cell["strategy"], cell["truncated"]) == ("cot", 0)
    assert "run" not in evals or set(evals["run"].values) == {""}
    assert set(evals["effort"].values) == {"low", "high"}


def test_run_takes_a_folder_of_logs_to_a_report(logs, tmp_path, monkeypatch, capsys):
    """Two LLMs at two efforts on two tasks of five epochs: one command, and the numbers that the LLMs answered by."""
    from ds3bayes import cli
    from ds3bayes.inference import fit as fits

    real = fits.fit

    def short(evals, spec, **_):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ds3.FitWarning)
            return real(evals, spec, draws=100, tune=150, chains=2, progress=False)

    monkeypatch.setattr("ds3bayes.inference.fit.fit", short)
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["ds3bayes", "run", str(logs["grid"]), "-o", str(out), "--max-cost", "400"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    said = " ".join(capsys.readouterr().err.split())
    assert not left.value.code, said
    answers = json.loads((logs["truth"] / "answers.json").read_text())
    of_option: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for key, given in answers.items():
        llm, effort, benchmark, _ = key.split(" ", 3)
        of_option.setdefault((f"mockllm/{llm}", benchmark, f"cot(effort={effort})"), []).extend(given)
    assert len(of_option) == 8
    attempts = sum(map(len, of_option.values()))
    assert f"{attempts} attempts at 5 tasks of 2 benchmarks by 2 LLMs, from 8 files" in said
    compared = pd.read_csv(out / "observed_vs_predicted.csv")
    options = pd.read_csv(out / "decision.csv").set_index(["benchmark", "option"])
    # The whole, and each benchmark alone.
    benchmarks = ("all benchmarks", *set(compared["benchmark"]))
    assert options.groupby("benchmark").size().to_dict() == dict.fromkeys(benchmarks, 4)
    for (llm, benchmark, strategy), given in of_option.items():
        chosen = (compared["model"] == llm) & (compared["benchmark"] == benchmark) & (compared["strategy"] == strategy)
        mine = compared[chosen].set_index("quantity")
        right = np.mean([answer == "yes" for answer, _ in given])
        assert mine.loc["success per attempt", "observed"] == pytest.approx(right, abs=1e-12)
        tokens = np.mean([tokens for _, tokens in given])
        assert mine.loc["tokens per attempt", "observed"] == pytest.approx(tokens, rel=1e-12)
        # Predictions are of these very tasks, drawn to those of their like: within a quarter of what was seen.
        told = options.loc[(benchmark, f"{llm} | {strategy}")]
        assert abs(told["success"] - right) < 0.25
        assert abs(told["cost"] / tokens - 1) < 0.25
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"{attempts} attempts" in page
    for log in logs["grid"].iterdir():
        assert log.name in page


def answered(frame: pd.DataFrame) -> tuple[pd.DataFrame, Account]:
    """Add answers as the reader does: one benchmark, right attempts first."""
    asked = Options(scorer=None, success=None, grades=None, errors="refuse", partial=False)
    made = Attempts([], asked, Account(reader="inspect"))
    for text in frame.pop("answer"):
        made.answer.append(-1 if text is None else made.answers.setdefault(text, len(made.answers)))
    made._add_answers(frame)
    return frame, made.account


@pytest.mark.parametrize(
    ("right", "wrong", "votes"),
    [
        (["24", "24", "24"], ["7", "7", ""], True),
        # Whole responses differ even where they are right; None is one too long to keep.
        (["It is 24.", "So, 24", "24!"], ["7", "8", "9"], False),
        ([None, "24", "24"], ["7", "7", ""], False),
        # Letters of choices that are shuffled anew.
        (["A", "A", "A"], ["A", "B", ""], False),
        # A single right attempt does not tell whether right ones agree.
        (["24"], ["7", "7", "8"], False),
    ],
)
def test_answers_are_votes_where_right_attempts_agree(right, wrong, votes):
    successes = [1] * len(right) + [0] * len(wrong)
    frame = pd.DataFrame({"benchmark": "b", "task": "t", "successes": successes, "answer": [*right, *wrong]})
    found, said = answered(frame)
    assert ("answer" in found) is votes
    assert bool(said.notes) is not votes


def test_the_account_says_what_was_read(logs: dict[str, Path]) -> None:
    evals = read_inspect(logs["grid"])
    said = account(evals)
    assert said["reader"] == "inspect"
    assert said["sources"] == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(logs["grid"].iterdir())
    }
    assert (said["counted"], said["left_out"]) == (100, [])
    assert "model_generate_config.reasoning_effort" in said["columns"]["effort"]
    assert "plan.steps[].params.reasoning_effort" in said["columns"]["effort"]
    assert said["columns"]["successes"] == "score of match: C, true or 1"
    assert said["versions"]
    assert evals.attrs["source"] == str(logs["grid"])


def test_archives_json_and_chunked_samples_read_alike(
    logs: dict[str, Path], tmp_path: Path, text: dict[str, Any]
) -> None:
    evals = read_inspect(logs["once"])
    assert cells(evals, "tokens_mean") == dict.fromkeys(("7", "007", "algebra/12"), (3, 2, 200))
    assert {entry.compress_type for entry in zipfile.ZipFile(only(logs["once"])).infolist()} == {93}
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        packed = read_inspect(pack(tmp_path, text, f"{method}.eval", method))
        assert packed.attrs["data_sha256"] == read_inspect(logs["json"]).attrs["data_sha256"]
    assert cells(read_inspect(logs["json"]), "tokens_mean") == cells(evals, "tokens_mean")
    assert read_inspect(logs["chunked"]).attrs["data_sha256"] == evals.attrs["data_sha256"]


def test_logs_are_found_by_content(logs: dict[str, Path], tmp_path: Path, one: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    shutil.copy(one, deep / "results.backup")
    shutil.copy(only(logs["json"]), tmp_path / "copy.txt")
    (tmp_path / "notes.json").write_text('{"eval": "none", "status": 1}')
    (tmp_path / "README.md").write_text("not a log")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("data.csv", "a,b")
    evals = read_inspect(tmp_path)
    # Two runs of one task: repeats, which add up.
    assert cells(evals) == dict.fromkeys(("7", "007", "algebra/12"), (6, 4))
    assert "README.md" in account(evals)["notes"][0]
    reader = READERS["inspect"]
    assert reader.recognises(tmp_path)
    assert reader.recognises(deep / "results.backup")
    assert not any(reader.recognises(tmp_path / name) for name in ("notes.json", "README.md", "other.zip", "absent"))
    assert cells(reader.read(deep)) == dict.fromkeys(("7", "007", "algebra/12"), (3, 2))


def test_a_log_read_twice_counts_once(logs: dict[str, Path], tmp_path: Path, one: Path) -> None:
    once = read_inspect(one)
    assert read_inspect([one, one, logs["once"]]).attrs["data_sha256"] == once.attrs["data_sha256"]
    shutil.copy(one, tmp_path / "copy")
    os.symlink(one, tmp_path / "link")
    os.symlink(tmp_path, tmp_path / "cycle")
    evals = read_inspect([one, tmp_path])
    assert evals.attrs["data_sha256"] == once.attrs["data_sha256"]
    assert left_out(evals) == {"the same sample (uuid) as in another log": 9}


def test_urls_are_read(one: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/inspect-logs/one.eval", one.read_bytes())
    memory.pipe("/inspect-logs/other.txt", b"no log")
    for url in ("memory://inspect-logs", "memory://inspect-logs/one.eval", one.as_uri()):
        evals = read_inspect(url)
        assert evals.attrs["data_sha256"] == read_inspect(one).attrs["data_sha256"]
        assert all("://" in name for name in account(evals)["sources"])
    assert "no log of Inspect found" in message("memory://nowhere/log.eval")
    assert "memory://inspect-logs/other.txt: no log" in message("memory://inspect-logs/other.txt")
    assert "nosuch://a: cannot be read" in message("nosuch://a")


def test_urls_need_fsspec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert "pip install 'ds3bayes[inspect]'" in message("memory://a")


def test_errors_are_left_out_or_what_was_asked(logs: dict[str, Path]) -> None:
    evals = read_inspect(logs["errors"])
    assert cells(evals) == {"q0": (3, 2), "q1": (2, 2)}
    assert left_out(evals) == {"errored before they were scored": 4}
    assert "sample q1, epoch 2" in " ".join(account(evals)["left_out"][0]["examples"])
    evals = read_inspect(logs["errors"], errors="count_wrong")
    assert cells(evals) == {"q0": (3, 2), "q1": (3, 2), "q2": (3, 0)}
    assert left_out(evals) == {}
    assert "They count as wrong, as asked" in account(evals)["notes"][0]
    said = message(logs["errors"], errors="refuse")
    assert "4 attempts errored before they were scored" in said
    assert "errors='leave_out'" in said
    evals = read_inspect(logs["scored"], errors="refuse")
    assert cells(evals) == {"q0": (2, 1)}
    assert "Attempts that hold an error and a score: 1" in account(evals)["notes"][0]


def test_the_newest_of_retries_counts(logs: dict[str, Path]) -> None:
    crashed, whole = sorted(logs["retry"].iterdir())
    evals = read_inspect(logs["retry"])
    assert cells(evals, "tokens_mean") == {f"q{number}": (2, 2, 100) for number in range(3)}
    assert evals.attrs["data_sha256"] == read_inspect(whole).attrs["data_sha256"]
    assert list(left_out(evals)) == ["of an older log whose retry (the same task id) counts instead"]
    said = message(crashed)
    assert str(crashed) in said
    assert "'error'" in said
    assert "partial=True" in said
    evals = read_inspect(crashed, partial=True)
    assert int(evals["attempts"].sum()) < 6


def test_what_an_unfinished_retry_lacks_counts_from_the_older_log(text: dict[str, Any], tmp_path: Path) -> None:
    older = copy.deepcopy(text)
    older["status"] = "error"
    for sample in older["samples"]:
        sample["uuid"] += "-older"
    newer = copy.deepcopy(text)
    newer["status"], newer["eval"]["eval_id"], newer["eval"]["created"] = (
        "started",
        "newer",
        "2099-01-01T00:00:00+00:00",
    )
    newer["samples"] = newer["samples"][:4]
    write(tmp_path, older, "a.json")
    write(tmp_path, newer, "b.json")
    evals = read_inspect(tmp_path, partial=True)
    assert cells(evals) == dict.fromkeys(("7", "007", "algebra/12"), (3, 2))
    assert left_out(evals) == {"of an older log of a run, tried again in a newer one": 4}


def test_partial_credit_needs_a_rule(logs: dict[str, Path]) -> None:
    said = message(logs["graded"])
    for part in ("task graded", "'P'", "success=0.5", "success='full'", str(only(logs["graded"]))):
        assert part in said
    assert cells(read_inspect(logs["graded"], success="full"), "no_answer") == {"q0": (4, 1, 1), "q1": (4, 1, 0)}
    assert cells(read_inspect(logs["graded"], success=0.5)) == {"q0": (4, 2), "q1": (4, 3)}
    assert cells(read_inspect(logs["graded"], success={"graded": 0.5})) == {"q0": (4, 2), "q1": (4, 3)}
    assert "0.25" in message(logs["nan"])
    evals = read_inspect(logs["nan"], success="full")
    assert cells(evals) == {"q0": (3, 1), "q1": (4, 3)}
    assert sum(left_out(evals).values()) == 1
    assert cells(read_inspect(logs["nan"], success=0.25)) == {"q0": (3, 3), "q1": (4, 3)}
    assert "success=10" in message(logs["rubric"])
    assert "full credit" in message(logs["rubric"], success="full")
    assert cells(read_inspect(logs["rubric"], success=7)) == {"q0": (4, 2)}
    # One number for two scales would count all of the smaller one as wrong.
    both = [logs["rubric"], logs["nan"]]
    assert "task nan" in message(both, success=7)
    assert "success=7 does not fit its scores" in message(both, success=7)
    # And one for the smaller scale all of the larger one as right.
    assert "success={'rubric': 10}" in message(both, success=0.5)
    assert read_inspect(both, success={"rubric": 7, "nan": 0.5}).sizes["row"] == 3


def test_several_scorers_need_a_choice(logs: dict[str, Path]) -> None:
    said = message(logs["several"])
    for part in ("match", "model_graded_qa", "given['right']", "given['style']", "scorer='match'", "headline is match"):
        assert part in said
    # The judge's 700 tokens are not the LLM's.
    for scorer, q0, q1 in (
        ("match", 1, 1),
        ("model_graded_qa", 2, 2),
        ("given['right']", 1, 2),
        ('given["right"]', 1, 2),
    ):
        evals = read_inspect(logs["several"], scorer=scorer)
        assert cells(evals, "tokens_mean", "prompt_tokens") == {"q0": (2, q0, 150, 20), "q1": (2, q1, 150, 20)}
    evals = read_inspect(logs["several"], scorer={"several": "given['style']"}, success=0.5)
    assert cells(evals) == {"q0": (1, 1), "q1": (2, 2)}
    assert "Did you mean 'match'" in message(logs["several"], scorer="mach")
    assert "given['right']" in message(logs["several"], scorer="given")
    assert "which no log is of" in message(logs["several"], scorer={"other": "match"})


@pytest.mark.parametrize("name", ["self", "role"])
def test_a_grader_that_is_the_llm_itself_has_its_tokens_taken_off(
    logs: dict[str, Path], tmp_path: Path, name: str
) -> None:
    evals = read_inspect(logs[name])
    assert cells(evals, "tokens_mean", "prompt_tokens") == {"q0": (2, 2, 10, 20)}
    assert "graded its own answers" in account(evals)["notes"][0]
    if name == "role":
        # Without the events, the role tells it.
        with Archive(only(logs[name])) as archive:
            log = parse(archive.read("header.json"))
            members = [member for member in archive.members if member.startswith("samples/")]
            log["samples"] = [{**parse(archive.read(member)), "events": []} for member in members]
        evals = read_inspect(write(tmp_path, log))
        assert cells(evals, "tokens_mean", "prompt_tokens") == {"q0": (2, 2, 10, 20)}


def test_edited_scores_count_and_invalidated_samples_do_not(logs: dict[str, Path]) -> None:
    evals = read_inspect(logs["edited"])
    assert cells(evals) == {"q0": (3, 3)}
    assert left_out(evals) == {"invalidated by hand": 1}
    assert account(evals)["notes"] == ["Attempts with a score that was edited by hand: 1. The edited score counts"]


def test_of_one_sample_in_several_runs_the_newest_counts(text: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, text, "a.json")
    newer = copy.deepcopy(text)
    newer["eval"] |= {"created": "2099-01-01T00:00:00+00:00", "eval_id": "e", "task_id": "t", "run_id": "r"}
    for sample in newer["samples"]:
        sample["scores"]["match"]["value"] = "I"
    write(tmp_path, newer, "b.json")
    evals = read_inspect(tmp_path)
    assert cells(evals) == dict.fromkeys(("7", "007", "algebra/12"), (3, 0))
    assert left_out(evals) == {"the same sample (uuid) as in another log": 9}


def test_what_a_limit_ended_is_truncated(logs: dict[str, Path], tmp_path: Path, text: dict[str, Any]) -> None:
    evals = read_inspect(logs["cut"])
    assert cells(evals, "truncated", "tokens_mean") == {"q0": (3, 2, 1, 5896 / 3)}
    assert "max_tokens = 4096" in account(evals)["notes"][0]
    assert evals["max_tokens"].values.tolist() == [4096]
    assert np.isnan(evals["budget_tokens"].values).all()
    evals = read_inspect(logs["limit"])
    assert cells(evals, "truncated", "tokens_mean") == {"q0": (3, 2, 1, 500)}
    assert np.isnan(evals["max_tokens"].values).all()
    # What was cut and is right all the same has not failed by its limit.
    for sample in text["samples"]:
        sample["limit"] = {"type": "token", "limit": 5}
    evals = read_inspect(write(tmp_path, text))
    assert cells(evals, "truncated")["7"] == (3, 2, 1)
    assert "Attempts that were cut off and succeeded: 6" in " ".join(account(evals)["notes"])


def test_max_tokens_is_the_cut_only_of_what_it_cut_as_a_whole(
    logs: dict[str, Path], tmp_path: Path, text: dict[str, Any]
) -> None:
    evals = read_inspect(logs["solver_cut"])
    assert evals["max_tokens"].values.tolist() == [950]
    # Each of its two calls was within the limit, and both together were not.
    evals = read_inspect(logs["calls"])
    assert np.isnan(evals["max_tokens"].values).all()
    assert "is left blank: it did not cut whole attempts" in " ".join(account(evals)["notes"])
    # What another limit ended would have been longer, and nobody knows by how much.
    text["plan"]["config"]["max_tokens"] = 5000
    evals = read_inspect(write(tmp_path, text, "a.json"))
    assert set(evals["max_tokens"].values) == {5000}
    text["samples"][0]["limit"] = {"type": "token", "limit": 5}
    assert np.isnan(read_inspect(write(tmp_path, text, "a.json"))["max_tokens"].values).all()
    text["samples"][0]["limit"] = None
    # An answer that was cut has about as many tokens as it was cut at, or not all of them are told.
    text["samples"][0]["output"]["choices"][0]["stop_reason"] = "max_tokens"
    assert np.isnan(read_inspect(write(tmp_path, text, "a.json"))["max_tokens"].values).all()


def test_no_usage_is_blank(logs: dict[str, Path]) -> None:
    evals = read_inspect(logs["usage"])
    assert cells(evals) == {"q0": (1, 1)}
    assert "tokens_mean" not in evals
    assert "prompt_tokens" not in evals


def test_logs_of_other_settings_stay_apart(logs: dict[str, Path], tmp_path: Path, text: dict[str, Any]) -> None:
    evals = read_inspect(logs["args"])
    assert evals["budget_tokens"].values.tolist() == [1000]
    assert cells(evals) == {"q0": (3, 2)}
    evals = read_inspect(logs["solvers"])
    assert len(set(evals["run"].values)) == 2
    assert "solver" in account(evals)["notes"][0]
    for level in (1, 2):
        log = copy.deepcopy(text)
        log["eval"] |= {"task_args": {"level": level, "same": 1}, "task_id": str(level), "eval_id": str(level)}
        for sample in log["samples"]:
            sample["uuid"] += str(level)
        write(tmp_path, log, f"{level}.json")
    assert set(read_inspect(tmp_path)["benchmark"].values) == {"once(level=1)", "once(level=2)"}
    assert set(read_inspect(tmp_path / "1.json")["benchmark"].values) == {"once"}


def test_old_logs_are_read(text: dict[str, Any], tmp_path: Path) -> None:
    log = copy.deepcopy(text)
    for name in ("eval_id", "task_id", "run_id", "scorers", "packages", "model_generate_config"):
        log["eval"].pop(name, None)
    log["results"] = {"scorer": {"name": "match"}}
    for sample in log["samples"]:
        sample["score"] = sample.pop("scores")["match"]
        for name in ("uuid", "events", "limit", "error_retries"):
            sample.pop(name, None)
    evals = read_inspect(write(tmp_path, log))
    assert cells(evals) == dict.fromkeys(("7", "007", "algebra/12"), (3, 2))
    assert account(evals)["columns"]["successes"].startswith("score of match")


def test_a_large_sample_is_read_in_part(text: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ds3bayes.evals.readers.parts.SMALL", 2**18)
    text["samples"][0]["store"] = {"text": 'x]}"' * 20_000}
    text["samples"][1]["messages"] = [{"a": [number, {"b": "["}]} for number in range(10_000)]
    for path in (write(tmp_path, text), pack(tmp_path, text)):
        assert cells(read_inspect(path)) == dict.fromkeys(("7", "007", "algebra/12"), (3, 2))


def test_two_thousand_samples_are_read_at_once(text: dict[str, Any], tmp_path: Path) -> None:
    (sample, *_), number = text["samples"], 2000
    text["samples"] = [{**sample, "id": f"t{one}", "uuid": f"u{one}"} for one in range(number)]
    for path in (write(tmp_path, text), pack(tmp_path, text)):
        start = time.process_time()
        evals = read_inspect(path)
        # It takes .3 s; three are what a person waits for.
        assert time.process_time() - start < 3
        assert int(evals["attempts"].sum()) == number


@pytest.mark.slow
def test_a_hundred_thousand_samples_are_streamed(text: dict[str, Any], tmp_path: Path) -> None:
    (sample, *_), number = text["samples"], 100_000
    sample["messages"], sample["events"] = [], []
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("header.json", json.dumps({name: text[name] for name in text if name != "samples"}))
        for one in range(number):
            member = {**sample, "id": f"t{one // 5}", "epoch": one % 5 + 1, "uuid": f"u{one}"}
            archive.writestr(f"samples/{member['id']}_epoch_{member['epoch']}.json", json.dumps(member))
    tracemalloc.start()
    evals = read_inspect(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert int(evals["attempts"].sum()) == number
    # Most of it is the archive's list of members.
    assert peak < 250e6


def test_progress_is_shown(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_inspect(one, progress=True)
    assert "reading logs" in capsys.readouterr().err


def test_what_was_read_can_be_fitted_and_stored(logs: dict[str, Path], tmp_path: Path) -> None:
    evals = read_inspect(logs["grid"])
    evals.to_netcdf(tmp_path / "evals.nc")
    assert ds3.evals.to_table(evals)["task"].isin(["7", "007", "algebra/12"]).all()


# --- refusals ---


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"errors": "leave"}, "allowed: 'leave_out', 'count_wrong', 'refuse'. Did you mean 'leave_out'?"),
        ({"scorer": 3}, "scorer: got 3"),
        ({"success": True}, "success: got True"),
        ({"success": "half"}, "'full' for full credit only"),
        ({"success": {"once": math.nan}}, "success: got nan"),
        ({"success": {"twice": 1}}, "Did you mean"),
    ],
)
def test_options_are_checked(one: Path, options: dict[str, Any], said: str) -> None:
    if "twice" in str(options):
        said = "which no log is of; there are: once"
    assert said in message(one, **options)


def test_what_is_no_log_is_refused(tmp_path: Path, one: Path) -> None:
    assert "no such file or folder" in message(tmp_path / "absent")
    assert f"Did you mean '{one.name}'" in message(one.with_name(one.name + "x"))
    assert "no log of Inspect found among 0 files" in message(tmp_path)
    (tmp_path / "table.csv").write_text("a,b\n")
    assert "needed: a log of Inspect" in message(tmp_path / "table.csv")
    assert "allowed: a path, a URL or a list" in message(3)
    assert "NUL" in message("a\0b")
    (tmp_path / "empty.eval").write_bytes(b"")
    assert "empty.eval: an empty file" in message(tmp_path)


def test_a_cut_archive_is_refused(one: Path, tmp_path: Path) -> None:
    whole = one.read_bytes()
    for share in (0.01, 0.3, 0.7, 0.999):
        path = tmp_path / "cut"
        path.write_bytes(whole[: int(len(whole) * share)])
        said = message(path)
        assert str(path) in said
        assert "cut" in said or "no log" in said


def damage_wrong_type(log: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    *way, last = place.split(".")
    inner: Any = log
    for step in way:
        inner = inner[int(step)] if isinstance(inner, list) else inner[step]
    inner[last] = value
    return log


@pytest.mark.parametrize("written", [write, pack])
@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("eval.model", 3),
        ("eval.model", None),
        ("eval.task", ["a"]),
        ("eval.created", "yesterday"),
        ("eval.task_args", [1]),
        ("eval.model_generate_config", "high"),
        ("plan.steps", {"a": 1}),
        ("status", 1),
        ("results", "none"),
        ("samples.0.epoch", "first"),
        ("samples.0.scores", ["C"]),
        ("samples.0.scores", {"match": "C"}),
        ("samples.0.model_usage", {"mockllm/a": {"output_tokens": "many"}}),
        ("samples.0.model_usage", {"mockllm/a": {"output_tokens": -1}}),
        ("samples.0.model_usage", {"mockllm/a": {"output_tokens": 10**400}}),
        ("samples.0.output", {"choices": 3}),
        ("samples.0.uuid", 10**30),
        ("samples.0.working_time", "long"),
    ],
)
def test_wrong_types_are_named(
    text: dict[str, Any], tmp_path: Path, written: Callable[..., Path], place: str, value: Any
) -> None:
    path = written(tmp_path, damage_wrong_type(text, place, value))
    said = message(path)
    assert str(path) in said
    assert place.split(".")[-1] in said
    assert "got" in said


@pytest.mark.parametrize("value", ["", " ", None, 1.5, True, ["a"], "a\0b", "\ud800"])
def test_ids_are_text_or_integers(text: dict[str, Any], tmp_path: Path, value: Any) -> None:
    text["samples"][0]["id"] = value
    assert "id: got" in message(write(tmp_path, text))


@pytest.mark.parametrize("value", ["maybe", math.inf, 10**400, -math.inf, "1e999"])
def test_scores_that_mean_nothing_are_refused(text: dict[str, Any], tmp_path: Path, value: Any) -> None:
    text["samples"][0]["scores"]["match"]["value"] = value
    assert "choose another scorer" in message(write(tmp_path, text))


def test_edited_and_unedited_copies_are_refused(text: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path, text, "a.json")
    other = copy.deepcopy(text)
    other["samples"][0]["invalidation"] = {"author": "p", "timestamp": "2026-01-01T00:00:00+00:00"}
    write(tmp_path, other, "b.json")
    assert "Give only the log that counts" in message(tmp_path)
    text["samples"][0]["scores"]["match"]["value"] = "I"
    write(tmp_path, text, "b.json")
    said = message(tmp_path)
    assert "a.json" in said
    assert "b.json" in said
    assert "Give only the log that counts" in said


def test_a_log_without_its_parts_is_refused(text: dict[str, Any], tmp_path: Path) -> None:
    path = pack(tmp_path, text)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "headless.eval", "w") as other:
        for name in archive.namelist():
            if name.startswith("samples/"):
                other.writestr(name, archive.read(name))
    assert "neither header.json nor _journal/start.json" in message(tmp_path / "headless.eval")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "started.eval", "w") as other:
        for name in archive.namelist():
            if name != "header.json":
                other.writestr(name, archive.read(name))
    assert "its status is 'started'" in message(tmp_path / "started.eval")
    assert cells(read_inspect(tmp_path / "started.eval", partial=True))["7"] == (3, 2)
    assert "no attempt is left to count" in message(write(tmp_path, {**text, "samples": []}))
    assert "no attempt is left to count" in message(write(tmp_path, {**text, "samples": None}))


# --- bombs and damage ---


def bomb(path: Path, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method, compresslevel=9) as archive:
        archive.writestr("_journal/start.json", "{}")
        with archive.open("header.json", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(content)
    return path


def test_zip_bombs_are_refused_unread(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.eval", b"0" * 2**20)
    assert "unpacks to" in message(path)
    # An archive that lies about how much is in a member.
    raw = bytearray(path.read_bytes())
    place = raw.rindex(b"PK\1\2")
    raw[place + 24 : place + 28] = struct.pack("<I", 1000)
    path.write_bytes(bytes(raw))
    assert "cut or damaged" in message(path)


@pytest.mark.parametrize("text", [b'{"eval":' + b"[" * 10**6, b'{"eval":{"a":' + b'{"a":' * 10**6])
def test_deep_json_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "deep.json"
    path.write_bytes(text)
    assert str(path) in message(path)
    with pytest.raises(PartError):
        parse(text)
    with pytest.raises(PartError, match="levels"):
        list(fields(text))


def test_json_with_too_many_values_is_refused(
    text: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ds3bayes.evals.readers.parts.MOST_VALUES", 50_000)
    head = json.dumps({**text, "samples": []}).replace('"samples": []', '"samples": [{"id": 1, "store": %s}]')
    path = tmp_path / "wide.json"
    path.write_text(head % ("[" + "[[]]," * 30_000 + "1]"))
    assert "more than 50,000 values" in message(path)


def test_fields_are_found_whatever_is_in_them() -> None:
    draw = random.Random(1)

    def value(depth: int = 0) -> Any:
        kind = draw.randrange(8 if depth < 5 else 5)
        if kind < 5:
            return [1.5, None, 'x"]}{\\"\\', True, "\u00e9"][kind]
        if kind < 7:
            return [value(depth + 1) for _ in range(draw.randrange(4))]
        return {draw.choice(['a"', "b]", "c"]): value(depth + 1) for _ in range(draw.randrange(4))}

    for _ in range(500):
        whole = {"first": value(), "samples": [value() for _ in range(draw.randrange(4))], "last": value()}
        raw = json.dumps(whole, indent=draw.choice([None, 1])).encode()
        found = [(name, json.loads(raw[start:end])) for name, start, end in fields(raw, 0, "samples")]
        one_by_one = [("samples", element) for element in whole["samples"]]
        assert found == [("first", whole["first"]), *one_by_one, ("last", whole["last"])]


def mutated(raw: bytes, draw: random.Random) -> bytes:
    """Damage a text or archive: flip, cut, repeat, swap or overwrite pieces of it."""
    data = bytearray(raw)
    for _ in range(draw.choice([1, 1, 2, 8])):
        if not data:
            break
        place, length = draw.randrange(len(data)), draw.choice([1, 2, 4, 40, 400])
        kind = draw.randrange(7)
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[place : place + length]
        elif kind == 2:
            data[place:place] = data[place : place + length]
        elif kind == 3:
            del data[place:]
        elif kind == 4:
            data[place : place + length] = bytes(draw.randrange(256) for _ in range(length))
        elif kind == 5:
            token = draw.choice([b"null", b"[]", b"{}", b'"x"', b"-1", b"9" * 400, b"1e999", b"NaN", b"true", b"[[[["])
            end = data.find(b",", place)
            start = data.rfind(b":", 0, place)
            if 0 <= start < end:
                data[start + 1 : end] = token
        else:
            data[place : place + length] = b"\xff" * length
    return bytes(data)


def fuzz(tmp_path: Path, sources: list[bytes], count: int, seed: int) -> None:
    draw = random.Random(seed)
    path = tmp_path / "damaged"
    refused = []
    for number in range(count):
        raw = mutated(sources[number % len(sources)], draw)
        path.write_bytes(raw)
        try:
            with warnings.catch_warnings():
                # Attempts of a cell that lack tokens are warned of, as they are in a table.
                warnings.simplefilter("ignore", UserWarning)
                read_inspect(path, success=draw.choice([None, 0.5]), partial=draw.choice([True, False]))
        except InputError as error:
            refused.append(str(error))
    for said in refused:
        assert len(said) < 4000
        assert str(path) in said or "no attempt is left" in said
    assert len(refused) > count // 4


def fuzzed(one: Path, text: dict[str, Any], tmp_path: Path) -> list[bytes]:
    text["samples"] = [{**sample, "events": [], "messages": []} for sample in text["samples"][:3]]
    stored = pack(tmp_path, text, "stored", zipfile.ZIP_STORED).read_bytes()
    return [json.dumps(text).encode(), stored, pack(tmp_path, text).read_bytes(), one.read_bytes()]


def test_damaged_logs_are_one_clear_error(one: Path, text: dict[str, Any], tmp_path: Path) -> None:
    fuzz(tmp_path, fuzzed(one, text, tmp_path), 240, seed=0)


@pytest.mark.slow
def test_ten_thousand_damaged_logs_are_one_clear_error(one: Path, text: dict[str, Any], tmp_path: Path) -> None:
    fuzz(tmp_path, fuzzed(one, text, tmp_path), 10_000, seed=1)


def test_options_that_it_lacks_are_refused(one: Path) -> None:
    with pytest.raises(InputError, match="no option scorers; allowed: scorer, success, errors, partial, progress"):
        ds3.read_evals(one, scorers="match")
