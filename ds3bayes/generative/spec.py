"""`ModelSpec`: everything that turns a table of evaluations into a model, readable as TOML.

A specification says where the data are, which rows to hold out, prices, and the questions; ``models/`` has examples.
Every prior has a name and can be overridden, as in ``[priors]`` with ``reachability = { family = "Beta", alpha = 8.0,
beta = 2.0 }``. ``ds3bayes.generative.capability.known_parameters()`` lists them with their meaning; ``ds3bayes
validate SPEC --prior`` (or ``ds3.prior_beliefs``) draws what they believe about success and tokens before any fit.
Prices of an LLM are ``[costs.NAME]`` with ``input_usd``, ``cached_input_usd`` and ``output_usd`` per million tokens;
``flop_per_joule`` adds energy. Prices that the specification leaves open follow from ``cost_usd``, ``prompt_tokens``
and ``completion_tokens`` where these determine them: two prices must explain the cost of every row. A quantity that
cannot be known is left out with a reason, and a cap on such a cost is refused.

Questions (``[query]``) and prices are apart from the fit. Change them, and ``decide``, ``predict``, ``report`` and
``run`` on the kept fit give the new answers without sampling, and all but ``run``, which fits anew, say so if the
table or the logs behind it have changed; anything else that changes the model is refused there, naming it, and fitted
anew by ``run``.

What a table holds beside counts is put to use without being asked for. Where some attempts were truncated, all cuts
(``max_tokens``) of an LLM end one walk, and cuts never tried are predicted from it, with the share of attempts that
they end (``truncated``). A budget that was asked for (``budget_tokens``) cuts nothing: success and tokens run along a
curve in log budget through what was observed, less sure the further from it; what lies beyond says "extrapolated". A
table without ``max_tokens`` whose rows count what their budgets truncated, and hold no attempt longer than its
budget, means cuts. Tokens of wrong attempts follow those of right ones by a factor (``tokens.wrong = "log_normal"``)
or DS3's lost state (``"lost_state"``: leave the path at a slip, wander, commit); ``.github/MEASURED.md`` has what the
choices were measured to be worth.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import xarray as xr
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)

from ds3bayes import files
from ds3bayes.errors import InputError, did_you_mean
from ds3bayes.evals import keep_columns, read_evals, select, split
from ds3bayes.generative.capability import CAPABILITIES, Capability, Free, known_parameters, parse_capability
from ds3bayes.generative.observation import OBSERVATIONS
from ds3bayes.generative.priors import DEFAULTS, Parameter, Prior
from ds3bayes.generative.settings import Part, Population, Tokens
from ds3bayes.strategies import Strategy, parse_strategy

#: Most bytes of a spec's file, and a key of more parts than any table has: reading takes their square.
_LARGEST = 250_000
_DEEP_KEY = re.compile(r"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){50}""")


class DataSource(Part):
    """Where the evaluations are and which of them to use."""

    path: str = Field(description="table of evaluations, relative to the spec's file")
    where: str | None = Field(None, description="query on the table's columns; rows that fail it are not used")
    task_columns: tuple[str, ...] = Field((), description="further columns of text about tasks that are kept")
    model_columns: tuple[str, ...] = Field((), description="further columns of text about LLMs that are kept")

    def read(self) -> xr.Dataset:
        """Read the table, and keep the rows that are used.

        Returns
        -------
        xarray.Dataset
            As from `read_evals`.

        Raises
        ------
        InputError
            If the table is faulty, or ``where`` is no query on its columns or selects nothing.
        """
        keep_columns(self.task_columns, about="task")
        keep_columns(self.model_columns, about="model")
        evals = read_evals(self.path)
        return evals if self.where is None else select(evals, self.where)


class HoldOut(Part):
    """Rows kept out of the fit, to be predicted and compared."""

    where: str | None = Field(None, description="query on the table's columns; all rows if absent")
    fraction: float = Field(1.0, gt=0.0, le=1.0, description="share of the tasks among those rows")
    seed: int = Field(0, ge=0, description="which tasks")


