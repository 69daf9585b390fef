"""A gate for continuous integration: its verdicts on data that differ by a known amount, and what it writes."""

import json
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from typer.testing import CliRunner

import ds3bayes as ds3
from ds3bayes.answers import schema
from ds3bayes.cli import app
from ds3bayes.queries.gate import Gate, _further

# Chains are short here: what they say is under test, not how well they mix.
pytestmark = pytest.mark.filterwarnings("ignore::ds3bayes.FitWarning")


def runs(shift: float, *, tasks: int = 60, attempts: int = 6, seed: int = 0, benchmark: str = "b") -> pd.DataFrame:
    """One LLM on tasks whose difficulty does not depend on the seed of its attempts."""
    easiness = np.random.default_rng(99).normal(scale=1.5, size=tasks)
    q = 1 / (1 + np.exp(-(0.3 + easiness + shift)))
    successes = np.random.default_rng(seed).binomial(attempts, q)
    frame = pd.DataFrame({"task": [f"t{i}" for i in range(tasks)], "successes": successes})
    return frame.assign(model="agent", benchmark=benchmark, strategy="cot", attempts=attempts)


def judged(shift: float, **given: object) -> Gate:
    sides = [ds3.read_evals(runs(0.0, seed=1)), ds3.read_evals(runs(shift, seed=2))]
    return ds3.gate(*sides, draws=250, **given)  # type: ignore[arg-type]


def test_a_candidate_that_is_better_passes_and_a_worse_one_fails():
    better, worse = judged(1.5), judged(-1.5)
    assert (better.verdict, better.status) == ("no worse", 0)
    assert (worse.verdict, worse.status) == ("worse", 1)
    assert better.table["difference"].item() > 0.1 > -0.1 > worse.table["difference"].item()
    assert better.further_attempts == worse.further_attempts == 0
    row = better.table.iloc[0]
    assert (row.tasks, row.attempts_baseline, row.attempts_candidate) == (60, 360, 360)
    observed = runs(0.0, seed=1)["successes"].sum() / 360
    assert row.baseline == pytest.approx(observed, abs=0.05)


def test_where_little_is_known_it_says_how_much_more_would_decide():
    sides = [ds3.read_evals(runs(0.0, tasks=12, attempts=2, seed=seed)) for seed in (1, 4)]
    found = ds3.gate(*sides, draws=250, margin=0.0)
    assert (found.verdict, found.status) == ("undecided", 3)
    assert found.further_attempts > 10
    assert f"With probability 0.8, {found.further_attempts:,.0f} more attempts of either at these" in found.sentence
    assert json.loads(json.dumps(found.as_dict()))["further_attempts"] == found.further_attempts
    assert "❔" in found.markdown()
    assert 'errors="1"' in found.junit()


@pytest.mark.parametrize("sds", [-1.2, 0.0, 0.5, 1.6])
def test_further_attempts_decide_as_often_as_they_say(sds):
    """Draw the truth from today's belief, what further attempts read, and the verdict on both."""
    rng = np.random.default_rng(3)
    draws, z = 400_000, 1.6448536
    again = _further(sds, 0.95)
    truth = sds + rng.normal(size=draws)
    # Today's belief has sd 1, what is read has as much information as that times ``again``.
    read = truth + rng.normal(size=draws) / np.sqrt(again)
    mean, sd = (sds + again * read) / (1.0 + again), 1.0 / np.sqrt(1.0 + again)
    assert np.mean(np.abs(mean) > z * sd) == pytest.approx(0.8, abs=5 * np.sqrt(0.16 / draws))
    assert again <= _further(0.0, 0.95)


def test_benchmarks_count_alike():
    sides = [
        ds3.read_evals(pd.concat([runs(0.0, seed=seed), runs(shift, seed=seed + 2, benchmark="c")]))
        for seed, shift in ((1, 0.0), (2, 2.0))
    ]
    found = ds3.gate(*sides, draws=250)
    assert found.table["benchmark"].tolist() == ["b", "c", "all benchmarks"]
    assert found.table["difference"].iloc[2] == pytest.approx(found.table["difference"].iloc[:2].mean(), abs=1e-9)
    assert found.table["tasks"].tolist() == [60, 60, 120]
    new = ds3.gate(*sides, draws=250, tasks="new")
    assert new.tasks == "new"
    # Of other tasks less is known.
    width = [one.table["upper"].iloc[1] - one.table["lower"].iloc[1] for one in (found, new)]
    assert width[1] > width[0]


