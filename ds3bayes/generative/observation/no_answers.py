"""Attempts that give no answer: they fail, and do not vote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.priors import Parameter, prior
from ds3bayes.generative.rows import attempts_alone
from ds3bayes.generative.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Silence:
    """How many of an arm's attempts that were not right gave no answer, in the rows that tell it."""

    arm: int
    silent: int
    failures: int


def _by_row(rows: pd.DataFrame) -> pd.DataFrame:
    """Attempts without an answer, ``silent``, and ``failures`` of the rows that tell them."""
    told = rows[:0]
    if "no_answer" in rows:
        told = rows[rows["no_answer"].notna() & attempts_alone(rows["strategy"])]
    silent = told.get("no_answer", pd.Series(dtype=float))
    return pd.DataFrame({"arm": told["arm"], "silent": silent, "failures": told["attempts"] - told["successes"]})


def share_without_answer(rows: pd.DataFrame) -> float | None:
    """Share of an arm's attempts that are not right which gave no answer, to three digits; None if no row tells it."""
    told = _by_row(rows)
    failures = float(told["failures"].sum())
    return round(float(told["silent"].sum()) / failures, 3) if failures else None


class NoAnswers(Observation[tuple[Silence, ...]]):
    """Attempts without an answer (``no_answer``), among an arm's attempts that are not right.

    An attempt that is not right gives no answer with a probability of the arm's own, the same for all tasks. Counts of
    right attempts do not depend on it; votes do, for an attempt without an answer does not vote.
    """

    name: ClassVar[str] = "no_answers"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "no_answer_share": Parameter(
            prior("Beta", alpha=0.5, beta=2.0),
            ("answering_arm",),
            "probability that an attempt that is not right gives no answer, and so no vote",
            unit="probability",
        )
    }

    @classmethod
    def arms(cls, design: Design) -> list[int]:
        """Return the arms whose rows tell it, by their places in a design, in the order of ``answering_arm``."""
        return [one.arm for one in cls.seen(design) or ()]

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> tuple[Silence, ...] | None:
        """Count failures, and those without an answer, per arm."""
        del arms, spec
        found = (
            Silence(arm=int(arm), silent=int(silent), failures=int(failed))
            for arm, silent, failed in _by_row(rows).groupby("arm").sum().itertuples()
            if failed > 0
        )
        return tuple(found) or None

    def coords(self, data: tuple[Silence, ...], design: Design) -> Mapping[str, Sequence[str]]:
        """Return the arms whose attempts tell it."""
        return {"answering_arm": [design.labels[one.arm] for one in data]}

    def pointwise(
        self, data: tuple[Silence, ...], design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> tuple[Sequence[str], Tensor]:
        """Binomial log-likelihood of each arm's attempts without an answer."""
        del spec
        silent, failures = np.array([[one.silent, one.failures] for one in data]).T
        points = pm.logp(pm.Binomial.dist(failures, given["no_answer_share"]), silent)
        return [design.labels[one.arm] for one in data], points

    def draw_rows(
        self,
        rows: pd.DataFrame,
        logit: np.ndarray,
        arms: Sequence[int],
        design: Design,
        draw: Mapping[str, np.ndarray],
        rng: np.random.Generator,
    ) -> Mapping[str, Sequence[Any]]:
        """Draw attempts without an answer among the failures of the rows that tell them."""
        del logit
        share = dict(zip(self.arms(design), draw["no_answer_share"], strict=True))
        of_row = np.array([share.get(arm, 0.0) for arm in arms])
        failures = (rows["attempts"] - rows["successes"]).to_numpy(dtype=int)
        told = rows["no_answer"].notna().to_numpy() & attempts_alone(rows["strategy"]).to_numpy()
        return {"no_answer": np.where(told, rng.binomial(failures, of_row), np.nan).tolist()}
