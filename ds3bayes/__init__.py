"""Bayesian calibration of LLM inference strategies as directed stochastic skill search."""

import lazy_loader

# The names are those of `__init__.pyi`; each is imported when first used: a program pays for what it uses.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
