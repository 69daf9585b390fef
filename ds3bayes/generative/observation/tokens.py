"""Generated and prompt tokens: longer for harder tasks, given easiness and a task's own path length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm, pt
from ds3bayes.generative.design import Arm, Block, Design, Rungs
from ds3bayes.generative.ladder import rise
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.priors import DEFAULTS
from ds3bayes.generative.rows import attempts_alone, finished_tokens, runs_of
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import Terms

Parameters = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class TaskTokens:
    """Mean tokens of runs at tasks, one entry for each row that tells them, shape (P,).

    Parameters
    ----------
    arms : tuple of Arm
        All arms of the design.
    arm : int array
        Of each entry, its place among them.
    task : array of str
    mean, runs : arrays
        Mean tokens of a run, and the runs behind it: attempts, or searches.
    """

    arms: tuple[Arm, ...]
    arm: np.ndarray
    task: np.ndarray
    mean: np.ndarray
    runs: np.ndarray

    @classmethod
    def of(cls, arms: Sequence[Arm], single: pd.DataFrame, mean: np.ndarray, runs: np.ndarray) -> TaskTokens:
        """Keep the entries that say something, of rows ``single`` of one run after another."""
        said = np.isfinite(mean) & (mean > 0) & (runs > 0)
        arm, task = (single[name].to_numpy()[said] for name in ("arm", "task"))
        return cls(arms=tuple(arms), arm=arm, task=task, mean=mean[said], runs=runs[said])

    def in_block(self, block: Block) -> tuple[np.ndarray, np.ndarray]:
        """Return the log of mean tokens per unit, 0 if none, and the runs behind it, (T, A) each, of a block.

        A unit is a walk; of a search, one of the candidates that it proposes.
        """
        total, runs = (np.zeros((len(block.tasks), len(block.arms))) for _ in range(2))
        row_of_task = {name: index for index, name in enumerate(block.tasks)}
        for column, member in enumerate(block.arms):
            mine = self.arm == member
            rows = [row_of_task[task] for task in self.task[mine]]
            np.add.at(total[:, column], rows, self.mean[mine] * self.runs[mine])
            np.add.at(runs[:, column], rows, self.runs[mine])
            total[:, column] /= _units(self.arms[member], block.steps)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(runs > 0, np.log(total / runs), 0.0), runs


def _units(arm: Arm, steps: np.ndarray) -> np.ndarray:
    """Token units of one run on each task: 1 for a walk, the candidates proposed for a tree."""
    if not arm.is_tree:
        return np.ones_like(steps)
    lengths = np.unique(steps[np.isfinite(steps)])
    units = {float(length): arm.strategy.token_units(int(length)) for length in lengths}
    return np.array([units.get(float(length), np.nan) for length in steps])


def _single(rows: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    """Rows of an arm's own runs at tasks, that nothing selects among."""
    walks = np.array([arm.walk for arm in arms])
    return rows[(rows["task"] != "") & (rows["strategy"] == walks[rows["arm"].to_numpy(dtype=int)])]


