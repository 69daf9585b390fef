import json
from pathlib import Path

import numpy as np
import pytest

from ds3bayes.theory import cost, path
from ds3bayes.theory.evaluate import evaluate

GOLDEN = json.loads((Path(__file__).parent / "closed_forms.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["tot_equal_flops"], ids=lambda c: f"b{c['b']}G{c['cot_tokens']}")
def test_equal_flops_reference_values(case):
    keys = ("cot_tokens", "N", "n_layer", "d_attn", "prompt", "b", "omega")
    got = evaluate(cost.equal_flops_tree_tokens, *(case[key] for key in keys))
    assert got == pytest.approx(case["tot_tokens"], rel=1e-12)


def test_equal_flops_asymptotes():
    share = evaluate(cost.equal_flops_tree_tokens, 1e12, 1e9, 96, 12288, 200, 16, 25) / 1e12
    assert share == pytest.approx(1 / 4, rel=1e-6)
    share = evaluate(cost.equal_flops_tree_tokens, 1e3, 1e16, 96, 12288, 200, 16, 25) / 1e3
    assert share == pytest.approx(1 / 16, rel=1e-4)
    # Without branching nearly the whole budget is one chain.
    assert evaluate(cost.equal_flops_tree_tokens, 1e4, 1e10, 96, 12288, 200, 1, 25) == pytest.approx(1e4, rel=1e-6)


@pytest.mark.parametrize("case", GOLDEN["parallel_latency_steps"], ids=lambda c: f"n{c['N']}")
def test_latency_reference_values(case):
    got = evaluate(cost.expected_max_steps, case["r"], case["m"], case["K"], case["N"])
    assert got == pytest.approx(case["expected_max_steps"], rel=1e-12)


def test_latency_of_one_attempt_is_its_expected_steps():
    K = np.array([0, 1, 5, 40])
    got = evaluate(cost.expected_max_steps, 0.2, 4, K, 1, 0.03)
    np.testing.assert_allclose(got, evaluate(path.expected_steps, K, 4, 0.2, 0.03), rtol=1e-12)


def test_latency_by_simulation():
    rng = np.random.default_rng(5)
    steps = np.minimum(rng.geometric(0.2, size=(200_000, 6, 5)).sum(axis=-1), 50).max(axis=1)
    error = steps.std() / np.sqrt(steps.size)
    assert abs(evaluate(cost.expected_max_steps, 0.2, 5, 50, 6) - steps.mean()) < 4.5 * error


def test_flops_counts_attention_token_by_token():
    N, layers, width, prompt, generated = 1e9, 24, 2048, 30, 17
    pairs = prompt**2 + sum(prompt + i for i in range(generated))
    wanted = 2 * N * generated + 2 * layers * width * pairs
    assert evaluate(cost.flops, N, generated, prompt, layers, width) == pytest.approx(wanted, rel=1e-14)
    assert evaluate(cost.flops, N, [1, 2], prompt).tolist() == [2e9, 4e9]


def test_flops_of_attempts_share_the_prompt():
    rng = np.random.default_rng(3)
    generated = rng.integers(1, 40, (5000, 3))
    N, layers, width, prompt = 1e6, 4, 64, 30
    # Every token attends to the prompt and to what its own attempt wrote before; the prompt is read once.
    pairs = prompt**2 + (generated * prompt + generated * (generated - 1) / 2).sum(axis=1)
    wanted = (2 * N * generated.sum(axis=1) + 2 * layers * width * pairs).mean()
    mean, square = generated.mean(), (generated**2.0).mean()

    def spent(N, mean, prompt, layers, width, attempts, square):
        return cost.flops(N, mean, prompt, layers, width, attempts=attempts, squared=square)

    assert evaluate(spent, N, mean, prompt, layers, width, 3, square) == pytest.approx(wanted, rel=1e-12)


def test_flops_needs_the_whole_architecture():
    with pytest.raises(ValueError, match="both n_layer and d_attn"):
        cost.flops(1e9, 10, 10, n_layer=4)


def test_money_and_time():
    assert evaluate(cost.usd, 1000, 2000, 3.0, 15.0) == pytest.approx(0.033, rel=1e-14)
    assert evaluate(cost.seconds, 100, 50) == 2.0


@pytest.mark.parametrize("b", [1, 2, 3, 5])
@pytest.mark.parametrize("w", [1, 2, 5, 9])
def test_tree_candidates_by_counting(b, w):
    counts, kept, total = [], 1, 0
    for _ in range(7):
        total += kept * b
        kept = min(w, kept * b)
        counts.append(total)
    m = np.arange(1, 8)
    np.testing.assert_array_equal(evaluate(cost.tree_candidates, m, b=b, w=w), counts)
    middle = evaluate(cost.tree_candidates, m[:-1] + 0.25, b=b, w=w)
    np.testing.assert_allclose(middle, 0.75 * np.array(counts[:-1]) + 0.25 * np.array(counts[1:]), rtol=1e-14)
