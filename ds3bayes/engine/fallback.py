"""What runs a model that the machine cannot run: nutpie, which compiles it by numba."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pymc as pm

from ds3bayes.engine.chains import Drawn, plain
from ds3bayes.engine.nuts import reports


class EngineWarning(UserWarning):
    """A model is run in a slower way than it might be; the message says why."""

    @classmethod
    def of(cls, reason: Exception) -> EngineWarning:
        """Say what the machine lacks, in one line."""
        return cls(f"the model is compiled by numba, which takes a minute: the machine cannot run {reason}")


class Fallback:
    """A model compiled by `nutpie.compile_pymc_model`.

    Parameters
    ----------
    model : pymc.Model
    """

    def __init__(self, model: pm.Model) -> None:
        import nutpie

        with warnings.catch_warnings():
            # The package's own operations have no code in numba: it calls their definitions.
            warnings.filterwarnings("ignore", message="Numba will use object mode")
            self._compiled = nutpie.compile_pymc_model(model)
        self.dims = {name: tuple(map(str, dims)) for name, dims in model.named_vars_to_dims.items()}

    @staticmethod
    def beside_others() -> AbstractContextManager[Any]:
        """Return a context for chains side by side: threads of BLAS within each would wait for one another."""
        from threadpoolctl import threadpool_limits

        return threadpool_limits(limits=1, user_api="blas")

    def chain(
        self, *, draws: int, tune: int, seed: int, progress: Callable[[int, int], Any] | None = None, **settings: Any
    ) -> FallbackChain:
        """Start a chain, as `NutsChain` does."""
        import nutpie

        report: dict[str, Any] = {}
        if progress is not None:
            report["progress_callback"] = reports(progress)
        return FallbackChain(
            nutpie.sample(
                self._compiled,
                draws=draws,
                tune=tune,
                chains=1,
                cores=1,
                seed=seed,
                adaptation="low_rank",
                save_warmup=False,
                progress_bar=False,
                blocking=False,
                **settings,
                **report,
            )
        )


class FallbackChain:
    """A chain that nutpie samples; see `Chain`.

    Parameters
    ----------
    sampler : nutpie sampler
        In the background.
    """

    def __init__(self, sampler: Any) -> None:
        self._sampler, self._drawn = sampler, None

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; return whether the chain is done."""
        try:
            self._drawn = self._sampler.wait(timeout=seconds)
        except TimeoutError:
            return False
        return True

    def take(self) -> Drawn:
        """Return its variables and its statistics, (draw, ...) each, without warm-up."""
        assert self._drawn is not None
        groups = (self._drawn[name].to_dataset().isel(chain=0) for name in ("posterior", "sample_stats"))
        posterior, stats = (
            {str(name): plain(values.values) for name, values in one.data_vars.items()} for one in groups
        )
        return posterior, stats

    def stop(self) -> None:
        """End it."""
        if self._drawn is None:
            self._sampler.cancel()
