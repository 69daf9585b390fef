"""Write real logs of Inspect, by inspect-ai with mock LLMs, into a folder: what the tests of the reader read."""

import json
import math
import sys
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspect_ai
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, ProvenanceData, edit_score, invalidate_samples, read_eval_log, write_eval_log
from inspect_ai.log._recorders.chunked import convert_eval_logs_to_chunked
from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, get_model, modelapi
from inspect_ai.scorer import Score, ScoreEdit, Scorer, includes, match, mean, model_graded_qa, scorer
from inspect_ai.solver import Solver, generate, solver, system_message

#: Ids of tasks that only look alike, and one that looks like a path.
IDS: list[int | str] = [7, "007", "algebra/12"]
QUIET: dict[str, Any] = {
    "display": "none",
    "log_level": "error",
    "max_samples": 1,
    "max_tasks": 1,
    "log_realtime": False,
    "retry_on_error": 0,
}


def run(folder: Path, task: Task, model: Model | str, **options: Any) -> EvalLog:
    """Evaluate a task, and return its log, which lies in the folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (log,) = inspect_ai.eval(task, model=model, log_dir=str(folder), **{**QUIET, **options})
    return log


def retry(folder: Path) -> list[Path]:
    """Return a log that crashed, and that of its retry."""
    CRASHING.add(("q1", 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (crashed,) = inspect_ai.eval(resumed(), model="plain/counted", epochs=2, log_dir=str(folder), **QUIET)
        finally:
            CRASHING.clear()
        (whole,) = inspect_ai.eval_retry(crashed, log_dir=str(folder), display="none", log_level="error")
    return [Path(crashed.location), Path(whole.location)]


def mock(
    name: str, answer: Callable[[str, int], tuple[str, int]], *, cached: int = 0, stop: str = "stop", **config: Any
) -> Model:
    """Return an LLM that answers an input, the how manieth time, by a text of so many output tokens."""
    asked: Counter[str] = Counter()

    def output(messages: list[Any], *_: Any) -> ModelOutput:
        asked[messages[-1].text] += 1
        text, tokens = answer(messages[-1].text, asked[messages[-1].text])
        made = ModelOutput.from_content(model=name, content=text, stop_reason="max_tokens" if text == "..." else stop)
        made.usage = ModelUsage(
            input_tokens=10,
            output_tokens=tokens,
            total_tokens=10 + tokens + cached,
            input_tokens_cache_read=cached or None,
        )
        return made

    return get_model(f"mockllm/{name}", config=GenerateConfig(**config), custom_outputs=output, memoize=False)


def task(name: str, ids: list[int | str], scorers: Any, solvers: Any = None, **options: Any) -> Task:
    """Return a task whose samples have their id as input."""
    samples = [Sample(id=one, input=f"{name} {one!r}", target="yes") for one in ids]
    return Task(dataset=samples, solver=solvers or generate(), scorer=scorers, name=name, **options)


@modelapi(name="plain")
class Plain(ModelAPI):
    """An LLM that answers "yes" and, unless its name is "counted", does not say of how many tokens."""

    async def generate(self, *_: Any, **__: Any) -> ModelOutput:
        made = ModelOutput.from_content(model=self.model_name, content="yes")
        if self.model_name == "counted":
            made.usage = ModelUsage(input_tokens=10, output_tokens=100, total_tokens=110)
        return made


@scorer(metrics=[mean()])
def given(values: dict[Any, list[Any]]) -> Scorer:
    """Score the epochs of samples by given values."""

    async def score(state: Any, target: Any) -> Score:
        return Score(value=values[state.sample_id][state.epoch - 1])

    return score


@solver
def failing(bad: set[tuple[Any, int]] | None = None) -> Solver:
    """Fail for some (id, epoch), after the LLM answered."""

    async def solve(state: Any, generate: Any) -> Any:
        state = await generate(state)
        if (state.sample_id, state.epoch) in (CRASHING if bad is None else bad):
            raise RuntimeError("server gone")
        return state

    return solve


#: Where the LLM of `resumed` crashes.
CRASHING: set[tuple[Any, int]] = set()


@inspect_ai.task
def resumed() -> Task:
    """Crash, or not when retried."""
    samples = [Sample(id=f"q{number}", input="?", target="yes") for number in range(3)]
    return Task(dataset=samples, solver=failing(), scorer=includes())


#: What the LLMs of the grid answered, by LLM, effort and input.
ANSWERS: dict[str, list[tuple[str, int]]] = {}


def grid_answer(key: str, epoch: int) -> tuple[str, int]:
    """Return an answer that looks like chance, and its tokens."""
    code = zlib.crc32(f"{key} {epoch}".encode())
    answer = ("yes" if code % 3 else "no"), 50 + code % 400
    ANSWERS.setdefault(key, []).append(answer)
    return answer


def write_all(root: Path) -> None:
    """Write a folder of logs of each kind."""
    for model in ("alpha", "org/beta"):
        for effort in ("low", "high"):
            for number, name in enumerate(("sums", "riddles")):

                def answer(text: str, epoch: int, model: str = model, effort: str = effort) -> tuple[str, int]:
                    return grid_answer(f"{model} {effort} {text}", epoch)

                # The effort is in any of three places of a log.
                where = {"reasoning_effort": effort}
                solver = [generate(**where)] if number else None
                config = where if not number and effort == "high" else {}
                task_config = {} if number or effort == "high" else where
                llm = mock(model, answer, cached=1000, **config)
                one = task(name, IDS[: 3 - number], match(), solver)
                run(root / "grid", one, llm, epochs=5, **task_config)

    def plain(text: str, epoch: int) -> tuple[str, int]:
        return ("yes" if epoch % 2 else "no"), 100 * epoch

    run(root / "once", task("once", IDS, match()), mock("a", plain), epochs=3)
    run(root / "json", task("once", IDS, match()), mock("a", plain), epochs=3, log_format="json")
    bad = {("q1", 2), *(("q2", epoch) for epoch in (1, 2, 3))}
    one = task("err", ["q0", "q1", "q2"], match(), failing(bad))
    run(root / "errors", one, mock("a", plain), epochs=3, fail_on_error=False)
    one = task("err", ["q0"], match(), failing({("q0", 1)}))
    run(root / "scored", one, mock("a", plain), epochs=2, fail_on_error=False, score_on_error=True)
    (root / "retry").mkdir()
    retry(root / "retry")
    values = {"q0": ["C", "P", "I", "N"], "q1": ["P", "P", "C", "I"]}
    run(root / "graded", task("graded", [*values], given(values)), mock("a", plain), epochs=4)
    values = {"q0": [1, 0.5, math.nan, 0.25], "q1": [0.0, True, "1", "yes"]}
    run(root / "nan", task("nan", [*values], given(values)), mock("a", plain), epochs=4)
    values = {"q0": [10, 7, 3, 0]}
    run(root / "rubric", task("rubric", [*values], given(values)), mock("a", plain), epochs=4)
    judge = mock("judge", lambda text, epoch: ("GRADE: C", 700))
    values = {"q0": [{"right": 0, "style": 0.5}, {"right": 1, "style": None}], "q1": [{"right": 1, "style": 1}] * 2}
    scorers = [match(), model_graded_qa(model=judge), given(values)]
    run(root / "several", task("several", ["q0", "q1"], scorers), mock("a", plain), epochs=2)

    def own(text: str, epoch: int) -> tuple[str, int]:
        return ("GRADE: C", 700) if "GRADE" in text else ("yes", 10)

    run(root / "self", task("self", ["q0"], model_graded_qa()), mock("a", own), epochs=2)
    grader = mock("a", own)
    one = task("role", ["q0"], model_graded_qa())
    run(root / "role", one, mock("a", own), epochs=2, model_roles={"grader": grader})
    log = run(root / "edited", task("edited", ["q0"], match()), mock("a", plain), epochs=4)
    path = log.location
    log = read_eval_log(path)
    edit_score(log, "q0", "match", ScoreEdit(value="C", provenance=ProvenanceData(author="p", reason="typo")), epoch=2)
    log = invalidate_samples(log, [log.samples[3].uuid], ProvenanceData(author="p"))
    write_eval_log(log, path)

    def cut(text: str, epoch: int) -> tuple[str, int]:
        return ("...", 4096) if epoch == 2 else ("yes", 900)

    run(root / "cut", task("cut", ["q0"], match()), mock("a", cut, max_tokens=4096), epochs=3)
    # A solver's limit goes before that of the LLM; what makes several calls is not cut as a whole by either.
    for name, solvers in (("solver_cut", [generate(max_tokens=950)]), ("calls", [generate(), generate()])):
        run(root / name, task("cut", ["q0"], match(), solvers), mock("a", plain, max_tokens=1000), epochs=8)

    def long(text: str, epoch: int) -> tuple[str, int]:
        return "yes", 900 if epoch == 2 else 300

    run(root / "limit", task("limit", ["q0"], match()), mock("a", long), epochs=3, token_limit=500)
    run(root / "usage", task("usage", ["q0"], match()), "plain/silent")
    for level in (1, 2):
        one = task("args", ["q0"], match())
        run(root / "args", one, mock("a", plain, reasoning_tokens=1000), epochs=level)
    for solver in ([generate()], [system_message("Think."), generate()]):
        run(root / "solvers", task("solvers", ["q0"], match(), solver), mock("a", plain))
    convert_eval_logs_to_chunked(str(root / "once"), str(root / "chunked"))
    (root / "truth").mkdir()
    (root / "truth" / "answers.json").write_text(json.dumps(ANSWERS), encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
