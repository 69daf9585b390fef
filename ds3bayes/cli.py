"""The command line: one verb per step, and `run` for all of them.

Exit codes: 0 done; 1 a check failed (`check`, `sbc`, and `run --strict`); 2 bad input, with nothing compiled or
written; 130 interrupted.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import xarray as xr
from rich.console import Console
from rich.table import Table

from ds3bayes.errors import InputError, did_you_mean

app = typer.Typer(
    name="ds3bayes",
    help="Calibrate LLM inference strategies on observed evaluations: what will each succeed at, at what cost, how "
    "sure are we?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
_say = Console(stderr=True, highlight=False)
# A pipe has no width of its own; tables keep theirs there.
_out = Console(highlight=False, width=None if sys.stdout.isatty() else 150)

SpecFile = Annotated[Path, typer.Argument(help="model specification, a TOML file", show_default=False)]
FitFile = Annotated[Path, typer.Argument(help="a fit that `fit` or `run` wrote (.nc)", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="print machine-readable JSON to standard output")]
Strategies = Annotated[
    list[str] | None,
    typer.Option("--strategy", "-s", help="text form such as 'best_of_n(n=16, verifier=oracle)'; repeat for more"),
]
Tasks = Annotated[str | None, typer.Option("--tasks", help="'observed' or 'new'; default from the spec")]


def main() -> None:
    """Run the command line; bad input ends in one message and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        app()
    except InputError as error:
        _say.print(f"[bold red]error[/]: {_plain(str(error))}", soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        _say.print("interrupted; nothing half-written was left")
        sys.exit(130)


@app.command()
def validate(
    spec: SpecFile,
    prior: Annotated[
        bool, typer.Option("--prior", help="also draw what the priors believe about success and tokens")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a spec and its data, without fitting or writing anything.

    Example: [cyan]ds3bayes validate models/game24.toml --prior[/]
    """
    from ds3bayes.generative.build import held_out_rows
    from ds3bayes.generative.design import make_design

    loaded, evals = _read(spec)
    held = held_out_rows(loaded, evals)
    design = make_design(evals, loaded, held)
    _answerable(loaded, evals)
    facts = {
        "spec": loaded.name,
        "rows": int(evals.sizes["row"]),
        "held_out_rows": int(held.sum()),
        "attempts": int(evals["attempts"].sum()),
        "tasks": sum(len(block.tasks) for block in design.blocks),
        "samplers": design.labels,
        "strategies": list(loaded.query.strategies),
    }
    believed = []
    if prior:
        from ds3bayes.inference.prior import prior_beliefs

        believed = prior_beliefs(evals, loaded).to_dict("records")
    if as_json:
        _print_json(facts | ({"prior": believed} if prior else {}))
        return
    _say.print(
        f"[green]valid[/]: {facts['rows']} rows ({facts['held_out_rows']} held out), {facts['attempts']} attempts on "
        f"{facts['tasks']} tasks, {len(design.labels)} samplers"
    )
    for label in design.labels:
        _out.print(f"  {_plain(label)}", soft_wrap=True)
    if prior:
        _show("what the priors believe: median and 90 % interval, and what was observed", believed)


@app.command()
def fit(
    spec: SpecFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="where to write the fit (.nc)")] = Path("run.nc"),
    draws: Annotated[int | None, typer.Option(help="draws per chain, instead of the spec's")] = None,
    tune: Annotated[int | None, typer.Option(help="warm-up draws per chain, instead of the spec's")] = None,
    chains: Annotated[int | None, typer.Option(help="chains, instead of the spec's")] = None,
    seed: Annotated[int | None, typer.Option(help="random seed, instead of the spec's")] = None,
    as_json: Json = False,
) -> None:
    """Sample the posterior and save it.

    Example: [cyan]ds3bayes fit models/game24.toml -o game24.nc[/]
    """
    from ds3bayes.inference.store import save

    if output.suffix != ".nc":
        raise InputError(f"{output}: a fit is saved as netCDF; let the name end in .nc")
    loaded, evals = _read(spec)
    path = save(_fit(evals, loaded, draws=draws, tune=tune, chains=chains, seed=seed), output)
    if as_json:
        _print_json({"fit": str(path)})
    else:
        _say.print(f"wrote [bold]{_plain(str(path))}[/]")


@app.command()
def check(fit_file: FitFile, as_json: Json = False) -> None:
    """Check a fit: convergence, posterior prediction, leave-one-out, what was learned. Exit code 1 if one fails.

    Example: [cyan]ds3bayes check run.nc[/]
    """
    from ds3bayes.inference.checks import check as run_checks
    from ds3bayes.inference.store import load

    results = run_checks(load(fit_file))
    if as_json:
        _print_json([{"name": r.name, "passed": r.passed, "sentence": r.sentence} for r in results])
    else:
        _show_checks(results)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@app.command()
def predict(
    fit_file: FitFile,
    strategy: Strategies = None,
    tasks: Tasks = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="also write all draws to this .nc file")] = None,
    as_json: Json = False,
) -> None:
    """Predict success and cost of strategies.

    Example: [cyan]ds3bayes predict run.nc -s cot -s 'majority(n=8)' --tasks new[/]
    """
    pred = _predict(_load(fit_file), strategy, tasks)
    if output is not None:
        _write_dataset(pred, output)
    rows = _summary(pred)
    if as_json:
        _print_json(rows)
    else:
        _show("predictions, mean and 90 % interval", rows)


@app.command()
def decide(
    fit_file: FitFile,
    strategy: Strategies = None,
    tasks: Tasks = None,
    cost: Annotated[
        str | None, typer.Option(help="tokens, usd, flops, joules or seconds; default from the spec")
    ] = None,
    max_cost: Annotated[float | None, typer.Option(help="largest expected cost per task")] = None,
    success: Annotated[float | None, typer.Option(help="target success of the cheapest option")] = None,
    confidence: Annotated[float | None, typer.Option(help="how sure to be of that target")] = None,
    as_json: Json = False,
) -> None:
    """Say which option is best within a cost, which is the cheapest that suffices, and which are on the frontier.

    Example: [cyan]ds3bayes decide run.nc --cost usd --max-cost 0.5 --success 0.6[/]
    """
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.inference.fit import spec_of

    loaded = _load(fit_file)
    asked = {"cost": cost, "max_cost": max_cost, "success": success, "confidence": confidence}
    content = spec_of(loaded).model_dump(mode="json")
    content["query"] |= {name: value for name, value in asked.items() if value is not None}
    query = ModelSpec.from_dict(content, "decide").query
    choices, rows = _decisions(_predict(loaded, strategy, tasks), query)
    if as_json:
        _print_json({"choices": choices, "options": rows})
    else:
        _show_choices(choices)
        _show("options", rows)


@app.command()
def report(
    fit_file: FitFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="the HTML file")] = Path("report.html"),
    strategy: Strategies = None,
    tasks: Tasks = None,
) -> None:
    """Write a self-contained HTML report of a fit.

    Example: [cyan]ds3bayes report run.nc -o report.html[/]
    """
    from ds3bayes.report import report as write

    loaded = _load(fit_file)
    path = write(loaded, _predict(loaded, strategy, tasks), output)
    _say.print(f"wrote [bold]{_plain(str(path))}[/]")


@app.command()
def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="table to write (.csv)")] = Path("simulated.csv"),
    tasks: Annotated[int, typer.Option(help="number of tasks")] = 100,
    attempts: Annotated[int, typer.Option(help="attempts per task")] = 16,
    models: Annotated[int, typer.Option(help="number of LLMs")] = 1,
    path_length: Annotated[int, typer.Option(help="skills per task")] = 5,
    reachability: Annotated[float, typer.Option(help="probability that a task is reachable")] = 1.0,
    scenario: Annotated[
        str | None,
        typer.Option(help="a whole capability with known truth instead, such as training_runs; it takes only --seed"),
    ] = None,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
) -> None:
    """Simulate evaluations by walking skill paths step by step, with known truth beside them.

    Writes the table and, next to it, NAME.truth.nc.

    Example: [cyan]ds3bayes simulate -o simulated.csv --tasks 50 --attempts 8[/]
    """
    from ds3bayes.evals import simulate as walk_paths
    from ds3bayes.evals import to_table
    from ds3bayes.evals.scenarios import SCENARIOS
    from ds3bayes.inference.store import write_atomically

    if output.suffix != ".csv":
        raise InputError(f"{output}: simulated evaluations are written as CSV; let the name end in .csv")
    if scenario is None:
        made = walk_paths(
            tasks=tasks,
            attempts=attempts,
            models=models,
            path_length=path_length,
            reachability=reachability,
            seed=seed,
        )
    elif scenario in SCENARIOS:
        made = SCENARIOS[scenario](seed=seed)
    else:
        raise InputError(
            f"scenario {scenario!r}; allowed: {', '.join(SCENARIOS)}." + did_you_mean(scenario, list(SCENARIOS))
        )
    table = to_table(made.evals)
    told = [name for name in table if table[name].notna().any() and (table[name] != "").any()]
    write_atomically(output, table[told].to_csv(index=False).encode())
    truth = output.with_suffix(".truth.nc")
    _write_dataset(made.truth, truth)
    _say.print(f"wrote [bold]{_plain(str(output))}[/] and {_plain(str(truth))}")


@app.command()
def calibrate(
    table: Annotated[
        Path,
        typer.Argument(
            help="a .csv or .parquet table with model, benchmark, task, attempts, successes; without a strategy column "
            "its rows are cot",
            show_default=False,
        ),
    ],
    spec: Annotated[Path | None, typer.Option(help="model specification (TOML); its data are not used")] = None,
    samples: Annotated[
        list[int] | None, typer.Option(help="attempts per task to forecast from; repeat for more")
    ] = None,
    at: Annotated[list[int] | None, typer.Option(help="k of the pass@k to forecast; repeat for more")] = None,
    seeds: Annotated[int, typer.Option(help="subsamples per LLM")] = 3,
    joint: Annotated[bool, typer.Option("--joint", help="also fit all LLMs in one model")] = False,
    least_attempts: Annotated[int, typer.Option(help="leave out LLMs with fewer attempts at some task")] = 1000,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also write all scores to this .nc file")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure on a table of many attempts how well pass@k is forecast from few, beside simpler rivals.

    Example: [cyan]ds3bayes calibrate counts.csv --samples 10 --samples 100 --at 100 --seeds 3[/]
    """
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.queries.calibration import calibration_table, held_out_calibration
    from ds3bayes.queries.calibration.held_out import read_counts

    result = held_out_calibration(
        read_counts(table),
        None if spec is None else ModelSpec.from_toml(spec),
        samples=samples or (10, 100),
        at=at or (100,),
        seeds=seeds,
        fits=("alone", "joint") if joint else ("alone",),
        least_attempts=least_attempts,
        progress=_say.is_terminal,
    )
    if output is not None:
        _write_dataset(result, output)
    rows = calibration_table(result).to_dict("records")
    if as_json:
        _print_json({"left_out": result.attrs["left_out"], "scores": rows})
        return
    _say.print(f"left out: {_plain(result.attrs['left_out'])}", soft_wrap=True)
    _show("forecasts of pass@k (at) from samples per task; means over LLMs and subsamples", rows, most=100)


@app.command()
def sbc(
    spec: SpecFile,
    fits: Annotated[int, typer.Option(help="data sets drawn and fitted")] = 200,
    tasks: Annotated[int | None, typer.Option(help="the first tasks of each benchmark only")] = None,
    drawn_by: Annotated[str, typer.Option(help="'model', or 'simulator': step by step, for one LLM")] = "model",
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
    picture: Annotated[Path | None, typer.Option("--picture", help="draw the ranks to this .png, .svg or .pdf")] = None,
    as_json: Json = False,
) -> None:
    """Check a spec by simulation: truths drawn from its priors should be ranked evenly in fits to data from them.

    Data have the layout of the spec's table (LLMs, tasks, attempts). Exit code 1 if the check fails.

    Example: [cyan]ds3bayes sbc models/game24.toml --tasks 20 --picture ranks.png[/]
    """
    from ds3bayes.queries.calibration import sbc as by_simulation
    from ds3bayes.queries.calibration import sbc_check

    if picture is not None and picture.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"{picture}: a picture ends in .png, .svg or .pdf")
    loaded, evals = _read(spec)
    ranks = by_simulation(
        evals,
        loaded,
        fits=fits,
        tasks=tasks,
        drawn_by=drawn_by,  # type: ignore[arg-type]
        seed=seed,
        progress=_say.is_terminal,
    )
    outcome = sbc_check(ranks)
    if picture is not None:
        from ds3bayes.report.calibration_figure import plot_ranks

        plot_ranks(ranks).savefig(picture, dpi=150)
    told = {name: ranks.attrs[name] for name in ("divergences", "compilations", "compile_seconds", "fit_seconds")}
    if as_json:
        _print_json(
            {
                "passed": outcome.passed,
                "sentence": outcome.sentence,
                **told,
                "parameters": outcome.table.to_dict("records"),
            }
        )
    else:
        _show_checks([outcome])
        _show("ranks by parameter", outcome.table.to_dict("records"), most=100)
        _say.print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in told.items()))
    if not outcome.passed:
        raise typer.Exit(1)


