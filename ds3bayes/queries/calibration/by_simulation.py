"""`sbc`: draw truths from the prior and data from them, and see whether fits find them as often as they say."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats
from scipy.special import expit

from ds3bayes.cluster import keeping, workers
from ds3bayes.deferred import pytensor
from ds3bayes.errors import InputError
from ds3bayes.evals import read_evals, simulate, to_table
from ds3bayes.evals.schema import COLUMNS, KEY
from ds3bayes.generative.arrange import make_design
from ds3bayes.generative.counts.searches import draw_right
from ds3bayes.generative.design import Design
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.observation.counts import Counts
from ds3bayes.generative.observation.no_answers import NoAnswers
from ds3bayes.generative.observation.tokens import Tokens, timed_columns
from ds3bayes.generative.rows import attempts_alone, row_strategy, sampler_of_rows
from ds3bayes.generative.spec import ModelSpec, Sampling
from ds3bayes.generative.task_effects import PopulationAtDraws, each_draw, task_effects
from ds3bayes.generative.terms import search_parameters
from ds3bayes.inference.artifact import prior_draws
from ds3bayes.inference.check_pictures import draw_uniformity
from ds3bayes.inference.checks import CheckResult
from ds3bayes.inference.compiled import CompiledModel, compile_model
from ds3bayes.inference.unfinished import about_fit, keeping_in, with_kept
from ds3bayes.progress import doing

_RANKS = 19
# Correlation of successive ranked draws above which ranks are no longer nearly uniform for a right model: they then
# count too few draws, and crowd at both ends.
_CORRELATED = 0.25


def sbc(
    evals: xr.Dataset,
    spec: ModelSpec | None = None,
    *,
    fits: int = 200,
    tasks: int | None = None,
    fit_spec: ModelSpec | None = None,
    drawn_by: Literal["model", "simulator"] = "model",
    tune: int = 150,
    thin: int = 5,
    cores: int = 2,
    seed: int = 0,
    resume: str | os.PathLike[str] | None = None,
    scheduler: str | None = None,
    progress: bool = True,
) -> xr.Dataset:
    """Check by simulation that posteriors of a model mean what they say.

    Parameters are drawn from the priors and a data set from each; the model is fitted to every data set, compiled
    once (on a cluster, once in each process), and each parameter's truth is ranked among 19 nearly independent
    posterior draws. If model, likelihood and sampler agree, ranks are uniform.

    Parameters
    ----------
    evals : xarray.Dataset
        From `read_evals`: which LLMs, samplers and tasks there are and how often each is tried, as rows of named
        tasks. Counts are replaced; tokens too, where there are any. Other measurements do not enter.
    spec : ModelSpec, optional
        Of the model that truths are drawn from; defaults to ``ModelSpec()``.
    fits : int, default 200
    tasks : int, optional
        Use the first tasks of each benchmark only.
    fit_spec : ModelSpec, optional
        Of the model that is fitted, if another: to see what a wrong one looks like.
    drawn_by : {"model", "simulator"}, default "model"
        Draw task effects and counts from the model's laws, or walk the paths of `simulate` step by step, which shares
        no code with the model; the latter for one LLM with the default population.
    tune : int, default 150
        Warm-up draws of each fit's chain.
    thin : int, default 5
        Of this many draws one is ranked; more if they are ``correlated``.
    cores : int, default 2
        Fits made at the same time, without a cluster.
    seed : int, default 0
    resume : path, optional
        Folder in which fits are kept as they come: if this process is killed, the same call goes on from those that
        were done, with the same result. Yours to remove.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.5:8786"``, whose workers make the fits: the same ones, by
        the seed. Needs the extra ``distributed``.
    progress : bool, default True

    Returns
    -------
    xarray.Dataset
        A variable per parameter, of dims (fit, ...), its rank among the draws, 0 to 19; parameters that both models
        have. Attributes: ``divergences`` in all fits, ``correlated`` correlation of successive ranked draws of the
        parameter that moves slowest, mean over fits, ``compile_seconds``, ``fit_seconds`` (all fits together),
        ``compilations`` (of one process). `uniformity` and `sbc_check` judge it.

    Raises
    ------
    InputError
        If there are rows without a task, or the simulator cannot draw from this model; if the cluster has no scheduler,
        no worker or other versions, or did none of the fits.

    Warns
    -----
    UserWarning
        If a cluster gave some fits up; the others are returned.

    References
    ----------
    Talts et al. (2018), arXiv 1804.06788.
    """
    spec = spec or ModelSpec()
    table = _layout(evals, tasks)
    if min(fits, tune, thin, cores) < 1:
        raise InputError(f"fits, tune, thin and cores must be at least 1, got {fits}, {tune}, {thin} and {cores}")
    draw, truth = _drawn(table, spec, fits, drawn_by, seed)
    sampling = spec.sampling.model_copy(update={"draws": (_RANKS + 1) * thin, "tune": tune, "chains": 1})
    drawn = _Drawn(draw=draw, truth=truth, spec=fit_spec or spec, sampling=sampling, thin=thin)
    about = about_fit(
        spec, evals, fit=drawn.spec.model_id, fits=fits, tasks=tasks, drawn_by=drawn_by, tune=tune, thin=thin, seed=seed
    )
    ranked: dict[int, _Ranked] = {}
    started = time.perf_counter()
    # Threads suffice here: sampling runs outside of Python. Where expressions were written, PyTensor need not note.
    with (
        pytensor.config.change_flags(traceback__limit=0),
        _counts_of_any_kind(),
        keeping_in(resume, about) as kept,
        workers(scheduler, threads=cores) as spread,
    ):
        done = with_kept(
            spread,
            _fit_one,
            range(fits),
            kept,
            "fit",
            packed=_Ranked.arrays,
            unpacked=_Ranked.of,
            shared=drawn,
            prepare=_Fitter.of,
        )
        with keeping(ranked), doing("fitting simulated data", fits, unit="fits", show=progress) as told:
            for index, one in done:
                ranked[index] = one
                told(len(ranked))
    seconds = time.perf_counter() - started
    made = sorted(ranked)
    inorder = [ranked[index] for index in made]
    compile_seconds = max(one.compile_seconds for one in inorder)
    ranks = {name: [one.ranks[name] for one in inorder] for name in inorder[0].ranks}
    correlations = {name: [one.correlations[name] for one in inorder] for name in inorder[0].ranks}
    coords = {dim: truth[dim] for dim in truth.dims if dim not in ("chain", "draw")}
    return xr.Dataset(
        {name: (("fit", *truth[name].dims[2:]), np.stack(values)) for name, values in ranks.items()},
        coords={"fit": made, **coords},
        attrs={
            "divergences": sum(one.divergences for one in inorder),
            "correlated": round(max(float(np.mean(values, axis=0).max()) for values in correlations.values()), 3),
            "compilations": 1 + sum(one.anew for one in inorder),
            "compile_seconds": round(compile_seconds, 2),
            "fit_seconds": round(seconds - compile_seconds, 2),
            "ranks": _RANKS + 1,
            "drawn_by": drawn_by,
        },
    )


@dataclass(frozen=True, kw_only=True)
class _Drawn:
    """What every fit needs: how its data are drawn, the truths (chain, draw, ...), and what is fitted to them."""

    draw: Callable[[int], pd.DataFrame]
    truth: xr.Dataset
    spec: ModelSpec
    sampling: Sampling
    thin: int


@dataclass(frozen=True, kw_only=True)
class _Fitter:
    """That with the compiled model, and how long it took to make."""

    drawn: _Drawn
    compiled: CompiledModel
    seconds: float

    @classmethod
    def of(cls, drawn: _Drawn) -> _Fitter:
        started = time.perf_counter()
        compiled = compile_model(make_design(read_evals(drawn.draw(0)), drawn.spec), drawn.spec)
        return cls(drawn=drawn, compiled=compiled, seconds=time.perf_counter() - started)


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """What is kept of a fit: ranks of the truths, correlations of successive draws, whether it was compiled anew."""

    ranks: Mapping[str, np.ndarray]
    correlations: Mapping[str, np.ndarray]
    divergences: int
    anew: bool
    compile_seconds: float

    def arrays(self) -> dict[str, np.ndarray]:
        """Return it as arrays by name."""
        told = {name: np.asarray(getattr(self, name)) for name in ("divergences", "anew", "compile_seconds")}
        named = {"ranks": self.ranks, "correlations": self.correlations}
        return told | {f"{part}/{name}": values for part, own in named.items() for name, values in own.items()}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> _Ranked:
        """Return what `arrays` gave."""
        parts: dict[str, dict[str, np.ndarray]] = {"ranks": {}, "correlations": {}}
        for label, values in arrays.items():
            part, _, name = label.partition("/")
            if name:
                parts[part][name] = values
        told: dict[str, Any] = {name: arrays[name].item() for name in ("divergences", "anew", "compile_seconds")}
        return cls(ranks=parts["ranks"], correlations=parts["correlations"], **told)


def _fit_one(index: int, fitter: _Fitter) -> _Ranked:
    """Fit the model to a data set and rank the truths that it was drawn from."""
    drawn = fitter.drawn
    design = make_design(read_evals(drawn.draw(index)), drawn.spec)
    model = fitter.compiled.of(design)
    truth = {str(name): drawn.truth[name].values[0, index] for name in drawn.truth.data_vars}
    at = drawn.spec.capability.restated(truth, design)
    tree = model.sample(drawn.sampling.model_copy(update={"seed": index}), cores=1, brief=True)
    posterior = tree["posterior"].to_dataset().isel(chain=0, draw=slice(drawn.thin, None, drawn.thin))
    values = {name: posterior[name].values for name in map(str, posterior.data_vars) if name in at}
    return _Ranked(
        ranks={name: (mine < at[name]).sum(axis=0) for name, mine in values.items()},
        correlations={name: _successive(mine) for name, mine in values.items()},
        divergences=int(tree["sample_stats"]["diverging"].sum()),
        anew=model.code is not fitter.compiled.code,
        compile_seconds=fitter.seconds,
    )


@contextmanager
def _counts_of_any_kind() -> Iterator[None]:
    """Read tables without a warning of counts that are suspect in real ones: a prior may draw all or nothing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*have none or all of them right", category=UserWarning)
        yield


