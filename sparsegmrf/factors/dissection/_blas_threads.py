"""BLAS held at one thread while our own threads call it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_controller: ThreadpoolController | None = None
_holders = 0
_limit: Any = None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS at one thread; of callers that overlap, the last one to leave gives the threads back."""
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _controller, _holders, _limit
    with _lock:
        if _holders == 0:
            if _controller is None:  # finding the libraries takes milliseconds, as long as a small factorization
                _controller = ThreadpoolController()
            _limit = _controller.limit(limits=1, user_api="blas")
        _holders += 1


def _leave() -> None:
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            _limit.restore_original_limits()


def _forget() -> None:
    # A forked child has none of the threads that hold.
    global _lock, _holders
    _lock = threading.Lock()
    _holders = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
