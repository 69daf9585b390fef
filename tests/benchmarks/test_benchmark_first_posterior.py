"""Seconds until a shipped spec has its first posterior, in a fresh process: with nothing compiled before, and warm.

PyTensor keeps compiled code in its ``base_compiledir`` (``numba`` below it), numba its own next to the sources that it
was compiled from; both start empty where "cold" is measured.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

pytestmark = pytest.mark.benchmark

MODELS = Path(__file__).resolve().parents[2] / "models"
SPECS = sorted(path.stem for path in MODELS.glob("*.toml"))
COLD_SECONDS, WARM_SECONDS = 20.0, 8.0
WARM_RUNS = 3

#: What `ds3bayes fit` does up to its draws, timed.
WORK = """
import json, sys
from pathlib import Path
from time import perf_counter
started = perf_counter()
import ds3bayes as ds3
from ds3bayes.generative.build import held_out_rows
from ds3bayes.generative.design import make_design
from ds3bayes.inference.compiled import compile_model
imported = perf_counter()
path = Path(sys.argv[1])
spec = ds3.ModelSpec.from_toml(path)
evals = spec.data.read()
design = make_design(evals, spec, held_out_rows(spec, evals))
read = perf_counter()
compiled = compile_model(design, spec, swap=False)
ready = perf_counter()
drawn = compiled.sample(spec.sampling)
done = perf_counter()
print(json.dumps({"import": imported - started, "read": read - imported, "compile": ready - read,
                  "sample": done - ready, "steps": float(drawn["sample_stats"]["n_steps"].sum())}))
"""


def run(spec: str, cache: Path) -> dict[str, float]:
    flags = ",".join(filter(None, [os.environ.get("PYTENSOR_FLAGS"), f"base_compiledir={cache / 'pytensor'}"]))
    environment = {**os.environ, "PYTENSOR_FLAGS": flags, "NUMBA_CACHE_DIR": str(cache / "numba")}
    command = [sys.executable, "-W", "ignore", "-c", WORK, str(MODELS / f"{spec}.toml")]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    times = json.loads(done.stdout.splitlines()[-1])
    return times | {"total": sum(times[name] for name in ("import", "read", "compile", "sample"))}


def shown(times: dict[str, float]) -> str:
    parts = ", ".join(f"{name} {times[name]:.1f}" for name in ("import", "read", "compile", "sample"))
    return f"{times['total']:.1f} s ({parts})"


@pytest.mark.parametrize("spec", SPECS)
def test_first_posterior(tmp_path, spec):
    cold = run(spec, tmp_path)
    every = [run(spec, tmp_path) for _ in range(WARM_RUNS)]
    warm = {name: median(one[name] for one in every) for name in every[0]}
    print(f"\n{spec}: cold {shown(cold)}; warm {shown(warm)}")
    assert cold["total"] < COLD_SECONDS, "cold"
    assert warm["total"] < WARM_SECONDS, "warm"
