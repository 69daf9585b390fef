"""An observation from outside the package, in one file: a column of its own, and a law that depends on easiness."""

from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import ds3bayes as ds3
from ds3bayes.deferred import pt
from ds3bayes.evals import Column, describe_columns
from ds3bayes.generative import density, observation
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.observation import Observation
from ds3bayes.generative.priors import Parameter, prior
from ds3bayes.generative.task_effects import PopulationAtDraws


class Latency(Observation[pd.DataFrame]):
    """Seconds of one attempt, averaged over those at a task: log-normal, longer for harder tasks."""

    name = "latency"
    columns: ClassVar = (
        Column(
            name="latency",
            kind="number",
            unit="s",
            low=1e-3,
            high=1e6,
            merge="mean",
            meaning="mean time of one attempt at the task",
        ),
    )
    parameters: ClassVar = {
        "log_latency": Parameter(
            prior("Normal", mu=1.0, sigma=2.0), ("latency_arm",), "mean log seconds over tasks of middling easiness"
        ),
        "latency_slope": Parameter(
            prior("Normal", mu=0.2, sigma=0.3), ("latency_arm",), "log seconds that a task takes less per easiness"
        ),
        "latency_sd": Parameter(
            prior("LogNormal", mu=-1.0, sigma=0.5), ("latency_arm",), "sd of log seconds between tasks as easy"
        ),
    }

    def collect(self, rows, arms, spec):
        rows = rows[rows["latency"].notna() & (rows["task"] != "")] if "latency" in rows else rows[:0]
        return None if rows.empty else rows.groupby(["arm", "task"], as_index=False)["latency"].mean()

    def coords(self, data, design):
        return {"latency_arm": [design.labels[arm] for arm in self._arms(data)]}

    def of_tasks(self, data, block):
        mine = data[data["arm"].isin(block.arms) & data["task"].isin(block.tasks)]
        at = [block.tasks.index(task) for task in mine["task"]], [block.arms.index(arm) for arm in mine["arm"]]
        told = {name: np.zeros((len(block.tasks), len(block.arms))) for name in ("log_latency_seen", "latency_given")}
        told["log_latency_seen"][at], told["latency_given"][at] = np.log(mine["latency"]), 1.0
        return told if len(mine) else None

    def at_nodes(self, told, block, design, law, given):
        total = 0.0
        for column, place in self._places(block, design):
            mean = given["log_latency"][place] - given["latency_slope"][place] * law.easiness
            sd = given["latency_sd"][place]
            error = (told["log_latency_seen"][:, [column]] - mean) / sd
            own = -0.5 * error**2 - pt.log(sd) - 0.5 * np.log(2 * np.pi)
            total = total + told["latency_given"][:, [column]] * own
        return total

    def draw(self, told, block, design, easiness, draw, rng):
        again = np.full(told["latency_given"].shape, np.nan)
        for column, place in self._places(block, design):
            mean = draw["log_latency"][place] - draw["latency_slope"][place] * easiness
            again[:, column] = rng.normal(mean, draw["latency_sd"][place])
        return {"log_latency_seen": np.where(told["latency_given"] > 0, again, np.nan)}

    def _arms(self, data):
        return sorted(set(data["arm"]))

    def _places(self, block, design):
        arms = self._arms(design.observed["latency"])
        return [(column, arms.index(arm)) for column, arm in enumerate(block.arms) if arm in arms]


@pytest.fixture
def latency():
    kind = observation.register(Latency())
    try:
        yield kind
    finally:
        observation.unregister(kind)


def table(tasks: int = 30, llms: int = 2, seed: int = 0) -> pd.DataFrame:
    """Attempts whose seconds fall by a third of a logarithm per sd of easiness."""
    rng = np.random.default_rng(seed)
    easiness = rng.normal(size=tasks)
    rows = []
    for llm in range(llms):
        q = 1 / (1 + np.exp(-(0.3 * llm + 2.0 * easiness + 0.5 * rng.normal(size=tasks))))
        seconds = np.exp(2.0 + llm - 0.33 * easiness + 0.2 * rng.normal(size=tasks))
        rows += [
            {"model": f"m{llm}", "task": f"t{j}", "successes": rng.binomial(8, q[j]), "latency": seconds[j].round(2)}
            for j in range(tasks)
        ]
    return pd.DataFrame(rows).assign(benchmark="b", strategy="cot", attempts=8)


def test_readers_keep_and_check_its_column(latency):
    evals = ds3.read_evals(table())
    assert evals["latency"].attrs["units"] == "s"
    assert "latency" in set(describe_columns()["column"])
    with pytest.raises(ds3.InputError, match=r"latency.*-3"):
        ds3.read_evals(table().assign(latency=-3.0))
    single = table().assign(attempts=1, successes=1)
    merged = ds3.read_evals(pd.concat([single, single.assign(latency=single["latency"] + 2.0)]))
    np.testing.assert_allclose(merged["latency"], ds3.read_evals(single)["latency"] + 1.0)


