"""Aggregated results: a benchmark's success at a budget or number of attempts, without its tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm, pt, pytensor
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.observation.no_answers import NoAnswers
from ds3bayes.generative.observation.tokens import attempt_variance
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.rows import row_strategy
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import Terms
from ds3bayes.strategies import Strategy
from ds3bayes.strategies.base import Learned
from ds3bayes.theory.path import finish_within, mean_steps_within

# Nodes and weights for what differs between tasks of equal difficulty in log tokens.
_LENGTHS, _LENGTH_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_LENGTH_WEIGHTS = _LENGTH_WEIGHTS / _LENGTH_WEIGHTS.sum()
# Budgets need an incomplete beta function per node; four neighbouring nodes share one.
_COARSE = 4


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One aggregated row: an arm's success under a strategy, over tasks that are attempted once each.

    Parameters
    ----------
    arm : int
    strategy : Strategy
        With its budget, if it has one.
    attempts, successes : int
    tokens : float
        Mean generated tokens of one walk, NaN if not given.
    """

    arm: int
    strategy: Strategy
    attempts: int
    successes: int
    tokens: float

    @property
    def votes(self) -> bool:
        """Whether it matters how wrong answers agree."""
        return "concentration" in self.strategy.depends_on

    @property
    def is_timed(self) -> bool:
        """Whether it tells of tokens: by a cut, or by the mean tokens under an asked budget."""
        strategy = self.strategy
        return strategy.max_tokens is not None or (strategy.budget_tokens is not None and np.isfinite(self.tokens))

    @property
    def selector(self) -> str:
        """What is chosen how of how many attempts, whoever the verifier is that has to be learned."""
        if self.strategy.learned_verifier:
            return f"{self.strategy.name}(n={self.strategy.attempts})"
        return str(self.strategy)


def verifier_label(llm: str, strategy: Strategy) -> str:
    """Return the coordinate of the verifier that a strategy of an LLM has to learn, empty if there is none."""
    return f"{llm} | {strategy.learned_verifier}" if strategy.learned_verifier else ""


