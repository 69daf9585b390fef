"""The public names, and a strategy added from outside the package."""

import inspect
import math
import pkgutil
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pytest

import ds3bayes as ds3
from ds3bayes.strategies import STRATEGIES, AttemptStrategy, parse_strategy, register
from ds3bayes.strategies.walks import SOLVED


def test_public_names_exist_and_are_sorted():
    assert sorted(set(ds3.__all__)) == list(ds3.__all__)
    for name in ds3.__all__:
        assert hasattr(ds3, name), name


@pytest.mark.parametrize("name", ds3.__all__)
def test_public_names_are_documented(name):
    thing = getattr(ds3, name)
    assert inspect.getdoc(thing)
    if inspect.isfunction(thing):
        doc = inspect.getdoc(thing)
        for parameter in inspect.signature(thing).parameters:
            assert parameter in doc, f"{name}: {parameter}"
        assert "Returns" in doc
    if inspect.isclass(thing) and thing.__module__.startswith("ds3bayes"):
        assert thing.__doc__


@pytest.mark.parametrize(
    ("start", "avoided"),
    [
        ("import ds3bayes; dir(ds3bayes)", {"numpy", "pandas", "xarray", "pymc", "arviz_stats", "matplotlib"}),
        ("import ds3bayes.cli", {"numpy", "pandas", "xarray", "pymc", "arviz_stats", "matplotlib"}),
        ("import ds3bayes; ds3bayes.read_evals", {"pymc", "matplotlib.pyplot", "arviz_stats", "networkx"}),
        ("import ds3bayes; ds3bayes.build_model", {"nutpie", "matplotlib.pyplot", "arviz_plots", "networkx"}),
    ],
)
def test_a_program_imports_what_it_uses(start, avoided):
    # Counted, not timed: each of these takes between .3 and 3 seconds to import.
    asked = f"{start}; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True).stdout.split()
    assert "ds3bayes" in loaded
    assert not avoided & set(loaded)


def test_no_public_name_hides_a_part_of_the_package():
    parts = {one.name for one in pkgutil.iter_modules(ds3.__path__)}
    assert "reports" in parts
    assert all(inspect.ismodule(getattr(ds3, name)) for name in parts & set(ds3.__all__))


def test_the_verbs_of_the_design_are_there():
    wanted = {"read_evals", "ModelSpec", "build_model", "fit", "predict", "frontier", "best", "cheapest", "check"}
    assert wanted | {"save", "load", "simulate"} <= set(ds3.__all__)


@pytest.fixture
def at_least():
    """Return a strategy that this test alone knows: at least t of n attempts right."""

    @final
    @register
    @dataclass(frozen=True, kw_only=True)
    class AtLeast(AttemptStrategy):
        """At least ``t`` of n attempts are right.

        Parameters
        ----------
        t : int
        """

        name: ClassVar[str] = "at_least"
        t: int

        def selector_faults(self):
            return [] if 1 <= self.t <= self.n else [f"t must lie in 1..{self.n}, got {self.t}"]

        def answer(self, q, concentration=None, *, wrong=None):
            return sum(math.comb(self.n, c) * q**c * (1 - q) ** (self.n - c) for c in range(self.t, self.n + 1))

        def decide(self, outcome, answers, rng):
            return (outcome == SOLVED).sum(axis=1) >= self.t, np.full(len(outcome), self.n)

    try:
        yield AtLeast
    finally:
        del STRATEGIES["at_least"]


def test_a_strategy_from_outside(at_least, simulated_fit):
    strategy = parse_strategy("at_least(n=5, t=2)")
    assert strategy == at_least(n=5, t=2)
    assert parse_strategy(str(strategy)) == strategy
    with pytest.raises(ds3.InputError, match=r"t must lie in 1\.\.3, got 9"):
        parse_strategy("at_least(n=3, t=9)")
    pred = ds3.predict(
        simulated_fit,
        ["at_least(n=5, t=1)", strategy, "at_least(n=5, t=5)", "best_of_n(n=5)", "pass_power(n=5)", "cot"],
    )
    success = {str(label): pred["success"].sel(strategy=label).values for label in pred["strategy"].values}
    np.testing.assert_allclose(success["at_least(n=5, t=1)"], success["best_of_n(n=5, verifier=oracle)"], rtol=1e-10)
    np.testing.assert_allclose(success["at_least(n=5, t=5)"], success["pass_power(n=5)"], rtol=1e-10)
    assert np.all(success["at_least(n=5, t=5)"] < success["at_least(n=5, t=2)"])
    assert np.all(success["at_least(n=5, t=2)"] < success["at_least(n=5, t=1)"])
    tokens = pred["tokens"]
    np.testing.assert_allclose(tokens.sel(strategy=str(strategy)), 5 * tokens.sel(strategy="cot"), rtol=1e-12)
    # Decisions take it like any other.
    assert str(strategy) in ds3.best(pred)["option"].values


def test_after_that_it_is_unknown_again():
    with pytest.raises(ds3.InputError, match="at_least"):
        parse_strategy("at_least(n=5)")
