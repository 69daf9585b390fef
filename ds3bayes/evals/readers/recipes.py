"""Results of well-known benchmark programs whose columns do not mean what they seem to.

Each is a reader of its own, which `read_evals` finds by content; what a file does not say is asked for::

    ds3.read_evals("tool-calling-acme-1-0.0_range_0--1_user-acme-1-llm.json", benchmark="retail")  # tau-bench
    ds3.read_evals("runs/2026-01-05__10-00-00", model="acme-1")                                   # terminal-bench
    ds3.read_evals("polyglot_leaderboard.yml")                                                    # Aider
    ds3.read_evals("acme-1_eval_results.json", model="acme-1", tests="plus")                      # EvalPlus
    ds3.read_evals("results.json", benchmark="triage")                                            # promptfoo
    ds3.read_evals("runs/mmlu:subject=anatomy,model=acme_1", metric="exact_match")                # HELM
    ds3.read_evals("outputs/default/20260105_100000/results/acme-1/gsm8k.json")                   # OpenCompass
    ds3.read_evals("train-00000-of-00001.parquet", benchmark="aime_2025")                         # MathArena

A folder of several files is read as a whole, and its files add up; `FileReader` says how copies are told, and how files
are given options of their own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, final

import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals.choose import to_table
from ds3bayes.evals.readers.attempts import evals_from, read_attempts
from ds3bayes.evals.readers.base import Account, Reader
from ds3bayes.evals.readers.file_by_file import IDENTITY, FileReader
from ds3bayes.evals.readers.grades import SCORE, check_full_credit
from ds3bayes.evals.readers.records import (
    MOST_FILES,
    content_of,
    document_of,
    first_record,
    head_of,
    keys_in,
    name_of,
    readable,
    shown,
)
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

_EFFORT = re.compile(r"(.+?) \((minimal|low|medium|high|xhigh|max)\)")
_TAU_FILE = re.compile(r"(?<![a-z])(?:tool-calling|act|react|few-shot)-(.+)-\d+(?:\.\d+)?_range_")
#: Metrics of HELM that say whether one answer was right.
_HELM_METRICS = ("exact_match", "quasi_exact_match", "prefix_exact_match", "quasi_prefix_exact_match", "math_equiv")


# --- what they share ----------------------------------------------------------------------------------------


def _needed(where: Path, **values: str | None) -> None:
    lacking = [name for name, value in values.items() if not value]
    if lacking:
        raise InputError(
            f"{where}: does not say its {' and '.join(lacking)}; pass {', '.join(f'{n}=' for n in lacking)}"
        )


def _strange(where: Path, what: str) -> InputError:
    return InputError(f"{where}: not as its program writes it: {what}")


def _object(value: Any, where: Path, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _strange(where, f"{what} is {shown(value)}, not an object")
    return value


def _list(value: Any, where: Path, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _strange(where, f"{what} is {shown(value)}, not a list")
    return value


def _id(value: Any, where: Path, what: str) -> str:
    name = name_of(value)
    if name is not None:
        return name
    raise _strange(where, f"{what} is {shown(value)}; a name or a number is needed")


def _tokens(value: Any) -> Any:
    """Return a number of tokens, blank for none."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    return shown(value)


def _binary(value: Any, where: Path, what: str) -> bool:
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return bool(value)
    raise _strange(where, f"{what} is {shown(value)}; allowed: true, false, 0 or 1")


# --- readers ------------------------------------------------------------------------------------------------