class Tokens(Observation[TaskTokens]):
    """Mean generated tokens of attempts at a task (``tokens_mean``): log-normal, longer for harder tasks.

    `TokenTerms` has the law. Where attempts were cut, what a task wants is latent, and `CutAttempts` says what was seen
    of it.
    """

    name: ClassVar[str] = "tokens"

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> TaskTokens | None:
        """Take the means of single attempts, or of searches, at tasks."""
        del spec
        single = _single(rows, arms)
        mean, finished = finished_tokens(single)
        # A search's tokens are those of all of its outputs together; no search is cut.
        outputs = single["outputs"].fillna(1.0).to_numpy()
        told = TaskTokens.of(arms, single, mean * outputs, finished / outputs)
        return told if told.mean.size or rows["cut"].any() else None

    def informs(self, data: TaskTokens) -> Mapping[str, Sequence[int]]:
        """Say which arms have tokens."""
        return {"tokens": np.unique(data.arm).tolist()}

    def of_tasks(self, data: TaskTokens, block: Block) -> Mapping[str, np.ndarray] | None:
        """Return the log of mean tokens per unit, and the attempts behind it; none if the block has no tokens."""
        log_tokens, weight = data.in_block(block)
        if not (weight > 0).any() and not block.cut.any():
            return None
        return {"log_tokens": log_tokens, "token_weight": weight}

    def at_nodes(
        self,
        told: Mapping[str, np.ndarray],
        block: Block,
        design: Design,
        law: Terms,
        given: Mapping[str, Tensor],
    ) -> Tensor:
        """Log-likelihood (U, J) of the tokens, the tasks' own path lengths summed out."""
        del told
        terms = token_terms(block, law.easiness, design, given)
        assert terms is not None, "arms with tokens have their parameters"
        return terms.log_likelihood


