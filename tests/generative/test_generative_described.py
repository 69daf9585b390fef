"""Every variable that some model can have is described: what it means, and in which unit."""

import ast
from pathlib import Path

import pandas as pd
import pytest

from ds3bayes.generative import capability
from ds3bayes.generative.capability import CAPABILITIES, described, known_parameters
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.priors import DERIVED
from ds3bayes.reports import tables

PACKAGE = Path(capability.__file__).parents[1]
UNKNOWN = described("no such variable")


def named_in(source: str) -> set[str]:
    """Return the names of variables that calls as ``pm.Normal("name", ...)`` or ``prior.variable("name")`` add."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        adds = node.func.attr == "variable" or (
            isinstance(node.func.value, ast.Name) and node.func.value.id == "pm" and node.func.attr != "Potential"
        )
        first = node.args[0]
        # Either of two names is an expression of both; names that are put together stand in `derived` alone.
        parts = [] if not adds or isinstance(first, ast.JoinedStr) else ast.walk(first)
        constants = [one for one in parts if isinstance(one, ast.Constant)]
        found |= {str(one.value) for one in constants if isinstance(one.value, str) and one.value.isidentifier()}
    return found


def test_every_variable_in_the_source_is_described():
    named = {name for path in PACKAGE.rglob("*.py") for name in named_in(path.read_text(encoding="utf-8"))}
    # What the sources were last seen to add, so that a reader that finds none is noticed.
    assert {"path_length", "pace", "mastery_logit", "deviation", "llm_effect", "skill_reachability"} <= named
    assert [name for name in sorted(named) if described(name) == UNKNOWN] == []


@pytest.mark.parametrize("kind", [*CAPABILITIES, *OBSERVATIONS])
def test_parameters_and_what_follows_from_them_have_meaning_and_unit(kind):
    part = CAPABILITIES.get(kind) or OBSERVATIONS[kind]
    for name in [*part.parameters, *part.derived]:
        meaning, unit = described(name)
        assert meaning.strip(), name
        assert unit.strip(), name
        assert unit != "not stated", name


def test_every_parameter_of_every_model_has_a_unit():
    assert [name for name, one in known_parameters().items() if one.unit == "not stated"] == []
    assert all(one.meaning and one.unit for one in DERIVED.values())


def test_fits_have_no_blank(game24_fit, simulated_fit):
    for fit in (game24_fit, simulated_fit):
        assert [name for name in fit["posterior"].data_vars if described(str(name)) == UNKNOWN] == []


def test_a_variable_of_someone_elses_model_is_not_blank_either(game24_fit):
    learned = pd.DataFrame({"parameter": ["of_my_own"], "sd ratio": [0.5]})
    row = tables.meanings(learned).frame.iloc[0]
    assert row["meaning"] == UNKNOWN.meaning
    assert row["unit"] == "not stated"
