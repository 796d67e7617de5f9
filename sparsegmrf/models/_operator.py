"""What Matern fields and tension splines share: diffusion with anisotropy, pixels of a size, borders and barriers."""

import numpy as np

from sparsegmrf._edges import as_boundary
from sparsegmrf._validate import boolean_mask, one_of
from sparsegmrf.errors import ArgumentError
from sparsegmrf.models._anisotropy import (
    Diffusion,
    check_anisotropy,
    diffusion,
    isotropic,
    ratio_and_angle,
    smooth_diffusion,
    stretch_and_shear,
)
from sparsegmrf.models._laplacian import laplacian
from sparsegmrf.models._model import frozen_map
from sparsegmrf.models._spacing import PixelSize, check_spacing, check_spacing_shape, cut_spacing, sides
from sparsegmrf.models._window import cut
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.product import rescaled
from sparsegmrf.typing import BoolArray, Boundary, FloatArray, Offset, Shape

SCHEMES = ("monotone", "smooth")


class Operator:
    """``G = -div H grad`` on any lattice, in one over the square of the unit of the ground.

    Integrated over pixels of the area ``A``, fluxes are ``F = sum_e A rho_e D_e`` with the conductances ``rho_e`` in
    that unit, and ``G = A^-1/2 F A^-1/2``: symmetric, and ``F / A`` where all pixels are alike. White noise on the
    ground has the variance ``1 / A`` on a pixel, so that ``(k + A^-1 F) x = w`` is ``Q = A^1/2 (k + G)^2 A^1/2``.
    """

    def __init__(
        self,
        anisotropy: object,
        boundary: Boundary,
        barrier: object,
        scheme: str = "monotone",
        spacing: object = None,
    ) -> None:
        self.boundary = as_boundary("boundary", boundary)
        self.barrier: BoolArray | None = None
        if barrier is not None:
            shape = np.asarray(barrier).shape
            if len(shape) != 2:
                raise ArgumentError(f"barrier must be an (H, W) mask, got shape {shape}.")
            self.barrier = boolean_mask("barrier", barrier, shape).copy()
            self.barrier.flags.writeable = False
        self.spacing: PixelSize | None = check_spacing(spacing)
        height, width = sides(self.spacing)
        self.area: FloatArray = np.asarray(height * width)
        self.anisotropy: tuple[FloatArray, FloatArray] | None = None
        self.diffusion: Diffusion = isotropic(height, width)
        if anisotropy is not None:
            self.anisotropy = check_anisotropy(anisotropy)
            for name, each in zip(("ratio", "angle"), self.anisotropy, strict=True):
                check_map(f"anisotropy, the {name},", each)
            smooth = one_of("diffusion", scheme, SCHEMES) == "smooth"
            maps = self.area.ndim or any(each.ndim for each in self.anisotropy)
            if smooth and (self.barrier is not None or maps):
                raise ArgumentError(
                    'diffusion must be "monotone" with maps of anisotropy or spacing, or a barrier, got "smooth", '
                    "which is positive semi-definite only where all pixels are alike."
                )
            self.diffusion = (smooth_diffusion if smooth else diffusion)(*self.anisotropy, height, width)

    @property
    def parameters(self) -> dict[str, float]:
        """Stretch and shear of a single anisotropy."""
        if self.anisotropy is None or self.anisotropy[0].ndim or self.anisotropy[1].ndim:
            return {}
        a, b = stretch_and_shear(*self.anisotropy)
        return {"stretch": float(a), "shear": float(b)}

    @property
    def is_homogeneous(self) -> bool:
        """Whether all pixels are alike."""
        return self.barrier is None and self.diffusion.weights.ndim == 1

    @property
    def is_spectral(self) -> bool:
        """Whether a fast transform diagonalizes it."""
        return self.is_homogeneous and (self.boundary == "torus" or self.diffusion.is_separable)

    def stencil(self, shape: Shape) -> SymmetricStencil:
        """Return ``G``."""
        self.check_shape(shape)
        return self._stencil(shape, self.diffusion.conductances)

    def weighed(self, Q: SymmetricStencil) -> SymmetricStencil:
        """Return ``A^1/2 Q A^1/2``."""
        return rescaled(Q, np.sqrt(self.area)) if self.area.ndim else Q * float(self.area)

    def fluxes(self, shape: Shape) -> SymmetricStencil:
        """Return ``F``, of which ``G = A^-1/2 F A^-1/2``."""
        self.check_shape(shape)
        fluxes = {offset: np.asarray(self.area * rho) for offset, rho in self.diffusion.conductances.items()}
        return laplacian(shape, fluxes, self.boundary, self.barrier)

    def _stencil(self, shape: Shape, conductances: dict[Offset, FloatArray]) -> SymmetricStencil:
        if not self.area.ndim:
            return laplacian(shape, conductances, self.boundary, self.barrier)
        fluxes = {offset: self.area * rho for offset, rho in conductances.items()}
        return rescaled(laplacian(shape, fluxes, self.boundary, self.barrier), 1.0 / np.sqrt(self.area))

    def derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivatives of ``G`` by stretch and shear."""
        if not self.parameters:
            return {}
        both = {"stretch": self.diffusion.by_stretch, "shear": self.diffusion.by_shear}
        return {name: self._stencil(shape, each) for name, each in both.items()}

    def eigenvalues(self, rows: FloatArray, columns: FloatArray) -> FloatArray:
        """Return those of ``G`` at the frequencies of its basis: no digits are lost near zero."""
        return _eigenvalues(self.diffusion.conductances, rows, columns)

    def derivative_eigenvalues(self, rows: FloatArray, columns: FloatArray) -> dict[str, FloatArray]:
        """Return those of the derivatives of ``G`` by stretch and shear, where they are diagonal in its basis."""
        if not self.parameters:
            return {}
        both = {"stretch": self.diffusion.by_stretch, "shear": self.diffusion.by_shear}
        return {name: _eigenvalues(both[name], rows, columns) for name in self.spectral_parameters}

    @property
    def spectral_parameters(self) -> tuple[str, ...]:
        """Stretch and shear, if there are any, as far as ``G`` is diagonal in its basis when they move."""
        if not self.parameters:
            return ()
        both = {"stretch": self.diffusion.by_stretch, "shear": self.diffusion.by_shear}
        return tuple(name for name, each in both.items() if self.boundary == "torus" or _is_separable(each))

    def offsets(self, exponent: int) -> list[Offset]:
        """Return the centre and later offsets of ``G^exponent``."""
        steps = [(0, 0), *self.diffusion.conductances]
        both = {(s * di, s * dj) for di, dj in steps for s in (1, -1)}
        found = {(0, 0)}
        for _ in range(exponent):
            found = {(a + c, b + d) for a, b in found for c, d in both}
        return sorted(offset for offset in found if offset >= (0, 0))

    def cropped(self, rows: slice, columns: slice) -> dict[str, object]:
        """Return the maps of anisotropy, spacing and barrier on a window, by the names of a model's fields."""
        changes: dict[str, object] = {}
        if self.barrier is not None:
            changes["barrier"] = cut(self.barrier, rows, columns)
        if self.anisotropy is not None and any(each.ndim for each in self.anisotropy):
            changes["anisotropy"] = tuple(cut(each, rows, columns) for each in self.anisotropy)
        if self.area.ndim:
            changes["spacing"] = cut_spacing(self.spacing, rows, columns)
        return changes

    def check_shape(self, shape: Shape) -> None:
        """Refuse maps of another shape."""
        given = {"barrier": () if self.barrier is None else self.barrier.shape, "anisotropy": ()}
        if self.anisotropy is not None:
            given["anisotropy"] = np.broadcast_shapes(*(each.shape for each in self.anisotropy))
        for name, each in given.items():
            if each not in ((), shape):
                raise ArgumentError(f"{name} must have the shape {shape} of the lattice, got {each}.")
        check_spacing_shape(self.spacing, shape)


