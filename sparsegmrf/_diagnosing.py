"""The one door to diagnoses: a fit or field of an image goes to `inference.diagnose`, a stack to `stacks.diagnose`."""

from typing import overload

from sparsegmrf import inference, stacks
from sparsegmrf.gmrf import GMRF
from sparsegmrf.inference import CountFillResult, CountFitResult, Diagnosis, FillResult, FitResult
from sparsegmrf.stacks import SeriesFit, StackDiagnosis, StackFit, StackResult
from sparsegmrf.typing import Seed


@overload
def diagnose(result: StackResult | StackFit | SeriesFit, *, n_samples: int = 64, rng: Seed = 0) -> StackDiagnosis: ...


@overload
def diagnose(
    result: FitResult | CountFitResult | FillResult | CountFillResult | GMRF, *, n_samples: int = 64, rng: Seed = 0
) -> Diagnosis: ...


def diagnose(
    result: StackResult | StackFit | SeriesFit | FitResult | CountFitResult | FillResult | CountFillResult | GMRF,
    *,
    n_samples: int = 64,
    rng: Seed = 0,
) -> Diagnosis | StackDiagnosis:
    """Check a fit, a field or a filled stack: whether its numbers can be trusted, and whether its model is right.

    Of an image: the solve, the whiteness of its innovations, and its variances by sampling; see
    `sparsegmrf.inference.diagnose`. Of a stack: every observation against its prediction by all others, every date
    against all other dates; see `sparsegmrf.stacks.diagnose`.

    Parameters
    ----------
    result : FitResult, CountFitResult, FillResult, CountFillResult, GMRF, StackResult or StackFit
        What to check.
    n_samples : int
        Draws for the variances of an image, at least 2. Nothing of a stack is drawn.
    rng : int, Generator or None
        Their seed; fixed by default, so that the same result gets the same diagnosis.

    Returns
    -------
    Diagnosis or StackDiagnosis

    Raises
    ------
    ArgumentError
        As the two functions do.

    Examples
    --------
    >>> import numpy as np
    >>> from sparsegmrf import Matern, fit
    >>> image = Matern(range=6.0).gmrf((40, 40)).sample(rng=1) + np.random.default_rng(2).normal(0.0, 0.5, (40, 40))
    >>> found = diagnose(fit(Matern(), image))
    >>> found.residual < 1e-10, found.innovations.p_value > 1e-3, abs(found.variance_ratio_z) < 4
    (True, True, True)
    """
    if isinstance(result, StackResult | StackFit | SeriesFit):
        return stacks.diagnose(result)
    return inference.diagnose(result, n_samples=n_samples, rng=rng)
