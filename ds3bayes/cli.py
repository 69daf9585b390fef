"""The command line: one verb per step, and `run` for all of them.

``run SPEC`` or ``run EVALUATIONS``, or each step alone: ``import``, ``validate``, ``fit``, ``check``, ``predict``
(with ``--budgets 500:32000:500``, a grid), ``decide``, ``report``; questions: ``compare``, ``rank``, ``gate``,
``plan``, ``next``, ``allocate``, ``suspects``; ``watch`` a folder of logs; proof: ``calibrate``, ``sbc``;
``simulate``; ``example``, ``doctor`` and ``schema`` (what ``--json`` prints). ``--help`` on each gives examples,
``--install-completion`` completes in your shell.

Exit codes: 0 done; 1 a check failed (`check`, `sbc`, and `run --strict`); 2 bad input, with nothing compiled or
written; 3 a file could not be written (the message says where a finished fit is
kept); 130 interrupted by Ctrl-C or SIGTERM; 141 the reader of a pipe went away.

Files are written whole or not at all. A command first makes sure that its outputs are no input and that what is there
is a result of ds3bayes of the same kind, which by its content it is known to be; all else is kept, a ``spec.toml``
that you changed included. One process at a time writes into a folder of ``run``. A table in CSV quotes the names of
its columns, and a text that a spreadsheet would take for a formula has an apostrophe before it, which reading takes
away again. A fit ends with a digest, so that a damaged one is refused. Where the home folder cannot be written to,
nothing need be set.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ds3bayes import files
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.progress import doing
from ds3bayes.terminal import Terminal
from ds3bayes.terminal import plain as _plain

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


_say = Terminal(stderr=True)
# A pipe has no width of its own; tables keep theirs there.
_out = Terminal(width=None if sys.stdout.isatty() else 150)


def _examples(*lines: str) -> str:
    """Return what stands below a command's help."""
    return "\n\n".join(["[bold]Examples[/]", *(f"[cyan]{_plain(line)}[/]" for line in lines)])


def _completed(*words: str) -> Callable[[str], list[str]]:
    """Return a shell completion from a few words."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


def _strategies_starting(incomplete: str) -> list[str]:
    from ds3bayes.strategies import STRATEGIES

    return [name for name in STRATEGIES if name.startswith(incomplete)]


def _answering(incomplete: str) -> list[str]:
    from ds3bayes.answers import ANSWERS

    return [name for name in ANSWERS if name.startswith(incomplete)]


def _scenarios_starting(incomplete: str) -> list[str]:
    from ds3bayes.evals.scenarios import SCENARIOS

    return [name for name in SCENARIOS if name.startswith(incomplete)]


SpecFile = Annotated[Path, typer.Argument(help="model specification, a TOML file", show_default=False)]
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
        "--tasks", help="'observed' or 'new'; default from the spec", autocompletion=_completed("observed", "new")
    ),
]
CostName = Annotated[
    str | None,
    typer.Option(
        help="tokens, usd, flops, joules or seconds; default from the spec",
        autocompletion=_completed("tokens", "usd", "flops", "joules", "seconds"),
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        "--cluster",
        help="address of a Dask scheduler whose workers share the work: tcp://HOST:8786; on predict, with --budgets",
    ),
]
Fresh = Annotated[bool, typer.Option("--fresh", help="do not go on from what an interrupted command kept; start anew")]
MaxCost = Annotated[float | None, typer.Option(help="largest expected cost per task; default from the spec")]
Margin = Annotated[
    float | None, typer.Option(help="difference in success that is not worth paying for; default from the spec")
]
PerfectCheck = Annotated[
    bool | None,
    typer.Option(
        "--perfect-check/--no-perfect-check",
        help="whether wrong answers can be told from right ones when deployed; default from the spec",
    ),
]


@contextmanager
def _starting(source: str | Path) -> Iterator[None]:
    """Say at once what is worked on, and show that its imports, of seconds, are under way."""
    _say.print(f"[bold]ds3bayes[/] {version('ds3bayes')}: {_plain(str(source))}")
    with doing("starting"):
        yield


def main() -> None:
    """Run the command line; bad input ends in one message and exit code 2."""
    warnings.showwarning = _show_warning
    files.stop_politely()
    try:
        app()
    except InputError as error:
        _say.print(f"[bold red]error[/]: {_lines(error)}")
        sys.exit(2)
    except BrokenPipeError:
        # What is left in the buffer has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except files.OutputError as error:
        _say.print(
            f"[bold red]error[/]: {_plain(str(error))}. Give a place that can be written, with room on its disk",
        )
        sys.exit(3)
    except OSError as error:
        # What is written says OutputError.
        where = f"{error.filename}: " if error.filename else ""
        _say.print(f"[bold red]error[/]: {_plain(where)}cannot be read: {_plain(error.strerror or str(error))}")
        sys.exit(2)
    except SystemExit as ended:
        # Typer takes Ctrl-C for itself.
        if ended.code == 130:
            _say.print(_plain(_kept(files.written(), [str(folder) for folder in _going_on if folder.exists()])))
        raise
    finally:
        _going_on.clear()
        files.release()


#: Folders of unfinished work of this command.
_going_on: list[Path] = []


def _kept(names: list[str], unfinished: list[str]) -> str:
    """Say, of a command that was interrupted, what it had written by then, and what it will go on from."""
    said = f"kept, each of them whole: {_listed(names)}" if names else "nothing else was written"
    if unfinished:
        kept = f"what was done is kept in {_listed(unfinished)}: the same command goes on from there"
        return f"interrupted; {kept} (--fresh starts anew); {said}"
    again = any(name.endswith("run.nc") for name in names)
    said = said if names else "nothing was written"
    return f"interrupted; {said}{'; the same command goes on from the fit' if again else ''}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _lines(error: InputError) -> str:
    """Return the message of an error for the terminal: what it lists stays on lines of its own."""
    return "\n".join(_plain(line) for line in str(error).split("\n"))


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

        ends = {"50%": "median", "5%": "lower", "95%": "upper"}
        believed = prior_beliefs(evals, loaded).rename(columns=ends).to_dict("records")
    if as_json:
        _print_json(facts | ({"prior": believed} if prior else {}))
        return
    _say.print(
        f"[green]valid[/]: {facts['rows']} rows ({facts['held_out_rows']} held out), {facts['attempts']} attempts on "
        f"{facts['tasks']} tasks, {len(design.labels)} samplers"
    )
    for label in design.labels:
        _out.print(f"  {_plain(label)}")
    if prior:
        _show("what the priors believe: median and 90 % interval, and what was observed", believed)


@app.command(epilog=_examples("ds3bayes example", "ds3bayes example game24", "ds3bayes example game24 -o first --json"))
def example(
    name: Annotated[str | None, typer.Argument(help="which to copy; without it they are listed")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="folder to copy the spec and its data into")] = Path(),
    as_json: Json = False,
) -> None:
    """List the shipped calibrations, or copy one of them with its data, to run it and to change it."""
    from ds3bayes.inference.examples import copy_example, examples

    if name is None:
        listed = [{"name": key, "description": text} for key, text in examples().items()]
        if as_json:
            _print_json(listed)
        else:
            for one in listed:
                _out.print(f"[bold]{_plain(one['name'])}[/]: {_plain(one['description'])}")
        return
    files.claim_folder(output, {})
    spec, table = copy_example(name, output)
    if as_json:
        _print_json({"spec": str(spec), "table": str(table)})
    else:
        _say.print(
            f"wrote [bold]{_plain(str(spec))}[/] and {_plain(str(table))}; next: ds3bayes run {_plain(str(spec))}",
        )


@app.command(epilog=_examples("ds3bayes schema decide", "ds3bayes schema run | jq '.properties.decision'"))
def schema(
    command: Annotated[
        str, typer.Argument(help="a command that takes --json", show_default=False, autocompletion=_answering)
    ],
) -> None:
    """Print the JSON Schema of what a command prints with --json: keys, meanings, units and ranges."""
    from ds3bayes.answers import schema as of_answer

    _print_json(of_answer(command))


@app.command(epilog=_examples("ds3bayes doctor", "ds3bayes doctor --licenses --json"))
def doctor(
    licenses: Annotated[
        bool, typer.Option("--licenses", help="list every package that is depended on instead, with its licence")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what is installed, which engine runs models, and where results go. Exit code 1 if sampling will be slow."""
    from ds3bayes.engine.doctor import doctor as examine
    from ds3bayes.engine.doctor import licenses as listed

    if licenses:
        rows = listed()
        if as_json:
            _print_json(rows)
        else:
            _show("packages that are depended on", rows, most=len(rows))  # type: ignore[arg-type]
        return
    found = examine()
    if as_json:
        _print_json(found)
    else:
        for about, said in found.items():
            _out.print(f"[bold]{_plain(about)}[/]: {_plain(said)}")
    if not all(found[name].startswith("ok") for name in ("engine", "sampler")):
        raise typer.Exit(1)


