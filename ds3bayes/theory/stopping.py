"""Early-stopping vote: attempts are drawn one after another until the vote is decided, or decided well enough.

The law of such a vote is computed once, without knowing how often attempts are right: its coefficients make
success and the number of attempts differentiable polynomials in the chances of one attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import bdtr, gammaln

from ds3bayes.deferred import pt
from ds3bayes.theory._special import as_float
from ds3bayes.theory.votes import check_concentration, check_shares

# The dynamic programme goes over the ways in which wrong votes may agree: 215,000 for 40 attempts.
MOST_ATTEMPTS = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class StoppedVote:
    """Law of an early-stopping vote as coefficients of polynomials in the chances of one attempt.

    Term i stands for the runs that stop after ``right_votes[i]`` right, ``wrong_votes[i]`` wrong and
    ``blanks[i]`` blank attempts, c, w and b of them. With right, wrong and blank the chances of one attempt,
    its probability is stopped[i] right^c wrong^w blank^b; with chosen[i] in place of stopped[i], that of
    stopping there with the right answer.

    Parameters
    ----------
    n : int
        Largest number of attempts.
    confidence : float or None
        Posterior probability at which the vote stops; None: only when the leader cannot be caught.
    right_votes, wrong_votes, blanks : numpy.ndarray of int, shape (terms,)
        Attempts of each kind at the stop; their sum is the number of attempts made, 1..n.
    stopped : numpy.ndarray, shape (..., terms)
        Coefficients of stopping; the leading axes are those of the concentration, if there is one.
    chosen : numpy.ndarray, shape (..., terms)
        Coefficients of stopping with the right answer.
    """

    n: int
    confidence: float | None
    right_votes: np.ndarray
    wrong_votes: np.ndarray
    blanks: np.ndarray
    stopped: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Partitions:
    """The partitions of one number of wrong votes into groups of equal answers, and where they come from.

    Row i of ``sizes`` lists group sizes in falling order, padded by 0. A slot is one of its distinct sizes,
    ``joined[i, slot]``, of which there are ``times[i, slot]`` groups (0: no such slot). If the last vote joined
    such a group, the partition before was ``parents[i, slot]`` of one vote fewer, and there were
    ``ways[i, slot]`` groups to join. Without the whole group it is ``without[i, slot]`` of so many votes fewer.
    """

    sizes: np.ndarray
    joined: np.ndarray
    times: np.ndarray
    parents: np.ndarray
    ways: np.ndarray
    without: np.ndarray


@lru_cache(maxsize=2)
def _partitions(n: int) -> tuple[_Partitions, ...]:
    """Partitions of 0, 1, ..., n."""
    # k distinct sizes take at least k (k + 1) / 2 votes.
    slots = int((np.sqrt(8.0 * n + 1.0) - 1.0) / 2.0)
    layers: list[_Partitions] = []
    places: list[dict[tuple[int, ...], int]] = []
    for total in range(n + 1):
        place: dict[tuple[int, ...], int] = {} if total else {(): 0}
        for parts in places[-1] if total else ():
            # Either one of the last groups of a size grows, or a new group begins.
            for i, size in enumerate(parts):
                if i == 0 or parts[i - 1] > size:
                    place.setdefault((*parts[:i], size + 1, *parts[i + 1 :]), len(place))
            place.setdefault((*parts, 1), len(place))
        sizes = np.zeros((len(place), n), dtype=np.int16)
        links = np.zeros((len(place), slots, 5), dtype=np.int32)
        for row, parts in enumerate(place):
            sizes[row, : len(parts)] = parts
            slot = begin = 0
            while begin < len(parts):
                size, times = parts[begin], parts.count(parts[begin])
                end = begin + times
                rest = (*parts[:begin], *parts[begin + 1 :])
                parent = rest if size == 1 else (*parts[: end - 1], size - 1, *parts[end:])
                ways = 1 if size == 1 else 1 + parts.count(size - 1)
                links[row, slot] = size, times, places[-1][parent], ways, places[total - size][rest]
                slot, begin = slot + 1, end
        places.append(place)
        columns = (np.ascontiguousarray(links[:, :, i]) for i in range(5))
        names = ("joined", "times", "parents", "ways", "without")
        layers.append(_Partitions(sizes=sizes, **dict(zip(names, columns, strict=True))))
    return tuple(layers)


def _stop_from(n: int, votes: int, first: np.ndarray, second: np.ndarray, confidence: float | None) -> np.ndarray:
    """Fewest blanks with which the vote stops, given its two top counts; beyond n - votes it never stops."""
    # Stop if the lead exceeds the attempts that remain, n - votes - blanks.
    fewest = np.maximum(n - votes - (first - second) + 1, 0)
    # Without a lead the vote goes on to the last attempt.
    fewest = np.minimum(fewest, n - votes)
    if confidence is not None:
        # P(p_1 > p_2) = I_{1/2}(v_2 + 1, v_1 + 1), a binomial distribution function; rounding must not decide.
        sure = bdtr(first.astype(float), (first + second + 1).astype(int), 0.5) >= confidence - 1e-12
        fewest = np.where(sure, 0, fewest)
    return fewest


def _walk(
    n: int, confidence: float | None, basis: Callable[[int, _Partitions], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the sequences of attempts by where they stop, weighted by a ``basis`` of laws of the wrong answers.

    The chance of a sequence of wrong answers depends only on the sizes of the groups of equal answers, so it is
    enough to count, for each partition of the wrong votes, the sequences that reach it and stop there.
    ``basis`` gives for each partition of w the chance of one such sequence, shape (partitions, laws).

    Returns
    -------
    tuple of numpy.ndarray
        Terms (c, w, b), shape (terms, 3); coefficients of stopping and of being right, shape (laws, terms).
    """
    layers = _partitions(n)
    terms: list[np.ndarray] = []
    stopped: list[np.ndarray] = []
    chosen: list[np.ndarray] = []
    # Live sequences by number of right votes, for the present number of wrong votes: (partitions, blanks).
    before: list[np.ndarray] = []
    for w in range(n + 1):
        layer = layers[w]
        law = basis(w, layer)
        now: list[np.ndarray] = []
        for c in range(n - w + 1):
            votes = c + w
            room = n - votes
            arrived = np.zeros((layer.sizes.shape[0], room + 1))
            if votes == 0:
                # The start counts as an arrival.
                arrived[0, 0] = 1.0
            if c > 0:
                arrived += now[c - 1][:, : room + 1]
            if w > 0:
                source = before[c][:, : room + 1]
                for slot in range(layer.ways.shape[1]):
                    ways = layer.ways[:, slot]
                    if not ways.any():
                        break
                    arrived += ways[:, None] * source[layer.parents[:, slot]]
            largest = layer.sizes[:, 0].astype(int)
            runner_up = layer.sizes[:, 1].astype(int) if n > 1 else np.zeros_like(largest)
            first = np.maximum(largest, c)
            second = np.maximum(np.minimum(largest, c), runner_up)
            start = _stop_from(n, votes, first, second, confidence)[:, None]
            blanks = np.arange(room + 1)
            waiting = np.where(blanks < start, arrived, 0.0)
            # Blank attempts leave the votes as they are: sequences wait until the number of blanks stops them.
            live = np.cumsum(waiting, axis=1)
            final = np.where(blanks > start, arrived, 0.0)
            final += np.where(blanks == start, arrived + live[:, -1:], 0.0)
            now.append(np.where(blanks < start, live, 0.0))
            ties = (layer.sizes == c).sum(axis=1)
            wins = np.where((c > 0) & (largest <= c), 1.0 / (1.0 + ties), 0.0)
            everything = law.T @ final
            if everything.any():
                place = np.flatnonzero(everything.any(axis=0))
                terms.append(np.stack([np.full(place.size, c), np.full(place.size, w), place], axis=1))
                stopped.append(everything[:, place])
                chosen.append((law.T @ (wins[:, None] * final))[:, place])
        before = now
    return np.concatenate(terms), np.concatenate(stopped, axis=1), np.concatenate(chosen, axis=1)


