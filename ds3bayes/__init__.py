"""Bayesian calibration of LLM inference strategies as directed stochastic skill search."""

import lazy_loader

# Unlike the other names, this one is also that of a subpackage, whose import would hide it.
from ds3bayes.report import report as report

# The names are those of `__init__.pyi`; each is imported when first used: a program pays for what it uses.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
