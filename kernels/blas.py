"""SciPy's own BLAS and LAPACK for compiled code, by their Fortran interface: every argument is an address.

No kernel stands here. A cached kernel is rebuilt only when its own file changes, so every kernel file that imports this
one carries its fingerprint, and a test compares the two.
"""

import ctypes
from collections.abc import Callable
from types import ModuleType
from typing import Any, cast

import numpy as np
import scipy.linalg.cython_blas
import scipy.linalg.cython_lapack
from llvmlite import binding
from numba import types


def _external(module: ModuleType, name: str, arguments: int) -> Callable[..., None]:
    """Make a routine of SciPy's BLAS or LAPACK callable from compiled code."""
    capsule = cast(Any, module).__pyx_capi__[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    binding.add_symbol(f"sparsegmrf_{name}", get_pointer(capsule, get_name(capsule)))
    function = types.ExternalFunction(f"sparsegmrf_{name}", types.void(*[types.intp] * arguments))
    return cast(Callable[..., None], function)


dlauum = _external(scipy.linalg.cython_lapack, "dlauum", 5)
dpotrf = _external(scipy.linalg.cython_lapack, "dpotrf", 5)
dtrtri = _external(scipy.linalg.cython_lapack, "dtrtri", 6)
dgemm = _external(scipy.linalg.cython_blas, "dgemm", 13)
dsymm = _external(scipy.linalg.cython_blas, "dsymm", 12)
dsyrk = _external(scipy.linalg.cython_blas, "dsyrk", 10)
dtrmm = _external(scipy.linalg.cython_blas, "dtrmm", 11)
dtrsm = _external(scipy.linalg.cython_blas, "dtrsm", 11)

# What BLAS wants by address; kernels get these as arguments, so that the arrays outlive the call.
# The letters: lower or left, right, transposed, not (transposed, unit), upper or unit.
LETTERS = np.frombuffer(b"LRTNU", dtype=np.uint8)
NUMBERS = np.array([1.0, -1.0])
