"""Exceptions: each is what a caller of the built-in would catch, and survives the way back from another process."""

import pickle

import numpy as np
import pytest

import sparsegmrf
from sparsegmrf.errors import NotPositiveDefiniteError, SparseGMRFError, TooLargeError
from tests.conftest import require


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("ArgumentError", ValueError),
        ("StencilError", ValueError),
        ("FileError", OSError),
        ("NotPositiveDefiniteError", np.linalg.LinAlgError),
        ("TooLargeError", MemoryError),
        ("LostDigitsError", ArithmeticError),
        ("UnstableError", ArithmeticError),
        ("WorkersLostError", RuntimeError),
    ],
)
def test_each_exception_is_also_the_built_in_and_ours(name, builtin):
    assert issubclass(getattr(sparsegmrf.errors, name), builtin)
    assert issubclass(getattr(sparsegmrf.errors, name), SparseGMRFError)


def test_warnings_are_user_warnings():
    assert issubclass(sparsegmrf.errors.UnstableWarning, UserWarning)


def test_a_failed_pivot_can_be_pickled():
    error = pickle.loads(pickle.dumps(NotPositiveDefiniteError("no pivot", (1, 2), -0.5)))
    assert str(error) == "no pivot"
    assert error.pixel == (1, 2)
    assert error.pivot == -0.5


def test_what_is_too_large_comes_back_from_a_worker_with_its_kind():
    support = require("tblib.pickling_support")
    try:
        raise TooLargeError("12 GB")
    except TooLargeError as error:
        support.install(error)
        again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, TooLargeError)
    assert str(again) == "12 GB"
