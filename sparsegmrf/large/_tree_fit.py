"""Parameters of a raster beyond memory: those of tiles, improved by the score of the whole until nothing is left."""

import os
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sparsegmrf._validate import positive_number
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference import FitResult
from sparsegmrf.inference._memo import Memo, Point
from sparsegmrf.inference._objective import Objective
from sparsegmrf.inference._search import FLAT, Ended, maximize, newton
from sparsegmrf.large._arguments import check_model, is_estimated
from sparsegmrf.large._cuts import Cuts
from sparsegmrf.large._fit import fit_on_tiles
from sparsegmrf.large._raster import Raster, Reader
from sparsegmrf.large._tree import SchurTree
from sparsegmrf.large._tree_run import TreeResult
from sparsegmrf.models import Model, TensionSpline
from sparsegmrf.typing import ArrayLike, FloatArray


@dataclass(frozen=True)
class ScoringStep:
    """Parameters at which the whole raster was looked at.

    Attributes
    ----------
    parameters : dict of float
        Of the model, and ``noise_variance`` if it is estimated.
    loglik : float
        Of the whole raster, in nats.
    decrement : float
        Length of the scoring step from here, in standard errors: about how far away the maximum is.
    """

    parameters: dict[str, float]
    loglik: float
    decrement: float


@dataclass(frozen=True, eq=False, repr=False)
class RasterFit:
    """Parameters fitted to a whole raster.

    Attributes
    ----------
    model : Model
        With the estimates.
    noise_variance : float or None
        Estimated, or as given; None where it differs between pixels.
    parameters : dict of float
        The estimates by name.
    loglik : float
        Exact log-likelihood of the raster at the estimates, the trend's coefficients profiled, in nats.
    decrement : float
        How far the estimates are from those at the maximum, in standard errors of the whole raster: the length of the
        next scoring step, which its exact gradient and the information that tiles say there is give.
    converged : bool
        Whether this is below the tolerance, at a maximum.
    reason : str
        How the search has ended.
    standard_errors : dict of float
        Of the parameters, by the information of the tiles scaled to the observed pixels of the raster; infinite where
        it says nothing.
    from_tiles : float
        How far the estimates from tiles alone were from these, in the same standard errors.
    steps : tuple of ScoringStep
        Where the raster was looked at, the estimates from tiles first; the last ones may have been no better.
    result : TreeResult
        The field at the estimates: mean, deviation, coefficients, and the gradient.
    tiles : FitResult
        The fit to tiles spread over the raster.
    """

    model: Model
    noise_variance: float | None
    parameters: dict[str, float]
    loglik: float
    decrement: float
    converged: bool
    reason: str
    standard_errors: dict[str, float]
    from_tiles: float
    steps: tuple[ScoringStep, ...]
    result: TreeResult
    tiles: FitResult

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value:.4g}" for name, value in self.parameters.items())
        return f"RasterFit({values}, within {self.decrement:.2g} standard errors)"


def fit(
    image: ArrayLike | Reader,
    *,
    model: Model | None = None,
    noise_variance: Literal["estimate"] | ArrayLike | Reader = "estimate",
    covariates: Literal["linear", "constant"] | None = "linear",
    shape: tuple[int, int] | None = None,
    mask: ArrayLike | Reader | Literal["nan"] = "nan",
    tolerance: float = 0.1,
    tile: int = 512,
    scratch: str | os.PathLike[str] | None = None,
) -> RasterFit:
    r"""Fit a field to a raster that is too large for a factorization, by its exact likelihood.

    The start is the fit to tiles of 128 pixels spread over the raster. It is some ``sqrt(n / n_used)`` standard errors
    of the whole away from the estimates of the whole: only tiles that are nearly all of it would come close. So each
    step takes the exact gradient ``g`` of the whole, by a `SchurTree`, and the average information ``I`` of the tiles
    times ``n / n_used``, and goes ``I^-1 g`` on, within a trust region, until that is shorter than a tolerance,
    ``sqrt(g^T I^-1 g)`` standard errors. Mostly two steps do; more where tiles have found no noise, or no end.

    Parameters
    ----------
    image, shape, mask, model, noise_variance, covariates
        As for `fill`; the model must be the same everywhere, and a dask array is not taken.
    tolerance : float
        In standard errors of the whole raster.
    tile, scratch
        As for `SchurTree`.

    Returns
    -------
    RasterFit

    Raises
    ------
    ArgumentError
        If an argument is not as above, or the determinant of the field is not known (see `SchurTree.loglik`).
    TooLargeError
        If what a tree has to have in memory at once does not fit.

    References
    ----------
    A. R. Gilmour, R. Thompson, B. R. Cullis (1995), Average information REML, Biometrics 51; A. W. van der Vaart,
    Asymptotic Statistics (1998), section 5.7, for one step from a consistent start.

    Examples
    --------
    >>> from sparsegmrf.models import CAR
    >>> y = CAR(0.24, tau=4.0).gmrf((150, 140)).sample(rng=0)
    >>> found = fit(y, model=CAR(0.2), noise_variance=0.01, covariates=None, tile=80)
    >>> found.converged, found.decrement < 0.1
    (True, True)
    """
    start = TensionSpline(kappa=0.5) if model is None else model
    check_model(start)
    estimated = is_estimated(noise_variance)
    tolerance = positive_number("tolerance", tolerance)
    raster = Raster.of(image, shape, mask, 1.0 if estimated else noise_variance)
    if Cuts.of(start, raster.shape).model is not start:
        raise ArgumentError(
            f"model must have parameters that mean the same on tiles and on the raster, got {start!r}, which is scaled "
            "by the variances of its lattice; leave scale out."
        )
    found = fit_on_tiles(raster, start, covariates, estimated=estimated)
    whole = _Whole(image, raster, covariates, mask, noise_variance, tile, scratch, found)
    first = whole.objective.start(found.model, whole.start_noise)
    return whole.result(first, maximize(whole, first, tolerance), tolerance)


