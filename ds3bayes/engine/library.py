"""Stand-in until packaging is merged."""

import ctypes
import functools
import os


class MachineError(Exception):
    pass


@functools.cache
def load():
    return ctypes.CDLL(
        os.environ["DS3BAYES_MACHINE"] + "/machine-" + os.environ.get("DS3BAYES_MACHINE_LEVEL", "x86-64-v4") + ".so"
    )
