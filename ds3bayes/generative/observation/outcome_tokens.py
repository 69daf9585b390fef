"""Generated tokens of wrong attempts beside those of right ones at the same task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pt
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.observation.tokens import attempt_variance
from ds3bayes.generative.priors import Parameter, log, prior
from ds3bayes.generative.rows import attempts_alone
from ds3bayes.generative.settings import Settings

Array = np.ndarray

# Nodes and weights over the share of the path behind an attempt when it slips.
_SHARES, _SHARE_WEIGHTS = np.polynomial.legendre.leggauss(8)
_SHARES, _SHARE_WEIGHTS = 0.5 * (_SHARES + 1.0), 0.5 * _SHARE_WEIGHTS
# Nodes and weights over the time of wandering, in its mean: exponential, as steps are many.
_WANDERS, _WANDER_WEIGHTS = np.polynomial.laguerre.laggauss(10)


@dataclass(frozen=True, kw_only=True)
class Contrasts:
    """Tasks with right and wrong attempts in one arm whose log tokens were given, one entry each, shape (P,).

    Parameters
    ----------
    labels : tuple of str
        Task and arm.
    arm : int array
    right, wrong : arrays
        Attempts of either outcome.
    difference : array
        Mean log tokens of wrong attempts less that of right ones.
    wrong_squares : array
        Sum of squares of the log tokens of wrong attempts around their mean.
    """

    labels: tuple[str, ...]
    arm: Array
    right: Array
    wrong: Array
    difference: Array
    wrong_squares: Array


class OutcomeTokens(Observation[Contrasts]):
    """How long wrong attempts are beside right ones at the same task (moments of log tokens by outcome).

    What a task wants drops out of the difference, so that it informs what a wrong attempt does. ``tokens.wrong`` in the
    spec chooses between two laws. ``log_normal``: wrong attempts take some constant factor of the tokens of right ones,
    with a spread of their own. ``lost_state``: an attempt that slips leaves its path of m skills after a share u of it,
    of density proportional to q^u (the limit of many skills of equal chance), and wanders for a geometric time, of mean
    ``lost_time`` times what a right attempt takes, before it commits to a wrong answer; so wrong attempts at hard
    tasks are shorter, and all are widely spread. The task's success q is taken at its observed share.

    Real reasoning LLMs follow the first law: their wrong attempts are as narrowly spread as right ones.
    """

    name: ClassVar[str] = "outcome_tokens"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "wrong_token_shift": Parameter(
            prior("Normal", mu=0.1, sigma=0.3),
            ("log_normal_arm",),
            "log tokens of wrong attempts less those of right ones at the same task, on average",
            unit="log of tokens",
        ),
        "wrong_token_sd": Parameter(
            prior("LogNormal", mu=log(0.25), sigma=0.6),
            ("log_normal_arm",),
            "sd of log tokens between wrong attempts at one task",
            unit="log of tokens",
        ),
        "lost_time": Parameter(
            prior("LogNormal", mu=log(0.6), sigma=0.6),
            ("lost_state_arm",),
            "mean tokens that an attempt wanders for once it has slipped, relative to those of a right attempt",
            unit="ratio",
        ),
    }

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> Contrasts | None:
        """Take the tasks with log tokens of both outcomes; where attempts were cut, wrong ones are mixed with those."""
        del spec
        names = ["log_tokens_mean_correct", "log_tokens_mean_wrong", "log_tokens_sd_wrong"]
        if not set(names) <= set(rows):
            return None
        wrong = rows["attempts"] - rows["successes"]
        told = rows[names].notna().all(axis=1) & (rows["task"] != "") & (rows["successes"] > 0) & (wrong > 0)
        told &= attempts_alone(rows["strategy"])
        if "truncated" in rows:
            told &= rows["truncated"].fillna(0) == 0
        rows, wrong = rows[told], wrong[told].to_numpy(dtype=float)
        if rows.empty:
            return None
        return Contrasts(
            labels=tuple(f"{task} | {arms[arm]}" for task, arm in zip(rows["task"], rows["arm"], strict=True)),
            arm=rows["arm"].to_numpy(),
            right=rows["successes"].to_numpy(dtype=float),
            wrong=wrong,
            difference=(rows["log_tokens_mean_wrong"] - rows["log_tokens_mean_correct"]).to_numpy(),
            wrong_squares=wrong * rows["log_tokens_sd_wrong"].to_numpy() ** 2,
        )

    def coords(self, data: Contrasts, design: Design) -> Mapping[str, Sequence[str]]:
        """Return the arms with such tasks, under the name of the law in use."""
        return {f"{design.wrong_tokens}_arm": [design.labels[arm] for arm in np.unique(data.arm)]}

    def pointwise(
        self, data: Contrasts, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> tuple[Sequence[str], Tensor]:
        """Log-likelihood of each task's difference and spread."""
        arms, place = np.unique(data.arm, return_inverse=True)
        right_variance = attempt_variance(design, arms.tolist(), given)[place]
        if spec.tokens.wrong == "log_normal":
            shift, variance = given["wrong_token_shift"][place], given["wrong_token_sd"][place] ** 2
        else:
            success = (data.right + 0.5) / (data.right + data.wrong + 1.0)
            shift, variance = lost_log_tokens(success, given["lost_time"][place], right_variance)
        error = _trigamma(1.0 / right_variance) / data.right + variance / data.wrong
        difference = -0.5 * ((data.difference - shift) ** 2 / error + pt.log(2 * np.pi * error))
        dof = data.wrong - 1.0
        spread = -0.5 * (dof * pt.log(2 * np.pi * variance) + data.wrong_squares / variance)
        return data.labels, difference + spread


