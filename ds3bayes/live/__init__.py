"""Evaluations that stop once they have answered what they were run for.

With ``eval(Task(..., epochs=32, early_stopping=StopWhenDecided(Better(option="acme/large", than="acme/small",
by=0.02))), model=["acme/large", "acme/small"])`` Inspect leaves out attempts that the answer does not need (``pip
install 'ds3bayes[inspect]'``). Questions: ``Success(within=.02)`` of an LLM, ``Better``, ``Best(options,
max_cost=...)`` and ``Cheapest(options, success=...)``, on these tasks or ``tasks="new"``; options are LLMs, or
strategies of one (``"acme/small | best_of_n(n=4)"``). Epochs are the most attempts of a sample. An attempt is left
out once the question is answered (``"decided"``), once the rest of the plan cannot answer it (``"cannot be
decided"``), or where another one left in the plan tells more than twice as much for its tokens (``"tells too
little"``). Between refits, which run in a thread beside the evaluation, every task's posterior given its attempts is
exact, so that a decision takes milliseconds. Every task is tried twice first (``first_epochs``), for benchmarks are
often ordered by difficulty, and after one epoch much rests on the priors. If a refit fails, the evaluation goes on,
and the log says so.

Reasons, attempts and the answer are in the log (``results.early_stopping``). Its mean score is biased, for uncertain
tasks get more attempts; ``read_inspect`` and ``fit`` are not: which attempts are missing depends on results that are
in the log. ``Stopper`` is the same without Inspect, for other harnesses, and ``ds3.live.replay(evals, question,
epochs=64)`` says what stopping would have saved on attempts of your own.

Of LLMs that are compared, differences are small by their prior. ``.github/MEASURED.md`` has what replays of public
attempts saved, and how often they were wrong: the success of what is chosen among near ties is put too high, and for
an estimate to +- .03 fixed epochs are as good.

``ds3bayes watch logs/`` reads logs as they land, refits, rewrites the report, and says whether the answer changed,
what to run next and when nothing more is worth running (``--until-done`` then ends). Logs of running evaluations
wait: their fast attempts are not like the rest.
"""

from ds3bayes.live.inspect import StopWhenDecided
from ds3bayes.live.questions import Answer, Best, Better, Cheapest, Question, Success
from ds3bayes.live.replay import fixed_epochs, replay
from ds3bayes.live.stopper import Stopper, Worth

__all__ = [
    "Answer",
    "Best",
    "Better",
    "Cheapest",
    "Question",
    "StopWhenDecided",
    "Stopper",
    "Success",
    "Worth",
    "fixed_epochs",
    "replay",
]