def _eigenvalues(conductances: dict[Offset, FloatArray], rows: FloatArray, columns: FloatArray) -> FloatArray:
    """Return ``sum_e rho_e (2 sin(e . w / 2))^2``."""
    result = np.zeros(np.broadcast_shapes(rows.shape, columns.shape))
    for (di, dj), rho in conductances.items():
        if rho:
            angle = di * rows if not dj else dj * columns if not di else di * rows + dj * columns
            result += 4.0 * rho * np.sin(angle / 2.0) ** 2
    return result


def _is_separable(conductances: dict[Offset, FloatArray]) -> bool:
    return all(not rho or not (di and dj) for (di, dj), rho in conductances.items())


def check_map(name: str, value: FloatArray) -> None:
    """Refuse what is neither a number nor an image."""
    if value.ndim not in (0, 2):
        raise ArgumentError(f"{name} must be a number or an (H, W) map, got shape {value.shape}.")


def as_field(value: object) -> object:
    """Return an anisotropy as it is kept in a model: maps as read-only copies."""
    return tuple(frozen_map(each) for each in value) if isinstance(value, tuple | list) else value


def anisotropy_of(parameters: dict[str, float]) -> dict[str, object]:
    """Return the field that holds stretch and shear, if there are any."""
    if "stretch" not in parameters:
        return {}
    return {"anisotropy": ratio_and_angle(parameters["stretch"], parameters["shear"])}
