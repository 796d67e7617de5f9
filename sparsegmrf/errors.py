"""Exceptions of the package; each is also the built-in a caller would catch."""

import numpy as np


class SparseGMRFError(Exception):
    """Base of all exceptions raised on purpose by this package."""


class ArgumentError(SparseGMRFError, ValueError):
    """An argument has the wrong shape, dtype or value."""


class StencilError(ArgumentError):
    """Offsets, coefficients or a matrix pattern do not make a stencil."""


class FileError(ArgumentError, OSError):
    """A file cannot be read as what it should be, or cannot be written where it should go."""


class NotPositiveDefiniteError(SparseGMRFError, np.linalg.LinAlgError):
    """A precision has a pivot that is not positive.

    Attributes
    ----------
    pixel : tuple of int
        ``(row, column)`` of the pixel, or ``(row, column, channel)``, at which the elimination stopped.
    pivot : float
        Value of the offending pivot.
    """

    def __init__(self, message: str, pixel: tuple[int, ...], pivot: float) -> None:
        super().__init__(message)
        self.pixel = pixel
        self.pivot = pivot

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.args[0], self.pixel, self.pivot))


class TooLargeError(SparseGMRFError, MemoryError):
    """A request would need more memory than it may take."""


class UnstableError(SparseGMRFError, ArithmeticError):
    """A recursion beyond its stability limit has left the range of floating-point numbers."""


class UnstableWarning(UserWarning):
    """A recursion is beyond its stability limit, or so close to it that digits are lost."""
