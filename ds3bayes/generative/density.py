r"""The joint density of one task, in equations and in plain NumPy: the page to read, and the oracle of the graph.

One task is tried by arms a = 1, ..., A; an arm is an LLM with one sampler (chain of thought at an effort, a direct
answer, a tree search). Its data are, for each arm, successes c_a in n_a attempts, and the mean generated tokens tau_a
of k_a of them.

What belongs to the task and is not observed::

    z   ~ S(skew)                               its easiness: a two-piece normal of mean 0 and sd 1
    x_a = location_a + spread_a z + e_a         logit of an attempt's eventual success in arm a (a walk)
    e_a ~ own_sd_a t(dof)                       what is the arm's own at this task
    R_l ~ Bernoulli(gamma_l)                    whether LLM l learned every skill that the task needs
    V   ~ Bernoulli(sigma)                      whether the task is sound: not so with a wrong key or an impossible test
    L   ~ Normal(0, 1)                          its path is longer than easiness says, for all arms

What is observed of it, given those::

    c_a       ~ Binomial(n_a, V R_l logistic(x_a))
    log tau_a ~ Normal(log_tokens_a - token_slope_a z + length_spread_a L,  token_sd_a^2 + attempt_variance_a / k_a)

and, where attempts have scores from 0 to K, full credit K being success, the scores of those that failed::

    P(score >= k)  = logistic(x_a + d_k),  d_k = gap_k + ... + gap_{K-1},  d_K = 0
    P(score = k | failed) = (logistic(x_a + d_k) - logistic(x_a + d_{k+1})) / (1 - logistic(x_a)),  k < K

A tree search has its x_a in the walk that it searches over, ``location + offset + slope spread z + e_a`` of its LLM's
walk. Its attempts are the outputs of searches, those of one search from one tree. Of the o outputs of a search, H_x(k)
being the law of how many come from right states (`ds3bayes.theory.trees.right_kept_states`, given the evaluator's gap
and the overlap of a state's right candidates) and f the fidelity with which these are written out,

    P(j right outputs) = sum_k H_x(k) Binomial(j; k, f)

in place of the binomial, and its convolutions for several searches. What lies out of a walk's reach may be within that
of a tree, which also finds answers by luck; so R_l does not enter there. What is unsound is failed by every attempt of
every LLM, a tree's too. Whether a task is sound is asked where two LLMs or more share tasks; of a lone LLM, what nobody
ever solves is out of its reach, and sigma is 1.

Summed out, with phi the normal density of all log tokens together (L makes them correlated)::

    p(c, tau) = int dz S(z) phi(log tau | z) [ sigma G(z)  +  (1 - sigma) prod over all a  1{c_a = 0} S_a(z) ]

    G(z)      = prod over LLMs  l  [ gamma_l  prod_a B_a(z)  +  (1 - gamma_l) prod_a 1{c_a = 0} S_a(z) ]
                prod over trees a  B_a(z)

    B_a(z)    = int dx t((x - mean_a(z)) / own_sd_a) Binomial(c_a; n_a, logistic(x)) s_a(x)
    S_a(z)    = int dx t((x - mean_a(z)) / own_sd_a) s_a(x)

s_a(x) being the probability of the scores of the attempts that failed, 1 where there are none.

A task that one arm alone tries cannot tell easiness from the arm's own effect: there z is the standardised logit x
itself, ``x = location + spread z``, and B(z) is the binomial at x.

The integrals are sums over nodes. Densities are known at the nodes and linear in between, so that ``B`` takes the mean
of the binomial over each node's hat; a Student t narrower than the spacing of nodes is corrected by what linear
interpolation adds to it. A posterior fitted with these sums is that of the integrals as far as the nodes are fine
enough, which `log_density` lets anyone try: give it finer ones.

Attempts that were cut off, votes, wrong answers and curves over aggregated tasks have pages of their own
(`ds3bayes.generative.observation`): they add factors that do not depend on the task's x given its counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Where the integrals are summed.

    Parameters
    ----------
    easiness, width : arrays, shape (J,)
        Nodes of z, and the length of the axis that each stands for.
    logit : array, shape (G,)
        Equally spaced nodes of x.
    """

    easiness: Array
    width: Array
    logit: Array


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one arm did at the task.

    Parameters
    ----------
    attempts, successes : int
        n and c; 0 attempts say nothing.
    log_tokens : float, optional
        Log of the mean generated tokens tau.
    timed : float, default 0
        Attempts k behind that mean.
    scores : tuple of int, default ()
        How many failed attempts got each score 0, ..., K - 1.
    outputs : int, default 1
        Of a tree search, the attempts that come from one search.
    """

    attempts: int
    successes: int
    log_tokens: float = math.nan
    timed: float = 0.0
    scores: tuple[int, ...] = ()
    outputs: int = 1


@dataclass(frozen=True, kw_only=True)
class ArmLaw:
    """The parameters of one arm.

    Parameters
    ----------
    llm : str
        Arms of one LLM share whether the task is within reach.
    mean_logit : callable
        Mean of x at an easiness z: ``location + spread z``, or that of the walk that a tree searches over.
    own_sd : float
        Scale of the arm's own effect e.
    right_states : callable, optional
        Of a tree search, H: takes the number o of outputs and logits x (G,), and returns probabilities (G, o + 1).
    fidelity : float, default 1
        Of a tree search, f.
    log_tokens, token_slope, token_sd, length_spread, attempt_variance : float
        Of the tokens' law; ``attempt_variance`` is the relative variance between attempts at one task.
    gaps : tuple of float, default ()
        gap_1, ..., gap_{K-1} > 0: by how many logits a score is easier to reach than the next one.
    """

    llm: str
    mean_logit: Callable[[float], float]
    own_sd: float
    right_states: Callable[[int, Array], Array] | None = None
    fidelity: float = 1.0
    log_tokens: float = 0.0
    token_slope: float = 0.0
    token_sd: float = 1.0
    length_spread: float = 0.0
    attempt_variance: float = 0.0
    gaps: tuple[float, ...] = ()

    @property
    def tree(self) -> bool:
        """Whether it is a tree search."""
        return self.right_states is not None


def log_density(
    data: Sequence[Counts],
    arms: Sequence[ArmLaw],
    *,
    skew: float,
    gamma: dict[str, float],
    soundness: float = 1.0,
    nodes: Nodes,
    dof: float,
) -> float:
    """Log density of what several arms did at one task.

    Parameters
    ----------
    data, arms : sequences of equal length
    skew : float
        Log ratio of the two pieces' widths in the law of easiness; 0 is a normal.
    gamma : dict of str to float
        Reachability of each LLM, in (0, 1]; 1 takes every task as within reach.
    soundness : float, default 1
        sigma, in (0, 1]; 1 takes every task as sound.
    nodes : Nodes
    dof : float
        Of the arms' own effects.

    Returns
    -------
    float
    """
    weight = two_piece_normal(nodes.easiness, skew) * nodes.width
    weight = weight / weight.sum()
    x = nodes.logit
    scores = [probability_of_scores(one, arm, x) for one, arm in zip(data, arms, strict=True)]
    counts = [
        (mean_of_searches(one, arm, x) if arm.tree else mean_binomial(one, x)) * told
        for one, arm, told in zip(data, arms, scores, strict=True)
    ]
    total = 0.0
    for z, share in zip(nodes.easiness.tolist(), weight.tolist(), strict=True):
        sound = 1.0
        for llm in dict.fromkeys(arm.llm for arm in arms):
            walks = [i for i, arm in enumerate(arms) if arm.llm == llm and not arm.tree]
            if walks:
                reached = math.prod(over_own_effect(counts[i], arms[i], z, x, dof) for i in walks)
                missed = math.prod(
                    over_own_effect(scores[i], arms[i], z, x, dof) * (data[i].successes == 0) for i in walks
                )
                sound *= gamma[llm] * reached + (1.0 - gamma[llm]) * missed
        for i, arm in enumerate(arms):
            if arm.tree:
                sound *= over_own_effect(counts[i], arm, z, x, dof)
        unsound = math.prod(
            over_own_effect(scores[i], arm, z, x, dof) * (data[i].successes == 0) for i, arm in enumerate(arms)
        )
        of_tokens = math.exp(log_density_of_tokens(data, arms, z))
        total += share * of_tokens * (soundness * sound + (1.0 - soundness) * unsound)
    return math.log(total)


def log_density_of_one(
    data: Counts, arm: ArmLaw, *, location: float, spread: float, skew: float, gamma: float, nodes: Nodes
) -> float:
    """Log density of what a lone arm did at one task; its easiness is the standardised logit success itself.

    Parameters
    ----------
    data : Counts
    arm : ArmLaw
        Of it, the tokens' law.
    location, spread : float
        Of the logit success over tasks.
    skew, gamma : float
        As in `log_density`.
    nodes : Nodes
        Of it, those of the logit.

    Returns
    -------
    float
    """
    x = nodes.logit
    weight = two_piece_normal((x - location) / spread, skew)
    weight = weight / weight.sum()
    mean = float(weight @ x)
    easiness = (x - mean) / math.sqrt(float(weight @ (x - mean) ** 2))
    reached = mean_binomial(data, x)
    given = (gamma * reached + (1.0 - gamma) * (data.successes == 0)) * probability_of_scores(data, arm, x)
    tokens = np.exp([log_density_of_tokens([data], [arm], z) for z in easiness.tolist()])
    return math.log(float(weight @ (given * tokens)))


def two_piece_normal(z: Array, skew: float) -> Array:
    """Density, up to a factor, of a two-piece normal of mean 0 and sd 1, shape of ``z``.

    Left of its mode it is a normal of width exp(skew / 2), right of it of width exp(-skew / 2), before it is brought
    to mean 0 and sd 1.
    """
    left, right = math.exp(skew / 2), math.exp(-skew / 2)
    mode = math.sqrt(2 / math.pi) * (right - left)
    sd = math.sqrt((1 - 2 / math.pi) * (right - left) ** 2 + left * right)
    y = z * sd + mode
    return np.exp(-0.5 * np.where(y < 0, y / left, y / right) ** 2)


def mean_binomial(data: Counts, x: Array) -> Array:
    """Mean over each node's hat of the binomial probability of the counts, shape (G,).

    As a function of x, a binomial of n attempts is at least 2 / sqrt(n) wide; it is taken at points a quarter of that
    apart, and at least eight to a node.
    """
    if not data.attempts:
        return np.ones_like(x)
    n, c = data.attempts, data.successes
    logit, hat = around(x, n)
    log_ways = special.gammaln(n + 1) - special.gammaln(c + 1) - special.gammaln(n - c + 1)
    log_binomial = log_ways - c * np.logaddexp(0.0, -logit) - (n - c) * np.logaddexp(0.0, logit)
    return np.exp(log_binomial) @ hat


def mean_of_searches(data: Counts, arm: ArmLaw, x: Array) -> Array:
    """Mean over each node's hat of the probability of the right outputs of some searches, shape (G,)."""
    if not data.attempts:
        return np.ones_like(x)
    assert arm.right_states is not None
    logit, hat = around(x, data.attempts)
    right = arm.right_states(data.outputs, logit.ravel())
    one = np.zeros_like(right)
    for k in range(data.outputs + 1):
        for j in range(k + 1):
            one[:, j] += right[:, k] * math.comb(k, j) * arm.fidelity**j * (1.0 - arm.fidelity) ** (k - j)
    total = np.zeros((len(one), data.attempts + 1))
    total[:, 0] = 1.0
    for _ in range(data.attempts // data.outputs):
        longer = np.zeros_like(total)
        for j in range(data.outputs + 1):
            longer[:, j:] += one[:, [j]] * total[:, : data.attempts + 1 - j]
        total = longer
    return total[:, data.successes].reshape(logit.shape) @ hat


def around(x: Array, attempts: int) -> tuple[Array, Array]:
    """Return points (G, S) around the nodes, fine enough for some attempts, and their weights in a node's hat (S,)."""
    spacing = x[1] - x[0]
    points = int(np.clip(np.ceil(4.0 * spacing / (2.0 / math.sqrt(attempts))), 8, 1024))
    offset = spacing * np.arange(-points, points + 1) / points
    return x[:, None] + offset, (1.0 - np.abs(offset) / spacing) / points


def probability_of_scores(data: Counts, arm: ArmLaw, x: Array) -> Array:
    """Probability of the scores of the failed attempts, given that they failed, at logits x: s_a(x), shape (G,)."""
    top = len(data.scores)
    result = np.ones_like(x)
    for k, count in enumerate(data.scores):
        at_least = special.expit(x + sum(arm.gaps[k - 1 :])) if k else np.ones_like(x)
        more = special.expit(x + sum(arm.gaps[k:])) if k < top - 1 else special.expit(x)
        result = result * ((at_least - more) / special.expit(-x)) ** count
    return result


def over_own_effect(counts: Array, arm: ArmLaw, z: float, x: Array, dof: float) -> float:
    """Sum an arm's own effect out of the probability of its counts at the nodes: B_a(z)."""
    centre = min(max(arm.mean_logit(z), x[0]), x[-1])
    density = student_t(x, centre, arm.own_sd, dof)
    return float(density @ counts / density.sum())


def student_t(x: Array, centre: float, scale: float, dof: float) -> Array:
    """Density, up to a factor, of a Student t at nodes, less what interpolating linearly between them adds to it.

    A line between two nodes lies above a density by h^2 / 12 of its second derivative on average; the second
    derivative is taken of a t that is wider by what the nodes blur, so that it stays finite for a scale near 0.
    """
    v, h = ((x - centre) / scale) ** 2, x[1] - x[0]
    density = (1.0 + v / dof) ** (-0.5 * (dof + 1.0))
    second = (dof + 1.0) * ((dof + 2.0) * v - dof) / (dof + v) ** 2 / (scale**2 + h**2 / 10)
    excess = h**2 / 12 * second
    return density * (1.0 - excess + 0.5 * excess**2)


def log_density_of_tokens(data: Sequence[Counts], arms: Sequence[ArmLaw], z: float) -> float:
    """Log density of the log mean tokens of all arms at easiness z: a normal, correlated by the task's path length."""
    seen = [i for i, one in enumerate(data) if one.timed]
    if not seen:
        return 0.0
    error = np.array([data[i].log_tokens - (arms[i].log_tokens - arms[i].token_slope * z) for i in seen])
    own = [arms[i].token_sd ** 2 + arms[i].attempt_variance / data[i].timed for i in seen]
    by_length = np.array([arms[i].length_spread for i in seen])
    covariance = np.diag(own) + np.outer(by_length, by_length)
    _, log_determinant = np.linalg.slogdet(covariance)
    squares = float(error @ np.linalg.solve(covariance, error))
    return -0.5 * (squares + float(log_determinant) + len(seen) * math.log(2 * math.pi))
