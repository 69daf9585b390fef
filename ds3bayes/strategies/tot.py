"""Tree of thought: every step proposes several candidates and a scorer keeps the best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from pytensor.graph.basic import Variable

from ds3bayes.errors import InputError
from ds3bayes.strategies.base import (
    Strategy,
    Verifier,
    Walk,
    as_verifier,
    check_share,
    check_whole,
    read_verifier,
    register,
)
from ds3bayes.theory.cost import tree_candidates
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.selectors import any_right, tree_outputs


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
class TreeOfThought(Strategy):
    """Tree search over steps, text form ``tot(branching=5)``.

    Every kept state proposes ``branching`` candidates per step, an evaluator keeps the best ``kept_states``
    of all of them; after the last step ``outputs`` kept states are written out as answers, and the task
    counts as solved if any of them is right.

    Parameters
    ----------
    branching : int
        Candidates proposed per kept state and step, at least 1.
    kept_states : int, default 1
        States kept per step, at least 1.
    outputs : int, default 1
        Answers written out, 1..kept_states.
    evaluator : Verifier or str, optional
        Scorer of steps, ``"oracle"`` or ``"noisy(d=2)"``. None: learned by the fit.
    answer_fidelity : float, optional
        Probability in [0, 1] that a right last state is written out as a right answer. None: learned by the
        fit.
    effort : str, optional
        Reasoning effort asked of the LLM.
    budget_tokens : int, optional
        Largest number of generated tokens of one tree search, at least 1.

    Raises
    ------
    InputError
        If a field is outside its range.

    References
    ----------
    Yao et al., arXiv 2305.10601 (tree of thought); Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.

    Examples
    --------
    >>> str(TreeOfThought(branching=5, kept_states=5, evaluator="noisy(d=2)"))
    'tot(branching=5, kept_states=5, evaluator=noisy(d=2))'
    """

    name: ClassVar[str] = "tot"

    branching: int
    kept_states: int = 1
    outputs: int = 1
    evaluator: Verifier | str | None = None
    answer_fidelity: float | None = None

    def faults(self) -> list[str]:
        """Check the fields of the tree; a text ``evaluator`` becomes a `Verifier`."""
        found = []
        for field in ("branching", "kept_states", "outputs"):
            found += check_whole(field, getattr(self, field), 1)
        if not found and self.outputs > self.kept_states:
            found.append(f"outputs must lie in 1..kept_states = 1..{self.kept_states}, got {self.outputs}")
        if self.evaluator is not None:
            found += read_verifier(self, "evaluator")
        if self.answer_fidelity is not None:
            fault = check_share("answer_fidelity", self.answer_fidelity)
            found += fault
            if not fault:
                object.__setattr__(self, "answer_fidelity", float(self.answer_fidelity))
        return found

    @property
    def walk(self) -> Walk:
        """Tree searches."""
        return "tot"

    @property
    def attempts(self) -> int:
        """The number of answers written out by one tree search."""
        return self.outputs

    def token_units(self, path_length: Any = None) -> Any:
        """Return the number of candidates proposed in one tree search.

        branching + sum over the later steps of branching times the states kept before it.

        Parameters
        ----------
        path_length : array-like or tensor
            Number of steps, at least 1; linear between whole numbers.

        Returns
        -------
        numpy.ndarray, or a tensor if ``path_length`` is one

        Raises
        ------
        InputError
            If no path length is given.
        """
        if path_length is None:
            raise InputError(f"{self}: the cost of a tree search needs the path length of the task")
        if isinstance(path_length, Variable):
            return tree_candidates(path_length, self.branching, self.kept_states)
        return evaluate(tree_candidates, path_length, b=self.branching, w=self.kept_states)

    def answer(self, q: Any, concentration: Any = None) -> Any:
        """Probability that any of the outputs is right, when each is right with probability q."""
        return any_right(q, self.outputs)

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
        ds3bayes.theory.selectors.tree_outputs : the formula.
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
