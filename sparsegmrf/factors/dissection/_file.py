"""A factor in a file: NumPy's .npz with the stencil and the numbers; the analysis is made again when it is read."""

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.dissection._analysis import Analysis, analyse
from sparsegmrf.factors.dissection._numeric import FactorNumbers, aligned
from sparsegmrf.stencil import SymmetricStencil
from sparsegmrf.typing import FloatArray

_FORMAT = 1


def write(path: str | os.PathLike[str], precision: SymmetricStencil, analysis: Analysis, blocks: FactorNumbers) -> None:
    """Write under a temporary name beside `path`, then rename."""
    target = Path(path)
    coefficients: dict[str, Any] = {f"coefficient_{k}": precision.coefficient(k) for k in range(len(precision.offsets))}
    levels: dict[str, Any] = {f"front_start_{k}": starts for k, starts in enumerate(blocks.front_start)}
    logs: dict[str, Any] = {f"log_pivots_{k}": values for k, values in enumerate(blocks.log_pivots)}
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
                sparsegmrf_dissection_factor=_FORMAT,
                shape=precision.shape,
                channels=precision.channels,
                boundary=precision.boundary,
                offsets=precision.offsets,
                tile=analysis.tile,
                leaf=analysis.leaf,
                tiles=blocks.tiles,
                fronts=blocks.fronts,
                **coefficients,
                **levels,
                **logs,
            )
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def read(path: str | os.PathLike[str]) -> tuple[SymmetricStencil, Analysis, FactorNumbers]:
    """Read what `write` wrote."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if "sparsegmrf_dissection_factor" not in content or int(content["sparsegmrf_dissection_factor"]) != _FORMAT:
                raise ArgumentError(
                    f"path must name a dissection factor in format {_FORMAT}, got {os.fspath(path)!r}; "
                    "write it again with to_file."
                )
            offsets = content["offsets"]
            precision = SymmetricStencil(
                offsets,
                [content[f"coefficient_{k}"] for k in range(len(offsets))],
                tuple(content["shape"]),
                channels=int(content["channels"]),
                boundary=str(content["boundary"]),
            )
            analysis = analyse(precision.lattice, offsets, tile=int(content["tile"]), leaf=int(content["leaf"]))
            starts = [content[f"front_start_{k}"] for k in range(analysis.depth)]
            logs = [content[f"log_pivots_{k}"] for k in range(analysis.depth + 1)]
            return (
                precision,
                analysis,
                FactorNumbers(_aligned(content["tiles"]), _aligned(content["fronts"]), starts, logs),
            )
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            f"path must name a dissection factor written by to_file, got {os.fspath(path)!r}, which cannot be read: "
            f"{error}."
        ) from error


def _aligned(array: FloatArray) -> FloatArray:
    result = aligned(array.size)
    result[:] = array
    return result
