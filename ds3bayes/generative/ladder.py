"""The trend along rungs: reasoning efforts, or doublings of an asked budget."""

from __future__ import annotations

from typing import Any

import numpy as np

from ds3bayes.deferred import pt

Tensor = Any


def rise(gain: Tensor, decay: Tensor, low: Any, high: Any) -> Tensor:
    """Rise of a value between two ranks where a step's rise, ``gain`` from 0 to 1, shrinks by exp(-decay) per rank.

    Of tensors, or of arrays of draws.
    """
    exp = np.exp if isinstance(decay, np.ndarray) else pt.exp
    return gain * (exp(-decay * low) - exp(-decay * high)) / (1.0 - exp(-decay))
