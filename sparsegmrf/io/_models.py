"""Models as JSON."""

import json
from pathlib import Path

from sparsegmrf._files import PathLike, replacing
from sparsegmrf.autoregression import CausalAR, CausalARFit
from sparsegmrf.errors import FileError

_MODEL = "causal_ar"


def write_model(path: PathLike, model: CausalAR | CausalARFit) -> None:
    """Write a causal autoregression as JSON, every digit kept.

    Parameters
    ----------
    path : path
        The file; written whole or not at all.
    model : CausalAR or CausalARFit
        The model, or the fit that found it: its standard errors, likelihood and criteria are then written too, as
        ``"fit"``, for other readers.
    """
    fit, chosen = (model, model.model) if isinstance(model, CausalARFit) else (None, model)
    fields: dict[str, object] = {
        "model": _MODEL,
        "offsets": chosen.offsets.tolist(),
        "weights": chosen.weights.tolist(),
        "sigma": chosen.sigma,
        "mean": chosen.mean,
    }
    if fit is not None:
        names = ("method", "support", "n_observed", "n_parameters", "loglik", "aic", "bic", "standard_errors")
        fields["fit"] = {name: getattr(fit, name) for name in names}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(fields, indent=1) + "\n", encoding="utf-8")


def read_model(path: PathLike) -> CausalAR:
    """Read a causal autoregression from JSON.

    Parameters
    ----------
    path : path
        An object with ``"model": "causal_ar"``, ``offsets`` earlier in raster order, ``weights``, ``sigma``, ``mean``;
        other entries are not read.

    Returns
    -------
    CausalAR
        The model.

    Raises
    ------
    FileError
        If the file is missing, is no JSON, or lacks an entry.
    ArgumentError
        If an entry has a value that a model cannot have.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_model(folder + "/model.json", CausalAR([0.5, 0.4], support=[(-1, 0), (0, -1)]))
    ...     read_model(folder + "/model.json").weights.tolist()
    [0.5, 0.4]
    """
    source = Path(path)
    try:
        fields = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"path must be a model in JSON, got {source}, which cannot be read: {error}.") from error
    if not isinstance(fields, dict) or fields.get("model") != _MODEL:
        raise FileError(f'path must be a model in JSON with "model": "{_MODEL}", got {source} without it.')
    missing = sorted({"offsets", "weights", "sigma", "mean"} - set(fields))
    if missing:
        raise FileError(f"{source} must have offsets, weights, sigma and mean, but lacks {', '.join(missing)}.")
    return CausalAR(fields["weights"], fields["sigma"], fields["mean"], support=fields["offsets"])
