import json
from decimal import Decimal, localcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.compile.mode import Mode
from scipy.optimize import brentq
from scipy.special import betainc, lambertw, rel_entr
from scipy.stats import norm

from ds3bayes.theory import hierarchy
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.hierarchy import Hierarchy

HERE = Path(__file__).parent
PUBLISHED = json.loads((HERE / "published_curves.json").read_text())
CLOSED = json.loads((HERE / "closed_forms.json").read_text())
MODE = Mode(linker="py", optimizer="merge")
# An inner function of a scan would otherwise be compiled to machine code, which takes longer than all tests here.
PLAIN = pytensor.config.change_flags(cxx="")


def peeled(R, kappa, *, temperature=0.0):
    return tuple(hierarchy.peel(R, kappa, temperature=temperature))


def regular(*, fixed=False):
    variables, checks = hierarchy.polynomial_degrees([0, 0, 1]), hierarchy.polynomial_degrees([0, 0, 0, 0, 0, 1])
    threshold, x = hierarchy.peeling_threshold(variables, checks)
    return threshold, x, hierarchy.peeling_spread(variables, checks, x, threshold, fixed=fixed)


# Oracles: the formulas of the paper in NumPy and SciPy, level by level and task by task.


def reference_peeling(R, kappa, zeta=2500.0, tau=1e4, d_t=6.0, erasure=0.5):
    texts, p, n = kappa * zeta * R / tau, np.minimum(d_t / R, 1.0), R / erasure

    def power(x, exponent):
        return np.exp(exponent * np.log1p(-p * (1 - x)))

    def rho(x):
        return power(x, n - 1)

    def rho_slope(x):
        return (n - 1) * p * power(x, n - 2)

    def lam(x):
        return power(x, texts - 1)

    def lam_slope(x):
        return (texts - 1) * p * power(x, texts - 2)

    def load_slope(x):
        return 1 / x - lam_slope(1 - rho(1 - x)) * rho_slope(1 - x) / lam(1 - rho(1 - x))

    # The last sign change of the derivative on a grid, then bisection.
    grid = np.linspace(0.1, 1.0, 201).reshape(-1, *([1] * np.ndim(R)))
    load = np.log(grid) - (texts - 1) * np.log1p(-p * rho(1 - grid))
    i = load.argmin(axis=0)
    low, high = grid.ravel()[i - 1], grid.ravel()[i + 1]
    for _ in range(60):
        middle = (low + high) / 2
        rising = load_slope(middle) > 0
        low, high = np.where(rising, low, middle), np.where(rising, middle, high)
    x = (low + high) / 2
    e, xb, y = x / lam(1 - rho(1 - x)), 1 - x, 1 - rho(1 - x)
    checks = rho(xb) ** 2 - rho(xb**2) + rho_slope(xb) * (1 - 2 * x * rho(xb)) - xb**2 * rho_slope(xb**2)
    variables = lam(y) ** 2 - lam(y**2) - y**2 * lam_slope(y**2)
    mean = texts * p * lam(y) ** 2
    alpha = np.sqrt(checks / (mean * rho_slope(xb) ** 2) + e**2 * variables / mean - e * (1 - e))
    z = np.sqrt(n) * (e - erasure) / alpha
    log_failure = np.where(e < erasure, 0.0, np.log(e * power(y, texts) / erasure) + norm.logsf(z))
    return e, alpha, log_failure


