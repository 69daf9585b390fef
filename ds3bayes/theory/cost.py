"""What an inference spends: FLOPs, money, time, and the equal-FLOP split between strategies."""

from __future__ import annotations

from typing import Any

from ds3bayes.deferred import pt
from ds3bayes.theory._special import as_float
from ds3bayes.theory.path import truncated
from ds3bayes.theory.selectors import any_right
from ds3bayes.theory.trees import kept_states


def flops(
    params: Any,
    generated: Any,
    prompt: Any,
    n_layer: Any = None,
    d_attn: Any = None,
    *,
    attempts: Any = 1.0,
    squared: Any = None,
) -> Any:
    """Floating-point operations of attempts that generate tokens after one prompt.

    2 N A G + 2 n_layer d_attn [P^2 + A (G P + G (G - 1)/2)] with N parameters, A attempts of G generated tokens, and
    P prompt tokens that are read once. The bracket counts attention; without ``n_layer`` and ``d_attn`` it is left
    out and the result is 2 N A G. Where the tokens of an attempt are random the expectation needs those of G^2 too.

    Parameters
    ----------
    params : tensor-like
        Parameters N that are active per token.
    generated : tensor-like
        Generated tokens G of one attempt, or their expectation.
    prompt : tensor-like
        Prompt tokens P.
    n_layer, d_attn : tensor-like, optional
        Number of layers and width of attention; give both or neither.
    attempts : tensor-like, default 1
        Number of attempts A, each of which attends to the same prompt and to itself.
    squared : tensor-like, optional
        Expectation of G^2; the square of ``generated`` if absent, as for a known number of tokens.

    Returns
    -------
    tensor
        FLOP of all attempts; all arguments broadcast.

    Raises
    ------
    ValueError
        If only one of ``n_layer`` and ``d_attn`` is given.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (inference cost).
    """
    if (n_layer is None) != (d_attn is None):
        raise ValueError("give both n_layer and d_attn, or neither")
    generated, prompt, attempts = as_float(generated), as_float(prompt), as_float(attempts)
    dense = 2.0 * as_float(params) * attempts * generated
    if n_layer is None:
        return dense
    square = generated**2 if squared is None else as_float(squared)
    pairs = prompt**2 + attempts * (generated * prompt + (square - generated) / 2.0)
    return dense + 2.0 * as_float(n_layer) * as_float(d_attn) * pairs


def usd(
    prompt: Any, generated: Any, input_price: Any, output_price: Any, cached: Any = 0.0, cached_price: Any = 0.0
) -> Any:
    """Price of an attempt in USD.

    Parameters
    ----------
    prompt, generated : tensor-like
        Prompt tokens read anew and generated tokens.
    input_price, output_price : tensor-like
        USD per million prompt tokens and per million generated tokens.
    cached : tensor-like, default 0
        Prompt tokens read from a cache, not counted in ``prompt``.
    cached_price : tensor-like, default 0
        USD per million cached prompt tokens.
    """
    spent = as_float(prompt) * as_float(input_price) + as_float(generated) * as_float(output_price)
    return (spent + as_float(cached) * as_float(cached_price)) / 1e6


def joules(flop: Any, flop_per_joule: Any) -> Any:
    """Energy of ``flop`` floating-point operations in joules, at an efficiency in FLOP per joule."""
    return as_float(flop) / as_float(flop_per_joule)


def seconds(tokens: Any, tokens_per_second: Any) -> Any:
    """Time to generate ``tokens`` one after another at a speed in tokens per second."""
    return as_float(tokens) / as_float(tokens_per_second)


def expected_max_steps(r: Any, m: Any, K: Any, n: Any, h: Any = 0.0) -> Any:
    """Return the expected number of sequential steps until the last of n parallel attempts has ended.

    sum_{k<K} [1 - F(k)^n] with F(k) = P(an attempt has ended within k steps), for attempts of
    the path walk with at most K steps each.

    Parameters
    ----------
    r : tensor-like
        Probability in (0, 1] that a step completes the next needed skill.
    m : tensor-like
        Path length, at least 1.
    K : tensor-like of int
        Finite step budget of each attempt, at least 0.
    n : tensor-like
        Number of parallel attempts, at least 1.
    h : tensor-like, default 0
        Probability in [0, 1 - r] that a step commits to a wrong answer.

    Returns
    -------
    tensor
        Steps; all arguments broadcast. Needs memory in proportion to the largest K.
    """
    K = pt.as_tensor_variable(K)
    last = pt.max(K)
    k = pt.arange(last if K.dtype.startswith("int") else last.astype("int64"), dtype="float64")
    unfinished = truncated(k, *(pt.expand_dims(as_float(x), -1) for x in (m, r, h)))
    late = any_right(unfinished, pt.expand_dims(as_float(n), -1))
    return pt.switch(pt.lt(k, pt.expand_dims(as_float(K), -1)), late, 0.0).sum(axis=-1)


