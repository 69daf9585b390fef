"""Logs of Inspect (inspect-ai): archives ``.eval`` and JSON, single or in folders, local or at a URL.

Logs are read here member by member, not through inspect-ai: its import alone takes five seconds, and it builds every
message and event of a sample, of which a table of evaluations needs none (2,000 small samples take it 1.3 s, and this
module .2 s). A user of logs need not have it, nor the version that wrote them: the fields used here are in all of its
versions since logs are archives, and their forms before that are read too.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
import os
import re
import reprlib
import shutil
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.readers.base import Account, Reader, as_evals
from ds3bayes.evals.readers.grades import check_full_credit, grades_of
from ds3bayes.evals.readers.parts import Archive, PartError, fields, first_member, parse, parse_fields

Errors = Literal["leave_out", "count_wrong", "refuse"]
Rule = float | Literal["full"]
#: Output tokens, prompt tokens and cost; NaN where not known.
Tokens = tuple[float, float, float]

HEADER, START = "header.json", "_journal/start.json"
#: Roles whose tokens are those of a grader even where the evaluated LLM plays it.
GRADERS = frozenset({"grader", "judge", "scorer"})
#: What a sample's row needs; the rest of a large sample is not parsed.
WANTED = frozenset(
    {"id", "epoch", "uuid", "scores", "score", "model_usage", "role_usage", "output", "limit", "error", "invalidation"}
    | {"total_time", "working_time", "events", "error_retries"}
)
#: Settings that change what is evaluated; logs that differ in one of them are kept apart.
SETTINGS = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens", "system_message", "stop_seqs", "num_choices", "best_of"),
    *("frequency_penalty", "presence_penalty", "message_limit", "token_limit", "turn_limit", "time_limit"),
    *("working_limit", "cost_limit"),
)
EFFORT = ("reasoning_effort", "effort")
#: Distinct values that a message shows.
SHOWN = 12
#: How much of a JSON file is looked at to tell whether it is a log.
HEAD = 2**20

# A large sample is a folder of parts, of which one holds all but its messages and events.
_SHELL = re.compile(r"(samples/.+_epoch_\d+)/sample\.json", re.DOTALL)
_PART = re.compile(
    r"(samples/.+?_epoch_\d+)/(?:(?:metadata|skeleton)\.json|(?:messages|events|calls|attachments)/.+)", re.DOTALL
)
# With what an archive of Inspect begins, so that one that was cut is known too.
_FIRST = re.compile(r"_journal/|samples/.+_epoch_\d|(header|summaries|reductions)\.json$", re.DOTALL)
_INTO = re.compile(r"(?s)(?P<name>.+)\[(?:'(?P<single>.*)'|\"(?P<double>.*)\"|(?P<index>\d{1,6}))\]")
#: What some editors put before a text.
_MARK = b"\xef\xbb\xbf"
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(\d{1,300}\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_YES, _NO = math.inf, -math.inf


def read_inspect(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    scorer: str | Mapping[str, str] | None = None,
    success: Rule | Mapping[str, Rule] | None = None,
    errors: Errors = "leave_out",
    partial: bool = False,
    progress: bool = False,
    grades: float | Mapping[str, float] | None = None,
) -> xr.Dataset:
    """Read logs of Inspect: each epoch of a sample is one attempt at a task.

    Parameters
    ----------
    paths : str, path or sequence of them
        Logs (``.eval`` or JSON, whatever their names are), folders with logs anywhere in them, or URLs that fsspec
        knows, such as ``"s3://bucket/logs"``.
    scorer : str or mapping of str to str, optional
        Whose score says whether an attempt succeeded, needed where samples have several: a scorer's name, and the key
        where its value is an object or a list, such as ``"two_values['right']"``. A mapping gives one for each Inspect
        task by the task's name.
    success : float, "full" or mapping of str to them, optional
        From which score on an attempt is a success, needed where there is partial credit: a number (the letter P is
        .5), or ``"full"`` for the letter C or 1 alone. A mapping gives one for each Inspect task.
    errors : {"leave_out", "count_wrong", "refuse"}
        What becomes of attempts that an error ended before they were scored. Those with a score count by it.
    partial : bool
        Whether to read logs that are not finished (started, cancelled or ended by an error).
    progress : bool
        Whether to show a progress bar.
    grades : float or mapping of str to float, optional
        Instead of ``success``: the score of full credit, where scores are ordered and of equal steps (1 for letters and
        fractions, 10 for points of 10). An attempt with it is a success, and lesser scores are kept as the column
        ``grades``. A mapping gives one for each Inspect task.

    Returns
    -------
    xarray.Dataset
        As from `read_evals`, with ``attrs["account"]``: the files and their hashes, what was counted, what was left
        out and why, and from what each column was taken.

    Raises
    ------
    InputError
        If there is no log, one is damaged or unfinished, or it is open what a success is; all that is open is named at
        once, with the values that were seen and what to pass.

    Notes
    -----
    A sample that is in several logs (the same ``uuid``) is one attempt. Of logs with one ``eval.task_id``, which are
    retries of one run, the newest counts; if that one is not finished, what only older ones hold counts too. Logs of
    other task ids are repeats and add up. Samples that were invalidated are left out, and so are those whose score is
    NaN or null.

    The LLM is ``eval.model``, the benchmark ``eval.task`` with those of ``task_args`` that differ between logs. The
    effort asked and the budget of reasoning tokens are taken from the solvers' parameters, else from
    ``eval.model_generate_config``, else from ``plan.config``. Logs of one LLM, benchmark and effort that differ in
    their solvers, their temperature or a limit (``max_tokens`` is one) are kept apart by the column ``run``.

    Tokens are the output tokens of the evaluated LLM, hidden reasoning included, never those of a grader; prompt tokens
    include those read from or written to a cache. Where a log has no usage they are blank. A failed attempt counts as
    truncated if a limit of the sample, ``max_tokens`` or the context window ended it.

    Examples
    --------
    >>> evals = read_inspect("logs", success={"essays": 0.5})  # doctest: +SKIP
    """
    options = _Options(scorer=scorer, success=success, grades=grades, errors=errors, partial=partial)
    account = Account(reader="inspect")
    with ExitStack() as stack:
        logs = _headers(_files(paths, stack, account))
        groups = _retries(logs, options, account)
        read = [log for group in groups for log in group]
        _name_settings(read, account)
        attempts = _Attempts(read, options, account)
        with _bar(progress, sum(log.size for log in read)) as advance:
            for group in groups:
                attempts.add_run(group, advance)
    frame = attempts.table()
    evals = as_evals(frame, account)
    named = [os.fsdecode(paths)] if isinstance(paths, str | os.PathLike) else [os.fsdecode(path) for path in paths]
    return evals.assign_attrs(source=_UNWRITABLE.sub("\ufffd", named[0] if len(named) == 1 else f"{len(named)} paths"))


class InspectLogs(Reader):
    """Logs of Inspect; its options are those of `read_inspect`."""

    name = "inspect"
    title = "Inspect logs"
    function = staticmethod(read_inspect)

    def recognises(self, source: Path) -> bool:
        """Return whether a file is such a log, or a folder holds one."""
        try:
            return any(_kind(path) for path in (_walk(source) if source.is_dir() else [source]))
        except (OSError, ValueError):
            return False


# --- options ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Options:
    scorer: str | Mapping[str, str] | None
    success: Rule | Mapping[str, Rule] | None
    grades: float | Mapping[str, float] | None
    errors: Errors
    partial: bool

    def __post_init__(self) -> None:
        if self.errors not in get_args(Errors):
            allowed = get_args(Errors)
            raise InputError(
                f"errors: got {_short(self.errors)}; allowed: {', '.join(map(repr, allowed))}."
                f"{did_you_mean(str(self.errors), allowed)}"
            )
        names = self.scorer.values() if isinstance(self.scorer, Mapping) else [self.scorer]
        for name in names:
            if not isinstance(name, str) and not (name is None and self.scorer is None):
                raise InputError(
                    f"scorer: got {_short(name)}; allowed: a scorer's name, or a mapping of tasks to names"
                )
        rules = self.success.values() if isinstance(self.success, Mapping) else [self.success]
        for rule in rules:
            number = isinstance(rule, int | float | np.number) and not isinstance(rule, bool)
            if rule == "full" or (rule is None and self.success is None) or (number and math.isfinite(float(rule))):  # type: ignore[arg-type]
                continue
            raise InputError(
                f"success: got {_short(rule)}; allowed: a finite number, from which score on an attempt is a success, "
                "'full' for full credit only, or a mapping of tasks to them"
            )

        for task, full in self.grades.items() if isinstance(self.grades, Mapping) else [("", self.grades)]:
            both = self.success.get(task) if isinstance(self.success, Mapping) else self.success
            check_full_credit(full, *(["success"] if both is not None else []))

    def scorer_of(self, task: str) -> str | None:
        return self.scorer.get(task) if isinstance(self.scorer, Mapping) else self.scorer

    def rule_of(self, task: str) -> Rule | None:
        return self.success.get(task) if isinstance(self.success, Mapping) else self.success

    def full_of(self, task: str) -> float | None:
        """Return the score of full credit of a task whose scores are graded."""
        return self.grades.get(task) if isinstance(self.grades, Mapping) else self.grades

    def check_tasks(self, tasks: Iterable[str]) -> None:
        known = sorted(tasks)
        for option in (self.scorer, self.success, self.grades):
            for task in option if isinstance(option, Mapping) else ():
                if task not in known:
                    raise InputError(
                        f"got a choice for the task {_short(task)}, which no log is of; there are: "
                        f"{', '.join(known)}.{did_you_mean(str(task), known)}"
                    )


# --- finding logs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _File:
    """A log as it was given, and where it lies on this machine."""

    name: str
    path: Path
    kind: Literal["archive", "json"]


def _files(paths: Any, stack: ExitStack, account: Account) -> list[_File]:
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, Sequence) or not all(isinstance(path, str | os.PathLike) for path in given):
        raise InputError(f"logs: got {_short(paths)}; allowed: a path, a URL or a list of them")
    found: dict[str, _File] = {}
    passed: list[str] = []
    for path in given:
        for name, local, asked in _listed(os.fsdecode(path), stack):
            try:
                kind = _kind(local)
            except OSError as error:
                raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
            if kind:
                found.setdefault(os.path.realpath(local), _File(name=name, path=local, kind=kind))
            elif asked or name.endswith(".eval"):
                # A damaged log must not vanish from a folder.
                raise InputError(f"{name}: {_what_is(local)}; needed: a log of Inspect, as it wrote it (.eval or JSON)")
            else:
                passed.append(name)
    if not found:
        raise InputError(
            f"{', '.join(map(os.fsdecode, given)) or 'no path'}: no log of Inspect found among {len(passed)} files; "
            "needed: .eval or JSON logs, or a folder with some"
        )
    if passed:
        more = f" and {len(passed) - 3} more" if len(passed) > 3 else ""
        account.note(f"Not read, as they are no logs of Inspect: {', '.join(passed[:3])}{more}")
    # In order of name: the result must not depend on how a file system lists its files.
    files = sorted(found.values(), key=lambda file: file.name)
    for file in files:
        with file.path.open("rb") as content:
            account.sources[file.name] = hashlib.file_digest(content, "sha256").hexdigest()
    return files


def _listed(path: str, stack: ExitStack) -> Iterator[tuple[str, Path, bool]]:
    """Yield files: the name to show, where it lies here, and whether it was asked for by name."""
    if "\0" in path:
        raise InputError(f"{path!r}: a path must not hold a NUL character")
    if "://" in path:
        yield from _fetched(path, stack)
        return
    local = Path(path)
    if local.is_dir():
        try:
            files = list(_walk(local))
        except OSError as error:
            raise InputError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error
        for file in files:
            yield str(file), file, False
    elif local.is_file():
        yield path, local, True
    else:
        try:
            near = did_you_mean(local.name, os.listdir(local.parent))
        except OSError:
            near = ""
        raise InputError(f"{path}: no such file or folder.{near}")


def _fetched(url: str, stack: ExitStack) -> Iterator[tuple[str, Path, bool]]:
    try:
        import fsspec
    except ModuleNotFoundError as error:
        raise InputError(f"{url}: URLs need fsspec; install it with: pip install 'ds3bayes[inspect]'") from error
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ds3bayes-")))
    try:
        system, root = fsspec.core.url_to_fs(url)
        asked = system.isfile(root)
        names = [root] if asked else sorted(system.find(root))
        for number, name in enumerate(names):
            local = folder / str(number)
            # Whole, and not in the many small pieces that an archive is read in.
            with system.open(name, "rb") as remote, local.open("wb") as copy:
                head = remote.read(64)
                copy.write(head)
                if asked or name.endswith(".eval") or _may_be_log(head):
                    shutil.copyfileobj(remote, copy, 2**20)
            yield (url if asked else system.unstrip_protocol(name)), local, asked
    # What a file system of any kind raises is its own.
    except Exception as error:
        raise InputError(f"{url}: cannot be read: {type(error).__name__}: {_line(str(error), 200)}") from error


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and its folders; links are followed, but no folder is walked twice."""
    seen = set()

    def refuse(error: OSError) -> NoReturn:
        # A folder that cannot be opened must not pass for an empty one.
        raise error

    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        state = os.stat(here)
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _kind(path: Path) -> Literal["archive", "json"] | None:
    """Return what kind of log a file is, by its content."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[:4] == b"PK\3\4":
        first = first_member(head)
        if _FIRST.match(first):
            return "archive"
        try:
            with Archive(path) as archive:
                return "archive" if {HEADER, START} & set(archive.members) else None
        except PartError:
            return None
    head = head.removeprefix(_MARK).lstrip()
    return "json" if _may_be_log(head) and b'"eval"' in head and _begins_log(head) else None


def _may_be_log(head: bytes) -> bool:
    return head[:4] == b"PK\3\4" or head.removeprefix(_MARK).lstrip()[:1] == b"{"


def _begins_log(head: bytes) -> bool:
    """Return whether the beginning of a JSON text is that of a log."""
    names = set()
    try:
        for name, start, _ in fields(head):
            if name == "eval" and head[start : start + 1] != b"{":
                return False
            names.add(name)
    except PartError:
        # Cut where the head ends, maybe in the middle of what it is looked for.
        if "eval" not in names:
            return bool({"version", "status"} <= names and re.search(rb'"eval"\s*:\s*\{', head))
    return "eval" in names and bool(names & {"status", "version", "plan"})


def _what_is(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if not head:
        return "an empty file"
    if head[:4] == b"PK\3\4":
        return "an archive, but not with what a log holds, or cut"
    return f"no log, it begins with {head!r}"


# --- headers ------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Log:
    """What a log says of all its samples."""

    file: _File
    size: int
    status: str
    created: datetime
    completed: str
    task: str
    task_id: str
    eval_id: str
    model: str
    args: dict[str, str]
    effort: str
    effort_from: str
    budget: int | None
    settings: dict[str, str]
    headline: str
    legacy_scorer: str
    graders: frozenset[str]
    roles: dict[str, str]
    completed_samples: int | None
    writer: str
    benchmark: str = ""
    run: str = ""

    @property
    def name(self) -> str:
        return self.file.name


def _headers(files: list[_File]) -> list[_Log]:
    logs, faults = [], []
    for file in files:
        try:
            logs.append(_log(file, _header(file)))
        except (PartError, OSError) as error:
            faults.append(_damaged(file.name, error))
    if faults:
        raise InputError(faults[0]) if len(faults) == 1 else InputError.of_faults("logs of Inspect", faults)
    return logs


def _damaged(name: str, error: Exception) -> str:
    return (
        f"{name}: {_line(str(error), 300)}; needed: a whole log as Inspect wrote it. Copy it anew, run Inspect's "
        "retry or recovery on it, or take it away"
    )


def _header(file: _File) -> dict[str, Any]:
    if file.kind == "archive":
        with Archive(file.path) as archive:
            # A log that was not finished has no header yet, only what was known when it started.
            name = next((name for name in (HEADER, START) if name in archive.members), None)
            if name is None:
                raise PartError(f"it has neither {HEADER} nor {START}")
            found = parse(archive.read(name))
            if not isinstance(found, dict):
                raise PartError(f"{name} is no JSON object, but {_short(found)}")
            return found if name == HEADER else {**found, "status": "started"}
    needed = {"version", "status", "eval", "plan", "results", "stats"}
    header = {}
    with _mapped(file.path) as text:
        for name, start, end in fields(text, _start(text), into="samples"):
            if name in needed:
                header[name] = parse(text[start:end])
            # They are written before the samples.
            if needed <= set(header):
                break
    return header


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """Give a file's content, of which only what is looked at comes into memory."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise PartError("an empty file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            yield text


