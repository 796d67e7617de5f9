"""Memory that is used again once nothing refers to it: a page is touched, and cleared by the system, once."""

import threading
import weakref
from collections import deque
from typing import Any

import numpy as np

from sparsegmrf.factors.dissection._analysis import LANES
from sparsegmrf.typing import FloatArray

_PER_OCTAVE = 2
"""Sizes of workspaces between a power of two and the next."""


def aligned(size: int) -> FloatArray:
    """Return an uninitialized array that starts at a multiple of 64 bytes.

    Of more than 4 MB NumPy asks the system for huge pages.
    """
    raw = np.empty(size + LANES)
    first = -(raw.ctypes.data // 8) % LANES
    return raw[first : first + size]


def rounded(size: int) -> int:
    """Return a size a little larger, so that nearly equal workspaces are exchangeable."""
    step = 1 << max(0, (size - 1).bit_length() - _PER_OCTAVE.bit_length())
    return -(-size // step) * step


class Buffers:
    """Arrays whose memory is handed out again once they, and all views of them, are gone; what they hold never matters.

    An array that somebody still has is never overwritten, however long that is. Any thread may take arrays and let go
    of them. What is free goes with the `Buffers`, whichever of its arrays live on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[FloatArray]] = {}
        self._idle: set[int] = set()
        self._returned: deque[FloatArray] = deque()

    def array(self, size: int) -> FloatArray:
        """Return an array of that many numbers."""
        with self._lock:
            self._collect()
            same = self._free.get(size)
            memory = same.pop() if same else None
            self._idle.discard(id(memory))
        return np.asarray(_Lease(aligned(size) if memory is None else memory, self._returned))

    def workspace(self, size: int) -> FloatArray:
        """Return an array of at least that many numbers."""
        return self.array(rounded(size))

    def trim(self) -> None:
        """Free what has not been used between the last call and this one."""
        with self._lock:
            self._collect()
            kept = {
                size: [each for each in memories if id(each) not in self._idle] for size, memories in self._free.items()
            }
            self._free = {size: memories for size, memories in kept.items() if memories}
            self._idle = {id(each) for memories in self._free.values() for each in memories}

    @property
    def free_bytes(self) -> int:
        """Bytes held for the next who asks."""
        with self._lock:
            self._collect()
            return sum(each.nbytes for memories in self._free.values() for each in memories)

    def _collect(self) -> None:
        while self._returned:
            memory = self._returned.popleft()
            self._free.setdefault(len(memory), []).append(memory)


class _Lease:
    """What NumPy holds as the owner of an array that was handed out, and lets go of with its last view.

    That may be in any thread, also one that holds the lock of the `Buffers`: a deque needs none.
    """

    def __init__(self, memory: FloatArray, home: deque[FloatArray]) -> None:
        self._memory, self._home = memory, weakref.ref(home)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._memory.__array_interface__

    def __del__(self) -> None:
        home = self._home()
        if home is not None:
            home.append(self._memory)
