"""Real evaluations of mock LLMs by Inspect, stopped early."""

import gc
import random
import warnings
import zlib

import numpy as np
import pytest

import ds3bayes as ds3
from ds3bayes.live import Better, StopWhenDecided, Success
from ds3bayes.live import stopper as module

inspect_ai = pytest.importorskip("inspect_ai")

SUCCESS = {"strong": [0.0, 1.0, 1.0, 1.0, 0.5, 0.9], "weak": [0.0, 0.2, 0.5, 0.1, 0.0, 0.3]}
QUIET = {"display": "none", "log_level": "error", "log_realtime": False, "max_samples": 2, "max_tasks": 2}


def llm(name: str, fails=()):
    """Return an LLM that answers each task with a known probability, in 50 tokens; the first attempts at some fail."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    draws = random.Random(zlib.crc32(name.encode()))
    failing = set(fails)

    def output(messages, *_):
        task = int(messages[-1].text)
        if task in failing:
            failing.discard(task)
            raise RuntimeError("server gone")
        right = draws.random() < SUCCESS[name][task % 6]
        made = ModelOutput.from_content(model=name, content="yes" if right else "no")
        made.usage = ModelUsage(input_tokens=10, output_tokens=50, total_tokens=60)
        return made

    return get_model(f"mockllm/{name}", custom_outputs=output, memoize=False)


def evaluate(folder, stop, *llms, samples=12, epochs=16, score=None, **options):
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import includes

    data = [Sample(id=number, input=str(number), target="yes") for number in range(samples)]
    task = Task(dataset=data, scorer=score or includes(), name="toy", epochs=epochs, early_stopping=stop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logs = inspect_ai.eval(task, model=list(llms), log_dir=str(folder), **{**QUIET, **options})
        # Inspect leaves a listing of the folder open: closed here, where that is not warned of.
        gc.collect()
    return logs


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Return the log of an evaluation that was stopped, and its manager."""
    stop = StopWhenDecided(Success(within=0.06), background=False)
    (log,) = evaluate(tmp_path_factory.mktemp("logs"), stop, llm("strong"), epochs=32)
    return log, stop


def test_inspect_reads_the_log(stopped):
    from inspect_ai.log import read_eval_log

    log = read_eval_log(stopped[0].location)
    assert log.status == "success"
    early = log.results.early_stopping
    assert early.manager == "ds3bayes.live.StopWhenDecided"
    assert len(log.samples) + len(early.early_stops) == log.results.total_samples == 12 * 32
    assert 12 <= len(log.samples) < 12 * 32 / 2
    told = early.metadata
    assert told["state"] == "decided"
    assert told["answer"]["decided"]
    assert told["answer"]["p_right"] >= 0.9
    assert told["attempts"] == {"mockllm/strong": len(log.samples)}
    assert sum(told["skipped"].values()) == len(early.early_stops)
    assert {one.reason for one in early.early_stops} == set(told["skipped"])
    assert told["refits"] >= 1
    assert told["failures"] == told["notes"] == []
    # Of tasks whose success is certain fewer attempts are made.
    made = np.bincount([sample.id % 6 for sample in log.samples])
    assert made[4] > made[1:4].max()


def test_the_log_is_read_without_bias(stopped, short_fit):
    log, stop = stopped
    evals = ds3.read_inspect(log.location)
    assert int(evals["attempts"].sum()) == len(log.samples)
    successes, attempts = stop._stopper.counts
    by_task = evals[["successes", "attempts"]].to_dataframe().groupby(evals["task"].values.astype(int)).sum()
    np.testing.assert_array_equal(by_task["attempts"], attempts[0])
    np.testing.assert_array_equal(by_task["successes"], successes[0])
    # All that the manager knew is in the log: a fit of it answers the same, but for the noise of draws.
    table = evals.to_dataframe()[["model", "benchmark", "task", "strategy", "attempts", "successes"]]
    success = ds3.predict(short_fit(ds3.read_evals(table), draws=500, tune=300))["success"].values.ravel()
    answer = stop._stopper.answer
    noise = 4 * success.std() * np.sqrt(1 / 100 + 1 / 300)
    assert success.mean() == pytest.approx(answer.estimate, abs=noise)
    assert success.std() == pytest.approx((answer.upper - answer.lower) / 3.29, rel=0.25)
    truth = np.mean(SUCCESS["strong"])
    assert abs(answer.estimate - truth) < 4 * success.std()


