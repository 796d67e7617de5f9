"""What a fit or a filling will take, before anything is allocated, and the refusal of what would not fit."""

from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from sparsegmrf import _memory
from sparsegmrf._axes import is_labelled
from sparsegmrf._observed import observe
from sparsegmrf._validate import image_shape, integer_at_least, whole_array
from sparsegmrf.errors import ArgumentError, SparseGMRFError
from sparsegmrf.factors import Plan
from sparsegmrf.factors.choose import check_digits
from sparsegmrf.factors.dissection import plan as plan_factor
from sparsegmrf.inference._channel_members import is_of_channels
from sparsegmrf.inference._ground import placed
from sparsegmrf.inference._objective import spectral_density
from sparsegmrf.inference._observations import with_weight_of_total
from sparsegmrf.inference._parameters import FieldModel, check_model, unknowns_of
from sparsegmrf.likelihoods import Gaussian, Likelihood
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import ArrayLike, Shape

_SMALL = 16
"""Side in pixels of the lattice on which a model shows its stencil."""
_CERTAIN = 640
"""Side of the lattice whose bytes per pixel bound those of larger ones from below."""
_LEAST = 2
"""How many times more than by that bound a factor may take."""
_HARMLESS = 16_000
"""Bytes per pixel, and square of the unknowns there, that no factor of a moderate reach takes."""
_IMAGES, _STENCILS, _MORE = 50, 4, 1.05
"""Images per field, and stencils of images, that stand beside the factor; and what its buffers take beyond its plan."""
_TABLES = 16_000_000
"""Bytes of the analysis and of the tiles on which the search starts."""
_FITTED, _FILLED = 14, 34
"""Images that stand at once where transforms do the work of a fit, and of a filling."""
_EVALUATION, _EVALUATIONS = 3.5, 5
"""Factorizations that a likelihood with its gradient costs, and how many likelihoods a search takes."""
_REMEDIES = (
    "take a window or tiles of the image, each with a margin of a few ranges, a coarser one, a model of smaller reach "
    "(CAR, Intrinsic), or an image without gaps and noise of one variance, which transforms fit and fill"
)
_HALF = ', or keep factors in half the memory by precision="single"'
_PREDICTED = "; sparsegmrf.plan(image, model) predicts each"


@dataclass(frozen=True)
class ProblemPlan:
    """Prediction for a fit of a model to an image, and for the filling of its gaps.

    Attributes
    ----------
    shape : (int, int)
        Height and width in pixels.
    method : str
        ``"transform"`` where the likelihood is a sum over frequencies, else ``"dissection"``.
    factor : Plan or None
        Of the precision of the field given the observations; None with transforms.
    fit_bytes, fill_bytes : int
        Largest memory at once, beyond the image given, of `fit` with standard errors, and of `fill`.
    fit_seconds, fill_seconds : float
        Rough times on the present number of threads; machines and images differ by a factor of several.
    """

    shape: Shape
    method: str
    factor: Plan | None
    fit_bytes: int
    fill_bytes: int
    fit_seconds: float
    fill_seconds: float

    def __str__(self) -> str:
        height, width = self.shape
        behind = "" if self.factor is None else f"; each factorization: {self.factor}"
        return (
            f"{height} x {width} pixels by {self.method}: fit {self.fit_bytes / 1e9:.3g} GB, roughly "
            f"{self.fit_seconds:.2g} s; fill {self.fill_bytes / 1e9:.3g} GB, roughly {self.fill_seconds:.2g} s{behind}"
        )


@overload
def plan(shape: Shape, stencil: SymmetricStencil, *, precision: str = "double") -> Plan: ...


@overload
def plan(
    shape: Shape | ArrayLike,
    stencil: FieldModel,
    *,
    mask: ArrayLike | Literal["nan"] | None = "nan",
    noise_variance: Any = "estimate",
    n_samples: int = 0,
    precision: str = "double",
) -> ProblemPlan: ...