@app.command(
    name="import",
    epilog=_examples(
        "ds3bayes import logs/ -o evals.parquet",
        "ds3bayes import attempts.jsonl -o evals.csv --json",
        "ds3bayes import logs/ --with scorer=match --with success=0.5",
    ),
)
def import_evaluations(
    source: Annotated[str, typer.Argument(help="a table, a log, or a folder of tables or logs", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="table to write (.parquet or .csv)")] = Path(
        "evals.parquet"
    ),
    options: With = None,
    as_json: Json = False,
) -> None:
    """Read evaluations of any kind into one table, and say what was counted, left out and understood."""
    from ds3bayes.evals import read_evals, to_table

    files.claim(output, "table", [source])
    with doing("reading evaluations"), _with_said():
        evals = read_evals(source, **_options(options))
    files.write(output, "table", _table_bytes(to_table(evals), output.suffix))
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
    scheduler: Scheduler = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Sample the posterior and save it.

    Draws are kept as they come: after a kill, the same command goes on from them.
    """
    with _starting(spec):
        from ds3bayes.inference.store import save

    files.claim(output, "fit", [spec])
    loaded, evals = _read(spec)
    files.refuse_taken(output, "fit", [loaded.data.path])
    asked: dict[str, Any] = {"draws": draws, "tune": tune, "chains": chains, "seed": seed}
    fitted = _fit(evals, loaded, output, fresh=fresh, scheduler=scheduler, preliminary=_first_look(loaded), **asked)
    path = save(_asked_by(fitted, spec, output.parent, source=loaded.data.path), output)
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
    refits: Annotated[
        int | None,
        typer.Option(help="most tasks to refit without, where they cannot be left out otherwise; default 20", min=0),
    ] = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder for each check's table (.csv) and picture (.png)")
    ] = None,
) -> None:
    """Check a fit: convergence, posterior prediction, leave-one-out. Exit code 1 if one fails.

    Notes follow, which cannot fail: what was learned, and what depends on the prior.
    """
    from ds3bayes.inference.artifact import evals_of, spec_of
    from ds3bayes.inference.check import check as run_checks
    from ds3bayes.inference.store import load

    if tasks is not None and not by_simulation:
        raise InputError(f"--tasks {tasks} says how many tasks to simulate: add --sbc")
    loaded = load(fit_file)
    if output is not None:
        files.claim_folder(output, {}, [fit_file])
    with doing("checking") as told:
        results = run_checks(loaded, refits=refits, scheduler=scheduler, progress=told.share)
    if by_simulation:
        from ds3bayes.queries.calibration import sbc, sbc_check

        evals, held_out = evals_of(loaded)
        simulated: dict[str, Any] = {"tasks": tasks, "scheduler": scheduler, "progress": True}
        ranks = sbc(evals.isel(row=~held_out), spec_of(loaded), **simulated)
        results.append(sbc_check(ranks))
    if output is not None:
        from ds3bayes.reports.picture import write_picture

        for result in results:
            name = result.name.replace(" ", "_")
            # Rows of the check of convergence are named by parameter.
            named = result.table.index.name is not None
            files.write(output / f"{name}.csv", "table", files.csv_bytes(result.table, index=named))
            write_picture(result.picture(), output / f"{name}.png", result.name)
    if as_json:
        _print_json([_of_check(one) | {"note": one.note} for one in results])
    else:
        _show_checks(results)
    if not all(result.passed for result in results):
        raise typer.Exit(1)


@app.command(
    epilog=_examples(
        "ds3bayes predict run.nc",
        "ds3bayes predict run.nc -s cot -s 'majority(n=8)' --tasks new",
        "ds3bayes predict run.nc -s 'tot(branching=5, kept_states=5)' -o predictions.nc --json",
        "ds3bayes predict run.nc -s cot --by category",
        "ds3bayes predict run.nc -m acme-1 -m acme-2",
        "ds3bayes predict run.nc -s cot -s 'best_of_n(n=4)' --budgets 500:32000:500 -o grid.nc",
    )
)
def predict(
    fit_file: FitFile,
    strategy: Strategies = None,
    model: Annotated[list[str] | None, typer.Option("--model", "-m", help="this LLM only; repeat for more")] = None,
    tasks: Tasks = None,
    budgets: Annotated[
        str | None,
        typer.Option(help="every strategy at each of these token budgets: 500,1000,4000 or FROM:TO:STEP"),
    ] = None,
    scheduler: Scheduler = None,
    by: Annotated[
        str | None, typer.Option(help="by group of tasks: category, language, level or another column about tasks")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="also write all draws to this .nc file")] = None,
    as_json: Json = False,
) -> None:
    """Predict success and cost of strategies, at many token budgets or by group of tasks if asked."""
    at = None if budgets is None else _whole_numbers("--budgets", budgets)
    if scheduler is not None and at is None:
        raise InputError(f"--scheduler {scheduler} is for predictions at many budgets: add --budgets")
    if by is not None and (at is not None or tasks == "new"):
        raise InputError(f"--by {by} is for predictions on the observed tasks; leave --budgets and --tasks new out")
    if output is not None:
        files.claim(output, "dataset", [fit_file])
    loaded = _load(fit_file)
    llms = _among(model, loaded)
    # A grid shows how far it is by itself.
    with doing("predicting") if at is None else nullcontext():
        pred = _predict(loaded, strategy, tasks, at, scheduler) if by is None else _predict_by(loaded, strategy, by)
    if llms:
        pred = pred.sel(model=llms).dropna("strategy", how="all", subset=["success"])
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
    margin: Margin = None,
    perfect_check: PerfectCheck = None,
    reach: Annotated[
        list[str] | None,
        typer.Option("--reach", help="also what reaching that target takes: 'best_of_n(n=*)', 'cot(budget_tokens=*)'"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say which option to deploy, which is the cheapest that suffices, and what was observed beside the predictions."""
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.queries.decide import asking
    from ds3bayes.queries.decide import decide as answer

    loaded = _load(fit_file)
    asked: dict[str, Any] = {
        "cost": cost,
        "max_cost": max_cost,
        "success": success,
        "confidence": confidence,
        "margin": margin,
        "perfect_check": perfect_check,
    }
    query = asking(spec_of(loaded), asked, "decide").query
    with doing("predicting"):
        pred = _predict(loaded, strategy, tasks)
    with doing("deciding"):
        decision = answer(loaded, pred, **asked)
    reached = {}
    if reach:
        from ds3bayes.queries.cost_to_reach import cost_to_reach

        which: Any = tasks or query.tasks
        for family in reach:
            found = cost_to_reach(loaded, family, success=query.success, cost=query.cost, tasks=which)
            reached[family] = found.attrs["sentence"]
    if as_json:
        _print_json(decision.as_dict() | ({"to_reach": reached} if reached else {}))
    else:
        _show_decision(decision)
        for family, sentence in reached.items():
            _out.print(f"[bold]{_plain(family)}[/]: {_plain(sentence)}")


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
        _out.print(_plain(result.attrs["sentence"]))


