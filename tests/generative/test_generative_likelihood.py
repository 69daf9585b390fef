"""The summed-out likelihood against plain enumeration, and task effects against numerical integration."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from pytensor.graph.replace import graph_replace
from scipy import stats

import ds3bayes as ds3
from ds3bayes.generative import arrange as design_module
from ds3bayes.generative import density
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.capability import known_parameters
from ds3bayes.generative.counts.grid import success_grid
from ds3bayes.generative.counts.searches import FIDELITIES, GAPS, OVERLAPS
from ds3bayes.generative.likelihood import log_likelihood, log_marginal
from ds3bayes.generative.observation.tokens import tokens_of
from ds3bayes.generative.task_effects import PopulationAtDraws, task_effects
from ds3bayes.generative.terms import block_terms
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.theory.evaluate import python_mode

# --- every task of a table by the page of the joint density -------------------------------------------------


class Enumerated:
    """Log-likelihood of each task of a table, one after the other, by `ds3bayes.generative.density`."""

    def __init__(self, evals: xr.Dataset, spec: ds3.ModelSpec) -> None:
        self.spec, self.design = spec, make_design(evals, spec)
        # Of each tree and task, the outputs of a search as the table says.
        table = ds3.evals.to_table(evals).query("strategy == 'tot'")
        self.outputs = {
            (arm, one.task): int(one.outputs)
            for arm in self.design.arms
            for one in table.itertuples()
            if arm.is_tree
            and (one.model, one.branching, one.kept_states) == (arm.model, arm.branching, arm.kept_states)
        }

    def of_block(self, index: int, draw: dict[str, np.ndarray], coords: dict[str, list[str]]) -> np.ndarray:
        design, block = self.design, self.design.blocks[index]

        def value(name: str, label: str) -> float:
            return float(draw[name][coords[known_parameters()[name].dims[0]].index(label)])

        lone = len(block.arms) == 1
        arms = [self._arm(arm, lone, value) for arm in block.arms]
        reach = self.spec.population.reachability
        gamma = {arm.llm: value("reachability", arm.llm) if reach else 1.0 for arm in arms if not arm.tree}
        skew = value("skew", design.populations[index])
        grid = block.tables[0].grid.nodes
        result = []
        for task in range(len(block.tasks)):
            data = [
                density.Counts(
                    attempts=int(block.attempts[task, column]),
                    successes=int(block.successes[task, column]),
                    log_tokens=float(tokens_of(block)[0][task, column]),
                    timed=float(tokens_of(block)[1][task, column]),
                    outputs=self.outputs.get((design.arms[block.arms[column]], block.tasks[task]), 1),
                )
                for column in range(len(arms))
            ]
            if lone:
                label = design.labels[block.arms[0]]
                nodes = density.Nodes(easiness=grid, width=np.ones_like(grid), logit=grid)
                location, spread = value("location", label), value("spread", label)
                of_task = density.log_density_of_one(
                    data[0],
                    arms[0],
                    location=location,
                    spread=spread,
                    skew=skew,
                    gamma=gamma[arms[0].llm],
                    nodes=nodes,
                )
            else:
                width = np.exp(block.easiness.log_width)
                nodes = density.Nodes(easiness=block.easiness.nodes, width=width, logit=grid)
                dof = self.spec.population.interaction_dof
                shared = self.spec.population.soundness and len({arm.llm for arm in arms}) > 1
                soundness = value("soundness", design.arms[block.arms[0]].benchmark) if shared else 1.0
                of_task = density.log_density(
                    data, arms, skew=skew, gamma=gamma, soundness=soundness, nodes=nodes, dof=dof
                )
            result.append(of_task)
        return np.array(result)

    def _arm(self, arm: int, lone: bool, value: Any) -> density.ArmLaw:
        design, what, label = self.design, self.design.arms[arm], self.design.labels[arm]
        tokens = {}
        if design.has_tokens[arm]:
            level = value("log_tokens", label)
            if what.is_tree:
                variance = 0.0
            elif np.isfinite(design.path_length[arm]):
                variance = max(1 / design.path_length[arm] - design.tokens_per_step / math.exp(level), 0.0)
            else:
                variance = value("attempt_cv", label) ** 2
            tokens = {
                "log_tokens": level,
                "token_slope": value("token_slope", label),
                "token_sd": value("token_sd", label),
                "length_spread": 0.0 if lone else value("length_spread", label),
                "attempt_variance": variance,
            }
        base = design.labels[int(design.base[arm])]
        location, spread = value("location", base), value("spread", base)

        def of_tree(z: float) -> float:
            pair = what.pair
            return location + value("tree_offset", pair) + value("tree_slope", pair) * spread * z

        if what.is_tree:
            learned = [np.array([value(name, what.pair)]) for name in ("step_discrimination", "candidate_overlap")]
            proposed = self.design.proposed(arm, what.branching)

            def right_states(outputs: int, x: np.ndarray) -> np.ndarray:
                return replace(what.search, outputs=outputs).right_outputs(x[None], *learned, 3, proposed)[0]

            tokens |= {"right_states": right_states, "fidelity": value("answer_fidelity", what.pair)}
        own = 1.0 if lone else value("tree_interaction_sd" if what.is_tree else "interaction_sd", label)
        mean = of_tree if what.is_tree else lambda z: location + spread * z
        return density.ArmLaw(llm=what.pair, mean_logit=mean, own_sd=own, **tokens)


# --- tables -------------------------------------------------------------------------------------------------


def row(task: str, strategy: str, n: int, c: int, tokens: float | None = None, **more: Any) -> dict[str, Any]:
    cell = {"model": "m", "benchmark": "shared", "task": task, "strategy": strategy, "attempts": n, "successes": c}
    return cell | ({"tokens_mean": tokens} if tokens else {}) | more


WALKS = [
    row("t0", "cot", 9, 4, 310.0),
    row("t1", "cot", 8, 0, 520.0),
    row("t2", "cot", 120, 119),
    row("t0", "direct", 9, 1, 40.0),
    row("t1", "direct", 30, 0, 44.0),
    row("lone0", "cot", 8, 3, 200.0, benchmark="alone"),
    row("lone1", "cot", 8, 0, 250.0, benchmark="alone"),
    row("lone2", "cot", 8, 0, 250.0, benchmark="alone"),
]
TREES = [one | {"steps": 3} for one in WALKS[:5]] + [
    row("t0", "tot", 5, 5, 900.0, branching=5, kept_states=5, steps=3),
    row("t2", "tot", 5, 0, 1300.0, branching=5, kept_states=5, steps=3),
    row("t1", "tot", 1, 1, branching=5, kept_states=1, steps=3),
    # Six searches of one output, two of two, and states that were scored: other numbers of candidates.
    row("t0", "tot", 6, 2, branching=4, kept_states=3, outputs=1, steps=3, states_evaluated=6 * 31),
    row("t1", "tot", 4, 3, branching=4, kept_states=3, outputs=2, steps=3, states_evaluated=2 * 33),
]
TWO_MODELS = [one | {"model": model} for model in ("a", "b") for one in WALKS[:3]]
# An LLM with two walks and a tree, and one with a single walk.
UNEQUAL = [one | {"model": "a"} for one in TREES] + [one | {"model": "b", "steps": 3} for one in WALKS[:3]]


# Two LLMs with trees of their own, of which none ever solved t1.
TWO_TREES = [one | {"model": model, "successes": 0 if one["task"] == "t1" else 1} for model in "ab" for one in TREES]


@pytest.mark.parametrize("reachability", [True, False])
@pytest.mark.parametrize(
    ("rows", "family", "soundness"),
    [
        (WALKS, "split_normal", True),
        (WALKS, "normal", True),
        (TREES, "split_normal", True),
        (TREES, "normal", True),
        (TWO_MODELS, "split_normal", True),
        (TWO_MODELS, "split_normal", False),
        (TWO_MODELS, "normal", True),
        (UNEQUAL, "split_normal", True),
        (UNEQUAL, "normal", False),
        (TWO_TREES, "split_normal", True),
    ],
)
def test_summed_out_likelihood_equals_enumeration(rows, family, soundness, reachability):
    population = {"family": family, "reachability": reachability, "soundness": soundness}
    spec = ds3.ModelSpec.from_dict({"population": population})
    evals = ds3.read_evals(pd.DataFrame(rows))
    oracle = Enumerated(evals, spec)
    design = oracle.design
    draws = prior_draws(design, spec, seed=7, draws=4)
    # The likelihood of a tree's cells is tabulated at these, and interpolated between them.
    tabulated = {"step_discrimination": GAPS, "candidate_overlap": OVERLAPS, "answer_fidelity": FIDELITIES}
    for name, nodes in tabulated.items():
        if name in draws:
            draws[name] = xr.apply_ufunc(
                lambda at, nodes=nodes: nodes[np.abs(nodes - at[..., None]).argmin(-1)], draws[name]
            )
    names = [str(name) for name in draws.data_vars]
    coords = {str(dim): [str(label) for label in draws[dim].values] for dim in draws.dims}
    population = PopulationAtDraws(design, spec, draws)
    for at in range(4):
        draw = {name: draws[name].values[0, at] for name in names}
        known = draw if family == "split_normal" else draw | {"skew": np.zeros(len(design.populations))}
        coords.setdefault("population", list(design.populations))
        for index, block in enumerate(design.blocks):
            found = population(index, draw)["log_marginal"][block.distinct[1]]
            np.testing.assert_allclose(found, oracle.of_block(index, known, coords), rtol=1e-9)


def test_a_location_beyond_all_tasks_is_certain_success():
    """However wide an arm's own effects are: failures are then as unlikely as anything can be."""
    spec = ds3.ModelSpec.from_dict({"population": {"reachability": False}})
    rows = [row(f"t{task}", "cot", 8, 4, benchmark="b") | {"model": model} for model in "ab" for task in range(6)]
    design = make_design(ds3.read_evals(pd.DataFrame(rows)), spec)
    draws = prior_draws(design, spec, seed=7, draws=1)
    draw = {str(name): draws[name].values[0, 0] for name in draws.data_vars} | {"interaction_sd": np.full(2, 0.8)}
    population = PopulationAtDraws(design, spec, draws)
    of_tasks = [
        population(0, draw | {"location": np.full(2, location)})["log_marginal"].mean()
        for location in (0.0, 20.0, 50.0)
    ]
    assert of_tasks[1] < of_tasks[0] - 5
    assert of_tasks[2] < of_tasks[1]


