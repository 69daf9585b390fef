"""What a joint fit of a leaderboard costs: CPU and wall seconds, memory, effective draws; ours, or a rival's.

``python tests/benchmarks/large_fits.py --llms 48 --tasks 30 --attempts 1 --table TABLE``: counts are drawn without
replacement from those of TABLE (model, task, attempts, successes; the first LLMs that solved anything, the first
tasks), or else simulated: logit success is normal over LLMs (sd 1.5), tasks (sd 2.5) and cells (sd .7). The model is
fitted at its defaults, 4 chains of 1,000 draws. ``--by bambi`` fits ``(1|model) + (1|task)`` with as many draws and
1,000 of warm-up by nutpie, ``--by numpyro`` the same model by NumPyro's NUTS, its random effects not centred, as bambi
has them.
Only the one that is asked for is imported, so that each can have an environment of its own (``uv run --group
benchmark``, or ``pip install bambi nutpie``).

Effective draws and r-hat are the worst over all parameters that are sampled or reported, LLMs' among them.
"""

import argparse
import json
import os
import resource
import time
import warnings

import numpy as np
import pandas as pd
import xarray as xr

CHAINS, DRAWS = 4, 1000


def counts(options: argparse.Namespace) -> pd.DataFrame:
    """Return rows of model, task, attempts and successes."""
    rng = np.random.default_rng(options.seed)
    if options.table:
        wide = pd.read_csv(options.table).pivot(index="model", columns="task", values=["attempts", "successes"])
        wide = wide[wide["successes"].sum(axis=1) > 0].iloc[: options.llms]
        total, right = (
            wide[name].to_numpy().astype(np.int64)[:, : options.tasks] for name in ("attempts", "successes")
        )
        if total.shape != (options.llms, options.tasks):
            raise SystemExit(
                f"{options.table} has {total.shape[0]} LLMs that solved anything and {total.shape[1]} tasks"
            )
        hits = rng.hypergeometric(right, total - right, options.attempts)
    else:
        logit = rng.normal(-0.5, 1.5, (options.llms, 1)) + rng.normal(0.0, 2.5, options.tasks)
        logit = logit + rng.normal(0.0, 0.7, logit.shape)
        hits = rng.binomial(options.attempts, 1.0 / (1.0 + np.exp(-logit)))
    llm, task = np.indices(hits.shape).reshape(2, -1)
    rows = pd.DataFrame({"model": [f"llm-{i:03}" for i in llm], "task": [f"task-{i:03}" for i in task]})
    return rows.assign(attempts=options.attempts, successes=hits.ravel())


def ours(rows: pd.DataFrame, seed: int) -> tuple[xr.Dataset, float, int]:
    """Return draws, the seconds of sampling and how many diverged."""
    import ds3bayes as ds3

    evals = ds3.read_evals(rows.assign(benchmark="b", strategy="cot"))
    fit = ds3.fit(evals, draws=DRAWS, chains=CHAINS, seed=seed, progress=False)
    diverged = int(fit["sample_stats"]["diverging"].sum())
    return fit["posterior"].to_dataset(), fit.attrs["sample_seconds"], diverged


def bambi(rows: pd.DataFrame, seed: int) -> tuple[xr.Dataset, float, int]:
    """As `ours`; compiling is counted as sampling, for nothing tells them apart."""
    import bambi as bmb

    model = bmb.Model("p(successes, attempts) ~ 1 + (1|model) + (1|task)", rows, family="binomial")
    started = time.perf_counter()
    tree = model.fit(draws=DRAWS, tune=DRAWS, chains=CHAINS, cores=2, random_seed=seed, inference_method="nutpie")
    seconds = time.perf_counter() - started
    return tree["posterior"].to_dataset(), seconds, int(tree["sample_stats"]["diverging"].sum())


def numpyro(rows: pd.DataFrame, seed: int) -> tuple[xr.Dataset, float, int]:
    """As `bambi`."""
    # Chains in parallel need a device each, before JAX starts.
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={CHAINS}"
    import jax
    import numpyro.distributions as dist
    from numpyro import deterministic, sample
    from numpyro.infer import MCMC, NUTS

    model_of, llms = pd.factorize(rows["model"])
    task_of, tasks = pd.factorize(rows["task"])
    attempts, successes = rows["attempts"].to_numpy(), rows["successes"].to_numpy()

    def rasch() -> None:
        parts = []
        for name, size in (("model", len(llms)), ("task", len(tasks))):
            sd = sample(f"{name}_sd", dist.HalfNormal(2.5))
            parts.append(deterministic(name, sd * sample(f"{name}_offset", dist.Normal(0.0, 1.0).expand([size]))))
        logit = sample("intercept", dist.Normal(0.0, 3.0)) + parts[0][model_of] + parts[1][task_of]
        sample("successes", dist.Binomial(attempts, logits=logit), obs=successes)

    started = time.perf_counter()
    mcmc = MCMC(NUTS(rasch), num_warmup=DRAWS, num_samples=DRAWS, num_chains=CHAINS, progress_bar=False)
    mcmc.run(jax.random.key(seed), extra_fields=("diverging",))
    drawn = {name: np.asarray(values) for name, values in mcmc.get_samples(group_by_chain=True).items()}
    seconds = time.perf_counter() - started
    sets = {name: (("chain", "draw", *[f"{name}_{i}" for i in range(v.ndim - 2)]), v) for name, v in drawn.items()}
    return xr.Dataset(sets), seconds, int(mcmc.get_extra_fields()["diverging"].sum())


FITTED = {"ours": ours, "bambi": bambi, "numpyro": numpyro}


def worst(values: xr.Dataset, most: bool) -> float:
    """Return the largest or smallest number; what never varies (an offset of a reference) has none."""
    every = np.concatenate([np.ravel(one.values) for one in values.data_vars.values()])
    return float(np.nanmax(every) if most else np.nanmin(every))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llms", type=int, default=48)
    parser.add_argument("--tasks", type=int, default=30)
    parser.add_argument("--attempts", type=int, default=1, help="of each cell")
    parser.add_argument("--table", help="counts to thin; simulated if absent")
    parser.add_argument("--by", choices=list(FITTED), default="ours")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = counts(options)
    started, spent = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior, seconds, diverged = FITTED[options.by](rows, options.seed)
    cpu, wall = time.process_time() - spent, time.perf_counter() - started
    # Chains that ran in processes of their own.
    cpu += sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    # Imported before NumPyro, it leaves that without some of its modules.
    import arviz_stats as az

    ess = worst(az.ess(posterior, method="bulk"), most=False)
    found = {
        "by": options.by,
        "llms": options.llms,
        "tasks": options.tasks,
        "attempts": options.attempts,
        "counts": "thinned" if options.table else "simulated",
        "cpu_s": round(cpu, 1),
        "wall_s": round(wall, 1),
        "sampling_s": round(seconds, 1),
        "mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "ess_bulk": round(ess),
        "ess_tail": round(worst(az.ess(posterior, method="tail"), most=False)),
        "r_hat": round(worst(az.rhat(posterior), most=True), 4),
        "divergences": diverged,
        "ess_per_cpu_s": round(ess / cpu, 2),
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
