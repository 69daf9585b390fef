"""Compile a model for nutpie without translating its code twice.

PyTensor keeps the machine code of a model's log density on disk. nutpie calls that function from one of its own, and
numba then links both into one piece and optimises it anew, which takes as long as the rest of a compilation together
and is kept nowhere. Here nutpie's function calls the other by its address: what is on disk is used as it is.
"""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

import nutpie
import pymc as pm
from numba import njit
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
    inner = nutpie.compile_pymc

    def log_density(size: int, function: Any, *shared: Any) -> Any:
        return make_log_density(size, by_address(function), *shared)

    def expansion(size: int, expanded: int, function: Any, *shared: Any) -> Any:
        return make_expansion(size, expanded, by_address(function), *shared)

    make_log_density, make_expansion = inner._make_c_logp_func, inner._make_c_expand_func
    with (
        _lock,
        patch.object(inner, "_make_c_logp_func", log_density),
        patch.object(inner, "_make_c_expand_func", expansion),
    ):
        return nutpie.compile_pymc_model(model)


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
