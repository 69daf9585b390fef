"""Shipped specifications sample well whatever the seed."""

from pathlib import Path

import arviz as az
import pytest

import ds3bayes as ds3
from ds3bayes.generative.arrange import make_design
from ds3bayes.inference.compiled import compile_model

MODELS = sorted(path.stem for path in (Path(__file__).parents[2] / "models").glob("*.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_seed_diverges(name: str, root) -> None:
    """Twenty fits of each, at the settings of its file; sampled one after the other, compiled once."""
    spec = ds3.ModelSpec.from_toml(root / "models" / f"{name}.toml")
    evals = spec.data.read()
    design = make_design(evals, spec, spec.held_out_rows(evals))
    compiled = compile_model(design, spec, swap=False)
    diverging, r_hats, ess = [], [], []
    for seed in range(20):
        drawn = compiled.sample(spec.sampling.model_copy(update={"seed": seed}))
        summary = az.summary(drawn["posterior"].to_dataset(), kind="diagnostics", round_to="none").astype(float)
        diverging.append(int(drawn["sample_stats"]["diverging"].sum()))
        r_hats.append(summary["r_hat"].max())
        ess.append(summary[["ess_bulk", "ess_tail"]].min().min())
        print(name, seed, f"{diverging[-1]} divergences, r-hat {r_hats[-1]:.4f}, ESS {ess[-1]:.0f}", flush=True)
    assert sum(diverging) == 0, diverging
    # The largest of some hundred r-hats: a few seeds may be just above the 1.01 that one looks for.
    assert max(r_hats) < 1.02, r_hats
    assert min(ess) > 200, ess
