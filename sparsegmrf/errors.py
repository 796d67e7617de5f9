"""Exceptions of the package; each is also the built-in a caller would catch."""

import numpy as np
import numpy.typing as npt

__all__ = [
    "ArgumentError",
    "ConvergenceError",
    "DataWarning",
    "FileError",
    "ImageLayoutError",
    "LostDigitsError",
    "MissingLibraryError",
    "NotFittedError",
    "NotPositiveDefiniteError",
    "SingularCovarianceError",
    "SparseGMRFError",
    "StencilError",
    "TooLargeError",
    "UnstableError",
    "UnstableWarning",
    "WorkersLostError",
]


class SparseGMRFError(Exception):
    """Base of all exceptions raised on purpose by this package."""


class ArgumentError(SparseGMRFError, ValueError):
    """An argument has the wrong shape, dtype or value."""


class StencilError(ArgumentError):
    """Offsets, coefficients or a matrix pattern do not make a stencil."""


class ImageLayoutError(ArgumentError):
    """The axis of an image that holds the channels is wrong or cannot be told."""


class NotFittedError(SparseGMRFError, ValueError, AttributeError):
    """An estimator is asked for what only a fit can give."""


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


class SingularCovarianceError(SparseGMRFError, np.linalg.LinAlgError):
    """A covariance of channels is singular, or too close to it for double precision.

    Attributes
    ----------
    direction : ndarray, (C,)
        Unit vector along which the channels do not vary, channels in units of their standard deviations.
    ratio : float
        Variance along it over the largest one.
    pixel : tuple of int or None
        ``(row, column)`` of the window's centre if the covariance is that of a window.
    """

    def __init__(
        self, message: str, direction: npt.NDArray[np.float64], ratio: float, pixel: tuple[int, int] | None = None
    ) -> None:
        super().__init__(message)
        self.direction = direction
        self.ratio = ratio
        self.pixel = pixel

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.args[0], self.direction, self.ratio, self.pixel))


class ConvergenceError(SparseGMRFError, ArithmeticError):
    """An iteration has not converged within the steps it may take."""


class LostDigitsError(SparseGMRFError, ArithmeticError):
    """A result would have no digits: the numbers it is the small difference of are too large for double precision."""


class MissingLibraryError(SparseGMRFError, ModuleNotFoundError):
    """What was asked for needs a library that is not installed; the message has the command that installs it."""


class TooLargeError(SparseGMRFError, MemoryError):
    """A request would need more memory than it may take."""

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), self.args)  # by itself: others make a MemoryError first, which this is not


class WorkersLostError(SparseGMRFError, RuntimeError):
    """Workers of a cluster are gone, or died of what they were given."""


class UnstableError(SparseGMRFError, ArithmeticError):
    """A recursion beyond its stability limit has left the range of floating-point numbers."""


class DataWarning(UserWarning):
    """What was read can be worked on, but may not mean what it is taken for."""


class UnstableWarning(UserWarning):
    """A recursion is beyond its stability limit, or so close to it that digits are lost."""
