"""The README is short, and its code does what it says: every block is run as it stands there."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import ds3bayes as ds3
from ds3bayes import cli
from ds3bayes.evals import to_table
from ds3bayes.inference import fit as fits

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]
TABLES = [code for language, code in BLOCKS if language == "csv"]
SETS_UP, TESTS = "pip install uv && ", "uv run pytest"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what the README's commands name: the shipped files, a table, a folder of logs, counts."""
    for name in ("data", "models"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "evals.csv").write_text(TABLES[0])
    trials = [
        {"task_id": task, "trial": trial, "reward": float(trial < task), "info": {}, "traj": []}
        for task in range(6)
        for trial in range(4)
    ]
    (tmp_path / "logs").mkdir()
    name = "tool-calling-acme-1-0.0_range_0--1_user-acme-1-llm.json"
    (tmp_path / "logs" / name).write_text(json.dumps(trials))
    counts = ds3.simulate(tasks=12, attempts=1000, spread=1.5, seed=3)
    to_table(counts.evals).to_csv(tmp_path / "counts.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(monkeypatch, capsys):
    """Return a function that runs a line that begins with `uv run ds3bayes` in this process, with few draws."""
    real = fits.fit

    def short(evals, spec, **_):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ds3.FitWarning)
            return real(evals, spec, draws=100, tune=100, chains=2, progress=False)

    def go(line):
        monkeypatch.setattr(sys, "argv", line.removeprefix(SETS_UP).removeprefix("uv run ").split())
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert not ended.value.code, said.err
        return said.out

    monkeypatch.setattr("ds3bayes.inference.fit.fit", short)
    monkeypatch.setattr("warnings.showwarning", lambda *_, **__: None)
    return go


def test_it_is_short_and_its_links_lead_somewhere():
    assert len(PAGE.split()) <= 1500
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        assert target.startswith("https://") or (ROOT / target).exists(), target
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert re.search(rf"\b{path.name[:2]} \w", PAGE), path.name
    assert f"are {('seven', 'eight', 'nine')[len(list((ROOT / 'models').iterdir())) - 7]} worked" in PAGE


def test_its_commands_are_those_that_are_run():
    """Continuous integration runs the test command; all other lines are run here."""
    assert {language for language, _ in BLOCKS} == {"python", "sh", "csv"}
    assert SHELL[:2] == [f"{SETS_UP}uv run ds3bayes run models/game24.toml", SETS_UP + TESTS]
    assert SHELL[1] in (ROOT / ".ci" / "run").read_text().splitlines()
    assert all(line.startswith("uv run ds3bayes ") for line in SHELL[2:])
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["readme"] == "README.md"


def test_its_python(folder, game24_fit, monkeypatch, capsys):
    monkeypatch.setattr(ds3, "fit", lambda evals, spec: game24_fit)
    # A short fit has tasks that only refits could leave out.
    monkeypatch.setattr(ds3, "check", partial(ds3.check, refits=0))
    names: dict = {"__name__": "readme"}
    for code in PYTHON:
        exec(compile(code, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert "USD" in said
    assert (folder / "report.html").exists()
    assert ds3.load(folder / "run.nc").attrs["model_id"] == game24_fit.attrs["model_id"]
    success = names["pred"]["success"].mean(("chain", "draw")).squeeze()
    assert np.isfinite(success).all()


def test_a_table_of_ones_own(folder, command):
    out = command(next(line for line in SHELL if "evals.csv" in line))
    assert "acme-" in out
    assert {path.name for path in (folder / "runs" / "evals").iterdir()} >= {"report.html", "run.nc", "spec.toml"}
    assert json.loads(command("ds3bayes decide runs/evals/run.nc --json"))["options"]


@pytest.mark.slow
def test_all_commands_as_they_stand(folder):
    """In a shell of their own, with all draws; `uv run` is of this environment."""
    (folder / "bin").mkdir()
    uv = folder / "bin" / "uv"
    uv.write_text(f'#!/bin/sh\nshift\nPATH="{Path(sys.executable).parent}:$PATH" exec "$@"\n')
    uv.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    for line in SHELL:
        own = line.removeprefix(SETS_UP)
        if own == TESTS:
            continue
        done = subprocess.run(
            ["sh", "-ec", own], env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert {path.name for path in (folder / "runs").iterdir()} == {"game24", "evals", "logs"}