@app.command()
def run(
    spec: SpecFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder of the results; default runs/NAME", show_default=False),
    ] = None,
    strict: Annotated[bool, typer.Option(help="exit with code 1 if a check fails")] = False,
    as_json: Json = False,
) -> None:
    """Do everything: validate, fit, check, predict, decide, report, all into one folder.

    Example: [cyan]ds3bayes run models/game24.toml[/]
    """
    from ds3bayes.inference.checks import check as run_checks
    from ds3bayes.inference.store import save, write_atomically
    from ds3bayes.queries.compare import observed_vs_predicted
    from ds3bayes.report import report as write

    _say.print("reading the spec and its data ...")
    loaded, evals = _read(spec)
    folder = output if output is not None else Path("runs") / loaded.name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder to write the results into")
    _say.print(f"[bold]{_plain(loaded.name)}[/]: {evals.sizes['row']} rows, {int(evals['attempts'].sum())} attempts")
    _answerable(loaded, evals)
    fitted = _fit(evals, loaded)
    save(fitted, folder / "run.nc")
    _say.print("checking ...")
    results = run_checks(fitted)
    _say.print("predicting ...")
    pred = _predict(fitted, None, None)
    _write_dataset(pred, folder / "predictions.nc")
    compared = observed_vs_predicted(fitted)
    choices, rows = _decisions(pred, loaded.query)
    for name, table in (("predictions.csv", _summary(pred)), ("decision.csv", rows)):
        write_atomically(folder / name, _csv(table))
    write_atomically(folder / "observed_vs_predicted.csv", compared.to_csv(index=False).encode())
    _say.print("writing the report ...")
    path = write(fitted, pred, folder / "report.html", checks=results)
    if as_json:
        _print_json(
            {
                "folder": str(folder),
                "checks": [{"name": r.name, "passed": r.passed, "sentence": r.sentence} for r in results],
                "choices": choices,
                "options": rows,
                "observed_vs_predicted": json.loads(compared.to_json(orient="records")),
            }
        )
    else:
        _show_checks(results)
        _show("options", rows)
        held = compared[compared["rows"] == "held out"]
        if len(held):
            keep = ["model", "strategy", "quantity", "tasks", "observed", "mean", "lower", "upper", "inside"]
            _show("held-out rows: observed, and predicted mean and 90 % interval", held[keep].to_dict("records"))
        _show_choices(choices)
    _say.print(f"report: [bold]{_plain(str(path))}[/]")
    if strict and not all(result.passed for result in results):
        raise typer.Exit(1)


