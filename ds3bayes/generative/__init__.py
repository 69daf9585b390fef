"""The generative model: a specification and evaluations become a PyMC model.

What it says:

* A task has an easiness that all samplers share. An attempt's *eventual success* is rho^m in DS3's terms (m skills,
  each completed before a slip with probability rho); its logit is ``location + spread x easiness`` plus the sampler's
  own heavy-tailed task effect. The easiness follows a two-piece normal law, so that hard tasks can form a long tail.
* With probability 1 - ``reachability`` a task needs a skill that the LLM has not learned: no walk ever solves it.
* With probability 1 - ``soundness``, where two or more LLMs share tasks, a task is broken (a wrong key, an impossible
  test): no attempt of any LLM solves it. ``ds3.suspect_tasks(fit)`` (``ds3bayes suspects run.nc``) says which these
  may be, and which tasks every LLM is sure to solve. Of a lone LLM that cannot be told from ``reachability``, so it
  is not asked.
* Tokens of an attempt grow with difficulty and with the task's own path length; pace and path length follow from
  their mean and spread. A cut at K steps lowers success by the chance I_s(m, K-m+1) that the path is finished in
  time.
* Tree search is selection at the level of steps: each kept state proposes candidates, a selector with a learned
  discrimination keeps the best, and a right state becomes a right answer with a learned fidelity. Its link to the
  walk's difficulty (offset and slope) is learned too: in real logs, sharing one step probability is contradicted.
* Best-of-n, majority and pass^n are selection at the level of attempts; wrong answers agree as in a Chinese
  restaurant process fitted to answer counts.

All task effects are summed out on grids, so NUTS sees the population only; they are drawn exactly afterwards. Nodes
are closer where counts pin tasks down: with finer ones, log-likelihoods of ten LLMs with 1,000 attempts per task, and
of seven with 100, vary by .02 over the posterior.

``density`` is the joint density of one task, in equations and plain NumPy. ``ds3.build_model(spec, evals)`` returns
the plain ``pm.Model``, with named dims, for you to extend.
"""
