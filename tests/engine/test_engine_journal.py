"""A chain that goes on from its journal is the chain that was never interrupted, whatever is left of the journal."""

import numpy as np
import pymc as pm
import pytest

from ds3bayes.engine.chains import chain_seed, run
from ds3bayes.engine.density import density_of
from ds3bayes.engine.journal import Journal
from ds3bayes.engine.nuts import NutsChain

LENGTH = {"draws": 40, "tune": 60}


def density(sd=2.0):
    with pm.Model() as model:
        x = pm.Normal("x", shape=3)
        pm.Normal("y", x.sum(), sd, observed=[1.0, 3.0])
    return density_of(model)


@pytest.fixture(scope="module")
def of():
    return density()


def sample(of, path=None, most=1 << 30, chains=(0,), cores=1):
    """Return what each chain drew, and what its journal told."""
    journals = {}

    def begin(number):
        if path is not None:
            journals[number] = Journal(path, of.tape, most)
        return NutsChain(
            of,
            seed=chain_seed(5, number),
            start=lambda seed: np.random.default_rng(seed).normal(size=3),
            journal=journals.get(number),
            **LENGTH,
        )

    drawn = dict(run(begin, chains, cores))
    return drawn, {number: journal.told for number, journal in journals.items()}


def same(one, other):
    return all(
        np.array_equal(values, other[part][name], equal_nan=values.dtype.kind == "f")
        for part in (0, 1)
        for name, values in one[part].items()
    )


def test_a_chain_alone_is_the_chain_among_others(of):
    together, _ = sample(of, chains=range(4), cores=2)
    alone, _ = sample(of, chains=[2])
    assert same(alone[2], together[2])
    assert not same(together[1], together[2])
    assert together[0][0]["x"].shape == (40, 3)


def test_a_journal_that_is_cut_off_anywhere(of, tmp_path):
    path = tmp_path / "chain"
    whole, told = sample(of)[0][0], []
    assert same(sample(of, path)[0][0], whole)
    content = path.read_bytes()
    record, head = 8 * (3 + 4), content.index(b"\n") + 1
    records = (len(content) - head) // record
    for size in (0, 5, head, head + 3, head + record, head + 10 * record + 9, len(content) - 1, len(content)):
        path.write_bytes(content[:size])
        drawn, journals = sample(of, path)
        assert same(drawn[0], whole)
        told.append((journals[0].asked, journals[0].known))
        assert path.read_bytes() == content
    assert {asked for asked, _ in told} == {records}
    assert [known for _, known in told] == [0, 0, 0, 0, 1, 10, records - 1, records]


def test_a_journal_that_is_damaged_or_of_another_density(of, tmp_path):
    path = tmp_path / "chain"
    whole, _ = sample(of, path)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.integers(len(content), size=6):
        damaged = bytearray(content)
        damaged[at] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        drawn, journals = sample(of, path)
        assert same(drawn[0], whole[0])
        assert journals[0].known < journals[0].asked
        assert path.read_bytes() == content
    other = density(sd=2.5)
    drawn, journals = sample(other, path)
    assert same(drawn[0], sample(other)[0][0])
    assert journals[0].known == 0


def test_a_full_journal_costs_what_comes_after_it(of, tmp_path):
    path = tmp_path / "chain"
    whole, told = sample(of, path, most=1000)
    assert (told[0].asked - told[0].lost) == 1000 // (8 * (3 + 4))
    again, told = sample(of, path)
    assert same(again[0], whole[0])
    assert (told[0].known, told[0].lost) == (17, 0)
