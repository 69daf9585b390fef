"""The command line: one verb per step, and `run` for all of them.

Exit codes: 0 done; 1 a check failed (`check`, `sbc`, and `run --strict`); 2 bad input, with nothing compiled or
written; 3 a file could not be written; 130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ds3bayes.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

app = typer.Typer(
    name="ds3bayes",
    help="Calibrate LLM inference strategies on observed evaluations: what will each succeed at, at what cost, how "
    "sure are we?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="[bold]Examples[/]\n\n"
    "[cyan]ds3bayes run models/game24.toml[/]\n\n"
    "[cyan]ds3bayes predict runs/game24/run.nc -s 'majority(n=8)' --tasks new[/]\n\n"
    "[cyan]ds3bayes decide runs/game24/run.nc --cost usd --max-cost 0.5 --json[/]\n\n"
    "[bold]Exit codes[/]: 0 done; 1 a check failed; 2 bad input, nothing compiled or written; 3 a file could not be "
    "written; 130 interrupted. Messages go to standard error, answers to standard output. "
    "[cyan]ds3bayes --install-completion[/] sets up completion in your shell; NO_COLOR turns colours off.",
)


class _Console(Console):
    """A console that leaves a broken pipe to `main`, whose exit code for it is not that of a failed check."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


_say = _Console(stderr=True, highlight=False)
# A pipe has no width of its own; tables keep theirs there.
_out = _Console(highlight=False, width=None if sys.stdout.isatty() else 150)


def _examples(*lines: str) -> str:
    """Return what stands below a command's help."""
    return "\n\n".join(["[bold]Examples[/]", *(f"[cyan]{_plain(line)}[/]" for line in lines)])


def _plain(text: str) -> str:
    """Keep text from data out of rich's markup."""
    return text.replace("[", r"\[")


def _starting(*words: str) -> Callable[[str], list[str]]:
    """Return a shell completion from a few words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def _strategies_starting(incomplete: str) -> list[str]:
    from ds3bayes.strategies import STRATEGIES

    return [name for name in STRATEGIES if name.startswith(incomplete)]


def _scenarios_starting(incomplete: str) -> list[str]:
    from ds3bayes.evals.scenarios import SCENARIOS

    return [name for name in SCENARIOS if name.startswith(incomplete)]


SpecFile = Annotated[Path, typer.Argument(help="model specification, a TOML file", show_default=False)]
Source = Annotated[
    str,
    typer.Argument(
        help="model specification (.toml), or evaluations: a table, a log, or a folder of logs", show_default=False
    ),
]
FitFile = Annotated[Path, typer.Argument(help="a fit that `fit` or `run` wrote (.nc)", show_default=False)]
With = Annotated[
    list[str] | None,
    typer.Option(
        "--with", help="what a reader of logs asks for: 'scorer=match', 'success=0.5', 'model=acme-1'; repeat for more"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print machine-readable JSON to standard output")]
Strategies = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "-s",
        help="text form such as 'best_of_n(n=16, verifier=oracle)'; repeat for more",
        autocompletion=_strategies_starting,
    ),
]
Tasks = Annotated[
    str | None,
    typer.Option(
        "--tasks", help="'observed' or 'new'; default from the spec", autocompletion=_starting("observed", "new")
    ),
]
CostName = Annotated[
    str | None,
    typer.Option(
        help="tokens, usd, flops, joules or seconds; default from the spec",
        autocompletion=_starting("tokens", "usd", "flops", "joules", "seconds"),
    ),
]
MaxCost = Annotated[float | None, typer.Option(help="largest expected cost per task; default from the spec")]


def main() -> None:
    """Run the command line; bad input ends in one message and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        app()
    except InputError as error:
        _say.print(f"[bold red]error[/]: {_plain(str(error))}", soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:
        # What is left in the buffer has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say.print(
            f"[bold red]error[/]: {_plain(where)}{_plain(error.strerror or str(error))}; give a place that can be "
            "written, with room on its disk. What was there before is as it was",
            soft_wrap=True,
        )
        sys.exit(3)
    except KeyboardInterrupt:
        _say.print("interrupted; nothing half-written was left")
        sys.exit(130)