def _successive(draws: np.ndarray) -> np.ndarray:
    """Correlation of each entry's successive draws (draw, ...); 0 where it does not vary."""
    gap = draws - draws.mean(axis=0)
    power = (gap**2).sum(axis=0)
    return (gap[1:] * gap[:-1]).sum(axis=0) / np.where(power > 0.0, power, 1.0)


def uniformity(ranks: xr.Dataset) -> pd.DataFrame:
    """Test for every parameter that its ranks are uniform.

    Parameters
    ----------
    ranks : xarray.Dataset
        From `sbc`.

    Returns
    -------
    pandas.DataFrame
        ``parameter``, ``of`` (its labels), ``p``, mean rank as a share (``mean``, 0.5 if unbiased) and ``spread``, the
        sd of ranks over that of a uniform law (above 1: posteriors too narrow; below 1: too wide). ``p`` is twice the
        smaller of the P values of a chi-square test over 10 bins and of a Kolmogorov-Smirnov test.
    """
    number = int(ranks.attrs["ranks"])
    rng = np.random.default_rng(0)
    rows = []
    for name in map(str, ranks.data_vars):
        values = ranks[name].values.reshape(ranks.sizes["fit"], -1)
        labels = ranks[name].isel(fit=0).stack(of=ranks[name].dims[1:])["of"].values if ranks[name].ndim > 1 else [""]
        for column, label in enumerate(labels):
            mine = values[:, column]
            observed = np.histogram(mine, np.linspace(-0.5, number - 0.5, 11))[0]
            # Ranks are spread evenly over their cells, so that both tests are of a continuous law.
            share = (mine + rng.random(mine.size)) / number
            p = min(1.0, 2.0 * min(stats.chisquare(observed).pvalue, stats.kstest(share, "uniform").pvalue))
            text = " | ".join(map(str, label)) if isinstance(label, tuple) else str(label)
            rows.append((name, text, p, share.mean(), share.std() * np.sqrt(12.0)))
    return pd.DataFrame(rows, columns=["parameter", "of", "p", "mean", "spread"])


