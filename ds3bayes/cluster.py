"""`workers`: the same work for many items, in this process or on the workers of a Dask cluster.

What spreads is what stands by itself: a chain of a fit or of many fits, a fit of a simulated data set, a cell of a
held-out calibration, a refit of a check, a replay of an evaluation, a chunk of a prediction grid. Items carry their
seeds, so that where they run does not change what comes out; on processors with other instruction sets the last digits
may differ.

10,000 fits of twenty Game of 24 tasks (`sbc`, 3.7 s each on one core, warm-up included) take 10 core hours: on 100
nodes of 8 cores each core makes 12 or 13 of them, in about 50 s, after some 10 s in which processes import and compile.
Those of one LLM at 20 tasks (0.5 s each) take 1.4 core hours, 6 or 7 s there. 10,000 fits of the whole of game24 (four
chains of 2.9 s each on one core) take 32 core hours: 40,000 chains, 50 for each core, in two and a half minutes.
"""

from __future__ import annotations

import gc
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Protocol

from ds3bayes.errors import InputError

# Seconds to wait for a scheduler and for its first worker; for a worker to come back once all are gone.
_START, _GONE = 10.0, 60.0
# How often an item is sent again whose data went with a worker. An item that ends its workers is Dask's to count: it is
# given up after `distributed.scheduler.allowed-failures`, 3 by default.
_RESENT = 3
# Whose versions decide what a fit's numbers are; of Python the minor one.
_PACKAGES = ("ds3bayes", "numpy", "pymc")

_lock = Lock()


class ClusterError(InputError):
    """A cluster did not do all of the work: the message says which items are missing and what to do.

    It is raised after all others were handed over.
    """


@contextmanager
def keeping(made: Sized) -> Iterator[None]:
    """Turn a cluster's failure into a warning if there is something to keep: what was made before it.

    Parameters
    ----------
    made : sized
        What is filled within the block.
    """
    try:
        yield
    except ClusterError as error:
        if not len(made):
            raise
        warnings.warn(f"{error}. The {len(made)} that were done are kept", stacklevel=3)


class Spread(Protocol):
    """What `workers` gives: it does one thing to many items."""

    def __call__(
        self,
        function: Callable[[Any, Any], Any],
        items: Iterable[Any],
        *,
        shared: Any = None,
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Yield the place of each item and what the function makes of it, as they are done.

        Parameters
        ----------
        function : callable
            From an item and what is shared to a result.
        items : iterable
            Read a few ahead of what is done.
        shared : object, optional
            What all items need; it goes to each worker once.
        prepare : callable, optional
            What a process does with ``shared`` before its first item, once: the function gets what it returns.
        """


@contextmanager
def workers(scheduler: str | None, *, threads: int = 1) -> Iterator[Spread]:
    """Yield what spreads work over this process's threads, or over a Dask cluster.

    Leaving the block, by an error or Ctrl-C too, cancels what is not yet done.

    Parameters
    ----------
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``; here if absent.
    threads : int, default 1
        At the same time, if here. A worker runs one item in each thread that it was started with.

    Raises
    ------
    InputError
        If no scheduler answers, it has no worker within 10 s, or workers have other versions than this process.
    ClusterError
        While results are read: once all others were, if items are given up, or if the cluster is gone.
    ImportError
        If ``scheduler`` is given and Dask is not installed.

    Notes
    -----
    An item whose worker dies is done again by another one, or by one that joins later.
    """
    if scheduler is None:
        yield _Here(threads)
        return
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("a cluster needs Dask: install ds3bayes[distributed]") from None
    why = ""
    try:
        # Not the default one: what else a program does with Dask stays where it is.
        client = Client(scheduler, timeout=_START, set_as_default=False)
    except (OSError, ValueError) as error:
        why = str(error)
    if why:
        # The client that failed is closed as it is collected. While another client starts that would be a deadlock.
        gc.collect()
        raise InputError(
            f"scheduler = {scheduler!r}: no Dask scheduler answers there ({why}); start `dask scheduler`, and give the "
            "address that it prints"
        )
    with client:
        try:
            client.wait_for_workers(1, timeout=_START)
        except TimeoutError:
            raise InputError(
                f"scheduler = {scheduler!r}: no worker within {_START:g} s; start some, on any machine with ds3bayes: "
                f"`dask worker {scheduler}`"
            ) from None
        _refuse_other_versions(client, scheduler)
        yield _There(client, scheduler)


def _refuse_other_versions(client: Any, scheduler: str) -> None:
    """Name the workers whose packages are not this process's: their numbers would not be the same."""
    mine = _teller()()
    faults: Counter[str] = Counter()
    where: dict[str, str] = {}
    for address, found in client.run(_teller(), on_error="return").items():
        # A worker that died meanwhile tells nothing, and gets nothing to do.
        for name in mine if isinstance(found, dict) else ():
            if found[name] != mine[name]:
                fault = f"{name} {found[name]}, here {mine[name]}"
                faults[fault] += 1
                where.setdefault(fault, address)
    if faults:
        lines = [
            f"worker {where[fault]}{f' and {count - 1} more' if count > 1 else ''}: {fault}"
            for fault, count in faults.items()
        ]
        raise InputError.of_faults(f"scheduler = {scheduler!r}: install the same versions everywhere", lines)


def _teller() -> Callable[[], dict[str, str]]:
    """Return what tells versions, even in a worker without this package: a function within another travels as code."""
    packages = _PACKAGES

    def tell() -> dict[str, str]:
        import importlib.metadata
        import platform

        found = {"python": ".".join(platform.python_version_tuple()[:2])}
        for name in packages:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "missing"
        return found

    return tell


class _Shared:
    """What all items need, and what this process made of it. It lives in a worker as long as it is asked for."""

    def __init__(self, value: Any, prepare: Callable[[Any], Any] | None) -> None:
        self.value, self.prepare = value, prepare
        self._made: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Shared, (self.value, self.prepare))

    def ready(self) -> Any:
        if self.prepare is None:
            return self.value
        with _lock:
            if not self._made:
                self._made.append(self.prepare(self.value))
        return self._made[0]


