"""Records in the schema of Every Eval Ever (0.3): of single samples, and those aggregate ones that hold counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, final

import xarray as xr

from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals.readers.attempts import evals_from
from ds3bayes.evals.readers.base import Account, Reader
from ds3bayes.evals.readers.grades import SCORE, check_full_credit, graded
from ds3bayes.evals.readers.records import document_of, files_below, keys_in, lines_of, parse, shown
from ds3bayes.strategies.attempts import DEFAULT_SAMPLER

#: The schema's version that is written, and read.
SCHEMA_VERSION = "0.3.0"
#: Where `ds3bayes.write_every_eval_ever` keeps the rows of the table that a result rests on.
COUNTS = "ds3bayes_rows"


def read_every_eval_ever(
    source: str | os.PathLike[str],
    *,
    result: str | None = None,
    threshold: float | None = None,
    grades: float | None = None,
) -> xr.Dataset:
    """Read records of single samples in the schema of Every Eval Ever.

    Parameters
    ----------
    source : path
        A ``.jsonl`` file of such records, or a folder that holds some at any depth. Or aggregate records (``.json``)
        that `write_every_eval_ever` wrote, whose results hold their counts; others do not say how many attempts there
        were at which task, and are refused.
    result : str, optional
        Which of several evaluation results (``evaluation_result_id``: a scorer and its metric) says what a success is.
    threshold : float, optional
        Scores of at least this are successes, where scores are neither 0 nor 1 and are of single attempts.
    grades : float, optional
        Score of full credit of such scores, which are then kept as ordered grades (the column ``grades``).

    Returns
    -------
    xarray.Dataset
        As from `read_evals`: LLM ``model_id``, benchmark ``evaluation_name``, task ``sample_id``, one attempt per
        record. **A score is taken before ``is_correct``**: converters write the mean over a sample's epochs into each
        of its records, and call it correct if it is above 0. A fraction that is the same in all of a sample's records
        is taken as their mean where that is a whole number of successes, and refused elsewhere. Records with an
        ``error`` are left out, though they hold a score. Tokens are the output's; those read from a cache are the
        prompt's.

    Raises
    ------
    InputError
        If several results must be chosen from, scores are fractions that say no number of successes, or a file is
        damaged.
    """
    check_full_credit(grades, *(["threshold"] if threshold is not None else []))
    path = Path(source)
    account = Account(reader=EveryEvalEver.name, versions={"ds3bayes": version("ds3bayes")})
    aggregates = _aggregates(path)
    if aggregates:
        asked = {"result": result, "threshold": threshold, "grades": grades}
        return _of_aggregates(path, aggregates, [name for name, value in asked.items() if value is not None], account)
    cells: dict[tuple[str, str, str], _Sample] = {}
    results: dict[str, None] = {}
    seen: dict[tuple[str, ...], str] = {}
    for file in _files(path):
        account.source(file)
        for number, record in _records(file):
            where = f"{file.name}, line {number}"
            named = record.get("evaluation_result_id")
            if isinstance(named, str):
                results.setdefault(named)
            if record.get("error"):
                account.leave_out("errored, though they hold a score", where)
                continue
            if result is not None and named != result:
                account.leave_out("of another result", where)
                continue
            key = tuple(_text(record, name, where) for name in ("model_id", "evaluation_name", "sample_id"))
            metadata = record.get("metadata")
            epoch = metadata.get("epoch") if isinstance(metadata, Mapping) else None
            if epoch is not None:
                once = (*key, str(record.get("evaluation_id")), str(named), str(epoch))
                if once in seen:
                    if seen[once] == repr(record):
                        account.leave_out("copies of a record", where)
                        continue
                    raise InputError(f"{where}: epoch {epoch} of sample {key[2]!r} is there twice, with other content")
                seen[once] = repr(record)
            cells.setdefault((key[0], key[1], key[2]), _Sample()).add(record, where)
    if result is not None and result not in results:
        raise InputError(
            f"{path}: evaluation_result_id {result!r}; there: {', '.join(map(repr, results)) or 'none'}."
            + did_you_mean(result, list(results))
        )
    if result is None and len(results) > 1:
        raise InputError(
            f"{path}: holds {len(results)} results of the same samples ({', '.join(results)}); pass result= with one"
        )
    rows = []
    for (model, benchmark, task), sample in cells.items():
        for row in sample.rows(f"{path}: sample {task!r} of {benchmark}", threshold, grades, account):
            rows.append({"model": model, "benchmark": benchmark, "task": task, "strategy": DEFAULT_SAMPLER} | row)
    account.columns = {
        "model": "model_id",
        "benchmark": "evaluation_name",
        "task": "sample_id",
        "successes": "evaluation.score"
        + ("" if threshold is None else f", at least {threshold:g}")
        + ("" if grades is None else f", {grades:g}; lesser scores as grades"),
        "completion_tokens": "token_usage.output_tokens",
        "prompt_tokens": "token_usage.input_tokens and input_tokens_cache_read",
    }
    return evals_from(graded(rows, str(path)), account, str(path))


@final
class EveryEvalEver(Reader):
    """Records of Every Eval Ever: of single samples, or aggregate ones with counts."""

    name: ClassVar[str] = "every_eval_ever"
    title: ClassVar[str] = "records of Every Eval Ever (*_samples.jsonl, or what write_every_eval_ever wrote)"
    function = staticmethod(read_every_eval_ever)

    def recognises(self, source: Path) -> bool:
        """Return whether it is, or holds, such records: by their keys."""
        try:
            return bool(_aggregates(source)) or any(
                keys_in(file, "schema_version", "evaluation_id", "sample_id") for file in _files(source)[:1]
            )
        except (InputError, OSError):
            return False


@dataclass(kw_only=True)
class _Sample:
    """The records of one sample: their scores, tokens and places."""

    scores: list[float] = field(default_factory=list)
    tokens: list[tuple[float | None, float | None]] = field(default_factory=list)
    places: list[str] = field(default_factory=list)

    def add(self, record: Mapping[str, Any], where: str) -> None:
        evaluation = record.get("evaluation")
        score = evaluation.get("score") if isinstance(evaluation, Mapping) else None
        number = (
            isinstance(score, int | float) and not isinstance(score, bool) and (score != score or abs(score) < 1e15)
        )
        if not (score is None or number):
            raise InputError(f"{where}: evaluation.score is {shown(score)}; a number is needed")
        self.scores.append(float("nan") if score is None else float(score))
        usage = record.get("token_usage")
        usage = usage if isinstance(usage, Mapping) else {}
        prompt = [usage.get(name) for name in ("input_tokens", "input_tokens_cache_read", "input_tokens_cache_write")]
        given = [_number(one, where) for one in prompt if one is not None]
        out = usage.get("output_tokens")
        self.tokens.append((None if out is None else _number(out, where), sum(given) if given else None))
        self.places.append(where)

    def rows(
        self, where: str, threshold: float | None, grades: float | None, account: Account
    ) -> Iterator[dict[str, Any]]:
        """Yield rows of the table: one per attempt, or one of them all where only their mean is known."""
        scored = [place for place, score in enumerate(self.scores) if score == score]
        for place in range(len(self.scores)):
            if place not in scored:
                account.leave_out("unscored", self.places[place])
        scores = [self.scores[place] for place in scored]
        if not scores:
            return
        if threshold is not None or grades is not None or all(score in (0.0, 1.0) for score in scores):
            for place in scored:
                out, prompt = self.tokens[place]
                score = self.scores[place]
                told: dict[str, Any] = {"successes": int(score >= (1.0 if threshold is None else threshold))}
                if grades is not None:
                    told = {SCORE: (score, float(grades))}
                yield {"attempts": 1, **told, "completion_tokens": out, "prompt_tokens": prompt}
            return
        in_all = scores[0] * len(scores)
        whole = 0 < scores[0] < 1 and abs(in_all - round(in_all)) < 1e-6
        if len(scores) == 1 or len(set(scores)) > 1 or not whole:
            listed = ", ".join(f"{score:g}" for score in dict.fromkeys(scores))
            raise InputError(
                f"{where}: {len(scores)} records with score {listed}, which says no number of successes; pass "
                "threshold=, from which on a score is a success, or grades=, the score of full credit, to keep those "
                "of single attempts as grades"
            )
        account.note("fractions that are the same in all records of a sample were taken as the mean over its epochs")
        totals = [[self.tokens[place][kind] for place in scored] for kind in (0, 1)]
        out, prompt = (None if None in values else sum(v for v in values if v is not None) for values in totals)
        yield {"attempts": len(scores), "successes": round(in_all), "completion_tokens": out, "prompt_tokens": prompt}


def _aggregates(path: Path) -> list[Path]:
    """Return the files of aggregate records, if there are no records of samples."""
    try:
        if path.is_dir() and any(path.rglob("*.jsonl")):
            return []
        files = files_below(path, "*.json", "holds no records")
    except InputError:
        return []
    return [file for file in files if keys_in(file, "schema_version", "evaluation_id", "source_metadata")]


def _of_aggregates(path: Path, files: list[Path], asked: list[str], account: Account) -> xr.Dataset:
    """Read the rows that results hold; the same rows in several records count once."""
    if asked:
        raise InputError(
            f"{path}: holds aggregate records, of which all results are read as they are; drop {asked[0]}="
        )
    rows: dict[str, dict[str, Any]] = {}
    for file in files:
        account.source(file)
        record = document_of(file)
        results = record.get("evaluation_results") if isinstance(record, Mapping) else None
        for number, one in enumerate(results if isinstance(results, list) else [], 1):
            details: Any = one
            for name in ("score_details", "details", COUNTS):
                details = details.get(name) if isinstance(details, Mapping) else None
            try:
                told = parse(details) if isinstance(details, str) else None
            except (ValueError, RecursionError):
                told = None
            if not isinstance(told, list) or not all(isinstance(row, dict) for row in told):
                raise InputError(
                    f"{file}: result {number} is an aggregate: a score does not say how many attempts there were at "
                    "which task. Needed: records of single samples (*_samples.jsonl), or what write_every_eval_ever "
                    "wrote with counts=True"
                )
            for row in told:
                key = json.dumps(row, sort_keys=True)
                if key in rows:
                    account.note("rows that several records hold alike were counted once")
                rows[key] = row
    account.columns = {"all columns": f"score_details.details.{COUNTS} of each result"}
    return evals_from(list(rows.values()), account, str(path))


def _files(path: Path) -> list[Path]:
    return files_below(path, "*.jsonl", "holds no .jsonl file of records of samples")


def _records(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, record, _ in lines_of(file):
        if "sample_id" not in record or "evaluation" not in record:
            raise InputError(f"{file}, line {number}: is no record of a sample: it has no sample_id or no evaluation")
        yield number, record


def _text(record: Mapping[str, Any], name: str, where: str) -> str:
    value = record.get(name)
    if isinstance(value, str) and value.strip():
        return value
    raise InputError(f"{where}: {name} is {shown(value)}; a name is needed")


def _number(value: Any, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15:
        return float(value)
    raise InputError(f"{where}: token_usage holds {shown(value)}; a number of tokens is needed")