@app.command(
    epilog=_examples(
        "ds3bayes plan run.nc model-a model-b --difference 0.03 --cost usd",
        "ds3bayes plan --accuracy acme-1=0.62/198 --accuracy acme-2=0.58/198 --difference 0.03 --tasks observed",
        "ds3bayes plan counts.csv model-a --width 0.05 --max-tasks 198 -o plan.png",
        "ds3bayes plan models/game24.toml cot --max-cost 50 --price 0.03 --task-cost 2",
    )
)
def plan(
    source: Annotated[
        str | None,
        typer.Argument(
            help="what tells how tasks differ: a fit (.nc), evaluations, or a spec (.toml), whose priors are asked",
            show_default=False,
        ),
    ] = None,
    a: Annotated[
        str | None, typer.Argument(help="'LLM | strategy', an LLM, or a strategy where there is one LLM")
    ] = None,
    b: Annotated[str | None, typer.Argument(help="what is to be told from it")] = None,
    accuracy: Annotated[
        list[str] | None,
        typer.Option(help="in place of a source, a published accuracy as LLM=ACCURACY/TASKS; repeat for more"),
    ] = None,
    width: Annotated[float | None, typer.Option(help="width of the interval to reach")] = None,
    difference: Annotated[float | None, typer.Option(help="difference in success to tell")] = None,
    power: Annotated[float, typer.Option(help="probability of telling it")] = 0.8,
    max_cost: Annotated[float | None, typer.Option(help="budget of the whole evaluation")] = None,
    level: Annotated[float, typer.Option(help="probability of the interval")] = 0.9,
    assurance: Annotated[float, typer.Option(help="probability that the plan suffices")] = 0.9,
    tasks: Annotated[
        str, typer.Option("--tasks", help="'new': of tasks like those that are run; 'observed': of these very tasks")
    ] = "new",
    max_tasks: Annotated[int | None, typer.Option(help="how many tasks there are")] = None,
    attempts: Annotated[
        list[int] | None, typer.Option("--attempts", "-n", help="attempts per task to show; repeat for more")
    ] = None,
    cost: Annotated[
        str | None,
        typer.Option(
            help="attempts, tokens, usd, flops, joules or seconds; the first of usd, tokens and attempts that is known"
        ),
    ] = None,
    price: Annotated[float | None, typer.Option(help="cost of one attempt (of both LLMs); default expected")] = None,
    task_cost: Annotated[float, typer.Option(help="cost of one more task beside its attempts")] = 0.0,
    benchmark: Annotated[str | None, typer.Option(help="needed where there are several")] = None,
    options: With = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also draw the plan to this .png, .svg, .pdf or .html")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how many tasks, attempts and dollars an evaluation needs, or what a budget can show, before any data."""
    from ds3bayes.queries.plan import plan as query
    from ds3bayes.reports.decision_tables import plan_table

    if (source is None) == (not accuracy):
        raise InputError("give either a source (a fit, evaluations or a spec) or --accuracy LLM=ACCURACY/TASKS")
    _refuse_picture(output, source)
    asked: dict[str, Any] = {
        "width": width,
        "difference": difference,
        "power": power,
        "max_cost": max_cost,
        "level": level,
        "assurance": assurance,
        "tasks": tasks,
        "max_tasks": max_tasks,
        "cost": cost,
        "price": price,
        "task_cost": task_cost,
        "benchmark": benchmark,
    }
    if attempts:
        asked["attempts"] = attempts
    with doing("planning"):
        result = query(_published(accuracy) if source is None else _plan_source(source, options), a, b, **asked)
    if output is not None:
        from ds3bayes.reports import plot_plan

        _write_picture(plot_plan(result), output, "Plan of an evaluation")
    rows = plan_table(result).to_dict("records")
    if as_json:
        chosen = {name: float(result[name]) for name in ("chosen_tasks", "chosen_attempts", "chosen_cost")}
        _print_json({**result.attrs, **chosen, "designs": rows})
    else:
        _out.print(_plain(result.attrs["sentence"]))
        _show(f"designs, cost in {result['cost'].attrs['units']}", rows, most=100)  # type: ignore[arg-type]


def _published(accuracies: list[str] | None) -> dict[str, tuple[float, int]]:
    """Read published accuracies, LLM=ACCURACY/TASKS."""
    found = {}
    for text in accuracies or []:
        name, mark, rest = text.rpartition("=")
        share, slash, tasks = rest.partition("/")
        try:
            found[name] = (float(share), int(tasks))
        except ValueError:
            slash = ""
        if not (mark and slash and name):
            raise InputError(f"--accuracy {text}: give LLM=ACCURACY/TASKS, as in acme-1=0.62/198")
    return found


def _plan_source(source: str, options: list[str] | None) -> Any:
    """Read a fit, a spec or evaluations."""
    from ds3bayes.evals import read_evals
    from ds3bayes.generative.spec import ModelSpec

    if source.endswith(".nc"):
        return _load(Path(source))
    if source.endswith(".toml"):
        return ModelSpec.from_toml(source)
    return read_evals(source, **_options(options))


@app.command(
    epilog=_examples(
        "ds3bayes gate main/logs branch/logs --margin 0.02 --confidence 0.95",
        "ds3bayes gate old.csv new.csv --markdown gate.md --junit gate.xml --json",
        "ds3bayes gate evals.csv evals.csv --baseline-where \"model == 'v1'\" --candidate-where \"model == 'v2'\"",
    )
)
def gate(
    baseline: Annotated[str, typer.Argument(help="table, log or folder of logs of what is there", show_default=False)],
    candidate: Annotated[str, typer.Argument(help="the same of what is to replace it", show_default=False)],
    margin: Annotated[float, typer.Option(help="fall of success that does not matter")] = 0.02,
    confidence: Annotated[float, typer.Option(help="probability that either verdict needs")] = 0.95,
    tasks: Annotated[
        str, typer.Option("--tasks", help="'observed': these very tasks; 'new': others like them")
    ] = "observed",
    baseline_where: Annotated[str | None, typer.Option(help="query that keeps rows of the baseline")] = None,
    candidate_where: Annotated[str | None, typer.Option(help="query that keeps rows of the candidate")] = None,
    options: With = None,
    markdown: Annotated[Path | None, typer.Option(help="also write a summary for a pull request")] = None,
    junit: Annotated[Path | None, typer.Option(help="also write JUnit XML")] = None,
    as_json: Json = False,
) -> None:
    """Say whether a candidate is no worse than a baseline: exit status 0 no worse, 1 worse, 3 undecided."""
    from ds3bayes.evals import read_evals, select
    from ds3bayes.queries.gate import gate as query

    for path, kind in ((markdown, "text"), (junit, "junit")):
        if path is not None:
            files.claim(path, kind, [baseline, candidate])
    sides = []
    for source, where in ((baseline, baseline_where), (candidate, candidate_where)):
        evals = read_evals(source, **_options(options))
        sides.append(evals if where is None else select(evals, where))
    with doing("fitting both"):
        result = query(*sides, margin=margin, confidence=confidence, tasks=tasks)  # type: ignore[arg-type]
    for path, kind, text in ((markdown, "text", result.markdown), (junit, "junit", result.junit)):
        if path is not None:
            files.write(path, kind, files.remarked(kind, text()))
    if as_json:
        _print_json(result.as_dict())
    else:
        _out.print(_plain(result.sentence))
        if len(result.table) > 1:
            _show("by benchmark", result.table.to_dict("records"))
    if result.status:
        raise typer.Exit(result.status)


@app.command(
    epilog=_examples(
        "ds3bayes rank run.nc -s cot --tasks new",
        "ds3bayes rank run.nc --of option --json",
        "ds3bayes rank run.nc -o ranks.png",
    )
)
def rank(
    fit_file: FitFile,
    strategy: Strategies = None,
    of: Annotated[
        str, typer.Option("--of", help="what is ranked: 'model' (LLMs) or 'option' (with strategies)")
    ] = "model",
    tasks: Annotated[str, typer.Option("--tasks", help="'observed' or 'new'")] = "observed",
    benchmark: Annotated[str | None, typer.Option(help="needed where there are several")] = None,
    margin: Margin = None,
    perfect_check: PerfectCheck = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also draw the ranks to this .png, .svg, .pdf or .html")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank LLMs, or options, by success, with the probability of every place."""
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.queries.rank import rank as query
    from ds3bayes.reports.decision_tables import ranking_table

    _refuse_picture(output, fit_file)
    loaded = _load(fit_file)
    asked = strategy or list(spec_of(loaded).query.strategies) or None
    given: dict[str, Any] = {
        "of": of,
        "tasks": tasks,
        "benchmark": benchmark,
        "margin": margin,
        "perfect_check": perfect_check,
    }
    with doing("ranking"):
        result = query(loaded, asked, **given)
    if output is not None:
        from ds3bayes.reports import plot_ranking

        _write_picture(plot_ranking(result), output, "Ranks of LLMs" if of == "model" else "Ranks of options")
    rows = ranking_table(result).to_dict("records")
    if as_json:
        _print_json({"sentence": result.attrs["sentence"], "ranks": rows, "p_rank": result["p_rank"].values.tolist()})
    else:
        _out.print(_plain(result.attrs["sentence"]))
        _show("ranks, 1 being the best", rows, most=100)  # type: ignore[arg-type]


@app.command(
    epilog=_examples(
        "ds3bayes suspects run.nc",
        "ds3bayes suspects run.nc --least 0.2 --json",
    )
)
def suspects(
    fit_file: FitFile,
    least: Annotated[float, typer.Option(help="least probability of being broken of the tasks that are listed")] = 0.05,
    spent: Annotated[bool, typer.Option("--spent", help="list the tasks that every LLM is sure to solve")] = False,
    level: Annotated[float, typer.Option(help="success above which an LLM is sure to solve a task")] = 0.99,
    as_json: Json = False,
) -> None:
    """List the tasks that may be broken (wrong key, impossible test), or that no longer tell LLMs apart."""
    from ds3bayes.queries.suspect_tasks import suspect_tasks
    from ds3bayes.reports.suspect_tasks import suspect_tasks_table

    result = suspect_tasks(_load(fit_file), level=level)
    by = "spent" if spent else "broken"
    table = suspect_tasks_table(result)
    rows = table[table[by] >= least].sort_values(by, ascending=False, kind="stable").to_dict("records")
    if as_json:
        _print_json({"absent": result.attrs["absent"], "level": level, "tasks": rows})
        return
    if result.attrs["absent"] != "none":
        _say.print(f"[yellow]not asked of some tasks[/]: {_plain(result.attrs['absent'])}")
    title = f"tasks that are {by} with probability {least:g} or more: {len(rows)} of {len(table)}"
    if rows:
        _show(title, rows)  # type: ignore[arg-type]
    else:
        _out.print(title)


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
    margin: Margin = None,
    perfect_check: PerfectCheck = None,
    benchmark: Annotated[str | None, typer.Option(help="needed where there are several")] = None,
    as_json: Json = False,
) -> None:
    """Say which evaluation to run next before a decision, and how many attempts."""
    from ds3bayes.queries.next_evals import next_evals
    from ds3bayes.reports.decision_tables import next_evals_table

    asked: dict[str, Any] = {
        "on": on,
        "tasks": tasks,
        "cost": cost,
        "max_cost": max_cost,
        "margin": margin,
        "perfect_check": perfect_check,
        "benchmark": benchmark,
    }
    if attempts:
        asked["attempts"] = attempts
    result = next_evals(_load(fit_file), option, candidate, **asked)
    rows = next_evals_table(result).to_dict("records")
    if as_json:
        _print_json({**result.attrs, "regret": float(result["regret"]), "evaluations": rows})
    else:
        _out.print(_plain(result.attrs["sentence"]))
        _show("evaluations, most fall of regret per cost first", rows)  # type: ignore[arg-type]


@app.command(
    epilog=_examples(
        "ds3bayes watch logs/ --max-cost 4000",
        "ds3bayes watch logs/ -o runs/tonight --until-done --with scorer=match",
    ),
)
def watch(
    folder: Annotated[Path, typer.Argument(help="folder that logs are written into", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder of the report; default runs/NAME", show_default=False),
    ] = None,
    cost: CostName = None,
    max_cost: MaxCost = None,
    target: Annotated[float | None, typer.Option(help="success to reach, in (0, 1)")] = None,
    tasks: Tasks = None,
    within: Annotated[
        float, typer.Option(help="of a single option: to plus or minus what its success must be known")
    ] = 0.02,
    every: Annotated[float, typer.Option(help="seconds between looks at the folder")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help="read what is there, and end")] = False,
    until_done: Annotated[bool, typer.Option("--until-done", help="end when nothing more is worth running")] = False,
    draws: Annotated[int | None, typer.Option(help="posterior draws per chain; 1,000 if not given")] = None,
    options: With = None,
    as_json: Json = False,
) -> None:
    """Read logs as they land, refit, rewrite the report, and say what changed and what to run next.

    Runs until it is interrupted. Logs that are not finished, or damaged, wait; a log that cannot be read, or a fit that
    fails, is told and does not end it.
    """
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.inference.store import save
    from ds3bayes.live.watch import Update
    from ds3bayes.live.watch import watch as look
    from ds3bayes.queries.decide import asking
    from ds3bayes.reports import report as write

    name = folder.resolve().name or "logs"
    asked = {"cost": cost, "max_cost": max_cost, "success": target, "tasks": tasks}
    spec = asking(ModelSpec(name=name), asked, "the command line")
    if draws is not None:
        content = spec.model_dump(mode="json", exclude_none=True)
        spec = ModelSpec.from_dict(content | {"sampling": {"draws": draws}}, "the command line")
    results = output if output is not None else Path("runs") / files.folder_name(name)
    if results.resolve() == folder.resolve():
        raise InputError(f"{results}: the report would land among the logs; give another folder")
    files.claim_folder(results, {"run.nc": "fit", "report.html": "page", "report.md": "text"})

    def wait(seconds: float) -> bool:
        if not once:
            time.sleep(seconds)
        return not once

    for found in look(folder, spec, every=every, within=within, options=_options(options), wait=wait):
        for one in found.waiting:
            _say.print(f"  [yellow]waiting[/]: {_plain(one)}")
        if not isinstance(found, Update):
            _say.print(f"[yellow]{_plain(found.line)}[/]")
            continue
        save(found.fit, results / "run.nc")
        path = write(found.fit, found.pred, results / "report.html")
        told = {"logs": found.logs, "attempts": found.attempts, "changed": found.changed, "line": found.line}
        if as_json:
            _print_json(told | {"next": found.next, "done": found.done, "report": str(path)})
        else:
            head = f"{time.strftime('%H:%M:%S')} {found.logs} logs, {found.attempts:,} attempts"
            _out.print(_plain(f"{head}: {'' if found.changed else 'still '}{found.line}"))
            _out.print(_plain(f"  next: {found.next}"))
        if found.done and until_done:
            return


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
        _out.print(_plain(result.attrs["sentence"]))
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
    from ds3bayes.inference.check import check as run_checks
    from ds3bayes.reports import report as write

    files.claim(output, "page", [fit_file])
    files.refuse_taken(output.with_suffix(".md"), "text", [fit_file])
    loaded = _load(fit_file)
    with doing("predicting"):
        pred = _predict(loaded, strategy, tasks)
    with doing("checking") as told:
        results = run_checks(loaded, progress=told.share)
    with doing("drawing and writing the report") as told:
        path = write(loaded, pred, output, checks=results, progress=told.share)
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
    soundness: Annotated[float, typer.Option(help="probability that a task can be solved at all")] = 1.0,
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

    if output.suffix != ".csv":
        raise InputError(f"{output}: simulated evaluations are written as CSV; let the name end in .csv")
    truth = output.with_suffix(".truth.nc")
    files.claim(output, "table")
    files.claim(truth, "dataset")
    if scenario is None:
        made = walk_paths(
            tasks=tasks,
            attempts=attempts,
            models=models,
            path_length=path_length,
            reachability=reachability,
            soundness=soundness,
            seed=seed,
        )
    elif scenario in SCENARIOS:
        made = SCENARIOS[scenario](seed=seed)
    else:
        raise InputError(
            f"scenario {scenario!r}; allowed: {', '.join(SCENARIOS)}." + did_you_mean(scenario, list(SCENARIOS))
        )
    files.write(output, "table", _table_bytes(to_table(made.evals), ".csv"))
    _write_dataset(made.truth, truth)
    _say.print(f"wrote [bold]{_plain(str(output))}[/] and {_plain(str(truth))}")


@app.command(
    epilog=_examples(
        "ds3bayes calibrate counts.csv --samples 10 --samples 100 --at 100 --seeds 3",
        "ds3bayes calibrate counts.csv --joint -o scores.nc --json",
        "ds3bayes calibrate counts.csv --model llm-7b --rival beta-binomial --rival my_rivals:forecast",
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
    model: Annotated[list[str] | None, typer.Option(help="this LLM only; repeat for more")] = None,
    benchmark: Annotated[list[str] | None, typer.Option(help="this benchmark only; repeat for more")] = None,
    rival: Annotated[
        list[str] | None,
        typer.Option(
            help="a rival by its name in the table, or a function of your own as MODULE:NAME, from (counts, k, draws, "
            "rng) to draws of pass@k; repeat for more. All named ones by default"
        ),
    ] = None,
    least_attempts: Annotated[int, typer.Option(help="leave out LLMs with fewer attempts at some task")] = 1000,
    scheduler: Scheduler = None,
    fresh: Fresh = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="also write all scores to this .nc file")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure on a table of many attempts how well pass@k is forecast from few, beside simpler rivals.

    Fits are kept as they are done: after a kill, the same command goes on from them.
    """
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.queries.calibration import calibration_table, held_out_calibration, sampling_table
    from ds3bayes.queries.calibration.held_out import read_counts

    if output is not None:
        files.claim(output, "dataset", [table, *([] if spec is None else [spec])])
    kept = _unfinished(output, fresh) if output is not None else _unfinished_here(f"calibrate-{table.stem}", fresh)
    result = held_out_calibration(
        read_counts(table),
        None if spec is None else ModelSpec.from_toml(spec),
        samples=samples or (10, 100),
        at=at or (100,),
        seeds=seeds,
        resume=kept,
        fits=("alone", "joint") if joint else ("alone",),
        baselines=None if rival is None else [_rival(name) for name in rival],
        models=model,
        benchmarks=benchmark,
        least_attempts=least_attempts,
        scheduler=scheduler,
        progress=True,
    )
    if output is not None:
        _write_dataset(result, output)
    _finished(kept)
    rows, sampled = (of(result).to_dict("records") for of in (calibration_table, sampling_table))
    if as_json:
        _print_json({"left_out": result.attrs["left_out"], "scores": rows, "sampling": sampled})
        return
    _say.print(f"left out: {_plain(result.attrs['left_out'])}")
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
    scheduler: Scheduler = None,
    fresh: Fresh = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="draw the ranks to this .png, .svg, .pdf or .html")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a spec by simulation: truths drawn from its priors should be ranked evenly in fits to data from them.

    Data have the layout of the spec's table (LLMs, tasks, attempts). Exit code 1 if the check fails. Fits are kept as
    they are done: after a kill, the same command goes on from them.
    """
    from ds3bayes.queries.calibration import sbc as by_simulation
    from ds3bayes.queries.calibration import sbc_check

    _refuse_picture(picture, spec)
    loaded, evals = _read(spec)
    unfinished = _unfinished_here(f"sbc-{loaded.name}", fresh)
    ranks = by_simulation(
        evals,
        loaded,
        resume=unfinished,
        fits=fits,
        tasks=tasks,
        drawn_by=drawn_by,  # type: ignore[arg-type]
        thin=thin,
        seed=seed,
        scheduler=scheduler,
        progress=True,
    )
    outcome = sbc_check(ranks)
    _finished(unfinished)
    if picture is not None:
        from ds3bayes.reports.calibration_figure import plot_ranks

        _write_picture(plot_ranks(ranks), picture, f"Ranks of simulated truths: {loaded.name}")
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
        "ds3bayes run specs/*.toml -o results --scheduler tcp://10.0.0.5:8786",
    )
)
def run(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="model specification (.toml), or evaluations: a table, a log, or a folder of either; or several "
            "specifications, each with results of its own",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="folder of the results; default runs/NAME. Of several specifications, the folder of their folders",
            show_default=False,
        ),
    ] = None,
    cost: CostName = None,
    max_cost: MaxCost = None,
    target: Annotated[float | None, typer.Option(help="success to reach, in (0, 1), instead of the spec's")] = None,
    options: With = None,
    strict: Annotated[bool, typer.Option("--strict", help="exit with code 1 if a check fails")] = False,
    refit: Annotated[
        bool, typer.Option("--refit", help="sample again even if the folder holds a fit of this very model and data")
    ] = False,
    scheduler: Scheduler = None,
    fresh: Fresh = False,
    as_json: Json = False,
) -> None:
    """Do everything: read, validate, fit, check, predict, decide, report, all into one folder.

    Evaluations need no specification: a table, a log or a folder of either is read, what was read and left out is said,
    and the results' folder gets `evals.parquet` and the `spec.toml` that was used, to be changed and run again.

    While chains are sampled, a preliminary answer is shown, and drawn in `preliminary.html`, which goes once the report
    is written.

    A fit of the same model, data, seed and versions that the folder already holds is used again, so that a change of
    the spec's questions or prices is answered without sampling. Draws are kept as they come: after a kill, the same
    command goes on from them.
    """
    with _starting(sources[0] if len(sources) == 1 else f"{len(sources)} sources"):
        for name in ("inference.check", "inference.fit", "queries.decide", "reports"):
            import_module(f"ds3bayes.{name}")
    many = len(sources) > 1
    if many and not all(source.endswith(".toml") for source in sources):
        other = next(source for source in sources if not source.endswith(".toml"))
        raise InputError(f"{other}: of several sources each must be a specification (.toml); run this one alone")
    asked = {"cost": cost, "max_cost": max_cost, "success": target}
    taken: dict[Path, str] = {}
    jobs = []
    for source in sources:
        job = _ready(source, output, asked, options, many=many, refit=refit or fresh)
        if job.folder in taken:
            raise InputError(
                f"{source} and {taken[job.folder]} are both named {job.spec.name!r}, and would share the folder "
                f"{job.folder}: give one another name"
            )
        taken[job.folder] = source
        jobs.append(job)
    for job in jobs:
        job.claim()
    if scheduler is not None and many:
        _fit_ahead([job for job in jobs if job.fitted is None], scheduler, fresh)
    passed = True
    for number, job in enumerate(jobs, start=1):
        if many:
            _say.print(f"[bold]{number} of {len(jobs)}: {_plain(job.spec.name)}[/]")
        # Chains that were sampled ahead are not thrown away.
        results, told = job.run(scheduler=scheduler, fresh=fresh and not (many and scheduler), quiet=as_json)
        passed = passed and all(result.passed for result in results)
        if as_json:
            # Of several, a line each.
            _print_json(told, indent=None if many else 2)
    if strict and not passed:
        raise typer.Exit(1)