def test_tasks_that_look_alike_are_taken_once():
    design = make_design(ds3.read_evals(pd.DataFrame(WALKS)), ds3.ModelSpec())
    block = next(block for block in design.blocks if "lone0" in block.tasks)
    first, inverse, counts = block.distinct
    assert sorted(counts) == [1, 2]
    assert inverse[block.tasks.index("lone1")] == inverse[block.tasks.index("lone2")]
    assert first.size == 2


# --- wrong answers ------------------------------------------------------------------------------------------


def partitions_of_sequence(w: int):
    """Yield every way in which w customers can sit: block of each customer, in order of first appearance."""
    for labels in itertools.product(range(w), repeat=w):
        if all(label <= max(labels[:i], default=-1) + 1 for i, label in enumerate(labels)):
            yield labels


def restaurant(labels: tuple[int, ...], a: float) -> float:
    """Probability of a seating, customer by customer."""
    probability, sizes = 1.0, {}
    for i, label in enumerate(labels):
        probability *= sizes.get(label, a) / (a + i)
        sizes[label] = sizes.get(label, 0) + 1
    return probability


@pytest.mark.parametrize("texts", [["3|1"], ["1"], ["2|2|1", "1|1", "3"], ["4|1", "1|1|1|1|1"]])
def test_wrong_answers_follow_the_chinese_restaurant(texts):
    rows = [
        row(f"t{i}", "cot", 9, 9 - sum(map(int, text.split("|"))), wrong_answer_counts=text)
        for i, text in enumerate(texts)
    ]
    model = ds3.build_model(ds3.ModelSpec(), ds3.read_evals(pd.DataFrame(rows)))
    potential = next(one for one in model.potentials if one.name == "votes")
    function = pytensor.function([model["wrong_answer_concentration"]], potential, mode=python_mode())
    excess = []
    for a in (0.05, 0.4, 1.0, 3.0, 20.0):
        expected = 0.0
        for text in texts:
            sizes = sorted(map(int, text.split("|")))
            ways = [
                restaurant(labels, a)
                for labels in partitions_of_sequence(sum(sizes))
                if sorted(np.bincount(labels).tolist()) == sizes
            ]
            expected += math.log(sum(ways))
        excess.append(float(function(np.array([a]))) - expected)
    # What does not depend on the concentration is left out of the potential.
    np.testing.assert_allclose(excess, excess[0], atol=1e-10)


