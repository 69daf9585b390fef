import csv
import hashlib
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from ds3bayes.evals import read_evals
from ds3bayes.evals.schema import COLUMN

DATA = Path(__file__).parents[2] / "data"
ROWS = {
    "game24": 300,
    "aime_effort": 810,
    "gsm8k_voting": 1200,
    "math500_selection": 62,
    "claude37_aime_budget": 6,
    "training_runs": 480,
    "skill_graph": 360,
    "training_grid": 720,
}


def _columns(name: str) -> list[str]:
    with (DATA / f"{name}.csv").open(newline="", encoding="utf-8") as table:
        return next(csv.reader(table))


@pytest.mark.parametrize("name", ROWS)
def test_shipped_tables_read_without_a_word(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evals = read_evals(DATA / f"{name}.csv")
    assert evals.sizes["row"] == evals.attrs["rows_read"] == ROWS[name]
    assert evals.attrs["ignored_columns"] == ""
    assert set(_columns(name)) <= set(COLUMN)


def test_shipped_tables_are_the_ones_described() -> None:
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    described = dict(re.findall(r"\| `(\w+)\.csv` \| [\d,]+ \| `([0-9a-f]{64})`", readme))
    assert set(described) == set(ROWS) == {path.stem for path in DATA.glob("*.csv")}
    for name, digest in described.items():
        assert hashlib.sha256((DATA / f"{name}.csv").read_bytes()).hexdigest() == digest, name
    for name in ROWS:
        section = readme.split(f"## {name}.csv")[1].split("\n## ")[0]
        for column in _columns(name):
            assert f"`{column}`" in section, (name, column)
        assert "**Source.**" in section
        assert "**Licence.**" in section


def test_totals_of_the_published_figures() -> None:
    game = read_evals(DATA / "game24.csv").to_dataframe()
    sums = game.groupby("strategy")[["attempts", "successes"]].sum()
    assert sums.loc["direct"].tolist() == [10_000, 734]
    assert sums.loc["cot"].tolist() == [10_000, 403]
    assert sums.loc["tot"].tolist() == [500, 119]
    assert (game["steps"] == 3).all()
    assert (game.loc[game["strategy"] == "tot", ["branching", "kept_states"]] == 5).all(axis=None)
    assert game.loc[game["strategy"] != "tot", ["branching", "kept_states"]].isna().all(axis=None)

    votes = read_evals(DATA / "gsm8k_voting.csv").to_dataframe()
    assert votes.groupby("strategy").size().to_dict() == {
        "cot": 300,
        "early_stopping_majority": 300,
        "majority": 600,
    }
    assert votes["successes"].sum() == 1146

    claude = read_evals(DATA / "claude37_aime_budget.csv")
    np.testing.assert_allclose(claude["successes"] / claude["attempts"], claude["accuracy"], atol=0.5 / 30)
    assert (read_evals(DATA / "math500_selection.csv")["attempts"] == 500).all()