def _start(text: mmap.mmap) -> int:
    return len(_MARK) if text[: len(_MARK)] == _MARK else 0


class _Part:
    """An object of a log, whose fields are asked for by type: a wrong type is named with its place."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise PartError(f"{place}: got {_short(value)}; needed: an object")
        self.value: dict[str, Any] = value
        self.place = place

    def wrong(self, name: str, needed: str) -> NoReturn:
        raise PartError(f"{self.place}.{name}: got {_short(self.value.get(name))}; needed: {needed}")

    def part(self, name: str) -> _Part:
        """Return an object; without it, an empty one."""
        value = self.value.get(name)
        return _Part({} if value is None else value, f"{self.place}.{name}")

    def parts(self, name: str) -> list[_Part]:
        value = self.value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(name, "a list")
        return [_Part(one, f"{self.place}.{name}[{number}]") for number, one in enumerate(value)]

    def text(self, name: str, required: bool = False) -> str:
        value = self.value.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value.strip()) or _UNWRITABLE.search(value):
            self.wrong(name, "text, without NUL characters or lone surrogates")
        return value

    def number(self, name: str) -> float | None:
        """Return a number from 0 up, or None."""
        value = self.value.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2**53:
            self.wrong(name, "a number from 0 to 2^53")
        return float(value)


def _log(file: _File, header: dict[str, Any]) -> _Log:
    log = _Part(header, "log")
    status = log.text("status", required=True)
    told = log.part("eval")
    stamp = told.text("created", required=True)
    try:
        created = datetime.fromisoformat(stamp)
    except ValueError:
        told.wrong("created", "a date and time")
    created = created if created.tzinfo else created.replace(tzinfo=UTC)
    task, run_id = told.text("task", required=True), told.text("run_id")
    # Very old logs have no ids: such a run is its own.
    identity = f"{run_id} {task} {stamp}" if run_id else file.name
    plan = log.part("plan")
    results, scorers = log.part("results"), told.parts("scorers")
    args = {name: _json(value) for name, value in told.part("task_args").value.items()}
    if told.value.get("task_version"):
        args["version"] = _json(told.value["task_version"])
    named = [scorer.text("name") for scorer in scorers] or [results.part("scorer").text("name")]
    roles = {}
    for role, model in told.part("model_roles").value.items():
        models = model if isinstance(model, list) else [model]
        roles[role] = str(models[0].get("model")) if models and isinstance(models[0], dict) else str(model)
    asked = [scorer.part("options").value.get("model_role") for scorer in scorers]
    effort, effort_from, budget, settings = _asked(plan, told)
    completed = results.number("completed_samples")
    return _Log(
        file=file,
        size=file.path.stat().st_size,
        status=status,
        created=created,
        completed=log.part("stats").text("completed_at"),
        task=task,
        task_id=told.text("task_id") or identity,
        eval_id=told.text("eval_id") or identity,
        model=told.text("model", required=True),
        args=args,
        effort=effort,
        effort_from=effort_from,
        budget=budget,
        settings=settings,
        headline=results.part("headline").text("scorer"),
        legacy_scorer=named[0] or "score",
        graders=GRADERS | {role for role in asked if isinstance(role, str)},
        roles=roles,
        completed_samples=None if completed is None else int(completed),
        writer=_json(told.part("packages").value.get("inspect_ai", "unknown")).strip('"'),
    )


def _asked(plan: _Part, told: _Part) -> tuple[str, str, int | None, dict[str, str]]:
    """Return the effort asked, where that is said, the budget of reasoning tokens, and what else was set."""
    steps = plan.parts("steps")
    places = [step.part("params") for step in steps] + [told.part("model_generate_config"), plan.part("config")]
    efforts: list[tuple[str, str]] = []
    budgets: list[float] = []
    for group in (places[: len(steps)], places[-2:-1], places[-1:]):
        for place in group:
            # A solver may have a parameter of that name that is something else.
            name = next((name for name in EFFORT if isinstance(place.value.get(name), str)), None)
            if name:
                efforts.append((place.text(name), f"{place.place.removeprefix('log.')}.{name}"))
        if efforts:
            break
    for group in (places[: len(steps)], places[-2:-1], places[-1:]):
        asked = [place.value.get("reasoning_tokens") for place in group]
        budgets = [
            one for one in asked if isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 2**53
        ]
        if budgets:
            break
    settings: dict[str, str] = {}
    for place in (told.part("config"), plan.part("config"), told.part("model_generate_config")):
        settings |= {name: _json(place.value[name]) for name in SETTINGS if place.value.get(name) is not None}
    solvers = []
    for step in steps:
        params = {
            name: value
            for name, value in step.part("params").value.items()
            if name not in (*EFFORT, "reasoning_tokens") and value is not None
        }
        solvers.append(
            f"{step.text('solver')}({', '.join(f'{name}={_json(params[name])}' for name in sorted(params))})"
        )
    settings["solver"] = " + ".join(solvers)
    # Of solvers that ask for different efforts, the answer has used all.
    effort = "+".join(dict.fromkeys(value for value, _ in efforts))
    budget = int(max(budgets)) if budgets and max(budgets) >= 1 else None
    return effort, efforts[0][1] if efforts else "", budget, settings


def _json(value: Any) -> str:
    """Return a setting as short text; long ones by their beginning and a hash."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    text = _UNWRITABLE.sub("\ufffd", " ".join(text.split()))
    return text if len(text) <= 60 else f"{text[:40]}...{hashlib.sha256(text.encode()).hexdigest()[:8]}"