def _read(path: Path) -> tuple[Any, xr.Dataset]:
    """Read a spec and the rows of its table that it uses."""
    from ds3bayes.evals import read_evals, select
    from ds3bayes.generative.spec import ModelSpec

    spec = ModelSpec.from_toml(path)
    if spec.data is None:
        raise InputError(f'{path}: names no data; add [data] with path = "table.csv"')
    evals = read_evals(spec.data.path)
    return spec, evals if spec.data.where is None else select(evals, spec.data.where)


def _answerable(spec: Any, evals: xr.Dataset) -> None:
    """Refuse a question about observed tasks where there are none, before the time of a fit is spent on it."""
    if spec.query.tasks == "observed" and not (evals["task"] != "").any():
        raise InputError(
            "query.tasks = 'observed', but all rows are aggregates without a task; set it to 'new': fresh tasks of the "
            "same population"
        )


def _fit(evals: xr.Dataset, spec: Any, **sampling: Any) -> xr.DataTree:
    from ds3bayes.inference.fit import fit as sample

    if not _say.is_terminal:
        _say.print("compiling and sampling (about a minute) ...")
    return sample(evals, spec, progress=_say.is_terminal, **sampling)


def _load(path: Path) -> xr.DataTree:
    from ds3bayes.inference.store import load

    return load(path)


