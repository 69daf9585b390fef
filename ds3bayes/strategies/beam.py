"""Beam search: several partial paths are kept side by side, and the best-scored one becomes the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.base import check_whole, register
from ds3bayes.strategies.thoughts import ThoughtSearch
from ds3bayes.strategies.walks import Bools
from ds3bayes.theory.cost import tree_candidates
from ds3bayes.theory.trees import best_candidate, kept_states, right_kept_states


@final
@register
@dataclass(frozen=True, kw_only=True)
class Beam(ThoughtSearch):
    """Beam search over thoughts, text form ``beam(branching=4, width=4, evaluator=noisy(d=2))``.

    Every kept path proposes ``branching`` candidates per level and the best-scored ``width`` of all of them
    are kept; of the last level's candidates the best-scored one is the answer.

    Parameters
    ----------
    branching : int
        Candidates proposed per kept path and level, at least 1.
    width : int
        Paths kept per level, at least 1; 1 is a greedy search, the tree of thought that keeps one state.
    evaluator : Verifier or str, optional
        Scorer of candidates, ``"oracle"`` or ``"noisy(d=2)"``; needed by its laws.
    candidate_overlap : float, optional
        Probability in [0, 1] that two right proposals of one path are the same thought; None counts as 0.
    evaluation_tokens : float, default 0
        Tokens generated to score one candidate, at least 0; they come on top of the budget.
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of tokens generated in the candidates of one search, at least 1.

    Raises
    ------
    InputError
        If a field is outside its range.

    Examples
    --------
    >>> str(Beam(branching=4, width=2, evaluator="oracle"))
    'beam(branching=4, width=2, evaluator=oracle)'
    """

    name: ClassVar[str] = "beam"
    other_names: ClassVar[tuple[str, ...]] = ("beam_search",)
    needs: ClassVar[tuple[str, ...]] = ("branching", "n_samples")
    fitted_from: ClassVar[frozenset[str]] = frozenset()

    width: int

    def search_faults(self) -> list[str]:
        """Check ``width``."""
        return check_whole("width", self.width, 1)

    @property
    def attempts(self) -> int:
        """One answer."""
        return 1

    @property
    def states(self) -> int:
        """The field ``width``."""
        return self.width

    def kept(self, levels: int) -> tuple[int, ...]:
        """Return the paths kept after each level: up to ``width``, and one at the end."""
        return (*kept_states(levels, self.branching, self.width)[:-1], 1)

    def candidates(self, levels: Any) -> Any:
        """Return the number of candidates proposed in a search of some levels, as a tensor."""
        return tree_candidates(levels, self.branching, self.width)

    def right_given_done(self, rho: Any, levels: Any, discrimination: Any) -> Any:
        """Probability that the best-scored candidate of the last level is right."""
        if self.width == 1:
            return best_candidate(rho, self.branching, discrimination, self.candidate_overlap) ** levels
        kept = self.kept(levels)
        return right_kept_states(rho, kept, self.branching, discrimination, self.candidate_overlap)[-1][..., 1]

    def finish(self, right: Bools, scores: np.ndarray, rng: np.random.Generator) -> Bools:
        """Take the one state that is left."""
        del scores, rng
        return right[:, 0]
