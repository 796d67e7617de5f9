"""Files of models and fits: JSON as `to_json` has it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from sparsegmrf._files import PathLike, replacing
from sparsegmrf._saved import Saved, loaded, saved
from sparsegmrf.autoregression import CausalAR
from sparsegmrf.ensembles import CholeskyField, SymmetricField
from sparsegmrf.errors import ArgumentError, FileError
from sparsegmrf.fitted import Fitted
from sparsegmrf.inference import IntegratedFit, SavedIntegral
from sparsegmrf.models import Model
from sparsegmrf.pixels import PixelGaussian, PixelMixture

AnyModel: TypeAlias = Model | CausalAR | CholeskyField | SymmetricField
AnyFit: TypeAlias = Fitted | IntegratedFit | SavedIntegral | PixelGaussian | PixelMixture


def write_model(path: PathLike, model: AnyModel | AnyFit, *, about: Mapping[str, object] | None = None) -> None:
    """Write a model, or a fit with its estimates and their uncertainty, as JSON, every digit kept.

    Parameters
    ----------
    path : path
        The file; written whole or not at all.
    model : Model, CausalAR, CholeskyField, SymmetricField, or a fit
        What is written, by its `to_json`. Of a fit all but the images.
    about : mapping, optional
        What is to be said besides, for other readers: under ``"about"``.

    Raises
    ------
    ArgumentError
        If `model` is none, or holds something that JSON does not.
    FileError
        If the file cannot be written.
    """
    if not isinstance(model, AnyModel | AnyFit):
        raise ArgumentError(f"model must be a model or a fit of this package, got {type(model).__name__}.")
    with replacing(path) as temporary:
        temporary.write_text(saved(model, about), encoding="utf-8")


def read_model(path: PathLike) -> AnyModel:
    """Read a model from JSON; of a fit its model, at the estimates.

    Parameters
    ----------
    path : path
        Written by `write_model`, by a command, or by hand: an object with ``"format": "sparsegmrf"``, ``"version": 1``,
        ``"kind"``, such as ``"Matern"``, and fields.

    Returns
    -------
    Model, CausalAR, CholeskyField or SymmetricField

    Raises
    ------
    FileError
        If the file is missing, is no such JSON, or a field has a value that a model cannot have.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(folder + "/model.json", CausalAR([0.5, 0.4], support=[(-1, 0), (0, -1)]))
    ...     read_model(folder + "/model.json").weights.tolist()
    [0.5, 0.4]
    """
    found = _read(path)
    model = found.model if isinstance(found, Fitted | SavedIntegral) else found
    if not isinstance(model, AnyModel):
        raise FileError(f"path must hold a model, or a fit of one, got {Path(path)} of kind {found._saved_kind()!r}.")
    return model


def read_fit(path: PathLike) -> AnyFit:
    """Read a fit from JSON.

    Parameters
    ----------
    path : path
        Written by `write_model`, or by ``sparsegmrf fit``, ``fill`` or ``ar fit``.

    Returns
    -------
    SavedFit, SavedIntegral, CausalARFit, CholeskyFit, SymmetricFit, PixelGaussian or PixelMixture
        A `SavedFit` of what `sparsegmrf.fit` has found, a `SavedIntegral` of what `FitResult.integrate` has: their
        images are not in the file.

    Raises
    ------
    FileError
        If the file is missing, is no such JSON, or holds a model alone.
    """
    found = _read(path)
    if not isinstance(found, AnyFit):
        raise FileError(f"path must hold a fit, got {Path(path)} of kind {found._saved_kind()!r}; read_model reads it.")
    return found


def _read(path: PathLike) -> Saved:
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FileError(f"path must be a model in JSON, got {source}, which cannot be read: {error}.") from error
    try:
        return loaded(text)
    except ArgumentError as error:
        raise FileError(f"path must be a model in JSON, got {source}, which cannot be read: {error}") from error