@dataclass
class _Job:
    """A source to run: what was read of it, where its results go, and the fit that is there, if one can be used."""

    source: str
    asked: dict[str, Any]
    options: list[str] | None
    spec: Any
    evals: xr.Dataset
    folder: Path
    fitted: xr.DataTree | None

    @property
    def of_spec(self) -> bool:
        """Whether it has a specification; it is made of its evaluations otherwise."""
        return self.source.endswith(".toml")

    @property
    def path(self) -> Path:
        """Of the fit."""
        return self.folder / "run.nc"

    def claim(self) -> None:
        """Take the folder."""
        files.claim_folder(
            self.folder,
            _RESULTS if self.of_spec else _RESULTS | {"evals.parquet": "table", "spec.toml": "spec"},
            [self.source, *([] if self.spec.data is None else [self.spec.data.path])],
        )

    def run(self, *, scheduler: str | None, fresh: bool, quiet: bool) -> tuple[list[Any], dict[str, Any]]:
        """Fit and answer; return the checks, and all for a program to read; show it if not ``quiet``."""
        from ds3bayes.inference.check import check as run_checks
        from ds3bayes.inference.store import save
        from ds3bayes.queries.decide import decide as answer
        from ds3bayes.queries.observed_vs_predicted import observed_vs_predicted
        from ds3bayes.reports import report as write

        folder = self.folder
        if not self.of_spec:
            _keep_evaluations(self.spec, self.evals, folder)
        named = (Path(self.source), self.asked) if self.of_spec else (folder / "spec.toml", {})
        came_from = self.source if self.spec.data is None else self.spec.data.path
        fitted = self.fitted
        if fitted is None:
            first_look = _first_look(self.spec, folder / "preliminary.html")
            fitted = _fit(self.evals, self.spec, self.path, fresh=fresh, scheduler=scheduler, preliminary=first_look)
        else:
            _say.print("the folder holds a fit of this model and these data: using it (--refit samples again)")
        # A fit that is used again is written, too: the folder holds no questions or prices but the new ones.
        fitted = _asked_by(fitted, named[0], folder, named[1], source=came_from, options=self.options)
        with doing("saving the fit"):
            save(fitted, self.path)
        with doing("checking") as told:
            results = run_checks(fitted, scheduler=scheduler, progress=told.share)
        with doing("predicting"):
            pred = _predict(fitted, None, None)
        with doing("deciding"):
            _write_dataset(pred, folder / "predictions.nc")
            compared = observed_vs_predicted(fitted)
            decision = answer(fitted, pred)
        for name, table in (("predictions.csv", _summary(pred)), ("decision.csv", decision.rows.to_dict("records"))):
            files.write(folder / name, "table", _csv(table))  # type: ignore[arg-type]
        files.write(folder / "observed_vs_predicted.csv", "table", files.csv_bytes(compared))
        with doing("drawing and writing the report") as told:
            path = write(fitted, pred, folder / "report.html", checks=results, progress=told.share)
        (folder / "preliminary.html").unlink(missing_ok=True)
        if not quiet:
            _show_checks(results)
            held = compared[compared["rows"] == "held out"]
            if len(held):
                keep = ["model", "strategy", "quantity", "tasks", "observed", "mean", "lower", "upper", "inside"]
                _show("held-out rows: observed, and predicted mean and 90 % interval", held[keep].to_dict("records"))
            _show_decision(decision)
        _say.print(f"report: [bold]{_plain(str(path))}[/]")
        answers = {
            "folder": str(folder),
            "checks": [_of_check(one) for one in results if not one.note],
            "notes": [{"name": one.name, "sentence": one.sentence} for one in results if one.note],
            "decision": decision.as_dict(),
            "observed_vs_predicted": json.loads(compared.to_json(orient="records")),
        }
        return results, answers


