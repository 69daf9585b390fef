"""Whom to cite for the parts that a fit uses."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ds3bayes.generative.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A published source.

    Parameters
    ----------
    key : str
        Of its BibTeX entry.
    authors, title : str
        Authors as BibTeX writes them.
    year : int
    address : str
        An arXiv abstract or a DOI, as a URL.
    part : str
        What of the fit rests on it.
    """

    key: str
    authors: str
    title: str
    year: int
    address: str
    part: str

    @property
    def names(self) -> str:
        """Family names of the authors, at most three."""
        family = [one.partition(",")[0] for one in self.authors.split(" and ")]
        return ", ".join(family) if len(family) <= 3 else f"{family[0]} et al."

    @property
    def bibtex(self) -> str:
        """The entry for a bibliography."""
        arxiv = self.address.partition("arxiv.org/abs/")[2]
        where = f"eprint = {{{arxiv}}},\n  archivePrefix = {{arXiv}}" if arxiv else f"url = {{{self.address}}}"
        return (
            f"@misc{{{self.key},\n  author = {{{self.authors}}},\n  title = {{{{{self.title}}}}},\n"
            f"  year = {{{self.year}}},\n  {where}\n}}"
        )


def _arxiv(key: str, authors: str, title: str, year: int, number: str, part: str) -> Reference:
    return Reference(
        key=key, authors=authors, title=title, year=year, address=f"https://arxiv.org/abs/{number}", part=part
    )


_DS3 = _arxiv(
    "ellismohr2025theory",
    "Ellis-Mohr, Austin R. and Nayak, Anuj K. and Varshney, Lav R.",
    "A Theory of Inference Compute Scaling: Reasoning through Directed Stochastic Skill Search",
    2025,
    "2507.00004",
    "inference as directed stochastic skill search, the theory of this model",
)
_SKILLS = _arxiv(
    "nayak2024information",
    "Nayak, Anuj K. and Varshney, Lav R.",
    "An Information Theory of Compute-Optimal Size Scaling, Emergence, and Plateaus in Language Models",
    2024,
    "2410.01243",
    "how training compute becomes concepts and levels of skills",
)
_LOSS = _arxiv(
    "hoffmann2022training",
    "Hoffmann, Jordan and Borgeaud, Sebastian and Mensch, Arthur and Sifre, Laurent and others",
    "Training Compute-Optimal Large Language Models",
    2022,
    "2203.15556",
    "loss from size and training tokens",
)
_COT = _arxiv(
    "wei2022chain",
    "Wei, Jason and Wang, Xuezhi and Schuurmans, Dale and Bosma, Maarten and others",
    "Chain-of-Thought Prompting Elicits Reasoning in Large Language Models",
    2022,
    "2201.11903",
    "chain of thought",
)
_TOT = _arxiv(
    "yao2023tree",
    "Yao, Shunyu and Yu, Dian and Zhao, Jeffrey and Shafran, Izhak and others",
    "Tree of Thoughts: Deliberate Problem Solving with Large Language Models",
    2023,
    "2305.10601",
    "tree of thought",
)
_VOTE = _arxiv(
    "wang2022selfconsistency",
    "Wang, Xuezhi and Wei, Jason and Schuurmans, Dale and Le, Quoc and others",
    "Self-Consistency Improves Chain of Thought Reasoning in Language Models",
    2022,
    "2203.11171",
    "majority vote",
)
_COVERAGE = _arxiv(
    "brown2024large",
    "Brown, Bradley and Juravsky, Jordan and Ehrlich, Ryan and Clark, Ronald and others",
    "Large Language Monkeys: Scaling Inference Compute with Repeated Sampling",
    2024,
    "2407.21787",
    "repeated sampling and coverage (best-of-n with an oracle)",
)
_VERIFIER = _arxiv(
    "cobbe2021training",
    "Cobbe, Karl and Kosaraju, Vineet and Bavarian, Mohammad and Chen, Mark and others",
    "Training Verifiers to Solve Math Word Problems",
    2021,
    "2110.14168",
    "best-of-n with a verifier that errs",
)
_EVALS = _arxiv(
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
_NUTS = _arxiv(
    "hoffman2011nuts",
    "Hoffman, Matthew D. and Gelman, Andrew",
    "The No-U-Turn Sampler: Adaptively Setting Path Lengths in Hamiltonian Monte Carlo",
    2011,
    "1111.4246",
    "sampling the posterior",
)
_RHAT = _arxiv(
    "vehtari2019rank",
    "Vehtari, Aki and Gelman, Andrew and Simpson, Daniel and Carpenter, Bob and Buerkner, Paul-Christian",
    "Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC",
    2019,
    "1903.08008",
    "whether chains agree",
)
_LOO = _arxiv(
    "vehtari2015practical",
    "Vehtari, Aki and Gelman, Andrew and Gabry, Jonah",
    "Practical Bayesian Model Evaluation Using Leave-One-Out Cross-Validation and WAIC",
    2015,
    "1507.04544",
    "leaving one out",
)
_POWER = _arxiv(
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
    used = {str(name) for name in data["strategy"]} | {one.name for one in spec.query.parsed()}
    verifiers = " ".join(spec.query.strategies)
    kind = spec.capability.kind
    wanted = [
        (_DS3, True),
        (_SKILLS, kind == "skill_hierarchy"),
        (_LOSS, kind == "loss_bridge"),
        (_COT, "cot" in used),
        (_TOT, bool(used & {"tot", "beam", "step_search"})),
        (_VOTE, bool(used & {"majority", "weighted_best_of_n", "early_stopping_majority"})),
        (_COVERAGE, bool(used & {"best_of_n", "pass_power", "g_pass"})),
        (_VERIFIER, "noisy(" in verifiers or "learned(" in verifiers),
        (_EVALS, True),
        (_PYMC, True),
        (_NUTS, True),
        (_RHAT, "convergence" in checks),
        (_LOO, any(name.startswith("leave one") for name in checks)),
        (_POWER, "dependence on the prior" in checks),
    ]
    return [reference for reference, needed in wanted if needed]