@final
class TauBench(FileReader):
    """Trajectories of tau-bench: a crash is written as reward 0, and is no answer."""

    name: ClassVar[str] = "tau_bench"
    title: ClassVar[str] = "results of tau-bench (a JSON list of trajectories)"

    def is_one(self, path: Path) -> bool:
        """Return whether the first trajectory has its fields."""
        marks = ("traj", "reward_info", "traceback")
        return keys_in(path, "task_id", "reward", "info") and any(keys_in(path, mark) for mark in marks)

    def rows(
        self, path: Path, account: Account, *, benchmark: str | None = None, model: str | None = None
    ) -> list[dict[str, Any]]:
        """Return its attempts.

        Parameters
        ----------
        path : Path
        account : Account
        benchmark : str
            Such as "retail" or "airline", which the file does not say.
        model : str, optional
            As in the file's name where not given.

        Returns
        -------
        list of dict
        """
        if model is None and (found := _TAU_FILE.search(path.name)):
            model = found[1]
            account.note(f"the LLM is {model!r} by the file's name")
        _needed(path, benchmark=benchmark, model=model)
        account.columns = {"task": "task_id", "successes": "reward = 1", "left out": "info.error"}
        rows, seen = [], set()
        for number, record in enumerate(_list(document_of(path), path, "its content"), 1):
            entry = _object(record, path, f"entry {number}")
            task = _id(entry.get("task_id"), path, f"task_id of entry {number}")
            trial = entry.get("trial")
            where = f"task {task}, trial {shown(trial)}"
            if trial is not None:
                trial = _id(trial, path, f"trial of entry {number}")
                if (task, trial) in seen:
                    raise _strange(path, f"{where} is written twice; remove one")
                seen.add((task, trial))
            info = entry.get("info")
            if isinstance(info, Mapping) and info.get("error"):
                account.leave_out("crashed, which is written as reward 0", where)
                continue
            if entry.get("reward") is None:
                account.leave_out("not scored", where)
                continue
            right = _binary(entry["reward"], path, f"reward of {where}")
            # What was said is not said twice: such an entry is of a file that was copied before it was whole.
            once = (json.dumps(entry, sort_keys=True),) if entry.get("traj") else None
            rows.append({**_row(model, benchmark, task, right), IDENTITY: once})
        return rows


def _row(model: Any, benchmark: Any, task: str, right: bool, **more: Any) -> dict[str, Any]:
    cell = {"model": model, "benchmark": benchmark, "task": task, "strategy": DEFAULT_SAMPLER, "attempts": 1}
    return {**cell, "successes": int(right), **more}


@final
class TerminalBench(Reader):
    """Trials of terminal-bench: an outcome of null is unknown, not wrong."""

    name: ClassVar[str] = "terminal_bench"
    title: ClassVar[str] = "results of terminal-bench (a folder of trials with results.json)"

    def recognises(self, source: Path) -> bool:
        """Return whether it is the result of a trial, or a folder of them."""
        if not source.is_dir():
            return keys_in(source, "is_resolved", "task_id", "trial_name")
        return any(keys_in(path, "is_resolved", "task_id", "trial_name") for path in _trials(source, 1_000)[:20])

    def read(
        self, source: Path, *, model: str | None = None, benchmark: str = "terminal-bench", unknown: str = "leave_out"
    ) -> xr.Dataset:
        """Read it.

        Parameters
        ----------
        source : path
            Folder of a run, or of several.
        model : str
            Which no trial says.
        benchmark : str
        unknown : {"leave_out", "wrong"}
            What becomes of trials without an outcome; the leaderboard counts them as wrong.

        Returns
        -------
        xarray.Dataset
        """
        if unknown not in ("leave_out", "wrong"):
            raise InputError(f"unknown: got {unknown!r}; allowed: 'leave_out', 'wrong'")
        _needed(source, model=model)
        account = Account(reader=self.name, versions={"ds3bayes": version("ds3bayes")})
        account.columns = {
            "task": "task_id",
            "successes": "is_resolved",
            "tokens_mean": "total_output_tokens",
            "prompt_tokens": "total_input_tokens",
            "truncated": "failure_mode = agent_timeout, of failures",
        }
        rows, seen = [], set()
        for path in [source] if source.is_file() else _trials(source, MOST_FILES):
            if not keys_in(path, "is_resolved"):
                continue
            account.source(path)
            document = _object(document_of(path), path, "its content")
            # A run's own file repeats its trials.
            entries = [document] if "trial_name" in document else _list(document.get("results"), path, "results")
            run = path.parent if "trial_name" not in document else path.parents[min(2, len(path.parents) - 1)]
            for number, record in enumerate(entries, 1):
                entry = _object(record, path, f"result {number}")
                name = _id(entry.get("trial_name"), path, "trial_name")
                if (run, name) in seen:
                    continue
                seen.add((run, name))
                task = _id(entry.get("task_id"), path, "task_id")
                outcome, mode = entry.get("is_resolved"), entry.get("failure_mode")
                if outcome is None and unknown == "leave_out":
                    account.leave_out("outcome unknown (is_resolved is null)", f"{name} ({shown(mode)})")
                    continue
                right = outcome is not None and _binary(outcome, path, f"is_resolved of {name}")
                cut = int(mode == "agent_timeout" and not right)
                rows.append(
                    _row(
                        *(model, benchmark, task, right),
                        truncated=cut,
                        completion_tokens=_tokens(entry.get("total_output_tokens")),
                        prompt_tokens=_tokens(entry.get("total_input_tokens")),
                    )
                )
        if unknown == "wrong":
            account.note("trials without an outcome count as wrong, as stated")
        return evals_from(rows, account, str(source))


