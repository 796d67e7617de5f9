"""Filling a raster tile by tile."""

import os
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from sparsegmrf._axes import is_labelled
from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import finite_number, integer_at_least
from sparsegmrf.inference import FitResult
from sparsegmrf.inference._labels import Labels
from sparsegmrf.large._arguments import check_known, check_model, is_estimated
from sparsegmrf.large._fit import fit_on_tiles
from sparsegmrf.large._lazy import LazyResult, check_lazy, fill_lazily, is_lazy
from sparsegmrf.large._raster import Raster, Reader
from sparsegmrf.large._result import TiledResult
from sparsegmrf.large._run import Options, Run, silent
from sparsegmrf.large._stages import Progress
from sparsegmrf.models import Model, TensionSpline
from sparsegmrf.typing import ArrayLike, Seed


@one_blas_thread()
def fill(
    image: ArrayLike | Reader,
    *,
    shape: tuple[int, int] | None = None,
    mask: ArrayLike | Reader | Literal["nan"] = "nan",
    model: Model | None = None,
    noise_variance: Literal["estimate"] | ArrayLike | Reader = "estimate",
    covariates: Literal["linear", "constant"] | None = "linear",
    n_samples: int = 0,
    rng: Seed = None,
    loglik: bool = False,
    tolerance: float = 0.01,
    mean_tolerance: float = 1e-6,
    core: int | None = None,
    halo: int | None = None,
    memory: float | None = None,
    upper: bool = True,
    scratch: str | os.PathLike[str] | None = None,
    passes: int = 6,
    progress: Progress | None = None,
) -> TiledResult | LazyResult:
    """Fill the gaps of a raster that is too large for a factorization, with bounds on what that costs.

    The raster is cut into cores, each of which is computed on a window with a halo around it. Everything outside a
    window taken as known gives a lower bound of every variance, everything shared with outside left away an upper one,
    and halos grow where the two are far apart. Means and draws are those of the whole raster: what the tiles say of
    them is improved until the error, which is bounded as well, is below a tolerance.

    ``y = trend + field + noise`` as for `sparsegmrf.fill`. Parameters that are not known are fitted to tiles of 128
    pixels spread over the raster, least-squares trend taken off, whose estimates are those of the whole to about
    ``sqrt(pixels / pixels used)`` standard errors.

    A dask array, or an xarray ``DataArray`` on one, gives a `LazyResult`: nothing but some windows of it is read before
    that is computed, tile by tile, each of the tasks in one thread. Tiles do not go by chunks.

    Parameters
    ----------
    image : array_like, (H, W), function, dask array or DataArray
        Intensities; NaN marks gaps. An array that is read in slices, such as a `numpy.memmap`, or a function of two
        slices that returns rows and columns of the raster. Of a ``DataArray`` the results keep dimensions, coordinates,
        name and attributes.
    shape : (int, int), optional
        Height and width, with a function.
    mask : array_like of bool, (H, W), function or "nan"
        **True where a pixel is missing** besides those that are NaN.
    model : Model, optional
        One field, or a `Sum`, that does not wrap; by default a `TensionSpline`. With a noise variance given its
        parameters are taken as they are, as those of a fitted model, ``fit(...).model``.
    noise_variance : float, array_like (H, W), function or "estimate"
        Positive, in intensity^2. With ``"estimate"`` it is fitted together with the parameters of the model.
    covariates : "linear", "constant" or None
        Trend by rows and columns, a level, or none. Its coefficients are those of the whole raster.
    n_samples : int
        Number of draws given the observations.
    rng : int, Generator or None
        Seed of the draws. Their normals belong to pixels of the raster: the same seed gives the same draws whatever the
        tiles, to `mean_tolerance`.
    loglik : bool
        Whether bounds of the log-likelihood are wanted, for four more factorizations of every tile.
    tolerance : float
        Largest relative difference of the bounds of a standard deviation; what needs more memory than there is is
        flagged.
    mean_tolerance : float
        Largest error of means and draws in standard deviations.
    core, halo : int, optional
        Side of the cores, and pixels around them to begin with; by default chosen from memory and from how fast the
        field forgets.
    memory : float, optional
        Bytes that the work on tiles may take beside the raster's own images, by default half of what is available.
    upper : bool
        Whether bounds from above are wanted. Without them nothing is certain of means either.
    scratch : path, optional
        Folder for the images of the raster, results included, which stay on disk until they are no longer used.
    passes : int
        On dask: most passes over the tiles for the mean. What is not needed of them costs nothing.
    progress : function, optional
        Called with the name of a stage (``"fit"``, ``"reading"``, ``"bounds"``, ``"pass 2"``, ..., ``"certificate"``,
        ``"likelihood"``, ``"images"``), how much of it is done, and how much there is: mostly tiles. On dask left out:
        tasks have names.

    Returns
    -------
    TiledResult or LazyResult

    Raises
    ------
    ArgumentError
        If an argument is not as above, the model wraps or has no natural cuts (``upper=True``), or maps of a model are
        to be fitted.
    TooLargeError
        If a tile with the halo that the field needs does not fit into the memory.
    NotPositiveDefiniteError
        If the observations do not fix the field, as they do not that of a masked part without any.

    References
    ----------
    X.-C. Cai, M. Sarkis (1999), A restricted additive Schwarz preconditioner for general sparse linear systems, SIAM J.
    Sci. Comput. 21, for the solver; H. Rue, L. Held, Gaussian Markov Random Fields (2005), section 2, for the field.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import TensionSpline
    >>> rows, columns = np.mgrid[:60, :80] / 10.0
    >>> image = np.sin(rows) * np.cos(columns) + 0.1 * np.random.default_rng(0).standard_normal(rows.shape)
    >>> image[10:16, 25:31] = np.nan
    >>> result = fill(image, model=TensionSpline(0.4, tau=40.0), noise_variance=0.01, core=40, halo=16)
    >>> len(result.tiles), result.mean_error < 1e-6, result.largest_width < 0.01
    (4, True, True)
    """
    start = TensionSpline(kappa=0.5) if model is None else model
    check_model(start)
    estimated = is_estimated(noise_variance)
    lazy = is_lazy(image)
    if lazy:
        check_lazy(mask, noise_variance, scratch, progress)
    options = Options(
        n_samples, rng, loglik, tolerance, mean_tolerance, core, halo, memory, upper=upper, scratch=scratch
    )
    passes = integer_at_least("passes", passes, 1)
    tell = progress or silent
    raster = Raster.of(image, shape, mask, 1.0 if estimated else noise_variance)
    found: FitResult | None = None
    if estimated or model is None:
        options.cuts(start, raster.shape)  # what is refused is refused before the fit
        tell("fit", 0, 1)
        found = fit_on_tiles(raster, start, covariates, estimated=estimated)
        tell("fit", 1, 1)
        start = found.model  # type: ignore[assignment]
        if estimated:
            raster = raster.with_variance(float(np.max(found.noise_variance)))
    if lazy:
        variance = noise_variance if np.ndim(noise_variance) else raster.variance  # type: ignore[arg-type]
        return fill_lazily(image, start, variance, covariates, options, passes=passes)
    result = Run.of(raster, start, covariates, options).result(progress=progress, fit=found)
    labels = Labels.of(image) if is_labelled(image) else None
    return result if labels is None else _labelled(result, labels)