# --- which logs count ---------------------------------------------------------------------------------------


def _retries(logs: list[_Log], options: _Options, account: Account) -> list[list[_Log]]:
    """Return the logs of each run that count, the newest first."""
    runs: dict[tuple[str, str, str], list[_Log]] = {}
    for log in logs:
        runs.setdefault((log.task_id, log.task, log.model), []).append(log)
    groups, unfinished = [], []
    for run in runs.values():
        run.sort(key=lambda log: (log.created, log.status == "success", log.completed, log.name), reverse=True)
        newest = run[0]
        # Copies of one log are read too: one of them may have been edited.
        group = [log for log in run if log.eval_id == newest.eval_id]
        open_ones = [log for log in group if log.status != "success"]
        if open_ones and not options.partial:
            unfinished += [f"{log.name}: its status is {log.status!r}" for log in open_ones]
        if open_ones:
            group = run
        for log in run:
            if log not in group:
                account.leave_out(
                    "of an older log whose retry (the same task id) counts instead", log.name, _number_of_samples(log)
                )
        groups.append(group)
    # Of a sample that is in logs of several runs, the newest counts.
    groups.sort(key=lambda group: group[0].created, reverse=True)
    if unfinished:
        more = "\n  - " + "\n  - ".join(unfinished) if len(unfinished) > 1 else unfinished[0]
        raise InputError(
            f"{'logs that are not finished:' if len(unfinished) > 1 else ''}{more}; needed: 'success'. Finish it with "
            "Inspect's retry, take it away, or pass partial=True to read what it has"
        )
    return groups


