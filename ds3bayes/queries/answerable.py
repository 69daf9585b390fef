"""Whether a spec's questions can be answered at all: asked of its priors, before the time of a fit is spent."""

from __future__ import annotations

import xarray as xr

from ds3bayes.errors import InputError
from ds3bayes.generative.design import Design
from ds3bayes.generative.prices import learned_prices
from ds3bayes.generative.spec import ModelSpec


def refuse_unanswerable(spec: ModelSpec, evals: xr.Dataset, design: Design) -> None:
    """Refuse a spec with a strategy that needs what the table does not tell.

    The very predictions that follow a fit are asked of two draws of the prior, whose parameters are those of the
    posterior: what is missing there is missing after sampling, too.

    Parameters
    ----------
    spec : ModelSpec
    evals : xarray.Dataset
    design : Design
        Of them.

    Raises
    ------
    InputError
    """
    # What builds models takes a second to import, which a spec that is refused at once does not need.
    from ds3bayes.queries.predict import predict

    predict(tree_of_prior(spec, evals, design), spec.query.parsed() or None, tasks=spec.query.tasks, new_tasks=2)


def may_fail(spec: ModelSpec) -> bool:
    """Return whether a spec asks for a strategy that not every table tells enough of.

    What depends on the success of attempts alone is told by their own rows.
    """
    return any(one.depends_on for one in spec.query.parsed())


def refuse_at_once(spec: ModelSpec, evals: xr.Dataset, design: Design) -> None:
    """Refuse what table and spec alone show to be unanswerable: tasks or benchmarks that are not there, unknown costs.

    Parameters
    ----------
    spec : ModelSpec
    evals : xarray.Dataset
    design : Design
        Of them.

    Raises
    ------
    InputError
        Everything that is missing for a cost is named at once.
    """
    if spec.query.tasks == "observed" and not (evals["task"] != "").any():
        raise InputError(
            "query.tasks = 'observed', but all rows are aggregates without a task; set it to 'new': fresh tasks of the "
            "same population"
        )
    spec.query.refuse_unknown_benchmarks([str(name) for name in dict.fromkeys(evals["benchmark"].values.tolist())])
    cost, cap = spec.query.cost, spec.query.max_cost
    if cap is None:
        return
    faults: dict[str, None] = {}
    untimed = [label for label, timed in zip(design.labels, design.has_tokens, strict=True) if not timed]
    if untimed:
        faults[f"the table has no completion_tokens or tokens_mean for {', '.join(untimed[:5])}"] = None
    needs = {
        "usd": ("input_usd", "output_usd"),
        "flops": ("params",),
        "joules": ("params", "flop_per_joule"),
        "seconds": ("tokens_per_second",),
    }
    learned = learned_prices(spec, evals)
    spec = learned.priced(spec)
    for index, arm in enumerate(design.arms):
        price = spec.cost(arm.model)
        lacking = [name for name in needs.get(cost, ()) if getattr(price, name) is None]
        if lacking:
            reason = learned.reasons.get(arm.model) if cost == "usd" else None
            why = f", and cost_usd does not tell: {reason}" if reason else ""
            faults[f"the spec has no {' and '.join(lacking)} for {arm.model} ([costs.{arm.model!r}]){why}"] = None
        if cost == "usd" and price.input_usd != 0 and not design.has_prompts[index]:
            faults[f"the table has no prompt_tokens for {arm.model} (or set input_usd = 0)"] = None
    if faults:
        raise InputError.of_faults(
            f"query.max_cost = {cap:g}, but {cost} is not known of every option",
            [*faults, "give what is missing, compare by another cost, or leave max_cost out"],
        )


def tree_of_prior(spec: ModelSpec, evals: xr.Dataset, design: Design, draws: int = 2) -> xr.DataTree:
    """Return a tree with draws of the prior in place of a posterior, which can be asked for predictions."""
    from ds3bayes.evals import data_sha256
    from ds3bayes.generative.task_effects import task_effects
    from ds3bayes.inference.artifact import prior_draws

    prior = prior_draws(design, spec, seed=0, draws=draws)
    effects = task_effects(design, spec, prior, seed=0)
    tree = xr.DataTree.from_dict(
        {
            "posterior": prior,
            "task_effects": effects.drop_vars(["log_likelihood", "task"]),
            "observed_data": evals[["successes"]],
            "constant_data": evals.drop_vars("successes").assign(held_out=("row", spec.held_out_rows(evals))),
        }
    )
    tree.attrs = {"spec": spec.model_dump_json(), "data_sha256": data_sha256(evals)}
    return tree