def reference_levels(C_tr, L=100, S=1e4, kappa=20.0, zeta=2500.0, eta=5.0, delta=1e-5, decay=10.0, sigma=0.5):
    R = np.sqrt(C_tr / (6 * kappa * zeta**2))
    log_q = float(reference_peeling(R, kappa)[2])
    learned = -np.expm1(log_q)
    rows, gamma = [], 1.0
    for level in range(1, L + 1):
        mu = np.exp(-decay * level / L) * R / S
        d = max(0.0, 0.99 * mu * (1 - np.sqrt(2 * np.log(S / delta) / mu)))
        t = 0.0
        if d >= eta:
            a = eta / d
            x = d * (a * np.log(a / learned) + (1 - a) * (np.log1p(-a) - log_q))
            t = -np.expm1(-x) if a < learned else np.exp(-x) / np.sqrt(2 * d)
        p = t * gamma ** (sigma * np.log(level))
        k = S * p * p
        gamma = 1 + float(np.real(lambertw(-k * np.exp(-k)))) / k if k > 1 else 0.0
        rows.append((t, p, gamma))
    return R, *np.array(rows).T


def reference_length(m, level, executed, sigma=0.5):
    low, high = sorted((level, executed))
    product = np.prod([sigma * np.log(k) for k in range(low + 1, high + 1)])
    if executed == level:
        return m
    return np.ceil(m * product) if executed < level else max(np.ceil(m / product), 2)


def any_of(q, n):
    return -np.expm1(n * np.log1p(-q)) if q < 1 else 1.0


def reference_task(K, m, level, p, gamma, attempts=1, branching=1, independent=False, beta=5.0, rho=0.5):
    """Accuracy at every level of execution."""
    accuracies = np.zeros(70)
    for executed in range(1, 71):
        steps = K / (attempts * branching)
        length = reference_length(m, level, executed)
        if gamma[executed - 1] == 0 or steps <= length - 1:
            continue
        r = any_of(p[executed - 1] ** 2 * (rho / np.ceil((1 + beta) * length) + 1 - rho), branching)
        found = betainc(length, steps - length + 1, r)
        reach = gamma[executed - 1] ** length
        accuracies[executed - 1] = any_of(reach * found, attempts) if independent else reach * any_of(found, attempts)
    return accuracies


def gradients(function, values):
    """Gradient of the sum of a function of scalars, and that sum as a function."""
    inputs = [pt.scalar(f"x{i}", dtype="float64") for i in range(len(values))]
    output = pt.as_tensor_variable(function(*inputs)).sum()
    with PLAIN:
        slopes = pytensor.function(inputs, pytensor.grad(output, inputs), mode=MODE)
        value = pytensor.function(inputs, output, mode=MODE)
        return slopes(*values), lambda *at: float(value(*at))


def check_gradients(function, values, steps=(1e-3, 1e-4, 1e-5), rtol=1e-6):
    """Compare with Richardson's extrapolated central differences, at the step where two of them agree best."""
    exact, value = gradients(function, values)
    for i, slope in enumerate(exact):

        def difference(h, i=i):
            moved = [list(values), list(values)]
            moved[0][i] *= 1 + h
            moved[1][i] *= 1 - h
            with PLAIN:
                return (value(*moved[0]) - value(*moved[1])) / (2 * h * values[i])

        estimates = []
        for h in steps:
            fine, middle, coarse = difference(h), difference(2 * h), difference(4 * h)
            estimates.append((16 * (4 * fine - middle) / 3 - (4 * middle - coarse) / 3) / 15)
        assert np.isfinite(slope)
        gaps = [abs(a - b) for a, b in zip(estimates[1:], estimates[:-1], strict=True)]
        best = estimates[1 + int(np.argmin(gaps))]
        assert best != 0.0, i
        np.testing.assert_allclose(slope, best, rtol=rtol, err_msg=f"argument {i}")


# Concepts.


@pytest.mark.parametrize("case", PUBLISHED["finite_size"], ids=lambda c: f"R{c['R']:g}kappa{c['kappa']}")
def test_reference_finite_size(case):
    threshold, spread, log_failure = evaluate(peeled, case["R"], case["kappa"])
    np.testing.assert_allclose(threshold, case["eps_bp"], rtol=1e-11)
    # The reference values carry the error of a minimiser that compares values: 1e-8 in x, 1e-5 in Q.
    np.testing.assert_allclose(np.exp(log_failure), case["Q"], rtol=2e-5)
    if "alpha" in case:
        np.testing.assert_allclose(spread, case["alpha"], rtol=1e-7)