def test_tokens_are_seen(stopped):
    log, stop = stopped
    assert stop._stopper.tokens == 50 * len(log.samples)


def test_llms_side_by_side_are_told_apart(tmp_path):
    stop = StopWhenDecided(Better(option="mockllm/strong", than="weak", by=0.1))
    logs = evaluate(tmp_path, stop, llm("strong"), llm("weak"), epochs=40)
    assert [log.status for log in logs] == ["success", "success"]
    told = max((log.results.early_stopping.metadata for log in logs), key=lambda one: sum(one["attempts"].values()))
    made = {log.eval.model: len(log.samples) for log in logs}
    assert told["attempts"] == {"mockllm/strong": made["mockllm/strong"], "weak": made["mockllm/weak"]}
    assert told["answer"]["choice"] == "yes"
    assert told["state"] == "decided"
    successes, attempts = stop._stopper.counts
    rate = successes.sum(axis=1) / attempts.sum(axis=1)
    assert rate[0] > rate[1]


def test_an_earlier_log_is_the_baseline(tmp_path):
    (before,) = evaluate(tmp_path / "before", None, llm("weak"), epochs=4)
    question = Better(option="mockllm/strong", than="mockllm/weak")
    stop = StopWhenDecided(question, evals=ds3.read_evals(before.location), background=False)
    (log,) = evaluate(tmp_path / "after", stop, llm("strong"))
    told = log.results.early_stopping.metadata
    assert told["attempts"] == {"mockllm/strong": len(log.samples), "mockllm/weak": 48}
    assert told["state"] == "decided"
    assert len(log.samples) < 12 * 16 / 2


def test_failures_do_not_end_an_evaluation(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no machine")

    monkeypatch.setattr(module, "learn_population", fail)
    stop = StopWhenDecided(Success(within=0.1), background=False)
    (log,) = evaluate(tmp_path, stop, llm("strong", fails=[3]), samples=6, epochs=3, fail_on_error=False)
    assert log.status == "success"
    told = log.results.early_stopping.metadata
    # The sample that failed counts as no attempt, and nothing was left out.
    assert told["attempts"] == {"mockllm/strong": 6 * 3 - 1}
    assert told["answer"] is None
    assert told["state"] == "open"
    assert told["skipped"] == {}
    assert "no machine" in told["failures"][0]


def test_scores_that_are_open_are_told(tmp_path):
    from inspect_ai.scorer import Score, mean, scorer

    @scorer(metrics=[mean()])
    def half():
        async def score(state, target):
            return Score(value=0.5)

        return score

    stop = StopWhenDecided(Success(within=0.1))
    (log,) = evaluate(tmp_path, stop, llm("strong"), samples=3, epochs=2, score=half())
    told = log.results.early_stopping.metadata
    assert told["notes"] == ["half gives partial credit; pass success= (6 times)"]
    assert told["attempts"] == {"mockllm/strong": 0}
    stop = StopWhenDecided(Success(within=0.1), success=0.5)
    (log,) = evaluate(tmp_path, stop, llm("strong"), samples=3, epochs=2, score=half())
    assert stop._stopper.counts[0].sum() == log.results.early_stopping.metadata["attempts"]["mockllm/strong"] > 0


def test_an_llm_that_is_not_asked_about(tmp_path):
    stop = StopWhenDecided(Better(option="mockllm/strong", than="mockllm/stronger"))
    (log,) = evaluate(tmp_path, stop, llm("weak"), samples=3, epochs=2)
    assert log.status == "error"
    assert "mockllm/weak is not what the question is about" in log.error.message


def test_a_bad_rule():
    with pytest.raises(ds3.InputError, match="success = nan"):
        StopWhenDecided(Success(), success=float("nan"))
    with pytest.raises(ds3.InputError, match="does not follow"):
        StopWhenDecided(Better(option="a | majority(n=5)", than="b"))