class Aggregates(Observation[tuple[Curve, ...]]):
    """Rows without a task: binomial counts of the success that the task population gives on average.

    Tasks are attempted (or decided) once each, so that a row's count is binomial with the population's mean success;
    rows on the same tasks are taken as independent, which makes intervals somewhat too narrow where one benchmark
    gives many rows. Rows under different asked budgets are walks of their own. Within a cut at K steps a task's attempt
    is finished with probability I_s(m, K - m + 1); one that is cut there still answers right with the learned chance
    ``forced_answer`` relative to an attempt that is let finish. Tokens within a cut are E[min(T, K)] on average, and
    E[T] under an asked budget.
    """

    name: ClassVar[str] = "curves"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "verifier_discrimination": Parameter(
            prior("LogNormal", mu=log(1.0), sigma=0.7),
            ("verifier",),
            "gap between a verifier's scores of right and wrong attempts, in score sds",
            unit="sd of scores",
        ),
        "verifier_agreement": Parameter(
            prior("Beta", alpha=2.0, beta=2.0),
            ("verifier",),
            "share of the variance of a verifier's scores that a task's wrong (or right) attempts have in common",
            unit="share",
        ),
        "forced_answer": Parameter(
            prior("Beta", alpha=1.0, beta=2.0),
            ("budgeted_arm",),
            "chance that an attempt cut at its budget answers right, relative to one that is let finish",
            unit="probability",
        ),
        "budget_token_sd": Parameter(
            prior("LogNormal", mu=log(0.1), sigma=0.7),
            ("timed_aggregate_arm",),
            "sd of log mean tokens, at a cut or an asked budget, around what the path gives",
            unit="log of tokens",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        "aggregate_success": Quantity("success that the fit gives an aggregated row", "share of tasks"),
    }

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> tuple[Curve, ...] | None:
        """Take the rows without a task."""
        del arms, spec
        rows = rows[rows["task"] == ""]
        if rows.empty:
            return None
        tokens = rows["tokens_mean"].to_numpy(dtype=float) if "tokens_mean" in rows else np.full(len(rows), np.nan)
        return tuple(
            Curve(
                arm=int(row.arm),
                strategy=row_strategy(row._asdict()),
                attempts=int(row.attempts),
                successes=int(row.successes),
                tokens=float(mean),
            )
            for row, mean in zip(rows.itertuples(index=False), tokens, strict=True)
        )

    def informs(self, data: tuple[Curve, ...]) -> Mapping[str, Sequence[int]]:
        """Say of which arms rows tell tokens, and how wrong answers agree."""
        return {
            "tokens": [curve.arm for curve in data if curve.is_timed],
            "votes": [curve.arm for curve in data if curve.votes],
        }

    def coords(self, data: tuple[Curve, ...], design: Design) -> Mapping[str, Sequence[str]]:
        """Return the rows, the verifiers to learn, by LLM, the arms that ran with cuts, and those with tokens."""
        verifiers = [verifier_label(design.arms[curve.arm].model, curve.strategy) for curve in data]
        budgeted = [design.labels[curve.arm] for curve in data if curve.strategy.max_tokens is not None]
        return {
            "aggregate": [f"{design.arms[curve.arm].pair} | {curve.strategy}" for curve in data],
            "verifier": list(dict.fromkeys(filter(None, verifiers))),
            "budgeted_arm": list(dict.fromkeys(budgeted)),
            "timed_aggregate_arm": list(dict.fromkeys(design.labels[curve.arm] for curve in data if curve.is_timed)),
        }

    def add(
        self,
        data: tuple[Curve, ...],
        design: Design,
        spec: Settings,
        given: Mapping[str, Tensor],
        terms: Sequence[Terms],
    ) -> None:
        """Add arm by arm those rows together that are cut, and of all arms those that select alike.

        The expected success of every row becomes the variable ``aggregate_success``.
        """
        coords = self.coords(data, design)
        total: Any = 0.0
        expected: dict[int, Tensor] = {}
        told = NoAnswers.arms(design)
        alike: dict[tuple[str, bool, int], list[tuple[Curve, Tensor, np.ndarray]]] = {}
        for arm in dict.fromkeys(curve.arm for curve in data):
            index = int(design.population_of_arm[arm])
            column = design.blocks[index].arms.index(arm)
            reach: Any = 1.0
            if spec.population.reachability:
                reach = given["reachability"][int(design.pair_of_arm[arm])]
            soundness = design.soundness_of(design.blocks[index], given)
            if soundness is not None:
                reach = reach * soundness[0]
            mine = [curve for curve in data if curve.arm == arm]
            cut = [curve for curve in mine if curve.strategy.max_tokens is not None]
            weight = pt.exp(terms[index].log_marginal[column])
            q = 1.0 / (1.0 + np.exp(-design.blocks[index].tables[column].grid.nodes))
            for curve in mine:
                if curve not in cut:
                    alike.setdefault((curve.selector, arm in told, q.size), []).append((curve, reach * weight, q))
            asked = [curve for curve in mine if curve.is_timed and curve not in cut]
            if cut or asked:
                tokens = task_tokens(design, arm, terms[index].mean_easiness[column], given)
                sd = given["budget_token_sd"][coords["timed_aggregate_arm"].index(design.labels[arm])]
            if asked:
                seen = np.array([curve.tokens for curve in asked])
                mean = pt.log((weight[:, None] * _LENGTH_WEIGHTS * tokens).sum())
                total += (-0.5 * ((np.log(seen) - mean) / sd) ** 2 - pt.log(sd)).sum()
            if cut:
                place = coords["budgeted_arm"].index(design.labels[arm])
                budgets = np.array([float(curve.strategy.max_tokens or np.nan) for curve in cut])
                weights, within, steps = _within(
                    budgets, design, arm, weight, q, tokens, given["forced_answer"][place], given
                )
                for row, curve in enumerate(cut):
                    answer = self._answer([curve], within[row], design, given, coords["verifier"])
                    expected[data.index(curve)] = reach * (weights * answer).sum()
                seen = np.array([curve.tokens for curve in cut])
                at = np.flatnonzero(np.isfinite(seen))
                mean = pt.log(design.tokens_per_step * (weights * steps[at]).sum(axis=(1, 2)))
                total += (-0.5 * ((np.log(seen[at]) - mean) / sd) ** 2 - pt.log(sd)).sum()
        for members in alike.values():
            curves = [curve for curve, _, _ in members]
            answer = self._answer(curves, members[0][2], design, given, coords["verifier"])
            of_curve = (pt.stack([weight for _, weight, _ in members]) * answer).sum(axis=1)
            expected |= {data.index(curve): of_curve[row] for row, curve in enumerate(curves)}
        success = pt.stack([expected[row] for row in range(len(data))])
        attempts, successes = np.array([[curve.attempts, curve.successes] for curve in data]).T
        pm.Potential("curves", total + pm.logp(pm.Binomial.dist(attempts, success), successes).sum())
        pm.Deterministic("aggregate_success", success, dims="aggregate")

    @staticmethod
    def _answer(
        curves: Sequence[Curve], q: Tensor, design: Design, given: Mapping[str, Tensor], verifiers: Sequence[str]
    ) -> Tensor:
        """Success of rows with selectors alike at q (...): of shape (row, ...), or (...) if all rows have the same.

        Either all of their arms told attempts without an answer, or none.
        """
        concentration = discrimination = agreement = no_answer = None
        if curves[0].votes:
            places = design.subsets.places("voted_arm", [curve.arm for curve in curves])
            concentration = given["wrong_answer_concentration"][places]
        told = NoAnswers.arms(design)
        if curves[0].votes and curves[0].arm in told:
            no_answer = given["no_answer_share"][[told.index(curve.arm) for curve in curves]]
        labels = [verifier_label(design.arms[curve.arm].model, curve.strategy) for curve in curves]
        if labels[0]:
            at = [verifiers.index(label) for label in labels]
            discrimination, agreement = given["verifier_discrimination"][at], given["verifier_agreement"][at]
        learned = Learned(
            concentration=concentration, discrimination=discrimination, agreement=agreement, no_answer=no_answer
        )
        return curves[0].strategy.answer_learned(q, learned)


