"""Real logs of Inspect, written by inspect-ai with its mock LLM: what the tests of the reader read."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspect_ai
from inspect_ai import Task
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, get_model, modelapi
from inspect_ai.scorer import Score, Scorer, includes, mean, scorer
from inspect_ai.solver import Solver, generate, solver

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