# --- task effects -------------------------------------------------------------------------------------------

DRAWS = 3000
PARAMETERS = {
    "location": 0.3,
    "spread": 1.7,
    "skew": 0.6,
    "reachability": 0.8,
    "log_tokens": 6.0,
    "token_slope": 0.0,
    "token_sd": 0.5,
    "attempt_cv": 0.9,
}
LONE = [row("none", "cot", 6, 0, 700.0), row("some", "cot", 6, 2, 150.0), row("all", "cot", 6, 6)]


@pytest.fixture(scope="module")
def lone_effects() -> tuple[xr.Dataset, Any]:
    spec = ds3.ModelSpec()
    design = make_design(ds3.read_evals(pd.DataFrame(LONE)), spec)
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", known_parameters()[name].dims[0]), np.full((1, DRAWS, 1), value))
            for name, value in PARAMETERS.items()
        },
        coords={"chain": [0], "draw": np.arange(DRAWS)},
    )
    return task_effects(design, spec, posterior, seed=3), design


def posterior_law(n: int, c: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, prior and posterior density of a lone task's logit, by the model's piecewise linear prior."""
    grid = np.linspace(-20.0, 12.0, 161)
    nodes = density.two_piece_normal((grid - PARAMETERS["location"]) / PARAMETERS["spread"], PARAMETERS["skew"])
    x = np.linspace(-20.0, 12.0, 160 * 64 + 1)
    prior = np.interp(x, grid, nodes)
    prior /= prior.sum()
    return x, prior, stats.binom.pmf(c, n, 1 / (1 + np.exp(-x))) * prior


def of_task(effects: xr.Dataset, name: str, task: str) -> np.ndarray:
    at = list(effects["cell_task"].values).index(task)
    return effects[name].values[0, :, at].astype(float)


@pytest.mark.parametrize(("task", "c"), [("none", 0), ("some", 2), ("all", 6)])
def test_logit_success_has_its_posterior_mean_and_spread(lone_effects, task, c):
    effects, _ = lone_effects
    x, _, joint = posterior_law(6, c)
    drawn = of_task(effects, "logit_success", task)
    if c == 0:
        drawn = drawn[of_task(effects, "reachable", task) == 1]
    mean = joint @ x / joint.sum()
    sd = math.sqrt(joint @ (x - mean) ** 2 / joint.sum())
    # Draws are independent: 4 standard errors, plus 1/100 sd for straight lines between quantiles.
    assert abs(drawn.mean() - mean) < 4 * sd / math.sqrt(drawn.size) + 0.01 * sd
    kurtosis = joint @ (x - mean) ** 4 / joint.sum() / sd**4
    assert abs(drawn.var() / sd**2 - 1) < 4 * math.sqrt((kurtosis - 1) / drawn.size) + 0.02


def test_out_of_reach_the_counts_say_nothing(lone_effects):
    effects, _ = lone_effects
    x, prior, _ = posterior_law(6, 0)
    drawn = of_task(effects, "logit_success", "none")[of_task(effects, "reachable", "none") == 0]
    mean = prior @ x
    sd = math.sqrt(prior @ (x - mean) ** 2)
    assert abs(drawn.mean() - mean) < 4 * sd / math.sqrt(drawn.size) + 0.01 * sd


def test_reachability_follows_bayes_rule(lone_effects):
    effects, _ = lone_effects
    _, _, joint = posterior_law(6, 0)
    gamma = PARAMETERS["reachability"]
    odds = gamma * joint.sum() / (gamma * joint.sum() + 1 - gamma)
    found = of_task(effects, "reachable", "none").mean()
    assert abs(found - odds) < 4 * math.sqrt(odds * (1 - odds) / DRAWS)
    assert of_task(effects, "reachable", "some").min() == 1
    assert of_task(effects, "reachable", "all").min() == 1


@pytest.mark.parametrize(("task", "tokens"), [("none", 700.0), ("some", 150.0), ("all", None)])
def test_tokens_are_the_conjugate_posterior(lone_effects, task, tokens):
    effects, _ = lone_effects
    prior = PARAMETERS["token_sd"] ** 2
    if tokens is None:
        mean, variance = PARAMETERS["log_tokens"], prior
    else:
        error = PARAMETERS["attempt_cv"] ** 2 / 6
        variance = 1 / (1 / prior + 1 / error)
        mean = variance * (PARAMETERS["log_tokens"] / prior + math.log(tokens) / error)
    drawn = of_task(effects, "log_tokens", task)
    assert abs(drawn.mean() - mean) < 4 * math.sqrt(variance / DRAWS)
    assert abs(drawn.var() / variance - 1) < 4 * math.sqrt(2 / DRAWS)


def test_task_log_likelihood_is_that_of_the_model(lone_effects):
    effects, _ = lone_effects
    task = list(effects["task"].values)
    found = dict(zip(task, effects["log_likelihood"].values[0, 0], strict=True))
    _, _, joint = posterior_law(6, 6)
    # The task without tokens: reachable, and its counts summed over the law. The law is taken as linear between
    # nodes 1/8.5 sd apart, which the sum over nodes integrates exactly.
    last = next(value for name, value in found.items() if name.endswith("all"))
    expected = math.log(PARAMETERS["reachability"]) + math.log(joint.sum())
    assert last == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("reachability", [True, False])
def test_a_product_with_the_table_is_the_sum_over_nodes(reachability):
    rows = [(10, 0), (10, 1), (10, 9), (10, 10), (100_000, 0), (100_000, 50_000), (100_000, 100_000)]
    table = pd.DataFrame(rows, columns=["attempts", "successes"]).assign(model="m", benchmark="b", strategy="cot")
    table["task"] = [f"t{i}" for i in range(len(rows))]
    spec = ds3.ModelSpec.from_dict({"population": {"reachability": reachability}}, "spec")
    design = make_design(ds3.read_evals(table), spec)
    (block,) = design.blocks
    draws = prior_draws(design, spec, seed=5, draws=20)
    given = {str(name): pytensor.tensor.vector(str(name)) for name in draws.data_vars}
    terms = block_terms(block, 0, design, spec, given)
    summed = pytensor.tensor.logsumexp(terms.log_weight + log_likelihood(block, terms, design, given), axis=1)
    both = [summed, log_marginal(block, terms, design, given)]
    function = pytensor.function(list(given.values()), both, mode=python_mode(), on_unused_input="ignore")
    for draw in range(20):
        expected, found = function(*[draws[name].values[0, draw] for name in given])
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# --- invariances --------------------------------------------------------------------------------------------


def total_log_likelihood(frame: pd.DataFrame, seed: int = 3) -> float:
    """Sum of all potentials of the built model at parameters that depend on their labels only."""
    spec = ds3.ModelSpec()
    evals = ds3.read_evals(frame)
    model = ds3.build_model(spec, evals)
    variables = list(model.free_RVs)
    values = []
    for one in variables:
        prior = spec.prior(one.name)
        labels = model.coords[known_parameters()[one.name].dims[0]]
        values.append(
            np.array(
                [
                    prior.draw((1,), np.random.default_rng([seed, *f"{one.name} {label}".encode()]))[0]
                    for label in labels
                ]
            )
        )
    function = pytensor.function(variables, sum(model.potentials), mode=python_mode(), on_unused_input="ignore")
    return float(function(*values))


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    more = [
        row("t0", "best_of_n", 4, 3, n_samples=5, verifier="oracle"),
        row("t1", "majority", 2, 0, n_samples=5),
        row("t2", "pass_power", 3, 2, n_samples=2),
    ]
    frame = pd.DataFrame([*WALKS, *more])
    frame["prompt_tokens"] = np.where(frame["strategy"] == "cot", 60.0 * frame["attempts"], np.nan)
    frame["wrong_answer_counts"] = np.where(frame["strategy"].eq("cot") & frame["task"].eq("t1"), "5|2|1", "")
    return frame


def test_shuffling_rows_leaves_the_likelihood(mixed):
    before = total_log_likelihood(mixed)
    for seed in (0, 1):
        assert total_log_likelihood(mixed.sample(frac=1, random_state=seed)) == pytest.approx(before, rel=1e-12)


def test_relabelling_tasks_leaves_the_likelihood(mixed):
    names = {name: f"{len(mixed) - place} {name[::-1]}" for place, name in enumerate(mixed["task"])}
    renamed = mixed.assign(task=mixed["task"].map(names))
    assert total_log_likelihood(renamed) == pytest.approx(total_log_likelihood(mixed), rel=1e-12)


def test_attempts_row_by_row_leave_the_likelihood():
    counts = pd.DataFrame(WALKS).drop(columns="tokens_mean")
    single = [
        one | {"attempts": 1, "successes": int(i < one["successes"])}
        for one in counts.to_dict("records")
        for i in range(one["attempts"])
    ]
    collapsed = total_log_likelihood(counts)
    assert total_log_likelihood(pd.DataFrame(single)) == pytest.approx(collapsed, rel=1e-12)


def test_held_out_rows_do_not_enter():
    frame = pd.DataFrame(WALKS)
    spec = ds3.ModelSpec.from_dict({"holdout": [{"where": "strategy == 'direct'"}]})
    logp = []
    for c in (1, 8):
        frame.loc[3, "successes"] = c
        model = ds3.build_model(spec, ds3.read_evals(frame))
        function = pytensor.function(
            model.free_RVs, sum(model.potentials), mode=python_mode(), on_unused_input="ignore"
        )
        values = [
            spec.prior(one.name).draw(
                (len(model.coords[known_parameters()[one.name].dims[0]]),), np.random.default_rng(1)
            )
            for one in model.free_RVs
        ]
        logp.append(float(function(*values)))
    assert logp[0] == logp[1]


def test_the_model_has_named_dims(game24_evals, game24_spec):
    model = ds3.build_model(game24_spec, game24_evals)
    for variable in model.free_RVs:
        (dim,) = model.named_vars_to_dims[variable.name]
        assert dim == known_parameters()[variable.name].dims[0]
        assert len(model.coords[dim]) > 0


def test_finer_grids_change_nothing(monkeypatch):
    """Ten LLMs and a thousand attempts each pin tasks down between the nodes; log-likelihoods must not tell where."""
    rng = np.random.default_rng(5)
    llms, tasks = 10, 60
    easiness = rng.standard_normal(tasks)
    rows = []
    for llm in range(llms):
        q = 1 / (1 + np.exp(-(-1.0 + 3.5 * easiness + 0.6 * rng.standard_t(7.0, tasks))))
        rows += [(f"m{llm}", f"t{i}", c) for i, c in enumerate(rng.binomial(1000, q))]
    table = pd.DataFrame(rows, columns=["model", "task", "successes"])
    evals = ds3.read_evals(table.assign(benchmark="b", strategy="cot", attempts=1000))
    spec = ds3.ModelSpec()

    def log_likelihoods() -> np.ndarray:
        model = ds3.build_model(spec, evals)
        # Whole LLMs move against their tasks: where all peaks cross the nodes together.
        given = {"location": -1.0 * np.ones(llms), "spread": 3.5 * np.ones(llms), "interaction_sd": 0.6 * np.ones(llms)}
        given |= {"reachability": 0.97 * np.ones(llms), "skew": np.zeros(1)}
        others = {model[name]: pt.as_tensor(value) for name, value in given.items() if name != "location"}
        fixed = graph_replace(model.potentials[0], others)
        at = pytensor.function([model["location"]], fixed, mode=python_mode())
        return np.array([float(at(given["location"] + shift)) for shift in np.linspace(-0.5, 0.5, 21)])

    coarse = log_likelihoods()
    monkeypatch.setattr(design_module, "easiness_spacing", lambda _: 0.02)
    monkeypatch.setattr(design_module, "success_grid", lambda n: replace(success_grid(n), spacing=0.08))
    difference = coarse - log_likelihoods()
    assert np.std(difference) < 0.01
    # They do tell where the LLMs are.
    assert np.ptp(coarse) > 3.0
