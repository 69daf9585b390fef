"""Fits that many tests share: made once per run, and never changed by a test."""

import gc
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import jsonschema
import numpy as np
import pytensor
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

import ds3bayes as ds3
from ds3bayes import answers, cli, files
from ds3bayes.evals import data_sha256
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.task_effects import task_effects
from ds3bayes.inference.artifact import SCHEMA, prior_draws
from ds3bayes.inference.compiled import compile_model

# Where each node of a graph was made is for debugging, and takes a third of the time of building it.
pytensor.config.traceback__limit = 0
# Graphs hold millions of objects as long as what was compiled from them is kept, and the garbage collector would go
# through all of them again and again: a third of the time. It sees all only between modules, below.
gc.set_threshold(200_000, 1000, 1000)
# Each core has a worker of its own: threads of BLAS would wait for one another, a fifth of the time. The first is for
# workers and programs that start from here on, the second for what is loaded already.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
threadpool_limits(limits=1, user_api="blas")
ROOT = Path(__file__).resolve().parents[1]
# A program that a benchmark starts, with packages that tests do not need; it has no examples to run.
collect_ignore = ["benchmarks/numpyro_twin.py"]
SHORT = {"draws": 150, "tune": 150, "chains": 2, "seed": 1, "progress": False}


@pytest.fixture(autouse=True, scope="module")
def garbage() -> Iterator[None]:
    """Throw away a module's garbage after it, and look no more at what outlived it."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def few_refits() -> Iterator[None]:
    """Leave one task out by a refit at most, unless a test says how many: short chains have many of high Pareto k."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ds3bayes.inference.check.MAX_REFITS", 1)
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's folder."""
    return ROOT


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs the command line inside this process: (exit code, output, message)."""
    monkeypatch.chdir(tmp_path)
    # `main` shows warnings its own way.
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)
    # The test run keeps its own way of being stopped.
    monkeypatch.setattr(files, "stop_politely", lambda: None)

    def go(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ds3bayes", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        said = capsys.readouterr()
        if "--json" in arguments:
            # Whatever a test asks for as JSON is what is documented; of several specifications, a line each.
            for text in said.out.splitlines() if said.out.count("\n{") else filter(None, [said.out]):
                jsonschema.validate(json.loads(text), answers.schema(str(arguments[0])))
        return int(exit_.value.code or 0), said.out, said.err

    return go


@pytest.fixture(scope="session")
def short_fit() -> Callable[..., xr.DataTree]:
    """Return a function that fits with few draws."""

    def fit(evals: xr.Dataset, spec: ds3.ModelSpec | None = None, **changes: int) -> xr.DataTree:
        with warnings.catch_warnings():
            # Short chains fall short of 400 effective draws, which a fit says.
            warnings.simplefilter("ignore", ds3.FitWarning)
            return ds3.fit(evals, spec, **{**SHORT, **changes})

    return fit


@pytest.fixture(scope="session")
def posteriors() -> Callable[..., Iterator[xr.Dataset]]:
    """Return a function that draws the posterior of each of many data sets, compiled once."""

    def draw(
        many: Iterable[xr.Dataset], spec: ds3.ModelSpec, draws: int = 300, tune: int = 400
    ) -> Iterator[xr.Dataset]:
        compiled = None
        for seed, evals in enumerate(many):
            design = make_design(evals, spec, spec.held_out_rows(evals))
            compiled = compiled.of(design) if compiled else compile_model(design, spec)
            sampling = spec.sampling.model_copy(update={"draws": draws, "tune": tune, "chains": 2, "seed": seed})
            yield compiled.sample(sampling)["posterior"].to_dataset()

    return draw


@pytest.fixture(scope="session")
def prior_fit() -> Callable[..., xr.DataTree]:
    """Return a function that makes a fit whose population draws are the prior's: nothing is compiled or sampled.

    Task effects are drawn as in any fit. Good for what must hold at every draw.
    """

    def make(evals: xr.Dataset, spec: ds3.ModelSpec | None = None, draws: int = 40, seed: int = 5) -> xr.DataTree:
        spec = spec or ds3.ModelSpec()
        held_out = spec.held_out_rows(evals)
        design = make_design(evals, spec, held_out)
        posterior = prior_draws(design, spec, seed, draws)
        effects = task_effects(design, spec, posterior, seed)
        tree = xr.DataTree.from_dict(
            {
                "posterior": posterior,
                "sample_stats": xr.Dataset({"diverging": (("chain", "draw"), np.zeros((1, draws), dtype=bool))}),
                "prior": prior_draws(design, spec, seed, 50),
                "log_likelihood": effects[["log_likelihood"]].rename(log_likelihood="tasks"),
                "task_effects": effects.drop_vars(["log_likelihood", "task"]),
                "observed_data": evals[["successes"]].drop_attrs(deep=False),
                "constant_data": evals.drop_vars("successes").assign(held_out=("row", held_out)),
            }
        )
        tree.attrs = {
            "schema": SCHEMA,
            "model_id": spec.model_id,
            "spec": spec.model_dump_json(),
            "data_sha256": data_sha256(evals),
            "versions": json.dumps({}),
            "seed": seed,
        }
        return tree

    return make


@pytest.fixture(scope="session")
def game24_spec() -> ds3.ModelSpec:
    return ds3.ModelSpec.from_toml(ROOT / "models" / "game24.toml")


@pytest.fixture(scope="session")
def game24_evals() -> xr.Dataset:
    return ds3.read_evals(ROOT / "data" / "game24.csv")


@pytest.fixture(scope="session")
def game24_fit(game24_evals, game24_spec, short_fit) -> xr.DataTree:
    return short_fit(game24_evals, game24_spec)


@pytest.fixture(scope="session")
def simulation() -> ds3.Simulation:
    return ds3.simulate(tasks=60, attempts=12, path_length=4, location=0.4, spread=1.6, seed=11)


@pytest.fixture(scope="session")
def simulated_spec() -> ds3.ModelSpec:
    return ds3.ModelSpec.from_dict(
        {
            "name": "simulated",
            "costs": {"*": {"input_usd": 0.0, "output_usd": 8.0, "tokens_per_second": 50.0, "params": 7e9}},
            "query": {"strategies": ["cot", "majority(n=8)"]},
        }
    )


@pytest.fixture(scope="session")
def simulated_fit(simulation, simulated_spec, short_fit) -> xr.DataTree:
    return short_fit(simulation.evals, simulated_spec)
