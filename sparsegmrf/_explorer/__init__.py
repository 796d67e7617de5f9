"""Fields to play with: the Cholesky experiment, models, and holes drawn with the mouse; with the extra ``explore``."""

import importlib
from typing import TYPE_CHECKING, Any

from sparsegmrf._libraries import EXTRAS
from sparsegmrf.errors import MissingLibraryError
from sparsegmrf.typing import ArrayLike

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["explore"]


def explore(image: ArrayLike | None = None) -> "ipywidgets.Tab":
    """Return three tabs for a notebook: an experiment, models, and holes in an image that are filled.

    1. The Cholesky field of two neighbours: factor, precision, covariance and a draw move with the weight ``k`` and the
       seed, beside the limit on ``k``.
    2. A model: its parameters and the noise move a draw, its correlation and its spectrum.
    3. Holes: what is drawn on the image with the mouse is taken out, and filled from the rest with its uncertainty.

    The last expression of a cell shows what is returned; the command ``sparsegmrf explore`` shows the same as a page.

    Parameters
    ----------
    image : array_like, (H, W), optional
        Image of the third tab, in any unit; NaN where missing. Every hole is a fit to the rest, so that a small image
        answers faster: 64 x 80 pixels, the size of the elevations shown by default, take a second or two.

    Returns
    -------
    ipywidgets.Tab
        Live where a kernel runs.

    Raises
    ------
    MissingLibraryError
        If the extra is not installed.
    ArgumentError
        If the image is not two-dimensional or has no observed pixel.

    Examples
    --------
    >>> explore().titles
    ('experiment', 'model', 'holes')
    """
    return optional("_page").page(image)


def optional(module: str) -> Any:
    """Return a module of the explorer.

    Raises
    ------
    MissingLibraryError
        If a library of the extra is not installed, with the command that installs it.
    """
    try:
        return importlib.import_module(f"sparsegmrf._explorer.{module}")
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRAS:
            raise
        raise MissingLibraryError(
            f'the explorer needs {name}; install it with: pip install "sparsegmrf[explore]"', name=name
        ) from None