def plan(
    shape: Any,
    stencil: SymmetricStencil | FieldModel,
    *,
    mask: ArrayLike | Literal["nan"] | None = "nan",
    noise_variance: Any = "estimate",
    n_samples: int = 0,
    precision: str = "double",
) -> Plan | ProblemPlan:
    """Predict memory and rough time of a fit and a filling, or of one factorization, without allocating anything.

    Parameters
    ----------
    shape : (int, int) or array_like, (H, W)
        Height and width in pixels; with a model also the image itself, which tells whether it has gaps, and of a
        ``DataArray`` how large its pixels are.
    stencil : SymmetricStencil or FieldModel
        A stencil: one factorization of it is predicted. A model, such as ``Matern()``: a fit and a filling.
    mask : ndarray of bool, (H, W), "nan" or None
        With a model: **True where a pixel is missing**. With a shape alone gaps are taken for granted, unless it is
        None: then the image is complete.
    noise_variance : "estimate", float, array_like (H, W) or None
        With a model: as for `fit`; an image of variances takes complete images to a factorization as well.
    n_samples : int
        With a model: number of draws of `fill`.
    precision : {"double", "single"}
        In which factors are kept.

    Returns
    -------
    Plan or ProblemPlan
        Memory is predicted for images without larger parts that are alike: where all pixels of many tiles are
        observed these share their factor, and less is used.

    Raises
    ------
    ArgumentError
        If an argument is of the wrong kind, or the model is one of several channels.

    Examples
    --------
    >>> from sparsegmrf.models import Matern
    >>> found = plan((256, 256), Matern())
    >>> found.method, round(found.fill_bytes / 1e6)
    ('dissection', 177)
    >>> plan((256, 256), Matern(), mask=None).method
    'transform'
    """
    if isinstance(stencil, SymmetricStencil):
        return plan_factor(shape, stencil, precision=precision)
    check_digits(precision)
    if not hasattr(stencil, "parameters"):
        raise ArgumentError(
            f"stencil must be a SymmetricStencil, got {type(stencil).__name__}; give one, or a model such as Matern() "
            "to plan a fit."
        )
    check_model(stencil)
    if is_of_channels(stencil):
        raise ArgumentError("stencil must be a model of one field, got Channels; plan its spatial model.")
    count = integer_at_least("n_samples", n_samples, 0)
    stencil, _ = placed(stencil, "coordinates", shape) if is_labelled(shape) else (stencil, None)
    lattice, complete = _read(shape, mask)
    return _plan_problem(lattice, stencil, complete and np.ndim(noise_variance) == 0, count, precision)


def refuse_beyond_memory(
    model: FieldModel,
    image: Any,
    mask: object,
    likelihood: Gaussian | Likelihood | None = None,
    digits: str = "double",
) -> None:
    """Raise `TooLargeError` where the factor of the field given the observations certainly does not fit.

    It says nothing where none of the whole lattice may be needed: of complete images of a model that transforms
    diagonalize, and of exact observations.
    """
    shape = np.shape(image)[-2:]
    channels = 1 if getattr(model, "combination", None) is None else len(getattr(model, "combination", ()))
    needed = _HARMLESS * channels**2 * int(np.prod(shape, dtype=np.int64))
    if len(shape) < 2 or needed <= _memory.available_bytes() or _is_exact(likelihood):
        return
    try:
        if isinstance(likelihood, Gaussian) and _has_transform(model, shape) and not _has_gaps(image, mask):
            return
        P = _posterior_stencil(model, shape, alike=False)
    except SparseGMRFError:  # what is wrong is said where it is used
        return
    refuse_factor(shape, P, _request(shape), digits)


