"""Being out of reach or unsound, which goes into tables of cells where it can, against asking it at every node."""

from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest

import ds3bayes as ds3
from ds3bayes.generative import terms as terms_module
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.likelihood import log_likelihood, log_marginal
from ds3bayes.generative.observation.counts import reach_groups
from ds3bayes.generative.terms import block_terms
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.kernels.node_mean import log_mean_over_nodes
from ds3bayes.theory.evaluate import python_mode


def rows(model: str, strategy: str = "cot", attempts: int = 8, **more: Any) -> pd.DataFrame:
    """Counts of one LLM at nine tasks: some never solved, one not tried."""
    rng = np.random.default_rng([*model.encode(), *strategy.encode()])
    tasks = np.delete(np.arange(9), rng.integers(9))
    solved = rng.binomial(attempts, rng.beta(0.4, 0.6, tasks.size))
    solved[:3] = 0
    table = pd.DataFrame({"task": [f"t{task}" for task in tasks], "successes": solved, "attempts": attempts})
    return table.assign(model=model, strategy=strategy, benchmark="b", steps=3, **more)


def with_traces(table: pd.DataFrame) -> pd.DataFrame:
    """Say of the tasks that were never solved where their attempts went wrong."""
    return table.assign(steps_before_error=np.where(table["successes"] == 0, "0|1|1|2", ""))


ONE_WALK = pd.concat([rows(model, attempts=8 * (place + 1)) for place, model in enumerate("abcd")])
SEVERAL = pd.concat([rows("a"), rows("a", "direct"), rows("b"), rows("c", "direct", 100), rows("c")])
TREES = pd.concat([SEVERAL, rows("b", "tot", 5, branching=5.0, kept_states=5.0)])
VOTES = pd.concat([rows("a", "majority", 3, n_samples=5.0), rows("b"), rows("c", attempts=20)])
TRACES = pd.concat([with_traces(rows("a")), rows("b"), with_traces(rows("c")), rows("c", "direct")])
SKILLS = pd.concat([rows(model, skills="x|y") for model in "ab"])
SCATTERED = {"population": {"overdispersion": True}}


def direct(block: Any, terms: Any, design: Any, given: dict[str, Any]) -> Any:
    """Log-likelihood (U, J) of counts, each task's at each node mixed with those of being out of reach and unsound."""
    first, _, _ = block.distinct
    total = 0.0
    for pair, mine in reach_groups(block, design):
        within = terms.of_tasks(terms.log_cells, [mine])[:, 0]
        if pair < 0:
            total = total + within
            continue
        reach = given["reachability"][pair]
        missed = pt.log1p(-reach)
        if terms.log_missed is not None:
            missed = missed + terms.of_tasks(terms.log_missed, [mine])[:, 0]
        never = block.successes[first][:, mine].sum(axis=1) == 0
        within = pt.log(reach) + within
        total = total + pt.switch(never[:, None], pt.logaddexp(within, missed), within)
    if len(design.pairs) == 1:
        return total
    total = total + pt.log(given["soundness"][0])
    unsound = pt.log1p(-given["soundness"][0])
    if terms.log_missed is not None:
        unsound = unsound + terms.of_tasks(terms.log_missed, [np.arange(len(block.arms))])[:, 0]
    never = block.successes[first].sum(axis=1) == 0
    return pt.switch(never[:, None], pt.logaddexp(total, unsound), total)


@pytest.mark.parametrize(
    ("table", "spec", "few"),
    [
        (ONE_WALK, {}, 181),
        (SEVERAL, {}, 181),
        (TREES, {}, 181),
        (VOTES, {}, 181),
        (TRACES, {}, 181),
        (with_traces(ONE_WALK), {}, 181),
        (ONE_WALK, SCATTERED, 181),
        (rows("a"), {}, 181),
        (with_traces(rows("a")), {}, 181),
        (with_traces(rows("a")), SCATTERED, 181),
        # At so many nodes that tasks are looked up between them.
        (ONE_WALK, {"capability": "latent_skills"}, 181),
        (with_traces(ONE_WALK), {"capability": "latent_skills"}, 181),
        # Tasks with locations of their own.
        (SKILLS, {"capability": "skill_graph"}, 181),
        (SKILLS, {"capability": "skill_graph"}, 10**6),
    ],
)
def test_mixed_in_tables_as_at_every_task(monkeypatch, table, spec, few):
    monkeypatch.setattr(terms_module, "_FEW", few)
    spec = ds3.ModelSpec.from_dict(spec)
    design = make_design(ds3.read_evals(table), spec)
    (block,) = design.blocks
    draws = prior_draws(design, spec, seed=5, draws=6)
    given = {str(name): pt.TensorType("float64", (None,) * (one.ndim - 2))(str(name)) for name, one in draws.items()}
    terms = block_terms(block, 0, design, spec, given)
    expected = direct(block, terms, design, given)
    at_nodes = log_likelihood(block, terms, design, given), expected
    of_tasks = log_marginal(block, terms, design, given), log_mean_over_nodes(expected, terms.log_weight)
    names = ("reachability", "soundness", "interaction_sd", "location")
    wanted = [given[name] for name in names if name in given]
    slopes = zip(*(pytensor.grad(one.sum(), wanted, disconnected_inputs="ignore") for one in of_tasks), strict=True)
    pairs = [at_nodes, of_tasks, *slopes]
    outputs = [one for pair in pairs for one in pair]
    function = pytensor.function(list(given.values()), outputs, mode=python_mode(), on_unused_input="ignore")
    for at in range(6):
        found = function(*[draws[name].values[0, at] for name in given])
        for one, other in zip(found[::2], found[1::2], strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12 * abs(other).max())