def _check(n: int, confidence: float | None) -> None:
    if not 1 <= n <= MOST_ATTEMPTS:
        raise ValueError(f"n must lie in 1..{MOST_ATTEMPTS}, the largest vote whose states fit, got {n}")
    if confidence is not None and not 0.5 < confidence <= 1.0:
        raise ValueError(f"confidence must be None or lie in (0.5, 1], got {confidence}")


def _law(n: int, confidence: float | None, terms: np.ndarray, stopped: np.ndarray, chosen: np.ndarray) -> StoppedVote:
    arrays = [*terms.T, stopped, chosen]
    for array in arrays:
        array.flags.writeable = False
    right_votes, wrong_votes, blanks, stopped, chosen = arrays
    return StoppedVote(
        n=n,
        confidence=confidence,
        right_votes=right_votes,
        wrong_votes=wrong_votes,
        blanks=blanks,
        stopped=stopped,
        chosen=chosen,
    )


@lru_cache(maxsize=32)
def _stopped_fixed(n: int, confidence: float | None, shares: tuple[float, ...]) -> StoppedVote:
    layers = _partitions(n)
    # Chance that given wrong votes agree just as a partition says: answers are admitted one after another,
    # and a new answer belongs to no group or to one of the groups of some size.
    chances = [np.zeros(layer.sizes.shape[0]) for layer in layers]
    chances[0][0] = 1.0
    for share in shares:
        for w in range(n, 0, -1):
            layer = layers[w]
            for slot in range(layer.times.shape[1]):
                rows = np.flatnonzero(layer.times[:, slot])
                for size in np.unique(layer.joined[rows, slot]):
                    some = rows[layer.joined[rows, slot] == size]
                    gain = layer.times[some, slot] * share ** int(size)
                    chances[w][some] += gain * chances[w - size][layer.without[some, slot]]
    terms, stopped, chosen = _walk(n, confidence, lambda w, layer: chances[w][:, None])
    return _law(n, confidence, terms, stopped[0], chosen[0])


