"""Where compiled kernels go if neither the package's folder nor the user's cache directory can be written."""

import atexit
import os
import shutil
import tempfile
import warnings

from numba import config, njit


def provide_cache_directory() -> None:
    """Give numba a temporary directory, with a warning, where it finds none of its own.

    To be called before a kernel is defined: numba looks for the place then, and refuses the definition without one.
    Processes started from this one share the directory, which is removed when this one ends.

    Raises
    ------
    OSError
        If no temporary directory can be written either.
    RuntimeError
        Of numba, if it takes no directory at all, as with locators of its user's own.
    """
    if _numba_finds_one():
        return
    try:
        directory = tempfile.mkdtemp(prefix="sparsegmrf-kernels-")
    except OSError as error:
        raise OSError(
            "compiled kernels need a directory, but neither the package's folder nor the user's cache directory nor a "
            f"temporary one can be written ({error}); set NUMBA_CACHE_DIR to a directory that can."
        ) from error
    atexit.register(_remove, directory, os.getpid())
    config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"] = directory  # type: ignore[attr-defined]
    njit(cache=True)(_probe)
    warnings.warn(
        "compiled kernels cannot be kept: neither the package's folder nor the user's cache directory can be written. "
        "Every process compiles them anew, which takes minutes; set NUMBA_CACHE_DIR to a directory that can be written "
        "to keep them.",
        RuntimeWarning,
        stacklevel=2,
    )


def _probe() -> None:
    """Stand for any kernel of this folder."""


def _numba_finds_one() -> bool:
    try:
        njit(cache=True)(_probe)
    except RuntimeError:
        return False
    return True


def _remove(directory: str, owner: int) -> None:
    """Remove the directory in the process that made it, not in one forked from it."""
    if os.getpid() == owner:
        shutil.rmtree(directory, ignore_errors=True)
