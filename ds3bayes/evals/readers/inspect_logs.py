"""Which logs of Inspect there are, what each says of all its samples, and which of them count."""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import reprlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.readers.base import Account
from ds3bayes.evals.readers.parts import Archive, PartError, fields, first_member, parse, parse_fields

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
#: How much of a JSON file is looked at to tell whether it is a log.
HEAD = 2**20
# A large sample is a folder of parts, of which one holds all but its messages and events.
_SHELL = re.compile(r"(samples/.+_epoch_\d+)/sample\.json", re.DOTALL)
_PART = re.compile(
    r"(samples/.+?_epoch_\d+)/(?:(?:metadata|skeleton)\.json|(?:messages|events|calls|attachments)/.+)", re.DOTALL
)
# With what an archive of Inspect begins, so that one that was cut is known too.
_FIRST = re.compile(r"_journal/|samples/.+_epoch_\d|(header|summaries|reductions)\.json$", re.DOTALL)
#: What some editors put before a text.
_MARK = b"\xef\xbb\xbf"
UNWRITABLE = re.compile("[\0\ud800-\udfff]")


# --- finding logs -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class File:
    """A log as it was given, and where it lies on this machine."""

    name: str
    path: Path
    kind: Literal["archive", "json"]


def find_logs(paths: Any, stack: ExitStack, account: Account) -> list[File]:
    """Return the logs at some paths or URLs, in order of name; copies of remote ones live as long as the stack."""
    given = [paths] if isinstance(paths, str | os.PathLike) else paths
    if not isinstance(given, Sequence) or not all(isinstance(path, str | os.PathLike) for path in given):
        raise InputError(f"logs: got {short(paths)}; allowed: a path, a URL or a list of them")
    found: dict[str, File] = {}
    passed: list[str] = []
    for path in given:
        for name, local, asked in _listed(os.fsdecode(path), stack):
            try:
                kind = kind_of_log(local)
            except OSError as error:
                raise InputError(f"{name}: cannot be read: {error.strerror or error}") from error
            if kind:
                found.setdefault(os.path.realpath(local), File(name=name, path=local, kind=kind))
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
        account.source(file.path, name=file.name)
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
            files = list(walk(local))
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
        raise InputError(f"{url}: cannot be read: {type(error).__name__}: {line(str(error), 200)}") from error


def walk(folder: Path) -> Iterator[Path]:
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


def kind_of_log(path: Path) -> Literal["archive", "json"] | None:
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
class Log:
    """What a log says of all its samples."""

    file: File
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
    cut: int | None
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
        """Name of its file, as it was given."""
        return self.file.name


def read_headers(files: list[File]) -> list[Log]:
    """Return what each log says of all its samples; all that are damaged are named at once."""
    logs, faults = [], []
    for file in files:
        try:
            logs.append(_log(file, _header(file)))
        except (PartError, OSError) as error:
            faults.append(damaged(file.name, error))
    if faults:
        raise InputError(faults[0]) if len(faults) == 1 else InputError.of_faults("logs of Inspect", faults)
    return logs


def damaged(name: str, error: Exception) -> str:
    """Say of a log that it is damaged, how, and what can be done."""
    return (
        f"{name}: {line(str(error), 300)}; needed: a whole log as Inspect wrote it. Copy it anew, run Inspect's "
        "retry or recovery on it, or take it away"
    )


def _header(file: File) -> dict[str, Any]:
    if file.kind == "archive":
        with Archive(file.path) as archive:
            # A log that was not finished has no header yet, only what was known when it started.
            name = next((name for name in (HEADER, START) if name in archive.members), None)
            if name is None:
                raise PartError(f"it has neither {HEADER} nor {START}")
            found = parse(archive.read(name))
            if not isinstance(found, dict):
                raise PartError(f"{name} is no JSON object, but {short(found)}")
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


