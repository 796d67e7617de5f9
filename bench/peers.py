"""The competitors of the sparse factorization benches, each with the data in the form it likes best.

A peer is made from two stencils of one pattern (untimed) and then does, as timed calls, ``factorize`` (ordering and
analysis included), ``refactorize`` (the second values), ``solve`` and ``selected_inverse``; ``close`` frees what they
made. Peers keep their own thread defaults; `libraries` says what they are.
"""

import ctypes

import numpy as np
import pytest
import threadpoolctl

from bench import problems


class Sparsegmrf:
    """This package's dissection factor; made again in the memory of one that is gone, as in the loops of `fit`."""

    def __init__(self, stencil, other):
        from sparsegmrf.factors import DissectionFactor

        self._make, self._stencil, self._other = DissectionFactor, stencil, other
        self.factor = self.again = self.second = None

    def factorize(self):
        self.factor = self._make(self._stencil)
        self.again = self.factor.refactorizer()

    def refactorize(self):
        self.second = self.again(self._other)

    def before_refactorize(self):
        self.second = None

    def prepare(self, images):
        return images

    def solve(self, b):
        return self.factor.solve(b)

    def selected_inverse(self):
        return self.factor.selected_inverse()

    def images(self, x):
        return x

    @property
    def logdet(self):
        return self.factor.logdet

    @property
    def nbytes(self):
        return self.factor.nbytes

    def close(self):
        self.factor = self.again = self.second = None


class SparsegmrfInNewMemory:
    """The same factor made again in memory of its own, which the system clears."""

    def __init__(self, stencil, other):
        self._own = Sparsegmrf(stencil, other)
        self.factorize, self.before_refactorize = self._own.factorize, self._own.before_refactorize

    def refactorize(self):
        self._own.second = self._own.factor.refactorize(self._own._other)

    def close(self):
        self._own.close()


class Cholmod:
    """CHOLMOD through scikit-sparse, in one of its orderings."""

    ordering = "default"

    def __init__(self, stencil, other):
        self._library = pytest.importorskip("sksparse.cholmod", reason="scikit-sparse is not installed")
        self._matrix, self._other = (problems.lower_columns(s) for s in (stencil, other))
        self._shape, self.factor = stencil.shape, None

    def factorize(self):
        self.factor = self._library.cholesky(self._matrix, ordering_method=self.ordering)

    def refactorize(self):
        self.factor.cholesky_inplace(self._other)

    def prepare(self, images):
        return images.reshape(len(images), -1).T

    def solve(self, b):
        return self.factor.solve_A(b)

    def images(self, x):
        return x.T.reshape(-1, *self._shape)

    @property
    def logdet(self):
        return self.factor.logdet()

    @property
    def nbytes(self):
        L = self.factor.L()
        return L.data.nbytes + L.indices.nbytes + L.indptr.nbytes

    def close(self):
        self.factor = None


class CholmodAMD(Cholmod):
    """CHOLMOD with approximate minimum degree."""

    ordering = "amd"


class CholmodDissection(Cholmod):
    """CHOLMOD with its nested dissection."""

    ordering = "nesdis"


class CholmodTakahashi:
    """Our adapter: CHOLMOD's factor with our Takahashi recursion."""

    def __init__(self, stencil, other):
        pytest.importorskip("sksparse.cholmod", reason="scikit-sparse is not installed")
        self._stencil, self.factor = stencil, None

    def factorize(self):
        from sparsegmrf.factors import CholmodFactor

        self.factor = CholmodFactor(self._stencil)

    def selected_inverse(self):
        return self.factor.selected_inverse()

    def close(self):
        self.factor = None