def _predict(fitted: xr.DataTree, strategies: list[str] | None, tasks: str | None) -> xr.Dataset:
    from ds3bayes.inference.fit import spec_of
    from ds3bayes.queries.predict import predict as query

    asked = spec_of(fitted).query
    return query(fitted, strategies or list(asked.strategies) or None, tasks=tasks or asked.tasks)  # type: ignore[arg-type]


def _decisions(pred: xr.Dataset, query: Any) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Answer the spec's questions: choices in words, and a row per option."""
    from ds3bayes.queries.decide import best, cheapest, frontier

    if query.cost not in pred:
        chosen = best(pred)
        choices = {"best": chosen.attrs["choice"], "note": f"decided without cost: {pred.attrs['absent']}"}
        return choices, _records(chosen)
    top = best(pred, max_cost=query.max_cost, cost=query.cost)
    enough = cheapest(pred, success=query.success, confidence=query.confidence, cost=query.cost)
    edge = frontier(pred, cost=query.cost)
    cap = f" at {query.cost} <= {query.max_cost:g}" if query.max_cost is not None else ""
    choices = {
        f"best{cap}": top.attrs["choice"],
        f"cheapest with success >= {query.success:g} (confidence {query.confidence:g})": enough.attrs["choice"],
    }
    return choices, _records(top.assign(p_reach=enough["p_reach"], p_frontier=edge["p_frontier"]))


