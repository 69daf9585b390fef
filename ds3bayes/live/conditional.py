"""Every task's success given its attempts, exactly on the grid, at each draw of the law of the tasks.

An attempt changes one task, so that a decision takes a millisecond. What it says of the law of the tasks reweights the
draws; a refit is due before their weights are few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import expit, gammaln

from ds3bayes.live.population import Population

Array = np.ndarray
Law = Callable[[Array], Array]


class Conditional:
    """The options' success given the draws of a population and the counts of every task.

    Parameters
    ----------
    population : Population
    laws : sequence of sequence of callable
        For each arm, what its options' success is as a function of that of one attempt; the first is the attempt's own.
    successes, attempts : int arrays, shape (A, T)
        Counts that the population was learned from: the draws have equal weight there.
    """

    def __init__(
        self, population: Population, laws: Sequence[Sequence[Law]], successes: Array, attempts: Array
    ) -> None:
        self.population = population
        self._laws = laws
        self._place = np.cumsum([0, *(len(one) for one in laws)])
        self._functions = int(self._place[-1])
        self._cells: dict[tuple[int, int, int], tuple[Array, Array, Array]] = {}
        self._signatures: dict[tuple[tuple[int, int], ...], tuple[Array, Array, Array]] = {}
        self.successes, self.attempts = successes.copy(), attempts.copy()
        tasks, draws = attempts.shape[1], len(population.sound)
        self.mean = np.empty((tasks, draws, self._functions), dtype=np.float32)
        #: Second moments of the laws at each task.
        self.second = np.empty((tasks, draws, self._functions, self._functions), dtype=np.float32)
        self._log_likelihood = np.empty((tasks, draws))
        self._log_weight = np.zeros(draws)
        self._sum_mean = np.zeros((draws, self._functions))
        self._sum_covariance = np.zeros((draws, self._functions, self._functions))
        for task in range(tasks):
            self._put(task)
        self._sum()
        # A task that nobody tried is as a new one.
        _, self.new_mean, self.new_second = self._moments(tuple((0, 0) for _ in laws))

    def of_attempt(self, arm: int) -> int:
        """Place of an arm's single attempt among the laws."""
        return int(self._place[arm])

    def of_law(self, arm: int, law: int) -> int:
        """Place of a law of an arm among all."""
        return int(self._place[arm]) + law

    @property
    def weight(self) -> Array:
        """Weights (S,) of the draws given the counts, summing to 1."""
        weight = np.exp(self._log_weight - self._log_weight.max())
        return weight / weight.sum()

    @property
    def effective_draws(self) -> float:
        """How many draws of equal weight the weighted ones are worth."""
        return float(1.0 / (self.weight**2).sum())

    def of_all_tasks(self) -> tuple[Array, Array]:
        """Mean (S, F) and covariance (S, F, F) of the laws' mean over all tasks, at each draw."""
        tasks = len(self.mean)
        return self._sum_mean / tasks, self._sum_covariance / tasks**2

    def set_counts(self, task: int, successes: Array, attempts: Array) -> None:
        """Take over a task's counts (A,), and what they say of the draws."""
        self._sum_mean -= self.mean[task]
        self._sum_covariance -= self._covariance(task)
        self._log_weight -= self._log_likelihood[task]
        self.successes[:, task], self.attempts[:, task] = successes, attempts
        self._put(task)
        self._log_weight += self._log_likelihood[task]
        self._sum_mean += self.mean[task]
        self._sum_covariance += self._covariance(task)

    def _covariance(self, task: int) -> Array:
        mean = self.mean[task].astype(float)
        return self.second[task] - mean[:, :, None] * mean[:, None, :]

    def _sum(self) -> None:
        self._sum_mean = self.mean.sum(axis=0, dtype=float)
        self._sum_covariance = sum(
            (self._covariance(task) for task in range(len(self.mean))), np.zeros_like(self._sum_covariance)
        )

    def _put(self, task: int) -> None:
        counts = tuple(zip(self.successes[:, task].tolist(), self.attempts[:, task].tolist(), strict=True))
        self._log_likelihood[task], self.mean[task], self.second[task] = self._moments(counts)

    def _moments(self, counts: tuple[tuple[int, int], ...]) -> tuple[Array, Array, Array]:
        """Log-likelihood (S,), mean (S, F) and second moments (S, F, F) of the laws at a task with such counts."""
        found = self._signatures.get(counts)
        if found is not None:
            return found
        population = self.population
        weight, functions = population.weight, self._functions
        inside = weight
        given = np.empty((*weight.shape, functions))
        squares = []
        missed = np.ones(len(weight))
        for arm, (successes, attempts) in enumerate(counts):
            likelihood, first, second = self._cell(arm, successes, attempts)
            reach = population.reachable[:, arm, None]
            unsolved = float(successes == 0)
            either = np.maximum(reach * likelihood + (1.0 - reach) * unsolved, 1e-300)
            inside = inside * either
            missed *= unsolved
            place = slice(self._place[arm], self._place[arm + 1])
            given[..., place] = (reach / either)[..., None] * first
            squares.append((place, (reach / either)[..., None, None] * second))
        inside = population.sound[:, None] * inside
        total = inside.sum(axis=1) + (1.0 - population.sound) * missed
        share = inside / total[:, None]
        mean = np.einsum("sj,sjf->sf", share, given)
        moments = np.matmul((share[..., None] * given).transpose(0, 2, 1), given)
        # Two laws of one arm have its own effect in common.
        for place, square in squares:
            moments[:, place, place] = np.einsum("sj,sjfg->sfg", share, square)
        result = np.log(total), mean, moments
        if len(self._signatures) > 4096:
            self._signatures.clear()
        self._signatures[counts] = result
        return result

    def _cell(self, arm: int, successes: int, attempts: int) -> tuple[Array, Array, Array]:
        """Likelihood (S or 1, J) of an arm's counts at the nodes, and integrals with its laws and their products."""
        key = (arm, successes, attempts)
        if key not in self._cells:
            likelihood, first, second = self._at_nodes(arm, successes, attempts)
            if self.population.own is not None:
                own = self.population.own[arm]
                laws = first.shape[1]
                columns = np.concatenate([likelihood[:, None], first, second.reshape(len(second), -1)], axis=1)
                mixed = np.matmul(own, columns.astype(np.float32)).astype(float)
                likelihood, first = mixed[..., 0], mixed[..., 1 : 1 + laws]
                second = mixed[..., 1 + laws :].reshape(*mixed.shape[:2], laws, laws)
            else:
                likelihood, first, second = likelihood[None], first[None], second[None]
            if len(self._cells) > 512:
                self._cells.clear()
            self._cells[key] = likelihood, first, second
        return self._cells[key]

    def _at_nodes(self, arm: int, successes: int, attempts: int) -> tuple[Array, Array, Array]:
        """Integrals over the nodes' hats, as in `Grid.table`: likelihood (G,), with each law (G, L), with two."""
        grid = self.population.grid
        offsets, weights = grid.within(attempts)
        x = grid.nodes[:, None] + offsets
        failures = attempts - successes
        ways = gammaln(attempts + 1) - gammaln(successes + 1) - gammaln(failures + 1)
        log_likelihood = ways - successes * np.logaddexp(0.0, -x) - failures * np.logaddexp(0.0, x)
        mass = np.exp(log_likelihood) * weights
        q = expit(x)
        laws = np.stack([law(q) for law in self._laws[arm]], axis=-1)
        first = np.einsum("gs,gsl->gl", mass, laws)
        return mass.sum(axis=1), first, np.einsum("gs,gsl,gsm->glm", mass, laws, laws)
