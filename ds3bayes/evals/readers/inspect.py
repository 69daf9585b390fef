"""Logs of Inspect (inspect-ai): archives ``.eval`` and JSON, single or in folders, local or at a URL.

Logs are read here member by member, not through inspect-ai: its import alone takes five seconds, and it builds every
message and event of a sample, of which a table of evaluations needs none (2,000 small samples take it 1.3 s, and this
module .2 s). A user of logs need not have it, nor the version that wrote them: the fields used here are in all of its
versions since logs are archives, and their forms before that are read too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import xarray as xr

from ds3bayes.evals.readers.base import Account, Reader, as_evals
from ds3bayes.evals.readers.inspect_attempts import Attempts, Errors, Options, Rule
from ds3bayes.evals.readers.inspect_logs import (
    UNWRITABLE,
    find_logs,
    kind_of_log,
    name_settings,
    read_headers,
    runs_that_count,
    walk,
)


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
    effort asked, the budget of reasoning tokens and ``max_tokens`` are taken from the solvers' parameters, else from
    ``eval.model_generate_config``, else from ``plan.config``. Logs of one LLM, benchmark and effort that differ in
    their solvers, their temperature or a limit (``max_tokens`` is one) are kept apart by the column ``run``.

    Tokens are the output tokens of the evaluated LLM, hidden reasoning included, never those of a grader; prompt tokens
    include those read from or written to a cache. Where a log has no usage they are blank. A failed attempt counts as
    truncated if a limit of the sample, ``max_tokens`` or the context window ended it. ``max_tokens`` cuts every call of
    an LLM. It is the cut of the attempts of a log, and the column ``max_tokens``, unless one of them is longer (a
    sample of several calls) or was ended by another limit; then the column is blank, and a note says so.

    Examples
    --------
    >>> evals = read_inspect("logs", success={"essays": 0.5})  # doctest: +SKIP
    """
    options = Options(scorer=scorer, success=success, grades=grades, errors=errors, partial=partial)
    account = Account(reader="inspect")
    with ExitStack() as stack:
        logs = read_headers(find_logs(paths, stack, account))
        groups = runs_that_count(logs, options.partial, account)
        read = [log for group in groups for log in group]
        name_settings(read, account)
        attempts = Attempts(read, options, account)
        with _bar(progress, sum(log.size for log in read)) as advance:
            for group in groups:
                attempts.add_run(group, advance)
    frame = attempts.table()
    evals = as_evals(frame, account)
    named = [os.fsdecode(paths)] if isinstance(paths, str | os.PathLike) else [os.fsdecode(path) for path in paths]
    return evals.assign_attrs(source=UNWRITABLE.sub("\ufffd", named[0] if len(named) == 1 else f"{len(named)} paths"))


class InspectLogs(Reader):
    """Logs of Inspect; its options are those of `read_inspect`."""

    name = "inspect"
    title = "Inspect logs"
    function = staticmethod(read_inspect)

    def recognises(self, source: Path) -> bool:
        """Return whether a file is such a log, or a folder holds one."""
        try:
            return any(kind_of_log(path) for path in (walk(source) if source.is_dir() else [source]))
        except (OSError, ValueError):
            return False


@contextmanager
def _bar(shown: bool, size: int) -> Iterator[Callable[[int], None]]:
    """Give what is to be told how many bytes were read."""
    if not shown:
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ds3bayes.terminal import Terminal

    columns = (TextColumn("reading logs"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Terminal(stderr=True)) as progress:
        job = progress.add_task("", total=size)
        yield lambda more: progress.advance(job, more)
