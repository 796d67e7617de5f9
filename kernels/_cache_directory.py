"""Where compiled kernels go if the package's folder cannot be written, and what was compiled there beforehand."""

import atexit
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from numba import config, njit

_OWN = Path(__file__).parent / "__pycache__"


def provide_cache_directory() -> bool:
    """Give numba a temporary directory where it finds none of its own, with a warning unless kernels lie ready.

    To be called before a kernel is defined: numba looks for the place then, and refuses the definition without one.
    Processes started from this one share the directory, which is removed when this one ends.

    Numba reads only where it can write. Kernels that lie in the package's folder, or in ``NUMBA_CACHE_DIR``, and
    were compiled by who could write there, are therefore copied to where this process can.

    Returns
    -------
    bool
        Whether what is compiled from now on is kept for other processes.

    Raises
    ------
    OSError
        If no temporary directory can be written either.
    RuntimeError
        Of numba, if it takes no directory at all, as with locators of its user's own.
    """
    provided = config.CACHE_DIR  # type: ignore[attr-defined]
    place = _place_of_numba()
    if place is not None:
        if place != _OWN and not (provided and place.parent == Path(provided)):
            _copy_compiled(provided, place)
        return True
    try:
        directory = tempfile.mkdtemp(prefix="sparsegmrf-kernels-")
    except OSError as error:
        raise OSError(
            "compiled kernels need a directory, but neither the package's folder nor the user's cache directory nor a "
            f"temporary one can be written ({error}); set NUMBA_CACHE_DIR to a directory that can."
        ) from error
    atexit.register(_remove, directory, os.getpid())
    config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = directory  # type: ignore[attr-defined]
    place = _compiled_probe()
    if not _copy_compiled(provided, place):
        warnings.warn(
            "compiled kernels cannot be kept: neither the package's folder nor the user's cache directory can be "
            "written. Every process compiles them anew, which takes minutes; set NUMBA_CACHE_DIR to a directory that "
            "can be written to keep them.",
            RuntimeWarning,
            stacklevel=2,
        )
    return False


def _probe() -> None:
    """Stand for any kernel of this folder."""


def _compiled_probe() -> Path:
    return Path(str(njit(cache=True)(_probe).stats.cache_path))


def _place_of_numba() -> Path | None:
    """Return the directory that numba takes for this folder, if it finds one."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        return _OWN
    try:
        return _compiled_probe()
    except RuntimeError:
        return None


def _copy_compiled(provided: str, place: Path) -> bool:
    """Copy what is newer elsewhere, indices behind what they point at; return whether there was anything."""
    elsewhere = [_OWN, *([Path(provided) / place.name] if provided else [])]
    compiled = [path for folder in elsewhere for kind in ("*.nbc", "*.nbi") for path in folder.glob(kind)]
    for path in compiled:
        copy = place / path.name
        if not copy.exists() or copy.stat().st_mtime < path.stat().st_mtime:
            with tempfile.NamedTemporaryFile(dir=place, delete=False) as file:
                file.write(path.read_bytes())
            os.replace(file.name, copy)
    return bool(compiled)


def _remove(directory: str, owner: int) -> None:
    """Remove the directory in the process that made it, not in one forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)
