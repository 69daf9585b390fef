"""A gate for continuous integration: its verdicts on data that differ by a known amount, and what it writes."""

import json
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ds3bayes as ds3
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
    assert "would decide" in found.sentence


def test_further_attempts_are_those_of_a_root_law():
    """At four times the attempts the sd is half; a verdict at .95 needs 1.645 of them."""
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=200_000)
    drawn = (drawn - drawn.mean()) / drawn.std()
    wanted = 0.02 * 1.6448536
    assert _further(0.5 * wanted + 0.02 * drawn, 0.0, 0.95) == pytest.approx(3.0, rel=1e-6)
    assert _further(0.1 + 0.02 * drawn, 0.0, 0.95) == 0
    assert np.isinf(_further(1e-6 + 0.02 * drawn, 0.0, 0.95))


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
