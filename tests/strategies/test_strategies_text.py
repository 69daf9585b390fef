import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ds3bayes.errors import InputError
from ds3bayes.strategies import (
    STRATEGIES,
    BestOfN,
    CoT,
    Direct,
    Majority,
    PassPower,
    TreeOfThought,
    Verifier,
    parse_strategy,
)

QUICK = settings(max_examples=150, deadline=None, database=None)

wholes = st.integers(1, 10**9)
votes = st.integers(1, 1800)
efforts = st.none() | st.text(min_size=1, max_size=12) | st.sampled_from(["high", "inf", "nan", "1e3", "inf-x", "a.b"])
common = {"effort": efforts, "budget_tokens": st.none() | wholes}
attempts = {**common, "n": wholes, "sampler": st.sampled_from(["cot", "direct"])}
verifiers = st.floats(0.0, math.inf, allow_nan=False).map(Verifier)


@st.composite
def shares(draw):
    weights = draw(st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(sum))
    return tuple(w / sum(weights) for w in weights)


@st.composite
def trees(draw):
    kept = draw(wholes)
    return TreeOfThought(
        branching=draw(wholes),
        kept_states=kept,
        outputs=draw(st.integers(1, kept)),
        evaluator=draw(st.none() | verifiers),
        candidate_overlap=draw(st.none() | st.floats(0.0, 1.0)),
        answer_fidelity=draw(st.none() | st.floats(0.0, 1.0)),
        effort=draw(efforts),
    )


strategies = st.one_of(
    st.builds(CoT, **common),
    st.builds(Direct, **common),
    st.builds(BestOfN, **attempts, verifier=verifiers),
    st.builds(Majority, **attempts | {"n": votes}, wrong_shares=st.none() | shares()),
    st.builds(PassPower, **attempts),
    trees(),
)


@QUICK
@given(strategies)
@example(CoT(effort='it\'s "so" \\ so\n'))
def test_text_form_reads_back(strategy):
    assert parse_strategy(str(strategy)) == strategy
    assert hash(parse_strategy(str(strategy))) == hash(strategy)
    assert str(parse_strategy(str(strategy))) == str(strategy)


@pytest.mark.parametrize(
    ("text", "strategy", "canonical"),
    [
        ("cot", CoT(), "cot"),
        (" cot ( ) ", CoT(), "cot"),
        ("cot(budget_tokens=16000)", CoT(budget_tokens=16000), "cot(budget_tokens=16000)"),
        ("direct(effort=none)", Direct(effort="none"), "direct(effort=none)"),
        ("direct(effort='it\\'s \"x\"')", Direct(effort='it\'s "x"'), 'direct(effort="it\'s \\"x\\"")'),
        ("best_of_n(n=16)", BestOfN(n=16), "best_of_n(n=16, verifier=oracle)"),
        ("best_of_n(verifier=oracle, n=16,)", BestOfN(n=16), "best_of_n(n=16, verifier=oracle)"),
        (
            "best_of_n(n=16,verifier=noisy(d=1.5),sampler=direct)",
            BestOfN(n=16, verifier="noisy(d=1.5)", sampler="direct"),
            "best_of_n(n=16, verifier=noisy(d=1.5), sampler=direct)",
        ),
        ("majority(n=8)", Majority(n=8), "majority(n=8)"),
        (
            "majority(n=8, wrong_shares=[0.5, .3, 0.2])",
            Majority(n=8, wrong_shares=(0.5, 0.3, 0.2)),
            "majority(n=8, wrong_shares=[0.5, 0.3, 0.2])",
        ),
        ("pass_power(n=4, effort=high)", PassPower(n=4, effort="high"), "pass_power(n=4, effort=high)"),
        ("tot(branching=5)", TreeOfThought(branching=5), "tot(branching=5)"),
        (
            "tot(branching=5, kept_states=5, outputs=5, evaluator=noisy(d=2), answer_fidelity=0.8)",
            TreeOfThought(branching=5, kept_states=5, outputs=5, evaluator=Verifier(2), answer_fidelity=0.8),
            "tot(branching=5, kept_states=5, outputs=5, evaluator=noisy(d=2), answer_fidelity=0.8)",
        ),
    ],
)
def test_accepted_forms(text, strategy, canonical):
    assert parse_strategy(text) == strategy
    assert str(strategy) == canonical


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cott", ["unknown strategy 'cott'", "best_of_n, cot", "Did you mean 'cot'?"]),
        ("best_of_n(N=4)", ["unknown key 'N'", "Did you mean 'n'?", "n is missing"]),
        ("best_of_n", ["n is missing; write best_of_n(n=...)"]),
        (
            "best_of_n(n=0, verifier=orcle)",
            ["n must be a whole number of at least 1, got 0", "Did you mean 'oracle'?"],
        ),
        ("best_of_n(n=2, verifier=noisy)", ["verifier", "noisy(d=NUMBER)", "got 'noisy'"]),
        ("best_of_n(n=2, verifier=noisy(d=-1))", ["at least 0, got -1"]),
        ("best_of_n(n=2, verifier=noisy(d=nan))", ["at least 0, got nan"]),
        ("best_of_n(n=2, verifier=3)", ["verifier", "got 3"]),
        ("best_of_n(n=true)", ["n must be a whole number", "'true'"]),
        ("majority(n=2.5)", ["n must be a whole number of at least 1, got 2.5"]),
        ("majority(n=2, sampler=direkt)", ["sampler", "Did you mean 'direct'?"]),
        ("majority(n=2, wrong_shares=[0.5])", ["wrong_shares must sum to 1", "0.5"]),
        (
            "majority(n=2, wrong_shares=[1.5, -0.5])",
            ["wrong_shares[0] must be a number in [0, 1], got 1.5", "-0.5"],
        ),
        ("majority(n=2, wrong_shares=[])", ["at least one number"]),
        ("majority(n=2, wrong_shares=0.5)", ["wrong_shares must be a list"]),
        ("tot(branching=0)", ["branching must be a whole number of at least 1"]),
        ("tot(branching=2, kept_states=2, outputs=3)", ["outputs must lie in 1..kept_states = 1..2, got 3"]),
        ("tot(branching=2, answer_fidelity=1.5)", ["answer_fidelity must be a number in [0, 1], got 1.5"]),
        ("cot(budget_tokens=0)", ["budget_tokens must be a whole number of at least 1, got 0"]),
        ("cot(effort=3)", ["effort must be a text", "got 3"]),
        ('cot(effort="")', ["effort must be a text of at least one character"]),
        ("cot(effort=a, effort=b)", ["'effort' is given twice"]),
        ("best_of_n(n:4)", ["'=' after 'n' wanted"]),
        ("best_of_n(n=4", ["',' or ')' wanted", "the text ends"]),
        ("best_of_n(n=4))", ["nothing more wanted at character 15"]),
        ("best_of_n(n=)", ["a value wanted"]),
        ("majority(n=3, wrong_shares=[1 0])", ["',' or ']' wanted"]),
        ('cot(effort="\\x")', ["escapes of JSON"]),
        ("", ["a name wanted"]),
        ("3", ["a name wanted"]),
    ],
)
def test_refused_forms(text, parts):
    with pytest.raises(InputError) as caught:
        parse_strategy(text)
    for part in parts:
        assert part in str(caught.value)


