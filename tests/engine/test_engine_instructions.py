"""Every instruction of the machine gives PyTensor's values and gradients."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from engine_comparing import agree
from pytensor.scalar.basic import Cos, Sin
from scipy.stats import binom

from ds3bayes.engine import tape as tapes
from ds3bayes.engine import translate as translation
from ds3bayes.engine.library import load
from ds3bayes.engine.tape import Unsupported
from ds3bayes.engine.translate import known, translate
from ds3bayes.theory.evaluate import python_mode


def normal(rng, size):
    return rng.normal(size=size) * 1.5


def positive(rng, size):
    return np.exp(rng.normal(size=size))


def negative(rng, size):
    return -np.exp(rng.normal(size=size))


def unit(rng, size):
    return rng.uniform(0.02, 0.98, size=size)


ONE = {
    "negative": (lambda x: -x, normal),
    "absolute": (abs, normal),
    "square": (pt.sqr, normal),
    "square_root": (pt.sqrt, positive),
    "reciprocal": (pt.reciprocal, positive),
    "exponential": (pt.exp, normal),
    "exponential_less_one": (pt.expm1, normal),
    "logarithm": (pt.log, positive),
    "logarithm_of_one_plus": (pt.log1p, positive),
    "logarithm_of_one_less_exponential": (pt.log1mexp, negative),
    "softplus": (pt.softplus, normal),
    "sigmoid": (pt.sigmoid, normal),
    "sine": (pt.sin, normal),
    "cosine": (pt.cos, normal),
    "tangent": (pt.tan, unit),
    "hyperbolic_tangent": (pt.tanh, normal),
    "error_function": (pt.erf, normal),
    "complementary_error_function": (pt.erfc, normal),
    "scaled_complementary_error_function": (pt.erfcx, normal),
    "arctangent": (pt.arctan, normal),
    "log_gamma": (pt.gammaln, positive),
    "log_base_2": (pt.log2, positive),
    "log_base_10": (pt.log10, positive),
    "floor": (pt.floor, normal),
    "ceiling": (pt.ceil, normal),
    "truncate": (lambda x: x.astype("int64"), normal),
    "round_to_even": (pt.round, normal),
    "sign": (pt.sign, normal),
    "is_infinite": (lambda x: pt.isinf(pt.switch(x > 0, pt.constant(np.inf), x)), normal),
    "is_nan": (lambda x: pt.isnan(pt.log(x)), normal),
    "not": (lambda x: ~(x > 0), normal),
}
TWO = {
    "add": (lambda x, y: x + y, normal),
    "subtract": (lambda x, y: x - y, normal),
    "multiply": (lambda x, y: x * y, normal),
    "divide": (lambda x, y: x / y, positive),
    "power": (lambda x, y: x**y, positive),
    "maximum": (pt.maximum, normal),
    "minimum": (pt.minimum, normal),
    "logaddexp": (pt.logaddexp, normal),
    "angle": (pt.arctan2, normal),
    "greater": (lambda x, y: x > y, normal),
    "at_least": (lambda x, y: x >= y, normal),
    "less": (lambda x, y: x < y, normal),
    "at_most": (lambda x, y: x <= y, normal),
    "equal": (lambda x, y: pt.eq(pt.round(x), pt.round(y)), normal),
    "unequal": (lambda x, y: pt.neq(pt.round(x), pt.round(y)), normal),
    "both": (lambda x, y: (x > 0) & (y > 0), normal),
    "either": (lambda x, y: (x > 0) | (y > 0), normal),
    "exclusive_either": (lambda x, y: (x > 0) ^ (y > 0), normal),
    "floor_divide": (lambda x, y: x // y, positive),
    "modulo": (lambda x, y: x % y, positive),
}
TABLE = np.random.default_rng(3).normal(size=(3, 4))
OTHERS = {
    "choose": (lambda x, y, z: pt.switch(x > 0, y, z), [(3, 4)] * 3, normal),
    "clip": (lambda x, y, z: pt.clip(x, -pt.exp(y), pt.exp(z)), [(3, 4)] * 3, normal),
    "beta_share": (lambda x: pt.betainc(np.array([[0.5], [3.0], [40.0]]), np.full(4, 7.0), x), [(3, 4)], unit),
    "copy": (lambda x, y: pt.concatenate([x, y, TABLE], axis=0), [(2, 4), (1, 4)], normal),
    "sum": (lambda x: x.sum(axis=1), [(3, 4, 5)], normal),
    "row_maximum": (lambda x: pt.max(x, axis=0), [(3, 4)], normal),
    "row_product": (lambda x: pt.prod(x, axis=1), [(3, 4)], normal),
    "row_log_sum": (lambda x: pt.logsumexp(x, axis=1), [(3, 40)], normal),
    "row_log_softmax": (lambda x: pt.special.log_softmax(x, axis=0), [(30, 4)], normal),
    "row_softmax": (lambda x: pt.special.softmax(x, axis=1), [(3, 40)], normal),
    "row_running_sum": (lambda x: pt.cumsum(x, axis=0), [(3, 4)], normal),
    "gather": (lambda x: x[np.array([[0, 2], [1, 1]])], [(3, 4)], normal),
    "gather_computed": (lambda x, y: x[pt.floor(3 * y).astype("int64"), 1], [(3, 4), (5,)], unit),
    "scatter_set": (lambda x, y: pt.set_subtensor(x[np.array([0, 2])], y), [(3, 4), (2, 4)], normal),
    "scatter_add": (lambda x, y: pt.inc_subtensor(x[np.array([0, 2])], y), [(3, 4), (2, 4)], normal),
    "matrix_product": (lambda x, y: x @ y, [(3, 4), (4, 5)], normal),
}
# Operations of the package's own are held against their definitions in tests/kernels.
KERNELS = {"log_expected_mass", "sum_of_cells", "sum_of_rows", "log_mean_over_nodes", "success_at_best_level"}


def test_no_instruction_is_left_out():
    assert set(tapes._codes(load())) == {*ONE, *TWO, *OTHERS, *KERNELS}


# Arrays are read where they stand: whole, transposed, repeated, in part and backwards.
VIEWS_OF_ONE = [
    lambda x: x,
    lambda x: x[0, 0],
    lambda x: x.T,
    lambda x: x[::2, ::-1],
    lambda x: pt.broadcast_to(x[:, :1], (3, 7)),
]
VIEWS_OF_TWO = [
    lambda x, y: (x, y),
    lambda x, y: (x, y[0]),
    lambda x, y: (x[:, :1], y[:1]),
    lambda x, y: (x, y[:, :1]),
    lambda x, y: (x[0, 0], y),
    lambda x, y: (x, y[0, 0]),
    lambda x, y: (x[0, 0], y[1, 1]),
    lambda x, y: (x.T[:3, :3], y[:, :3]),
    lambda x, y: (x[::2, :1], y[::-1, :][:2]),
    lambda x, y: (x, x[::-1]),
]


def seen(build, views, *inputs):
    """Apply a function to every view of its inputs; all results in a row."""
    found = [build(*(one if isinstance(one, tuple) else (one,))) for one in (view(*inputs) for view in views)]
    return pt.concatenate([one.ravel() for one in found])


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(name):
    build, draw = ONE[name]
    difference = None if name in tapes._STEPS else 1e-5
    tape = agree(lambda x: seen(build, VIEWS_OF_ONE, x), [(3, 4)], draw, difference=difference)
    assert tape.names.count(name) == len(VIEWS_OF_ONE)


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers(name):
    build, draw = TWO[name]
    difference = None if name in tapes._STEPS or name == "modulo" else 1e-5
    tape = agree(lambda x, y: seen(build, VIEWS_OF_TWO, x, y), [(3, 4), (3, 4)], draw, difference=difference)
    assert tape.names.count(name) >= len(VIEWS_OF_TWO)


@pytest.mark.parametrize("name", OTHERS)
def test_other_instructions(name):
    build, shapes, draw = OTHERS[name]
    assert name in agree(build, shapes, draw).names


VARIED = {
    "sums over each axis": lambda x: (
        x.sum(axis=0)[None, :, :] + x.sum(axis=2)[:, :, None] + x.sum(axis=(0, 2))[:, None]
    ),
    "sum of a view": lambda x: x.transpose((2, 0, 1))[::2].sum(axis=(0, 1)),
    "mean": lambda x: x.mean(axis=1),
    "maximum over two axes": lambda x: pt.max(x, axis=(0, 2)),
    "minimum": lambda x: pt.min(x, axis=1),
    "log sum that keeps its axis": lambda x: pt.logsumexp(x, axis=1, keepdims=True) + x,
    "log sum of a view": lambda x: pt.logsumexp(x.transpose((1, 2, 0)), axis=(0, 2)),
    "softmax over the first axis": lambda x: pt.special.softmax(x, axis=0) * x,
    "softmax over all": lambda x: pt.special.log_softmax(x, axis=None),
    "running sum of all": lambda x: pt.cumsum(x),
    "running sum over the middle": lambda x: pt.cumsum(x, axis=1),
    "reshape of a view": lambda x: x.transpose((2, 1, 0)).reshape((5, -1)),
    "slices": lambda x: x[1:, ::-1, -2] - x[:-1, :, 0],
    "diagonals": lambda x: pt.concatenate(
        [
            pt.diagonal(x, offset=k, axis1=a, axis2=b).ravel()
            for k, a, b in [(0, 0, 1), (1, 1, 2), (-2, 0, 2), (1, 2, 0)]
        ]
    ),
    "numbers by a mask": lambda x: x[np.array([True, False, True])],
    "numbers by pairs of indices": lambda x: x[np.array([0, 2, 2]), np.array([1, 1, 3])],
    "numbers by indices between slices": lambda x: x[:, np.array([0, 3])],
    "blocks by computed indices": lambda x: x[pt.clip(pt.floor(x[:, 0, 0]), 0, 2).astype("int64")],
    "numbers set by a slice": lambda x: pt.set_subtensor(x[1:, 0], 2 * x[:2, 1]),
    "numbers set to a constant": lambda x: pt.set_subtensor(x[0], 1.0),
    "places added to twice": lambda x: pt.inc_subtensor(pt.zeros(4)[np.array([1, 1, 3])], x[:, 0, 0]),
    "joined along the last axis": lambda x: pt.concatenate([x, 2 * x[:, :, :2]], axis=2),
    "stacked numbers": lambda x: pt.stack([x[0, 0, 0], 2.0, x[1, 2, 3] ** 2]),
    "matrix and vector": lambda x: pt.dot(x[0], x[0, 1]),
    "vector and matrix": lambda x: pt.dot(x[1, :, 0], x[0]),
    "two vectors": lambda x: pt.dot(x[0, :, 1], x[1, :, 2]),
    "product of views": lambda x: pt.dot(x[:, :, 1].T, x[:, :, 2]),
    "stack of products": lambda x: x @ x.transpose((0, 2, 1)),
    "many terms": lambda x: x + x[0] + x[:, :1] + 3.0 + x[0, 0, 0] * x * x[1] * 2.0,
    "powers": lambda x: (x**2) + pt.abs(x) ** 0.5 + (1 + x**2) ** -1.0 + (1 + x**2) ** 1.7,
    "cast to whole numbers and back": lambda x: x * pt.floor(x).astype("int64").astype("float64"),
}


@pytest.mark.parametrize("name", VARIED)
def test_graphs_of_several_operations(name):
    agree(VARIED[name], [(3, 4, 5)], normal)


def test_the_last_of_two_numbers_at_one_place_counts():
    """PyTensor's own gradient lets the overwritten one count too."""
    x = pt.vector(shape=(3,))
    total = (pt.set_subtensor(pt.zeros(4)[np.array([1, 1, 3])], x) * np.array([1.0, 2.0, 3.0, 4.0])).sum()
    value, gradient = translate([(x, (3,))], [total], derived=True).log_density(np.array([5.0, 6.0, 7.0]))
    assert value == 2 * 6 + 4 * 7
    np.testing.assert_array_equal(gradient, [0.0, 2.0, 4.0])


