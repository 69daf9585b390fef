"""What a report rests on: every frame of numbers that it shows, gathered once for the page, its text and its tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.generative.capability.skill_graph import SkillMastery
from ds3bayes.generative.spec import ModelSpec
from ds3bayes.inference.checks import CheckResult
from ds3bayes.inference.prior import beliefs_of_fit
from ds3bayes.queries.decide import Decision, decide
from ds3bayes.queries.learned_graph import learned_graph
from ds3bayes.queries.suspect_tasks import suspect_tasks
from ds3bayes.reports import curve_tables, tables
from ds3bayes.reports.curve_tables import Curves, Levels, Scaling
from ds3bayes.reports.suspect_tasks import suspect_tasks_table
from ds3bayes.reports.tables import Sweep
from ds3bayes.reports.task_map import task_map

# Parts that data may not give.
_CAN_LACK = frozenset({"sweeps", "by_attempts", "by_budget", "scaling", "suspects", "tasks"})
# Which parts take long, and how long beside each other, as on the shipped specifications.
_TAKES = {"decision": 0.2, "compared": 0.2, "beliefs": 0.7, "sweeps": 0.5, "by_attempts": 0.2, "by_budget": 0.8}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The numbers of a report.

    Parameters
    ----------
    fit, pred, spec, checks
        What the report is about.
    decision : Decision
    compared : pandas.DataFrame
        Observed values beside their predictions.
    data : pandas.DataFrame
        What was observed, by sampler.
    learned : pandas.DataFrame, optional
        Prior against posterior, if that check was run.
    beliefs : pandas.DataFrame
        What the priors believed about what can be observed.
    sweeps : list of Sweep
    by_attempts, by_budget : Curves, optional
    levels : Levels, optional
    scaling : Scaling, optional
    graph : xarray.Dataset, optional
        A learned skill graph.
    suspects : pandas.DataFrame, optional
        Tasks, the most suspect first; absent where none is named.
    tasks : pandas.DataFrame, optional
        What every sampler did and is predicted to do at every task; absent where none is named.
    faults : dict of str to str
        Why a part is absent, by its name.
    """

    fit: xr.DataTree
    pred: xr.Dataset
    spec: ModelSpec
    checks: list[CheckResult]
    decision: Decision
    compared: pd.DataFrame
    data: pd.DataFrame
    learned: pd.DataFrame | None
    beliefs: pd.DataFrame
    sweeps: list[Sweep]
    by_attempts: Curves | None
    by_budget: Curves | None
    levels: Levels | None
    scaling: Scaling | None
    graph: xr.Dataset | None
    suspects: pd.DataFrame | None
    tasks: pd.DataFrame | None
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def which(self) -> str:
        """Which tasks the predictions are about."""
        return str(self.pred.attrs.get("tasks", "observed"))


def gather(
    fit: xr.DataTree,
    pred: xr.Dataset,
    spec: ModelSpec,
    checks: list[CheckResult],
    progress: Callable[[float], object] = lambda _: None,
) -> Evidence:
    """Compute everything that a report shows.

    Parameters
    ----------
    fit : xarray.DataTree
    pred : xarray.Dataset
        Means over tasks.
    spec : ModelSpec
    checks : list of CheckResult
    progress : callable, optional
        Called with the share of the work that is done, in [0, 1].

    Returns
    -------
    Evidence
    """
    which = str(pred.attrs.get("tasks", "observed"))
    # Predictions for a list of tasks are beside curves over all observed ones.
    tasks = "new" if which == "new" else "observed"
    most = curve_tables.most_attempts(spec.query.parsed())
    parts: dict[str, Callable[[], Any]] = {
        "decision": lambda: decide(fit, pred),
        "compared": lambda: tables.comparison(fit),
        "data": lambda: tables.samplers(fit),
        "learned": lambda: next((result.table for result in checks if "sd ratio" in result.table), None),
        "beliefs": lambda: beliefs_of_fit(fit),
        "sweeps": lambda: tables.sweeps(fit),
        "by_attempts": lambda: curve_tables.by_attempts(fit, tasks, most),
        "by_budget": lambda: curve_tables.by_budget(fit, tasks),
        "levels": lambda: curve_tables.levels(fit),
        "scaling": lambda: curve_tables.scaling(fit, tasks),
        "graph": lambda: learned_graph(fit) if isinstance(spec.capability, SkillMastery) else None,
        "suspects": lambda: suspect_tasks_table(suspect_tasks(fit)),
        "tasks": lambda: task_map(fit),
    }
    found: dict[str, Any] = {}
    faults: dict[str, str] = {}
    for name, make in parts.items():
        try:
            found[name] = make()
        except InputError as error:
            if name not in _CAN_LACK:
                raise
            # A part that these data cannot give is left out with its reason; the rest of the report stands.
            faults[name], found[name] = str(error), [] if name == "sweeps" else None
        progress(sum(_TAKES.get(one, 0.0) for one in found) / sum(_TAKES.values()))
    return Evidence(fit=fit, pred=pred, spec=spec, checks=checks, faults=faults, **found)


