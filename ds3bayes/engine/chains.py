"""Chains that run beside each other: each a function of its own seed, so that one alone is the same as among others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

Array = np.ndarray
#: What a chain drew: its variables and its statistics, (draw, ...) each, without warm-up.
Drawn = tuple[dict[str, Array], dict[str, Array]]

# Seconds to look at one of several chains before the next one is looked at.
_LOOK = 0.005


class Chain(Protocol):
    """A chain that is being sampled, in threads of its own."""

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; return whether it is done. Raises what it failed with."""

    def take(self) -> Drawn:
        """Return what it drew, once it is done."""

    def stop(self) -> None:
        """End it, done or not."""


def plain(values: Array) -> Array:
    """Return an array of numbers as it is, and one of texts, or of nothing, as texts of fixed width."""
    return np.array(["" if one is None else str(one) for one in values]) if values.dtype == object else values


def chain_seed(seed: int, chain: int) -> int:
    """Return the seed of a chain: a fit's own for the first, and others as good as independent of it.

    Parameters
    ----------
    seed : int
        Of the fit.
    chain : int
        From 0.
    """
    return seed if chain == 0 else int(np.random.SeedSequence([seed, chain]).generate_state(1, np.uint64)[0])


def run(begin: Callable[[int], Chain], chains: Iterable[int], cores: int) -> Iterator[tuple[int, Drawn]]:
    """Yield each chain and what it drew, as they are done.

    Parameters
    ----------
    begin : callable
        Starts a chain, given its number.
    chains : iterable of int
        Their numbers.
    cores : int
        How many run at the same time.
    """
    waiting = list(chains)
    running: dict[int, Chain] = {}
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                number = waiting.pop(0)
                running[number] = begin(number)
            for number, chain in list(running.items()):
                if chain.wait(_LOOK if len(running) > 1 else 1.0):
                    drawn = chain.take()
                    running.pop(number).stop()
                    yield number, drawn
                    # Its place is not kept waiting.
                    break
    finally:
        for chain in running.values():
            chain.stop()
