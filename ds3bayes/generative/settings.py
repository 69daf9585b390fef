"""What a part of the model may know of a specification: the population, the tokens and the priors in force."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from ds3bayes.generative.priors import Prior


class Part(BaseModel):
    """A table of a specification: fixed once read, with no keys but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Population(Part):
    """The law of a task's eventual success over tasks."""

    family: Literal["split_normal", "normal", "path"] = Field(
        "split_normal",
        description="law of logit eventual success: two-piece normal, normal, or DS3's path law rho^m",
    )
    reachability: bool = Field(True, description="allow for tasks outside the reachable component")
    soundness: bool = Field(
        True,
        description="allow for tasks that no attempt of any LLM can solve (a wrong key, an impossible test), where two "
        "or more LLMs share tasks",
    )
    path_length: int | None = Field(
        None, ge=1, description="known number of skills per task where the table has no `steps`"
    )
    overdispersion: bool = Field(
        False, description="let the attempts of one row (a run) agree more than independent ones: beta-binomial counts"
    )
    interaction_dof: float = Field(
        7.0, gt=2.0, description="degrees of freedom of an arm's own task effect (Student t)"
    )


class Tokens(Part):
    """How generated tokens relate to steps."""

    tokens_per_step: float | None = Field(
        None,
        gt=0.0,
        description="generated tokens of one step (omega); if absent 25, or fewer where attempts are too "
        "short for their known path length",
    )
    wrong: Literal["log_normal", "lost_state"] = Field(
        "log_normal",
        description="law of the tokens of wrong attempts, where moments by outcome are given: a factor of those of "
        "right ones, or DS3's lost state, in which an attempt that slips leaves its path and wanders",
    )


class Settings(Protocol):
    """What capabilities and observations are given of a specification (`ds3bayes.generative.spec.ModelSpec`)."""

    @property
    def population(self) -> Population:
        """The law of tasks."""

    @property
    def tokens(self) -> Tokens:
        """How tokens relate to steps."""

    @property
    def priors(self) -> Mapping[str, Prior]:
        """Priors that a user stated, by the name of the parameter."""

    def prior(self, name: str) -> Prior:
        """Return the prior in force for a parameter."""
