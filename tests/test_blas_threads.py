"""BLAS threads are given back as they were, also by callers that overlap."""

import threading

import numpy as np
import scipy.linalg  # noqa: F401  (loads the BLAS that the kernels call)
from threadpoolctl import threadpool_info, threadpool_limits

import sparsegmrf
from sparsegmrf._blas_threads import one_blas_thread
from sparsegmrf.inference._objective import Objective


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


def test_any_thread_holds_and_gives_back_whichever_held_before():
    with threadpool_limits(None):  # loads the libraries
        before = counts()
    with one_blas_thread():
        assert set(counts()) == {1}
    entered, leave, seen = threading.Event(), threading.Event(), []

    def hold():
        with one_blas_thread():
            seen.append(counts())
            entered.set()
            leave.wait()
        seen.append(counts())

    other = threading.Thread(target=hold)
    other.start()
    entered.wait()
    with one_blas_thread():  # enters second and leaves last
        leave.set()
        other.join()
        assert set(counts()) == {1}
    assert counts() == before
    assert [set(each) for each in seen] == [{1}, {1}]


def test_a_fit_is_held_as_a_whole(monkeypatch):
    seen = []
    evaluate = Objective.evaluate

    def spied(self, *arguments, **named):
        seen.append(set(counts()))
        return evaluate(self, *arguments, **named)

    monkeypatch.setattr(Objective, "evaluate", spied)
    with threadpool_limits(2, "blas"):
        image = np.random.default_rng(0).normal(size=(8, 9)).cumsum(axis=0)
        image[2, 3] = np.nan
        sparsegmrf.fit(sparsegmrf.Matern(3.0), image, noise_variance=0.1)
        assert set(counts()) == {2}
    assert len(seen) > 3
    assert all(each == {1} for each in seen)