class Cost(Part):
    """What one LLM's tokens cost; a quantity left out here is absent from predictions."""

    input_usd: float | None = Field(None, ge=0.0, description="USD per million prompt tokens")
    cached_input_usd: float | None = Field(
        None, ge=0.0, description="USD per million prompt tokens that every attempt after the first reads from a cache"
    )
    output_usd: float | None = Field(None, ge=0.0, description="USD per million generated tokens")
    tokens_per_second: float | None = Field(None, gt=0.0, description="generation speed of one attempt")
    params: float | None = Field(None, gt=0.0, description="model parameters N")
    n_layer: int | None = Field(None, ge=1)
    d_attn: int | None = Field(None, ge=1)
    flop_per_joule: float | None = Field(None, gt=0.0, description="inference FLOP that one joule pays for")

    @model_validator(mode="after")
    def _complete(self) -> Cost:
        if (self.n_layer is None) != (self.d_attn is None):
            raise ValueError("give both n_layer and d_attn, or neither")
        if self.n_layer is not None and self.params is None:
            raise ValueError("n_layer and d_attn need params")
        if self.cached_input_usd is not None and self.input_usd is None:
            raise ValueError("cached_input_usd needs input_usd, the price of the first attempt's prompt")
        if self.flop_per_joule is not None and self.params is None:
            raise ValueError("flop_per_joule needs params, from which the FLOP follow")
        return self


class Sampling(Part):
    """How long to sample."""

    draws: int = Field(1000, ge=1, le=1_000_000)
    tune: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="warm-up draws per chain; if absent 300, or 600 for more than 50 sampled parameters",
    )
    chains: int = Field(4, ge=1, le=1000)
    seed: int = Field(0, ge=0)
    # With 0.8 many a posterior takes a third fewer gradients per effective draw, but 6 to 18 of 4,000 draws diverge for
    # one LLM on 2,000 tasks of four attempts, and some do with 0.85.
    target_accept: float = Field(
        0.9, gt=0.0, lt=1.0, description="acceptance that step sizes are tuned for; higher is slower and more careful"
    )


class Query(Part):
    """What to predict and decide when the spec is run."""

    strategies: tuple[str, ...] = Field((), description="text forms; all walks seen in the data if empty")
    tasks: Literal["observed", "new"] = "observed"
    cost: Literal["tokens", "usd", "flops", "joules", "seconds"] = "tokens"
    max_cost: float | None = Field(None, gt=0.0, description="cost cap per task for `best`")
    success: float = Field(0.8, gt=0.0, lt=1.0, description="target of `cheapest`")
    confidence: float = Field(0.9, gt=0.0, lt=1.0, description="how sure `cheapest` must be of the target")
    margin: float = Field(
        0.01, ge=0.0, lt=1.0, description="difference in expected success that is not worth paying for"
    )
    perfect_check: bool | tuple[str, ...] = Field(
        False,
        description="whether wrong answers can be told from right ones when deployed, or the benchmarks where they "
        "can; elsewhere strategies that pick by an oracle are upper bounds and never recommended",
    )
    weights: dict[str, Annotated[float, Field(gt=0.0)]] | None = Field(
        None,
        description="share of the deployed tasks that are like those of each benchmark, in any unit; benchmarks left "
        "out are not decided on. Equal shares of all if absent",
    )

    def shares(self, benchmarks: Sequence[str]) -> dict[str, float]:
        """Return the share of each benchmark that is decided on, summing to 1.

        Parameters
        ----------
        benchmarks : sequence of str
            Those that were observed.

        Raises
        ------
        InputError
            If the weights name one that was not.
        """
        weights = dict.fromkeys(benchmarks, 1.0) if self.weights is None else self.weights
        _refuse_unknown("weights", weights, benchmarks)
        if not weights:
            raise InputError(f"query.weights names no benchmark; leave it out, or name some of {', '.join(benchmarks)}")
        total = sum(weights.values())
        return {name: weights[name] / total for name in benchmarks if name in weights}

    def refuse_unknown_benchmarks(self, benchmarks: Sequence[str]) -> None:
        """Refuse questions about benchmarks that were not observed.

        Raises
        ------
        InputError
        """
        self.shares(benchmarks)
        if not isinstance(self.perfect_check, bool):
            _refuse_unknown("perfect_check", self.perfect_check, benchmarks)

    def checkable(self, benchmark: str) -> bool:
        """Return whether a perfect check exists for the answers of a benchmark."""
        return self.perfect_check if isinstance(self.perfect_check, bool) else benchmark in self.perfect_check

    @field_validator("strategies")
    @classmethod
    def _parses(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(parse_strategy(text)) for text in texts)

    def parsed(self) -> list[Strategy]:
        """Return the strategies as objects."""
        return [parse_strategy(text) for text in self.strategies]


