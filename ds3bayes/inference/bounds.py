"""What checks hold a fit against."""

from __future__ import annotations

#: Largest rank-normalised split r-hat of chains that agree.
MAX_RHAT = 1.01
#: Least number of effective draws, bulk and tail, that quantiles can be read off.
MIN_ESS = 400
#: Least Bayesian fraction of missing information of a chain that explores the tails.
MIN_BFMI = 0.3
#: Largest share of draws that may stop at the largest tree depth.
MAX_AT_DEPTH = 0.01
#: Pareto k above which a task is influential: the fit without it cannot be told from the fit with it.
HIGH_K = 0.7
#: Largest share of tasks that may be influential.
MAX_INFLUENTIAL = 0.05
#: Most tasks that a check refits without, the most influential first, and the draws of each of two chains.
MAX_REFITS, REFIT_DRAWS = 20, 250
#: R-hat above which so short a refit tells nothing.
MAX_RHAT_OF_REFIT = 1.1
#: By how much leaving out one task may move the expected success at new tasks: in posterior sds, and in itself.
MAX_MOVE, SMALL_MOVE = 1.0, 0.01
#: Posterior sd over prior sd above which a parameter was hardly learned.
HARDLY_LEARNED = 0.8
#: Sensitivity to power-scaling above which a prediction depends on the prior.
DEPENDS_ON_PRIOR = 0.05
#: How often a right model may fail the check of its predictions, or of its calibration.
FALSE_ALARM = 0.01
#: Below this number of tasks each is bound to be influential.
FEW_TASKS = 10
#: Fewest draws from which a fit warns of influential tasks: with fewer, their k is mostly noise.
MIN_DRAWS_OF_K = 400
#: Fewest draws whose tail can be smoothed at all, for Pareto k and for sensitivity to the prior.
MIN_DRAWS_OF_TAIL = 25
