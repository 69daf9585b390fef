"""The command line: bad input ends in exit code 2 and one message, and machines can read the answers."""

import html
import json
import os
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest
import typer
import xarray as xr

import ds3bayes as ds3
from ds3bayes import answers, cli
from ds3bayes.engine import nuts
from ds3bayes.inference.sources import changed_since, note_source

GOOD = pd.DataFrame(
    {
        "model": "m",
        "benchmark": "b",
        "task": ["t0", "t1", "t2"],
        "strategy": "cot",
        "attempts": [8, 8, 8],
        "successes": [0, 3, 8],
        "tokens_mean": [300.0, 200.0, 100.0],
    }
)


def write(folder: Path, table: pd.DataFrame | str | None = None, spec: str = "") -> Path:
    """Write a table and a spec that points to it; return the spec's path."""
    if table is not None:
        text = table if isinstance(table, str) else table.to_csv(index=False)
        (folder / "table.csv").write_text(text, encoding="utf-8")
    path = folder / "spec.toml"
    path.write_text(f'name = "bad"\n{spec}\n[data]\npath = "table.csv"\n', encoding="utf-8")
    return path


def changed(column: str, value: object, row: int = 1) -> pd.DataFrame:
    frame = GOOD.astype({column: object})
    frame.loc[row, column] = value
    return frame


BAD_TABLES = {
    "missing column": (GOOD.drop(columns="successes"), ["successes"]),
    "misspelt column": (GOOD.rename(columns={"successes": "sucesses"}), ["successes", "sucesses"]),
    "too many successes": (changed("successes", 9), ["row 2 (line 3)", "successes", "9", "attempts"]),
    "count not whole": (changed("attempts", 7.5), ["row 2 (line 3)", "attempts", "7.5"]),
    "unknown strategy": (changed("strategy", "majorty"), ["row 2 (line 3)", "strategy", "majorty", "'majority'"]),
    "duplicate key": (
        pd.concat([GOOD, GOOD.iloc[[1]].assign(successes=2)], ignore_index=True),
        ["row 4 (line 5)", "row 2 (line 3)", "other successes"],
    ),
    "empty table": (GOOD.iloc[:0], ["no rows"]),
    "empty file": ("", ["table.csv"]),
    "NaN": (changed("successes", np.nan), ["row 2 (line 3)", "successes"]),
    "negative tokens": (changed("tokens_mean", -5.0), ["row 2 (line 3)", "tokens_mean", "-5"]),
}
BAD_SPECS = {
    "unknown prior": (
        'priors = {locaton = {family = "Normal", mu = 0.0, sigma = 1.0}}',
        ["locaton", "Did you mean 'location'"],
    ),
    "unknown key": ('descripton = "x"', ["descripton", "Did you mean 'description'"]),
    "wrong value": ('population = {family = "norml"}', ["population.family", "norml"]),
    "unknown strategy": ('query = {strategies = ["cott"]}', ["cott", "Did you mean 'cot'"]),
    "cost of nobody": ("costs = {mm = {output_usd = 1.0}}", ["'mm'", "Did you mean 'm'"]),
    "bad condition": ('holdout = [{where = "strateg == 1"}]', ["strateg", "Did you mean 'strategy'"]),
    "not TOML": ("x = = 1", ["spec.toml", "not valid TOML", "line 2"]),
}


def refused(answer, folder: Path, before: set[Path], said: list[str]) -> None:
    code, out, err = answer
    assert code == 2, err
    assert out == ""
    assert err.count("error") == 1
    assert "Traceback" not in err
    for part in said:
        assert part in err, err
    assert set(folder.rglob("*")) == before


# Reading is the same for every verb; two of them for those that would compile and write.
CASES = [("validate", name) for name in BAD_TABLES]
CASES += [(verb, name) for verb in ("fit", "run") for name in ("too many successes", "empty table")]


@pytest.mark.parametrize(("verb", "name"), CASES)
def test_bad_tables(run, tmp_path, verb, name):
    table, said = BAD_TABLES[name]
    spec = write(tmp_path, table)
    before = set(tmp_path.rglob("*"))
    refused(run(verb, spec), tmp_path, before, ["table.csv", *said])


@pytest.mark.parametrize("name", BAD_SPECS)
def test_bad_specs(run, tmp_path, name):
    text, said = BAD_SPECS[name]
    spec = write(tmp_path, GOOD, text)
    before = set(tmp_path.rglob("*"))
    refused(run("validate", spec), tmp_path, before, said)


def test_missing_files(run, tmp_path):
    refused(run("validate", "absent.toml"), tmp_path, set(), ["absent.toml", "no such spec"])
    refused(run("check", "absent.nc"), tmp_path, set(), ["absent.nc", "no such fit"])
    refused(run("check", "absent.nc", "--tasks", 5), tmp_path, set(), ["--tasks 5", "add --sbc"])
    refused(run("predict", "absent.nc"), tmp_path, set(), ["absent.nc"])
    spec = write(tmp_path)
    refused(run("validate", spec), tmp_path, {spec}, ["table.csv"])
    spec.write_text('name = "x"\n')
    refused(run("validate", spec), tmp_path, {spec}, ["spec.toml", "names no data"])