def _refuse_unknown(key: str, names: Iterable[str], benchmarks: Sequence[str]) -> None:
    """Refuse benchmarks that a question names and that there are not."""
    unknown = [name for name in names if name not in benchmarks]
    if unknown:
        raise InputError(
            f"query.{key} names {', '.join(map(repr, unknown))}; the benchmarks are: {', '.join(benchmarks)}."
            + did_you_mean(unknown[0], benchmarks)
        )


def _known_prior(name: str) -> str:
    known = known_parameters()
    if name not in known:
        raise ValueError(f"unknown prior {name!r}; allowed: {', '.join(known)}." + did_you_mean(name, known))
    return name


class ModelSpec(Part):
    """A model: capability x task population x observation, with priors, data and questions.

    ``ModelSpec()`` has defaults that work on any table of counts. Every prior can be read with
    `prior` and overridden by name.

    Parameters
    ----------
    name, description : str
        Shown in the report.
    data : DataSource, optional
        The table, for the command line and `fit_spec`; not needed when evaluations are passed.
    holdout : tuple of HoldOut
        Rows kept out of the fit.
    capability : Capability, or its name, or a table with its ``kind`` and options
        How an LLM's capability enters: one of `ds3bayes.generative.capability.CAPABILITIES`. The default, ``free``,
        learns it from evaluations alone.
    population : Population
    tokens : Tokens
    priors : dict of str to Prior
        Overrides of the defaults, which `ds3bayes.generative.capability.known_parameters` lists.
    costs : dict of str to Cost
        By model name; ``"*"`` stands for every model not named.
    sampling : Sampling
    query : Query

    Raises
    ------
    InputError
        From `from_toml` and `from_dict`: every fault at once, with key, value and nearest valid name.
    """

    name: str = "counts"
    description: str = ""
    data: DataSource | None = None
    holdout: tuple[HoldOut, ...] = ()
    capability: Annotated[SerializeAsAny[Capability], BeforeValidator(parse_capability)] = Free()
    population: Population = Population()
    tokens: Tokens = Tokens()
    priors: dict[Annotated[str, AfterValidator(_known_prior)], Prior] = Field(default_factory=dict)
    costs: dict[str, Cost] = Field(default_factory=dict)
    sampling: Sampling = Sampling()
    query: Query = Query()

    @field_validator("priors")
    @classmethod
    def _in_range(cls, stated: dict[str, Prior]) -> dict[str, Prior]:
        known = known_parameters()
        refused = {name: known[name].refusal(one) for name, one in stated.items()}
        if any(refused.values()):
            raise ValueError("; ".join(f"{name}: {why}" for name, why in refused.items() if why))
        return stated

    @property
    def parameters(self) -> dict[str, Parameter]:
        """Every parameter that a model of this spec can have, with its default prior."""
        own = {name: one for kind in OBSERVATIONS.values() for name, one in kind.parameters.items()}
        return {**self.capability.parameters, **DEFAULTS, **own}

    def prior(self, name: str) -> Prior:
        """Return the prior in force for a parameter."""
        return self.priors.get(name, self.parameters[name].prior)

    def cost(self, model: str) -> Cost:
        """Return the costs in force for an LLM; all unknown if the spec says nothing of it."""
        return self.costs.get(model, self.costs.get("*", Cost()))

    def held_out_rows(self, evals: xr.Dataset) -> np.ndarray:
        """Return which rows of a table are kept out of the fit: bool, shape (row,)."""
        held = np.zeros(evals.sizes["row"], dtype=bool)
        for rule in self.holdout:
            held |= split(evals, where=rule.where, fraction=rule.fraction, seed=rule.seed)[1]
        return held

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], where: str = "spec") -> ModelSpec:
        """Make a spec from nested dictionaries, as TOML or JSON gives them."""
        if large := _too_large(content):
            raise InputError(f"{where}: {large}: whole numbers have at most 64 bits, that is 19 digits")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise InputError.of_faults(where, [_sentence(fault) for fault in error.errors()]) from None

    @classmethod
    def from_toml(cls, path: str | Path) -> ModelSpec:
        """Read a spec from a TOML file; its `data.path` is taken relative to that file.

        A spec that does not give its name has that of its file.
        """
        path = files.readable(path, "spec file", _LARGEST)
        try:
            text = path.read_text(encoding="utf-8")
            if found := _DEEP_KEY.search(text):
                raise InputError(f"{path}: not valid TOML: the key {found[0][:40]} ... has more than 50 parts")
            content = tomllib.loads(text)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        except RecursionError:
            raise InputError(f"{path}: not valid TOML: arrays and tables are nested too deeply") from None
        except InputError:
            raise
        except ValueError as error:
            hint = "" if path.suffix == ".toml" else f"; evaluations need no specification: `ds3bayes run {path}`"
            raise InputError(f"{path}: not valid TOML: {error}{hint}") from None
        spec = cls.from_dict({"name": path.resolve().stem, **content}, str(path))
        if spec.data is None:
            return spec
        table = path.parent / spec.data.path
        return spec.model_copy(update={"data": spec.data.model_copy(update={"path": str(table)})})

    def to_toml(self) -> str:
        """Return the spec as TOML text; `from_toml` of it gives the same spec back."""
        return _toml(json.loads(self.model_dump_json(exclude_none=True)))

    @property
    def model_id(self) -> str:
        """SHA-256 (first 16 digits) of what defines the model: not of names, paths, sampling or questions."""
        content = self.model_dump(mode="json", include={"capability", "population", "tokens", "holdout"})
        # Without it, the model is that of releases which did not know it, and so is its id.
        absent = set() if content["population"]["soundness"] else {"soundness"}
        for name in absent:
            del content["population"][name]
        content["priors"] = {
            name: self.prior(name).model_dump(mode="json")
            for name in dict.fromkeys([*DEFAULTS, *self.capability.parameters, *self.priors])
            if name not in absent
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _too_large(content: Any, at: str = "") -> str:
    """Return where a whole number is larger than TOML, and most of what computes, knows; empty if nowhere."""
    if isinstance(content, Mapping):
        return next(filter(None, (_too_large(one, f"{at}.{key}".strip(".")) for key, one in content.items())), "")
    if isinstance(content, list | tuple):
        return next(filter(None, (_too_large(one, f"{at}[{place}]") for place, one in enumerate(content))), "")
    return at if isinstance(content, int) and not -(2**63) <= content < 2**63 else ""


def _sentence(fault: Any) -> str:
    """Say one pydantic fault in the house's words."""
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        allowed = _keys_at(fault["loc"][:-1])
        return f"unknown key {key!r}; allowed here: {', '.join(allowed)}." + did_you_mean(
            str(fault["loc"][-1]), allowed
        )
    if fault["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        hint = did_you_mean(str(fault["input"]), allowed)
        return f"{key}: got {fault['input']!r}; allowed: {', '.join(allowed)}.{hint}"
    said = fault["msg"].removeprefix("Value error, ")
    # The house's own sentences already quote what they got.
    got = "" if fault["type"] == "value_error" else f", got {fault['input']!r}"
    return f"{key}: {said}{got}"


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """Return the keys that a spec allows at a location such as ('costs', 'gpt-4')."""
    part: Any = ModelSpec
    tables: dict[str, Any] = {
        "data": DataSource,
        "holdout": HoldOut,
        "population": Population,
        "tokens": Tokens,
        "costs": Cost,
        "sampling": Sampling,
        "query": Query,
    }
    if location and location[0] == "capability":
        return list(dict.fromkeys(name for kind in CAPABILITIES.values() for name in kind.model_fields))
    if location:
        part = tables.get(str(location[0]), ModelSpec)
    return list(part.model_fields)


def _quoted(value: Any) -> str:
    """Write a plain value as TOML does: as JSON, but characters beyond ASCII as they are, and DEL escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(content: Mapping[str, Any], prefix: str = "") -> str:
    """Write nested dictionaries of plain values as TOML; tables after values, as TOML wants."""
    plain, tables = [], []
    for key, value in content.items():
        name = key if key.replace("_", "").isalnum() and key.isascii() else _quoted(key)
        path = f"{prefix}{name}"
        if isinstance(value, dict) and prefix == "priors.":
            inside = ", ".join(f"{k} = {_quoted(v)}" for k, v in value.items())
            plain.append(f"{name} = {{ {inside} }}")
        elif isinstance(value, dict):
            # An empty table below the top says something: this LLM has no costs.
            if value or prefix:
                tables.append(f"\n[{path}]\n{_toml(value, path + '.')}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            tables.extend(f"\n[[{path}]]\n{_toml(item, path + '.')}" for item in value)
        else:
            plain.append(f"{name} = {_quoted(value)}")
    return "\n".join(plain) + ("\n" if plain else "") + "".join(tables)