def sbc_check(ranks: xr.Dataset, *, false_alarm: float = 0.01) -> CheckResult:
    """Judge ranks: all of them uniform, at a false alarm rate for all parameters together (Bonferroni).

    Parameters
    ----------
    ranks : xarray.Dataset
        From `sbc`.
    false_alarm : float, default 0.01
        Probability of failing a right model.

    Returns
    -------
    CheckResult
    """
    table = uniformity(ranks).sort_values("p", ignore_index=True)
    bad = table[table["p"] < false_alarm / len(table)]
    told = f"{len(table)} parameters over {ranks.sizes['fit']} fits"
    if bad.empty:
        sentence = f"ranks of {told} are uniform (smallest P value {table['p'].min():.3f})."
    else:
        said = [
            f"{row.parameter}{f'[{row.of}]' if row.of else ''} (P = {row.p:.1e}: posteriors "
            + ("too low" if row.mean > 0.55 else "too high" if row.mean < 0.45 else "of the right centre")
            + (", too narrow" if row.spread > 1.05 else ", too wide" if row.spread < 0.95 else "")
            + ")"
            for row in bad.head(3).itertuples()
        ]
        sentence = (
            f"of {told}, {len(bad)} are not ranked uniformly: {'; '.join(said)}. The model that is fitted is not "
            "the one that data are drawn from, or the sampler fails."
        )
    if ranks.attrs.get("correlated", 0.0) > _CORRELATED:
        correlated = ranks.attrs["correlated"]
        sentence += f" Successive draws correlate by {correlated:.2f}, which alone makes ranks uneven: raise thin."
    return CheckResult(
        name="simulation-based calibration",
        passed=bad.empty,
        sentence=sentence,
        table=table,
        draw=draw_uniformity,
    )