def _records(table: xr.Dataset) -> list[dict[str, Any]]:
    frame = table.drop_vars(["model", "strategy"]).to_dataframe().reset_index().dropna(subset=["success"])
    return list(frame.sort_values(["benchmark", "regret"]).to_dict("records"))  # type: ignore[arg-type]


def _summary(pred: xr.Dataset) -> list[dict[str, Any]]:
    """Give a row per LLM, benchmark and strategy: mean and 90 % interval of every quantity."""
    rows = []
    low, high = pred.quantile(0.05, ("chain", "draw")), pred.quantile(0.95, ("chain", "draw"))
    mean = pred.mean(("chain", "draw"))
    for model in pred["model"].values:
        for benchmark in pred["benchmark"].values:
            for strategy in pred["strategy"].values:
                at = {"model": model, "benchmark": benchmark, "strategy": strategy}
                if np.isnan(mean["success"].sel(at)):
                    continue
                row: dict[str, Any] = {name: str(value) for name, value in at.items()}
                for name in pred.data_vars:
                    row |= {
                        str(name): float(mean[name].sel(at)),
                        f"{name}_lower": float(low[name].sel(at)),
                        f"{name}_upper": float(high[name].sel(at)),
                    }
                rows.append(row)
    return rows


def _write_dataset(dataset: xr.Dataset, path: Path) -> None:
    from ds3bayes.inference.store import save_dataset

    save_dataset(dataset, path)


def _csv(rows: list[dict[str, Any]]) -> bytes:
    import pandas as pd

    return pd.DataFrame(rows).to_csv(index=False).encode()


def _print_json(content: Any) -> None:
    """Print JSON that any reader accepts: numbers that are not finite become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, np.generic):
            value = value.item()
        return None if isinstance(value, float) and not np.isfinite(value) else value

    sys.stdout.write(json.dumps(plain(content), indent=2, allow_nan=False) + "\n")


def _show(title: str, rows: list[dict[str, Any]], most: int = 30) -> None:
    """Show rows as a table; constant text columns are left out, and what is cut is said."""
    if not rows:
        return
    names = [
        name
        for name in rows[0]
        if len(rows) == 1 or not isinstance(rows[0][name], str) or len({row[name] for row in rows}) > 1
    ]
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in names:
        number = not isinstance(rows[0][name], str)
        table.add_column(
            name,
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
            min_width=None if number else 24,
        )
    for row in rows[:most]:
        table.add_row(*[_cell(row[name]) for name in names])
    _out.print(table)
    if len(rows) > most:
        _out.print(f"... and {len(rows) - most} more (--json or the CSV has all)")


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else _plain(str(value))


def _show_checks(results: list[Any]) -> None:
    for result in results:
        mark = "[green]pass[/]" if result.passed else "[bold red]FAIL[/]"
        _out.print(f"{mark}  {result.name}: {_plain(result.sentence)}", soft_wrap=True)


def _show_choices(choices: dict[str, str]) -> None:
    for question, answer in choices.items():
        _out.print(f"[bold]{question}[/]: {_plain(answer)}", soft_wrap=True)


def _plain(text: str) -> str:
    """Keep text from data out of rich's markup."""
    return text.replace("[", r"\[")


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    _say.print(f"[yellow]warning[/] ({category.__name__}): {_plain(str(message))}", soft_wrap=True)