def refuse_factor(shape: Shape, P: SymmetricStencil, request: str, digits: str = "double") -> None:
    """Raise `TooLargeError` if a factor does not fit: first by a smaller lattice, which is quick and says the least."""
    small = shape
    while small[0] * small[1] > _CERTAIN**2:
        small = (-(-small[0] // 2), small[1]) if small[0] >= small[1] else (small[0], -(-small[1] // 2))
    share = shape[0] * shape[1] / (small[0] * small[1])
    remedies = _REMEDIES + (_HALF if digits == "double" else "") + _PREDICTED
    least = int(share * plan_factor(small, P, precision=digits).peak_bytes)
    _memory.refuse_if_too_large(least, request, remedies)
    if small != shape and _LEAST * least > _memory.available_bytes():
        _memory.refuse_if_too_large(plan_factor(shape, P, precision=digits).peak_bytes, request, remedies)


def refuse_posterior(Q: SymmetricStencil, digits: str) -> None:
    """Raise `TooLargeError` if the factor of a precision plus weights that differ by pixel does not fit."""
    if not Q.is_wrapped and _HARMLESS * Q.channels**2 * Q.lattice.n_pixels > _memory.available_bytes():
        like = (len(Q.offsets), 1, 1, *((Q.channels, Q.channels) if Q.channels > 1 else ()))
        refuse_factor(Q.shape, SymmetricStencil.from_planes(Q.offsets, np.ones(like)), _request(Q.shape), digits)


def _request(shape: Shape) -> str:
    return f"the factor of a field given some of {shape[0]} x {shape[1]} pixels"


def _plan_problem(shape: Shape, model: FieldModel, complete: bool, n_samples: int, digits: str) -> ProblemPlan:
    """Return the plan; of stacked fields all images and stencils are theirs."""
    pixels = shape[0] * shape[1]
    if complete and _has_transform(model, shape):
        fit, fill = 8 * pixels * _FITTED, 8 * pixels * (_FILLED + 3 * n_samples)
        return ProblemPlan(shape, "transform", None, fit, fill, 1e-6 * pixels, 2e-6 * pixels)
    P, own = _posterior_stencil(model, shape, alike=complete), _small(model, shape)
    factor = plan_factor(shape, P, precision=digits)
    unknowns = P.channels
    stencils = len(P.offsets) * unknowns**2
    field = unknowns_of(*own)
    dissected = field.method == "dissection"
    prior = plan_factor(shape, field.precision, precision=digits).factor_bytes if dissected else 0
    beside = 8 * pixels * (_IMAGES * unknowns + _STENCILS * stencils) + prior + _TABLES
    fit = beside + int(_MORE * max(factor.peak_bytes, factor.inverse_bytes))
    fill = max(fit, beside + factor.factor_bytes + 24 * pixels * unknowns * n_samples)
    search = _EVALUATIONS * _EVALUATION * factor.seconds
    errors = 2 * (len(model.parameters) + 1) * _EVALUATION * factor.seconds
    return ProblemPlan(shape, "dissection", factor, fit, fill, search + errors, search)


def _posterior_stencil(model: FieldModel, shape: Shape, *, alike: bool) -> SymmetricStencil:
    """Return the precision given observations, on a small lattice; `alike` if all pixels have the same weight."""
    small, size = _small(model, shape)
    Q: SymmetricStencil = small.stencil(size)
    weight = np.ones(size)
    if not alike:
        weight.flat[::2] = 2.0
    combination = getattr(model, "combination", None)
    if combination is None:
        return Q.plus_diagonal(1.0 if alike else weight)
    inner = with_weight_of_total(Q, combination, weight).inner
    assert isinstance(inner, SymmetricStencil)
    return inner


def _small(model: Any, shape: Shape) -> tuple[Any, Shape]:
    """Return the model of a corner of the lattice, and the shape of that; of a model without windows all of it."""
    if not hasattr(model, "cropped"):
        return model, shape
    size = min(shape[0], _SMALL), min(shape[1], _SMALL)
    return model.cropped(slice(0, size[0]), slice(0, size[1])), size


def _has_transform(model: FieldModel, shape: Shape) -> bool:
    """Return whether a transform gives the likelihood of complete images, with its derivatives by all parameters."""
    small, size = _small(model, shape)
    density = spectral_density(small, size)
    return density is not None and set(model.parameters) <= set(density.names)


def _read(shape: Any, mask: Any) -> tuple[Shape, bool]:
    """Return the shape of an image, or the one given, and whether no pixel is missing."""
    if np.ndim(shape) == 2:
        seen = observe(shape, mask)
        return seen.shape, seen.missing is None
    lattice = image_shape(shape)
    if mask is None or isinstance(mask, str):
        return lattice, mask is None
    missing = whole_array("mask", mask)
    if missing.dtype != bool or missing.shape != lattice:
        raise ArgumentError(f"mask must be a boolean image of shape {lattice}, got {missing.dtype} {missing.shape}.")
    return lattice, not missing.any()


def _has_gaps(image: Any, mask: Any) -> bool:
    if isinstance(image, np.ma.MaskedArray) and np.ma.getmaskarray(image).any():
        return True
    if isinstance(mask, str):
        values = np.asarray(image)
        return values.dtype.kind == "f" and bool(np.isnan(values).any())
    return mask is not None and bool(np.any(mask))


def _is_exact(likelihood: Gaussian | Likelihood | None) -> bool:
    """Return whether pixels may be known without noise."""
    if not isinstance(likelihood, Gaussian) or isinstance(likelihood.noise_variance, str):
        return False
    return likelihood.noise_variance is None or bool(np.any(np.asarray(likelihood.noise_variance) == 0.0))
