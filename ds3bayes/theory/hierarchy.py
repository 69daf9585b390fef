"""The skill hierarchy: how training compute becomes skills, and skills become solved tasks.

Training texts mention concepts; concepts are learned by peeling, as an erasure code is decoded; a skill of a
level needs several of the concepts it may use; skills of a level are linked where they and the level below are
competent, and the giant component of these links is what a task can reach. A task may be executed at another
level than its own: lower levels need more steps and are learned earlier. The hierarchy is that of
Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004, which extends Nayak and Varshney, arXiv 2410.01243.

The published hierarchy has steps (a best level, roundings, a component that appears at mean degree 1). Every
function with a ``temperature`` builds the published formulas at temperature 0 and smooth ones above it, from the
same lines: `step`, `ramp`, `round_up` and the field of `giant_component` are all that changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ds3bayes.deferred import pt, pytensor
from ds3bayes.theory._special import as_float
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import finish_within, mean_steps_within
from ds3bayes.theory.selectors import any_right

_GRID = 257  # points of the search for the threshold; the minimum is then polished by Newton steps
_NEWTON_STEPS = 4
_COMPONENT_STEPS = 5
_SERIES_TERMS = 9  # error below 1e-15 up to _SERIES_BELOW
_SERIES_BELOW = 0.1
# Levels over which competence falls at the frontier, as the scale of a logistic curve; published, it is a step.
_FRONTIER_WIDTH = 0.8
# Outside link of every skill, which rounds off the start of the giant component.
_FRONTIER_FIELD = 0.05**2
_TIE = 1e-12  # accuracies that differ by less are equal


def _as_double(value: Any) -> Any:
    """Return a tensor, of float64 also for a Python number such as 0.5, which PyTensor would make a float32."""
    return as_float(np.float64(value) if isinstance(value, int | float) else value)


# Steps and their smooth versions.


def _check_temperature(temperature: float) -> None:
    if not temperature >= 0.0 or temperature == np.inf:
        raise ValueError(f"temperature must be finite and at least 0, got {temperature}")


def step(x: Any, temperature: float = 0.0) -> Any:
    """Return 1 where x >= 0 and 0 elsewhere, or logistic(x / temperature).

    Parameters
    ----------
    x : tensor-like
        Real.
    temperature : float, default 0
        At least 0, in the unit of ``x``.

    Returns
    -------
    tensor
        In [0, 1].

    Raises
    ------
    ValueError
        If the temperature is negative or not finite.
    """
    _check_temperature(temperature)
    x = _as_double(x)
    return pt.sigmoid(x / temperature) if temperature else pt.switch(pt.ge(x, 0.0), 1.0, 0.0)


def ramp(x: Any, temperature: float = 0.0) -> Any:
    """Return max(0, x), or temperature softplus(x / temperature).

    Parameters
    ----------
    x : tensor-like
        Real.
    temperature : float, default 0
        At least 0, in the unit of ``x``. The smooth version exceeds max(0, x) by at most temperature ln 2.

    Returns
    -------
    tensor
        At least 0.

    Raises
    ------
    ValueError
        If the temperature is negative or not finite.
    """
    _check_temperature(temperature)
    x = _as_double(x)
    return temperature * pt.softplus(x / temperature) if temperature else pt.maximum(x, 0.0)


def round_up(x: Any, temperature: float = 0.0) -> Any:
    """Return ceil(x), or a smooth staircase that tends to it.

    The smooth version is the Fourier series of the staircase with its k-th term damped by exp(-2 pi k w),
    w = min(temperature, 1/2)^2, and moved to the right by min(temperature, 1/2), so that whole numbers stay (the
    error there is below temperature / pi). From temperature 1/2 on it is nearly x itself.

    Parameters
    ----------
    x : tensor-like
        Real.
    temperature : float, default 0
        At least 0.

    Returns
    -------
    tensor
        ceil(x) at temperature 0, with gradient 0.

    Raises
    ------
    ValueError
        If the temperature is negative or not finite.
    """
    _check_temperature(temperature)
    x = _as_double(x)
    if not temperature:
        return pt.ceil(x)
    shift = min(temperature, 0.5)
    damping = np.exp(-2.0 * np.pi * shift**2)
    angle = 2.0 * np.pi * (x - shift)
    wave = pt.arctan2(damping * pt.sin(angle), 1.0 - damping * pt.cos(angle)) / np.pi
    return x - shift + 0.5 + wave


# Concepts: peeling.


class Degrees(NamedTuple):
    """A degree distribution of a random bipartite graph, as functions of a tensor.

    ``edges`` and ``slope`` are the polynomial seen from an edge and its derivative, ``nodes`` the polynomial seen
    from a node and ``mean`` the mean degree of a node.
    """

    edges: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    nodes: Callable[[Any], Any]
    mean: Any


def binomial_degrees(count: Any, probability: Any) -> Degrees:
    """Degrees of a node that each of ``count`` others is linked to independently.

    Seen from an edge the polynomial is (1 - p (1 - x))^(count - 1), from a node (1 - p (1 - x))^count.

    Parameters
    ----------
    count : tensor-like
        Number of possible neighbours, above 1; real values allowed.
    probability : tensor-like
        Probability p of a link, in (0, 1].

    Returns
    -------
    Degrees
    """
    count, p = _as_double(count), _as_double(probability)

    def power(x: Any, exponent: Any) -> Any:
        return pt.exp(exponent * pt.log1p(-p * (1.0 - x)))

    return Degrees(
        edges=lambda x: power(x, count - 1.0),
        slope=lambda x: (count - 1.0) * p * power(x, count - 2.0),
        nodes=lambda x: power(x, count),
        mean=count * p,
    )


def poisson_degrees(mean: Any) -> Degrees:
    """Poisson degrees, exp(-mean (1 - x)) from an edge and from a node alike.

    Parameters
    ----------
    mean : tensor-like
        Mean degree, above 0.

    Returns
    -------
    Degrees
    """
    mean = _as_double(mean)

    def value(x: Any) -> Any:
        return pt.exp(-mean * (1.0 - x))

    return Degrees(edges=value, slope=lambda x: mean * value(x), nodes=value, mean=mean)


def polynomial_degrees(edge_fractions: Sequence[float]) -> Degrees:
    """Degrees given by the share of edges that end at a node of degree 1, 2, ...

    Parameters
    ----------
    edge_fractions : sequence of float
        Entry i is the fraction of edges at nodes of degree i + 1; non-negative, summing to 1.

    Returns
    -------
    Degrees

    Raises
    ------
    ValueError
        If the fractions are negative or do not sum to 1.

    Examples
    --------
    The (3, 6)-regular ensemble of low-density parity-check codes:

    >>> variables, checks = polynomial_degrees([0, 0, 1]), polynomial_degrees([0, 0, 0, 0, 0, 1])
    >>> float(variables.mean.eval()), float(checks.mean.eval())
    (3.0, 6.0)
    """
    fractions = np.asarray(edge_fractions, dtype=float)
    if fractions.ndim != 1 or np.any(fractions < 0.0) or abs(fractions.sum() - 1.0) > 1e-9:
        raise ValueError(f"edge_fractions must be non-negative and sum to 1, got {edge_fractions}")
    powers = np.arange(fractions.size)
    nodes = fractions / (powers + 1.0)
    total = nodes.sum()

    def polynomial(x: Any, coefficients: np.ndarray, first: int) -> Any:
        value: Any = 0.0 * _as_double(x)
        for coefficient in coefficients[::-1]:
            value = value * x + coefficient
        return value * x if first else value

    return Degrees(
        edges=lambda x: polynomial(x, fractions, 0),
        slope=lambda x: polynomial(x, (powers * fractions)[1:], 0),
        nodes=lambda x: polynomial(x, nodes / total, 1),
        mean=pt.as_tensor_variable(1.0 / total),
    )


def _log_load_slope(variables: Degrees, checks: Degrees, x: Any) -> Any:
    """Derivative of log x - log lambda(1 - rho(1 - x))."""
    y = 1.0 - checks.edges(1.0 - x)
    return 1.0 / x - variables.slope(y) * checks.slope(1.0 - x) / variables.edges(y)


def peeling_threshold(variables: Degrees, checks: Degrees, lowest: float = 0.1) -> tuple[Any, Any]:
    """Largest erased fraction that peeling recovers in a large random graph, min_x x / lambda(1 - rho(1 - x)).

    Peeling recovers an erased variable as soon as one of its checks has no other erased variable. lambda and rho
    are the degree polynomials of variables and checks seen from an edge.

    Parameters
    ----------
    variables, checks : Degrees
        Degree distributions of the two sides.
    lowest : float, default 0.1
        The minimum is taken over x in [lowest, 1]. With random degrees some variables have no check, and x / lambda
        falls to 0 as x does: those few variables stay erased whatever the rest does, and are no threshold.

    Returns
    -------
    tuple of tensor
        The threshold and the x at which it is attained; both have exact first derivatives. At a minimum on the
        boundary x is constant. The threshold is above 1 where even a fully erased graph is recovered.

    Raises
    ------
    ValueError
        If ``lowest`` is not in (0, 1).

    References
    ----------
    Luby, Mitzenmacher, Shokrollahi, Spielman 2001 (efficient erasure correcting codes).
    """
    if not 0.0 < lowest < 1.0:
        raise ValueError(f"lowest must lie in (0, 1), got {lowest}")

    def load(x: Any) -> Any:
        return x / variables.edges(1.0 - checks.edges(1.0 - x))

    axes = max(_as_double(variables.mean).ndim, _as_double(checks.mean).ndim)
    grid = np.linspace(lowest, 1.0, _GRID)
    best = pt.argmin(pt.log(load(grid.reshape((-1,) + (1,) * axes))), axis=0)
    inside = pt.and_(pt.gt(best, 0), pt.lt(best, _GRID - 1))
    start = pt.as_tensor_variable(grid)[best]
    spacing = grid[1] - grid[0]

    def polished(x: Any) -> Any:
        point = pytensor.gradient.disconnected_grad(x)
        slope = _log_load_slope(variables, checks, point)
        curvature = pytensor.gradient.disconnected_grad(pytensor.grad(slope.sum(), point))
        return point - slope / pt.switch(inside, curvature, 1.0)

    x = start
    for _ in range(_NEWTON_STEPS):
        x = pt.clip(polished(x), start - spacing, start + spacing)
        x = pt.switch(inside, x, start)
    x = pt.switch(inside, polished(x), start)
    return load(x), x


def peeling_spread(variables: Degrees, checks: Degrees, x: Any, threshold: Any, fixed: bool = False) -> Any:
    """Width alpha of the finite-size waterfall of peeling: failure is about Phi(sqrt(n) (erased - threshold) / alpha).

    With xb = 1 - x, y = 1 - rho(xb) and L'(1) the mean degree of a variable,
    alpha^2 = [rho(xb)^2 - rho(xb^2) + rho'(xb) (1 - 2 x rho(xb)) - xb^2 rho'(xb^2)] / [L'(1) lambda(y)^2 rho'(xb)^2]
    + e^2 [lambda(y)^2 - lambda(y^2) - y^2 lambda'(y^2)] / [L'(1) lambda(y)^2], where e is the threshold.

    Parameters
    ----------
    variables, checks : Degrees
        Degree distributions of the two sides.
    x, threshold : tensor-like
        As returned by `peeling_threshold`.
    fixed : bool, default False
        False: each of the n variables is erased independently. True: the number of erased variables is given, and
        the variance e (1 - e) of its share is taken off.

    Returns
    -------
    tensor
        Above 0; 0.56035 for the (3, 6)-regular ensemble with independent erasures.

    References
    ----------
    Amraoui, Montanari, Richardson, Urbanke 2009 (finite-length scaling for iteratively decoded LDPC ensembles).
    """
    x, e = _as_double(x), _as_double(threshold)
    xb = 1.0 - x
    rho, slope = checks.edges(xb), checks.slope(xb)
    y = 1.0 - rho
    outer = variables.mean * variables.edges(y) ** 2
    from_checks = rho**2 - checks.edges(xb**2) + slope * (1.0 - 2.0 * x * rho) - xb**2 * checks.slope(xb**2)
    from_variables = variables.edges(y) ** 2 - variables.edges(y**2) - y**2 * variables.slope(y**2)
    variance = from_checks / (outer * slope**2) + e**2 * from_variables / outer
    return pt.sqrt(variance - e * (1.0 - e) if fixed else variance)


def poisson_threshold(kappa: Any, text_concepts: Any = 6.0, erasure: Any = 0.5, texts_per_param: Any = 0.25) -> Any:
    """Peeling threshold of an infinitely large training set, min_x x exp(d_s exp(-x d_t / erasure)).

    d_t is the number of concepts of a text and d_s = texts_per_param kappa d_t the number of texts of a concept.

    Parameters
    ----------
    kappa : tensor-like
        Training tokens per model parameter, above 0.
    text_concepts : tensor-like, default 6
        Mean number d_t of concepts of a text.
    erasure : tensor-like, default 0.5
        Fraction of the concepts to learn that are not known at the start, in (0, 1).
    texts_per_param : tensor-like, default 0.25
        Parameters of a concept over tokens of a text, 2500 / 10000.

    Returns
    -------
    tensor
        Concepts are learned where it exceeds ``erasure``: with the defaults, for kappa above 18.13195848.
    """
    kappa, erasure, d_t = _as_double(kappa), _as_double(erasure), _as_double(text_concepts)
    of_concept = kappa * _as_double(texts_per_param) * d_t
    # Degrees of one side may have more axes than those of the other: the search needs the larger number.
    of_text = d_t / erasure + 0.0 * of_concept
    return peeling_threshold(poisson_degrees(of_concept), poisson_degrees(of_text))[0]


class Peeling(NamedTuple):
    """What a training set teaches: threshold, width of the waterfall, log of the share not learned."""

    threshold: Any
    spread: Any
    log_failure: Any


def _log_normal_tail(z: Any) -> Any:
    """Logarithm of the upper tail of the standard normal distribution."""
    above = pt.gt(z, 0.0)
    u = z / np.sqrt(2.0)
    high = pt.log(0.5 * pt.erfcx(pt.switch(above, u, 0.0))) - pt.switch(above, u, 0.0) ** 2
    return pt.switch(above, high, pt.log(0.5 * pt.erfc(pt.switch(above, 0.0, u))))


def peel(
    concepts: Any,
    kappa: Any,
    params_per_concept: Any = 2500.0,
    tokens_per_text: Any = 1e4,
    text_concepts: Any = 6.0,
    *,
    erasure: float = 0.5,
    temperature: float = 0.0,
) -> Peeling:
    """Concepts learned from a finite training set.

    R concepts at a share ``erasure`` of n = R / erasure, and T = kappa zeta R / tau texts, of which each mentions a
    concept with probability p = min(d_t / R, 1). With threshold e and spread alpha (the number of erased concepts is
    given) the failure is Q = (g / erasure) [1 - Phi(z)], z = sqrt(n) (e - erasure) / alpha, where g = e L(y) is the
    share of concepts left where peeling stops at the threshold. Nothing is learned, Q = 1, if e < erasure.

    Parameters
    ----------
    concepts : tensor-like
        Number R of concepts, above 2; real values allowed.
    kappa : tensor-like
        Training tokens per parameter, above 0.
    params_per_concept : tensor-like, default 2500
        Parameters zeta that store one concept.
    tokens_per_text : tensor-like, default 1e4
        Tokens tau of one text.
    text_concepts : tensor-like, default 6
        Mean number d_t of concepts of a text.
    erasure : float, default 0.5
        Share of the n concepts that must be learned, in (0, 1).
    temperature : float, default 0
        Above 0 the jump to Q = 1 becomes Q s + 1 - s, s = logistic(z / temperature).

    Returns
    -------
    Peeling
        Named tuple (threshold, spread, log_failure); all arguments broadcast. The log of Q is finite where Q
        underflows. P_bar, the share learned, is -expm1(log_failure).

    Raises
    ------
    ValueError
        If ``erasure`` is not in (0, 1) or the temperature is negative or not finite.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004; Amraoui et al. 2009 (finite-length scaling).
    """
    _check_temperature(temperature)
    if not 0.0 < erasure < 1.0:
        raise ValueError(f"erasure must lie in (0, 1), got {erasure}")
    R, kappa, zeta, tau, d_t = (
        _as_double(v) for v in (concepts, kappa, params_per_concept, tokens_per_text, text_concepts)
    )
    texts = kappa * zeta * R / tau
    n = R / erasure + 0.0 * texts
    p = pt.minimum(d_t / R, 1.0)
    of_concept, of_text = binomial_degrees(texts + 0.0 * p, p), binomial_degrees(n + 0.0 * p, p)
    e, x = peeling_threshold(of_concept, of_text)
    spread = peeling_spread(of_concept, of_text, x, e, fixed=True)
    left = e * of_concept.nodes(1.0 - of_text.edges(1.0 - x))
    z = pt.sqrt(n) * (e - erasure) / spread
    log_tail = pt.log(left / erasure) + _log_normal_tail(z)
    if temperature:
        log_failure = pt.logaddexp(log_tail - pt.softplus(-z / temperature), -pt.softplus(z / temperature))
    else:
        log_failure = pt.switch(pt.ge(z, 0.0), log_tail, 0.0)
    return Peeling(e, spread, log_failure)


# Skills of one level.


def needed_concepts(
    level: Any, concepts: Any, decay: Any = 10.0, skills: Any = 1e4, *, levels: int = 100, failure: float = 1e-5
) -> Any:
    """Concepts that every skill of a level can draw on, d = .99 (mu - sqrt(2 ln(S / delta) mu)), mu = xi R / S.

    xi = exp(-decay level / levels) is the share of the R concepts that a level uses; d is a lower bound that holds
    for all S skills with probability 1 - delta.

    Parameters
    ----------
    level : tensor-like
        Level, at least 1.
    concepts : tensor-like
        Number R of concepts.
    decay : tensor-like, default 10
        Rate at which concepts per skill fall from the lowest to the highest level.
    skills : tensor-like, default 1e4
        Number S of skills of a level.
    levels : int, default 100
        Number of levels.
    failure : float, default 1e-5
        delta, in (0, 1).

    Returns
    -------
    tensor
        Concepts; negative where the bound says nothing (the published hierarchy then takes 0).
    """
    R, S = _as_double(concepts), _as_double(skills)
    mu = pt.exp(-_as_double(decay) * _as_double(level) / levels) * R / S
    return 0.99 * (mu - pt.sqrt(2.0 * pt.log(S / failure) * mu))


def highest_level(
    concepts: Any,
    decay: Any = 10.0,
    skills: Any = 1e4,
    eta: Any = 5.0,
    *,
    learned: Any = 1.0,
    levels: int = 100,
    failure: float = 1e-5,
) -> Any:
    """Level up to which skills are learned: where eta concepts are the learned share of those a skill can draw on.

    `needed_concepts` solved for the level: with a^2 = 2 ln(S / delta) and c = eta / (.99 P), a skill needs
    mu = [(a + sqrt(a^2 + 4 c)) / 2]^2 concepts on average, and l = levels / decay ln(R / (S mu)).

    Parameters
    ----------
    concepts : tensor-like
        Number R of concepts, above 0.
    decay, skills : tensor-like
        As for `needed_concepts`.
    eta : tensor-like, default 5
        Concepts a skill needs, above 0.
    learned : tensor-like, default 1
        Share P of the concepts that is learned, in (0, 1].
    levels : int, default 100
        Number of levels.
    failure : float, default 1e-5
        delta of `needed_concepts`.

    Returns
    -------
    tensor
        Real; the published hierarchy is competent at the whole levels below it, and at none if it is below 1.
    """
    R, S = _as_double(concepts), _as_double(skills)
    a = pt.sqrt(2.0 * pt.log(S / failure))
    root = 0.5 * (a + pt.sqrt(a**2 + 4.0 * _as_double(eta) / (0.99 * _as_double(learned))))
    return levels / _as_double(decay) * (pt.log(R) - pt.log(S) - 2.0 * pt.log(root))


def competence(available: Any, log_failure: Any, eta: Any = 5.0, *, temperature: float = 0.0) -> Any:
    """Probability that a skill knows at least eta of its d concepts, by Chernoff's bound.

    With P_bar the share of concepts learned, Q = 1 - P_bar and x = d KL(eta / d || P_bar), it is 1 - exp(-x) if
    eta / d < P_bar, exp(-x) / sqrt(2 d) if P_bar <= eta / d <= 1, and 0 if d < eta.

    Parameters
    ----------
    available : tensor-like
        Concepts d of a skill; any real number.
    log_failure : tensor-like
        log Q, at most 0; 0 where nothing is learned.
    eta : tensor-like, default 5
        Concepts a skill needs, above 0.
    temperature : float, default 0
        Above 0 both case distinctions are logistic, in d / eta and in P_bar - eta / d, and d is replaced by
        eta (1 + ramp(d / eta - 1)) where it is divided by.

    Returns
    -------
    tensor
        In [0, 1]; all arguments broadcast.
    """
    d, log_q, eta = _as_double(available), _as_double(log_failure), _as_double(eta)
    relative = d / eta - 1.0
    spare = ramp(relative, temperature)
    d = eta * (1.0 + spare)
    learned = pt.lt(log_q, 0.0)
    safe_q = pt.switch(learned, log_q, -1.0)
    share = -pt.expm1(safe_q)
    exact = pt.gt(spare, 0.0)
    safe_spare = pt.switch(exact, spare, 1.0)
    # d KL = eta log(a / P) + (d - eta) log((1 - a) / Q) with a = 1 / (1 + spare).
    beyond = pt.switch(exact, eta * spare * (pt.log(safe_spare) - pt.log1p(spare) - safe_q), 0.0)
    exponent = beyond - eta * (pt.log1p(spare) + pt.log(share))
    enough = 1.0 - step(1.0 / (1.0 + spare) - share, temperature)
    value = -enough * pt.expm1(-exponent) + (1.0 - enough) * pt.exp(-exponent) / pt.sqrt(2.0 * d)
    return pt.switch(learned, step(relative, temperature) * value, 0.0)


def giant_component(mean_degree: Any, *, field: float = 0.0) -> Any:
    """Share of a large random graph that lies in its giant component, the largest g with g = 1 - exp(-k g - field).

    Without field this is 1 + W0(-k exp(-k)) / k for mean degree k > 1 and 0 for k <= 1, W0 the main branch of
    Lambert's function. A field links every vertex to one outside vertex with probability 1 - exp(-field): g is then
    smooth, about sqrt(2 field) at k = 1, and tends to the graph's own giant component as the field does to 0.

    Parameters
    ----------
    mean_degree : tensor-like
        k >= 0.
    field : float, default 0
        At least 0.

    Returns
    -------
    tensor
        In [0, 1], accurate relative to its own size also as k falls to 1. Its first derivative in k,
        g (1 - g) / (1 - k (1 - g)), is exact; higher derivatives are not carried. At k = 1 without field it is 0.

    Raises
    ------
    ValueError
        If the field is negative or not finite.

    References
    ----------
    Erdos and Renyi 1960; Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.
    """
    if not field >= 0.0 or field == np.inf:
        raise ValueError(f"field must be finite and at least 0, got {field}")
    connected = _as_double(mean_degree)
    k = pytensor.gradient.disconnected_grad(connected)
    above = pt.gt(k, 1.0) if not field else pt.ge(k, 0.0)
    k = pt.switch(above, k, 2.0)
    excess = k - 1.0
    # An upper bound of the root without cancellation, from -log(1 - g) >= g + g^2 / 2.
    width = pt.sqrt(excess**2 + 2.0 * field)
    bound = pt.switch(pt.gt(excess, 0.0), excess + width, 2.0 * field / (width + pt.abs(excess)))
    # With u = k g + field the equation is u - 1 + exp(-u) = (k - 1) g + field, g = 1 - exp(-u), which stays accurate
    # as u and k - 1 vanish. It is convex: from above, Newton's method falls monotonically to the largest root.
    u = k * pt.minimum(bound, -pt.expm1(-k - field)) + field
    for _ in range(_COMPONENT_STEPS):
        g = -pt.expm1(-u)
        u = u - (_exponential_remainder(u, g) - excess * g - field) / (g - excess * (1.0 - g))
    g = -pt.expm1(-u)
    slope = g * (1.0 - g) / (k * g - excess)
    value = pytensor.gradient.disconnected_grad(pt.switch(above, g, 0.0))
    return value + pytensor.gradient.disconnected_grad(pt.switch(above, slope, 0.0)) * (
        connected - pytensor.gradient.disconnected_grad(connected)
    )


def _exponential_remainder(u: Any, g: Any) -> Any:
    """Return u - 1 + exp(-u) for u >= 0, accurate relative to its own size, given g = 1 - exp(-u)."""
    small = pt.lt(u, _SERIES_BELOW)
    v = pt.switch(small, u, 0.0)
    series: Any = 0.0
    for j in range(_SERIES_TERMS, 1, -1):
        series = series * v + (-1.0) ** j / factorial(j)
    return pt.switch(small, series * v**2, u - g)


def next_level(
    competence: Any, below: Any, level: Any, skills: Any = 1e4, sigma: Any = 0.5, *, temperature: float = 0.0
) -> tuple[Any, Any]:
    """Edge probability and giant component of a level, from its competence and the component of the level below.

    p_l = t_l gamma_{l-1}^{sigma_l}, sigma_l = sigma ln l, and gamma_l is the giant component of mean degree S p_l^2.

    Parameters
    ----------
    competence : tensor-like
        Competence t_l of the level, in [0, 1].
    below : tensor-like
        Giant component gamma_{l-1} of the level below, in [0, 1]; 1 for the lowest level.
    level : tensor-like
        Level l, at least 1.
    skills : tensor-like, default 1e4
        Skills S of a level.
    sigma : tensor-like, default 0.5
        Prerequisites of a skill per log level, above 0.
    temperature : float, default 0
        Above 0 the component has the field temperature^2, which rounds its start off: gamma is then about
        sqrt(2) temperature at mean degree 1.

    Returns
    -------
    tuple of tensor
        p_l and gamma_l; all arguments broadcast.

    Raises
    ------
    ValueError
        If the temperature is negative or not finite.
    """
    _check_temperature(temperature)
    t, below, S = _as_double(competence), _as_double(below), _as_double(skills)
    needed = _as_double(sigma) * pt.log(_as_double(level))
    positive = pt.gt(below, 0.0)
    reached = pt.exp(needed * pt.log(pt.switch(positive, below, 1.0)))
    # With no prerequisites nothing is needed below, whatever the component there.
    edge = t * pt.switch(pt.or_(positive, pt.eq(needed, 0.0)), reached, 0.0)
    return edge, giant_component(S * edge**2, field=temperature**2)


def link_levels(competences: Any, skills: Any = 1e4, sigma: Any = 0.5, *, temperature: float = 0.0) -> tuple[Any, Any]:
    """Edge probabilities and giant components, from the lowest level to the highest.

    `next_level`, level by level, from gamma_0 = 1.

    Parameters
    ----------
    competences : tensor-like, shape (..., levels)
        Competence t_l of levels 1, 2, ..., in [0, 1].
    skills, sigma : tensor-like, shape (...)
        As for `next_level`.
    temperature : float, default 0
        As for `next_level`.

    Returns
    -------
    tuple of tensor, each of shape (..., levels)
        p_l and gamma_l.

    Raises
    ------
    ValueError
        If the temperature is negative or not finite.
    """
    t, S, scale = _as_double(competences), _as_double(skills), _as_double(sigma)
    by_level = pt.moveaxis(t + 0.0 * pt.expand_dims(S + scale, -1), -1, 0)
    edges, components = pytensor.scan(
        lambda level, t, below, S, scale: next_level(t, below, level, S, scale, temperature=temperature),
        sequences=[pt.arange(1, by_level.shape[0] + 1, dtype="float64"), by_level],
        outputs_info=[None, pt.ones_like(by_level[0])],
        non_sequences=[S, scale],
        return_updates=False,
        strict=True,
    )
    return pt.moveaxis(edges, 0, -1), pt.moveaxis(components, 0, -1)


def smooth_log_component(log_degree: Any) -> Any:
    """Log of the giant component at the log of a mean degree, its start rounded off by a field of .0025."""
    return pt.log(giant_component(pt.exp(_as_double(log_degree)), field=_FRONTIER_FIELD))


def smooth_levels(
    frontier: Any,
    level: Any,
    skills: Any,
    sigma: Any,
    log_component: Callable[[Any], Any] = smooth_log_component,
) -> tuple[Any, Any]:
    """Log edge probability and log giant component of levels near the frontier of what is learned.

    Competence t_l is logistic in frontier - l, with scale .8; gamma_l is the giant component of mean degree S t_l^2,
    and p_l = t_l gamma_{l-1}^{sigma ln l}.

    Parameters
    ----------
    frontier : tensor-like
        From `highest_level`.
    level : tensor-like
        At least 1.
    skills, sigma : tensor-like
        As for `next_level`; all arguments broadcast.
    log_component : callable, default `smooth_log_component`
        Log of the giant component at the log of a mean degree; a table of it saves time.

    Returns
    -------
    tuple of tensor
        log p_l and log gamma_l, below 0.
    """
    level, S = _as_double(level), _as_double(skills)
    able, below = (-pt.softplus((level - up - _as_double(frontier)) / _FRONTIER_WIDTH) for up in (0.0, 1.0))
    gamma, under = (log_component(pt.log(S) + 2.0 * log_t) for log_t in (able, below))
    return able + _as_double(sigma) * pt.log(level) * under, gamma


class Levels(NamedTuple):
    """What a training run teaches, level by level; each of shape (..., levels)."""

    competence: Any
    edge: Any
    component: Any


def level_competences(
    concepts: Any,
    log_failure: Any,
    decay: Any = 10.0,
    skills: Any = 1e4,
    eta: Any = 5.0,
    *,
    levels: int = 100,
    failure: float = 1e-5,
    temperature: float = 0.0,
) -> Any:
    """Competence of every level, `needed_concepts` followed by `competence`.

    Parameters
    ----------
    concepts : tensor-like, shape (...)
        Number R of concepts.
    log_failure : tensor-like, shape (...)
        Log of the share of concepts not learned, as of `peel`.
    decay, skills, eta : tensor-like, shape (...)
        As for `needed_concepts` and `competence`.
    levels : int, default 100
        Number of levels, at least 1.
    failure : float, default 1e-5
        delta of `needed_concepts`.
    temperature : float, default 0
        As for `competence`.

    Returns
    -------
    tensor, shape (..., levels)

    Raises
    ------
    ValueError
        If ``levels`` is below 1 or the temperature is negative or not finite.
    """
    if levels < 1:
        raise ValueError(f"levels must be at least 1, got {levels}")
    R, log_q, decay, S, eta = (pt.expand_dims(_as_double(v), -1) for v in (concepts, log_failure, decay, skills, eta))
    available = needed_concepts(np.arange(1.0, levels + 1.0), R, decay, S, levels=levels, failure=failure)
    return competence(available, log_q, eta, temperature=temperature)


def learn_levels(
    concepts: Any,
    log_failure: Any,
    decay: Any = 10.0,
    skills: Any = 1e4,
    sigma: Any = 0.5,
    eta: Any = 5.0,
    *,
    levels: int = 100,
    failure: float = 1e-5,
    temperature: float = 0.0,
) -> Levels:
    """Competence, edge probability and giant component of every level: `level_competences`, then `link_levels`.

    Parameters
    ----------
    concepts : tensor-like, shape (...)
        Number R of concepts.
    log_failure : tensor-like, shape (...)
        Log of the share of concepts not learned, as of `peel`.
    decay, skills, sigma, eta : tensor-like, shape (...)
        As for `needed_concepts`, `competence` and `next_level`.
    levels : int, default 100
        Number of levels, at least 1.
    failure : float, default 1e-5
        delta of `needed_concepts`.
    temperature : float, default 0
        0 gives the published hierarchy, above 0 a smooth one.

    Returns
    -------
    Levels
        Named tuple (competence, edge, component), each of shape (..., levels).

    Raises
    ------
    ValueError
        If ``levels`` is below 1 or the temperature is negative or not finite.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004; Nayak and Varshney, arXiv 2410.01243.
    """
    able = level_competences(
        concepts, log_failure, decay, skills, eta, levels=levels, failure=failure, temperature=temperature
    )
    return Levels(able, *link_levels(able, skills, sigma, temperature=temperature))


# Tasks.


def steps_at_level(length: Any, level: Any, executed: Any, sigma: Any = 0.5, *, temperature: float = 0.0) -> Any:
    """Skills m' that a task of m skills of level l needs when it is executed at level l'.

    With sigma_k = sigma ln k: m' = ceil(m prod_{k=l'+1..l} sigma_k) for l' < l, m for l' = l, and
    max(2, ceil(m / prod_{k=l+1..l'} sigma_k)) for l' > l.

    Parameters
    ----------
    length : tensor-like
        m >= 1.
    level, executed : tensor-like of int
        l and l', at least 1; the largest of them must be known, as an array.
    sigma : tensor-like, default 0.5
        Above 0.
    temperature : float, default 0
        Above 0, `round_up` and the maximum with 2 are smooth.

    Returns
    -------
    tensor
        m'; all arguments broadcast.
    """
    level, executed = np.asarray(level), np.asarray(executed)
    # Sums of log log k from k = 2 on; sigma_1 = 0 never enters, since levels start at 1.
    ranks = np.arange(2.0, max(level.max(), executed.max()) + 1.0)
    growth = np.concatenate([[0.0, 0.0], np.cumsum(np.log(np.log(ranks)))])
    span = level - executed
    m = _as_double(length) + 0.0 * span
    product = pt.exp(growth[level] - growth[executed] + span * pt.log(_as_double(sigma)))
    rounded = round_up(m * product, temperature)
    rounded = pt.switch(span < 0, 2.0 + ramp(rounded - 2.0, temperature), rounded)
    return pt.switch(span == 0, m, rounded)


def step_success(length: Any, edge: Any, relevance: Any = 5.0, search: Any = 0.5, *, temperature: float = 0.0) -> Any:
    """Probability that a step completes the next needed skill, r = p^2 (rho_s / M + 1 - rho_s).

    M = ceil((1 + beta) m') skills are relevant to the task.

    Parameters
    ----------
    length : tensor-like
        Skills m' of the task at the level it is executed, at least 1.
    edge : tensor-like
        Edge probability p of that level.
    relevance : tensor-like, default 5
        beta >= 0: relevant but not needed skills per needed one.
    search : tensor-like, default 0.5
        rho_s in [0, 1]: 0 finds the needed skill at once, 1 picks one of the M relevant skills at random.
    temperature : float, default 0
        Above 0, M is smooth.

    Returns
    -------
    tensor
        r in [0, 1].
    """
    rho = _as_double(search)
    relevant = round_up((1.0 + _as_double(relevance)) * _as_double(length), temperature)
    return _as_double(edge) ** 2 * (rho / relevant + 1.0 - rho)


class TaskSuccess(NamedTuple):
    """Success of each task at the best level; each of shape (..., task levels, task lengths)."""

    accuracy: Any
    steps: Any
    level: Any


def solve_tasks(
    budget: Any,
    edge: Any,
    component: Any,
    sigma: Any = 0.5,
    relevance: Any = 5.0,
    search: Any = 0.5,
    *,
    task_levels: tuple[int, ...] = tuple(range(60, 71)),
    task_lengths: tuple[int, ...] = tuple(range(2, 16)),
    attempts: int = 1,
    branching: int = 1,
    independent_reachability: bool = False,
    temperature: float = 0.0,
) -> TaskSuccess:
    """Success of tasks within a budget, each executed at the level that is best for it.

    At level l' an attempt has K = budget / (attempts branching) steps, K real, and succeeds with probability
    gamma^m' I_r(m', K - m' + 1), where r becomes 1 - (1 - r)^branching for a tree search with a perfect check of
    each step. Best-of-n with a perfect verifier succeeds with gamma^m' [1 - (1 - I)^n], since the attempts share
    what is reachable, or 1 - (1 - gamma^m' I)^n if that is drawn anew for every attempt.

    Parameters
    ----------
    budget : tensor-like, shape (...)
        Steps of all attempts and branches together, >= 0; may be inf at temperature 0.
    edge, component : tensor-like, shape (..., levels)
        As returned by `link_levels`. Levels above the highest task level are not used.
    sigma, relevance, search : tensor-like, shape (...)
        As for `steps_at_level` and `step_success`.
    task_levels, task_lengths : tuple of int
        Levels (at least 1) and skill counts (at least 1) of the tasks.
    attempts, branching : int, default 1
        At least 1.
    independent_reachability : bool, default False
        See above; the published best-of-n curves have True.
    temperature : float, default 0
        0 takes the level of highest accuracy and, among equals (to 1e-12), of the fewest steps. Above 0 levels are
        averaged with weights exp(accuracy / temperature), for ``steps`` and ``level`` divided by
        steps^(1 / sqrt(temperature)).

    Returns
    -------
    TaskSuccess
        Named tuple: accuracy in [0, 1], the expected number of steps of all attempts and branches, and the level of
        execution (a mean level above temperature 0). A task that cannot succeed at any level has accuracy 0, the
        whole budget as its steps and, at temperature 0, the level -1.

    Raises
    ------
    ValueError
        If a static argument is out of range, or a task level above the number of levels.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (levels, tasks and policies).
    """
    _check_temperature(temperature)
    if min(attempts, branching) < 1:
        raise ValueError(f"attempts and branching must be at least 1, got {attempts} and {branching}")
    if min(task_levels) < 1 or min(task_lengths) < 1:
        raise ValueError(f"task levels and lengths must be at least 1, got {task_levels} and {task_lengths}")
    edge, component = _as_double(edge), _as_double(component)
    highest = max(task_levels)
    known = edge.type.shape[-1]
    if known is not None and known < highest:
        raise ValueError(f"tasks need levels up to {highest}, got edge probabilities of {known} levels")
    # Axes: ..., task level, task length, level of execution.
    p, gamma = (pt.expand_dims(v[..., :highest], (-3, -2)) for v in (edge, component))
    budget, sigma, relevance, search = (
        pt.expand_dims(_as_double(v), (-3, -2, -1)) for v in (budget, sigma, relevance, search)
    )
    lengths = np.asarray(task_lengths, dtype=float)[:, None]
    levels = np.asarray(task_levels)[:, None, None]
    m = steps_at_level(lengths, levels, np.arange(1, highest + 1), sigma, temperature=temperature)
    r = any_right(step_success(m, p, relevance, search, temperature=temperature), float(branching))
    K = budget / float(attempts * branching)
    found = finish_within(K, m, r)
    linked = pt.gt(gamma, 0.0)
    reachable = pt.switch(linked, pt.exp(m * pt.log(pt.switch(linked, gamma, 1.0))), 0.0)
    if independent_reachability:
        accuracies = any_right(reachable * found, float(attempts))
    else:
        accuracies = reachable * any_right(found, float(attempts))
    moving = pt.gt(r, 0.0)
    endless = pt.isinf(K)
    finite = pt.switch(endless, m, K)
    safe_r = pt.switch(moving, r, 1.0)
    walked = pt.switch(moving, pt.switch(endless, m / safe_r, mean_steps_within(finite, m, safe_r)), K)
    wandered = pt.switch(pt.lt(reachable, 1.0), (1.0 - reachable) * K, 0.0)
    steps = float(attempts * branching) * (pt.switch(linked, reachable * walked, 0.0) + wandered)
    ranks = np.arange(1.0, highest + 1.0)
    if temperature:
        weights = pt.special.softmax(accuracies / temperature, axis=-1)
        cheap = pt.special.softmax(accuracies / temperature - pt.log1p(steps) / np.sqrt(temperature), axis=-1)
        return TaskSuccess(
            (weights * accuracies).sum(axis=-1), (cheap * steps).sum(axis=-1), (cheap * ranks).sum(axis=-1)
        )
    accuracy = accuracies.max(axis=-1)
    tied = pt.switch(pt.ge(accuracies, pt.expand_dims(accuracy, -1) - _TIE), steps, np.inf)
    level = pt.switch(pt.gt(accuracy, 0.0), pt.argmin(tied, axis=-1) + 1, -1)
    return TaskSuccess(accuracy, tied.min(axis=-1), level)


# The published constants and labelled results.


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Constants of the skill hierarchy; the defaults are the published ones.

    Parameters
    ----------
    levels : int, default 100
        Levels of skills.
    skills : float, default 1e4
        Skills S of a level.
    decay : float, default 10
        A level uses the share exp(-decay level / levels) of the concepts.
    sigma : float, default 0.5
        A skill of level l has sigma ln l prerequisites, and one skill of level l stands for as many of level l - 1.
    needed : float, default 5
        Concepts eta a skill needs.
    failure : float, default 1e-5
        Probability delta with which the bound on a skill's concepts may fail.
    text_concepts : float, default 6
        Mean number of concepts of a text.
    params_per_concept : float, default 2500
        Model parameters that store one concept.
    tokens_per_text : float, default 1e4
        Tokens of one training text.
    tokens_per_param : float, default 20
        Training tokens per model parameter, kappa. Concepts are learned above 18.13.
    erasure : float, default 0.5
        Share of the concepts that peeling has to recover, in (0, 1).
    tokens_per_step : float, default 25
        Generated tokens omega of one step.
    relevance : float, default 5
        Relevant but not needed skills per needed one, beta.
    search : float, default 0.5
        How blind the search among relevant skills is, in [0, 1].
    task_levels : tuple of int, default (60, ..., 70)
        Levels of the tasks, equally likely. A task is executed at any level up to the highest of these.
    task_lengths : tuple of int, default (2, ..., 15)
        Skill counts of the tasks, equally likely.

    Raises
    ------
    ValueError
        If a constant is out of range.
    """

    levels: int = 100
    skills: float = 1e4
    decay: float = 10.0
    sigma: float = 0.5
    needed: float = 5.0
    failure: float = 1e-5
    text_concepts: float = 6.0
    params_per_concept: float = 2500.0
    tokens_per_text: float = 1e4
    tokens_per_param: float = 20.0
    erasure: float = 0.5
    tokens_per_step: float = 25.0
    relevance: float = 5.0
    search: float = 0.5
    task_levels: tuple[int, ...] = tuple(range(60, 71))
    task_lengths: tuple[int, ...] = tuple(range(2, 16))

    def __post_init__(self) -> None:
        positive = (
            "levels",
            "skills",
            "sigma",
            "needed",
            "text_concepts",
            "params_per_concept",
            "tokens_per_text",
            "tokens_per_param",
            "tokens_per_step",
        )
        for name in positive:
            value = getattr(self, name)
            if not 0.0 < value < np.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {value}")
        for name in ("failure", "erasure"):
            value = getattr(self, name)
            if not 0.0 < value < 1.0:
                raise ValueError(f"{name} must lie in (0, 1), got {value}")
        if not 0.0 <= self.decay < np.inf or not 0.0 <= self.relevance < np.inf:
            raise ValueError(
                f"decay and relevance must be at least 0 and finite, got {self.decay} and {self.relevance}"
            )
        if not 0.0 <= self.search <= 1.0:
            raise ValueError(f"search must lie in [0, 1], got {self.search}")
        if not self.task_levels or not 1 <= min(self.task_levels) <= max(self.task_levels) <= self.levels:
            raise ValueError(f"task_levels must be levels in 1..{self.levels}, got {self.task_levels}")
        if not self.task_lengths or min(self.task_lengths) < 1:
            raise ValueError(f"task_lengths must be skill counts of at least 1, got {self.task_lengths}")

    def concepts(self, C_tr: Any) -> Any:
        """Return the number R = sqrt(C_tr / (6 kappa zeta^2)) of concepts of a model trained with C_tr FLOP."""
        return (C_tr / (6.0 * self.tokens_per_param)) ** 0.5 / self.params_per_concept

    def params(self, C_tr: Any) -> Any:
        """Return the number N = sqrt(C_tr / (6 kappa)) of parameters of a model trained with C_tr FLOP."""
        return (C_tr / (6.0 * self.tokens_per_param)) ** 0.5


def _compute(name: str, values: Any) -> np.ndarray:
    array = np.atleast_1d(np.asarray(values, dtype=float))
    if array.ndim != 1 or not np.all((array > 0.0) & np.isfinite(array)):
        raise ValueError(f"{name} must be a number or a list of numbers above 0 and finite, in FLOP, got {values}")
    return array


def _learn(C_tr: np.ndarray, hierarchy: Hierarchy, temperature: float) -> tuple[np.ndarray, ...]:
    """Threshold, failure and levels of a hierarchy, evaluated."""
    h = hierarchy
    R = h.concepts(C_tr)
    threshold, _, log_failure = evaluate(
        peel,
        R,
        h.tokens_per_param,
        h.params_per_concept,
        h.tokens_per_text,
        h.text_concepts,
        erasure=h.erasure,
        temperature=temperature,
    )
    able = evaluate(
        level_competences,
        R,
        log_failure,
        h.decay,
        h.skills,
        h.needed,
        levels=h.levels,
        failure=h.failure,
        temperature=temperature,
    )
    # The recursion of `link_levels` without a scan, which would be compiled to machine code first.
    edge, component = np.zeros_like(able), np.zeros_like(able)
    below = np.ones_like(R)
    for i in range(h.levels):
        edge[:, i], below = evaluate(next_level, able[:, i], below, i + 1.0, h.skills, h.sigma, temperature=temperature)
        component[:, i] = below
        if not below.any():
            break
    return threshold, log_failure, able, edge, component


def skill_levels(C_tr: Any, hierarchy: Hierarchy | None = None, *, temperature: float = 0.0) -> xr.Dataset:
    """What training compute teaches, level by level.

    Parameters
    ----------
    C_tr : float or sequence of float
        Training compute in FLOP, above 0.
    hierarchy : Hierarchy, optional
        Constants; the published ones if not given.
    temperature : float, default 0
        0 gives the published hierarchy, above 0 a smooth one.

    Returns
    -------
    xarray.Dataset
        With dims (C_tr, level): ``competence`` of a skill, ``edge_probability`` between two skills, and
        ``reachability``, the share of the level's skills in its giant component. With dim C_tr: ``concepts``,
        ``params``, ``tokens`` of training, ``threshold`` of peeling, ``learned`` share of the concepts and
        ``max_level``, the highest level with a giant component (0 if none; at temperature 0 only).

    Raises
    ------
    ValueError
        If a compute or the temperature is out of range.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004; Nayak and Varshney, arXiv 2410.01243.

    Examples
    --------
    >>> skill_levels([1e24, 1e26])["max_level"].values
    array([42, 65])
    """
    h, compute = hierarchy or Hierarchy(), _compute("C_tr", C_tr)
    _check_temperature(temperature)
    threshold, log_failure, able, edge, component = _learn(compute, h, temperature)
    level = np.arange(1, h.levels + 1)
    by_level = ("C_tr", "level")
    share = {"units": "1"}
    data = {
        "competence": (by_level, able, {"long_name": "probability that a skill is learned", **share}),
        "edge_probability": (by_level, edge, {"long_name": "probability that two skills are linked", **share}),
        "reachability": (by_level, component, {"long_name": "share of skills in the giant component", **share}),
        "concepts": ("C_tr", h.concepts(compute), {"units": "concepts"}),
        "params": ("C_tr", h.params(compute), {"units": "parameters"}),
        "tokens": ("C_tr", h.tokens_per_param * h.params(compute), {"units": "tokens"}),
        "threshold": ("C_tr", threshold, {"long_name": "share of erased concepts that peeling recovers", **share}),
        "learned": ("C_tr", -np.expm1(log_failure), {"long_name": "share of concepts learned", **share}),
    }
    if not temperature:
        highest = np.max(np.where(component > 0.0, level, 0), axis=-1)
        data["max_level"] = ("C_tr", highest, {"long_name": "highest level with a giant component", "units": "level"})
    result = xr.Dataset(data, coords={"C_tr": compute, "level": level}, attrs={"temperature": temperature})
    result["C_tr"].attrs = {"long_name": "training compute", "units": "FLOP"}
    result["level"].attrs = {"long_name": "level of skills", "units": "level"}
    return result


def accuracy(
    C_tr: Any,
    C_inf: Any,
    hierarchy: Hierarchy | None = None,
    *,
    attempts: int = 1,
    branching: int = 1,
    independent_reachability: bool = False,
    temperature: float = 0.0,
) -> xr.Dataset:
    """Accuracy bought by training and inference compute.

    Parameters
    ----------
    C_tr : float or sequence of float
        Training compute in FLOP, above 0.
    C_inf : float or sequence of float
        Inference compute of one task in FLOP, above 0, shared by all attempts and branches:
        2 N omega steps FLOP, with N the parameters of the model and omega the tokens of a step.
    hierarchy : Hierarchy, optional
        Constants; the published ones if not given.
    attempts : int, default 1
        Attempts of best-of-n with a perfect verifier.
    branching : int, default 1
        Candidates per step of a tree search with a perfect check of each step.
    independent_reachability : bool, default False
        Whether what is reachable is drawn anew for every attempt, as in the published best-of-n curves, or belongs
        to the task.
    temperature : float, default 0
        0 gives the published hierarchy, above 0 a smooth one.

    Returns
    -------
    xarray.Dataset
        With dims (C_tr, C_inf): ``accuracy``, the mean over tasks, and ``tokens`` and ``flops``, the mean number of
        generated tokens and of FLOP spent. With (C_tr, C_inf, task_level, task_length): ``task_accuracy`` and
        ``executed_level`` (-1 where the task cannot be solved).

    Raises
    ------
    ValueError
        If a compute, ``attempts``, ``branching`` or the temperature is out of range.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (accuracy against inference compute).

    Examples
    --------
    >>> float(accuracy(3.8e25, 1e16)["accuracy"].item())  # doctest: +ELLIPSIS
    0.443522190125...
    """
    h, training, inference = hierarchy or Hierarchy(), _compute("C_tr", C_tr), _compute("C_inf", C_inf)
    _check_temperature(temperature)
    _, _, _, edge, component = _learn(training, h, temperature)
    per_step = 2.0 * h.params(training) * h.tokens_per_step
    solved, steps, level = evaluate(
        solve_tasks,
        inference / per_step[:, None],
        edge[:, None, :],
        component[:, None, :],
        h.sigma,
        h.relevance,
        h.search,
        core=(0, 1, 1, 0, 0, 0),
        block=16,
        task_levels=h.task_levels,
        task_lengths=h.task_lengths,
        attempts=attempts,
        branching=branching,
        independent_reachability=independent_reachability,
        temperature=temperature,
    )
    mean_steps = steps.mean(axis=(-2, -1))
    by_compute, by_task = ("C_tr", "C_inf"), ("C_tr", "C_inf", "task_level", "task_length")
    result = xr.Dataset(
        {
            "accuracy": (by_compute, solved.mean(axis=(-2, -1)), {"long_name": "mean accuracy", "units": "1"}),
            "tokens": (by_compute, h.tokens_per_step * mean_steps, {"long_name": "tokens per task", "units": "tokens"}),
            "flops": (by_compute, per_step[:, None] * mean_steps, {"long_name": "compute per task", "units": "FLOP"}),
            "task_accuracy": (by_task, solved, {"long_name": "accuracy", "units": "1"}),
            "executed_level": (by_task, level, {"long_name": "level of execution", "units": "level"}),
        },
        coords={
            "C_tr": training,
            "C_inf": inference,
            "task_level": list(h.task_levels),
            "task_length": list(h.task_lengths),
        },
        attrs={"attempts": attempts, "branching": branching, "temperature": temperature},
    )
    result["C_tr"].attrs = {"long_name": "training compute", "units": "FLOP"}
    result["C_inf"].attrs = {"long_name": "inference compute of one task", "units": "FLOP"}
    result["task_level"].attrs = {"long_name": "level of the task", "units": "level"}
    result["task_length"].attrs = {"long_name": "skills the task needs", "units": "skills"}
    return result