@lru_cache(maxsize=16)
def _partition_walk(n: int, confidence: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coefficients by number of groups k = 0..n, to be weighted by alpha^k / (alpha)_w."""

    def basis(w: int, layer: _Partitions) -> np.ndarray:
        groups = (layer.sizes > 0).sum(axis=1)
        inside = np.exp(gammaln(np.maximum(layer.sizes, 1).astype(float)).sum(axis=1))
        return np.where(groups[:, None] == np.arange(n + 1), inside[:, None], 0.0)

    return _walk(n, confidence, basis)


@lru_cache(maxsize=16)
def _stopped_partition(n: int, confidence: float | None, alpha: bytes, shape: tuple[int, ...]) -> StoppedVote:
    terms, stopped, chosen = _partition_walk(n, confidence)
    values = np.frombuffer(alpha)
    k = np.arange(n + 1)
    log_rising = np.zeros((values.size, n + 1))
    log_rising[:, 1:] = np.cumsum(np.log(values[:, None] + k[:-1]), axis=1)
    results = [np.zeros((values.size, terms.shape[0])) for _ in range(2)]
    for w in range(n + 1):
        place = np.flatnonzero(terms[:, 1] == w)
        chance = np.exp(np.log(values)[:, None] * k[: w + 1] - log_rising[:, w : w + 1])
        for result, coefficients in zip(results, (stopped, chosen), strict=True):
            result[:, place] = chance @ coefficients[: w + 1, place]
    return _law(n, confidence, terms, *(result.reshape(*shape, -1) for result in results))


def stopped_vote(n: int, wrong_shares: Sequence[float] | np.ndarray, *, confidence: float | None = None) -> StoppedVote:
    """Law of an early-stopping vote with fixed shares of the wrong answers.

    Attempts are drawn one after another, at most n. The vote stops as soon as the leading answer cannot be
    caught by the attempts that remain, that is, when its lead over the second exceeds their number. With
    ``confidence`` it also stops when the posterior probability that the leader is the more frequent of the
    top two answers reaches it: P(p_1 > p_2) = I_{1/2}(v_2 + 1, v_1 + 1), with v_1 >= v_2 the top two
    counts and a uniform prior. The leader is chosen, ties (possible only after n attempts) at random. An
    answer not seen yet counts as a rival with 0 votes. Attempts without an answer do not vote.

    Parameters
    ----------
    n : int
        Largest number of attempts, 1..40.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.
    confidence : float, optional
        In (0.5, 1]. None or 1: stop only when the vote is decided; its outcome is then that of the full
        plurality vote.

    Returns
    -------
    StoppedVote
        For `stopped_success`, `stopped_attempts` and `mean_stopped_attempts`. Results are cached, the arrays
        are read-only.

    Raises
    ------
    ValueError
        If n or the confidence is out of range or the shares are not a probability vector.

    References
    ----------
    Aggarwal et al. 2023, adaptive consistency, arXiv 2305.11860.
    """
    _check(n, confidence)
    return _stopped_fixed(n, confidence, check_shares(wrong_shares))


def stopped_vote_partition(n: int, concentration: Any, *, confidence: float | None = None) -> StoppedVote:
    """Law of an early-stopping vote when every task has its own GEM(alpha) shares of wrong answers.

    The rule is that of `stopped_vote`; wrong answers agree as in the Chinese restaurant process.

    Parameters
    ----------
    n : int
        Largest number of attempts, 1..40.
    concentration : array-like, shape (...)
        alpha > 0. Near 0 all wrong attempts agree; for large alpha no two of them do. Many values at once are
        cheap: the dynamic programme does not depend on them.
    confidence : float, optional
        In (0.5, 1]; None or 1: stop only when the vote is decided.

    Returns
    -------
    StoppedVote
        Its coefficients have the leading axes of ``concentration``.

    Raises
    ------
    ValueError
        If n or the confidence is out of range or a concentration is not a positive finite number.
    """
    _check(n, confidence)
    alpha = check_concentration(concentration)
    return _stopped_partition(n, confidence, alpha.tobytes(), alpha.shape)


def _powers(base: Any, count: int) -> Any:
    """base^0 .. base^count on a new trailing axis, with finite gradients at base = 0."""
    exponent = np.arange(count + 1, dtype=float)
    raised = pt.power(pt.expand_dims(base, -1), np.maximum(exponent, 1.0))
    return pt.switch(exponent == 0.0, 1.0, raised)


def _monomials(right: Any, wrong: Any, law: StoppedVote) -> Any:
    """right^c wrong^w blank^b for every term, on a new trailing axis."""
    right, wrong = as_float(right), as_float(wrong)
    by_right = _powers(right, law.n)[..., law.right_votes]
    by_wrong = _powers(wrong, law.n)[..., law.wrong_votes]
    return by_right * by_wrong * _powers(1.0 - (right + wrong), law.n)[..., law.blanks]


def stopped_success(right: Any, wrong: Any, law: StoppedVote) -> Any:
    """Probability that an early-stopping vote ends with the right answer.

    Parameters
    ----------
    right : tensor-like, shape (...)
        Probability in [0, 1] that one attempt is right.
    wrong : tensor-like, shape (...)
        Probability in [0, 1 - right] that one attempt is wrong; the rest gives no answer.
    law : StoppedVote
        From `stopped_vote` or `stopped_vote_partition`; leading axes of its coefficients broadcast against
        ``right``.

    Returns
    -------
    tensor, shape (...)
        A polynomial with non-negative terms, differentiable everywhere. Temporary arrays have one number per
        entry and term (at most 12,000 terms, for n = 40).
    """
    return (_monomials(right, wrong, law) * law.chosen).sum(axis=-1)


def stopped_attempts(right: Any, wrong: Any, law: StoppedVote) -> Any:
    """Probabilities that an early-stopping vote makes 1, ..., n attempts.

    Parameters
    ----------
    right : tensor-like, shape (...)
        Probability in [0, 1] that one attempt is right.
    wrong : tensor-like, shape (...)
        Probability in [0, 1 - right] that one attempt is wrong; the rest gives no answer.
    law : StoppedVote
        From `stopped_vote` or `stopped_vote_partition`; leading axes of its coefficients broadcast against
        ``right``.

    Returns
    -------
    tensor, shape (..., n)
        Sums to 1.
    """
    made = law.right_votes + law.wrong_votes + law.blanks
    by_attempts = (made[:, None] == np.arange(1, law.n + 1)).astype(float)
    return pt.dot(_monomials(right, wrong, law) * law.stopped, by_attempts)


def mean_stopped_attempts(right: Any, wrong: Any, law: StoppedVote) -> Any:
    """Expected number of attempts that an early-stopping vote makes, in [1, n].

    Parameters
    ----------
    right : tensor-like, shape (...)
        Probability in [0, 1] that one attempt is right.
    wrong : tensor-like, shape (...)
        Probability in [0, 1 - right] that one attempt is wrong; the rest gives no answer.
    law : StoppedVote
        From `stopped_vote` or `stopped_vote_partition`; leading axes of its coefficients broadcast against
        ``right``.

    Returns
    -------
    tensor, shape (...)
    """
    made = law.right_votes + law.wrong_votes + law.blanks
    return (_monomials(right, wrong, law) * (law.stopped * made)).sum(axis=-1)
