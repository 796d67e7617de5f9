"""A factor as scipy sees a covariance matrix."""

from collections.abc import Callable

import numpy as np
from scipy.stats import Covariance

from sparsegmrf._validate import real_array
from sparsegmrf.errors import ArgumentError, TooLargeError
from sparsegmrf.factors._factor import Factor
from sparsegmrf.typing import FloatArray

LARGEST = 4096


def covariance_object(factor: Factor) -> Covariance:
    """Wrap a factor of ``Q`` as the covariance ``Q^-1`` of `scipy.stats.multivariate_normal`.

    ``logpdf``, ``rvs`` and ``entropy`` work through whitening, without a dense matrix. Whatever asks for the matrix
    itself (``cdf``, ``marginal``, the attribute ``cov``) gets it up to 4096 unknowns and is refused beyond.

    Parameters
    ----------
    factor : Factor
        Factor of a proper field; scipy's vectors are its images flattened, pixel-major with the channel fastest.

    Returns
    -------
    scipy.stats.Covariance
        Of shape ``(n, n)``, ``n`` the number of unknowns. Asking it for the matrix beyond 4096 unknowns raises
        `TooLargeError`, and whitening a vector of another length `ArgumentError`.

    Raises
    ------
    ArgumentError
        If the covariance is singular: scipy's density would not know where the field is.

    Examples
    --------
    >>> from scipy.stats import multivariate_normal
    >>> from sparsegmrf import SymmetricStencil
    >>> from sparsegmrf.factors import DenseFactor
    >>> factor = DenseFactor(SymmetricStencil([(0, 0), (0, 1)], [1.0, -0.4], (2, 3)))
    >>> field = multivariate_normal(np.zeros(6), covariance_object(factor))
    >>> round(float(field.logpdf(np.ones(6))), 4)
    -7.2993
    """
    if factor.rank < factor.lattice.size:
        raise ArgumentError(
            f"covariance_object is for proper fields, and this one has a singular covariance of rank {factor.rank} for "
            f"{factor.lattice.size} unknowns; use logpdf, sample and covariance_with of the field itself."
        )
    return _FactorCovariance(factor)


class _FactorCovariance(Covariance):  # type: ignore[misc]
    """``Q^-1`` in scipy's terms: vectors of length ``n`` on the last axis."""

    def __init__(self, factor: Factor) -> None:
        size = factor.lattice.size
        self._factor = factor
        self._log_pdet = -factor.logdet
        self._rank = size
        self._shape = (size, size)
        self._allow_singular = False

    @property
    def _covariance(self) -> FloatArray:
        size = self._shape[0]
        if size > LARGEST:
            raise TooLargeError(
                f"the dense covariance is formed up to {LARGEST} unknowns, this one would be {size} x {size}; "
                "use marginal_variance, selected_inverse or covariance_with of the factor instead."
            )
        images = np.eye(size).reshape(size, *self._factor.lattice.image_shape)
        return self._factor.solve(images).reshape(size, size)

    def _whiten(self, x: FloatArray) -> FloatArray:
        return self._as_images(x, self._factor.whiten)

    def _colorize(self, x: FloatArray) -> FloatArray:
        return self._as_images(x, self._factor.unwhiten)

    def _as_images(self, x: FloatArray, operation: Callable[[FloatArray], FloatArray]) -> FloatArray:
        array = real_array("x", x)
        if array.ndim < 1 or array.shape[-1] != self._shape[0]:
            raise ArgumentError(
                f"x must have {self._shape[0]} entries on its last axis, one per unknown, got shape {array.shape}; "
                "flatten the image."
            )
        images = array.reshape(*array.shape[:-1], *self._factor.lattice.image_shape)
        result: FloatArray = operation(images).reshape(array.shape)
        return result
