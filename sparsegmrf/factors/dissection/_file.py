"""A factor in a file: NumPy's .npz with the stencil and the numbers; the analysis is made again when it is read."""

import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sparsegmrf.errors import ArgumentError
from sparsegmrf.factors.dissection._analysis import Analysis, analyse
from sparsegmrf.factors.dissection._buffers import Stored, aligned_in
from sparsegmrf.factors.dissection._numbers import FactorNumbers
from sparsegmrf.stencil import SymmetricStencil

_FORMAT = 1


def write(
    path: str | os.PathLike[str],
    precision: SymmetricStencil,
    analysis: Analysis,
    blocks: FactorNumbers,
    kind: str = "dissection",
    **more: Any,
) -> None:
    """Write a factor of a kind, and what more it has, under a temporary name beside `path`, then rename."""
    target = Path(path)
    coefficients: dict[str, Any] = {f"coefficient_{k}": precision.coefficient(k) for k in range(len(precision.offsets))}
    levels: dict[str, Any] = {f"front_start_{k}": starts for k, starts in enumerate(blocks.front_start)}
    logs: dict[str, Any] = {f"log_pivots_{k}": values for k, values in enumerate(blocks.log_pivots)}
    if blocks.is_single:
        logs |= {f"rounded_log_pivots_{k}": values for k, values in enumerate(blocks.rounded_log_pivots)}
    head: dict[str, Any] = {_key(kind): _FORMAT, **more}
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(
                file,
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
                **head,
            )
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise


def read(
    path: str | os.PathLike[str], kind: str = "dissection", more: tuple[str, ...] = ()
) -> tuple[SymmetricStencil, Analysis, FactorNumbers, list[Any]]:
    """Read what `write` wrote, and the arrays `more`."""
    try:
        with np.load(path, allow_pickle=False) as content:
            if _key(kind) not in content or int(content[_key(kind)]) != _FORMAT:
                raise ArgumentError(
                    f"path must name a {kind} factor in format {_FORMAT}, got {os.fspath(path)!r}; "
                    "write it again with to_file."
                )
            offsets = content["offsets"]
            precision = SymmetricStencil(
                offsets,
                [content[f"coefficient_{k}"] for k in range(len(offsets))],
                tuple(content["shape"]),
                channels=int(content["channels"]),
                boundary=boundary_of(content["boundary"]),
            )
            analysis = analyse(precision.lattice, offsets, tile=int(content["tile"]), leaf=int(content["leaf"]))
            starts = [content[f"front_start_{k}"] for k in range(analysis.depth)]
            logs = [content[f"log_pivots_{k}"] for k in range(analysis.depth + 1)]
            tiles, fronts = (_aligned(content[name]) for name in ("tiles", "fronts"))
            single = tiles.dtype == np.float32
            rounded = [content[f"rounded_log_pivots_{k}"] for k in range(analysis.depth + 1)] if single else logs
            blocks = FactorNumbers(tiles, fronts, starts, logs, rounded)
            return precision, analysis, blocks, [content[name] for name in more]
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise ArgumentError(
            f"path must name a {kind} factor written by to_file, got {os.fspath(path)!r}, which cannot be read: "
            f"{error}."
        ) from error


def boundary_of(array: Any) -> Any:
    """Return a boundary, or one for each axis, from an array of names."""
    return str(array) if array.ndim == 0 else tuple(str(name) for name in array)


def _key(kind: str) -> str:
    return f"sparsegmrf_{kind}_factor"


def _aligned(array: Stored) -> Stored:
    result = aligned_in(array.size, single=array.dtype == np.float32)
    result[:] = array
    return result