def _trials(folder: Path, most: int) -> list[Path]:
    """Return the results in a folder, those of trials before those of runs; looks at so many folders at most."""
    found = []
    for count, (parent, _, names) in enumerate(os.walk(folder)):
        if "results.json" in names and Path(parent, "results.json").is_file():
            found.append(Path(parent, "results.json"))
        if count >= most:
            break
    return sorted(found, key=lambda path: (-len(path.parts), str(path)))


@final
class AiderPolyglot(FileReader):
    """Aider's polyglot leaderboard: the second try follows the feedback of tests, so only the first is an attempt."""

    name: ClassVar[str] = "aider_polyglot"
    title: ClassVar[str] = "Aider's polyglot leaderboard (YAML or JSON)"

    def is_one(self, path: Path) -> bool:
        """Return whether its first bytes name the leaderboard's fields."""
        head = head_of(path).decode("utf-8", errors="ignore")
        return all(re.search(rf'(^|[\s{{,"]){key}"?\s*:', head) for key in ("test_cases", "pass_num_1", "model"))

    def rows(self, path: Path, account: Account, *, benchmark: str = "aider-polyglot") -> list[dict[str, Any]]:
        """Return one row per entry, aggregated over its exercises.

        Parameters
        ----------
        path : Path
        account : Account
        benchmark : str

        Returns
        -------
        list of dict
        """
        try:
            import yaml
        except ImportError:
            raise InputError(
                f"{path}: YAML, for which the package pyyaml is needed: pip install 'ds3bayes[yaml]'"
            ) from None
        account.columns = {
            "successes": "pass_num_1",
            "attempts": "test_cases",
            "effort": "the end of model, as '(high)'",
        }
        account.note("pass_num_2 counts a second try after the feedback of tests, and was not used")
        account.note("cost and time are of both tries, and were not used")
        with readable(path, "YAML"):
            entries = yaml.load(content_of(path, 16 * 2**20), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        rows = []
        for number, record in enumerate(_list(entries, path, "its content"), 1):
            entry = _object(record, path, f"entry {number}")
            model = _id(entry.get("model"), path, f"model of entry {number}")
            effort = ""
            if found := _EFFORT.fullmatch(model):
                model, effort = found[1], found[2]
            counts = [entry.get("test_cases"), entry.get("pass_num_1")]
            if any(not isinstance(count, int) or isinstance(count, bool) for count in counts):
                raise _strange(path, f"test_cases and pass_num_1 of {model} are {shown(counts)}, not integers")
            cell = {"model": model, "benchmark": benchmark, "strategy": DEFAULT_SAMPLER, "effort": effort}
            form = entry.get("edit_format")
            # One LLM can be listed with several edit formats.
            cell["run"] = f"{entry.get('dirname', number)}" if _repeats(entries, entry) else ""
            rows.append({**cell, "attempts": counts[0], "tasks": counts[0], "successes": counts[1]})
            if cell["run"]:
                account.note(f"{model} is listed more than once (edit format {shown(form)}): run is its dirname")
        return rows


def _repeats(entries: list[Any], entry: Mapping[str, Any]) -> bool:
    return sum(isinstance(one, Mapping) and one.get("model") == entry.get("model") for one in entries) > 1


@final
class EvalPlus(FileReader):
    """Results of EvalPlus: the base tests and the added ones can differ."""

    name: ClassVar[str] = "evalplus"
    title: ClassVar[str] = "results of EvalPlus (eval_results.json)"

    def is_one(self, path: Path) -> bool:
        """Return whether its first bytes name the two sets of tests."""
        return keys_in(path, "eval", "base_status")

    def rows(
        self,
        path: Path,
        account: Account,
        *,
        model: str | None = None,
        tests: str | None = None,
        benchmark: str | None = None,
    ) -> list[dict[str, Any]]:
        """Return its attempts.

        Parameters
        ----------
        path : Path
        account : Account
        model : str
            Which the file does not say.
        tests : {"plus", "base"}
            Which tests must pass: all (plus) or the benchmark's own (base). Needed where they differ.
        benchmark : str, optional
            The part of the tasks' names before the slash where not given.

        Returns
        -------
        list of dict
        """
        if tests not in (None, "plus", "base"):
            raise InputError(f"tests: got {tests!r}; allowed: 'plus', 'base'")
        _needed(path, model=model)
        document = _object(document_of(path), path, "its content")
        tasks = _object(document.get("eval"), path, "eval")
        outcomes = []
        for task, entries in tasks.items():
            for number, record in enumerate(_list(entries, path, f"eval[{task!r}]"), 1):
                entry = _object(record, path, f"solution {number} of {task}")
                base, plus = (self._status(entry.get(f"{name}_status"), path, task) for name in ("base", "plus"))
                # The added tests are on top of the base ones.
                outcomes.append((task, number, base, None if plus is None else plus and base))
        differ = sum(base != plus for _, _, base, plus in outcomes)
        if tests is None and differ:
            raise InputError(f"{path}: base and plus tests differ for {differ} solutions; pass tests='plus' or 'base'")
        account.columns = {"task": "task_id", "successes": f"{tests or 'base'}_status = pass"}
        rows = []
        for task, number, base, plus in outcomes:
            right = plus if tests == "plus" else base
            if right is None:
                account.leave_out("not scored", f"{task}, solution {number}")
                continue
            rows.append(_row(model, benchmark or task.partition("/")[0], task, right))
        return rows

    @staticmethod
    def _status(value: Any, path: Path, task: str) -> bool | None:
        if value is None:
            return None
        if value in ("pass", "fail", "timeout"):
            # Code that takes too long fails.
            return bool(value == "pass")
        raise _strange(path, f"a status of {task} is {shown(value)}; allowed: pass, fail, timeout")


@final
class Promptfoo(FileReader):
    """Results of promptfoo: cached repeats are copies of one answer, and errors are not failures of the LLM."""

    name: ClassVar[str] = "promptfoo"
    title: ClassVar[str] = "results of promptfoo (JSON)"

    def is_one(self, path: Path) -> bool:
        """Return whether its first bytes name an evaluation and its results."""
        return keys_in(path, "evalId", "results")

    def rows(
        self,
        path: Path,
        account: Account,
        *,
        benchmark: str | None = None,
        model: str | None = None,
        prompt: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return its attempts.

        Parameters
        ----------
        path : Path
        account : Account
        benchmark : str
            Which the file does not say.
        model : str, optional
            The provider's id where not given.
        prompt : int, optional
            ``promptIdx`` of the prompt to read, where there are several.

        Returns
        -------
        list of dict
        """
        _needed(path, benchmark=benchmark)
        account.columns = {
            "model": "provider.id",
            "task": "testIdx",
            "successes": "success",
            "tokens_mean": "response.tokenUsage.completion",
            "prompt_tokens": "response.tokenUsage.prompt",
        }
        document = _object(document_of(path), path, "its content")
        results = _object(document.get("results"), path, "results")
        entries = [_object(one, path, "a result") for one in _list(results.get("results"), path, "results.results")]
        prompts = sorted({shown(entry.get("promptIdx")) for entry in entries})
        if prompt is not None:
            entries = [entry for entry in entries if entry.get("promptIdx") == prompt]
        elif len(prompts) > 1:
            raise InputError(f"{path}: holds {len(prompts)} prompts ({', '.join(prompts[:10])}); pass prompt= with one")
        fresh = {self._identity(entry) for entry in entries if not self._cached(entry)}
        rows = []
        for entry in entries:
            task = _id(entry.get("testIdx"), path, "testIdx")
            identity = self._identity(entry)
            if entry.get("failureReason") == 2:
                account.leave_out("errored before they were scored", f"test {task}: {shown(entry.get('error'))}")
                continue
            if self._cached(entry):
                if identity in fresh:
                    account.leave_out("copies from the cache of an answer that is counted", f"test {task}")
                    continue
                fresh.add(identity)
            right = _binary(entry.get("success"), path, f"success of test {task}")
            response = entry.get("response")
            usage = response.get("tokenUsage") if isinstance(response, Mapping) else None
            usage = usage if isinstance(usage, Mapping) else {}
            rows.append(
                _row(
                    *(model or identity[0], benchmark, task, right),
                    completion_tokens=_tokens(usage.get("completion")),
                    prompt_tokens=_tokens(usage.get("prompt")),
                )
                | {IDENTITY: self._once(entry, identity)}
            )
        return rows

    @staticmethod
    def _identity(entry: Mapping[str, Any]) -> tuple[str, str]:
        provider = entry.get("provider")
        name = provider.get("id") if isinstance(provider, Mapping) else provider
        return shown(name), shown(entry.get("testIdx"))

    def _once(self, entry: Mapping[str, Any], identity: tuple[str, str]) -> tuple[str, ...]:
        """Return what tells an answer in other files: a cached one from that of which it is a copy."""
        response = entry.get("response")
        output = response.get("output") if isinstance(response, Mapping) else None
        answer = json.dumps([*identity, output], sort_keys=True)
        if self._cached(entry):
            return (answer,)
        own = entry.get("id")
        return (own if isinstance(own, str) and own else json.dumps(entry, sort_keys=True), answer)

    @staticmethod
    def _cached(entry: Mapping[str, Any]) -> bool:
        response = entry.get("response")
        return isinstance(response, Mapping) and bool(response.get("cached"))


@final
class Helm(FileReader):
    """Statistics per instance of HELM, whose train trials have other examples in the prompt."""

    name: ClassVar[str] = "helm"
    title: ClassVar[str] = "results of HELM (per_instance_stats.json, with run_spec.json beside it)"
    pattern: ClassVar[str] = "per_instance_stats.json"

    def is_one(self, path: Path) -> bool:
        """Return whether it holds statistics per instance."""
        return keys_in(path, "instance_id", "stats", "train_trial_index")

    def rows(
        self,
        path: Path,
        account: Account,
        *,
        metric: str | None = None,
        model: str | None = None,
        benchmark: str | None = None,
        split: str | None = None,
        grades: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return its attempts.

        Parameters
        ----------
        path : Path
        account : Account
        metric : str, optional
            Which says whether an answer was right; needed where there are several, or none that is known.
        model, benchmark : str, optional
            As in ``run_spec.json`` where not given.
        split : str, optional
            Such as "test"; needed where there are several.
        grades : float, optional
            Score of full credit of a metric with partial credit, which is then kept as ordered grades.

        Returns
        -------
        list of dict
        """
        spec_path = path.with_name("run_spec.json")
        if spec_path.is_file() and not (model and benchmark):
            account.source(spec_path)
            spec = _object(document_of(spec_path), spec_path, "its content")
            adapter = spec.get("adapter_spec")
            model = model or (adapter.get("model") if isinstance(adapter, Mapping) else None)
            # Its name ends in the LLM's: mmlu:subject=anatomy,model=acme_1.
            named = re.sub(r"([:,])model=[^,]*,?", r"\1", str(spec.get("name") or "")).rstrip(",:")
            benchmark = benchmark or named or None
        _needed(path, model=model, benchmark=benchmark)
        entries = []
        for number, record in enumerate(_list(document_of(path), path, "its content"), 1):
            entry = _object(record, path, f"entry {number}")
            task = _id(entry.get("instance_id"), path, f"instance_id of entry {number}")
            where = f"{task}, trial {shown(entry.get('train_trial_index'))}"
            if entry.get("perturbation"):
                account.leave_out("perturbed copies of an instance", where)
                continue
            entries.append((task, where, self._values(entry, path)))
        splits = sorted({part for _, _, values in entries for _, part in values if part})
        if split is None and len(splits) > 1:
            raise InputError(f"{path}: holds the splits {', '.join(splits)}; pass split= with one")
        chosen = [
            (task, where, {name: value for (name, part), value in values.items() if split is None or part == split})
            for task, where, values in entries
        ]
        names = {name for _, _, values in chosen for name in values}
        if metric is None:
            known = [name for name in _HELM_METRICS if name in names]
            if len(known) != 1:
                listed = ", ".join(sorted(names)[:20])
                raise InputError(
                    f"{path}: {len(known) or 'no'} metrics say whether an answer was right "
                    f"({', '.join(known) or listed}); pass metric= with one"
                )
            metric = known[0]
        account.columns = {
            "task": "instance_id",
            "successes": f"{metric} = {1 if grades is None else grades:g}",
            "prompt_tokens": "num_prompt_tokens",
            "tokens_mean": "num_completion_tokens or num_output_tokens",
            "truncated": "finish_reason_length, of failures",
        }
        account.note("train trials have other examples in the prompt: their spread is not that of resampling alone")
        rows = []
        for task, where, values in chosen:
            if values.get(metric) is None:
                account.leave_out(f"not scored (without {metric})" if values else "of another split", where)
                continue
            right, score = self._outcome(values[metric], grades, path, f"{metric} of {where}")
            cut = values.get("finish_reason_length")
            rows.append(
                _row(
                    *(model, benchmark, task, right),
                    truncated=None if cut is None else int(bool(cut) and not right),
                    completion_tokens=_tokens(values.get("num_completion_tokens", values.get("num_output_tokens"))),
                    prompt_tokens=_tokens(values.get("num_prompt_tokens")),
                )
                | score
            )
        return rows

    @staticmethod
    def _outcome(value: Any, grades: float | None, path: Path, what: str) -> tuple[bool, dict[str, Any]]:
        check_full_credit(grades)
        if grades is None:
            try:
                return _binary(value, path, what), {}
            except InputError as error:
                fraction = isinstance(value, float) and 0 < value < 1
                hint = "; or pass grades=1, and partial credit is kept as ordered grades" if fraction else ""
                raise InputError(f"{error}{hint}") from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _strange(path, f"{what} is {shown(value)}; a number is needed")
        return value == grades, {SCORE: (float(value), float(grades))}

    @staticmethod
    def _values(entry: Mapping[str, Any], path: Path) -> dict[tuple[str, str], Any]:
        values = {}
        for one in _list(entry.get("stats"), path, "stats"):
            stat = _object(one, path, "a statistic")
            name = _object(stat.get("name"), path, "the name of a statistic")
            if not name.get("perturbation"):
                values[str(name.get("name")), str(name.get("split") or "")] = stat.get("mean")
        return values


@final
class OpenCompass(FileReader):
    """Results of OpenCompass with details: ``results/LLM/BENCHMARK.json``."""

    name: ClassVar[str] = "opencompass"
    title: ClassVar[str] = "results of OpenCompass with details (JSON)"

    def is_one(self, path: Path) -> bool:
        """Return whether its first bytes name details of predictions."""
        return keys_in(path, "details") and (keys_in(path, "correct") or keys_in(path, "is_correct"))

    def rows(
        self, path: Path, account: Account, *, model: str | None = None, benchmark: str | None = None
    ) -> list[dict[str, Any]]:
        """Return its attempts.

        Parameters
        ----------
        path : Path
        account : Account
        model, benchmark : str, optional
            As in the path where not given.

        Returns
        -------
        list of dict
        """
        if "results" in path.parts[-3:-2]:
            model, benchmark = model or path.parts[-2], benchmark or path.stem
            account.note(f"the LLM is {model!r} and the benchmark {benchmark!r} by the path")
        _needed(path, model=model, benchmark=benchmark)
        account.columns = {"task": "the place in details", "successes": "correct"}
        details = _object(document_of(path), path, "its content").get("details")
        if isinstance(details, list):
            entries = [(str(number), entry) for number, entry in enumerate(details)]
        else:
            # Lists and dictionaries are both written; the latter also holds its kind.
            entries = [(task, entry) for task, entry in _object(details, path, "details").items() if task != "type"]
        rows = []
        for task, record in entries:
            entry = _object(record, path, f"detail {task}")
            outcome = entry.get("correct", entry.get("is_correct"))
            # One per repeat where the benchmark was run several times.
            for one in outcome if isinstance(outcome, list) else [outcome]:
                if one is None:
                    account.leave_out("not scored", f"detail {task}")
                    continue
                rows.append(_row(model, benchmark, task, _binary(one, path, f"correct of detail {task}")))
        return rows


@final
class MathArena(FileReader):
    """Answers of MathArena: `read_attempts` with its columns named."""

    name: ClassVar[str] = "matharena"
    title: ClassVar[str] = "answers of MathArena (Parquet or JSONL)"
    is_table: ClassVar[bool] = True

    def is_one(self, path: Path) -> bool:
        """Return whether the first row has its columns."""
        record = first_record(path)
        return record is not None and {"problem_idx", "idx_answer", "correct", "parsed_answer"} <= set(record)

    def rows(self, path: Path, account: Account, *, benchmark: str | None = None) -> list[dict[str, Any]]:
        """Return its attempts.

        Parameters
        ----------
        path : Path
        account : Account
        benchmark : str
            The competition, which the file does not say.

        Returns
        -------
        list of dict
        """
        _needed(path, benchmark=benchmark)
        evals = read_attempts(
            path,
            model="model_name",
            task="problem_idx",
            attempt="idx_answer",
            answer="parsed_answer",
            success="correct",
            constants={"benchmark": benchmark},
            ignore=["problem"],
        )
        told = json.loads(evals.attrs["account"])
        account.columns = told["columns"]
        for one in told["left_out"]:
            account.leave_out(one["why"], "; ".join(one["examples"][:1]), one["count"])
        for note in told["notes"]:
            account.note(note)
        return [
            {name: value for name, value in row.items() if value == value and value != ""}
            for row in to_table(evals).to_dict("records")
        ]