@app.command(
    epilog=_examples(
        "ds3bayes validate models/game24.toml",
        "ds3bayes validate models/game24.toml --prior",
        "ds3bayes validate models/game24.toml --json | jq .samplers",
    )
)
def validate(
    spec: SpecFile,
    prior: Annotated[
        bool, typer.Option("--prior", help="also draw what the priors believe about success and tokens")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a spec and its data, without fitting or writing anything."""
    from ds3bayes.generative.arrange import make_design
    from ds3bayes.queries.answerable import may_fail, refuse_at_once, refuse_unanswerable

    loaded, evals = _read(spec)
    held = loaded.held_out_rows(evals)
    design = make_design(evals, loaded, held)
    refuse_at_once(loaded, evals, design)
    if may_fail(loaded):
        refuse_unanswerable(loaded, evals, design)
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


@app.command(
    name="import",
    epilog=_examples(
        "ds3bayes import logs/ -o evals.parquet",
        "ds3bayes import attempts.jsonl -o evals.csv --json",
        "ds3bayes import logs/ --with scorer=match --with success=0.5",
    ),
)
def import_evaluations(
    source: Annotated[str, typer.Argument(help="a table, a log, or a folder of logs", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="table to write (.parquet or .csv)")] = Path(
        "evals.parquet"
    ),
    options: With = None,
    as_json: Json = False,
) -> None:
    """Read evaluations of any kind into one table, and say what was counted, left out and understood."""
    from ds3bayes.evals import read_evals, to_table
    from ds3bayes.inference.store import write_atomically

    if output.suffix not in (".csv", ".parquet"):
        raise InputError(f"{output}: evaluations are written as a table; let the name end in .parquet or .csv")
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise InputError(f"{output}: is what is read; name another file to write")
    _writable(output.parent)
    with _doing("reading evaluations"):
        evals = read_evals(source, **_options(options))
    write_atomically(output, _table_bytes(to_table(evals), output.suffix))
    if as_json:
        account = json.loads(evals.attrs.get("account", "null"))
        _print_json({"table": str(output), "rows": int(evals.sizes["row"]), "account": account})
        return
    _show_account(evals)
    _say.print(f"wrote [bold]{_plain(str(output))}[/]: {evals.sizes['row']} rows")


@app.command(
    epilog=_examples(
        "ds3bayes fit models/game24.toml -o game24.nc",
        "ds3bayes fit models/game24.toml -o quick.nc --draws 200 --tune 300 --chains 2 --seed 1",
    )
)
def fit(
    spec: SpecFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="where to write the fit (.nc)")] = Path("run.nc"),
    draws: Annotated[int | None, typer.Option(help="draws per chain, instead of the spec's")] = None,
    tune: Annotated[int | None, typer.Option(help="warm-up draws per chain, instead of the spec's")] = None,
    chains: Annotated[int | None, typer.Option(help="chains, instead of the spec's")] = None,
    seed: Annotated[int | None, typer.Option(help="random seed, instead of the spec's")] = None,
    as_json: Json = False,
) -> None:
    """Sample the posterior and save it."""
    from ds3bayes.inference.store import save

    if output.suffix != ".nc":
        raise InputError(f"{output}: a fit is saved as netCDF; let the name end in .nc")
    _writable(output.parent)
    loaded, evals = _read(spec)
    path = save(_fit(evals, loaded, draws=draws, tune=tune, chains=chains, seed=seed), output)
    if as_json:
        _print_json({"fit": str(path)})
    else:
        _say.print(f"wrote [bold]{_plain(str(path))}[/]")


@app.command(
    epilog=_examples(
        "ds3bayes check runs/game24/run.nc",
        "ds3bayes check run.nc --json && echo good",
        "ds3bayes check run.nc --sbc --tasks 20",
        "ds3bayes check run.nc -o checks",
    )
)
def check(
    fit_file: FitFile,
    by_simulation: Annotated[
        bool, typer.Option("--sbc", help="also by simulation, as `ds3bayes sbc` does: takes minutes")
    ] = False,
    tasks: Annotated[int | None, typer.Option(help="with --sbc, the first tasks of each benchmark only")] = None,
    as_json: Json = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for each check's table (.csv) and picture (.png)")
    ] = None,
) -> None:
    """Check a fit: convergence, posterior prediction, leave-one-out, what was learned. Exit code 1 if one fails."""
    from ds3bayes.inference.artifact import evals_of, spec_of
    from ds3bayes.inference.checks import check as run_checks
    from ds3bayes.inference.store import load, write_atomically

    if tasks is not None and not by_simulation:
        raise InputError(f"--tasks {tasks} says how many tasks to simulate: add --sbc")
    loaded = load(fit_file)
    if output is not None:
        _writable(output)
    with _doing("checking"):
        results = run_checks(loaded)
    if by_simulation:
        from ds3bayes.queries.calibration import sbc, sbc_check

        evals, held_out = evals_of(loaded)
        ranks = sbc(evals.isel(row=~held_out), spec_of(loaded), tasks=tasks, progress=_say.is_terminal)
        results.append(sbc_check(ranks))
    if output is not None:
        for result in results:
            name = result.name.replace(" ", "_")
            # Rows of the check of convergence are named by parameter.
            named = result.table.index.name is not None
            write_atomically(output / f"{name}.csv", result.table.to_csv(index=named).encode())
            drawn = BytesIO()
            result.picture().savefig(drawn, format="png", dpi=150)
            write_atomically(output / f"{name}.png", drawn.getvalue())
    if as_json:
        _print_json([{"name": r.name, "passed": r.passed, "sentence": r.sentence} for r in results])
    else:
        _show_checks(results)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@app.command(
    epilog=_examples(
        "ds3bayes predict run.nc",
        "ds3bayes predict run.nc -s cot -s 'majority(n=8)' --tasks new",
        "ds3bayes predict run.nc -s 'tot(branching=5, kept_states=5)' -o predictions.nc --json",
        "ds3bayes predict run.nc -s cot -s 'best_of_n(n=4)' --budgets 500:32000:500 -o grid.nc",
    )
)
def predict(
    fit_file: FitFile,
    strategy: Strategies = None,
    tasks: Tasks = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="every strategy at each of these token budgets: 500,1000,4000 or FROM:TO:STEP"),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="with --budgets, address of a Dask scheduler that does the work: tcp://HOST:8786")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="also write all draws to this .nc file")] = None,
    as_json: Json = False,
) -> None:
    """Predict success and cost of strategies, at many token budgets if asked."""
    at = None if budgets is None else _whole_numbers("--budgets", budgets)
    if cluster is not None and at is None:
        raise InputError(f"--cluster {cluster} is for predictions at many budgets: add --budgets")
    loaded = _load(fit_file)
    # A grid shows how far it is by itself.
    with _doing("predicting") if at is None else nullcontext():
        pred = _predict(loaded, strategy, tasks, at, cluster)
    if output is not None:
        _write_dataset(pred, output)
    rows = _summary(pred)
    if as_json:
        _print_json(rows)
    else:
        _show("predictions, mean and 90 % interval", rows)


@app.command(
    epilog=_examples(
        "ds3bayes decide run.nc --cost usd --max-cost 0.5 --success 0.6 --reach 'best_of_n(n=*)'",
        "ds3bayes decide run.nc -s cot -s 'best_of_n(n=8, verifier=oracle)' --cost tokens --json",
    )
)
def decide(
    fit_file: FitFile,
    strategy: Strategies = None,
    tasks: Tasks = None,
    cost: CostName = None,
    max_cost: MaxCost = None,
    success: Annotated[float | None, typer.Option(help="target success of the cheapest option")] = None,
    confidence: Annotated[float | None, typer.Option(help="how sure to be of that target")] = None,
    reach: Annotated[
        list[str] | None,
        typer.Option("--reach", help="also what reaching that target takes: 'best_of_n(n=*)', 'cot(budget_tokens=*)'"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which option is best within a cost, which is the cheapest that suffices, and which are on the frontier."""
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.inference.artifact import spec_of

    loaded = _load(fit_file)
    asked = {"cost": cost, "max_cost": max_cost, "success": success, "confidence": confidence}
    content = spec_of(loaded).model_dump(mode="json")
    content["query"] |= {name: value for name, value in asked.items() if value is not None}
    query = ModelSpec.from_dict(content, "decide").query
    with _doing("predicting"):
        pred = _predict(loaded, strategy, tasks)
    choices, rows = _decisions(pred, query)
    if reach:
        from ds3bayes.queries.cost_to_reach import cost_to_reach

        which: Any = tasks or query.tasks
        for family in reach:
            found = cost_to_reach(loaded, family, success=query.success, cost=query.cost, tasks=which)
            choices[f"to reach success {query.success:g} by {family}"] = found.attrs["sentence"]
    if as_json:
        _print_json({"choices": choices, "options": rows})
    else:
        _show_choices(choices)
        _show("options", rows)


@app.command(
    epilog=_examples(
        "ds3bayes compare run.nc cot direct --tasks new",
        "ds3bayes compare run.nc 'model-a | cot' 'model-b | majority(n=8)' --json",
    )
)
def compare(
    fit_file: FitFile,
    a: Annotated[str, typer.Argument(help="'LLM | strategy', an LLM, or a strategy where there is one LLM")],
    b: Annotated[str, typer.Argument(help="what to compare it with")],
    tasks: Annotated[str, typer.Option("--tasks", help="'observed' or 'new'")] = "observed",
    benchmark: Annotated[str | None, typer.Option(help="needed where there are several")] = None,
    margin: Annotated[float, typer.Option(help="difference in success that does not matter")] = 0.02,
    as_json: Json = False,
) -> None:
    """Say whether two options differ in success."""
    from ds3bayes.queries.compare import compare as query

    result = query(_load(fit_file), a, b, tasks=tasks, benchmark=benchmark, margin=margin)  # type: ignore[arg-type]
    if as_json:
        numbers = {name: float(result[name]) for name in ("mean", "lower", "upper", "p_better", "pairing")}
        _print_json({**result.attrs, **numbers})
    else:
        _out.print(_plain(result.attrs["sentence"]), soft_wrap=True)


@app.command(
    name="next",
    epilog=_examples(
        "ds3bayes next run.nc -s cot -s 'tot(branching=5, kept_states=5)' --cost usd",
        "ds3bayes next run.nc -s cot -s 'majority(n=8)' -n 5 -n 20 --on new",
    ),
)
def next_(
    fit_file: FitFile,
    option: Annotated[
        list[str], typer.Option("--option", "-s", help="what is decided between; repeat for each, at least two")
    ],
    candidate: Annotated[
        list[str] | None, typer.Option("--candidate", "-c", help="what may be run; the options if not given")
    ] = None,
    attempts: Annotated[
        list[int] | None, typer.Option("--attempts", "-n", help="decisions per task to consider; repeat for more")
    ] = None,
    on: Annotated[str, typer.Option("--on", help="run on the 'observed' tasks again or on 'new' ones")] = "observed",
    tasks: Annotated[str, typer.Option("--tasks", help="decide for 'observed' or 'new' tasks")] = "observed",
    cost: Annotated[str, typer.Option(help="tokens, usd, flops, joules or seconds")] = "tokens",
    max_cost: Annotated[float | None, typer.Option(help="largest expected cost per task of an option")] = None,
    benchmark: Annotated[str | None, typer.Option(help="needed where there are several")] = None,
    as_json: Json = False,
) -> None:
    """Say which evaluation to run next before a decision, and how many attempts."""
    from ds3bayes.queries.next_evals import next_evals
    from ds3bayes.reports.decision_tables import next_evals_table

    asked: dict[str, Any] = {"on": on, "tasks": tasks, "cost": cost, "max_cost": max_cost, "benchmark": benchmark}
    if attempts:
        asked["attempts"] = attempts
    result = next_evals(_load(fit_file), option, candidate, **asked)
    rows = next_evals_table(result).to_dict("records")
    if as_json:
        _print_json({**result.attrs, "regret": float(result["regret"]), "evaluations": rows})
    else:
        _out.print(_plain(result.attrs["sentence"]), soft_wrap=True)
        _show("evaluations, most fall of regret per cost first", rows)  # type: ignore[arg-type]


@app.command(
    epilog=_examples(
        "ds3bayes allocate run.nc -s cot --compute 1e22 --future-tasks 1e8 --tokens-per-attempt 500",
    )
)
def allocate(
    fit_file: FitFile,
    strategy: Strategies = None,
    compute: Annotated[float, typer.Option(help="FLOP for training and all future tasks")] = 1e22,
    future_tasks: Annotated[float, typer.Option(help="tasks that the LLM will be run on")] = 1e6,
    tokens_per_attempt: Annotated[
        float | None, typer.Option(help="generated tokens of one attempt; from the fit if it has any")
    ] = None,
    family: Annotated[str, typer.Option(help="family of the LLM")] = "",
    benchmark: Annotated[str | None, typer.Option(help="needed where there are several")] = None,
    as_json: Json = False,
) -> None:
    """Split compute between training an LLM and running it (fits with capability loss_bridge)."""
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.queries.allocate import allocate as query
    from ds3bayes.reports.decision_tables import allocation_table

    loaded = _load(fit_file)
    result = query(
        loaded,
        strategy or list(spec_of(loaded).query.strategies) or ["cot"],
        compute=compute,
        future_tasks=future_tasks,
        tokens_per_attempt=tokens_per_attempt,
        family=family,
        benchmark=benchmark,
    )
    rows = allocation_table(result).to_dict("records")
    if as_json:
        _print_json({**result.attrs, "strategies": rows})
    else:
        _out.print(_plain(result.attrs["sentence"]), soft_wrap=True)
        _show("the plan of each strategy, least expected regret first", rows)  # type: ignore[arg-type]


@app.command(
    epilog=_examples(
        "ds3bayes report run.nc",
        "ds3bayes report runs/game24/run.nc -o runs/game24/report.html -s cot -s 'best_of_n(n=100)'",
    )
)
def report(
    fit_file: FitFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="the HTML file")] = Path("report.html"),
    strategy: Strategies = None,
    tasks: Tasks = None,
) -> None:
    """Write a report of a fit: a self-contained HTML page, the same as Markdown, and every table as CSV."""
    from ds3bayes.reports import report as write

    loaded = _load(fit_file)
    with _doing("predicting"):
        pred = _predict(loaded, strategy, tasks)
    with _doing("checking, drawing and writing the report"):
        path = write(loaded, pred, output)
    _say.print(f"wrote [bold]{_plain(str(path))}[/]")


