"""Tree of thought: every step proposes several candidates and a scorer keeps the best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from scipy.special import comb

from ds3bayes.errors import InputError
from ds3bayes.strategies.base import as_verifier, check_share, check_whole, has_perfect_verifier, register
from ds3bayes.strategies.thoughts import ThoughtSearch
from ds3bayes.strategies.told_by import ToldBy
from ds3bayes.strategies.walks import Bools
from ds3bayes.theory.cost import tree_candidates
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import any_right, noisy_verifier
from ds3bayes.theory.trees import kept_states, right_kept_states, tree_outputs


def _output_success(
    rho: Any,
    path_length: Any,
    discrimination: Any,
    fidelity: Any,
    *,
    branching: int,
    kept_states: int,
    max_levels: int | None = None,
) -> Any:
    share = tree_outputs(rho, path_length, branching, kept_states, discrimination, max_levels)
    return fidelity * share


@final
@register
@dataclass(frozen=True, kw_only=True)
class TreeOfThought(ThoughtSearch):
    """Tree search over thoughts, text form ``tot(branching=5)``.

    Every kept state proposes ``branching`` candidates per level, an evaluator keeps the best ``kept_states``
    of all of them; after the last level ``outputs`` kept states are written out as answers, and the task
    counts as solved if any of them is right.

    Parameters
    ----------
    branching : int
        Candidates proposed per kept state and level, at least 1.
    kept_states : int, default 1
        States kept per level, at least 1.
    outputs : int, default 1
        Answers written out, 1..kept_states.
    evaluator : Verifier or str, optional
        Scorer of candidates, ``"oracle"`` or ``"noisy(d=2)"``. None: learned by the fit.
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

    kept_states: int = 1
    outputs: int = 1
    answer_fidelity: float | None = None

    def search_faults(self) -> list[str]:
        """Check the fields that other searches do not have."""
        found = check_whole("kept_states", self.kept_states, 1) + check_whole("outputs", self.outputs, 1)
        if not found and self.outputs > self.kept_states:
            found.append(f"outputs must lie in 1..kept_states = 1..{self.kept_states}, got {self.outputs}")
        if self.answer_fidelity is not None:
            fault = check_share("answer_fidelity", self.answer_fidelity)
            found += fault
            if not fault:
                object.__setattr__(self, "answer_fidelity", float(self.answer_fidelity))
        return found

    @property
    def attempts(self) -> int:
        """The number of answers written out by one tree search."""
        return self.outputs

    @property
    def told_by(self) -> tuple[ToldBy, ...]:
        """Its own rows; whether any of several outputs is right, those with just as many outputs of every search."""
        if self.outputs == 1:
            return super().told_by
        return (ToldBy.any_right(str(replace(self, outputs=1)), self.outputs, exactly=True),)

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
        """Return the states kept after each level: all candidates, up to ``kept_states``."""
        return tuple(kept_states(levels, self.branching, self.kept_states))

    def candidates(self, levels: Any) -> Any:
        """Return the number of candidates proposed in a search of some levels, as a tensor."""
        return tree_candidates(levels, self.branching, self.kept_states)

    def answer(self, q: Any, concentration: Any = None, *, wrong: Any = None) -> Any:
        """Probability that any of the outputs is right, when each is right with probability q."""
        del concentration, wrong
        return any_right(q, self.outputs)

    def right_given_done(self, rho: Any, levels: Any, discrimination: Any) -> Any:
        """Probability that an output is right: outputs are drawn from the kept states without replacement."""
        fidelity = 1.0 if self.answer_fidelity is None else self.answer_fidelity
        if self.kept_states == 1 or self.branching == 1:
            return fidelity * noisy_verifier(rho, self.branching, discrimination) ** levels
        kept = self.kept(levels)
        last, drawn = kept[-1], min(self.outputs, kept[-1])
        right, found = np.arange(last + 1)[:, None], np.arange(drawn + 1)[None, :]
        chance = comb(right, found) * comb(last - right, drawn - found) / comb(last, drawn)
        failed = (chance * (1.0 - fidelity) ** found).sum(axis=1)
        return (right_kept_states(rho, kept, self.branching, discrimination)[-1] * (1.0 - failed)).sum(axis=-1)

    def finish(self, right: Bools, scores: np.ndarray, rng: np.random.Generator) -> Bools:
        """Write out some of the kept states."""
        del scores
        order = rng.random(right.shape).argsort(axis=1)[:, : self.outputs]
        fidelity = 1.0 if self.answer_fidelity is None else self.answer_fidelity
        written = np.take_along_axis(right, order, axis=1)
        return (written & (rng.random(written.shape) < fidelity)).any(axis=1)

    def output_success(
        self,
        rho: Any,
        path_length: Any,
        discrimination: Any = None,
        fidelity: Any = None,
        max_levels: int | None = None,
    ) -> Any:
        """Probability that one output of the search is right: fidelity times the share of right kept states.

        Parameters
        ----------
        rho : tensor-like, shape (...)
            Probability in [0, 1] that a candidate continuing a right state is right.
        path_length : int or tensor-like
            Number of steps, at least 1. A tensor needs ``max_levels`` if more than one state is kept.
        discrimination : tensor-like, optional
            d >= 0 of the evaluator; used if the strategy states no evaluator.
        fidelity : tensor-like, optional
            Probability that a right last state is written out as a right answer; used if the strategy states
            none.
        max_levels : int, optional
            Upper bound of a tensor path length.

        Returns
        -------
        PyTensor variable, shape (...)

        Raises
        ------
        InputError
            If discrimination or fidelity is neither given nor stated by the strategy.

        See Also
        --------
        ds3bayes.theory.trees.tree_outputs : the formula.
        """
        d, f = self._stated(discrimination, fidelity)
        return _output_success(
            rho,
            path_length,
            d,
            f,
            branching=self.branching,
            kept_states=self.kept_states,
            max_levels=max_levels,
        )

    def output_success_array(
        self, rho: Any, path_length: Any, discrimination: Any = None, fidelity: Any = None
    ) -> np.ndarray:
        """Evaluate `output_success` on arrays that broadcast, for instance (draws, tasks) and (draws, 1)."""
        d, f = self._stated(discrimination, fidelity)
        longest = int(np.ceil(np.max(path_length, initial=1)))
        return evaluate(
            _output_success,
            rho,
            path_length,
            d,
            f,
            core=(0, 0, 0, 0),
            branching=self.branching,
            kept_states=self.kept_states,
            max_levels=longest,
        )

    def _stated(self, discrimination: Any, fidelity: Any) -> tuple[Any, Any]:
        d = discrimination if self.evaluator is None else as_verifier(self.evaluator).discrimination
        f = fidelity if self.answer_fidelity is None else self.answer_fidelity
        for field, value in (("evaluator", d), ("answer_fidelity", f)):
            if value is None:
                raise InputError(f"{self}: {field} is not stated and no value learned by a fit was given")
        return d, f
