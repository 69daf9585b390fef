"""Votes: how often the right answer wins when the answers of n attempts are counted.

The weights w_c = P(the right answer wins | c right of n votes) depend on the law of the wrong answers only, so
they are computed once, outside a sampler; `ds3bayes.theory.selectors.bernstein` or, with attempts that give no
answer, `vote` turns them into a success probability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.fft import next_fast_len, rfft
from scipy.special import gammaincc, gammaln, hyp2f1, logit, ndtr, xlogy

from ds3bayes.deferred import pt
from ds3bayes.theory._special import as_float, binomial_terms, log_binomial

# Largest n of the weights under GEM shares: beyond it the scaled series would leave the range of doubles.
_MOST_PARTITION_VOTES = 1800
# Largest n of the weighted vote, whose distribution functions take n^2 times 1,000 numbers.
_MOST_WEIGHTED_VOTES = 128
# Nodes per panel of the law of the largest share.
_SHARE_NODES = 14
# Largest result, in numbers, that the caches keep.
_CACHED_SIZE = 200_000


def _check_votes(n: int) -> None:
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")


def check_shares(wrong_shares: Any) -> tuple[float, ...]:
    """Return the positive shares in falling order, scaled to sum to 1."""
    shares = np.asarray(wrong_shares, dtype=float)
    if shares.ndim != 1 or shares.size == 0 or not np.all(shares >= 0.0) or abs(shares.sum() - 1.0) > 1e-9:
        raise ValueError(f"wrong_shares must be non-negative and sum to 1, got {shares.tolist()}")
    shares = np.sort(shares[shares > 0.0])[::-1]
    return tuple((shares / shares.sum()).tolist())


def check_concentration(concentration: Any) -> np.ndarray:
    """Return the concentrations as an array of positive finite numbers."""
    alpha = np.asarray(concentration, dtype=float)
    if not np.all(np.isfinite(alpha) & (alpha > 0.0)):
        raise ValueError("concentration must be positive and finite")
    return alpha


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


# Plurality under fixed shares


def _stirling(k: np.ndarray) -> np.ndarray:
    """Log of k! e^k / k^k for k >= 1, without the cancellation of its terms."""
    series = 1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / (1188 * k**2)) / k**2) / k**2) / k**2
    large = 0.5 * np.log(2.0 * np.pi * k) + series / k
    return np.where(k < 20.0, gammaln(k + 1.0) - xlogy(k, k) + k, large)


def _tie_nodes(most: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre rule on [0, 1], exact for y^t up to t = ``most``, and to 1e-15 for t to 1000 when it is cut."""
    x, weight = np.polynomial.legendre.leggauss(min(most // 2 + 1, 80))
    return 0.5 * (x + 1.0), 0.5 * weight


def _full_share(c: int, rate: np.ndarray) -> np.ndarray:
    """P(Poisson(rate) = c | at most c), Erlang's loss formula; in the far tail by its series in c/rate."""
    below = gammaincc(c + 1.0, rate)
    plain = below > 1e-250
    safe = np.where(plain, rate, 1.0)
    direct = np.exp(xlogy(c, safe) - safe - gammaln(c + 1.0)) / np.where(plain, below, 1.0)
    k = np.arange(min(c, 80))
    series = 1.0 + np.cumprod((c - k) / np.where(plain, 1e300, rate)[..., None], axis=-1).sum(axis=-1)
    return np.where(plain, direct, 1.0 / series)


def _tilt(c: int, mean: float, shares: np.ndarray, copies: np.ndarray) -> tuple[float, float]:
    """Rate R at which Poisson(R share) counts, each at most c, sum to ``mean`` on average; and their variance."""
    low, high = 0.0, np.inf
    rate = max(mean, 1e-8)
    variance = rate
    for _ in range(200):
        rates = rate * shares
        full = _full_share(c, rates)
        means = rates * (1.0 - full)
        gap = float(copies @ means) - mean
        # Var = mean - rate full (c - mean), because E[k (k - 1)] = rate^2 (1 - full) - rate (c - 1) full.
        variance = float(copies @ np.maximum(means - rates * full * (c - means), 0.0))
        if gap > 0.0:
            high = rate
        else:
            low = rate
        # The tilt affects rounding only, so a coarse root is enough.
        if abs(gap) <= 1e-3 * (1.0 + np.sqrt(variance)):
            break
        step = rate * np.exp(np.clip(-gap / max(variance, 1e-300), -1.0, 1.0))
        inside = low < step < high
        rate = step if inside else (0.5 * (low + high) if np.isfinite(high) else 2.0 * rate)
    return rate, variance


def _plurality_part(c: int, sizes: np.ndarray, shares: np.ndarray, copies: np.ndarray, rate: float) -> np.ndarray:
    """w_c for each number of wrong votes in ``sizes``, all of which should lie near the tilted mean.

    Independent counts K_j ~ Poisson(R share_j) given K_j <= c have the generating function
    prod_j E[z^K_j]; its coefficient at z^w, found at roots of unity, times w! e^R R^-w prod_j P(K_j <= c) is the
    chance that w wrong votes have no count above c. With K_j = c weighted by y and y integrated over [0, 1], t
    ties get the weight 1/(t + 1).
    """
    rates = rate * shares
    # Answers too rare to reach c votes are as good as one Poisson count of their joint rate.
    rare = (rates < c) & (xlogy(c, rates) - rates - gammaln(c + 1.0) < -46.0 - np.log(copies.sum()))
    joint = float(copies[rare] @ rates[rare])
    rates, counts = rates[~rare], copies[~rare]
    below = gammaincc(c + 1.0, rates)
    k = np.arange(c + 1)
    # Logarithms relative to the mode, so that their rounding errors are common to all terms.
    log_mass = np.zeros((rates.size, c + 1))
    log_mass[:, 1:] = np.cumsum(np.log(rates[:, None] / k[1:]), axis=1)
    mode = np.minimum(np.floor(rates), c).astype(int)
    at_mode = log_mass[np.arange(rates.size), mode]
    mass = np.exp(log_mass - at_mode[:, None])
    total = mass.sum(axis=1)
    mass /= total[:, None]
    # log P(K <= c); where that underflows, log of exp(rate) P(K <= c), which the terms give.
    tiny = below < 1e-250
    log_below = np.where(tiny, at_mode + np.log(total), np.log(np.where(tiny, 1.0, below)))
    remaining = joint + float(counts[~tiny] @ rates[~tiny]) if tiny.any() else rate
    # Sums of such counts have lighter tails than a Poisson variable of the same mean: the coefficients that
    # share a residue modulo ``points`` with w are below 1e-20.
    largest = int(sizes.max())
    points = next_fast_len(min(int(11.0 * np.sqrt(largest)) + 40, int(copies.sum()) * c + 1), real=True)
    wraps = c // points + 1
    folded = np.zeros((rates.size, wraps * points))
    folded[:, : c + 1] = mass
    folded = folded.reshape(rates.size, wraps, points).sum(axis=1)
    spectrum = rfft(folded, axis=1)
    half = np.arange(points // 2 + 1)
    alone = bool(np.all(counts == 1))
    at_c = np.exp(-2j * np.pi * ((half * c) % points) / points)
    others = np.exp(joint * np.expm1(-2j * np.pi * half / points))
    average = np.zeros(half.size, dtype=complex)
    for node, weight in zip(*_tie_nodes(min(int(counts.sum()), largest // c)), strict=True):
        factors = spectrum - (1.0 - node) * mass[:, c, None] * at_c
        average += weight * np.prod(factors if alone else factors ** counts[:, None], axis=0)
    average *= others
    fold = np.where((half == 0) | (2 * half == points), 1.0, 2.0)
    phase = np.exp(2j * np.pi * ((half[None, :] * sizes[:, None]) % points) / points)
    chance = ((phase * average).real * fold).sum(axis=1) / points
    # w! e^R R^-w without cancellation: Stirling's remainder and w (x - log(1 + x)) with x = (R - w)/w. In the
    # exponential R is without the rates that log_below has already.
    relative = (remaining - sizes) / sizes - np.log1p((rate - sizes) / sizes)
    log_scale = _stirling(sizes) + sizes * relative
    return np.exp(log_scale + counts @ log_below) * chance


@lru_cache(maxsize=32)
def _plurality(n: int, shares: tuple[float, ...], every: bool) -> np.ndarray:
    """Weights [c] of n votes, or the table [v, c] for ``every`` number of votes v = 0..n."""
    distinct, copies = np.unique(np.asarray(shares), return_counts=True)
    answers = len(shares)
    result = np.tril(np.ones((n + 1, n + 1))) if every else np.ones(n + 1)
    result[..., 0] = 0.0
    for c in range(1, n // 2 + 1):
        # Fewer than c wrong votes never win or tie; more than c J cannot all stay at or below c.
        last = min(n - c, answers * c)
        if every:
            result[c + last + 1 :, c] = 0.0
            sizes = np.arange(c, last + 1)
            while sizes.size:
                # Away from the tilted mean digits are lost; within 2 standard deviations about one of them.
                mean = min(float(sizes[0]), answers * c - 0.5)
                rate, variance = _tilt(c, mean, distinct, copies)
                part = sizes[: 1 + int(2.0 * np.sqrt(variance))]
                result[part + c, c] = _plurality_part(c, part.astype(float), distinct, copies, rate)
                sizes = sizes[part.size :]
        elif n - c > last:
            result[c] = 0.0
        else:
            rate, _ = _tilt(c, min(float(n - c), answers * c - 0.5), distinct, copies)
            result[c] = _plurality_part(c, np.array([float(n - c)]), distinct, copies, rate)[0]
    return _frozen(result)


def plurality_weights(n: int, wrong_shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Selector weights of a plurality vote whose ties are broken at random.

    Each wrong attempt gives wrong answer j with probability ``wrong_shares[j]``. If c of n attempts are
    right, w_c = sum_t P(no wrong answer has more than c votes and exactly t have c) / (t + 1), w_0 = 0.

    Parameters
    ----------
    n : int
        Number of votes, at least 1.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1,), read-only (results are cached). Absolute error below 1e-12 for n up to 1000.

    Raises
    ------
    ValueError
        If n < 1 or the shares are not a probability vector.

    Notes
    -----
    Vote counts are made independent by letting them be Poisson; conditioning on their sum restores the
    multinomial law. The sum's law comes from its generating function at roots of unity, tilted so that the
    wanted sum is the mean, which keeps relative accuracy; ties are one integral over an auxiliary variable.
    """
    _check_votes(n)
    return _plurality(n, check_shares(wrong_shares), every=False)


def plurality_table(n: int, wrong_shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Plurality weights for every number of votes up to n, for attempts that may give no answer (see `vote`).

    Parameters
    ----------
    n : int
        Largest number of votes, at least 1.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1, n + 1), read-only: entry [v, c] is the probability that the right answer is chosen when
        c of v votes are right; 0 for c = 0 and for c > v. Row v >= 1 equals ``plurality_weights(v, ...)``.

    Raises
    ------
    ValueError
        If n < 1 or the shares are not a probability vector.
    """
    _check_votes(n)
    return _plurality(n, check_shares(wrong_shares), every=True)


# Plurality under GEM shares


def _partition_rows(n: int, alpha: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield c = 1..n and, for w = 0..n - c wrong votes, w_c of c + w votes, shape (alphas, n - c + 1).

    The series a_k = [z^k] exp(alpha sum_{j<c} z^j / j) grows with c by the factor exp(alpha z^c / c), all of
    whose terms are positive; the chance of groups smaller than c is a_k k! / (alpha)_k. z is scaled so that
    (alpha)_k / k! stays in range.
    """
    k = np.arange(n + 1)
    # log (alpha)_k / k! as sums of small terms, so that huge alpha loses no digits.
    rising = np.zeros((alpha.size, n + 1))
    rising[:, 1:] = np.cumsum(np.log((alpha[:, None] + k[:-1]) / k[1:]), axis=1)
    scale = rising[:, -1] / n
    # Half of the largest excess over the scaled line goes into the start, so that neither end underflows.
    lift = 0.5 * np.max(rising - scale[:, None] * k, axis=1)
    series = np.zeros((alpha.size, n + 1))
    series[:, 0] = np.exp(-lift)
    norm = np.exp(scale[:, None] * k - rising + lift[:, None])
    for c in range(1, n + 1):
        last = n - c
        step = alpha / c * np.exp(-scale * c)
        kept = np.zeros((alpha.size, last + 1))
        following = series[:, : last + 1].copy()
        kept += following
        weight = np.ones(alpha.size)
        for t in range(1, last // c + 1):
            weight = weight * step / t
            part = weight[:, None] * series[:, : last + 1 - c * t]
            following[:, c * t :] += part
            kept[:, c * t :] += part / (t + 1.0)
        kept *= norm[:, : last + 1]
        # Fewer than c wrong votes never win or tie.
        kept[:, :c] = 1.0
        yield c, kept
        series = following


def _partition(n: int, alpha: np.ndarray, every: bool) -> np.ndarray:
    """Weights (..., c), or the table (..., v, c) for ``every`` number of votes, under GEM(alpha) shares."""
    flat = alpha.reshape(-1)
    result = np.zeros((flat.size, n + 1, n + 1) if every else (flat.size, n + 1))
    rows = max(1, 50_000 // (n + 1))
    for begin in range(0, flat.size, rows):
        block = slice(begin, begin + rows)
        for c, kept in _partition_rows(n, flat[block]):
            if every:
                result[block, np.arange(c, n + 1), c] = kept
            else:
                result[block, c] = kept[:, -1]
    return _frozen(result.reshape(alpha.shape + result.shape[1:]))


@lru_cache(maxsize=16)
def _partition_cached(n: int, alpha: bytes, shape: tuple[int, ...], every: bool) -> np.ndarray:
    return _partition(n, np.frombuffer(alpha).reshape(shape), every)


def _partition_result(n: int, concentration: Any, every: bool) -> np.ndarray:
    alpha = check_concentration(concentration)
    _check_votes(n)
    if n > _MOST_PARTITION_VOTES:
        raise ValueError(f"n must be at most {_MOST_PARTITION_VOTES} when shares are random, got {n}")
    if alpha.size * (n + 1) ** (1 + every) > _CACHED_SIZE:
        return _partition(n, alpha, every)
    return _partition_cached(n, alpha.tobytes(), alpha.shape, every)


def plurality_weights_partition(n: int, concentration: Any) -> np.ndarray:
    """Selector weights of a plurality vote when every task has its own random shares of wrong answers.

    The shares are stick-breaking, GEM(alpha): w wrong attempts fall into groups of equal answers by the
    Chinese restaurant process with concentration alpha (Ewens' sampling formula). If c of n attempts are
    right, w_c = sum_t 1/(t+1) P(no group of the n - c wrong answers is larger than c and exactly t groups
    have size c); with w = n - c and rising factorial (alpha)_w that probability is
    w!/(alpha)_w [z^w] exp(alpha sum_{j<c} z^j/j) (alpha z^c/c)^t / t!.

    Parameters
    ----------
    n : int
        Number of votes, 1..1800.
    concentration : array-like, shape (...)
        alpha > 0. Near 0 all wrong attempts agree; for large alpha no two of them do.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1), read-only, w_0 = 0 and w_n = 1. Relative error of about 1e-12, up to 1e-10 for alpha
        above 1e9.

    Raises
    ------
    ValueError
        If n is out of range or a concentration is not a positive finite number.
    """
    return _partition_result(n, concentration, every=False)


def plurality_table_partition(n: int, concentration: Any) -> np.ndarray:
    """Plurality weights under GEM(alpha) shares for every number of votes up to n (see `vote`).

    Parameters
    ----------
    n : int
        Largest number of votes, 1..1800.
    concentration : array-like, shape (...)
        alpha > 0, as for `plurality_weights_partition`.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1, n + 1), read-only: entry [..., v, c] is the probability that the right answer is
        chosen when c of v votes are right; 0 for c = 0 and for c > v. The table takes (n + 1)^2 numbers per
        concentration.

    Raises
    ------
    ValueError
        If n is out of range or a concentration is not a positive finite number.
    """
    return _partition_result(n, concentration, every=True)


# Attempts without an answer


def _answered_terms(most: int, no_answer: np.ndarray) -> np.ndarray:
    """P(u of ``most`` attempts answer), u = 0..most, each giving no answer with probability (...): (..., most + 1)."""
    u = np.arange(most + 1.0)
    log_count = gammaln(most + 1.0) - gammaln(u + 1.0) - gammaln(most - u + 1.0)
    blank = no_answer[..., None]
    return np.exp(log_count + xlogy(u, 1.0 - blank) + xlogy(most - u, blank))


def answered_plurality_weights(n: int, wrong_shares: Sequence[float] | np.ndarray, no_answer: Any) -> np.ndarray:
    """Plurality weights of n attempts of which those that are not right may give no answer.

    An attempt that is not right gives no answer, and so no vote, with probability b. If c of n attempts are right,
    w_c = sum_u Bin(u; n - c, 1 - b) table[c + u, c], with the table of `plurality_table`: for a law of blanks that does
    not depend on a task's success, `ds3bayes.theory.selectors.bernstein` of these weights is `vote`.

    Parameters
    ----------
    n : int
        Number of attempts, at least 1.
    wrong_shares : array-like, shape (J,)
        As for `plurality_weights`, of the attempts that answer wrong.
    no_answer : array-like, shape (...)
        b in [0, 1].

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1), w_0 = 0 and w_n = 1.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return answered_weights(plurality_table(n, wrong_shares), no_answer)


def answered_weights(table: np.ndarray, no_answer: Any) -> np.ndarray:
    """Weights of n attempts, of which those that are not right may give no answer, by the weights of fewer votes.

    Parameters
    ----------
    table : array, shape (..., n + 1, n + 1)
        As `weighted_vote_table` or `plurality_table` return it: entry [v, c] for c right ones of v votes.
    no_answer : array-like, shape (...)
        b in [0, 1]; broadcasts against the leading axes of ``table``.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1), as `answered_plurality_weights`.

    Raises
    ------
    ValueError
        If a probability is out of range.
    """
    blank = check_no_answer(no_answer)
    n = table.shape[-1] - 1
    result = np.zeros((*np.broadcast_shapes(blank.shape, table.shape[:-2]), n + 1))
    for c in range(1, n + 1):
        result[..., c] = (_answered_terms(n - c, blank) * table[..., c:, c]).sum(axis=-1)
    return result


def answered_plurality_weights_partition(n: int, concentration: Any, no_answer: Any) -> np.ndarray:
    """As `answered_plurality_weights` if every task has its own random shares of wrong answers, GEM(alpha).

    Parameters
    ----------
    n : int
        Number of attempts, 1..1800.
    concentration : array-like, shape (...)
        alpha > 0, as for `plurality_weights_partition`.
    no_answer : array-like
        b in [0, 1]; broadcasts against ``concentration``.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1).

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    alpha, blank = np.broadcast_arrays(check_concentration(concentration), check_no_answer(no_answer))
    _check_votes(n)
    if n > _MOST_PARTITION_VOTES:
        raise ValueError(f"n must be at most {_MOST_PARTITION_VOTES} when shares are random, got {n}")
    flat, blanks = alpha.reshape(-1), blank.reshape(-1)
    result = np.zeros((flat.size, n + 1))
    rows = max(1, 50_000 // (n + 1))
    for begin in range(0, flat.size, rows):
        block = slice(begin, begin + rows)
        for c, kept in _partition_rows(n, flat[block]):
            result[block, c] = (_answered_terms(n - c, blanks[block]) * kept).sum(axis=-1)
    return result.reshape(*alpha.shape, n + 1)


def check_no_answer(no_answer: Any) -> np.ndarray:
    """Return shares of attempts without an answer as an array of numbers in [0, 1]."""
    blank = np.asarray(no_answer, dtype=float)
    if not np.all((blank >= 0.0) & (blank <= 1.0)):
        raise ValueError("no_answer must be in [0, 1]")
    return blank


def vote(right: Any, wrong: Any, table: Any) -> Any:
    """Success of a vote among n attempts of which some may give no answer.

    An attempt is right with probability q, wrong with probability u and blank otherwise (truncated, say);
    blanks do not vote. A = sum over v, c of Bin(v; n, q + u) Bin(c; v, q / (q + u)) table[v, c]. Without blanks
    this is `ds3bayes.theory.selectors.bernstein` with the weights table[n].

    Parameters
    ----------
    right : tensor-like, shape (...)
        Probability q in [0, 1].
    wrong : tensor-like, shape (...)
        Probability u in [0, 1 - q]; broadcasts against ``right``.
    table : array-like or tensor, shape (..., n + 1, n + 1)
        Entry [v, c]: the probability that the chosen answer is right when c of v answers are right, as from
        `plurality_table`; row 0 and entries with c > v are not used (with no answer there is no success).
        n >= 1.

    Returns
    -------
    tensor, shape (...)
        0 if all attempts are blank. Differentiable in ``right``, ``wrong`` and ``table``, with exact
        gradients where right, wrong or the chance of a blank is 0. Costs (n + 1)^2 terms per entry: with
        `ds3bayes.theory.evaluate.evaluate` use ``core=(0, 0, 2)`` and a ``block`` of about 4e6 / (n + 1)^2.
    """
    right, wrong, table = as_float(right), as_float(wrong), as_float(table)
    size = table.type.shape[-1]
    counts = pt.arange(table.shape[-1], dtype="float64") if size is None else np.arange(size, dtype=float)
    n = counts[-1]
    answered = right + wrong
    some = pt.gt(answered, 0.0)

    # Success given v answers, on a trailing axis.
    p = pt.expand_dims(right / pt.switch(some, answered, 1.0), -1)
    inside = pt.and_(pt.gt(p, 0.0), pt.lt(p, 1.0))
    v, c = counts[:, None], counts[None, :]
    log_count = log_binomial(v, c)
    safe = pt.expand_dims(pt.switch(inside, p, 0.5), -1)
    body = (binomial_terms(c, v, safe, log_count) * table).sum(axis=-1)
    # First-order expansions at both ends, so that value and gradient are exact there.
    none, full = table[..., 0], pt.diagonal(table, axis1=-2, axis2=-1)
    one_less = pt.diagonal(table, offset=-1, axis1=-2, axis2=-1)
    one_less = pt.concatenate([pt.zeros_like(full[..., :1]), one_less], axis=-1)
    at_zero = none + counts * (table[..., 1] - none) * p
    at_one = full + counts * (full - one_less) * (p - 1.0)
    edge = pt.switch(pt.eq(p, 0.0), at_zero, pt.switch(pt.eq(p, 1.0), at_one, np.nan))
    chosen = pt.switch(pt.eq(counts, 0.0), 0.0, pt.switch(inside, body, edge))

    # The same over the number of answers.
    inside = pt.and_(some, pt.lt(answered, 1.0))
    safe = pt.expand_dims(pt.switch(inside, answered, 0.5), -1)
    body = (binomial_terms(counts, n, safe, log_binomial(n, counts)) * chosen).sum(axis=-1)
    at_zero = n * (table[..., 1, 0] * wrong + table[..., 1, 1] * right)
    at_one = chosen[..., -1] + n * (chosen[..., -1] - chosen[..., -2]) * (answered - 1.0)
    edge = pt.switch(some, pt.switch(pt.eq(answered, 1.0), at_one, np.nan), at_zero)
    return pt.switch(inside, body, edge)


# Weighted vote

# Below this discrimination the weights are interpolated linearly from the plurality's.
_FAINT = 1e-4
# From here on a wrong vote exceeds a right one with probability below 1e-40.
_CERTAIN = 20.0
# Smallest panel of the grid. Scores that a vote this close to 0 or 1 needs are rarer than 1e-11.
_FINEST = 2.0**-34


def _lobatto(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Lobatto nodes and weights on [-1, 1], barycentric weights, and the differentiation matrix."""
    top = np.zeros(size)
    top[-1] = 1.0
    inner = np.sort(np.polynomial.legendre.legroots(np.polynomial.legendre.legder(top)).real)
    x = np.concatenate([[-1.0], inner, [1.0]])
    weight = 2.0 / (size * (size - 1) * np.polynomial.legendre.legval(x, top) ** 2)
    gaps = x[:, None] - x[None, :] + np.eye(size)
    barycentric = 1.0 / np.prod(gaps, axis=1)
    derivative = barycentric[None, :] / barycentric[:, None] / gaps
    np.fill_diagonal(derivative, 0.0)
    np.fill_diagonal(derivative, -derivative.sum(axis=1))
    return x, weight, barycentric / np.abs(barycentric).max(), derivative


def _panels(d: float) -> np.ndarray:
    """Edges of panels of [0, 1], dyadically refined where sums of votes have their features.

    Those are the whole numbers, near which a sum may lie because its votes are near 0 or 1, and for small d
    also the halves, near which every vote is 1/2.
    """
    finest = max(_FINEST, min(d / 16.0, np.exp(-9.0 * d - 0.5 * d * d)))
    ladder = 0.25 * 0.5 ** np.arange(1, int(np.ceil(np.log2(0.25 / finest))) + 1)
    middle = 0.25 * 0.5 ** np.arange(1, max(0, int(np.ceil(np.log2(4.0 / d)))) + 1)
    lower = np.sort(np.concatenate([[0.0, 0.25, 0.5], ladder, 0.5 - middle]))
    return np.concatenate([lower, 1.0 - lower[-2::-1]])


@lru_cache(maxsize=4)
def _wrong_sums(n: int, d: float) -> tuple[np.ndarray, np.ndarray]:
    """Distribution functions F_k of the sum of k = 0..n wrong votes, and the law of the sum of c right votes.

    Returns F with shape (n + 1, nodes) and masses with shape (n + 1, nodes), so that the expectation of a
    function of the sum of c right votes is the product of row c with its values at the nodes. The nodes are
    those of the panels of [0, 1], repeated in every unit interval [j, j + 1], j < n.
    """
    edges = _panels(d)
    size = _panel_size(d)
    _, x_weight, _, derivative = _lobatto(size)
    one, same, before = _one_more_wrong(d)
    sums = np.ones((n + 1, n, one.size))
    sums[1, 0] = one
    for k in range(2, n + 1):
        sums[k, :k] = sums[k - 1, :k] @ same.T
        sums[k, 1:k] += sums[k - 1, : k - 1] @ before.T
    masses = np.zeros((n + 1, n, edges.size - 1, size))
    spread = x_weight[:, None] * derivative
    for c in range(1, n + 1):
        # The sum of c right votes is c less the sum of c wrong ones.
        upper = 1.0 - sums[c, :c][::-1, ::-1]
        masses[c, :c] = upper.reshape(c, edges.size - 1, size) @ spread.T
    return _frozen(sums.reshape(n + 1, -1)), _frozen(masses.reshape(n + 1, -1))


def _panel_size(d: float) -> int:
    return 16 if d < 2.0 else 10


# All numbers of votes share it, and a posterior's discriminations are tabulated at some dozen.
@lru_cache(maxsize=64)
def _one_more_wrong(d: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distribution function F_1 of a wrong vote at the nodes, and what one more makes of F_{k-1}.

    F_k in a unit interval is linear in F_{k-1} there (vote below the node's place) and one interval before: returns the
    two matrices after F_1.
    """
    edges = _panels(d)
    size = _panel_size(d)
    x, _, barycentric, _ = _lobatto(size)
    half = 0.5 * np.diff(edges)
    nodes = np.minimum(edges[:-1, None] + half[:, None] * (x + 1.0), edges[1:, None]).reshape(-1)
    total = nodes.size

    def below(v: np.ndarray) -> np.ndarray:
        inside = (v > 0.0) & (v < 1.0)
        return np.where(inside, ndtr((logit(np.where(inside, v, 0.5)) + 0.5 * d * d) / d), v >= 1.0)

    gauss, gauss_weight = np.polynomial.legendre.leggauss(12)
    same, before = np.zeros((total, total)), np.zeros((total, total))
    for i, place in enumerate(nodes):
        cuts = np.concatenate([edges, place - edges, 1.0 + place - edges])
        cuts = np.unique(cuts[(cuts >= 0.0) & (cuts <= 1.0)])
        mass = np.diff(below(cuts))
        used = mass > 1e-22
        low, width, mass = cuts[:-1][used], np.diff(cuts)[used], mass[used]
        v = low[:, None] + 0.5 * width[:, None] * (gauss + 1.0)
        score = (logit(v) + 0.5 * d * d) / d
        density = np.exp(-0.5 * score * score) / (v * (1.0 - v)) * gauss_weight
        # Each cut gets its exact mass; the quadrature only spreads it.
        chance = (density * (mass / density.sum(axis=1))[:, None]).reshape(-1)
        for matrix, rest in ((same, place - v), (before, 1.0 + place - v)):
            inside = ((place - low - 0.5 * width > 0.0) == (matrix is same)).repeat(gauss.size)
            rest = np.clip(rest.reshape(-1)[inside], 0.0, 1.0)
            panel = np.clip(np.searchsorted(edges, rest, side="right") - 1, 0, half.size - 1)
            gap = (rest - edges[panel])[:, None] / half[panel][:, None] - 1.0 - x
            gap = np.where(gap == 0.0, 1e-30, gap)
            basis = barycentric / gap
            basis *= (chance[inside] / basis.sum(axis=1))[:, None]
            index = panel[:, None] * size + np.arange(size)
            matrix[i] = np.bincount(index.reshape(-1), weights=basis.reshape(-1), minlength=total)

    return _frozen(below(nodes)), _frozen(same), _frozen(before)


def _fixed_series(sums: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Chance that no answer's sum exceeds the node's place, by number of wrong votes and node, fixed shares."""
    n = sums.shape[0] - 1
    k = np.arange(n + 1)
    # Counts are Poisson with mean n / e in total; the division at the end conditions on their sum.
    rate = n / np.e

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        result = left[0] * right
        for i in range(1, n + 1):
            result[i:] += left[i] * right[: n + 1 - i]
        return result

    result: np.ndarray | None = None
    for share, copies in zip(*np.unique(np.asarray(shares), return_counts=True), strict=True):
        mean = rate * share
        power = np.exp(xlogy(k, mean) - mean - gammaln(k + 1.0))[:, None] * sums
        while copies:
            if copies % 2:
                result = power if result is None else product(result, power)
            copies //= 2
            if copies:
                power = product(power, power)
    assert result is not None
    return result * np.exp(rate + gammaln(k + 1.0) - k * np.log(rate))[:, None]


def _partition_series(sums: np.ndarray, alpha: float) -> np.ndarray:
    """Chance that no group's sum exceeds the node's place, by number of wrong votes and node, GEM shares."""
    n = sums.shape[0] - 1
    result = np.ones_like(sums)
    # (alpha)_k / k! in ratios: the group of a given vote has size j among k with chance own[j - 1].
    k = np.arange(1, n + 1)
    rising = np.concatenate([[0.0], np.cumsum(np.log((alpha + k - 1.0) / k))])
    for size in range(1, n + 1):
        own = np.exp(np.log(alpha / size) + rising[size - 1 :: -1] - rising[size])
        result[size] = np.einsum("j,jx,jx->x", own, sums[1 : size + 1], result[size - 1 :: -1])
    return result


def _weighted(n: int, d: float, series: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Table [v, c] of a weighted vote with 0 < d < inf."""
    sums, masses = _wrong_sums(n, d)
    used = np.flatnonzero(np.abs(masses[1:]).max(axis=0) > 1e-15)
    table = np.zeros((n + 1, n + 1))
    for begin in range(0, used.size, 2000):
        nodes = used[begin : begin + 2000]
        by_wrong = masses[1:, nodes] @ series(sums[:, nodes]).T
        for c in range(1, n + 1):
            table[c:, c] += by_wrong[c - 1, : n + 1 - c]
    return table


def _weighted_table(
    n: int, discrimination: float, plain: Callable[[], np.ndarray], series: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    d = float(discrimination)
    if d == 0.0:
        return plain()
    if d >= _CERTAIN:
        table = np.tril(np.ones((n + 1, n + 1)))
        table[:, 0] = 0.0
        return table
    if d < _FAINT:
        return plain() + d / _FAINT * (_weighted(n, _FAINT, series) - plain())
    return _weighted(n, d, series)


@lru_cache(maxsize=64)
def _weighted_fixed(n: int, discrimination: float, shares: tuple[float, ...]) -> np.ndarray:
    def plain() -> np.ndarray:
        return _plurality(n, shares, every=True)

    return _frozen(_weighted_table(n, discrimination, plain, lambda sums: _fixed_series(sums, shares)))


@lru_cache(maxsize=256)
def _weighted_partition(n: int, discrimination: float, alpha: float) -> np.ndarray:
    def plain() -> np.ndarray:
        return plurality_table_partition(n, alpha)

    return _frozen(_weighted_table(n, discrimination, plain, lambda sums: _partition_series(sums, alpha)))


def _check_weighted(n: int, discrimination: float) -> float:
    _check_votes(n)
    if n > _MOST_WEIGHTED_VOTES:
        raise ValueError(f"n must be at most {_MOST_WEIGHTED_VOTES} for a weighted vote, got {n}")
    d = float(discrimination)
    if not d >= 0.0:
        raise ValueError(f"discrimination must be a number of at least 0, may be inf, got {discrimination}")
    return d


def weighted_vote_table(n: int, discrimination: float, wrong_shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Weights of a weighted vote (weighted best-of-n) for every number of votes up to n (see `vote`).

    The answer with the largest sum of vote weights is chosen. A vote with verifier score s, which is N(d, 1) if
    the attempt is right and N(0, 1) if it is wrong, has the weight 1 / (1 + exp(d^2 / 2 - d s)), the
    probability of being right when both are equally likely beforehand. d = 0 is the plurality vote, ties
    broken at random; d = inf an oracle.

    Parameters
    ----------
    n : int
        Largest number of votes, 1..128.
    discrimination : float
        d >= 0, in standard deviations of the scores; may be inf.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1, n + 1), read-only (results are cached): entry [v, c] is the probability that the right
        answer is chosen when c of v votes are right; 0 for c = 0 and for c > v. Absolute error below 1e-8.

    Raises
    ------
    ValueError
        If n or d is out of range or the shares are not a probability vector.

    Notes
    -----
    Let F_k be the distribution function of the sum of k wrong votes, a convolution computed by Gauss
    quadrature on panels refined towards whole numbers and, for small d, halves. Given the sum x of the right
    votes, the right answer wins against w wrong votes with probability
    w! [z^w] prod_j sum_k (share_j z)^k F_k(x) / k!, which is averaged over x. A vote within 6e-11 of 0 or 1
    counts as if it were there.
    """
    d = _check_weighted(n, discrimination)
    return _weighted_fixed(n, d, check_shares(wrong_shares))


def weighted_vote_weights(n: int, discrimination: float, wrong_shares: Sequence[float] | np.ndarray) -> np.ndarray:
    """Selector weights of a weighted vote (weighted best-of-n), the last row of `weighted_vote_table`.

    Parameters
    ----------
    n : int
        Number of votes, 1..128.
    discrimination : float
        Separation d >= 0 of the scores of right and wrong attempts, in standard deviations; 0 is the plurality
        vote, inf an oracle.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.

    Returns
    -------
    numpy.ndarray
        Shape (n + 1,), read-only: w_c, the probability that the right answer is chosen when c of n attempts
        are right.

    Raises
    ------
    ValueError
        If n or d is out of range or the shares are not a probability vector.
    """
    return weighted_vote_table(n, discrimination, wrong_shares)[n]


def weighted_vote_table_partition(n: int, discrimination: float, concentration: Any) -> np.ndarray:
    """Weights of a weighted vote under GEM(alpha) shares for every number of votes up to n (see `vote`).

    The vote is that of `weighted_vote_table`; every task has its own shares of wrong answers, as in
    `plurality_weights_partition`. Given the sum x of the right votes, the right answer wins against w wrong
    votes with probability w!/(alpha)_w [z^w] exp(alpha sum_j z^j F_j(x) / j).

    Parameters
    ----------
    n : int
        Largest number of votes, 1..128.
    discrimination : float
        Separation d >= 0 of the scores of right and wrong attempts, in standard deviations; may be inf.
    concentration : array-like, shape (...)
        alpha > 0. Every distinct value costs about a second at n = 64.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1, n + 1), read-only; entries as in `weighted_vote_table`.

    Raises
    ------
    ValueError
        If n or d is out of range or a concentration is not a positive finite number.
    """
    d = _check_weighted(n, discrimination)
    alpha = check_concentration(concentration)
    distinct, place = np.unique(alpha, return_inverse=True)
    tables = [_weighted_partition(n, d, float(value)) for value in distinct]
    stacked = np.stack(tables) if tables else np.zeros((0, n + 1, n + 1))
    return _frozen(stacked[place.reshape(alpha.shape)])


def weighted_vote_weights_partition(n: int, discrimination: float, concentration: Any) -> np.ndarray:
    """Selector weights of a weighted vote under GEM(alpha) shares, rows of `weighted_vote_table_partition`.

    Parameters
    ----------
    n : int
        Number of votes, 1..128.
    discrimination : float
        Separation d >= 0 of the scores of right and wrong attempts, in standard deviations; 0 is the plurality
        vote, inf an oracle.
    concentration : array-like, shape (...)
        alpha > 0. Every distinct value costs about a second at n = 64.

    Returns
    -------
    numpy.ndarray
        Shape (..., n + 1), read-only.

    Raises
    ------
    ValueError
        If n or d is out of range or a concentration is not a positive finite number.
    """
    return weighted_vote_table_partition(n, discrimination, concentration)[..., n, :]


# Limits of many votes


def plurality_limit(q: Any, wrong_shares: Sequence[float] | np.ndarray) -> Any:
    """Success of a plurality vote as the number of votes grows without bound.

    With c_1 the largest share among wrong attempts, the limit is 1 if q > (1 - q) c_1 and 0 if q is below. At
    equality right and t wrong answers compete on even terms (t shares equal c_1 within 1e-12, and q equals
    c_1 / (1 + c_1) within 1e-12): 1 / (t + 1).

    Parameters
    ----------
    q : tensor-like
        Probability in [0, 1] that one attempt is right.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.

    Returns
    -------
    tensor
        In the shape of ``q``; a step function, with gradient 0.

    Raises
    ------
    ValueError
        If the shares are not a probability vector.
    """
    shares = np.array(check_shares(wrong_shares))
    edge = shares[0] / (1.0 + shares[0])
    ties = int((shares >= shares[0] - 1e-12).sum())
    q = as_float(q)
    at_edge = pt.le(pt.abs(q - edge), 1e-12)
    return pt.switch(at_edge, 1.0 / (ties + 1.0), pt.switch(pt.gt(q, edge), 1.0, 0.0))


def plurality_limit_beta(a: Any, b: Any, wrong_shares: Sequence[float] | np.ndarray, reachable: Any = 1.0) -> Any:
    """Success of an endless plurality vote, averaged over tasks whose q is Beta(a, b) or 0.

    A [1 - I_x(a, b)] with x = c_1 / (1 + c_1), c_1 the largest share among wrong attempts and A the share of
    tasks that are not hopeless. Coverage tends to A: the gap between the two is A I_x(a, b).

    Parameters
    ----------
    a, b : tensor-like
        Parameters > 0 of the law of q.
    wrong_shares : array-like, shape (J,)
        Non-negative shares of the J >= 1 wrong answers, summing to 1 within 1e-9.
    reachable : tensor-like, default 1
        Share A in [0, 1] of tasks with q > 0.

    Returns
    -------
    tensor
        In the broadcast shape.

    Raises
    ------
    ValueError
        If the shares are not a probability vector.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.
    """
    top = check_shares(wrong_shares)[0]
    # I_{1-x}(b, a) = 1 - I_x(a, b) without cancellation.
    return as_float(reachable) * pt.betainc(as_float(b), as_float(a), 1.0 / (1.0 + top))


@lru_cache(maxsize=256)
def _largest_share_law(alpha: float) -> np.ndarray:
    """P(largest share <= 1/t) at the nodes of the panels of t in [1, 2], [2, 3], ..., until it vanishes."""
    x, _, _, derivative = _lobatto(_SHARE_NODES)
    # Integrals from the left end of a panel to its nodes: the inverse of differentiation.
    integral = np.linalg.inv(derivative[1:, 1:])
    edges = _share_edges()
    half = 0.5 * np.diff(edges)
    place = edges[:-1, None] + half[:, None] * (x + 1.0)
    beyond = place / (1.0 + place)
    rows = [1.0 - beyond**alpha * hyp2f1(alpha, 1.0, alpha + 1.0, beyond)]
    # Rounding errors of about 1e-15 remain: below 1e-13 the law counts as 0.
    while rows[-1][0, 0] > 1e-13:
        t = place + (len(rows) + 1.0)
        slope = -alpha / (t - 1.0) * np.exp(alpha * np.log1p(-1.0 / t)) * rows[-1]
        rise = np.zeros_like(slope)
        # The value at the left end is an unknown of the differentiation matrix; a constant is added for it.
        rise[:, 1:] = (slope[:, 1:] * half[:, None]) @ integral.T
        start = rows[-1][-1, -1] + np.concatenate([[0.0], np.cumsum(rise[:-1, -1])])
        rows.append(start[:, None] + rise)
    return _frozen(np.stack(rows))


def _share_edges() -> np.ndarray:
    # After a whole number k >= 2 the law behaves like (t - k)^(alpha + k - 2): panels shrink towards it.
    return np.concatenate([[0.0], 0.5 ** np.arange(40.0, -1.0, -1.0)])


def largest_share_cdf(x: Any, concentration: Any) -> np.ndarray:
    """Probability that the largest of GEM(alpha) shares is at most x (Poisson-Dirichlet law).

    With G(t) = P(L_1 <= 1/t): G = 1 for t <= 1, and G'(t) = -alpha t^-alpha (t - 1)^(alpha - 1) G(t - 1). For
    alpha = 1, G is Dickman's function.

    Parameters
    ----------
    x : array-like
        Share, >= 0.
    concentration : array-like
        alpha > 0, broadcasts against ``x``; each distinct value needs its own solution (milliseconds; longer
        in proportion to alpha above 100).

    Returns
    -------
    numpy.ndarray
        In the broadcast shape, absolute error below 1e-11.

    Raises
    ------
    ValueError
        If a concentration is not a positive finite number or a share is negative or not a number.

    References
    ----------
    Arratia, Barbour, Tavare 2003, Logarithmic Combinatorial Structures, section 4.7.
    """
    share, alpha = np.broadcast_arrays(np.asarray(x, dtype=float), check_concentration(concentration))
    if not np.all(share >= 0.0):
        raise ValueError("x must be a share of at least 0")
    result = np.where(share >= 1.0, 1.0, 0.0)
    nodes, _, barycentric, _ = _lobatto(_SHARE_NODES)
    edges = _share_edges()
    half = 0.5 * np.diff(edges)
    for value in np.unique(alpha):
        law = _largest_share_law(float(value))
        asked = (alpha == value) & (share < 1.0) & (share * (law.shape[0] + 1.0) > 1.0)
        t = 1.0 / share[asked]
        unit = np.minimum(np.floor(t).astype(int) - 1, law.shape[0] - 1)
        rest = t - 1.0 - unit
        panel = np.clip(np.searchsorted(edges, rest, side="right") - 1, 0, half.size - 1)
        gap = ((rest - edges[panel]) / half[panel])[:, None] - 1.0 - nodes
        gap = np.where(gap == 0.0, 1e-30, gap)
        basis = barycentric / gap
        result[asked] = (basis * law[unit, panel]).sum(axis=1) / basis.sum(axis=1)
    return result


def plurality_limit_partition(q: Any, concentration: Any) -> np.ndarray:
    """Success of an endless plurality vote when every task has its own GEM(alpha) shares of wrong answers.

    The right answer wins if q > (1 - q) L_1 with L_1 the task's largest share: P(L_1 <= q / (1 - q)), which is 1
    for q >= 1/2 and below that less than the limit 1 of coverage.

    Parameters
    ----------
    q : array-like
        Probability in [0, 1] that one attempt is right.
    concentration : array-like
        alpha > 0, broadcasts against ``q``.

    Returns
    -------
    numpy.ndarray
        In the broadcast shape, absolute error below 1e-11.

    Raises
    ------
    ValueError
        If a concentration is not a positive finite number or q is outside [0, 1].
    """
    chance = np.asarray(q, dtype=float)
    if not np.all((chance >= 0.0) & (chance <= 1.0)):
        raise ValueError("q must lie in [0, 1]")
    half = chance >= 0.5
    return largest_share_cdf(np.where(half, 1.0, chance / np.where(half, 1.0, 1.0 - chance)), concentration)