@pytest.mark.parametrize("case", CLOSED["peeling_threshold_poisson"], ids=lambda c: f"kappa{c['kappa']}")
def test_reference_poisson_threshold(case):
    np.testing.assert_allclose(evaluate(hierarchy.poisson_threshold, case["kappa"]), case["eps_bp"], rtol=1e-12)


def test_poisson_threshold_crosses_one_half_at_the_published_kappa():
    root = brentq(lambda kappa: float(evaluate(hierarchy.poisson_threshold, kappa)) - 0.5, 15.0, 25.0, xtol=1e-11)
    assert root == pytest.approx(PUBLISHED["kappa_threshold"], abs=1e-7)


def test_finite_threshold_tends_to_the_poisson_limit():
    R = np.array([1e4, 1e6, 1e8])
    gap = np.abs(evaluate(peeled, R, 20.0)[0] - float(evaluate(hierarchy.poisson_threshold, 20.0)))
    np.testing.assert_allclose(gap[1:] / gap[:-1], 1e-2, rtol=0.05)


def test_regular_ensemble():
    threshold, x, spread = evaluate(regular)
    # A published value, printed to five digits; 0.4294 and 0.5603(5) are exact here.
    assert spread == pytest.approx(0.56036, abs=1e-5)
    # At the threshold the load x / (1 - (1-x)^5)^2 is stationary: 1 - (1-x)^5 = 10 x (1-x)^4.
    assert 1 - (1 - x) ** 5 == pytest.approx(10 * x * (1 - x) ** 4, rel=1e-14)
    assert threshold == pytest.approx(x / (1 - (1 - x) ** 5) ** 2, rel=1e-15)
    assert float(evaluate(regular, fixed=True)[2]) ** 2 == pytest.approx(
        spread**2 - threshold * (1 - threshold), rel=1e-14
    )


def test_peeling_on_a_random_grid():
    rng = np.random.default_rng(1)
    R, kappa = 10 ** rng.uniform(2, 9, 10_000), rng.uniform(12.0, 60.0, 10_000)
    got, expected = evaluate(peeled, R, kappa), reference_peeling(R, kappa)
    # The log failure is a square of threshold - 1/2 times n: its condition number grows as that vanishes.
    for value, reference, rtol in zip(got, expected, (1e-13, 1e-12, 1e-9), strict=True):
        np.testing.assert_allclose(value, reference, rtol=rtol)


def test_failure_is_finite_where_it_underflows():
    log_failure = evaluate(peeled, 1e9, 25.0)[2]
    assert np.isfinite(log_failure)
    assert log_failure < -1e6


def test_nothing_is_learned_below_the_threshold():
    assert evaluate(peeled, 1e6, 17.0)[2] == 0.0
    assert evaluate(peeled, 1e6, 17.0, temperature=0.3)[2] == pytest.approx(0.0, abs=1e-12)


# Components.


@pytest.mark.parametrize("case", CLOSED["giant_component"], ids=lambda c: f"k{c['mean_degree']}")
def test_reference_giant_component(case):
    np.testing.assert_allclose(evaluate(hierarchy.giant_component, case["mean_degree"]), case["gamma"], rtol=1e-14)


def test_giant_component_on_a_random_grid():
    k = np.random.default_rng(2).uniform(1.05, 60.0, 10_000)
    expected = 1 + np.real(lambertw(-k * np.exp(-k))) / k
    np.testing.assert_allclose(evaluate(hierarchy.giant_component, k), expected, rtol=1e-13)