@pytest.mark.parametrize("llms", [1, 2])
def test_its_likelihood_is_summed_out_with_the_counts(latency, llms):
    """A log-normal that falls with easiness is what tokens are, on the page of the joint density."""
    spec = ds3.ModelSpec.from_dict({"population": {"reachability": False}})
    frame = table(tasks=5, llms=llms)
    # One latency that nobody measured.
    frame.loc[1, "latency"] = np.nan
    design = make_design(ds3.read_evals(frame), spec)
    block = design.blocks[0]
    own = np.array([[0.7 + 0.1 * llm for llm in range(llms)]])
    draw = {
        "location": np.array([0.2, -0.4])[:llms],
        "spread": np.array([1.5, 2.5])[:llms],
        "skew": np.array([0.3]),
        "log_latency": np.array([2.1, 3.2])[:llms],
        "latency_slope": np.array([0.3, 0.1])[:llms],
        "latency_sd": np.array([0.4, 0.6])[:llms],
    } | ({"interaction_sd": own[0]} if llms > 1 else {})
    coords = {name: [f"{name} {i}" for i in range(values.size)] for name, values in draw.items()}
    posterior = xr.Dataset(
        {name: (("chain", "draw", f"{name}_dim"), values[None, None]) for name, values in draw.items()},
        {f"{name}_dim": labels for name, labels in coords.items()},
    )
    found = PopulationAtDraws(design, spec, posterior)(0, draw)["log_marginal"][block.distinct[1]]
    grid = block.tables[0].grid.nodes
    arms = [
        density.ArmLaw(
            llm=f"m{i}",
            mean_logit=lambda z, i=i: draw["location"][i] + draw["spread"][i] * z,
            own_sd=own[0, i],
            log_tokens=draw["log_latency"][i],
            token_slope=draw["latency_slope"][i],
            token_sd=draw["latency_sd"][i],
        )
        for i in range(llms)
    ]
    told = block.told["latency"]
    for task in range(len(block.tasks)):
        data = [
            density.Counts(
                attempts=8,
                successes=int(block.successes[task, i]),
                log_tokens=told["log_latency_seen"][task, i],
                timed=told["latency_given"][task, i],
            )
            for i in range(llms)
        ]
        if llms == 1:
            nodes = density.Nodes(easiness=grid, width=np.ones_like(grid), logit=grid)
            of_task = density.log_density_of_one(
                data[0], arms[0], location=0.2, spread=1.5, skew=0.3, gamma=1.0, nodes=nodes
            )
        else:
            easy = block.easiness
            nodes = density.Nodes(easiness=easy.nodes, width=np.exp(easy.log_width), logit=grid)
            dof = spec.population.interaction_dof
            of_task = density.log_density(data, arms, skew=0.3, gamma={"m0": 1.0, "m1": 1.0}, nodes=nodes, dof=dof)
        assert found[task] == pytest.approx(of_task, rel=1e-9)


def test_a_fit_learns_it_and_replicates_it(latency, short_fit):
    fit = short_fit(ds3.read_evals(table(tasks=60)), draws=200)
    slope = fit["posterior"]["latency_slope"]
    assert slope.sizes["latency_arm"] == 2
    # The truths are within what the posterior leaves open, which is little.
    for name, truth, most in (("latency_slope", [0.33, 0.33], 0.12), ("log_latency", [2.0, 3.0], 0.25)):
        drawn = fit["posterior"][name]
        mean, sd = drawn.mean(("chain", "draw")).values, drawn.std(("chain", "draw")).values
        assert (np.abs(mean - truth) < np.minimum(3.5 * sd, most)).all(), (name, mean, sd)
    tree = ds3.posterior_predictive(fit)
    seen, again = (tree[group]["log_latency_seen"] for group in ("observed_data", "posterior_predictive"))
    inside = (again.quantile(0.05, ("chain", "draw")) < seen) & (seen < again.quantile(0.95, ("chain", "draw")))
    assert 0.8 < float(inside.mean()) <= 1.0
    # It tells of a task's easiness, and so of the success at tasks that nobody attempted twice.
    with_it, without = (
        fit["task_effects"]["easiness"].std(("chain", "draw")).mean(),
        short_fit(ds3.read_evals(table(tasks=60).drop(columns="latency")))["task_effects"]["easiness"]
        .std(("chain", "draw"))
        .mean(),
    )
    assert with_it < without


def test_nothing_of_it_is_left():
    assert "latency" not in set(describe_columns()["column"])
    assert "latency" not in observation.OBSERVATIONS
    with pytest.warns(UserWarning, match="not columns of an evaluation table: 'latency'"):
        ds3.read_evals(table())


def test_columns_of_others_are_not_taken():
    class Clash(Latency):
        columns: ClassVar = (Column(name="seconds", kind="number", meaning="something else"),)

    with pytest.raises(ValueError, match="column 'seconds' exists"):
        observation.register(Clash())
    assert "latency" not in observation.OBSERVATIONS
