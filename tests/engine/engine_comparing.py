"""A tape against PyTensor and finite differences, at random points."""

import numpy as np
import pytensor
import pytensor.tensor as pt

from ds3bayes.engine.tape import Tape
from ds3bayes.engine.translate import translate
from ds3bayes.theory.evaluate import python_mode

POINTS = 20


def split(point, shapes):
    """The arrays that a point holds one after the other."""
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    return [point[start:stop].reshape(shape) for start, stop, shape in zip(ends[:-1], ends[1:], shapes, strict=True)]


def weighed(output):
    """One number of an expression, in which each of its entries has a weight of its own."""
    flat = output.astype("float64").ravel()
    return (flat * pt.cos(pt.arange(flat.shape[0]) + 1.0)).sum()


def agree(build, shapes, draw, *, value=1e-12, slope=1e-10, difference=1e-5, seed=0) -> Tape:
    """Hold value and gradient of ``build(*tensors)`` on a tape against PyTensor's; return the tape.

    ``draw(rng, size)`` makes points; errors are relative to the largest number compared.
    """
    inputs = [pt.tensor(f"x{k}", dtype="float64", shape=shape) for k, shape in enumerate(shapes)]
    output = build(*inputs)
    total = weighed(output)
    tape = translate(list(zip(inputs, shapes, strict=True)), [total], derived=True)
    values = translate(list(zip(inputs, shapes, strict=True)), [output])
    gradients = pytensor.grad(total, inputs, disconnected_inputs="ignore")
    oracle = pytensor.function(inputs, [output, total, *gradients], mode=python_mode(), on_unused_input="ignore")
    rng = np.random.default_rng(seed)
    for _ in range(POINTS):
        point = draw(rng, tape.dim)
        wanted, number, *slopes = oracle(*split(point, shapes))
        (found,) = values.evaluate(point[None])
        np.testing.assert_allclose(found[0], wanted, rtol=value, atol=value * np.abs(wanted).max(initial=0.0))
        result, gradient = tape.log_density(point)
        # Entries of both signs cancel in the sum.
        size = np.abs(wanted).astype(float).sum() + 1e-300
        assert abs(result - number) <= value * size
        flat = np.concatenate([np.ravel(one) for one in slopes])
        np.testing.assert_allclose(gradient, flat, rtol=slope, atol=slope * np.abs(flat).max(initial=1e-300))
        if difference is not None:
            _differences(tape, point, gradient, difference)
    return tape


def _differences(tape, point, gradient, tolerance):
    """Central differences along one random direction."""
    direction = np.random.default_rng(1).normal(size=point.size)
    step = 1e-6
    above, below = (tape.log_density(point + sign * step * direction)[0] for sign in (1, -1))
    slope = (above - below) / (2 * step)
    assert abs(slope - gradient @ direction) <= tolerance * (1.0 + np.abs(gradient).max() * np.abs(direction).sum())
