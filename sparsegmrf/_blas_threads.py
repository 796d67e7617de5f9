"""BLAS held at one thread while our own threads call it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import LibController, ThreadpoolController

_WIDE = ("SkylakeX", "Cooperlake", "SapphireRapids")
"""Sets of OpenBLAS's kernels that are written for such registers."""

_lock = threading.Lock()
_libraries: list[LibController] | None = None
_holders = 0
_before: list[int] = []
"""Threads of each library as they were before the first holder."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread; of callers that overlap, the last one to leave gives the threads back.

    Its idle threads wait by spinning, which takes the cores from whoever has work. A limit that the user has set from
    another thread stays.
    """
    _enter()
    try:
        yield
    finally:
        _leave()


def blas_is_wide() -> bool:
    """Return whether OpenBLAS, which SciPy brings, computes in registers of eight numbers; no other tells."""
    with _lock:
        names = [library.architecture for library in _found() if library.internal_api == "openblas"]
    return bool(names) and all(name in _WIDE for name in names)


def _found() -> list[LibController]:
    global _libraries
    if _libraries is None:  # finding the libraries takes milliseconds, as long as a small factorization
        _libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return _libraries


def _enter() -> None:
    global _holders, _before
    with _lock:
        if _holders == 0:
            _before = [library.num_threads for library in _found()]
            _set([1] * len(_before))
        _holders += 1


def _leave() -> None:
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            _set(_before)


def _set(counts: list[int]) -> None:
    """Set the threads of the libraries.

    threadpoolctl 3.8 obeys one thread, the first that has set a limit, as long as that lives, and ignores all others
    without a word. A thread that ends at once leaves all others free, whichever of them leaves last; where the caller
    is the one that is obeyed it sets the limit itself.
    """
    if counts == _counts():
        return
    for_a_moment = threading.Thread(target=_apply, args=(counts,))
    for_a_moment.start()
    for_a_moment.join()
    if counts != _counts():
        _apply(counts)


def _counts() -> list[int]:
    return [library.num_threads for library in _libraries or ()]


def _apply(counts: list[int]) -> None:
    for library, count in zip(_libraries or (), counts, strict=True):
        library.set_num_threads(count)


def _forget() -> None:
    # A forked child has none of the threads that hold.
    global _lock, _holders
    _lock = threading.Lock()
    _holders = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
