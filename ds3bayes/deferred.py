"""PyMC and PyTensor, imported when a formula first asks something of them.

Their imports take a second, and four where Python keeps no bytecode: as much as all else of a command that only reads,
such as `validate`, or a refusal of bad input. A module that builds graphs says ``from ds3bayes.deferred import pm, pt``
in place of ``import pymc as pm``; those that define operations (`ds3bayes.kernels`, `ds3bayes.engine`) import PyTensor
as usual and are themselves imported where they are used.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeGuard


def _without_home() -> None:
    """Let PyTensor compile into a temporary folder where the home folder cannot be written to, and no other is set.

    It refuses to work otherwise. Little is compiled at all (`ds3bayes.engine.fallback`), and nothing need be kept.
    """
    if "base_compiledir" in os.environ.get("PYTENSOR_FLAGS", "") or os.path.exists(os.path.expanduser("~/.pytensorrc")):
        return
    usual = os.path.expanduser("~/.pytensor")
    if os.access(usual if os.path.exists(usual) else os.path.dirname(usual), os.W_OK | os.X_OK):
        return
    place = os.path.join(tempfile.gettempdir(), f"ds3bayes-{os.getuid()}")
    try:
        os.makedirs(place, mode=0o700, exist_ok=True)
        if os.stat(place).st_uid != os.getuid():
            # What lies there would be run.
            place = tempfile.mkdtemp(prefix="ds3bayes-")
    except OSError as error:
        sys.stderr.write(f"nothing can be compiled ({error}): set PYTENSOR_FLAGS=base_compiledir=FOLDER\n")
        return
    os.environ["PYTENSOR_FLAGS"] = ",".join(
        filter(None, [os.environ.get("PYTENSOR_FLAGS", ""), f"base_compiledir={place}"])
    )


if os.name == "posix":
    _without_home()

if TYPE_CHECKING:
    import pymc as pm
    import pytensor
    import pytensor.tensor as pt
    from pytensor.graph.basic import Variable
else:

    class _Deferred(ModuleType):
        """A module that is imported when one of its names is first asked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(import_module(self.__name__), name)

    pm, pytensor, pt = _Deferred("pymc"), _Deferred("pytensor"), _Deferred("pytensor.tensor")


def is_symbolic(value: Any) -> TypeGuard[Variable]:
    """Return whether a value is a PyTensor variable; nothing is before PyTensor was imported."""
    return "pytensor" in sys.modules and isinstance(value, pytensor.graph.basic.Variable)


__all__ = ["is_symbolic", "pm", "pt", "pytensor"]
