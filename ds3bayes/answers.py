"""What every command prints with ``--json``, as JSON Schema: the keys, their meaning, units and ranges.

A key keeps its name and meaning within a `VERSION`; new ones may come, so that a reader should skip those that it does
not know. Numbers that are not known, or not finite, are null.
"""

from __future__ import annotations

from typing import Any

from ds3bayes.errors import InputError, did_you_mean

Schema = dict[str, Any]

#: Raised where a key changes its meaning or goes.
VERSION = 1
_ENDS = ("", "_lower", "_upper")
_LEVELS = (0.5, 0.8, 0.9, 0.95)


def _text(meaning: str, *allowed: str) -> Schema:
    return {"type": "string", "description": meaning} | ({"enum": list(allowed)} if allowed else {})


def _number(meaning: str, low: float | None = None, high: float | None = None) -> Schema:
    ends = {"minimum": low, "maximum": high}
    return {"type": ["number", "null"], "description": meaning} | {k: v for k, v in ends.items() if v is not None}


def _chance(meaning: str) -> Schema:
    return _number(meaning, 0, 1)


def _count(meaning: str) -> Schema:
    return {"type": "integer", "minimum": 0, "description": meaning}


def _truth(meaning: str) -> Schema:
    return {"type": "boolean", "description": meaning}


