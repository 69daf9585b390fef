"""The compiled machine and kernels."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


class MachineError(Exception):
    """The machine cannot be used: the message says why and what to do."""


def load() -> ctypes.CDLL:
    """Load the library in the folder that the environment variable ``DS3BAYES_MACHINE`` names.

    Raises
    ------
    MachineError
        If there is none, or it is not for this computer.
    """
    named = os.environ.get("DS3BAYES_MACHINE")
    found = sorted(Path(named).glob("*.so")) if named else []
    if not found:
        raise MachineError(f"DS3BAYES_MACHINE is {named!r}: name a folder that holds a compiled machine")
    try:
        return ctypes.CDLL(str(found[0]))
    except OSError as error:
        raise MachineError(f"the machine cannot be loaded: {error}") from error