def _ready(
    source: str, output: Path | None, asked: dict[str, Any], options: list[str] | None, *, many: bool, refit: bool
) -> _Job:
    """Read a source, and refuse what cannot be run, before anything is written."""
    from ds3bayes.generative.arrange import make_design
    from ds3bayes.queries.answerable import refuse_at_once, refuse_unanswerable
    from ds3bayes.queries.decide import asking

    if source.endswith(".nc"):
        raise InputError(
            f"{source}: is a fit, and `run` takes a specification (.toml) or evaluations; ask a fit with "
            f"`ds3bayes decide {source}`, `predict` or `report`"
        )
    if source.endswith(".toml"):
        if options:
            raise InputError(f"--with {options[0]}: is for evaluations without a spec; a spec's table takes none")
        with doing("reading the spec and its data"):
            spec, evals = _read(Path(source))
    else:
        spec, evals = _of_evaluations(source, _options(options))
        if asked["max_cost"] is None and asked["success"] is None:
            asked = dict(zip(("cost", "max_cost", "success"), _questions(asked["cost"]), strict=True))
    spec = asking(spec, asked, "the command line")
    folder = output
    if folder is None or many:
        folder = (output or Path("runs")) / files.folder_name(spec.name)
    _say.print(f"[bold]{_plain(spec.name)}[/]: {evals.sizes['row']} rows, {int(evals['attempts'].sum())} attempts")
    with doing("looking at what is asked"):
        design = make_design(evals, spec, spec.held_out_rows(evals))
        refuse_at_once(spec, evals, design)
        fitted = None if refit else _same_fit(folder / "run.nc", spec, evals)
        if fitted is None:
            refuse_unanswerable(spec, evals, design)
    return _Job(source, asked, options, spec, evals, folder, fitted)