# --- drawing data -------------------------------------------------------------------------------------------


def _layout(evals: xr.Dataset, tasks: int | None) -> pd.DataFrame:
    """Return the rows to replicate: their keys, facts and attempts, and whether they tell tokens."""
    table = to_table(evals)
    if (table["task"] == "").any():
        raise InputError(
            f"{int((table['task'] == '').sum())} rows have no task: simulation-based calibration replicates rows of "
            "named tasks; select them"
        )
    if tasks is not None:
        if tasks < 1:
            raise InputError(f"tasks must be at least 1, got {tasks}")
        first = table.groupby("benchmark")["task"].transform(lambda names: pd.factorize(names)[0])
        table = table[first < tasks]
    own = [column.name for kind in OBSERVATIONS.values() for column in kind.columns]
    facts = [column.name for column in COLUMNS if column.about != "row"]
    columns = [name for name in (*KEY, *facts, "attempts", "successes", *own) if name in table]
    kept = table[list(dict.fromkeys(columns))].reset_index(drop=True)
    if "tokens_mean" in table:
        kept["tokens_mean"] = table["tokens_mean"].to_numpy()
    return kept


def _drawn(
    table: pd.DataFrame, spec: ModelSpec, fits: int, drawn_by: str, seed: int
) -> tuple[Callable[[int], pd.DataFrame], xr.Dataset]:
    """Return a function from a replicate's number to its table, and the truths (chain, draw, ...)."""
    design = make_design(read_evals(table), spec)
    truth = prior_draws(design, spec, seed, fits)
    if drawn_by == "simulator":
        return _walks(table, design, spec, truth, seed), truth
    if drawn_by != "model":
        raise InputError(f"drawn_by = {drawn_by!r}; allowed: 'model', 'simulator'")
    unseen = _without_data(design)
    effects = task_effects(unseen, spec, truth, seed)
    places = {
        (int(arm), str(name)): cell
        for cell, (arm, name) in enumerate(zip(effects["cell_arm"].values, effects["cell_task"].values, strict=True))
    }
    rows = table.to_dict("records")
    strategies = [row_strategy(row) for row in rows]
    arm_of = [_arm_of(row, design) for row in rows]
    cell = np.array([places[arm, str(row["task"])] for arm, row in zip(arm_of, rows, strict=True)])
    units, variances = _token_facts(unseen, spec, truth, table, arm_of)
    drawn = {name: effects[name].values[0] for name in ("logit_success", "reachable", "log_tokens")}
    voted = design.subsets.voted_arm
    answering = NoAnswers.arms(design)

    def replicate(index: int) -> pd.DataFrame:
        rng = np.random.default_rng([seed, 7, index])
        q = expit(drawn["logit_success"][index, cell]) * drawn["reachable"][index, cell]
        at = {str(name): truth[name].values[0, index] for name in truth.data_vars}
        chance = np.empty(len(rows))
        for place, (row, strategy, arm) in enumerate(zip(rows, strategies, arm_of, strict=True)):
            if row["strategy"] == design.arms[arm].walk:
                chance[place] = q[place]
                continue
            given = None
            if np.isin(arm, voted):
                given = np.array([at["wrong_answer_concentration"][design.subsets.place("voted_arm", arm)]])
            silent = np.array([at["no_answer_share"][answering.index(arm)]]) if arm in answering else None
            chance[place] = strategy.answer_array(np.array([q[place]]), given, silent)[0]
        attempts = table["attempts"].to_numpy()
        if len(design.subsets.overdispersed_arm):
            for place, arm in enumerate(arm_of):
                if design.subsets.has("overdispersed_arm", arm) and 0.0 < chance[place] < 1.0:
                    agreement = at["overdispersion"][design.subsets.place("overdispersed_arm", arm)]
                    size = (1.0 - agreement) / agreement
                    chance[place] = rng.beta(size * chance[place], size * (1.0 - chance[place]))
        successes = rng.binomial(attempts, np.clip(chance, 0.0, 1.0))
        for place, arm in enumerate(arm_of):
            if design.arms[arm].is_tree:
                x, solvable = drawn["logit_success"][index, cell[place]], drawn["reachable"][index, cell[place]]
                outputs = 1 if np.isnan(rows[place]["outputs"]) else int(rows[place]["outputs"])
                successes[place] = solvable * _right_outputs(
                    design, arm, x, attempts[place] // outputs, outputs, at, rng
                )
        made = table.assign(successes=successes)
        if "tokens_mean" in table:
            told = table["tokens_mean"].notna().to_numpy() & np.isfinite(drawn["log_tokens"][index, cell])
            error = np.sqrt(variances[index] / units["runs"]) * rng.standard_normal(len(rows))
            mean = np.exp(drawn["log_tokens"][index, cell] + error) * units["scale"]
            made["tokens_mean"] = np.where(told, mean, np.nan)
        for name in design.observed:
            again = OBSERVATIONS[name].draw_rows(made, drawn["logit_success"][index, cell], arm_of, design, at, rng)
            made = made.assign(**again)
        return made

    return replicate, truth


