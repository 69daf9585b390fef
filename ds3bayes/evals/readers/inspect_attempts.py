"""Attempts in logs of Inspect: how each was scored, what it took, and what is open about them."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.readers.base import Account
from ds3bayes.evals.readers.grades import check_full_credit, grades_of
from ds3bayes.evals.readers.inspect_logs import UNWRITABLE, Log, Part, damaged, line, samples_of, short
from ds3bayes.evals.readers.parts import PartError
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

Errors = Literal["leave_out", "count_wrong", "refuse"]
Rule = float | Literal["full"]
#: Output tokens, prompt tokens and cost; NaN where not known.
Tokens = tuple[float, float, float]
#: Distinct values that a message shows.
SHOWN = 12
_INTO = re.compile(r"(?s)(?P<name>.+)\[(?:'(?P<single>.*)'|\"(?P<double>.*)\"|(?P<index>\d{1,6}))\]")
_NUMBER = re.compile(r"[+-]?(\d{1,300}\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_YES, _NO = math.inf, -math.inf


# --- options ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `read_inspect` was told of scores and errors."""

    scorer: str | Mapping[str, str] | None
    success: Rule | Mapping[str, Rule] | None
    grades: float | Mapping[str, float] | None
    errors: Errors
    partial: bool

    def __post_init__(self) -> None:
        if self.errors not in get_args(Errors):
            allowed = get_args(Errors)
            raise InputError(
                f"errors: got {short(self.errors)}; allowed: {', '.join(map(repr, allowed))}."
                f"{did_you_mean(str(self.errors), allowed)}"
            )
        names = self.scorer.values() if isinstance(self.scorer, Mapping) else [self.scorer]
        for name in names:
            if not isinstance(name, str) and not (name is None and self.scorer is None):
                raise InputError(f"scorer: got {short(name)}; allowed: a scorer's name, or a mapping of tasks to names")
        rules = self.success.values() if isinstance(self.success, Mapping) else [self.success]
        for rule in rules:
            number = isinstance(rule, int | float | np.number) and not isinstance(rule, bool)
            if rule == "full" or (rule is None and self.success is None) or (number and math.isfinite(float(rule))):  # type: ignore[arg-type]
                continue
            raise InputError(
                f"success: got {short(rule)}; allowed: a finite number, from which score on an attempt is a success, "
                "'full' for full credit only, or a mapping of tasks to them"
            )
        for task, full in self.grades.items() if isinstance(self.grades, Mapping) else [("", self.grades)]:
            both = self.success.get(task) if isinstance(self.success, Mapping) else self.success
            check_full_credit(full, *(["success"] if both is not None else []))

    def scorer_of(self, task: str) -> str | None:
        """Return the scorer that was chosen for a task."""
        return self.scorer.get(task) if isinstance(self.scorer, Mapping) else self.scorer

    def rule_of(self, task: str) -> Rule | None:
        """Return from which score on an attempt at a task is a success, if that was said."""
        return self.success.get(task) if isinstance(self.success, Mapping) else self.success

    def full_of(self, task: str) -> float | None:
        """Return the score of full credit of a task whose scores are graded."""
        return self.grades.get(task) if isinstance(self.grades, Mapping) else self.grades

    def check_tasks(self, tasks: Iterable[str]) -> None:
        """Refuse choices for tasks that no log is of."""
        known = sorted(tasks)
        for option in (self.scorer, self.success, self.grades):
            for task in option if isinstance(option, Mapping) else ():
                if task not in known:
                    raise InputError(
                        f"got a choice for the task {short(task)}, which no log is of; there are: "
                        f"{', '.join(known)}.{did_you_mean(str(task), known)}"
                    )


