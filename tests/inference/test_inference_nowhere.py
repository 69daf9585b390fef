"""A model that has no density where sampling starts is refused, with what is at fault."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt
import pytest

import ds3bayes as ds3
from ds3bayes.engine.density import density_of
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.model import assemble
from ds3bayes.inference.nowhere import refuse_nowhere


def table(tasks: int = 6):
    rows = pd.DataFrame({"task": [f"t{j}" for j in range(tasks)], "successes": np.arange(tasks) % 3})
    return ds3.read_evals(rows.assign(model="m", benchmark="b", strategy="cot", attempts=4))


def refused(change, spec=None):
    spec = spec or ds3.ModelSpec()
    design = make_design(table(), spec)
    model = assemble(spec, design)
    with model:
        change(model)
    with pytest.raises(ds3.InputError) as error:
        refuse_nowhere(density_of(model), model, design, spec)
    return str(error.value)


def test_a_model_that_has_a_density_passes():
    spec, design = ds3.ModelSpec(), make_design(table(), ds3.ModelSpec())
    model = assemble(spec, design)
    refuse_nowhere(density_of(model), model, design, spec)


def test_a_potential_that_is_not_a_number_is_named():
    message = refused(lambda model: pm.Potential("mine", pt.log(-pt.exp(model["location"]))))
    assert "mine" in message
    assert "location" not in message


def test_a_derivative_that_is_not_a_number_names_its_parameter():
    message = refused(lambda model: pm.Potential("mine", pt.sqrt(pt.abs(model["location"] + 1.0))))
    assert "the derivative by location" in message


def test_a_prior_that_has_no_density_names_its_parameter():
    message = refused(lambda model: pm.Normal("odd", 0.0, 1.0, initval=np.inf))
    assert "odd at [inf]" in message


def test_tasks_whose_data_are_impossible_are_named(monkeypatch):
    from ds3bayes.generative import likelihood

    marginal = likelihood.log_marginal

    def without_the_third(block, *others):
        impossible = np.zeros(len(block.distinct[0]))
        impossible[block.distinct[1][2]] = -np.inf
        return marginal(block, *others) + impossible

    for module in ("ds3bayes.generative.model", "ds3bayes.generative.task_effects"):
        monkeypatch.setattr(f"{module}.log_marginal", without_the_third)
    with pytest.raises(ds3.InputError, match=r"rows of task 't2' of m \| b"):
        ds3.fit(table(), draws=10, tune=10, chains=1, progress=False)