@QUICK
@given(st.text(max_size=30) | st.text("abcotn_f=(,)[]\"'\\.019 -", max_size=30))
def test_any_text_is_read_or_refused(text):
    for whole in (text, f"cot({text})", f"cot(effort={text})"):
        try:
            strategy = parse_strategy(whole)
        except InputError:
            continue
        assert parse_strategy(str(strategy)) == strategy


def test_only_text_is_read():
    with pytest.raises(InputError, match="a strategy is written"):
        parse_strategy(CoT())


def test_numpy_numbers_and_lists_are_plain():
    strategy = Majority(n=np.int64(3), wrong_shares=np.array([0.5, 0.5]))
    assert strategy == Majority(n=3, wrong_shares=[0.5, 0.5])
    assert type(strategy.n) is int
    assert BestOfN(n=2, verifier=Verifier(np.float64(1.0))) == BestOfN(n=2, verifier="noisy(d=1)")


def test_strategies_are_frozen_and_keyword_only():
    with pytest.raises(AttributeError):
        CoT().effort = "high"
    with pytest.raises(TypeError):
        BestOfN(3)
    with pytest.raises(TypeError):
        CoT(n=3)


def test_registry_has_every_name():
    assert set(STRATEGIES) >= {"cot", "direct", "best_of_n", "majority", "pass_power", "tot"}
    assert all(cls.name == name for name, cls in STRATEGIES.items())


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("pass@5", "best_of_n(n=5, verifier=oracle)"),
        ("pass^4", "pass_power(n=4)"),
        ("maj@8", "majority(n=8)"),
        ("self-consistency(n=8)", "majority(n=8)"),
        ("Self_Consistency(8)", "majority(n=8)"),
        ("best_of_n(5)", "best_of_n(n=5, verifier=oracle)"),
        ("zero-shot", "direct"),
        ("CoT", "cot"),
        ("tree of thoughts(branching=5, kept_states=5)", "tot(branching=5, kept_states=5)"),
    ],
)
def test_names_of_elsewhere_are_understood(text, meant):
    assert str(parse_strategy(text)) == meant


@pytest.mark.parametrize("text", ["tot@5", "maj@k", "pass@", "cot(3)", "best_of_n(5, verifier=oracle)"])
def test_what_is_not_meant_by_a_number_is_said(text):
    with pytest.raises(InputError, match=r"a strategy is written name|unknown strategy"):
        parse_strategy(text)


def test_other_names_mean_one_strategy():
    names = [name for cls in STRATEGIES.values() for name in (cls.name, *cls.other_names)]
    assert len(names) == len(set(names))