@dataclass(kw_only=True)
class _Scores:
    """The scores seen in the logs of one Inspect task."""

    #: Distinct values, as they are shown, by scorer, with the key where a value is an object or a list.
    seen: dict[str, Counter[str]] = field(default_factory=dict)
    headline: str = ""
    #: Values of the chosen scorer.
    values: dict[str, None] = field(default_factory=dict)
    is_graded: bool = False
    unknown: dict[str, None] = field(default_factory=dict)
    top: float = -math.inf
    #: The first log of the task, for messages.
    example: str = ""

    def see(self, name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                self._see(f"{name}[{key!r}]", one)
        elif isinstance(value, list):
            for key, one in enumerate(value[:SHOWN]):
                self._see(f"{name}[{key}]", one)
        else:
            self._see(name, value)

    def _see(self, name: str, value: Any) -> None:
        # Keys that each sample has anew must not fill the memory.
        if name in self.seen or len(self.seen) < 200:
            counter = self.seen.setdefault(name, Counter())
            shown = short(value)
            if shown in counter or len(counter) < SHOWN:
                counter[shown] += 1

    def take(self, value: Any) -> tuple[float, bool]:
        """Return the grade of a score, infinite where it is beyond all rules, and whether it means "no answer"."""
        grade, no_answer = grade_of_score(value)
        if math.isnan(grade):
            if value is not None and value == value:
                self.unknown.setdefault(short(value))
            return grade, False
        if len(self.values) < SHOWN:
            self.values.setdefault(short(value))
        if math.isfinite(grade):
            self.top = max(self.top, grade)
            self.is_graded |= grade not in (0, 1)
        return grade, no_answer


def grade_of_score(value: Any) -> tuple[float, bool]:
    """Return the grade that a score's value is, NaN for none, and whether it means "no answer"."""
    if isinstance(value, bool):
        return _YES if value else _NO, False
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return math.nan, False
        return number if math.isfinite(number) else math.nan, False
    if not isinstance(value, str):
        return math.nan, False
    if value in _LETTERS:
        return _LETTERS[value], value == "N"
    word = value.strip().lower()
    if word in _WORDS:
        return _WORDS[word], False
    number = float(word) if len(word) < 400 and _NUMBER.fullmatch(word) else math.nan
    return number if math.isfinite(number) else math.nan, False


# How far the tokens of an attempt may be off max_tokens: providers do not keep to it to the token.
_SLACK = 0.05
# Longer texts are whole responses; of right attempts so many must give the same answer.
_LONGEST_ANSWER, _AGREEING = 100, 0.9
_LETTERS = {"C": _YES, "I": _NO, "N": _NO, "P": 0.5}
_WORDS = {"yes": _YES, "true": _YES, "no": _NO, "false": _NO}


class Attempts:
    """The attempts of all logs, column by column: a hundred thousand take some megabytes."""

    def __init__(self, logs: list[Log], options: Options, account: Account) -> None:
        options.check_tasks({log.task for log in logs})
        self.options = options
        self.account = account
        self.logs: list[Log] = []
        self.scores = {log.task: _Scores() for log in logs}
        self.log = array("q")
        self.task = array("q")
        self.names: dict[str, int] = {}
        self.grade, self.no_answer, self.cut = array("d"), array("b"), array("b")
        #: The answer that the scorer took from each attempt, by its place: 0 for none, -1 for one too long to compare.
        self.answer = array("q")
        self.answers = {"": 0}
        self.tokens, self.prompt, self.cost, self.seconds = array("d"), array("d"), array("d"), array("d")
        #: The grade, whether it was invalidated, and the log of each sample that was seen.
        self.seen: dict[str, tuple[float, bool, int]] = {}
        self.errored: list[str] = []
        self.counted_wrong = self.edited = self.retried = self.scored_errors = self.cut_successes = 0
        #: Logs, by their places, whose max_tokens did not cut whole attempts.
        self.not_cut: set[int] = set()
        self.own_graders: set[str] = set()
        self.shared_roles: set[str] = set()

    def add_run(self, group: list[Log], advance: Callable[[int], None]) -> None:
        """Add the logs of one run, the newest first."""
        places: set[tuple[str, int]] = set()
        for log in group:
            self.logs.append(log)
            # What only an older log of the run holds counts if the newer one was not finished, what both hold does not.
            older = frozenset(places) if log.eval_id != group[0].eval_id else frozenset()
            found = 0
            try:
                for sample, size in samples_of(log):
                    self._add(Part(sample, "sample"), log, places, older)
                    found += 1
                    advance(size)
            except (PartError, OSError) as error:
                raise InputError(damaged(log.name, error)) from None
            if log.completed_samples is not None and found < log.completed_samples:
                self.account.note(
                    f"{log.name} holds {found} samples, its header says that {log.completed_samples} were completed"
                )

    def _add(self, sample: Part, log: Log, places: set[tuple[str, int]], older: frozenset[tuple[str, int]]) -> None:
        task, epoch = _id(sample), sample.value.get("epoch", 1)
        if isinstance(epoch, bool) or not isinstance(epoch, int) or abs(epoch) > 2**53:
            sample.wrong("epoch", "an integer")
        sample.place = f"sample {short(task)} epoch {epoch}"
        where = f"{log.name}, sample {task}, epoch {epoch}"
        invalid = bool(sample.value.get("invalidation"))
        # How an invalidated sample was scored must not decide anything.
        scores = {} if invalid else self._scores(sample, log)
        grade, no_answer = self._take(scores, log)
        uuid = sample.text("uuid") or f"{log.eval_id}\0{task}\0{epoch}"
        number = len(self.logs) - 1
        if uuid in self.seen:
            *before, other = self.seen[uuid]
            same = invalid == before[1] and (grade == before[0] or (math.isnan(grade) and math.isnan(before[0])))
            self._leave_double(same, where, log, self.logs[other])
            return
        self.seen[uuid] = (grade, invalid, number)
        if (task, epoch) in older:
            self.account.leave_out("of an older log of a run, tried again in a newer one", where)
            return
        places.add((task, epoch))
        if invalid:
            self.account.leave_out("invalidated by hand", where)
            return
        if math.isnan(grade) and sample.value.get("error"):
            if self.options.errors == "refuse":
                self.errored.append(where)
                return
            if self.options.errors == "leave_out":
                self.account.leave_out("errored before they were scored", where)
                return
            self.counted_wrong += 1
            grade = _NO
        elif sample.value.get("error"):
            self.scored_errors += 1
        if math.isnan(grade):
            if self._is_open(log):
                return
            wanted = self.options.scorer_of(log.task)
            why = f"not scored by {wanted}" if wanted else "not scored"
            self.account.leave_out(f"{why} (NaN, null or no such score)" if scores else why, where)
            return
        self.retried += bool(sample.value.get("error_retries"))
        self.edited += any(isinstance(score.get("history"), list) and score["history"] for score in scores.values())
        self.log.append(number)
        self.task.append(self.names.setdefault(task, len(self.names)))
        self.grade.append(grade)
        self.no_answer.append(no_answer)
        self.answer.append(self._answer(scores, log))
        ended = _ended_by(sample)
        self.cut.append(bool(ended))
        tokens, prompt, cost = self._usage(sample, log)
        if log.cut is not None and not _fits(tokens, ended, log.cut):
            self.not_cut.add(number)
        self.tokens.append(tokens)
        self.prompt.append(prompt)
        self.cost.append(cost)
        seconds = sample.number("working_time")
        seconds = sample.number("total_time") if seconds is None else seconds
        self.seconds.append(math.nan if seconds is None else seconds)

    def _is_open(self, log: Log) -> bool:
        """Return whether it is still open which scorer counts; that is then refused."""
        seen = self.scores[log.task]
        return bool(seen.unknown) or (self.options.scorer_of(log.task) is None and len(seen.seen) > 1)

    def _leave_double(self, same: bool, where: str, log: Log, other: Log) -> None:
        """Leave out a sample that was seen before, unless it cannot be told which of the two is right."""
        if log.eval_id == other.eval_id and not same:
            raise InputError(
                f"{where}: it is scored or invalidated otherwise than the same sample in {other.name}; one of "
                "the two logs was edited. Give only the log that counts"
            )
        self.account.leave_out("the same sample (uuid) as in another log", where)

    def _scores(self, sample: Part, log: Log) -> dict[str, dict[str, Any]]:
        # Logs of the first versions hold one score, without a name.
        if "scores" not in sample.value and isinstance(sample.value.get("score"), dict):
            return {log.legacy_scorer: sample.value["score"]}
        return {
            name: Part(score, f"{sample.place}.scores[{name!r}]").value
            for name, score in sample.part("scores").value.items()
        }

    def _take(self, scores: dict[str, dict[str, Any]], log: Log) -> tuple[float, bool]:
        """Return the grade by the scorer that counts, NaN for none."""
        seen = self.scores[log.task]
        seen.headline, seen.example = seen.headline or log.headline, seen.example or log.name
        for name, score in scores.items():
            seen.see(name, score.get("value"))
        wanted = self.options.scorer_of(log.task)
        if wanted is None:
            if len(scores) != 1:
                return math.nan, False
            value = next(iter(scores.values())).get("value")
        elif wanted in scores:
            value = scores[wanted].get("value")
        else:
            value = None
            found = _INTO.fullmatch(wanted)
            if found and found["name"] in scores:
                many = scores[found["name"]].get("value")
                key = found["single"] if found["single"] is not None else found["double"]
                if isinstance(many, dict):
                    value = many.get(key if key is not None else found["index"])
                elif isinstance(many, list) and found["index"] and int(found["index"]) < len(many):
                    value = many[int(found["index"])]
        return (math.nan, False) if isinstance(value, dict | list) else seen.take(value)

    def _answer(self, scores: dict[str, dict[str, Any]], log: Log) -> int:
        """Return the place of the answer that the scorer that counts took from an attempt."""
        wanted = self.options.scorer_of(log.task) or next(iter(scores), "")
        answer = scores.get(wanted, {}).get("answer")
        if answer is None:
            return 0
        if not isinstance(answer, str) or len(answer) > _LONGEST_ANSWER:
            return -1
        return self.answers.setdefault(answer.strip(), len(self.answers))

    def _usage(self, sample: Part, log: Log) -> Tokens:
        """Return output tokens, prompt tokens and cost of the evaluated LLM, NaN where they are not known."""
        usage = sample.part("model_usage")
        if usage.value.get(log.model) is None:
            return math.nan, math.nan, math.nan
        total = _tokens(usage.part(log.model))
        own = _of_scorers(sample, log.model, total[0])
        if own is not None:
            if any(own):
                total = _less(total, own)
                self.own_graders.add(log.model)
            return total
        roles = sample.part("role_usage")
        others = sum(sum(_tokens(usage.part(name))[:2]) for name in usage.value if name != log.model)
        for role in roles.value:
            used = _tokens(roles.part(role))
            # A role that the log assigns to no model is played by the evaluated one, unless a solver or scorer brought
            # its own; then that one's tokens are among those of other models.
            known = log.roles.get(role)
            if known != log.model and (known is not None or sum(used[:2]) <= others):
                continue
            if role in log.graders:
                total = _less(total, used)
                self.own_graders.add(log.model)
            else:
                self.shared_roles.add(role)
        return total

    # --- what it comes to ---

    def table(self) -> pd.DataFrame:
        """Return one row per attempt; refuse what is open."""
        faults = [fault for task in sorted(self.scores) for fault in self._faults(task)]
        if self.errored:
            faults.append(
                f"{len(self.errored)} attempts errored before they were scored, such as {self.errored[0]}; pass "
                "errors='leave_out' or errors='count_wrong', or retry them"
            )
        if faults:
            raise InputError(faults[0]) if len(faults) == 1 else InputError.of_faults("logs of Inspect", faults)
        if not self.log:
            left = (
                "; ".join(f"{one.count} {one.why}" for one in self.account.left_out)
                or "the logs have no samples, as when they were written with log_samples off"
            )
            raise InputError(f"logs of Inspect: no attempt is left to count: {left}")
        grade = np.array(self.grade)
        log = np.array(self.log)
        right = np.zeros(len(grade), dtype=bool)
        tasks = np.array([one.task for one in self.logs], dtype=object)[log]
        for task in self.scores:
            rule = self.options.rule_of(task)
            bar = self.options.full_of(task) or (1.0 if rule is None or rule == "full" else float(rule))
            right |= (tasks == task) & (grade >= bar)
        cut = np.array(self.cut, dtype=bool)
        self.cut_successes = int(np.sum(cut & right))
        self._notes()
        frame = pd.DataFrame(
            {
                "model": self._text(log, lambda one: one.model),
                "benchmark": self._text(log, lambda one: one.benchmark),
                "task": pd.Categorical.from_codes(np.array(self.task), categories=list(self.names)),
                "strategy": pd.Categorical.from_codes(np.zeros(len(log), dtype=int), categories=[DEFAULT_SAMPLER]),
                "effort": self._text(log, lambda one: one.effort),
                "budget_tokens": np.array([np.nan if one.budget is None else one.budget for one in self.logs])[log],
                "max_tokens": np.array(
                    [
                        np.nan if one.cut is None or place in self.not_cut else one.cut
                        for place, one in enumerate(self.logs)
                    ]
                )[log],
                "run": self._text(log, lambda one: one.run),
                "attempts": np.ones(len(log), dtype=np.int64),
                "successes": right.astype(np.int64),
                # A truncated attempt is one that its limit made fail.
                "truncated": (cut & ~right).astype(np.int64),
                "completion_tokens": np.array(self.tokens),
                "prompt_tokens": np.array(self.prompt),
                "seconds": np.array(self.seconds),
            }
        )
        self._add_grades(frame, grade, tasks)
        none = np.array(self.no_answer, dtype=bool)
        if any(one.run for one in self.logs):
            self.account.columns["run"] = "settings that differ between logs of one LLM, benchmark and effort"
        if none.any():
            self.account.columns["no_answer"] = "score N"
            # Whose scorer never says so may not tell no answers from wrong ones.
            says = np.isin(tasks, list(set(tasks[none])))
            frame["no_answer"] = np.where(says, (none & ~right).astype(float), np.nan)
        self._add_answers(frame)
        if not np.isnan(self.cost).all():
            self.account.columns["cost_usd"] = "model_usage of eval.model: total_cost"
            frame["cost_usd"] = np.array(self.cost)
        return frame.dropna(axis="columns", how="all")

    def _add_grades(self, frame: pd.DataFrame, grade: np.ndarray[Any, Any], tasks: np.ndarray[Any, Any]) -> None:
        """Add grades of the tasks whose scores are graded."""
        texts, most = np.full(len(grade), "", dtype=object), np.full(len(grade), np.nan)
        for task in self.scores:
            full = self.options.full_of(task)
            mine = np.flatnonzero(tasks == task)
            if full is None or not mine.size:
                continue
            scores = np.where(grade[mine] == _YES, full, np.where(grade[mine] == _NO, 0.0, grade[mine]))
            found, steps = grades_of(scores.tolist(), full, f"task {line(task, 80)}")
            if steps > 1:
                texts[mine], most[mine] = [str(one) for one in found], steps
        if np.isfinite(most).any():
            frame["grades"], frame["grade_max"] = texts, most
            self.account.columns["grades"] = "scores below full credit, as equal steps"

    def _add_answers(self, frame: pd.DataFrame) -> None:
        """Add the answers of benchmarks where they can be compared: right attempts at a task must agree in them.

        Whole responses, and letters of choices that are shuffled anew, are no votes.
        """
        if not any(self.answer):
            return
        table = frame[["benchmark", "task", "successes"]].assign(answer=np.array(self.answer))
        words, used = np.array(list(self.answers), dtype=object), []
        for benchmark, rows in table.groupby("benchmark", observed=True, sort=False):
            right = rows[(rows["successes"] == 1) & (rows["answer"] > 0)]
            sizes = right.groupby(["task", "answer"], observed=True).size().groupby("task", observed=True)
            agreeing, several = sizes.max(), sizes.sum() > 1
            wrong = rows[(rows["successes"] == 0) & (rows["answer"] > 0)]
            given = {key: set(part) for key, part in right.groupby("task", observed=True)["answer"]}
            pairs = zip(wrong["task"], wrong["answer"], strict=True)
            mixed = any(answer in given.get(task, ()) for task, answer in pairs)
            shared = agreeing[several].sum() / max(sizes.sum()[several].sum(), 1)
            if (rows["answer"] < 0).any() or mixed or shared < _AGREEING:
                if len(wrong):
                    self.account.note(
                        f"answers on {line(str(benchmark), 80)} are not counted as votes: right attempts at a task do "
                        "not agree in them as far as one can see, or wrong ones do with right ones"
                    )
                continue
            used += rows.index.tolist()
        if used:
            self.account.columns["wrong_answer_counts"] = "answer of the score"
            frame["answer"] = np.full(len(frame), "", dtype=object)
            frame.loc[used, "answer"] = words[table.loc[used, "answer"].to_numpy()]
            if "no_answer" in frame:
                frame.loc[used, "no_answer"] = np.nan

    def _text(self, log: np.ndarray[Any, Any], of: Callable[[Log], str]) -> pd.Categorical:
        words = [of(one) for one in self.logs]
        distinct = list(dict.fromkeys(words))
        return pd.Categorical.from_codes(np.array([distinct.index(word) for word in words])[log], categories=distinct)

    def _faults(self, task: str) -> Iterator[str]:
        """Yield what is open about the scores of a task."""
        scores, wanted, rule = self.scores[task], self.options.scorer_of(task), self.options.rule_of(task)
        names = list(scores.seen)
        if not names:
            return
        shown = "; ".join(
            f"{line(name, 80)}: {', '.join(counter)}{', ...' if len(counter) >= SHOWN else ''}"
            for name, counter in list(scores.seen.items())[:SHOWN]
        )
        first = next((name for name in names if name == scores.headline), names[0])

        def choice(option: str, value: str) -> str:
            # Where there are several tasks, what is right for one need not be so for the others.
            return f"{option}={value}" if len(self.scores) == 1 else f"{option}={{{name!r}: {value}}}"

        name, task = task, f"task {line(task, 80)} ({scores.example})"
        if wanted is None and (len(names) > 1 or "[" in names[0]):
            headline = f" Inspect's headline is {scores.headline}." if scores.headline else ""
            yield (
                f"{task}: its samples have {len(names)} scores, and which one is the success is not said ({shown}); "
                f"pass {choice('scorer', repr(first))} or another of them.{headline}"
            )
            return
        if wanted is not None and wanted not in {*names, *(name.replace("'", '"') for name in names)}:
            yield f"{task}: no score is named {wanted!r}; there are: {shown}.{did_you_mean(wanted, names)}"
            return
        if scores.unknown:
            unknown = ", ".join(list(scores.unknown)[:SHOWN])
            yield (
                f"{task}: scores that are neither a letter of Inspect (C, I, P, N), nor true or false, nor a finite "
                f"number: {unknown}; choose another scorer ({', '.join(names)}), or score the log anew in Inspect"
            )
        values = ", ".join(scores.values) + (", ..." if len(scores.values) >= SHOWN else "")
        if self.options.full_of(name) is not None:
            return
        if scores.is_graded and rule is None:
            high = f"{scores.top:g}" if scores.top > 1 else "0.5"
            full = "" if scores.top > 1 else f", or {choice('success', repr('full'))}"
            yield (
                f"{task}: partial credit among its scores ({values}), and from where on it is a success is not said; "
                f"pass {choice('success', high)} or another number, for scores from there on{full}, or "
                f"{choice('grades', f'{max(scores.top, 1):g}')}, the score of full credit, to keep them as grades"
            )
        elif rule == "full" and scores.top > 1:
            yield (
                f"{task}: what full credit is on a scale with scores such as {values} is not said; pass "
                f"{choice('success', f'{scores.top:g}')} or another number"
            )
        elif rule is None or rule == "full" or isinstance(self.options.success, Mapping):
            return
        # One number for all tasks, of which this one may have another scale.
        elif (rule > 1 and -math.inf < scores.top <= 1) or (rule <= 1 < scores.top and len(self.scores) > 1):
            yield (
                f"{task}: success={rule:g} does not fit its scores ({values}); where tasks have different scales, pass "
                f"a mapping, such as success={{{name!r}: {scores.top:g}}}"
            )

    def _notes(self) -> None:
        account = self.account
        writers = sorted({log.writer for log in self.logs})
        account.versions["inspect_ai (wrote the logs)"] = ", ".join(writers)
        scorers = {
            self.options.scorer_of(task) or next(iter(scores.seen))
            for task, scores in self.scores.items()
            if scores.seen
        }
        rules = {rule for task in self.scores if (rule := self.options.rule_of(task)) is not None}
        rules |= {full for task in self.scores if (full := self.options.full_of(task)) is not None}
        bars = " or ".join("1" if rule == "full" else f"a score >= {rule:g}" for rule in sorted(rules, key=str))
        efforts = sorted({re.sub(r"\[\d+\]", "[]", log.effort_from) for log in self.logs if log.effort_from})
        account.columns |= {
            "model": "eval.model",
            "benchmark": "eval.task, with the task_args that differ between logs",
            "task": "sample id, as text",
            "strategy": "cot: each epoch of a sample is one answer",
            "effort": " or ".join(efforts) or "not said in the logs",
            "budget_tokens": "reasoning_tokens, as asked",
            "attempts": "one per sample and epoch",
            "successes": f"score of {' or '.join(sorted(scorers))}: C, true or {bars or '1'}",
            "truncated": "failed, and ended by a limit of the sample or stop_reason max_tokens or model_length",
            "completion_tokens": "model_usage of eval.model: output_tokens",
            "prompt_tokens": "model_usage of eval.model: input_tokens, with those read from and written to a cache",
            "seconds": "working_time of the sample",
        }
        if any(log.model.startswith("none/") for log in self.logs):
            account.note("Logs whose eval.model is none do not say which LLM answered")
        cuts = sorted({log.cut for place, log in enumerate(self.logs) if log.cut and place not in self.not_cut})
        if cuts:
            account.columns["max_tokens"] = "max_tokens, at which each answer was cut"
            account.note(
                f"Answers were cut at max_tokens = {', '.join(map(str, cuts))}: that is a cut, not an asked budget; "
                "whom it cut is in the column 'truncated'"
            )
        others = [self.logs[place] for place in sorted(self.not_cut)]
        if others:
            more = f" and {len(others) - 1} more logs" if len(others) > 1 else ""
            account.note(
                f"max_tokens of {others[0].name}{more} is left blank: it did not cut whole attempts, some of which are "
                "longer, or were ended by another limit"
            )
        if self.counted_wrong:
            account.note(
                f"Attempts that errored before they were scored: {self.counted_wrong}. They count as wrong, as asked"
            )
        if self.scored_errors:
            account.note(f"Attempts that hold an error and a score: {self.scored_errors}. They count by their score")
        if self.retried:
            account.note(
                f"Attempts that Inspect retried after an error: {self.retried}. Their tokens are of the last try"
            )
        if self.edited:
            account.note(f"Attempts with a score that was edited by hand: {self.edited}. The edited score counts")
        if self.cut_successes:
            account.note(
                f"Attempts that were cut off and succeeded: {self.cut_successes}. They do not count as truncated"
            )
        if self.own_graders:
            account.note(
                f"{', '.join(sorted(self.own_graders))} graded its own answers: tokens of the grader are taken off"
            )
        if self.shared_roles:
            account.note(
                f"Tokens that the evaluated LLM used as {', '.join(sorted(self.shared_roles))} are among its tokens"
            )


def _id(sample: Part) -> str:
    value = sample.value.get("id")
    if isinstance(value, str) and value.strip() and not UNWRITABLE.search(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**300:
        return str(value)
    return sample.wrong("id", "an integer, or text that is not blank")


def _ended_by(sample: Part) -> str:
    """Return which limit ended a sample, an empty text for none."""
    if sample.value.get("limit"):
        return "limit"
    choices = sample.part("output").parts("choices")
    reason = choices[0].text("stop_reason") if choices else ""
    return reason if reason in ("max_tokens", "model_length") else ""


def _fits(tokens: float, ended: str, cut: int) -> bool:
    """Return whether a sample is as it would be if max_tokens cut all of it.

    It is a limit of every call of an LLM: a sample of several calls may be longer. What another limit ended would have
    been longer than it is, too, and nobody knows by how much.
    """
    if ended not in ("", "max_tokens"):
        return False
    if math.isnan(tokens):
        return True
    return tokens <= (1 + _SLACK) * cut and (not ended or tokens >= (1 - _SLACK) * cut)


def _tokens(usage: Part) -> Tokens:
    output, cost = usage.number("output_tokens"), usage.number("total_cost")
    prompt = [usage.number(f"input_tokens{kind}") for kind in ("", "_cache_read", "_cache_write")]
    return (
        math.nan if output is None else output,
        math.nan if prompt[0] is None else sum(part or 0.0 for part in prompt),
        math.nan if cost is None else cost,
    )


def _of_scorers(sample: Part, model: str, total: float) -> Tokens | None:
    """Return what scorers used of a model's tokens, by the events of a sample; None if it has none to tell."""
    answer = sample.part("output").part("usage").number("output_tokens")
    if answer is not None and answer == total:
        # All is of the answer itself.
        return 0.0, 0.0, 0.0
    scoring = set()
    used = []
    told = False
    for event in sample.parts("events"):
        kind = event.value.get("event")
        if kind == "span_begin":
            told = True
            span, parent = event.text("id"), event.text("parent_id")
            if event.text("type") in ("scorers", "scorer") or (parent and parent in scoring):
                scoring.add(span)
        elif kind == "model" and event.value.get("model") == model and event.text("span_id") in scoring:
            used.append(_tokens(event.part("output").part("usage")))
    if not told:
        return None
    output, prompt, cost = (
        (sum(one for one in column if one == one) for column in zip(*used, strict=True)) if used else (0, 0, 0)
    )
    return float(output), float(prompt), float(cost)


def _less(total: Tokens, used: Tokens) -> Tokens:
    output, prompt, cost = (
        max(whole - (part if part == part else 0.0), 0.0) if whole == whole else whole
        for whole, part in zip(total, used, strict=True)
    )
    return output, prompt, cost
