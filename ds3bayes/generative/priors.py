"""Priors that a user can read and override: a named distribution with its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, model_validator

from ds3bayes.deferred import pm, pt
from ds3bayes.engine.evaluate import AtPoints
from ds3bayes.errors import did_you_mean

# The parameters each family takes, in PyMC's own names.
FAMILIES: dict[str, tuple[str, ...]] = {
    "Beta": ("alpha", "beta"),
    "Exponential": ("scale",),
    "Gamma": ("alpha", "beta"),
    "HalfNormal": ("sigma",),
    "LogNormal": ("mu", "sigma"),
    "Normal": ("mu", "sigma"),
    "StudentT": ("nu", "mu", "sigma"),
    "Uniform": ("lower", "upper"),
}
_ANY_SIGN = {"mu", "lower", "upper"}
# Where each family has its mass; that of a uniform one lies between its bounds.
_SUPPORT: dict[str, tuple[float, float]] = {
    "Beta": (0.0, 1.0),
    **dict.fromkeys(("Exponential", "Gamma", "HalfNormal", "LogNormal"), (0.0, np.inf)),
    **dict.fromkeys(("Normal", "StudentT"), (-np.inf, np.inf)),
}


class Prior(BaseModel):
    """One prior distribution, written in a spec as ``{family = "Normal", mu = 0.0, sigma = 1.0}``.

    Parameters
    ----------
    family : str
        One of the keys of `FAMILIES`, PyMC's names.
    **parameters : float
        The family's parameters in PyMC's names; scale and shape parameters are above 0.

    Raises
    ------
    ValueError
        If the family is unknown or its parameters are not exactly those that it takes.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    family: str
    __pydantic_extra__: dict[str, float]

    @model_validator(mode="after")
    def _family_takes_these(self) -> Prior:
        if self.family not in FAMILIES:
            raise ValueError(
                f"unknown prior family {self.family!r}; allowed: {', '.join(FAMILIES)}."
                + did_you_mean(self.family, FAMILIES)
            )
        wanted, got = FAMILIES[self.family], sorted(self.parameters)
        if got != sorted(wanted):
            raise ValueError(f"{self.family} takes {', '.join(wanted)}; got {', '.join(got) or 'nothing'}")
        for name, value in self.parameters.items():
            if not np.isfinite(value) or (name not in _ANY_SIGN and value <= 0):
                raise ValueError(f"{self.family}: {name} = {value} is not allowed; it must be finite and > 0")
        if self.family == "Uniform" and self.parameters["lower"] >= self.parameters["upper"]:
            raise ValueError("Uniform: lower must be below upper")
        return self

    @property
    def parameters(self) -> dict[str, float]:
        """The family's parameters by PyMC's names."""
        return dict(self.__pydantic_extra__)

    @property
    def support(self) -> tuple[float, float]:
        """Lower and upper end of the values that it allows."""
        if self.family == "Uniform":
            return self.parameters["lower"], self.parameters["upper"]
        return _SUPPORT[self.family]

    def variable(self, name: str, **kwargs: Any) -> Any:
        """Add this prior to the model in whose context the call stands.

        Parameters
        ----------
        name : str
            Name of the random variable.
        **kwargs
            Passed to the PyMC distribution, for instance ``dims``.
        """
        return getattr(pm, self.family)(name, **self.parameters, **kwargs)

    def log_density(self, values: Any) -> Any:
        """Log density at values, an array or an `xarray.DataArray`, of their shape: PyMC's own."""
        evaluate = _log_density(self.family, tuple(sorted(self.parameters.items())))
        return xr.apply_ufunc(evaluate, values) if isinstance(values, xr.DataArray) else evaluate(values)

    def draw(self, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw from the prior: an array of shape ``size``."""
        from ds3bayes.engine.translate import known

        law = self._distribution()
        # Its parameters, as the operation that draws takes them.
        parameters = known(law.owner.op.dist_params(law.owner))
        return np.asarray(law.owner.op.rng_fn(rng, *parameters, size))

    def _distribution(self) -> Any:
        return _distribution(self.family, self.parameters)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value:g}" for name, value in self.parameters.items())
        return f"{self.family}({inside})"


def _distribution(family: str, parameters: Mapping[str, float]) -> Any:
    # Double precision: PyTensor takes round numbers for single.
    return getattr(pm, family).dist(**{name: np.float64(value) for name, value in parameters.items()})


@lru_cache(maxsize=256)
def _log_density(family: str, parameters: tuple[tuple[str, float], ...]) -> Callable[[np.ndarray], np.ndarray]:
    point = pt.dscalar("value")
    law = _distribution(family, dict(parameters))
    at_points = AtPoints({"value": point}, {"value": ()}, {"log_density": pm.logp(law, point)})
    # What PyTensor compiles, where there is no machine, is for one thread at a time.
    lock = Lock()

    def evaluate(numbers: np.ndarray) -> np.ndarray:
        flat = np.ravel(np.asarray(numbers, dtype=float))
        with lock:
            return at_points({"value": flat})["log_density"].reshape(np.shape(numbers))

    return evaluate


def prior(family: str, **parameters: float) -> Prior:
    """Shorthand for `Prior`."""
    return Prior(family=family, **parameters)  # type: ignore[arg-type]


def log(value: float) -> float:
    """Natural logarithm, for the ``mu`` of a log-normal prior."""
    return float(np.log(value))


class Quantity(NamedTuple):
    """What a quantity of the model means, and its unit, for those that follow from parameters or stand around them."""

    meaning: str
    unit: str


class Parameter(NamedTuple):
    """A parameter of the model: its default prior, the coordinates it runs along, its meaning and its unit.

    One that is ``of_a_task`` is latent for each task and no part of the population: checks do not list it.
    """

    prior: Prior
    dims: tuple[str, ...]
    meaning: str
    of_a_task: bool = False
    unit: str = "not stated"

    @property
    def range(self) -> tuple[float, float]:
        """Values that mean something: of a probability 0 to 1, of a scale above 0, of others all."""
        return self.prior.support

    def refusal(self, stated: Prior) -> str:
        """Say why a prior cannot be this parameter's, with what can; empty if it can."""
        (low, high), (lowest, highest) = stated.support, self.range
        if low >= lowest and high <= highest:
            return ""
        fitting = [name for name, (least, most) in _SUPPORT.items() if least >= lowest and most <= highest]
        values = "0 to 1" if highest == 1.0 else "above 0"
        bounds = "lower >= 0" + (" and upper <= 1" if highest == 1.0 else "")
        return (
            f"{stated} gives weight to values that it cannot have; it is {values} ({self.meaning}). Allowed: "
            f"{', '.join(sorted(fitting))}, or Uniform with {bounds}; the default is {self.prior}"
        )


# Parameters that models have whatever their capability; each kind of capability adds its own.
DEFAULTS: dict[str, Parameter] = {
    "interaction_sd": Parameter(
        prior("LogNormal", mu=log(0.7), sigma=0.5),
        ("linked_arm",),
        "scale of a walk's own task effect on the logit, beside the shared difficulty",
        unit="logit",
    ),
    "reachability": Parameter(
        prior("Beta", alpha=4.0, beta=1.0),
        ("model_benchmark",),
        "probability that all skills of a task are reachable by walks",
        unit="probability",
    ),
    "soundness": Parameter(
        prior("Beta", alpha=9.0, beta=1.0),
        ("shared_benchmark",),
        "probability that a task is sound; what is not is failed by every attempt of every LLM",
        unit="probability",
    ),
    "log_tokens": Parameter(
        prior("Normal", mu=log(500.0), sigma=2.5),
        ("timed_arm",),
        "mean over tasks of log generated tokens per attempt (per candidate for a tree)",
        unit="log of tokens",
    ),
    "effort_tokens": Parameter(
        prior("Normal", mu=0.7, sigma=0.3),
        ("token_trend_by_effort",),
        "rise of log_tokens from one reasoning effort to the next",
        unit="log of tokens",
    ),
    "effort_tokens_sd": Parameter(
        prior("LogNormal", mu=log(0.3), sigma=0.5),
        ("token_trend_by_effort",),
        "sd of an LLM's rise of log_tokens between two efforts around that trend",
        unit="log of tokens",
    ),
    # Between none and all of a doubling, log 2: all of small budgets is used, and little more of ever larger ones.
    "doubling_tokens": Parameter(
        prior("Normal", mu=0.35, sigma=0.2),
        ("token_trend_by_budget",),
        "rise of log_tokens by doubling an asked budget of 16,000 tokens",
        unit="log of tokens",
    ),
    "doubling_tokens_decay": Parameter(
        prior("LogNormal", mu=log(0.15), sigma=0.5),
        ("token_trend_by_budget",),
        "how fast that shrinks: a doubling further up it is exp(-decay) times as large",
        unit="per doubling",
    ),
    "doubling_tokens_sd": Parameter(
        prior("LogNormal", mu=log(0.2), sigma=0.5),
        ("token_trend_by_budget",),
        "sd of an LLM's rise of log_tokens by doubling an asked budget around that trend",
        unit="log of tokens",
    ),
    "effort_variation_sd": Parameter(
        prior("LogNormal", mu=log(0.2), sigma=0.5),
        ("token_trend",),
        "sd between efforts of an LLM of token_slope and of the logs of token_sd, length_spread and attempt_cv",
        unit="log ratio",
    ),
    "token_slope": Parameter(
        prior("Normal", mu=0.2, sigma=0.4),
        ("timed_arm",),
        "rise of log tokens per unit of shared difficulty",
        unit="log of tokens per sd of difficulty",
    ),
    "length_spread": Parameter(
        prior("LogNormal", mu=log(0.2), sigma=0.7),
        ("linked_timed_arm",),
        "sd of log tokens over tasks that comes from a task's own path length, common to all arms",
        unit="log of tokens",
    ),
    "token_sd": Parameter(
        prior("LogNormal", mu=log(0.4), sigma=0.6),
        ("timed_arm",),
        "sd of log tokens between tasks of equal difficulty and path length",
        unit="log of tokens",
    ),
    "attempt_cv": Parameter(
        prior("LogNormal", mu=log(0.2), sigma=0.6),
        ("free_path_arm",),
        "coefficient of variation of tokens between attempts on one task",
        unit="ratio",
    ),
    "log_prompt": Parameter(
        prior("Normal", mu=log(200.0), sigma=2.5),
        ("prompted_arm",),
        "mean log prompt tokens per unit",
        unit="log of tokens",
    ),
    "prompt_slope": Parameter(
        prior("Normal", mu=0.5, sigma=0.5),
        ("prompted_arm",),
        "rise of log prompt tokens with log generated tokens",
        unit="log of prompt tokens per log of tokens",
    ),
    "prompt_sd": Parameter(
        prior("LogNormal", mu=log(0.1), sigma=1.0),
        ("prompted_arm",),
        "sd of log prompt tokens given those",
        unit="log of tokens",
    ),
    "wrong_answer_concentration": Parameter(
        prior("LogNormal", mu=0.0, sigma=1.5),
        ("voted_arm",),
        "how widely wrong answers scatter: chance 1/(1+it) that two wrong answers agree",
        unit="pseudo-count of a Dirichlet law",
    ),
    "overdispersion": Parameter(
        prior("Beta", alpha=1.0, beta=20.0),
        ("overdispersed_arm",),
        "correlation between the outcomes of attempts of one run at one task, beyond the task's own success",
        unit="correlation",
    ),
    "step_discrimination": Parameter(
        prior("LogNormal", mu=log(1.5), sigma=0.6),
        ("tree",),
        "tree search: gap between scores of right and wrong steps, in score sds",
        unit="sd of scores",
    ),
    "candidate_overlap": Parameter(
        prior("Beta", alpha=1.0, beta=1.0),
        ("tree",),
        "tree search: probability that two right proposals of one state are the same thought",
        unit="probability",
    ),
    "answer_fidelity": Parameter(
        prior("Beta", alpha=2.0, beta=2.0),
        ("tree",),
        "tree search: probability that a right kept state ends in a right answer",
        unit="probability",
    ),
    "tree_interaction_sd": Parameter(
        prior("LogNormal", mu=log(0.35), sigma=0.6),
        ("tree_arm",),
        "tree search: scale of its own task effect, on the logit of the walk that it searches over",
        unit="logit",
    ),
    "tree_offset": Parameter(
        prior("Normal", mu=0.0, sigma=2.0),
        ("tree",),
        "tree search: how much better its proposals are than the walk's steps, on the walk's logit",
        unit="logit",
    ),
    "tree_slope": Parameter(
        prior("Normal", mu=0.2, sigma=0.25),
        ("tree",),
        "tree search: share of the walk's difficulty spread that it inherits",
        unit="ratio",
    ),
}

#: What models have, whatever their capability, that follows from those.
DERIVED: dict[str, Quantity] = {
    "path_length": Quantity(
        "skills on the path of a task, as tokens and their spread between attempts tell it", "skills per attempt"
    ),
    "pace": Quantity("skills that an attempt crosses per step of the spec's tokens_per_step", "skills per step"),
    "skill_reachability": Quantity("probability that a single skill is reachable by walks", "probability"),
    "anchor_log_tokens": Quantity(
        "log_tokens of the effort or budget from which an LLM's others rise", "log of tokens"
    ),
    "log_tokens_rise": Quantity("rise of an LLM's log_tokens between neighbouring efforts or budgets", "log of tokens"),
    "llm_token_slope": Quantity(
        "an LLM's token_slope, around which its efforts and budgets vary", "log of tokens per sd of difficulty"
    ),
    "llm_length_spread": Quantity("an LLM's length_spread, around which its efforts and budgets vary", "log of tokens"),
    "llm_token_sd": Quantity("an LLM's token_sd, around which its efforts and budgets vary", "log of tokens"),
    "llm_attempt_cv": Quantity("an LLM's attempt_cv, around which its efforts and budgets vary", "ratio"),
}