def test_all_faults_come_at_once(run, tmp_path):
    frame = changed("successes", 9)
    frame["tokens_mean"] = frame["tokens_mean"].astype(object)
    frame.loc[2, "tokens_mean"] = -1.0
    code, _, err = run("validate", write(tmp_path, frame))
    assert code == 2
    assert "2 faults" in err
    assert "row 2 (line 3)" in err
    assert "row 3 (line 4)" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fit", "spec.toml", "-o", "run.pkl"), ["run.pkl", ".nc"]),
        (("fit", "spec.toml", "--draws", "0"), ["draws", "0"]),
        (("simulate", "-o", "x.parquet"), ["x.parquet", ".csv"]),
        (("simulate", "--tasks", "0"), ["tasks=0"]),
        (("simulate", "--reachability", "1.5"), ["reachability=1.5"]),
    ],
)
def test_bad_options(run, tmp_path, arguments, said):
    write(tmp_path, GOOD)
    before = set(tmp_path.rglob("*"))
    refused(run(*arguments), tmp_path, before, said)


def test_validate_speaks_json(run, tmp_path):
    spec = write(tmp_path, GOOD, 'query = {strategies = ["cot", "best_of_n(n=4)"]}')
    code, out, _ = run("validate", spec, "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["rows"] == facts["tasks"] == 3
    assert facts["attempts"] == 24
    assert facts["samplers"] == ["m | b | cot"]
    assert facts["strategies"] == ["cot", "best_of_n(n=4, verifier=oracle)"]


def test_simulate_then_validate(run, tmp_path):
    assert run("simulate", "-o", "table.csv", "--tasks", 7, "--attempts", 5, "--models", 2, "--seed", 3)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv", "table.truth.nc"]
    code, out, _ = run("validate", write(tmp_path), "--json")
    assert code == 0
    facts = json.loads(out)
    assert (facts["rows"], facts["attempts"], len(facts["samplers"])) == (14, 70, 2)
    made = ds3.simulate(tasks=7, attempts=5, models=2, seed=3)
    read = ds3.read_evals(tmp_path / "table.csv")
    assert read.attrs["data_sha256"] == made.evals.attrs["data_sha256"]


@pytest.fixture(scope="module")
def fit_file(simulated_fit, tmp_path_factory):
    return ds3.save(simulated_fit, tmp_path_factory.mktemp("cli") / "run.nc")


def test_predict_speaks_json(run, fit_file, simulated_fit, tmp_path):
    code, out, _ = run("predict", fit_file, "-s", "cot", "-s", "best_of_n(n=4)", "--json", "-o", "pred.nc")
    assert code == 0
    rows = json.loads(out)
    assert [row["strategy"] for row in rows] == ["cot", "best_of_n(n=4, verifier=oracle)"]
    pred = ds3.predict(simulated_fit, ["cot"])
    assert rows[0]["success"] == pytest.approx(float(pred["success"].mean()))
    for row in rows:
        for name in ("success", "tokens", "usd", "flops", "seconds"):
            assert row[f"{name}_lower"] <= row[name] <= row[f"{name}_upper"]
    assert (tmp_path / "pred.nc").exists()


def test_predict_of_some_llms(run, fit_file, simulated_fit, tmp_path):
    code, out, _ = run("predict", fit_file, "--model", "model-0", "--json")
    assert (code, {row["model"] for row in json.loads(out)}) == (0, {"model-0"})
    refused(run("predict", fit_file, "-m", "model-o"), tmp_path, set(), ["'model-o'", "Did you mean 'model-0'"])


def test_every_command_documents_its_json(run, fit_file, prior_fit, tmp_path):
    commands = typer.main.get_command(cli.app).commands
    assert set(answers.ANSWERS) == {
        name for name, one in commands.items() if any("--json" in option.opts for option in one.params)
    }
    for name in answers.ANSWERS:
        jsonschema.Draft202012Validator.check_schema(json.loads(run("schema", name)[1]))
    refused(run("schema", "decid"), tmp_path, set(), ["'decid' has no --json", "Did you mean 'decide'"])
    root = Path(__file__).parents[1]
    spec = ds3.ModelSpec.from_toml(root / "models" / "training_runs.toml")
    ds3.save(prior_fit(ds3.read_evals(root / "data" / "training_runs.csv"), spec), "bridge.nc")
    spec = write(tmp_path, GOOD)
    for asked in (
        ("validate", spec, "--prior"),
        ("compare", fit_file, "cot", "majority(n=8)"),
        ("rank", fit_file, "--of", "option"),
        ("suspects", fit_file, "--least", 0),
        ("plan", fit_file, "--width", 0.2),
        ("next", fit_file, "-s", "cot", "-s", "majority(n=8)"),
        ("decide", fit_file, "--reach", "majority(n=*)"),
        ("allocate", "bridge.nc", "-s", "cot", "--tokens-per-attempt", 500),
    ):
        code, out, err = run(*asked, "--json")
        assert code == 0, err
        assert json.loads(out)


def test_predict_at_many_budgets_is_the_grid(run, fit_file, simulated_fit, tmp_path):
    code, out, _ = run("predict", fit_file, "-s", "cot", "--budgets", "200:600:200", "--json", "-o", "grid.nc")
    assert code == 0
    rows = json.loads(out)
    assert [row["strategy"] for row in rows] == [f"cot(max_tokens={budget})" for budget in (200, 400, 600)]
    grid = ds3.predict_grid(simulated_fit, ["cot"], [200, 400, 600])
    assert [row["success"] for row in rows] == pytest.approx(grid["success"].mean(("chain", "draw")).squeeze().values)
    assert (tmp_path / "grid.nc").exists()


def test_faulty_budgets_are_refused(run, tmp_path):
    for budgets in ("600:200:100", "200:600:0", "many", "1:2"):
        refused(
            run("predict", "run.nc", "--budgets", budgets), tmp_path, set(), [f"--budgets {budgets}", "FROM:TO:STEP"]
        )
    refused(
        run("predict", "run.nc", "--scheduler", "tcp://h:1"),
        tmp_path,
        set(),
        ["--scheduler tcp://h:1", "add --budgets"],
    )


def test_predict_uses_the_specs_questions(run, fit_file):
    code, out, _ = run("predict", fit_file, "--json", "--tasks", "new")
    assert code == 0
    assert [row["strategy"] for row in json.loads(out)] == ["cot", "majority(n=8)"]


def test_decide_speaks_json(run, fit_file, simulated_fit):
    code, out, _ = run(
        "decide",
        fit_file,
        "--json",
        "--cost",
        "usd",
        "--max-cost",
        "0.05",
        "--success",
        "0.4",
        "-s",
        "cot",
        "-s",
        "best_of_n(n=3)",
        "--perfect-check",
    )
    assert code == 0
    answer = json.loads(out)
    pred = ds3.predict(simulated_fit, ["cot", "best_of_n(n=3)"])
    wanted = ds3.best(pred, cost="usd", max_cost=0.05, perfect_check=True)
    assert wanted.attrs["choice"] == f"{answer['benchmark']}: {answer['chosen']}"
    assert answer["choice"].startswith(f"Best for at most USD 0.05 per task: {answer['chosen']}, with success")
    assert {row["option"] for row in answer["options"]} == set(wanted["option"].values)
    for row in answer["options"]:
        assert 0 <= row["p_best"] <= 1
        assert 0 <= row["p_frontier"] <= 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("predict", "-s", "cott"), ["Did you mean 'cot'"]),
        (("predict", "--tasks", "observd"), ["Did you mean 'observed'"]),
        (("decide", "--cost", "dollars"), ["dollars", "tokens, usd, flops"]),
        (("decide", "--success", "1.5"), ["success", "1.5"]),
        (("decide", "--max-cost", "-1"), ["max_cost", "-1"]),
    ],
)
def test_bad_questions(run, fit_file, tmp_path, arguments, said):
    verb, *rest = arguments
    refused(run(verb, fit_file, *rest), tmp_path, set(), said)


