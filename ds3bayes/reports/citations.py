"""Whom to cite for the parts that a fit uses."""

from __future__ import annotations

import pandas as pd

from ds3bayes.generative.spec import ModelSpec
from ds3bayes.strategies import STRATEGIES
from ds3bayes.strategies.base import NOISY_VERIFIER
from ds3bayes.strategies.references import Reference, arxiv

_DS3 = arxiv(
    "ellismohr2025theory",
    "Ellis-Mohr, Austin R. and Nayak, Anuj K. and Varshney, Lav R.",
    "A Theory of Inference Compute Scaling: Reasoning through Directed Stochastic Skill Search",
    2025,
    "2507.00004",
    "inference as directed stochastic skill search, the theory of this model",
)
_SKILLS = arxiv(
    "nayak2024information",
    "Nayak, Anuj K. and Varshney, Lav R.",
    "An Information Theory of Compute-Optimal Size Scaling, Emergence, and Plateaus in Language Models",
    2024,
    "2410.01243",
    "how training compute becomes concepts and levels of skills",
)
_LOSS = arxiv(
    "hoffmann2022training",
    "Hoffmann, Jordan and Borgeaud, Sebastian and Mensch, Arthur and Sifre, Laurent and others",
    "Training Compute-Optimal Large Language Models",
    2022,
    "2203.15556",
    "loss from size and training tokens",
)
_SMALL = arxiv(
    "godey2024why",
    "Godey, Nathan and de la Clergerie, Eric and Sagot, Benoit",
    "Why do small language models underperform? Studying Language Model Saturation via the Softmax Bottleneck",
    2024,
    "2404.07647",
    "decline of small models that are trained for long",
)
_EVALS = arxiv(
    "miller2024adding",
    "Miller, Evan",
    "Adding Error Bars to Evals: A Statistical Approach to Language Model Evaluations",
    2024,
    "2411.00640",
    "error bars for evaluations",
)
_PYMC = Reference(
    key="abrilpla2023pymc",
    authors="Abril-Pla, Oriol and Andreani, Virgile and Carroll, Colin and Dong, Larry and others",
    title="PyMC: A Modern and Comprehensive Probabilistic Programming Framework in Python",
    year=2023,
    address="https://doi.org/10.7717/peerj-cs.1516",
    part="the probabilistic programme",
)
_NUTS = arxiv(
    "hoffman2011nuts",
    "Hoffman, Matthew D. and Gelman, Andrew",
    "The No-U-Turn Sampler: Adaptively Setting Path Lengths in Hamiltonian Monte Carlo",
    2011,
    "1111.4246",
    "sampling the posterior",
)
_RHAT = arxiv(
    "vehtari2019rank",
    "Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and Buerkner, Paul-Christian",
    "Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC",
    2019,
    "1903.08008",
    "whether chains agree",
)
_LOO = arxiv(
    "vehtari2015practical",
    "Vehtari, Aki and Gelman, Andrew and Gabry, Jonah",
    "Practical Bayesian Model Evaluation Using Leave-One-Out Cross-Validation and WAIC",
    2015,
    "1507.04544",
    "leaving one out",
)
_POWER = arxiv(
    "kallioinen2021detecting",
    "Kallioinen, Noa and Paananen, Topi and Buerkner, Paul-Christian and Vehtari, Aki",
    "Detecting and Diagnosing Prior and Likelihood Sensitivity with Power-Scaling",
    2021,
    "2107.14054",
    "dependence on the prior",
)


def references(spec: ModelSpec, data: pd.DataFrame, checks: list[str]) -> list[Reference]:
    """Return the sources of the parts that a fit and its report use, the theory first.

    Parameters
    ----------
    spec : ModelSpec
    data : pandas.DataFrame
        With a column ``strategy``: what was observed.
    checks : list of str
        Names of the checks that were run.

    Returns
    -------
    list of Reference
    """
    asked = spec.query.parsed()
    used = dict.fromkeys([*(str(name) for name in data["strategy"].unique()), *(one.name for one in asked)])
    kind = spec.capability.kind
    wanted = [
        (_DS3, True),
        (_SKILLS, kind == "skill_hierarchy"),
        (_LOSS, kind == "loss_bridge"),
        (_SMALL, kind == "loss_bridge"),
        *((source, True) for source in dict.fromkeys(STRATEGIES[name].source for name in used) if source is not None),
        (NOISY_VERIFIER, any(one.verifier_errs for one in asked)),
        (_EVALS, True),
        (_PYMC, True),
        (_NUTS, True),
        (_RHAT, "convergence" in checks),
        (_LOO, any(name.startswith("leave one") for name in checks)),
        (_POWER, "dependence on the prior" in checks),
    ]
    return [reference for reference, needed in wanted if needed]