@one_blas_thread()
def condition(
    model: Model,
    y: ArrayLike | Reader,
    *,
    noise_variance: ArrayLike | Reader,
    shape: tuple[int, int] | None = None,
    mask: ArrayLike | Reader | Literal["nan"] = "nan",
    mean: float = 0.0,
    **options: Any,
) -> TiledResult:
    """Return a field of known parameters and mean given a raster of observations, tile by tile.

    What `sparsegmrf.condition` says of ``model.gmrf(shape, mean)``: there is no trend to estimate.

    Parameters
    ----------
    model : Model
        As for `fill`, parameters as they are.
    y : array_like, (H, W), or function
        Observations, as `image` of `fill`.
    noise_variance : float, array_like (H, W), or function
        Positive, in intensity^2.
    shape, mask
        As for `fill`.
    mean : float
        Of the field, in intensity; of an intrinsic field it does not matter.
    **options
        ``n_samples``, ``rng``, ``loglik``, ``tolerance``, ``mean_tolerance``, ``core``, ``halo``, ``memory``,
        ``upper``, ``scratch`` and ``progress`` of `fill`.

    Returns
    -------
    TiledResult

    Raises
    ------
    ArgumentError, TooLargeError, NotPositiveDefiniteError
        As by `fill`.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import Matern
    >>> model = Matern(range=6.0, sigma=2.0)
    >>> y = model.gmrf((60, 50)).sample(rng=0)
    >>> y[20:30, 20:30] = np.nan
    >>> result = condition(model, y, noise_variance=0.01, core=30, halo=20)
    >>> bool((result.std_lower <= result.std_upper).all()), result.mean_error < 1e-6
    (True, True)
    """
    check_model(model)
    check_known(noise_variance)
    raster = Raster.of(y, shape, mask, noise_variance)
    told = options.pop("progress", None)
    return Run.of(raster, model, None, Options(**options), level=finite_number("mean", mean)).result(progress=told)


def _labelled(result: TiledResult, labels: Labels) -> TiledResult:
    """Return a result whose images carry the labels of the raster."""
    deviations = {name: getattr(result, name) for name in ("std", "std_lower", "std_upper")}
    return replace(
        result,
        mean=labels.values(result.mean),
        samples=labels.draws(result.samples),
        **{name: labels.deviation(each, name, "standard deviation") for name, each in deviations.items()},
    )
