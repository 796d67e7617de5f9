"""Compiled leaves: contiguous arrays in, arrays and a status out; imported as ``sparsegmrf.kernels``.

No kernel file imports another one, because a cached kernel is rebuilt only when its own file changes; ``blas``,
``dissection_columns``, ``lane_vector`` and ``subroutine`` hold no kernel, and whoever imports them carries their
fingerprints.
"""

from sparsegmrf.kernels import _cache_directory, _first_use

KEPT = _cache_directory.provide_cache_directory()
"""Whether what is compiled now is found by the processes to come."""

_first_use.tell_of_first_compilation(KEPT)