def _number_of_samples(log: _Log) -> int:
    try:
        return sum(1 for _ in _samples(log, count=True))
    except (PartError, OSError):
        return 0


def _name_settings(logs: list[_Log], account: Account) -> None:
    """Name benchmarks by the arguments that differ between their logs, and runs by other settings that do."""
    for task in {log.task for log in logs}:
        same = [log for log in logs if log.task == task]
        differ = _differing([log.args for log in same])
        for log in same:
            told = ", ".join(f"{name}={log.args[name]}" for name in differ if name in log.args)
            log.benchmark = f"{task}({told})" if told else task
        if differ:
            account.note(f"Logs of {task} differ in {', '.join(differ)}: each value is a benchmark of its own")
    cells: dict[tuple[str, str, str, int | None], list[_Log]] = {}
    for log in logs:
        cells.setdefault((log.model, log.benchmark, log.effort, log.budget), []).append(log)
    for (model, benchmark, *_), same in cells.items():
        differ = _differing([log.settings for log in same])
        for log in same:
            log.run = ", ".join(f"{name}={log.settings[name]}" for name in differ if name in log.settings)
        if differ:
            account.note(
                f"Logs of {model} on {benchmark} differ in {', '.join(differ)}: they are kept apart by the column 'run'"
            )


def _differing(settings: list[dict[str, str]]) -> list[str]:
    names = sorted({name for one in settings for name in one})
    return [name for name in names if len({one.get(name) for one in settings}) > 1]


