"""Memory that is used again once nothing refers to it: a page is touched, and cleared by the system, once."""

import mmap
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from sparsegmrf.factors.dissection._analysis import LANES
from sparsegmrf.typing import FloatArray

Stored = npt.NDArray[np.float64] | npt.NDArray[np.float32]
"""Numbers of a factor, in double precision or in single."""

_PER_OCTAVE = 2
"""Sizes of workspaces between a power of two and the next."""


LARGE = 2**22
"""Numbers of a workspace so large that to clear its pages is nothing beside the work in it: it is not kept."""


_MAPPED = 2**18
"""Numbers of arrays that are mapped by themselves, one huge page."""


def aligned(size: int) -> FloatArray:
    """Return an uninitialized array that starts at a multiple of 64 bytes.

    Larger ones are mapped, where the system can, and given back to it with the last view of them: an allocator might
    keep the places of many arrays of different sizes.
    """
    if size >= _MAPPED and hasattr(mmap, "MAP_ANONYMOUS"):
        pages = mmap.mmap(-1, 8 * size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            pages.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(pages)
    raw = np.empty(size + LANES)
    first = -(raw.ctypes.data // 8) % LANES
    return raw[first : first + size]


def aligned_in(size: int, *, single: bool) -> Stored:
    """Return such an array of numbers in double precision or in single."""
    if not single:
        return aligned(size)
    return aligned((size + 1) // 2).view(np.float32)[:size]


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
        self._free: dict[_Kind, list[Stored]] = {}
        self._idle: set[int] = set()
        self._returned: deque[tuple[_Kind, Stored]] = deque()

    def array(self, size: int, *, single: bool = False) -> Stored:
        """Return an array of that many numbers, to be kept."""
        return self._lent(_Kind(size, False, single))

    def workspace(self, size: int) -> FloatArray:
        """Return an array of at least that many numbers, for a while."""
        if size >= LARGE:
            return aligned(size)
        return cast(FloatArray, self._lent(_Kind(rounded(size), True, False)))

    def adopt(self, array: Stored) -> None:
        """Have the memory of an array of other `Buffers` come back here."""
        if isinstance(array.base, _Lease):
            array.base.home = weakref.ref(self)

    def trim(self) -> None:
        """Free what has not been used between the last call and this one."""
        with self._lock:
            self._collect()
            self._keep(lambda kind, memory: id(memory) not in self._idle)
            self._idle = {id(each) for memories in self._free.values() for each in memories}

    def free_workspaces(self) -> None:
        """Free all workspaces that nobody has."""
        with self._lock:
            self._collect()
            self._keep(lambda kind, memory: not kind.passing)

    def free(self) -> None:
        """Free all that nobody has."""
        with self._lock:
            self._collect()
            self._free.clear()

    @property
    def free_bytes(self) -> int:
        """Bytes held for the next who asks."""
        with self._lock:
            self._collect()
            return sum(each.nbytes for memories in self._free.values() for each in memories)

    def _lent(self, kind: "_Kind") -> Stored:
        with self._lock:
            self._collect()
            same = self._free.get(kind)
            memory = same.pop() if same else None
            self._idle.discard(id(memory))
        return np.asarray(_Lease(self, kind, aligned_in(kind.size, single=kind.single) if memory is None else memory))

    def _collect(self) -> None:
        while self._returned:
            kind, memory = self._returned.popleft()
            self._free.setdefault(kind, []).append(memory)

    def _keep(self, wanted: "Callable[[_Kind, Stored], bool]") -> None:
        kept = {kind: [each for each in memories if wanted(kind, each)] for kind, memories in self._free.items()}
        self._free = {kind: memories for kind, memories in kept.items() if memories}


class _Kind(NamedTuple):
    """Numbers in an array, whether it is a workspace, and whether they are in single precision."""

    size: int
    passing: bool
    single: bool


class _Lease:
    """What NumPy holds as the owner of an array that was handed out, and lets go of with its last view.

    That may be in any thread, also one that holds the lock of the `Buffers`: a deque needs none.
    """

    def __init__(self, home: Buffers, kind: _Kind, memory: Stored) -> None:
        self.home, self._kind, self._memory = weakref.ref(home), kind, memory

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return self._memory.__array_interface__

    def __del__(self) -> None:
        home = self.home()
        if home is not None:
            home._returned.append((self._kind, self._memory))


def home_of(array: Stored) -> Buffers | None:
    """Return the `Buffers` to which the memory of an array goes back, if there are any."""
    return array.base.home() if isinstance(array.base, _Lease) else None