def test_what_it_writes(tmp_path):
    paths = []
    for name, shift, seed in (("old", 0.0, 1), ("new", -1.5, 2)):
        paths.append(str(tmp_path / f"{name}.csv"))
        runs(shift, seed=seed).to_csv(paths[-1], index=False)
    written = [str(tmp_path / "gate.md"), str(tmp_path / "gate.xml")]
    result = CliRunner().invoke(app, ["gate", *paths, "--markdown", written[0], "--junit", written[1], "--json"])
    assert result.exit_code == 1, result.output
    found = json.loads(result.stdout)
    jsonschema.validate(found, schema("gate"))
    assert found["verdict"] == "worse"
    assert found["benchmarks"][0]["tasks"] == 60
    text = (tmp_path / "gate.md").read_text(encoding="utf-8")
    assert "### ❌ ds3bayes gate: worse" in text
    assert "| b | 60 |" in text
    suite = ElementTree.parse(written[1]).getroot()
    assert suite.attrib["failures"] == "1"
    assert suite[0].attrib["name"] == "b"
    assert suite[0][0].tag == "failure"
    same = CliRunner().invoke(app, ["gate", *paths, "--baseline-where", "successes > 99"])
    assert same.exit_code != 0


@pytest.mark.parametrize(
    ("change", "given", "said"),
    [
        ({"task": [f"other{i}" for i in range(12)]}, {}, "share no task"),
        ({"model": ["m1", "m2"] * 6}, {}, r"it holds several LLMs \(m1, m2\)"),
        (
            {"effort": ["low", "high"] * 6},
            {},
            r"several samplers \(strategy cot, effort high; strategy cot, effort low\)",
        ),
        ({}, {"confidence": 0.5}, r"confidence in \(0\.5, 1\)"),
        ({}, {"tasks": "old"}, "allowed: 'observed', 'new'"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, given, said):
    frame = runs(0.0, tasks=12)
    with pytest.raises(ds3.InputError, match=said):
        ds3.gate(ds3.read_evals(frame), ds3.read_evals(frame.assign(**change)), **given)


@pytest.mark.slow
def test_verdicts_are_as_often_wrong_as_they_may_be_and_further_attempts_decide():
    """Of simulated pairs on the same tasks, at the margin and away from it."""
    near = [simulated_gate(seed, at_margin=True) for seed in range(60)]
    # There "no worse" has probability .05, and so has "worse"; four binomial sds above.
    for verdict in ("no worse", "worse"):
        assert sum(one["verdict"] == verdict for one in near) <= 3 + 4 * np.sqrt(0.05 * 0.95 * 60)
    outcomes = [simulated_gate(seed) for seed in range(80)]
    decided = [one for one in outcomes if one["verdict"] != "undecided"]
    assert len(decided) > 15
    assert sum(one["wrong"] for one in decided) <= 0.05 * len(decided) + 4 * np.sqrt(0.05 * 0.95 * len(decided))
    again = [one["decided"] for one in outcomes if one["verdict"] == "undecided"]
    assert np.mean(again) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / len(again)))


def simulated_gate(seed: int, *, at_margin: bool = False) -> dict[str, object]:
    """Judge a pair whose truth is known and, where it is undecided, judge again after as many more attempts as named.

    The candidate differs by a shift of its own, or so that it is right at the margin; then further attempts hardly
    ever decide, and are not made.
    """
    tasks, attempts, margin = 40, 5, 0.03
    rng = np.random.default_rng([seed, 17])
    easiness, own = rng.normal(0.3, 1.5, size=tasks), rng.normal(scale=0.4, size=(2, tasks))

    def success(shift: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(easiness + own + np.array([[0.0], [shift]]))))

    def difference(shift: float) -> float:
        return float((success(shift)[1] - success(shift)[0]).mean())

    shift = brentq(lambda one: difference(one) + margin, -5, 5) if at_margin else rng.normal(-0.1, 0.4)
    q = success(shift)

    def judge(counts: np.ndarray, each: int) -> Gate:
        frame = pd.DataFrame({"task": [f"t{i}" for i in range(tasks)], "attempts": each})
        frame = frame.assign(model="agent", benchmark="b", strategy="cot")
        return ds3.gate(*(ds3.read_evals(frame.assign(successes=row)) for row in counts), margin=margin, draws=500)

    counts = rng.binomial(attempts, q)
    found = judge(counts, attempts)
    right = "no worse" if difference(shift) > -margin else "worse"
    result = {"verdict": found.verdict, "wrong": found.verdict not in (right, "undecided"), "p": found.p_no_worse}
    if found.verdict == "undecided" and not at_margin:
        more = int(np.ceil(found.further_attempts / tasks))
        again = judge(counts + rng.binomial(more, q), attempts + more)
        result |= {"more": more, "decided": again.verdict != "undecided"}
    return result