@app.command(
    epilog=_examples(
        "ds3bayes simulate -o simulated.csv --tasks 50 --attempts 8",
        "ds3bayes simulate -o training.csv --scenario training_runs --seed 3",
    )
)
def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="table to write (.csv)")] = Path("simulated.csv"),
    tasks: Annotated[int, typer.Option(help="number of tasks")] = 100,
    attempts: Annotated[int, typer.Option(help="attempts per task")] = 16,
    models: Annotated[int, typer.Option(help="number of LLMs")] = 1,
    path_length: Annotated[int, typer.Option(help="skills per task")] = 5,
    reachability: Annotated[float, typer.Option(help="probability that a task is reachable")] = 1.0,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="a whole capability with known truth instead, such as training_runs; it takes only --seed",
            autocompletion=_scenarios_starting,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
) -> None:
    """Simulate evaluations by walking skill paths step by step, with known truth beside them.

    Writes the table and, next to it, NAME.truth.nc.
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
    write_atomically(output, _table_bytes(to_table(made.evals), ".csv"))
    truth = output.with_suffix(".truth.nc")
    _write_dataset(made.truth, truth)
    _say.print(f"wrote [bold]{_plain(str(output))}[/] and {_plain(str(truth))}")


@app.command(
    epilog=_examples(
        "ds3bayes calibrate counts.csv --samples 10 --samples 100 --at 100 --seeds 3",
        "ds3bayes calibrate counts.csv --joint -o scores.nc --json",
    )
)
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
    """Measure on a table of many attempts how well pass@k is forecast from few, beside simpler rivals."""
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.queries.calibration import calibration_table, held_out_calibration, sampling_table
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
    rows, sampled = (of(result).to_dict("records") for of in (calibration_table, sampling_table))
    if as_json:
        _print_json({"left_out": result.attrs["left_out"], "scores": rows, "sampling": sampled})
        return
    _say.print(f"left out: {_plain(result.attrs['left_out'])}", soft_wrap=True)
    _show("forecasts of pass@k (at) from samples per task; means over LLMs and subsamples", rows, most=100)
    _show("how these fits were sampled: divergences in all, largest r-hat, smallest effective sample size", sampled)


@app.command(
    epilog=_examples(
        "ds3bayes sbc models/game24.toml --tasks 20 --picture ranks.png",
        "ds3bayes sbc models/training_runs.toml --fits 100 --json",
    )
)
def sbc(
    spec: SpecFile,
    fits: Annotated[int, typer.Option(help="data sets drawn and fitted")] = 200,
    tasks: Annotated[int | None, typer.Option(help="the first tasks of each benchmark only")] = None,
    drawn_by: Annotated[str, typer.Option(help="'model', or 'simulator': step by step, for one LLM")] = "model",
    thin: Annotated[int, typer.Option(help="of this many draws of a fit, one is ranked")] = 5,
    seed: Annotated[int, typer.Option(help="random seed")] = 0,
    picture: Annotated[Path | None, typer.Option("--picture", help="draw the ranks to this .png, .svg or .pdf")] = None,
    as_json: Json = False,
) -> None:
    """Check a spec by simulation: truths drawn from its priors should be ranked evenly in fits to data from them.

    Data have the layout of the spec's table (LLMs, tasks, attempts). Exit code 1 if the check fails.
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
        thin=thin,
        seed=seed,
        progress=_say.is_terminal,
    )
    outcome = sbc_check(ranks)
    if picture is not None:
        from ds3bayes.reports.calibration_figure import plot_ranks

        plot_ranks(ranks).savefig(picture, dpi=150)
    kept = ("divergences", "correlated", "compilations", "compile_seconds", "fit_seconds")
    told = {name: ranks.attrs[name] for name in kept}
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


