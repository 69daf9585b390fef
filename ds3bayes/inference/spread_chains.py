"""`sampled_there`: the chains of one fit or of many on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from ds3bayes.cluster import workers
from ds3bayes.engine.chains import Drawn
from ds3bayes.generative.design import Design
from ds3bayes.generative.spec import ModelSpec, Sampling
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.inference.unfinished import Unfinished


@dataclass(frozen=True, kw_only=True)
class Order:
    """A fit whose chains are wanted.

    Parameters
    ----------
    design : Design
    spec : ModelSpec
    sampling : Sampling
    unfinished : Unfinished, optional
        Where whole chains are kept as they come, and found again.
    """

    design: Design
    spec: ModelSpec
    sampling: Sampling
    unfinished: Unfinished | None = None


def sampled_there(
    orders: Sequence[Order], scheduler: str, progress: Callable[[int], Any] | None = None
) -> list[dict[int, Drawn]]:
    """Return the chains of fits, by their numbers: the same as here.

    Parameters
    ----------
    orders : sequence of Order
    scheduler : str
        Address of a Dask scheduler. What all fits need goes to each worker once; a worker compiles a model when it
        gets its first chain.
    progress : callable, optional
        Called with the number of chains done.

    Raises
    ------
    InputError
        See `workers`.
    ClusterError
        If chains were given up; all others are in ``unfinished``.
    """
    found: list[dict[int, Drawn]] = [{} for _ in orders]
    missing = []
    for place, order in enumerate(orders):
        for number in range(order.sampling.chains):
            known = None if order.unfinished is None else order.unfinished.chain(number)
            if known is None:
                missing.append((place, number))
            else:
                found[place][number] = known
    total = sum(map(len, found))
    if progress is not None:
        progress(total)
    if not missing:
        return found
    shared = [(order.design, order.spec, order.sampling) for order in orders]
    with workers(scheduler) as spread:
        for at, drawn in spread(_sample, missing, shared=shared, prepare=_Models):
            place, number = missing[at]
            found[place][number] = drawn
            kept = orders[place].unfinished
            if kept is not None:
                kept.keep_chain(number, drawn)
            total += 1
            if progress is not None:
                progress(total)
    return found


@dataclass(frozen=True)
class _Models:
    """The fits' models, compiled in this process once, when the first chain of each is asked for."""

    orders: Sequence[tuple[Design, ModelSpec, Sampling]]
    compiled: dict[int, CompiledModel] = field(default_factory=dict)
    lock: Any = field(default_factory=Lock)

    def __getitem__(self, place: int) -> CompiledModel:
        with self.lock:
            if place not in self.compiled:
                design, spec, _ = self.orders[place]
                self.compiled[place] = compile_model(design, spec, swap=False)
        return self.compiled[place]


def _sample(which: tuple[int, int], models: _Models) -> Drawn:
    place, number = which
    (_, drawn), *_ = models[place].chains([number], models.orders[place][2], cores=1)
    return drawn