def test_check_speaks_json_and_fails_short_chains(run, fit_file):
    code, out, _ = run("check", fit_file, "--json")
    results = {one["name"]: one for one in json.loads(out)}
    # Chains of 150 draws do not converge in the sense of the check: exit code 1.
    assert code == 1
    assert not results["convergence"]["passed"]
    assert results["posterior prediction"]["passed"]
    notes = {"what was learned", "dependence on the prior"}
    assert {name for name, one in results.items() if one["note"]} == notes
    assert {name for name, one in results.items() if one["passed"] is None} == notes
    _, out, _ = run("check", fit_file, "--refits", 0)
    shown = out[: out.index("Notes")]
    assert " of 3 checks passed" in shown
    assert not any(name in shown for name in notes)
    assert all(f"note  {name}: " in out for name in notes)


def test_check_writes_tables_and_pictures(run, fit_file, tmp_path):
    run("check", fit_file, "-o", "found")
    names = ["convergence", "posterior_prediction", "leave_one_task_out", "what_was_learned", "dependence_on_the_prior"]
    assert {path.name for path in (tmp_path / "found").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("csv", "png")
    }
    assert {"parameter", "r_hat"} <= set(pd.read_csv(tmp_path / "found" / "convergence.csv"))
    assert (tmp_path / "found" / "convergence.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_no_bare_nan(capsys):
    cli._print_json({"a": [np.float64("nan"), np.inf, 1.0], "b": np.int64(3), 4: (True,)})
    assert json.loads(capsys.readouterr().out) == {"a": [None, None, 1.0], "b": 3, "4": [True]}


def test_text_from_data_is_not_markup(run, tmp_path):
    frame = GOOD.assign(model="[bold]m[/nope]")
    code, out, _ = run("validate", write(tmp_path, frame))
    assert code == 0
    assert "[bold]m[/nope]" in out


def test_an_unknown_verb(run):
    code, out, err = run("validat", "x")
    assert code == 2
    assert out == ""
    assert "validat" in err


def test_help_names_every_verb(run):
    code, out, _ = run("--help")
    assert code == 0
    for verb in ("validate", "fit", "check", "predict", "decide", "report", "simulate", "run"):
        assert verb in out


@pytest.mark.parametrize(
    "verb", ["validate", "fit", "check", "predict", "decide", "report", "simulate", "run", "watch"]
)
def test_help_shows_examples_that_parse(run, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run(verb, "--help")
    assert code == 0
    lines = out.partition("Examples")[2].splitlines()
    found = [line.strip() for line in lines if line.strip().startswith("ds3bayes ")]
    assert found
    for line in found:
        words = shlex.split(line.partition("|")[0].partition(">")[0].partition("&&")[0])
        command = typer.main.get_command(cli.app).commands[words[1]]
        # Parsing alone: nothing runs.
        assert command.make_context(words[1], words[2:]).params


def test_strategies_and_questions_are_completed():
    assert "best_of_n" in cli._strategies_starting("best")
    assert cli._strategies_starting("zz") == []
    assert cli._scenarios_starting("train") == ["training_runs", "training_grid"]
    assert cli._completed("observed", "new")("n") == ["new"]


@pytest.fixture
def folder(simulated_fit, simulated_spec, tmp_path):
    """A spec, its table and a folder with a fit of them, as `run` leaves it."""
    evals, _ = ds3.inference.artifact.evals_of(simulated_fit)
    ds3.evals.to_table(evals).to_csv(tmp_path / "table.csv", index=False)
    sizes = simulated_fit["posterior"].sizes
    changed = simulated_spec.model_dump(mode="json", exclude_none=True) | {
        "data": {"path": "table.csv"},
        "sampling": {"chains": sizes["chain"], "draws": sizes["draw"], "tune": 250, "seed": 1},
    }
    spec = ds3.ModelSpec.from_dict(changed)
    (tmp_path / "spec.toml").write_text(spec.to_toml(), encoding="utf-8")
    fit = simulated_fit.copy()
    fit.attrs = {**simulated_fit.attrs, "spec": spec.model_dump_json()}
    ds3.save(fit, tmp_path / "out" / "run.nc")
    return tmp_path


def test_run_uses_a_fit_of_the_same_model_and_data(run, folder, monkeypatch):
    def never(*_, **__):
        raise AssertionError("sampled again")

    monkeypatch.setattr("ds3bayes.inference.fit.fit", never)
    spec = folder / "spec.toml"
    # Other questions and prices need no sampling.
    spec.write_text(spec.read_text().replace("output_usd = 8.0", "output_usd = 16.0"), encoding="utf-8")
    code, out, err = run("run", spec, "-o", "out", "--json")
    assert code == 0, err
    assert "using it" in err
    assert json.loads(out)["decision"]["options"]
    assert {path.name for path in (folder / "out").iterdir()} >= {"report.html", "report.md", "tables", "run.nc"}
    assert "output_usd = 16.0" in (folder / "out" / "report.html").read_text(encoding="utf-8")


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+\.\d+", text))


def test_one_folder_gives_one_answer(run, folder, monkeypatch):
    """After prices, cap and target change in the spec, every output on the kept fit is of the new ones."""
    spec, out = folder / "spec.toml", folder / "out"
    asked = spec.read_text().replace('cost = "tokens"', 'cost = "usd"\nmax_cost = 0.4721')
    spec.write_text(asked.replace("success = 0.8", "success = 0.3"), encoding="utf-8")
    assert run("run", spec, "-o", "out", "--json")[0] == 0
    before = json.loads(run("decide", "out/run.nc", "--json")[1])
    assert before["choice"].startswith("Best for at most USD 0.4721 per task")

    def never(*_, **__):
        raise AssertionError("sampled again")

    monkeypatch.setattr("ds3bayes.inference.fit.fit", never)
    changed = spec.read_text().replace("output_usd = 8.0", "output_usd = 80.0")
    changed = changed.replace("max_cost = 0.4721", "max_cost = 7.25").replace("success = 0.3", "success = 0.35")
    spec.write_text(changed, encoding="utf-8")

    def costs(rows):
        return {row["option"]: row["cost"] for row in rows}

    decided = json.loads(run("decide", "out/run.nc", "--json")[1])
    assert decided["choice"].startswith("Best for at most USD 7.25 per task")
    assert "success 0.35" in decided["enough"]
    assert costs(decided["options"]) == pytest.approx({o: 10 * c for o, c in costs(before["options"]).items()})
    predicted = {row["strategy"]: row["usd"] for row in json.loads(run("predict", "out/run.nc", "--json")[1])}
    assert predicted == pytest.approx(costs(decided["options"]))
    assert run("report", "out/run.nc", "-o", "out/report.html")[0] == 0
    page = (out / "report.md").read_text(encoding="utf-8")
    assert decided["choice"] in html.unescape(page.replace("\\", ""))
    assert "output_usd = 80.0" in page
    for old in ("output_usd = 8.0", "max_cost = 0.4721", "USD 0.4721 ", "success 0.3 "):
        assert old not in page
    # Once more by `run`: the folder holds nothing of the old questions and prices, the fit included.
    again = json.loads(run("run", spec, "-o", "out", "--json")[1])["decision"]
    assert again["choice"] == decided["choice"]
    kept = json.loads(ds3.load(out / "run.nc").attrs["spec"])
    assert (kept["query"]["max_cost"], kept["costs"]["*"]["output_usd"]) == (7.25, 80.0)
    assert costs(pd.read_csv(out / "decision.csv").to_dict("records")) == pytest.approx(costs(decided["options"]))
    assert xr.load_dataset(out / "predictions.nc")["usd"].mean() == pytest.approx(np.mean(list(predicted.values())))
    assert not numbers(before["choice"]) & numbers(page) - numbers(decided["choice"]) - {"0.9"}


def test_what_the_command_line_asked_of_a_folder_holds_until_it_is_asked_again(run, folder):
    assert run("run", folder / "spec.toml", "-o", "out", "--cost", "usd", "--max-cost", "0.25")[0] == 0
    assert "at most USD 0.25" in json.loads(run("decide", "out/run.nc", "--json")[1])["choice"]
    assert run("run", folder / "spec.toml", "-o", "out")[0] == 0
    assert "at any cost" in json.loads(run("decide", "out/run.nc", "--json")[1])["choice"]


def test_another_model_in_the_spec_is_refused_by_questions_on_the_kept_fit(run, folder):
    spec = folder / "spec.toml"
    assert run("run", spec, "-o", "out")[0] == 0
    was = spec.read_text()
    spec.write_text(was + '\n[priors]\nspread = { family = "LogNormal", mu = 0.0, sigma = 0.1 }\n', encoding="utf-8")
    before = set(folder.rglob("*"))
    for verb in ("decide", "predict", "report"):
        said = ["priors.spread", "Only questions and prices", "spec.toml", "fit anew"]
        refused(run(verb, "out/run.nc"), folder, before, said)
    # Sampling that would differ is no other model, and a spec that is gone leaves its last questions.
    spec.write_text(was.replace("draws = ", "draws = 1"), encoding="utf-8")
    assert run("decide", "out/run.nc")[0] == 0
    spec.unlink()
    code, _, err = run("decide", "out/run.nc")
    assert code == 0
    assert "is gone" in err


def test_weights_and_checks_of_unknown_benchmarks_are_refused_first(run, tmp_path):
    for key, value in (("weights", "{ bb = 1.0 }"), ("perfect_check", '["bb"]')):
        spec = write(tmp_path, GOOD, f"query = {{{key} = {value}}}")
        refused(
            run("validate", spec), tmp_path, set(tmp_path.rglob("*")), [f"query.{key}", "'bb'", "benchmarks are: b"]
        )


def test_another_model_or_other_data_are_fitted_anew(folder):
    path = folder / "out" / "run.nc"
    spec, evals = cli._read(folder / "spec.toml")
    assert cli._same_fit(path, spec, evals) is not None
    other = spec.model_dump(mode="json", exclude_none=True)
    for change in (
        {"population": {"reachability": False}},
        {"sampling": {**other["sampling"], "seed": 9}},
        {"sampling": {**other["sampling"], "draws": 99}},
        {"priors": {"spread": {"family": "LogNormal", "mu": 0.0, "sigma": 0.1}}},
    ):
        assert cli._same_fit(path, ds3.ModelSpec.from_dict(other | change), evals) is None
    fewer = ds3.read_evals(ds3.evals.to_table(evals).iloc[1:])
    assert cli._same_fit(path, spec, fewer) is None
    assert cli._same_fit(folder / "absent.nc", spec, evals) is None
    path.write_bytes(b"broken")
    assert cli._same_fit(path, spec, evals) is None


def test_a_place_that_cannot_be_written_is_refused_first(run, tmp_path):
    spec = write(tmp_path, GOOD)
    (tmp_path / "file").write_text("x")
    before = set(tmp_path.rglob("*"))
    refused(run("fit", spec, "-o", "file/run.nc"), tmp_path, before, ["file", "not a folder"])
    refused(run("run", spec, "-o", "file/out"), tmp_path, before, ["file", "not a folder"])


def test_an_error_of_the_disk_is_said_in_words(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", str(tmp_path / "x.csv"))

    monkeypatch.setattr("ds3bayes.files.os.replace", full)
    code, out, err = run("simulate", "-o", "x.csv", "--tasks", 2)
    assert code == 3
    assert out == ""
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_as_a_program(tmp_path):
    command = [sys.executable, "-c", "from ds3bayes.cli import main; main()", "validate", "absent.toml"]
    bad = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr
    assert "no such spec" in bad.stderr


def test_a_table_in_the_place_of_a_spec_or_a_fit_says_what_to_do(run, fit_file, tmp_path):
    GOOD.to_csv(tmp_path / "mine.csv", index=False)
    before = set(tmp_path.rglob("*"))
    for verb in ("validate", "fit", "check", "decide", "report"):
        refused(run(verb, "mine.csv"), tmp_path, before, ["mine.csv", "`ds3bayes run mine.csv`"])
    refused(run("run", fit_file), tmp_path, before, ["is a fit", "ds3bayes decide"])
    refused(run("decide", fit_file.parent), tmp_path, before, ["is the folder of a fit, which is", "run.nc"])


def test_ctrl_c_says_what_was_kept(run, log, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ds3bayes.inference.fit.fit", interrupted)
    code, _, err = run("run", log, "--max-cost", 900, "-o", "out")
    assert (code, err.count("interrupted")) == (130, 1)
    assert "kept, each of them whole: out/evals.parquet, out/spec.toml" in err
    code, _, err = run("fit", "out/spec.toml", "-o", "run.nc")
    assert (code, "interrupted; nothing was written" in err) == (130, True)

    def begun(*_, resume, **__):
        # As if draws had been made.
        resume.mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("ds3bayes.inference.fit.fit", begun)
    code, _, err = run("run", log, "-o", "out", "--max-cost", "900")
    assert code == 130
    assert "what was done is kept in out/run.nc.unfinished: the same command goes on from there (--fresh" in err


def test_output_of_a_pipe_has_no_colours_and_a_closed_one_is_no_failed_check(fit_file):
    start = [sys.executable, "-c", "from ds3bayes.cli import main; main()", "predict", str(fit_file)]
    done = subprocess.run(start, capture_output=True, text=True, timeout=120, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert "predicting" in done.stderr
    assert "predicting" not in done.stdout
    with subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(timeout=120)
    assert process.returncode == 141
    assert "Traceback" not in said


# --- evaluations without a specification --------------------------------------------------------------------


@pytest.fixture
def log(tmp_path):
    """Attempts of two LLMs at eight tasks, as a harness might write them."""
    rng = np.random.default_rng(2)
    lines = [
        {"model": model, "benchmark": "sums", "question_id": f"{task:03}", "epoch": epoch}
        | {"correct": bool(rng.random() < 0.1 * task), "output_tokens": int(rng.integers(200, 600))}
        for model in ("x", "y")
        for task in range(8)
        for epoch in range(3)
    ]
    lines.append(lines[0] | {"epoch": 9, "correct": None, "error": "timeout [/bold]"})
    path = tmp_path / "attempts.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_import_says_what_it_read_and_left_out(run, log, tmp_path):
    code, _, err = run("import", log, "-o", "evals.csv")
    assert code == 0, err
    assert "48 attempts at 8 tasks of 1 benchmark by 2 LLMs" in err
    assert "task: column 'question_id'" in err
    assert "left out: 1 errored" in err
    table = pd.read_csv(tmp_path / "evals.csv", dtype={"task": str})
    assert table["attempts"].sum() == 48
    assert "007" in set(table["task"])
    code, out, _ = run("import", log, "-o", "evals.parquet", "--json")
    assert code == 0
    assert json.loads(out)["account"]["left_out"][0]["count"] == 1
    xr.testing.assert_identical(
        ds3.read_evals(tmp_path / "evals.csv").drop_attrs(), ds3.read_evals(tmp_path / "evals.parquet").drop_attrs()
    )


def test_import_writes_tables_and_never_over_its_source(run, log):
    before = log.read_bytes()
    for output, part in (("evals.nc", ".parquet or .csv"), (log, ".parquet or .csv")):
        code, _, err = run("import", log, "-o", output)
        assert (code, part in err) == (2, True), err
    table = log.with_suffix(".csv")
    run("import", log, "-o", table)
    code, _, err = run("import", table, "-o", table)
    assert code == 2
    assert "is what is read" in err
    assert log.read_bytes() == before


def test_run_takes_a_log_to_a_decision(run, log, tmp_path, monkeypatch):
    from ds3bayes.inference import fit as fits

    real = fits.fit
    page = tmp_path / "out" / "preliminary.html"
    first = []

    def short(evals, spec, *, preliminary, **_):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ds3.FitWarning)
            fit = real(evals, spec, draws=100, tune=100, chains=2, progress=False)
        first.append(preliminary(fit))
        assert "preliminary" in page.read_text(encoding="utf-8")
        return fit

    monkeypatch.setattr("ds3bayes.inference.fit.fit", short)
    code, out, err = run("run", log, "--max-cost", "900", "--target", "0.3", "-o", "out", "--json")
    assert code == 0, err
    # One line where nobody watches; a finished run has an answer, and no preliminary one.
    (said,) = first
    assert re.fullmatch(r"preliminary \(.*\): success of [^\n]+ 0\.\d+ \(0\.\d+ to [01]\.\d+\)[^\n]*", said), said
    assert not page.exists()
    answer = json.loads(out)
    assert "at most 900 tokens per task" in answer["decision"]["choice"]
    assert "success 0.3 " in answer["decision"]["enough"]
    assert "left out: 1 errored" in err
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for told in ("48 attempts", "attempts.jsonl", "1 errored before they were scored", "column &#39;question_id&#39;"):
        assert told in page, told
    # The spec that was used gives the same model of the same data.
    spec, evals = cli._read(tmp_path / "out" / "spec.toml")
    assert spec.query.max_cost == 900
    assert spec.query.success == 0.3
    assert ds3.evals.data_sha256(evals) == ds3.load(tmp_path / "out" / "run.nc").attrs["data_sha256"]


def test_questions_of_the_command_line_are_checked(run, log):
    code, _, err = run("run", log, "--target", "1.5")
    assert code == 2
    assert "success" in err
    code, _, err = run("run", log, "--cost", "euros")
    assert code == 2
    assert "usd" in err


def test_run_of_nothing_says_what_it_takes(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for source in ("empty", "nowhere.csv"):
        code, _, err = run("run", source)
        assert code == 2
        assert source in err


def test_what_a_reader_asks_for_can_be_said(run, tmp_path):
    lines = [{"q": f"t{i}", "score": i / 4, "n": 100} for i in range(5)]
    (tmp_path / "scores.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    code, _, err = run("import", "scores.jsonl", "-o", "e.csv")
    assert (code, "--with task=COLUMN" in err) == (2, True)
    said = ["task=q", "success=score", "threshold=0.5", "tokens=n", "constants.model=x", "constants.benchmark=b"]
    code, _, err = run("import", "scores.jsonl", "-o", "e.csv", *(f"--with={one}" for one in said))
    assert code == 0, err
    table = pd.read_csv(tmp_path / "e.csv")
    assert table["successes"].tolist() == [0, 0, 1, 1, 1]
    assert set(table["model"]) == {"x"}
    assert cli._options(["scorer=match", "success=0.5", "partial=true", "task=007x", 'ignore=["a"]', "c.d=1"]) == {
        "scorer": "match",
        "success": 0.5,
        "partial": True,
        "task": "007x",
        "ignore": ["a"],
        "c": {"d": 1},
    }
    for bad in ("scorer", "=x", "a b=c"):
        with pytest.raises(ds3.InputError, match="NAME=VALUE"):
            cli._options([bad])
    with pytest.raises(ds3.InputError, match="given twice"):
        cli._options(["a=1", "a=2"])


# --- questions that nothing can answer ----------------------------------------------------------------------


@pytest.fixture
def never_sampled(monkeypatch):
    def never(*_, **__):
        raise AssertionError("sampled before the question was refused")

    monkeypatch.setattr("ds3bayes.inference.fit.fit", never)


@pytest.mark.parametrize("verb", ["validate", "run"])
def test_a_cap_on_unknown_costs_is_refused_with_all_that_is_missing(run, tmp_path, never_sampled, verb):
    """All rows carry cost_usd, the spec has no prices: the best "at any cost" was recommended, 6.6 times the cap."""
    table = pd.concat([GOOD.assign(model=model, cost_usd=0.1) for model in ("big", "small")])
    spec = write(tmp_path, table, '[query]\ncost = "usd"\nmax_cost = 0.01\n')
    code, _, err = run(verb, spec)
    assert code == 2
    said = " ".join(err.split())
    for model in ("big", "small"):
        assert f"no input_usd and output_usd for {model}" in said
        assert f"no prompt_tokens for {model}" in said
    priced = '[query]\ncost = "usd"\nmax_cost = 0.01\n[costs."*"]\ninput_usd = 0.0\noutput_usd = 2.0\n'
    code, _, err = run("validate", write(tmp_path, table, priced))
    assert code == 0, err


@pytest.mark.parametrize("verb", ["validate", "run"])
def test_a_strategy_that_the_table_does_not_tell_is_refused_before_sampling(run, tmp_path, never_sampled, verb):
    code, _, err = run(verb, write(tmp_path, GOOD, '[query]\nstrategies = ["majority(n=5)"]\n'))
    assert code == 2
    assert "majority(n=5)" in err
    told = GOOD.assign(wrong_answer_counts=["3|1", "2|1", ""])
    code, _, err = run("validate", write(tmp_path, told, '[query]\nstrategies = ["majority(n=5)"]\n'))
    assert code == 0, err


def test_a_cap_needs_tokens(run, tmp_path, never_sampled):
    code, _, err = run("validate", write(tmp_path, GOOD.drop(columns="tokens_mean"), "[query]\nmax_cost = 100.0\n"))
    assert code == 2
    assert "tokens_mean for m | b | cot" in " ".join(err.split())


def test_a_kept_fit_says_that_its_evaluations_have_changed(folder, capsys):
    """Every question on a fit reads it in the same way; files that were only touched have not changed."""
    path, table = folder / "out" / "run.nc", folder / "table.csv"
    ds3.save(cli._asked_by(ds3.load(path), folder / "spec.toml", path.parent, source=str(table)), path)

    def said() -> str:
        cli._load(path)
        return " ".join(capsys.readouterr().err.split())

    assert said() == ""
    os.utime(table, (1, 1))
    assert said() == ""
    rows = pd.read_csv(table)
    attempts = int(rows["attempts"].sum())
    rows.loc[0, "attempts"] += 3
    rows.to_csv(table, index=False)
    assert f"has changed since the fit ({attempts:,} attempts then, {attempts + 3:,} now)" in said()
    assert "older evaluations; `ds3bayes run` fits them anew" in said()
    table.write_text("no table", encoding="utf-8")
    assert "cannot be read" in said()
    table.unlink()
    assert "table.csv is gone" in said()


def test_a_folder_of_logs_is_looked_at_file_by_file(folder):
    logs, fit = folder / "logs", ds3.load(folder / "out" / "run.nc")
    logs.mkdir()
    (logs / "a.json").write_text("{}")
    noted = note_source(fit, logs, folder / "out", {"scorer": "match"})
    evals, _ = ds3.inference.artifact.evals_of(fit)
    asked = []

    def read(path, options):
        asked.append((path.resolve(), options))
        return evals.isel(row=slice(len(asked), None))

    assert changed_since(noted, folder / "out", read) == ""
    assert asked == []
    (logs / "b.json").write_text("{}")
    assert "logs has changed since the fit" in changed_since(noted, folder / "out", read)
    assert asked == [(logs.resolve(), {"scorer": "match"})]
    assert changed_since(fit, folder / "out", read) == ""


def test_a_shipped_calibration_is_copied_with_its_data(run, tmp_path):
    code, out, _ = run("example", "--json")
    assert code == 0
    names = [one["name"] for one in json.loads(out)]
    assert {"game24", "aime_effort"} <= set(names)
    code, out, _ = run("example", "gsm8k_voting", "-o", "mine", "--json")
    assert code == 0
    assert json.loads(out) == {"spec": "mine/gsm8k_voting.toml", "table": "mine/gsm8k_voting.csv"}
    assert run("validate", "mine/gsm8k_voting.toml")[0] == 0
    # Again, nothing is lost; what was changed is not overwritten.
    assert run("example", "gsm8k_voting", "-o", "mine")[0] == 0
    changed_spec = (tmp_path / "mine" / "gsm8k_voting.toml").read_text() + "# mine\n"
    (tmp_path / "mine" / "gsm8k_voting.toml").write_text(changed_spec)
    code, _, said = run("example", "gsm8k_voting", "-o", "mine")
    assert code == 2
    assert "another file of that name" in said.replace("\n", " ")
    assert (tmp_path / "mine" / "gsm8k_voting.toml").read_text() == changed_spec
    code, _, said = run("example", "gsm8k_votin")
    assert code == 2
    assert "Did you mean 'gsm8k_voting'" in said.replace("\n", " ")


def test_doctor_says_which_engine_runs(run, monkeypatch):
    code, out, _ = run("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["engine"].startswith("ok: the machine")
    assert found["pymc"].startswith("6.")
    monkeypatch.setattr("ds3bayes.engine.nuts.version", lambda name: "0.1")
    monkeypatch.setattr("ds3bayes.engine.nuts.core", nuts.core.__wrapped__)
    code, out, _ = run("doctor")
    assert code == 1
    assert "sampler: slow: nutpie 0.1 is installed" in out


def test_a_table_folds_what_is_wider_than_its_column_and_a_message_breaks_no_line(capsys, monkeypatch):
    monkeypatch.setattr(cli, "_out", cli.Terminal(width=60))
    long = " ".join(["word"] * 40)
    cli._show("two", [{"option": long, "success": 0.5}, {"option": "short", "success": 0.25}])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 60
    cli._out.print(long)
    assert capsys.readouterr().out == f"{long}\n"


def test_doctor_lists_licences(run):
    rows = json.loads(run("doctor", "--licenses", "--json")[1])
    found = {row["name"]: row for row in rows}
    assert {"ds3bayes", "pymc", "numpy", "nutpie", "rich"} <= set(found)
    assert found["numpy"]["version"] == np.__version__
    assert "MIT" in found["nutpie"]["license"]
    assert all(row["license"] for row in rows)
    code, out, _ = run("doctor", "--licenses")
    assert code == 0
    assert all(name in out for name in found)


def test_several_specifications_have_folders_of_their_own(run, tmp_path, monkeypatch):
    """Each is run as it is alone; what cannot be run is refused before anything is done."""
    one = write(tmp_path, GOOD)
    other = tmp_path / "other.toml"
    other.write_text(one.read_text())
    before = set(tmp_path.rglob("*"))
    refused(run("run", one, other), tmp_path, before, ["both named 'bad'", "other.toml", "another name"])
    refused(run("run", one, "table.csv"), tmp_path, before, ["table.csv: of several sources each must be a spec"])
    other.write_text(one.read_text().replace('name = "', 'name = "other-'))
    ran = []

    def pretend(job, *, scheduler, fresh, quiet):
        ran.append((job.folder, scheduler, fresh, quiet))
        return [], {}

    monkeypatch.setattr(cli._Job, "run", pretend)
    code, _, err = run("run", one, other, "-o", "all")
    assert code == 0
    assert ran == [(Path("all") / name, None, False, False) for name in ("bad", "other-bad")]
    assert "1 of 2: bad" in err
