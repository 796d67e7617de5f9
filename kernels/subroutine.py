"""Functions that kernels call, compiled within the kernel that calls them.

What numba compiles is optimized and made machine code by itself, for each combination of types and of constants among
its arguments, and again in each kernel that calls it. A subroutine becomes part of its kernel once per combination of
types and is optimized with it, in about half the time. It allocates nothing, and its annotation says what it returns.

No kernel stands here. A cached kernel is rebuilt only when its own file changes, so every kernel file that imports this
one carries its fingerprint, and a test compares the two.
"""

import inspect
import weakref
from collections.abc import Callable, Set
from typing import Any, TypeVar

from numba import types as numba_types
from numba.core import compiler as numba_compiler
from numba.core import targetconfig as numba_targetconfig
from numba.core.typing import templates as numba_templates
from numba.extending import lower_builtin

types: Any = numba_types
compiler: Any = numba_compiler
targetconfig: Any = numba_targetconfig
templates: Any = numba_templates
lower: Any = lower_builtin

_Function = TypeVar("_Function", bound=Callable[..., Any])
_RESULTS = {None: types.void, bool: types.boolean, int: types.intp, float: types.float64}


def subroutine(*, fastmath: Set[str] = frozenset()) -> Callable[[_Function], _Function]:
    """Let kernels of the same file call a function, which is returned as it is.

    Parameters
    ----------
    fastmath : set of str, optional
        Single flags as for a kernel; by default the caller's, as its error model always is.
    """

    def register(function: _Function) -> _Function:
        result = _RESULTS[inspect.signature(function).return_annotation]

        class Template(templates.AbstractTemplate):  # type: ignore[misc]
            key = function

            def generic(self, args: Any, kws: Any) -> Any:
                return templates.signature(result, *map(types.unliteral, args))

        templates.infer_global(function, types.Function(Template))
        lowered: Any = weakref.WeakKeyDictionary()

        def call(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
            caller = targetconfig.ConfigStack().top()
            flags = compiler.Flags()
            flags.no_compile = flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
            flags.error_model = caller.error_model
            flags.fastmath = set(fastmath) or caller.fastmath
            known = lowered.setdefault(context.active_code_library, {})
            key = typed.args, flags.get_mangle_string()
            if key not in known:
                known[key] = _lower(context, function, typed, flags)
            return context.call_internal(builder, known[key], typed, arguments)

        lower(function, types.VarArg(types.Any))(call)
        return function

    return register


def _lower(context: Any, function: Callable[..., Any], typed: Any, flags: Any) -> Any:
    """Add a function to the library of the kernel that is being compiled, and return its description."""
    library = context.active_code_library
    compiled = compiler.compile_internal(
        context.typing_context, context, library, function, typed.args, typed.return_type, flags, {}
    )
    # Not to be kept where every call of it was inlined.
    library.get_function(compiled.fndesc.llvm_func_name).linkage = "linkonce_odr"
    return compiled.fndesc