@pytest.mark.parametrize("field", [0.0, 1e-8, 1e-3])
def test_giant_component_near_its_start_is_exact(field):
    rng = np.random.default_rng(3)
    k = np.concatenate([1 + 10 ** rng.uniform(-15, 0, 300), [1 + 2**-52]])
    for degree, g in zip(k, evaluate(hierarchy.giant_component, k, field=field), strict=True):
        with localcontext() as context:
            context.prec = 60
            K, root, h = Decimal(float(degree)), Decimal(float(g)), Decimal(field)
            for _ in range(4):
                rest = (-K * root - h).exp()
                root -= (1 - rest - root) / (K * rest - 1)
            assert root > 0
            assert g == pytest.approx(float(root), rel=2e-15)


def test_giant_component_gradient():
    for k in (1e-3, 0.7, 1.0000001, 1.2, 1.499, 1.501, 7.0, 40.0):
        inputs = pt.scalar("k", dtype="float64")
        slope = float(pytensor.function([inputs], pt.grad(hierarchy.giant_component(inputs), inputs), mode=MODE)(k))
        g = float(evaluate(hierarchy.giant_component, k))
        with localcontext() as context:
            context.prec = 60
            # dk/dg of k = -log(1 - g) / g.
            G = Decimal(g)
            expected = float(1 / ((1 / (1 - G) + (1 - G).ln() / G) / G)) if 0.0 < g < 1.0 else 0.0
        assert slope == pytest.approx(expected, rel=1e-6 if k < 1.1 else 1e-9, abs=1e-15)
    check_gradients(lambda k: hierarchy.giant_component(k, field=1e-2), [0.9])
    check_gradients(lambda k: hierarchy.giant_component(k, field=1e-2), [1.1])


# Levels.


def test_competence_on_a_random_grid():
    rng = np.random.default_rng(4)
    d, log_q, eta = (
        10 ** rng.uniform(0.0, 1.7, 10_000),
        -(10 ** rng.uniform(-2, 1.3, 10_000)),
        rng.uniform(1, 8, 10_000),
    )
    learned, a = -np.expm1(log_q), np.minimum(eta / d, 1.0)
    x = d * (rel_entr(a, learned) + rel_entr(1 - a, np.exp(log_q)))
    expected = np.where(d < eta, 0.0, np.where(a < learned, -np.expm1(-x), np.exp(-x) / np.sqrt(2 * d)))
    assert min((d < eta).mean(), (a < learned).mean(), ((a >= learned) & (d >= eta)).mean()) > 0.1
    got = evaluate(hierarchy.competence, d, log_q, eta)
    # Where a is close to P_bar the reference's divergence cancels: its own error is 1e-16 d.
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-13)


def test_competence_edges():
    got = evaluate(hierarchy.competence, [4.999, 5.0, 6.0, -3.0, 6.0], [-1e4, -1e4, -1e4, -1.0, 0.0], 5.0)
    np.testing.assert_array_equal(got[[0, 3, 4]], 0.0)
    # d = eta with everything learned: eta / d = P_bar = 1 and the divergence is 0.
    np.testing.assert_allclose(got[1:3], [1 / np.sqrt(10.0), 1.0], rtol=1e-15)


@pytest.mark.parametrize("C_tr", [1e22, 1e24, 3.35e25, 3.8e25, 9.1e26])
def test_levels_equal_the_recursion(C_tr):
    R, *expected = reference_levels(C_tr)
    result = hierarchy.skill_levels(C_tr)
    assert result["concepts"].item() == pytest.approx(R, rel=1e-15)
    for name, values in zip(("competence", "edge_probability", "reachability"), expected, strict=True):
        np.testing.assert_allclose(result[name].values[0], values, rtol=1e-9, atol=0)


@pytest.mark.parametrize("temperature", [pytest.param(0.0, marks=pytest.mark.slow), 0.05])
def test_scan_equals_the_loop(temperature):
    able = hierarchy.skill_levels([1e22, 3e22], temperature=temperature)["competence"].values[:, :25]
    with PLAIN:
        edge, component = evaluate(hierarchy.link_levels, able, temperature=temperature)
    looped = hierarchy.skill_levels([1e22, 3e22], temperature=temperature)
    np.testing.assert_allclose(edge, looped["edge_probability"].values[:, :25], rtol=1e-13)
    np.testing.assert_allclose(component, looped["reachability"].values[:, :25], rtol=1e-13)


