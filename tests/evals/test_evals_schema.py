import pytest

from ds3bayes.evals.schema import (
    ALWAYS,
    COLUMN,
    COLUMNS,
    KEY,
    describe_columns,
    misspelt,
    strategy_names,
)
from ds3bayes.strategies.base import STRATEGIES


def test_every_column_is_declared_once_and_explained() -> None:
    assert len(COLUMN) == len(COLUMNS)
    assert all(column.meaning and column.allowed for column in COLUMNS)
    assert all(column.unit for column in COLUMNS if not column.is_text)


def test_keys_are_columns_that_every_read_table_has() -> None:
    assert set(KEY) <= {*ALWAYS, *(column.name for column in COLUMNS if column.required)}
    assert set(KEY) == {column.name for column in COLUMNS if column.merge == "key" and not column.read_as}


def test_vocabulary_is_the_registry_and_what_is_only_recorded() -> None:
    assert strategy_names() == tuple(STRATEGIES)
    assert all(column in COLUMN for cls in STRATEGIES.values() for column in cls.needs)


def test_a_strategy_registered_later_may_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "debate", object)
    assert "debate" in strategy_names()


def test_description_has_a_line_per_column() -> None:
    table = describe_columns().set_index("column")
    assert table.loc["agreement", "allowed"] == "a finite number in [0, 1]"
    assert list(table.index[table["required"]]) == ["model", "benchmark", "strategy", "attempts", "successes"]


@pytest.mark.parametrize(
    ("header", "column"),
    [("sucesses", "successes"), ("Budget-Tokens", "budget_tokens"), ("taks", "task"), ("efort", "effort")],
)
def test_misspelt_headers_are_recognised(header: str, column: str) -> None:
    assert misspelt(header, tuple(COLUMN)) == column


@pytest.mark.parametrize("header", ["notes", "seed", "temperature", "run_id", "date", "epoch", "", "-", "comment"])
def test_other_headers_are_left_alone(header: str) -> None:
    assert misspelt(header, tuple(COLUMN)) == ""
