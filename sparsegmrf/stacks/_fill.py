"""Filling the gaps of a stack of images in time."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf._validate import finite_number, generator, integer_at_least
from sparsegmrf.errors import ArgumentError
from sparsegmrf.inference._progress import ProgressLike, with_progress
from sparsegmrf.inference._spacing import SpacingLike
from sparsegmrf.models import Model
from sparsegmrf.stacks._best import compare
from sparsegmrf.stacks._filled import fill_stack
from sparsegmrf.stacks._images import result_of
from sparsegmrf.stacks._options import FillOptions
from sparsegmrf.stacks._read import Stack
from sparsegmrf.stacks._result import StackResult
from sparsegmrf.stacks._separable import Separable
from sparsegmrf.stacks._series import SeriesModel
from sparsegmrf.typing import ArrayLike, Seed


@with_progress
@one_blas_thread()
def fill(
    image: ArrayLike,
    *,
    dates: Any = None,
    at: Any = None,
    mask: ArrayLike | Literal["nan"] | None = "nan",
    model: Model | Separable | Sequence[Model | Separable] | Literal["modes", "best"] | SeriesModel | None = None,
    mean_model: Model | None = None,
    harmonics: int | Literal["auto"] | None = "auto",
    covariates: Literal["constant", "linear"] | None = "constant",
    noise_variance: Literal["estimate"] | float = "estimate",
    fixed: Sequence[str] | str = (),
    start: Mapping[str, float] | None = None,
    outliers: Literal["screen"] | None = None,
    limits: tuple[float, float] | None = None,
    n_samples: int = 0,
    rng: Seed = None,
    spacing: SpacingLike = "coordinates",
    method: Literal["auto", "sweep", "lattice"] = "auto",
    core: int | None = None,
    halo: int | None = None,
    progress: ProgressLike = False,
) -> StackResult:
    """Fill the gaps of images of one place at several dates: what is under a cloud, other dates have seen.

    ``y_t = trend + season_t + field_t + noise``. The season is ``c_0 + sum_j c_2j-1 cos(j w t) + c_2j sin(j w t)`` with
    a year's period, its coefficients maps with a Gaussian prior each; the field, or each of several that are added, has
    the correlation ``exp(-|t - s| / ell)`` in time times that of a spatial model. All of it is Gaussian: parameters are
    those of maximum likelihood with missing pixels integrated out, and means, variances and draws are exact given them.

    Parameters
    ----------
    image : array_like, (T, H, W), or DataArray
        Intensities; NaN marks gaps. A ``DataArray`` may have its dimensions in any order: results keep it, with
        coordinates, name and attributes.
    dates : sequence, (T,), optional
        One per image, in any order, irregular, repeated ones being two observations of a date: datetime64, dates of
        Python or cftime, ISO strings, or numbers of days. Not needed of a ``DataArray`` with dates.
    at : sequence, (A,), optional
        Dates without an image to predict.
    mask : ndarray of bool, (T, H, W) or (H, W), "nan" or None
        **True where a pixel is missing**, as for `sparsegmrf.fill`.
    model : Model, Separable, list of these, "modes", "best" or function, optional
        Of the field at one date, proper, at the parameters to start from; by default a `Matern`. A list is a sum of
        fields with a scale in time each, such as ``[Matern(range=20.0), Separable(Matern(range=3.0), ell=0)]``, a slow
        coarse field and weather; see `Separable`. ``"modes"``: images
        that keep coming back are learnt from the series, each pixel has a season of its own, clouds that nobody has
        marked weigh little, and every date has a field of a few pixels' reach; this is the default of series with 60
        images or more of which a fifth is seen, unless an option of the model above is given. Or a function that fills
        a series of plain arrays, ``model(values, days, at, n_samples=, rng=)``, and returns an object with
        ``mean``, ``variance``, ``noise_variance`` (T + A, H, W), ``samples`` and ``parameters``: dates, labels and
        gaps are then read and put back as for any other, and options of the model above are ignored. With ``"best"``
        fields with and without maps of level and season, and modes, are compared by how they predict what clouds of
        other dates hide when they are moved to clear ones (`cross_validate`), and the default is left only for what
        predicts better by more than the standard error of the difference; `StackResult.comparison` has the table.
    mean_model : Model, optional
        Of the maps of the season's coefficients, which is multiplied by deviations that are parameters of their own; by
        default a `Matern` of deviation one. ``Independent()`` shrinks every pixel by itself.
    harmonics : int, "auto" or None
        Of the year. 0 is a level by pixel alone, None no map at all. By default 0 within a year, else one or two as the
        number of dates allows.
    covariates : "constant", "linear" or None
        Trend that all dates share: a level, rows and columns with it, or none. The mean season over all pixels is a
        part of it.
    noise_variance : "estimate" or float
        Of every measurement, in intensity^2.
    fixed : sequence of str
        Parameters that are held: of the field, ``ell``, ``sd_level``, ``sd_harmonic_1``, ..., or those of the season's
        maps such as ``range_mean``. Those of several fields end in their label: ``range_0``, ``ell_0``.
    start : mapping, optional
        Values of parameters to start from, or to be held at: ``start={"ell": 30.0}, fixed="ell"``.
    outliers : "screen" or None
        Whether observations that contradict the other dates, such as clouds that nobody has marked, are left out: those
        over 5 robust deviations from their season before the fit, and over 4.5 standard deviations from what all other
        dates say after it.
    limits : (float, float), optional
        Physical range to which means and draws are clipped; by default nothing is.
    n_samples : int
        Number of draws.
    rng : int, Generator or None
        Seed of the draws.
    spacing : "coordinates", (height, width), Spacing or None
        Size of the pixels, as for `sparsegmrf.fill`.
    method : {"auto", "sweep", "lattice"}
        ``"sweep"`` goes from date to date with dense blocks over pixels, ``"lattice"`` dissects the image with all
        dates of a pixel together; ``"auto"`` takes the cheaper, and tiles where neither can be. A name is obeyed at any
        cost.
    core, halo : int, optional
        Side of the tiles of which standard deviations are computed where that of all pixels is too much, and pixels
        around them, in the place of what follows from the fitted range.
    progress : bool or callable
        True shows a bar on a terminal or in a notebook; a function is told a `Progress` after every likelihood, round
        of learning, date, tile, or step of an iteration. Results do not depend on it.

    Returns
    -------
    StackResult

    Raises
    ------
    ArgumentError
        If an argument is not as above.
    TooLargeError
        If a tile, or what the means of all pixels take, does not fit into memory.

    References
    ----------
    H. Rue, L. Held, Gaussian Markov Random Fields (2005), sections 2.4 and 3.2; M. L. Stein, Space-time covariance
    functions, JASA 100 (2005), for what separable ones are not.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf.models import Matern
    >>> rng = np.random.default_rng(0)
    >>> days, field = [0.0, 8.0, 16.0, 40.0], Matern(range=4.0).gmrf((8, 8)).sample(rng=rng)
    >>> stack = field + 0.1 * rng.standard_normal((4, 8, 8))
    >>> stack[1, 2:6, 2:6] = np.nan
    >>> result = fill(stack, dates=days, at=[24.0], start={"ell": 30.0}, fixed="ell", harmonics=None)
    >>> result.mean.shape, result.at.mean.shape
    ((4, 8, 8), (1, 8, 8))
    >>> bool(np.abs(result.mean[1] - field).max() < 5 * result.std[1].max())
    True
    """
    count, stream = integer_at_least("n_samples", n_samples, 0), generator(rng)
    bounds = _bounds(limits)
    options = FillOptions.read(
        model=model,
        mean_model=mean_model,
        harmonics=harmonics,
        covariates=covariates,
        noise_variance=noise_variance,
        fixed=fixed,
        start=start,
        outliers=outliers,
        spacing=spacing,
        method=method,
        core=core,
        halo=halo,
    )
    stack = Stack.read(image, dates, mask)
    more = np.zeros(0) if at is None else stack.calendar.days(at, "at")
    comparison = None
    if options.is_best:
        comparison, options = compare(stack, options, stream)
    found = fill_stack(stack, options, more, count, stream)
    return replace(
        result_of(stack, found.images, found.fit, at, found.screened, bounds, found.seam),
        comparison=comparison,
        mean_error=found.error,
    )


def _bounds(limits: Any) -> tuple[float, float]:
    if limits is None:
        return -np.inf, np.inf
    try:
        low, high = limits
    except (TypeError, ValueError):
        raise ArgumentError(f"limits must be a pair (low, high), got {limits!r}.") from None
    found = finite_number("limits[0]", low), finite_number("limits[1]", high)
    if not found[0] < found[1]:
        raise ArgumentError(f"limits must be (low, high) with low below high, got {found}.")
    return found
