"""Arguments that fillings, trees and fits of rasters have in common, checked in one place."""

import os
from typing import Any

from sparsegmrf.errors import ArgumentError
from sparsegmrf.models import Model


def check_model(model: Any) -> None:
    """Refuse what is no `Model`."""
    if not isinstance(model, Model):
        raise ArgumentError(f"model must be a Model such as Matern or TensionSpline, got {type(model).__name__}.")


def is_estimated(noise_variance: Any) -> bool:
    """Return whether the noise is to be estimated; a word other than "estimate" is refused."""
    if isinstance(noise_variance, str) and noise_variance != "estimate":
        raise ArgumentError(f'noise_variance must be "estimate" or a variance, got {noise_variance!r}.')
    return isinstance(noise_variance, str)


def check_known(noise_variance: Any) -> None:
    """Refuse a noise variance that is a word where it has to be known."""
    if isinstance(noise_variance, str):
        raise ArgumentError(f"noise_variance must be a variance, got {noise_variance!r}; fill estimates it.")


def check_scratch(scratch: str | os.PathLike[str] | None) -> None:
    """Refuse a folder for images that does not exist."""
    if scratch is not None and not os.path.isdir(scratch):
        raise ArgumentError(f"scratch must be an existing folder, got {os.fspath(scratch)}; make it first.")
