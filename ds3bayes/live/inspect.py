"""`StopWhenDecided`: stopping early inside Inspect (inspect-ai), which is not imported before it runs an evaluation."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, final

import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import to_table
from ds3bayes.evals.readers.inspect_attempts import grade_of_score
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.live.questions import Question
from ds3bayes.live.replay import arm_names, tokens_of
from ds3bayes.live.stopper import Stopper, options_of

if TYPE_CHECKING:
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalSpec
    from inspect_ai.scorer import SampleScore
    from inspect_ai.util import EarlyStop


@final
class StopWhenDecided:
    """An early stopping manager for a Task of Inspect: attempts that the answer does not need are not run.

    ``Task(..., epochs=16, early_stopping=StopWhenDecided(Success(within=0.02)))``. Epochs are the most attempts that a
    sample gets. To compare LLMs, give one manager to all of their evaluations (``eval(task, model=[...])``), or the
    evaluations of those that ran before by ``evals``.

    Parameters
    ----------
    question : Question
        `Success`, `Better`, `Best` or `Cheapest`; its options name LLMs as Inspect does (``"openai/gpt-5"``), with or
        without what stands before the first slash.
    evals : xarray.Dataset, optional
        From `read_evals`: attempts at these tasks that were made before.
    scorer : str, optional
        Whose score says whether an attempt succeeded, needed where samples have several.
    success : float or "full", optional
        From which score on an attempt is a success, needed where there is partial credit; as for `read_inspect`.
    first_epochs : int, default 2
        Attempts at every sample before anything is left out; see `Stopper`. 0 is right only for a shuffled dataset.
    background : bool, default True
        Refit in a thread beside the evaluation. If not, the evaluation waits for each refit: as seldom useful as in a
        test, where what is run shall not depend on how fast the machine is.
    spec, growth, draws, seed
        As for `Stopper`.

    Raises
    ------
    InputError
        If the question's options cannot be told from the results of attempts; at the start of an evaluation, if its
        LLM is none that the question is about or its samples are not those of the evaluations before it.

    Notes
    -----
    In the log, ``results.early_stopping`` holds each sample that was left out, with the reason, and in its metadata the
    answer, the state (``"decided"``, ``"cannot be decided"`` or ``"open"``), attempts made and left out by reason,
    refits, and what failed. Inspect's own accuracy of such a log is a mean over what was run, which is biased: tasks of
    uncertain success get more attempts. Read the log by `read_inspect` and fit it: which attempts are missing depends
    on results that are in the log, and on nothing else, so the posterior is that of any other log.

    Attempts in flight when a decision falls are finished. Samples that end in an error count as no attempt. If a refit
    fails, the evaluation goes on with what was known before it, and the log says so.

    References
    ----------
    Rubin (1976), Biometrika 63: when the process that causes missing data can be ignored.

    Examples
    --------
    >>> from ds3bayes.live import Better, StopWhenDecided
    >>> stop = StopWhenDecided(Better(option="acme/large", than="acme/small", by=0.02))
    """

    def __init__(
        self,
        question: Question,
        *,
        evals: xr.Dataset | None = None,
        scorer: str | None = None,
        success: float | Literal["full"] | None = None,
        first_epochs: int = 2,
        background: bool = True,
        spec: ModelSpec | None = None,
        growth: float = 1.5,
        draws: int = 400,
        seed: int = 0,
    ) -> None:
        if success is not None and success != "full" and not math.isfinite(float(success)):
            raise InputError(f"success = {success!r}; allowed: a number, or 'full'")
        if any(question.names):
            options_of(question, None)
        self.question = question
        self._evals, self._scorer, self._rule = evals, scorer, success
        self._settings: dict[str, Any] = {
            "spec": spec,
            "first_epochs": first_epochs,
            "growth": growth,
            "draws": draws,
            "seed": seed,
        }
        self._background = background
        self._stopper: Stopper | None = None
        # Of which arm the running evaluation is: Inspect does not say it with each sample, and two may run at once.
        self._arm: ContextVar[str] = ContextVar(f"arm of {id(self)}")
        self._running: set[tuple[str, str, int]] = set()
        self._models: dict[str, str] = {}
        self._notes: dict[str, int] = {}
        self._refitting: threading.Thread | None = None

    # --- what Inspect calls ---

    async def start_task(self, task: EvalSpec, samples: list[Sample], epochs: int) -> str:
        """Take over the plan of an evaluation."""
        model, names = str(task.model), [str(sample.id) for sample in samples]
        if self._stopper is None:
            arms = [model] if self.question.names == ("",) else options_of(self.question, None)[0]
            self._stopper = Stopper(self.question, tasks=names, epochs=epochs, arms=arms, **self._settings)
            self._take_over()
        elif set(names) != set(self._stopper.tasks) or epochs != self._stopper.epochs:
            raise InputError(
                f"StopWhenDecided: the evaluation of {model} has {len(names)} samples and {epochs} epochs, that before "
                f"it {len(self._stopper.tasks)} and {self._stopper.epochs}; evaluations that share a manager must be "
                "of the same samples, as often"
            )
        arm = _arm_of(model, self._stopper.arms)
        if arm is None:
            raise InputError(
                f"StopWhenDecided: {model} is not what the question is about; its options: "
                f"{', '.join(self._stopper.arms)}." + did_you_mean(model, self._stopper.arms)
            )
        self._models[arm] = model
        self._arm.set(arm)
        return "ds3bayes.live.StopWhenDecided"

    async def schedule_sample(self, id: str | int, epoch: int) -> EarlyStop | None:
        """Say whether an attempt is left out, and why."""
        assert self._stopper is not None, "Inspect starts a task before its samples"
        arm, name = self._arm.get(), str(id)
        if (arm, name, epoch) in self._running:
            # Inspect asks again before it retries a sample that failed.
            return None
        found = self._stopper.offer(arm, name)
        if found.run:
            self._running.add((arm, name, epoch))
            return None
        from inspect_ai.util import EarlyStop

        answer = self._stopper.answer
        told: dict[str, Any] = {"gain": found.gain, "p_right": None if answer is None else answer.p_right}
        return EarlyStop(id=id, epoch=epoch, reason=found.why, metadata=told)

    async def complete_sample(self, id: str | int, epoch: int, scores: Mapping[str, SampleScore]) -> None:
        """Take over the result of an attempt."""
        assert self._stopper is not None, "Inspect starts a task before its samples"
        arm, name = self._arm.get(), str(id)
        if (arm, name, epoch) not in self._running:
            # A sample of an earlier, interrupted run of this evaluation, which Inspect takes over.
            self._stopper.take(arm, name)
        self._running.discard((arm, name, epoch))
        success = self._success(scores)
        if success is None:
            self._stopper.lost(arm, name)
            return
        self._stopper.observe(arm, name, success, _tokens_of_sample(self._models[arm]))
        if self._stopper.needs_refit:
            self._refit()

    async def complete_task(self) -> dict[str, Any]:
        """Return what was done and what is answered, for the log."""
        assert self._stopper is not None, "Inspect starts a task before it completes it"
        arm = self._arm.get()
        self._stopper.close(arm)
        self._running = {one for one in self._running if one[0] != arm}
        import anyio

        # The last word is that of all attempts; the evaluation has nothing else to do.
        await anyio.to_thread.run_sync(self._finish)
        report = self._stopper.report()
        return report | {"notes": [f"{text} ({count} times)" for text, count in self._notes.items()]}

    # --- what it does ---

    def _take_over(self) -> None:
        """Take over earlier evaluations; an LLM with them may run again, or not."""
        if self._evals is None:
            return
        assert self._stopper is not None
        table = to_table(self._evals)
        known, left = set(self._stopper.tasks), 0
        rows = zip(
            arm_names(table),
            table["task"].astype(str),
            table["successes"],
            table["attempts"],
            tokens_of(table),
            strict=True,
        )
        for name, task, successes, attempts, spent in rows:
            arm = _arm_of(name, self._stopper.arms)
            if arm is None or task not in known:
                left += 1
                continue
            self._stopper.observe_counts(arm, task, int(successes), int(attempts), float(spent) or None)
        if left:
            self._notes[f"{left} rows of evals are of other LLMs or tasks"] = 1

    def _success(self, scores: Mapping[str, SampleScore]) -> bool | None:
        """Return whether an attempt succeeded, None where that is open, which is noted."""
        name = self._scorer or next(iter(scores), "")
        if name not in scores or (self._scorer is None and len(scores) > 1):
            self._note(f"which score counts is open; pass scorer=, one of: {', '.join(scores)}")
            return None
        value = scores[name].score.value
        grade, _ = grade_of_score(value)
        if math.isnan(grade):
            self._note(f"a score of {name} is neither a number nor a letter")
            return None
        if self._rule is None and math.isfinite(grade) and grade not in (0.0, 1.0):
            self._note(f"{name} gives partial credit; pass success=")
            return None
        return grade >= (1.0 if self._rule in (None, "full") else float(self._rule))  # type: ignore[arg-type]

    def _note(self, text: str) -> None:
        self._notes[text] = self._notes.get(text, 0) + 1

    def _refit(self) -> None:
        assert self._stopper is not None
        if not self._background:
            self._stopper.refit()
        elif self._refitting is None or not self._refitting.is_alive():
            self._refitting = threading.Thread(target=self._stopper.refit, name="ds3bayes refit", daemon=True)
            self._refitting.start()

    def _finish(self) -> None:
        assert self._stopper is not None
        if self._refitting is not None:
            self._refitting.join()
        if self._stopper.can_refit and not self._stopper.is_fresh:
            self._stopper.refit()


def _arm_of(model: str, arms: list[str]) -> str | None:
    """Return the arm that an LLM's name means: as it is, or without the provider."""
    if model in arms:
        return model
    short = model.partition("/")[2]
    found = [arm for arm in arms if arm == short or arm.partition("/")[2] == model]
    return found[0] if len(found) == 1 else None


def _tokens_of_sample(model: str) -> float | None:
    """Return the output tokens of the sample that is being completed, None where Inspect does not tell."""
    try:
        # Not public, and so not relied on: prices are then counted in attempts.
        from inspect_ai.model._model import sample_model_usage

        usage = sample_model_usage().get(model)
        return None if usage is None else float(usage.output_tokens)
    except (ImportError, AttributeError, LookupError):
        return None
