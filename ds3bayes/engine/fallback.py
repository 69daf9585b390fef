"""What runs a model that the machine cannot run: nutpie, which compiles it by numba."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pymc as pm

from ds3bayes.engine.nuts import reports

Array = np.ndarray


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

    def sample(
        self,
        *,
        draws: int,
        tune: int,
        chains: int,
        cores: int,
        seed: int,
        progress: Callable[[int, int], Any] | None = None,
        **settings: Any,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Draw as `nuts.sample` does: posterior and statistics, (chain, draw, ...) each, without warm-up."""
        import nutpie
        from threadpoolctl import threadpool_limits

        report: dict[str, Any] = {}
        if progress is not None:
            report["progress_callback"] = reports(progress)
        # Chains run side by side; threads of BLAS within each would wait for one another.
        with threadpool_limits(limits=1, user_api="blas"):
            drawn = nutpie.sample(
                self._compiled,
                draws=draws,
                tune=tune,
                chains=chains,
                cores=cores,
                seed=seed,
                adaptation="low_rank",
                save_warmup=False,
                progress_bar=False,
                **settings,
                **report,
            )
        groups = (drawn[name].to_dataset() for name in ("posterior", "sample_stats"))
        posterior, stats = ({str(name): values.values for name, values in one.data_vars.items()} for one in groups)
        return posterior, stats