def lost_log_tokens(success: Array, lost_time: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of log tokens of wrong attempts under the lost state, the mean relative to right attempts.

    Parameters
    ----------
    success : array, shape (P,)
        Eventual success q.
    lost_time : tensor, shape (P,)
        Mean wandering time in units of a right attempt's mean.
    variance : tensor, shape (P,)
        Squared coefficient of variation of a right attempt's tokens, 1/m for a path of m skills with many steps each.

    Returns
    -------
    tuple of tensor
        Summed over nodes of the share of the path and of the time of wandering; what the steps of the path add to
        either is taken to second order.
    """
    weight = _SHARE_WEIGHTS * success[:, None] ** _SHARES
    weight = (weight / weight.sum(axis=1, keepdims=True))[:, :, None] * _WANDER_WEIGHTS
    # Skills are whole: the one at which an attempt slips takes its time too, half a skill more than the share says.
    share = _SHARES[None, :, None] + 0.5 * variance[:, None, None]
    mean = share + lost_time[:, None, None] * _WANDERS
    noise = variance[:, None, None] * share / mean**2
    log_mean = pt.log(mean) - 0.5 * noise
    centre = (weight * log_mean).sum(axis=(1, 2))
    spread = (weight * (noise + (log_mean - centre[:, None, None]) ** 2)).sum(axis=(1, 2))
    return centre - _log_bias(1.0 / variance), spread


def _log_bias(shape: Tensor) -> Tensor:
    """Mean log of a gamma variable of mean 1: digamma(a) - log a, within 1e-6."""
    x = shape + 3.0
    series = pt.log(x) - 1 / (2 * x) - 1 / (12 * x**2) + 1 / (120 * x**4)
    return series - 1 / shape - 1 / (shape + 1) - 1 / (shape + 2) - pt.log(shape)


def _trigamma(shape: Tensor) -> Tensor:
    """Variance of the log of a gamma variable, within 1e-5 of itself."""
    x = shape + 3.0
    series = 1 / x + 1 / (2 * x**2) + 1 / (6 * x**3) - 1 / (30 * x**5)
    return series + 1 / shape**2 + 1 / (shape + 1) ** 2 + 1 / (shape + 2) ** 2