def equal_flops_attempt_tokens(cot_tokens: Any, params: Any, n_layer: Any, d_attn: Any, prompt: Any, n: Any) -> Any:
    """Tokens of each of n attempts that together spend as many FLOPs as one chain of thought.

    With attention size B = n_layer d_attn, P prompt tokens that are read once by either and k' = 2 P - 1 + 2 N/B,
    the tokens X of an attempt solve n (X^2 + k' X) = G^2 + k' G, G being the tokens of the chain. Where
    attention dominates, X is near G/sqrt(n); where parameters dominate it is near G/n.

    Parameters
    ----------
    cot_tokens : tensor-like
        Generated tokens G of the chain of thought.
    params : tensor-like
        Parameters N.
    n_layer, d_attn : tensor-like
        Number of layers and width of attention.
    prompt : tensor-like
        Prompt tokens P.
    n : tensor-like
        Attempts, at least 1.

    Returns
    -------
    tensor
        Tokens; all arguments broadcast.
    """
    chain = as_float(cot_tokens)
    linear = 2.0 * as_float(prompt) - 1.0 + 2.0 * as_float(params) / (as_float(n_layer) * as_float(d_attn))
    target = (chain**2 + linear * chain) / as_float(n)
    return 2.0 * target / (linear + pt.sqrt(linear**2 + 4.0 * target))


def equal_flops_tree_tokens(
    cot_tokens: Any, params: Any, n_layer: Any, d_attn: Any, prompt: Any, b: Any, step_tokens: Any
) -> Any:
    """Tokens on one branch of a tree search that spends as many FLOPs as a chain of thought.

    With attention size B = n_layer d_attn, P prompt tokens, omega tokens per step and b candidates per step,
    k' = 2 P - 1 + 2 N/B, v = b + (b - 1)/omega and t = b k' + v/B, the tokens X of the tree solve
    b X^2 + t X = G^2 + k' G, G being the tokens of the chain. Where attention dominates, X is near
    G/sqrt(b); where parameters dominate it is near G/b.

    Parameters
    ----------
    cot_tokens : tensor-like
        Generated tokens G of the chain of thought.
    params : tensor-like
        Parameters N.
    n_layer, d_attn : tensor-like
        Number of layers and width of attention.
    prompt : tensor-like
        Prompt tokens P.
    b : tensor-like
        Candidates per step, at least 1.
    step_tokens : tensor-like
        Tokens omega per step.

    Returns
    -------
    tensor
        Tokens; all arguments broadcast.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004 (equal-compute comparison of strategies).
    """
    chain, b, omega = as_float(cot_tokens), as_float(b), as_float(step_tokens)
    attention = as_float(n_layer) * as_float(d_attn)
    linear = 2.0 * as_float(prompt) - 1.0 + 2.0 * as_float(params) / attention
    t = b * linear + (b + (b - 1.0) / omega) / attention
    target = chain**2 + linear * chain
    # The root with the smaller magnitude, in the form that does not subtract near-equal numbers.
    return 2.0 * target / (t + pt.sqrt(t**2 + 4.0 * b * target))


def tree_candidates(path_length: Any, b: int, w: int) -> Any:
    """Return the number of candidates proposed in a tree search of m levels.

    b on the first level and b per kept state on every later level: b + sum_{l<m} b k_l, k_l = min(w, b
    k_{l-1}) the states kept after level l and k_0 = 1. For real m the sum is linear between whole numbers.

    Parameters
    ----------
    path_length : tensor-like
        Number m >= 1 of levels.
    b : int
        Candidates proposed per kept state, at least 1.
    w : int
        States kept per level, at least 1.

    Returns
    -------
    tensor
        Shape of ``path_length``.
    """
    m = as_float(path_length)
    # The number of kept states grows until it is w (or stays 1 without branching).
    levels = 1
    while (growing := kept_states(levels, b, w))[-1] != min(w, b * growing[-1]):
        levels += 1
    total: Any = float(b)
    for level, kept in enumerate(growing[:-1], start=1):
        total = total + b * kept * pt.maximum(0.0, pt.minimum(1.0, m - level))
    return total + b * growing[-1] * pt.maximum(0.0, m - len(growing))
