"""A report on hostile names, made once for all tests that read it."""

from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
from hostile import SPEC, evaluations

import ds3bayes as ds3
from ds3bayes.inference.check_pictures import draw_convergence, draw_learned
from ds3bayes.inference.checks import CheckResult
from ds3bayes.reports import report


@pytest.fixture(scope="session")
def fitted(prior_fit) -> xr.DataTree:
    return prior_fit(ds3.read_evals(evaluations()), ds3.ModelSpec.from_dict(SPEC))


@pytest.fixture(scope="session")
def checks() -> list[CheckResult]:
    """Checks as `check` makes them, one failed, so that each page need not compute them."""
    learned = pd.DataFrame(
        {
            "parameter": ["location", "location", "skew"],
            "of": ["a | cot", "b | cot", "bench"],
            "prior 5%": [-6.0, -6.0, -1.1],
            "prior 50%": [-1.0, -1.0, 0.0],
            "prior 95%": [4.0, 4.0, 1.1],
            "5%": [-1.0, 0.1, -1.0],
            "50%": [-0.5, 0.5, 0.1],
            "95%": [0.0, 0.9, 1.1],
            "sd ratio": [0.1, 0.1, 0.95],
            "log scale": [False, False, False],
        }
    )
    slow = pd.DataFrame({"r_hat": [1.2], "ess_bulk": [12.0], "ess_tail": [9.0]}, index=["location[a]"])
    disagree, weak = "chains disagree <here>: r-hat 1.2.", "1 of 3 was hardly learned."
    return [
        CheckResult(name="convergence", passed=False, sentence=disagree, table=slow, draw=draw_convergence),
        CheckResult(name="what was learned", passed=True, sentence=weak, table=learned, draw=draw_learned, note=True),
    ]


@pytest.fixture(scope="session")
def written(fitted, checks, tmp_path_factory) -> Path:
    """Path of a report in a folder of its own."""
    return report(fitted, path=tmp_path_factory.mktemp("report") / "new" / "report.html", checks=checks)


@pytest.fixture(scope="session")
def page(written) -> str:
    return written.read_text(encoding="utf-8")
