"""Closed forms of directed stochastic skill search (Ellis-Mohr, Nayak, Varshney, arXiv 2507.00004).

Every formula is one function that builds a PyTensor expression: a model uses the expression itself,
`evaluate` runs the same expression on NumPy arrays.

Success and cost of strategies follow from a path of skills in closed form, and each strategy can also be walked step
by step, which the tests hold against each other:

>>> import ds3bayes as ds3
>>> import numpy as np
>>> task = ds3.PathTask(path_length=6, advance=0.12, commit=0.01, reachability=0.98, wrong_answer_concentration=1.0)
>>> laws = ds3.strategy_laws(["cot(budget_tokens=2000)", "majority(n=4, budget_tokens=500)"], task)
>>> sorted(laws.data_vars)
['parallel_tokens', 'success', 'tokens']
>>> walks = ds3.Majority(n=4, budget_tokens=500).simulate(task, np.random.default_rng(0), size=500)
>>> bool(abs(walks.success.mean() - laws["success"][1]) < 0.1)
True

``ds3.strategy_laws(strategies, task, ds3.Rates(...))`` adds FLOP, joules, USD and seconds. ``ds3.SkillGraph`` and
``ds3.traverse`` run the general walk on any directed graph of skills; ``ds3bayes.theory.hierarchy`` and
``ds3bayes.theory.scaling`` hold the training side. ``notebooks/01_theory.ipynb`` shows what follows: linear accuracy
in log compute, which strategy wins where, the limits of best-of-n and majority, power-law coverage, the staircase in
training compute.
"""
