"""The report of a fit: one page with the decision, the evidence for it and what it rests on."""

from ds3bayes.report.html import report

__all__ = ["report"]