def test_published_highest_levels():
    computes = [float(c) for c in PUBLISHED["max_level_at_C_tr"]]
    got = hierarchy.skill_levels(computes)["max_level"].values
    np.testing.assert_array_equal(got, list(PUBLISHED["max_level_at_C_tr"].values()))


def test_published_level_switches():
    # Printed to seven digits: the level is on half a unit above and off half a unit below.
    for level, compute in PUBLISHED["level_switch_on_C_tr"].items():
        around = compute * (1 + np.array([-6e-7, 6e-7]))
        got = hierarchy.skill_levels(around)["max_level"].values
        np.testing.assert_array_equal(got, [int(level) - 1, int(level)])


# Tasks.


def test_lengths_on_a_random_grid():
    rng = np.random.default_rng(5)
    m, level, executed = rng.integers(1, 30, 10_000), rng.integers(2, 100, 10_000), rng.integers(1, 100, 10_000)
    executed = np.maximum(executed, level - 20)

    def length(m, sigma):
        return hierarchy.steps_at_level(m, level, executed, sigma)

    got = evaluate(length, m, 0.5)
    expected = [reference_length(*case) for case in zip(m, level, executed, strict=True)]
    np.testing.assert_array_equal(got, expected)


def test_published_accuracy_against_inference_compute():
    points = np.array(PUBLISHED["accuracy_vs_C_inf_at_C_tr_3_8e25"])
    got = hierarchy.accuracy(3.8e25, points[:, 0])["accuracy"].values[0]
    np.testing.assert_allclose(got, points[:, 1], rtol=1e-13)
    got = hierarchy.accuracy(3.35e25, np.logspace(14, 20, 20))["accuracy"].values[0]
    # Printed to twelve decimals.
    np.testing.assert_allclose(got, PUBLISHED["accuracy_vs_C_inf_at_C_tr_3_35e25"]["accuracy"], rtol=0, atol=6e-13)


def test_published_contour():
    for C_tr, C_inf, expected in PUBLISHED["contour_rows"]:
        got = hierarchy.accuracy(C_tr, C_inf)["accuracy"].item()
        # The first training compute is printed to seven digits.
        assert got == pytest.approx(expected, abs=2e-12)


@pytest.mark.parametrize("block", ["budget_n_times_1e16", "fixed_1e16"])
def test_published_policies(block):
    for name, expected in PUBLISHED["policies_at_C_tr_3_8e25"][block].items():
        policy, n = name.rsplit("_", 1)
        options = {"branching": int(n)} if policy == "tree" else {"attempts": int(n), "independent_reachability": True}
        budget = 1e16 * (int(n) if block.startswith("budget") else 1)
        got = hierarchy.accuracy(3.8e25, budget, **options)["accuracy"].item()
        assert got == pytest.approx(expected, abs=6e-13)


def test_tasks_on_a_random_grid():
    # 66 tasks at 70 levels in each of six cases with partial components: 27720 evaluations.
    rng = np.random.default_rng(6)
    lengths = (1, 2, 3, 7, 12, 15)
    for attempts, branching, independent in [(1, 1, False), (3, 1, False), (3, 1, True), (1, 4, False), (2, 2, True)]:
        p, gamma, K = rng.uniform(0.05, 1.0, 70), rng.uniform(0.0, 1.0, 70), 10 ** rng.uniform(1, 4)
        gamma[rng.integers(0, 70, 5)] = 0.0
        got = evaluate(
            hierarchy.solve_tasks,
            K,
            p,
            gamma,
            task_lengths=lengths,
            attempts=attempts,
            branching=branching,
            independent_reachability=independent,
        )
        for i, level in enumerate(range(60, 71)):
            for j, m in enumerate(lengths):
                each = reference_task(K, m, level, p, gamma, attempts, branching, independent)
                assert got[0][i, j] == pytest.approx(each.max(), rel=1e-11, abs=1e-300)
                if each.max() > 0.0:
                    assert each[got[2][i, j] - 1] >= each.max() - 2e-12
                else:
                    assert got[2][i, j] == -1


