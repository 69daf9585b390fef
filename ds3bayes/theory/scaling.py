"""From model size and data to success, and from a compute budget to the best model, data and tokens.

The loss law L(N, D) = E + A N^-alpha + B D^-beta turns parameters N and training tokens D into a loss; a step of a
task succeeds with a probability that is logistic in the loss; tasks are paths of such steps. Training costs 6 N D
FLOP and generating a token 2 N FLOP, so a budget is split between the model, its data and its inference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr

from ds3bayes.deferred import pt, pytensor
from ds3bayes.theory._special import as_float
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.path import finish_within

_NEWTON_STEPS = 9
_ZOOM_POINTS = 13
_ZOOM_ROUNDS = 14
_BLOCK = 1_000_000  # grid points that are evaluated at a time


def _as_double(value: Any) -> Any:
    """Return a tensor, of float64 also for a Python number such as 0.5, which PyTensor would make a float32."""
    return as_float(np.float64(value) if isinstance(value, int | float) else value)


def loss(
    params: Any,
    tokens: Any,
    E: Any = 1.69,
    A: Any = 406.4,
    alpha: Any = 0.34,
    B: Any = 410.7,
    beta: Any = 0.28,
) -> Any:
    """Pre-training loss of a language model, L(N, D) = E + A N^-alpha + B D^-beta.

    Parameters
    ----------
    params : tensor-like
        Parameters N, above 0; may be inf.
    tokens : tensor-like
        Training tokens D, above 0; may be inf.
    E, A, alpha, B, beta : tensor-like
        Constants, above 0; the defaults are the published central values.

    Returns
    -------
    tensor
        Nats per token; all arguments broadcast.

    References
    ----------
    Hoffmann et al. 2022, arXiv 2203.15556 (training compute-optimal large language models).
    """

    def gap(scale: Any, size: Any, exponent: Any) -> Any:
        size = _as_double(size)
        endless = pt.isinf(size)
        return pt.switch(endless, 0.0, _as_double(scale) * pt.exp(-exponent * pt.log(pt.switch(endless, 1.0, size))))

    return _as_double(E) + gap(A, params, _as_double(alpha)) + gap(B, tokens, _as_double(beta))


def step_success(loss: Any, threshold: Any, slope: Any = 5.0, ceiling: Any = 1.0) -> Any:
    """Probability that a step completes the next needed skill, r = a logistic(b (L0 - L)).

    Parameters
    ----------
    loss : tensor-like
        Loss L of the model.
    threshold : tensor-like
        Loss L0 at which a step of the task succeeds half as often as at best; higher is easier.
    slope : tensor-like, default 5
        b, above 0, per nat.
    ceiling : tensor-like, default 1
        a in (0, 1].

    Returns
    -------
    tensor
        r in (0, a); all arguments broadcast.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (step success from pre-training loss).
    """
    return _as_double(ceiling) * pt.sigmoid(_as_double(slope) * (_as_double(threshold) - _as_double(loss)))


def path_success(
    params: Any,
    tokens: Any,
    steps: Any,
    path_length: Any,
    threshold: Any,
    slope: Any = 5.0,
    ceiling: Any = 1.0,
    E: Any = 1.69,
    A: Any = 406.4,
    alpha: Any = 0.34,
    B: Any = 410.7,
    beta: Any = 0.28,
) -> Any:
    """Probability that a model solves a task within a budget of steps, I_r(m, K - m + 1).

    r is `step_success` at the `loss` of the model, I the regularised incomplete beta function.

    Parameters
    ----------
    params, tokens : tensor-like
        Parameters N and training tokens D, above 0; may be inf.
    steps : tensor-like
        Step budget K >= 0; may be inf.
    path_length : tensor-like
        Skills m >= 1 the task needs; real values allowed.
    threshold, slope, ceiling : tensor-like
        As for `step_success`.
    E, A, alpha, B, beta : tensor-like
        As for `loss`.

    Returns
    -------
    tensor
        In [0, 1], 0 where K <= m - 1; all arguments broadcast.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004; Hoffmann et al. 2022, arXiv 2203.15556.
    """
    r = step_success(loss(params, tokens, E, A, alpha, B, beta), threshold, slope, ceiling)
    return finish_within(_as_double(steps), _as_double(path_length), r)


def inference_demand(compute: Any, generated: Any, kappa: Any = 20.0) -> tuple[Any, Any]:
    """Compute-optimal model that must generate a given number of tokens, for equal loss exponents 1/3.

    Minimises A N^(-1/3) + B D^(-1/3) under C = 6 N D + 2 N D_inf: with s = sqrt(kappa C / 6),
    D = s/2 + sqrt(s^2/4 + s D_inf / 3) and N = C / (6 D + 2 D_inf).

    Parameters
    ----------
    compute : tensor-like
        C in FLOP, above 0.
    generated : tensor-like
        Tokens D_inf to be generated over the life of the model, >= 0.
    kappa : tensor-like, default 20
        Training tokens per parameter of the optimum without inference, (B / A)^3.

    Returns
    -------
    tuple of tensor
        Training tokens D and parameters N.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (training under inference demand).
    """
    C, generated = _as_double(compute), _as_double(generated)
    s = pt.sqrt(_as_double(kappa) * C / 6.0)
    tokens = s / 2.0 + pt.sqrt(s**2 / 4.0 + s * generated / 3.0)
    return tokens, C / (6.0 * tokens + 2.0 * generated)


def lowest_loss(
    compute: Any,
    generated: Any,
    A: Any = 406.4,
    alpha: Any = 0.34,
    B: Any = 410.7,
    beta: Any = 0.28,
) -> tuple[Any, Any]:
    """Compute-optimal model that must generate a given number of tokens, for any loss exponents.

    Minimises A N^-alpha + B D^-beta under C = 6 N D + 2 N D_inf. In d = log D the optimum is the root of
    log(6 alpha A / (beta B)) - alpha log C + (1 + beta) d - (1 - alpha) log(6 D + 2 D_inf), which is increasing and
    concave: Newton's method, begun at the optimum without inference, rises to it monotonically.

    Parameters
    ----------
    compute : tensor-like
        C in FLOP, above 0.
    generated : tensor-like
        Tokens D_inf to be generated over the life of the model, >= 0.
    A, alpha, B, beta : tensor-like
        Constants of `loss`; alpha in (0, 1), the others above 0.

    Returns
    -------
    tuple of tensor
        Training tokens D and parameters N, with exact first derivatives; higher ones are not carried.

    References
    ----------
    Hoffmann et al. 2022, arXiv 2203.15556; Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.
    """
    C, generated, A, alpha, B, beta = (_as_double(v) for v in (compute, generated, A, alpha, B, beta))
    ratio = pt.log(alpha * A) - pt.log(beta * B)
    log_compute = pt.log(C)

    def newton(d: Any) -> Any:
        training = 6.0 * pt.exp(d)
        total = training + 2.0 * generated
        value = ratio + np.log(6.0) - alpha * log_compute + (1.0 + beta) * d - (1.0 - alpha) * pt.log(total)
        slope = 1.0 + beta - (1.0 - alpha) * training / total
        return d - value / pytensor.gradient.disconnected_grad(slope)

    d = (alpha * (log_compute - np.log(6.0)) - ratio) / (alpha + beta)
    for _ in range(_NEWTON_STEPS):
        d = newton(d)
    tokens = pt.exp(newton(pytensor.gradient.disconnected_grad(d)))
    return tokens, C / (6.0 * tokens + 2.0 * generated)


@dataclass(frozen=True, kw_only=True, eq=False)
class LossLaw:
    """Constants of the loss law and of step success, one value each or one per posterior draw.

    Parameters
    ----------
    E, A, alpha, B, beta : float or array of shape (draws,)
        Constants of `loss`, above 0; the defaults are the published central values.
    slope : float or array of shape (draws,), default 5
        Slope of step success in the loss, above 0.
    ceiling : float or array of shape (draws,), default 1
        Largest step success, in (0, 1].

    Raises
    ------
    ValueError
        If a constant is out of range, or the numbers of draws differ.

    References
    ----------
    Hoffmann et al. 2022, arXiv 2203.15556; Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004.
    """

    E: Any = 1.69
    A: Any = 406.4
    alpha: Any = 0.34
    B: Any = 410.7
    beta: Any = 0.28
    slope: Any = 5.0
    ceiling: Any = 1.0

    def __post_init__(self) -> None:
        sizes = {}
        for field in fields(self):
            value = np.asarray(getattr(self, field.name), dtype=float)
            if value.ndim > 1 or not np.all((value > 0.0) & np.isfinite(value)):
                raise ValueError(f"{field.name} must be a number or a vector of draws, above 0 and finite, got {value}")
            if value.ndim:
                sizes[field.name] = value.size
        if len(set(sizes.values())) > 1:
            raise ValueError(f"constants must have the same number of draws, got {sizes}")
        if np.any(np.asarray(self.ceiling) > 1.0):
            raise ValueError(f"ceiling must be at most 1, got {self.ceiling}")

    @property
    def draws(self) -> int | None:
        """Number of draws, or None if every constant is a single value."""
        sizes = [np.size(value) for field in fields(self) if np.ndim(value := getattr(self, field.name))]
        return sizes[0] if sizes else None

    def _columns(self) -> list[np.ndarray]:
        """Return the constants in order, each of shape (draws or 1,)."""
        return [np.atleast_1d(np.asarray(getattr(self, field.name), dtype=float)) for field in fields(self)]


def _steps_of(params: Any, tokens: Any, threshold: Any, *constants: Any) -> Any:
    *law, slope, ceiling = constants
    return step_success(loss(params, tokens, *law), threshold, slope, ceiling)


def walk(path_length: float, tokens_per_step: float = 25.0) -> Callable[[Any, Any], np.ndarray]:
    """Return the success of one chain of thought as a function of step success and generated tokens.

    Parameters
    ----------
    path_length : float
        Skills m >= 1 the task needs.
    tokens_per_step : float, default 25
        Tokens of one step, above 0. The number of steps, tokens / tokens_per_step, is not rounded.

    Returns
    -------
    callable
        ``success(r, tokens)`` for `allocate`.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    if not path_length >= 1.0 or not tokens_per_step > 0.0:
        raise ValueError(
            f"path_length must be at least 1 and tokens_per_step above 0, got {path_length} and {tokens_per_step}"
        )

    def success(r: Any, tokens: Any) -> np.ndarray:
        return evaluate(finish_within, np.asarray(tokens) / tokens_per_step, float(path_length), r)

    return success