class Part:
    """An object of a log, whose fields are asked for by type: a wrong type is named with its place."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise PartError(f"{place}: got {short(value)}; needed: an object")
        self.value: dict[str, Any] = value
        self.place = place

    def wrong(self, name: str, needed: str) -> NoReturn:
        """Refuse a field, and say what it should be."""
        raise PartError(f"{self.place}.{name}: got {short(self.value.get(name))}; needed: {needed}")

    def part(self, name: str) -> Part:
        """Return an object; without it, an empty one."""
        value = self.value.get(name)
        return Part({} if value is None else value, f"{self.place}.{name}")

    def parts(self, name: str) -> list[Part]:
        """Return the objects of a list; without it, none."""
        value = self.value.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.wrong(name, "a list")
        return [Part(one, f"{self.place}.{name}[{number}]") for number, one in enumerate(value)]

    def text(self, name: str, required: bool = False) -> str:
        """Return text; without it, an empty one."""
        value = self.value.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value.strip()) or UNWRITABLE.search(value):
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


def _log(file: File, header: dict[str, Any]) -> Log:
    log = Part(header, "log")
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
    effort, effort_from, budget, cut, settings = _asked(plan, told)
    completed = results.number("completed_samples")
    return Log(
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
        cut=cut,
        settings=settings,
        headline=results.part("headline").text("scorer"),
        legacy_scorer=named[0] or "score",
        graders=GRADERS | {role for role in asked if isinstance(role, str)},
        roles=roles,
        completed_samples=None if completed is None else int(completed),
        writer=_json(told.part("packages").value.get("inspect_ai", "unknown")).strip('"'),
    )


def _asked(plan: Part, told: Part) -> tuple[str, str, int | None, int | None, dict[str, str]]:
    """Return the effort asked, where that is said, the budget of reasoning tokens, the cut, and what else was set."""
    steps = plan.parts("steps")
    places = [step.part("params") for step in steps] + [told.part("model_generate_config"), plan.part("config")]
    # What a solver asks for goes before what the LLM was set to, and that before the settings of the run.
    groups = (places[: len(steps)], places[-2:-1], places[-1:])
    efforts: list[tuple[str, str]] = []
    for group in groups:
        for place in group:
            # A solver may have a parameter of that name that is something else.
            name = next((name for name in EFFORT if isinstance(place.value.get(name), str)), None)
            if name:
                efforts.append((place.text(name), f"{place.place.removeprefix('log.')}.{name}"))
        if efforts:
            break
    budgets, cuts = (_first_numbers(groups, name) for name in ("reasoning_tokens", "max_tokens"))
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
    # Of solvers with limits of their own none cuts the whole.
    cut = int(cuts[0]) if len(set(cuts)) == 1 and cuts[0] >= 1 else None
    return effort, efforts[0][1] if efforts else "", budget, cut, settings


def _first_numbers(groups: Sequence[Sequence[Part]], name: str) -> list[float]:
    """Return the numbers of a name in the first group of places that has some."""
    for group in groups:
        given = [place.value.get(name) for place in group]
        found = [
            one for one in given if isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 2**53
        ]
        if found:
            return found
    return []


def _json(value: Any) -> str:
    """Return a setting as short text; long ones by their beginning and a hash."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    text = UNWRITABLE.sub("\ufffd", " ".join(text.split()))
    return text if len(text) <= 60 else f"{text[:40]}...{hashlib.sha256(text.encode()).hexdigest()[:8]}"


# --- which logs count ---------------------------------------------------------------------------------------


def runs_that_count(logs: list[Log], partial: bool, account: Account) -> list[list[Log]]:
    """Return the logs of each run that count, the newest first."""
    runs: dict[tuple[str, str, str], list[Log]] = {}
    for log in logs:
        runs.setdefault((log.task_id, log.task, log.model), []).append(log)
    groups, unfinished = [], []
    for run in runs.values():
        run.sort(key=lambda log: (log.created, log.status == "success", log.completed, log.name), reverse=True)
        newest = run[0]
        # Copies of one log are read too: one of them may have been edited.
        group = [log for log in run if log.eval_id == newest.eval_id]
        open_ones = [log for log in group if log.status != "success"]
        if open_ones and not partial:
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


def _number_of_samples(log: Log) -> int:
    try:
        return sum(1 for _ in samples_of(log, count=True))
    except (PartError, OSError):
        return 0


def name_settings(logs: list[Log], account: Account) -> None:
    """Name benchmarks by the arguments that differ between their logs, and runs by other settings that do."""
    for task in {log.task for log in logs}:
        same = [log for log in logs if log.task == task]
        differ = _differing([log.args for log in same])
        for log in same:
            told = ", ".join(f"{name}={log.args[name]}" for name in differ if name in log.args)
            log.benchmark = f"{task}({told})" if told else task
        if differ:
            account.note(f"Logs of {task} differ in {', '.join(differ)}: each value is a benchmark of its own")
    cells: dict[tuple[str, str, str, int | None], list[Log]] = {}
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


def samples_of(log: Log, count: bool = False) -> Iterator[tuple[Any, int]]:
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


# --- showing ------------------------------------------------------------------------------------------------


def short(value: Any, most: int = 60) -> str:
    """Return a value, of any size and kind, as one short line."""
    try:
        text = _REPR.repr(value)
    except (ValueError, RecursionError):
        # Python refuses to print integers of more than some thousand digits.
        return f"a value of type {type(value).__name__}"
    return line(text, most)


def line(text: str, most: int) -> str:
    """Return text as one line of so many characters at most."""
    text = UNWRITABLE.sub("\ufffd", " ".join(text[: 4 * most].split()))
    return text if len(text) <= most else text[: most - 3] + "..."


_REPR = reprlib.Repr(maxstring=60, maxother=60, maxlong=60)