@app.command(
    epilog=_examples(
        "ds3bayes run models/game24.toml",
        "ds3bayes run models/game24.toml -o results/game24 --strict",
        "ds3bayes run logs/ --cost usd --max-cost 0.5 --target 0.8",
        "ds3bayes run attempts.csv --max-cost 4000",
        "ds3bayes run models/game24.toml --refit --json > answer.json",
    )
)
def run(
    source: Source,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder of the results; default runs/NAME", show_default=False),
    ] = None,
    cost: CostName = None,
    max_cost: MaxCost = None,
    target: Annotated[float | None, typer.Option(help="success to reach, in (0, 1), instead of the spec's")] = None,
    options: With = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with code 1 if a check fails")] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="sample again even if the folder holds a fit of this very model and data")
    ] = False,
    as_json: Json = False,
) -> None:
    """Do everything: read, validate, fit, check, predict, decide, report, all into one folder.

    Evaluations need no specification: a table, a log or a folder of logs is read, what was read and left out is said,
    and the folder gets `evals.parquet` and the `spec.toml` that was used, to be changed and run again.

    A fit of the same model, data, seed and versions that the folder already holds is used again, so that a change of
    the spec's questions or prices is answered without sampling.
    """
    from ds3bayes.generative.arrange import make_design
    from ds3bayes.inference.checks import check as run_checks
    from ds3bayes.inference.store import save, write_atomically
    from ds3bayes.queries.answerable import refuse_at_once, refuse_unanswerable
    from ds3bayes.queries.observed_vs_predicted import observed_vs_predicted
    from ds3bayes.reports import report as write

    of_spec = source.endswith(".toml")
    if of_spec:
        if options:
            raise InputError(f"--with {options[0]}: is for evaluations without a spec; a spec's table takes none")
        with _doing("reading the spec and its data"):
            loaded, evals = _read(Path(source))
    else:
        loaded, evals = _of_evaluations(source, _options(options))
        if max_cost is None and target is None:
            cost, max_cost, target = _questions(cost)
    loaded = _asking(loaded, cost=cost, max_cost=max_cost, success=target)
    folder = output if output is not None else Path("runs") / loaded.name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder to write the results into")
    _say.print(f"[bold]{_plain(loaded.name)}[/]: {evals.sizes['row']} rows, {int(evals['attempts'].sum())} attempts")
    design = make_design(evals, loaded, loaded.held_out_rows(evals))
    refuse_at_once(loaded, evals, design)
    _writable(folder)
    fitted = None if refit else _same_fit(folder / "run.nc", loaded, evals)
    if fitted is None:
        refuse_unanswerable(loaded, evals, design)
    if not of_spec:
        _keep_evaluations(loaded, evals, folder)
    if fitted is None:
        fitted = _fit(evals, loaded)
        save(fitted, folder / "run.nc")
    else:
        _say.print(
            "the folder holds a fit of this model and these data: using it (--refit samples again)", soft_wrap=True
        )
    with _doing("checking"):
        results = run_checks(fitted)
    with _doing("predicting"):
        pred = _predict(fitted, None, None)
    _write_dataset(pred, folder / "predictions.nc")
    compared = observed_vs_predicted(fitted)
    choices, rows = _decisions(pred, loaded.query)
    for name, table in (("predictions.csv", _summary(pred)), ("decision.csv", rows)):
        write_atomically(folder / name, _csv(table))
    write_atomically(folder / "observed_vs_predicted.csv", compared.to_csv(index=False).encode())
    with _doing("drawing and writing the report"):
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
    from ds3bayes.generative.spec import ModelSpec

    spec = ModelSpec.from_toml(path)
    if spec.data is None:
        raise InputError(f'{path}: names no data; add [data] with path = "table.csv"')
    return spec, spec.data.read()