def _fit_ahead(jobs: list[_Job], scheduler: str, fresh: bool) -> None:
    """Sample the chains of many fits on a cluster, all at once; each fit then goes on from its own."""
    from ds3bayes.inference.fit import sample_ahead

    sample_ahead([(job.evals, job.spec, _unfinished(job.path, fresh)) for job in jobs], scheduler)


#: What `run` writes into its folder, beside the tables of the report.
_RESULTS = {
    "run.nc": "fit",
    "predictions.nc": "dataset",
    "predictions.csv": "table",
    "decision.csv": "table",
    "observed_vs_predicted.csv": "table",
    "preliminary.html": "page",
    "report.html": "page",
    "report.md": "text",
}


def _rival(name: str) -> Any:
    """Return a rival's name, or the function that MODULE:NAME stands for; modules of this folder are found."""
    if ":" not in name:
        return name
    module, _, function = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"--rival {name}: {error}; give MODULE:NAME of a function, its module being installed or in this folder"
        ) from None
    finally:
        sys.path.pop(0)


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


@contextmanager
def _with_said() -> Iterator[None]:
    """Add to an error of reading how what it asks for is said here."""
    try:
        yield
    except InputError as error:
        if "Pass " not in str(error) and "pass " not in str(error):
            raise
        how = "here, what is to be passed is said so: --with task=COLUMN, or for all rows --with constants.model=NAME"
        raise InputError(f"{error}\n  - {how}") from None


