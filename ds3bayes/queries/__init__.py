"""What to ask of a fit: predictions, comparisons, decisions.

* `decide`: what to deploy, as the page, the command line and JSON say it
* `best`: P(best) and expected regret within a cost
* `cheapest`: the cheapest option that is sure enough to suffice
* `frontier`: which options nothing is better and cheaper than, with probabilities
* `compare`: is the difference real?
* `rank`: who is first, and how surely
* `cost_to_reach`: what a target costs, and with what probability it is never reached
* `variance`: how much of it is due to parameters, tasks and attempts
* `next_evals`: what to run next, how often
* `plan`: how many tasks and attempts, before any data
* `allocate`: how to split compute between training and running
* `predict_grid`: success and cost at many budgets, on a cluster if asked

All but ``decide`` return xarray with units, and all but it and the grid an answer in words in ``attrs``. "On these
tasks" and "on new tasks" can differ. ``allocate`` splits compute between training and running an LLM and needs
``capability = "loss_bridge"``. A grid measures its own error on a sample and falls back to the formulas where success
would be off by more than 2e-4. ``--scheduler tcp://HOST:8786`` (``scheduler=`` in Python) lets the workers of a Dask
cluster make the grid of ``predict --budgets`` and the fits of ``sbc`` and ``calibrate``: the same numbers, and a
worker that dies costs its items a second try. Install ``ds3bayes[distributed]``, in the same version, everywhere;
``dask scheduler`` here, ``dask worker tcp://HOST:8786`` there.

``ds3.plan`` (``ds3bayes plan``) sizes an evaluation before it is run, from a former fit, a table, published
accuracies or the priors of a spec: tasks, attempts and dollars to reach an interval of a width, or to tell a
difference with a power, or the smallest difference that a budget can show, on new tasks or on these very ones.
``ds3.plot_plan`` draws it.

A decision says what to deploy, in the terms of ``[query]`` of a specification:

* Practical ties. Options whose expected success is at most ``margin`` (.01; a tenth of the best's, where that is
  less) below the best's are tied, and the cheapest of them is named first. What reaches the target in expectation,
  within the margin, for half of the price or less of what surely does is named, too.
* Bounds. What picks by a perfect check (an oracle verifier, any of several outputs right) is an upper bound, marked
  so and never recommended, unless ``perfect_check = true`` (or a list of benchmarks) says that answers can be checked
  when deployed.
* Observed beside predicted. For options that were run, the table shows success on the tasks they were run on, and
  marks predictions that are away from it. What is recommended without having been run says so.
* Several benchmarks are one decision on their mean, with that of each below; ``[query.weights]`` says how much each
  counts (alike if absent; one left out is not decided on). An option must have been run on all of them: a fit does
  not predict an LLM on a benchmark where it was not run.
"""
