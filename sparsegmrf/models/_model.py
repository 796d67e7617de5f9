"""What every model of a precision offers: parameters, stencil, derivatives, limits, field."""

import dataclasses
from abc import abstractmethod
from numbers import Real
from typing import Literal, Self, overload

import numpy as np

from sparsegmrf._edges import has
from sparsegmrf._saved import Saved
from sparsegmrf._validate import image_shape, one_of
from sparsegmrf.errors import ArgumentError, StencilError
from sparsegmrf.factors.spectral import SpectralForm
from sparsegmrf.factors.spectral_density import SpectralDensity
from sparsegmrf.gmrf import GMRF
from sparsegmrf.models._covariogram import Covariogram
from sparsegmrf.models._joint_limits import Bounds, JointLimits
from sparsegmrf.models._window import check_window
from sparsegmrf.stationary_edge import StationaryEdgeField
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.stencil.rows import Rows, dominant_rows
from sparsegmrf.typing import ArrayLike, FloatArray, Shape

__all__ = ["POSITIVE", "REAL", "Bounds", "JointLimits", "Model", "frozen_map"]

EDGES = ("boundary", "stationary")
POSITIVE: Bounds = (0.0, float("inf"))
REAL: Bounds = (float("-inf"), float("inf"))


class Model(Covariogram, Saved):
    """Named parameters that stand for a precision on any lattice; immutable.

    A model of your own is a frozen dataclass, ``@dataclass(frozen=True, eq=False)``, that derives from this class. It
    must have

    - `parameters`: the scalars that a fit may vary, by name;
    - `limits`: the open interval of each in which the precision is positive definite, the others held. A parameter with
      the limits ``(0, inf)`` by a power of which (1, -1, 2 or -2, as of a ``tau`` or a ``sigma``) the precision is
      multiplied is found by trying, and profiled: fits have it in closed form;
    - `build_stencil` and `build_derivatives`: the precision and its derivatives, on a shape and at parameters that have
      been checked;
    - `scaled`: the model in another unit.

    It may have, where the default does not do,

    - `fields_of`: needed if a parameter is not the field of the same name;
    - ``boundary``, a field that may be ``"torus"``: gives the model `stationary`, which is refused without it;
    - `build_spectral`: eigenvalues in closed form; by default they are read off the stencil where a transform has them;
    - `build_spectral_density`: variances by frequency, with derivatives, in closed form; by default they are those of
      `build_spectral`, and the derivatives are read off their stencils;
    - `build_gmrf`: the field; by default a `GMRF`. An intrinsic model returns an `IntrinsicGMRF`;
    - `combination`: if the precision has several unknowns per pixel, what is observed of them;
    - `cropped`: the model on a window; by default itself, which is right unless it has maps;
    - `lengths` and `spaced`: which parameters are lengths, and the model on pixels of a size; by default it has none;
    - `joint_limits` and `is_inside`: if parameters bound each other, and to save `limits` where a cheaper test will do;
    - `build_rows`: the precision as a sum of squares, if it is not diagonally dominant;
    - `on_lattice`: if its parameters mean something else on windows of a lattice;
    - `describe_end`: for messages.

    Raises
    ------
    ArgumentError
        If the class is no frozen dataclass, when the first model of it is made.
    """

    def __new__(cls, *arguments: object, **named: object) -> Self:
        """Refuse a class that is no frozen dataclass, which cannot be told before it is complete."""
        parameters = getattr(cls, "__dataclass_params__", None)
        if parameters is None or not parameters.frozen:
            what = "a plain class" if parameters is None else "a dataclass that is not frozen"
            raise ArgumentError(
                f"{cls.__name__} must be a frozen dataclass, as every model is, got {what}; decorate it with "
                "@dataclass(frozen=True, eq=False)."
            )
        return super().__new__(cls)

    @property
    @abstractmethod
    def parameters(self) -> dict[str, float]:
        """Scalar parameters by name."""

    @abstractmethod
    def limits(self, shape: Shape) -> dict[str, Bounds]:
        """Return by parameter the open interval ``(low, high)`` in which ``Q`` is positive definite on a lattice."""

    @property
    def combination(self) -> FloatArray | None:
        """Weights ``(C,)`` of the unknowns stacked at a pixel whose sum is observed; None: there is one unknown."""
        return None

    def joint_limits(self, shape: Shape) -> JointLimits | None:
        """Return a box of linear forms around the values that several parameters can have together.

        None where the intervals of `limits` do not depend on the other parameters.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.

        Examples
        --------
        >>> from sparsegmrf.models import CAR
        >>> found = CAR((0.2, 0.1)).joint_limits((64, 64))
        >>> found.names, found.forms.round(3).tolist()
        (('rho_vertical', 'rho_horizontal'), [[1.998, 1.998], [1.998, -1.998]])
        >>> CAR(0.2).joint_limits((64, 64)) is None
        True
        """
        image_shape(shape)
        return None

    def is_inside(self, shape: Shape) -> bool:
        """Return whether all parameters are within their limits on a lattice: `stencil` refuses those that are not."""
        return self._outside(image_shape(shape)) is None

    def end_of(self, name: str, high: bool) -> str | None:
        """Return what the model becomes when a parameter runs to an end of its interval, for use in messages.

        Parameters
        ----------
        name : str
            The parameter.
        high : bool
            True for the upper end, False for the lower one.

        Returns
        -------
        str or None
            A phrase without a full stop; None if there is nothing to say, as of a name that the model does not have.

        Examples
        --------
        >>> from sparsegmrf.models import TensionSpline
        >>> TensionSpline().end_of("kappa", high=True)
        'the field is a random walk; Intrinsic() is this model'
        """
        return self.describe_end(name, bool(high)) if name in self.parameters else None

    def alike_nearby(self) -> list[Self]:
        """Return models that a part of an image can hardly tell from this one, since they differ at long lags.

        A fit of a large image goes on from the likeliest of them where a part has been searched first. None by default.
        """
        return []

    @abstractmethod
    def scaled(self, factor: float) -> Self:
        """Return the model of `factor` times the field: ``Q / factor^2``, exactly if the factor is a power of two.

        Parameters
        ----------
        factor : float
            Positive; 1000 turns a field in kilometres into the same field in metres.

        Raises
        ------
        ArgumentError
            If the factor is not positive and finite, or a parameter would overflow or vanish.

        Examples
        --------
        >>> from sparsegmrf.models import CAR, Matern
        >>> Matern(range=20.0, sigma=1.5).scaled(2.0).parameters
        {'range': 20.0, 'sigma': 3.0}
        >>> CAR(0.2, tau=1.0).scaled(2.0).parameters
        {'rho': 0.2, 'tau': 0.25}
        """

    def cropped(self, rows: slice, columns: slice) -> Self:
        """Return the model on a window of its lattice: maps are cut to it, and a model without maps is returned itself.

        The window ends as the lattice did, by the model's own boundary. An `Intrinsic` field with `scale` is scaled by
        the variances of the window.

        Parameters
        ----------
        rows, columns : slice
            Neighbouring pixels, at least one, within the lattice of the maps; negative ends count from the last pixel.

        Raises
        ------
        ArgumentError
            If they are no slices, skip pixels, or reach beyond the model's maps.

        Examples
        --------
        >>> import numpy as np
        >>> from sparsegmrf.models import Matern
        >>> Matern(range=np.full((40, 50), 8.0)).cropped(slice(10, 30), slice(0, 25)).range.shape
        (20, 25)
        """
        check_window(rows, columns)
        return self

    def lengths(self) -> dict[str, int]:
        """Return by parameter the power of a length in its unit, where it is not 0: 1 of a range, -1 of its inverse.

        The length is in pixels, or in the unit of the model's ``spacing`` if it has one. By default there are none:
        interactions of neighbouring pixels have no unit.

        Examples
        --------
        >>> from sparsegmrf.models import CAR, Matern, TensionSpline
        >>> Matern().lengths(), TensionSpline().lengths(), CAR().lengths()
        ({'range': 1}, {'kappa': -1, 'tau': 2}, {})
        """
        return {}

    def spaced(self, spacing: tuple[ArrayLike, ArrayLike]) -> Self:
        """Return the model on pixels of a size, its lengths turned from pixels into the unit of the size.

        One pixel of lengths so far is the root of a pixel's area, on average over the image: on square pixels of one
        size the law stays the same. Directions, those between pixels so far, become those on the ground. A model that
        has a spacing is returned itself, and so is one without lengths.

        Parameters
        ----------
        spacing : (height, width)
            Of a pixel, positive: numbers, or arrays (H,) or (H, W).

        Raises
        ------
        ArgumentError
            If it is no such pair.

        Examples
        --------
        >>> from sparsegmrf.models import CAR, Matern
        >>> Matern(range=10.0).spaced((30.0, 30.0)).range
        300.0
        >>> CAR(0.2).spaced((30.0, 30.0)).parameters
        {'rho': 0.2, 'tau': 1.0}
        """
        return self

    def describe_end(self, name: str, high: bool) -> str | None:
        """Return what the model becomes at an end of one of its parameters, for `end_of`; by default nothing."""
        return None

    @abstractmethod
    def build_stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision ``Q`` in 1/intensity^2, parameters being within their limits; `stencil` checks them."""

    @abstractmethod
    def build_derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return ``dQ/dtheta`` by parameter, on offsets that the precision has; `derivatives` checks parameters."""

    def build_rows(self, shape: Shape) -> list[Rows]:
        """Return rows ``A`` with ``Q = A^T A``, for `rows`; by default those of a diagonally dominant precision."""
        return dominant_rows(self.build_stencil(shape))

    def build_spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues where a basis diagonalizes it exactly, else None, for `spectral`."""
        return SpectralForm.of_stencil(self.build_stencil(shape))

    def build_spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variances by frequency of what is observed, and their derivatives, for `spectral_density`.

        None where no basis makes frequencies independent. A derivative that is not diagonal in the basis is left out.
        """
        form = self.build_spectral(shape)
        if form is None:
            return None
        derivatives = self.build_derivatives(shape)
        forms = {name: SpectralForm.of_stencil(each) for name, each in derivatives.items()}
        return SpectralDensity.of_forms(form, forms, is_intrinsic=bool(getattr(self, "is_intrinsic", False)))

    def stencil(self, shape: Shape) -> SymmetricStencil:
        """Return the precision ``Q`` on a lattice of ``(height, width)`` pixels, in 1/intensity^2.

        Raises
        ------
        ArgumentError
            If a parameter is outside its limits on this lattice; the message has the interval.
        """
        return self.build_stencil(self._checked(shape))

    def derivatives(self, shape: Shape) -> dict[str, SymmetricStencil]:
        """Return the derivative of the precision by each parameter, as stencils whose offsets the precision has."""
        found = self.build_derivatives(self._checked(shape))
        self._check_names("build_derivatives", set(found))
        return found

    def rows(self, shape: Shape) -> list[Rows]:
        """Return families of rows ``A`` with ``Q = A^T A``: what the precision says of neighbours, square by square.

        By them a raster is cut into tiles whose variances are bounds from above (`sparsegmrf.large`): without some
        squares less is known.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.

        Raises
        ------
        ArgumentError
            If a parameter is outside its limits on this lattice.
        StencilError
            If the lattice wraps, or the model does not say such rows and its precision is not diagonally dominant, as
            that of a `CAR` is not whose interactions add up to more than 1.

        Examples
        --------
        >>> from sparsegmrf.models import Intrinsic
        >>> [each.offsets.tolist() for each in Intrinsic().rows((2, 3))]
        [[[0, 0], [0, 1]], [[0, 0], [1, 0]]]
        """
        return self.build_rows(self._checked(shape))

    def on_lattice(self, shape: Shape) -> "Model":
        """Return the same law on a lattice as a model whose windows have it too: one without scales of the lattice.

        By default itself; of an `Intrinsic` field with `scale` the one with the ``tau`` that this means.
        """
        image_shape(shape)
        return self

    def spectral(self, shape: Shape) -> SpectralForm | None:
        """Return the precision by its eigenvalues where a fast transform diagonalizes it exactly, else None."""
        return self.build_spectral(self._checked(shape))

    def spectral_density(self, shape: Shape) -> SpectralDensity | None:
        """Return the variance of what is observed at each frequency where a fast transform makes these independent.

        By it complete images are fitted as sums over frequencies. None where there is no such transform.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.

        Raises
        ------
        ArgumentError
            If a parameter is outside its limits on this lattice; the message has the interval.
        """
        return self.build_spectral_density(self._checked(shape))

    @overload
    def gmrf(
        self, shape: Shape, mean: ArrayLike = 0.0, method: str = "auto", edge: Literal["boundary"] = "boundary"
    ) -> GMRF: ...

    @overload
    def gmrf(
        self, shape: Shape, mean: ArrayLike = 0.0, method: str = "auto", *, edge: Literal["stationary"]
    ) -> StationaryEdgeField: ...

    def gmrf(
        self, shape: Shape, mean: ArrayLike = 0.0, method: str = "auto", edge: str = "boundary"
    ) -> GMRF | StationaryEdgeField:
        """Return the field on a lattice: a `GMRF`, an `IntrinsicGMRF` where the precision is singular.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.
        mean : float or array_like, (H, W)
            Mean in intensity.
        method : str
            How to factorize, as for `factorize`; ``"auto"`` takes the spectral factor wherever it is exact.
        edge : {"boundary", "stationary"}
            ``"boundary"``: the lattice ends at the image, by the model's own rule. ``"stationary"``: it does not, and
            the image is a part of it; the same as `stationary`, which also takes a tolerance.

        Raises
        ------
        ArgumentError
            If a parameter is outside its limits on this lattice; the message has the interval.
        StencilError
            If the edge is to be stationary and the model differs between pixels, or has several fields.
        """
        if one_of("edge", edge, EDGES) == "stationary":
            return self.stationary(shape, mean, method)
        return self.build_gmrf(shape, mean, method)

    def build_gmrf(self, shape: Shape, mean: ArrayLike, method: str) -> GMRF:
        """Return the field with the model's own boundary, for `gmrf`."""
        return GMRF(self._given(shape, method), mean, method)

    def _given(self, shape: Shape, method: str) -> SymmetricStencil | SpectralForm:
        """Return the precision as a fast transform has it where that is asked for and exact, else as a stencil."""
        form = self.spectral(shape) if method in ("auto", "spectral") else None
        return self.stencil(shape) if form is None else form

    def stationary(
        self, shape: Shape, mean: ArrayLike = 0.0, method: str = "auto", *, tolerance: float = 1e-4
    ) -> StationaryEdgeField:
        """Return the field of the lattice without borders, restricted to an image: the same variance up to the edges.

        Parameters
        ----------
        shape : (int, int)
            Height and width in pixels.
        mean : float or array_like, (H, W)
            Mean in intensity.
        method : str
            How to factorize the padded precision, as for `factorize`.
        tolerance : float
            Largest loss of variance by the padding's end, as a share of the variance.

        Raises
        ------
        StencilError
            If the model differs between pixels (maps, a barrier), or has several fields.
        ArgumentError
            If there is no such field without borders: a parameter is outside its limits there, or it is intrinsic.
        """
        if "boundary" not in {field.name for field in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise StencilError(f"{type(self).__name__} has no field without borders; take that of one spatial model.")
        if self.combination is not None:
            raise StencilError(
                f"{type(self).__name__} is a sum of {len(self.combination)} fields here, which is not made without "
                "borders; take a larger lattice and cut the image out of it, or a whole-numbered smoothness."
            )
        boundary = getattr(self, "boundary")  # noqa: B009
        if boundary != "torus" and has(boundary, "torus"):
            raise ArgumentError(
                f"boundary must not wrap one axis only in a field without borders, got {boundary!r}; give one name, or "
                "take the model's own boundary."
            )
        wrapped = self.replace(boundary="torus").build_stencil(image_shape(shape))
        return StationaryEdgeField(wrapped, mean, method, tolerance=tolerance)

    def replace(self, **changes: object) -> Self:
        """Return the model with some fields or parameters changed.

        Raises
        ------
        ArgumentError
            If a name is neither a field nor a parameter.
        """
        fields = {field.name for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        changed = {name: value for name, value in changes.items() if name in fields}
        derived = {name: value for name, value in changes.items() if name not in fields}
        unknown = sorted(set(derived) - set(self.parameters))
        if unknown:
            raise ArgumentError(
                f"{unknown[0]} must be a field or a parameter of {type(self).__name__}, which has "
                f"{', '.join(sorted(fields | set(self.parameters)))}."
            )
        if derived:
            wanted = {**self.parameters, **{name: float(value) for name, value in derived.items()}}  # type: ignore[arg-type]
            held = self.fields_of(wanted)
            if not held:
                raise ArgumentError(
                    f"{', '.join(derived)} cannot be replaced: fields_of must return the fields of "
                    f"{type(self).__name__} that hold parameters of other names, got none; implement it."
                )
            changed |= held
        return dataclasses.replace(self, **changed)  # type: ignore[type-var]

    def fields_of(self, parameters: dict[str, float]) -> dict[str, object]:
        """Return the fields that hold parameters whose names are no fields themselves, for `replace`; by default none.

        Parameters
        ----------
        parameters : dict of float
            All parameters of the model, with the values that they shall have.
        """
        return {}

    def _check_names(self, method: str, given: set[str]) -> None:
        """Refuse what a method has said by other names than those of the parameters."""
        expected = set(self.parameters)
        if given != expected:
            raise ArgumentError(
                f"{method} of {type(self).__name__} must have the parameters {', '.join(sorted(expected))}, got "
                f"{', '.join(sorted(given)) or 'none'}; name each of them, and nothing else."
            )

    def _outside(self, shape: Shape) -> tuple[str, Bounds] | None:
        """Return the first parameter that is not within its limits, and these."""
        values, limits = self.parameters, self.limits(shape)
        self._check_names("limits", set(limits))
        for name, (low, high) in limits.items():
            if not isinstance(values[name], Real):
                raise ArgumentError(f"{name} of {type(self).__name__} must be a number, got {values[name]!r}.")
            if not low < values[name] < high:
                return name, (low, high)
        return None

    def _checked(self, shape: Shape) -> Shape:
        """Return the shape, after comparing every parameter with its limits."""
        height, width = image_shape(shape)
        if self.is_inside((height, width)):
            return height, width
        found = self._outside((height, width))
        if found is None:
            given = ", ".join(f"{name}={value:.10g}" for name, value in self.parameters.items())
            raise ArgumentError(
                f"parameters must be possible together on {height} x {width} pixels, got {given}, each within its "
                "limits(shape), but not is_inside(shape); take others."
            )
        name, (low, high) = found
        raise ArgumentError(
            f"{name} must lie in ({low:.10g}, {high:.10g}), where the precision is positive definite on "
            f"{height} x {width} pixels with the other parameters as they are, got {self.parameters[name]:.10g}; "
            "limits(shape) gives these intervals."
        )


def frozen_map(value: object) -> object:
    """Return an array as a read-only copy, anything else as it is."""
    if not isinstance(value, np.ndarray) or value.ndim == 0:
        return value
    copy = np.array(value)
    copy.flags.writeable = False
    return copy