def _options(given: list[str] | None) -> dict[str, Any]:
    """Read 'name=value' pairs: lists, objects, numbers and truth as JSON has them, all else as text.

    A name with a dot is a key of an object: 'constants.model=acme-1'.
    """
    options: dict[str, Any] = {}
    for text in given or []:
        name, mark, value = text.partition("=")
        names = name.strip().split(".")
        if not mark or len(names) > 2 or not all(one.isidentifier() for one in names):
            raise InputError(f"--with {text}: give NAME=VALUE, as in scorer=match or constants.model=acme-1")
        read: Any = value
        # Ids stay text: a number is one only where it would be written so.
        with suppress(ValueError):
            read = json.loads(value)
        inside = options if len(names) == 1 else options.setdefault(names[0], {})
        if not isinstance(inside, dict) or names[-1] in inside:
            raise InputError(f"--with {text}: {name.strip()} is given twice")
        inside[names[-1]] = read
    return options


def _of_evaluations(source: str, options: dict[str, Any]) -> tuple[Any, xr.Dataset]:
    """Read evaluations of any kind, say how they were understood, and return them with the spec of defaults."""
    from ds3bayes.evals import read_evals
    from ds3bayes.generative.spec import ModelSpec, Query

    with _doing("reading evaluations"):
        evals = read_evals(source, **options)
    _show_account(evals)
    name = Path(source.rstrip("/")).name.split(".")[0] or "evaluations"
    query = Query(tasks="observed" if (evals["task"] != "").any() else "new")
    return ModelSpec(name=name, query=query), evals


