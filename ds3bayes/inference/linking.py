"""Compile a model for nutpie without translating its code twice.

PyTensor keeps the machine code of a model's log density on disk. nutpie calls that function from one of its own, and
numba then links both into one piece and optimises it anew, which takes as long as the rest of a compilation together
and is kept nowhere. Here nutpie's function calls the other by its address: what is on disk is used as it is. What is
compiled by every process is written here, too, and kept small.
"""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

import numpy as np
import nutpie
import pymc as pm
from numba import carray, njit
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_new_ref
from numba.extending import intrinsic

_lock = threading.Lock()


def compile_for_nutpie(model: pm.Model) -> Any:
    """Compile a model as `nutpie.compile_pymc_model` does, its log density and deterministics called by address.

    Parameters
    ----------
    model : pymc.Model

    Returns
    -------
    nutpie.compile_pymc.CompiledPyMCModel
        Holds the functions that are called, and so their code.
    """
    with (
        _lock,
        patch.multiple(nutpie.compile_pymc, _make_c_logp_func=_log_density, _make_c_expand_func=_expansion),
    ):
        return nutpie.compile_pymc_model(model)


def _log_density(size: int, function: Any, record: Any, keys: Any, shared: Any) -> Any:
    """Return the function of addresses that nutpie calls for log density and gradient, and its signature."""
    call = nutpie.compile_pymc.make_extraction_fn(by_address(function), shared, keys, record.dtype)

    def log_density(dim: Any, point_: Any, gradient_: Any, value_: Any, record_: Any) -> int:
        if dim != size:
            return -1
        try:
            gradient = carray(gradient_, (size,))
            value, slopes = call(carray(point_, (size,)), record_)
            carray(value_, ())[()] = value
            # One by one: numba translates what it would say of an assignment of another shape for two seconds.
            for i in range(size):
                gradient[i] = slopes[i]
                if not np.isfinite(slopes[i]):
                    return 3
            return 0 if np.isfinite(value) else 4
        except Exception:
            return 1

    real, address = types.CPointer(types.double), types.voidptr
    return log_density, types.int64(types.uint64, real, real, real, address)


def _expansion(size: int, expanded: int, function: Any, record: Any, keys: Any, shared: Any) -> Any:
    """Return the function of addresses that nutpie calls for all of a model's variables, and its signature."""
    call = nutpie.compile_pymc.make_extraction_fn(by_address(function), shared, keys, record.dtype)

    def expansion(dim: Any, length: Any, point_: Any, out_: Any, record_: Any) -> int:
        if dim != size or length != expanded:
            return -1
        try:
            out = carray(out_, (expanded,))
            (values,) = call(carray(point_, (size,)), record_)
            for i in range(expanded):
                out[i] = values[i]
        except Exception:
            return -2
        return 0

    real, address = types.CPointer(types.double), types.voidptr
    return expansion, types.int64(types.uint64, types.uint64, real, real, address)


def by_address(function: Any) -> Any:
    """Return a compiled function that calls another, which must stay alive, by the address of its machine code.

    Parameters
    ----------
    function : numba dispatcher

    Returns
    -------
    numba dispatcher
        With the same arguments, result and exceptions.
    """

    @intrinsic
    def call(typing: Any, arguments: Any) -> Any:
        del typing
        # Compiles it, or reads it from disk; functions of ``*arguments`` take them as one tuple.
        _, _, taken, _ = function.get_call_template(tuple(arguments.types), {})
        compiled = function.overloads[tuple(taken)]

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            law, called = context.call_conv, compiled.fndesc
            address = compiled.library.get_pointer_to_function(called.llvm_func_name)
            pointer_type = law.get_function_type(called.restype, called.argtypes).as_pointer()
            pointer = builder.inttoptr(cgutils.intp_t(address), pointer_type)
            packed = len(called.argtypes) == 1 and isinstance(called.argtypes[0], types.BaseTuple)
            given = values if packed else cgutils.unpack_tuple(builder, values[0], len(called.argtypes))
            status, result = law.call_function(builder, pointer, called.restype, called.argtypes, given)
            with cgutils.if_unlikely(builder, status.is_error):
                law.return_status_propagate(builder, status)
            return impl_ret_new_ref(context, builder, signature.return_type, result)

        return compiled.signature.return_type(arguments), generate

    @njit
    def through(*arguments: Any) -> Any:
        return call(arguments)  # type: ignore[call-arg]

    return through
