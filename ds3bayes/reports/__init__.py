"""The report of a fit: one page with the decision, the evidence for it and what it rests on; and its plots."""

import lazy_loader

# The names are those of `__init__.pyi`; figures need matplotlib, which takes a second to import.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
