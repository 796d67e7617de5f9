"""What a kernel calls becomes part of it."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import NumbaError
from numpy.testing import assert_array_equal

from sparsegmrf.kernels.subroutine import subroutine


@subroutine()
def add_square(factor, x, y) -> None:
    for j in range(len(y)):
        y[j] += factor * x[j] * x[j]


@subroutine()
def last_of(x, behind: bool) -> int:
    add_square(1, x, x)
    return len(x) - 1 if behind else len(x) - 2


@subroutine()
def ratio(a: float, b: float) -> float:
    return a / b


@subroutine()
def allocate(count: int) -> None:
    np.empty(count)


def test_kernel_calls_subroutines_that_call_others():
    kernel = njit(lambda x, behind: x[last_of(x, behind)])
    x = np.array([1.0, 2.0, 3.0])
    assert kernel(x, True) == 12.0
    assert_array_equal(x, [2.0, 6.0, 12.0])
    assert kernel(x, False) == 42.0


def test_subroutine_is_a_python_function_too():
    y = np.zeros(2)
    add_square(2.0, np.array([1.0, 3.0]), y)
    assert_array_equal(y, [2.0, 18.0])


@pytest.mark.parametrize(("model", "expected"), [("numpy", np.inf), ("python", None)])
def test_subroutine_divides_as_its_kernel_does(model, expected):
    kernel = njit(lambda a, b: ratio(a, b), error_model=model)
    if expected is None:
        with pytest.raises(ZeroDivisionError):
            kernel(1.0, 0.0)
    else:
        assert kernel(1.0, 0.0) == expected


def test_subroutine_that_allocates_is_refused():
    kernel = njit(lambda count: allocate(count))
    with pytest.raises(NumbaError, match=r"empty\(int64\)"):
        kernel(3)
