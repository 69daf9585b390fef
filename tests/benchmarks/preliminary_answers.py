"""How far preliminary answers are from the final ones, over all options of specifications.

    python tests/benchmarks/preliminary_answers.py models/*.toml [--fits FOLDER]

Prints, for each, how many posterior standard deviations the means are off, and how wide preliminary answers are beside
the final ones. Fits (minutes each) are kept in the folder, and used again.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import ds3bayes as ds3
from ds3bayes.engine.laplace import NotNormal
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.task_effects import task_effects
from ds3bayes.inference.artifact import about, data_groups
from ds3bayes.inference.compiled import compile_model


def preliminary(spec: ds3.ModelSpec, evals: xr.Dataset) -> xr.DataTree:
    """Return the fit that `ds3.fit` gives ``preliminary``."""
    held_out = spec.held_out_rows(evals)
    design = make_design(evals, spec, held_out)
    posterior = compile_model(design, spec, swap=False).near_mode(150, spec.sampling.seed)
    effects = task_effects(design, spec, posterior, spec.sampling.seed)
    groups = {"posterior": posterior, "task_effects": effects.drop_vars(["log_likelihood", "task"])}
    fit = xr.DataTree.from_dict({**groups, **data_groups(evals, held_out)})
    fit.attrs = about(spec, evals, spec.sampling.seed)
    return fit


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("specs", nargs="+", type=Path)
    parser.add_argument("--fits", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for path in given.specs:
        spec = ds3.ModelSpec.from_toml(path)
        evals = spec.data.read()
        try:
            first = preliminary(spec, evals)
        except NotNormal as error:
            print(f"{spec.name}: no preliminary answer: {error}")
            continue
        kept = None if given.fits is None else given.fits / f"fit_{spec.name}.nc"
        fit = ds3.load(kept) if kept is not None and kept.exists() else ds3.fit(evals, spec)
        if kept is not None and not kept.exists():
            ds3.save(fit, kept)
        asked = list(spec.query.strategies) or None
        found, final = (ds3.predict(one, asked, tasks=spec.query.tasks) for one in (first, fit))
        for name in ("success", "tokens"):
            if name not in final:
                continue
            mean, sd = final[name].mean(("chain", "draw")), final[name].std(("chain", "draw"))
            sd = sd.where(sd > 1e-12)
            off = np.abs(((found[name].mean(("chain", "draw")) - mean) / sd).values.ravel())
            ratio = (found[name].std(("chain", "draw")) / sd).values.ravel()
            off, ratio = off[np.isfinite(off)], ratio[np.isfinite(ratio)]
            print(
                f"{spec.name}, {name} of {off.size} options: off by {np.median(off):.2f} (median), {off.max():.2f} "
                f"(most); ratio of widths {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})"
            )


if __name__ == "__main__":
    main()
