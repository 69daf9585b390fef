"""Loss bridge: what an LLM can do follows from the loss that its size and its training tokens leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm, pt, pytensor
from ds3bayes.errors import InputError
from ds3bayes.generative.capability.base import SharedEasiness, Tensor
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.priors import Parameter, Quantity, log, prior
from ds3bayes.generative.rows import searches
from ds3bayes.generative.settings import Settings
from ds3bayes.theory.evaluate import python_mode

_IRREDUCIBLE, _SIZE, _SIZE_EXPONENT, _TOKENS, _TOKENS_EXPONENT = 1.69, 406.4, 0.34, 410.7, 0.28
# Over how many log tokens per parameter a decline sets in.
_ONSET_WIDTH = 0.5


class LossBridge(SharedEasiness):
    """Capability from what an LLM's size and its training tokens each leave of the pre-training loss.

    The loss is L(N, D) = E + A N^-alpha + B D^-beta. A step completes the next skill of a benchmark's typical task with
    the logit ``ease`` for an LLM of the evaluated LLMs' mean losses. Its odds are those of an unlimited LLM times the
    chance that the LLM is large enough to hold the skill, ``logistic(size_margin + size_slope (mean - A N^-alpha))``,
    times the chance that it saw enough text to learn it, the same of ``B D^-beta``. So more tokens do not help an LLM
    that is limited by its size, nor size one that is limited by its tokens, and both saturate; below both limits the
    logit is linear in the loss. An LLM trained on more than ``overtraining_onset`` tokens per parameter loses
    ``overtraining`` per log of the excess; effects of the LLM's family and one of its own come on top. With m skills on
    a path (`path_length`, 1 if it is not known) the eventual success at that task is the m-th power of a step's chance,
    and its logit is ``location``. Tasks spread around it by their easiness, alike for all LLMs: an LLM that was never
    evaluated is so predicted from its ``params`` and ``train_tokens`` (`ds3bayes.predict_llms`).

    Counts inform the products of slopes and loss differences between LLMs; which part is due to size or to training
    tokens is told by a grid of both only. The irreducible loss E moves all LLMs alike and stays at its published 1.69.
    The exponents have tight priors around the published values, the terms' sizes at the typical LLM are the published
    ones. `ds3bayes.bridge_against_rivals` says whether predictions are better than simple ones on a table.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004: step success from loss; here the two parts of the
    loss limit it each on its own. Hoffmann et al. (2022), arXiv 2203.15556: the loss and its constants. Godey, de la
    Clergerie, Sagot (2024), arXiv 2404.07647: small models that are trained for long become worse.
    """

    kind: Literal["loss_bridge"] = "loss_bridge"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "skew": SharedEasiness.parameters["skew"],
        "task_spread": Parameter(
            prior("LogNormal", mu=log(2.0), sigma=0.5),
            ("benchmark",),
            "sd over a benchmark's tasks of logit eventual success, alike for all LLMs",
            unit="logit",
        ),
        "ease": Parameter(
            prior("Normal", mu=1.0, sigma=3.0),
            ("setting",),
            "logit that a step of the typical task is right for an LLM of the evaluated LLMs' mean losses",
            unit="logit",
        ),
        "size_slope": Parameter(
            prior("LogNormal", mu=log(5.0), sigma=0.6),
            (),
            "rise of the logit that an LLM is large enough, per nat of the loss due to size",
            unit="logit per nat",
        ),
        "size_margin": Parameter(
            prior("Normal", mu=1.0, sigma=1.5),
            ("benchmark",),
            "logit that an LLM of the evaluated LLMs' mean loss due to size is large enough",
            unit="logit",
        ),
        "size_exponent": Parameter(
            prior("LogNormal", mu=log(_SIZE_EXPONENT), sigma=0.1),
            (),
            "alpha of N^-alpha",
            unit="power",
        ),
        "tokens_slope": Parameter(
            prior("LogNormal", mu=log(5.0), sigma=0.6),
            (),
            "rise of the logit that an LLM saw enough, per nat of the loss due to training tokens",
            unit="logit per nat",
        ),
        "tokens_margin": Parameter(
            prior("Normal", mu=1.0, sigma=1.5),
            ("benchmark",),
            "logit that an LLM of the evaluated LLMs' mean loss due to training tokens saw enough",
            unit="logit",
        ),
        "tokens_exponent": Parameter(
            prior("LogNormal", mu=log(_TOKENS_EXPONENT), sigma=0.1),
            (),
            "beta of D^-beta",
            unit="power",
        ),
        "overtraining": Parameter(
            prior("HalfNormal", sigma=0.5),
            (),
            "fall of a step's logit per log of training tokens beyond the onset",
            unit="logit per log of tokens",
        ),
        "overtraining_onset": Parameter(
            prior("LogNormal", mu=log(200.0), sigma=1.0),
            (),
            "training tokens per parameter where that sets in",
            unit="tokens per parameter",
        ),
        "family_effect": Parameter(
            prior("Normal", mu=0.0, sigma=0.5),
            ("family",),
            "how much better LLMs of a family are, on the logit",
            unit="logit",
        ),
        "llm_sd": Parameter(
            prior("LogNormal", mu=log(0.35), sigma=0.5),
            (),
            "sd of what an LLM has beyond its training and its family",
            unit="logit",
        ),
    }
    derived: ClassVar[Mapping[str, Quantity]] = {
        "loss": Quantity("loss of an LLM by its size and training tokens", "nats per token"),
        "llm_effect": Quantity(
            "logit that a step is right where counts tell it, else what an LLM has beyond its training",
            "logit or llm_sd",
        ),
    }

    def faults(self, table: pd.DataFrame) -> Sequence[str]:
        """Name the LLMs whose size or training tokens are not in the table."""
        result = []
        for column in ("params", "train_tokens"):
            known = table.groupby("model", sort=False)[column].any() if column in table else None
            lacking = [str(name) for name in table["model"].unique() if known is None or not known[name]]
            if lacking:
                result.append(
                    f"capability 'loss_bridge' needs {column} of every LLM; blank for {', '.join(lacking[:5])}"
                    + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
                )
        trees = sorted(set(table.loc[searches(table["strategy"]), "model"]))
        if trees:
            result.append(
                "capability 'loss_bridge' does not explain tree search, of which there are rows: leave them out with "
                "data.where"
            )
        return result

    def coords(self, design: Design, spec: Settings) -> Mapping[str, Sequence[str]]:
        """Return benchmarks, sampler settings, LLMs, and families if there are several."""
        if spec.population.family == "path":
            raise InputError(
                "population.family = 'path' has its own law of tasks; with capability 'loss_bridge' use 'split_normal' "
                "or 'normal'"
            )
        families = sorted(set(design.family) - {""})
        return {
            "benchmark": design.benchmarks,
            "setting": list(dict.fromkeys(setting_label(arm) for arm in design.arms)),
            "llm": list(design.llms),
            "family": families if len(families) > 1 else [],
        }

    def add(self, design: Design, spec: Settings) -> dict[str, Tensor]:
        """Add the bridge; ``loss`` of each LLM, ``location`` and ``spread`` follow from it."""
        coords = self.coords(design, spec)
        given: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            wanted = {"skew": spec.population.family == "split_normal", "family_effect": bool(coords["family"])}
            if wanted.get(name, True):
                given[name] = spec.prior(name).variable(name, dims=parameter.dims)
        by_size, by_tokens = loss_terms(design.params, design.train_tokens, design, given)
        pm.Deterministic("loss", pt.as_tensor(_IRREDUCIBLE + by_size + by_tokens), dims="llm")
        walks = [design.arms[arm] for arm in design.walk_arms]
        llm = np.array([design.llms.index(arm.model) for arm in walks])
        setting = np.array([coords["setting"].index(setting_label(arm)) for arm in walks])
        benchmark = np.array([coords["benchmark"].index(arm.benchmark) for arm in walks])
        local = given | {"ease": given["ease"][setting]}
        local |= {name: given[name][benchmark] for name in ("size_margin", "tokens_margin")}
        logit = step_logit(design.params[llm], design.train_tokens[llm], design, local)
        if coords["family"]:
            member = np.array([coords["family"].index(design.family[one]) if design.family[one] else -1 for one in llm])
            logit = logit + pt.switch(member < 0, 0.0, given["family_effect"][member])
        length = path_lengths(design, design.walk_arms)
        # Counts tell this logit itself, whatever the bridge says of an LLM; without counts its effect is standardised.
        own = np.array([_counted(design, arm) for arm in design.walk_arms], dtype=float)
        drawn = pm.Normal("llm_effect", own * logit, own * given["llm_sd"] + 1.0 - own, dims="walk")
        logit = own * drawn + (1.0 - own) * (logit + given["llm_sd"] * drawn)
        given["location"] = pm.Deterministic("location", eventual(logit, length), dims="walk")
        given["spread"] = pm.Deterministic("spread", given["task_spread"][benchmark], dims="walk")
        return given


def setting_label(arm: Arm) -> str:
    """Return the coordinate of an arm's benchmark and sampler setting."""
    return f"{arm.benchmark} | {arm.strategy}"