# --- samples ------------------------------------------------------------------------------------------------


def _samples(log: _Log, count: bool = False) -> Iterator[tuple[Any, int]]:
    """Yield a log's samples and the bytes that each takes in the file; only None for each sample to count them."""
    if log.file.kind == "archive":
        with Archive(log.file.path) as archive:
            shells = {found[1] for name in archive.members if (found := _SHELL.fullmatch(name))}
            for name in archive.members:
                if not name.startswith("samples/") or not name.endswith(".json"):
                    continue
                if shells and (part := _PART.fullmatch(name)) and part[1] in shells:
                    continue
                if count:
                    yield None, 0
                    continue
                try:
                    yield parse_fields(archive.read(name), WANTED), archive.members[name].compress_size
                except PartError as error:
                    raise PartError(f"{name}: {error}") from None
        return
    with _mapped(log.file.path) as text:
        for name, start, end in fields(text, _start(text), into="samples"):
            if name != "samples" or (text[start : start + 4] == b"null" and end == start + 4):
                continue
            yield (None if count else parse_fields(text[start:end], WANTED)), end - start


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
            shown = _short(value)
            if shown in counter or len(counter) < SHOWN:
                counter[shown] += 1

    def take(self, value: Any) -> tuple[float, bool]:
        """Return the grade of a score, infinite where it is beyond all rules, and whether it means "no answer"."""
        grade, no_answer = _grade(value)
        if math.isnan(grade):
            if value is not None and value == value:
                self.unknown.setdefault(_short(value))
            return grade, False
        if len(self.values) < SHOWN:
            self.values.setdefault(_short(value))
        if math.isfinite(grade):
            self.top = max(self.top, grade)
            self.is_graded |= grade not in (0, 1)
        return grade, no_answer


