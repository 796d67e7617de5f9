"""What is said when the first kernel of a process has to be compiled; and all kernels by name."""

import importlib
import logging
import multiprocessing
import os
import pkgutil
from collections.abc import Mapping
from typing import Any

from numba.core import event
from numba.core.dispatcher import Dispatcher

QUIET = "SPARSEGMRF_QUIET"
"""Environment variable that keeps the line back."""
_PACKAGE = __name__.rpartition(".")[0]
_log = logging.getLogger(_PACKAGE)


def tell_of_first_compilation(kept: bool) -> None:
    """Log one line, at warning level, once a kernel is compiled and not taken from where it was kept.

    Without handlers it goes to standard error. Nothing is said in processes that `multiprocessing` started or that
    were forked, which may be many, nor where the environment variable ``SPARSEGMRF_QUIET`` is set.
    """
    if not os.environ.get(QUIET):
        event.register("numba:compile", _Listener(kept))  # type: ignore[no-untyped-call]


def all_kernels() -> Mapping[str, Any]:
    """Return every kernel by its name, such as ``"gram.fill_planes"``; none where compilation is switched off."""
    found = {}
    for module in pkgutil.iter_modules(importlib.import_module(_PACKAGE).__path__):
        for kernel in vars(importlib.import_module(f"{_PACKAGE}.{module.name}")).values():
            if isinstance(kernel, Dispatcher) and kernel.py_func.__module__ == f"{_PACKAGE}.{module.name}":
                found[f"{module.name}.{kernel.py_func.__name__}"] = kernel
    return found


class _Listener(event.Listener):
    """Tells of the first compilation of a kernel."""

    def __init__(self, kept: bool) -> None:
        self._kept, self._told, self._process = kept, False, os.getpid()

    def on_start(self, event: Any) -> None:
        dispatcher = event.data["dispatcher"]
        ours = dispatcher.py_func.__module__.startswith(f"{_PACKAGE}.")
        started = self._process != os.getpid() or multiprocessing.parent_process() is not None
        if self._told or not ours or started:
            return
        self._told = True
        _log.warning(
            "sparsegmrf: compiling kernels, which may take minutes; %s",
            f'they are kept in {dispatcher.stats.cache_path} ("sparsegmrf warmup" compiles them beforehand)'
            if self._kept
            else "they cannot be kept: set NUMBA_CACHE_DIR to a directory that can be written",
        )

    def on_end(self, event: Any) -> None:
        """Do nothing: only beginnings are told."""