def test_shared_reachability_gains_less_than_independent():
    shared = hierarchy.accuracy(3.8e25, 1e17, attempts=8)
    drawn_anew = hierarchy.accuracy(3.8e25, 1e17, attempts=8, independent_reachability=True)
    assert np.all(shared["task_accuracy"].values <= drawn_anew["task_accuracy"].values + 1e-14)


def test_ties_go_to_the_fewest_steps():
    # Every level solves every task surely: the highest ones need the fewest steps.
    accuracy, steps, level = evaluate(
        hierarchy.solve_tasks, np.inf, np.ones(70), np.ones(70), search=0.0, task_lengths=(2, 9)
    )
    np.testing.assert_array_equal(accuracy, 1.0)
    np.testing.assert_array_equal(steps[0], [2.0, 2.0])
    assert level[0, 0] == 60
    assert level[0, 1] > 60


def test_more_compute_never_hurts():
    got = hierarchy.accuracy(3.8e25, np.logspace(14, 19, 15))["accuracy"].values[0]
    assert np.all(np.diff(got) >= -1e-15)


def test_budget_below_the_path_solves_nothing():
    result = hierarchy.accuracy(3.8e25, 1.0)
    assert result["accuracy"].item() == 0.0
    assert np.all(result["executed_level"].values == -1)
    assert result["flops"].item() == pytest.approx(1.0, rel=1e-12)


# The smooth hierarchy.

TEMPERATURES = (0.3, 0.03, 0.003, 0.0003)


def test_smooth_pieces_converge():
    x = np.array([-2.3, -0.4, 0.15, 0.5, 1.2, 3.0, 4.7])
    for smooth in (hierarchy.step, hierarchy.ramp, hierarchy.round_up):
        hard = evaluate(smooth, x)
        errors = [np.abs(evaluate(smooth, x, temperature=T) - hard).max() for T in TEMPERATURES]
        assert all(b < a for a, b in pairwise(errors) if a > 1e-15)
        assert errors[-1] < 1e-3


def test_rounding_vanishes_at_high_temperature():
    x = np.linspace(0.0, 20.0, 999)
    assert np.abs(evaluate(hierarchy.round_up, x, temperature=1.0) - x).max() < 0.08


# At 3.5e25 the highest level is 60; at 2.6e26 the tasks' whole range is learned. Both lie between two switches.
@pytest.mark.parametrize("C_tr", [3.5e25, pytest.param(2.6e26, marks=pytest.mark.slow)])
def test_smooth_hierarchy_converges(C_tr):
    budgets = np.logspace(14.5, 18.5, 6)
    hard, learned = hierarchy.accuracy(C_tr, budgets), hierarchy.skill_levels(C_tr)
    errors = []
    for T in TEMPERATURES:
        smooth, levels = hierarchy.accuracy(C_tr, budgets, temperature=T), hierarchy.skill_levels(C_tr, temperature=T)
        errors.append(
            [
                float(np.abs(smooth["accuracy"] - hard["accuracy"]).max()),
                float(np.abs(levels["reachability"] - learned["reachability"]).max()),
                float(np.abs(levels["competence"] - learned["competence"]).max()),
            ]
        )
    errors = np.array(errors)
    assert np.all(np.diff(errors, axis=0)[errors[:-1] > 1e-12] < 0.0)
    assert errors[-1].max() < 1e-3