def tokens_of(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Return a block's log mean tokens per unit and the attempts behind them, (T, A) each; 0 where there are none."""
    told = block.told.get(Tokens.name)
    if told is None:
        none = np.zeros((len(block.tasks), len(block.arms)))
        return none, none
    return told["log_tokens"], told["token_weight"]


def timed_columns(block: Block, design: Design) -> np.ndarray:
    """Columns of a block whose arms have tokens, shape (B,)."""
    return np.flatnonzero(design.has_tokens[list(block.arms)])


def ranked_llms(design: Design) -> list[int]:
    """LLMs on benchmarks (positions in `Design.pairs`) whose tokens follow a trend over efforts or asked budgets."""
    ranked = design.subsets.timed_arm[np.isfinite(design.effort_rank[design.subsets.timed_arm])]
    return list(dict.fromkeys(design.pair_of_arm[ranked].tolist()))


#: How ``log_tokens`` of an LLM rise with its reasoning effort, and with the budget that it was asked to think for.
TOKEN_TRENDS = (
    ("effort_tokens", "effort_tokens_sd"),
    ("doubling_tokens", "doubling_tokens_sd", "doubling_tokens_decay"),
)


def token_rungs(design: Design) -> Rungs:
    """How log tokens of timed arms follow from those at the anchors of their ladders."""
    return Rungs.of(design, design.subsets.timed_arm.tolist())


def add_log_tokens(design: Design, spec: Settings) -> Tensor:
    """Add ``log_tokens`` to the model in context, (timed_arm,): each its own, or along an LLM's efforts and budgets."""
    prior, rungs = spec.prior("log_tokens"), token_rungs(design)
    if not rungs.steps:
        return prior.variable("log_tokens", dims="timed_arm")
    low, high = rungs.ranks(design)
    law = np.array([int(one.by_budget) for one in rungs.steps])
    trends = {
        kind: [spec.prior(name).variable(name, dims=DEFAULTS[name].dims[0])[0] for name in TOKEN_TRENDS[kind]]
        for kind in np.unique(law).tolist()
    }
    means = []
    for kind, below, above in zip(law.tolist(), low, high, strict=True):
        gain, _, *decay = trends[kind]
        means.append(rise(gain, decay[0], below, above) if decay else gain * (above - below))
    sd = pt.stack([trends[kind][1] for kind in law.tolist()]) * np.sqrt(high - low)
    rises = pm.Normal("log_tokens_rise", pt.stack(means), sd, dims="timed_rung")
    anchor = prior.variable("anchor_log_tokens", dims="anchor_timed_arm")
    return pm.Deterministic("log_tokens", anchor[rungs.anchor] + pt.dot(rungs.climbed, rises), dims="timed_arm")


#: What else says how tokens vary: an LLM has much the same at all its reasoning efforts.
TOKEN_VARIATION = ("token_slope", "length_spread", "token_sd", "attempt_cv")


def add_token_variation(name: str, design: Design, spec: Settings, sd: Tensor) -> Tensor:
    """Add one of `TOKEN_VARIATION` to the model in context: each arm's own, or around that of an LLM with efforts.

    An effort that has no tokens yet borrows from the LLM's others; ``sd`` says how far efforts differ.
    """
    dim, prior = DEFAULTS[name].dims[0], spec.prior(name)
    arms = getattr(design.subsets, dim)
    place, alone = _in_trend(design, arms)
    law = {"Normal": (pm.Normal, lambda value: value), "LogNormal": (pm.LogNormal, pt.log)}.get(prior.family)
    if alone.all() or law is None:
        return prior.variable(name, dims=dim)
    of_llm = prior.variable(f"llm_{name}", dims="token_trend_llm")
    mean = pt.switch(alone, prior.parameters["mu"], law[1](of_llm)[place])
    return law[0](name, mean, pt.switch(alone, prior.parameters["sigma"], sd[0]), dims=dim)


def _in_trend(design: Design, arms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of some arms: the LLM's place among those with a trend, and whether the arm has none."""
    llms = ranked_llms(design)
    alone = ~np.isfinite(design.effort_rank[arms])
    pairs = design.pair_of_arm[arms]
    place = np.array([0 if one else llms.index(pair) for one, pair in zip(alone, pairs, strict=True)], dtype=int)
    return place, alone


def token_law(design: Design, arms: Sequence[int], easiness: Tensor, given: Parameters) -> tuple[Tensor, Tensor]:
    """Mean (1 or U, B, J) and sd (B,) over tasks of log tokens per unit of some timed arms, at given easiness."""
    place = design.subsets.places("timed_arm", arms)
    mean = given["log_tokens"][place][:, None] - given["token_slope"][place][:, None] * easiness[:, None, :]
    return mean, given["token_sd"][place]


def length_spread(design: Design, arms: Sequence[int], given: Mapping[str, Any]) -> Any:
    """Spread (B,) of log tokens by the tasks' own path lengths; 0 for arms that share no tasks."""
    subsets = design.subsets
    if not all(subsets.has("linked_timed_arm", arm) for arm in arms):
        return np.zeros(len(arms))
    return given["length_spread"][subsets.places("linked_timed_arm", arms)]


def attempt_variance(design: Design, arms: Sequence[int], given: Parameters) -> Tensor:
    """Relative variance of generated tokens between attempts on one task, for some timed arms, shape (B,).

    A path of m skills at pace s takes NB(m, s) steps: relative variance (1 - s)/m = 1/m - 1/(mean steps).
    With m known it follows from the mean tokens; otherwise it is learned, and m follows from it. Trees are
    single runs, whose spread is part of that between tasks.
    """
    subsets = design.subsets
    free = np.array([subsets.has("free_path_arm", arm) for arm in arms])
    known = ~free & np.array([not design.arms[arm].is_tree for arm in arms])
    variance: Tensor = pt.zeros(len(arms))
    if free.any():
        place = subsets.places("free_path_arm", [arm for arm, one in zip(arms, free, strict=True) if one])
        variance = pt.set_subtensor(variance[np.flatnonzero(free)], given["attempt_cv"][place] ** 2)
    if known.any():
        chosen = [arm for arm, one in zip(arms, known, strict=True) if one]
        mean_tokens = pt.exp(given["log_tokens"][subsets.places("timed_arm", chosen)])
        # An attempt takes at least one step per skill.
        step = np.full(len(chosen), design.tokens_per_step)
        least = pt.maximum(1.0 / design.path_length[chosen] - step / mean_tokens, 0.0)
        variance = pt.set_subtensor(variance[np.flatnonzero(known)], least)
    return variance


def tokens_over_tasks(design: Design, arms: Sequence[int], given: Parameters) -> tuple[Tensor, Tensor]:
    """Mean and sd, over all tasks, of log tokens per unit in some timed arms, shape (B,) each."""
    place = design.subsets.places("timed_arm", arms)
    slope, sd = given["token_slope"][place], given["token_sd"][place]
    return given["log_tokens"][place], pt.sqrt(sd**2 + slope**2 + length_spread(design, arms, given) ** 2)


def latent_log_tokens(design: Design, given: Parameters) -> Tensor:
    """Log mean tokens of the tasks of which they are latent, because attempts were cut, shape (cut_task,)."""
    mean, sd = tokens_over_tasks(design, [cut.arm for cut in design.observed["attempts"]], given)
    return mean + sd * given["cut_tokens"]


def latent_cells(block: Block, design: Design) -> tuple[list[int], list[int], list[int]]:
    """Places in ``cut_task`` of a block's latent log tokens, the numbers of their tasks, and their columns."""
    tasks = {name: index for index, name in enumerate(block.tasks)}
    mine = [(place, cut) for place, cut in enumerate(design.observed.get("attempts", ())) if cut.arm in block.arms]
    return (
        [place for place, _ in mine],
        [tasks[cut.task] for _, cut in mine],
        [block.arms.index(cut.arm) for _, cut in mine],
    )


@dataclass(frozen=True, kw_only=True)
class TokenTerms:
    """A block's token data at the nodes, the tasks' own path lengths summed out.

    Log mean tokens of a task in an arm are normal around the arm's mean at the task's easiness, moved by the
    task's standard normal path-length effect times the arm's ``length_spread``, with the arm's own variance.
    Given easiness, that is a normal law with a covariance of rank one plus a diagonal.

    Parameters
    ----------
    log_likelihood : tensor, shape (U, J)
        Of each signature at the nodes.
    length_mean : tensor, shape (U, J)
        Conditional mean of the path-length effect.
    length_variance : tensor, shape (U,)
        Its conditional variance.
    """

    log_likelihood: Tensor
    length_mean: Tensor
    length_variance: Tensor


def token_terms(block: Block, easiness: Tensor, design: Design, given: Parameters) -> TokenTerms | None:
    """Build a block's token terms, or None if it has no tokens."""
    columns = timed_columns(block, design)
    if not columns.size:
        return None
    first, signature, _ = block.distinct
    arms = [block.arms[column] for column in columns]
    place = design.subsets.places("timed_arm", arms)
    slope, sd = given["token_slope"][place], given["token_sd"][place]
    observed, weight = (one[np.ix_(first, columns)] for one in tokens_of(block))
    noise = 1.0 / np.maximum(weight, 1.0)
    places, tasks, latent = latent_cells(block, design)
    if places:
        # What a task wants is latent where attempts were cut; `Attempts` says what was seen of it.
        at = (signature[tasks], np.searchsorted(columns, latent))
        weight[at], noise[at] = 1.0, 0.0
        observed = pt.set_subtensor(pt.as_tensor(observed)[at], latent_log_tokens(design, given)[places])
    precision = (weight > 0) / (sd**2 + attempt_variance(design, arms, given) * noise)
    spread = length_spread(design, arms, given)
    logs = pt.switch(weight > 0, np.log(2 * np.pi) - pt.log(pt.maximum(precision, 1e-300)), 0.0)
    # The arms' errors at an easiness of 0 and what each unit of it adds; so of the mean length effect that they tell.
    error = observed - given["log_tokens"][place]
    length_variance = 1.0 / (1.0 + (precision * spread**2).sum(axis=1, keepdims=True))
    pull = length_variance * precision * spread
    length, length_slope = (pull * error).sum(axis=1, keepdims=True), (pull * slope).sum(axis=1, keepdims=True)
    # That effect, of sd 1 over tasks, is one more error beside what it leaves of the arms'.
    squares = _sum_of_squares(
        pt.concatenate([precision, pt.ones_like(length)], axis=1),
        pt.concatenate([error - spread * length, length], axis=1),
        pt.concatenate([slope - spread * length_slope, length_slope], axis=1),
        easiness,
    )
    return TokenTerms(
        log_likelihood=-0.5 * (squares + logs.sum(axis=1, keepdims=True) - pt.log(length_variance)),
        length_mean=length + length_slope * easiness,
        length_variance=length_variance[:, 0],
    )


def _sum_of_squares(weight: Tensor, start: Tensor, slope: Tensor, at: Tensor) -> Tensor:
    """Weighted sums over arms of the squares of lines, ``sum(weight * (start + slope * at)**2)``.

    They are quadratics with three coefficients a task, so that nothing is computed at (task, arm, node). These are
    taken around the quadratic's lowest point, where its terms are all positive: around 0, steep lines would cancel.

    Parameters
    ----------
    weight, start, slope : tensor, shape (U, B)
    at : tensor or array, shape (1 or U, J)

    Returns
    -------
    tensor, shape (U, J)
    """
    bend = (weight * slope**2).sum(axis=1)
    lowest = -(weight * start * slope).sum(axis=1) / pt.maximum(bend, 1e-100)
    # Any centre is right, but derivatives through one that is far beyond the nodes of easiness would cancel.
    centre = pt.clip(lowest, -10.0, 10.0)[:, None]
    start, away = start + slope * centre, at - centre
    tilt = 2.0 * (weight * start * slope).sum(axis=1)
    return (weight * start**2).sum(axis=1)[:, None] + away * (tilt[:, None] + away * bend[:, None])


@dataclass(frozen=True, kw_only=True)
class TokenSpread:
    """Within-task sums of squares of log tokens in one arm, and their degrees of freedom."""

    arm: int
    sum_of_squares: float
    dof: float


class TokenSpreads(Observation[tuple[TokenSpread, ...]]):
    """Spread of log tokens between solved attempts on one task (``log_tokens_sd_correct``): scaled chi-squares."""

    name: ClassVar[str] = "token_spreads"

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> tuple[TokenSpread, ...] | None:
        """Sum squares per arm, over tasks with two solved attempts or more."""
        del arms, spec
        column = "log_tokens_sd_correct"
        if column not in rows:
            return None
        given = rows[rows[column].notna() & (rows["successes"] >= 2) & attempts_alone(rows["strategy"])]
        return (
            tuple(
                TokenSpread(
                    arm=int(arm),  # type: ignore[arg-type]
                    sum_of_squares=float((mine["successes"] * mine[column] ** 2).sum()),
                    dof=float((mine["successes"] - 1).sum()),
                )
                for arm, mine in given.groupby("arm")
            )
            or None
        )

    def pointwise(
        self, data: tuple[TokenSpread, ...], design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> tuple[Sequence[str], Tensor]:
        """Log-likelihood of each arm with a path length of its own, up to a constant of the data."""
        del spec
        spreads = [spread for spread in data if design.subsets.has("free_path_arm", spread.arm)]
        arms = [spread.arm for spread in spreads]
        variance = pt.log1p(attempt_variance(design, arms, given)) if arms else pt.ones(0)
        dof = np.array([spread.dof for spread in spreads])
        sums = np.array([spread.sum_of_squares for spread in spreads])
        return [design.labels[arm] for arm in arms], -0.5 * (dof * pt.log(variance) + sums / variance)


#: Smallest sd of log prompt tokens between tasks: counts of a fixed prompt do not vary, and 1 % stands for rounding.
LEAST_PROMPT_SD = 0.01


@dataclass(frozen=True, kw_only=True)
class PromptRegressions:
    """Least-squares lines of log prompt tokens over log generated tokens: all that the data say of prompts.

    Parameters
    ----------
    tasks : array, shape (prompted_arm,)
        How many have both.
    mean_tokens, mean_prompt : arrays, shape (prompted_arm,)
        Means of log generated and log prompt tokens over those tasks; 0 without any.
    squares : array, shape (prompted_arm,)
        Sum of squares of log generated tokens around their mean.
    slope : array, shape (prompted_arm,)
        Of the line; 0 where all tasks have the same generated tokens.
    residual : array, shape (prompted_arm,)
        Sum of squares of log prompt tokens around the line.
    """

    tasks: np.ndarray
    mean_tokens: np.ndarray
    mean_prompt: np.ndarray
    squares: np.ndarray
    slope: np.ndarray
    residual: np.ndarray

    @classmethod
    def of(cls, design: Design) -> PromptRegressions:
        """Fit the lines of a design's arms with prompt tokens."""
        found = np.zeros((6, len(design.subsets.prompted_arm)))
        prompts = design.observed[PromptTokens.name]
        for block in design.blocks:
            log_prompt, prompted = prompts.in_block(block)
            log_tokens, timed = tokens_of(block)
            for column, arm in enumerate(block.arms):
                seen = (prompted[:, column] > 0) & (timed[:, column] > 0)
                if not seen.any() or not design.subsets.has("prompted_arm", arm):
                    continue
                tokens, prompt = log_tokens[seen, column], log_prompt[seen, column]
                x, y = tokens - tokens.mean(), prompt - prompt.mean()
                # What is left of equal numbers around their mean is rounding, and no slope can be told from it.
                slope = float(x @ y / (x @ x)) if np.ptp(tokens) > 0 else 0.0
                found[:, design.subsets.place("prompted_arm", arm)] = (
                    *(seen.sum(), tokens.mean(), prompt.mean(), float(x @ x), slope),
                    float(((y - slope * x) ** 2).sum()),
                )
        names = ("tasks", "mean_tokens", "mean_prompt", "squares", "slope", "residual")
        return cls(**dict(zip(names, found, strict=True)))

    def past_mean(self, design: Design, given: Parameters) -> Tensor:
        """Return by how much `mean_tokens` exceed their expectation ``log_tokens``, shape (prompted_arm,)."""
        subsets = design.subsets
        return self.mean_tokens - given["log_tokens"][subsets.places("timed_arm", subsets.prompted_arm.tolist())]


def prompt_precision(given: Parameters) -> Tensor:
    """Inverse variance of log prompt tokens given generated ones, shape (prompted_arm,)."""
    return 1.0 / (given["prompt_sd"] ** 2 + LEAST_PROMPT_SD**2)


class PromptTokens(Observation[TaskTokens]):
    """Prompt tokens per unit: log-normal, rising with the generated tokens."""

    name: ClassVar[str] = "prompt_tokens"

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> TaskTokens | None:
        """Take the means of single attempts, or of searches, at tasks."""
        del spec
        if "prompt_tokens" not in rows:
            return None
        single = _single(rows, arms)
        runs = runs_of(single)
        told = TaskTokens.of(arms, single, single["prompt_tokens"].to_numpy(dtype=float) / runs, runs)
        return told if told.mean.size else None

    def informs(self, data: TaskTokens) -> Mapping[str, Sequence[int]]:
        """Say which arms have prompt tokens."""
        return {"prompts": np.unique(data.arm).tolist()}

    def add(
        self,
        data: TaskTokens,
        design: Design,
        spec: Settings,
        given: Mapping[str, Tensor],
        terms: Sequence[Terms],
    ) -> None:
        """Add all arms: squares around the least-squares lines, and of the lines around the model's."""
        del data, spec, terms
        if not len(design.subsets.prompted_arm):
            return
        told, precision = PromptRegressions.of(design), prompt_precision(given)
        away = told.mean_prompt - given["log_prompt"] - given["prompt_slope"] * told.past_mean(design, given)
        squares = told.residual + told.squares * (told.slope - given["prompt_slope"]) ** 2 + told.tasks * away**2
        log_likelihood = -0.5 * (precision * squares + told.tasks * (np.log(2 * np.pi) - pt.log(precision)))
        pm.Potential("prompt_tokens", log_likelihood.sum())
