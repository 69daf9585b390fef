"""Logs that land one after the other, and what is said of them."""

import gc
import json
import shutil
import warnings

import jsonschema
import numpy as np
import pandas as pd
import pytest

import ds3bayes as ds3
from ds3bayes.answers import schema
from ds3bayes.cli import main
from ds3bayes.live.watch import Trouble, Update, watch

SPEC = ds3.ModelSpec.from_dict({"sampling": {"draws": 150, "tune": 150, "chains": 2}})


def table(name: str, right: int, attempts: int = 8, tasks: int = 12) -> pd.DataFrame:
    """Return attempts, of which so many and a few more are right at each task."""
    draws = np.random.default_rng(right)
    rows = [
        {
            "task": f"t{task}",
            "success": int(attempt < right + task % 3),
            "completion_tokens": int(draws.lognormal(5.0 + task / 20, 0.3)),
        }
        for task in range(tasks)
        for attempt in range(attempts)
    ]
    return pd.DataFrame(rows).assign(model=name, benchmark="b")


class Landing:
    """Logs that land, one at each look."""

    def __init__(self, folder, logs):
        self.folder, self.logs = folder, list(logs)

    def __call__(self, seconds):
        assert seconds > 0
        if not self.logs:
            return False
        name, content = self.logs.pop(0)
        if isinstance(content, pd.DataFrame):
            content.to_csv(self.folder / name, index=False)
        elif isinstance(content, bytes):
            (self.folder / name).write_bytes(content)
        else:
            shutil.copy(content, self.folder / name)
        return True


@pytest.mark.filterwarnings("ignore::ds3bayes.FitWarning")
def test_answers_follow_the_logs(tmp_path):
    logs = [
        ("a.csv", table("weak", 2)),
        ("b.csv", table("strong", 5)),
        ("c.csv", b"model,benchmark\nx,y\n"),
    ]
    found = list(watch(tmp_path, SPEC, wait=Landing(tmp_path, logs)))
    # Nothing is said of an empty folder.
    assert [type(one) for one in found] == [Update, Update, Trouble]
    first, second, bad = found
    assert (first.logs, first.attempts, first.changed) == (1, 96, True)
    assert "Best at any cost: cot" in first.line
    assert not first.done
    assert "times the attempts made so far" in first.next
    assert (second.logs, second.attempts, second.changed) == (2, 192, True)
    assert "strong" in second.line
    assert second.done
    assert "othing more is worth running" in second.next or "is worth its cost" in second.next
    assert "c.csv" in bad.line


@pytest.mark.filterwarnings("ignore::ds3bayes.FitWarning")
def test_two_that_are_alike_are_worth_running(tmp_path):
    table("one", 3).to_csv(tmp_path / "a.csv", index=False)
    table("two", 3).iloc[::-1].to_csv(tmp_path / "b.csv", index=False)
    (found,) = watch(tmp_path, SPEC, wait=lambda _: False)
    assert "Next run" in found.next
    assert not found.done


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(ds3.InputError, match="is no folder"):
        next(watch(tmp_path / "none"))
    with pytest.raises(ds3.InputError, match="every must be positive"):
        next(watch(tmp_path, every=0.0))


@pytest.mark.filterwarnings("ignore::ds3bayes.FitWarning")
def test_logs_of_inspect_wait_until_they_are_finished(tmp_path):
    inspect_ai = pytest.importorskip("inspect_ai")
    from inspect_ai import Task
    from inspect_ai.dataset import Sample
    from inspect_ai.log import read_eval_log, write_eval_log
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import includes

    from ds3bayes.live import StopWhenDecided, Success

    draws = np.random.default_rng(1)

    def output(*_):
        made = ModelOutput.from_content(model="model", content="yes" if draws.random() < 0.6 else "no")
        tokens = int(draws.lognormal(5.0, 0.4))
        made.usage = ModelUsage(input_tokens=10, output_tokens=tokens, total_tokens=10 + tokens)
        return made

    llm = get_model("mockllm/model", custom_outputs=output, memoize=False)
    task = Task(
        dataset=[Sample(id=number, input=str(number), target="yes") for number in range(8)],
        scorer=includes(),
        name="toy",
        early_stopping=StopWhenDecided(Success(within=0.15), background=False),
    )
    quiet = {"display": "none", "log_level": "error", "log_realtime": False, "max_samples": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (log,) = inspect_ai.eval(task, model=llm, epochs=16, log_dir=str(tmp_path / "made"), **quiet)
        # Inspect leaves a listing of the folder open: closed here, where that is not warned of.
        gc.collect()
    whole = tmp_path / "made" / "whole.eval"
    made = read_eval_log(log.location)
    write_eval_log(made, str(whole))
    made.status = "started"
    started = tmp_path / "started.eval"
    write_eval_log(made, str(started))
    folder = tmp_path / "logs"
    folder.mkdir()
    logs = [("run.eval", whole.read_bytes()[:400]), ("run.eval", started), ("run.eval", whole)]
    found = list(watch(folder, SPEC, wait=Landing(folder, logs)))
    assert [type(one) for one in found] == [Trouble, Trouble, Update], found[-1].line
    assert "not whole" in found[0].waiting[0] or "damaged" in found[0].waiting[0]
    assert "its status is 'started'" in found[1].waiting[0]
    assert found[2].attempts == len(made.samples) < 8 * 16
    assert found[2].waiting == ()


@pytest.mark.filterwarnings("ignore::ds3bayes.FitWarning")
def test_the_command(tmp_path, capsys, monkeypatch):
    table("weak", 2).to_csv(tmp_path / "a.csv", index=False)
    table("strong", 5).to_csv(tmp_path / "b.csv", index=False)
    out = tmp_path.parent / f"{tmp_path.name}-out"
    monkeypatch.setattr(
        "sys.argv",
        ["ds3bayes", "watch", str(tmp_path), "-o", str(out), "--once", "--json", "--draws", "150"],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    told = json.loads(capsys.readouterr().out)
    jsonschema.validate(told, schema("watch"))
    assert told["changed"]
    assert told["done"]
    assert "strong" in told["line"]
    assert "strong" in (out / "report.html").read_text()
    assert ds3.load(out / "run.nc")["posterior"].sizes["draw"] == 150


def test_a_report_among_the_logs_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["ds3bayes", "watch", str(tmp_path), "-o", str(tmp_path), "--once"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "among the logs" in capsys.readouterr().err