def test_gradients_of_the_pieces():
    check_gradients(lambda R, kappa: hierarchy.peel(R, kappa).log_failure, [3000.0, 21.0])
    check_gradients(lambda R, kappa: hierarchy.peel(R, kappa).spread, [3000.0, 21.0])
    check_gradients(lambda R, kappa: hierarchy.peel(R, kappa, temperature=0.3).log_failure, [3000.0, 18.3])
    check_gradients(lambda kappa: hierarchy.poisson_threshold(kappa), [19.0])
    for d in (4.4, 6.0, 14.0):
        check_gradients(lambda d, q, eta: hierarchy.competence(d, q, eta, temperature=0.1), [d, -0.7, 5.0])
    check_gradients(lambda d, q, eta: hierarchy.competence(d, q, eta), [14.0, -2.0, 5.0])
    check_gradients(
        lambda t, g, S, s: pt.stack(hierarchy.next_level(t, g, 40.0, S, s, temperature=0.1)), [0.03, 0.6, 1e4, 0.5]
    )
    check_gradients(lambda m, s: hierarchy.steps_at_level(m, 10, 8, s, temperature=0.3), [6.0, 0.5])
    check_gradients(lambda m, p, b, rho: hierarchy.step_success(m, p, b, rho, temperature=0.3), [6.3, 0.8, 5.1, 0.5])


def test_python_numbers_are_doubles():
    """PyTensor makes a Python float a float32 if that is exact, which would cost half of the digits."""
    assert hierarchy.peel(3000.0, 21.0).log_failure.dtype == "float64"
    for function, values in [
        (lambda m, sigma: hierarchy.steps_at_level(m, 10, 8, sigma, temperature=0.5), (6.0, 0.5)),
        (lambda m, p: hierarchy.step_success(m, p, temperature=0.5), (6.0, 0.75)),
        (lambda d, q: hierarchy.competence(d, q), (14.0, -2.0)),
    ]:
        constants = function(*values)
        assert constants.dtype == "float64"
        arrays = function(*(np.asarray(value) for value in values))
        assert float(constants.eval(mode=MODE)) == pytest.approx(float(arrays.eval(mode=MODE)), rel=1e-14)


