"""Colour fields: one spatial model shared by channels that are correlated with each other."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from sparsegmrf import _frozen
from sparsegmrf._validate import finite, images
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors.separable import SeparableForm, channel_covariance, in_blocks
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._model import Bounds, JointLimits, Model
from sparsegmrf.models._scale import multiplied
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows
from sparsegmrf.typing import ArrayLike, FloatArray, Shape


@dataclass(frozen=True, eq=False)
class Channels(Model):
    """Separable field of ``C`` channels: ``Q = Q_s (x) S^-1`` on images ``(H, W, C)``.

    Every channel has the spatial model's precision ``Q_s`` up to its variance, and the covariance of channels ``a`` and
    ``b`` at any two pixels is ``S[a, b]`` times that of the spatial field. Whitening, draws and densities act on pixels
    and channels one after the other, ``logdet = C logdet Q_s - n log|S|``; what has ``C`` unknowns per pixel is never
    factorized.

    The parameters are the spatial model's. `fit` and `fill` take images ``(H, W, C)`` with gaps and estimate ``S``
    beside them; `estimate_covariance` has the best ``S`` of complete images in closed form. A scale of ``S`` and one of
    the spatial model are the same thing; leave the latter's at 1.

    Parameters
    ----------
    model : Model
        The spatial model, with one unknown per pixel.
    covariance : array_like, (C, C)
        ``S``, symmetric positive definite.

    Raises
    ------
    ArgumentError
        If `model` is no `Model`, or `covariance` is not symmetric positive definite.

    Examples
    --------
    >>> from sparsegmrf.models import CAR
    >>> field = Channels(CAR(0.2), [[1.0, 0.8, 0.6], [0.8, 1.0, 0.8], [0.6, 0.8, 1.0]]).gmrf((32, 48))
    >>> field.sample(rng=0).shape
    (32, 48, 3)
    """

    model: Model
    covariance: FloatArray

    def __init__(self, model: Model, covariance: ArrayLike) -> None:
        if not isinstance(model, Model):
            raise ArgumentError(f"model must be a Model such as CAR or Matern, got {type(model).__name__}.")
        _frozen.assign(self, model=model, covariance=channel_covariance("covariance", covariance))

    @property
    def parameters(self) -> dict[str, float]:
        """Those of the spatial model."""
        return self.model.parameters

    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return the limits of the spatial model's parameters."""
        return self.model.limits(shape)

    def joint_limits(self, shape: Shape) -> JointLimits | None:
        """Return the box of the spatial model's parameters."""
        return self.model.joint_limits(shape)

    def estimate_covariance(self, x: ArrayLike, mean: ArrayLike = 0.0) -> FloatArray:
        """Return the ``S`` under which images are most likely, given the spatial model: ``R^T Q_s R / rank(Q_s)``.

        Parameters
        ----------
        x : array_like, (..., H, W, C)
            Images in intensity, with as many channels as `covariance` has; the mean over all of them.
        mean : float or array_like, (C,) or (H, W, C)
            ``mu`` in intensity.

        Raises
        ------
        ArgumentError
            If `x` has another number of channels, holds no image, or is not finite.
        """
        array = np.asarray(x)
        channels = len(self.covariance)
        if array.ndim < 3 or array.shape[-1] != channels or not array.size:
            raise ArgumentError(f"x must have shape (..., H, W, {channels}) and hold an image, got {array.shape}.")
        shape = (array.shape[-3], array.shape[-2])
        residual = finite("x", images("x", array, (*shape, channels))) - np.asarray(mean, dtype=np.float64)
        planes = np.moveaxis(residual.reshape(-1, *shape, channels), -1, 0)
        products = self.model.stencil(shape) @ planes
        degrees = planes.shape[1] * self.model.gmrf(shape).factor.rank
        estimate: FloatArray = np.einsum("abij,cbij->ac", planes, products) / degrees
        return (estimate + estimate.T) / 2.0

    def describe_end(self, name: str, high: bool) -> str | None:
        """Return what the model becomes at an end of a parameter."""
        return self.model.end_of(name, high)

    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field."""
        return self.replace(covariance=multiplied("covariance", self.covariance, factor, 2))

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice."""
        cropped = self.model.cropped(rows, columns)
        return self if cropped is self.model else self.replace(model=cropped)

    def lengths(self) -> dict[str, int]:
        """Return the powers of lengths of the spatial model."""
        return self.model.lengths()

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the model on pixels of a size."""
        spaced = self.model.spaced(spacing)
        return self if spaced is self.model else self.replace(model=spaced)

    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision."""
        return SeparableForm(self.model.build_stencil(shape), self.covariance).stencil

    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of the precision."""
        inverse = np.linalg.inv(self.covariance)
        block = (inverse + inverse.T) / 2.0
        return {name: in_blocks(each, block) for name, each in self.model.build_derivatives(shape).items()}

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Refuse: rows are those of fields that are independent of each other."""
        raise StencilError(
            f"Channels must be taken one field at a time for rows, got {len(self.covariance)} channels that are "
            "correlated; take the spatial model's."
        )

    def build_spectral_density(self, shape: Shape) -> None:
        """Return None: several channels are observed of a pixel."""
        return

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field with the model's own boundary."""
        return GMRF(SeparableForm(self.model.build_gmrf(shape, 0.0, method).given, self.covariance), mean, method)

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold the parameters."""
        return {"model": self.model.replace(**parameters)}
