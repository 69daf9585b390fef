"""Seconds until a first posterior, in fresh processes: with empty caches, and again.

PyTensor and numba keep compiled code on disk where a model falls back to them; both folders start empty in the runs
that are called cold, and are the same in the runs after it. Nothing of a shipped spec is compiled: the two are alike.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.benchmark

MODELS = Path(__file__).resolve().parents[2] / "models"
SPECS = sorted(path.stem for path in MODELS.glob("*.toml"))
#: Seconds that a first posterior may take, where a bar is set.
BARS = {"game24": 8.0, "plain": 4.5, "aime_effort": 60.0}
RUNS = 5
# By how much cold may be slower than warm.
COLD_OVER_WARM = 1.1

#: What `ds3bayes fit` does up to its draws, timed.
WORK = """
import json, sys
from pathlib import Path
from time import perf_counter
started = perf_counter()
import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import compile_model
imported = perf_counter()
path = Path(sys.argv[1])
spec = ds3.ModelSpec.from_toml(path) if path.suffix == ".toml" else ds3.ModelSpec()
evals = spec.data.read() if path.suffix == ".toml" else ds3.read_evals(path)
design = make_design(evals, spec, spec.held_out_rows(evals))
read = perf_counter()
compiled = compile_model(design, spec, swap=False)
ready = perf_counter()
drawn = compiled.sample(spec.sampling)
done = perf_counter()
print(json.dumps({"import": imported - started, "read": read - imported, "compile": ready - read,
                  "sample": done - ready, "steps": float(drawn["sample_stats"]["n_steps"].sum())}))
"""


def run(source: Path, cache: Path) -> dict[str, float]:
    flags = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS"), f"base_compiledir={cache / 'pytensor'}"]))
    environment = {**os.environ, "PYTENSOR_FLAGS": flags, "NUMBA_CACHE_DIR": str(cache / "numba")}
    command = [sys.executable, "-W", "ignore", "-c", WORK, str(source)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    times = json.loads(done.stdout.splitlines()[-1])
    return times | {"total": sum(times[name] for name in ("import", "read", "compile", "sample"))}


def shown(times: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {times[name]:.1f}" for name in ("import", "read", "compile", "sample"))
    return f"{times['total']:.1f} s ({parts})"


def source_of(name: str, folder: Path) -> Path:
    """A shipped spec, or a table of one LLM and 40 tasks."""
    if name != "plain":
        return MODELS / f"{name}.toml"
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"model": "m", "benchmark": "b", "task": [f"t{j}" for j in range(40)], "strategy": "cot"})
    table.assign(attempts=10, successes=rng.binomial(10, rng.beta(0.5, 0.5, 40))).to_csv(
        folder / "plain.csv", index=False
    )
    return folder / "plain.csv"


@pytest.mark.parametrize("name", ["plain", *SPECS])
def test_first_posterior(tmp_path, name):
    source = source_of(name, tmp_path)
    runs = {"cold": [run(source, tmp_path / str(k)) for k in range(RUNS)]}
    runs["warm"] = [run(source, tmp_path / "0") for _ in range(RUNS)]
    middle = {kind: {part: median(one[part] for one in every) for part in every[0]} for kind, every in runs.items()}
    print(f"\n{name}: cold {shown(middle['cold'])}; warm {shown(middle['warm'])}")
    cold, warm = (middle[kind]["total"] for kind in ("cold", "warm"))
    assert cold < COLD_OVER_WARM * warm
    assert warm < BARS.get(name, np.inf)
