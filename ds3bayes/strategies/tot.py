"""Tree of thought: every step proposes several candidates and a scorer keeps the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from ds3bayes.strategies.base import check_whole, has_perfect_verifier, read_share, register
from ds3bayes.strategies.thoughts import ThoughtSearch
from ds3bayes.strategies.told_by import ToldBy
from ds3bayes.strategies.walks import Bools
from ds3bayes.theory.cost import tree_candidates
from ds3bayes.theory.trees import best_candidate, kept_states, right_kept_states


@final
@register
@dataclass(frozen=True, kw_only=True)
class TreeOfThought(ThoughtSearch):
    """Tree search over thoughts, text form ``tot(branching=5)``.

    Every kept state proposes ``branching`` candidates per level, an evaluator keeps the best ``kept_states``
    of all of them; after the last level the ``outputs`` best-scored ones are written out as answers, and the task
    counts as solved if any of them is right. Outputs of one search share its tree: they are no independent attempts.

    Parameters
    ----------
    branching : int
        Candidates proposed per kept state and level, at least 1.
    kept_states : int, default 1
        States kept per level, at least 1.
    outputs : int, default 1
        Answers written out, 1..kept_states: those that the evaluator ranks highest; 1 is the best-ranked.
    evaluator : Verifier or str, optional
        Scorer of candidates, ``"oracle"`` or ``"noisy(d=2)"``. None: learned by the fit.
    candidate_overlap : float, optional
        Probability in [0, 1] that two right proposals of one state are the same thought: the larger, the fewer of a
        state's distinct candidates can be right. None: learned by the fit, 0 in the laws from a path.
    answer_fidelity : float, optional
        Probability in [0, 1] that a right last state is written out as a right answer. None: learned by the
        fit, 1 in the laws from a path.
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

    See Also
    --------
    ds3bayes.strategies.StepSearch : selection among single steps of the walk.

    References
    ----------
    Yao et al., arXiv 2305.10601 (tree of thought); Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.

    Examples
    --------
    >>> str(TreeOfThought(branching=5, kept_states=5, evaluator="noisy(d=2)"))
    'tot(branching=5, kept_states=5, evaluator=noisy(d=2))'
    """

    name: ClassVar[str] = "tot"
    other_names: ClassVar[tuple[str, ...]] = ("tree_of_thought", "tree_of_thoughts")

    kept_states: int = 1
    outputs: int = 1
    answer_fidelity: float | None = None

    def search_faults(self) -> list[str]:
        """Check the fields that other searches do not have."""
        found = check_whole("kept_states", self.kept_states, 1) + check_whole("outputs", self.outputs, 1)
        if not found and self.outputs > self.kept_states:
            found.append(f"outputs must lie in 1..kept_states = 1..{self.kept_states}, got {self.outputs}")
        return found + read_share(self, "answer_fidelity")

    @property
    def attempts(self) -> int:
        """The number of answers written out by one tree search."""
        return self.outputs

    @property
    def told_by(self) -> tuple[ToldBy, ...]:
        """Its own rows; of several outputs those of one search each, for they do not say which outputs are of which."""
        if self.outputs == 1:
            return super().told_by
        return (ToldBy.any_output(str(self), self.outputs),)

    @property
    def assumes_perfect_check(self) -> bool:
        """Whether any of several outputs counts, or the evaluator never errs."""
        return self.outputs > 1 or has_perfect_verifier(self)

    @property
    def stated_fidelity(self) -> float | None:
        """The field ``answer_fidelity``."""
        return self.answer_fidelity

    @property
    def states(self) -> int:
        """The field ``kept_states``."""
        return self.kept_states

    def kept(self, levels: int) -> tuple[int, ...]:
        """Return the states kept after each level: up to ``kept_states``, and ``outputs`` at the end."""
        kept = kept_states(levels, self.branching, self.kept_states)
        # The best of the best kept ones are the best of all candidates.
        return (*kept[:-1], min(self.outputs, kept[-1]))

    def candidates(self, levels: Any) -> Any:
        """Return the number of candidates proposed in a search of some levels, as a tensor."""
        return tree_candidates(levels, self.branching, self.kept_states)

    def right_given_done(self, rho: Any, levels: Any, discrimination: Any) -> Any:
        """Probability that any output is right: each of the right states that are written out is so by itself."""
        fidelity = 1.0 if self.answer_fidelity is None else self.answer_fidelity
        if self.kept_states == 1 or self.branching == 1:
            return fidelity * best_candidate(rho, self.branching, discrimination, self.candidate_overlap) ** levels
        kept = self.kept(levels)
        law = right_kept_states(rho, kept, self.branching, discrimination, self.candidate_overlap)[-1]
        return (law * (1.0 - (1.0 - fidelity) ** np.arange(kept[-1] + 1.0))).sum(axis=-1)

    def finish(self, right: Bools, scores: np.ndarray, rng: np.random.Generator) -> Bools:
        """Write out the states that are left."""
        del scores
        fidelity = 1.0 if self.answer_fidelity is None else self.answer_fidelity
        return (right & (rng.random(right.shape) < fidelity)).any(axis=1)
