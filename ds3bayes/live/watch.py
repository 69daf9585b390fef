"""`watch`: read logs as they land, refit, and say what changed and what to run next."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals, read_inspect
from ds3bayes.evals.readers.base import Account
from ds3bayes.evals.readers.inspect_logs import find_logs, kind_of_log, read_headers, walk
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.fit import fit
from ds3bayes.queries.decide import Decision, decide
from ds3bayes.queries.next_evals import next_evals
from ds3bayes.queries.predict import predict
from ds3bayes.queries.words import LEVEL

CostName = Literal["tokens", "usd", "flops", "joules", "seconds"]

# Options that are hardly ever the best are no part of what to run next; of the others so many.
_LEAST_P_BEST, _MOST_OPTIONS = 0.005, 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Update:
    """What is known once a log has landed.

    Parameters
    ----------
    attempts, logs : int
        Read in all.
    line : str
        The answer in one line.
    changed : bool
        Whether the answer, apart from its numbers, is another than before.
    next : str
        What to run next, or that nothing more is worth running.
    done : bool
        Whether nothing more is worth running.
    waiting : tuple of str
        Logs that were not read, and why: unfinished, or damaged.
    evals : xarray.Dataset
    fit : xarray.DataTree
    pred : xarray.Dataset
    decision : Decision
    """

    attempts: int
    logs: int
    line: str
    changed: bool
    next: str
    done: bool
    waiting: tuple[str, ...]
    evals: xr.Dataset
    fit: xr.DataTree
    pred: xr.Dataset
    decision: Decision


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What kept the logs from being read or fitted; watching goes on.

    Parameters
    ----------
    line : str
    waiting : tuple of str
        As in `Update`.
    """

    line: str
    waiting: tuple[str, ...] = ()


def watch(
    folder: str | os.PathLike[str],
    spec: ModelSpec | None = None,
    *,
    every: float = 10.0,
    within: float = 0.02,
    options: Mapping[str, Any] | None = None,
    wait: Callable[[float], bool] | None = None,
) -> Iterator[Update | Trouble]:
    """Read the logs of a folder as they land; after each change, fit them all and say what follows.

    Logs of Inspect are read once they are finished: of a running evaluation the fast attempts come first, which are not
    like the rest. Those that `StopWhenDecided` stopped are finished.

    Parameters
    ----------
    folder : str or path
        Of logs, or tables, that `read_evals` reads; it may be empty at first.
    spec : ModelSpec, optional
        With the questions to answer; ``ModelSpec()`` if absent.
    every : float, default 10
        Seconds between looks at the folder.
    within : float, default 0.02
        Where there is one option, nothing more is worth running once its success is known to plus or minus this.
    options : mapping, optional
        What a reader asks for, as for `read_evals`.
    wait : callable, optional
        Called between looks with ``every``; returns whether to look again. Sleeps, and always looks again, if absent.

    Yields
    ------
    Update or Trouble

    Raises
    ------
    InputError
        If the folder is none, or a number is out of range.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: is no folder; give the one that logs are written into")
    if not every > 0.0 or not 0.0 < within < 0.5:
        raise InputError(f"every must be positive and within in (0, 0.5), got {every} and {within}")
    spec = spec or ModelSpec()
    seen: dict[str, tuple[int, int]] | None = None
    answer = ""
    while True:
        now = _state(root)
        if now != seen:
            seen = now
            found = _look(root, spec, within, dict(options or {}), answer)
            if isinstance(found, Update):
                answer = _answer(found.decision)
            if found is not None:
                yield found
        if wait is not None:
            if not wait(every):
                return
        else:
            time.sleep(every)


def _state(root: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of change of each file."""
    result = {}
    for path in walk(root):
        try:
            status = path.stat()
        except OSError:
            # Renamed into place between listing and looking; the next look sees it.
            continue
        result[str(path)] = (status.st_size, status.st_mtime_ns)
    return result


