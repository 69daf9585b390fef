"""The report of a fit: one page with the decision, the evidence for it and what it rests on; and its plots.

``ds3bayes run SPEC`` writes ``report.html`` (one file that loads nothing), ``report.md`` and ``tables/*.csv``. It
says what to deploy, what reaches your target and how far to trust it. Then come the options with P(best) and regret,
the frontier, success against attempts (with the limits of best-of-n and majority) and against token budget, what was
learned of skills, held-out rows against predictions, checks and notes in plain words, what the data did not inform,
provenance and whom to cite. Tasks that importance sampling cannot leave out are left out by refits, 20 at most
(``ds3bayes check --refits``).

*These tasks* or *new tasks*: the first is about the very tasks evaluated, the second about fresh ones of the same
kind and is always less certain. Intervals are 90 % and equal-tailed. *P(best)* is the posterior probability that an
option beats all others within the cost cap; *regret* is the success you expect to lose by choosing it. An interval
that its mean would fall out of is widened to hold it. Filled marks were used in the fit, open ones held out,
half-filled ones in part; a curve of these tasks bears no marks of others. A parameter marked as hardly learned rests
on its prior, and so does what depends on it.

Each picture is a function that takes ``ax``: ``ds3.plot_frontier(pred)``, ``ds3.plot_success_by_attempts(fit)``,
``ds3.plot_difference(...)`` and so on. Run again after changing questions or prices: the fit is reused (``--refit``
samples anew).
"""

import lazy_loader

# The names are those of `__init__.pyi`; figures need matplotlib, which takes a second to import.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