def _of_evaluations(source: str, options: dict[str, Any]) -> tuple[Any, xr.Dataset]:
    """Read evaluations of any kind, say how they were understood, and return them with the spec of defaults."""
    from ds3bayes.evals import read_evals
    from ds3bayes.generative.spec import ModelSpec, Query

    with doing("reading evaluations"), _with_said():
        evals = read_evals(source, **options)
    _show_account(evals)
    name = Path(source).resolve().name.split(".")[0] or "evaluations"
    query = Query(tasks="observed" if (evals["task"] != "").any() else "new")
    return ModelSpec(name=name, query=query), evals


def _show_account(evals: xr.Dataset) -> None:
    """Say what a reader counted, left out and understood; a table of counts speaks for itself."""
    from ds3bayes.evals import describe_reading

    for place, line in enumerate(describe_reading(evals)):
        said = _plain(line)
        if line.startswith("left out:"):
            said = f"[yellow]left out[/]:{said.removeprefix('left out:')}"
        _say.print(f"{'  ' * (place > 0)}{said}")


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


def _keep_evaluations(spec: Any, evals: xr.Dataset, folder: Path) -> None:
    """Write what was read, and the spec that was used, beside the results."""
    from ds3bayes.evals import to_table
    from ds3bayes.generative.spec import DataSource

    files.write(folder / "evals.parquet", "table", _table_bytes(to_table(evals), ".parquet"))
    written = spec.model_copy(update={"data": DataSource(path="evals.parquet")})
    files.write(folder / "spec.toml", "spec", files.spec_bytes(written.to_toml()))
    _say.print(f"wrote [bold]{_plain(str(folder / 'spec.toml'))}[/], the specification that is used, and its data")


def _table_bytes(table: Any, suffix: str) -> bytes:
    """Return a table as the bytes of a .csv or .parquet file, without columns that say nothing."""
    told = [name for name in table if table[name].notna().any() and (table[name] != "").any()]
    return files.csv_bytes(table[told]) if suffix.lower() == ".csv" else files.parquet_bytes(table[told])


def _fit(
    evals: xr.Dataset, spec: Any, output: Path, *, fresh: bool, scheduler: str | None = None, **sampling: Any
) -> xr.DataTree:
    """Fit, or go on with a fit that was interrupted before it was saved as ``output``."""
    from ds3bayes.inference.fit import fit as sample

    return sample(evals, spec, resume=_unfinished(output, fresh), scheduler=scheduler, **sampling)


def _first_look(spec: Any, page: Path | None = None) -> Callable[[xr.DataTree], str]:
    """Return what says a first answer from a fit of few draws, and draws it on a page if one is named."""

    def look(fitted: xr.DataTree) -> str:
        from ds3bayes.reports.preliminary import say_preliminary, write_preliminary

        rows = _summary(_predict(fitted, None, None))
        if page is not None:
            write_preliminary(rows, page, name=spec.name)
        return say_preliminary(rows, cost=spec.query.cost, in_a_line=not _say.is_terminal)

    return look


def _unfinished(output: Path, fresh: bool) -> Path:
    """Return the folder that keeps what is done of an output; see to it that an interruption tells of it."""
    from ds3bayes.inference.unfinished import remove_unfinished, unfinished_of

    folder = unfinished_of(output)
    if fresh:
        remove_unfinished(folder)
    _going_on.append(folder)
    return folder


def _unfinished_here(name: str, fresh: bool) -> Path | None:
    """Return such a folder of work without an output, in the working directory; None if nothing can be written there.

    `_finished` removes it.
    """
    return _unfinished(Path(files.folder_name(name)), fresh) if os.access(Path(), os.W_OK) else None


def _finished(kept: Path | None) -> None:
    from ds3bayes.inference.unfinished import remove_unfinished

    if kept is not None:
        remove_unfinished(kept)


def _same_fit(path: Path, spec: Any, evals: xr.Dataset) -> xr.DataTree | None:
    """Return the fit at a path with the spec's questions and prices, or None if a new fit would differ from it."""
    from ds3bayes.evals import data_sha256
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.inference.store import load

    if not path.exists():
        return None
    try:
        found = load(path)
        before = spec_of(found)
    except InputError as error:
        _say.print(f"[yellow]not used[/]: {_lines(error)}")
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


def _asked_by(
    fitted: xr.DataTree,
    spec: Path,
    folder: Path,
    asked: Mapping[str, Any] | None = None,
    *,
    source: str,
    options: list[str] | None = None,
) -> xr.DataTree:
    """Note in a fit which spec, seen from its folder, asks its questions, what the command line asked, and its data."""
    from ds3bayes.inference.sources import note_source

    result = note_source(fitted, Path(source), folder, _options(options))
    given = {name: value for name, value in (asked or {}).items() if value is not None}
    place = os.path.relpath(spec, folder)
    result.attrs = {**result.attrs, "spec_file": place, "asked": json.dumps(given)}
    return result