def _show_account(evals: xr.Dataset) -> None:
    """Say what a reader counted, left out and understood; a table of counts speaks for itself."""
    if "account" not in evals.attrs:
        return
    account = json.loads(evals.attrs["account"])
    models, benchmarks = (len(set(evals[name].values.tolist())) for name in ("model", "benchmark"))
    tasks = len(set(zip(evals["benchmark"].values, evals["task"].values, strict=True)))
    _say.print(
        f"read by {_plain(account['reader'])}: {account['counted']:,} attempts at {tasks:,} tasks of {benchmarks} "
        f"benchmark{'s' * (benchmarks > 1)} by {models} LLM{'s' * (models > 1)}, from {len(account['sources']) or 1} "
        f"file{'s' * (len(account['sources']) > 1)}",
        soft_wrap=True,
    )
    for column, field in account["columns"].items():
        _say.print(f"  {_plain(column)}: {_plain(field)}", soft_wrap=True)
    for one in account["left_out"]:
        where = f" ({'; '.join(one['examples'][:2])})" if one["examples"] else ""
        _say.print(f"  [yellow]left out[/]: {one['count']:,} {_plain(one['why'] + where)}", soft_wrap=True)
    for note in account["notes"]:
        _say.print(f"  {_plain(note)}", soft_wrap=True)


