"""Loss bridge: what an LLM can do follows from the loss that its size and training tokens buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from ds3bayes.deferred import pm, pt, pytensor
from ds3bayes.errors import InputError
from ds3bayes.generative.capability.base import SharedEasiness, Tensor
from ds3bayes.generative.design import Arm, Design
from ds3bayes.generative.priors import Parameter, log, prior
from ds3bayes.generative.rows import searches
from ds3bayes.generative.settings import Settings
from ds3bayes.theory import scaling
from ds3bayes.theory.evaluate import python_mode

_SIZE, _SIZE_EXPONENT, _TOKENS, _TOKENS_EXPONENT = 406.4, 0.34, 410.7, 0.28


class LossBridge(SharedEasiness):
    """Capability from the pre-training loss L(N, D) = E + A N^-alpha + B D^-beta of an LLM's size and training tokens.

    A step completes the next skill of a benchmark's typical task with the logit ``slope (L0 - L)``, L0 being the
    benchmark's loss threshold, plus the effect of the LLM's family and one of the LLM's own. With m skills on a path
    (`path_length`, 1 if it is not known) the eventual success at that task is the m-th power of that chance, and its
    logit is ``location``. Tasks spread around it by their easiness, alike for all LLMs: an LLM that was never
    evaluated is so predicted from its ``params`` and ``train_tokens`` (`ds3bayes.predict_llms`).

    Counts inform the product of slope and loss differences between LLMs. Which part of a difference is due to the
    slope, to size or to training tokens is told by a grid of both only; the irreducible loss E moves all LLMs alike,
    so that it stays at its published 1.69 and ``loss_threshold`` is relative to that. The scaling law's multipliers
    and exponents have tight priors around the published values and are hardly learned; predictions inside the range
    of the evaluated LLMs do not rest on them, those far outside do.

    References
    ----------
    Ellis-Mohr, Nayak, Varshney (2025), arXiv 2507.00004: step success from loss. Hoffmann et al. (2022),
    arXiv 2203.15556: the loss and the central values of its constants.
    """

    kind: Literal["loss_bridge"] = "loss_bridge"
    parameters: ClassVar[Mapping[str, Parameter]] = {
        "skew": SharedEasiness.parameters["skew"],
        "task_spread": Parameter(
            prior("LogNormal", mu=log(2.0), sigma=0.5),
            ("benchmark",),
            "sd over a benchmark's tasks of logit eventual success, alike for all LLMs",
        ),
        "ease": Parameter(
            prior("Normal", mu=1.0, sigma=2.0),
            ("setting",),
            "logit that a step of the typical task is right for an LLM of the evaluated LLMs' mean loss",
        ),
        "bridge_slope": Parameter(prior("LogNormal", mu=log(5.0), sigma=0.6), (), "rise of that logit per nat of loss"),
        "size_factor": Parameter(
            prior("LogNormal", mu=0.0, sigma=0.2), (), "factor on the published loss due to size, at a typical one"
        ),
        "size_exponent": Parameter(prior("LogNormal", mu=log(_SIZE_EXPONENT), sigma=0.1), (), "alpha of N^-alpha"),
        "tokens_factor": Parameter(
            prior("LogNormal", mu=0.0, sigma=0.2), (), "factor on the published loss due to tokens, at a typical number"
        ),
        "tokens_exponent": Parameter(prior("LogNormal", mu=log(_TOKENS_EXPONENT), sigma=0.1), (), "beta of D^-beta"),
        "family_effect": Parameter(
            prior("Normal", mu=0.0, sigma=0.5), ("family",), "how much better LLMs of a family are, on the logit"
        ),
        "llm_sd": Parameter(
            prior("LogNormal", mu=log(0.25), sigma=0.7), (), "sd of what an LLM has beyond its loss and its family"
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
        """Add the bridge; ``loss`` of each LLM, ``loss_threshold``, ``location`` and ``spread`` follow from it."""
        coords = self.coords(design, spec)
        given: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            wanted = {"skew": spec.population.family == "split_normal", "family_effect": bool(coords["family"])}
            if wanted.get(name, True):
                given[name] = spec.prior(name).variable(name, dims=parameter.dims)
        loss = pm.Deterministic("loss", expected_loss(design.params, design.train_tokens, design, given), dims="llm")
        walks = [design.arms[arm] for arm in design.walk_arms]
        llm = np.array([design.llms.index(arm.model) for arm in walks])
        setting = np.array([coords["setting"].index(setting_label(arm)) for arm in walks])
        # Centred on the evaluated LLMs, so that ease and slope do not trade off.
        pm.Deterministic("loss_threshold", loss.mean() + given["ease"] / given["bridge_slope"], dims="setting")
        given["llm_effect"] = pm.Normal("llm_effect", 0.0, 1.0, dims="walk") * given["llm_sd"]
        logit = given["ease"][setting] + given["bridge_slope"] * (loss.mean() - loss[llm]) + given["llm_effect"]
        if coords["family"]:
            member = np.array([coords["family"].index(design.family[one]) if design.family[one] else -1 for one in llm])
            logit = logit + pt.switch(member < 0, 0.0, given["family_effect"][member])
        length = path_lengths(design, design.walk_arms)
        given["location"] = pm.Deterministic("location", eventual(logit, length), dims="walk")
        benchmark = np.array([coords["benchmark"].index(arm.benchmark) for arm in walks])
        given["spread"] = pm.Deterministic("spread", given["task_spread"][benchmark], dims="walk")
        return given


def setting_label(arm: Arm) -> str:
    """Return the coordinate of an arm's benchmark and sampler setting."""
    return f"{arm.benchmark} | {arm.strategy}"