def allocate(
    compute: Any,
    tasks: float,
    success: Callable[[Any, Any], Any] | Mapping[str, Callable[[Any, Any], Any]],
    law: LossLaw | None = None,
    *,
    thresholds: Sequence[float] = (3.0,),
    infinite_data: bool = False,
    params_range: tuple[float, float] = (1e6, 1e14),
    tokens_range: tuple[float, float] = (1.0, 1e8),
    points: int = 81,
) -> xr.Dataset:
    """Split a compute budget between parameters, training data and generated tokens so that accuracy is highest.

    Maximises the mean accuracy over (N, Omega) where 6 N D + tasks 2 N Omega = compute, Omega being the tokens
    generated for a task. The search runs over a grid in (log N, log Omega) and then zooms into the best cell, for
    every posterior draw on its own: the optimal allocation has a distribution.

    Parameters
    ----------
    compute : float or sequence of float
        Budgets in FLOP, above 0.
    tasks : float
        Number of future tasks, above 0.
    success : callable or dict of callables
        ``success(r, tokens)``: accuracy in [0, 1] for arrays of step success and of the tokens
        generated for a task by all attempts together; both have one shape. A dict compares strategies by name.
    law : LossLaw, optional
        Constants, possibly with draws; the published central values if not given.
    thresholds : sequence of float, default (3.0,)
        Loss thresholds L0 of the tasks, equally likely.
    infinite_data : bool, default False
        Whether training is free and data endless: then 2 N Omega tasks = compute, and the search is over N.
    params_range, tokens_range : tuple of float
        Least and greatest N and Omega that are searched, above 0.
    points : int, default 81
        Grid points per axis, at least 3. An optimum narrower than a grid cell may be missed.

    Returns
    -------
    xarray.Dataset
        Dims (strategy, compute, draw), without ``strategy`` for a single callable and without ``draw`` for a law
        of single values: ``accuracy``, ``params`` N, ``training_tokens`` D (inf with infinite data), ``tokens``
        Omega, ``training_share`` of the compute. Among equally good allocations the one with the fewest parameters,
        then the fewest tokens, on the grid is taken. NaN where no allocation of the ranges fits the budget.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (training and inference compute).

    Examples
    --------
    >>> best = allocate(1e24, 1e9, walk(20))
    >>> round(float(best["accuracy"].item()), 3)
    1.0
    """
    law = law or LossLaw()
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    if budgets.ndim != 1 or not np.all((budgets > 0.0) & np.isfinite(budgets)):
        raise ValueError(f"compute must be a number or a list of numbers above 0 and finite, got {compute}")
    if not 0.0 < tasks < np.inf:
        raise ValueError(f"tasks must be above 0 and finite, got {tasks}")
    for name, (low, high) in (("params_range", params_range), ("tokens_range", tokens_range)):
        if not 0.0 < low < high < np.inf:
            raise ValueError(f"{name} must be two increasing numbers above 0, got {(low, high)}")
    if points < 3:
        raise ValueError(f"points must be at least 3, got {points}")
    if not len(thresholds):
        raise ValueError("thresholds must hold at least one loss, got none")
    strategies = dict(success) if isinstance(success, Mapping) else {"": success}
    bounds = np.log([params_range, tokens_range])
    found = np.stack(
        [
            np.stack(
                [
                    _best(budget, tasks, strategy, law, np.asarray(thresholds, float), infinite_data, bounds, points)
                    for budget in budgets
                ],
                axis=1,
            )
            for strategy in strategies.values()
        ],
        axis=1,
    )
    log_params, log_tokens, reached = found
    params, tokens = np.exp(log_params), np.exp(log_tokens)
    spent = 2.0 * tasks * params * tokens / budgets[:, None]
    if infinite_data:
        data, share = np.where(np.isnan(params), np.nan, np.inf), 0.0 * params
    else:
        data = budgets[:, None] * (1.0 - spent) / (6.0 * params)
        share = 1.0 - spent
    dims = ("strategy", "compute", "draw")
    result = xr.Dataset(
        {
            "accuracy": (dims, reached, {"long_name": "mean accuracy", "units": "1"}),
            "params": (dims, params, {"long_name": "model parameters", "units": "parameters"}),
            "training_tokens": (dims, data, {"long_name": "training tokens", "units": "tokens"}),
            "tokens": (dims, tokens, {"long_name": "generated tokens per task", "units": "tokens"}),
            "training_share": (dims, share, {"long_name": "share of the compute spent on training", "units": "1"}),
        },
        coords={"strategy": list(strategies), "compute": budgets, "draw": np.arange(found.shape[-1])},
        attrs={"tasks": tasks, "infinite_data": int(infinite_data)},
    )
    result["compute"].attrs = {"long_name": "compute for training and all tasks", "units": "FLOP"}
    if not isinstance(success, Mapping):
        result = result.isel(strategy=0, drop=True)
    return result if law.draws else result.isel(draw=0, drop=True)