def _questions(cost: str | None) -> tuple[str | None, float | None, float | None]:
    """Ask a person for cap and target; nobody else is asked, and the defaults hold."""
    if not (_say.is_terminal and sys.stdin.isatty()):
        return cost, None, None
    unit = cost or "tokens"
    cap = typer.prompt(f"Largest expected cost per task, in {unit} (empty: none)", default="", show_default=False)
    goal = typer.prompt("Success to reach, between 0 and 1", default="0.8")
    try:
        return cost, float(cap) if cap else None, float(goal)
    except ValueError:
        raise InputError(f"got {cap!r} and {goal!r}; give numbers, or say --max-cost and --target") from None


def _asking(spec: Any, **asked: Any) -> Any:
    """Return the spec with questions from the command line instead of its own."""
    from ds3bayes.generative.spec import ModelSpec

    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return spec
    content = spec.model_dump(mode="json", exclude_none=True)
    content["query"] |= given
    return ModelSpec.from_dict(content, "the command line")


def _keep_evaluations(spec: Any, evals: xr.Dataset, folder: Path) -> None:
    """Write what was read, and the spec that was used, beside the results."""
    from ds3bayes.evals import to_table
    from ds3bayes.generative.spec import DataSource
    from ds3bayes.inference.store import write_atomically

    write_atomically(folder / "evals.parquet", _table_bytes(to_table(evals), ".parquet"))
    written = spec.model_copy(update={"data": DataSource(path="evals.parquet")})
    write_atomically(folder / "spec.toml", written.to_toml().encode())
    _say.print(f"wrote [bold]{_plain(str(folder / 'spec.toml'))}[/], the specification that is used, and its data")


def _table_bytes(table: Any, suffix: str) -> bytes:
    """Return a table as the bytes of a .csv or .parquet file, without columns that say nothing."""
    told = [name for name in table if table[name].notna().any() and (table[name] != "").any()]
    if suffix == ".csv":
        return bytes(table[told].to_csv(index=False).encode())
    drawn = BytesIO()
    table[told].to_parquet(drawn, index=False)
    return drawn.getvalue()