def _right_outputs(
    design: Design,
    arm: int,
    x: float,
    searches: int,
    outputs: int,
    at: Mapping[str, np.ndarray],
    rng: np.random.Generator,
) -> int:
    """Draw the right outputs of some searches of a tree arm at a task, given the logit of the walk."""
    block, column = design.place(arm)
    found = block.tables[column].searches
    assert found is not None
    gap, overlap, fidelity = search_parameters(design, arm, at)
    law = found.law(outputs, np.array([[x]]), np.array([gap]), np.array([overlap]))
    return int(draw_right(law, searches, np.array([[fidelity]]), rng)[0, 0])


def _arm_of(row: Mapping[str, Any], design: Design) -> int:
    """Return the arm that a row's attempts belong to."""
    walk = sampler_of_rows(row["strategy"])
    for index, arm in enumerate(design.arms):
        same = (arm.model, arm.benchmark, arm.walk, arm.effort) == (row["model"], row["benchmark"], walk, row["effort"])
        limits = tuple(None if np.isnan(row[name]) else int(row[name]) for name in ("budget_tokens", "max_tokens"))
        if (
            same
            and (arm.budget_tokens, arm.max_tokens) == limits
            and (not arm.is_tree or _tree_of(row) == (arm.branching, arm.kept_states))
        ):
            return index
    raise AssertionError(f"no arm for {dict(row)}")


def _tree_of(row: Mapping[str, Any]) -> tuple[int, int]:
    return tuple(1 if np.isnan(row[name]) else int(row[name]) for name in ("branching", "kept_states"))  # type: ignore[return-value]