def test_what_a_choice_leaves_out_has_no_slope():
    x = pt.vector(shape=(3,))
    total = pt.switch(x > 1.0, x, pt.log(x) * pt.exp(800 * x) / (x - 1.0)).sum()
    _, gradient = translate([(x, (3,))], [total], derived=True).log_density(np.array([2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(gradient, 1.0)


def test_a_wrong_instruction_is_found(monkeypatch):
    monkeypatch.setitem(translation._SCALAR, Sin, translation._SCALAR[Cos])
    with pytest.raises(AssertionError):
        agree(pt.sin, [(5,)], normal)


@pytest.mark.parametrize(
    ("build", "points"),
    [
        (pt.exp, [-np.inf, -800.0, -708.5, -1e-300, 0.0, 700.0, 709.3, 800.0, np.inf, np.nan]),
        (pt.log, [0.0, 5e-324, 1e-310, 2.3e-308, 1.0, 1 + 1e-16, 1e308, np.inf, -1.0, np.nan]),
        (pt.log1p, [-1.0, -1 + 1e-16, -1e-300, 1e-20, 1e-5, 1e16, 1e308, np.inf, np.nan]),
        (pt.softplus, [-np.inf, -745.0, -40.0, 0.0, 40.0, 800.0, np.inf, np.nan]),
        (pt.sigmoid, [-np.inf, -700.0, -40.0, 0.0, 40.0, 800.0, np.inf, np.nan]),
        (pt.erfcx, [-26.0, -1.0, 0.0, 1.999, 2.0, 2.5, 3.0, 5.0, 8.0, 30.0, 1e3, 1e8, 1e300, np.inf, np.nan]),
        (pt.gammaln, [1e-300, 0.5, 1.0, 2.0, 1e6, 1e300, np.inf, np.nan]),
        (lambda x: pt.logaddexp(x, -1.0), [-np.inf, -1.0, 0.0, 800.0, np.inf, np.nan]),
        (lambda x: pt.logaddexp(x, -np.inf), [-np.inf, -1.0, np.inf]),
        (lambda x: pt.logsumexp(pt.stack([x, x - 1.0]), axis=0), [-np.inf, -1e300, 0.0, 1e300, np.nan]),
        (lambda x: pt.maximum(x, 0.0) + pt.minimum(x, 0.0), [-1.0, 0.0, 2.0, np.nan]),
    ],
)
def test_extreme_numbers(build, points):
    x = pt.vector(shape=(len(points),))
    (found,) = translate([(x, (len(points),))], [build(x)]).evaluate(np.array([points]))
    with np.errstate(all="ignore"):
        wanted = build(x).eval({x: np.array(points)}, mode=python_mode())
    np.testing.assert_allclose(found[0], wanted, rtol=3e-15, atol=1e-307)


def test_indices_beyond_an_array_are_not_read():
    x, at = pt.vector(shape=(3,)), pt.vector(shape=(4,))
    tape = translate([(x, (3,)), (at, (4,))], [x[at.astype("int64")]])
    (found,) = tape.evaluate(np.array([[1.0, 2.0, 3.0, 0.0, -1.0, 3.0, np.nan]]))
    np.testing.assert_array_equal(found[0], [1.0, 3.0, np.nan, np.nan])


def test_threads_share_a_tape():
    x = pt.matrix(shape=(30, 40))
    tape = translate([(x, (30, 40))], [pt.exp(x).sum(axis=1), x.T @ x])
    points = np.random.default_rng(0).normal(size=(64, 1200))
    for one, other in zip(tape.evaluate(points), tape.evaluate(points, threads=7), strict=True):
        np.testing.assert_array_equal(one, other)


def test_outputs_may_be_constants():
    x = pt.vector(shape=(3,))
    table = pt.as_tensor(np.arange(40.0).reshape(5, 8))
    found = translate([(x, (3,))], [table, 2 * x, table.sum(axis=0), x * 0.0 + 7.0]).evaluate(np.ones((2, 3)))
    np.testing.assert_array_equal(found[0][1], np.arange(40.0).reshape(5, 8))
    np.testing.assert_array_equal(found[1][1], [2.0, 2.0, 2.0])
    np.testing.assert_array_equal(found[2][1], np.arange(40.0).reshape(5, 8).sum(axis=0))
    np.testing.assert_array_equal(found[3][1], [7.0, 7.0, 7.0])


def test_what_only_a_check_of_parameters_reads_is_left_out():
    """The conditions that PyMC checks have operations, such as whether all hold, that the machine lacks."""
    counts = np.array([0, 3, 9])
    p = pt.vector(shape=(3,))
    tape = translate([(p, (3,))], [pm.logp(pm.Binomial.dist(9, p), counts)])
    (found,) = tape.evaluate(np.array([[0.1, 0.5, 0.9]]))
    np.testing.assert_allclose(found[0], binom.logpmf(counts, 9, [0.1, 0.5, 0.9]), rtol=1e-13)


def test_what_needs_no_point_is_known():
    shared = pt.as_tensor(np.arange(6.0)).reshape((2, 3))
    np.testing.assert_array_equal(known([shared.sum(axis=0) + 1.0])[0], [4.0, 6.0, 8.0])


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda x: pt.sort(x), "Sort"),
        (lambda x: pt.arange(x[0]), "a shape or an index that depends on the parameters|ARange"),
        (lambda x: x[: x[0].astype("int64")], "an index that depends on the parameters"),
        (lambda x: pt.linalg.inv(x[:, None] * x), "MatrixInverse|Blockwise"),
        (lambda x: pt.random.shared_rng(np.random.default_rng(0)).normal(x)[1], "normal|random|RNG"),
        (lambda x: pt.betainc(x, 2.0, 0.5).sum(), "incomplete beta"),
        (lambda x: x + pt.vector("elsewhere"), "elsewhere"),
    ],
)
def test_what_the_machine_lacks_is_named(build, named):
    x = pt.vector("x", shape=(3,))
    with pytest.raises(Unsupported, match=named):
        translate([(x, (3,))], [build(x).astype("float64").sum()], derived=True)
