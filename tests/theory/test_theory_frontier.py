"""The frontier of the skill hierarchy: against the published levels, a search, and the smooth law's own parts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit

from ds3bayes.theory import hierarchy
from ds3bayes.theory.evaluate import evaluate


@given(
    log_concepts=st.floats(13.0, 22.0),
    decay=st.floats(5.0, 20.0),
    skills=st.floats(1e3, 1e5),
    eta=st.floats(2.0, 20.0),
    learned=st.floats(0.05, 1.0),
)
def test_frontier_is_where_concepts_run_out(log_concepts, decay, skills, eta, learned):
    concepts = np.exp(log_concepts)

    def spare(level):
        mean = np.exp(-decay * level / 100) * concepts / skills
        return learned * 0.99 * (mean - np.sqrt(2 * np.log(skills / 1e-5) * mean)) - eta

    found = float(evaluate(hierarchy.highest_level, concepts, decay, skills, eta, learned=learned))
    # Far below the frontier concepts abound; above it the bound has one minimum, which is negative.
    expected = brentq(spare, found - 200.0, found + 0.5, xtol=1e-11)
    assert found == pytest.approx(expected, abs=1e-8)


def test_published_levels_end_below_the_frontier():
    compute = np.logspace(22.0, 25.0, 40)
    learned = hierarchy.skill_levels(compute)
    frontier = evaluate(hierarchy.highest_level, learned["params"].values / 2500.0)
    np.testing.assert_array_equal(learned["max_level"].values, np.floor(frontier))


def test_smooth_levels_fall_at_the_frontier():
    level = np.arange(20.0, 45.0)
    log_p, log_gamma = evaluate(hierarchy.smooth_levels, 33.5, level, 1e4, 0.5)
    t, below = expit((33.5 - level) / 0.8), expit((34.5 - level) / 0.8)
    gamma, under = (evaluate(hierarchy.giant_component, 1e4 * able**2, field=0.0025) for able in (t, below))
    np.testing.assert_allclose(np.exp(log_gamma), gamma, rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_p), t * under ** (0.5 * np.log(level)), rtol=1e-11)
    # Competence is above .99 from .8 logit(.99) = 3.7 levels below the frontier down; links percolate up to
    # .8 logit(1 / sqrt(1e4)) = 3.7 above it.
    assert np.exp(log_p[level < 33.5 - 3.7]).min() > 0.99
    assert np.exp(log_gamma[level > 33.5 + 3.7]).max() < 0.01
    assert (np.diff(log_p) <= 0).all()
