"""The compiled machine and kernels."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def load() -> ctypes.CDLL:
    """Load the library in the folder that the environment variable ``DS3BAYES_MACHINE`` names.

    Raises
    ------
    OSError
        If there is none, or it is not for this computer.
    """
    folder = Path(os.environ.get("DS3BAYES_MACHINE", ""))
    found = sorted(folder.glob("*.so")) if os.environ.get("DS3BAYES_MACHINE") else []
    if not found:
        raise OSError(f"no compiled machine in {folder.resolve()}: set DS3BAYES_MACHINE to a folder that holds one")
    return ctypes.CDLL(str(found[0]))
