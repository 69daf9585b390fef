"""Samples that the LM Evaluation Harness logs: ``samples_*.jsonl`` with their ``results_*.json``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, final

import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.readers.attempts import evals_from
from ds3bayes.evals.readers.base import Account, Reader
from ds3bayes.evals.readers.grades import SCORE, check_full_credit, graded
from ds3bayes.evals.readers.records import content_of, document_of, files_below, keys_in, lines_of, name_of, shown
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

_NAME = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d{2}-\d{2}T[\d.\-]+)\.jsonl")
_VOTE = re.compile(r"maj(?:ority)?[@_](\d+)")
_MOST_FILES = 10_000
_SHARE_OF_ONE = re.compile(r"pass[@_]1")


def read_lm_eval(
    source: str | os.PathLike[str],
    *,
    filter: str | None = None,
    metric: str | None = None,
    model: str | None = None,
    threshold: float | None = None,
    grades: float | None = None,
) -> xr.Dataset:
    """Read the samples that the LM Evaluation Harness writes with ``--log_samples``.

    Parameters
    ----------
    source : path
        A folder that holds ``samples_TASK_DATE.jsonl`` files, at any depth, or one such file. The
        ``results_DATE.json`` beside a file says which LLM it was, and how its filters are made.
    filter : str, optional
        Which of several filters to take: each scores the same documents once more.
    metric : str, optional
        Which of several metrics says whether an answer was right.
    model : str, optional
        Name of the LLM, where no results file says it.
    threshold : float, optional
        Scores of at least this are successes, for a metric that is not 0 or 1.
    grades : float, optional
        Score of full credit of such a metric, whose scores are then kept as ordered grades (the column ``grades``).

    Returns
    -------
    xarray.Dataset
        As from `read_evals`. A document is a task, named by its ``doc_id``; the harness's task is the benchmark. **Only
        what was scored counts**: with ``repeats: 4`` and a filter that takes the first response, a document has one
        attempt. A filter that votes (``maj@4``) gives one decision of ``majority`` with ``n_samples = 4``; ``pass@1``
        of several responses is the share of them that is right, and counts as that many attempts. Files of other dates
        are other runs, and add up; the same file twice counts once.

    Raises
    ------
    InputError
        If several filters or metrics must be chosen from, a score is neither 0 nor 1, the LLM is not said, a document
        is not the same in two runs (by its ``doc_hash``), or a file is damaged.
    """
    check_full_credit(grades, *(["threshold"] if threshold is not None else []))
    path = Path(source)
    account = Account(reader=LMEval.name, versions={"ds3bayes": version("ds3bayes")})
    rows: list[dict[str, Any]] = []
    hashes: dict[tuple[str, str], str] = {}
    seen: dict[str, Path] = {}
    lacking: dict[str, Path] = {}
    for file in _files(path):
        account.source(file)
        digest = account.sources[str(file)]
        if digest in seen:
            account.leave_out(f"in a copy of {seen[digest].name}", file.name, count=len(list(_samples(file))))
            continue
        seen[digest] = file
        of_file = _File.of(file, model, account)
        chosen = _chosen(file, filter, metric)
        if isinstance(chosen, str):
            lacking.setdefault(chosen, file)
            account.leave_out(
                f"in files without the {chosen.split(';')[0]}", file.name, count=len(list(_samples(file)))
            )
            continue
        for number, sample in _samples(file):
            where = f"{file.name}, line {number}"
            if sample.get("filter") != chosen.filter:
                continue
            task = name_of(sample["doc_id"])
            if task is None:
                raise InputError(f"doc_id of {where} is {shown(sample['doc_id'])}; a name or a number is needed")
            known = hashes.setdefault((of_file.benchmark, task), str(sample.get("doc_hash", "")))
            if known != str(sample.get("doc_hash", "")):
                raise InputError(
                    f"{where}: document {task} of {of_file.benchmark} is another one (doc_hash) than in an earlier "
                    "file; read runs of one version of the data at a time"
                )
            value = sample.get(chosen.metric)
            if value is None or value != value:
                account.leave_out(f"not scored by {chosen.metric}", where)
                continue
            rows.append(_row(sample, value, chosen, of_file, task, where, threshold, grades))
    if lacking and not rows:
        said, file = next(iter(lacking.items()))
        raise InputError(f"{file}: has no {said}")
    account.columns = {
        "model": "model_name of the results" if model is None else "as given",
        "benchmark": "the harness's task",
        "task": "doc_id",
        "successes": "the chosen metric"
        + ("" if threshold is None else f", at least {threshold:g}")
        + ("" if grades is None else f", {grades:g}; lesser scores as grades"),
    }
    account.note("the harness logs no tokens")
    return evals_from(graded(rows, str(path)), account, str(path))


@final
class LMEval(Reader):
    """Samples of the LM Evaluation Harness."""

    name: ClassVar[str] = "lm_eval"
    title: ClassVar[str] = "samples of the LM Evaluation Harness (samples_TASK_DATE.jsonl)"
    function = staticmethod(read_lm_eval)

    def recognises(self, source: Path) -> bool:
        """Return whether it is, or holds, samples: by their keys."""
        try:
            return any(keys_in(file, "doc_id", "filtered_resps", "filter") for file in _files(source)[:1])
        except (InputError, OSError):
            return False


@dataclass(frozen=True, kw_only=True)
class _File:
    """Whose samples a file holds."""

    model: str
    benchmark: str
    strategy: str
    filters: Mapping[str, Any]

    @classmethod
    def of(cls, file: Path, model: str | None, account: Account) -> _File:
        name = _NAME.fullmatch(file.name)
        results: Any = {}
        if name:
            beside = file.with_name(f"results_{name['date']}.json")
            if beside.is_file():
                account.source(beside, content_of(beside))
                results = document_of(beside)
        results = results if isinstance(results, Mapping) else {}
        if "lm_eval_version" in results:
            account.versions["lm_eval"] = str(results["lm_eval_version"])
        benchmark = name["task"] if name else file.stem.removeprefix("samples_")
        model = model or results.get("model_name")
        if not isinstance(model, str) or not model:
            raise InputError(f"{file}: no results_*.json beside it says which LLM it was; pass model=")
        configs = results.get("configs")
        config = configs.get(benchmark) if isinstance(configs, Mapping) else None
        config = config if isinstance(config, Mapping) else {}
        # Choices among given answers are no chains of thought.
        chosen = config.get("output_type") in ("multiple_choice", "loglikelihood", "loglikelihood_rolling")
        listed = config.get("filter_list")
        filters = {str(one.get("name")): one.get("filter") for one in listed or [] if isinstance(one, Mapping)}
        return cls(model=model, benchmark=benchmark, strategy="direct" if chosen else DEFAULT_SAMPLER, filters=filters)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    filter: str
    metric: str


def _files(path: Path) -> list[Path]:
    lacking = "holds no samples_*.jsonl; run the harness with --log_samples"
    return files_below(path, "samples_*.jsonl", lacking, _MOST_FILES)


def _samples(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, sample, _ in lines_of(file):
        if "doc_id" not in sample or "filter" not in sample:
            raise InputError(f"{file}, line {number}: is no sample of the harness: it has no doc_id or no filter")
        yield number, sample


def _chosen(file: Path, filter: str | None, metric: str | None) -> _Chosen | str:
    """Return the filter and the metric to read, which a file with several does not say; or what the file lacks."""
    filters: dict[str, None] = {}
    metrics: dict[str, None] = {}
    for _, sample in _samples(file):
        filters.setdefault(str(sample["filter"]))
        listed = sample.get("metrics")
        metrics |= dict.fromkeys(str(one) for one in (listed if isinstance(listed, list) else []))
    for kind, asked, there in (("filter", filter, list(filters)), ("metric", metric, list(metrics))):
        if asked is not None and asked not in there:
            return f"{kind} {asked!r}; there: {', '.join(map(repr, there)) or 'none'}." + did_you_mean(asked, there)
        if asked is None and len(there) != 1:
            why = "each scores the same documents once more" if kind == "filter" else "one says what a success is"
            raise InputError(
                f"{file}: holds {len(there)} {kind}s ({', '.join(there) or 'none'}), and {why}; pass {kind}="
            )
    return _Chosen(filter=filter or next(iter(filters)), metric=metric or next(iter(metrics)))


def _row(
    sample: Mapping[str, Any],
    value: Any,
    chosen: _Chosen,
    of_file: _File,
    task: str,
    where: str,
    threshold: float | None,
    grades: float | None,
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "model": of_file.model,
        "benchmark": of_file.benchmark,
        "task": task,
        "strategy": of_file.strategy,
    }
    score = float(value) if isinstance(value, int | float) and abs(value) < 1e15 else None
    if score is None:
        raise InputError(f"{where}: {chosen.metric} is {shown(value)}; a number is needed. Pass another metric=")
    voters = _voters(sample, chosen, of_file)
    if voters > 1:
        row |= {"strategy": "majority", "n_samples": voters}
    scored = _scored(sample)
    if voters == 1 and scored > 1:
        right = score * scored
        if not _SHARE_OF_ONE.fullmatch(chosen.metric):
            raise InputError(
                f"{where}: {chosen.metric} is one score of {scored} responses, which does not say how many were right; "
                "pass filter= or metric= with one that does (pass@1)"
            )
        if abs(right - round(right)) > 1e-6:
            raise InputError(f"{where}: {chosen.metric} {score:g} is no share of {scored} responses")
        return row | {"attempts": scored, "successes": round(right)}
    if threshold is not None:
        return row | {"attempts": 1, "successes": int(score >= threshold)}
    if grades is not None and voters == 1:
        return row | {"attempts": 1, SCORE: (score, float(grades))}
    if score not in (0.0, 1.0):
        raise InputError(
            f"{where}: {chosen.metric} is {score:g}, neither 0 nor 1; pass threshold=, from which on a score is a "
            "success, grades=, the score of full credit, to keep ordered scores, or another metric="
        )
    return row | {"attempts": 1, "successes": int(score)}


def _voters(sample: Mapping[str, Any], chosen: _Chosen, of_file: _File) -> int:
    """Return how many responses a filter votes over; 1 if it does not vote."""
    named = _VOTE.search(chosen.filter)
    if named:
        return int(named[1])
    steps = of_file.filters.get(chosen.filter)
    functions = [str(step.get("function")) for step in steps or [] if isinstance(step, Mapping)]
    if "majority_vote" not in functions:
        return 1
    taken = [int(step["k"]) for step in steps or [] if isinstance(step, Mapping) and isinstance(step.get("k"), int)]
    return min([*taken, max(1, _responses(sample.get("resps")))])


def _scored(sample: Mapping[str, Any]) -> int:
    """Return how many responses one score is of: those that the filter left."""
    left = sample.get("filtered_resps")
    if not isinstance(left, list) or not left:
        return 1
    # One element per request; of a generation it is a response, or a list of responses.
    return len(left[0]) if len(left) == 1 and isinstance(left[0], list) and left[0] and _texts(left[0]) else 1


def _texts(values: list[Any]) -> bool:
    return all(isinstance(one, str) for one in values)


def _responses(value: Any) -> int:
    first = value[0] if isinstance(value, list) and value else None
    return len(first) if isinstance(first, list) else 1