def path_lengths(design: Design, arms: Sequence[int]) -> np.ndarray:
    """Path lengths of some arms, 1 where they are not known, shape (arm,)."""
    length = np.asarray(design.path_length, dtype=float)[list(arms)]
    return np.where(np.isfinite(length), length, 1.0)


def expected_loss(params: Any, tokens: Any, design: Design, given: Mapping[str, Any]) -> Tensor:
    """Pre-training loss of LLMs of some sizes and training tokens, given the scaling law's parameters."""
    return scaling.loss(params, tokens, **loss_constants(design, given))


def loss_constants(design: Design, given: Mapping[str, Any]) -> dict[str, Any]:
    """Constants A, alpha, B, beta of the loss law, given the scaling law's parameters.

    The factors multiply the published terms at the evaluated LLMs' typical (geometric mean) size and tokens: at one
    parameter or one token, far from any LLM, exponent and factor would be nearly the same thing.
    """
    size, trained = (float(np.exp(np.log(facts).mean())) for facts in (design.params, design.train_tokens))
    alpha, beta = given["size_exponent"], given["tokens_exponent"]
    return {
        "A": _SIZE * size ** (alpha - _SIZE_EXPONENT) * given["size_factor"],
        "alpha": alpha,
        "B": _TOKENS * trained ** (beta - _TOKENS_EXPONENT) * given["tokens_factor"],
        "beta": beta,
    }


def eventual(logit: Any, length: Any) -> Tensor:
    """Logit of the chance that all steps of a path are right, from the logit that one is."""
    log_success = -length * pt.softplus(-logit)
    return log_success - pt.log1mexp(log_success)


def location_of_new(
    params: float, tokens: float, length: float, design: Design, given: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Location of an LLM that was never evaluated, at draws.

    Parameters
    ----------
    params, tokens : float
        Size and training tokens.
    length : float
        Skills of a task.
    design : Design
        Of the fit.
    given : mapping of str to array, shape (draws,)
        ``mean_loss`` of the evaluated LLMs, ``ease`` of the setting, ``effect`` of family and LLM, and the bridge's
        parameters.

    Returns
    -------
    array, shape (draws,)
    """
    symbols = {name: pt.vector(name) for name in given}
    gain = symbols["bridge_slope"] * (symbols["mean_loss"] - expected_loss(params, tokens, design, symbols))
    location = eventual(symbols["ease"] + gain + symbols["effect"], length)
    function = pytensor.function(list(symbols.values()), location, mode=python_mode())
    return function(*(np.broadcast_to(values, given["mean_loss"].shape) for values in given.values()))