def _best(
    budget: float,
    tasks: float,
    success: Callable[[Any, Any], Any],
    law: LossLaw,
    thresholds: np.ndarray,
    infinite_data: bool,
    bounds: np.ndarray,
    points: int,
) -> np.ndarray:
    """Return the best log N, log Omega and its accuracy, shape (3, draws)."""
    columns = law._columns()
    draws = law.draws or 1

    def accuracies(log_params: np.ndarray, log_tokens: np.ndarray, rows: slice) -> np.ndarray:
        """Accuracy on points of shape (draws or 1, points), -1 where the budget does not suffice."""
        params, tokens = np.exp(log_params), np.exp(log_tokens)
        if infinite_data:
            data, feasible = np.full_like(params, np.inf), (log_tokens >= bounds[1, 0]) & (log_tokens <= bounds[1, 1])
        else:
            data = (budget / params - 2.0 * tasks * tokens) / 6.0
            feasible = data > 0.0
        constants = [column[rows if column.size > 1 else slice(None), None, None] for column in columns]
        data = np.where(feasible, data, 1.0)
        r = evaluate(_steps_of, params[..., None], data[..., None], thresholds, *constants)
        each = np.asarray(success(r, np.broadcast_to(tokens[..., None], r.shape)), dtype=float)
        if each.shape != r.shape or np.any(np.isnan(each)):
            raise ValueError(
                f"success(r, tokens) must return numbers of shape {r.shape}, got shape {each.shape} or NaN"
            )
        return np.where(feasible, each.mean(axis=-1), -1.0)

    def tokens_of(log_params: np.ndarray) -> np.ndarray:
        return np.log(budget / (2.0 * tasks)) - log_params

    def search(rows: slice) -> np.ndarray:
        count = len(range(*rows.indices(draws)))
        first = np.linspace(bounds[0, 0], bounds[0, 1], points)[None, :]
        if infinite_data:
            grid = np.stack([first, tokens_of(first)])
        else:
            pair = np.meshgrid(first[0], np.linspace(bounds[1, 0], bounds[1, 1], points), indexing="ij")
            grid = np.stack([axis.reshape(1, -1) for axis in pair])
        spacing = (bounds[:, 1] - bounds[:, 0]) / (points - 1)
        value = np.broadcast_to(accuracies(grid[0], grid[1], rows), (count, grid.shape[-1]))
        where = value.argmax(axis=1)
        best = np.stack([np.broadcast_to(axis[0], value.shape[1:])[where] for axis in grid])
        reached = value.max(axis=1)
        # A window of 1.5 cells on each side holds the optimum of a smooth peak; each round refines it fourfold.
        offsets = np.linspace(-1.5, 1.5, _ZOOM_POINTS)
        window = (
            np.array([offsets])
            if infinite_data
            else np.stack([axis.ravel() for axis in np.meshgrid(offsets, offsets, indexing="ij")])
        )
        for _ in range(_ZOOM_ROUNDS):
            near = [
                np.clip(best[axis][:, None] + spacing[axis] * window[axis], bounds[axis, 0], bounds[axis, 1])
                for axis in range(len(window))
            ]
            if infinite_data:
                near.append(tokens_of(near[0]))
            value = accuracies(near[0], near[1], rows)
            where = value.argmax(axis=1)[:, None]
            top = np.take_along_axis(value, where, axis=1)[:, 0]
            better = top > reached
            best = np.where(better, np.stack([np.take_along_axis(axis, where, axis=1)[:, 0] for axis in near]), best)
            reached = np.where(better, top, reached)
            spacing = spacing / 4.0
        return np.where(reached >= 0.0, np.concatenate([best, reached[None]]), np.nan)

    per_draw = (points if infinite_data else points**2) * thresholds.size
    block = max(1, _BLOCK // per_draw)
    return np.concatenate([search(slice(i, min(i + block, draws))) for i in range(0, draws, block)], axis=1)
