"""The general traversal: any absorbing walk over skill states, within a budget of steps.

States are skills (and search context). One step moves between transient states by Q (s x s) or is absorbed by
R (s x 2: solved, wrong). Every closed form of `ds3bayes.theory.path` is a special case.

Nothing is subtracted but the chance to idle from 1, so results are accurate relative to their own size, however
small. Probabilities outside their ranges are not checked here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ds3bayes.deferred import is_symbolic, pt, pytensor
from ds3bayes.theory._special import as_float

_WIDEST_BAND = 128  # more would take more memory than it saves time
_MOST_UNROLLED = 32  # a loop takes seconds to compile, and few linkers differentiate it


class Absorption(NamedTuple):
    """What has become of a walk after K steps; solved, wrong and truncated sum to 1."""

    solved: Any
    wrong: Any
    truncated: Any
    expected_steps: Any


def absorbed_within(Q: Any, R_abs: Any, start: Any, K: Any, *, K_max: int | None = None) -> Absorption:
    """Run an absorbing walk for at most K steps.

    P(solved or wrong within K) = e' sum_{k<K} Q^k R, P(under way after K) = e' Q^K 1 and
    E[steps] = sum_{k<K} e' Q^k 1, where e is the law of the first state. Powers and sums are doubled
    together, which takes O(log K) matrix products; the result is exact and differentiable.

    Parameters
    ----------
    Q : tensor-like, shape (..., s, s)
        Transition probabilities between transient states.
    R_abs : tensor-like, shape (..., s, 2)
        Probabilities of absorption, columns solved and wrong. Rows of Q and R_abs together sum to 1.
    start : tensor-like, shape (..., s)
        Probabilities of the first state.
    K : int, or tensor-like of int, shape (...)
        Step budget, at least 0. Several budgets share the powers of Q.
    K_max : int, optional
        Largest budget, needed if ``K`` is a tensor whose values are not known yet; larger budgets than this
        are not checked and give meaningless values.

    Returns
    -------
    Absorption
        A named tuple (solved, wrong, truncated, expected_steps), each of shape (...).

    Raises
    ------
    ValueError
        If K or K_max is negative or not whole, or if K_max is missing where it is needed.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).
    """
    Q, R_abs, start = as_float(Q), as_float(R_abs), as_float(start)
    # The column of ones counts the steps: one for each visit to a transient state.
    gains = pt.concatenate([R_abs, pt.ones_like(R_abs[..., :1])], axis=-1)
    gained, law = _run(Q, gains, start, K, K_max)
    return Absorption(
        solved=gained[..., 0], wrong=gained[..., 1], truncated=law.sum(axis=-1), expected_steps=gained[..., 2]
    )


def expected_visits(Q: Any, start: Any, K: Any, *, K_max: int | None = None) -> Any:
    """Return the expected number of steps begun in each transient state, e' sum_{k<K} Q^k.

    Parameters
    ----------
    Q : tensor-like, shape (..., s, s)
        Transition probabilities between transient states; rows sum to at most 1, the rest is absorbed.
    start : tensor-like, shape (..., s)
        Probabilities of the first state.
    K : int, or tensor-like of int, shape (...)
        Step budget, at least 0.
    K_max : int, optional
        Largest budget, as for `absorbed_within`.

    Returns
    -------
    tensor, shape (..., s)
        Steps; their sum over states is the expected number of steps of the walk within the budget.

    Raises
    ------
    ValueError
        If K or K_max is negative or not whole, or if K_max is missing where it is needed.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).
    """
    Q = as_float(Q)
    return _run(Q, pt.zeros_like(Q) + pt.eye(Q.shape[-1]), as_float(start), K, K_max)[0]


class Visits(NamedTuple):
    """Expected steps begun in each transient state by walks that end in each way; they sum to all visits."""

    solved: Any
    wrong: Any
    truncated: Any


def visits_by_outcome(Q: Any, R_abs: Any, start: Any, K: Any, *, K_max: int | None = None) -> Visits:
    """Split the expected visits to each state by how the walk has ended after K steps.

    The visits to state i by walks that end solved are E[visits to i; solved within K] = sum over j + k < K of
    (e' Q^j)_i (Q^k R)_{i, solved}. A factor z_i on all ways out of state i multiplies the probability of each
    walk by z_i^(its visits to i), so this is the derivative of P(solved) by z_i at z = 1, which reverse
    differentiation gives for all states at once, in O(log K) products and without a subtraction.

    Parameters
    ----------
    Q : tensor-like, shape (..., s, s)
        Transition probabilities between transient states.
    R_abs : tensor-like, shape (..., s, 2)
        Probabilities of absorption, columns solved and wrong.
    start : tensor-like, shape (..., s)
        Probabilities of the first state.
    K : int, or tensor-like of int, shape (...)
        Step budget, at least 0.
    K_max : int, optional
        Largest budget, as for `absorbed_within`.

    Returns
    -------
    Visits
        A named tuple (solved, wrong, truncated), each of shape (..., s), in steps. Divided by the probability
        of the outcome it is the mean over walks that end so; their sum is `expected_visits`.

    Raises
    ------
    ValueError
        If K or K_max is negative or not whole, or if K_max is missing where it is needed.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).
    """
    Q, R_abs, start = as_float(Q), as_float(R_abs), as_float(start)
    every = Q[..., 0] + R_abs[..., 0] + start
    if is_symbolic(K) or np.ndim(K):
        every = every + pt.expand_dims(pt.as_tensor_variable(K), -1)
    factor = pt.ones_like(every)
    out = pt.expand_dims(factor, -1)
    ends = absorbed_within(out * Q, out * R_abs, start, K, K_max=K_max)
    # A walk of no steps visits nothing: at K = 0 nothing depends on the factor.
    return Visits(*(pt.grad(end.sum(), factor, disconnected_inputs="ignore") for end in ends[:3]))


def step_law(Q: Any, R_abs: Any, start: Any, K: int) -> Any:
    """Probabilities that the walk ends at exactly step k, solved or wrong, e' Q^(k-1) R for k = 1..K.

    With b near the root of K, the b vectors Q^i R and the K/b laws e' Q^(b j) are made by doubling, and their
    products are all K steps: O(K s) time beside O(log K) matrix products, O(K + s sqrt(K)) memory.

    Parameters
    ----------
    Q : tensor-like, shape (..., s, s)
        Transition probabilities between transient states.
    R_abs : tensor-like, shape (..., s, 2)
        Probabilities of absorption, columns solved and wrong.
    start : tensor-like, shape (..., s)
        Probabilities of the first state.
    K : int
        Number of steps, at least 0.

    Returns
    -------
    tensor, shape (..., K, 2)
        Row k - 1 belongs to step k; columns solved and wrong. Sums over steps are `absorbed_within`.

    Raises
    ------
    ValueError
        If K is negative or not whole.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference as a directed stochastic search over skills).
    """
    K = _whole("K", K)
    Q, R_abs, start = as_float(Q), as_float(R_abs), as_float(start)
    batch = 0.0 * (Q[..., 0] + R_abs[..., 0] + start)
    power: Any = Q
    columns: Any = R_abs + pt.expand_dims(batch, -1)
    doublings = (K.bit_length() + 1) // 2
    for _ in range(doublings):
        columns = pt.concatenate([columns, pt.matmul(power, columns)], axis=-1)
        power = pt.matmul(power, power)
    rows: Any = pt.expand_dims(start + batch, -2)
    needed = -(-K >> doublings)
    count = 1
    while count < needed:
        rows = pt.concatenate([rows, pt.matmul(rows, power)], axis=-2)
        count *= 2
        if count < needed:
            power = pt.matmul(power, power)
    law = pt.matmul(rows, columns)
    lead = [law.shape[i] for i in range(law.ndim - 2)]
    return pt.reshape(law, [*lead, count << doublings, 2])[..., :K, :]


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"{name} must be at least 0 and whole, got {value}")
    return int(value)


def _run(Q: Any, gains: Any, start: Any, K: Any, K_max: int | None) -> tuple[Any, Any]:
    """Return e' sum_{k<K} Q^k gains and e' Q^K."""
    if not is_symbolic(K) and np.ndim(K) == 0:
        most = _whole("K", K)
        bits = [bool(most >> i & 1) for i in range(most.bit_length())]
    else:
        if not is_symbolic(K):
            known = np.asarray(K)
            if known.dtype.kind not in "iu" or (known < 0).any():
                raise ValueError(f"K must be at least 0 and whole, got {K}")
            most = int(known.max(initial=0))
        elif K_max is None:
            raise ValueError("K_max, the largest budget, must be given if K is a tensor, got None")
        else:
            most = _whole("K_max", K_max)
        count = pt.expand_dims(pt.as_tensor_variable(K), (-2, -1))
        start = start + pt.zeros_like(count[..., 0])
        bits = [pt.eq(count // (1 << i) % 2, 1) for i in range(most.bit_length())]
    law: Any = pt.expand_dims(start, -2)
    gained: Any = 0.0 * pt.matmul(law, gains)
    # Bits of K from the lowest: (power, sums) are Q^(2^i) and sum_{k < 2^i} Q^k gains.
    power, sums = Q, gains
    for i, bit in enumerate(bits):
        if i:
            sums = sums + pt.matmul(power, sums)
            power = pt.matmul(power, power)
        if bit is not False:
            step, moved = pt.matmul(law, sums), pt.matmul(law, power)
            gained = gained + (step if bit is True else pt.switch(bit, step, 0.0))
            law = moved if bit is True else pt.switch(bit, moved, law)
    return gained[..., 0, :], law[..., 0, :]


def path_matrices(m: int, r: Any, h: Any) -> tuple[Any, Any]:
    """Matrices of the path walk, whose state j = 0..m-1 is the number of skills done.

    A step in state j advances with probability r_j, commits to a wrong answer with probability h_j and idles
    otherwise; advancing from state m - 1 solves the task.

    Parameters
    ----------
    m : int
        Path length, at least 1.
    r : tensor-like, scalar or shape (..., m)
        Probability in [0, 1] of advancing; a vector gives unequal steps.
    h : tensor-like, scalar or shape (..., m)
        Probability in [0, 1 - r] of a wrong commitment.

    Returns
    -------
    tuple of tensor
        Q of shape (..., m, m) and R_abs of shape (..., m, 2), for `absorbed_within` from state 0.

    Raises
    ------
    ValueError
        If m < 1.
    """
    if m < 1:
        raise ValueError(f"m must be at least 1, got {m}")
    r, h = as_float(r), as_float(h)
    ones = np.ones(m)
    advance, commit = r * ones, h * ones
    advance, commit = advance + 0.0 * commit, commit + 0.0 * advance
    stay = 1.0 - (advance + commit)
    Q = pt.expand_dims(stay, -1) * np.eye(m) + pt.expand_dims(advance, -1) * np.eye(m, k=1)
    last = np.zeros(m)
    last[-1] = 1.0
    return Q, pt.stack([advance * last, commit], axis=-1)


def lost_matrices(m: int, r: Any, h: Any, g: Any) -> tuple[Any, Any]:
    """Matrices of the path walk whose slips do not end it at once: the walk is lost first.

    With probability h a step leaves the path for skills that lead nowhere; the lost walk wanders on and
    commits to a wrong answer with probability g per step. Success is that of the path walk, but wrong
    attempts take longer.

    Parameters
    ----------
    m : int
        Path length, at least 1.
    r, h : tensor-like, scalar or shape (..., m)
        Probabilities of advancing and of slipping, as in `path_matrices`.
    g : tensor-like, scalar or shape (...)
        Probability in [0, 1] that a step of a lost walk commits to a wrong answer.

    Returns
    -------
    tuple of tensor
        Q of shape (..., m + 1, m + 1) and R_abs of shape (..., m + 1, 2); state m is the lost one.

    Raises
    ------
    ValueError
        If m < 1.
    """
    Q, R_abs = path_matrices(m, r, h)
    leave = pt.expand_dims(as_float(g), -1) + 0.0 * R_abs[..., 0, 0:1]
    slips = R_abs[..., 1:]
    top = pt.concatenate([Q, slips], axis=-1)
    wander = pt.expand_dims(1.0 - leave, -1)
    none = pt.zeros_like(wander) * np.ones(m)
    bottom = pt.concatenate([none, wander], axis=-1)
    ends = pt.concatenate([R_abs[..., :1], pt.zeros_like(slips)], axis=-1)
    last = pt.concatenate([pt.zeros_like(wander), pt.expand_dims(leave, -1)], axis=-1)
    return pt.concatenate([top, bottom], axis=-2), pt.concatenate([ends, last], axis=-2)


def graph_matrices(
    edges: Any, goal: Any, advance: Any, wander: Any, backtrack: Any, commit: Any, guess: Any
) -> tuple[Any, Any]:
    """Matrices of a walk over a directed graph of skills, whose state is the skill that is being worked on.

    At skill i a step takes one of four actions, and idles with the probability that they leave:

    - advance: skill i is completed. If i is a goal the task is solved, else the walk goes on to skill j with
      probability edges[i, j]; where no edge leaves i it stays.
    - wander: to one of the other skills that an edge joins to i, in either direction, all equally probable;
      it stays if there is none.
    - backtrack: to skill j with probability edges[j, i] / sum_j edges[j, i]; it stays if no edge enters i.
    - commit: an answer is given with skill i incomplete, right with probability guess_i and otherwise wrong.

    Parameters
    ----------
    edges : tensor-like, shape (..., s, s)
        Probabilities of the next skill (column) after each skill (row); each row sums to 1 or is all 0.
    goal : tensor-like of bool, shape (..., s)
        Whether a skill is a goal.
    advance, wander, backtrack, commit : tensor-like, scalar or shape (..., s)
        Probabilities of the actions, whose sum is at most 1.
    guess : tensor-like, scalar or shape (..., s)
        Probability in [0, 1] that an answer committed at a skill is right.

    Returns
    -------
    tuple of tensor
        Q of shape (..., s, s) and R_abs of shape (..., s, 2), for `absorbed_within`.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (skill graph and actions); these transition probabilities are
    this package's own.
    """
    edges, goal = as_float(edges), pt.as_tensor_variable(goal)
    none = 0.0 * edges[..., 0]
    advance, wander, backtrack, commit, guess = (
        as_float(part) + none for part in (advance, wander, backtrack, commit, guess)
    )
    stay = pt.eye(edges.shape[-1])
    joined = pt.or_(pt.gt(edges, 0.0), pt.gt(edges.mT, 0.0))
    neighbours = as_float(pt.and_(joined, pt.eq(stay, 0.0)))
    to_next, to_any, to_last = (_distribution(weights, stay) for weights in (edges, neighbours, edges.mT))
    onward = pt.switch(goal, 0.0, advance)
    idle = 1.0 - (advance + wander + backtrack + commit)
    Q = sum(
        pt.expand_dims(share, -1) * target
        for share, target in ((onward, to_next), (wander, to_any), (backtrack, to_last), (idle, stay))
    )
    return Q, pt.stack([pt.switch(goal, advance, 0.0) + commit * guess, commit * (1.0 - guess)], axis=-1)


def _distribution(weights: Any, otherwise: Any) -> Any:
    """Divide each row by its sum; a row of zeros becomes that of ``otherwise``."""
    total = weights.sum(axis=-1, keepdims=True)
    some = pt.gt(total, 0.0)
    return pt.switch(some, weights / pt.switch(some, total, 1.0), otherwise)


def absorbed_on_path(r: Any, h: Any, K: int) -> Absorption:
    """Run a path walk of unequal steps for at most K steps, without an m x m matrix.

    A step with j of m skills done advances with probability r_j, commits to a wrong answer with probability h_j
    and idles otherwise. Since a walk advances by at most one skill per step, Q^b has b + 1 diagonals: these are
    doubled up to b = min(sqrt(K), 128), and the recursion then goes in K/b blocks of b steps. Time O(m K),
    memory O(m b), with a gradient O(m K/b) more. More than 32 blocks are a `pytensor.scan`, whose gradient needs
    a linker that can differentiate loops (Numba, JAX, the VM), not PyTensor's plain Python linker.

    Parameters
    ----------
    r : tensor-like, shape (..., m)
        Probabilities in [0, 1] of advancing.
    h : tensor-like, scalar or shape (..., m)
        Probabilities in [0, 1 - r] of a wrong commitment.
    K : int
        Step budget, at least 0.

    Returns
    -------
    Absorption
        A named tuple (solved, wrong, truncated, expected_steps), each of shape (...). It equals
        `absorbed_within` of `path_matrices`, which is faster for short paths.

    Raises
    ------
    ValueError
        If K is negative or not whole.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (the path walk); the recursion is this package's own.
    """
    K = _whole("K", K)
    r, h = as_float(r), as_float(h)
    r, h = r + 0.0 * h, h + 0.0 * r
    none = pt.zeros_like(r[..., :1])
    last = pt.concatenate([pt.zeros_like(r[..., 1:]), none + 1.0], axis=-1)
    # Rows solved, wrong and steps over states, summed over the first 2^i steps; diagonal d of Q^(2^i) in row d.
    sums: Any = pt.stack([last * r, h, pt.ones_like(r)], axis=-2)
    band: Any = pt.stack([1.0 - (r + h), pt.concatenate([r[..., :-1], none], axis=-1)], axis=-2)
    law: Any = pt.concatenate([none + 1.0, pt.zeros_like(r[..., 1:])], axis=-1)
    gained: Any = pt.zeros_like(sums[..., 0])
    width = 1
    while 4 * width * width <= K and width < _WIDEST_BAND:
        if K & width:
            gained, law = gained + _dot(sums, law), _moved(law, band, width)
        sums = sums + (pt.expand_dims(band, -3) * _ahead(sums, width)).sum(axis=-2)
        # Diagonal c of the square is the sum over a + b = c of band[a, i] band[b, i + a].
        pairs = pt.expand_dims(band, -3) * _ahead(band, width)
        band = pt.moveaxis(_fold(pt.moveaxis(pairs, (-3, -2, -1), (-1, -2, -3)), width + 1), -1, -2)
        width *= 2
    blocks = K // width
    if blocks:
        visited, law = _blocks(law, band, width, blocks)
        gained = gained + _dot(sums, visited)
    return Absorption(
        solved=gained[..., 0], wrong=gained[..., 1], truncated=law.sum(axis=-1), expected_steps=gained[..., 2]
    )


def _blocks(law: Any, band: Any, width: int, count: int) -> tuple[Any, Any]:
    """Return the sum of the laws at the start of each block, and the law after the last."""

    def step(law: Any, visited: Any, band: Any) -> tuple[Any, Any]:
        return _moved(law, band, width), visited + law

    if count <= _MOST_UNROLLED:
        visited = pt.zeros_like(law)
        for _ in range(count):
            law, visited = step(law, visited, band)
        return visited, law
    laws, visits = pytensor.scan(
        step,
        outputs_info=[law, pt.zeros_like(law)],
        non_sequences=[band],
        n_steps=count,
        strict=True,
        return_updates=False,
    )
    return visits[-1], laws[-1]


def _dot(sums: Any, law: Any) -> Any:
    return (sums * pt.expand_dims(law, -2)).sum(axis=-1)


def _moved(law: Any, band: Any, width: int) -> Any:
    """Multiply a law (..., m) by the matrix whose diagonal d is band[d], from its row i."""
    return _fold(band * pt.expand_dims(law, -2), width + 1)[..., : law.shape[-1]]


def _fold(terms: Any, p: int) -> Any:
    """Sum terms (..., p, q) over equal a + b, shape (..., p + q - 1)."""
    # Rows of p + q entries, read as rows of p + q - 1, begin one later each.
    wide = pt.concatenate([terms, pt.expand_dims(pt.zeros_like(terms[..., 0]), -1) + np.zeros(p)], axis=-1)
    return _rows(wide.flatten(wide.ndim - 1)[..., :-p], p).sum(axis=-2)


def _ahead(values: Any, most: int) -> Any:
    """Return values (..., m) at i + a for a = 0..most, 0 beyond the end, shape (..., most + 1, m)."""
    none = pt.expand_dims(pt.zeros_like(values[..., 0]), -1)
    row = pt.concatenate([values, none + np.zeros(most)], axis=-1)
    rows = pt.expand_dims(row, -2) + np.zeros((most + 1, 1))
    flat = pt.concatenate([rows.flatten(rows.ndim - 1), none + np.zeros(most + 1)], axis=-1)
    return _rows(flat, most + 1)[..., : values.shape[-1]]


def _rows(flat: Any, count: int) -> Any:
    lead = [flat.shape[i] for i in range(flat.ndim - 1)]
    return pt.reshape(flat, [*lead, count, -1])