def frames(found: Evidence) -> dict[str, pd.DataFrame]:
    """Return every table of a report with its numbers unrounded, by the name of its file.

    Parameters
    ----------
    found : Evidence

    Returns
    -------
    dict of str to pandas.DataFrame
    """
    result = {
        "decision": found.decision.rows,
        "observed_and_predicted": found.compared,
        "held_out": tables.held_out_score(found.compared),
        "data": found.data,
        "parameters": found.learned,
        "prior_beliefs": found.beliefs,
        "success_by_attempts": None if found.by_attempts is None else found.by_attempts.lines,
        "success_by_attempts_observed": None if found.by_attempts is None else found.by_attempts.points,
        "success_by_budget": None if found.by_budget is None else found.by_budget.lines,
        "success_by_budget_observed": None if found.by_budget is None else found.by_budget.points,
        "levels": None if found.levels is None else found.levels.llms,
        "task_levels": None if found.levels is None else found.levels.tasks,
        "success_by_compute": None if found.scaling is None else found.scaling.lines,
        "success_by_compute_observed": None if found.scaling is None else found.scaling.points,
        "mastery": None if found.graph is None else curve_tables.masteries(found.graph),
        "prerequisites": None if found.graph is None else curve_tables.prerequisites(found.graph),
        "suspect_tasks": found.suspects,
        "tasks": found.tasks,
        "checks": pd.DataFrame(
            [(one.name, one.passed, one.sentence) for one in found.checks if not one.note],
            columns=["check", "passed", "sentence"],
        ),
        "notes": pd.DataFrame(
            [(one.name, one.sentence) for one in found.checks if one.note], columns=["note", "sentence"]
        ),
        "step_evaluators": pd.concat([one.table.assign(tree=one.name) for one in found.sweeps], ignore_index=True)
        if found.sweeps
        else None,
    }
    for one in found.checks:
        # What was learned is the table of parameters above.
        if one.table is not found.learned:
            named = not isinstance(one.table.index, pd.RangeIndex)
            name = re.sub(r"[^a-z0-9]+", "_", one.name.lower()).strip("_")
            result[f"check_{name}"] = one.table.reset_index(names="parameter") if named else one.table
    return {name: frame for name, frame in result.items() if frame is not None and len(frame)}


def unlearned(learned: pd.DataFrame) -> list[str]:
    """Name the parameters that the data hardly informed, each with how many of its members.

    Parameters
    ----------
    learned : pandas.DataFrame
        Table of the check `informed`.
    """
    weak = learned["sd ratio"] > tables.HARDLY_LEARNED
    result = []
    for name, group in learned.assign(weak=weak).groupby("parameter", sort=False):
        count = int(np.count_nonzero(group["weak"]))
        if count:
            result.append(str(name) if len(group) == 1 else f"{name} ({count} of {len(group)})")
    return result