def _load(path: Path) -> xr.DataTree:
    """Read a fit, to answer the questions that its spec asks today, at today's prices; say if its data are older."""
    from ds3bayes.evals import read_evals
    from ds3bayes.generative.spec import ModelSpec
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.inference.sources import changed_since
    from ds3bayes.inference.store import answering, load
    from ds3bayes.queries.decide import asking

    loaded = load(path)

    def read(source: Path, options: Mapping[str, Any]) -> xr.Dataset:
        data = spec_of(loaded).data
        if options or data is None:
            return read_evals(source, **options)
        return data.model_copy(update={"path": str(source)}).read()

    changed = changed_since(loaded, path.parent, read)
    if changed:
        _say.print(f"[yellow]older data[/]: {_plain(changed)}; `ds3bayes run` fits them anew")
    if "spec_file" not in loaded.attrs:
        return loaded
    file = path.parent / loaded.attrs["spec_file"]
    if not file.exists():
        _say.print(_plain(f"{file} is gone: using the questions and prices that {path} was made with"))
        return loaded
    spec = asking(ModelSpec.from_toml(file), json.loads(loaded.attrs["asked"]), str(file))
    try:
        return answering(loaded, spec, str(path))
    except InputError as error:
        raise InputError(
            f"{error}\n  - Only questions and prices can be changed without sampling again: undo the change in {file}, "
            "or fit anew with `ds3bayes run` or `ds3bayes fit` (do so, too, if nothing was changed there: the defaults "
            "of this version of ds3bayes are others)"
        ) from None


def _among(models: list[str] | None, fitted: xr.DataTree) -> list[str]:
    """Return the LLMs that were asked for, each once, after making sure that they were evaluated."""
    known = list(dict.fromkeys(map(str, fitted["constant_data"].to_dataset()["model"].values)))
    for name in models or []:
        if name not in known:
            raise InputError(
                f"--model {name!r}: not evaluated; allowed: {', '.join(known)}.{did_you_mean(name, known)}"
            )
    return list(dict.fromkeys(models or []))


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
    scheduler: str | None = None,
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
    return predict_grid(fitted, named, budgets, tasks=which, scheduler=scheduler, progress=True)


def _predict_by(fitted: xr.DataTree, strategies: list[str] | None, by: str) -> xr.Dataset:
    """Predict what was asked for, or else what the spec asks, by group of tasks."""
    from ds3bayes.inference.artifact import spec_of
    from ds3bayes.queries.by_group import predict_by

    return predict_by(fitted, strategies or list(spec_of(fitted).query.strategies) or None, by=by)


def _summary(pred: xr.Dataset) -> list[dict[str, Any]]:
    """Give a row per LLM, benchmark, strategy and group, if any: mean and 90 % interval of every quantity."""
    import numpy as np

    from ds3bayes.queries.words import mean_interval

    rows = []
    # What draws have no part in, such as the share observed, is a number of its own.
    known = pred[[name for name in pred.data_vars if "draw" not in pred[name].dims]]
    pred = pred.drop_vars(list(known.data_vars))
    # Options that there are not are blank in every draw.
    dims = [name for name in ("model", "benchmark", "strategy", "group") if name in pred.dims]
    summaries = {}
    for name in pred.data_vars:
        drawn = pred[name].stack(sample=("chain", "draw")).transpose("sample", *dims).values
        summaries[str(name)] = mean_interval(drawn)
    for place in np.argwhere(np.isfinite(summaries["success"][0])):
        row: dict[str, Any] = {dim: str(pred[dim].values[i]) for dim, i in zip(dims, place, strict=True)}
        for name, found in summaries.items():
            mean, low, high = (float(one[tuple(place)]) for one in found)
            row |= {name: mean, f"{name}_lower": low, f"{name}_upper": high}
        for name, values in known.data_vars.items():
            at = {dim: pred[dim].values[i] for dim, i in zip(dims, place, strict=True) if dim in values.dims}
            value = values.sel(at).item()
            row[str(name)] = None if value != value else value
        if "extrapolated" in pred.coords:
            beyond = pred["extrapolated"]
            row["extrapolated"] = bool(beyond.sel({str(dim): row[str(dim)] for dim in beyond.dims}))
        rows.append(row)
    return rows


def _write_dataset(dataset: xr.Dataset, path: Path) -> None:
    from ds3bayes.inference.store import save_dataset

    save_dataset(dataset, path)


def _refuse_picture(path: Path | None, *inputs: str | Path | None) -> None:
    """Refuse a picture that could not be written, before any work is done for it."""
    if path is not None:
        files.claim(path, "picture", [one for one in inputs if one is not None])


def _write_picture(figure: Any, path: Path, title: str) -> None:
    from ds3bayes.reports.picture import write_picture

    write_picture(figure, path, title)
    _say.print(f"wrote [bold]{_plain(str(path))}[/]")


def _csv(rows: list[dict[str, Any]]) -> bytes:
    import pandas as pd

    return files.csv_bytes(pd.DataFrame(rows))


def _print_json(content: Any, indent: int | None = 2) -> None:
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

    sys.stdout.write(json.dumps(plain(content), indent=indent, allow_nan=False) + "\n")


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
            _plain(name),
            justify="right" if number else "left",
            no_wrap=number,
            overflow="fold",
            min_width=None if number else 24,
        )
    for row in rows[:most]:
        table.add_row(*[_cell(row[name]) for name in names])
    # A table folds what is wider than its column.
    _out.print(table, soft_wrap=False)
    if len(rows) > most:
        _out.print(f"... and {len(rows) - most} more (--json or the CSV has all)")


def _cell(value: Any) -> str:
    import numpy as np

    if isinstance(value, bool | np.bool_):
        return "yes" if value else "NO"
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}"
    return _plain(str(value))


def _of_check(result: Any) -> dict[str, Any]:
    """Return a check for a program to read; a note, which cannot fail, has not passed either."""
    return {
        "name": result.name,
        "passed": None if result.note else result.passed,
        "sentence": result.sentence,
    }


def _show_checks(results: list[Any]) -> None:
    """Show checks, how many passed, and below them notes."""
    checks = [one for one in results if not one.note]
    for result in checks:
        mark = "[green]pass[/]" if result.passed else "[bold red]FAIL[/]"
        _out.print(f"{mark}  {_plain(f'{result.name}: {result.sentence}')}")
    _out.print(f"{sum(one.passed for one in checks)} of {len(checks)} checks passed")
    if len(checks) < len(results):
        _out.print("[bold]Notes[/]")
    for result in results:
        if result.note:
            _out.print(f"note  {_plain(f'{result.name}: {result.sentence}')}")


def _show_decision(decision: Any) -> None:
    """Say a decision, with the options of the whole and of each benchmark."""
    for one in (decision, *decision.parts):
        if one is not decision:
            _out.print(f"[bold]{_plain(one.benchmark)}[/]")
        for place, sentence in enumerate(one.sentences):
            _out.print(f"[bold]{_plain(sentence)}[/]" if place == 0 else _plain(sentence))
        if len(one.options):
            _show(f"options on {_plain(one.benchmark)}", _told(one.options))


def _told(options: Any) -> list[dict[str, Any]]:
    """Keep what a terminal has room for of the options of a decision."""
    import numpy as np

    rows = []
    for row in options.to_dict("records"):
        marks = [name for name in ("chosen", "tied", "bound", "away", "edge") if row[name]]
        kept = {name: row[name] for name in ("option", "success", "observed", "cost", "p_best", "regret", "p_reach")}
        rows.append(kept | {"marks": ", ".join(marks)})
    blank = [name for name in rows[0] if all(isinstance(row[name], float) and np.isnan(row[name]) for row in rows)]
    return [{name: value for name, value in row.items() if name not in blank} for row in rows]


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    _say.print(f"[yellow]warning[/] ({category.__name__}): {_plain(str(message))}")
