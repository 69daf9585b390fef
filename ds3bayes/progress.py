"""What a long command shows of its stages: a line that moves on a terminal, and one that stays, once each is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from ds3bayes.terminal import Terminal, plain

#: Seconds between two pictures of a stage.
_EVERY = 0.1


class Told:
    """How far a stage is; called with that, from any thread.

    Parameters
    ----------
    total : int or None
        How much there is to do, if that is known.
    unit : str
        What is counted.
    show : callable
        Takes this, and shows it.
    say : callable
        Takes a text, and shows it for good.
    """

    def __init__(
        self,
        total: int | None,
        unit: str,
        show: Callable[[Told], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.total, self.unit, self.show, self.say = total, unit, show, say
        self.done = 0
        self.divergences: int | None = None
        self.started = time.perf_counter()
        #: Share of the work that was done when that was last told, and how many seconds had passed by then.
        self.reached: tuple[float, float] | None = None

    def __call__(self, done: int, divergences: int | None = None) -> None:
        """Say how much is done, and how many draws diverged."""
        self.done, self.divergences = done, divergences
        if self.total and done:
            self.reached = (done / self.total, self.seconds)
        self.show(self)

    def share(self, done: float) -> None:
        """Say what share of a stage without a count is done, in [0, 1]: shares of the time that it usually takes."""
        self.reached = (done, self.seconds)
        self.show(self)

    @property
    def seconds(self) -> float:
        """Since the stage began."""
        return time.perf_counter() - self.started

    @property
    def counted(self) -> str:
        """What was counted until now, in words; empty if nothing was."""
        if not self.done:
            return ""
        of = f" of {self.total:,}" if self.total and self.done < self.total else ""
        said = f"{self.done:,}{of} {self.unit} ({self.done / max(self.seconds, 1e-9):,.0f} per second)"
        if self.divergences is None:
            return said
        return f"{said}, {self.divergences:,} divergence{'s' * (self.divergences != 1)}"

    @property
    def left(self) -> str:
        """How long the rest will take if it goes on as it has, in words; empty if nobody can know."""
        if self.reached is None or not self.reached[0] > 0:
            return ""
        share, then = self.reached
        # What passes after that was told is no slower work, but part of the rest.
        rest = then / share - self.seconds
        return f"about {lasted(rest)} left" if rest > 0 else ""


class _Clock(ProgressColumn):
    """How long a stage has lasted, what it counted, and how long it will last; at every picture anew."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self._told = told

    def render(self, task: Task) -> Text:
        parts = (lasted(self._told.seconds), self._told.left, self._told.counted)
        return Text(", ".join(part for part in parts if part))


def lasted(seconds: float) -> str:
    """Return a length of time in words: ``0.4 s``, ``12 s``, ``3 min 20 s``.

    Parameters
    ----------
    seconds : float

    Examples
    --------
    >>> [lasted(one) for one in (0.41, 12.3, 200.0, 7300.0)]
    ['0.4 s', '12 s', '3 min 20 s', '2 h 1 min']
    """
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


@contextmanager
def doing(what: str, total: int | None = None, *, unit: str = "draws", show: bool = True) -> Iterator[Told]:
    """Show that a stage of work is under way, and once it is over, how long it took.

    Parameters
    ----------
    what : str
        What is being done, as in ``"sampling"``.
    total : int, optional
        How much of ``unit`` there is to do.
    unit : str, default "draws"
        What is counted.
    show : bool, default True
        Whether to show anything.

    Yields
    ------
    Told
        Call it with how much is done. On a terminal a line moves, with the time that has passed, the time that is left,
        the speed and the divergences. Elsewhere nothing is written but the line that stays.
    """
    console = Terminal(stderr=True)
    # Colours can be forced where nothing moves: in a notebook, or in a log.
    moving = show and console.is_terminal and sys.stderr.isatty()
    told = Told(total, unit, say=lambda text: console.print(text) if show else None)

    def over(ended: str = "") -> None:
        if show:
            counted = f", {told.counted}" if told.counted else ""
            console.print(plain(f"{what}: {ended}{lasted(told.seconds)}{counted}"))

    try:
        with _moving(what, told, console) if moving else nullcontext():
            yield told
    except KeyboardInterrupt:
        over("stopped after ")
        raise
    # What fails says so itself.
    over()


@contextmanager
def _moving(what: str, told: Told, console: Terminal) -> Iterator[None]:
    """Show a line that moves, and goes once the stage is over."""
    columns = (SpinnerColumn(), TextColumn(plain(what)), BarColumn(30), _Clock(told))
    with Progress(*columns, console=console, transient=True) as bar:
        line = bar.add_task("", total=None)
        shown = 0.0

        def picture(now: Told) -> None:
            nonlocal shown
            if time.perf_counter() - shown >= _EVERY:
                shown = time.perf_counter()
                share = None if now.reached is None else now.reached[0]
                bar.update(line, total=None if share is None else 1.0, completed=share or 0.0)

        told.show = picture
        yield


__all__ = ["Told", "doing", "lasted"]