class Pardiso:
    """MKL PARDISO, real symmetric positive definite (upper triangle), called through pypardiso without its copies."""

    def __init__(self, stencil, other):
        library = pytest.importorskip("pypardiso", reason="pypardiso is not installed")
        self._solver = library.PyPardisoSolver(mtype=2)
        self._matrix, self._other = (problems.upper_rows(s) for s in (stencil, other))
        self._ia, self._ja = ((a + 1).astype(np.int32) for a in (self._matrix.indptr, self._matrix.indices))
        self._shape = stencil.shape

    def factorize(self):
        self._call(12, self._matrix.data)

    def refactorize(self):
        self._call(22, self._other.data)

    def prepare(self, images):
        return images.reshape(len(images), -1)

    def solve(self, b):
        x = np.empty_like(b)
        self._call(33, self._matrix.data, b, x)
        return x

    def images(self, x):
        return x.reshape(-1, *self._shape)

    @property
    def nbytes(self):
        return 1024 * int(self._solver.iparm[16])

    def close(self):
        self._call(-1, self._matrix.data)
        self._solver.pt[:] = 0

    def _call(self, phase, values, b=None, x=None):
        b = np.zeros((1, 1)) if b is None else b
        x = np.zeros((1, 1)) if x is None else x
        error = ctypes.c_int32(0)

        def number(value):
            return ctypes.byref(ctypes.c_int32(value))

        def ints(array):
            return array.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))

        def floats(array):
            return array.ctypes.data_as(ctypes.c_void_p)

        self._solver._mkl_pardiso(
            self._solver.pt.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)),
            number(1),
            number(1),
            number(2),
            number(phase),
            number(len(self._ia) - 1),
            floats(values),
            ints(self._ia),
            ints(self._ja),
            ints(self._solver.perm),
            number(len(b)),
            ints(self._solver.iparm),
            number(0),
            floats(b),
            floats(x),
            ctypes.byref(error),
        )
        if error.value:
            raise RuntimeError(f"PARDISO failed with code {error.value}")


class Sparsax:
    """sparsax: CHOLMOD behind JAX, with a selected inverse; values seen before are looked up, not factorized again."""

    def __init__(self, stencil, other):
        self._library = pytest.importorskip("sparsax", reason="sparsax is not installed")
        import jax

        jax.config.update("jax_enable_x64", True)
        upper = problems.upper_rows(stencil).tocoo()
        self._row, self._column, self._values = (jax.numpy.asarray(a) for a in (upper.row, upper.col, upper.data))
        self._n, self._shape, self.token = upper.shape[0], stencil.shape, None

    def factorize(self):
        self.token = self._library.factor(self._row, self._column, self._values, self._n).block_until_ready()

    def prepare(self, images):
        return images.reshape(len(images), -1).T.copy()

    def solve(self, b):
        return self._library.solve_factor(self.token, b).block_until_ready()

    def images(self, x):
        return np.asarray(x).T.reshape(-1, *self._shape)

    def selected_inverse(self):
        return self._library.selinv(self._row, self._column, self._values, self._n).block_until_ready()

    @property
    def logdet(self):
        return float(self._library.logdet_factor(self.token))

    def close(self):
        self._library.clear_cache()


class SuperLU:
    """scipy's splu, ordered and pivoted as for a symmetric matrix."""

    def __init__(self, stencil, other):
        from scipy.sparse.linalg import splu

        self._splu, self._matrix, self._shape, self.factor = splu, problems.lower_columns(stencil), stencil.shape, None

    def factorize(self):
        self.factor = self._splu(
            self._matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    def prepare(self, images):
        return images.reshape(len(images), -1).T.copy()

    def solve(self, b):
        return self.factor.solve(b)

    def images(self, x):
        return x.T.reshape(-1, *self._shape)

    @property
    def nbytes(self):
        return 12 * self.factor.nnz

    def close(self):
        self.factor = None


PEERS = {
    "sparsegmrf": Sparsegmrf,
    "sparsegmrf-new-memory": SparsegmrfInNewMemory,
    "cholmod-default": Cholmod,
    "cholmod-amd": CholmodAMD,
    "cholmod-nesdis": CholmodDissection,
    "cholmod-takahashi": CholmodTakahashi,
    "pardiso": Pardiso,
    "sparsax": Sparsax,
    "splu": SuperLU,
}


def libraries():
    """Return the thread pools in this process, and the BLAS of CHOLMOD, which the reference BLAS slows to a third."""
    pools = threadpoolctl.threadpool_info()
    system = [
        p for p in pools if p["user_api"] == "blas" and ".libs" not in p["filepath"] and p["prefix"] != "libmkl_rt"
    ]
    names = [
        f"{p['internal_api']} {p.get('version')} x{p['num_threads']} ({p['filepath'].split('/')[-1]})" for p in pools
    ]
    return {"pools": sorted(names), "cholmod_blas": system[0]["internal_api"] if system else "reference"}
