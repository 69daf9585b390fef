"""Latent skills: two skills that no table names, from which tasks draw and in which LLMs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
from scipy.special import ndtri

from ds3bayes.deferred import pm, pt
from ds3bayes.errors import InputError
from ds3bayes.generative.capability.base import Tensor, place_in_law
from ds3bayes.generative.capability.free import Free
from ds3bayes.generative.design import Block, Design
from ds3bayes.generative.population import easiness_log_weight
from ds3bayes.generative.priors import Parameter, Quantity, prior
from ds3bayes.generative.settings import Settings
from ds3bayes.generative.task_law import TaskLaw

# The second coordinate of a task is standard normal, summed out at these nodes. Evenly spaced ones resolve what many
# attempts tell of a task better than as many of Gauss and Hermite: .01 in the log-likelihood of 60 tasks against .07.
_NODES = np.linspace(-3.6, 3.6, 13)
_LOG_WEIGHTS = -(_NODES**2) / 2 - np.log(np.exp(-(_NODES**2) / 2).sum())


class LatentSkills(Free):
    """Tasks without annotations: beside easiness, each has a place on a second skill, in which LLMs differ.

    The logit of a task's eventual success is ``location + spread z + loading u`` with easiness z as in capability
    'free' and u standard normal over tasks: a matrix of LLMs by tasks of rank two. Tasks with u > 0 need more of what
    LLMs with a positive loading are good at. z and u of each task are summed out; LLMs with similar loadings fail at
    the same tasks, so that what one of them solves says more of another of them than its overall level does.

    The law stays the same when all loadings change sign (and u with them). So only half of their space is kept: the
    half around the direction in which the walks differ most in the data, along which they have a positive
    ``loading_size``; ``loading_rest`` are their coordinates across it. ``skill_loading`` are the loadings themselves,
    and ``skill_share`` is the part of a walk's variance over tasks (without its own effect) that they explain.

    Raises
    ------
    InputError
        If a set of tasks has fewer than three walks, or the population's family is 'path'.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004, for skills; a two-factor model of item response theory
    (Reckase 2009), with the shared easiness as its first factor.
    """

    kind: Literal["latent_skills"] = "latent_skills"  # type: ignore[assignment]
    parameters: ClassVar[Mapping[str, Parameter]] = {
        **Free.parameters,
        "loading_size": Parameter(
            prior("HalfNormal", sigma=1.0),
            ("population",),
            "loadings of the second skill along the direction in which walks differ most in the data",
            unit="logit",
        ),
        "loading_rest": Parameter(
            prior("Normal", mu=0.0, sigma=1.0),
            ("loading_contrast",),
            "their coordinates across that direction",
            unit="logit",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        **Free.derived,
        "skill_loading": Quantity("how strongly the second skill enters a walk's success", "logit"),
        "skill_share": Quantity("share of a walk's variance over tasks that the second skill makes", "share"),
    }

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return those of capability 'free', and the walks whose loading may have either sign."""
        if spec.population.family == "path":
            raise InputError(
                "population.family = 'path' has one law for all tasks; with capability 'latent_skills' use "
                "'split_normal' or 'normal'"
            )
        small = [block for block in design.blocks if len(design.walks_of(block)) < 3]
        if small:
            arms = ", ".join(str(design.arms[arm]) for arm in small[0].arms[:4])
            raise InputError(
                f"capability 'latent_skills' tells skills apart by three or more walks on the same tasks; {arms} share "
                "theirs with no other: use capability 'free' for them"
            )
        return {
            **super().coords(design, spec),
            "loading_contrast": [
                f"{population} | {contrast + 1}"
                for population, block in zip(design.populations, design.blocks, strict=True)
                for contrast in range(len(design.walks_of(block)) - 1)
            ],
        }

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add what capability 'free' has, ``skill_loading`` and ``skill_share`` of each walk."""
        given = super().add(design, spec)
        for name in ("loading_size", "loading_rest"):
            given[name] = spec.prior(name).variable(name, dims=self.parameters[name].dims)
        walks, loadings, start = [], [], 0
        for index, block in enumerate(design.blocks):
            basis = _directions(block, design)
            rest = given["loading_rest"][start : start + len(basis) - 1]
            start += len(basis) - 1
            walks.append(design.walks_of(block))
            loadings.append(basis[:, 0] * given["loading_size"][index] + basis[:, 1:] @ rest)
        every = pt.concatenate(loadings)[np.argsort(np.concatenate(walks))]
        given["skill_loading"] = pm.Deterministic("skill_loading", every, dims="walk")
        pm.Deterministic("skill_share", every**2 / (every**2 + given["spread"] ** 2), dims="walk")
        return given

    def task_law(
        self, block: Block, index: int, design: Design, spec: Settings, given: Mapping[str, Tensor]
    ) -> TaskLaw:
        """Cross the grid of easiness with the nodes of the second skill."""
        assert block.easiness is not None
        skew = given["skew"][index] if spec.population.family == "split_normal" else pt.as_tensor(0.0)
        walks = design.walks_of(block)
        z = block.easiness.nodes
        log_weight = easiness_log_weight(block.easiness, skew)
        location, spread, loading = (given[name][walks] for name in ("location", "spread", "skill_loading"))
        at_nodes = (
            location[:, None, None]
            + spread[:, None, None] * z[:, None]
            + loading[:, None, None] * _NODES[None, None, :]
        )
        return TaskLaw(
            log_weight=(log_weight[:, None] + _LOG_WEIGHTS).ravel(),
            easiness=np.repeat(z, _NODES.size)[None, :],
            location=at_nodes.reshape((len(walks), -1))[None],
        )

    def new_tasks(
        self, terms: Mapping[str, np.ndarray], draw: Mapping[str, np.ndarray], uniform: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw easiness through its law, linear between nodes, and the second skill from its normal law."""
        del draw
        size = _NODES.size
        weight = np.exp(terms["log_weight"]).reshape(-1, size).sum(axis=1)
        place = place_in_law(weight, uniform[:, 0])
        at = np.arange(weight.size)
        skill = ndtri(uniform[:, 1])
        easiness = np.interp(place, at, terms["easiness"][0].reshape(-1, size)[:, 0])
        locations = []
        for of_arm in terms["location"][0]:
            by_node = of_arm.reshape(-1, size)
            centre = np.interp(place, at, by_node[:, size // 2])
            slope = np.interp(place, at, (by_node[:, -1] - by_node[:, 0]) / (_NODES[-1] - _NODES[0]))
            locations.append(centre + slope * skill)
        return easiness, np.stack(locations, axis=1)

    def restated(self, draw: Mapping[str, np.ndarray], design: Design) -> Mapping[str, np.ndarray]:
        """State loadings by the directions of a design's data, in the half of their space that its model keeps.

        The law is the same with all signs changed, and the prior (of equal scales) in any directions.
        """
        if "skill_loading" not in draw:
            return draw
        loading, size, rest = draw["skill_loading"].copy(), [], []
        for block in design.blocks:
            walks = design.walks_of(block)
            along = _directions(block, design).T @ loading[walks]
            if along[0] < 0.0:
                loading[walks], along = -loading[walks], -along
            size.append(along[0])
            rest.extend(along[1:])
        return {**draw, "skill_loading": loading, "loading_size": np.array(size), "loading_rest": np.array(rest)}


def _directions(block: Block, design: Design) -> np.ndarray:
    """Return an orthonormal basis (W, W); first, the direction in which walks differ most beyond easiness."""
    columns = [block.arms.index(int(design.walk_arms[walk])) for walk in design.walks_of(block)]
    successes, attempts = block.successes[:, columns] + 0.5, block.attempts[:, columns] + 1.0
    logit = np.log(successes / (attempts - successes))
    rest = logit - logit.mean(axis=1, keepdims=True) - logit.mean(axis=0) + logit.mean()
    first = np.linalg.svd(rest, full_matrices=False)[2][0]
    first = first * np.sign(first[np.abs(first).argmax()])
    basis = np.linalg.qr(np.column_stack([first, np.eye(len(first))]))[0]
    return basis * np.sign(basis[:, 0] @ first)
