"""The one door to fillings: an image goes to `inference.fill`, a stack of images with dates to `stacks.fill`."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, overload

from sparsegmrf import inference, stacks
from sparsegmrf.inference import ChannelsFillResult, CountFillResult, FillResult
from sparsegmrf.inference._progress import ProgressLike
from sparsegmrf.inference._spacing import SpacingLike
from sparsegmrf.likelihoods import Gaussian, Likelihood
from sparsegmrf.models import Channels, Model
from sparsegmrf.stacks import Separable, StackResult
from sparsegmrf.stacks._labels import time_of
from sparsegmrf.stacks._series import SeriesModel
from sparsegmrf.typing import ArrayLike, Seed


@overload
def fill(
    image: ArrayLike,
    *,
    dates: Any,
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
) -> StackResult: ...


@overload
def fill(image: ArrayLike, *, model: Channels, **options: Any) -> ChannelsFillResult: ...


@overload
def fill(image: ArrayLike, *, likelihood: Likelihood, **options: Any) -> CountFillResult: ...


@overload
def fill(image: ArrayLike, *, likelihood: Gaussian | None = None, **options: Any) -> FillResult: ...


def fill(
    image: ArrayLike, *, dates: Any = None, **options: Any
) -> FillResult | CountFillResult | ChannelsFillResult | StackResult:
    """Fill the gaps of an image, or of a stack of images in time, with the uncertainty of what is filled in.

    An image ``(H, W)``, or channels ``(H, W, C)`` with ``model=Channels(...)``, is filled from what is around each gap;
    the options are those of `sparsegmrf.inference.fill`. A stack ``(T, H, W)`` with dates, or an xarray ``DataArray``
    with three dimensions of which one has dates, is filled from the other dates as well; the options are those of
    `sparsegmrf.stacks.fill`. Without dates the first of three axes is no time.

    Parameters
    ----------
    image : array_like, (H, W) or (T, H, W), or DataArray
        Intensities; NaN marks gaps unless ``mask=`` says what is missing, **True where a pixel is missing**.
    dates : sequence, (T,), optional
        One per image of a stack, in any order: datetime64, dates of Python or cftime, ISO strings, numbers of days.
    **options
        Of an image ``mask``, ``model``, ``noise_variance``, ``covariates``, ``fixed``, ``n_samples``, ``rng``,
        ``likelihood``, ``spacing``, ``precision``, ``progress``. Of a stack also ``at``, ``harmonics``, ``mean_model``,
        ``start``, ``outliers``, ``limits``, ``method``, ``core``, ``halo``, and no ``likelihood``.

    Returns
    -------
    FillResult or StackResult
        Of counts a `CountFillResult`, of `Channels` a `ChannelsFillResult`.

    Raises
    ------
    ArgumentError
        As the two functions do.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:40, :50] / 10.0
    >>> truth = np.sin(rows) * np.cos(columns)
    >>> image = truth + 0.1 * np.random.default_rng(0).standard_normal(truth.shape)
    >>> image[10:20, 15:25] = np.nan
    >>> result = fill(image)
    >>> bool(np.abs(result.mean - truth)[10:20, 15:25].max() < 4 * result.std[10:20, 15:25].max())
    True
    """
    if dates is None and (getattr(image, "ndim", 0) < 3 or time_of(image) is None):
        found: FillResult | CountFillResult | ChannelsFillResult = inference.fill(image, **options)
        return found
    filled: StackResult = stacks.fill(image, dates=dates, **options)
    return filled