def task_tokens(design: Design, arm: int, easiness: Tensor, given: Mapping[str, Tensor]) -> Tensor:
    """Mean generated tokens of an attempt at tasks of some easiness (G,), for each of the nodes of their own length."""
    place = design.subsets.place("timed_arm", arm)
    mean = given["log_tokens"][place] - given["token_slope"][place] * easiness
    return pt.exp(mean[:, None] + given["token_sd"][place] * _LENGTHS)


def _within(
    budgets: np.ndarray,
    design: Design,
    arm: int,
    weight: Tensor,
    q: np.ndarray,
    tokens: Tensor,
    forced: Tensor,
    given: Mapping[str, Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return weights, and success and mean steps within each budget (B,), over all nodes of task and length."""
    pad = -len(q) % _COARSE
    fine = pt.concatenate([weight, np.zeros(pad)]).reshape((-1, _COARSE))
    parts = np.pad(q, (0, pad), mode="edge").reshape(-1, _COARSE)
    coarse = fine.sum(axis=1)
    success = ((fine + 1e-300) * parts).sum(axis=1) / (coarse + _COARSE * 1e-300)
    spent = pt.concatenate([tokens, pt.repeat(tokens[-1:], pad, axis=0)]) if pad else tokens
    spent = spent.reshape((-1, _COARSE, len(_LENGTHS))).mean(axis=1)
    omega = design.tokens_per_step
    steps = (budgets / omega)[:, None, None]
    lengths: list[tuple[Any, Any]]
    if np.isfinite(design.path_length[arm]):
        lengths = [(float(design.path_length[arm]), 1.0)]
    else:
        place = design.subsets.place("timed_arm", arm)
        length = 1.0 / (attempt_variance(design, [arm], given)[0] + omega / pt.exp(given["log_tokens"][place]))
        # A path length between two whole ones is a mixture of them: the gradient in a real length is slow to compile.
        whole = pt.floor(pytensor.gradient.disconnected_grad(length))
        lengths = [(whole, 1.0 - (length - whole)), (whole + 1.0, length - whole)]
    finished, mean_steps = 0.0, 0.0
    for skills, share in lengths:
        # An attempt takes at least one step per skill.
        pace = pt.minimum(skills * omega / spent, 1.0)
        finished += share * finish_within(steps, skills, pace)
        mean_steps += share * mean_steps_within(steps, skills, pace)
    return (
        coarse[:, None] * _LENGTH_WEIGHTS,
        success[:, None] * (finished + (1.0 - finished) * forced),
        mean_steps,
    )
