"""Expressions at many values of their variables: on a tape, or by PyTensor where the machine lacks an operation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ds3bayes.deferred import pytensor
from ds3bayes.engine.library import MachineError
from ds3bayes.engine.tape import Tape, Unsupported
from ds3bayes.theory.evaluate import python_mode

Array = np.ndarray
Tensor = Any

# Numbers of outputs that are held at a time, 64 MB.
_HELD = 2**23


class AtPoints:
    """Evaluates named expressions at many values of named variables.

    Parameters
    ----------
    given : mapping of str to variable
    shapes : mapping of str to tuple of int
        Of the variables.
    outputs : mapping of str to variable
        Expressions of them, in a form that is numerically stable as it stands: they are not rewritten.
    """

    def __init__(
        self, given: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], outputs: Mapping[str, Tensor]
    ) -> None:
        from ds3bayes.engine.translate import translate

        self._names, self._outputs = list(given), list(outputs)
        self._shapes = {name: tuple(shapes[name]) for name in given}
        self._tape: Tape | None
        try:
            inputs = [(variable, self._shapes[name]) for name, variable in given.items()]
            self._tape = translate(inputs, list(outputs.values()))
        except (Unsupported, MachineError):
            self._tape = None
            self._function = pytensor.function(
                list(given.values()), list(outputs.values()), mode=python_mode(), on_unused_input="ignore"
            )

    def __call__(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Evaluate all at once.

        Parameters
        ----------
        values : mapping of str to array
            Of each variable, shape (n, *its own).

        Returns
        -------
        dict of str to array
            Of each output, shape (n, *its own).
        """
        given = [np.asarray(values[name], dtype=np.float64) for name in self._names]
        count = len(given[0]) if given else 1
        if self._tape is not None:
            points = np.concatenate([np.zeros((count, 0)), *(one.reshape(count, -1) for one in given)], axis=1)
            found = self._tape.evaluate(points, threads=os.cpu_count() or 1)
        else:
            rows = [self._function(*(one[index] for one in given)) for index in range(count)]
            found = [np.stack(column) for column in zip(*rows, strict=True)]
        return dict(zip(self._outputs, found, strict=True))

    def at(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Evaluate at one value of each variable: outputs without an axis of points."""
        found = self({name: np.asarray(values[name], dtype=np.float64)[None] for name in self._names})
        return {name: one[0] for name, one in found.items()}

    def each(self, values: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        """Yield the outputs at one value after the other, never holding more than some of them."""
        count = len(values[self._names[0]]) if self._names else 1
        size = _HELD if self._tape is None else self._tape.outputs
        step = max(1, _HELD // max(size, 1))
        for start in range(0, count, step):
            found = self({name: values[name][start : start + step] for name in self._names})
            for row in range(min(step, count - start)):
                yield {name: one[row] for name, one in found.items()}
