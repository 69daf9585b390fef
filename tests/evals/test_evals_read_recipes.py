"""Results of well-known benchmark programs, as those write them: the numbers that are right, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from ds3bayes.errors import InputError
from ds3bayes.evals import READERS, read_attempts, read_evals


def dump(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def cells(evals: Any) -> dict[str, tuple[int, int]]:
    return {
        str(task): (int(attempts), int(successes))
        for task, attempts, successes in zip(
            evals["task"].values, evals["attempts"].values, evals["successes"].values, strict=True
        )
    }


def left_out(evals: Any) -> dict[str, int]:
    return {entry["why"]: entry["count"] for entry in json.loads(evals.attrs["account"])["left_out"]}


def refusal(source: Path, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        read_evals(source, **options)
    return str(error.value)


# --- tau-bench ---


def tau(task: int, trial: int, reward: float, error: str = "") -> dict[str, Any]:
    info = {"error": error, "traceback": "..."} if error else {"task": {}, "reward_info": {"reward": reward}}
    return {"task_id": task, "reward": reward, "info": info, "traj": [], "trial": trial}


def test_tau_bench(tmp_path: Path) -> None:
    entries = [tau(0, 0, 1.0), tau(0, 1, 0.0), tau(1, 0, 0.0), tau(1, 1, 0.0, "RateLimitError"), tau(2, 0, 1.0)]
    path = dump(tmp_path / "tool-calling-acme-1-0.0_range_0--1_user-gpt-4o-llm_0101.json", entries)
    evals = read_evals(path, benchmark="retail")
    assert cells(evals) == {"0": (2, 1), "1": (1, 0), "2": (1, 1)}
    assert set(evals["model"].values) == {"acme-1"}
    assert left_out(evals) == {"crashed, which is written as reward 0": 1}
    assert "does not say its benchmark; pass benchmark=" in refusal(path)
    # As a plain table the crash would be wrong.
    with pytest.raises(InputError, match=r"looks like results of tau-bench.*\(tau_bench\)"):
        read_attempts(path, constants={"model": "m", "benchmark": "b"})
    path = dump(tmp_path / "x.json", entries)
    assert "does not say its model; pass model=" in refusal(path, benchmark="retail")
    assert "written twice" in refusal(dump(path, [*entries, entries[0]]), benchmark="b", model="m")
    assert "reward of task 0, trial 0 is 0.5" in refusal(dump(path, [tau(0, 0, 0.5)]), benchmark="b", model="m")


# --- terminal-bench ---


def terminal(folder: Path, task: str, number: int, resolved: bool | None, mode: str, tokens: int | None) -> None:
    name = f"{task}.{number}-of-3"
    entry = {"trial_name": name, "task_id": task, "is_resolved": resolved, "failure_mode": mode, "parser_results": None}
    entry |= {"total_input_tokens": None if tokens is None else 10 * tokens, "total_output_tokens": tokens}
    dump(folder / task / name / "results.json", entry)


def test_terminal_bench(tmp_path: Path) -> None:
    run = tmp_path / "2026-01-05__10-00-00"
    terminal(run, "fix-git", 1, True, "unset", 200)
    terminal(run, "fix-git", 2, True, "agent_timeout", 900)
    terminal(run, "fix-git", 3, False, "unset", 250)
    terminal(run, "build", 1, None, "test_timeout", 100)
    terminal(run, "build", 2, False, "agent_timeout", 1500)
    terminal(run, "build", 3, None, "unknown_agent_error", None)
    evals = read_evals(run, model="acme-1")
    assert cells(evals) == {"fix-git": (3, 2), "build": (1, 0)}
    by_task = evals.to_dataframe().set_index("task")
    assert by_task["truncated"].to_dict() == {"fix-git": 0, "build": 1}
    assert by_task["tokens_mean"].to_dict() == {"fix-git": 450, "build": 1500}
    assert by_task["prompt_tokens"].to_dict() == {"fix-git": 13500, "build": 15000}
    assert left_out(evals) == {"outcome unknown (is_resolved is null)": 2}
    assert len(json.loads(evals.attrs["account"])["sources"]) == 6
    with pytest.warns(UserWarning, match="given for some attempts"):
        counted = read_evals(run, model="acme-1", unknown="wrong")
    assert cells(counted) == {"fix-git": (3, 2), "build": (3, 0)}
    assert "pass model=" in refusal(run)
    assert "unknown: got 'x'" in refusal(run, model="m", unknown="x")


def test_the_summary_of_a_run_of_terminal_bench_is_not_read_twice(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "2026"
    terminal(run, "fix-git", 1, True, "unset", 200)
    one = json.loads((run / "fix-git" / "fix-git.1-of-3" / "results.json").read_text())
    dump(run / "results.json", {"results": [one], "accuracy": 1.0})
    assert cells(read_evals(run, model="m")) == {"fix-git": (1, 1)}
    # Another run of the same task is another attempt.
    terminal(tmp_path / "runs" / "2027", "fix-git", 1, False, "unset", 200)
    assert cells(read_evals(tmp_path / "runs", model="m")) == {"fix-git": (2, 1)}
    assert cells(read_evals(run / "results.json", model="m")) == {"fix-git": (1, 1)}


# --- Aider ---


def test_aider_polyglot(tmp_path: Path) -> None:
    entries = [
        {"dirname": "a", "test_cases": 224, "model": "acme-1 (high)", "edit_format": "diff", "pass_num_1": 47}
        | {"pass_num_2": 136, "total_tests": 225, "total_cost": 18.2},
        {"dirname": "b", "test_cases": 225, "model": "acme-0", "pass_num_1": 9, "pass_num_2": 25, "total_cost": 0.0},
    ]
    (tmp_path / "polyglot.yml").write_text(yaml.safe_dump(entries, sort_keys=False))
    evals = read_evals(tmp_path / "polyglot.yml")
    table = evals.to_dataframe().set_index("model")
    assert table.loc["acme-1", ["effort", "task", "attempts", "successes", "tasks"]].tolist() == [
        "high",
        "",
        224,
        47,
        224,
    ]
    assert table.loc["acme-0", ["effort", "attempts", "successes"]].tolist() == ["", 225, 9]
    assert "cost_usd" not in evals
    assert any("pass_num_2" in note for note in json.loads(evals.attrs["account"])["notes"])
    entries.append(entries[1] | {"dirname": "c", "pass_num_1": 10})
    (tmp_path / "twice.yml").write_text(yaml.safe_dump(entries, sort_keys=False))
    assert sorted(read_evals(tmp_path / "twice.yml")["run"].values) == ["", "b", "c"]
    entries[0]["pass_num_1"] = "many"
    (tmp_path / "odd.yml").write_text(yaml.safe_dump(entries, sort_keys=False))
    assert "not integers" in refusal(tmp_path / "odd.yml")


def test_yaml_that_would_fill_the_memory(tmp_path: Path) -> None:
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30))
    text = f"test_cases: 1\npass_num_1: 1\nmodel: m\na0: &a0 [x]\n{levels}\n"
    (tmp_path / "a.yml").write_text(text)
    assert "not a list" in refusal(tmp_path / "a.yml")


# --- EvalPlus ---


def evalplus(**tasks: list[tuple[Any, Any]]) -> dict[str, Any]:
    return {
        "date": "2026-01-01",
        "hash": "x",
        "eval": {
            task.replace("_", "/"): [
                {"task_id": task.replace("_", "/"), "solution": "..", "base_status": base, "plus_status": plus}
                for base, plus in pairs
            ]
            for task, pairs in tasks.items()
        },
    }


def test_evalplus(tmp_path: Path) -> None:
    content = evalplus(
        HumanEval_0=[("pass", "pass"), ("pass", "fail"), ("fail", "fail")],
        HumanEval_1=[("pass", "pass"), ("timeout", "pass")],
    )
    path = dump(tmp_path / "acme-1_eval_results.json", content)
    evals = read_evals(path, model="acme-1", tests="plus")
    assert cells(evals) == {"HumanEval/0": (3, 1), "HumanEval/1": (2, 1)}
    assert set(evals["benchmark"].values) == {"HumanEval"}
    assert cells(read_evals(path, model="acme-1", tests="base"))["HumanEval/0"] == (3, 2)
    assert "base and plus tests differ for 1 solutions; pass tests='plus' or 'base'" in refusal(path, model="m")
    assert "pass model=" in refusal(path)
    path = dump(tmp_path / "base.json", evalplus(HumanEval_0=[("pass", None)]))
    assert left_out(read_evals(dump(path, evalplus(T_0=[("pass", None), ("pass", "pass")])), model="m", tests="plus"))
    assert "a status of T/0 is odd" in refusal(dump(path, evalplus(T_0=[("odd", None)])), model="m")


# --- promptfoo ---


def promptfoo(test: int, right: bool, reason: int, completion: int | None, prompt: int = 0) -> dict[str, Any]:
    usage = {"total": 120, "cached": 120} if completion is None else {"prompt": 20, "completion": completion}
    return {
        "testIdx": test,
        "promptIdx": prompt,
        "provider": {"id": "openai:acme-1"},
        "success": right,
        "error": "x" if reason else None,
        "failureReason": reason,
        "response": {"cached": completion is None, "tokenUsage": usage},
    }


def test_promptfoo(tmp_path: Path) -> None:
    results = [
        *(promptfoo(0, True, 0, 100), promptfoo(0, True, 0, None), promptfoo(0, True, 0, None)),
        *(promptfoo(1, False, 1, 70), promptfoo(1, False, 2, 0), promptfoo(1, True, 0, 75)),
    ]
    path = dump(tmp_path / "a.json", {"evalId": "e", "results": {"version": 3, "results": results}})
    evals = read_evals(path, benchmark="triage")
    assert cells(evals) == {"0": (1, 1), "1": (2, 1)}
    assert evals["tokens_mean"].values.tolist() == [100, 72.5]
    assert set(evals["model"].values) == {"openai:acme-1"}
    assert left_out(evals) == {
        "copies from the cache of an answer that is counted": 2,
        "errored before they were scored": 1,
    }
    cached = {"evalId": "e", "results": {"results": [promptfoo(0, True, 0, None)] * 3}}
    assert cells(read_evals(dump(path, cached), benchmark="b")) == {"0": (1, 1)}
    several = {"evalId": "e", "results": {"results": [promptfoo(0, True, 0, 1), promptfoo(0, False, 1, 1, prompt=1)]}}
    assert "holds 2 prompts (0, 1); pass prompt=" in refusal(dump(path, several), benchmark="b")
    assert cells(read_evals(path, benchmark="b", prompt=1)) == {"0": (1, 0)}


# --- HELM ---


def helm(instance: str, trial: int, **stats: float) -> dict[str, Any]:
    return {
        "instance_id": instance,
        "train_trial_index": trial,
        "stats": [{"name": {"name": name, "split": "test"}, "count": 1, "mean": mean} for name, mean in stats.items()],
    }


def test_helm(tmp_path: Path) -> None:
    tokens = {"num_completion_tokens": 5.0, "num_prompt_tokens": 333.0, "finish_reason_length": 0.0}
    entries = [helm("id147", trial, exact_match=mean, **tokens) for trial, mean in enumerate((1.0, 0.0, 1.0))]
    entries += [helm("id147", 0, exact_match=0.0) | {"perturbation": {"name": "robustness"}}]
    entries += [helm("id9", 0, exact_match=0.0, **tokens | {"finish_reason_length": 1.0})]
    folder = tmp_path / "run"
    path = dump(folder / "per_instance_stats.json", entries)
    assert "does not say its model and benchmark; pass model=, benchmark=" in refusal(path)
    dump(folder / "run_spec.json", {"name": "mmlu:subject=x,model=acme_1", "adapter_spec": {"model": "acme/1"}})
    evals = read_evals(folder)
    assert cells(evals) == {"id147": (3, 2), "id9": (1, 0)}
    assert set(evals["model"].values) == {"acme/1"}
    assert set(evals["benchmark"].values) == {"mmlu:subject=x"}
    assert evals["prompt_tokens"].values.tolist() == [999, 333]
    assert evals["truncated"].values.tolist() == [0, 1]
    assert left_out(evals) == {"perturbed copies of an instance": 1}
    dump(path, [helm("a", 0, exact_match=1.0, quasi_exact_match=1.0)])
    assert "2 metrics say whether an answer was right (exact_match, quasi_exact_match)" in refusal(path)
    assert cells(read_evals(path, metric="exact_match")) == {"a": (1, 1)}
    dump(path, [helm("a", 0, rouge=0.4)])
    assert "no metrics say whether an answer was right (rouge)" in refusal(path)
    assert "rouge of a, trial 0 is 0.4" in refusal(path, metric="rouge")


# --- OpenCompass ---


@pytest.mark.parametrize("form", ["list", "dict"])
def test_opencompass(tmp_path: Path, form: str) -> None:
    details: Any = [{"pred": "1", "answer": "1", "correct": True}, {"pred": "2", "answer": "1", "correct": False}]
    if form == "dict":
        details = {"type": "GEN", "0": details[0], "1": details[1] | {"correct": [False, True]}}
    content = {"accuracy": 50.0, "details": details}
    path = dump(tmp_path / "results" / "acme-1" / "gsm8k.json", content)
    evals = read_evals(path)
    assert cells(evals) == {"0": (1, 1), "1": (1, 0) if form == "list" else (2, 1)}
    assert (evals["model"].values[0], evals["benchmark"].values[0]) == ("acme-1", "gsm8k")
    path = dump(tmp_path / "gsm8k.json", content)
    assert "pass model=, benchmark=" in refusal(path)


# --- MathArena ---


def test_matharena(tmp_path: Path) -> None:
    rows = [
        {"problem_idx": "1", "problem": "long text", "model_name": "acme-1", "idx_answer": n, "answer": "text"}
        | {"input_tokens": 100, "output_tokens": 1000, "cost": 0.5, "gold_answer": "7", "parsed_answer": parsed}
        | {"correct": parsed == "7"}
        for n, parsed in enumerate(["7", "8", "8", None])
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "train.parquet")
    evals = read_evals(tmp_path / "train.parquet", benchmark="aime_2025")
    assert cells(evals) == {"1": (4, 1)}
    assert evals["wrong_answer_counts"].item() == "2"
    assert evals["no_answer"].item() == 1
    assert evals["cost_usd"].item() == 2.0
    assert "pass benchmark=" in refusal(tmp_path / "train.parquet")


# --- folders ---


def table(evals: Any) -> dict[tuple[str, str, str], tuple[int, int]]:
    columns = (evals[name].values.tolist() for name in ("model", "benchmark", "task", "attempts", "successes"))
    return {(model, benchmark, task): (n, c) for model, benchmark, task, n, c in zip(*columns, strict=True)}


def test_a_folder_of_helm_runs(tmp_path: Path) -> None:
    """Two LLMs on two benchmarks; one run was copied into another suite, and one was made again."""
    for suite, model, subject, score in [
        ("v1", "acme/1", "anatomy", 1.0),
        ("v1", "acme/1", "law", 0.0),
        ("v1", "org/2", "law", 1.0),
        ("copy", "acme/1", "anatomy", 1.0),
        ("v2", "acme/1", "law", 1.0),
    ]:
        name = f"mmlu:subject={subject},model={model.replace('/', '_')}"
        run = tmp_path / suite / name
        # Scores tell runs apart here, as answers and times do in real ones.
        entries = [helm("id1", 0, exact_match=score, words=len(subject) + len(model) + score)]
        dump(run / "per_instance_stats.json", entries)
        dump(run / "run_spec.json", {"name": name, "adapter_spec": {"model": model}})
        dump(run / "scenario_state.json", {"instances": []})
    evals = read_evals(tmp_path)
    assert table(evals) == {
        ("acme/1", "mmlu:subject=anatomy", "id1"): (1, 1),
        ("acme/1", "mmlu:subject=law", "id1"): (2, 1),
        ("org/2", "mmlu:subject=law", "id1"): (1, 1),
    }
    assert sum(left_out(evals).values()) == 1
    assert next(iter(left_out(evals))).startswith("in a copy of")
    account = json.loads(evals.attrs["account"])
    assert account["reader"] == "helm"
    assert len([path for path in account["sources"] if path.endswith("per_instance_stats.json")]) == 5


def test_a_folder_of_tau_bench_files(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "my order"}]
    half = [tau(0, 0, 1.0) | {"traj": said}]
    whole = [*half, tau(0, 1, 0.0) | {"traj": [*said, *said]}, tau(1, 0, 0.0, "RateLimitError")]
    name = "tool-calling-{}-0.0_range_0--1_user-gpt-4o-llm_0101.json"
    # A file that was copied while the run went on, the whole one, and a run of another LLM on another benchmark.
    dump(tmp_path / "retail" / "old" / name.format("acme-1"), half)
    dump(tmp_path / "retail" / name.format("acme-1"), whole)
    dump(tmp_path / "airline" / name.format("acme-2"), [tau(0, 0, 1.0)])
    (tmp_path / "notes.txt").write_text("of January")
    evals = read_evals(tmp_path, benchmark={"retail": "tau-retail", "air*": "tau-airline"})
    assert table(evals) == {("acme-1", "tau-retail", "0"): (2, 1), ("acme-2", "tau-airline", "0"): (1, 1)}
    assert left_out(evals) == {
        "crashed, which is written as reward 0": 1,
        "in entries that another file holds too": 1,
    }
    notes = json.loads(evals.attrs["account"])["notes"]
    assert any("Not read" in note and "notes.txt" in note for note in notes)
    assert "no key of benchmark= (retail) is a part of its path" in refusal(tmp_path, benchmark={"retail": "b"})
    assert "does not say its benchmark" in refusal(tmp_path)


def test_cached_answers_of_promptfoo_are_copies_across_files(tmp_path: Path) -> None:
    def answer(number: int, test: int, output: str, tokens: int | None) -> dict[str, Any]:
        entry = promptfoo(test, True, 0, tokens) | {"id": f"r{number}"}
        entry["response"]["output"] = output
        return entry

    first = [answer(1, 0, "yes", 100), answer(2, 1, "a b", 50)]
    # Later: a cached answer, a fresh one that says the same by chance, and the first file's own result again.
    again = [answer(3, 0, "yes", None), answer(4, 1, "a b", 60), first[1]]
    dump(tmp_path / "b.json", {"evalId": "1", "results": {"results": first}})
    dump(tmp_path / "a.json", {"evalId": "2", "results": {"results": again}})
    evals = read_evals(tmp_path, benchmark="triage")
    assert cells(evals) == {"0": (1, 1), "1": (2, 2)}
    assert left_out(evals) == {"in entries that another file holds too": 2}


def test_folders_of_other_recipes(tmp_path: Path) -> None:
    for model in ("acme-1", "acme-2"):
        content = {"accuracy": 50.0, "details": [{"pred": model, "answer": "1", "correct": model == "acme-1"}]}
        for benchmark in ("gsm8k", "aime"):
            dump(tmp_path / "oc" / "results" / model / f"{benchmark}.json", content | {"name": benchmark})
        dump(
            tmp_path / "ep" / f"{model}_eval_results.json", evalplus(T_0=[("pass", "pass")] * (1 + (model > "acme-1")))
        )
    assert table(read_evals(tmp_path / "oc")) == {
        (model, benchmark, "0"): (1, int(model == "acme-1"))
        for model in ("acme-1", "acme-2")
        for benchmark in ("gsm8k", "aime")
    }
    named = read_evals(tmp_path / "ep", model={"acme-1_*": "one", "acme-2_*": "two"})
    assert table(named) == {("one", "T", "T/0"): (1, 1), ("two", "T", "T/0"): (2, 2)}
    rows = [
        {"problem_idx": "1", "model_name": "acme-1", "idx_answer": n, "parsed_answer": "7", "correct": n < 2}
        for n in range(3)
    ]
    (tmp_path / "ma").mkdir()
    for name in ("aime", "hmmt"):
        pd.DataFrame(rows).assign(answer=name).to_parquet(tmp_path / "ma" / f"{name}.parquet")
    evals = read_evals(tmp_path / "ma", benchmark={"aime*": "aime", "hmmt*": "hmmt"})
    assert table(evals) == {("acme-1", "aime", "1"): (3, 2), ("acme-1", "hmmt", "1"): (3, 2)}


# --- all ---


@pytest.mark.parametrize("name", list(READERS))
def test_readers_say_what_they_read_and_never_raise_on_others(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    assert reader.title
    (tmp_path / "x").write_bytes(b"\0\xff")
    for path in (tmp_path / "x", tmp_path, tmp_path / "absent"):
        assert reader.recognises(path) is False


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ([{"task_id": [1], "reward": 1, "info": {}, "traj": []}], {"benchmark": "b", "model": "m"}),
        ([{"task_id": 1, "reward": 1, "info": {}, "traj": []}, 7], {"benchmark": "b", "model": "m"}),
        ({"eval": {"a": 7, "base_status": 1}}, {"model": "m"}),
        ({"eval": [], "base_status": 1}, {"model": "m"}),
        ({"evalId": 1, "results": {"results": [7]}}, {"benchmark": "b"}),
        ({"evalId": 1, "results": []}, {"benchmark": "b"}),
        ({"evalId": 1, "results": {"results": []}}, {"benchmark": "b"}),
        ([{"instance_id": 1, "train_trial_index": 0, "stats": [{"name": 3}]}], {"model": "m", "benchmark": "b"}),
        ({"details": {"0": {"correct": "maybe"}}}, {"model": "m", "benchmark": "b"}),
        ({"trial_name": 1, "task_id": None, "is_resolved": True}, {"model": "m"}),
    ],
)
def test_results_at_fault(tmp_path: Path, content: Any, options: dict[str, Any]) -> None:
    assert refusal(dump(tmp_path / "a.json", content), **options)