def _look(root: Path, spec: ModelSpec, within: float, options: dict[str, Any], before: str) -> Update | Trouble | None:
    """Read, fit and decide; None where there is nothing to read yet."""
    finished, waiting = _finished(root)
    if finished is not None and not finished:
        return Trouble(line="no log is finished yet", waiting=waiting)
    if finished is None and not any(path.is_file() for path in walk(root)):
        return None
    try:
        evals = (
            read_evals(root, **options)
            if finished is None
            else read_inspect([str(path) for path in finished], **options)
        )
        fitted = fit(evals, spec, progress=False)
        # Of aggregates, no task was observed.
        tasks = spec.query.tasks if (evals["task"] != "").any() else "new"
        pred = predict(fitted, list(spec.query.strategies) or None, tasks=tasks)
        decision = decide(fitted, pred)
        told, done = _next(fitted, pred, decision, spec, tasks, within)
    except Exception as error:
        # Hours of watching outlast one bad log, and one fit that fails.
        return Trouble(line=f"{type(error).__name__}: {error}", waiting=waiting)
    sources = finished if finished is not None else [path for path in walk(root) if path.is_file()]
    return Update(
        attempts=int(evals["attempts"].sum()),
        logs=len(sources),
        line=decision.choice,
        changed=_answer(decision) != before,
        next=told,
        done=done,
        waiting=waiting,
        evals=evals,
        fit=fitted,
        pred=pred,
        decision=decision,
    )


def _finished(root: Path) -> tuple[list[Path] | None, tuple[str, ...]]:
    """Return the finished logs of Inspect, None where there are none of Inspect at all; and which wait, and why."""
    finished, waiting, any_log = [], [], False
    for path in sorted(walk(root)):
        try:
            kind = kind_of_log(path)
        except OSError as error:
            waiting.append(f"{path.name}: {error}")
            continue
        if kind is None:
            # An archive that is being written is none yet.
            if path.suffix == ".eval":
                any_log = True
                waiting.append(f"{path.name}: is not whole yet, or damaged")
            continue
        any_log = True
        try:
            with ExitStack() as stack:
                (log,) = read_headers(find_logs(str(path), stack, Account(reader="inspect")))
        except (InputError, OSError) as error:
            waiting.append(f"{path.name}: {error}")
            continue
        if log.status == "success":
            finished.append(path)
        else:
            waiting.append(f"{path.name}: its status is {log.status!r}")
    return (finished if any_log else None), tuple(waiting)


def _answer(decision: Decision) -> str:
    """What is said, without its numbers."""
    return f"{decision.benchmark}: {decision.chosen or 'none'}"


def _next(
    fitted: xr.DataTree,
    pred: xr.Dataset,
    decision: Decision,
    spec: ModelSpec,
    tasks: Literal["observed", "new"],
    within: float,
) -> tuple[str, bool]:
    """Say what to run next, and whether nothing more is worth running."""
    said, done = [], True
    costs: list[CostName] = [name for name in (spec.query.cost, *get_args(CostName)) if name in pred]
    for part in decision.parts or (decision,):
        rows = part.options[~part.options["bound"].astype(bool) & ~part.options["extrapolated"].astype(bool)]
        rivals = rows[rows["p_best"] >= _LEAST_P_BEST].sort_values("p_best", ascending=False)[:_MOST_OPTIONS]
        if len(rows) == 1:
            (row,) = rows.itertuples()
            half = (row.success_upper - row.success_lower) / 2
            done &= bool(half <= within)
            more = f"{(half / within) ** 2 - 1:.1f} times the attempts made so far would bring it to {within:g}"
            one = (
                f"Success of {row.option} is known to +- {half:.3f} ({LEVEL:.0%}): "
                f"{'nothing more is worth running' if half <= within else more}."
            )
        elif len(rivals) < 2:
            one = "Nothing more is worth running: no other option may be the best."
        elif not costs:
            one, done = f"What to run next needs costs, which are not known ({pred.attrs['absent']}).", False
        else:
            found = next_evals(
                fitted,
                [f"{row.model} | {row.strategy}" for row in rivals.itertuples()],
                tasks=tasks,
                cost=costs[0],
                max_cost=spec.query.max_cost,
                benchmark=part.benchmark,
            )
            done &= found.attrs["choice"] == "none"
            one = found.attrs["sentence"]
        said.append(f"{part.benchmark}: {one}" if decision.parts else one)
    return " ".join(said), done