def test_gradients_of_the_tasks():
    def success(K, p, gamma, sigma, beta, rho):
        levels = np.ones(22)
        return hierarchy.solve_tasks(
            K, p * levels, gamma * levels, sigma, beta, rho, task_levels=(18, 20), task_lengths=(2, 5), temperature=0.2
        ).accuracy

    check_gradients(success, [23.0, 0.9, 0.97, 0.5, 5.0, 0.5], steps=(1e-4, 1e-5, 1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_gradients_of_the_whole_hierarchy(temperature):
    def success(C_tr, decay, skills, sigma, eta, beta, rho, kappa):
        params = pt.sqrt(C_tr / (6 * kappa))
        R = params / 2500.0
        log_failure = hierarchy.peel(R, kappa, temperature=temperature).log_failure
        _, edge, component = hierarchy.learn_levels(R, log_failure, decay, skills, sigma, eta, temperature=temperature)
        return hierarchy.solve_tasks(
            3e14 / (50 * params),
            edge,
            component,
            sigma,
            beta,
            rho,
            task_levels=(48, 52),
            task_lengths=(2, 5),
            temperature=temperature,
        ).accuracy

    # Far below its level a task has 1e4 skills, which the smooth rounding turns into waves: small steps are needed.
    check_gradients(success, [3e24, 10.0, 1e4, 0.5, 5.0, 5.0, 0.5, 20.0], steps=(1e-4, 3e-5, 1e-5, 3e-6, 1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("fixed", [False, True])
def test_waterfall_of_simulated_peeling(fixed):
    """The slope of the waterfall of (3, 6)-regular graphs, by simulation, is 1 / alpha."""
    n, trials = 4096, 4000
    threshold, _, spread = (float(v) for v in evaluate(regular, fixed=fixed))
    rng = np.random.default_rng(7)
    centre = threshold - 0.6197 * n ** (-2 / 3)  # the published shift of this ensemble, where half the graphs fail
    erased_shares = centre + np.array([-1.0, 1.0]) * spread / np.sqrt(n)
    failures = []
    for share in erased_shares:
        failed = 0
        for _ in range(trials):
            checks = rng.permutation(np.repeat(np.arange(n // 2), 6)).reshape(n, 3)
            count = round(share * n) if fixed else rng.binomial(n, share)
            left = checks[:count]
            while left.size:
                alone = np.bincount(left.ravel(), minlength=n // 2) == 1
                kept = left[~alone[left].any(axis=1)]
                if len(kept) == len(left):
                    break
                left = kept
            failed += len(left) > n // 20
        failures.append(failed / trials)
    shares = np.round(erased_shares * n) / n if fixed else erased_shares
    quantiles = norm.ppf(failures)
    slope = (quantiles[1] - quantiles[0]) / (shares[1] - shares[0])
    errors = np.sqrt(np.multiply(failures, np.subtract(1, failures)) / trials) / norm.pdf(quantiles)
    mcse = np.hypot(*errors) / (quantiles[1] - quantiles[0])
    assert slope * spread / np.sqrt(n) == pytest.approx(1.0, abs=4 * mcse)


# Arguments.


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"levels": 0}, "levels must be above 0"),
        ({"skills": -1.0}, "skills must be above 0"),
        ({"search": 1.5}, r"search must lie in \[0, 1\]"),
        ({"erasure": 1.0}, r"erasure must lie in \(0, 1\)"),
        ({"relevance": -1.0}, "at least 0"),
        ({"task_levels": (60, 101)}, r"levels in 1\.\.100"),
        ({"task_lengths": (0,)}, "at least 1"),
    ],
)
def test_constants_are_checked(constants, message):
    with pytest.raises(ValueError, match=message):
        Hierarchy(**constants)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="C_tr must be"):
        hierarchy.skill_levels([1e24, -1.0])
    with pytest.raises(ValueError, match="temperature must be"):
        hierarchy.accuracy(1e24, 1e16, temperature=-0.1)
    with pytest.raises(ValueError, match="attempts and branching"):
        hierarchy.accuracy(1e24, 1e16, attempts=0)
    with pytest.raises(ValueError, match="sum to 1"):
        hierarchy.polynomial_degrees([0.5, 0.4])
    with pytest.raises(ValueError, match="field must be"):
        hierarchy.giant_component(2.0, field=-1.0)
    with pytest.raises(ValueError, match="levels up to 70"):
        hierarchy.solve_tasks(10.0, np.ones(60), np.ones(60))
    with pytest.raises(ValueError, match="levels must be at least 1"):
        hierarchy.level_competences(1e6, -1.0, levels=0)
    with pytest.raises(ValueError, match="lowest must lie"):
        hierarchy.peeling_threshold(hierarchy.poisson_degrees(3.0), hierarchy.poisson_degrees(3.0), lowest=1.0)
    with pytest.raises(ValueError, match="erasure must lie"):
        hierarchy.peel(1e4, 20.0, erasure=0.0)


def test_labels():
    levels = hierarchy.skill_levels([1e24, 1e25], Hierarchy(levels=80))
    assert levels["competence"].dims == ("C_tr", "level")
    assert levels.sizes == {"C_tr": 2, "level": 80}
    assert levels["C_tr"].attrs["units"] == "FLOP"
    result = hierarchy.accuracy([1e24, 1e25], [1e15, 1e16, 1e17], Hierarchy(task_levels=(40,), task_lengths=(3, 4)))
    assert result["accuracy"].dims == ("C_tr", "C_inf")
    assert result["task_accuracy"].sizes == {"C_tr": 2, "C_inf": 3, "task_level": 1, "task_length": 2}
    assert {variable.attrs["units"] for variable in result.data_vars.values()} == {"1", "tokens", "FLOP", "level"}