def _without_data(design: Design) -> Design:
    """Return a design whose tasks tell nothing, with the same parameters: task effects are then those of the prior."""
    blocks = []
    for block in design.blocks:
        cell = np.array([[len(table.log_mass[0]) - 1 for table in block.tables]] * len(block.tasks))
        nothing = np.zeros_like(block.successes)
        # Tokens of tasks whose attempts were cut are latent, and stay so.
        tokens = {key: np.zeros_like(values) for key, values in block.told.get(Tokens.name, {}).items()}
        told = {Counts.name: {"cell": cell}} | ({Tokens.name: tokens} if tokens else {})
        blocks.append(replace(block, cell=cell, successes=nothing, attempts=nothing, told=told))
    return replace(design, blocks=tuple(blocks))


def _token_facts(
    unseen: Design, spec: ModelSpec, truth: xr.Dataset, table: pd.DataFrame, arm_of: list[int]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return runs behind each row's mean tokens and its scale, and the relative variance of a run, (fits, rows)."""
    variances = np.zeros((truth.sizes["draw"], len(table)))
    attempts = table["attempts"].to_numpy(dtype=float)
    outputs = table["outputs"].fillna(1.0).to_numpy()
    tree = np.array([unseen.arms[arm].is_tree for arm in arm_of])
    scale = np.ones(len(table))
    for place in np.flatnonzero(tree):
        units = unseen.arms[arm_of[place]].strategy.token_units(int(table["steps"].fillna(
            spec.population.path_length or np.nan).iloc[place]))  # fmt: skip
        scale[place] = units / outputs[place]
    facts = {"runs": attempts / outputs, "scale": scale}
    if not unseen.has_tokens.any():
        return facts, variances
    population = PopulationAtDraws(unseen, spec, truth)
    for number, block in enumerate(unseen.blocks):
        columns = timed_columns(block, unseen)
        if not columns.size:
            continue
        arms = [block.arms[column] for column in columns]
        for index, draw in enumerate(each_draw(truth)):
            error = population(number, draw)["attempt_variance"]
            for value, arm in zip(error, arms, strict=True):
                variances[index, np.array(arm_of) == arm] = value
    return facts, variances


def _walks(
    table: pd.DataFrame, design: Design, spec: ModelSpec, truth: xr.Dataset, seed: int
) -> Callable[[int], pd.DataFrame]:
    """Let the stochastic traversal of `simulate` draw the counts of a lone LLM."""
    alone = len(design.arms) == 1 and design.blocks[0].easiness is None
    plain = (
        spec.population.family == "split_normal" and spec.population.reachability and not spec.population.overdispersion
    )
    equal = table["attempts"].nunique() == 1 and attempts_alone(table["strategy"]).all() and table["task"].is_unique
    if not (alone and plain and equal and spec.capability.kind == "free"):
        raise InputError(
            "drawn_by = 'simulator' is for one LLM with cot rows of equally many attempts, capability 'free' and "
            "population 'split_normal' with reachability; use drawn_by = 'model'"
        )

    def replicate(index: int) -> pd.DataFrame:
        at = {str(name): float(truth[name].values[0, index].ravel()[0]) for name in truth.data_vars}
        # The model states mean and sd of the two-piece normal, the simulator its mode and the scale of its sides.
        left, right = np.exp(at["skew"] / 2), np.exp(-at["skew"] / 2)
        scale = at["spread"] / np.sqrt((1 - 2 / np.pi) * (right - left) ** 2 + left * right)
        made = simulate(
            tasks=len(table),
            attempts=int(table["attempts"].iloc[0]),
            path_length=2,
            location=at["location"] - scale * np.sqrt(2 / np.pi) * (right - left),
            spread=scale,
            skew=at["skew"],
            reachability=np.sqrt(at["reachability"]),
            pace=0.5,
            difficulty_effect=0.0,
            # 400 steps, of which two finished ones are enough: it only ends walks that cannot succeed.
            max_tokens=10_000,
            seed=int(np.random.default_rng([seed, 8, index]).integers(2**31)),
        )
        drawn = to_table(made.evals)["successes"].to_numpy()
        return table.drop(columns="tokens_mean", errors="ignore").assign(successes=drawn)

    return replicate