def _maybe(schema: Schema) -> Schema:
    """Allow null, too."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return schema | {"type": [*kinds, "null"]}


def _texts(meaning: str) -> Schema:
    return {"type": "array", "items": {"type": "string"}, "description": meaning}


def _rows(meaning: str, **columns: Schema) -> Schema:
    return {"type": "array", "items": _object(**columns), "description": meaning}


def _object(optional: tuple[str, ...] = (), /, **keys: Any) -> Schema:
    return {
        "type": "object",
        "properties": keys,
        "required": [key for key in keys if key not in optional],
        "additionalProperties": False,
    }


def _interval(name: str, meaning: str, low: float | None = None, high: float | None = None) -> dict[str, Schema]:
    return {
        name: _number(meaning, low, high),
        f"{name}_lower": _number(f"lower end of the 90 % interval of {name}", low, high),
        f"{name}_upper": _number(f"upper end of the 90 % interval of {name}", low, high),
    }


_SUCCESS = _interval("success", "expected share of tasks solved", 0, 1)
_COSTS = {
    "tokens": "generated tokens per task",
    "usd": "USD per task",
    "flops": "FLOP per task",
    "joules": "joules per task",
    "seconds": "seconds per task, attempts of one task side by side",
}
_CHECK = {
    "name": _text("which check"),
    "passed": _maybe(_truth("null for a note, which cannot fail")),
    "sentence": _text("what was found"),
}
_OPTION = {
    "number": _count("place in the table, from 1"),
    "option": _text("LLM and strategy"),
    "model": _text("LLM"),
    "strategy": _text("strategy"),
    **_SUCCESS,
    **_interval("cost", "expected cost per task, in the unit asked for", 0),
    "p_best": _chance("probability of beating all other options within the cap"),
    "p_affordable": _chance("probability of costing no more than the cap"),
    "regret": _number("success that is lost in expectation by choosing it"),
    "tied": _truth("practically tied with the best"),
    "chosen": _truth("recommended"),
    "bound": _truth("an upper bound: it assumes a perfect check that there is not"),
    "extrapolated": _truth("beyond the efforts, budgets and cuts that were observed"),
    "p_reach": _chance("probability of reaching the target success"),
    "cost_to_reach": _number("median cost of reaching the target; null where most draws do not", 0),
    "p_frontier": _chance("probability that no other option is better and cheaper"),
    "on_frontier": _truth("whether the means say so"),
    "suffices": _truth("reaches the target as surely as asked"),
    "enough": _truth("the cheapest that does"),
    "nearly": _truth("nearly does, for half of the price or less"),
    "observed": _chance("success on the tasks that it was run on; null if it was not"),
    "observed_tasks": _number("how many tasks that is", 0),
    "observed_lower": _chance("lower end of where 90 % of predictions of the same put it"),
    "observed_upper": _chance("upper end"),
    "away": _truth("observed outside of that"),
    "edge": _truth("observed inside, at the very edge"),
}
_PART = {
    "benchmark": _text("what it is about"),
    "weights": {
        "type": "object",
        "additionalProperties": {"type": "number"},
        "description": "share of each benchmark",
    },
    "chosen": _maybe(_text("option to deploy; null if there is none")),
    "choice": _text("what to deploy, in a sentence"),
    "enough": _text("the cheapest that reaches the target, in a sentence"),
    "reach": _text("what reaching the target costs, in a sentence"),
    "changes": _texts("what would change the choice: cap, price, margin, target, more attempts"),
    "borne_out": _texts("what was observed of the chosen option, and what of it was not run or is extrapolated"),
    "notes": _texts("what else must be known"),
    "options": _rows("options, least regret first and upper bounds last", **_OPTION),
}
_DECISION = _PART | {
    "parts": {
        "type": "array",
        "items": _object(**_PART, parts={"type": "array", "maxItems": 0}),
        "description": "the decision on each benchmark, where there are several",
    }
}
_ACCOUNT = _maybe(
    {
        "type": "object",
        "description": "what a reader of logs counted, left out and understood; null for a table of counts",
        "properties": {
            "reader": _text("which reader"),
            "counted": _count("attempts"),
            "left_out": {
                "type": "array",
                "items": {"type": "object"},
                "description": "why, count and examples of each",
            },
            "columns": {"type": "object", "description": "where each column came from"},
            "notes": _texts("how it was understood"),
        },
        "required": ["reader", "counted", "left_out", "columns", "notes"],
    }
)
_TASKS = _text("of which tasks", "observed", "new")

#: What each command prints with ``--json``.
ANSWERS: dict[str, Schema] = {
    "validate": _object(
        ("prior",),
        spec=_text("name of the specification"),
        rows=_count("rows of the table"),
        held_out_rows=_count("rows that the fit will not see"),
        attempts=_count("attempts in all rows"),
        tasks=_count("tasks with rows of their own"),
        samplers=_texts("LLM, benchmark and strategy of each kind of attempt"),
        strategies=_texts("strategies that the specification asks about"),
        prior=_rows(
            "with --prior, what the priors believe",
            sampler=_text("LLM, benchmark and strategy"),
            quantity=_text("of what"),
            median=_number("median of the prior"),
            lower=_number("lower end of its 90 % interval"),
            upper=_number("upper end"),
            observed=_number("what the table has"),
        ),
    ),
    "example": {
        "anyOf": [
            _rows("without a name: what there is", name=_text("name"), description=_text("what it is")),
            _object(spec=_text("path of the copied specification"), table=_text("path of its table")),
        ]
    },
    "doctor": {
        "anyOf": [
            {
                "type": "object",
                "required": ["engine", "sampler"],
                "additionalProperties": {"type": "string"},
                "description": "what was found, by what was looked at; engine and sampler begin with ok if all is well",
            },
            _rows(
                "with --licenses: a row per package that is installed and depended on",
                name=_text("package"),
                version=_text("version"),
                license=_text("as the package states it"),
            ),
        ]
    },
    "import": _object(table=_text("path"), rows=_count("rows written"), account=_ACCOUNT),
    "fit": _object(fit=_text("path of the fit")),
    "check": _rows("checks and notes", **_CHECK, note=_truth("whether it is a note")),
    "predict": {
        "type": "array",
        "description": "a row per LLM, benchmark, strategy and group of tasks; costs that are not known are absent",
        "items": _object(
            ("group", "observed", "extrapolated", *[f"{n}{end}" for n in (*_COSTS, "truncated") for end in _ENDS]),
            model=_text("LLM"),
            benchmark=_text("benchmark"),
            strategy=_text("strategy"),
            group=_text("with --by, the group of tasks"),
            **_SUCCESS,
            **{key: one for name, unit in _COSTS.items() for key, one in _interval(name, unit, 0).items()},
            **_interval("truncated", "share of attempts that a cut ends", 0, 1),
            observed=_chance("with --by, the share observed"),
            extrapolated=_truth("beyond the efforts, budgets and cuts that were observed"),
        ),
    },
    "decide": _object(
        ("to_reach",),
        **_DECISION,
        to_reach={
            "type": "object",
            "additionalProperties": {"type": "string"},
            "description": "with --reach, a sentence for each family of strategies",
        },
    ),
    "compare": _object(
        a=_text("first option"),
        b=_text("second option"),
        benchmark=_text("benchmark"),
        tasks=_TASKS,
        margin=_number("difference in success that does not matter", 0),
        level=_number("probability of the interval", 0, 1),
        verdict=_text("which is better, or not settled"),
        sentence=_text("the same in words"),
        mean=_number("expected difference in success, a minus b", -1, 1),
        lower=_number("lower end of its interval", -1, 1),
        upper=_number("upper end", -1, 1),
        p_better=_chance("probability that a is better"),
        pairing=_number("how many times smaller the sd of the difference is for the tasks being the same", 0),
    ),
    "plan": {
        "type": "object",
        "description": "an evaluation to run; width, difference, power and max_cost where they were asked for",
        "properties": {
            "options": _text("what is evaluated"),
            "benchmark": _text("benchmark"),
            "tasks": _TASKS,
            "cost": _text("unit of costs"),
            "price": _number("expected cost of an attempt (of both options)", 0),
            "sentence": _text("how many tasks, attempts and dollars"),
            "chosen_tasks": _number("tasks of the plan; null if none suffices", 0),
            "chosen_attempts": _number("attempts per task of the plan", 0),
            "chosen_cost": _number("its cost", 0),
            "designs": {
                "type": "array",
                "description": "cost, and width, detectable and power with their intervals, by tasks and attempts",
                "items": {"type": "object", "required": ["tasks", "attempts", "cost"]},
            },
        },
        "required": ["sentence", "chosen_tasks", "chosen_attempts", "chosen_cost", "designs"],
    },
    "gate": _object(
        verdict=_text("of all benchmarks", "no worse", "worse", "undecided"),
        p_no_worse=_chance("probability that success fell by no more than the margin"),
        margin=_number("fall of success that does not matter", 0),
        confidence=_number("probability that a verdict needs", 0, 1),
        tasks=_TASKS,
        further_attempts=_number("attempts that would decide; null where none would", 0),
        sentence=_text("the verdict in words"),
        benchmarks=_rows(
            "of each benchmark",
            benchmark=_text("benchmark"),
            tasks=_count("tasks"),
            attempts_baseline=_count("attempts of the baseline"),
            attempts_candidate=_count("attempts of the candidate"),
            baseline=_chance("expected success of the baseline"),
            candidate=_chance("expected success of the candidate"),
            difference=_number("candidate minus baseline", -1, 1),
            lower=_number("lower end of its interval", -1, 1),
            upper=_number("upper end", -1, 1),
            p_no_worse=_chance("probability that it is no worse"),
        ),
    ),
    "rank": _object(
        sentence=_text("who is first, and who may be"),
        ranks=_rows(
            "least expected rank first",
            option=_text("LLM, or LLM and strategy"),
            strategy=_text("strategy"),
            **_SUCCESS,
            expected_rank=_number("expected rank, 1 being the best", 1),
            rank_lower=_count("best rank of the 90 % interval"),
            rank_upper=_count("worst rank of it"),
            p_first=_chance("probability to be first"),
            p_tied=_chance("probability to be practically tied with the first"),
        ),
        p_rank={
            "type": "array",
            "items": {"type": "array", "items": {"type": "number"}},
            "description": "probability of every rank, a row for each of `ranks`",
        },
    ),
    "suspects": _object(
        absent=_text("why it is not asked of some tasks, or none"),
        level=_number("success above which an LLM is sure to solve a task", 0, 1),
        tasks=_rows(
            "most probable first",
            benchmark=_text("benchmark"),
            task=_text("task"),
            broken=_chance("probability that no LLM can solve it"),
            spent=_chance("probability that every LLM is sure to solve it"),
            attempts=_count("attempts of all LLMs"),
            successes=_count("successes of all LLMs"),
            llms=_count("LLMs that tried it"),
            solved_by=_count("LLMs that solved it at least once"),
        ),
    ),
    "next": {
        "type": "object",
        "properties": {
            "sentence": _text("what to run next"),
            "choice": _text("the evaluation, empty if none is worth its cost"),
            "regret": _number("success that choosing now is expected to lose", 0),
            "evaluations": _rows(
                "most fall of regret per cost first",
                candidate=_text("what is run"),
                attempts=_count("attempts per task"),
                eval_cost=_number("cost of the evaluation", 0),
                regret_reduction=_number("expected fall of regret"),
                regret_reduction_upper=_number("the most that it may be"),
                regret_after=_number("regret that is left"),
                reduction_per_cost=_number("fall per cost"),
            ),
        },
        "required": ["sentence", "choice", "regret", "evaluations"],
    },
    "watch": _object(
        logs=_count("logs read"),
        attempts=_count("attempts in them"),
        changed=_truth("whether the answer is another"),
        line=_text("the answer"),
        next=_text("what to run next"),
        done=_truth("whether nothing more is worth running"),
        report=_text("path of the report"),
    ),
    "allocate": {
        "type": "object",
        "properties": {
            "sentence": _text("how to split compute"),
            "choice": _text("the strategy"),
            "strategies": _rows(
                "the plan of each, least regret first",
                strategy=_text("strategy"),
                **_interval("params", "parameters of the LLM", 0),
                training_tokens=_number("training tokens", 0),
                training_share=_chance("share of compute for training"),
                **_SUCCESS,
                regret=_number("success expected to be lost by the plan"),
                p_best=_chance("probability of being the best"),
            ),
        },
        "required": ["sentence", "choice", "strategies"],
    },
    "calibrate": _object(
        left_out=_text("LLMs left out, and why"),
        scores=_rows(
            "by forecaster, samples per task and k; means over LLMs and subsamples",
            **{
                "samples": _count("attempts per task that it is forecast from"),
                "at": _count("k of the pass@k that is forecast"),
                "forecaster": _text("who forecasts"),
                "forecasts": _count("how many forecasts"),
                "mae": _number("mean absolute error", 0),
                "crps": _number("mean CRPS, smaller being better", 0),
                "log_score": _number("mean log density of what was observed"),
                **{f"cover {level}": _chance(f"coverage of intervals of {level}") for level in _LEVELS},
                "crps above ours": _number("difference of mean CRPS"),
                "se": _number("its standard error", 0),
            },
        ),
        sampling=_rows(
            "how the fits were sampled",
            fit=_text("of one LLM, or of all in one", "alone", "joint"),
            samples=_count("attempts per task"),
            fits=_count("how many fits"),
            divergences=_number("divergences in all", 0),
            r_hat=_number("largest r-hat"),
            ess=_number("smallest effective sample size", 0),
            seconds=_number("of all", 0),
        ),
    ),
    "sbc": _object(
        passed=_truth("whether truths are ranked evenly"),
        sentence=_text("what was found"),
        divergences=_count("in all fits"),
        correlated=_number("largest mean autocorrelation of what was ranked"),
        compilations=_count("how often a model was built"),
        compile_seconds=_number("the longest", 0),
        fit_seconds=_number("of all fits", 0),
        parameters=_rows(
            "ranks by parameter",
            parameter=_text("parameter"),
            of=_text("which of them"),
            p=_chance("p-value of even ranks"),
            mean=_number("mean rank, 1/2 if even"),
            spread=_number("spread of ranks beside that of even ones"),
        ),
    ),
    "run": _object(
        folder=_text("where all results are"),
        checks=_rows("checks of the fit", **_CHECK),
        notes=_rows("what was learned, and rests on priors", name=_text("which"), sentence=_text("what was found")),
        decision=_object(**_DECISION),
        observed_vs_predicted={
            "type": "array",
            "description": "each quantity observed, and predicted with a 90 % interval; held-out rows by themselves",
            "items": {
                "type": "object",
                "properties": {
                    "rows": _text("which rows", "fitted", "held out"),
                    "observed": _number("observed"),
                    "mean": _number("predicted"),
                    "lower": _number("lower end of its 90 % interval"),
                    "upper": _number("upper end"),
                    "inside": _maybe(_truth("whether the observed lies in it")),
                },
                "required": ["rows", "observed", "mean", "lower", "upper", "inside"],
            },
        },
    ),
}


def schema(command: str) -> Schema:
    """Return the JSON Schema of what a command prints with ``--json``.

    Parameters
    ----------
    command : str
        Such as ``"decide"``.

    Raises
    ------
    InputError
        If there is no such command, or it prints no JSON.
    """
    if command not in ANSWERS:
        near = did_you_mean(command, ANSWERS)
        raise InputError(f"command {command!r} has no --json; allowed: {', '.join(ANSWERS)}.{near}")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"ds3bayes {command} --json",
        "version": VERSION,
    }
    return head | ANSWERS[command]


__all__ = ["ANSWERS", "VERSION", "schema"]
