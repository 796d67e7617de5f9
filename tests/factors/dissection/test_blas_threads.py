"""BLAS threads are given back as they were, also by callers that overlap."""

import scipy.linalg  # noqa: F401  (loads the BLAS that the kernels call)
from threadpoolctl import threadpool_info, threadpool_limits

from sparsegmrf.factors.dissection._blas_threads import one_blas_thread


def counts():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_overlapping_holders_give_the_threads_back_when_the_last_one_leaves():
    with threadpool_limits(2, "blas"):
        before = counts()
        first, second = one_blas_thread(), one_blas_thread()
        first.__enter__()
        second.__enter__()
        assert set(counts()) == {1}
        first.__exit__(None, None, None)
        assert set(counts()) == {1}
        second.__exit__(None, None, None)
        assert counts() == before
        with one_blas_thread():
            assert set(counts()) == {1}
        assert counts() == before