class _Whole:
    """The likelihood of a raster as a function of the working parameters of tiles."""

    def __init__(
        self,
        image: ArrayLike | Reader,
        raster: Raster,
        covariates: Literal["linear", "constant"] | None,
        mask: ArrayLike | Reader | Literal["nan"],
        noise_variance: ArrayLike | Reader | str,
        tile: int,
        scratch: str | os.PathLike[str] | None,
        tiles: FitResult,
    ) -> None:
        self.image, self.raster, self.tiles = image, raster, tiles
        self.options = {"covariates": covariates, "tile": tile, "scratch": scratch, "mask": mask, "shape": raster.shape}
        self.noise = noise_variance
        objective = tiles.problem.objective.with_scale()  # type: ignore[union-attr]
        assert isinstance(objective, Objective)
        self.objective = objective
        self._memo = Memo(objective)
        self._points: dict[bytes, Point] = {}
        self._steps: list[ScoringStep] = []
        self._best: tuple[bytes, TreeResult] | None = None

    @property
    def estimated(self) -> bool:
        """Whether the noise variance is."""
        return self.objective.estimated

    @property
    def start_noise(self) -> float | None:
        """Noise variance of the tiles, if it was estimated."""
        return float(np.max(self.tiles.noise_variance)) if self.estimated else None

    @property
    def names(self) -> list[str]:
        """Names of the working parameters."""
        return self.objective.names

    def __call__(self, at: FloatArray) -> Point:
        """Return value and gradient of the whole raster, and the information of the tiles scaled to it."""
        key = at.tobytes()
        if key not in self._points:
            found = self._tree_at(at)
            assert found.loglik is not None
            assert found.gradient is not None
            of_tiles = self._memo(at)
            slopes = np.array([found.gradient[name] for name in self.names]) @ self.objective.jacobian(at)
            information = of_tiles.information * (found.n_observed / self.objective.n_observed)
            self._points[key] = Point(found.loglik, slopes, information, of_tiles.noise_share)
            values = dict(zip(self.names, self.objective.values_at(at), strict=True))
            self._steps.append(ScoringStep(values, found.loglik, newton(slopes, information)[1]))
            if self._best is None or found.loglik >= self._best[1].loglik:  # type: ignore[operator]
                self._best = key, found  # of whose images there is one set
        return self._points[key]

    def result(self, first: FloatArray, ended: Ended, tolerance: float) -> RasterFit:
        """Return the fit that has ended."""
        last = self(ended.at)
        if self._best is None or self._best[0] != ended.at.tobytes():
            self._best = ended.at.tobytes(), self._tree_at(ended.at)
        model, variance = self.objective.parameters_at(ended.at)
        moved = ended.at - first
        given = None if callable(self.raster.variance) else self.raster.variance
        assert isinstance(model, Model)
        return RasterFit(
            model=model,
            noise_variance=variance if self.estimated else given,
            parameters=dict(zip(self.names, self.objective.values_at(ended.at), strict=True)),
            loglik=last.value,
            decrement=ended.decrement,
            converged=ended.converged and ended.decrement <= tolerance,
            reason=ended.ending.value,
            standard_errors=self._errors(ended.at, last.information),
            from_tiles=max(0.0, float(moved @ last.information @ moved)) ** 0.5,
            steps=tuple(self._steps),
            result=self._best[1],
            tiles=self.tiles,
        )

    def _tree_at(self, at: FloatArray) -> TreeResult:
        model, variance = self.objective.parameters_at(at)
        noise = variance if self.estimated else self.noise
        tree = SchurTree(model, self.image, noise_variance=noise, **self.options)  # type: ignore[arg-type]
        return tree.condition(gradient=True)

    def _errors(self, at: FloatArray, information: FloatArray) -> dict[str, float]:
        """Return the standard errors of the parameters."""
        values, directions = np.linalg.eigh(information)
        spread = (self.objective.jacobian(at) @ directions) ** 2
        known = values >= FLAT
        squares: FloatArray = np.asarray(spread[:, known] @ (1.0 / values[known]), dtype=np.float64)
        errors = np.sqrt(squares)
        errors[(spread[:, ~known] > 0.0).any(axis=1)] = np.inf
        return dict(zip(self.names, errors.tolist(), strict=True))
