"""Kernels timed: that of the own effect against loops written by hand, and what the others take."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytensor.tensor as pt
import pytest
from scipy import stats

from ds3bayes.kernels.cell_sum import sum_of_cells
from ds3bayes.kernels.node_mean import log_mean_over_nodes
from ds3bayes.kernels.own_effect import LogExpectedMass, log_expected_mass
from ds3bayes.kernels.row_sum import sum_of_rows

pytestmark = pytest.mark.benchmark

HERE = Path(__file__).parent
NODES = np.linspace(-16.0, 11.0, 109)
LEVELS = ["x86-64", "x86-64-v3", "x86-64-v4"]


def harness():
    """What compiles and runs single kernels in the tests of kernels."""
    spec = spec_from_file_location("kernel_harness", HERE.parent / "kernels" / "conftest.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HARNESS = harness()


def kernel(folder, level, output, source=None, needs=None):
    """Return the kernel of an operation's output at the constants that it was applied to."""
    node = output.owner
    source = source or HARNESS.PACKAGE / "kernels" / f"{type(node.op).__module__.rsplit('.', 1)[1]}.c"
    library = HARNESS.compile_kernel(folder, source, level)
    return HARNESS.Kernel(node.op, library, [one.data for one in node.inputs], needs)


class ByHand(LogExpectedMass):
    """The same by loops that need more scratch: arrays of the density, of all sums and of derivatives by them."""

    def scratch(self, shapes):
        arms, cells, nodes, size = self.sizes(shapes)
        return size * (nodes + arms * (1 + cells) + cells + 1)


def game24():
    """Operation of the own effect in the shapes of models/game24.toml: 100 attempts, a tree search has one."""
    rng = np.random.default_rng(0)
    success = 1 / (1 + np.exp(-NODES))
    log_mass = np.zeros((3, 23, NODES.size))
    for arm, solved in enumerate((range(23), [*range(18), 25, 33])):
        log_mass[arm, : len(solved)] = [stats.binom.logpmf(k, 100, success) for k in solved]
    log_mass[2, :3] = [np.log1p(-success), np.log(success), 5 * np.log(success)]
    location = np.linspace(-8.0, 6.0, 46) + rng.normal(0.0, 0.5, (3, 1))
    mass = np.exp(log_mass - log_mass.max(axis=2, keepdims=True))
    return log_expected_mass(NODES, pt.as_tensor(location), pt.as_tensor(np.array([0.6, 0.9, 1.3])), mass, 7.0)


@pytest.mark.parametrize("level", LEVELS)
def test_own_effect_takes_no_longer_than_loops_by_hand(tmp_path, level):
    output = game24()
    ours = kernel(tmp_path, level, output, needs=(1, 2))
    by_hand = ByHand(dof=7.0).make_node(*output.owner.inputs).outputs[0]
    theirs = kernel(tmp_path, level, by_hand, HERE / "own_effect_by_hand.c", needs=(1, 2))
    np.testing.assert_allclose(ours.forward(), theirs.forward(), rtol=1e-11, atol=1e-13)
    weight = np.random.default_rng(1).normal(size=ours.shape)
    for mine, other in zip(ours.reverse(weight)[1:3], theirs.reverse(weight)[1:3], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-11)
    # In turns, for a machine that is busy slows both.
    spent = np.min([[*ours.microseconds(weight, 20), *theirs.microseconds(weight, 20)] for _ in range(10)], axis=0)
    print(f"\n{level}: forward {spent[0]:.1f} us, reverse {spent[1]:.1f}; by hand {spent[2]:.1f}, {spent[3]:.1f}")
    assert spent[:2].sum() <= 1.3 * spent[2:].sum()


@pytest.mark.parametrize("level", LEVELS)
def test_others(tmp_path, level):
    rng = np.random.default_rng(0)
    cases = {
        "mean over 46 nodes of 100 tasks": log_mean_over_nodes(rng.normal(0, 20, (100, 46)), rng.normal(size=46)),
        "rows of 100 tasks, 2 arms, 46 nodes": sum_of_rows(
            pt.as_tensor(rng.normal(size=(3, 23, 46))), rng.integers(0, 23, (100, 3)), [[0, 1]]
        ),
        "rows of 45 tasks, 18 arms, 85 nodes": sum_of_rows(
            pt.as_tensor(rng.normal(size=(18, 10, 85))), rng.integers(0, 10, (45, 18)), [range(9), range(9, 18)]
        ),
        "cells of 32 tasks, 18 arms, 1,140 locations": sum_of_cells(
            pt.as_tensor(rng.normal(size=(18, 8, 100))),
            np.linspace(-10.2, 9.6, 100),
            pt.as_tensor(rng.uniform(-10.0, 9.5, (18, 1140))),
            rng.integers(0, 8, (32, 18)),
            [range(18)],
        ),
    }
    for name, output in cases.items():
        one = kernel(tmp_path, level, output)
        one.forward()
        forward, reverse = one.microseconds(rng.normal(size=one.shape))
        print(f"\n{level}: {name}: forward {forward:.1f} us, reverse {reverse:.1f}", end="")
        assert forward + reverse < 5000.0
