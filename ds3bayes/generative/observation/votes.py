"""How wrong answers agree: counts of distinct wrong answers inform what majority votes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from ds3bayes.deferred import pt
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.observation.base import Observation, Tensor
from ds3bayes.generative.settings import Settings


@dataclass(frozen=True, kw_only=True)
class WrongAnswers:
    """Sufficient statistics of how wrong answers agree in one arm.

    For a partition of w wrong answers into k distinct ones, the Chinese restaurant process gives
    ``a^k Gamma(a) / Gamma(a + w)`` up to a constant: k and w are all that matters.
    """

    arm: int
    distinct: int
    sizes: np.ndarray
    counts: np.ndarray


class Votes(Observation[tuple[WrongAnswers, ...]]):
    """Counts of a task's distinct wrong answers (``wrong_answer_counts``), by Ewens' sampling formula."""

    name: ClassVar[str] = "votes"

    def collect(self, rows: pd.DataFrame, arms: Sequence[Arm], spec: Settings) -> tuple[WrongAnswers, ...] | None:
        """Count sizes and distinct answers per arm."""
        del arms, spec
        if "wrong_answer_counts" not in rows:
            return None
        result = []
        for arm, mine in rows[rows["wrong_answer_counts"] != ""].groupby("arm"):
            counts = [[int(part) for part in text.split("|")] for text in mine["wrong_answer_counts"]]
            sizes, how_often = np.unique([sum(parts) for parts in counts], return_counts=True)
            distinct = sum(len(parts) for parts in counts)
            result.append(WrongAnswers(arm=int(arm), distinct=distinct, sizes=sizes, counts=how_often))  # type: ignore[arg-type]
        return tuple(result) or None

    def informs(self, data: tuple[WrongAnswers, ...]) -> Mapping[str, Sequence[int]]:
        """Say of which arms it tells how wrong answers agree."""
        return {"votes": [wrong.arm for wrong in data]}

    def pointwise(
        self, data: tuple[WrongAnswers, ...], design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> tuple[Sequence[str], Tensor]:
        """Log-likelihood of each arm's wrong answers, up to a constant of the data."""
        del spec
        arms = [wrong.arm for wrong in data]
        a = given["wrong_answer_concentration"][design.subsets.places("voted_arm", arms)]
        place = np.repeat(np.arange(len(data)), [wrong.sizes.size for wrong in data])
        sizes = np.concatenate([wrong.sizes for wrong in data])
        counts = np.concatenate([wrong.counts for wrong in data])
        rising = counts * (pt.gammaln(a[place] + sizes) - pt.gammaln(a[place]))
        distinct = np.array([wrong.distinct for wrong in data])
        points = pt.inc_subtensor((distinct * pt.log(a))[place], -rising)
        return [design.labels[arm] for arm in arms], points
