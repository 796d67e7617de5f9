"""Memory is used again once nothing refers to it, and never before."""

import threading

import numpy as np
import pytest

from sparsegmrf.factors.dissection._buffers import Buffers, home_of


def address(array):
    return array.ctypes.data


def test_arrays_begin_a_cache_line():
    buffers = Buffers()
    assert all(address(buffers.array(size)) % 64 == 0 for size in (1, 7, 1000, 10**6))
    assert len(buffers.array(1000)) == 1000
    assert len(buffers.workspace(1001)) >= 1001


def test_memory_of_an_array_that_is_gone_is_used_again():
    buffers = Buffers()
    array = buffers.array(1000)
    where = address(array)
    del array
    assert buffers.free_bytes == 8000
    again = buffers.array(1000)
    assert address(again) == where
    assert buffers.free_bytes == 0


@pytest.mark.parametrize("view", [lambda a: a[10:20], lambda a: a.reshape(10, 100).T[3:], lambda a: memoryview(a)])
def test_memory_that_a_view_refers_to_is_not_used_again(view):
    buffers = Buffers()
    array = buffers.array(1000)
    array[:] = 7.0
    held = view(array)
    del array
    other = buffers.array(1000)
    other[:] = 1.0
    assert (np.asarray(held) == 7.0).all()
    assert buffers.free_bytes == 0
    del held
    assert buffers.free_bytes == 8000


def test_array_outlives_the_buffers():
    buffers = Buffers()
    array = buffers.array(1000)
    array[:] = 7.0
    del buffers
    assert (array == 7.0).all()


def test_memory_that_is_not_asked_for_any_more_is_freed():
    buffers = Buffers()
    small, large = buffers.array(10), buffers.array(1000)
    del small, large
    buffers.trim()
    assert buffers.free_bytes == 8080
    small = buffers.array(10)
    del small
    buffers.trim()
    assert buffers.free_bytes == 80


def test_workspaces_are_freed_by_themselves():
    buffers = Buffers()
    array, workspace = buffers.array(1024), buffers.workspace(1024)
    del array, workspace
    buffers.free_workspaces()
    assert buffers.free_bytes == 8192
    kept = buffers.array(1024)
    assert buffers.free_bytes == 0
    assert home_of(kept) is buffers


def test_adopted_memory_comes_back_to_the_last_who_adopted_it():
    first, second, third = Buffers(), Buffers(), Buffers()
    array = first.array(1000)
    second.adopt(array)
    third.adopt(array)
    third.adopt(np.zeros(5))  # of nobody's: left alone
    del array
    assert [each.free_bytes for each in (first, second, third)] == [0, 0, 8000]


def test_threads_never_share_an_array():
    buffers, wrong = Buffers(), []

    def work(number):
        for _ in range(300):
            array = buffers.array(50)
            array[:] = number
            part = array[5:]
            del array
            if not (part == number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert buffers.free_bytes <= 4 * 2 * 400  # a thread has the last one still when it asks for the next
