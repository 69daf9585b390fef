"""Scenarios: what ships was written by them, and attempts succeed as often as their truth says."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ds3bayes.cli import app
from ds3bayes.evals.scenarios import SCENARIOS, budgeted_runs, skill_benchmark, training_grid, training_runs
from ds3bayes.theory.evaluate import evaluate
from ds3bayes.theory.scaling import loss

DATA = Path(__file__).parents[2] / "data"
SHIPPED = {"training_runs": "training_runs", "skill_benchmark": "skill_graph", "training_grid": "training_grid"}


@pytest.mark.parametrize("scenario", SHIPPED)
def test_shipped_tables_are_written_by_their_command(scenario: str, tmp_path: Path) -> None:
    output = tmp_path / "made.csv"
    result = CliRunner().invoke(app, ["simulate", "--scenario", scenario, "-o", str(output)])
    assert result.exit_code == 0, result.output
    assert output.read_bytes() == (DATA / f"{SHIPPED[scenario]}.csv").read_bytes()
    assert (tmp_path / "made.truth.nc").exists()
    assert set(SHIPPED) <= set(SCENARIOS)


def test_attempts_at_skills_succeed_as_the_truth_says() -> None:
    made = skill_benchmark(llms=3, tasks=30, attempts=4000, seed=1)
    table = made.evals.to_dataframe().set_index(["model", "task"])["successes"]
    q = made.truth["eventual_success"].to_series()
    z = (table - 4000 * q) / np.sqrt(4000 * q * (1 - q))
    # 90 standard normals, if walks do what the closed form says: sum of squares within 4.5 sd of its mean.
    assert abs((z**2).sum() - 90) < 4.5 * np.sqrt(2 * 90)


def test_better_trained_llms_have_lower_loss() -> None:
    truth = training_runs(tasks=2, attempts=1, family_difference=0.0, llm_sd=0.0).truth
    assert float(truth["loss"].min()) == pytest.approx(float(evaluate(loss, 1.1e10, 4e11)), rel=1e-12)
    # Rows of more parameters, columns of more training tokens: each makes an LLM better.
    grid = truth["location"].values.reshape(4, 3)
    assert (np.diff(grid, axis=0) > 0).all()
    assert (np.diff(grid, axis=1) > 0).all()


def test_walks_of_the_grid_succeed_as_the_truth_says() -> None:
    made = training_grid(tasks=40, attempts=2000, seed=1)
    table = made.evals.to_dataframe().set_index(["model", "max_tokens", "task"])["successes"]
    q = made.truth["success"].to_series()
    q.index = q.index.set_levels(q.index.levels[1].astype(table.index.levels[1].dtype), level=1)
    share = (table / 2000).loc[q.index]
    # A task is out of reach of an LLM, or solved as often as those that are not.
    reached = share[share > 0]
    assert np.corrcoef(reached, q[reached.index])[0, 1] > 0.98
    assert abs(share.mean() - q.mean()) < 0.02


def test_attempts_under_budgets_do_what_their_truth_says() -> None:
    made = budgeted_runs(llms=1, tasks=30, attempts=2000, seed=3)
    table = made.evals.to_dataframe().set_index(["max_tokens", "task"])
    ended = table["attempts"] - table["truncated"]
    truth = made.truth.isel(model=0)
    q, reachable = truth["eventual_success"].to_series(), truth["reachable"].to_series()
    for budget in (1500, 6000):
        n, c = ended.loc[budget], table["successes"].loc[budget]
        assert (c[~reachable] == 0).all()
        z = ((c - n * q) / np.sqrt(n * q * (1 - q)))[reachable & (n > 50)]
        # Standard normals: the sum of squares is within 4.5 sd of its mean.
        assert len(z) > 15
        assert abs((z**2).sum() - len(z)) < 4.5 * np.sqrt(2 * len(z))
    # Without a budget that binds, mean tokens are those that the task wants.
    free = table.loc[6000]
    loose = free["truncated"] == 0
    wanted = np.exp(truth["log_tokens"].to_series())[loose]
    np.testing.assert_allclose(free["tokens_mean"][loose], wanted, rtol=4.5 * np.sqrt(1 / 6 / 2000))
    # An attempt out of reach never gets past the missing skill.
    steps = table.loc[6000, "steps_before_error"].str.split("|", expand=True).astype(float)
    assert (steps[~reachable].max(axis=1) < 6).all()