def _fit(evals: xr.Dataset, spec: Any, **sampling: Any) -> xr.DataTree:
    from ds3bayes.inference.fit import fit as sample

    if not _say.is_terminal:
        _say.print("sampling (seconds; minutes for large models) ...")
    fitted = sample(evals, spec, progress=_say.is_terminal, **sampling)
    if not _say.is_terminal:
        sizes, seconds = fitted["posterior"].sizes, fitted.attrs["sample_seconds"]
        _say.print(
            f"compiled in {fitted.attrs['compile_seconds']:.1f} s; sampled {sizes['chain']} chains of "
            f"{sizes['draw']:,} draws in {seconds:.1f} s ({sizes['chain'] * sizes['draw'] / seconds:,.0f} draws/s)"
        )
    return fitted


@contextmanager
def _doing(what: str) -> Iterator[None]:
    """Say what is being done, with a spinner on a terminal, and how long it took."""
    started = time.perf_counter()
    with _say.status(what) if _say.is_terminal else nullcontext():
        yield
    _say.print(f"{what}: {time.perf_counter() - started:.1f} s")


def _writable(folder: Path) -> None:
    """Refuse a folder that cannot be written to, before the time of a fit is spent."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{folder}: {there} is not a folder that you may write to; name another")


def _same_fit(path: Path, spec: Any, evals: xr.Dataset) -> xr.DataTree | None:
    """Return the fit at a path with the spec's questions and prices, or None if a new fit would differ from it."""
    from ds3bayes.evals import data_sha256
    from ds3bayes.inference.artifact import spec_of

    if not path.exists():
        return None
    try:
        found = _load(path)
        before = spec_of(found)
    except InputError as error:
        _say.print(f"[yellow]not used[/]: {_plain(str(error))}", soft_wrap=True)
        return None
    made_with = json.loads(found.attrs["versions"])
    sizes = found["posterior"].sizes
    same = (
        found.attrs["model_id"] == spec.model_id
        and found.attrs["data_sha256"] == data_sha256(evals)
        and int(found.attrs["seed"]) == spec.sampling.seed
        and before.sampling == spec.sampling
        and before.priors == spec.priors
        and (sizes["chain"], sizes["draw"]) == (spec.sampling.chains, spec.sampling.draws)
        and made_with == {name: version(name) for name in made_with}
    )
    if not same:
        return None
    found.attrs["spec"] = spec.model_dump_json()
    return found


def _load(path: Path) -> xr.DataTree:
    from ds3bayes.inference.store import load

    return load(path)


def _whole_numbers(option: str, text: str) -> list[int]:
    """Read '500,1000,4000' or '500:32000:500', whose end counts."""
    try:
        if ":" not in text:
            return [int(part) for part in text.split(",")]
        start, stop, step = (int(part) for part in text.split(":"))
        found = list(range(start, stop + 1, step))
    except ValueError:
        found = []
    if not found:
        raise InputError(
            f"{option} {text}: give whole numbers, as in 500,1000,4000, or FROM:TO:STEP, as in 500:32000:500"
        )
    return found


def _predict(
    fitted: xr.DataTree,
    strategies: list[str] | None,
    tasks: str | None,
    budgets: list[int] | None = None,
    cluster: str | None = None,
) -> xr.Dataset:
    """Predict what was asked for, or else what the spec asks: at each of some budgets, if there are any."""
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.queries.grid import predict_grid
    from ds3bayes.queries.predict import predict as query

    asked = spec_of(fitted).query
    named = strategies or list(asked.strategies)
    which: Any = tasks or asked.tasks
    if budgets is None:
        return query(fitted, named or None, tasks=which)
    return predict_grid(fitted, named, budgets, tasks=which, cluster=cluster, progress=_say.is_terminal)


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
    import numpy as np

    rows = []
    # Options that there are not are blank in every draw.
    low, high = (pred.quantile(p, ("chain", "draw"), skipna=False) for p in (0.05, 0.95))
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
                if "extrapolated" in pred.coords:
                    row["extrapolated"] = bool(pred["extrapolated"].sel(at))
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
    import numpy as np

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
    if "extrapolated" in rows[0]:
        # A mark for those that are, and no column where none is.
        marks = [{"extrapolated": "extrapolated" if row["extrapolated"] else ""} for row in rows]
        rows = [row | mark for row, mark in zip(rows, marks, strict=True)]
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
    import numpy as np

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


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    _say.print(f"[yellow]warning[/] ({category.__name__}): {_plain(str(message))}", soft_wrap=True)
