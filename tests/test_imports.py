"""The path to a fit loads only what it uses."""

import subprocess
import sys

# What takes seconds to import and no draw needs: compilers, plots and diagnostics.
HEAVY = {
    *("numba", "llvmlite", "jax", "nutpie", "matplotlib", "arviz", "arviz_base", "arviz_stats", "arviz_plots"),
    *("scipy.stats", "networkx", "netCDF4"),
}
FIT = """
import sys
import pandas as pd
import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import compile_model
table = pd.DataFrame({"task": list("abcde"), "successes": [0, 1, 2, 3, 1]})
evals = ds3.read_evals(table.assign(model="m", benchmark="b", strategy="cot", attempts=4))
spec = ds3.ModelSpec.from_dict({"sampling": {"draws": 20, "tune": 20, "chains": 1}})
drawn = compile_model(make_design(evals, spec), spec, swap=False).sample(spec.sampling)
assert drawn["posterior"].sizes["draw"] == 20
print(*sys.modules)
"""


def loaded(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_draws_load_no_compiler_and_no_plots():
    assert not loaded(FIT) & HEAVY


def test_early_stopping_loads_no_harness_before_it_runs():
    code = """
import sys
from ds3bayes.live import StopWhenDecided, Success
StopWhenDecided(Success(within=0.02))
print(*sys.modules)
"""
    assert not loaded(code) & {"inspect_ai", "anyio", "nutpie", "matplotlib", "arviz"}


def test_the_package_loads_nothing():
    assert not loaded("import sys, ds3bayes; print(*sys.modules)") & (HEAVY | {"numpy", "pandas", "pymc", "pytensor"})


def test_help_loads_no_data_library():
    code = "import sys; sys.argv = ['ds3bayes', '--help']; import ds3bayes.cli; print(*sys.modules)"
    assert not loaded(code) & (HEAVY | {"numpy", "pandas", "xarray", "pymc", "pytensor"})


def test_validation_loads_no_model_library(tmp_path):
    table = tmp_path / "evals.csv"
    table.write_text("model,benchmark,task,strategy,attempts,successes\nm,b,1,cot,4,1\nm,b,2,cot,4,3\n")
    spec = tmp_path / "spec.toml"
    spec.write_text('[data]\npath = "evals.csv"\n[query]\nstrategies = ["cot", "best_of_n(n=4)"]\n')
    code = f"""
import sys
sys.argv = ["ds3bayes", "validate", {str(spec)!r}, "--json"]
from ds3bayes.cli import main
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    assert not loaded(code) & (HEAVY | {"pymc", "pytensor"})