def _do(function: Callable[[Any, Any], Any], item: Any, shared: _Shared) -> Any:
    return function(item, shared.ready())


@dataclass(frozen=True)
class _Here:
    """In this process."""

    threads: int

    def __call__(
        self,
        function: Callable[[Any, Any], Any],
        items: Iterable[Any],
        *,
        shared: Any = None,
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        held = _Shared(shared, prepare)
        numbered = enumerate(items)
        if self.threads == 1:
            for place, item in numbered:
                yield place, _do(function, item, held)
            return
        pool = ThreadPoolExecutor(self.threads)
        waiting: dict[Future[Any], int] = {}
        try:
            while True:
                for place, item in islice(numbered, 2 * self.threads - len(waiting)):
                    waiting[pool.submit(_do, function, item, held)] = place
                if not waiting:
                    return
                for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                    yield waiting.pop(future), future.result()
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass
class _Sent:
    """An item under way on a cluster."""

    future: Any
    place: int
    item: Any
    resent: int


@dataclass(frozen=True)
class _There:
    """On the workers of a cluster."""

    client: Any
    scheduler: str

    def __call__(
        self,
        function: Callable[[Any, Any], Any],
        items: Iterable[Any],
        *,
        shared: Any = None,
        prepare: Callable[[Any], Any] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        held = _Shared(shared, prepare)
        numbered = enumerate(items)
        done: SimpleQueue[str] = SimpleQueue()
        waiting: dict[str, _Sent] = {}
        lost: dict[int, str] = {}
        finished, looked, most, there = 0, -1.0, 0, self._scatter(held)

        def send(place: int, item: Any, resent: int) -> None:
            nonlocal there
            if there.status != "finished":
                # The workers that had it are gone.
                there = self._scatter(held)
            # Items travel with the graph, which the scheduler keeps: it can hand them to another worker.
            future = self._ask(self.client.submit, _do, function, item, there, pure=False)
            waiting[future.key] = _Sent(future, place, item, resent)
            future.add_done_callback(lambda one: done.put(one.key))

        try:
            while True:
                if time.monotonic() - looked > 1.0:
                    # Workers come and go. Few more items than threads are under way, so that no side holds many.
                    most = 2 * max(1, sum(self._ask(self.client.nthreads).values()))
                    looked = time.monotonic()
                for place, item in islice(numbered, max(0, most - len(waiting))):
                    send(place, item, 0)
                if not waiting:
                    break
                sent = waiting.pop(self._next(done))
                why = self._failure(sent.future)
                if why is None:
                    try:
                        result = self._ask(sent.future.result)
                    except CancelledError:
                        why = _DATA_LOST
                    else:
                        finished += 1
                        yield sent.place, result
                if why == _DATA_LOST and sent.resent < _RESENT:
                    send(sent.place, sent.item, sent.resent + 1)
                elif why is not None:
                    lost[sent.place] = why
        finally:
            if waiting:
                self.client.cancel([sent.future for sent in waiting.values()], force=True)
        if lost:
            named = ", ".join(str(place + 1) for place in sorted(lost)[:10]) + (", ..." if len(lost) > 10 else "")
            raise ClusterError(
                f"scheduler = {self.scheduler!r}: {len(lost)} of {finished + len(lost)} items were given up (number "
                f"{named}): {next(iter(lost.values()))}. Give workers more memory, or fewer threads each"
            )

    def _scatter(self, held: _Shared) -> Any:
        """Give one worker what all need, from which the others get it.

        To all at once (``broadcast``) would be for ever, if one of them died meanwhile.
        """
        deadline = time.monotonic() + _GONE
        while True:
            if self._ask(self.client.nthreads):
                try:
                    return self.client.scatter([held], hash=False)[0]
                except OSError:
                    # The worker died under it, or else the scheduler will not answer either.
                    continue
            if time.monotonic() > deadline:
                raise self._gone()
            time.sleep(0.2)

    def _ask(self, asked: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Talk to the scheduler, which may be gone."""
        import dask

        try:
            # A chunk of a grid may exceed the 10 MB from which Dask warns.
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GiB"}):
                return asked(*arguments, **named)
        except OSError as error:
            raise ClusterError(
                f"scheduler = {self.scheduler!r}: the connection to the scheduler was lost ({error}); see whether it "
                "still runs, and ask again"
            ) from None

    def _next(self, done: SimpleQueue[str]) -> str:
        """Wait for an item, however long it takes, but not for workers that are gone."""
        while True:
            try:
                return done.get(timeout=_GONE)
            except Empty:
                if not self._ask(self.client.nthreads):
                    raise self._gone() from None

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"scheduler = {self.scheduler!r}: all workers are gone, and none came within {_GONE:g} s; start some, "
            f"`dask worker {self.scheduler}`, and ask again"
        )

    def _failure(self, future: Any) -> str | None:
        """Say why an item has no result, or raise what its function raised."""
        from distributed.scheduler import KilledWorker

        if future.status == "cancelled":
            return _DATA_LOST
        if future.status != "error":
            return None
        error = future.exception()
        if isinstance(error, KilledWorker):
            return f"each of {error.allowed_failures + 1} workers died of it"
        raise error


_DATA_LOST = "the workers with its data died, again and again"