def _counted(design: Design, arm: int) -> bool:
    """Whether the fit saw attempts of an arm."""
    return any(bool(block.attempts[:, block.arms.index(arm)].any()) for block in design.blocks if arm in block.arms)


def path_lengths(design: Design, arms: Sequence[int]) -> np.ndarray:
    """Path lengths of some arms, 1 where they are not known, shape (arm,)."""
    length = np.asarray(design.path_length, dtype=float)[list(arms)]
    return np.where(np.isfinite(length), length, 1.0)


def loss_terms(params: Any, tokens: Any, design: Design, given: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Loss of LLMs due to their size, A N^-alpha, and due to their training tokens, B D^-beta.

    The terms are the published ones at the evaluated LLMs' typical (geometric mean) size and tokens: at one parameter
    or one token, far from any LLM, an exponent would change slopes, too.
    """
    size, trained = (float(np.exp(np.log(facts).mean())) for facts in (design.params, design.train_tokens))
    by_size = _SIZE * size**-_SIZE_EXPONENT * pt.exp(-given["size_exponent"] * np.log(params / size))
    by_tokens = _TOKENS * trained**-_TOKENS_EXPONENT * pt.exp(-given["tokens_exponent"] * np.log(tokens / trained))
    return by_size, by_tokens


def step_logit(params: Any, tokens: Any, design: Design, given: Mapping[str, Any]) -> Tensor:
    """Logit that a step of the typical task is right for LLMs of some size and tokens, but for effects of their own.

    Parameters
    ----------
    params, tokens : float or array
        Sizes and training tokens.
    design : Design
        Its LLMs are those that the margins belong to.
    given : mapping of str to tensor
        The bridge's parameters, those of settings and benchmarks along the LLMs.
    """
    of_llms = loss_terms(design.params[:, None], design.train_tokens[:, None], design, given)
    logit = given["ease"]
    for kind, every, mine in zip(("size", "tokens"), of_llms, loss_terms(params, tokens, design, given), strict=True):
        margin = given[f"{kind}_margin"]
        # Relative to the mean losses, so that ease and what limits do not trade off.
        enough = margin + given[f"{kind}_slope"] * (every.mean(axis=0) - mine)
        logit = logit + pt.softplus(-margin) - pt.softplus(-enough)
    excess = np.log(tokens / params) - pt.log(given["overtraining_onset"])
    return logit - given["overtraining"] * _ONSET_WIDTH * pt.softplus(excess / _ONSET_WIDTH)


def eventual(logit: Any, length: Any) -> Tensor:
    """Logit of the chance that all steps of a path are right, from the logit that one is."""
    log_success = -length * pt.softplus(-logit)
    return log_success - pt.log1mexp(log_success)


def location_of_new(
    params: Any, tokens: Any, length: float, design: Design, given: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Location of an LLM that was never evaluated, at draws.

    Parameters
    ----------
    params, tokens : float or array, broadcasting against (draws,)
        Size and training tokens.
    length : float
        Skills of a task.
    design : Design
        Of the fit.
    given : mapping of str to array, shape (draws,)
        ``effect`` of family and LLM, and the bridge's parameters at the setting.

    Returns
    -------
    array, shape (..., draws)
    """
    symbols = {name: pt.vector(name) for name in given}
    location = eventual(step_logit(params, tokens, design, symbols) + symbols["effect"], length)
    function = pytensor.function(list(symbols.values()), location, mode=python_mode())
    return np.asarray(function(*given.values()))