def _grade(value: Any) -> tuple[float, bool]:
    """Return the grade that a score is, NaN for none, and whether it means "no answer"."""
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


_LETTERS = {"C": _YES, "I": _NO, "N": _NO, "P": 0.5}
_WORDS = {"yes": _YES, "true": _YES, "no": _NO, "false": _NO}


class _Attempts:
    """The attempts of all logs, column by column: a hundred thousand take some megabytes."""

    def __init__(self, logs: list[_Log], options: _Options, account: Account) -> None:
        options.check_tasks({log.task for log in logs})
        self.options = options
        self.account = account
        self.logs: list[_Log] = []
        self.scores = {log.task: _Scores() for log in logs}
        self.log = array("q")
        self.task = array("q")
        self.names: dict[str, int] = {}
        self.grade, self.no_answer, self.cut = array("d"), array("b"), array("b")
        self.tokens, self.prompt, self.cost, self.seconds = array("d"), array("d"), array("d"), array("d")
        #: The grade, whether it was invalidated, and the log of each sample that was seen.
        self.seen: dict[str, tuple[float, bool, int]] = {}
        self.errored: list[str] = []
        self.counted_wrong = self.edited = self.retried = self.scored_errors = self.cut_successes = 0
        self.own_graders: set[str] = set()
        self.shared_roles: set[str] = set()

    def add_run(self, group: list[_Log], advance: Callable[[int], None]) -> None:
        """Add the logs of one run, the newest first."""
        places: set[tuple[str, int]] = set()
        for log in group:
            self.logs.append(log)
            # What only an older log of the run holds counts if the newer one was not finished, what both hold does not.
            older = frozenset(places) if log.eval_id != group[0].eval_id else frozenset()
            found = 0
            try:
                for sample, size in _samples(log):
                    self._add(_Part(sample, "sample"), log, places, older)
                    found += 1
                    advance(size)
            except (PartError, OSError) as error:
                raise InputError(_damaged(log.name, error)) from None
            if log.completed_samples is not None and found < log.completed_samples:
                self.account.note(
                    f"{log.name} holds {found} samples, its header says that {log.completed_samples} were completed"
                )

    def _add(self, sample: _Part, log: _Log, places: set[tuple[str, int]], older: frozenset[tuple[str, int]]) -> None:
        task, epoch = _id(sample), sample.value.get("epoch", 1)
        if isinstance(epoch, bool) or not isinstance(epoch, int) or abs(epoch) > 2**53:
            sample.wrong("epoch", "an integer")
        sample.place = f"sample {_short(task)} epoch {epoch}"
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
        self.cut.append(_is_cut(sample))
        tokens, prompt, cost = self._usage(sample, log)
        self.tokens.append(tokens)
        self.prompt.append(prompt)
        self.cost.append(cost)
        seconds = sample.number("working_time")
        seconds = sample.number("total_time") if seconds is None else seconds
        self.seconds.append(math.nan if seconds is None else seconds)

    def _is_open(self, log: _Log) -> bool:
        """Return whether it is still open which scorer counts; that is then refused."""
        seen = self.scores[log.task]
        return bool(seen.unknown) or (self.options.scorer_of(log.task) is None and len(seen.seen) > 1)

    def _leave_double(self, same: bool, where: str, log: _Log, other: _Log) -> None:
        """Leave out a sample that was seen before, unless it cannot be told which of the two is right."""
        if log.eval_id == other.eval_id and not same:
            raise InputError(
                f"{where}: it is scored or invalidated otherwise than the same sample in {other.name}; one of "
                "the two logs was edited. Give only the log that counts"
            )
        self.account.leave_out("the same sample (uuid) as in another log", where)

    def _scores(self, sample: _Part, log: _Log) -> dict[str, dict[str, Any]]:
        # Logs of the first versions hold one score, without a name.
        if "scores" not in sample.value and isinstance(sample.value.get("score"), dict):
            return {log.legacy_scorer: sample.value["score"]}
        return {
            name: _Part(score, f"{sample.place}.scores[{name!r}]").value
            for name, score in sample.part("scores").value.items()
        }

    def _take(self, scores: dict[str, dict[str, Any]], log: _Log) -> tuple[float, bool]:
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

    def _usage(self, sample: _Part, log: _Log) -> Tokens:
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
                "strategy": pd.Categorical.from_codes(np.zeros(len(log), dtype=int), categories=["cot"]),
                "effort": self._text(log, lambda one: one.effort),
                "budget_tokens": np.array([np.nan if one.budget is None else one.budget for one in self.logs])[log],
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
            found, steps = grades_of(scores.tolist(), full, f"task {_line(task, 80)}")
            if steps > 1:
                texts[mine], most[mine] = [str(one) for one in found], steps
        if np.isfinite(most).any():
            frame["grades"], frame["grade_max"] = texts, most
            self.account.columns["grades"] = "scores below full credit, as equal steps"

    def _text(self, log: np.ndarray[Any, Any], of: Callable[[_Log], str]) -> pd.Categorical:
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
            f"{_line(name, 80)}: {', '.join(counter)}{', ...' if len(counter) >= SHOWN else ''}"
            for name, counter in list(scores.seen.items())[:SHOWN]
        )
        first = next((name for name in names if name == scores.headline), names[0])

        def choice(option: str, value: str) -> str:
            # Where there are several tasks, what is right for one need not be so for the others.
            return f"{option}={value}" if len(self.scores) == 1 else f"{option}={{{name!r}: {value}}}"

        name, task = task, f"task {_line(task, 80)} ({scores.example})"
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
        limits = sorted({log.settings["max_tokens"] for log in self.logs if "max_tokens" in log.settings})
        if limits:
            account.note(
                f"Generation was cut at max_tokens = {', '.join(limits)}: that is a cut, not an asked budget; whom it "
                "cut is in the column 'truncated'"
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


def _id(sample: _Part) -> str:
    value = sample.value.get("id")
    if isinstance(value, str) and value.strip() and not _UNWRITABLE.search(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**300:
        return str(value)
    return sample.wrong("id", "an integer, or text that is not blank")


def _is_cut(sample: _Part) -> bool:
    """Return whether a limit ended a sample."""
    if sample.value.get("limit"):
        return True
    choices = sample.part("output").parts("choices")
    return bool(choices) and choices[0].text("stop_reason") in ("max_tokens", "model_length")


def _tokens(usage: _Part) -> Tokens:
    output, cost = usage.number("output_tokens"), usage.number("total_cost")
    prompt = [usage.number(f"input_tokens{kind}") for kind in ("", "_cache_read", "_cache_write")]
    return (
        math.nan if output is None else output,
        math.nan if prompt[0] is None else sum(part or 0.0 for part in prompt),
        math.nan if cost is None else cost,
    )


def _of_scorers(sample: _Part, model: str, total: float) -> Tokens | None:
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


# --- showing ------------------------------------------------------------------------------------------------


def _short(value: Any, most: int = 60) -> str:
    """Return a value, of any size and kind, as one short line."""
    try:
        text = _REPR.repr(value)
    except (ValueError, RecursionError):
        # Python refuses to print integers of more than some thousand digits.
        return f"a value of type {type(value).__name__}"
    return _line(text, most)


def _line(text: str, most: int) -> str:
    text = _UNWRITABLE.sub("\ufffd", " ".join(text[: 4 * most].split()))
    return text if len(text) <= most else text[: most - 3] + "..."


_REPR = reprlib.Repr(maxstring=60, maxother=60, maxlong=60)


@contextmanager
def _bar(shown: bool, size: int) -> Iterator[Callable[[int], None]]:
    """Give what is to be told how many bytes were read."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading logs"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        job = progress.add_task("", total=size)
        yield lambda more: progress.advance(job, more)
